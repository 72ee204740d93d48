"""When does something that comes again begin for the first time? A day of its rule, in its zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.rrule import rrulestr

ANCHOR = date(2024, 1, 1)  # a Monday: where nothing says when it began
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def span(rule: str, since: date, begins: timedelta, length: timedelta, zone: str) -> dict[str, str] | None:
    """`starts_at` and `ends_at` of the first occurrence from that day on; None when there is none, or no such zone."""
    try:
        local = datetime.combine(max(since, ANCHOR), time()) + begins
        first = rrulestr(rule, dtstart=local).after(local, inc=True)
        starts = first.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) if first is not None else None
    except (ValueError, OSError, ZoneInfoNotFoundError, OverflowError):
        return None
    return {"starts_at": _text(starts), "ends_at": _text(starts + length)} if starts is not None else None


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
