"""What became of it? Steps are settled, failed runs undone as far as they can be, and whatever nobody knows goes to people."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from playbooks import records, verifying
from playbooks.models import Run, RunState, RunStep, StepState
from playbooks.models.run import ACTING
from portal import bells
from portal.clock import database_now
from portal.models import Worker

VANISHED = timedelta(minutes=2)  # longer than a stopping process is given for its last step
_missed_since: dict[str, datetime] = {}
UNDER_WAY = (StepState.RUNNING, StepState.UNDOING)
SAID = {
    StepState.DONE: "done",
    StepState.FAILED: "failed",
    StepState.UNKNOWN: "outcome unknown",
    StepState.UNDONE: "undone",
    StepState.NOT_UNDONE: "could not be undone",
}


def settle_step(
    run_id: int, pk: int, worker: str, state: str, *, output: str, before: dict[str, Any], after: dict[str, Any], error: str
) -> None:  # fmt: skip
    """Write down what became of a step. Where somebody has declared it unknown meanwhile it stays so; what was seen is kept."""
    at = database_now()
    with transaction.atomic():
        run = records.locked(run_id)
        row = RunStep.objects.get(pk=pk)
        row.output, row.error = (output or row.output), error or row.error
        if row.state == StepState.RUNNING:  # undoing leaves what it was and what it became
            row.before, row.after = before, after
        if row.state not in UNDER_WAY or run.claimed_by != worker or run.state not in ACTING:
            row.error = (
                f"Ended after its worker was taken for dead: {SAID.get(StepState(state), state)}. {error}".strip()[:500]
            )
            row.save(update_fields=["output", "error"])
            return
        row.state, row.finished_at = state, at
        row.save(update_fields=["output", "error", "before", "after", "state", "finished_at"])
        entry = next((e for e in run.plan if e["order"] == row.order), {})
        records.tell(run, f"{run}, step {row.order}: {SAID[StepState(state)]}. {error or entry.get('sentence', '')}".strip(), at, data={"step": row.order, "state": state})  # fmt: skip
        if state == StepState.FAILED:
            run.steps.filter(state=StepState.WAITING).update(state=StepState.SKIPPED)
        elif state == StepState.UNKNOWN:
            unknown(run, at, f"Step {row.order}: {error}")


def unknown(run: Run, at: datetime, why: str) -> None:
    """Nobody knows what was done: nothing is repeated, nothing is undone, a person has to look. The run is locked."""
    run.steps.filter(state=StepState.WAITING).update(state=StepState.SKIPPED)
    records.move(run, RunState.OUTCOME_UNKNOWN, at, why)
    verifying.lapsed(run, at)
    records.raise_alert(
        run, records.FAILED, "failed", f"{run.playbook_name}: nobody knows whether it was done", f"{why} It is not repeated; look at {run.monitor or 'its target'} by hand.",
        at, severity="critical",
    )  # fmt: skip


def finish(run_id: int, worker: str, undo: Callable[[RunStep], bool]) -> None:
    """After a step failed or checks stayed bad: undo what can be undone, then say how it ended."""
    run = Run.objects.get(pk=run_id)
    if run.claimed_by != worker or not (why := _failure(run)):
        return
    undoable = {e["order"] for e in run.plan if e.get("undo")}
    if run.undo_on_failure and run.undoes_id is None:
        for row in run.steps.filter(state=StepState.DONE, order__in=undoable).order_by("-order"):
            if not undo(row):
                break
    at = database_now()
    with transaction.atomic():
        run = records.locked(run_id)
        if run.claimed_by != worker or run.state not in ACTING:
            return
        states = list(run.steps.values_list("state", flat=True))
        acted = run.steps.filter(
            state=StepState.DONE, order__in=[e["order"] for e in run.plan if e.get("acts")]
        ).exists()
        back = StepState.UNDONE in states and not acted and not {StepState.NOT_UNDONE, StepState.UNKNOWN} & set(states)
        verifying.lapsed(run, at)
        records.move(
            run,
            RunState.ROLLED_BACK if back else RunState.FAILED,
            at,
            f"{why} What it changed was put back." if back else why,
        )
        records.raise_alert(
            run,
            records.FAILED,
            "failed",
            f"{run.playbook_name} did not repair {run.monitor or 'its target'}",
            run.reason,
            at,
        )


def _failure(run: Run) -> str:
    """Why the run has failed; "" while it has not."""
    if run.state == RunState.VERIFYING:
        return str(run.verification.get("failed") or "")
    if run.state != RunState.RUNNING:
        return ""
    row = run.steps.filter(state=StepState.FAILED).order_by("order").first()
    return f"Step {row.order} failed: {row.error}" if row else ""


def bury(gone: Collection[str], at: datetime) -> None:
    """These workers are dead, and so is whoever holds a run and has not been heard of for long."""
    free([*gone, *_vanished(at)], at)


def free(workers: Collection[str], at: datetime, *, spared: Collection[int] = ()) -> None:
    """A step that they had begun is of unknown outcome; what lay between steps goes on elsewhere. `spared`: runs in living hands."""
    held = Run.objects.filter(claimed_by__in=list(workers), state__in=ACTING).exclude(pk__in=list(spared))
    freed = 0
    for pk, worker in list(held.order_by("pk").values_list("pk", "claimed_by")):
        with transaction.atomic():
            run = records.locked(pk)
            if run.claimed_by == worker and run.state in ACTING:
                _free(run, at)
                freed += 1
    if freed:
        bells.ring_on_commit(bells.ACT)


def _vanished(at: datetime) -> list[str]:
    """Workers of runs under way of whom nothing is known for a while: they were told to stop, and killed before they had."""
    claims = set(Run.objects.filter(state__in=ACTING).exclude(claimed_by="").values_list("claimed_by", flat=True))
    nowhere = claims - set(Worker.objects.filter(pk__in=claims).values_list("pk", flat=True)) if claims else set()
    for worker in set(_missed_since) - nowhere:
        del _missed_since[worker]
    return [worker for worker in sorted(nowhere) if at - _missed_since.setdefault(worker, at) >= VANISHED]


def _free(run: Run, at: datetime) -> None:
    acting = {e["order"] for e in run.plan if e.get("acts")}
    begun = list(run.steps.filter(state__in=UNDER_WAY).order_by("order"))
    lost = [row for row in begun if row.state == StepState.UNDOING or row.order in acting]
    for row in begun:
        row.state, row.error = (
            (StepState.UNKNOWN, "Its worker died while it was done.") if row in lost else (StepState.WAITING, "")
        )
        row.save(update_fields=["state", "error"])
    if lost:
        unknown(run, at, f"Step {lost[0].order} had begun when its worker died.")
    else:
        run.claimed_by = ""
        run.save(update_fields=["claimed_by"])
