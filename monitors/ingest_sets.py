"""How are a batch's views read, and its results and views written? As sets, a statement each, on either database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db import connection

from monitors import engine, remote, store
from monitors.models import Probe, ProbeState
from portal.clock import parameter


@dataclass(slots=True)
class Seen:
    """A view with what this batch made of it."""

    id: int
    active: bool
    view: engine.View
    version: int
    limits: engine.Limits
    next_due_at: datetime
    due_at: datetime
    last_ms: float | None = None
    count: int = 0
    changed: bool = False


_VIEW = (
    "id", "monitor_id", "active", "status", "streak", "since", "last_at", "vote", "error_class", "message", "stale", "next_due_at", "monitor__config_version",
    "monitor__interval_seconds", "monitor__timeout_seconds", "monitor__confirmation_count", "monitor__confirmation_seconds", "monitor__recovery_count",
    "monitor__recovery_seconds",
)  # fmt: skip


@lru_cache(maxsize=4096)
def _limits(
    interval: float, timeout: float, count: int, seconds: float, back: int, back_seconds: float
) -> engine.Limits:
    return engine.Limits(
        interval=interval, timeout=timeout, confirmation_count=count, confirmation_seconds=seconds, recovery_count=back, recovery_seconds=back_seconds
    )  # fmt: skip


def views_of(probe: Probe, monitors: set[int]) -> dict[int, Seen]:
    """This probe's views of these monitors, locked in order. A private probe's views of other clients do not exist."""
    if not monitors:
        return {}
    rows = ProbeState.objects.filter(probe=probe, monitor__in=monitors).exclude(monitor__kind__in=remote.PASSIVE)
    if probe.client_id:
        rows = rows.filter(monitor__client=probe.client_id)
    found = {}
    for r in rows.order_by("pk").select_for_update(of=("self",)).values_list(*_VIEW):
        view = engine.View(
            probe=probe.pk, status=r[3], streak=r[4], since=r[5], last_at=r[6], vote=r[7], error_class=r[8], message=r[9], stale=r[10]
        )  # fmt: skip
        found[r[1]] = Seen(r[0], r[2], view, r[12], _limits(*r[13:]), r[11], r[11])
    return found


_TYPES = {
    "monitor_id": "bigint", "ts": "timestamptz", "probe_id": "bigint", "status": "smallint", "http_status": "smallint", "error_class": "text", "message": "text",
}  # fmt: skip
_RESULT = store._RESULT
_APPEND = (
    f"INSERT INTO monitors_result ({', '.join(_RESULT)}) SELECT * FROM unnest("
    + ", ".join(f"%s::{_TYPES.get(name, 'double precision')}[]" for name in _RESULT)
    + ") ON CONFLICT DO NOTHING RETURNING 1"
)


def append(rows: list[tuple[Any, ...]]) -> None:
    """Like the store's, but a moment that is there already (a probe's clock was set back) is passed over."""
    if not rows:
        return
    if connection.vendor == "postgresql":
        store._run(_APPEND, [list(column) for column in zip(*rows, strict=True)])
        return
    with connection.cursor() as cursor:
        store._append(cursor, rows)


_COLUMNS = (
    ("id", "bigint"), ("status", "smallint"), ("streak", "integer"), ("since", "timestamptz"), ("last_at", "timestamptz"), ("last_ms", "double precision"),
    ("n", "integer"), ("error_class", "text"), ("message", "text"), ("next_due_at", "timestamptz"), ("changed", "boolean"),
)  # fmt: skip
_SET = """
 status = r.status, streak = r.streak, since = r.since, last_at = r.last_at, last_ms = r.last_ms, last_seq = s.last_seq + r.n, error_class = r.error_class,
 message = r.message, next_due_at = r.next_due_at, changed = (s.changed OR r.changed OR s.stale OR NOT s.settled), rush = {no}, stale = {no}
"""
_FENCE = "WHERE r.id = s.id AND (s.last_at IS NULL OR s.last_at < r.last_at)"
_SAVE_POSTGRES = (
    "WITH r AS (SELECT * FROM unnest(" + ", ".join(f"%s::{kind}[]" for _, kind in _COLUMNS) + ") AS t(" + ", ".join(name for name, _ in _COLUMNS) + ")) "
    + "UPDATE monitors_probestate s SET" + _SET.format(no="false") + "FROM r " + _FENCE + " RETURNING s.id"
)  # fmt: skip
_SAVE_SQLITE = (
    "WITH r AS (SELECT " + ", ".join(f"value ->> {i} AS {name}" for i, (name, _) in enumerate(_COLUMNS)) + " FROM json_each(%s)) "
    + "UPDATE monitors_probestate AS s SET" + _SET.format(no="0") + "FROM r " + _FENCE + " RETURNING id"
)  # fmt: skip


def save(seen: Sequence[Seen], at: datetime) -> None:
    """Write the views, fenced by their last result's time. Their rows are locked, in order, by `views_of`."""
    if not seen:
        return
    rows = [
        (
            s.id, s.view.status, s.view.streak, s.view.since, s.view.last_at, s.last_ms, s.count, s.view.error_class, s.view.message[:300],
            # A look that was asked for after this result was made is still owed.
            s.next_due_at if s.view.last_at is not None and s.view.last_at < s.next_due_at <= at else s.due_at, s.changed,
        )
        for s in seen
    ]  # fmt: skip
    if connection.vendor == "postgresql":
        store._run(_SAVE_POSTGRES, [list(column) for column in zip(*rows, strict=True)])
        return
    plain = [[parameter(v) if isinstance(v, datetime) else v for v in row] for row in rows]
    store._run(_SAVE_SQLITE, [json.dumps(plain)])
