"""How does a run move, and who reads of it? One door for every change of state: the table of moves, the incident, the audit chain.

Locks are taken in one order everywhere: alert, incident, run. Whoever begins to act holds `gatekeeper()` before all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from alerts import linking
from alerts.facts import portal_url
from alerts.models import Alert
from alerts.report import Report, report
from incidents.models import Incident
from incidents.services import note
from playbooks import engine
from playbooks.models import Run, RunState, RunTarget
from portal import audit
from portal.audit import PORTAL, Actor
from portal.errors import Refused
from portal.models import Slot

ENDED = tuple(s for s in RunState.values if s not in engine.MOVES)
APPROVAL, FAILED, CAPPED = "approval", "failed", "capped"  # conditions of our own alerts


def locked(pk: int) -> Run:
    """The run under lock; before it the alerts that a move of it may touch, then its incident. Inside a transaction."""
    hold([pk])
    incident = Run.objects.filter(pk=pk).values_list("incident_id", flat=True).first()
    hold_incident(incident)
    return Run.objects.select_for_update(of=("self",)).get(pk=pk)


def hold(pks: Collection[int]) -> None:
    """Lock these runs' alerts, in the order in which recoveries do: what they answer, and all that `report` looks at for them.

    Whoever moves several runs holds all of theirs first: the audit chain's head, once taken, is waited for by everybody.
    """
    answered = Run.objects.filter(pk__in=pks, alert__isnull=False).values("alert")
    own = Q(resolved_at=None, entity_id__in=[str(pk) for pk in pks])
    list(Alert.objects.filter(Q(pk__in=answered) | own).order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))  # fmt: skip


def hold_incident(pk: int | None) -> None:
    """Lock what is told into; its alert is held already."""
    if pk is not None:
        Incident.objects.select_for_update(of=("self",)).filter(pk=pk).first()


def gatekeeper(at: datetime) -> None:
    """One run at a time is judged and begun, over all workers: caps and cooldowns are counted under this lock."""
    Slot.objects.get_or_create(name="playbooks: begin", slot=0, defaults={"taken_by": "playbooks", "taken_at": at})
    Slot.objects.select_for_update().get(name="playbooks: begin", slot=0)


def tell(run: Run, text: str, at: datetime, *, by: str = "", data: dict[str, Any] | None = None) -> None:
    """Into the incident's timeline; the run is locked by `locked`."""
    incident = Incident.objects.filter(pk=run.incident_id).first() if run.incident_id else None
    if incident is not None:
        note(incident, "playbook", at, by=by or PORTAL.name, text=text, data={"run": run.pk, **(data or {})})
        incident.save(update_fields=["next_seq"])


def move(run: Run, to: str, at: datetime, reason: str, *, by: Actor = PORTAL, **fields: Any) -> None:
    """Take the step, or raise Refused. Writes `fields`, the gates as they were judged, the incident's timeline and the audit chain with it.

    The row is written once: PostgreSQL looks at what it refers to, its monitor too, when a transaction writes a row again, and
    whoever judges the monitor holds that and waits for our alert.
    """
    if not engine.may_move(run.state, to):
        raise Refused(f"This run is {run.get_state_display().lower()}; it cannot become {RunState(to).label.lower()} any more.")  # fmt: skip
    before = run.state
    run.state, run.reason = to, reason[:500]
    fields = {"reconsider_at": None, **fields}
    if to in ENDED:
        fields = {"finished_at": at, "claimed_by": "", **fields}
    for name, value in fields.items():
        setattr(run, name, value)
    run.save(update_fields=["state", "reason", "gates", "gates_at", *fields])
    if to not in (RunState.RUNNING, RunState.VERIFYING):
        RunTarget.objects.filter(run=run, active=True).update(active=False)
    if before == RunState.AWAITING_APPROVAL:
        withdraw(run, at)
    tell(run, f"{run}: {RunState(to).label.lower()}. {reason}".strip(), at, by=by.name, data={"state": to})
    audit.record(
        f"playbook.run.{to}", run, by=by, client_id=run.client_id, before={"state": before},
        after={"state": to, "plan_hash": run.plan_hash, "reason": run.reason},
    )  # fmt: skip


# --- Our own alerts ------------------------------------------------------------------------------------------------------
def page(run: Run) -> str:
    """Where a run is shown."""
    return portal_url(f"/runs/{run.pk}/")


def raise_alert(
    run: Run, condition: str, event: str, title: str, message: str, at: datetime, *, severity: str = "warning"
) -> Alert | None:
    """Tell people of the run, by triggers and escalation as of any alert. Again with the same condition changes nothing."""
    monitor = run.monitor
    opened = report(
        [
            Report(
                source="playbook", condition=condition, event=event, entity_type="run", entity_id=str(run.pk), entity_name=str(run)[:200], failing=True,
                at=at, severity=severity, title=title[:300], message=message, client_id=run.client_id, site_id=monitor.site_id if monitor else None,
                service_id=monitor.service_id if monitor else None, target=monitor.name if monitor else "",
            )
        ]
    )  # fmt: skip
    for alert in opened:
        linking.attach_link(alert, "run", page(run), label="Open run")
    return opened[0] if opened else None


def own_alerts(run: Run, conditions: Sequence[str]) -> list[Alert]:
    """The open alerts about this run."""
    return list(Alert.objects.filter(source="playbook", entity_type="run", entity_id=str(run.pk), condition__in=list(conditions), resolved_at=None))  # fmt: skip


def close_alerts(run: Run, conditions: Sequence[str], at: datetime, *, quiet: bool = True, by: Actor = PORTAL) -> None:
    """What was said of the run under these conditions is over."""
    rows = own_alerts(run, conditions)
    report(
        [
            Report(
                source=a.source, condition=a.condition, event=a.event, entity_type=a.entity_type, entity_id=a.entity_id, entity_name=a.entity_name,
                failing=False, at=at, severity=a.severity, title=a.title, client_id=a.client_id, quiet=quiet,
            )
            for a in rows
        ],
        by=by,
    )  # fmt: skip


def withdraw(run: Run, at: datetime) -> None:
    """Nobody is asked any more: the button goes, and the alert that asked is closed."""
    alert = Alert.objects.filter(pk=run.alert_id, resolved_at=None).first() if run.alert_id else None
    if alert is not None:
        linking.detach_link(alert, "approve")
    close_alerts(run, [APPROVAL], at)


def in_transaction() -> None:
    """Moves belong into the transaction of what causes them."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("a run moves inside a transaction")
