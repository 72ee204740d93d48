"""How does a Gotify server judge a message? (gotify.net/api-docs)"""

from __future__ import annotations

from tests.alerts.vendors import Setup, Vendor
from tests.alerts.vendors.desk import object_in, said
from tests.rig.calls import Call

TOKEN = "AzyoeNS.D4iJLVa"  # scan: allowed


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """200 and the message, or an error with its description."""
    if (call.method, call.path) != ("POST", "/message"):
        return refused(404, "Not Found", "page not found")
    if call.headers.get("x-gotify-key") != TOKEN:
        return refused(
            401, "Unauthorized", "you need to provide a valid access token or user credentials to access this api"
        )
    given = object_in(call)
    if given is None or "json" not in call.headers.get("content-type", ""):
        return refused(400, "Bad Request", "unexpected end of JSON input")
    if not given.get("message"):
        return refused(400, "Bad Request", "Field 'message' is required")
    if not isinstance(given.get("priority", 0), int) or not isinstance(given.get("extras", {}), dict):
        return refused(400, "Bad Request", "json: cannot unmarshal into Go struct field")
    return said(200, {"id": 25, "appid": 5, "date": "2026-11-21T14:38:08Z", **given})


def refused(status: int, error: str, why: str) -> tuple[int, dict[str, str], bytes]:
    """Its error body."""
    return said(status, {"error": error, "errorCode": status, "errorDescription": why})


def seen(call: Call) -> list[str]:
    """Title and text; with markdown on, markup would be acted on."""
    given = call.json()
    display = given.get("extras", {}).get("client::display", {}).get("contentType", "text/plain")
    assert display == "text/plain", "markdown is on: a name would not show as typed"
    return [given["title"], given["message"]]


VENDOR = Vendor(
    kind="gotify",
    rule="A message needs an application's token in X-Gotify-Key and a non-empty `message`; extras are an object.",
    setup=lambda base: Setup("gotify", {"url": base}, {"token": TOKEN}),
    answer=answer,
    seen=seen,
    refused=refused(
        401, "Unauthorized", "you need to provide a valid access token or user credentials to access this api"
    ),
)
