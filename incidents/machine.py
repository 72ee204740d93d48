"""What does the machine do with incidents? It opens and joins them with alerts, and ends what it opened when all is well.

Called by the receivers inside the alerts' transaction, with lists: a thousand alerts can open in one second. People's
hands are in `incidents/services.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import Q

from alerts import acts
from alerts.models import Alert
from incidents import engine, services
from incidents.models import Incident, IncidentAlert, ServiceRules, TimelineEntry, Update
from incidents.signals import incident_changed
from monitors.models import StateChange
from portal import sets
from portal.audit import PORTAL, Actor

RECENT = timedelta(minutes=1)  # a change of state is written beside its alert


def gather(alerts: Sequence[Alert], at: datetime) -> list[Incident]:
    """Open or join incidents for alerts that were just opened (or raised to critical), in their transaction; attaches each incident to its alert."""
    wanted = [
        a
        for a in alerts
        if engine.opens_for(a.source, a.severity) and a.client_id and a.incident_id is None and a.event != "flapping"
    ]
    if not wanted:
        return []
    rules = {
        r.service_id: r for r in ServiceRules.objects.filter(service__in={a.service_id for a in wanted if a.service_id})
    }
    wanted = [
        a
        for a in wanted
        if not (a.service_id in rules and rules[a.service_id].creation == ServiceRules.Creation.MANUAL)
    ]
    down = set(
        Alert.objects.filter(
            resolved_at=None,
            condition="health",
            severity="critical",
            entity_id__in={a.parent.partition(":")[2] for a in wanted if a.parent},
        ).values_list("entity_type", "entity_id")
    )
    keys = {
        a.pk: engine.cause_key(
            service=a.service_id, parent=a.parent if tuple(a.parent.split(":", 1)) in down else "", entity=a.entity
        )
        for a in wanted
    }
    # A child of a monitor that is down joins the parent's own incident; so parents come first where both fail at once.
    for a in wanted:
        if keys[a.pk].startswith("parent:"):
            keys[a.pk] = keys[a.pk].removeprefix("parent:")
    wanted = _parents_first(wanted, keys)
    # The parent's incident may stand under its service; whoever it explains belongs there too.
    links = IncidentAlert.objects.filter(
        alert__resolved_at=None,
        alert__entity_id__in=[k.partition(":")[2] for k in keys.values() if not k.startswith("service:")],
        incident__auto_created=True,
        incident__resolved_at=None,
    ).values_list("incident_id", "alert__entity_type", "alert__entity_id")
    entities = {f"{kind}:{entity}": pk for pk, kind, entity in links}
    causes = Q(cause_key__in=set(keys.values()), client__in={a.client_id for a in wanted})
    # What a person merged stays merged: the next alert of that cause joins the incident that carries on.
    carried_causes = list(
        Incident.objects.filter(causes, merged_into__resolved_at=None, merged_into__isnull=False)
        .order_by("-pk")
        .values_list("merged_into_id", "client_id", "cause_key")
    )
    carried = {pk for pk, _, _ in carried_causes}
    opened_rows = (
        Incident.objects.select_for_update(of=("self",))
        .filter((causes | Q(pk__in=entities.values())) & Q(auto_created=True) | Q(pk__in=carried), resolved_at=None)
        .order_by("pk")
    )
    rows = {i.pk: i for i in opened_rows}
    known = {(i.client_id, i.cause_key): i for i in rows.values() if i.pk not in carried or i.auto_created}
    for pk, client_id, cause in carried_causes:
        if pk in rows:
            known.setdefault((client_id, cause), rows[pk])
    for entity, pk in entities.items():
        if pk in rows:
            known.setdefault((rows[pk].client_id, entity), rows[pk])
    began = _first_failures(wanted, at)
    fresh: list[tuple[Incident, Alert]] = []
    joined: list[tuple[Incident, Alert]] = []
    for a in wanted:
        where = (a.client_id, keys[a.pk])
        incident = known.get(where)
        if incident is None:
            rule = rules.get(a.service_id or 0)
            incident = known[where] = Incident(
                client_id=a.client_id, service_id=a.service_id, cause_key=keys[a.pk], title=a.title[:200], severity=engine.severity_for(a.severity, rule.default_severity if rule else ""),
                auto_created=True, affected_monitor_ids=[a.monitor_id] if a.monitor_id else [], created_at=at, last_alert_at=at, next_seq=2,
                began_at=began.get(a.monitor_id or 0, a.created_at), times_known_by={"began_at": "check" if a.monitor_id in began else "alert"},
            )  # fmt: skip
            fresh.append((incident, a))
        else:
            joined.append((incident, a))
        known.setdefault((a.client_id, a.entity), incident)
    Incident.objects.bulk_create([i for i, _ in fresh])
    entries = [
        TimelineEntry(
            incident=i,
            seq=1,
            at=at,
            kind="opened",
            by=PORTAL.name,
            text=f"{a.title}: {a.message}" if a.message else a.title,
            data={"alert": a.pk},
        )
        for i, a in fresh
    ]
    touched: dict[int, Incident] = {}
    for i, a in joined:
        entries.append(
            TimelineEntry(
                incident=i,
                seq=i.next_seq,
                at=at,
                kind="joined",
                by=PORTAL.name,
                text=f"{a.title}: {a.message}" if a.message else a.title,
                data={"alert": a.pk},
            )
        )
        i.next_seq += 1
        i.last_alert_at = at
        if i.times_known_by.get("mitigated_at") == "recovery":  # it was not over
            services.know(i, "mitigated_at", None, "")
        if a.monitor_id and a.monitor_id not in i.affected_monitor_ids:
            i.affected_monitor_ids = [*i.affected_monitor_ids, a.monitor_id]
        touched[i.pk] = i
    sets.write(
        touched.values(), ["next_seq", "last_alert_at", "affected_monitor_ids", "mitigated_at", "times_known_by"]
    )
    TimelineEntry.objects.bulk_create(entries)
    IncidentAlert.objects.bulk_create([IncidentAlert(incident=i, alert=a, joined_at=at) for i, a in fresh + joined])
    for i, a in fresh + joined:
        a.incident_id, a.links = i.pk, {**a.links, "incident_title": i.title}
    sets.write([a for _, a in fresh + joined], ["incident_id", "links"])
    if fresh:
        incident_changed.send(Incident, incidents=[i for i, _ in fresh], at=at, change="opened")
    if touched:
        incident_changed.send(Incident, incidents=list(touched.values()), at=at, change="joined")
    return [i for i, _ in fresh]


def _first_failures(alerts: Sequence[Alert], at: datetime) -> dict[int, datetime]:
    """{monitor: its first failing check} of those that have just changed their state for the worse."""
    ids = [a.monitor_id for a in alerts if a.monitor_id and a.condition == "health"]
    changes = StateChange.objects.filter(
        monitor__in=ids, at__gte=at - RECENT, at__lte=at, first_failure_at__isnull=False
    )
    rows = changes.filter(to_state__in=("down", "degraded")).order_by("version")
    return dict(rows.values_list("monitor_id", "first_failure_at")) if ids else {}


def _parents_first(alerts: Sequence[Alert], keys: dict[int, str]) -> list[Alert]:
    """In an order in which nobody comes before the one that explains it."""
    by_entity = {a.entity: a for a in alerts}

    def depth(a: Alert, most: int = 20) -> int:
        above = by_entity.get(keys[a.pk])
        return 0 if above is None or above is a or not most else 1 + depth(above, most - 1)

    return sorted(alerts, key=depth)


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
