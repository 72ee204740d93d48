"""How does Pusher Beams judge a publish? (pusher.com/docs/beams/reference/publish-api)"""

from __future__ import annotations

import json
import re

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import object_in, said
from tests.rig.calls import Call

INSTANCE = "01234567-89ab-4cde-8f01-23456789abcd"
KEY = "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"  # scan: allowed


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """200 and a publish id, or an error with its description."""
    found = re.fullmatch(r"/publish_api/v1/instances/([^/]+)/publishes/(interests|users)", call.path)
    if call.method != "POST" or not found:
        return refused(404, "Not found", "no such route")
    if found[1] != INSTANCE:
        return refused(404, "Unknown instance", "Could not find the instance")
    if call.headers.get("authorization") != f"Bearer {KEY}":
        return refused(401, "Unauthorized", "Incorrect API Key")
    given = object_in(call)
    if given is None:
        return refused(400, "Bad request", "Invalid JSON")
    if len(call.body) > 10 * 1024:
        return refused(413, "Request too large", "Payload must be at most 10KiB")
    names = given.get(found[2])
    most = {"interests": 100, "users": 1000}[found[2]]
    if not isinstance(names, list) or not 1 <= len(names) <= most or any(len(name) > 164 for name in names):
        return refused(400, "Bad request", f"`{found[2]}` must have 1 to {most} names of at most 164 characters")
    if not any(given.get(form) for form in ("apns", "fcm", "web")):
        return refused(400, "Bad request", "At least one of `apns`, `fcm`, `web` is required")
    for form in ("apns", "fcm"):
        if len(json.dumps(given.get(form, {}), ensure_ascii=False).encode()) > 4096:
            return refused(400, "Bad request", f"`{form}` is larger than 4KiB")
    data = given.get("fcm", {}).get("data", {})
    if not all(isinstance(value, str) for value in data.values()):
        return refused(400, "Bad request", "`fcm.data` must hold strings")
    if not given.get("web", {}).get("notification", {"title": "x"}).get("title"):
        return refused(400, "Bad request", "`web.notification.title` is required")
    return said(200, {"publishId": "pubid-33f3f68e-b0c5-438f-b50f-fae93f6c48df"})


def refused(status: int, error: str, why: str) -> tuple[int, dict[str, str], bytes]:
    """Its error body."""
    return said(status, {"error": error, "description": why})


def seen(call: Call) -> list[str]:
    """The notification on each platform."""
    given = call.json()
    shown = [given["web"]["notification"], given["fcm"]["notification"], given["apns"]["aps"]["alert"]]
    return [text for one in shown for text in (one["title"], one["body"])]


VENDOR = Vendor(
    kind="pusher_beams",
    rule="1 to 100 interests or 1 to 1,000 users; 4 KiB for each platform, 10 KiB in all.",
    setup=lambda base: Setup(
        "pusher_beams", {"interests": ["acme-alerts"], "instance_id": INSTANCE}, {"secret_key": KEY}
    ),
    answer=answer,
    seen=seen,
    limit_of={"bytes": 10 * 1024, "platform bytes": 4096, "interests": 100},
    refused=refused(401, "Unauthorized", "Incorrect API Key"),
    patch=(("alerts.channels.pusher_beams.PusherBeams.API", ""),),
    link_in_text=False,
)
