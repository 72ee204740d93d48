"""What do the gates need to know? Loaded at the moment of judging; what cannot be learned stays None, which is a no."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max, Q

from alerts.models import Alert
from monitors import engine as watching
from monitors import evaluate, maintenance
from monitors import plans as watching_plans
from monitors.models import Monitor, ProbeState
from playbooks import engine
from playbooks.models import Brake, Playbook, Run, RunState, RunTarget
from playbooks.models.run import ACTING

AFTERMATH = timedelta(minutes=2)  # after a run has ended, what goes wrong may still be its doing


def limits_of(p: Playbook) -> engine.Limits:
    """A playbook's numbers."""
    return engine.Limits(
        quorum=p.quorum, verdict_layers=tuple(p.verdict_layers), min_confidence=p.min_confidence, cooldown_seconds=p.cooldown_seconds,
        hourly_cap=p.hourly_cap, target_hourly_cap=p.target_hourly_cap, blast_radius=p.blast_radius,
    )  # fmt: skip


def gather(
    playbook: Playbook, targets: Sequence[str], monitor: Monitor | None, alert: Alert | None, at: datetime, *, verdict: Mapping[str, Any] | None = None, run: Run | None = None
) -> engine.Facts:  # fmt: skip
    """Everything the gates ask about one playbook, one monitor and (unless somebody tries it out) one alert. `run`: itself, not counted."""
    failing, voting = votes(monitor) if monitor is not None else (None, None)
    said = verdict if verdict is not None else (alert.verdict if alert is not None else None)
    state = Monitor.objects.filter(pk=monitor.pk).values_list("state", flat=True).first() if monitor else None
    client = monitor.client_id if monitor else playbook.client_id
    return engine.Facts(
        at=at,
        alert_open=not alert.is_resolved if alert is not None else (state in ("down", "degraded") if state else None),
        state=state,
        regions_failing=failing,
        regions_voting=voting,
        layer=said.get("layer") if said else None,
        confidence=said.get("confidence") if said else None,
        acted_last=acted_last(playbook, targets, run),
        acted_last_known=True,
        acted_this_hour=acted(Q(playbook=playbook), at, run),
        target_acted_this_hour=_per_target(targets, at, run),
        busy_targets=tuple(_busy(targets, run)),
        brakes=brakes(playbook, client),
        maintenance=_worked_on(monitor, alert),
        monitors_down=Monitor.objects.filter(client=client, state="down").count() if client else Monitor.objects.filter(state="down").count(),
        denied_by=denied_by(playbook, alert),
        own_doing=_own_doing(playbook, alert, client),
    )  # fmt: skip


def votes(monitor: Monitor) -> tuple[int, int]:
    """(failing, voting): distinct networks of fresh, healthy probes with a confirmed failing vote, and of all that vote."""
    rows = ProbeState.objects.filter(monitor=monitor, active=True).select_related("probe")
    seen = [v for v in (evaluate.view_of(row, row.probe) for row in rows) if v.votes]
    # Asked while the evaluator tells of its alert, its votes are not stored yet: they follow from what was seen.
    limits = watching_plans.limits_of(monitor)
    views = [replace(v, vote=watching.confirmed(v, limits)) for v in seen]
    bad = (watching.FAILING, watching.DEGRADED) if monitor.state == "degraded" else (watching.FAILING,)
    return watching.count([v for v in views if v.vote in bad], True), watching.count(views, True)


def acted(which: Q, at: datetime, run: Run | None = None) -> int:
    """How many of these runs began to act within the last hour."""
    rows = Run.objects.filter(which, acted_at__gt=at - engine.HOUR)
    return (rows.exclude(pk=run.pk) if run else rows).order_by().distinct().count()


def acted_last(playbook: Playbook, targets: Sequence[str], run: Run | None = None) -> datetime | None:
    """When this playbook, or any on one of these targets, began to act last."""
    rows = Run.objects.filter(Q(playbook=playbook) | Q(targets__key__in=list(targets)), acted_at__isnull=False)
    return (rows.exclude(pk=run.pk) if run else rows).order_by().aggregate(last=Max("acted_at"))["last"]


def _per_target(targets: Sequence[str], at: datetime, run: Run | None) -> dict[str, int]:
    rows = RunTarget.objects.filter(key__in=list(targets), run__acted_at__gt=at - engine.HOUR)
    found = Counter((rows.exclude(run=run) if run else rows).order_by().values_list("key", flat=True))
    return {key: found[key] for key in targets}


def _busy(targets: Sequence[str], run: Run | None) -> list[str]:
    rows = RunTarget.objects.filter(key__in=list(targets), active=True)
    keys = (rows.exclude(run=run) if run else rows).order_by("key").values_list("key", flat=True)
    return [key.partition("/")[2] for key in keys]


def brakes(playbook: Playbook, client: int | None) -> tuple[str, ...]:
    """The kill switches that are on for this playbook, as sentences. Clients read them with the run's gates, so why everything was
    stopped, which may speak of others, is said on the playbooks' page only."""
    scopes = {"all", f"playbook:{playbook.pk}", f"client:{client}", f"client:{playbook.client_id}"}
    return tuple((f"{row}." if row.scope == "all" else f"{row} by {row.by}: {row.reason}")[:300] for row in Brake.objects.filter(scope__in=scopes).select_related("client", "playbook").order_by("pk"))  # fmt: skip


def _worked_on(monitor: Monitor | None, alert: Alert | None) -> str:
    if alert is not None and alert.hold_reason == "in_maintenance":
        return "a window covers this alert"
    return maintenance.titles([monitor]).get(monitor.pk, "") if monitor is not None else ""


def denied_by(playbook: Playbook, alert: Alert | None) -> str:
    """Who denied this playbook for the alert's incident (or, without one, for the alert); "" when nobody did."""
    if alert is None:
        return ""
    same = Q(alert=alert) | (Q(incident=alert.incident_id) if alert.incident_id else Q(pk=None))
    denied = Run.objects.filter(same, playbook=playbook, state=RunState.DENIED).order_by("-pk").first()
    if denied is None:
        return ""
    word = denied.approvals.filter(word="deny").select_related("user").order_by("-pk").first()
    return str(word.user) if word else "Somebody"


def _own_doing(playbook: Playbook, alert: Alert | None, client: int | None) -> str:
    """Another playbook's run in whose course (or right after it) this alert was opened."""
    if alert is None:
        return ""
    before = Run.objects.filter(client=client, acted_at__lte=alert.created_at).exclude(playbook=playbook)
    near = Q(state__in=ACTING) | Q(finished_at__gte=alert.created_at - AFTERMATH)
    run = before.filter(near).order_by("-pk").first()
    return str(run) if run else ""
