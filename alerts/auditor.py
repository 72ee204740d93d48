"""Did every open alert that should have escalated do so? A job of its own looks each minute, and says so when not (SPEC ESC-5).

It shares no loop with the escalator: what it looks at are rows, an alert without its run, a run that is late. What it
finds is put right where it can be, opens an alert of its own, and withholds the outside heartbeat, so that somebody hears
of it even when this portal can call nobody any more.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Min

from alerts import escalating, facts
from alerts.models import Alert, EscalationPolicy, Run
from alerts.report import Report, report
from portal import deadman
from portal.models import Slot, Worker

log = logging.getLogger("watchkeeper.auditor")

JOB = "alerts.escalation_audit"
LATE_AFTER = timedelta(seconds=30)
PASSED_WITHIN = timedelta(seconds=180)
AT_ONCE = 500
CONDITION = "escalation_stalled"


@dataclass(slots=True)
class Findings:
    """What the auditor found: runs that were missing (begun by now) or stood still (going on), and runs that are late."""

    missing: list[Run] = field(default_factory=list)
    stuck: list[Run] = field(default_factory=list)
    late: list[Run] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missing or self.stuck or self.late)


def audit(at: datetime) -> Findings:
    """Look, put right, and open or close the portal's own alert."""
    found = Findings(missing=_begin_missing(at), stuck=_move_stuck(at), late=_late(at))
    for run in found.missing:
        log.error("alert %s should have escalated by %s and did not; it does now", run.alert_id, run.policy_name)
    for run in found.stuck:
        log.error(
            "run %s (%s, alert %s) was paused although nothing holds its alert", run.pk, run.policy_name, run.alert_id
        )
    for run in found.late:
        log.error("run %s (%s, alert %s) was due at %s", run.pk, run.policy_name, run.alert_id, run.next_action_at)
    with transaction.atomic():
        report([_word(found, at)])
    return found


def _late(at: datetime) -> list[Run]:
    late = Run.objects.filter(status=Run.Status.ACTIVE, next_action_at__lt=at - LATE_AFTER)
    return list(late.order_by("next_action_at")[:AT_ONCE])


def _move_stuck(at: datetime) -> list[Run]:
    """Let runs go on that wait although nothing holds their alerts."""
    stuck = Run.objects.filter(status__startswith="paused", paused_at__lt=at - LATE_AFTER, alert__hold_reason="")
    alerts = list(stuck.filter(alert__resolved_at=None).order_by().values_list("alert_id", flat=True)[:AT_ONCE])
    if not alerts:
        return []
    with transaction.atomic():
        rows = escalating.lock(Alert.objects.filter(pk__in=alerts, hold_reason="", resolved_at=None))
        return escalating.go_on(_starts(rows, at))


def _begin_missing(at: datetime) -> list[Run]:
    """Begin the runs that are missing, of alerts that are open, that nobody has and nothing holds."""
    begun: list[Run] = []
    if not EscalationPolicy.objects.filter(active=True).exists():
        return begun
    old_enough = Alert.objects.filter(
        status=Alert.Status.OPEN, hold_reason="", created_at__lt=at - LATE_AFTER, resolved_at=None
    )
    last = 0
    while True:
        batch = list(old_enough.filter(pk__gt=last).order_by("pk")[:AT_ONCE])
        if not batch:
            return begun
        last = batch[-1].pk
        wanting = _wanting(batch, at)
        if wanting:
            with transaction.atomic():
                rows = escalating.lock(old_enough.filter(pk__in=wanting))
                begun += escalating.begin(_starts(rows, at))


def _wanting(alerts: list[Alert], at: datetime) -> list[int]:
    """Those of these alerts that some policy takes up and has never climbed for."""
    starts = _starts(alerts, at)
    policies = escalating.policies({s.alert.client_id for s in starts})
    if not policies:
        return []
    named = escalating.attached({s.alert.service_id for s in starts if s.alert.service_id})
    known = set(Run.objects.filter(alert__in=alerts).values_list("alert_id", "policy_id"))
    return [
        s.alert.pk
        for s in starts
        if any(
            (s.alert.pk, p.pk) not in known and escalating.takes_up(p, s.facts, s.at, named)
            for p in policies
        )
    ]  # fmt: skip


def _starts(alerts: list[Alert], at: datetime) -> list[escalating.Start]:
    around = facts.around(alerts)
    return escalating.as_told([escalating.Start(a, around.of(a, at), at, at) for a in alerts])


def _word(found: Findings, at: datetime) -> Report:
    """What the portal has to say of itself."""
    said = []
    if found.late:
        said.append(f"{len(found.late)} escalation steps are more than {LATE_AFTER.seconds} s late")
    if found.missing:
        said.append(f"{len(found.missing)} escalations had not begun; they have now")
    if found.stuck:
        said.append(f"{len(found.stuck)} escalations stood still; they go on now")
    return Report(
        source="external", condition=CONDITION, event="escalation_stalled", entity_type="external", entity_id="portal", entity_name="Watchkeeper",
        failing=bool(found), at=at, severity="critical", title="Escalation has stalled",
        message=("; ".join(said) + ". Look at the page workers: are any running (/readyz), and what do their logs say?") if said else "",
    )  # fmt: skip


# --- The outside --------------------------------------------------------------------------------------------------------
def obstacle(at: datetime) -> str:
    """Why the outside heartbeat is not to be sent: nobody audits escalation any more, or it stands still. "" when all is well."""
    stalled = Alert.objects.filter(resolved_at=None, source="external", condition=CONDITION, entity_id="portal")
    if stalled.exists():
        return "escalation has stalled"
    if Slot.objects.filter(name=JOB, done_at__gte=at - PASSED_WITHIN).exists():
        return ""
    oldest = Worker.objects.aggregate(at=Min("started_at"))["at"]
    if oldest is None or oldest > at - PASSED_WITHIN:  # just started: its turn comes within a minute
        return ""
    return f"the escalation auditor has not passed for {PASSED_WITHIN.seconds} s"


def register() -> None:
    """The outside hears that we live only while escalation does."""
    deadman.only_while(obstacle)
