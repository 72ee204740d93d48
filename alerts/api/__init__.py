"""Which of the API's resources are of alerts? What is wrong, where messages go, and what became of each."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter


def register(router: SimpleRouter) -> None:
    """Add them to the router of /api/v1/."""
    from alerts.api import alerts, channels, deliveries, silences, triggers

    router.register("channels", channels.Channels)
    router.register("alert-triggers", triggers.Triggers)
    router.register("silence", silences.Silences)
    router.register("alerts", alerts.Alerts)
    router.register("deliveries", deliveries.Deliveries)
    router.register("notification-logs", deliveries.NotificationLog, basename="notification-log")
