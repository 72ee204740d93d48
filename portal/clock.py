"""What time is it? The database's clock decides what is due, leased, expired; Python's only measures durations."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import connection


def database_now() -> datetime:
    """The database's clock, now (not the transaction's start)."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT clock_timestamp()")
            return cursor.fetchone()[0].astimezone(UTC)
        cursor.execute("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')")
        return datetime.fromisoformat(cursor.fetchone()[0]).replace(tzinfo=UTC)


def parameter(at: datetime) -> object:
    """A time as a parameter of raw SQL, in the spelling the database stores."""
    return connection.ops.adapt_datetimefield_value(at)
