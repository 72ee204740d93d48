"""Who measures for the portal's own probe? One loop in the prober's process: batteries first, sweeps of what is well when idle.

The resident claims and stores (database only), an asyncio loop of its own measures (network only): hundreds of checks
under way in the prober's loop do not delay a packet's time here. A killed process leaves leases that run out.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

from monitors import plans
from monitors.diagnosis import batteries, battery, learning, orders
from monitors.models import Battery, Probe
from portal import bells
from portal.clock import database_now
from portal.outbound.http import HttpEngine
from portal.outbound.resolver import Resolver
from portal.residents import WORKER_ID, Resident

log = logging.getLogger("watchkeeper.diagnostician")

HARDEST = 10.0  # seconds: a battery ends itself within five, a sweep a little later; whatever does not is ended here
SWEEPS_END = 30.0
PROBES_EVERY, SWEEP_EVERY = 5.0, 2.0

Ended = tuple[str, Any, Any, str]  # "battery" | "sweep", whose, evidence (None: none), why not


class Loop(threading.Thread):
    """An event loop in a thread, with a resolver and an HTTP engine of its own."""

    def __init__(self) -> None:
        super().__init__(name="diagnostician-loop", daemon=True)
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()

    def run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self._open)
        self.loop.run_forever()
        self.loop.close()

    def end(self) -> None:
        """Drop what is under way: its lease frees it."""
        asyncio.run_coroutine_threadsafe(self._close(), self.loop)
        self.join(5)

    def _open(self) -> None:
        self.resolver = Resolver()
        self.http = HttpEngine(self.loop, self.resolver, max_inflight=64)
        self.ready.set()

    async def _close(self) -> None:
        mine = [task for task in asyncio.all_tasks(self.loop) if task is not asyncio.current_task()]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)
        self.http.close()
        self.resolver.close()
        self.loop.stop()


class Diagnostician(Resident):
    """Measures for the built-in probes; see the module's first lines."""

    bell_name = bells.DIAGNOSE

    def __init__(self) -> None:
        super().__init__("diagnostician")
        self.worker = WORKER_ID
        self.ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self.probes: list[Probe] = []
        self.probes_at = self.swept_at = -PROBES_EVERY
        self.budgets: dict[int, learning.Budget] = {}
        self.sweeping: dict[int, int] = {}

    def begin(self) -> None:
        self.measures = Loop()
        self.measures.start()
        if not self.measures.ready.wait(10):
            log.error("the loop that measures did not begin; batteries wait until their time is over")

    def step(self) -> float:
        self._store()
        at, instant = database_now(), time.monotonic()
        if instant - self.probes_at > PROBES_EVERY:
            self.probes_at = instant
            self.probes = list(Probe.objects.filter(built_in=True, enabled=True).order_by("pk"))
        ids = [p.pk for p in self.probes]
        batteries.share(ids, at)
        for b in batteries.claim(ids, at, self.worker):
            self._measure(b)
        if instant - self.swept_at >= SWEEP_EVERY:
            self.swept_at = instant
            self._sweep(at, instant)
        return 1.0

    def end(self) -> None:
        self.measures.end()
        batteries.free([self.worker], database_now())

    # --- Out and back -----------------------------------------------------------------------------------------------
    def _measure(self, b: Battery) -> None:
        m = b.diagnosis.monitor
        order, around = orders.order(m, b.probe), self._surroundings(plans.reach_of(m))
        self._begin("battery", b.pk, lambda: battery.run(order, around), HARDEST)

    def _sweep(self, at: Any, instant: float) -> None:
        for probe in self.probes:
            budget = self.budgets.setdefault(probe.pk, learning.Budget())
            room = min(learning.AT_ONCE - self.sweeping.get(probe.pk, 0), budget.left(instant))
            sweeps = learning.take(probe, room, at)
            budget.spend(instant, len(sweeps))
            for sweep in sweeps:
                self.sweeping[probe.pk] = self.sweeping.get(probe.pk, 0) + 1
                order = orders.order(sweep.monitor, probe)
                around = self._surroundings(plans.reach_of(sweep.monitor))
                self._begin("sweep", sweep, lambda o=order, a=around: battery.baseline(o, a), SWEEPS_END)

    def _surroundings(self, reach: Any) -> battery.Surroundings:
        return battery.Surroundings(resolver=self.measures.resolver, http=self.measures.http, reach=reach)

    def _begin(self, what: str, whose: Any, make: Callable[[], Coroutine[Any, Any, Any]], longest: float) -> None:
        async def measure() -> None:
            try:
                said, why = await asyncio.wait_for(make(), longest), ""
            except TimeoutError:
                said, why = None, f"It did not end within {longest:g} s."
            except Exception as error:  # our own bug; the others go on
                log.exception("measuring failed")
                said, why = None, f"It broke: {type(error).__name__}."
            self.ended.put((what, whose, said, why))
            self.bell.set()

        asyncio.run_coroutine_threadsafe(measure(), self.measures.loop)

    def _store(self) -> None:
        while True:
            try:
                what, whose, said, why = self.ended.get_nowait()
            except queue.Empty:
                return
            at = database_now()
            if what == "sweep":
                self.sweeping[whose.probe.pk] -= 1
                if said is not None:
                    learning.learn(whose.baselines, said, whose.probe, at)
            elif said is not None:
                batteries.keep(whose, said, at, worker=self.worker)
            else:
                batteries.give_up(whose, why, at, worker=self.worker)
