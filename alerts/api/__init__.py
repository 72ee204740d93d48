"""Which of the API's resources are of alerts? What is wrong, where messages go, and what became of each."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter


def register(router: SimpleRouter) -> None:
    """Add them to the router of /api/v1/."""
    from alerts.api import (
        alerts,
        channels,
        deliveries,
        integrations,
        message_templates,
        oncall,
        policies,
        requests,
        silences,
        triggers,
        windows,
    )

    router.register("channels", channels.Channels)
    router.register("alert-triggers", triggers.Triggers)
    router.register("message-templates", message_templates.MessageTemplates)
    router.register("silence", silences.Silences)
    router.register("maintenance-windows", windows.Windows)
    router.register("maintenance-requests", requests.Requests)
    router.register("alerts", alerts.Alerts)
    router.register("escalation-policies", policies.Policies)
    router.register("on-call-schedules", oncall.Schedules)
    router.register("integrations", integrations.Integrations)
    router.register("deliveries", deliveries.Deliveries)
    router.register("notification-logs", deliveries.NotificationLog, basename="notification-log")
