"""How does an ntfy server judge a JSON publish? (docs.ntfy.sh/publish, and the numbers of server/errors.go)"""

from __future__ import annotations

import json
import re

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import said
from tests.rig.calls import Call

TOPIC, TOKEN = "acme-alerts-k7q2x9", "tk_7eevizlsiwf9yi4uxsrs83r4352o0"  # scan: allowed
FIELDS = {
    "topic": str, "title": str, "message": str, "priority": int, "tags": list, "click": str, "actions": list, "attach": str,
    "filename": str, "email": str, "delay": str, "markdown": bool, "icon": str, "call": str, "sequence_id": str,
}  # fmt: skip


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """200 and the message as published, or a numbered error."""
    if (call.method, call.path) != ("POST", "/"):
        return refused(40401, 404, "page not found")
    if len(call.body) > 8192:
        return refused(41303, 413, "JSON body too large")
    try:
        given = json.loads(call.body.decode())
        right = isinstance(given, dict) and all(isinstance(v, FIELDS.get(k, object)) for k, v in given.items())
    except ValueError:
        right = False
    if not right:
        return refused(40017, 400, "invalid request: request body must be message JSON")
    if not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", given.get("topic", "")):
        return refused(40009, 400, "invalid request: topic invalid")
    if call.headers.get("authorization") != f"Bearer {TOKEN}":
        return (
            refused(40301, 403, "forbidden")
            if "authorization" not in call.headers
            else refused(40101, 401, "unauthorized")
        )
    if not 0 <= given.get("priority", 3) <= 5:
        return refused(40007, 400, "invalid priority parameter")
    actions = given.get("actions", [])
    kinds = ("view", "http", "broadcast")
    if len(actions) > 3 or any(a.get("action") not in kinds or not a.get("label") or not a.get("url") for a in actions):
        return refused(40018, 400, "invalid request: actions invalid")
    sequence = given.get("sequence_id", "")
    if sequence and not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", sequence):
        return refused(40049, 400, "invalid request: sequence ID invalid")
    published = {"id": "hwQ2YpKdmg", "time": 1635528741, "expires": 1635571941, "event": "message", **given}
    if len(given.get("message", "").encode()) > 4096:
        published["message"] = "You received a file: attachment.txt"
        published["attachment"] = {"name": "attachment.txt", "type": "text/plain; charset=utf-8"}
    return said(200, published)


def refused(number: int, status: int, error: str) -> tuple[int, dict[str, str], bytes]:
    """One of its errors."""
    return said(status, {"code": number, "http": status, "error": error, "link": "https://ntfy.sh/docs/publish/"})


def seen(call: Call) -> list[str]:
    """Title, text and buttons; text that was too long is only a file's name."""
    given = call.json()
    text = given["message"] if len(given["message"].encode()) <= 4096 else "You received a file: attachment.txt"
    return [given["title"], text, *(action["label"] for action in given.get("actions", []))]


VENDOR = Vendor(
    kind="ntfy",
    rule="A message has at most 4,096 bytes (more becomes a file), the JSON at most 8,192, and at most 3 buttons.",
    setup=lambda base: Setup("ntfy", {}, {"url": f"{base}/{TOPIC}", "token": TOKEN}),
    answer=answer,
    seen=seen,
    limit_of={"message bytes": 4096, "json bytes": 8192, "actions": 3},
    too_many=(
        429,
        {"Content-Type": "application/json", "Retry-After": "7"},
        json.dumps({"code": 42901, "http": 429, "error": "limit reached: too many requests, please be nice"}).encode(),
    ),
    refused=refused(40301, 403, "forbidden"),
    link_in_text=False,
)
