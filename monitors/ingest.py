"""How do a remote probe's results get in? A batch at a time, each number at most once, in one transaction with its views.

Young results go through the same pure `engine.observe` as our own. What is late, seen blind, seen by old settings or
older than the view is history: stored, never judged, so nobody is paged for the past. Nothing of a batch is believed
before all of it was looked at, and a result of a monitor that is not this probe's refuses the whole.
"""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.core.cache import cache
from django.db import connection, transaction

from monitors import acting, engine, findings, host_findings, partitions, remote, store
from monitors.checks.base import ERROR_CLASSES, Outcome, Status, safe_sentence
from monitors.models import Host, HostSample, Monitor, Probe, ProbeState, Result
from monitors.probe.clock import EPOCH
from monitors.remote import Caller, Denied
from monitors.watching import KEPT
from portal import audit, bells
from portal.audit import Actor
from portal.clock import parameter

log = logging.getLogger("watchkeeper.ingest")

MOST_WIRE, MOST_PLAIN, MOST_RESULTS = 1024 * 1024, 8 * 1024 * 1024, 2000
MOST_HEALTH = 40
RATE = 100_000  # results a minute from one probe
YOUNG = timedelta(seconds=30)  # older ones are history
AHEAD = timedelta(seconds=2)  # a probe's idea of our time may be ahead by so much; more is brought back to now
ON_THE_WAY = timedelta(seconds=5)  # from the end of a check until its result is here, when all is well
FOREIGN_SAID = timedelta(hours=1)  # between two audit entries about results that were not asked for
LARGEST = 2**62
FACTS = ("certificate", "domain", "host", "containers")  # what a result may bring beside its figures


# --- What came over the wire ----------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Row:
    """One result."""

    seq: int
    monitor: int
    at: datetime
    status: int
    phases: tuple[float | None, ...]  # dns, connect, tls, first byte, total: milliseconds
    loss: float | None
    http_status: int | None
    error_class: str
    message: str
    version: int
    more: dict[str, Any]


@dataclass(slots=True)
class Batch:
    """A request's body, checked."""

    rows: list[Row]
    health: dict[str, Any]
    blind: str
    anchors_ok_at: datetime | None


def unpack(body: bytes, encoding: str) -> bytes:
    """The plain body. Denied (413) for more than 8 MB of it, however small it was packed; (400) for what is no gzip."""
    if len(body) > MOST_WIRE:
        raise Denied(413, "too_large", "At most 1 MB on the wire; send fewer results at a time.")
    if encoding not in ("", "identity", "gzip"):
        raise Denied(415, "encoding", "Content-Encoding: gzip or none.")
    if encoding != "gzip":
        return body
    try:
        plain = zlib.decompressobj(wbits=31)
        found = plain.decompress(body, MOST_PLAIN + 1)
    except zlib.error:
        raise Denied(400, "invalid", "The body is not gzip.") from None
    if len(found) > MOST_PLAIN:
        raise Denied(413, "too_large", "At most 8 MB unpacked; send fewer results at a time.")
    if not plain.eof or plain.unused_data:
        raise Denied(400, "invalid", "The body is cut short, or more than one gzip.")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def read(plain: bytes, at: datetime) -> Batch:
    """The batch in a body. Denied (400) for whatever does not fit; nothing is guessed."""
    try:
        said = json.loads(plain, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Denied(400, "invalid", "The body is not JSON.") from None
    results = said.get("results") if isinstance(said, dict) else None
    if not isinstance(results, list):
        raise Denied(400, "invalid", "results: a list.")
    if len(results) > MOST_RESULTS:
        raise Denied(413, "too_large", f"At most {MOST_RESULTS} results at a time.")
    rows, last = [], 0
    for raw in results:
        row = _row(raw, at)
        if row is None or row.seq <= last:
            raise Denied(400, "invalid", f"results: number {len(rows)} does not fit.")
        last = row.seq
        rows.append(row)
    blind, anchors = said.get("blind", ""), said.get("anchors_ok_us")
    return Batch(
        rows,
        _health(said.get("health")),
        safe_sentence(blind[:300]) if isinstance(blind, str) else "",
        min(EPOCH + timedelta(microseconds=anchors), at) if type(anchors) is int and 0 < anchors < 2**53 else None,
    )


def _row(raw: Any, at: datetime) -> Row | None:
    """[number, monitor, microseconds, status, dns, connect, tls, first byte, total, loss, HTTP status, class, message, version, more]"""
    if type(raw) is not list or len(raw) != 15:
        return None
    seq, monitor, us, status, dns, connect, tls, first, total, loss, code, error_class, message, version, more = raw
    if not (
        type(seq) is int and 0 < seq < LARGEST and type(monitor) is int and 0 < monitor < LARGEST and type(us) is int and 0 < us < 2**53
        and type(status) is int and 0 <= status <= 3 and type(version) is int and 0 <= version < 2**31
        and type(error_class) is str and (not error_class or error_class in ERROR_CLASSES) and type(message) is str and len(message) <= 300
        and (code is None or (type(code) is int and 0 <= code <= 999)) and (loss is None or (type(loss) in _NUMBER and 0 <= loss <= 100))
        and (more is None or type(more) is dict)
    ):  # fmt: skip
        return None
    phases = (dns, connect, tls, first, total)
    for value in phases:
        if value is not None and not (type(value) in _NUMBER and 0 <= value <= 1e9):
            return None
    moment = EPOCH + timedelta(microseconds=us)
    if moment > at + AHEAD:
        moment = at
    return Row(seq, monitor, moment, status, phases, loss, code, error_class, _clean(message), version, more or {})


_NUMBER = (int, float)


def _clean(message: str) -> str:
    return message if message.isprintable() else safe_sentence(message)


def _health(said: Any) -> dict[str, Any]:
    """A probe's words about itself: some short numbers and sentences by name; anything else is left out."""
    found: dict[str, Any] = {}
    for name, value in list(said.items())[:MOST_HEALTH] if isinstance(said, dict) else ():
        if not (isinstance(name, str) and len(name) <= 40 and name.isprintable()) or name in (*KEPT, "blind"):
            continue
        if isinstance(value, bool) or (type(value) in _NUMBER and -1e15 < value < 1e15):
            found[name] = value
        elif isinstance(value, str):
            found[name] = safe_sentence(value[:200])
        elif name == "actions":
            found[name] = acting.offers(value)
    return found


# --- The door ---------------------------------------------------------------------------------------------------------------
@dataclass(slots=True)
class Taken:
    """What came of a batch."""

    result_seq: int
    judged: int = 0
    late: int = 0  # stored as history
    dropped: int = 0  # neither: paused since, or from a day that is not kept any more
    rows: list[store.Done] = field(default_factory=list)  # those with more to note
    samples: list[Row] = field(default_factory=list)  # late ones that bring a machine's figures


def take(caller: Caller, batch: Batch) -> Taken:
    """Take a batch over, whole or not at all. Denied for foreign monitors and for too many; the same batch twice changes nothing."""
    probe, at = caller.probe, caller.at
    _within_rate(probe, len(batch.rows))
    with transaction.atomic():
        probe = Probe.objects.select_for_update().get(pk=probe.pk)
        before = probe.result_seq
        rows = [r for r in batch.rows if r.seq > before]
        views = _views(probe, {r.monitor for r in rows})
        foreign = {r.monitor for r in rows} - views.keys()
        if not foreign:
            taken = Taken(rows[-1].seq if rows else before)
            if rows:
                _write(probe, rows, views, at, taken)
            _note_probe(caller, probe, batch, taken.result_seq)
    if foreign:
        _foreign(probe, foreign, at)
        raise Denied(
            403,
            "foreign",
            f"{len(foreign)} monitors of these results are not this probe's to watch.",
            monitors=sorted(foreign)[:MOST_RESULTS],
        )
    if taken.rows:
        try:
            findings.note(taken.rows)
        except Exception:  # the results are in; a certificate that could not be noted comes again within the hour
            log.exception("what results of probe %s brought beside them could not be noted", probe.slug)
    return taken


def _within_rate(probe: Probe, count: int) -> None:
    """A fixed number a minute, counted in the cache; without a cache nobody is refused."""
    now = time.time()
    key = f"probe-results:{probe.pk}:{int(now // 60)}"
    try:
        cache.add(key, 0, 61)
        seen = int(cache.incr(key, count) or 0) if count else 0
    except Exception as error:  # noqa: BLE001 - whatever the cache does, results are not lost for it
        log.debug("results not counted: %s", type(error).__name__)
        return
    if seen > RATE:
        raise Denied(429, "throttled", f"At most {RATE} results a minute.", retry_after=max(1, int(60 - now % 60)))


def _foreign(probe: Probe, monitors: set[int], at: datetime) -> None:
    """Results nobody asked this probe for. A monitor taken from it a moment ago is no crime; others are put on record."""
    exist = set(Monitor.objects.filter(pk__in=monitors).values_list("pk", flat=True))
    since = at - timedelta(days=1)
    ours = set(Result.objects.filter(monitor_id__in=exist, probe_id=probe.pk, ts__gt=since).order_by().values_list("monitor_id", flat=True).distinct())  # fmt: skip
    strange = sorted(exist - ours)
    if not strange:
        return
    with transaction.atomic():
        row = Probe.objects.select_for_update().get(pk=probe.pk)
        said_at = row.health.get("foreign_at")
        if said_at and at - datetime.fromisoformat(said_at) < FOREIGN_SAID:
            return
        row.health = {**row.health, "foreign_at": at.isoformat()}
        row.save(update_fields=["health"])
        audit.record("probe.foreign_results", row, by=Actor(f"probe {row.slug}"), client_id=row.client_id, after={"monitors": strange[:20], "count": len(strange)})  # fmt: skip
    log.warning("probe %s sent results of %d monitors that are not its own", probe.slug, len(strange))


def _note_probe(caller: Caller, probe: Probe, batch: Batch, seq: int) -> None:
    """What the batch says of the probe itself. The row is locked; the number rises only from where it was read."""
    at = caller.at
    kept = {name: value for name, value in probe.health.items() if name in KEPT}
    health = {**batch.health, **kept, "said_at": caller.made_at.isoformat()} | (
        {"blind": batch.blind} if batch.blind else {}
    )
    offset = batch.health.get("clock_offset_ms")
    values: dict[str, Any] = {"result_seq": seq, "health": health, "last_seen_at": at}
    if type(offset) is int and abs(offset) < 2**31:
        values["clock_offset_ms"] = offset
    newer = batch.anchors_ok_at is not None and (
        probe.anchors_ok_at is None or batch.anchors_ok_at > probe.anchors_ok_at
    )
    if newer:
        values["anchors_ok_at"] = batch.anchors_ok_at
    if not Probe.objects.filter(pk=probe.pk, result_seq=probe.result_seq).update(**values):
        raise RuntimeError("a probe's number changed under its lock")
    if newer and probe.anchors:
        waiting = ProbeState.objects.filter(probe=probe, active=True, status=engine.FAILING, settled=False)
        if waiting.update(changed=True):
            bells.ring_on_commit(bells.EVALUATE)


# --- Views ------------------------------------------------------------------------------------------------------------------
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


def _views(probe: Probe, monitors: set[int]) -> dict[int, Seen]:
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


def _write(probe: Probe, rows: Sequence[Row], views: dict[int, Seen], at: datetime, taken: Taken) -> None:
    history, kept_day = [], _kept_days()
    oldest = at - YOUNG
    for r in rows:
        seen = views[r.monitor]
        if not seen.active or not kept_day(r.at):
            taken.dropped += 1
            continue
        history.append(_result(probe.pk, r))
        before = seen.view
        judged = r.at >= oldest and r.version == seen.version and "blind" not in r.more and not _unseen(before, r.at)
        view = (
            engine.observe(before, r.status, r.at, error_class=r.error_class, message=r.message) if judged else before
        )
        if view is before:
            taken.late += 1
            if isinstance(r.more.get("host"), dict):
                taken.samples.append(r)
            continue
        taken.judged += 1
        seen.view, seen.last_ms = view, r.phases[4]
        seen.count += 1
        seen.changed |= view.status != before.status or view.error_class != before.error_class or not engine.settled(view, seen.limits)  # fmt: skip
        seen.due_at = (
            engine.next_due(view, seen.limits, r.at, r.at) + timedelta(seconds=seen.limits.timeout) + ON_THE_WAY
        )
        if r.more or (view.streak == 1 and view.status in (engine.FAILING, engine.DEGRADED)):
            taken.rows.append(_done(probe.pk, r, seen, before))
    _append(history)
    _keep_samples(probe, taken.samples)
    _save([s for s in views.values() if s.count], at)
    if any(s.changed or s.view.stale for s in views.values() if s.count):
        bells.ring_on_commit(bells.EVALUATE)


def _unseen(view: engine.View, at: datetime) -> bool:
    """Was this seen while the probe was taken for blind? When sight returns a view begins anew, at `since`; what is older is history."""
    return view.stale and view.streak == 0 and view.since is not None and at < view.since


def _keep_samples(probe: Probe, rows: Sequence[Row]) -> None:
    """A machine's figures that come late: a minute of its history each, from the machine it came from before; nothing follows from them."""
    if not rows:
        return
    machines = Monitor.objects.filter(pk__in={r.monitor for r in rows}, kind="host", enabled=True)
    known = set(machines.values_list("pk", flat=True))
    facts = Host.objects.filter(monitor__in=known).values_list("monitor_id", "facts")
    known -= {pk for pk, said in facts if said.get("probe") not in (None, probe.pk)}
    HostSample.objects.bulk_create(
        [
            HostSample(monitor_id=r.monitor, at=r.at.replace(second=0, microsecond=0), values=host_findings.numbers(r.more["host"].get("values")))
            for r in rows
            if r.monitor in known
        ],
        ignore_conflicts=True,
    )  # fmt: skip


def _kept_days() -> Callable[[datetime], bool]:
    """May a result of that moment be stored? On PostgreSQL only where its day has a partition."""
    if connection.vendor != "postgresql":
        return lambda at: True
    days = frozenset(partitions.existing())
    return lambda at: at.date() in days


def _result(probe: int, r: Row) -> tuple[Any, ...]:
    """In the order of the store's result columns."""
    return (
        r.monitor, r.at, probe, r.status, *r.phases, r.loss, r.http_status, r.error_class, r.message if r.status != engine.UP else "",
    )  # fmt: skip


def _done(probe: int, r: Row, seen: Seen, before: engine.View) -> store.Done:
    """The same result as the prober's storer hands it to `findings`."""
    body = r.more.get("body")
    outcome = Outcome(
        Status(r.status), r.message, r.error_class, *r.phases, http_status=r.http_status, body=body[:2048].encode("utf-8", "replace") if isinstance(body, str) else None,
        facts=_facts(r.more),
    )  # fmt: skip
    claim = store.Claim(seen.id, r.monitor, probe, 0, r.at, before, r.version, {})
    return store.Done(claim, outcome, r.at, replace(seen.view), seen.due_at, True)


def _facts(more: dict[str, Any]) -> dict[str, Any]:
    """Facts as the check files write them. A probe may be anybody's: what does not fit is left out."""
    found = {name: _plain(more[name]) for name in FACTS if isinstance(more.get(name), dict)}
    if "certificate" in found and not (
        _is_time(found["certificate"].get("not_after")) and _is_fingerprint(found["certificate"].get("fingerprint"))
        and (found["certificate"].get("not_before") in (None, "") or _is_time(found["certificate"]["not_before"]))
        and isinstance(found["certificate"].get("names", []), list)
        and isinstance(found["certificate"].get("chain_error") or "", str)
    ):  # fmt: skip
        del found["certificate"]
    if "domain" in found and not _is_time(found["domain"].get("expires_at")):
        del found["domain"]
    return found


def _plain(value: Any, depth: int = 6) -> Any:
    """A JSON value without what no database takes (NUL, half characters) and without end."""
    if isinstance(value, str):
        return value if value.isprintable() else value.encode("utf-8", "replace").decode().replace("\x00", "")
    if isinstance(value, dict):
        return {_plain(k[:200]): _plain(v, depth - 1) for k, v in list(value.items())[:1000]} if depth else None
    if isinstance(value, list):
        return [_plain(v, depth - 1) for v in value[:1000]] if depth else None
    return (
        value if value is None or isinstance(value, bool) or (type(value) in _NUMBER and abs(value) < 2**63) else None
    )


def _is_time(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _is_fingerprint(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 64 and value.isalnum()


# --- Sets -------------------------------------------------------------------------------------------------------------------
_TYPES = {
    "monitor_id": "bigint", "ts": "timestamptz", "probe_id": "bigint", "status": "smallint", "http_status": "smallint", "error_class": "text", "message": "text",
}  # fmt: skip
_RESULT = store._RESULT
_APPEND = (
    f"INSERT INTO monitors_result ({', '.join(_RESULT)}) SELECT * FROM unnest("
    + ", ".join(f"%s::{_TYPES.get(name, 'double precision')}[]" for name in _RESULT)
    + ") ON CONFLICT DO NOTHING RETURNING 1"
)


def _append(rows: list[tuple[Any, ...]]) -> None:
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


def _save(seen: Sequence[Seen], at: datetime) -> None:
    """Write the views, fenced by their last result's time. Their rows are locked, in order, by `_views`."""
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
