"""Who checks on a probe, and how do the results get home? Two threads beside the engine's loop.

The runner hands checks to the engine when they are due, takes what they saw, and records it on disk. The courier asks the
portal every two seconds what there is to do, and delivers what is recorded; news goes at once, the rest each second.
Neither waits for the other: while the portal is away, checking goes on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import queue
import resource
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitors import engine
from monitors.checks.base import Outcome
from monitors.probe import anchors, jobs
from monitors.probe.actions import Acts
from monitors.probe.clock import Clock, micros
from monitors.probe.identity import Identity
from monitors.probe.link import Answer, Link, LinkDown, Patience, Refused
from monitors.probe.plan import Networks, Plans, Watch
from monitors.probe.spool import Spool
from monitors.running import Engine, Job, fair

log = logging.getLogger("watchkeeper.probe")

VERSION = "1"
POLL, NEWS = 2.0, 0.4
POST, HEALTH = 1.0, 10.0
FLUSH, BATCH = 0.2, 500
PACE, HANDFUL = 0.05, 0.01  # seconds between two rounds at least, and between two looks for results
MOST_ROWS, MOST_TEXT = 2000, 3_000_000  # of one delivery; zipped it stays below a megabyte
ALWAYS = ("host", "containers")  # facts that are a measurement themselves; others are told when they change
PROVE, EAGER = 30.0, 20.0  # anchors are asked so often even when all is well; so long each second after they were lost


class Runner(threading.Thread):
    """Schedule, engine, record. `wake` is set when there is something that should not wait to be delivered."""

    def __init__(self, probe: int, clock: Clock, spool: Spool, *, most: int, allow: Networks = ()) -> None:
        super().__init__(name="runner", daemon=True)
        self.clock, self.spool, self.wake = clock, spool, threading.Event()
        self.returned = threading.Event()  # its own line is back: whoever waits for the portal may try at once
        self.results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.engine = Engine(self.results, most)
        self.plans = Plans(probe, allow)
        self.calls: deque[Callable[[], None]] = deque()
        self.stopping = threading.Event()
        self.checks = 0
        self.late = 0.0  # how long ago the latest one should have been begun, in seconds
        self.recorded_at, self.news = 0.0, False
        self.unrecorded: list[tuple[int, float, str]] = []
        self.anchors: tuple[str, ...] = ()
        self.anchors_ok_at: datetime | None = None
        self.failed_at: datetime | None = None  # the latest first failure: anchors have to be seen well after it
        self.blind = ""
        self.asked_at = -PROVE
        self.eager_until = 0.0
        self.asking: Future[dict[str, bool]] | None = None

    # --- Orders, from the courier's thread ------------------------------------------------------------------------------
    def call(self, what: Callable[[], None]) -> None:
        """Do this in the runner's thread, soon."""
        self.calls.append(what)
        self.results.put(None)

    def follow(self, work: dict[str, Any]) -> None:
        """One answer of the portal to "what is there to do?"."""
        self.call(lambda: self._follow(work))

    def _follow(self, work: dict[str, Any]) -> None:
        at = self.clock.at()
        if work.get("monitors") is not None:
            gone = self.plans.follow(work["monitors"], at)
            if gone:
                self.spool.forget(gone)
        self.anchors = tuple(work.get("anchors", ()))
        if not self.anchors:
            self.blind = ""
        self.plans.rush(work.get("rush", ()), at)

    # --- The thread -----------------------------------------------------------------------------------------------------
    def run(self) -> None:
        self.engine.start()
        while not self.stopping.is_set():
            try:
                self.step()
            except Exception:
                log.exception("the runner failed; again in a second")
                time.sleep(1)
        self.engine.stop()
        while not self.results.empty():
            self._collect(0.0)
            self._record()
        self._record()

    def step(self) -> None:
        """One round."""
        while self.calls:
            self.calls.popleft()()
        at, instant = self.clock.at(), time.monotonic()
        work = [Job(watch, watch.plan) for watch in self.plans.due(at, min(BATCH, self.engine.room))]
        if work:
            self.late = max(0.0, (at - work[0].claim.due_at).total_seconds())
            self.engine.submit(work, at, instant)
        self._prove(at)
        full = len(work) == BATCH and self.engine.room > 0
        self._collect(0.0 if full else min(FLUSH, max(PACE, self.plans.seconds_to_next(at))))
        now = time.monotonic()
        if len(self.unrecorded) >= BATCH or self.news or now - self.recorded_at >= FLUSH:
            self.recorded_at = now
            self._record()
            if self.news:  # only now: what is not on the disk yet cannot be delivered
                self.news = False
                self.wake.set()

    def stop(self) -> None:
        """End after this round; what is under way is dropped."""
        self.stopping.set()
        self.results.put(None)

    def _collect(self, wait: float) -> None:
        """Take what the checks saw, for so long or 500 of them; orders end the waiting.

        Gathered in handfuls: to wake this thread for each single result would cost the engine more than the check.
        """
        until = time.monotonic() + wait
        while len(self.unrecorded) < BATCH:
            left = until - time.monotonic()
            try:
                found = self.results.get(timeout=left) if left > 0 else self.results.get_nowait()
            except queue.Empty:
                return
            if found is None:
                until = 0.0
                continue
            self._take(*found)
            if left > HANDFUL and self.results.empty() and not self.news:
                time.sleep(HANDFUL)

    def _take(self, job: Job, outcome: Outcome, at: datetime) -> None:
        watch: Watch = job.claim
        self.checks += 1
        if self.plans.watches.get(watch.monitor) is not watch:
            return  # not ours any more, or seen by settings that were changed since
        outcome = fair(watch.plan.name, outcome)
        before = watch.view
        view = watch.observe(int(outcome.status), at, outcome.error_class, outcome.message)
        self.plans.put(watch)
        fresh = view.streak == 1 and view.status in (engine.FAILING, engine.DEGRADED)
        if fresh and view.status == engine.FAILING and view.vote != engine.FAILING:
            self.failed_at = at
        self.unrecorded.append((watch.monitor, at.timestamp(), row_text(watch, outcome, at, bool(self.blind), fresh)))
        if view.status != before.status or view.vote != before.vote:
            self.news = True

    def _record(self) -> None:
        if self.unrecorded:
            self.spool.add(self.unrecorded)
            self.unrecorded = []

    # --- Its own line ---------------------------------------------------------------------------------------------------
    def _prove(self, at: datetime) -> None:
        if self.asking is not None:
            if self.asking.done():
                self._judge(self.asking.result(), at)
                self.asking = None
            return
        if not self.anchors:
            return
        doubtful = self.failed_at is not None and (self.anchors_ok_at is None or self.anchors_ok_at < self.failed_at)
        pause = 1.0 if doubtful or self.blind or time.monotonic() < self.eager_until else PROVE
        if time.monotonic() - self.asked_at >= pause or (doubtful and self.asked_at == -PROVE):
            self.asked_at = time.monotonic()
            self.began_asking = at
            self.asking = asyncio.run_coroutine_threadsafe(anchors.ask(self.anchors), self.engine.loop)

    def _judge(self, answered: dict[str, bool], at: datetime) -> None:
        before = self.blind
        self.blind = anchors.verdict(answered)
        if not self.blind:
            self.anchors_ok_at = self.began_asking
            if before:
                self.returned.set()  # the portal begins anew with what it sees from now on, and that has to be proved too
                self.eager_until = time.monotonic() + EAGER
        if self.blind != before or self.failed_at is not None:
            self.wake.set()


def row_text(watch: Watch, outcome: Outcome, at: datetime, blind: bool, fresh: bool) -> str:
    """A result as it is delivered, without its number: a JSON list, in the order that `monitors.batches` reads."""
    more: dict[str, Any] = {}
    if blind:
        more["blind"] = True
    if fresh and outcome.body:
        more["body"] = outcome.body[:2048].decode("utf-8", "replace")
    for name in ("certificate", "domain"):
        if outcome.facts.get(name) and watch.news(outcome.facts[name], at):
            more[name] = outcome.facts[name]
    for name in ALWAYS:
        if outcome.facts.get(name):
            more[name] = outcome.facts[name]
    o = outcome
    steady = o.status == engine.UP
    return json.dumps(
        [
            watch.monitor, micros(at), int(o.status), _ms(o.dns_ms), _ms(o.connect_ms), _ms(o.tls_ms), _ms(o.first_byte_ms), _ms(o.total_ms),
            o.loss_percent, o.http_status, o.error_class, "" if steady else o.message[:300], watch.version, more or None,
        ],
        separators=(",", ":"),
    )  # fmt: skip


def _ms(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


class Courier(threading.Thread):
    """Talks to the portal for the runner; see the module's first lines."""

    def __init__(self, who: Identity, clock: Clock, spool: Spool, runner: Runner, acts: Acts, directory: Path) -> None:
        super().__init__(name="courier", daemon=True)
        self.who, self.clock, self.spool, self.runner, self.directory = who, clock, spool, runner, directory
        self.acts = acts
        self.link = Link(who, clock, instance=secrets.token_hex(16))
        self.patience = Patience()
        self.stopping = threading.Event()
        self.greeted = False
        self.etag = ""
        self.polled_at = self.posted_at = self.told_at = self.noted_at = -1000.0
        self.told_blind = ""
        self.urgent = False
        self.trouble = ""
        self.aged_at = 0.0
        self.outcomes: deque[tuple[int, str, dict[str, Any]]] = deque(acts.orders.left)
        self.refused_jobs = 0
        self.private = False  # is this a client's own probe, which may reach private addresses?
        self.most_rows = MOST_ROWS
        self.checks_before, self.rate = (0, time.monotonic()), 0.0

    def run(self) -> None:
        while not self.stopping.is_set():
            wait = self.round()
            self._note()
            if self.runner.wake.wait(wait):
                self.runner.wake.clear()
                self.urgent = True
                if self.trouble and not self.runner.returned.is_set():
                    self.stopping.wait(wait)
                else:
                    self.stopping.wait(0.02)  # what failed together is told together
        self._leave()

    def stop(self) -> None:
        """Deliver what there is, say good-bye, end."""
        self.stopping.set()
        self.runner.wake.set()

    def round(self) -> float:
        """Do what is due; returns the seconds until the next round. Failures are waited out."""
        if self.runner.returned.is_set():
            self.runner.returned.clear()
            self.patience.failures = 0
        try:
            if not self.greeted:
                self._greet()
            more = self._deliver()  # first: after a silence the portal waits to hear whether we see
            self._work()
            self._tell_jobs()
            self.trouble, self.patience.failures = "", 0
            return 0.0 if more else 0.25
        except LinkDown as error:
            self.urgent = True
            return self._troubled(str(error), self.patience.next())
        except Refused as refusal:
            return self._refused(refusal)
        except Exception as error:  # whatever the portal sent: nothing here may end the watching
            log.exception("talking to the portal failed")
            return self._troubled(f"{type(error).__name__}", self.patience.next())

    def _troubled(self, sentence: str, wait: float) -> float:
        if sentence != self.trouble:
            log.warning("%s", sentence)
        self.trouble = sentence
        return wait

    def _refused(self, refusal: Refused) -> float:
        if refusal.status == 429:
            self.posted_at = time.monotonic()
            return self._troubled(str(refusal), max(1.0, min(60.0, refusal.retry_after)))
        if refusal.code == "foreign":
            gone = self.spool.forget([m for m in refusal.body.get("monitors", ()) if isinstance(m, int)])
            log.warning("%s (%d results dropped)", refusal, gone)
            self.etag = ""
            return 0.0 if gone else self.patience.next()
        if (
            refusal.status in (400, 413) and self.spool.rows
        ):  # one row that the portal does not take must not hold up the others
            if self.most_rows == 1:
                self.spool.give_up_first()
            self.most_rows = max(1, self.most_rows // 4)
            self._troubled(str(refusal), 0.0)
            return 0.2
        if refusal.status in (401, 403, 409):
            self.greeted = False
        return self._troubled(str(refusal), 5.0 if refusal.status == 409 else self.patience.next())

    # --- The four requests ------------------------------------------------------------------------------------------------
    def _greet(self) -> None:
        answer = self.link.ask(
            "POST", "hello",
            {"version": VERSION, "host": socket.gethostname()[:120], "platform": platform.platform()[:200], "clock_offset_ms": self.clock.wall_offset_ms()},
        )  # fmt: skip
        self.spool.begin_after(int(answer.body["result_seq"]))
        self.acts.remember()
        self.greeted, self.etag = True, ""
        log.info("the portal knows us as %s", self.who.slug)

    def _work(self) -> None:
        if time.monotonic() - self.polled_at < POLL and self.etag:
            return
        self.polled_at = time.monotonic()
        answer = self.link.ask("GET", "work", etag=self.etag)
        if answer.status == 304:
            return
        self.etag = answer.etag
        self.private = bool(answer.body.get("private"))
        self.runner.follow(answer.body)
        for job in answer.body.get("jobs", ()):
            self._begin_job(job)

    def _begin_job(self, job: dict[str, Any]) -> None:
        number = int(job["id"])
        if not self.spool.begin_job(number):
            return
        if float(job.get("expires_ms", 0)) / 1000 < self.clock.now():
            self.outcomes.append((number, "expired", {}))
            return
        done = asyncio.run_coroutine_threadsafe(jobs.carry_out(job, self._surroundings()), self.runner.engine.loop)
        done.add_done_callback(lambda f: self._finished(number, *f.result()))

    def _surroundings(self) -> dict[str, Any]:
        """What a job may use of this program: jobs run in the engine's loop, beside the checks."""
        runner = self.runner
        return {"anchors": runner.anchors, "engine": runner.engine, "clock": self.clock, "private": self.private, "allow": runner.plans.allow, "acts": self.acts}  # fmt: skip

    def _finished(self, number: int, state: str, result: dict[str, Any]) -> None:
        self.refused_jobs += state == "refused"
        self.outcomes.append((number, state, result))
        self.runner.wake.set()

    def _tell_jobs(self) -> None:
        while self.outcomes:
            number, state, result = self.outcomes[0]
            try:
                # Compact, as the portal takes 64 KB; half a surrogate becomes the escape that JSON has for it.
                body = json.dumps({"state": state, "result": result}, ensure_ascii=False)
                self.link.ask("POST", f"jobs/{number}", body.encode(errors="backslashreplace"))
            except Refused as refusal:
                if refusal.status not in (404, 409, 413) or refusal.code == "instance":
                    raise
            self.acts.orders.told(number)
            self.outcomes.popleft()

    def _deliver(self) -> bool:
        """Post what waits. True when there is more of it."""
        now = time.monotonic()
        if now - self.aged_at > 60:
            self.aged_at = now
            self.spool.give_up_old(self.clock.now())
        urgent = self.urgent or self.runner.blind != self.told_blind
        full = self.spool.rows >= self.most_rows
        due = (
            (self.spool.rows and (now - self.posted_at >= POST or urgent or full))
            or now - self.told_at >= HEALTH
            or urgent
        )
        if not due:
            return False
        if urgent:  # what has just failed is diagnosed: the portal's orders come within half a second
            self.polled_at = min(self.polled_at, now - POLL + NEWS)
        blind, self.urgent = self.runner.blind, False
        rows = self.spool.first(self.most_rows, MOST_TEXT)
        body = self._body(rows, blind)
        answer = self.link.ask("POST", "results", body, packed=True)
        self._delivered(answer)
        self.posted_at = self.told_at = time.monotonic()
        self.told_blind = blind
        return self.spool.rows >= self.most_rows

    def _body(self, rows: list[tuple[int, str]], blind: str) -> bytes:
        results = ",".join(f"[{seq},{text[1:]}" for seq, text in rows)
        head = {"health": self.health(), "blind": blind, "anchors_ok_us": _micros(self.runner.anchors_ok_at)}
        return f'{json.dumps(head)[:-1]},"results":[{results}]}}'.encode()

    def _delivered(self, answer: Answer) -> None:
        self.spool.delivered(int(answer.body["result_seq"]))
        self.most_rows = min(MOST_ROWS, self.most_rows * 2)

    def health(self) -> dict[str, Any]:
        """What this probe says of itself."""
        now, (checks, at) = time.monotonic(), self.checks_before
        if now - at >= HEALTH / 2:
            self.rate = (self.runner.checks - checks) / (now - at)
            self.checks_before = (self.runner.checks, now)
        oldest = self.spool.oldest_at()
        return {
            "clock_offset_ms": self.clock.wall_offset_ms(),
            "monitors": len(self.runner.plans.watches),
            "under_way": self.runner.engine.under_way,
            "checks_per_s": round(self.rate, 1),
            "late_ms": round(self.runner.late * 1000),
            "spool": self.spool.rows,
            "spool_bytes": self.spool.bytes,
            "spool_oldest_s": round(max(0.0, self.clock.now() - oldest)) if oldest else 0,
            "lost": self.spool.lost,
            "refused_jobs": self.refused_jobs,
            "memory_mb": round(memory_mb(), 1),
            **self.acts.said(),
        }

    # --- For the person at this machine -------------------------------------------------------------------------------------
    def _note(self) -> None:
        """What `watchkeeper-probe status` shows."""
        if time.monotonic() - self.noted_at < 5:
            return
        self.noted_at = time.monotonic()
        said = {
            "pid": os.getpid(), "at": datetime.now(UTC).isoformat(timespec="seconds"), "connected": self.greeted and not self.trouble, "trouble": self.trouble,
            "blind": self.runner.blind, **self.health(),
        }  # fmt: skip
        try:
            (self.directory / "status.json").write_text(json.dumps(said))
        except OSError:
            log.warning("status.json cannot be written")

    def _leave(self) -> None:
        """Hand over what is left and say good-bye, so that the next process need not wait for us."""
        try:
            if self.greeted:
                self.link.deadline = 5.0
                while self.spool.rows and not self.trouble:
                    rows = self.spool.first(self.most_rows, MOST_TEXT)
                    self._delivered(self.link.ask("POST", "results", self._body(rows, self.runner.blind), packed=True))
                self.link.ask("POST", "hello", {"leaving": True})
        except (LinkDown, Refused) as error:
            log.info("left without a good-bye: %s", error)
        self.link.close()


def _micros(at: datetime | None) -> int | None:
    return None if at is None else micros(at)


def memory_mb() -> float:
    """This process's resident memory in megabytes."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
    except (OSError, ValueError, IndexError):  # not Linux: the most it ever was
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
