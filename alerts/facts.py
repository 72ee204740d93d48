"""What do routing and the hold-back rules need to know? Loaded once for a list of alerts, handed to the pure engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.db.models import Q

from alerts import channels, engine, limits
from alerts.models import Alert, Channel, ContactChannel, MaintenanceWindow, Occurrence, Silence, Trigger
from portal.models import Client, Service, Site


@dataclass(slots=True)
class Names:
    """Clients, sites and services by id, for what messages say."""

    clients: dict[int, Client]
    sites: dict[int, Site]
    services: dict[int, Service]


@dataclass(slots=True)
class Around:
    """Everything around a list of alerts."""

    names: Names
    rules: list[engine.Rule]
    usable: dict[int, str]
    windows: dict[int, float]
    silences: tuple[Silence, ...]
    open_parents: set[str]
    owners: dict[int, int | None] = field(default_factory=dict)
    matchers: dict[datetime, tuple[engine.Matcher, ...]] = field(default_factory=dict)
    maintenance: tuple[MaintenanceWindow, ...] = ()
    ended: frozenset[tuple[int, datetime]] = frozenset()
    works: dict[datetime, tuple[engine.Window, ...]] = field(default_factory=dict)
    flapping: frozenset[str] = frozenset()

    def of(self, alert: Alert, at: datetime, *, flapping: bool = False) -> engine.Facts:
        """The facts of one alert at a moment."""
        client = self.names.clients.get(alert.client_id or 0)
        site = self.names.sites.get(alert.site_id or 0)
        known = engine.Facts(
            source=alert.source, event=alert.event, severity=alert.severity, entity_type=alert.entity_type, entity_id=alert.entity_id,
            entity_name=alert.entity_name, client=alert.client_id, client_slug=client.slug if client else "", site=alert.site_id,
            site_name=site.name if site else "", service=alert.service_id, tags=frozenset(alert.tags),
            parent_open=bool(alert.parent) and alert.parent in self.open_parents,
            flapping=flapping or (alert.condition == "health" and alert.entity in self.flapping),
            snoozed=alert.snoozed_until_recovered or (alert.snoozed_until is not None and alert.snoozed_until > at),
            silences=self.silent(at),
        )  # fmt: skip
        work = next((w.id for w in self.worked_on(at) if engine.covers(w, known)), 0)
        return replace(known, in_maintenance=work) if work else known

    def silent(self, at: datetime) -> tuple[engine.Matcher, ...]:
        """The silences that hold at a moment; worked out once for all alerts of that moment."""
        if at not in self.matchers:
            self.matchers[at] = tuple(matcher(s) for s in self.silences if holds(s, at))
        return self.matchers[at]

    def worked_on(self, at: datetime) -> tuple[engine.Window, ...]:
        """The maintenance windows that run at a moment; worked out once for all alerts of that moment."""
        if at not in self.works:
            self.works[at] = tuple(pictured(w) for w in self.maintenance if occurrence(w, at, self.ended))
        return self.works[at]

    def why(self, alert: Alert) -> str:
        """A sentence for a hold."""
        if alert.hold_reason == "in_maintenance":
            work = next((w for w in self.maintenance if w.pk == alert.held_by), None)
            return f"Maintenance {alert.held_by}: {work.title}" if work else f"Maintenance {alert.held_by}"
        if alert.held_by:
            silence = next((s for s in self.silences if s.pk == alert.held_by), None)
            return f"Silence {alert.held_by}: {silence.reason}" if silence else f"Silence {alert.held_by}"
        return f"{alert.parent} is down too" if alert.hold_reason == "explained_by_parent" else alert.hold_reason


def named(alerts: Sequence[Alert]) -> Around:
    """Around without what could hold them or where they could go: enough to ask which filters they pass."""
    return Around(names_of(alerts), [], {}, {}, (), set())


def names_of(alerts: Sequence[Alert]) -> Names:
    """Clients, sites and services of these alerts."""
    return Names(
        Client.objects.in_bulk({a.client_id for a in alerts if a.client_id}),
        Site.objects.in_bulk({a.site_id for a in alerts if a.site_id}),
        Service.objects.in_bulk({a.service_id for a in alerts if a.service_id}),
    )


def around(alerts: Sequence[Alert], *, triggers: bool = True) -> Around:
    """Load what a list of alerts needs: a constant number of queries. Without `triggers` it knows no rules: escalation has its own."""
    parents = {a.parent for a in alerts if a.parent}
    rows = (
        Alert.objects.filter(resolved_at=None, entity_id__in={p.partition(":")[2] for p in parents}, condition="health")
        if parents
        else []
    )
    # What ended before any of them was opened can hold none of them, at whatever moment they are judged.
    since = min((a.created_at for a in alerts), default=None)
    lasting = Q(cancelled_at=None)
    if since is not None:
        lasting &= Q(ends_at=None) | Q(ends_at__gt=since) | ~Q(recurrence="")
    maintenance = tuple(MaintenanceWindow.objects.filter(lasting).order_by("id"))
    held = {a.entity_id for a in alerts if a.hold_reason and a.condition == "health"}
    # Rows, not models: there may be thousands, and each is only looked at.
    every: list[Any] = list(
        Channel.objects.values_list(
            "pk", "client_id", "type", "enabled", "group_window_seconds", "rate_per_minute", "monthly_quota", named=True
        )
    )
    return Around(
        names=names_of(alerts),
        rules=rules({a.client_id for a in alerts}) if triggers else [],
        usable={c.pk: obstacle(c) for c in every},
        windows={c.pk: limits.window(c) for c in every},
        silences=tuple(Silence.objects.filter(lasting).order_by("id")),
        open_parents={a.entity for a in rows if a.event not in ("degraded", "flapping")} & parents,
        owners={c.pk: c.client_id for c in every},
        maintenance=maintenance,
        ended=closed_early(maintenance, since),
        flapping=frozenset(
            a.entity for a in Alert.objects.filter(resolved_at=None, condition="flapping", entity_id__in=held)
        )
        if held
        else frozenset(),
    )


def obstacle(channel: Channel) -> str:
    """Why a channel cannot be used; "" when it can. An unhealthy one is tried all the same."""
    if not channel.enabled:
        return "it is switched off"
    return "" if channel.type in channels.KINDS else f"its type {channel.type} is not known"


def rules(clients: Iterable[int | None]) -> list[engine.Rule]:
    """The enabled triggers that can concern these clients, as the engine sees them."""
    wanted = [c for c in clients if c is not None]
    triggers = Trigger.objects.filter(enabled=True).filter(client=None) | Trigger.objects.filter(
        enabled=True, client__in=wanted
    )
    triggers = triggers.distinct().order_by("id").prefetch_related("channels", "contacts", "groups__contacts")
    triggers = list(triggers)
    contacts = {c.pk for t in triggers for c in t.contacts.all()} | {
        c.pk for t in triggers for g in t.groups.all() for c in g.contacts.all()
    }
    ways: dict[int, list[engine.Way]] = {}
    for way in ContactChannel.objects.filter(contact__in=contacts).select_related("contact") if contacts else ():
        ways.setdefault(way.contact_id, []).append(
            engine.Way(way.channel_id, way.contact_id, way.urgency, way.delay_minutes, quiet_of(way))
        )
    return [rule(t, ways) for t in triggers]


def rule(t: Trigger, ways: dict[int, list[engine.Way]]) -> engine.Rule:
    """A trigger as the engine sees it."""
    people = dict.fromkeys([c.pk for c in t.contacts.all()] + [c.pk for g in t.groups.all() for c in g.contacts.all()])
    return engine.Rule(
        id=t.pk, name=t.name, client=t.client_id, severities=engine.words(t.filter_severities), sources=engine.words(t.filter_sources),
        scopes=engine.words(t.filter_scopes), tags=engine.words(t.filter_tags), weekdays=frozenset(int(d) for d in engine.words(t.weekdays)),
        hours=(t.from_time, t.until_time) if t.from_time is not None and t.until_time is not None else None, zone=t.timezone,
        channels=tuple(c.pk for c in t.channels.all()), ways=tuple(w for p in people for w in ways.get(p, ())), notify_on_resolve=t.notify_on_resolve,
        remind_minutes=t.reminder_minutes,
    )  # fmt: skip


def quiet_of(way: ContactChannel) -> engine.Quiet | None:
    """The quiet hours of a way to reach somebody, in their zone; None without. `way.contact` should be loaded."""
    if way.quiet_from is None or way.quiet_until is None:
        return None
    return engine.Quiet(way.quiet_from, way.quiet_until, way.contact.timezone, way.quiet_urgency == "all")


def matcher(s: Silence) -> engine.Matcher:
    """A silence as the engine sees it."""
    m = s.matchers
    return engine.Matcher(
        id=s.pk, client=s.client_id, source=str(m.get("source", "")), entity_type=str(m.get("entity_type", "")), entity_id=str(m.get("entity_id", "")),
        client_match=str(m.get("client", "")), site=str(m.get("site", "")), tag=str(m.get("tag", "")), severity=str(m.get("severity", "")),
    )  # fmt: skip


def times(row: Silence | MaintenanceWindow) -> engine.Times:
    """When a silence or a window is to hold, as the engine sees it."""
    return engine.Times(row.starts_at, row.ends_at, row.recurrence, row.timezone)


def holds(s: Silence, at: datetime) -> bool:
    """Does a silence hold at this moment? Recurring ones by their rule, in their own zone's wall time."""
    return engine.silence_is_active(
        starts_at=s.starts_at,
        ends_at=s.ends_at,
        cancelled=s.cancelled_at is not None,
        at=at,
        occurrence=partial(engine.latest_start, times(s)) if s.recurrence else None,
    )


def silence_state(s: Silence, at: datetime) -> str:
    """`active`, `upcoming`, `ended` or `cancelled` at a moment."""
    if s.cancelled_at is not None:
        return "cancelled"
    if at < s.starts_at:
        return "upcoming"
    if holds(s, at):
        return "active"
    return "upcoming" if s.recurrence and engine.next_start(times(s), at) else "ended"


# --- Maintenance --------------------------------------------------------------------------------------------------------
def pictured(w: MaintenanceWindow) -> engine.Window:
    """A window as the engine sees it."""
    return engine.Window(
        w.pk or 0, w.client_id, frozenset(s.lower() for s in w.scopes), frozenset(t.lower() for t in w.tags)
    )


def occurrence(
    w: MaintenanceWindow, at: datetime, ended: frozenset[tuple[int, datetime]] = frozenset()
) -> engine.recurrence.Span | None:
    """The occurrence (start, end) of a window that runs at this moment, unless somebody ended it early."""
    if w.cancelled_at is not None:
        return None
    span = engine.running(times(w), at)
    return None if span is None or (w.pk, span[0]) in ended else span


def closed_early(
    windows: Iterable[MaintenanceWindow], since: datetime | None = None
) -> frozenset[tuple[int, datetime]]:
    """(window, start) of their occurrences that somebody ended, of those that were to last beyond `since`."""
    windows = list(windows)
    if not windows:
        return frozenset()
    rows = Occurrence.objects.filter(window__in=windows, closed_at__isnull=False).order_by()
    rows = rows if since is None else rows.filter(ends_at__gt=since)
    return frozenset(rows.values_list("window_id", "starts_at"))


def window_state(w: MaintenanceWindow, at: datetime, ended: frozenset[tuple[int, datetime]] = frozenset()) -> str:
    """`active`, `upcoming`, `ended` or `cancelled` at a moment."""
    if w.cancelled_at is not None:
        return "cancelled"
    if occurrence(w, at, ended):
        return "active"
    return "upcoming" if engine.next_start(times(w), at) else "ended"


def flapping_open(alert: Alert) -> bool:
    """Does a flapping alert speak for this one still?"""
    return Alert.objects.filter(
        resolved_at=None, condition="flapping", entity_type=alert.entity_type, entity_id=alert.entity_id
    ).exists()


def portal_url(path: str) -> str:
    """An absolute address of the portal, from settings, never from a request's Host."""
    return f"{settings.BASE_URL}{path}"
