"""How does a periodic job run once per slot, with none, one or three beats? Its first claimant inserts the slot's row.

Jobs register themselves by name and period (at least 60 s); beat calls `run_due`, and so does every worker's
housekeeping thread, so a dead beat changes nothing. A missed slot is not made up for: the next one does the work.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from portal.clock import database_now
from portal.models import Slot

log = logging.getLogger("watchkeeper.slots")


@dataclass(frozen=True, slots=True)
class Job:
    """A periodic job. `run(at)` must be harmless when interrupted: its next slot starts it anew."""

    name: str
    every_seconds: int
    run: Callable[[datetime], object]


_jobs: dict[str, Job] = {}


def register(name: str, every_seconds: int, run: Callable[[datetime], object]) -> None:
    """Add a job; refuses a second one of the same name and periods under a minute."""
    if name in _jobs and _jobs[name].run is not run:
        raise ValueError(f"Two jobs are called {name}.")
    if every_seconds < 60:
        raise ValueError("Periods under 60 s belong in a loop, not in slot rows.")
    _jobs[name] = Job(name, every_seconds, run)


def claim(job: Job, at: datetime) -> Slot | None:
    """This slot's row, if nobody had it."""
    number = int(at.timestamp()) // job.every_seconds
    if Slot.objects.filter(name=job.name, slot=number).exists():
        return None
    try:
        with transaction.atomic():
            return Slot.objects.create(
                name=job.name, slot=number, taken_by=f"{socket.gethostname()}:{os.getpid()}"[:64], taken_at=at
            )
    except IntegrityError:
        return None


def run_due() -> list[str]:
    """Run every job whose current slot is free; returns the names of those run here. One job's error does not stop the others."""
    done = []
    at = database_now()
    for job in list(_jobs.values()):
        slot = claim(job, at)
        if slot is None:
            continue
        try:
            job.run(at)
        except Exception:  # the next slot tries again; the log says what happened
            log.exception("job %s failed", job.name)
        else:
            Slot.objects.filter(pk=slot.pk).update(done_at=database_now())
            done.append(job.name)
    return done


def forget_old(at: datetime) -> int:
    """Delete rows older than two days."""
    return Slot.objects.filter(taken_at__lt=at - timedelta(days=2)).delete()[0]
