"""When does it come again? Starts are counted on the wall clock of a zone, lengths in real time.

The first span counts whether the rule names it or not; every other lasts as long. A start that the clocks skip happens
just as long after the jump; one that they show twice happens once, the first time (SPEC RTE-5, RTE-6).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from threading import Lock
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr


@dataclass(frozen=True, slots=True)
class Times:
    """A first span and the rule by which it comes again. Without an end: until somebody ends it."""

    starts_at: datetime
    ends_at: datetime | None
    recurrence: str = ""
    zone: str = "UTC"

    @property
    def length(self) -> timedelta | None:
        """How long each occurrence lasts; None without an end."""
        return self.ends_at - self.starts_at if self.ends_at is not None else None


Span = tuple[datetime, datetime]


def running(times: Times, at: datetime) -> Span | None:
    """The occurrence (start, end) that `at` lies in. An endless one ends at the end of time."""
    start = latest_start(times, at)
    if start is None:
        return None
    end = start + times.length if times.length is not None else datetime.max.replace(tzinfo=UTC)
    return (start, end) if at < end else None


def latest_start(times: Times, at: datetime) -> datetime | None:
    """The start of the last occurrence at or before `at`, in UTC; None before the first."""
    starts = _calendar(times.recurrence, times.starts_at, times.zone).through(at)
    found = bisect_right(starts, at)
    return starts[found - 1] if found else None


def next_start(times: Times, at: datetime) -> datetime | None:
    """The start of the first occurrence after `at`; None when there is none any more."""
    starts = _calendar(times.recurrence, times.starts_at, times.zone).through(at)
    found = bisect_right(starts, at)
    return starts[found] if found < len(starts) else None


def coming(times: Times, at: datetime, most: int = 5) -> list[Span]:
    """The occurrences that have not ended at `at`: the one that runs, and those that follow."""
    if times.length is None:
        return []
    now = running(times, at)
    found: list[Span] = [now] if now else []
    start: datetime | None = at
    while len(found) < most and start is not None and (start := next_start(times, start)) is not None:
        found.append((start, start + times.length))
    return found


class _Calendar:
    """The starts of one rule in UTC, worked out as far as somebody asked and kept: a loop asks every second."""

    def __init__(self, recurrence: str, starts_at: datetime, zone: ZoneInfo) -> None:
        self.starts = [starts_at.astimezone(UTC)]
        self.rest: Iterator[datetime] = iter(())
        self.zone, self.lock = zone, Lock()
        if recurrence:
            self.rest = iter(rrulestr(recurrence, dtstart=starts_at.astimezone(zone).replace(tzinfo=None)))

    def through(self, at: datetime) -> list[datetime]:
        """Every start at or before `at`, and one more when there is one."""
        with self.lock:
            while self.starts[-1] <= at:
                wall = next(self.rest, None)
                if wall is None:
                    break
                try:
                    start = wall.replace(tzinfo=self.zone).astimezone(UTC)
                except OverflowError:  # the end of the calendar
                    break
                if start > self.starts[-1]:
                    self.starts.append(start)
            return self.starts


@lru_cache(maxsize=512)
def _calendar(recurrence: str, starts_at: datetime, zone: str) -> _Calendar:
    return _Calendar(recurrence, starts_at, ZoneInfo(zone))
