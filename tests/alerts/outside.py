"""Who posts from outside? Integrations with their keys, and the bodies that PagerDuty's and Prometheus' clients send."""

from __future__ import annotations

from typing import Any

from rest_framework.test import APIClient

from alerts import integrations
from alerts.models import Alert, Integration
from portal.models import Client
from tests import cast

MAPPING = {
    "title": "$.alert.title", "message": "$.alert.text", "key": "$.alert.id", "entity": "$.device.name", "link": "$.url", "tags": "$.groups",
    "severity": {"path": "$.priority", "values": {"P1": "critical", "P3": "info"}, "default": "warning"},
    "action": {"path": "$.status", "values": {"RESET": "resolve", "SEEN": "acknowledge"}, "default": "trigger"},
}  # fmt: skip


def integration(kind: str = "events", of: Client | None = None, **values: Any) -> tuple[Integration, str]:
    """A new integration of Acme's (or of whom is named) and its key."""
    if kind == "generic":
        values.setdefault("mapping", MAPPING)
    return integrations.create(
        by=cast.TESTS, **{"name": f"Our {kind}", "client": of or cast.acme(), "kind": kind, **values}
    )


def event(key: str, action: str = "trigger", dedup: str | None = "srv01/HTTP", **payload: Any) -> dict[str, Any]:
    """A body as PagerDuty's documentation of Events API v2 prints it."""
    body: dict[str, Any] = {"routing_key": key, "event_action": action}
    if dedup is not None:
        body["dedup_key"] = dedup
    if action == "trigger":
        body["payload"] = {
            "summary": "Example alert on host1.example.com", "timestamp": "2026-11-21T08:42:58.315+0000", "source": "monitoringtool:host1.example.com/prod-web-02",
            "severity": "critical", "component": "postgres", "group": "prod-datapipe", "class": "deploy", "custom_details": {"ping time": "1500ms", "load avg": 0.75}, **payload,
        }  # fmt: skip
        body |= {
            "images": [{"src": "https://chart.example/ok.png", "href": "https://example.com/", "alt": "A chart"}],
            "links": [{"href": "https://example.com/runbook", "text": "Runbook"}, {"href": "javascript:alert(1)", "text": "x"}],
            "client": "Sample Monitoring Service", "client_url": "https://monitoring.example.com",
        }  # fmt: skip
    return body


def prometheus(
    status: str = "firing",
    starts: str = "2026-11-21T10:00:00.000Z",
    ends: str = "",
    name: str = "db1:9100",
    **labels: str,
) -> dict[str, Any]:
    """One alert of a webhook."""
    return {
        "status": status,
        "labels": {"alertname": "HighLoad", "instance": name, "job": "node", "severity": "critical", **labels},
        "annotations": {"summary": f"Load of {name} is high", "description": f"{name} has a load above 20 for 5 minutes."},
        "startsAt": starts, "endsAt": ends or ("0001-01-01T00:00:00Z" if status == "firing" else "2026-11-21T10:07:00.000Z"),
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=node_load1+%3E+20", "fingerprint": f"fp-{name}",
    }  # fmt: skip


def webhook(*alerts: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A body as Alertmanager's documentation of webhook_config prints it."""
    return {
        "version": "4", "groupKey": '{}:{alertname="HighLoad"}', "truncatedAlerts": 0, "status": "firing" if any(a["status"] == "firing" for a in alerts) else "resolved",
        "receiver": "watchkeeper", "groupLabels": {"alertname": "HighLoad"}, "commonLabels": {"alertname": "HighLoad"}, "commonAnnotations": {}, "externalURL": "http://alertmanager.example:9093",
        "alerts": list(alerts), **values,
    }  # fmt: skip


def post(where: str, body: Any, key: str = "", **options: Any) -> Any:
    """As the tool does: without a session, a token or a cookie."""
    return APIClient(enforce_csrf_checks=True).post(
        f"{where}?key={key}" if key else where, body, format="json", **options
    )


def open_alerts() -> list[Alert]:
    """What is open, oldest first."""
    return list(Alert.objects.filter(resolved_at=None).order_by("pk"))
