"""How do weeks of checks stay small? Each hour that is over becomes one row per monitor and probe, each day likewise.

Rolling an hour is idempotent: it is counted anew from the raw results and replaces what was there, so late results and
interrupted runs do no harm. The running hour is read from raw results, a few hundred rows of one monitor.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Max, Min

from monitors.models import Monitor, Probe, Result, Rollup
from portal.clock import parameter

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SETTLE = timedelta(minutes=3)  # results that were held up still find their hour
# Upper edges of the 32 latency buckets, in milliseconds: fine where sites answer, coarse above; the last is open.
EDGES = (
    1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 75, 100, 125, 150, 200, 250, 300, 400, 500, 650, 800, 1000, 1300, 1600, 2000, 3000, 5000, 8000, 15000, 30000,
)  # fmt: skip
BUCKETS = len(EDGES) + 1
SLICE = 2000
UNKNOWN, UP, DEGRADED, FAILING = 0, 1, 2, 3


def bucket_of(ms: float) -> int:
    """The bucket a latency falls in."""
    return next((i for i, edge in enumerate(EDGES) if ms < edge), len(EDGES))


def quantile(counts: Sequence[int], q: float) -> float | None:
    """The latency (ms) below which a share `q` of the answers came, interpolated within its bucket; None without answers."""
    total = sum(counts)
    if not total:
        return None
    wanted, seen = q * total, 0
    for i, n in enumerate(counts):
        if n and seen + n >= wanted:
            low = EDGES[i - 1] if i else 0
            high = EDGES[i] if i < len(EDGES) else EDGES[-1] * 2
            return low + (high - low) * (wanted - seen) / n
        seen += n
    return float(EDGES[-1])


def hour_of(at: datetime) -> datetime:
    """The hour a moment lies in."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def day_of(at: datetime) -> datetime:
    """The UTC day a moment lies in."""
    return hour_of(at).replace(hour=0)


def roll(at: datetime, most: int = 48) -> int:
    """Roll the hours that ended and are not rolled yet, at most 48 a run; then the days they complete. Returns hours rolled."""
    last = Rollup.objects.filter(period=Rollup.Period.HOUR).aggregate(m=Max("start"))["m"]
    if last is None:
        oldest = Result.objects.aggregate(m=Min("ts"))["m"]
        if oldest is None:
            return 0
        following = hour_of(oldest)
    else:
        following = last.astimezone(UTC) + HOUR
    done, days = 0, set()
    if last is not None and following + HOUR + SETTLE <= at:
        roll_hour(last.astimezone(UTC))  # it may be half written (a killed run), or have got late results since
    while following + HOUR + SETTLE <= at and done < most:
        if roll_hour(following) == 0 and done == 0:
            newer = Result.objects.filter(ts__gte=following + HOUR).aggregate(m=Min("ts"))[
                "m"
            ]  # nobody looked for a while: skip the gap
            if newer is None:
                break
            following = hour_of(newer)
            if following + HOUR + SETTLE > at:
                break
            continue
        days |= {day_of(following), day_of(following - HOUR)}  # the day before as well, in its successor's first hour
        following += HOUR
        done += 1
    for day in sorted(days):
        roll_day(day)
    return done


def roll_hour(start: datetime) -> int:
    """Count one hour from raw results; returns how many rows were written."""
    ids = Monitor._base_manager.aggregate(a=Min("id"), b=Max("id"))  # what is in the trash keeps its history
    if ids["a"] is None:
        return 0
    return sum(
        _write(_count(start, start + HOUR, low, low + SLICE), Rollup.Period.HOUR, start)
        for low in range(ids["a"], ids["b"] + 1, SLICE)
    )


def roll_day(day: datetime) -> int:
    """Add a day's hours up."""
    cells: dict[tuple[int, int], list[Any]] = defaultdict(_empty)
    rows = Rollup.objects.filter(period=Rollup.Period.HOUR, start__gte=day, start__lt=day + DAY)
    for monitor, probe, up, degraded, failing, unknown, total, latency in rows.values_list(
        "monitor_id", "probe_id", "up", "degraded", "failing", "unknown", "latency_sum_ms", "latency"
    ).iterator(chunk_size=5000):
        cell = cells[monitor, probe]
        cell[0] = [a + b for a, b in zip(cell[0], (unknown, up, degraded, failing), strict=True)]
        cell[1] += total
        cell[2] = added(cell[2], latency)
    return _write(cells, Rollup.Period.DAY, day)


def added(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """Two histograms together; an empty one counts as zeros."""
    if not b:
        return list(a)
    return [x + y for x, y in zip(a, b, strict=True)]


def _empty() -> list[Any]:
    return [[0, 0, 0, 0], 0.0, [0] * BUCKETS]


def bucket_sql() -> str:
    """The SQL expression for the bucket of total_ms."""
    if connection.vendor == "postgresql":
        return f"width_bucket(total_ms, ARRAY[{', '.join(f'{e}::double precision' for e in EDGES)}])"
    return (
        "CASE "
        + " ".join(f"WHEN total_ms < {edge} THEN {i}" for i, edge in enumerate(EDGES))
        + f" ELSE {len(EDGES)} END"
    )


def _count(start: datetime, end: datetime, low: int, high: int) -> dict[tuple[int, int], list[Any]]:
    sql = (
        f"SELECT monitor_id, probe_id, status, CASE WHEN total_ms IS NULL THEN NULL ELSE {bucket_sql()} END AS bucket, count(*), sum(total_ms) "
        "FROM monitors_result WHERE ts >= %s AND ts < %s AND monitor_id >= %s AND monitor_id < %s GROUP BY 1, 2, 3, 4"
    )
    cells: dict[tuple[int, int], list[Any]] = defaultdict(_empty)
    with connection.cursor() as cursor:
        cursor.execute(sql, [parameter(start), parameter(end), low, high])
        for monitor, probe, status, bucket, n, total in cursor.fetchall():
            cell = cells[monitor, probe]
            cell[0][status] += n
            if bucket is not None and status in (UP, DEGRADED):
                cell[1] += total or 0.0
                cell[2][bucket] += n
    return cells


def _write(cells: dict[tuple[int, int], list[Any]], period: str, start: datetime) -> int:
    if not cells:
        return 0
    alive = set(Monitor._base_manager.filter(pk__in={m for m, _ in cells}).values_list("pk", flat=True))
    standing = set(Probe.objects.values_list("pk", flat=True))
    rows: Iterable[Rollup] = (
        Rollup(
            monitor_id=m, probe_id=p, period=period, start=start, unknown=c[0][0], up=c[0][1], degraded=c[0][2], failing=c[0][3], latency_sum_ms=c[1], latency=c[2],
        )
        for (m, p), c in sorted(cells.items())
        if m in alive and p in standing
    )  # fmt: skip
    with transaction.atomic():
        written = Rollup.objects.bulk_create(
            rows, batch_size=1000, update_conflicts=True, unique_fields=["monitor", "probe", "period", "start"],
            update_fields=["up", "degraded", "failing", "unknown", "latency_sum_ms", "latency"],
        )  # fmt: skip
    return len(written)
