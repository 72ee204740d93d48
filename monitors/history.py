"""How has a monitor fared? Uptime, latency and bars over time, from rollups and the raw results of the hours since.

Whole hours and days come from rollups; only the last rolled hour and what follows it are counted from raw results, so a
roll that is under way cannot be seen. Every question costs a constant number of queries, each a range of one index:
24h and 7d are counted to the hour, 30d and 90d by UTC days (today and the 29 or 89 before it, as the bars show them).

    uptimes([7, 8], at)         -> {7: {"1h": 100.0, "24h": 99.9, "7d": None, …}, …}
    load(7, "24h", at).points() -> for portal.charts.band; .total().p95 in ms; .by_probe()
    bars([7], at)[7]            -> for portal.charts.bars_90
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, F, Max, Q, Sum

from monitors.models import Monitor, ProbeState, Result, Rollup
from monitors.rollups import BUCKETS, DAY, HOUR, added, bucket_sql, day_of, hour_of, quantile
from portal.clock import parameter

WINDOWS: dict[str, timedelta] = {"1h": HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "90d": 90 * DAY}
BY_DAY = ("30d", "90d")
UNKNOWN, UP, DEGRADED, FAILING = 0, 1, 2, 3
RAW_STEPS = {"1h": 60, "24h": 900}  # seconds a point of a chart that is drawn from raw results
MOST_RAW = 10_000  # results that a chart may read; above, it is drawn by the hour


def percentage(good: int | None, bad: int | None) -> float | None:
    """Share of known checks that were up or degraded, in percent; None without any. Rounded down: only flawless is 100."""
    known = (good or 0) + (bad or 0)
    return (good or 0) * 1_000_000 // known / 10_000 if known else None


# --- Where rollups end and raw results begin ------------------------------------------------------------------------------
def raw_since(at: datetime) -> datetime:
    """The start of the last rolled hour; from there on raw results are counted. Without rollups: a week back."""
    last = Rollup.objects.filter(period=Rollup.Period.HOUR, start__lte=at).aggregate(m=Max("start"))["m"]
    return last.astimezone(UTC) if last else hour_of(at - WINDOWS["7d"])


def _rolled(ids: Sequence[int], period: str, since: datetime, until: datetime) -> Any:
    return Rollup.objects.filter(monitor__in=ids, period=period, start__gte=since, start__lt=until).order_by()


# --- Uptime ---------------------------------------------------------------------------------------------------------------
def uptime(monitor: int, at: datetime) -> dict[str, float | None]:
    """{"1h", "24h", "7d", "30d", "90d"}: percent of one monitor; None without data."""
    return uptimes([monitor], at)[monitor]


def uptimes(monitors: Iterable[int], at: datetime) -> dict[int, dict[str, float | None]]:
    """The same for many monitors at once: four queries however many they are."""
    ids = list(monitors)
    good: dict[tuple[int, str], int] = defaultdict(int)
    bad: dict[tuple[int, str], int] = defaultdict(int)
    if ids:
        raw = raw_since(at)
        day = day_of(raw)
        starts = {
            name: day_of(at) - DAY * (span.days - 1) if name in BY_DAY else hour_of(at - span)
            for name, span in WINDOWS.items()
        }
        in_hours = {"24h": starts["24h"], "7d": starts["7d"]} | {name: max(day, starts[name]) for name in BY_DAY}
        in_raw = {name: max(raw, start) for name, start in starts.items()} | {"1h": at - HOUR}
        hours = _rolled(ids, Rollup.Period.HOUR, min(in_hours.values()), raw)
        days = _rolled(ids, Rollup.Period.DAY, starts["90d"], day)
        for rows, since in ((hours, in_hours), (days, {name: starts[name] for name in BY_DAY})):
            sums = {f"good_{n}": Sum(F("up") + F("degraded"), filter=Q(start__gte=s)) for n, s in since.items()}
            sums |= {f"bad_{n}": Sum("failing", filter=Q(start__gte=s)) for n, s in since.items()}
            for row in rows.values("monitor_id").annotate(**sums):
                for name in since:
                    good[row["monitor_id"], name] += row[f"good_{name}"] or 0
                    bad[row["monitor_id"], name] += row[f"bad_{name}"] or 0
        seen: Any = (
            Result.objects.filter(monitor_id__in=ids, ts__gte=min(in_raw.values()), ts__lte=at)
            .exclude(status=UNKNOWN)
            .order_by()
        )
        counts = {f"n_{name}": Count("ts", filter=Q(ts__gte=since)) for name, since in in_raw.items()}
        for row in seen.values("monitor_id", "status").annotate(**counts):
            into = bad if row["status"] == FAILING else good
            for name in in_raw:
                into[row["monitor_id"], name] += row[f"n_{name}"]
    return {pk: {name: percentage(good[pk, name], bad[pk, name]) for name in WINDOWS} for pk in ids}


# --- Latency --------------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Slice:
    """What was seen from `start` on: counts of checks and a latency histogram (buckets of monitors.rollups)."""

    start: datetime
    up: int = 0
    degraded: int = 0
    failing: int = 0
    unknown: int = 0
    latency_sum_ms: float = 0.0
    latency: list[int] = field(default_factory=lambda: [0] * BUCKETS)

    def add(self, other: Slice) -> None:
        """Count another one in."""
        self.up, self.degraded, self.failing, self.unknown = (
            self.up + other.up,
            self.degraded + other.degraded,
            self.failing + other.failing,
            self.unknown + other.unknown,
        )
        self.latency_sum_ms += other.latency_sum_ms
        self.latency = added(self.latency, other.latency)

    @property
    def checks(self) -> int:
        return self.up + self.degraded + self.failing + self.unknown

    @property
    def uptime(self) -> float | None:
        return percentage(self.up + self.degraded, self.failing)

    @property
    def average(self) -> float | None:
        """Mean latency in ms of the answers; None without any."""
        answers = sum(self.latency)
        return self.latency_sum_ms / answers if answers else None

    @property
    def p50(self) -> float | None:
        return quantile(self.latency, 0.50)

    @property
    def p95(self) -> float | None:
        return quantile(self.latency, 0.95)

    @property
    def p99(self) -> float | None:
        return quantile(self.latency, 0.99)


@dataclass(slots=True)
class History:
    """One monitor's window, by time and probe; everything a page shows of it without another query."""

    window: str
    since: datetime
    step_seconds: int
    cells: dict[tuple[datetime, int], Slice]

    def slices(self, probe: int | None = None) -> list[Slice]:
        """Oldest first; times without checks are left out. `probe`: only what that one saw."""
        found: dict[datetime, Slice] = {}
        for (start, seen_by), cell in self.cells.items():
            if probe in (None, seen_by):
                found.setdefault(start, Slice(start)).add(cell)
        return [found[start] for start in sorted(found)]

    def points(self, probe: int | None = None) -> list[tuple[datetime, float | None, float | None]]:
        """(time, p50, p95) in ms, as portal.charts.band takes them."""
        return [(s.start, s.p50, s.p95) for s in self.slices(probe)]

    def total(self, probe: int | None = None) -> Slice:
        """The whole window in one: uptime, p50, p95, p99."""
        whole = Slice(self.since)
        for (_, seen_by), cell in self.cells.items():
            if probe in (None, seen_by):
                whole.add(cell)
        return whole

    def by_probe(self) -> dict[int, Slice]:
        """{probe id: its whole window}."""
        return {probe: self.total(probe) for probe in sorted({p for _, p in self.cells})}


def load(monitor: Monitor, window: str, at: datetime) -> History:
    """A monitor's window (a key of WINDOWS) up to `at`. Raises KeyError for another word."""
    span = WINDOWS[window]
    cells: dict[tuple[datetime, int], Slice] = {}
    step = RAW_STEPS.get(window, 0)
    if step and window != "1h":
        expected = span.total_seconds() / monitor.interval_seconds * max(1, monitor.views.count())
        step = step if expected <= MOST_RAW else 0
    if step:
        since = at - span
        _count_raw(cells, monitor.pk, since, at, step)
        return History(window, since, step, cells)
    raw = raw_since(at)
    if window in BY_DAY:
        since, step, day = day_of(at) - DAY * (span.days - 1), 86400, day_of(raw)
        _read(cells, monitor.pk, Rollup.Period.DAY, since, day, step)
        _read(cells, monitor.pk, Rollup.Period.HOUR, max(since, day), raw, step)
    else:
        since, step = hour_of(at - span), 3600
        _read(cells, monitor.pk, Rollup.Period.HOUR, since, raw, step)
    _count_raw(cells, monitor.pk, max(since, raw), at, step)
    return History(window, since, step, cells)


def _read(
    cells: dict[tuple[datetime, int], Slice], monitor: int, period: str, since: datetime, until: datetime, step: int
) -> None:
    fields = ("start", "probe_id", "up", "degraded", "failing", "unknown", "latency_sum_ms", "latency")
    for start, probe, *counts, total, latency in _rolled([monitor], period, since, until).values_list(*fields):
        _into(cells, start, probe, step).add(Slice(start, *counts, latency_sum_ms=total, latency=latency))


def _count_raw(
    cells: dict[tuple[datetime, int], Slice], monitor: int, since: datetime, until: datetime, step: int
) -> None:
    epoch = (
        "floor(extract(epoch from ts))::bigint"
        if connection.vendor == "postgresql"
        else "CAST(strftime('%%s', ts) AS INTEGER)"
    )
    sql = (
        f"SELECT {epoch} / {int(step)}, probe_id, status, CASE WHEN total_ms IS NULL THEN NULL ELSE {bucket_sql()} END, count(*), sum(total_ms) "
        "FROM monitors_result WHERE monitor_id = %s AND ts >= %s AND ts <= %s GROUP BY 1, 2, 3, 4"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [monitor, parameter(since), parameter(until)])
        for number, probe, status, bucket, n, total in cursor.fetchall():
            start = datetime.fromtimestamp(number * step, UTC)
            cell = _into(cells, start, probe, step)
            if status == FAILING:
                cell.failing += n
            elif status == UNKNOWN:
                cell.unknown += n
            else:
                cell.up, cell.degraded = cell.up + n * (status == UP), cell.degraded + n * (status == DEGRADED)
                if bucket is not None:
                    cell.latency[bucket] += n
                    cell.latency_sum_ms += total or 0.0


def _into(cells: dict[tuple[datetime, int], Slice], at: datetime, probe: int, step: int) -> Slice:
    start = datetime.fromtimestamp(int(at.timestamp()) // step * step, UTC)
    return cells.setdefault((start, probe), Slice(start))


# --- Bars -----------------------------------------------------------------------------------------------------------------
def bars(monitors: Iterable[int], at: datetime, days: int = 90) -> dict[int, list[dict[str, Any]]]:
    """{monitor: one entry a UTC day, oldest first, today last}: {"day", "uptime", "checks", "failing", "label"} for charts.bars_90."""
    ids, today = list(monitors), day_of(at)
    first = today - DAY * (days - 1)
    good: dict[tuple[int, datetime], int] = defaultdict(int)
    bad: dict[tuple[int, datetime], int] = defaultdict(int)
    if ids:
        raw = raw_since(at)
        whole = _rolled(ids, Rollup.Period.DAY, first, day_of(raw))
        hours = _rolled(ids, Rollup.Period.HOUR, max(first, day_of(raw)), raw)
        for rows in (whole, hours):
            for pk, start, well, ill in rows.values_list("monitor_id", "start").annotate(
                well=Sum(F("up") + F("degraded")), ill=Sum("failing")
            ):
                good[pk, day_of(start)] += well
                bad[pk, day_of(start)] += ill
        begin = max(raw, first)
        edges = [day_of(begin) + DAY * n for n in range((today - day_of(begin)).days + 1)]
        counts = {f"n{i}": Count("ts", filter=Q(ts__gte=edge, ts__lt=edge + DAY)) for i, edge in enumerate(edges)}
        seen: Any = (
            Result.objects.filter(monitor_id__in=ids, ts__gte=begin, ts__lte=at).exclude(status=UNKNOWN).order_by()
        )
        for row in seen.values("monitor_id", "status").annotate(**counts):
            into = bad if row["status"] == FAILING else good
            for i, edge in enumerate(edges):
                into[row["monitor_id"], edge] += row[f"n{i}"]
    return {
        pk: [_bar(first + DAY * n, good[pk, first + DAY * n], bad[pk, first + DAY * n]) for n in range(days)]
        for pk in ids
    }


def _bar(day: datetime, good: int, bad: int) -> dict[str, Any]:
    label = f"{bad} of {good + bad} checks failed" if bad else ""
    return {"day": day.date(), "uptime": percentage(good, bad), "checks": good + bad, "failing": bad, "label": label}


# --- The last result --------------------------------------------------------------------------------------------------------
def latest(monitors: Iterable[int]) -> dict[int, Result]:
    """{monitor: its newest result}, for many monitors in two queries; monitors without any are left out."""
    looked = ProbeState.objects.filter(monitor__in=list(monitors), last_at__isnull=False).order_by("last_at", "pk")
    newest = {view.monitor_id: view for view in looked}
    keys = [(v.monitor_id, v.last_at, v.probe_id) for v in newest.values()]
    kept = {r.monitor_id: r for r in Result.objects.filter(pk__in=keys).order_by()} if keys else {}
    return {pk: kept.get(pk) or _from_view(view) for pk, view in newest.items()}


def _from_view(v: ProbeState) -> Result:
    """The raw row is gone (older than the days it is kept): what the schedule's row still knows of it."""
    return Result(
        monitor_id=v.monitor_id,
        ts=v.last_at,
        probe_id=v.probe_id,
        status=v.status,
        total_ms=v.last_ms,
        error_class=v.error_class,
        message=v.message,
    )
