"""What lives in a worker process all the time? Loops that claim from the database, work, and wait for a bell, a second at most.

Celery starts them when a worker starts (after any fork) and stops them cleanly; each app registers its own by queue.
A housekeeper in every worker says "I live", notices those who no longer do, and runs periodic jobs nobody has run, so
that a dead beat or broker delays things by a second and stops nothing.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import DatabaseError, InterfaceError, connection

from portal import bells, longlived, slots
from portal.clock import database_now
from portal.models import Worker

log = logging.getLogger("watchkeeper.residents")

GONE_AFTER = timedelta(seconds=4)
SURELY_SEEN = GONE_AFTER.total_seconds() - 0.5
WORKER_ID = f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(4)}"


class Resident(threading.Thread):
    """A loop. `step()` does what there is to do and says how many seconds to rest (0 = there is more)."""

    bell_name = ""
    longest_rest = 1.0

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.bell = bells.listen(self.bell_name) if self.bell_name else threading.Event()
        self.stopping = threading.Event()

    def begin(self) -> None:
        """Called once, in the thread."""

    def step(self) -> float:
        """One round; seconds to rest."""
        raise NotImplementedError

    def end(self) -> None:
        """Called once, in the thread, when asked to stop."""

    def _begun(self) -> bool:
        try:
            self.begin()
        except (DatabaseError, InterfaceError) as error:
            log.warning("%s waits for the database: %s", self.name, type(error).__name__)
            connection.close()
            return False
        return True

    def run(self) -> None:
        while not self._begun():
            self.stopping.wait(0.5)
            if self.stopping.is_set():
                return
        while not self.stopping.is_set():
            self.bell.clear()
            try:
                rest = min(self.step(), self.longest_rest)
            except (DatabaseError, InterfaceError) as error:
                # The database went away, or two transactions met: the round is repeated as a whole.
                log.warning(
                    "%s: %s; again in half a second",
                    self.name,
                    str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__,
                )
                connection.close()
                rest = 0.5
            except Exception:
                log.exception("%s failed; again in a second", self.name)
                rest = 1.0
            if rest > 0 and not self.stopping.is_set():
                self.bell.wait(rest)
        try:
            self.end()
        except Exception:
            log.exception("%s did not end cleanly", self.name)
        finally:
            bells.unlisten(self.bell_name, self.bell)
            connection.close()

    def stop(self) -> None:
        """Ask it to end after its current round."""
        self.stopping.set()
        self.bell.set()


class Pulse:
    """Can this process be sure that nobody has taken it for dead since a moment? One that was frozen cannot.

    Moments are `time.monotonic()`, which goes on while a process is stopped: what it was about to do when it froze is
    known to be old the instant it thaws, before its housekeeper has even run.
    """

    def __init__(self) -> None:
        self.ticked_at: float | None = None
        self.steady_since = 0.0

    def tick(self, instant: float) -> None:
        """The database has heard at `instant` (or a little later) that we live."""
        if self.ticked_at is not None and instant - self.ticked_at > SURELY_SEEN:
            self.steady_since = instant
        self.ticked_at = instant

    def sure_since(self, moment: float) -> bool:
        """Nobody can have freed what we claimed at `moment`. Always so where no housekeeper has told of us."""
        return self.ticked_at is None or (
            self.steady_since <= moment and time.monotonic() - self.ticked_at < SURELY_SEEN
        )

    def may_judge(self) -> bool:
        """Have we ourselves been heard long enough to call others silent? After an outage of the database nobody was."""
        return not self.steady_since or time.monotonic() - self.steady_since > GONE_AFTER.total_seconds()


pulse = Pulse()


class Housekeeper(Resident):
    """Says that this process lives, buries those that do not, and runs due jobs."""

    def __init__(self, roles: str) -> None:
        super().__init__("housekeeper")
        self.roles = roles
        self.jobs_at = time.monotonic() + 2
        self.jobs: threading.Thread | None = None

    def step(self) -> float:
        instant = time.monotonic()
        at = database_now()
        if not Worker.objects.filter(pk=WORKER_ID).update(seen_at=at):
            Worker.objects.create(
                id=WORKER_ID,
                role=self.roles,
                host=socket.gethostname()[:120],
                pid=os.getpid(),
                started_at=at,
                seen_at=at,
            )
        pulse.tick(instant)
        if pulse.may_judge():
            bury(at)
        if time.monotonic() >= self.jobs_at and not (self.jobs and self.jobs.is_alive()):
            self.jobs_at = time.monotonic() + 10
            self.jobs = threading.Thread(target=_run_jobs, name="jobs", daemon=True)
            self.jobs.start()
        return 1.0

    def end(self) -> None:
        Worker.objects.filter(pk=WORKER_ID).delete()


def _run_jobs() -> None:
    try:
        slots.run_due()
    except (DatabaseError, InterfaceError) as error:
        log.warning("periodic jobs: %s", type(error).__name__)
    finally:
        connection.close()


_factories: list[tuple[str, Callable[[], Resident]]] = []
_undertakers: list[Callable[[list[str], datetime], object]] = []
_running: list[Resident] = []


def register(queue: str, factory: Callable[[], Resident]) -> None:
    """This kind of resident lives in workers of that queue."""
    if (queue, factory) not in _factories:
        _factories.append((queue, factory))


def on_death(undertaker: Callable[[list[str], datetime], object]) -> None:
    """`undertaker(worker_ids, at)` frees what dead workers held."""
    if undertaker not in _undertakers:
        _undertakers.append(undertaker)


def bury(at: datetime) -> list[str]:
    """Free what workers held that were not seen for 4 s, then forget them. Their tokens fence them should they wake."""
    gone = list(Worker.objects.filter(seen_at__lt=at - GONE_AFTER).values_list("pk", flat=True))
    for undertaker in _undertakers:
        undertaker(gone, at)
    if gone:
        Worker.objects.filter(pk__in=gone, seen_at__lt=at - GONE_AFTER).delete()
        log.warning("worker %s is gone; its work goes on elsewhere", ", ".join(gone))
    return gone


def start(queues: set[str]) -> list[Resident]:
    """Start the residents of these queues in this process."""
    if _running:
        return _running
    longlived.set_aside()  # with its usual thresholds the collector took a third of a busy prober's time
    _running.append(Housekeeper(",".join(sorted(queues))))
    _running.extend(factory() for queue, factory in _factories if queue in queues)
    for resident in _running:
        resident.start()
    return _running


def stop(patience: float = 30.0) -> None:
    """Stop them: no new claims, what runs is finished, the rest is given back."""
    for resident in reversed(_running):
        resident.stop()
    until = time.monotonic() + patience
    for resident in reversed(_running):
        resident.join(max(0.1, until - time.monotonic()))
    _running.clear()
