"""How does Pushover judge a message, a receipt, a cancellation? (pushover.net/api, pushover.net/api/receipts)"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import object_in, said
from tests.rig.calls import Call

TOKEN, USER, RECEIPT = (
    "azGDORePK8gMaC0QOYAMyEEuzJnyUi",
    "uQiRzpo4DXghDmr9QzzfQu27cmVRsG",
    "rLqVuqTRh62UzxtmqiaLzQmVcPgiCy",
)  # scan: allowed
REQUEST = "647d2300-702c-4b38-8b2f-d56326ae460b"
LIMITS = {"message": 1024, "title": 250, "url": 512, "url_title": 100}
HEADERS = {"X_Limit_App_Limit": "10000", "X_Limit_App_Remaining": "7496", "X_Limit_App_Reset": "1796083200"}


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """200 with `status` 1, or 4xx with `status` 0 and what is wrong."""
    given = object_in(call) if call.method == "POST" else {name: values[0] for name, values in call.query.items()}
    if given is None:
        return refused(["message cannot be blank"])
    if given.get("token") != TOKEN:
        return refused(["application token is invalid"], token="invalid")
    path = call.path.removeprefix("/1")
    if (call.method, path) == ("POST", "/messages.json"):
        return message(given)
    if call.method == "POST" and re.fullmatch(r"/receipts/cancel_by_tag/[\w-]+\.json", path):
        return said(200, {"status": 1, "canceled": 1, "request": REQUEST})
    found = re.fullmatch(r"/receipts/(\w{30})(/cancel)?\.json", path)
    if not found or (call.method == "POST") != bool(found[2]):
        return said(404, {"status": 0, "errors": ["not found"], "request": REQUEST})
    if found[1] != RECEIPT:
        wrong = {"receipt": "not found", "errors": ["receipt not found; may be invalid or expired"]}
        return said(404, {**wrong, "status": 0, "request": REQUEST})
    return said(200, {"status": 1, "request": REQUEST} if found[2] else {**UNANSWERED, "request": REQUEST})


UNANSWERED = {
    "status": 1, "acknowledged": 0, "acknowledged_at": 0, "acknowledged_by": "", "acknowledged_by_device": "", "last_delivered_at": 1795271900,
    "expired": 0, "expires_at": 1795275500, "called_back": 0, "called_back_at": 0,
}  # fmt: skip


def message(given: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """A message by its parameters."""
    if given.get("user") != USER:
        return refused(["user identifier is not a valid user, group, or subscribed user key"], user="invalid")
    if not str(given.get("message", "")).strip():
        return refused(["message cannot be blank"], message="cannot be blank")
    for name, limit in LIMITS.items():
        if len(given.get(name, "")) > limit:
            return refused([f"{name} is too long (maximum is {limit} characters)"])
    if given.get("device") == "nowhere":
        return refused(["device name is not valid for user"], device="invalid")
    priority = given.get("priority", 0)
    if priority not in (-2, -1, 0, 1, 2):
        return refused(["priority is invalid"], priority="invalid")
    if priority != 2:
        return said(200, {"status": 1, "request": REQUEST}, **HEADERS)
    for name in ("expire", "retry"):
        if name not in given:
            return refused([f"{name} must be supplied with priority=2"], **{name: "must be supplied with priority=2"})
    if given["retry"] < 30 or given["expire"] > 10_800:
        return refused(["retry must be at least 30 seconds and expire at most 10800 seconds"])
    return said(200, {"status": 1, "receipt": RECEIPT, "request": REQUEST}, **HEADERS)


def refused(errors: list[str], **fields: str) -> tuple[int, dict[str, str], bytes]:
    """Its 400."""
    return said(400, {**fields, "errors": errors, "status": 0, "request": REQUEST})


def seen(call: Call) -> list[str]:
    """Title, text and the button; the text is plain, HTML only when asked for."""
    given = call.json()
    return [str(given[name]) for name in ("title", "message", "url_title", "url") if given.get(name)]


VENDOR = Vendor(
    kind="pushover",
    rule="Message 1,024, title 250, url 512, url_title 100 characters; priority 2 has retry >= 30 and expire <= 10,800 and gives a receipt.",
    setup=lambda base: Setup("pushover", {}, {"user": USER}, {"token": TOKEN}),
    answer=answer,
    seen=seen,
    limit_of=LIMITS,
    too_many=(
        429,
        {"Content-Type": "application/json", "Retry-After": "7"},
        json.dumps({"status": 0, "errors": ["too many requests"], "request": REQUEST}).encode(),
    ),
    refused=refused(["user identifier is not a valid user, group, or subscribed user key"], user="invalid"),
    patch=(("alerts.channels.pushover.Pushover.API", "/1"),),
)
