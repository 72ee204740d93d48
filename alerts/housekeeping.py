"""What does this app do now and then, and what does it tell `/metrics`?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min, Q

from alerts import canary, defaults
from alerts.models import Alert, Channel, Delivery, Notice
from portal import registry, slots

KEEP_TOLD = timedelta(days=400)


def register() -> None:
    """Periodic jobs and metrics."""
    slots.register("alerts.forget", 3600, forget)
    slots.register("alerts.canary", 600, canary.step)
    slots.register("alerts.global_slack", 60, lambda at: defaults.follow_environment())
    registry.add_metrics(
        measure,
        watchkeeper_deliveries_waiting=("gauge", "Deliveries that wait to be sent."),
        watchkeeper_delivery_lag_seconds=("gauge", "How long the oldest due delivery has been waiting."),
        watchkeeper_deliveries_failed_hour=("gauge", "Deliveries of the last hour that failed, by channel type."),
        watchkeeper_alerts_open=("gauge", "Open alerts by severity."),
        watchkeeper_channels_unhealthy=("gauge", "Channels that do not deliver."),
    )


def forget(at: datetime) -> None:
    """Drop notices of tests and resolved alerts after 400 days, with their deliveries."""
    old = Notice.objects.filter(created_at__lt=at - max(KEEP_TOLD, timedelta(days=settings.CHANGE_DAYS))).filter(
        Q(alert=None) | Q(alert__resolved_at__isnull=False)
    )
    Notice.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:5000])).delete()


def measure(at: datetime) -> Iterable[tuple[str, dict[str, str], float]]:
    """Numbers for Prometheus: constant cost, index-only questions."""
    waiting = Delivery.objects.filter(state=Delivery.State.PENDING).aggregate(
        n=Count("id"), oldest=Min("next_attempt_at")
    )
    yield "watchkeeper_deliveries_waiting", {}, waiting["n"]
    yield (
        "watchkeeper_delivery_lag_seconds",
        {},
        max(0.0, (at - waiting["oldest"]).total_seconds()) if waiting["oldest"] else 0.0,
    )
    failed = Delivery.objects.filter(state=Delivery.State.FAILED, finished_at__gte=at - timedelta(hours=1)).order_by()
    for row in failed.values("channel__type").annotate(n=Count("id")):
        yield "watchkeeper_deliveries_failed_hour", {"type": row["channel__type"] or "reader"}, row["n"]
    counted = dict(Alert.objects.filter(resolved_at=None).order_by().values_list("severity").annotate(n=Count("id")))
    for severity in ("info", "warning", "critical"):
        yield "watchkeeper_alerts_open", {"severity": severity}, counted.get(severity, 0)
    yield (
        "watchkeeper_channels_unhealthy",
        {},
        Channel.objects.filter(unhealthy_since__isnull=False, enabled=True).count(),
    )
