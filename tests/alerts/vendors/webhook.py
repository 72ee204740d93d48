"""A receiver that follows Standard Webhooks 1.0: it refuses what is not signed, and answers 2xx to what it takes."""

from __future__ import annotations

import json

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.alerts.vendors import Setup, Vendor
from tests.rig.calls import Call

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="  # scan: allowed


def answer(call: Call) -> tuple[int, dict[str, str], bytes]:
    if call.method != "POST" or call.headers.get("content-type") != "application/json":
        return 415, {}, b"POST application/json"
    if len(call.body) > 20 * 1024:
        return 413, {}, b"more than 20 kB"
    try:
        Webhook(SECRET).verify(call.body, dict(call.headers))
    except WebhookVerificationError as error:
        return 401, {}, str(error).encode()
    return 204, {}, b""


def seen(call: Call) -> list[str]:
    body = json.loads(call.body)
    return [body["text"], body["monitor"], body["verdict"]["summary"]]


VENDOR = Vendor(
    kind="webhook",
    rule="POST JSON below 20 kB; webhook-id, webhook-timestamp and webhook-signature as Standard Webhooks 1.0; any 2xx took it.",
    setup=lambda base: Setup("webhook", {"url": f"{base}/in"}, {"secret": SECRET}),
    answer=answer,
    seen=seen,
    limit_of={"body, bytes": 20_000},
    refused=(410, {}, b"gone"),
)
