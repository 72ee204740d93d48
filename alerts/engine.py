"""Who is told, when, and why not? Pure: identity and raise, hold-back rules, routing, the ladder, gathering.

Time and facts are parameters; nothing here knows a database, a clock or a network. Each answer names its rule, so that
"why did nobody call me?" is a query and the simulator gives the same answer as the real thing (SPEC RTE-4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

RANK = {"info": 0, "warning": 1, "critical": 2}


# --- Names on the wire (ALR-1) ----------------------------------------------------------------------------------------
TYPES: dict[tuple[str, str], str] = {
    ("endpoint", "consecutive_failure"): "monitor.down",
    ("endpoint", "degraded"): "monitor.degraded",
    ("endpoint", "flapping"): "monitor.flapping",
    ("heartbeat", "deadline_missed"): "heartbeat.missed",
    ("heartbeat", "exit_code_failure"): "heartbeat.failed",
    ("heartbeat", "flapping"): "monitor.flapping",
    ("certificate", "expiring"): "ssl.expiring",
    ("certificate", "expired"): "ssl.expired",
    ("certificate", "chain_invalid"): "ssl.invalid",
    ("certificate", "hostname_mismatch"): "ssl.invalid",
    ("domain", "expiring"): "domain.expiring",
}


def wire_type(source: str, event: str) -> str:
    """The whole public name, as `monitor.down`."""
    return TYPES.get((source, event), f"{source}.{event}")


def recovery_type(source: str, event: str) -> str:
    """`monitor.recovery` for an endpoint, `<name>.resolved` for the rest."""
    return "monitor.recovery" if source == "endpoint" else f"{wire_type(source, event)}.resolved"


def last_word(type_: str) -> str:
    """`event` on the wire: the last word of the type."""
    return type_.rpartition(".")[2]


# --- One more report about an identity (ALR-2) ---------------------------------------------------------------------------
def react(*, open_severity: str | None, open_event: str | None, failing: bool, severity: str, event: str) -> str:
    """`open`, `raise`, `fall`, `repeat`, `resolve` or `nothing`.

    A raise (warning → critical, degraded → down) notifies again; a fall is silent; only being well resolves.
    """
    if open_severity is None:
        return "open" if failing else "nothing"
    if not failing:
        return "resolve"
    if RANK[severity] > RANK[open_severity] or (
        severity == open_severity and open_event == "degraded" and event != "degraded"
    ):
        return "raise"
    if RANK[severity] < RANK[open_severity] or event != open_event:
        return "fall"
    return "repeat"


# --- Why an alert is held back, in this order ------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Matcher:
    """A silence as the engine sees it. Empty fields match everything; all given ones must match."""

    id: int
    client: int | None = None
    source: str = ""
    entity_type: str = ""
    entity_id: str = ""
    client_match: str = ""
    site: str = ""
    tag: str = ""
    severity: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What routing and holding know of an alert."""

    source: str
    event: str
    severity: str
    entity_type: str
    entity_id: str
    entity_name: str
    client: int | None = None
    client_slug: str = ""
    site: int | None = None
    site_name: str = ""
    service: int | None = None
    tags: frozenset[str] = frozenset()
    parent_open: bool = False
    in_maintenance: bool = False
    flapping: bool = False
    snoozed: bool = False
    silences: tuple[Matcher, ...] = ()


def matches(m: Matcher, f: Facts) -> bool:
    """Does a silence cover this alert? An entity is named by its id or by its name."""
    return (
        (m.client is None or m.client == f.client)
        and m.source in ("", f.source)
        and m.entity_type in ("", f.entity_type)
        and m.severity in ("", f.severity)
        and (not m.entity_id or m.entity_id in (f.entity_id, f.entity_name))
        and (not m.client_match or m.client_match in (str(f.client), f.client_slug))
        and (not m.site or m.site in (str(f.site), f.site_name))
        and (not m.tag or m.tag.lower() in f.tags)
    )


def in_maintenance(f: Facts) -> int | bool:
    """Its monitor, service or site is being worked on."""
    return f.in_maintenance


def silenced(f: Facts) -> int | bool:
    """A silence covers it; the answer is the silence's id."""
    return next((m.id for m in f.silences if matches(m, f)), False)


def explained_by_parent(f: Facts) -> int | bool:
    """What it depends on is down too."""
    return f.parent_open


def flapping(f: Facts) -> int | bool:
    """It comes and goes; the flapping alert speaks for it."""
    return f.flapping and f.event != "flapping"


def snoozed(f: Facts) -> int | bool:
    """Somebody asked to hear of it later."""
    return f.snoozed


HOLD_BACK: tuple[Callable[[Facts], int | bool], ...] = (
    in_maintenance,
    silenced,
    explained_by_parent,
    flapping,
    snoozed,
)


def hold(f: Facts) -> tuple[str, int | None]:
    """(reason, silence id) of the first rule that holds it back; ("", None) when nothing does."""
    for rule in HOLD_BACK:
        answer = rule(f)
        if answer:
            return rule.__name__, answer if rule is silenced else None
    return "", None


# --- Routing (RTE-2) ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Way:
    """How a contact is reached: a channel, for which urgency, after how many minutes."""

    channel: int
    contact: int
    urgency: str = "all"
    delay_minutes: int = 0


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
    delay_seconds: int = 0
    wants_recovery: bool = True


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
        wanted = [Told(c, None, via, wants_recovery=recovery) for c in rule.channels]
        for way in rule.ways:
            if way.urgency == "high" and f.severity != "critical":
                plan.decisions.append((via, "skipped", f"contact {way.contact} wants critical alerts only"))
                continue
            wanted.append(Told(way.channel, way.contact, via, way.delay_minutes * 60, recovery))
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
            best[told.channel] = replace(sooner, wants_recovery=known.wants_recovery or told.wants_recovery)
            if sooner is known:
                plan.decisions.append((told.via, "merged", f"channel {told.channel} is told already by {known.via}"))
    plan.told = list(best.values())
    plan.decisions += [
        (t.via, "told", f"channel {t.channel}" + (f" after {t.delay_seconds // 60} min" if t.delay_seconds else ""))
        for t in plan.told
    ]
    if not plan.told:
        plan.decisions.append(("routing", "nobody", f"None of the {len(rules)} enabled triggers tells anybody of it."))
    elif others:
        plan.decisions.append(("routing", "passed over", f"{others} other triggers do not match"))
    return plan


# --- The ladder of attempts (DLV-2) ---------------------------------------------------------------------------------------------
LADDER = (0, 30, 60, 120, 240)
LONGEST_RETRY_AFTER = 900
MOST_AMBIGUOUS = 2


def after_attempt(
    *, attempt: int, outcome: str, ambiguous: int, keyed: bool, retry_after: float | None = None
) -> tuple[str, float]:
    """(state, seconds to wait) after attempt number `attempt` (from 1) ended as `outcome`.

    outcomes: delivered, permanent, retry (surely not delivered), ambiguous (perhaps delivered). `ambiguous` counts the
    ambiguous attempts including this one. Where the vendor has no key, the second of them ends as `unknown`: a person
    never sees a third copy.
    """
    if outcome == "delivered":
        return "delivered", 0
    if outcome == "permanent":
        return "failed", 0
    if outcome == "ambiguous" and not keyed and ambiguous >= MOST_AMBIGUOUS:
        return "unknown", 0
    if attempt >= len(LADDER):
        return ("unknown" if outcome == "ambiguous" else "failed"), 0
    wait = float(LADDER[attempt])
    if retry_after is not None:
        wait = max(wait, min(retry_after, LONGEST_RETRY_AFTER))
    return "pending", wait


# --- Gathering (RTE-7) ------------------------------------------------------------------------------------------------------------
FIRST_GATHER_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What a destination does now: `send` one at once, `carry` all in one message, or `wait` until a time."""

    verb: str
    until: datetime | None = None


def turn(
    *, first_at: datetime | None, gathered_at: datetime | None, window: float, at: datetime, since: datetime
) -> Turn:
    """The first message goes at once, more are gathered: after 20 s (or the window, if shorter), then once a window.

    `since` is when the longest waiting one was due: a destination that heard nothing for a whole window starts afresh
    with what came later; what has waited is carried. So in any window a person gets at most one first message and one
    gathered one, and nothing waits longer than a window.
    """
    span = timedelta(seconds=window)
    last = max(filter(None, (first_at, gathered_at)), default=None)
    if window <= 0 or last is None or (at - last >= span and since - last > span):
        return Turn("send")
    if gathered_at is not None and (first_at is None or gathered_at >= first_at):
        due = gathered_at + span
    else:
        due = last + timedelta(seconds=min(window, FIRST_GATHER_SECONDS))
    return Turn("carry") if at >= due else Turn("wait", due)


# --- Silences in time ----------------------------------------------------------------------------------------------------------------
def silence_is_active(
    *,
    starts_at: datetime,
    ends_at: datetime | None,
    cancelled: bool,
    at: datetime,
    occurrence: Callable[[datetime], datetime | None] | None = None,
) -> bool:
    """Does a silence hold now? `occurrence(at)` gives the latest start of a recurring one at or before `at`."""
    if cancelled or at < starts_at:
        return False
    if ends_at is None:
        return True
    if at < ends_at:
        return True
    start = occurrence(at) if occurrence else None
    return start is not None and at < start + (ends_at - starts_at)


def utc(at: datetime) -> datetime:
    """The same moment in UTC."""
    return at.astimezone(UTC)
