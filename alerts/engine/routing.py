"""Which triggers want an alert, and whom do they tell? (SPEC RTE-2)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from alerts.engine.holding import Facts


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours in which somebody is not to be disturbed, in their own zone; `everything`: not even by what is critical."""

    start: time
    end: time
    zone: str = "UTC"
    everything: bool = False


def quiet_until(quiet: Quiet | None, severity: str, at: datetime) -> datetime | None:
    """When these quiet hours end for a message of that severity; None: it may go now.

    Hours that end before they begin run over midnight. An end that the clocks skip is the first moment after it.
    """
    if quiet is None or (severity == "critical" and not quiet.everything) or quiet.start == quiet.end:
        return None
    zone = ZoneInfo(quiet.zone)
    local = at.astimezone(zone)
    clock = local.time()
    over_midnight = quiet.end < quiet.start
    inside = (clock >= quiet.start or clock < quiet.end) if over_midnight else quiet.start <= clock < quiet.end
    if not inside:
        return None
    day = local.date() + timedelta(days=1 if over_midnight and clock >= quiet.start else 0)
    ends = datetime.combine(day, quiet.end, zone).astimezone(UTC)
    return ends if ends > at else None


@dataclass(frozen=True, slots=True)
class Way:
    """How a contact is reached: a channel, for which urgency, after how many minutes, and when not."""

    channel: int
    contact: int
    urgency: str = "all"
    delay_minutes: int = 0
    quiet: Quiet | None = None

    def delay(self, severity: str, at: datetime) -> float:
        """Seconds until a message of that severity may go this way: its delay, and then the end of quiet hours."""
        due = at + timedelta(minutes=self.delay_minutes)
        return ((quiet_until(self.quiet, severity, due) or due) - at).total_seconds()


@dataclass(frozen=True, slots=True)
class Rule:
    """A trigger as the engine sees it."""

    id: int
    name: str
    client: int | None = None
    severities: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    weekdays: frozenset[int] = frozenset()
    hours: tuple[time, time] | None = None
    zone: str = "UTC"
    channels: tuple[int, ...] = ()
    ways: tuple[Way, ...] = ()
    notify_on_resolve: bool = True
    remind_minutes: int | None = None


def words(text: str) -> frozenset[str]:
    """A comma-separated field as a set of lower-case words."""
    return frozenset(w.strip().lower() for w in text.split(",") if w.strip())


def scopes_of(f: Facts) -> frozenset[str]:
    """Every scope an alert lies in: `endpoint:7`, `client:3`, `client:acme`, `site:2`, `service:5`."""
    found = {f"{f.source}:{f.entity_id}", f"{f.entity_type}:{f.entity_id}"}
    for noun, value in (("client", f.client), ("site", f.site), ("service", f.service)):
        if value is not None:
            found.add(f"{noun}:{value}")
    if f.client_slug:
        found.add(f"client:{f.client_slug}")
    return frozenset(s.lower() for s in found)


def refuses(rule: Rule, f: Facts, at: datetime) -> str:
    """Why a trigger does not want this alert; "" when it does. OR within a field, AND between fields, empty = all."""
    if rule.client is not None and rule.client != f.client:
        return "another client"
    if rule.severities and f.severity not in rule.severities:
        return f"severity {f.severity}"
    if rule.sources and f.source not in rule.sources:
        return f"source {f.source}"
    if rule.scopes and not rule.scopes & scopes_of(f):
        return "scope"
    if rule.tags and not rule.tags & f.tags:
        return "tags"
    if not in_hours(rule, at):
        return "outside its hours"
    return ""


def in_hours(rule: Rule, at: datetime) -> bool:
    """Is it this trigger's time? A window that ends before it begins runs over midnight and belongs to the day it began."""
    if not rule.weekdays and rule.hours is None:
        return True
    local = at.astimezone(ZoneInfo(rule.zone))
    day, clock = local.weekday(), local.time()
    if rule.hours is not None:
        start, end = rule.hours
        if start <= end:
            if not start <= clock < end:
                return False
        elif clock < end:
            day = (day - 1) % 7
        elif clock < start:
            return False
    return not rule.weekdays or day in rule.weekdays


@dataclass(frozen=True, slots=True)
class Told:
    """One destination that will be told."""

    channel: int
    contact: int | None
    via: str
    delay_seconds: float = 0
    wants_recovery: bool = True
    remind_minutes: int | None = None


@dataclass(slots=True)
class Plan:
    """Who is told, and what every rule said."""

    told: list[Told] = field(default_factory=list)
    decisions: list[tuple[str, str, str]] = field(default_factory=list)  # (rule, outcome, reason)


def route(
    f: Facts,
    rules: Sequence[Rule],
    at: datetime,
    *,
    usable: Mapping[int, str],
    owners: Mapping[int, int | None] | None = None,
) -> Plan:
    """Which channels hear of this alert, through which triggers and contacts' rules. Each channel once, the soonest way.

    `usable` says of every channel why it cannot be used ("" = it can); a channel that is missing there is skipped.
    `owners` says whose it is: a client's channel never hears of another client, whatever a trigger names.
    """
    plan, others = Plan(), 0
    best: dict[int, Told] = {}
    for rule in rules:
        why_not = refuses(rule, f, at)
        if why_not:
            others += 1
            continue
        via, recovery = f"trigger {rule.name}", rule.notify_on_resolve
        remind = rule.remind_minutes
        wanted = [Told(c, None, via, wants_recovery=recovery, remind_minutes=remind) for c in rule.channels]
        for way in rule.ways:
            if way.urgency == "high" and f.severity != "critical":
                plan.decisions.append((via, "skipped", f"contact {way.contact} wants critical alerts only"))
                continue
            wanted.append(Told(way.channel, way.contact, via, way.delay(f.severity, at), recovery, remind))
        if not wanted:
            plan.decisions.append((via, "skipped", "names no channel and no contact that can be reached"))
        for told in wanted:
            obstacle = usable.get(told.channel, "it is gone")
            owner = (owners or {}).get(told.channel)
            if not obstacle and owner is not None and owner != f.client:
                obstacle = "it belongs to another client"
            if obstacle:
                plan.decisions.append((told.via, "skipped", f"channel {told.channel}: {obstacle}"))
                continue
            known = best.get(told.channel)
            if known is None:
                best[told.channel] = told
                continue
            sooner = min(known, told, key=lambda t: t.delay_seconds)
            best[told.channel] = replace(
                sooner,
                wants_recovery=known.wants_recovery or told.wants_recovery,
                remind_minutes=min(filter(None, (known.remind_minutes, told.remind_minutes)), default=None),
            )
            if sooner is known:
                plan.decisions.append((told.via, "merged", f"channel {told.channel} is told already by {known.via}"))
    plan.told = list(best.values())
    plan.decisions += [
        (t.via, "told", f"channel {t.channel}" + (f" after {t.delay_seconds // 60:.0f} min" if t.delay_seconds else ""))
        for t in plan.told
    ]
    if not plan.told:
        plan.decisions.append(("routing", "nobody", f"None of the {len(rules)} enabled triggers tells anybody of it."))
    elif others:
        plan.decisions.append(("routing", "passed over", f"{others} other triggers do not match"))
    return plan
