"""How does PagerDuty's Events API v2 judge an event? (developer.pagerduty.com/docs/events-api-v2)"""

from __future__ import annotations

import json

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import object_in, said
from tests.rig.calls import Call

KEY = "0123456789abcdef0123456789abcdef"  # scan: allowed


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """202, or 400 with what is wrong."""
    if (call.method, call.path) != ("POST", "/v2/enqueue"):
        return said(404, {"status": "not found"})
    event = object_in(call)
    if event is None:
        return refused("Event JSON could not be parsed")
    if len(call.body) > 512 * 1024:
        return said(413, {"status": "event too large", "message": "Event exceeds 512 KB"})
    if len(event.get("routing_key", "")) != 32:
        return refused("Length of 'routing_key' is incorrect (should be 32 characters)")
    if event["routing_key"] != KEY:
        return refused("Invalid routing key")
    action, key = event.get("event_action"), event.get("dedup_key", "")
    if action not in ("trigger", "acknowledge", "resolve"):
        return refused("'event_action' must be one of trigger, acknowledge, resolve")
    if len(key) > 255 or (action != "trigger" and not key):
        return refused("'dedup_key' is missing or too long")
    payload = event.get("payload", {})
    if action == "trigger":
        for name in ("summary", "source", "severity"):
            if not payload.get(name):
                return refused(f"'payload.{name}' is missing or blank")
        if payload["severity"] not in ("critical", "error", "warning", "info"):
            return refused("'payload.severity' is invalid (must be one of: critical, warning, error, info)")
        if len(payload["summary"]) > 1024:
            return refused("'payload.summary' is too long (maximum is 1024 characters)")
        if any(not link.get("href") for link in event.get("links", [])):
            return refused("'links' need an href")
    return said(202, {"status": "success", "message": "Event processed", "dedup_key": key or "made-by-pagerduty"})


def refused(error: str) -> tuple[int, dict[str, str], bytes]:
    """Its 400."""
    return said(400, {"status": "invalid event", "message": "Event object is invalid", "errors": [error]})


def seen(call: Call) -> list[str]:
    """The incident's title and its table of details."""
    event = call.json()
    payload = event.get("payload", {})
    details = [f"{label}: {value}" for label, value in payload.get("custom_details", {}).items()]
    return [payload["summary"], *details] if payload else []


VENDOR = Vendor(
    kind="pagerduty",
    rule="A trigger has summary (<= 1,024), source and severity; acknowledge and resolve name the trigger's dedup_key.",
    setup=lambda base: Setup("pagerduty", {}, {"routing_key": KEY}),
    answer=answer,
    seen=seen,
    limit_of={"summary": 1024, "dedup_key": 255, "bytes": 512 * 1024},
    too_many=(
        429,
        {"Content-Type": "application/json", "Retry-After": "7"},
        json.dumps(
            {"status": "throttle exceeded", "message": "Requests for this service are arriving too quickly."}
        ).encode(),
    ),
    refused=refused("Invalid routing key"),
    patch=(("alerts.channels.pagerduty.PagerDuty.API", ""), ("alerts.channels.pagerduty.PagerDuty.API_EU", "")),
    link_in_text=False,
)
