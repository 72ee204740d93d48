"""How are many checks made at once, each at its instant? One asyncio loop in a thread of its own, for every kind of check.

The portal's prober and the stand-alone probe run the same engine on the same check files: nothing here may import Django.
One check that hangs for ten seconds holds back nobody: hanging ones do not count against what may be under way.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import resource
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from monitors import checks
from monitors.checks.base import Context, Outcome, Status, limit
from monitors.engine import Limits
from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine
from portal.outbound.resolver import Resolver

log = logging.getLogger("watchkeeper.running")

YOUNG = 0.1  # seconds after which a check under way is waiting for the network, not for us
# While this process itself is what is waited for, more checks at once would only make each slower, and a healthy target
# would run into its time limit by our own doing: they stay young for longer then, so fewer are begun.
LATE, FULL, GROWN_WHEN_BUSY = 0.03, 0.85, 2.0
MOST_YOUNG = 200  # young ones at once: what a fast target is reported with is its own time, not our queue
UNREACHABLE = frozenset(("dns", "connect_refused", "connect_timeout", "connect", "timeout", "reset"))


@dataclass(frozen=True, slots=True)
class Plan:
    """A monitor ready to be checked."""

    monitor: int
    name: str  # of the kind
    kind: type[checks.Check]
    config: Any
    limits: Limits
    reach: Reach
    degraded_latency_ms: float | None
    degraded_loss_percent: float | None
    upside_down: bool
    fault: str = ""  # why it cannot be checked (stored settings that no longer fit)


class Errand(Protocol):
    """What the engine has to know of one check that is to be made."""

    @property
    def monitor(self) -> int: ...

    @property
    def due_at(self) -> datetime: ...

    @property
    def facts(self) -> dict[str, Any]: ...


def fair(kind: str, outcome: Outcome) -> Outcome:
    """An unreachable host says nothing about its certificate or its registration (MON-6)."""
    if kind in ("tls", "domain") and outcome.status == Status.FAILING and outcome.error_class in UNREACHABLE:
        return replace(outcome, status=Status.UNKNOWN)
    return outcome


class Job:
    """One check on its way. `claim` is an Errand (and whatever more its owner wants back), `plan` a Plan."""

    __slots__ = ("claim", "counted", "plan", "running", "started")

    def __init__(self, claim: Any, plan: Any) -> None:
        self.claim, self.plan, self.started, self.running, self.counted = claim, plan, 0.0, False, False


class Engine:
    """The asyncio side: starts jobs when they are due, keeps the number of young ones bounded, hands results on."""

    def __init__(self, results: queue.SimpleQueue[tuple[Job, Outcome, datetime]], most: int) -> None:
        self.results, self.most = results, most
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="prober-loop", daemon=True)
        self.ready: deque[Job] = deque()
        self.begun: deque[Job] = deque()
        self.young = self.under_way = 0
        self.handed_in = self.taken_up = 0  # one writer each: the prober's thread and the loop's
        self.aged_at = self.spent = 0.0
        self.started = threading.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start the loop's thread and wait until it runs."""
        self.thread.start()
        self.started.wait(10)

    @property
    def room(self) -> int:
        """How many more jobs it takes."""
        return max(0, self.most - self.under_way - (self.handed_in - self.taken_up))

    def submit(self, jobs: list[Job], at: datetime, instant: float) -> None:
        """Jobs claimed when the database's clock said `at` and time.monotonic() said `instant`."""
        self.handed_in += len(jobs)
        self.loop.call_soon_threadsafe(self._accept, jobs, at, instant)

    def stop(self) -> None:
        """End the loop; what is under way is dropped (its lease frees it)."""
        self.loop.call_soon_threadsafe(self._close)
        self.thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self._open)
        self.loop.run_forever()

    def _open(self) -> None:
        self.resolver = Resolver()
        self.http = HttpEngine(self.loop, self.resolver, max_inflight=self.most)
        self.loop.call_later(YOUNG / 2, self._age)
        self.started.set()

    def _close(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.http.close()
        self.loop.stop()

    def _accept(self, jobs: list[Job], at: datetime, instant: float) -> None:
        passed = time.monotonic() - instant
        for job in jobs:
            delay = (job.claim.due_at - at).total_seconds() - passed
            job.started = instant - at.timestamp()  # turns a monotonic time into the database's
            if delay > 0.002:
                self.loop.call_later(delay, self._due, job)
            else:
                self.ready.append(job)
        self._begin()

    def _due(self, job: Job) -> None:
        self.ready.append(job)
        self._begin()

    def _begin(self) -> None:
        while self.ready and self.young < MOST_YOUNG:
            job = self.ready.popleft()
            self.under_way += 1
            self.taken_up += 1
            self.young += 1
            job.counted = job.running = True
            task = self.loop.create_task(self._check(job))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _check(self, job: Job) -> None:
        offset, plan, claim = job.started, job.plan, job.claim
        job.started = time.monotonic()
        self.begun.append(job)
        at = datetime.fromtimestamp(job.started - offset, UTC)
        try:
            if plan.fault:
                outcome = Outcome(Status.UNKNOWN, plan.fault, "internal")
            else:
                ctx = Context(
                    http=self.http,
                    resolver=self.resolver,
                    reach=plan.reach,
                    timeout=plan.limits.timeout,
                    facts=claim.facts,
                    now=lambda: at,
                )
                outcome = await plan.kind.run(plan.config, ctx)
                outcome = limit(
                    outcome,
                    degraded_latency_ms=plan.degraded_latency_ms,
                    degraded_loss_percent=plan.degraded_loss_percent,
                    upside_down=plan.upside_down,
                )
        except Exception as error:  # our own bug must not look like the target's
            log.exception("check of monitor %s failed", claim.monitor)
            outcome = Outcome(Status.UNKNOWN, f"The check itself failed ({type(error).__name__}).", "internal")
        ended = time.monotonic()
        job.running = False
        self.under_way -= 1
        if job.counted:
            self.young -= 1
        self.results.put((job, outcome, datetime.fromtimestamp(ended - offset, UTC)))
        self._begin()

    def _age(self) -> None:
        now, spent = time.monotonic(), time.thread_time()
        lag, share = now - self.aged_at - YOUNG / 2, (spent - self.spent) / max(0.001, now - self.aged_at)
        self.aged_at, self.spent = now, spent
        busy = lag > LATE or share > FULL
        old = now - (GROWN_WHEN_BUSY if busy else YOUNG)
        while self.begun and (self.begun[0].started < old or not self.begun[0].running):
            job = self.begun.popleft()
            if job.running and job.counted:
                job.counted = False
                self.young -= 1
        self._begin()
        self.loop.call_later(YOUNG / 2, self._age)


def allow_many_sockets() -> None:
    """As many open sockets as the system lets us have: an outage is thousands of hanging checks."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):
            log.warning(
                "only %d sockets may be open at once; raise the limit (LimitNOFILE) for outages of many sites", soft
            )
