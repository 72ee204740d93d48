"""How are checks claimed and their results kept, hundreds at a time? In sets, with one small back end per database.

A claim is a conditional update with a lease and a fencing token. A result counts only where its token still stands, so
whatever a worker does after it was presumed dead changes nothing. Steady results never become Django objects.
"""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from django.db import connection, transaction
from django.db.models import Q

from monitors import engine
from monitors.checks.base import Outcome
from monitors.models import ProbeState
from portal.clock import parameter

LEASE_MARGIN = timedelta(seconds=15)
AHEAD = timedelta(seconds=0.5)  # claimed so early, started when due


@dataclass(slots=True)
class Claim:
    """One check to make: the schedule's row as it was, under our token."""

    id: int
    monitor: int
    probe: int
    token: int
    due_at: datetime
    view: engine.View
    config_version: int
    facts: dict[str, Any]


@dataclass(slots=True)
class Done:
    """One check that was made: what it saw, when, and what follows for the row."""

    claim: Claim
    outcome: Outcome
    at: datetime
    view: engine.View
    next_due_at: datetime
    changed: bool


_CLAIM = """
UPDATE monitors_probestate AS s SET claimed_by = %(worker)s, lease_token = %(token)s, lease_until = {until}, rush = %(no)s
FROM monitors_monitor AS m
WHERE m.id = s.monitor_id AND s.lease_token IS NULL AND s.id IN (
  SELECT d.id FROM monitors_probestate AS d
  WHERE d.active = %(yes)s AND d.lease_token IS NULL AND d.next_due_at <= %(soon)s {probes}
  ORDER BY d.next_due_at LIMIT %(limit)s {lock})
RETURNING {returning}
"""
_CLAIMED = (
    "id",
    "monitor_id",
    "probe_id",
    "next_due_at",
    "status",
    "streak",
    "since",
    "last_at",
    "vote",
    "error_class",
    "facts",
)
_RETURNING = {
    "postgresql": ", ".join(f"s.{name}" for name in _CLAIMED) + ", m.config_version",
    # SQLite names only the changed table there, and without its alias.
    "sqlite": ", ".join(_CLAIMED) + ", (SELECT c.config_version FROM monitors_monitor AS c WHERE c.id = monitor_id)",
}


def new_token() -> int:
    """A fencing token."""
    return random.getrandbits(62)


def claim(worker: str, probes: Sequence[int], limit: int, at: datetime, token: int | None = None) -> list[Claim]:
    """Take up to `limit` checks of these probes that are due, or will be within half a second.

    When it raises, rows may have been taken all the same (committed, and the answer lost): `forgo` the token then.
    """
    if limit <= 0 or not probes:
        return []
    token = new_token() if token is None else token
    postgres = connection.vendor == "postgresql"
    values: dict[str, Any] = {
        "worker": worker,
        "token": token,
        "yes": True,
        "no": False,
        "soon": parameter(at + AHEAD),
        "limit": limit,
    }
    if postgres:
        until = "%(at)s + make_interval(secs => m.timeout_seconds + %(margin)s)"
        values |= {"at": at, "margin": LEASE_MARGIN.total_seconds()}
    else:
        until = "strftime('%%Y-%%m-%%d %%H:%%M:%%f', %(at)s, '+' || (m.timeout_seconds + %(margin)s) || ' seconds')"
        values |= {"at": at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"), "margin": LEASE_MARGIN.total_seconds()}
    names = []
    for number, probe in enumerate(probes):
        values[f"probe{number}"] = probe
        names.append(f"%(probe{number})s")
    sql = _CLAIM.format(
        until=until,
        probes=f"AND d.probe_id IN ({', '.join(names)})",
        lock="FOR UPDATE SKIP LOCKED" if postgres else "",
        returning=_RETURNING[connection.vendor],
    )
    with transaction.atomic():
        rows = _run(sql, values)
    return [
        Claim(
            id=r[0], monitor=r[1], probe=r[2], token=token, due_at=_time(r[3]) or at, config_version=r[11], facts=r[10] if isinstance(r[10], dict) else json.loads(r[10] or "{}"),
            view=engine.View(probe=r[2], status=r[4], streak=r[5], since=_time(r[6]), last_at=_time(r[7]), vote=r[8], error_class=r[9]),
        )
        for r in rows
    ]  # fmt: skip


def _run(sql: str, values: Any) -> list[tuple[Any, ...]]:
    """The rows of one statement. On PostgreSQL its values travel beside it, in binary: Django would write them into the text."""
    if connection.vendor == "postgresql":
        connection.ensure_connection()
        with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
            return cursor.execute(sql, values, prepare=True, binary=True).fetchall()
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


def _time(value: Any) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value.astimezone(UTC) if value else None
    return datetime.fromisoformat(value).replace(tzinfo=UTC)


def seconds_to_next(probes: Sequence[int], at: datetime) -> float:
    """How long a prober may rest: until the next waiting check can be claimed, a second at most; 0 when one can be."""
    waiting = ProbeState.objects.filter(active=True, lease_token=None, probe__in=probes).order_by("next_due_at")
    soonest = waiting.values_list("next_due_at", flat=True).first()
    return 1.0 if soonest is None else min(1.0, max(0.0, (soonest - at - AHEAD).total_seconds()))


# --- Keeping results ---------------------------------------------------------------------------------------------------
_COLUMNS = (
    ("id", "bigint"), ("token", "bigint"), ("status", "smallint"), ("streak", "integer"), ("since", "timestamptz"), ("last_at", "timestamptz"), ("last_ms", "double precision"),
    ("error_class", "text"), ("message", "text"), ("next_due_at", "timestamptz"), ("changed", "boolean"),
)  # fmt: skip
_SET = """
 status = r.status, streak = r.streak, since = r.since, last_at = r.last_at, last_ms = r.last_ms, last_seq = s.last_seq + 1, error_class = r.error_class,
 message = r.message, next_due_at = CASE WHEN s.rush THEN r.last_at ELSE r.next_due_at END, changed = (s.changed OR r.changed OR s.stale OR NOT s.settled),
 rush = {no}, stale = {no}, claimed_by = '', lease_token = NULL, lease_until = NULL
"""
_SAVE_POSTGRES = (
    "WITH r AS (SELECT * FROM unnest("
    + ", ".join(f"%s::{kind}[]" for _, kind in _COLUMNS)
    + ") AS t("
    + ", ".join(name for name, _ in _COLUMNS)
    + ")), mine AS (SELECT s.id FROM monitors_probestate s JOIN r ON r.id = s.id AND r.token = s.lease_token ORDER BY s.id FOR UPDATE OF s) "
    + "UPDATE monitors_probestate s SET" + _SET.format(no="false") + "FROM r, mine WHERE mine.id = s.id AND r.id = s.id RETURNING s.id"
)  # fmt: skip
_SAVE_SQLITE = (
    "WITH r AS (SELECT " + ", ".join(f"value ->> {i} AS {name}" for i, (name, _) in enumerate(_COLUMNS)) + " FROM json_each(%s)) "
    + "UPDATE monitors_probestate AS s SET" + _SET.format(no="0") + "FROM r WHERE r.id = s.id AND r.token = s.lease_token RETURNING id"
)  # fmt: skip
_RESULT = (
    "monitor_id", "ts", "probe_id", "status", "dns_ms", "connect_ms", "tls_ms", "first_byte_ms", "total_ms", "loss_percent", "http_status", "error_class", "message",
)  # fmt: skip


def save(batch: Sequence[Done]) -> set[int]:
    """Write results; returns the ids of the rows that accepted theirs. The fence comes first: what was taken from us is not recorded."""
    if not batch:
        return set()
    batch = sorted(batch, key=lambda d: d.claim.id)
    rows = [
        (
            d.claim.id, d.claim.token, int(d.view.status), d.view.streak, d.view.since, d.view.last_at, d.outcome.total_ms, d.outcome.error_class,
            d.outcome.message[:300], d.next_due_at, d.changed,
        )
        for d in batch
    ]  # fmt: skip
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            accepted = {row[0] for row in _run(_SAVE_POSTGRES, [list(column) for column in zip(*rows, strict=True)])}
        else:
            plain = [[parameter(v) if isinstance(v, datetime) else v for v in row] for row in rows]
            accepted = {row[0] for row in _run(_SAVE_SQLITE, [json.dumps(plain)])}
        _append(cursor, [result_row(d) for d in batch if d.claim.id in accepted])
    return accepted


def result_row(d: Done) -> tuple[Any, ...]:
    """A result's columns, in the order of `_RESULT`. Steady successes carry no text."""
    o = d.outcome
    return (
        d.claim.monitor, d.at, d.claim.probe, int(o.status), _ms(o.dns_ms), _ms(o.connect_ms), _ms(o.tls_ms), _ms(o.first_byte_ms), _ms(o.total_ms),
        o.loss_percent, o.http_status, o.error_class, o.message[:300] if int(o.status) != engine.UP else "",
    )  # fmt: skip


def _ms(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _append(cursor: Any, rows: list[tuple[Any, ...]]) -> None:
    """Raw results: COPY on PostgreSQL, executemany on SQLite. The same moment twice is kept once."""
    if not rows:
        return
    if connection.vendor == "postgresql":
        with (
            connection.wrap_database_errors,
            cursor.cursor.copy(f"COPY monitors_result ({', '.join(_RESULT)}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)
        return
    marks = ", ".join(["%s"] * len(_RESULT))
    cursor.executemany(
        f"INSERT OR IGNORE INTO monitors_result ({', '.join(_RESULT)}) VALUES ({marks})",
        [[parameter(v) if isinstance(v, datetime) else v for v in row] for row in rows],
    )


def append_foreign(rows: Sequence[tuple[Any, ...]]) -> None:
    """Results that came by another way (a push, a remote probe): history only."""
    with transaction.atomic(), connection.cursor() as cursor:
        _append(cursor, list(rows))


# --- What the evaluator writes back ------------------------------------------------------------------------------------
def judged(rows: Sequence[tuple[int, int, int, bool]]) -> None:
    """(row id, last_seq as read, vote, settled): taken as looked at, unless a newer result came meanwhile."""
    if not rows:
        return
    rows = sorted(rows)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            ids, seqs, votes, rests = (list(c) for c in zip(*rows, strict=True))
            cursor.execute(
                "WITH r AS (SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::smallint[], %s::boolean[]) AS t(id, seq, vote, settled)), "
                "mine AS (SELECT s.id FROM monitors_probestate s JOIN r ON r.id = s.id ORDER BY s.id FOR UPDATE OF s) "
                "UPDATE monitors_probestate s SET vote = r.vote, settled = CASE WHEN s.last_seq = r.seq THEN r.settled ELSE false END, changed = (s.last_seq <> r.seq) "
                "FROM r, mine WHERE mine.id = s.id AND r.id = s.id",
                [ids, seqs, votes, rests],
            )
        else:
            cursor.executemany(
                "UPDATE monitors_probestate SET vote = %s, settled = CASE WHEN last_seq = %s THEN %s ELSE 0 END, changed = (last_seq <> %s) WHERE id = %s",
                [(vote, seq, rests, seq, pk) for pk, seq, vote, rests in rows],
            )


def rush(monitors: Sequence[int], at: datetime, *, not_probe: int | None = None) -> int:
    """Make every view of these monitors due now; one that is being checked is checked once more right after."""
    if not monitors:
        return 0
    rows = ProbeState.objects.filter(monitor__in=list(monitors), active=True)
    if not_probe is not None:
        rows = rows.exclude(probe=not_probe)
    with transaction.atomic():
        ids = list(rows.order_by("pk").select_for_update().values_list("pk", flat=True))
        waiting = ProbeState.objects.filter(pk__in=ids, lease_token=None, next_due_at__gt=at).update(next_due_at=at)
        return waiting + ProbeState.objects.filter(pk__in=ids, lease_token__isnull=False).update(rush=True)


def forgo(tokens: Collection[int]) -> int:
    """Give back whatever was claimed under tokens of which nothing was begun."""
    with transaction.atomic():
        ids = list(
            ProbeState.objects.filter(lease_token__in=list(tokens))
            .order_by("pk")
            .select_for_update()
            .values_list("pk", flat=True)
        )
        return ProbeState.objects.filter(pk__in=ids, lease_token__in=list(tokens)).update(
            claimed_by="", lease_token=None, lease_until=None
        )


def free(workers: Sequence[str], at: datetime) -> int:
    """Give back what dead workers had claimed, and what outlived its lease."""
    lost = Q(lease_until__lt=at)
    if workers:
        lost |= Q(claimed_by__in=list(workers))
    with transaction.atomic():
        ids = list(
            ProbeState.objects.filter(lost, lease_token__isnull=False)
            .order_by("pk")
            .select_for_update(skip_locked=True)
            .values_list("pk", flat=True)
        )
        return ProbeState.objects.filter(pk__in=ids).update(claimed_by="", lease_token=None, lease_until=None)
