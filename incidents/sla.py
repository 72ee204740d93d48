"""Was the promise kept? A month of one service: what was measured, what was down, what the contract leaves out. Pure.

Down is the state `down` only: slow, or failing in too few regions (`degraded`), is no outage. Time in which a monitor was
paused, pending or unknown was not measured; it counts neither as up nor as down. Several monitors of one service: it is
down while any of them is, and measured while any of them is.

Two figures stand side by side:
    raw       down / measured, nothing left out (failures underneath a maintenance window included)
    contract  what the contract excludes is taken away:
              maintenance  of a monitor: its outages then do not count; while all measured monitors of the service are
                           worked on, the time does not count at all
              verdicts     an outage whose verdict names an excluded layer does not count; the time stays, as up
              unknown      not measured: out of the reckoning; if not excluded, it counts as up, never as down

An outage begins with its first failing check or with its confirmation, as the contract says, and ends with recovery.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from incidents.spans import Span, intersect, seconds, subtract, union

MEASURED = frozenset(("up", "degraded", "down", "maintenance"))
FIRST_FAILURE, CONFIRMATION = "first_failure", "confirmation"


@dataclass(frozen=True, slots=True)
class Terms:
    """What was promised. `exclude_layers`: of transit, probe."""

    target_percent: float = 99.9
    exclude_maintenance: bool = True
    exclude_layers: frozenset[str] = frozenset(("probe",))
    exclude_unknown: bool = True
    counted_from: str = CONFIRMATION


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a monitor's state."""

    at: datetime
    to: str
    first_failure_at: datetime | None = None
    layer: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Watched:
    """All that is known of one monitor: its state before the month's first change, its changes in order, and when it was worked on.

    `beneath`: when it failed while maintenance hid it. `blank`: when nothing was measured although no change says so.
    """

    id: int
    name: str
    before: str = "unknown"
    changes: tuple[Change, ...] = ()
    work: tuple[tuple[datetime, datetime, str], ...] = ()
    beneath: tuple[Span, ...] = ()
    blank: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Outage:
    """One time that a monitor was down, as far as it lies in the month. `excluded`: why it does not count, "" where it does."""

    monitor: str
    start: datetime
    end: datetime
    layer: str = ""
    reason: str = ""
    excluded: str = ""

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True, slots=True)
class Excluded:
    """A stretch that does not count, and why."""

    start: datetime
    end: datetime
    why: str
    monitor: str = ""

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds and percent. `percent` is None where nothing was measured; it is rounded down, so only flawless reads 100."""

    counted_seconds: float
    down_seconds: float

    @property
    def percent(self) -> float | None:
        if self.counted_seconds <= 0:
            return None
        counted, down = round(self.counted_seconds * 1e6), round(self.down_seconds * 1e6)
        return (counted - down) * 1_000_000 // counted / 10_000


@dataclass(frozen=True, slots=True)
class Month:
    """What became of one service in one month."""

    start: datetime
    end: datetime
    until: datetime
    raw: Figures
    contract: Figures
    met: bool | None
    allowed_seconds: float
    left_seconds: float
    outages: list[Outage] = field(default_factory=list)
    excluded: list[Excluded] = field(default_factory=list)


def month_of(first: date, zone: str) -> Span:
    """A month by the calendar of a zone, in UTC: clocks that change make it an hour longer or shorter."""
    try:
        tz = ZoneInfo(zone or "UTC")
    except (ValueError, OSError, KeyError):
        tz = ZoneInfo("UTC")
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    start, end = (datetime.combine(d, time(), tz).astimezone(UTC) for d in (first.replace(day=1), following))
    return start, end


def _stretches(w: Watched, start: datetime, until: datetime) -> list[tuple[datetime, datetime, Change]]:
    """(from, until, the change that began it) of all the time between."""
    found: list[tuple[datetime, datetime, Change]] = []
    now = Change(datetime.min.replace(tzinfo=UTC), w.before)
    at = start
    for change in w.changes:
        if change.at >= until:
            break
        if change.at > at:
            found.append((at, change.at, now))
            at = change.at
        now = change
    if at < until:
        found.append((at, until, now))
    return found


def outages_of(w: Watched, start: datetime, until: datetime, counted_from: str) -> list[Outage]:
    """Every time that it was down, cut to the month. Its own changes, and failures that maintenance hid."""
    found: list[Outage] = []
    down = [(a, b, c) for a, b, c in _stretches(w, start, until) if c.to == "down"]
    for began, ended, change in down:
        if counted_from == FIRST_FAILURE and change.first_failure_at and change.at >= start:
            began = max(start, min(began, change.first_failure_at))
        found.append(Outage(w.name, began, ended, change.layer, change.reason))
    if counted_from == FIRST_FAILURE:  # confirmed after the end, but failing before it
        for change in w.changes:
            early = change.first_failure_at
            if change.to == "down" and change.at >= until and early and early < until:
                found.append(Outage(w.name, max(start, early), until, change.layer, change.reason))
                break
    hidden = subtract(intersect(w.beneath, [(start, until)]), [(o.start, o.end) for o in found])
    found += [Outage(w.name, a, b, "", "Failing underneath maintenance") for a, b in hidden]
    return sorted(found, key=lambda o: o.start)


def measured_of(w: Watched, start: datetime, until: datetime) -> list[Span]:
    """When it was measured."""
    seen = union((a, b) for a, b, c in _stretches(w, start, until) if c.to in MEASURED)
    return subtract(seen, w.blank)


def count(monitors: Sequence[Watched], terms: Terms, first: date, zone: str, at: datetime) -> Month:
    """The month's figures as far as it has gone at `at`."""
    start, end = month_of(first, zone)
    until = max(start, min(end, at))
    measured, worked, every, counting = [], [], [], []
    outages: list[Outage] = []
    excluded: list[Excluded] = []
    idle: list[list[Span]] = []
    for w in monitors:
        seen = measured_of(w, start, until)
        work = union(intersect([(a, b) for a, b, _ in w.work], [(start, until)])) if terms.exclude_maintenance else []
        measured += seen
        idle.append(union([*work, *subtract([(start, until)], seen)]))
        worked += intersect(work, seen)
        excluded += _maintenance(w, work, start, until)
        for o in outages_of(w, start, until, terms.counted_from):
            every.append((o.start, o.end))
            if o.layer in terms.exclude_layers:
                o = Outage(o.monitor, o.start, o.end, o.layer, o.reason, f"verdict: {o.layer}")
                excluded.append(Excluded(o.start, o.end, o.excluded, o.monitor))
            else:
                left = subtract([(o.start, o.end)], work)
                counting += left
                if not left:
                    o = Outage(o.monitor, o.start, o.end, o.layer, o.reason, "maintenance")
            outages.append(o)
    measured = union(measured)
    unknown = subtract([(start, until)], measured)
    # Worked on as a whole: whatever was measured then was measured of monitors that were being worked on.
    resting = intersect(_all(idle), worked) if monitors else []
    counted = subtract([(start, until)] if not terms.exclude_unknown else measured, resting)
    if terms.exclude_unknown:
        excluded += [Excluded(a, b, "unknown: nothing was measured") for a, b in unknown]
    raw = Figures(seconds(measured), seconds(intersect(every, measured)))
    contract = Figures(seconds(counted), seconds(intersect(counting, counted)))
    target = terms.target_percent / 100
    allowed = (seconds(counted) + (end - until).total_seconds()) * (1 - target)
    # A month that runs is held against what the whole of it allows. Half a millisecond: 99.9 has no exact binary spelling.
    met = contract.down_seconds <= allowed + 0.0005 if contract.counted_seconds > 0 else None
    return Month(
        start, end, until, raw, contract, met, allowed, allowed - contract.down_seconds,
        sorted(outages, key=lambda o: (o.start, o.monitor)), sorted(excluded, key=lambda e: (e.start, e.monitor, e.why)),
    )  # fmt: skip


def _maintenance(w: Watched, work: list[Span], start: datetime, until: datetime) -> Iterable[Excluded]:
    if not work:
        return
    for a, b, title in sorted(w.work):
        for begun, ended in intersect([(a, b)], [(start, until)]):
            yield Excluded(begun, ended, f"maintenance: {title}", w.name)


def _all(idle: list[list[Span]]) -> list[Span]:
    found = idle[0]
    for other in idle[1:]:
        found = intersect(found, other)
    return found


def words(amount: float) -> str:
    """Seconds as people say them, exact to the second: `43 s`, `6 min 20 s`, `3 h 5 min`, `2 d 4 h`; below zero with a minus."""
    whole = round(abs(amount))
    sign = "−" if amount < 0 and whole else ""
    for size, big, part, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{sign}{whole // size} {big}" + (f" {rest} {small}" if rest else "")
    return f"{sign}{whole} s"


def months_back(at: datetime, zone: str, most: int) -> list[date]:
    """The first days of this month and those before it, newest first, by that zone's calendar."""
    try:
        here = at.astimezone(ZoneInfo(zone or "UTC")).date().replace(day=1)
    except (ValueError, OSError, KeyError):
        here = at.date().replace(day=1)
    found = [here]
    while len(found) < most:
        found.append((found[-1] - timedelta(days=1)).replace(day=1))
    return found
