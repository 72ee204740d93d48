"""How do well-known tools write, and which mapping reads them? A mapping to start from, with a body to try it on.

The bodies follow the vendors' documented webhooks. NinjaOne, ConnectWise and Datto let one write the body oneself: for
those, `setup` says what to write.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Sample:
    """A tool. `setup` is a sentence that says where in the tool the address is entered."""

    name: str
    label: str
    setup: str
    mapping: dict[str, Any]
    body: dict[str, Any]


NINJAONE = Sample(
    "ninjaone", "NinjaOne", "Administration → Apps → Notification channels → Webhook; then choose it in a policy’s condition.",
    {
        "title": "{message} | {sourceName}", "message": "$.message", "key": "$.seriesUid | {deviceId}-{sourceName}", "entity": "$.device.systemName | $.device.dnsName | $.deviceId",
        "severity": {"path": "$.severity", "values": {"CRITICAL": "critical", "MAJOR": "critical", "MODERATE": "warning", "MINOR": "info", "NONE": "info"}, "default": "warning"},
        "action": {"path": "$.status", "values": {"TRIGGERED": "trigger", "RESET": "resolve", "ACKNOWLEDGED": "acknowledge"}, "default": "trigger"},
        "tags": "$.activityType",
    },
    {
        "id": 81234, "activityTime": 1763721600, "deviceId": 42, "seriesUid": "0f3c2a6e-7a52-4a61-9f51-1de4b6a9c3aa", "activityType": "CONDITION", "status": "TRIGGERED", "severity": "CRITICAL",
        "priority": "HIGH", "sourceName": "Disk free space", "message": "Free space on C: is below 5 %", "device": {"systemName": "ACME-FS01", "dnsName": "acme-fs01.acme.local"},
    },
)  # fmt: skip
CONNECTWISE = Sample(
    "connectwise", "ConnectWise (Automate, RMM)",
    "ConnectWise RMM: Automation → Webhooks. Automate: a script with “HTTP Post” that sends this body from %variables%.",
    {
        "title": "{monitor.name} on {computer.name} | {summary}", "message": "$.message | $.summary", "key": "{computer.id}-{monitor.id} | $.alertId", "entity": "$.computer.name",
        "severity": {"path": "$.severity", "values": {"1": "info", "2": "warning", "3": "critical", "Informational": "info", "Error": "critical"}, "default": "warning"},
        "action": {"path": "$.status", "values": {"FAILED": "trigger", "NEW": "trigger", "SUCCESS": "resolve", "CLOSED": "resolve"}, "default": "trigger"},
        "tags": "$.location", "link": "$.url",
    },
    {
        "alertId": "A-55120", "status": "FAILED", "severity": "Error", "summary": "SVC - Print Spooler stopped", "message": "The service Print Spooler is stopped.",
        "computer": {"id": 318, "name": "ACME-PRINT01"}, "monitor": {"id": 77, "name": "SVC - Print Spooler"}, "location": "Lisbon", "url": "https://automate.example/alerts/A-55120",
    },
)  # fmt: skip
DATTO = Sample(
    "datto", "Datto RMM", "Policies → Monitoring → Response → Webhook: enter the address and this body with the [placeholders] of Datto.",
    {
        "title": "$.alert_message | {alert_type} on {device_hostname}", "message": "$.diagnostics | $.alert_message", "key": "$.alert_uid", "entity": "$.device_hostname",
        "severity": {"path": "$.alert_priority", "values": {"Critical": "critical", "High": "critical", "Moderate": "warning", "Low": "info", "Information": "info"}, "default": "warning"},
        "action": {"path": "$.alert_state", "values": {"triggered": "trigger", "resolved": "resolve"}, "default": "trigger"},
        "link": "$.alert_url | $.device_url", "tags": "$.site_name",
    },
    {
        "alert_uid": "5c1b8c0e-31d6-4ef5-a7a5-94c1a3cb9a01", "alert_state": "triggered", "alert_type": "Online Status Monitor", "alert_priority": "Critical",
        "alert_message": "The device went offline", "diagnostics": "Last seen 5 minutes ago", "device_hostname": "ACME-GW", "site_name": "Acme HQ", "device_url": "https://pinotage.rmm.datto.com/device/9921",
    },
)  # fmt: skip
UPTIME_KUMA = Sample(
    "uptime_kuma", "Uptime Kuma", "Settings → Notifications → Webhook, Request body: Preset - application/json.",
    {
        "title": "{monitor.name} is not as it should be | $.msg", "message": "$.heartbeat.msg | $.msg", "key": "$.monitor.id | $.heartbeat.monitorID | $.msg", "entity": "$.monitor.name",
        "severity": {"path": "$.heartbeat.status", "values": {"0": "critical", "2": "warning"}, "default": "warning"},
        "action": {"path": "$.heartbeat.status", "values": {"0": "trigger", "1": "resolve", "2": "trigger", "3": "resolve"}, "default": "trigger"},
        "link": "$.monitor.url",
    },
    {
        "heartbeat": {"monitorID": 7, "status": 0, "time": "2026-11-21 10:00:00.000", "msg": "connect ECONNREFUSED 10.0.0.5:443", "important": True, "duration": 60},
        "monitor": {"id": 7, "name": "intranet", "url": "https://intranet.acme.example", "type": "http"},
        "msg": "[intranet] [🔴 Down] connect ECONNREFUSED 10.0.0.5:443",
    },
)  # fmt: skip
GRAFANA = Sample(
    "grafana", "Grafana", "Alerting → Contact points → Webhook. Its body also works at the Alertmanager address.",
    {
        "items": "$.alerts", "title": "$.annotations.summary | {labels.alertname}", "message": "$.annotations.description | $.valueString", "key": "$.fingerprint",
        "entity": "$.labels.instance | $.labels.alertname", "severity": {"path": "$.labels.severity | 'warning'"}, "action": {"path": "$.status", "values": {"firing": "trigger", "resolved": "resolve"}},
        "link": "$.panelURL | $.dashboardURL | $.generatorURL", "tags": "$.labels.grafana_folder",
    },
    {
        "receiver": "watchkeeper", "status": "firing", "orgId": 1, "version": "1", "groupKey": "{}:{alertname=\"High load\"}", "truncatedAlerts": 0, "title": "[FIRING:1] High load",
        "alerts": [
            {
                "status": "firing", "labels": {"alertname": "High load", "instance": "db1:9100", "severity": "critical", "grafana_folder": "Linux"},
                "annotations": {"summary": "Load of db1 is 42", "description": "It was above 20 for 5 minutes."}, "startsAt": "2026-11-21T10:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "https://grafana.example/alerting/1/edit", "fingerprint": "57c6d9296de2ad39", "panelURL": "https://grafana.example/d/abc?viewPanel=1", "valueString": "[ value=42 ]",
            }
        ],
    },
)  # fmt: skip
ZABBIX = Sample(
    "zabbix", "Zabbix", "Alerts → Media types → Webhook, with these names as parameters from {EVENT.*} and {HOST.*} macros.",
    {
        "title": "$.event_name", "message": "$.event_opdata | $.event_name", "key": "$.event_id", "entity": "$.host_name",
        "severity": {"path": "$.event_severity", "values": {"Disaster": "critical", "High": "critical", "Average": "warning", "Warning": "warning", "Information": "info", "Not classified": "info"}, "default": "warning"},
        "action": {"path": "$.event_value", "values": {"1": "trigger", "0": "resolve"}, "default": "trigger"}, "link": "$.event_url", "tags": "$.event_tags",
    },
    {
        "event_id": "90211", "event_value": "1", "event_name": "High CPU utilization (over 90% for 5m)", "event_severity": "Average", "event_opdata": "Current: 97.2 %", "event_tags": "scope:performance,linux",
        "host_name": "acme-app01", "event_url": "https://zabbix.example/tr_events.php?triggerid=5&eventid=90211",
    },
)  # fmt: skip

SAMPLES: Final = {sample.name: sample for sample in (NINJAONE, CONNECTWISE, DATTO, UPTIME_KUMA, GRAFANA, ZABBIX)}
