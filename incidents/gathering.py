"""Which incident does an alert belong to? The machine opens one for it, or joins the open one of the same cause.

Called by the receivers inside the alerts' transaction, with lists: a thousand alerts can open in one second.

The cause is the service, else the parent that is down, else what fails itself. An alert of a service joins the service's
open incident within the merge window after the last alert that did; one that comes later opens a second incident, under
its own name. What fails again while its incident is open, and whoever the failing parent explains, joins at any time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import Q

from alerts.models import Alert
from incidents import engine, services
from incidents.models import Incident, IncidentAlert, ServiceRules, TimelineEntry
from incidents.signals import incident_changed
from monitors.models import StateChange
from portal import sets
from portal.audit import PORTAL

RECENT = timedelta(minutes=1)  # a change of state is written beside its alert


def gather(alerts: Sequence[Alert], at: datetime) -> list[Incident]:
    """Open or join incidents for alerts that were just opened (or raised to critical), in their transaction; attaches each incident to its alert."""
    wanted, rules = _wanted(alerts)
    if not wanted:
        return []
    keys = _causes(wanted)
    wanted = _parents_first(wanted, keys)
    there, began, usual = _Open(wanted, keys), _first_failures(wanted, at), ServiceRules()
    fresh: list[tuple[Incident, Alert]] = []
    joined: list[tuple[Incident, Alert]] = []
    entries: list[TimelineEntry] = []
    for a in wanted:
        rule, words = rules.get(a.service_id or 0, usual), f"{a.title}: {a.message}" if a.message else a.title
        incident = there.joined_by(a, keys[a.pk], at, rule.merge_window_minutes)
        if incident is None:
            older = there.oldest(a, keys[a.pk])
            if older is not None:
                words += f"\n#{older.pk} of the same service is open too; its last alert is more than {rule.merge_window_minutes} min old."
            incident = Incident(
                client_id=a.client_id, service_id=a.service_id, cause_key=a.entity if older else keys[a.pk], title=a.title[:200], severity=engine.severity_for(a.severity, rule.default_severity),
                auto_created=True, affected_monitor_ids=[a.monitor_id] if a.monitor_id else [], created_at=at, last_alert_at=at, next_seq=2,
                began_at=began.get(a.monitor_id or 0, a.created_at), times_known_by={"began_at": "check" if a.monitor_id in began else "alert"},
            )  # fmt: skip
            fresh.append((incident, a))
            entries.append(_entry(incident, "opened", 1, words, a, at))
        else:
            joined.append((incident, a))
            entries.append(_entry(incident, "joined", incident.next_seq, words, a, at))
            _take_in(incident, a, at)
        there.add(incident, keys[a.pk], a)
    Incident.objects.bulk_create([i for i, _ in fresh])
    new = {id(i) for i, _ in fresh}
    touched = {i.pk: i for i, _ in joined}
    written = ["next_seq", "last_alert_at", "affected_monitor_ids", "mitigated_at", "times_known_by"]
    sets.write(touched.values(), written)
    TimelineEntry.objects.bulk_create(entries)
    IncidentAlert.objects.bulk_create([IncidentAlert(incident=i, alert=a, joined_at=at) for i, a in fresh + joined])
    for i, a in fresh + joined:
        a.incident_id, a.links = i.pk, {**a.links, "incident_title": i.title}
    sets.write([a for _, a in fresh + joined], ["incident_id", "links"])
    if fresh:
        incident_changed.send(Incident, incidents=[i for i, _ in fresh], at=at, change="opened")
    older_ones = [i for i in touched.values() if id(i) not in new]
    if older_ones:
        incident_changed.send(Incident, incidents=older_ones, at=at, change="joined")
    return [i for i, _ in fresh]


def _entry(i: Incident, kind: str, seq: int, text: str, a: Alert, at: datetime) -> TimelineEntry:
    return TimelineEntry(incident=i, seq=seq, at=at, kind=kind, by=PORTAL.name, text=text, data={"alert": a.pk})


def _take_in(i: Incident, a: Alert, at: datetime) -> None:
    """What the incident is with this alert."""
    i.next_seq += 1
    i.last_alert_at = at
    if i.times_known_by.get("mitigated_at") == "recovery":  # it was not over
        services.know(i, "mitigated_at", None, "")
    if a.monitor_id and a.monitor_id not in i.affected_monitor_ids:
        i.affected_monitor_ids = [*i.affected_monitor_ids, a.monitor_id]


# --- Which alerts, and why -------------------------------------------------------------------------------------------------
def _wanted(alerts: Sequence[Alert]) -> tuple[list[Alert], dict[int, ServiceRules]]:
    """(those that an incident is opened for, the rules of their services)."""
    found = [
        a
        for a in alerts
        if engine.opens_for(a.source, a.severity) and a.client_id and a.incident_id is None and a.event != "flapping"
    ]
    ids = {a.service_id for a in found if a.service_id}
    rules = {r.service_id: r for r in ServiceRules.objects.filter(service__in=ids)} if ids else {}
    by_hand = {pk for pk, r in rules.items() if r.creation == ServiceRules.Creation.MANUAL}
    return [a for a in found if a.service_id not in by_hand], rules


def _causes(alerts: Sequence[Alert]) -> dict[int, str]:
    """{alert: what it is put down to}. A child of what is down belongs to its parent's own incident."""
    above = {a.parent.partition(":")[2] for a in alerts if a.parent}
    down = Alert.objects.filter(resolved_at=None, condition="health", severity="critical", entity_id__in=above)
    found = set(down.values_list("entity_type", "entity_id")) if above else set()
    keys = {}
    for a in alerts:
        parent = a.parent if tuple(a.parent.split(":", 1)) in found else ""
        keys[a.pk] = engine.cause_key(service=a.service_id, parent=parent, entity=a.entity).removeprefix("parent:")
    return keys


def _parents_first(alerts: Sequence[Alert], keys: dict[int, str]) -> list[Alert]:
    """In an order in which nobody comes before the one that explains it."""
    by_entity = {a.entity: a for a in alerts}

    def depth(a: Alert, most: int = 20) -> int:
        above = by_entity.get(keys[a.pk])
        return 0 if above is None or above is a or not most else 1 + depth(above, most - 1)

    return sorted(alerts, key=depth)


def _first_failures(alerts: Sequence[Alert], at: datetime) -> dict[int, datetime]:
    """{monitor: its first failing check} of those that have just changed their state for the worse."""
    ids = [a.monitor_id for a in alerts if a.monitor_id and a.condition == "health"]
    changes = StateChange.objects.filter(
        monitor__in=ids, at__gte=at - RECENT, at__lte=at, first_failure_at__isnull=False
    )
    rows = changes.filter(to_state__in=("down", "degraded")).order_by("version")
    return dict(rows.values_list("monitor_id", "first_failure_at")) if ids else {}


# --- Which incidents there are ---------------------------------------------------------------------------------------------
class _Open:
    """The machine's open incidents that these alerts might belong to, locked in the order everybody locks in; three queries."""

    def __init__(self, alerts: Sequence[Alert], keys: dict[int, str]) -> None:
        self.causes: dict[tuple[int | None, str], Incident] = {}
        self.entities: dict[tuple[int | None, str], Incident] = {}
        self.services: dict[tuple[int | None, str], list[Incident]] = defaultdict(list)
        names = {*keys.values(), *(a.entity for a in alerts)}
        causes = Q(cause_key__in=names, client__in={a.client_id for a in alerts})
        # The parent's incident may stand under its service; whoever it explains belongs there too.
        links = IncidentAlert.objects.filter(
            alert__resolved_at=None,
            alert__entity_id__in={n.partition(":")[2] for n in names if not n.startswith("service:")},
            incident__auto_created=True,
            incident__resolved_at=None,
        ).values_list("incident_id", "alert__entity_type", "alert__entity_id")
        entities = {f"{kind}:{entity}": pk for pk, kind, entity in links}
        # What a person merged stays merged: the next alert of that cause finds the incident that carries on.
        merged = Incident.objects.filter(causes, merged_into__resolved_at=None, merged_into__isnull=False)
        carried = list(merged.order_by("-pk").values_list("merged_into_id", "client_id", "cause_key"))
        wanted = causes | Q(pk__in=entities.values()) | Q(service__in={a.service_id for a in alerts if a.service_id})
        rows = Incident.objects.select_for_update(of=("self",)).filter(
            wanted & Q(auto_created=True) | Q(pk__in={pk for pk, _, _ in carried}), resolved_at=None
        )
        found = {i.pk: i for i in rows.order_by("pk")}
        for i in found.values():
            if i.auto_created:
                self.causes.setdefault((i.client_id, i.cause_key), i)
                if i.service_id:
                    self.services[i.client_id, f"service:{i.service_id}"].append(i)
        for pk, client_id, cause in carried:
            if pk not in found:
                continue
            if cause.startswith("service:"):
                self.services[client_id, cause].append(found[pk])
            else:
                self.causes.setdefault((client_id, cause), found[pk])
        for entity, pk in entities.items():
            if pk in found:
                self.entities[found[pk].client_id, entity] = found[pk]

    def joined_by(self, a: Alert, key: str, at: datetime, window: int) -> Incident | None:
        """The one that this alert joins; None when it needs one of its own."""
        own = (a.client_id, a.entity)
        if not key.startswith("service:"):
            return (
                self.causes.get((a.client_id, key)) or self.entities.get((a.client_id, key)) or self.entities.get(own)
            )
        here = self.services[a.client_id, key]
        again = self.entities.get(own) or next((i for i in here if a.monitor_id in i.affected_monitor_ids), None)
        if again or self.causes.get(own):
            return again or self.causes[own]
        # What a person took out (its cause is an alert) is something else than the service's next failure.
        recent = [i for i in here if not i.cause_key.startswith("alert:") and engine.joins(i.last_alert_at, at, window)]
        return max(recent, key=lambda i: i.last_alert_at or i.created_at, default=None)

    def oldest(self, a: Alert, key: str) -> Incident | None:
        """The open one that has this cause already, too long ago to be joined."""
        return self.causes.get((a.client_id, key)) if key.startswith("service:") else None

    def add(self, i: Incident, key: str, a: Alert) -> None:
        """The next of these alerts finds it too."""
        self.causes.setdefault((i.client_id, i.cause_key), i)
        self.entities.setdefault((a.client_id, a.entity), i)
        if key.startswith("service:") and i not in self.services[i.client_id, key]:
            self.services[i.client_id, key].append(i)
