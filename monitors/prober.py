"""Who makes the checks? One engine per worker: claim half a second ahead, start each at its instant, store in sets.

Three threads share the work. The resident claims and plans (database only). One asyncio loop runs every kind of check
at once (network only). The storer writes what came back, every quarter second or 500 at a time. So one check that hangs
for ten seconds holds back nobody: hanging ones do not count against what may be under way.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from datetime import datetime, timedelta

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from monitors import checks, engine, findings, partitions, store
from monitors.checks.base import Outcome
from monitors.models import Monitor, Probe
from monitors.plans import Plan, Plans
from monitors.running import Engine, Job, allow_many_sockets, fair
from portal import bells
from portal.clock import database_now
from portal.residents import WORKER_ID, Resident

log = logging.getLogger("watchkeeper.prober")

BATCH = 500
FLUSH = 0.25
A_MOMENT = timedelta(milliseconds=1)  # after its own place a check's next place is the one of the next interval


class Storer(threading.Thread):
    """Writes results in sets; keeps them while the database is away (their leases decide whether they still count)."""

    def __init__(self, results: queue.SimpleQueue[tuple[Job, Outcome, datetime]]) -> None:
        super().__init__(name="prober-storer", daemon=True)
        self.results, self.stopping = results, threading.Event()
        self.stored = 0

    def run(self) -> None:
        batch: list[store.Done] = []
        while not (self.stopping.is_set() and self.results.empty() and not batch):
            batch += self._gather(BATCH - len(batch))
            if not batch:
                continue
            try:
                self._save(batch)
                batch = []
            except (OperationalError, InterfaceError) as error:
                log.warning("storing waits for the database: %s", type(error).__name__)
                connection.close()
                batch = batch[-20000:]  # by their number, not by this machine's clock: the fence says which still count
                if self.stopping.is_set():
                    break
                time.sleep(0.5)
            except Exception:  # one result that no column takes must not hold up the others
                self._one_by_one(batch)
                batch = []
        connection.close()

    def _one_by_one(self, batch: list[store.Done]) -> None:
        for done in batch:
            try:
                self._save([done])
            except Exception:
                log.exception(
                    "a result of monitor %s cannot be stored; its lease runs out and it is checked again",
                    done.claim.monitor,
                )

    def _gather(self, most: int) -> list[store.Done]:
        found: list[store.Done] = []
        until = time.monotonic() + FLUSH
        while len(found) < most:
            wait = until - time.monotonic()
            try:
                job, outcome, at = self.results.get(timeout=max(0.0, wait)) if wait > 0 else self.results.get_nowait()
            except queue.Empty:
                break
            try:
                done = made(job.claim, job.plan, outcome, at)
            except Exception:  # one strange outcome must not end this thread, and all storing with it
                log.exception("nothing could be made of what the check of monitor %s saw", job.claim.monitor)
                continue
            found.append(done)
            if done.changed:  # news does not wait for the batch to fill
                until = min(until, time.monotonic() + 0.02)
        return found

    def _save(self, batch: list[store.Done]) -> None:
        accepted = store.save(batch)
        self.stored += len(accepted)
        kept = [d for d in batch if d.claim.id in accepted]
        if any(d.changed for d in kept):
            bells.ring(bells.EVALUATE)
        findings.note(kept)


def within_storage(seen_at: datetime, at: datetime) -> datetime:
    """When a raw result is dated. A deadline of days ago may have no partition (any more): then at our look."""
    return seen_at if at - seen_at < timedelta(days=1) else at


def made(claim: store.Claim, plan: Plan, outcome: Outcome, at: datetime) -> store.Done:
    """What follows from an outcome: the new view, when to look again, and whether the evaluator has to look. Pure."""
    outcome = fair(plan.name, outcome)
    seen_at = at
    deadline = outcome.facts.get("deadline")
    due = datetime.fromisoformat(deadline) if deadline else None
    if outcome.error_class == "missed" and due is not None and (claim.view.last_at is None or due > claim.view.last_at):
        seen_at = due  # late is dated at the deadline, not at our look
    before = claim.view
    view = engine.observe(
        before, int(outcome.status), seen_at, error_class=outcome.error_class, message=outcome.message
    )
    changed = (
        view.status != before.status or view.error_class != before.error_class or not engine.settled(view, plan.limits)
    )
    if plan.kind.passive and plan.name != "group":
        next_due_at = due if due is not None and due > at else at + timedelta(days=1)
    else:
        next_due_at = next_look(claim, view, plan.limits, at)
    return store.Done(
        claim=claim,
        outcome=outcome,
        at=within_storage(seen_at, at),
        view=view,
        next_due_at=next_due_at,
        changed=changed,
    )


def next_look(claim: store.Claim, view: engine.View, limits: engine.Limits, at: datetime) -> datetime:
    """When to check again: soon while something is to be confirmed, else at the monitor's own place in the interval.

    After all were asked for at once (a common failure, sight that returned) they must not stay in step for ever: each goes
    back to its stable place, with a look halfway where that place is so near that it would be checked twice in a row.
    """
    if not engine.settled(view, limits) and not limits.one_shot:
        return engine.next_due(view, limits, claim.due_at, at)
    half = timedelta(seconds=limits.interval / 2)
    own = engine.first_slot(claim.monitor, claim.probe, limits.interval, claim.due_at + A_MOMENT)
    due = own if own - claim.due_at >= half else own + half
    return due if due > at else engine.first_slot(claim.monitor, claim.probe, limits.interval, at + A_MOMENT)


class Prober(Resident):
    """Claims and plans; see the module's first lines."""

    bell_name = bells.PROBE

    def __init__(self) -> None:
        super().__init__("prober")

    def begin(self) -> None:
        allow_many_sockets()
        partitions.ensure_ahead(database_now())
        self.results: queue.SimpleQueue[tuple[Job, Outcome, datetime]] = queue.SimpleQueue()
        self.engine = Engine(self.results, settings.PROBE_CONCURRENCY)
        self.engine.start()
        self.storer = Storer(self.results)
        self.storer.start()
        self.plans = Plans()
        self.probes: list[int] = []
        self.idle = True
        self.probes_at = 0.0
        self.doubtful: set[int] = set()  # tokens of claims that perhaps succeeded, and of which nothing was begun

    def step(self) -> float:
        self._built_in()
        room = min(BATCH, self.engine.room)
        if not room:
            return 0.05
        at, instant = database_now(), time.monotonic()
        if self.idle and (wait := store.seconds_to_next(self.probes, at)) > 0:
            return wait
        if self.doubtful:
            store.forgo(self.doubtful)
            self.doubtful.clear()
        token = store.new_token()
        self.doubtful.add(token)  # until everything is on its way: the database may go away at any statement
        claims = store.claim(WORKER_ID, self.probes, room, at, token)
        if not claims:
            self.doubtful.clear()
            self.idle = True  # from now on ask first: a look costs less than a claim of nothing
            return 0.05
        self.idle = False
        plans = self.plans.get((c.monitor, c.config_version) for c in claims)
        children = _children(claims, plans)
        jobs = []
        for claim in claims:
            plan = plans.get(claim.monitor)
            if plan is None:
                continue  # deleted since
            if claim.monitor in children:
                claim.facts = {"children": children[claim.monitor]}
            elif plan.kind.passive:
                claim.facts = revived(claim.facts)
            jobs.append(Job(claim, plan))
        self.doubtful.clear()
        self.engine.submit(jobs, at, instant)
        return 0.0 if len(claims) == room else 0.1

    def _built_in(self) -> None:
        if time.monotonic() - self.probes_at > 5:
            self.probes = list(Probe.objects.filter(built_in=True, enabled=True).values_list("pk", flat=True))
            self.probes_at = time.monotonic()
            Probe.objects.filter(pk__in=self.probes).update(last_seen_at=database_now())

    def end(self) -> None:
        self.engine.stop()
        self.storer.stopping.set()
        self.storer.join(10)
        store.free([WORKER_ID], database_now())


def revived(facts: dict) -> dict:
    """Stored facts with their times as times again."""
    return {
        k: datetime.fromisoformat(v) if k in ("last_ping", "started_at", "pushed_at") and isinstance(v, str) else v
        for k, v in facts.items()
    }


def _children(claims: list[store.Claim], plans: dict[int, Plan]) -> dict[int, list[dict[str, str]]]:
    """The states of each claimed group's children."""
    groups = {
        c.monitor: plans[c.monitor].config.monitor_ids
        for c in claims
        if c.monitor in plans and plans[c.monitor].kind is checks.KINDS["group"] and plans[c.monitor].config
    }
    if not groups:
        return {}
    wanted = {pk for ids in groups.values() for pk in ids}
    rows = {
        pk: {"name": name, "state": state}
        for pk, name, state in Monitor.objects.filter(pk__in=wanted).values_list("pk", "name", "state")
    }
    return {group: [rows[pk] for pk in ids if pk in rows] for group, ids in groups.items()}
