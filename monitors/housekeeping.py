"""What do monitors do now and then, and what do they tell `/metrics`?"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, Min, Q, QuerySet

from monitors import host_findings, partitions, rollups
from monitors.models import (
    Diagnosis,
    FailureBody,
    Monitor,
    Ping,
    Probe,
    ProbeState,
    Rollup,
    RouteChange,
    StateChange,
)
from portal import registry, slots

log = logging.getLogger("watchkeeper.housekeeping")

SLICE = 5000


def register() -> None:
    """Periodic jobs and metrics."""
    slots.register("monitors.partitions", 3600, lambda at: partitions.ensure_ahead(at))
    slots.register("monitors.rollups", 60, rollups.roll)
    slots.register("monitors.retention", 3600, forget)
    slots.register("monitors.hosts", 60, host_findings.sweep)
    slots.register("monitors.host_samples", 3600, host_findings.forget)
    slots.register("monitors.diagnoses", 3600, forget_diagnoses)
    registry.add_metrics(
        measure,
        watchkeeper_monitors=("gauge", "Monitors by state."),
        watchkeeper_due_lag_seconds=("gauge", "How late the most overdue check is."),
        watchkeeper_checks_waiting=("gauge", "Checks that are due and not yet claimed."),
        watchkeeper_probe_blind=("gauge", "1 while a probe's results do not count."),
    )


def days_to_keep(days: int, free: float) -> int:
    """How many days of raw results a disk with this free share (0 to 1) can bear. Rollups and changes are never cut: they are small."""
    if free >= 0.10:
        return days
    return max(1, days // 2) if free >= 0.05 else 1


def free_share() -> float:
    """The free share of the disk that the data directory is on; 1 where the database lies elsewhere."""
    if connection.vendor != "sqlite":
        return 1.0
    place = next(p for p in (settings.DATA_DIR, *settings.DATA_DIR.parents) if p.exists())
    usage = shutil.disk_usage(place)
    return usage.free / usage.total


def forget(at: datetime) -> None:
    """Raw results after RAW_RESULT_DAYS, changes, failures and pings after CHANGE_DAYS, rollups after ROLLUP_DAYS. In slices."""
    days = days_to_keep(settings.RAW_RESULT_DAYS, free_share())
    if days < settings.RAW_RESULT_DAYS:
        log.warning(
            "the disk is nearly full: raw results are kept for %d days instead of %d", days, settings.RAW_RESULT_DAYS
        )
    partitions.drop_before((at.astimezone(UTC) - timedelta(days=days)).date())
    for model, field, days in (
        (FailureBody, "at", settings.CHANGE_DAYS),
        (StateChange, "at", settings.CHANGE_DAYS),
        (Ping, "at", settings.CHANGE_DAYS),
        (Rollup, "start", settings.ROLLUP_DAYS),
    ):
        _in_slices(model.objects.filter(**{f"{field}__lt": at - timedelta(days=days)}))


DIAGNOSIS_DAYS = 90


def forget_diagnoses(at: datetime) -> None:
    """Diagnoses with their batteries, and changes of routes, after 90 days. A report whose link was renewed stays while that holds."""
    before = at - timedelta(days=DIAGNOSIS_DAYS)
    ended = Q(link_expires_at=None) | Q(link_expires_at__lte=at) | Q(link_revoked_at__isnull=False)
    _in_slices(Diagnosis.objects.filter(ended, started_at__lt=before).exclude(state=Diagnosis.State.GATHERING))
    _in_slices(RouteChange.objects.filter(at__lt=before))


def _in_slices(rows: QuerySet[Any]) -> None:
    while True:
        old = list(rows.order_by().values_list("pk", flat=True)[:SLICE])
        rows.model._default_manager.filter(pk__in=old).delete()
        if len(old) < SLICE:
            break


def measure(at: datetime) -> Iterable[tuple[str, dict[str, str], float]]:
    """Numbers for Prometheus."""
    counted = dict(Monitor.objects.order_by().values_list("state").annotate(n=Count("id")))
    for state, n in counted.items():
        yield "watchkeeper_monitors", {"state": state}, n
    due = ProbeState.objects.filter(active=True, lease_token=None, next_due_at__lte=at).aggregate(
        n=Count("id"), oldest=Min("next_due_at")
    )
    yield "watchkeeper_checks_waiting", {}, due["n"]
    yield "watchkeeper_due_lag_seconds", {}, max(0.0, (at - due["oldest"]).total_seconds()) if due["oldest"] else 0.0
    for probe in Probe.objects.all():
        yield "watchkeeper_probe_blind", {"probe": probe.slug}, float(probe.blind_since is not None)
