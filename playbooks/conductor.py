"""Who carries runs out? A loop in every worker of pages: it expires, judges again, begins, and takes over what the dead left."""

from __future__ import annotations

import threading
from datetime import datetime

from django.db import DatabaseError, InterfaceError, connection, transaction

from playbooks import beginning, deciding, outcomes, performing, proposing, records
from playbooks.models import Run, RunState
from playbooks.models.run import ACTING
from portal import bells
from portal.clock import database_now
from portal.residents import WORKER_ID, Resident

AT_ONCE = 4  # runs of this process
PATIENCE = 25.0  # seconds that a stopping process waits for a step to end


class Conductor(Resident):
    """Expires, judges again, begins, adopts; each run has a thread of its own."""

    bell_name = bells.ACT

    def __init__(self) -> None:
        super().__init__("conductor")
        self.running: dict[int, threading.Thread] = {}

    def step(self) -> float:
        at = database_now()
        deciding.expire(at)
        for pk in due_again(at):
            with transaction.atomic():
                proposing.reconsider(pk, at)
        self.running = {pk: thread for pk, thread in self.running.items() if thread.is_alive()}
        outcomes.free([WORKER_ID], at, spared=self.running)  # a thread that broke off, as when the database went away
        for pk in performing.due(at):
            if len(self.running) >= AT_ONCE:
                break
            if pk not in self.running and taken(pk):
                self._carry_out(pk)
        return 1.0

    def _carry_out(self, pk: int) -> None:
        thread = threading.Thread(target=carry_out, args=(pk, self.stopping), name=f"run-{pk}", daemon=True)
        self.running[pk] = thread
        thread.start()

    def end(self) -> None:
        for thread in self.running.values():
            thread.join(PATIENCE)
        try:
            release()
        except (DatabaseError, InterfaceError):
            pass  # the undertaker finds them


def carry_out(pk: int, stopping: threading.Event) -> None:
    """One run, in a thread of its own."""
    try:
        performing.Performer(pk, WORKER_ID, stopping).perform()
    finally:
        connection.close()


def taken(pk: int) -> bool:
    """Begin an approved run, or adopt one that was left between two steps. One worker gets it."""
    at = database_now()
    return beginning.begin(pk, WORKER_ID, at) is not None or beginning.resume(pk, WORKER_ID, at)


def release() -> None:
    """This process stops: what lies between steps is for others."""
    for pk in list(
        Run.objects.filter(claimed_by=WORKER_ID, state__in=ACTING).order_by("pk").values_list("pk", flat=True)
    ):
        with transaction.atomic():
            run = records.locked(pk)
            if (
                run.claimed_by == WORKER_ID
                and run.state in ACTING
                and not run.steps.filter(state__in=("running", "undoing")).exists()
            ):
                run.claimed_by = ""
                run.save(update_fields=["claimed_by"])


def due_again(at: datetime) -> list[int]:
    """Blocked runs whose gates are to be asked again. Those that nobody will ask again are void."""
    forgotten = Run.objects.filter(state=RunState.BLOCKED, reconsider_at=None, created_at__lt=at - proposing.LONGEST)
    for pk in forgotten.order_by("pk").values_list("pk", flat=True)[:20]:
        with transaction.atomic():
            proposing.void(pk, at, "Its gates stayed shut for an hour.")
    rows = Run.objects.filter(state=RunState.BLOCKED, reconsider_at__lte=at)
    return list(rows.order_by("reconsider_at").values_list("pk", flat=True)[:20])
