"""What stands on the public pages of the tests? Acme's page with a component, incidents and work; plain rows, built at will."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.test import Client as Browser
from django.test import RequestFactory

from incidents.models import Incident, Update
from monitors import partitions
from monitors.models import Monitor, Probe, Result, Rollup, StateChange
from monitors.rollups import hour_of
from portal.models import Client
from statuspages import projection, serving
from statuspages.models import Component, ComponentGroup, Page, Publication, ScheduledWork, WorkUpdate
from tests import cast

AT = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
UP, DEGRADED, FAILING = 1, 2, 3


def page(of: Client | None = None, **values: Any) -> Page:
    """A page of the client's (Acme's), for everybody."""
    of = of or cast.acme()
    found = Page.objects.filter(client=of, slug=values.get("slug", of.slug)).first()
    return found or Page.objects.create(client=of, **{"name": of.name, "slug": of.slug} | values)


def component(on: Page, name: str = "Checkout", *monitors: Monitor, **values: Any) -> Component:
    """A part of the page, with these monitors behind it."""
    made = Component.objects.create(page=on, name=name, **values)
    made.monitors.set(monitors)
    return made


def group(on: Page, name: str = "Shop", **values: Any) -> ComponentGroup:
    return ComponentGroup.objects.create(page=on, name=name, **values)


def monitor(state: str = "up", name: str = "shop", of: Client | None = None, **values: Any) -> Monitor:
    """A monitor in this state."""
    row = cast.monitor(of, name)
    Monitor.objects.filter(pk=row.pk).update(state=state, **values)
    row.refresh_from_db()
    return row


def incident(
    on: Page | None = None, title: str = "Payments fail", severity: str = "major", at: datetime = AT, **values: Any
) -> Incident:
    """An incident of the page's client, published there when a page is given."""
    over = values.get("resolved_at")
    status = "resolved" if over else values.pop("status", "investigating")
    components = values.pop("components", ())
    message = values.pop("message", "We are looking into it.")
    row = Incident.objects.create(
        client=values.pop("client", on.client if on else cast.acme()), title=title, severity=severity, status=status,
        responder_status="resolved" if over else "triggered", created_at=at, **values,
    )  # fmt: skip
    Update.objects.create(incident=row, status="investigating", message=message, created_at=at)
    if over:
        Update.objects.create(incident=row, status="resolved", message="It works again.", created_at=over)
    if on is not None:
        publication = Publication.objects.create(page=on, incident=row, published_at=at)
        publication.components.set(components)
    return row


def work(
    on: Page, title: str = "New database", status: str = "scheduled", at: datetime = AT, **values: Any
) -> ScheduledWork:
    """Planned work on the page, an hour of it from tomorrow on."""
    components = values.pop("components", ())
    row = ScheduledWork.objects.create(
        page=on, title=title, status=status, starts_at=values.pop("starts_at", at + timedelta(days=1)),
        ends_at=values.pop("ends_at", at + timedelta(days=1, hours=1)), created_at=at, **values,
    )  # fmt: skip
    row.components.set(components)
    WorkUpdate.objects.create(work=row, status=status, message="Orders wait meanwhile.", created_at=at)
    return row


# --- What was measured ----------------------------------------------------------------------------------------------------
def here() -> Probe:
    return Probe.objects.get_or_create(slug="local", defaults={"name": "Portal", "built_in": True})[0]


def rolled(of: Monitor, start: datetime, hours: int = 1, **counts: int) -> None:
    """Whole hours as the rollups hold them."""
    latency = [0] * 32
    latency[8] = counts.get("up", 0)
    Rollup.objects.bulk_create(
        Rollup(monitor=of, probe=here(), period="h", start=hour_of(start) + HOUR * n, latency=latency, **counts)
        for n in range(hours)
    )


def seen(of: Monitor, start: datetime, statuses: list[int], every: timedelta = timedelta(minutes=1)) -> None:
    """Raw results, one after another."""
    partitions.ensure((start - timedelta(days=1)).date(), (start + timedelta(days=1)).date())
    Result.objects.bulk_create(
        Result(monitor_id=of.pk, probe_id=here().pk, ts=start + every * n, status=status, total_ms=25.0)
        for n, status in enumerate(statuses)
    )


def changed(of: Monitor, at: datetime, before: str, after: str) -> None:
    StateChange.objects.create(monitor=of, version=of.changes.count() + 1, at=at, from_state=before, to_state=after)


# --- Serving --------------------------------------------------------------------------------------------------------------
def build(on: Page, at: datetime = AT) -> Page:
    """Build it, as its loop does."""
    on.refresh_from_db()
    projection.rebuild(on, at)
    serving.board.forget()
    return Page.objects.select_related("projection").get(pk=on.pk)


def get(on: Page, rest: str = "", browser: Browser | None = None, **headers: str) -> Any:
    """What its address answers."""
    return (browser or Browser()).get(f"/status/{on.slug}/{rest}", headers=headers)


def anonymous(path: str = "/", **meta: str) -> Any:
    """A request that nobody has touched yet."""
    return RequestFactory().get(path, **meta)
