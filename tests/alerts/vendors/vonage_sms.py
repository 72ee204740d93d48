"""How does Vonage's Messages API judge a text message? (developer.vonage.com/api/messages, /api-errors)"""

from __future__ import annotations

import base64
import re
from typing import Any

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import object_in, said
from tests.rig.calls import Call

KEY, SECRET, SIGNATURE = "a1b2c3d4", "Wz8-kL2_qP9xTn4v", "s1gnature-s3cret-0123456789abcdef"
NUMBER, FROM = "+351912345678", "+351300500701"
UUID = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"
MOST = 1000
KNOWN = {"message_type", "channel", "to", "from", "text", "client_ref", "webhook_url", "webhook_version", "ttl", "sms"}

Answer = tuple[int, dict[str, str], bytes]


def refused(status: int, kind: str, title: str, detail: str, **more: Any) -> Answer:
    """A problem document."""
    base = {"type": f"https://developer.vonage.com/api-errors{kind}", "title": title, "detail": detail}
    return said(status, {**base, "instance": "bf0ca0bf927b3b52e3cb03217e1a1ddf", **more})


def wrong(name: str, reason: str) -> Answer:
    """422 with the field's name."""
    detail = "The value of one or more parameters is invalid."
    return refused(
        422, "#invalid-params", "Invalid params", detail, invalid_parameters=[{"name": name, "reason": reason}]
    )


def answer(call: Call) -> Answer:
    """202 and the message's uuid, or a problem."""
    if call.path != "/v1/messages":
        return refused(404, "#not-found", "Not Found", "The requested resource does not exist.")
    if call.method != "POST":
        return refused(405, "#method", "Method Not Allowed", "Use POST.")
    if call.headers.get("authorization") != "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode():
        return refused(401, "#unauthorized", "Unauthorized", "You did not provide correct credentials.")
    given = object_in(call)
    if given is None or not call.headers.get("content-type", "").startswith("application/json"):
        return wrong("body", "is not JSON")
    if set(given) - KNOWN:
        return wrong(sorted(set(given) - KNOWN)[0], "is not a known parameter")
    if (given.get("message_type"), given.get("channel")) != ("text", "sms"):
        return wrong("message_type", "is required")
    if not re.fullmatch(r"[1-9]\d{6,14}", str(given.get("to") or "")):
        return wrong("to", "must be E.164 without + or 00")
    if not re.fullmatch(r"[A-Za-z0-9 ]{1,15}", str(given.get("from") or "")):
        return wrong("from", "must be a number or a sender id")
    text = given.get("text")
    if not isinstance(text, str) or not 1 <= len(text) <= MOST:
        return wrong("text", f"length must be between 1 and {MOST}")
    if len(str(given.get("client_ref") or "")) > 100:
        return wrong("client_ref", "length must be at most 100")
    return said(202, {"message_uuid": UUID})


def seen(call: Call) -> list[str]:
    """The text message."""
    return [call.json()["text"]]


def provider() -> dict[str, Any]:
    """The installation's account."""
    return {"api_key": KEY, "api_secret": SECRET, "signature_secret": SIGNATURE, "sender": FROM}


VENDOR = Vendor(
    kind="vonage_sms",
    rule="JSON with message_type text, channel sms, to without +, from, a text of at most 1,000; Basic with key and secret.",
    setup=lambda base: Setup("vonage_sms", {"to": NUMBER}, {}, provider()),
    answer=answer,
    seen=seen,
    limit_of={"text": MOST},
    too_many=(
        429,
        {"Retry-After": "7"},
        refused(429, "#throttled", "Rate Limit Hit", "Please wait, then retry your request")[2],
    ),
    refused=refused(401, "#unauthorized", "Unauthorized", "You did not provide correct credentials."),
    patch=(("alerts.channels.vonage_sms.VonageSms.API", ""),),
)
