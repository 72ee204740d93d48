"""Whose turn is it? Layers that rotate, overrides on top; the shifts of any stretch of time, without hole or overlap (SPEC ESC-4).

Turns are counted in days of the calendar, on the wall clock of the schedule's zone, and only then put into UTC: where a
day has 23 or 25 hours, the turn around it does too. One rule for every wall time: one that is skipped happens at the
first moment after, one that comes twice happens at the first. Both sides of a handover use it, so no clock change can
open a hole between two people or put both on call.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
MARGIN = 8 * DAY  # longer than any run of the days that a layer is limited to, and than any change of a clock
INSTANT = timedelta(microseconds=1)
GAP = "gap"
PERIOD_DAYS = {"daily": 1, "weekly": 7}


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """A layer. Rotation: `daily`, `weekly` (on `handoff_day`, 1 = Monday … 7) or `custom` (every `rotation_days`).

    `places[n]` is who has the n-th turn, None for somebody who is gone: the next in line takes that turn, and
    everybody else keeps theirs. `weekdays` (0 = Monday) and `hours` limit the layer; hours that end before they begin
    run over midnight and belong to the day they began.
    """

    order: int
    rotation: str
    places: tuple[int | None, ...]
    starts_at: datetime
    ends_at: datetime | None = None
    rotation_days: int = 7
    handoff_time: time = time(9)
    handoff_day: int = 1
    weekdays: frozenset[int] = frozenset()
    hours: tuple[time, time] | None = None

    @property
    def period(self) -> int:
        """Days of the calendar from one handover to the next."""
        return PERIOD_DAYS.get(self.rotation, self.rotation_days)

    def holder(self, turn: int) -> int | None:
        """Whose turn number `turn` is; None when nobody is left."""
        count = len(self.places)
        found = (self.places[(turn + step) % count] for step in range(count))
        return next((contact for contact in found if contact is not None), None)


@dataclass(frozen=True, slots=True)
class OverridePlan:
    """Somebody takes over for a while; of several, the one with the highest `made` (made last) counts."""

    id: int
    contact: int
    starts_at: datetime
    ends_at: datetime
    made: tuple[datetime, int]


@dataclass(frozen=True, slots=True)
class Turn:
    """An unbroken stretch that one layer or override gives to somebody, whatever covers it."""

    start: datetime
    end: datetime
    contact: int
    source: str  # layer:<order>, override:<id>


@dataclass(frozen=True, slots=True)
class Shift:
    """Who is on call from `start` until before `end` (UTC); `contact` None is a gap. Source: layer:1, override:7, gap."""

    start: datetime
    end: datetime
    contact: int | None
    source: str


def shifts(
    layers: Sequence[LayerPlan], overrides: Sequence[OverridePlan], zone: ZoneInfo, start: datetime, end: datetime
) -> list[Shift]:
    """Who is on call from `start` until before `end`: shifts in order that cover it exactly, the outer ones cut to it."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    if start >= end:
        return []
    return _laid(_levels(layers, overrides, zone, start, end), start, end)


def whole_shifts(
    layers: Sequence[LayerPlan], overrides: Sequence[OverridePlan], zone: ZoneInfo, start: datetime, end: datetime
) -> list[Shift]:
    """The shifts of people that touch this time, uncut: their begin and end do not depend on who looks when."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    if start >= end:
        return []
    touching = [t for level in _levels(layers, overrides, zone, start, end) for t in level]
    since = min((t.start for t in touching), default=start)
    until = max((t.end for t in touching), default=end)
    wide = shifts(layers, overrides, zone, min(start, since), max(end, until))
    return [s for s in wide if s.contact is not None and s.end > start and s.start < end]


def who(
    layers: Sequence[LayerPlan], overrides: Sequence[OverridePlan], zone: ZoneInfo, at: datetime
) -> tuple[int | None, str]:
    """(who is on call at a moment, by what); (None, "gap") when nobody is."""
    (now,) = shifts(layers, overrides, zone, at, at + INSTANT)
    return now.contact, now.source


def moment(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """When a wall time happens, in UTC: the first of two, or the first moment after one that is skipped."""
    wall = datetime.combine(day, clock)
    first = wall.replace(tzinfo=zone).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == wall:
        return first
    # Skipped. Before the clock changes it shows less than `wall`, afterwards more: look for the second between.
    low = math.floor(wall.replace(tzinfo=zone, fold=1).timestamp())
    high = math.ceil(first.timestamp())
    while low + 1 < high:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).replace(tzinfo=None) < wall:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


# --- What each layer gives --------------------------------------------------------------------------------------------
def turns(layer: LayerPlan, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[Turn]:
    """A layer's turns that touch [start, end), uncut, within the days and hours that the layer is limited to."""
    for began, ended, contact in _rotation(layer, zone, start, end):
        for since, until in _allowed(layer, zone, began, ended, start, end):
            if since < until and since < end and until > start:
                yield Turn(since, until, contact, f"layer:{layer.order}")


def _rotation(
    layer: LayerPlan, zone: ZoneInfo, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime, int]]:
    """(from, until, who) of the turns that touch [start, end). The first has it from the layer's start."""
    begins = layer.starts_at.astimezone(UTC)
    last = min(end, layer.ends_at.astimezone(UTC)) if layer.ends_at is not None else end
    anchor = _anchor(layer, zone)
    days = (start.astimezone(zone).date() - anchor).days
    turn = max(0, days // layer.period - 1)
    began = begins if turn == 0 else moment(anchor + turn * layer.period * DAY, layer.handoff_time, zone)
    while began < last:
        after = max(moment(anchor + (turn + 1) * layer.period * DAY, layer.handoff_time, zone), began)
        ended = after if layer.ends_at is None else min(after, layer.ends_at.astimezone(UTC))
        contact = layer.holder(turn)
        if ended > start and ended > began and contact is not None:
            yield began, ended, contact
        began, turn = after, turn + 1


def _anchor(layer: LayerPlan, zone: ZoneInfo) -> date:
    """The day that turns are counted from: that of its start; of a weekly layer the last handover day before."""
    day = layer.starts_at.astimezone(zone).date()
    if layer.rotation == "weekly":
        return day - ((day.isoweekday() - layer.handoff_day) % 7) * DAY
    return day


def _allowed(
    layer: LayerPlan, zone: ZoneInfo, began: datetime, ended: datetime, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The parts of a turn that lie in the layer's days and hours; touching days are one part."""
    if layer.hours is None and (not layer.weekdays or len(layer.weekdays) == 7):
        yield began, ended
        return
    since, until = max(began, start - MARGIN), min(ended, end + MARGIN)
    if since >= until:
        return
    day, last = since.astimezone(zone).date() - DAY, until.astimezone(zone).date() + DAY
    run: tuple[datetime, datetime] | None = None
    while day <= last:
        if not layer.weekdays or day.weekday() in layer.weekdays:
            opens, closes = _window(layer, zone, day)
            opens, closes = max(opens, began), min(closes, ended)
            if opens < closes:
                if run is not None and opens <= run[1]:
                    run = (run[0], max(run[1], closes))
                else:
                    if run is not None:
                        yield run
                    run = (opens, closes)
        day += DAY
    if run is not None:
        yield run


def _window(layer: LayerPlan, zone: ZoneInfo, day: date) -> tuple[datetime, datetime]:
    """When a layer is there on a day that it is there at all."""
    if layer.hours is None:
        return moment(day, time(0), zone), moment(day + DAY, time(0), zone)
    opens, closes = layer.hours
    return moment(day, opens, zone), moment(day if opens <= closes else day + DAY, closes, zone)


# --- What lies on top -------------------------------------------------------------------------------------------------
def _levels(
    layers: Iterable[LayerPlan], overrides: Iterable[OverridePlan], zone: ZoneInfo, start: datetime, end: datetime
) -> list[list[Turn]]:
    """The turns that touch [start, end), by level, the one that covers all others first; in order within a level."""
    taken = [
        [Turn(o.starts_at.astimezone(UTC), o.ends_at.astimezone(UTC), o.contact, f"override:{o.id}")]
        for o in sorted(overrides, key=lambda o: o.made, reverse=True)
        if o.starts_at < end and o.ends_at > start and o.starts_at < o.ends_at
    ]
    ordered = sorted(layers, key=lambda layer: layer.order, reverse=True)
    return taken + [list(turns(layer, zone, start, end)) for layer in ordered if layer.places]


def _laid(levels: list[list[Turn]], start: datetime, end: datetime) -> list[Shift]:
    """The levels seen from above."""
    edges = {start, end}
    for level in levels:
        for turn in level:
            edges.update(edge for edge in (turn.start, turn.end) if start < edge < end)
    begins = [[turn.start for turn in level] for level in levels]
    seen: list[Shift] = []
    before: Turn | None = None
    for since, until in pairwise(sorted(edges)):
        top = next(filter(None, (_at(level, begin, since) for level, begin in zip(levels, begins, strict=True))), None)
        if seen and top is before:
            seen[-1] = replace(seen[-1], end=until)
        else:
            seen.append(Shift(since, until, top.contact if top else None, top.source if top else GAP))
        before = top
    return seen


def _at(level: list[Turn], begins: list[datetime], at: datetime) -> Turn | None:
    index = bisect_right(begins, at) - 1
    return level[index] if index >= 0 and level[index].end > at else None
