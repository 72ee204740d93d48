"""Where do results of a day lie? On PostgreSQL in that day's partition, made days ahead and dropped whole.

Creating and attaching an empty table takes a short lock (25 ms measured); `CREATE … PARTITION OF` waited 2 s under
load, and deleting a day's rows instead of dropping it costs a vacuum. There is no default partition: it would have
to be searched at each attach. SQLite keeps one table, pruned in slices.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from django.db import connection

DAYS_AHEAD = 3
SLICE = 20000


def name_of(day: date) -> str:
    """The partition's table name."""
    return f"monitors_result_{day:%Y%m%d}"


def existing() -> list[date]:
    """The days that have a partition, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'monitors_result'::regclass"
        )
        return sorted(date.fromisoformat(row[0].rpartition("_")[2]) for row in cursor.fetchall())


def ensure(first: date, last: date) -> list[date]:
    """Make the missing partitions of these days (inclusive); returns the days made. Nothing to do on SQLite."""
    if connection.vendor != "postgresql":
        return []
    have, made = set(existing()), []
    day = first
    while day <= last:
        if day not in have:
            table, following = name_of(day), day + timedelta(days=1)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(hashtext('monitors_result partitions'))")
                try:
                    cursor.execute("SELECT to_regclass(%s)", [table])
                    if cursor.fetchone()[0] is None:
                        cursor.execute(
                            f"CREATE TABLE {table} (LIKE monitors_result INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
                        )
                    if day not in existing():  # made a moment ago, or by somebody who was killed before attaching it
                        cursor.execute(
                            f"ALTER TABLE monitors_result ATTACH PARTITION {table} FOR VALUES FROM (%s) TO (%s)",
                            [f"{day.isoformat()}T00:00:00Z", f"{following.isoformat()}T00:00:00Z"],
                        )
                        made.append(day)
                finally:
                    cursor.execute("SELECT pg_advisory_unlock(hashtext('monitors_result partitions'))")
        day += timedelta(days=1)
    return made


def ensure_ahead(at: datetime) -> list[date]:
    """Today's, yesterday's and the next days' partitions."""
    today = at.astimezone(UTC).date()
    return ensure(today - timedelta(days=1), today + timedelta(days=DAYS_AHEAD))


def drop_before(day: date) -> int:
    """Forget raw results before `day`; returns how many partitions (PostgreSQL) or rows (SQLite) went."""
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            gone = 0
            while True:
                cursor.execute(
                    "DELETE FROM monitors_result WHERE rowid IN (SELECT rowid FROM monitors_result WHERE ts < %s LIMIT %s)",
                    [day.isoformat(), SLICE],
                )
                gone += cursor.rowcount
                if cursor.rowcount < SLICE:
                    return gone
        old = [d for d in existing() if d < day]
        cursor.execute(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'monitors_result'::regclass AND i.inhdetachpending"
        )
        half_done = {row[0] for row in cursor.fetchall()}
        for each in old:
            if name_of(each) in half_done:  # somebody was killed while detaching it
                cursor.execute(f"ALTER TABLE monitors_result DETACH PARTITION {name_of(each)} FINALIZE")
            elif connection.in_atomic_block:
                cursor.execute(f"ALTER TABLE monitors_result DETACH PARTITION {name_of(each)}")
            else:
                cursor.execute(f"ALTER TABLE monitors_result DETACH PARTITION {name_of(each)} CONCURRENTLY")
            cursor.execute(f"DROP TABLE {name_of(each)}")
        return len(old)
