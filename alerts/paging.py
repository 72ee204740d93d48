"""How does a person call somebody by hand? An alert climbs a policy that they chose, or whoever is on call in a schedule.

What its filters say does not matter then. A run that is begun so is like every other: it pauses with the alert's silence,
stops with its acknowledgement, and goes by its snapshot (SPEC ALR-5).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from alerts import calling, escalating, oncall
from alerts.models import Alert, EscalationPolicy, OnCallSchedule, Run
from portal import audit, bells
from portal.audit import Actor
from portal.clock import database_now
from portal.tenancy import Viewer

MOST_SCHEDULES = 20  # on every page's top
REPEATS, REPEAT_AFTER = 2, 300  # of a schedule that is called directly: three times in ten minutes


def levels_of(schedules: Sequence[OnCallSchedule]) -> list[dict[str, Any]]:
    """One level, at once: whoever has these schedules when it is called."""
    named = [{"id": s.pk, "name": s.name} for s in schedules]
    return [{"order": 1, "delay_seconds": 0, "channels": [], "contacts": [], "groups": [], "schedules": named}]


def page(
    alert: Alert,
    *,
    by: Actor,
    at: datetime,
    policy: EscalationPolicy | None = None,
    schedules: Sequence[OnCallSchedule] = (),
) -> list[Run]:
    """Begin to climb, in the caller's transaction, which holds the alert. A policy that climbs for it already is left so."""
    runs = []
    if policy is not None and not Run.objects.filter(alert=alert, policy=policy, ended_at=None).exists():
        kept = {
            "levels": [calling.picture(level) for level in policy.levels.all()], "repeat_count": policy.repeat_count,
            "repeat_after_seconds": policy.repeat_after_seconds, "on_empty": policy.on_empty,
        }  # fmt: skip
        runs.append(Run(policy=policy, policy_name=policy.name, alert=alert, client_id=alert.client_id, snapshot=kept))
    if schedules:
        kept = {
            "levels": levels_of(schedules), "repeat_count": REPEATS, "repeat_after_seconds": REPEAT_AFTER, "on_empty": EscalationPolicy.OnEmpty.WAIT,
        }  # fmt: skip
        name = f"On call: {', '.join(s.name for s in schedules)}"
        runs.append(Run(policy_name=name[:120], alert=alert, client_id=alert.client_id, snapshot=kept))
    for run in runs:
        run.started_at = at
        if alert.hold_reason in escalating.PAUSING:
            worked_on = alert.hold_reason == "in_maintenance"
            run.status = Run.Status.PAUSED_BY_MAINTENANCE if worked_on else Run.Status.PAUSED_BY_SILENCE
            run.paused_at = at
        else:
            run.next_action_at = escalating.due_at(run)
    Run.objects.bulk_create(runs)
    if runs:
        audit.record(
            "alert.page", alert, by=by, client_id=alert.client_id, after={"called": [run.policy_name for run in runs]}
        )
        bells.ring_on_commit(escalating.ESCALATE)
    return runs


def on_call_now(viewer: Viewer) -> list[str]:
    """The names of who is on call, for the top of every page: our own schedules for staff who have any, else what they see."""
    seen = OnCallSchedule.objects.for_user(viewer).order_by("name")
    rows = list(seen.filter(client=None)[:MOST_SCHEDULES]) or list(seen[: MOST_SCHEDULES + 1])
    if not rows or len(rows) > MOST_SCHEDULES:  # of so many clients' nobody is "the" one who is on call
        return []
    held = oncall.on_call_many(rows, database_now())
    holders = [(row, held[row.pk]) for row in rows]
    return [contact.name if contact is not None else f"nobody ({row.name})" for row, contact in holders]
