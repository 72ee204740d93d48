"""How do people agree, or not? One door for page, portal, admin and API; each word is bound to a person and to a plan.

The caller has proved who speaks, there and then (`how` says by what). A link alone never gets here (SPEC PLB-4).
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from playbooks import engine, plans, proposing, records
from playbooks.models import Approval, Playbook, Run, RunState
from portal import audit, bells
from portal.audit import Actor
from portal.errors import Refused
from portal.models import User

LONGEST_REASON = 500


def may_decide(run: Run, user: User | None) -> str:
    """Why this person may not decide about this run; "" when they may."""
    if user is None or not user.is_active:
        return "Sign in first."
    if user.pk not in run.approver_ids:
        return "You are not one of the people who were asked."
    if user.pk == run.requester_id:
        return "You asked for this run; somebody else has to agree."
    playbook = Playbook.objects.filter(pk=run.playbook_id).first()
    if playbook is None or user.pk not in proposing.approvers(playbook, run.client_id):
        return "You may not approve this any more: your role or the playbook's approvers have changed."
    return ""


def approve(run: Run, user: User, *, plan_hash: str, how: str, by: Actor, at: datetime) -> Run:
    """This person's yes to this very plan. With enough of them, and every gate passed again, the run is approved."""
    with transaction.atomic():
        run = _asked(run.pk, user, plan_hash, at)
        if run.state != RunState.AWAITING_APPROVAL:
            return run
        _say(run, user, Approval.Word.APPROVE, how=how, by=by, at=at)
        said = [engine.Said(a.user_id, a.word, a.plan_hash) for a in run.approvals.all()]
        result = engine.tally(said, required=run.approvals_required, approvers=run.approver_ids, requester=run.requester_id, plan_hash=run.plan_hash)  # fmt: skip
        if result == "approved":
            _agreed(run, by, at)
        return run


def deny(run: Run, user: User, *, plan_hash: str, how: str, by: Actor, at: datetime, reason: str = "") -> Run:
    """This person's no: the run ends, and this playbook does not come back for this incident."""
    with transaction.atomic():
        run = _asked(run.pk, user, plan_hash, at)
        if run.state != RunState.AWAITING_APPROVAL:
            return run
        _say(run, user, Approval.Word.DENY, how=how, by=by, at=at, reason=reason)
        said = reason.strip()[:LONGEST_REASON]
        records.move(
            run, RunState.DENIED, at, f"{user} denied it" + (f": {said}" if said else "."), by=by, decided_at=at
        )
        return run


def _asked(pk: int, user: User, plan_hash: str, at: datetime) -> Run:
    """The run under lock, if this person may still speak about this plan; Refused with what is the case otherwise.

    What cannot be decided any more for a reason that ends the run (its time, its plan) is ended, and returned so.
    """
    run = records.locked(pk)
    if run.state != RunState.AWAITING_APPROVAL:
        raise Refused(
            f"Nothing was done now: this run is {run.get_state_display().lower()} already. {run.reason}".strip()
        )
    if refusal := may_decide(run, user):
        raise Refused(refusal)
    if run.approvals.filter(user=user).exists():
        raise Refused("You have agreed already; the run waits for somebody else.")
    if run.expires_at is None or run.expires_at <= at:
        records.move(run, RunState.EXPIRED, at, "Nobody decided in time.")
    elif (changed := stale(run)) or plan_hash != run.plan_hash:
        if not changed:
            raise Refused("What you looked at is not this run's plan; open the page again.")
        records.move(run, RunState.VOID, at, changed)
    return run


def stale(run: Run) -> str:
    """Why what people were asked about is not what would be done any more; "" when it is."""
    playbook = Playbook.objects.filter(pk=run.playbook_id).first()
    if playbook is None:
        return "Its playbook was deleted."
    if playbook.version != run.playbook_version:
        return "The playbook was changed after people were asked."
    if plans.digest_of(run) != run.plan_hash:
        return "Its plan is not the one that people were asked about."
    return ""


def _say(run: Run, user: User, word: str, *, how: str, by: Actor, at: datetime, reason: str = "") -> None:
    Approval.objects.create(
        run=run, user=user, word=word, plan_hash=run.plan_hash, how=how, ip=by.ip[:45], reason=reason.strip()[:LONGEST_REASON], at=at
    )  # fmt: skip
    audit.record(
        f"playbook.{word}", run, by=by, client_id=run.client_id, after={"plan_hash": run.plan_hash, "how": how}
    )
    if word == Approval.Word.APPROVE:
        records.tell(run, f"{user} approved {run} ({how}).", at, by=by.name)


def _agreed(run: Run, by: Actor, at: datetime) -> None:
    playbook = Playbook.objects.get(pk=run.playbook_id)
    if run.undoes_id is None:
        gates = proposing.judged(run, playbook, run.alert, at)
        run.gates, run.gates_at = [g.as_json() for g in gates], at
        if not engine.passed(gates):
            records.move(
                run, RunState.VOID, at, f"Approved, but not carried out: {engine.why_not(gates)}", by=by, decided_at=at
            )
            return
    records.move(run, RunState.APPROVED, at, "Enough people agreed.", by=by, decided_at=at)
    bells.ring_on_commit(bells.ACT)


def expire(at: datetime) -> int:
    """End what nobody decided in time; how many that were."""
    late = list(Run.objects.filter(state=RunState.AWAITING_APPROVAL, expires_at__lte=at).order_by("pk").values_list("pk", flat=True)[:50])  # fmt: skip
    for pk in late:
        with transaction.atomic():
            run = records.locked(pk)
            if run.state == RunState.AWAITING_APPROVAL and run.expires_at is not None and run.expires_at <= at:
                records.move(run, RunState.EXPIRED, at, "Nobody decided in time.")
    return len(late)
