"""How is a run carried out? Step by step, each begun at most once; then fresh checks say whether it helped.

What a step is about to do is written down before it is done. Whoever finds such a note without its end knows nothing, and
says so: `outcome_unknown`, a person is paged, nothing is repeated (SPEC PLB-5).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, connection, transaction

from playbooks import facts, outcomes, plans, records, verifying
from playbooks.fetching import fetch
from playbooks.models import Playbook, Run, RunState, RunStep, StepState
from playbooks.models import Step as StepRow
from playbooks.steps import KINDS
from playbooks.steps.base import Context, Done, NotDone, Step, Unsure, shortened
from portal.clock import database_now
from portal.residents import pulse

log = logging.getLogger("watchkeeper.playbooks")
PERSISTENT = 60  # seconds to go on trying to write down what has happened


class Stopped(BaseException):
    """The portal stops; not an Exception, so that no step mistakes it for a failure of its own."""


@dataclass
class Performer:
    """Carries out one run in this process; `stopping` is set when the process ends."""

    run_id: int
    worker: str
    stopping: threading.Event

    def perform(self) -> None:
        """To the end, or as far as this process may; never raises."""
        try:
            self._perform()
        except Stopped:
            log.info("run %s is left to another worker", self.run_id)
        except (DatabaseError, InterfaceError) as error:
            log.warning("run %s: %s; it stays as it was written", self.run_id, type(error).__name__)
        except Exception:
            log.exception("run %s broke", self.run_id)

    def _perform(self) -> None:
        run = Run.objects.get(pk=self.run_id)
        while run.state == RunState.RUNNING:
            row = run.steps.filter(state=StepState.WAITING).order_by("order").first()
            if row is None:
                if not run.steps.filter(state=StepState.FAILED).exists():
                    self._to_verifying()
                break
            if not self._one(row):
                return
            run = Run.objects.get(pk=self.run_id)
        verifying.follow(self.run_id, self.worker, self._rest)
        outcomes.finish(self.run_id, self.worker, self._undo)

    # --- One step -------------------------------------------------------------------------------------------------------
    def _one(self, row: RunStep) -> bool:
        """Do this step; False when the run does not go on here."""
        moment = time.monotonic()
        taken = self._take(row.pk, StepState.WAITING, StepState.RUNNING)
        if taken is None:
            return False
        run, step, refusal = taken
        context = self._context(run, row, step)
        try:
            if refusal:
                raise NotDone(refusal)
            if not pulse.sure_since(moment):  # we were frozen: somebody may have taken the run from us
                raise NotDone("The worker was held up between writing down and doing; nothing was done.")
            done = step.do(context) if run.undoes_id is None else step.undo(context, *_as_it_was(run, row))
        except Stopped:
            self._give_back(row.pk)
            raise
        except NotDone as why:
            self._settle(row.pk, StepState.FAILED, error=str(why), said=why)
            return True
        except Unsure as why:
            self._settle(row.pk, StepState.UNKNOWN, error=str(why), said=why)
            return False
        except Exception as error:
            log.exception("step %s of run %s broke", row.order, self.run_id)
            state = StepState.UNKNOWN if step.acts else StepState.FAILED
            self._settle(row.pk, state, error=f"It broke: {type(error).__name__}.")
            return not step.acts
        self._settle(row.pk, StepState.DONE, done=done)
        return True

    def _take(self, pk: int, before: str, after: str) -> tuple[Run, Step, str] | None:
        """Write down that it begins; (run, step, why it must not be done). None when the run is not ours (any more)."""
        at = database_now()
        with transaction.atomic():
            run = records.locked(self.run_id)
            mine = run.claimed_by == self.worker and run.state in (RunState.RUNNING, RunState.VERIFYING)
            if not mine or not RunStep.objects.filter(pk=pk, state=before).update(state=after, started_at=at):
                return None
            row = RunStep.objects.get(pk=pk)
            refusal = "" if after == StepState.UNDOING else stopped(run)
            try:
                step = plans.opened(_stored(run, row))
            except ValueError as error:
                step, refusal = Step(None), str(error)  # type: ignore[arg-type]
            return run, step, refusal

    def _settle(self, pk: int, state: str, *, done: Done | None = None, error: str = "", said: Any = None) -> None:
        """Write down what became of it, for as long as it takes the database to listen."""
        output = done.output if done else str(getattr(said, "output", "") or "")
        after = dict(done.after) if done else dict(getattr(said, "after", None) or {})
        before = dict(done.before) if done else dict(getattr(said, "before", None) or {})
        until = time.monotonic() + PERSISTENT
        while True:
            try:
                outcomes.settle_step(
                    self.run_id,
                    pk,
                    self.worker,
                    state,
                    output=shortened(output),
                    before=before,
                    after=after,
                    error=error[:500],
                )
                return
            except (DatabaseError, InterfaceError):
                connection.close()
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)

    def _give_back(self, pk: int) -> None:
        """A step that only waits or looks is begun anew elsewhere; one that acts stays as it is: unknown."""
        row = RunStep.objects.get(pk=pk)
        if not getattr(KINDS.get(row.kind), "acts", True):
            with transaction.atomic():
                records.locked(self.run_id)
                RunStep.objects.filter(pk=pk, state=StepState.RUNNING).update(state=StepState.WAITING, started_at=None)

    # --- Undoing --------------------------------------------------------------------------------------------------------
    def _undo(self, row: RunStep) -> bool:
        """Undo one finished step; False when that failed, or nobody knows."""
        taken = self._take(row.pk, StepState.DONE, StepState.UNDOING)
        if taken is None:
            return False
        run, step, refusal = taken
        try:
            if refusal:
                raise NotDone(refusal)
            done = step.undo(self._context(run, row, step), row.before, row.after)
        except NotDone as why:
            self._settle(row.pk, StepState.NOT_UNDONE, error=str(why))
            return False
        except Exception as why:
            self._settle(
                row.pk,
                StepState.UNKNOWN,
                error=f"While it was undone: {why if isinstance(why, Unsure) else type(why).__name__}",
            )
            return False
        self._settle(row.pk, StepState.UNDONE, done=done)
        return True

    # --- What steps may use ---------------------------------------------------------------------------------------------
    def _context(self, run: Run, row: RunStep, step: Step) -> Context:
        seconds = step.longest() if step.config is not None else 0
        return Context(
            run_id=run.pk, order=row.order, plan_hash=run.plan_hash, client_id=run.client_id, monitor_id=run.monitor_id, incident_id=run.incident_id,
            by=f"Playbook {run.playbook_name}"[:200], until=database_now() + timedelta(seconds=seconds), now=database_now, fetch=fetch,
            rest=self._rest_if(step), stopping=self.stopping.is_set,
        )  # fmt: skip

    def _rest_if(self, step: Step) -> Callable[[timedelta], None]:
        """Rest; a step that changes nothing may be broken off when the portal stops, one that acts is seen through."""
        return self._rest if not step.acts else lambda span: time.sleep(max(0.0, span.total_seconds()))

    def _rest(self, span: timedelta) -> None:
        if self.stopping.wait(max(0.0, span.total_seconds())):
            raise Stopped

    def _to_verifying(self) -> None:
        with transaction.atomic():
            run = records.locked(self.run_id)
            if run.claimed_by == self.worker and run.state == RunState.RUNNING:
                verifying.begin(run, database_now())


def stopped(run: Run) -> str:
    """Why no further step of a run may begin: a kill switch that was pulled meanwhile, a playbook that is gone."""
    playbook = Playbook.objects.filter(pk=run.playbook_id).first()
    if playbook is None:
        return "Its playbook was deleted meanwhile."
    return "; ".join(facts.brakes(playbook, run.client_id))


def _as_it_was(run: Run, row: RunStep) -> tuple[dict[str, Any], dict[str, Any]]:
    """(before, after) of the step that this one puts back."""
    entry = next((e for e in run.plan if e["order"] == row.order), {})
    first = RunStep.objects.get(run=run.undoes_id, order=entry["undoes"])
    return first.before, first.after


def _stored(run: Run, row: RunStep) -> StepRow:
    """The settings behind a step of a run. A changed playbook has another version: then there is nothing to do it by."""
    entry = next((e for e in run.plan if e["order"] == row.order), {})
    order = entry.get("undoes", row.order)
    playbook = Playbook.objects.filter(pk=run.playbook_id).first()
    stored = StepRow.objects.filter(playbook=run.playbook_id, order=order, kind=row.kind).first()
    if playbook is None or stored is None or playbook.version != run.playbook_version:
        raise ValueError("The playbook was changed meanwhile, so this step is not done.")
    return stored


def due(at: datetime) -> list[int]:
    """Runs that nobody carries out: approved ones, and those whose worker left them at a safe place."""
    rows = Run.objects.filter(claimed_by="", state__in=(RunState.APPROVED, RunState.RUNNING, RunState.VERIFYING))
    return list(rows.order_by("pk").values_list("pk", flat=True)[:20])
