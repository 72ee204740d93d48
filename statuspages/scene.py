"""Which rows is a page built from? Read once, in a constant number of queries, and of a client's page only the client's own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db.models import Prefetch, Q

from incidents.models import Update
from monitors.models import Diagnosis, Monitor
from statuspages.models import Component, Page, Publication, ScheduledWork, WorkUpdate

MONTHS = 12
MOST_PUBLISHED = 300
UNDER_WAY = (ScheduledWork.Status.IN_PROGRESS, ScheduledWork.Status.VERIFYING)
AHEAD = (ScheduledWork.Status.SCHEDULED, *UNDER_WAY)


def zone_of(page: Page) -> tzinfo:
    """The page's zone; UTC when its name is not known here."""
    try:
        return ZoneInfo(page.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def months_until(at: datetime, zone: tzinfo) -> list[str]:
    """This month and the eleven before it, newest first, as `2026-11`."""
    local = at.astimezone(zone)
    last = local.year * 12 + local.month - 1
    return [f"{n // 12}-{n % 12 + 1:02}" for n in range(last, last - MONTHS, -1)]


@dataclass(slots=True)
class Scene:
    """The rows that a page is built from, read once."""

    page: Page
    at: datetime
    zone: tzinfo
    components: list[Component]
    behind: dict[int, set[int]]  # component -> its monitors
    monitors: dict[int, Monitor]
    published: list[Publication]
    works: list[ScheduledWork]
    causes: dict[int, str] = field(default_factory=dict)  # incident -> layer

    def affected(self, publication: Publication) -> list[int]:
        """The components that an incident touches here: those named, else those of its monitors."""
        named = [c.pk for c in publication.components.all()]
        ids = set(publication.incident.affected_monitor_ids or ())
        return named or [c.pk for c in self.components if self.behind[c.pk] & ids]


def read(page: Page, at: datetime) -> Scene:
    components = list(Component.objects.filter(page=page).select_related("group").order_by("order", "pk"))
    behind, monitors = _monitors(page, components)
    first = months_until(at, zone_of(page))[-1]
    since = datetime(int(first[:4]), int(first[5:]), 1, tzinfo=zone_of(page))
    published = list(_published(page, since)[:MOST_PUBLISHED])
    works = list(
        ScheduledWork.objects.filter(page=page)
        .filter(Q(status__in=AHEAD) | Q(starts_at__gte=since))
        .prefetch_related("components", Prefetch("updates", WorkUpdate.objects.order_by("id")))
        .order_by("starts_at", "pk")[:MOST_PUBLISHED]
    )
    scene = Scene(page, at, zone_of(page), components, behind, monitors, published, works)
    if page.show_verdicts and published:
        concerned = Diagnosis.objects.filter(alert__incident_link__incident__in=[p.incident_id for p in published])
        pairs = concerned.exclude(layer="").order_by("id").values_list("alert__incident_link__incident", "layer")
        scene.causes = dict(pairs)
    return scene


def _published(page: Page, since: datetime) -> Any:
    rows = Publication.objects.filter(page=page, withdrawn_at=None)
    if page.client_id is not None:  # an incident without a client is the MSP's own and may stand on any page
        rows = rows.filter(Q(incident__client=page.client_id) | Q(incident__client=None))
    rows = rows.filter(
        Q(incident__resolved_at=None) | Q(incident__created_at__gte=since) | Q(incident__resolved_at__gte=since)
    )
    return (
        rows.select_related("incident")
        .prefetch_related("components", Prefetch("incident__updates", Update.objects.order_by("id")))
        .order_by("-incident__created_at", "-pk")
    )


def _monitors(page: Page, components: Sequence[Component]) -> tuple[dict[int, set[int]], dict[int, Monitor]]:
    """({component: its monitors}, the monitors). Of a client's page only the client's own, whatever was linked."""
    behind: dict[int, set[int]] = {c.pk: set() for c in components}
    for link in Component.monitors.through.objects.filter(component__page=page).values_list(
        "component_id", "monitor_id"
    ):
        behind.setdefault(link[0], set()).add(link[1])
    services: dict[int, list[int]] = defaultdict(list)
    for c in components:
        if c.service_id:
            services[c.service_id].append(c.pk)
    linked = {m for ids in behind.values() for m in ids}
    rows = Monitor.objects.filter(Q(pk__in=linked) | Q(service__in=list(services))).order_by()
    if page.client_id is not None:
        rows = rows.filter(client=page.client_id)
    if not page.show_targets:
        rows = rows.only("pk", "state", "service_id")
    monitors = {m.pk: m for m in rows}
    for m in monitors.values():
        for pk in services.get(m.service_id or 0, ()):
            behind[pk].add(m.pk)
    return {pk: ids & monitors.keys() for pk, ids in behind.items()}, monitors
