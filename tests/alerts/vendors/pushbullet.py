"""How does Pushbullet judge a push? (docs.pushbullet.com; the code of the spent month as its API has answered since 2016)"""

from __future__ import annotations

import json
from typing import Any

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import object_in, said
from tests.rig.calls import Call

TOKEN, DEVICE = "o.abcdefghijklmnopqrstuvwxyz012345", "ujpah72o0sjAoRtnM0jc"  # scan: allowed
TARGETS = ("device_iden", "email", "channel_tag", "client_iden")


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """200 and the push, or an error object."""
    if (call.method, call.path) != ("POST", "/v2/pushes"):
        return refused(404, "not_found", "The requested object could not be found.")
    if call.headers.get("access-token") != TOKEN:
        return refused(401, "invalid_access_token", "Access token is missing or invalid.")
    given = object_in(call)
    if given is None or "application/json" not in call.headers.get("content-type", ""):
        return refused(400, "invalid_request", "Failed to parse JSON body.")
    if given.get("type") not in ("note", "link", "file"):
        return refused(400, "invalid_param", "The param 'type' has an invalid value.", "type")
    if given["type"] == "link" and not str(given.get("url", "")).startswith(("http://", "https://")):
        return refused(400, "invalid_param", "The param 'url' has an invalid value.", "url")
    if not given.get("title") and not given.get("body"):
        return refused(400, "missing_param", "The param 'body' is missing.", "body")
    targets = [name for name in TARGETS if given.get(name)]
    if len(targets) > 1:
        return refused(400, "invalid_param", "Only one target may be specified.", targets[1])
    if given.get("device_iden", DEVICE) != DEVICE:
        return refused(400, "invalid_param", "The param 'device_iden' has an invalid value.", "device_iden")
    push = {name: given[name] for name in ("type", "title", "body", "url", "guid") if name in given}
    return said(
        200, {**push, "iden": "ujpah72o0sjAoRtnM0jc", "active": True, "dismissed": False, "created": 1795271888.1}
    )


def refused(status: int, code: str, message: str, param: str = "") -> tuple[int, dict[str, str], bytes]:
    """Its error object; the newer copies of code beside it are there, too."""
    error: dict[str, Any] = {"code": code, "type": "invalid_request", "message": message, "cat": "(=^‥^=)"}
    return said(status, {"error": {**error, **({"param": param} if param else {})}, "error_code": code})


def seen(call: Call) -> list[str]:
    """Title, text and the address; all of it plain."""
    given = call.json()
    return [given[name] for name in ("title", "body", "url") if given.get(name)]


VENDOR = Vendor(
    kind="pushbullet",
    rule="A push has a type, one target at most, and for a link its url; Access-Token; 500 a month, then pushbullet_pro_required.",
    setup=lambda base: Setup("pushbullet", {}, {"token": TOKEN}),
    answer=answer,
    seen=seen,
    limit_of={"pushes a month": 500},
    too_many=(
        429,
        {"Content-Type": "application/json", "Retry-After": "7"},
        json.dumps(
            {"error": {"code": "ratelimited", "type": "ratelimited", "message": "You have been ratelimited."}}
        ).encode(),
    ),
    refused=refused(401, "invalid_access_token", "Access token is missing or invalid."),
    patch=(("alerts.channels.pushbullet.Pushbullet.API", "/v2"),),
)
