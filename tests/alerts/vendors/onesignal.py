"""How does OneSignal judge a push? (documentation.onesignal.com/reference/push-notification)"""

from __future__ import annotations

import json
import re

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import object_in, said
from tests.rig.calls import Call

APP, KEY = "5eb5a37e-b458-11e3-ac11-000c2940e62c", "os_v2_app_l223k7vuldepblartgeya7ldwy"  # scan: allowed
SUBSCRIBED = {"alice", "bob"}
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DENIED = "Access denied.  Please include an 'Authorization: ...' header with a valid API key."


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """200 with an id; 200 without one when nobody hears it; 400 and 403 with reasons."""
    if (call.method, call.path) != ("POST", "/notifications"):
        return said(404, {"errors": ["Not found"]})
    if call.headers.get("authorization") != f"Key {KEY}":
        return said(403, {"errors": [DENIED]})
    given = object_in(call)
    if given is None or "json" not in call.headers.get("content-type", ""):
        return said(400, {"errors": ["Malformed JSON"]})
    if given.get("app_id") != APP:
        return said(400, {"errors": ["app_id not found. You may be missing a Content-Type: application/json header."]})
    ways = [name for name in ("include_aliases", "included_segments", "include_subscription_ids") if given.get(name)]
    if len(ways) != 1:
        return said(400, {"errors": ["Please target with exactly one of aliases, segments or subscriptions"]})
    if ways == ["include_aliases"] and given.get("target_channel") not in ("push", "email", "sms"):
        return said(400, {"errors": ["target_channel must be set when using include_aliases"]})
    if not given.get("contents", {}).get("en"):
        return said(400, {"errors": ["Message Notifications must have English language content"]})
    if not UUID.fullmatch(given.get("idempotency_key", "")):
        return said(400, {"errors": ["idempotency_key must be a valid UUID"]})
    if len(given.get("collapse_id", "")) > 64:
        return said(400, {"errors": ["collapse_id must be no more than 64 bytes"]})
    shown = {name: given[name] for name in ("headings", "contents", "data", "url") if name in given}
    if len(json.dumps(shown, ensure_ascii=False).encode()) > 3500:
        return said(400, {"errors": ["Notification data exceeds the maximum size"]})
    if ways == ["include_aliases"]:
        unknown = [name for name in given["include_aliases"]["external_id"] if name not in SUBSCRIBED]
        if len(unknown) == len(given["include_aliases"]["external_id"]):
            return said(200, {"id": "", "errors": {"invalid_aliases": {"external_id": unknown}}})
        if unknown:
            taken = {"id": "b15ba6e5-2223-49d6-9eda-684b9051f5a8", "external_id": None}
            return said(200, {**taken, "errors": {"invalid_aliases": {"external_id": unknown}}})
    if given.get("included_segments") == ["Nobody"]:
        return said(200, {"id": "", "errors": ["All included players are not subscribed"]})
    return said(200, {"id": "b15ba6e5-2223-49d6-9eda-684b9051f5a8", "external_id": given["idempotency_key"]})


def seen(call: Call) -> list[str]:
    """Heading, text, buttons."""
    given = call.json()
    return [given["headings"]["en"], given["contents"]["en"], *(b["text"] for b in given.get("web_buttons", []))]


VENDOR = Vendor(
    kind="onesignal",
    rule="200 with an empty id means that nothing was sent; one way of targeting; an idempotency key is a UUID.",
    setup=lambda base: Setup("onesignal", {"external_ids": ["alice"], "app_id": APP}, {"api_key": KEY}),
    answer=answer,
    seen=seen,
    limit_of={"payload bytes": 3500, "collapse_id": 64},
    too_many=(
        429,
        {"Content-Type": "application/json", "Retry-After": "7"},
        b'{"errors": ["API rate limit exceeded."]}',
    ),
    refused=said(403, {"errors": [DENIED]}),
    patch=(("alerts.channels.onesignal.OneSignal.API", ""),),
    link_in_text=False,
)
