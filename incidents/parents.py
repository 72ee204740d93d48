"""Is one fault behind the incidents of several clients? The MSP's own parent incident, under which each client's stays its own.

A parent belongs to no client, so that no client sees it; a child's own record says nothing of it. What several have in
common is read from their open alerts (the same AS, host or certificate issuer) and from probes that are blind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from alerts.models import Alert
from incidents import engine, services
from incidents.models import Incident, Update
from incidents.services import note
from incidents.signals import incident_changed
from monitors.models import ProbeState
from portal import audit
from portal.audit import Actor
from portal.errors import Refused

MOST = 500  # open alerts that are compared
WORDS = {
    "as": "the same network, AS{}",
    "host": "the same host, {}",
    "issuer": "certificates of {}",
    "probe": "the probe {}, which is blind",
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """Open incidents of several clients that share something."""

    what: str
    name: str
    incidents: list[Incident]

    @property
    def words(self) -> str:
        return WORDS[self.what].format(self.name)

    @property
    def clients(self) -> int:
        return len({i.client_id for i in self.incidents})


def proposals() -> list[Proposal]:
    """What might be one fault: open incidents of at least two clients, under no parent yet. Three queries."""
    links = Alert.objects.filter(resolved_at=None, incident_link__incident__resolved_at=None)
    links = links.filter(incident_link__incident__parent=None, client__isnull=False).order_by("-pk")
    rows = list(links.values_list("incident_link__incident", "client_id", "monitor_id", "correlation")[:MOST])
    found = engine.alike(_keys(rows))
    wanted = {pk for _, _, pks in found for pk in pks}
    incidents = {i.pk: i for i in Incident.objects.filter(pk__in=wanted).select_related("client")}
    return [Proposal(what, name, [incidents[pk] for pk in pks if pk in incidents]) for what, name, pks in found]


def _keys(rows: list[tuple[int, int, int | None, dict[str, object]]]) -> Iterator[tuple[int, int | None, str, str]]:
    for incident, client, _, correlation in rows:
        for what in ("as", "host", "issuer"):
            if correlation.get(what):
                yield incident, client, what, str(correlation[what])
    by_monitor = {monitor: (incident, client) for incident, client, monitor, _ in rows if monitor}
    blind = ProbeState.objects.filter(monitor__in=by_monitor, active=True, probe__blind_since__isnull=False)
    for monitor, name in blind.values_list("monitor_id", "probe__name"):
        yield (*by_monitor[monitor], "probe", name)


def group(
    incidents: Iterable[Incident],
    *,
    title: str,
    severity: str = "",
    into: Incident | None = None,
    by: Actor,
    at: datetime,
) -> Incident:
    """Put open incidents of clients under a parent: a new one, or `into`. The clients' own records do not change."""
    wanted = sorted({i.pk for i in incidents})
    with transaction.atomic():
        ids = [*wanted, *([into.pk] if into else [])]
        rows = {
            i.pk: i
            for i in Incident.objects.filter(pk__in=ids)
            .select_related("client")
            .order_by("pk")
            .select_for_update(of=("self",))
        }
        children = [rows[pk] for pk in wanted if pk in rows]
        if into is None and len(children) < 2:
            raise Refused("Choose at least two incidents.")
        for child in children:
            if child.client_id is None:
                raise Refused(f"#{child.pk} is our own; only clients' incidents are grouped.")
            if child.resolved_at is not None:
                raise Refused(f"#{child.pk} is resolved already.")
            if child.parent_id is not None and child.parent_id != (into.pk if into else None):
                raise Refused(f"#{child.pk} belongs to #{child.parent_id} already.")
        parent = rows[into.pk] if into else _opened(children, title, severity, by, at)
        if parent.client_id is not None or parent.resolved_at is not None:
            raise Refused("The parent must be an open incident of our own, without a client.")
        for child in children:
            if child.parent_id != parent.pk:
                child.parent = parent
                child.save(update_fields=["parent"])
                text = f"#{child.pk} {child.title} of {child.client} belongs to this."
                note(parent, "grouped", at, by=by.name, text=text, data={"child": child.pk})
        parent.save(update_fields=["next_seq"])
        incident_changed.send(Incident, incidents=[parent], at=at, change="joined")
        audit.record("incident.group", parent, by=by, after={"children": wanted})
        return parent


def _opened(children: list[Incident], title: str, severity: str, by: Actor, at: datetime) -> Incident:
    worst = severity
    for child in children:
        worst = engine.worse(worst, child.severity) if worst else child.severity
    began = [c.began_at for c in children if c.began_at]
    parent = Incident.objects.create(
        title=(title.strip() or f"{len(children)} clients: {children[0].title}")[:200], severity=severity or worst, created_at=at, created_by=by.name[:200],
        auto_resolve=False, began_at=min(began, default=at), times_known_by={"began_at": "check" if began else "person"},
    )  # fmt: skip
    Update.objects.create(incident=parent, status=parent.status, message="", by=by.name[:200], created_at=at)
    note(parent, "opened", at, by=by.name, text=parent.title)
    return parent


def ungroup(child: Incident, *, by: Actor, at: datetime) -> Incident:
    """It is on its own again; the parent's record says so. Returns the parent it left."""
    with transaction.atomic():
        above = Incident.objects.filter(pk=child.pk).values_list("parent_id", flat=True).first()
        ids = [child.pk, *([above] if above else [])]
        rows = {i.pk: i for i in Incident.objects.filter(pk__in=ids).order_by("pk").select_for_update(of=("self",))}
        row = rows[child.pk]
        if row.parent_id is None or row.parent_id not in rows:
            raise Refused("It belongs to no parent incident.")
        parent = rows[row.parent_id]
        row.parent = None
        row.save(update_fields=["parent"])
        note(
            parent,
            "ungrouped",
            at,
            by=by.name,
            text=f"#{row.pk} {row.title} is on its own again.",
            data={"child": row.pk},
        )
        parent.save(update_fields=["next_seq"])
        audit.record("incident.ungroup", parent, by=by, after={"child": row.pk})
        return parent


def update(
    parent: Incident, *, status: str, message: str, copy_to: Iterable[Incident], by: Actor, at: datetime
) -> list[str]:
    """An update on the parent, and the same words on the chosen children. Returns what did not go, as sentences.

    Each child takes the step as far as it can: a child that is further on keeps its own status.
    """
    services.update(parent, status=status, message=message, by=by, at=at)
    missed = []
    for child in sorted(copy_to, key=lambda c: c.pk):
        try:
            child.refresh_from_db(fields=["status", "parent"])
            if child.parent_id != parent.pk:
                raise Refused("It belongs to another incident now.")
            ahead = engine.ORDER.index(child.status) > engine.ORDER.index(status)
            services.update(child, status=child.status if ahead else status, message=message, by=by, at=at)
        except Refused as refusal:
            missed.append(f"#{child.pk} {child.title}: {refusal}")
    return missed
