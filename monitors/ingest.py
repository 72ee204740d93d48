"""How do a remote probe's results get in? A batch at a time, each number at most once, in one transaction with its views.

Young results go through the same pure `engine.observe` as our own. What is late, seen blind, seen by old settings or
older than the view is history: stored, never judged, so nobody is paged for the past. Nothing of a batch is believed
before all of it was looked at, and a result of a monitor that is not this probe's refuses the whole.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db import connection, transaction

from monitors import engine, findings, host_findings, ingest_sets, partitions, store
from monitors.batches import MOST_RESULTS, Batch, Row, facts
from monitors.checks.base import Outcome, Status
from monitors.models import Host, HostSample, Monitor, Probe, ProbeState, Result
from monitors.remote import Caller, Denied
from monitors.watching import KEPT
from portal import audit, bells
from portal.audit import Actor

log = logging.getLogger("watchkeeper.ingest")

RATE = 100_000  # results a minute from one probe
YOUNG = timedelta(seconds=30)  # older ones are history
ON_THE_WAY = timedelta(seconds=5)  # from the end of a check until its result is here, when all is well
FOREIGN_SAID = timedelta(hours=1)  # between two audit entries about results that were not asked for


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
        views = ingest_sets.views_of(probe, {r.monitor for r in rows})
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


def _write(probe: Probe, rows: Sequence[Row], views: dict[int, ingest_sets.Seen], at: datetime, taken: Taken) -> None:
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
    ingest_sets.append(history)
    _keep_samples(probe, taken.samples)
    ingest_sets.save([s for s in views.values() if s.count], at)
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


def _done(probe: int, r: Row, seen: ingest_sets.Seen, before: engine.View) -> store.Done:
    """The same result as the prober's storer hands it to `findings`."""
    body = r.more.get("body")
    outcome = Outcome(
        Status(r.status), r.message, r.error_class, *r.phases, http_status=r.http_status, body=body[:2048].encode("utf-8", "replace") if isinstance(body, str) else None,
        facts=facts(r.more),
    )  # fmt: skip
    claim = store.Claim(seen.id, r.monitor, probe, 0, r.at, before, r.version, {})
    return store.Done(claim, outcome, r.at, replace(seen.view), seen.due_at, True)
