"""Who calls the next level when its time has come? One resident loop: take due runs, carry out their steps, ring the sender.

Any number of these may run: due alerts' rows are locked first, and whoever finds one locked passes it over and looks again
at once. What is carried out and that it was is one transaction, so a process that dies has done all of it or nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Count, Min

from alerts import auditor, escalating, stepping, telling
from alerts.models import Alert, Run
from portal import registry, residents, signals, slots
from portal.clock import database_now
from portal.residents import Resident

log = logging.getLogger("watchkeeper.escalator")

AT_ONCE = 100
BROKEN_FOR = 60.0  # seconds that a run which cannot be carried out rests, so that the others are not held up by it
AFTER_RESTORE = timedelta(minutes=2)


def climb(at: datetime, *, avoid: Collection[int] = ()) -> int:
    """Carry out steps that are due, a batch at most; returns how many runs moved or ended."""
    due = Run.objects.filter(status=Run.Status.ACTIVE, next_action_at__lte=at).exclude(pk__in=list(avoid))
    found = list(due.order_by("next_action_at", "pk").values_list("pk", "alert_id")[:AT_ONCE])
    return _carry_out(found, at) if found else 0


def _carry_out(found: list[tuple[int, int]], at: datetime) -> int:
    with transaction.atomic():
        rows = Alert.objects.filter(pk__in={alert for _, alert in found}).order_by("pk")
        alerts = list(rows.select_for_update(of=("self",), skip_locked=True))
        telling.reconsider(alerts, at=at)  # a silence may have begun this second: its alerts' runs pause
        escalating.pause([a for a in alerts if a.hold_reason], at=at)
        by_id = {a.pk: a for a in alerts}
        runs = Run.objects.filter(pk__in=[pk for pk, _ in found], alert__in=by_id, status=Run.Status.ACTIVE)
        due = list(runs.filter(next_action_at__lte=at).order_by("next_action_at", "pk").select_for_update(of=("self",)))
        over = [by_id[r.alert_id] for r in due if by_id[r.alert_id].is_resolved]
        escalating.stop(over, Run.Status.STOPPED_BY_RESOLUTION, at=at)
        due = [r for r in due if not by_id[r.alert_id].is_resolved]
        return len(over) + (stepping.carry_out(due, by_id, at=at) if due else 0)


def next_due(at: datetime) -> float:
    """Seconds until the next step is due, at most 1: how long an escalator may rest."""
    soonest = Run.objects.filter(status=Run.Status.ACTIVE).aggregate(at=Min("next_action_at"))["at"]
    return 1.0 if soonest is None else min(1.0, max(0.02, (soonest - at).total_seconds()))


class Escalator(Resident):
    """Climbs."""

    bell_name = escalating.ESCALATE

    def __init__(self) -> None:
        super().__init__("escalator")
        self.broken: dict[int, float] = {}  # run -> until when it rests; the auditor sees that it is late

    def step(self) -> float:
        now = time.monotonic()
        self.broken = {run: until for run, until in self.broken.items() if until > now}
        at = database_now()
        try:
            moved = climb(at, avoid=self.broken)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("a batch of escalation steps failed; each is tried by itself")
            moved = self._one_by_one(at)
        return 0.0 if moved else next_due(at) if not self.broken else 1.0

    def _one_by_one(self, at: datetime) -> int:
        moved = 0
        due = Run.objects.filter(status=Run.Status.ACTIVE, next_action_at__lte=at).exclude(pk__in=self.broken)
        for pk, alert in list(due.order_by("next_action_at", "pk").values_list("pk", "alert_id")[:AT_ONCE]):
            try:
                moved += _carry_out([(pk, alert)], at)
            except (OperationalError, InterfaceError):
                raise
            except Exception:
                log.exception("run %s cannot be carried out; it rests for a minute", pk)
                self.broken[pk] = time.monotonic() + BROKEN_FOR
        return moved


# --- After a backup was put back ----------------------------------------------------------------------------------------
def on_restored(sender: object, at: datetime, **_: Any) -> None:
    """The backup's runs go on, but not before the checks had time to see what is still wrong."""
    with transaction.atomic():
        soon = at + AFTER_RESTORE
        escalating.lock(Alert.objects.filter(runs__status=Run.Status.ACTIVE, runs__next_action_at__lt=soon))
        early = Run.objects.filter(status=Run.Status.ACTIVE, next_action_at__lt=soon)
        for run in early.order_by("pk").select_for_update(of=("self",)):
            run.shifted_seconds += (soon - escalating.due_at(run)).total_seconds()
            run.next_action_at = soon
            run.save(update_fields=["shifted_seconds", "next_action_at"])


# --- What is told of it -------------------------------------------------------------------------------------------------
def measure(at: datetime) -> Iterable[tuple[str, dict[str, str], float]]:
    """Numbers for Prometheus."""
    active = Run.objects.filter(status=Run.Status.ACTIVE).aggregate(n=Count("pk"), oldest=Min("next_action_at"))
    yield "watchkeeper_escalations_active", {}, active["n"]
    late = (at - active["oldest"]).total_seconds() if active["oldest"] else 0.0
    yield "watchkeeper_escalation_lag_seconds", {}, max(0.0, late)


def register() -> None:
    """The loop, its auditor, its numbers."""
    residents.register("page", Escalator)
    slots.register(auditor.JOB, 60, auditor.audit)
    signals.restored.connect(on_restored, dispatch_uid="alerts.escalator.restored")
    registry.add_metrics(
        measure,
        watchkeeper_escalations_active=("gauge", "Escalation runs that climb."),
        watchkeeper_escalation_lag_seconds=("gauge", "How long the oldest due escalation step has been waiting."),
    )
