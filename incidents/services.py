"""What can people do with an incident? One door each; every step is in the timeline, in the same transaction.

What the machine does is in `incidents/gathering.py` (open, join) and `incidents/machine.py` (resolve with the monitors).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from alerts import acts
from alerts.models import Alert
from alerts.report import Report, report
from incidents import engine
from incidents.models import Incident, IncidentAlert, TimelineEntry, Update
from incidents.signals import incident_changed
from monitors.models import Monitor
from portal import audit
from portal.audit import Actor
from portal.errors import Refused


def note(
    incident: Incident, kind: str, at: datetime, *, by: str = "", text: str = "", data: dict[str, Any] | None = None
) -> TimelineEntry:
    """Add to the timeline; the caller saves `next_seq` with the incident."""
    entry = TimelineEntry.objects.create(
        incident=incident, seq=incident.next_seq, at=at, kind=kind, by=by[:200], text=text, data=data or {}
    )
    incident.next_seq += 1
    return entry


def locked(incident: Incident) -> Incident:
    """Its open alerts first, then itself: whoever closes an alert holds that when it comes for the incident."""
    list(
        Alert.objects.filter(resolved_at=None, incident_id=incident.pk)
        .order_by("pk")
        .select_for_update(of=("self",))
        .values_list("pk", flat=True)
    )
    return Incident.objects.select_for_update().get(pk=incident.pk)


# What Django calls blank is well here: no alert yet, nobody has acknowledged, no monitor is named.
MAY_BE_EMPTY = (
    "client", "service", "parent", "affected_monitor_ids", "last_alert_at", "acknowledged_at", "resolved_at", "lead", "merged_into", "began_at",
    "mitigated_at", "times_known_by",
)  # fmt: skip


def create(
    *, title: str, severity: str, by: Actor, at: datetime, client_id: int | None = None, message: str = "", service: Any = None, affected_monitor_ids: Iterable[int] = (),
    status: str = "investigating", status_page_id: int | None = None, notify: bool = True,
) -> Incident:  # fmt: skip
    """Open one by hand. With `notify` it is routed as an alert (`incident.opened`). Raises ValidationError at the field."""
    affected = list(dict.fromkeys(affected_monitor_ids))
    rows = {m.pk: m for m in Monitor.objects.filter(pk__in=affected)}
    missing = [pk for pk in affected if pk not in rows]
    if missing:
        raise ValidationError({"affected_monitor_ids": f"No such monitor: {', '.join(map(str, missing))}."})
    clients = (
        {m.client_id for m in rows.values()}
        | ({service.client_id} if service else set())
        | ({client_id} if client_id else set())
    )
    if len(clients) > 1:
        raise ValidationError(
            {"affected_monitor_ids": "These belong to several clients; open one incident for each client."}
        )
    if status == "resolved" or engine.update_refused("investigating", status):
        raise ValidationError({"status": "A new incident is investigating, identified or monitoring."})
    with transaction.atomic():
        incident = Incident(
            title=title.strip()[:200], severity=severity, status=status, client_id=next(iter(clients), None), service=service, affected_monitor_ids=affected,
            status_page_id=status_page_id, created_at=at, created_by=by.name, auto_resolve=False, began_at=at, times_known_by={"began_at": "person"},
        )  # fmt: skip
        incident.full_clean(exclude=MAY_BE_EMPTY)
        incident.save()
        first = Update.objects.create(incident=incident, status=status, message=message, by=by.name, created_at=at)
        note(incident, "opened", at, by=by.name, text=message or title, data={"update": first.pk})
        if notify:
            severities = {"critical": "critical", "major": "critical", "minor": "warning"}
            opened = report([
                Report(
                    source="incident", condition="opened", event="opened", entity_type="incident", entity_id=str(incident.pk), entity_name=incident.title, failing=True, at=at,
                    severity=severities[severity], title=incident.title, message=message, client_id=incident.client_id, service_id=incident.service_id,
                    monitor_id=affected[0] if len(affected) == 1 else None,
                )
            ], by=by)  # fmt: skip
            _attach(incident, opened, at)
        incident.save(update_fields=["next_seq"])
        audit.record(
            "incident.create",
            incident,
            by=by,
            client_id=incident.client_id,
            after={"title": incident.title, "severity": severity},
        )
        incident_changed.send(Incident, incidents=[incident], at=at, change="opened")
        return incident


def _attach(incident: Incident, opened: Sequence[Alert], at: datetime) -> None:
    for a in opened:
        IncidentAlert.objects.create(incident=incident, alert=a, joined_at=at)
        a.incident_id, a.links = incident.pk, {**a.links, "incident_title": incident.title}
        a.save(update_fields=["incident_id", "links"])


def acknowledge(incident: Incident, *, by: Actor, at: datetime, name: str = "") -> Incident:
    """Somebody has it: its open alerts are acknowledged, nothing is published. Again is harmless; refused when resolved."""
    with transaction.atomic():
        incident = locked(incident)
        if incident.responder_status == Incident.Responder.ACKNOWLEDGED:
            acts.acknowledge_all(_open_alerts(incident), by=by, at=at, name=name)
            return incident
        _, refusal = engine.move("acknowledge", incident.responder_status)
        if refusal:
            raise Refused(refusal)
        mark_acknowledged(incident, by, at, name or by.name)
        acts.acknowledge_all(_open_alerts(incident), by=by, at=at, name=name)
        audit.record("incident.acknowledge", incident, by=by, client_id=incident.client_id)
        return incident


def _open_alerts(incident: Incident) -> list[Alert]:
    return list(Alert.objects.filter(resolved_at=None, incident_link__incident=incident).order_by("pk"))


def mark_acknowledged(incident: Incident, by: Actor, at: datetime, name: str) -> None:
    """The step itself, on a locked incident that may take it."""
    incident.responder_status, incident.acknowledged_at, incident.acknowledged_by = (
        Incident.Responder.ACKNOWLEDGED,
        at,
        name[:200],
    )
    note(incident, "acknowledged", at, by=name, text=f"{name} has it.")
    incident.save(update_fields=["responder_status", "acknowledged_at", "acknowledged_by", "next_seq"])
    incident_changed.send(Incident, incidents=[incident], at=at, change="acknowledged")


def update(
    incident: Incident, *, status: str, message: str, by: Actor, at: datetime, known_by: str = "person"
) -> Update:
    """Tell those outside: the public status goes forward only; `resolved` resolves both machines. Refused otherwise.

    `known_by`: who says that it works again (a key of `engine.KNOWN_BY`).
    """
    with transaction.atomic():
        incident = locked(incident)
        refusal = engine.update_refused(incident.status, status)
        if refusal:
            raise Refused(refusal)
        if status == Incident.Status.RESOLVED:
            return _resolve(incident, by, at, message)
        row = Update.objects.create(incident=incident, status=status, message=message, by=by.name, created_at=at)
        incident.status = status
        if status == Incident.Status.MONITORING and incident.mitigated_at is None:  # somebody says that it works again
            know(incident, "mitigated_at", at, known_by)
        note(incident, "update", at, by=by.name, text=message, data={"status": status, "update": row.pk})
        incident.save(update_fields=["status", "mitigated_at", "times_known_by", "next_seq"])
        audit.record(
            "incident.update",
            incident,
            by=by,
            client_id=incident.client_id,
            after={"status": status, "message": message},
        )
        incident_changed.send(Incident, incidents=[incident], at=at, change="updated")
        return row


def resolve(incident: Incident, *, by: Actor, at: datetime, message: str = "") -> Incident:
    """A person says it is over: both machines, and its own alert; the machine will not touch it again."""
    with transaction.atomic():
        incident = locked(incident)
        _, refusal = engine.move("resolve", incident.responder_status)
        if refusal:
            raise Refused(refusal)
        _resolve(incident, by, at, message)
        return incident


def _resolve(incident: Incident, by: Actor, at: datetime, message: str) -> Update:
    incident.status, incident.responder_status = Incident.Status.RESOLVED, Incident.Responder.RESOLVED
    incident.resolved_at, incident.resolved_by, incident.taken_over = at, by.name, True
    row = Update.objects.create(
        incident=incident, status=Incident.Status.RESOLVED, message=message, by=by.name, created_at=at
    )
    note(incident, "resolved", at, by=by.name, text=message or f"Resolved by {by.name}.", data={"update": row.pk})
    incident.save(update_fields=["status", "responder_status", "resolved_at", "resolved_by", "taken_over", "next_seq"])
    # Its own alert, and those of people's incidents that were merged into it.
    for own in Alert.objects.filter(resolved_at=None, source="incident", incident_link__incident=incident).order_by(
        "pk"
    ):
        acts.resolve(own, by=by, at=at)
    audit.record("incident.resolve", incident, by=by, client_id=incident.client_id)
    incident_changed.send(Incident, incidents=[incident], at=at, change="resolved")
    return row


def reopen(incident: Incident, *, by: Actor, at: datetime, message: str = "") -> Incident:
    """An explicit act: back to investigating and triggered; it is a person's from now on."""
    with transaction.atomic():
        incident = locked(incident)
        _, refusal = engine.move("reopen", incident.responder_status)
        if refusal:
            raise Refused(refusal)
        if incident.merged_into_id is not None:
            if not engine.merge_left_nothing(incident.timeline.filter(kind="resolved").values_list("data", flat=True)):
                raise Refused(f"It was merged into #{incident.merged_into_id}; take its alerts out there instead.")
            message = message or f"On its own again: no longer part of #{incident.merged_into_id}."
            incident.merged_into = None
        if (
            incident.auto_created
            and Incident.objects.filter(
                client=incident.client_id, cause_key=incident.cause_key, auto_created=True, resolved_at=None
            ).exists()
        ):
            raise Refused("A newer incident of the same cause is open; work on that one.")
        incident.status, incident.responder_status, incident.resolved_at, incident.resolved_by = (
            Incident.Status.INVESTIGATING,
            Incident.Responder.TRIGGERED,
            None,
            "",
        )
        incident.acknowledged_at, incident.acknowledged_by, incident.taken_over = None, "", True
        know(incident, "mitigated_at", None, "")
        row = Update.objects.create(
            incident=incident, status=incident.status, message=message, by=by.name, created_at=at
        )
        note(incident, "reopened", at, by=by.name, text=message, data={"update": row.pk})
        incident.save()
        audit.record("incident.reopen", incident, by=by, client_id=incident.client_id)
        incident_changed.send(Incident, incidents=[incident], at=at, change="reopened")
        return incident


EDITABLE = ("title", "severity", "auto_resolve", "affected_monitor_ids", "lead", "began_at", "mitigated_at")
TIMES = ("began_at", "mitigated_at")


def know(incident: Incident, name: str, value: datetime | None, by: str) -> None:
    """Set one of TIMES with how it is known; None forgets both."""
    setattr(incident, name, value)
    known = {k: v for k, v in incident.times_known_by.items() if k != name}
    incident.times_known_by = {**known, name: by} if value is not None else known


def edit(incident: Incident, changes: dict[str, Any], *, by: Actor, at: datetime) -> Incident:
    """Change those of EDITABLE that are given. Raises ValidationError at the field."""
    with transaction.atomic():
        incident = locked(incident)
        before = {k: getattr(incident, k) for k in EDITABLE if k in changes and getattr(incident, k) != changes[k]}
        for name in before:
            if name in TIMES:
                know(incident, name, changes[name], "person")
            else:
                setattr(incident, name, changes[name])
        incident.full_clean(exclude=MAY_BE_EMPTY)
        _refuse_strangers(incident, before.keys())
        if before.keys() & set(TIMES):
            refused = engine.times_refused(incident.began_at, incident.mitigated_at, incident.resolved_at, at)
            if refused:
                raise ValidationError({k: v for k, v in refused.items() if k in before} or dict([*refused.items()][:1]))
        if before:
            was, now = ({k: _word(v[k]) for k in before} for v in (before, {k: getattr(incident, k) for k in before}))
            text = ", ".join(f"{k.removesuffix('_at').replace('_', ' ')}: {was[k]} → {now[k]}" for k in before)
            note(incident, "edited", at, by=by.name, text=text)
            incident.save()
            audit.record("incident.edit", incident, by=by, client_id=incident.client_id, before=was, after=now)
            incident_changed.send(Incident, incidents=[incident], at=at, change="edited")
        return incident


def _refuse_strangers(incident: Incident, changed: Iterable[str]) -> None:
    """Monitors and a lead are the client's own; the lead may be one of our staff."""
    if "affected_monitor_ids" in changed:
        known = set(
            Monitor.objects.filter(client=incident.client_id, pk__in=incident.affected_monitor_ids).values_list(
                "pk", flat=True
            )
        )
        missing = [pk for pk in incident.affected_monitor_ids if pk not in known]
        if missing:
            raise ValidationError(
                {"affected_monitor_ids": f"No such monitor of this client: {', '.join(map(str, missing))}."}
            )
    if "lead" in changed and incident.lead is not None and incident.lead.client_id not in (None, incident.client_id):
        raise ValidationError({"lead": "The lead is a contact of this client or one of our staff."})


def _word(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return value if isinstance(value, bool | list | str) else "nobody" if value is None else str(value)
