"""How have a page's components fared? Days and response times from monitors' rollups, counted once each.

Checks are counted by the hour: rolled hours as they are, the hours since from raw results. Time in which nobody measured
holds no checks and so counts as nothing. What was seen during maintenance does not count either: an hour that lies wholly
in it is left out, one that is touched is counted from the raw results outside of it, or left out where those are gone.
A day that is over and rolled is kept in `Projection.days` and not counted again, unless the component has other monitors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from django.conf import settings
from django.db.models import Count, Q, Sum
from django.db.models.functions import TruncHour

from monitors.history import DEGRADED, FAILING, UNKNOWN, raw_since
from monitors.models import Probe, Result, Rollup, StateChange
from monitors.rollups import HOUR, added, hour_of, quantile
from statuspages.engine import Cell, Day, Span, days_of

DAYS = 90
SETTLED = timedelta(hours=6)  # so long after its end a day may still get the results of a probe that was cut off
EDGES_A_QUERY = 40
Kept = dict[str, dict[str, Any]]


def fresh(kept: Mapping[str, Any], monitors: Collection[int], zone: tzinfo) -> dict[str, Any]:
    """What is kept of a component, or nothing when it was counted for other monitors or on another calendar."""
    of = f"{zone} {','.join(map(str, sorted(monitors)))}"
    return dict(kept) if kept.get("of") == of else {"of": of, "days": {}}


def count(
    components: Mapping[int, Collection[int]], kept: Kept, states: Mapping[int, str], at: datetime, zone: tzinfo
) -> tuple[dict[int, dict[date, Day]], Kept]:
    """({component: its days}, what to keep) of {component: monitors}; `states` are the monitors' states now.

    A constant number of queries, and one more for each forty edges of maintenance in the days that are counted.
    """
    today = at.astimezone(zone).date()
    first = today - timedelta(days=DAYS - 1)
    books = {pk: fresh(kept.get(str(pk), {}), monitors, zone) for pk, monitors in components.items()}
    since_of = {pk: _first_uncounted(book, first, today) for pk, book in books.items() if components[pk]}
    raw = raw_since(at) if since_of else at
    cells: dict[int, list[Cell]] = {}
    spans: dict[int, list[Span]] = {}
    # Components that were counted up to the same day share their questions: usually all of them, today's.
    for day in sorted(set(since_of.values())):
        alike = [pk for pk, since in since_of.items() if since == day]
        ids = sorted({m for pk in alike for m in components[pk]})
        begin = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
        history = _spans(ids, states, begin, at)
        measured = _cells(ids, history, hour_of(begin), raw, at)
        for pk in alike:
            own = set(components[pk])
            spans[pk] = [s for s in history if s.monitor in own]
            cells[pk] = [c for c in measured if c.monitor in own]
    found: dict[int, dict[date, Day]] = {}
    for pk, book in books.items():
        counted = days_of(cells.get(pk, []), spans.get(pk, []), zone)
        old = {date.fromisoformat(text): Day(*values) for text, values in book["days"].items()}
        before = since_of.get(pk, first)
        found[pk] = {d: v for d, v in old.items() if first <= d < before} | {
            d: v for d, v in counted.items() if d >= first
        }
        ended = _ended(today, zone, min(raw, at - SETTLED))
        book["days"] = {d.isoformat(): v.plain() for d, v in sorted(found[pk].items()) if d < ended}
        book["until"] = max(ended, first).isoformat()
    return found, {str(pk): book for pk, book in books.items()}


def _first_uncounted(book: Mapping[str, Any], first: date, today: date) -> date:
    """The first day that is not settled yet."""
    until = date.fromisoformat(book["until"]) if book.get("until") else first
    return min(max(until, first), today)


def _ended(today: date, zone: tzinfo, settled: datetime) -> date:
    """The first day that is not over and settled: days before it are kept."""
    day = settled.astimezone(zone).date()
    return min(day, today)


def _spans(ids: Collection[int], states: Mapping[int, str], since: datetime, until: datetime) -> list[Span]:
    """In which states were these monitors? Before the first change since then, what that change came from."""
    changes: dict[int, list[tuple[datetime, str, str]]] = defaultdict(list)
    rows = StateChange.objects.filter(monitor__in=ids, at__gte=since, at__lte=until).order_by("monitor_id", "version")
    for monitor, at, before, after in rows.values_list("monitor_id", "at", "from_state", "to_state"):
        changes[monitor].append((at, before, after))
    found = []
    for monitor in ids:
        begin, state = since, changes[monitor][0][1] if changes[monitor] else states.get(monitor, "unknown")
        for at, _, after in changes[monitor]:
            found.append(Span(monitor, state, begin, at))
            begin, state = at, after
        found.append(Span(monitor, state, begin, until))
    return found


def _cells(ids: Collection[int], spans: Iterable[Span], since: datetime, raw: datetime, at: datetime) -> list[Cell]:
    """The checks by monitor and hour, without those during maintenance."""
    resting: dict[int, list[Span]] = defaultdict(list)
    for span in spans:
        if span.state == "maintenance" and span.until > span.since:
            resting[span.monitor].append(span)
    found: dict[tuple[int, datetime], Cell] = {}
    # Naming the probes makes it a seek in (monitor, probe, period, start) on both databases.
    probes = list(Probe.objects.order_by().values_list("pk", flat=True))
    rolled = Rollup.objects.filter(
        monitor__in=ids, probe__in=probes, period=Rollup.Period.HOUR, start__gte=since, start__lt=raw
    ).order_by()
    sums = rolled.values_list("monitor_id", "start").annotate(u=Sum("up"), d=Sum("degraded"), f=Sum("failing"))
    for monitor, start, up, degraded, failing in sums:
        found[monitor, hour_of(start)] = Cell(monitor, hour_of(start), up, degraded, failing)
    _count_raw(found, Q(monitor_id__in=list(ids), ts__gte=max(raw, since), ts__lte=at))
    touched = {
        (monitor, hour): [s for s in rests if s.since < hour + HOUR and s.until > hour]
        for monitor, rests in resting.items()
        for (of, hour) in list(found)
        if of == monitor
    }
    edges = []
    oldest_raw = at - timedelta(days=settings.RAW_RESULT_DAYS - 1)
    for (monitor, hour), rests in touched.items():
        if not rests:
            continue
        del found[monitor, hour]
        whole = sum((min(s.until, hour + HOUR) - max(s.since, hour)).total_seconds() for s in rests) >= 3600
        if not whole and hour >= oldest_raw:
            outside = Q(monitor_id=monitor, ts__gte=hour, ts__lt=hour + HOUR, ts__lte=at)
            for rest in rests:
                outside &= ~Q(ts__gte=rest.since, ts__lt=rest.until)
            edges.append(outside)
    for n in range(0, len(edges), EDGES_A_QUERY):
        wanted = Q()
        for edge in edges[n : n + EDGES_A_QUERY]:
            wanted |= edge
        _count_raw(found, wanted)
    return list(found.values())


def _count_raw(found: dict[tuple[int, datetime], Cell], wanted: Q) -> None:
    rows: Any = Result.objects.filter(wanted).exclude(status=UNKNOWN).order_by()
    counts: dict[tuple[int, datetime], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in (
        rows.annotate(hour=TruncHour("ts", tzinfo=UTC)).values("monitor_id", "hour", "status").annotate(n=Count("ts"))
    ):
        place = 2 if row["status"] == FAILING else 1 if row["status"] == DEGRADED else 0
        counts[row["monitor_id"], hour_of(row["hour"])][place] += row["n"]
    for (monitor, hour), (up, degraded, failing) in counts.items():
        found[monitor, hour] = Cell(monitor, hour, up, degraded, failing)


def latency(components: Mapping[int, Collection[int]], at: datetime) -> dict[int, list[tuple[datetime, float]]]:
    """{component: (hour, median in ms), oldest first} of the last 24 rolled hours: all its monitors' answers together."""
    ids = sorted({m for monitors in components.values() for m in monitors})
    if not ids:
        return {}
    probes = list(Probe.objects.order_by().values_list("pk", flat=True))
    rows = Rollup.objects.filter(
        monitor__in=ids, probe__in=probes, period=Rollup.Period.HOUR, start__gte=hour_of(at) - 24 * HOUR, start__lte=at
    ).order_by()
    seen: dict[int, dict[datetime, list[int]]] = defaultdict(dict)
    for monitor, start, histogram in rows.values_list("monitor_id", "start", "latency").iterator(chunk_size=2000):
        hour = hour_of(start)
        seen[monitor][hour] = added(histogram, seen[monitor][hour]) if hour in seen[monitor] else list(histogram)
    points: dict[int, list[tuple[datetime, float]]] = {}
    for pk, monitors in components.items():
        hours: dict[datetime, list[int]] = {}
        for monitor in monitors:
            for hour, histogram in seen[monitor].items():
                hours[hour] = added(histogram, hours[hour]) if hour in hours else list(histogram)
        medians = ((hour, quantile(histogram, 0.5)) for hour, histogram in sorted(hours.items()))
        points[pk] = [(hour, round(ms, 1)) for hour, ms in medians if ms is not None]
    return points
