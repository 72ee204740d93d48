"""What do routing and the hold-back rules need to know? Loaded once for a list of alerts, handed to the pure engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rruleset, rrulestr
from django.conf import settings

from alerts import channels, engine
from alerts.models import Alert, Channel, ContactChannel, Silence, Trigger
from portal.models import Client, Service, Site

DEFAULT_WINDOW = 60


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

    def of(self, alert: Alert, at: datetime, *, flapping: bool = False) -> engine.Facts:
        """The facts of one alert at a moment."""
        client = self.names.clients.get(alert.client_id or 0)
        site = self.names.sites.get(alert.site_id or 0)
        return engine.Facts(
            source=alert.source, event=alert.event, severity=alert.severity, entity_type=alert.entity_type, entity_id=alert.entity_id,
            entity_name=alert.entity_name, client=alert.client_id, client_slug=client.slug if client else "", site=alert.site_id,
            site_name=site.name if site else "", service=alert.service_id, tags=frozenset(alert.tags),
            parent_open=bool(alert.parent) and alert.parent in self.open_parents, flapping=flapping,
            snoozed=alert.snoozed_until_recovered or (alert.snoozed_until is not None and alert.snoozed_until > at),
            silences=self.silent(at),
        )  # fmt: skip

    def silent(self, at: datetime) -> tuple[engine.Matcher, ...]:
        """The silences that hold at a moment; worked out once for all alerts of that moment."""
        if at not in self.matchers:
            self.matchers[at] = tuple(matcher(s) for s in self.silences if holds(s, at))
        return self.matchers[at]

    def why(self, alert: Alert) -> str:
        """A sentence for a hold."""
        if alert.held_by:
            silence = next((s for s in self.silences if s.pk == alert.held_by), None)
            return f"Silence {alert.held_by}: {silence.reason}" if silence else f"Silence {alert.held_by}"
        return f"{alert.parent} is down too" if alert.hold_reason == "explained_by_parent" else alert.hold_reason


def around(alerts: Sequence[Alert]) -> Around:
    """Load what a list of alerts needs: a constant number of queries."""
    parents = {a.parent for a in alerts if a.parent}
    rows = (
        Alert.objects.filter(resolved_at=None, entity_id__in={p.partition(":")[2] for p in parents}, condition="health")
        if parents
        else []
    )
    every = list(Channel.objects.only("id", "client_id", "type", "enabled", "group_window_seconds"))
    return Around(
        names=Names(
            Client.objects.in_bulk({a.client_id for a in alerts if a.client_id}),
            Site.objects.in_bulk({a.site_id for a in alerts if a.site_id}),
            Service.objects.in_bulk({a.service_id for a in alerts if a.service_id}),
        ),
        rules=rules({a.client_id for a in alerts}),
        usable={c.pk: obstacle(c) for c in every},
        windows={c.pk: window(c) for c in every},
        silences=tuple(Silence.objects.filter(cancelled_at=None).order_by("id")),
        open_parents={a.entity for a in rows if a.event not in ("degraded", "flapping")} & parents,
        owners={c.pk: c.client_id for c in every},
    )


def obstacle(channel: Channel) -> str:
    """Why a channel cannot be used; "" when it can. An unhealthy one is tried all the same."""
    if not channel.enabled:
        return "it is switched off"
    return "" if channel.type in channels.KINDS else f"its type {channel.type} is not known"


def window(channel: Channel) -> float:
    """Its gathering window in seconds: as set, else 60 for what people read and 0 for machines."""
    if channel.group_window_seconds is not None:
        return float(channel.group_window_seconds)
    kind = channels.KINDS.get(channel.type)
    return float(DEFAULT_WINDOW) if kind is not None and kind.people else 0.0


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
    for way in ContactChannel.objects.filter(contact__in=contacts) if contacts else ():
        ways.setdefault(way.contact_id, []).append(
            engine.Way(way.channel_id, way.contact_id, way.urgency, way.delay_minutes)
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
    )  # fmt: skip


def matcher(s: Silence) -> engine.Matcher:
    """A silence as the engine sees it."""
    m = s.matchers
    return engine.Matcher(
        id=s.pk, client=s.client_id, source=str(m.get("source", "")), entity_type=str(m.get("entity_type", "")), entity_id=str(m.get("entity_id", "")),
        client_match=str(m.get("client", "")), site=str(m.get("site", "")), tag=str(m.get("tag", "")), severity=str(m.get("severity", "")),
    )  # fmt: skip


def holds(s: Silence, at: datetime) -> bool:
    """Does a silence hold at this moment? Recurring ones by their rule, in their own zone's wall time."""
    return engine.silence_is_active(
        starts_at=s.starts_at,
        ends_at=s.ends_at,
        cancelled=s.cancelled_at is not None,
        at=at,
        occurrence=(lambda t: latest_occurrence(s, t)) if s.recurrence else None,
    )


def latest_occurrence(s: Silence, at: datetime) -> datetime | None:
    """The start of the last occurrence at or before `at`, in UTC: lengths are counted in real time, not on the wall."""
    rule, zone = _rule(s)
    found = rule.before(at.astimezone(zone).replace(tzinfo=None), inc=True)
    return found.replace(tzinfo=zone).astimezone(UTC) if found else None


def comes_again(s: Silence, at: datetime) -> bool:
    """Does a recurring silence start once more after `at`?"""
    rule, zone = _rule(s)
    return rule.after(at.astimezone(zone).replace(tzinfo=None)) is not None


def silence_state(s: Silence, at: datetime) -> str:
    """`active`, `upcoming`, `ended` or `cancelled` at a moment."""
    if s.cancelled_at is not None:
        return "cancelled"
    if at < s.starts_at:
        return "upcoming"
    if holds(s, at):
        return "active"
    return "upcoming" if s.recurrence and comes_again(s, at) else "ended"


def _rule(s: Silence) -> tuple[rrule | rruleset, ZoneInfo]:
    """Its occurrences in wall time, and the zone they are counted in."""
    zone = ZoneInfo(s.timezone)
    return rrulestr(s.recurrence, dtstart=s.starts_at.astimezone(zone).replace(tzinfo=None)), zone


def flapping_open(alert: Alert) -> bool:
    """Does a flapping alert speak for this one still?"""
    return Alert.objects.filter(
        resolved_at=None, condition="flapping", entity_type=alert.entity_type, entity_id=alert.entity_id
    ).exists()


def portal_url(path: str) -> str:
    """An absolute address of the portal, from settings, never from a request's Host."""
    return f"{settings.BASE_URL}{path}"
