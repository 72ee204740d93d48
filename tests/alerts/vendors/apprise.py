"""How does a service behind Apprise judge what it gets? Prowl stands for them all: a form with a key. (prowlapp.com/api.php)"""

from __future__ import annotations

from tests.alerts.vendors import Setup, Vendor
from tests.rig.calls import Call

KEY = "0123456789abcdef0123456789abcdef01234567"  # scan: allowed
MOST = {"application": 256, "event": 1024, "description": 10_000}


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    """200 and an XML success, or an XML error: 400 for parameters, 401 for the key."""
    if (call.method, call.path) != ("POST", "/publicapi/add"):
        return refused(404, "Not found")
    form = {name: values[0] for name, values in call.form().items()}
    if form.get("apikey") != KEY:
        return refused(401, "Invalid API key(s).")
    if not form.get("application") or not (form.get("event") or form.get("description")):
        return refused(400, "Bad request, the parameters you provided did not validate")
    if any(len(form.get(name, "")) > most for name, most in MOST.items()):
        return refused(400, "Bad request, a parameter is too long")
    return (
        200,
        {"Content-Type": "text/xml"},
        b'<?xml version="1.0"?><prowl><success code="200" remaining="999" /></prowl>',
    )


def refused(status: int, why: str) -> tuple[int, dict[str, str], bytes]:
    """Its error body."""
    return (
        status,
        {"Content-Type": "text/xml"},
        f'<?xml version="1.0"?><prowl><error code="{status}">{why}</error></prowl>'.encode(),
    )


def seen(call: Call) -> list[str]:
    """The push."""
    form = call.form()
    return [form["event"][0], form["description"][0]]


VENDOR = Vendor(
    kind="apprise",
    rule="Prowl: a form with apikey (40 characters), application, event (<= 1,024) and description (<= 10,000).",
    setup=lambda base: Setup("apprise", {}, {"url": f"prowl://{KEY}"}),
    answer=answer,
    seen=seen,
    limit_of=MOST,
    too_many=(406, {"Retry-After": "7"}, b"Not acceptable, your IP address has exceeded the API limit."),
    refused=refused(401, "Invalid API key(s)."),
    patch=(("apprise.plugins.prowl.NotifyProwl.notify_url", "/publicapi/add"),),
)
