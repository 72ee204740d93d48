"""Which playbooks answer this alert, and what becomes of that? A run for each: dry, blocked, awaiting people, or approved.

Called inside the alert's own transaction, so that the first message already carries the button. What is judged here is
judged again, under one lock, when the run is about to act (`playbooks/beginning.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q, QuerySet

from alerts import engine as alerting
from alerts import facts as around_alerts
from alerts import linking
from alerts.models import Alert
from monitors.models import Monitor
from playbooks import asking, engine, facts, links, plans, records
from playbooks.models import Mode, Playbook, Run, RunState, RunStep, RunTarget
from playbooks.models.run import OPEN
from portal import bells
from portal.audit import PORTAL, Actor
from portal.models import User
from portal.tenancy import ADMIN, APPROVER, OWNER, STAFF

SOON, LATER = timedelta(seconds=2), timedelta(seconds=15)  # a blocked run is judged again, often at first
FIRST_MINUTE, LONGEST = timedelta(minutes=1), timedelta(hours=1)
MOST_BLOCKED = 50  # runs of one playbook that wait for their gates; a storm is not what playbooks are for


# --- Which ------------------------------------------------------------------------------------------------------------
def matching(alerts: Sequence[Alert], playbooks: Iterable[Playbook] | None = None) -> list[tuple[Playbook, Alert]]:
    """Every pair that belongs together, by the rules that route for real. None of our own alerts: an action answers no action."""
    known = list(playbooks if playbooks is not None else Playbook.objects.filter(steps__isnull=False).distinct().order_by("pk"))  # fmt: skip
    asked = [a for a in alerts if a.source != "playbook" and a.monitor_id]
    if not known or not asked:
        return []
    around = around_alerts.around(asked)
    return [(p, a) for a in asked for p in known if wants(p, a, around.of(a, a.created_at))]


def wants(playbook: Playbook, alert: Alert, known: alerting.Facts) -> bool:
    """Does this playbook answer that alert? OR within a list, AND between lists, empty = all."""
    if playbook.events and alerting.wire_type(alert.source, alert.event) not in playbook.events:
        return False
    rule = alerting.Rule(
        id=playbook.pk, name=playbook.name, client=playbook.client_id, scopes=frozenset(s.lower() for s in playbook.scopes),
        tags=frozenset(t.lower() for t in playbook.tags),
    )  # fmt: skip
    return not alerting.refuses(rule, known, alert.created_at)


# --- What becomes of it -----------------------------------------------------------------------------------------------
def consider(alerts: Sequence[Alert], at: datetime) -> list[Run]:
    """Runs for alerts that were opened, or whose cause is known now. In their transaction."""
    records.in_transaction()
    pairs = matching(alerts)
    if not pairs:
        return []
    known = Run.objects.filter(alert__in=[a for _, a in pairs], undoes=None, requested_by="")
    states = {
        (playbook, alert): (pk, state)
        for pk, playbook, alert, state in known.values_list("pk", "playbook_id", "alert_id", "state")
    }
    waiting = Run.objects.filter(state=RunState.BLOCKED, playbook__in={p.pk for p, _ in pairs})
    blocked = Counter(waiting.order_by().values_list("playbook_id", flat=True))
    found = []
    for playbook, alert in pairs:
        pk, state = states.get((playbook.pk, alert.pk), (None, ""))
        if pk is not None:
            found.append(reconsider(pk, at) if state == RunState.BLOCKED else None)
        elif blocked[playbook.pk] < MOST_BLOCKED:
            run = propose(playbook, alert, at)
            blocked[playbook.pk] += run.state == RunState.BLOCKED
            found.append(run)
    return [run for run in found if run is not None]


def propose(playbook: Playbook, alert: Alert, at: datetime) -> Run:
    """A new run of this playbook, upon this alert, which the caller holds."""
    records.hold_incident(alert.incident_id)
    run = made(playbook, Monitor.objects.filter(pk=alert.monitor_id).first(), alert, at)
    settle(run, playbook, alert, at)
    return run


def made(playbook: Playbook, monitor: Monitor | None, alert: Alert | None, at: datetime, *, by: Actor = PORTAL, mode: str = "", state: str = RunState.BLOCKED) -> Run:  # fmt: skip
    """A run with its frozen plan, blocked until it is judged; `state`: what else it is from the beginning."""
    plan = plans.of(playbook)
    said: Mapping[str, Any] = (alert.verdict if alert is not None else None) or {}
    verdict = {k: said[k] for k in ("summary", "layer", "confidence") if k in said}
    client = monitor.client_id if monitor else playbook.client_id
    run = Run(
        playbook=playbook, playbook_name=playbook.name, playbook_version=playbook.version, client_id=client, monitor=monitor, alert=alert,
        incident_id=alert.incident_id if alert else None, mode=mode or playbook.mode, state=state, plan=plan.entries, verdict=verdict,
        approvals_required=playbook.approvals_required, verify_within_seconds=playbook.verify_within_seconds, undo_on_failure=playbook.undo_on_failure,
        requested_by="" if by is PORTAL else by.name, requester_id=by.user_id, created_at=at,
    )  # fmt: skip
    run.plan_hash = plans.digest_of(run)
    run.save()
    spread(run)
    return run


def spread(run: Run) -> None:
    """A row for each step of its plan, and for each thing that it would touch."""
    RunStep.objects.bulk_create(RunStep(run=run, order=e["order"], kind=e["kind"]) for e in run.plan)
    keys = dict.fromkeys(plans.key_of(run.client_id, target) for target in plans.Plan(run.plan).targets)
    RunTarget.objects.bulk_create(RunTarget(run=run, key=key) for key in keys)


def judged(run: Run, playbook: Playbook, alert: Alert | None, at: datetime) -> list[engine.Gate]:
    """The gates' answers now, with one more: whether the steps can be carried out at all."""
    keys = list(run.targets.values_list("key", flat=True))
    known = facts.gather(
        playbook, keys, run.monitor, alert, at, verdict=None if alert is not None else (run.verdict or None), run=run
    )
    problems = [f"Step {e['order']}: {e['problem']}" for e in plans.of(playbook).entries if e["problem"]]
    ready = engine.Gate("steps", bool(run.plan) and not problems, "; ".join(problems)[:500] or ("Every step can be carried out." if run.plan else "It has no steps."))  # fmt: skip
    return [*engine.judge(known, facts.limits_of(playbook)), ready]


def settle(run: Run, playbook: Playbook, alert: Alert, at: datetime) -> None:
    """Judge a run that is blocked (or new) and take it where its gates and its mode allow."""
    gates = judged(run, playbook, alert, at)
    run.gates, run.gates_at = [g.as_json() for g in gates], at
    if not engine.passed(gates):
        first = not run.reason
        run.reason = engine.why_not(gates)[:500]
        age = at - run.created_at
        run.reconsider_at = None if age > LONGEST else at + (SOON if age < FIRST_MINUTE else LATER)
        run.save(update_fields=["gates", "gates_at", "reason", "reconsider_at"])
        if first:
            records.tell(run, f"{run}: blocked. {run.reason}", at)
        if run.mode != Mode.DRY_RUN and engine.capped(gates):
            records.raise_alert(
                run, records.CAPPED, "capped", f"{playbook.name} does not act again on {run.monitor}",
                f"{run.reason} The failure is back (or still there), so people have to look.", at,
            )  # fmt: skip
        return
    records.close_alerts(run, [records.CAPPED], at)
    if run.mode == Mode.DRY_RUN:
        records.move(run, RunState.DRY_RUN, at, "Every gate has passed; in dry run it only says what it would do.")
        # What would have been done can be looked at: enough of these, and asking people is offered as the next mode.
        Playbook.objects.filter(pk=playbook.pk).update(verified_in_a_row=F("verified_in_a_row") + 1)
    elif run.mode == Mode.AUTOMATIC:
        records.move(run, RunState.APPROVED, at, "Every gate has passed; it acts by itself.", decided_at=at)
        bells.ring_on_commit(bells.ACT)
    else:
        ask(run, playbook, alert, at)


def ask(run: Run, playbook: Playbook, alert: Alert | None, at: datetime) -> None:
    """Put it before people: the button on the alert, an alert of its own, a letter to each approver."""
    run.approver_ids = approvers(playbook, run.client_id)
    if not engine.enough_approvers(run.approvals_required, run.approver_ids, run.requester_id):
        reason = f"{run.approvals_required} approvals are required, but too few people may give one."
        records.move(run, RunState.VOID, at, reason, approver_ids=run.approver_ids)
        records.raise_alert(run, records.FAILED, "failed", f"{playbook.name} cannot be approved", reason, at)
        return
    until = at + timedelta(minutes=playbook.approval_minutes)
    who = f"{run.approvals_required} of {len(run.approver_ids)} people"
    records.move(
        run, RunState.AWAITING_APPROVAL, at, f"Waits for {who} until {until:%H:%M:%S} UTC.", approver_ids=run.approver_ids, expires_at=until,
    )  # fmt: skip
    if alert is not None:
        linking.attach_link(alert, "approve", links.url(run), label="Approve repair")
    asking.tell(run, at)


def approvers(playbook: Playbook, client: int | None) -> list[int]:
    """Who may agree: the named people who still may, or every owner and staff member."""
    named = list(playbook.approvers.order_by("pk").values_list("pk", flat=True))
    people = able_to_approve(client).filter(pk__in=named) if named else able_to_approve(None)
    return list(people.values_list("pk", flat=True))


def able_to_approve(client: int | None) -> QuerySet[User]:
    """The people whose role lets them approve: our owners and staff, the client's admins and approvers."""
    ours = Q(memberships__client=None, memberships__role__in=(OWNER, STAFF))
    theirs = Q(memberships__client=client, memberships__client__active=True, memberships__role__in=(ADMIN, APPROVER))
    rows = User.objects.filter(ours | theirs if client else ours, is_active=True)
    return User.objects.filter(pk__in=rows.order_by().values("pk")).order_by("pk")


# --- When something changes ---------------------------------------------------------------------------------------------
def reconsider(pk: int, at: datetime) -> Run | None:
    """Judge a blocked run again. In a transaction."""
    run = records.locked(pk)
    alert = Alert.objects.filter(pk=run.alert_id).first() if run.alert_id else None
    playbook = Playbook.objects.filter(pk=run.playbook_id).first()
    if run.state != RunState.BLOCKED:
        return None
    if alert is None or alert.is_resolved or playbook is None:
        records.move(run, RunState.VOID, at, "What it answered is over." if playbook else "Its playbook was deleted.")
        records.close_alerts(run, [records.CAPPED], at)
        return run
    if playbook.version != run.playbook_version or run.mode != playbook.mode or (alert.verdict or {}).get("layer") != run.verdict.get("layer"):  # fmt: skip
        _renew(run, playbook, alert)
    settle(run, playbook, alert, at)
    return run


def _renew(run: Run, playbook: Playbook, alert: Alert) -> None:
    """Nobody was asked yet, so the plan may still follow the playbook and the verdict."""
    said = alert.verdict or {}
    run.verdict = {k: said[k] for k in ("summary", "layer", "confidence") if k in said}
    run.incident_id = alert.incident_id
    run.mode, run.playbook_version, run.plan = playbook.mode, playbook.version, plans.of(playbook).entries
    run.approvals_required, run.verify_within_seconds, run.undo_on_failure = playbook.approvals_required, playbook.verify_within_seconds, playbook.undo_on_failure  # fmt: skip
    run.plan_hash = plans.digest_of(run)
    run.save()
    run.steps.all().delete()
    run.targets.all().delete()
    spread(run)


def verdict_changed(alerts: Sequence[Alert], at: datetime) -> None:
    """What people are asked about rests on a verdict: another layer voids it (what is under way goes on)."""
    asked = Run.objects.filter(alert__in=alerts, state__in=(RunState.AWAITING_APPROVAL, RunState.APPROVED), undoes=None)
    layers = {a.pk: (a.verdict or {}).get("layer") for a in alerts}
    for pk, alert, verdict in list(asked.order_by("pk").values_list("pk", "alert_id", "verdict")):
        if layers[alert] != verdict.get("layer"):
            void(pk, at, f"The verdict changed from {verdict.get('layer') or 'none'} to {layers[alert] or 'none'}.")


def alerts_over(alerts: Sequence[Alert], at: datetime) -> None:
    """What it was for has recovered, or was resolved by hand: nothing begins any more."""
    waiting = (RunState.BLOCKED, RunState.AWAITING_APPROVAL, RunState.APPROVED)
    pks = list(Run.objects.filter(alert__in=alerts, state__in=waiting, undoes=None).order_by("pk").values_list("pk", flat=True))  # fmt: skip
    if pks:
        records.hold(pks)
    for pk in pks:
        void(pk, at, "The alert is resolved; there is nothing to repair.")
    for run in Run.objects.filter(alert__in=alerts).exclude(state__in=OPEN).exclude(state=RunState.OUTCOME_UNKNOWN):
        records.close_alerts(run, [records.CAPPED, records.FAILED], at)


def void(pk: int, at: datetime, reason: str, *, by: Actor = PORTAL) -> Run | None:
    """End a run that has not begun. In a transaction; None when it has begun or ended already."""
    run = records.locked(pk)
    if not engine.may_move(run.state, RunState.VOID):
        return None
    records.move(run, RunState.VOID, at, reason, by=by)
    records.close_alerts(run, [records.CAPPED], at)
    return run
