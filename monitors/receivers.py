"""What do monitors do about news? After a manual resolve the next failing result speaks again; freed children look anew.

A maintenance window that begins or ends changes what its monitors show. What a remote probe measured finds its diagnosis,
or the baseline that it was asked for.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from alerts import quiet
from alerts.models import Alert
from alerts.signals import alert_closed, maintenance_changed
from monitors import maintenance, store
from monitors.diagnosis import batteries, learning
from monitors.models import Monitor, ProbeJob, ProbeState
from monitors.signals import probe_job_finished
from portal import bells


def connect() -> None:
    """Listen."""
    alert_closed.connect(on_closed, dispatch_uid="monitors.receivers.closed")
    maintenance_changed.connect(on_maintenance, dispatch_uid="monitors.receivers.maintenance")
    probe_job_finished.connect(on_job, dispatch_uid="monitors.receivers.job")
    quiet.tell_what_is_watched(maintenance.watched)


def on_maintenance(sender: object, **_: Any) -> None:
    """Monitors that are worked on now, or not any more, say so: the evaluator writes it within the second."""
    maintenance.follow()


def on_job(sender: object, job: ProbeJob, at: datetime, **_: Any) -> None:
    """A remote probe has measured what it was asked to."""
    if job.kind != "diagnose":
        return
    if job.key.startswith(learning.JOB_PREFIX):
        learning.take_outcome(job, at)
    else:
        batteries.take_outcome(job, at)


def on_closed(sender: object, alerts: list[Alert], at: datetime, manual: bool = False, **_: Any) -> None:
    """A person's "it is over" is taken at its word until the next check; what a recovered parent explained is checked at once."""
    ids = [a.monitor_id for a in alerts if a.monitor_id and a.condition == "health"]
    if not ids:
        return
    if manual:
        ProbeState.objects.filter(monitor__in=ids).update(settled=False)
    children = list(
        Monitor.objects.filter(parent__in=ids, enabled=True).exclude(state="up").values_list("pk", flat=True)[:5000]
    )
    if store.rush(children, at):
        bells.ring_on_commit(bells.PROBE)
