"""What does the machine do with incidents that there are? It notes recoveries, verdicts and acknowledgements, and ends what it opened.

Called by the receivers inside the alerts' transaction, with lists: a thousand alerts can end in one second. How incidents
are opened and joined is in `incidents/gathering.py`; people's hands are in `incidents/services.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from django.db import transaction

from alerts import acts
from alerts.models import Alert
from incidents import engine, services
from incidents.models import Incident, IncidentAlert, TimelineEntry, Update
from incidents.signals import incident_changed
from portal import sets
from portal.audit import Actor


def alerts_closed(alerts: Sequence[Alert], at: datetime, by: Actor, manual: bool) -> list[Incident]:
    """Note what recovered; resolve what the machine opened and has no open alert left, unless a person decided otherwise."""
    ids = {a.incident_id for a in alerts if a.incident_id}
    if not ids:
        return []
    incidents = {i.pk: i for i in Incident.objects.filter(pk__in=ids).order_by("pk").select_for_update()}
    still: dict[int, int] = defaultdict(int)
    for pk in (
        IncidentAlert.objects.filter(incident__in=ids, alert__resolved_at=None)
        .exclude(alert__in=[a.pk for a in alerts])
        .values_list("incident_id", flat=True)
    ):
        still[pk] += 1
    entries, resolved = [], []
    for a in alerts:
        i = incidents.get(a.incident_id or 0)
        if i is None:
            continue
        text = f"{a.entity_name}: resolved by {by.name}." if manual else f"{a.entity_name} has recovered."
        entries.append(
            TimelineEntry(
                incident=i, seq=i.next_seq, at=at, kind="alert_resolved", by=by.name, text=text, data={"alert": a.pk}
            )
        )
        i.next_seq += 1
    for i in incidents.values():
        if not still[i.pk] and not manual and i.mitigated_at is None and i.resolved_at is None:
            services.know(i, "mitigated_at", at, "recovery")
        if engine.machine_may_resolve(
            auto_created=i.auto_created,
            auto_resolve=i.auto_resolve,
            taken_over=i.taken_over,
            responder_status=i.responder_status,
            open_alerts=still[i.pk],
        ):
            i.status, i.responder_status, i.resolved_at, i.resolved_by = (
                Incident.Status.RESOLVED,
                Incident.Responder.RESOLVED,
                at,
                by.name,
            )
            entries.append(
                TimelineEntry(
                    incident=i, seq=i.next_seq, at=at, kind="resolved", by=by.name, text="Everything has recovered."
                )
            )
            i.next_seq += 1
            resolved.append(i)
    sets.write(
        incidents.values(),
        ["status", "responder_status", "resolved_at", "resolved_by", "next_seq", "mitigated_at", "times_known_by"],
    )
    TimelineEntry.objects.bulk_create(entries)
    Update.objects.bulk_create(
        [Update(incident=i, status=Incident.Status.RESOLVED, message="", by=by.name, created_at=at) for i in resolved]
    )
    if resolved:
        incident_changed.send(Incident, incidents=resolved, at=at, change="resolved")
    return resolved


def alerts_diagnosed(alerts: Sequence[Alert], at: datetime) -> None:
    """The probable cause of an alert belongs into its incident's story."""
    causes = {a.incident_id: a for a in alerts if a.incident_id and (a.verdict or {}).get("summary")}
    rows = list(Incident.objects.filter(pk__in=causes).order_by("pk").select_for_update())
    entries = []
    for i in rows:
        a = causes[i.pk]
        verdict = a.verdict or {}
        entries.append(
            TimelineEntry(
                incident=i, seq=i.next_seq, at=at, kind="verdict", text=f"{a.entity_name}: {verdict['summary']}",
                data={"alert": a.pk, "layer": verdict.get("layer"), "confidence": verdict.get("confidence")},
            )
        )  # fmt: skip
        i.next_seq += 1
    sets.write(rows, ["next_seq"])
    TimelineEntry.objects.bulk_create(entries)


def alerts_acknowledged(alerts: Sequence[Alert], at: datetime, by: Actor) -> None:
    """An alert's acknowledgement is its incident's too, and so that of the incident's other open alerts (SPEC INC-3).

    Only the first one's: whoever has an incident already is called anew by an alert that joins it, and answers that one.
    The caller holds its alert. Others are taken as far as nobody holds them, for whoever waits here for one could be
    waited for by its holder; what was held is taken as soon as this is committed, in the order everybody locks in.
    """
    ids = {a.incident_id for a in alerts if a.incident_id}
    if not ids:
        return
    triggered = Incident.objects.filter(pk__in=ids, responder_status=Incident.Responder.TRIGGERED).order_by("pk")
    waiting = list(triggered.values_list("pk", flat=True))
    if not waiting:
        return
    others = Alert.objects.filter(incident_link__incident__in=waiting, resolved_at=None)
    others = others.exclude(pk__in=[a.pk for a in alerts]).order_by("pk")
    wanted = dict(others.values_list("pk", "incident_id"))
    held = list(others.select_for_update(of=("self",), skip_locked=True)) if wanted else []
    for i in triggered.select_for_update():
        name = next((a.acknowledged_by for a in alerts if a.incident_id == i.pk), "") or by.name
        services.mark_acknowledged(i, by, at, name)
        acts.acknowledge_all([a for a in held if a.incident_id == i.pk], by=by, at=at, name=name)
        if {pk for pk, incident in wanted.items() if incident == i.pk} - {a.pk for a in held}:
            transaction.on_commit(partial(_acknowledge_rest, i.pk, by, at, name), robust=True)


def _acknowledge_rest(incident: int, by: Actor, at: datetime, name: str) -> None:
    """The alerts that somebody else held when their incident was acknowledged; those that joined since page anew."""
    with transaction.atomic():
        rows = Alert.objects.filter(
            incident_link__incident=incident, incident_link__joined_at__lte=at, resolved_at=None
        )
        acts.acknowledge_all(list(rows.order_by("pk").select_for_update(of=("self",))), by=by, at=at, name=name)
