"""How does a monitor look while all is well? A light sweep of its path now and then, and the times of its own checks.

A row of Baseline is a wish with a time: whoever may take it moves its time on (five minutes, should nothing come of it),
has it swept, and writes what was learned if the monitor was well before and after. Monitors of one target share a sweep.
Diagnoses come first: while a probe has one to measure it sweeps nothing, and never more than twenty a minute.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from monitors import engine, remote
from monitors.diagnosis import batteries, orders, owners, receiving, usual
from monitors.diagnosis.evidence import BatteryEvidence, Usual
from monitors.diagnosis.starting import able, share_key
from monitors.diagnosis.targets import READERS, target_of
from monitors.models import Baseline, Battery, Monitor, Probe, ProbeJob, ProbeState, Result, RouteChange
from monitors.models.monitor import State
from portal.errors import Refused

EVERY = timedelta(minutes=30)
RETRY = timedelta(minutes=5)  # what was taken and came to nothing
SPREAD = 0.2  # of EVERY, by a stable hash: what began together does not stay together
A_MINUTE, AT_ONCE = 20, 2  # sweeps per probe
SEED_EVERY = 30.0  # seconds between two looks for monitors that were never swept
SEEDED = 1000
LOOKED_AT = 200
JOB_FOR = timedelta(seconds=60)
JOB_PREFIX = "baseline:"
MOST_RESULTS = 40  # of the checks since the last sweep, for the usual times
PHASES = ("dns_ms", "connect_ms", "tls_ms", "first_byte_ms", "total_ms")
MOST_SILENT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Sweep:
    """One look at one target, and the baselines that learn from it."""

    probe: Probe
    monitor: Monitor
    baselines: tuple[int, ...]


class Budget:
    """How many sweeps may a probe begin now? `A_MINUTE` in any minute. Instants are time.monotonic()."""

    def __init__(self, most: int = A_MINUTE) -> None:
        self.most, self.begun = most, deque[float]()

    def left(self, instant: float) -> int:
        """How many more."""
        while self.begun and instant - self.begun[0] >= 60:
            self.begun.popleft()
        return max(0, self.most - len(self.begun))

    def spend(self, instant: float, n: int) -> None:
        """So many begin."""
        self.begun.extend([instant] * n)


def next_look(pk: int, at: datetime) -> datetime:
    """Half an hour from now, a tenth more or less, always the same for the same row."""
    share = (pk * 2654435761) % 1_000_003 / 1_000_003 - 0.5
    return at + EVERY * (1 + SPREAD * share)


# --- Whose turn is it? --------------------------------------------------------------------------------------------------
def well() -> Exists:
    """Does the outer baseline's probe see its monitor well, surely and now?"""
    seen = ProbeState.objects.filter(
        monitor=OuterRef("monitor_id"), probe=OuterRef("probe_id"), active=True, stale=False
    )
    return Exists(seen.filter(status=engine.UP, vote=engine.UP))


def seed(at: datetime) -> int:
    """A baseline for each view that is well and has none. Returns how many."""
    views = ProbeState.objects.filter(
        active=True, stale=False, status=engine.UP, vote=engine.UP, probe__enabled=True, monitor__state=State.UP, monitor__enabled=True,
        monitor__diagnose=True, monitor__kind__in=list(READERS),
    )  # fmt: skip
    has = Baseline.objects.filter(monitor=OuterRef("monitor_id"), probe=OuterRef("probe_id"))
    missing = views.exclude(Exists(has)).order_by().values_list("monitor_id", "probe_id")[:SEEDED]
    rows = [Baseline(monitor_id=monitor, probe_id=probe, next_at=at) for monitor, probe in missing]
    Baseline.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def _due(probe: Probe, at: datetime) -> QuerySet[Baseline]:
    rows = Baseline.objects.filter(
        well(), probe=probe, next_at__lte=at, monitor__state=State.UP, monitor__enabled=True, monitor__diagnose=True, monitor__in_maintenance=False
    )  # fmt: skip
    return rows.select_related("monitor").defer("data").order_by("next_at", "pk")


def take(probe: Probe, room: int, at: datetime) -> list[Sweep]:
    """Up to `room` sweeps for this probe, the longest waiting first; baselines of one target are one sweep."""
    if room <= 0 or not able(probe, at) or _diagnosing(probe, at):
        return []
    groups: dict[str, list[Baseline]] = {}
    aimless = []
    for row in _due(probe, at)[:LOOKED_AT]:
        target = target_of(row.monitor.kind, row.monitor.config)
        if target is None:
            aimless.append(row.pk)
        else:
            groups.setdefault(share_key(row.monitor, target), []).append(row)
    if aimless:
        Baseline.objects.filter(pk__in=aimless).update(next_at=at + timedelta(days=1))
    sweeps = []
    for rows in list(groups.values())[:room]:
        mine = [r.pk for r in rows if Baseline.objects.filter(pk=r.pk, next_at=r.next_at).update(next_at=at + RETRY)]
        if mine:
            sweeps.append(Sweep(probe, next(r.monitor for r in rows if r.pk == mine[0]), tuple(mine)))
    return sweeps


def _diagnosing(probe: Probe, at: datetime) -> bool:
    """Has this probe something to diagnose? Then that comes first."""
    return batteries.recent(at).filter(probe=probe, state__in=(Battery.State.WAITING, Battery.State.RUNNING)).exists()


# --- What was learned -----------------------------------------------------------------------------------------------------
def sound(sample: dict[str, Any]) -> bool:
    """Was all well during the sweep itself, as far as it looked? A sick sample would make the failure the usual."""
    check, connect = sample.get("check") or {}, sample.get("connect") or {}
    return check.get("status") in (None, "up") and connect.get("status") in (None, "ok", "some", "not_run")


def learn(sweep: Iterable[int], said: Any, probe: Probe, at: datetime) -> int:
    """Write what a sweep of this probe found to its baselines, where the monitor is still well. Returns how many learned."""
    sample = receiving.received(said, probe)
    if sample is None or not sound(sample):
        return 0
    owners.name_networks([sample])  # before the transaction: somebody may be asked
    with transaction.atomic():
        rows = Baseline.objects.filter(well(), pk__in=list(sweep), probe=probe, monitor__state=State.UP).order_by("pk")
        found = list(rows.select_for_update(of=("self",)))
        for row in found:
            _learn_one(row, cast(BatteryEvidence, sample), at)
    return len(found)


def _learn_one(row: Baseline, sample: BatteryEvidence, at: datetime) -> None:
    before = cast(Usual, row.data) if row.data else None
    change = usual.moved(before, sample)
    if change is not None:
        RouteChange.objects.create(monitor_id=row.monitor_id, probe_id=row.probe_id, at=at, **change)
    since = row.learned_at or at - EVERY
    now = usual.learn(before, sample, at.timestamp())
    for ts, times in _times(row, max(since, at - MOST_SILENT)):
        now = usual.phases(now, ts.hour, times)
    row.data, row.learned_at, row.next_at, row.samples = dict(now), at, next_look(row.pk, at), row.samples + 1
    facts = facts_of(dict(sample))
    row.address, row.asn = facts["address"] or row.address, facts["asn"] if facts["asn"] is not None else row.asn
    row.issuer, row.dns_provider = facts["issuer"] or row.issuer, facts["dns_provider"] or row.dns_provider
    row.save()


def _times(row: Baseline, since: datetime) -> list[tuple[datetime, dict[str, float]]]:
    """The phases of its healthy checks since then, oldest first; the newest forty."""
    seen = Result.objects.filter(monitor_id=row.monitor_id, probe_id=row.probe_id, ts__gt=since, status=engine.UP)
    found = []
    for r in list(seen.order_by("-ts")[:MOST_RESULTS])[::-1]:
        times = {name: value for name in PHASES if (value := getattr(r, name)) is not None}
        if times:
            found.append((r.ts, times))
    return found


def facts_of(sample: dict[str, Any]) -> dict[str, Any]:
    """Where the target lives: address, AS, certificate authority and whose name servers, as far as the sample tells."""
    target, tls, names = sample.get("target") or {}, sample.get("tls") or {}, sample.get("names") or {}
    address = str(target.get("address") or "")[:45]
    asn = target.get("asn")
    servers = (names.get("delegation") or {}).get("child") or (names.get("delegation") or {}).get("parent") or ()
    return {
        "address": address, "asn": asn if isinstance(asn, int) else None, "issuer": str(tls.get("issuer") or "")[:200], "dns_provider": provider_of(servers),
    }  # fmt: skip


def provider_of(servers: Sequence[Any]) -> str:
    """Whose name servers these are: what most of their names end in, as `cloudflare.com` of `ns1.cloudflare.com`."""
    ends = []
    for name in servers:
        if not isinstance(name, str):
            continue
        labels = name.lower().rstrip(".").split(".")
        short = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3  # co.uk, com.au
        ends.append(".".join(labels[-3:] if short else labels[-2:]))
    return max(sorted(set(ends)), key=ends.count, default="")[:120]


# --- Remote probes ------------------------------------------------------------------------------------------------------
class RemoteLearner:
    """Sends remote probes on their sweeps, two at a time each, and keeps every view's baseline wished for."""

    def __init__(self) -> None:
        self.budgets: dict[int, Budget] = {}
        self.jobs: dict[int, set[int]] = {}
        self.seeded_at = self.looked_at = -SEED_EVERY

    def step(self, at: datetime) -> int:
        """Every second at most; returns how many sweeps were asked for."""
        instant = time.monotonic()
        if instant - self.seeded_at >= SEED_EVERY:
            self.seeded_at = instant
            seed(at)
        if instant - self.looked_at < 1.0:
            return 0
        self.looked_at = instant
        probes = Probe.objects.filter(built_in=False, enabled=True, revoked_at=None).exclude(public_key="")
        return sum(self._one(probe, at, instant) for probe in probes)

    def _one(self, probe: Probe, at: datetime, instant: float) -> int:
        open_ = self.jobs.setdefault(probe.pk, set())
        if open_:
            going = ProbeJob.objects.filter(pk__in=open_, expires_at__gt=at, state__in=(ProbeJob.State.WAITING, ProbeJob.State.TAKEN))  # fmt: skip
            open_ &= set(going.values_list("pk", flat=True))
        budget = self.budgets.setdefault(probe.pk, Budget())
        sweeps = take(probe, min(AT_ONCE - len(open_), budget.left(instant)), at)
        for sweep in sweeps:
            body = {**orders.job_body(sweep.monitor, probe, baseline=True), "for": list(sweep.baselines)}
            key = f"{JOB_PREFIX}{sweep.baselines[0]}:{int(at.timestamp() * 1000)}"
            try:
                open_.add(remote.ask(probe, "diagnose", body, key=key, by="Watchkeeper", at=at, within=JOB_FOR).pk)
            except Refused:
                return 0
        budget.spend(instant, len(sweeps))
        return len(sweeps)


def take_outcome(job: ProbeJob, at: datetime) -> None:
    """A remote probe's sweep has ended."""
    if job.state == ProbeJob.State.DONE:
        wanted = [pk for pk in job.body.get("for", ()) if isinstance(pk, int)]
        learn(wanted, job.result, job.probe, at)
