"""May it begin, this very moment? Under one lock for all workers everything is asked once more; then, and only then, it acts.

What was judged when the run was proposed or approved is minutes old by now; caps, cooldowns and targets are counted here.
"""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from playbooks import deciding, engine, facts, plans, proposing, records
from playbooks.models import Mode, Playbook, Run, RunState, RunTarget, StepState
from playbooks.models.run import ACTING
from portal.clock import database_now


def begin(pk: int, worker: str, at: datetime) -> Run | None:
    """Take an approved run and let it act; None when it may not (any more), which its row then says."""
    try:
        with transaction.atomic():
            run, at = _under_lock(pk, at)
            if run.state != RunState.APPROVED:
                return None
            if refusal := _refusal(run, at):
                state, reason = refusal
                records.move(run, state, at, reason)
                return None
            with transaction.atomic():
                RunTarget.objects.filter(run=run).update(active=True)
            records.move(run, RunState.RUNNING, at, "It acts.", acted_at=at, claimed_by=worker)
            return run
    except IntegrityError:  # another run took one of its targets between the question and the answer
        return None


def resume(pk: int, worker: str, at: datetime) -> bool:
    """Take over a run that was left between two steps; whether this worker has it now.

    While nothing that acts has begun, all is asked once more: what was true when it began may be hours old, as after a stop of
    the whole portal.
    """
    with transaction.atomic():
        run, at = _under_lock(pk, at)
        if run.state not in ACTING or run.claimed_by:
            return False
        if not _has_acted(run) and (refusal := _refusal(run, at)):
            records.move(run, RunState.FAILED, at, f"Held up before its first step; nothing was done. {refusal[1]}")
            return False
        run.claimed_by = worker
        run.save(update_fields=["claimed_by"])
        return True


def _under_lock(pk: int, at: datetime) -> tuple[Run, datetime]:
    """The run, and what time it is now that all who came before are through: caps and cooldowns run from when it really begins."""
    records.gatekeeper(at)
    return records.locked(pk), max(at, database_now())


def _has_acted(run: Run) -> bool:
    """Has a step begun that changes something?"""
    acting = [e["order"] for e in run.plan if e.get("acts")]
    return run.state != RunState.RUNNING or run.steps.filter(order__in=acting).exclude(state=StepState.WAITING).exists()


def _refusal(run: Run, at: datetime) -> tuple[str, str] | None:
    """(state, reason) when it must not begin."""
    if changed := deciding.stale(run):
        return RunState.VOID, changed
    playbook = Playbook.objects.get(pk=run.playbook_id)
    if run.expires_at is not None and run.expires_at <= at:
        return RunState.EXPIRED, "It was approved, but could not begin in time."
    if run.undoes_id is not None:
        gates = for_putting_back(run, playbook, at)
    else:
        gates = proposing.judged(run, playbook, run.alert, at)
    run.gates, run.gates_at = [g.as_json() for g in gates], at
    if refusal := _unallowed(run, playbook):
        return RunState.VOID, refusal
    if not engine.passed(gates):
        if engine.capped(gates):
            records.raise_alert(
                run, records.CAPPED, "capped", f"{playbook.name} does not act again on {run.monitor or 'its targets'}", engine.why_not(gates), at
            )  # fmt: skip
        return RunState.VOID, f"Not carried out: {engine.why_not(gates)}"
    return None


def _unallowed(run: Run, playbook: Playbook) -> str:
    """Is there, right now, somebody's word that lets it act? Read from the rows, not from the state."""
    if run.mode == Mode.AUTOMATIC and run.undoes_id is None:
        return (
            ""
            if playbook.mode == Mode.AUTOMATIC and playbook.automatic_since
            else "The playbook is not automatic any more."
        )
    may = proposing.approvers(playbook, run.client_id)
    said = [engine.Said(a.user_id, a.word, a.plan_hash) for a in run.approvals.all() if a.user_id in may]
    counted = engine.tally(
        said,
        required=run.approvals_required,
        approvers=run.approver_ids,
        requester=run.requester_id,
        plan_hash=run.plan_hash,
    )
    return "" if run.mode == Mode.APPROVAL and counted == "approved" else "There is no valid approval."


def for_putting_back(run: Run, playbook: Playbook, at: datetime) -> list[engine.Gate]:
    """The gates before what was done is undone: nothing has to fail for that, and people have agreed."""
    keys = list(run.targets.values_list("key", flat=True))
    known = facts.gather(playbook, keys, run.monitor, None, at, run=run)
    kept = {"brakes", "cap", "target_cap", "concurrency", "maintenance"}
    gates = [g for g in engine.judge(known, facts.limits_of(playbook)) if g.gate in kept]
    return [
        *gates,
        engine.Gate(
            "steps",
            bool(run.plan),
            "Every step can be undone." if plans.Plan(run.plan).entries else "Nothing can be undone.",
        ),
    ]
