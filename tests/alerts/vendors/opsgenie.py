"""How does the Opsgenie alert API judge a request, which is Jira Service Management's too? (docs.opsgenie.com/docs/alert-api)"""

from __future__ import annotations

import json
from urllib.parse import unquote

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import object_in, said
from tests.rig.calls import Call

KEY = "01234567-89ab-cdef-0123-456789abcdef"
MOST = {"message": 130, "alias": 512, "description": 15_000, "entity": 512, "source": 100, "note": 25_000, "user": 100}


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """202 and a request id, or 401, 404, 422."""
    base, _, rest = call.path.partition("/v2/alerts")
    if call.method != "POST" or base not in ("", "/jsm/ops/integration"):
        return said(404, {"message": "Not found", "took": 0.0, "requestId": "r-0"})
    if call.headers.get("authorization") != f"GenieKey {KEY}":
        return said(401, {"message": "Could not authenticate", "took": 0.001, "requestId": "r-1"})
    alert = object_in(call)
    if alert is None or "json" not in call.headers.get("content-type", ""):
        return said(
            422, {"message": "Request body is not processable. Please check the errors.", "errors": {}, "took": 0}
        )
    errors = {name: f"must not exceed {most}" for name, most in MOST.items() if len(alert.get(name, "")) > most}
    if not rest:
        if not alert.get("message"):
            errors["message"] = "Message can not be empty."
        if alert.get("priority") not in (None, "P1", "P2", "P3", "P4", "P5"):
            errors["priority"] = "Priority should be one of [P1, P2, P3, P4, P5]"
        tags = alert.get("tags", [])
        if len(tags) > 20 or any(len(tag) > 50 for tag in tags):
            errors["tags"] = "at most 20 of at most 50 characters"
        details = alert.get("details", {})
        if (
            not all(isinstance(value, str) for value in details.values())
            or sum(map(len, [*details, *details.values()])) > 8000
        ):
            errors["details"] = "must be strings, 8000 characters in all"
    else:
        _, alias, action = unquote(rest).split("/")
        if (
            action not in ("acknowledge", "close", "notes")
            or call.query.get("identifierType") != ["alias"]
            or not alias
        ):
            return said(404, {"message": "Not found", "took": 0.0, "requestId": "r-0"})
    if errors:
        return said(
            422, {"message": "Request body is not processable. Please check the errors.", "errors": errors, "took": 0}
        )
    return said(
        202, {"result": "Request will be processed", "took": 0.302, "requestId": "43a29c5c-3dbf-4fa4-9c26-f4f71023e120"}
    )


def seen(call: Call) -> list[str]:
    """The alert's title and description, or the note of an action."""
    alert = call.json()
    return [text for text in (alert.get("message"), alert.get("description"), alert.get("note")) if text]


VENDOR = Vendor(
    kind="opsgenie",
    rule="An alert has a message (<= 130); one alert is open per alias, and acknowledge and close name that alias.",
    setup=lambda base: Setup("opsgenie", {"region": "custom", "api_url": f"{base}/v2/alerts"}, {"api_key": KEY}),
    answer=answer,
    seen=seen,
    limit_of=MOST,
    too_many=(
        429,
        {"Content-Type": "application/json", "X-RateLimit-State": "THROTTLED", "X-RateLimit-Period-In-Sec": "7"},
        json.dumps({"message": "You are making too many requests!", "took": 0, "requestId": "r"}).encode(),
    ),
    refused=said(403, {"message": "You are not authorized for this operation", "took": 0.0, "requestId": "r-2"}),
)
