"""What does a rota look like, day by day? Each day from its own midnight to the next: it may have 23 or 25 hours."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from alerts.engine.oncall import Shift, moment
from portal.models import Contact

DAY = timedelta(days=1)
COLOURS = 8


@dataclass(slots=True)
class Part:
    """Somebody (or nobody) on a day, from a clock time when they begin on it; `until` when they do not stay till its end."""

    begins: str
    until: str
    name: str
    colour: int
    takes_over: bool
    now: bool


@dataclass(slots=True)
class Day:
    """A day of the calendar. `hours` when it has not 24."""

    day: date
    hours: str
    is_today: bool
    parts: list[Part] = field(default_factory=list)


def calendar(
    line: list[Shift], first: date, last: date, zone: zoneinfo.ZoneInfo, people: dict[int, Contact], at: datetime
) -> list[Day]:
    """The days from `first` until before `last`, each from its own midnight to the next: it may have 23 or 25 hours."""
    days: list[Day] = []
    today, day = at.astimezone(zone).date(), first
    while day < last:
        begins, ends = moment(day, time(0), zone), moment(day + DAY, time(0), zone)
        length = (ends - begins) / timedelta(hours=1)
        shown = Day(day, "" if length == 24 else f"{length:g} h", day == today)
        for shift in merged(s for s in line if s.start < ends and s.end > begins):
            shown.parts.append(_part(shift, begins, ends, zone, people, at))
        days.append(shown)
        day += DAY
    return days


def _part(
    s: Shift, begins: datetime, ends: datetime, zone: zoneinfo.ZoneInfo, people: dict[int, Contact], at: datetime
) -> Part:
    person = people.get(s.contact or 0)
    return Part(
        begins=f"{s.start.astimezone(zone):%H:%M}" if s.start > begins else "",
        until=f"{s.end.astimezone(zone):%H:%M}" if s.end < ends else "",
        name=person.name if person else "Nobody",
        colour=person.pk % COLOURS if person else -1,
        takes_over=s.source.startswith("override"),
        now=s.start <= at < s.end and begins <= at < ends,
    )


def merged(shifts: Iterable[Shift]) -> list[Shift]:
    """Shifts of the same person that touch are one on the screen, unless somebody takes over."""
    found: list[Shift] = []
    for s in shifts:
        before = found[-1] if found else None
        if (
            before is not None
            and before.contact == s.contact
            and before.source.startswith("override") == s.source.startswith("override")
        ):
            found[-1] = Shift(before.start, s.end, s.contact, before.source)
        else:
            found.append(s)
    return found
