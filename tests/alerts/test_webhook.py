"""Does a client's own program get what CHN-5 promises, signed so that it can be believed?"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from standardwebhooks import Webhook as Oracle
from standardwebhooks import WebhookVerificationError

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.webhook import MOST_BYTES, Webhook, body_of
from portal.outbound.guard import Reach
from tests.alerts.letters import HOSTILE, LOOPBACK, PAGE, RECOVERED, deliver, trapped
from tests.rig import answers
from tests.rig.receiver import Receiver

pytestmark = pytest.mark.once
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
OLDER = "whsec_b2xkZXItb2xkZXItb2xkZXItb2xkZXItb2xkZXI="


def hook(url: str, **more: Any) -> Webhook:
    config, secrets = channels.split("webhook", {"url": url, **more})
    built = channels.build({"type": "webhook", "config": config, "secrets": secrets}, {}, LOOPBACK)
    assert isinstance(built, Webhook)
    return built


def test_the_body_is_what_was_promised(receiver: Receiver) -> None:
    receipt = deliver(hook(receiver.url("/in")), PAGE)
    (call,) = receiver.at("/in")
    body = call.json()
    assert receipt.code == 200
    assert call.method == "POST" and call.headers["content-type"] == "application/json"
    assert body["event"] == "down" and body["type"] == "monitor.down" and body["monitor"] == "shop"
    assert body["verdict"] == {"summary": "connection refused", "layer": "unknown", "confidence": 0}
    assert set(body["evidence"]) >= {"mtr_reports", "dns", "ssl", "baseline_diff"}
    assert "\n" not in body["text"] and body["text"] == "[Down] Acme · shop — connection refused"
    assert body["links"]["acknowledge"] == PAGE.links[0].url and body["delivery_id"] == 41
    assert call.headers["webhook-id"] == "delivery-41" and "webhook-signature" not in call.headers


def test_the_standard_library_believes_the_signature(receiver: Receiver) -> None:
    deliver(hook(receiver.url("/in"), secret=SECRET), trapped(HOSTILE))
    (call,) = receiver.at("/in")
    assert Oracle(SECRET).verify(call.body, dict(call.headers)) == call.json()
    with pytest.raises(WebhookVerificationError):
        Oracle(SECRET).verify(call.body.replace(b"down", b"DOWN"), dict(call.headers))
    with pytest.raises(WebhookVerificationError):
        Oracle(OLDER).verify(call.body, dict(call.headers))
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=1)), pytest.raises(WebhookVerificationError):
        Oracle(SECRET).verify(call.body, dict(call.headers))


def test_during_a_rotation_both_secrets_verify(receiver: Receiver) -> None:
    deliver(hook(receiver.url("/in"), secret=SECRET, previous_secret=OLDER), PAGE)
    (call,) = receiver.at("/in")
    for secret in (SECRET, OLDER):
        Oracle(secret).verify(call.body, dict(call.headers))


def test_the_id_stays_over_retries_and_nothing_says_repeat(receiver: Receiver) -> None:
    for attempt in (1, 2):
        deliver(hook(receiver.url("/in"), secret=SECRET), replace(PAGE, attempt=attempt))
    first, second = receiver.at("/in")
    assert first.headers["webhook-id"] == second.headers["webhook-id"] and first.body == second.body
    deliver(hook(receiver.url("/in")), RECOVERED)
    assert receiver.at("/in")[-1].headers["webhook-id"] != first.headers["webhook-id"]


def test_extra_headers_go_along_and_rest_under_seal(receiver: Receiver) -> None:
    data = {"url": receiver.url("/in"), "headers": {"X-Api-Key": "k-123456"}, "authorization": "Bearer token-123"}
    config, secrets = channels.split("webhook", data)
    assert config == {"url": receiver.url("/in")}
    assert secrets == {"headers": {"X-Api-Key": "k-123456"}, "authorization": "Bearer token-123"}
    deliver(hook(**data), PAGE)
    (call,) = receiver.at("/in")
    assert call.headers["x-api-key"] == "k-123456" and call.headers["authorization"] == "Bearer token-123"


@pytest.mark.parametrize(
    "name",
    ["Host", "Content-Length", "content-type", "Connection", "Transfer-Encoding", "Authorization", "Proxy-Connection"]
    + ["webhook-id", "Webhook-Signature", "Upgrade", "X Bad", "X:Bad", "X\r\nBad", "", "Exträ", "X" * 101],
)
def test_headers_that_are_not_the_users_to_set(name: str) -> None:
    with pytest.raises(channels.InvalidSettings) as refusal:
        channels.split("webhook", {"url": "https://hooks.example.com/", "headers": {name: "hunter2-hunter2"}})
    assert list(refusal.value.fields) == ["headers"] and "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x00b", "a\u2028b", "a\u0085b", "a\x0bb", "ü"])
def test_values_that_would_break_out_of_their_header(value: str) -> None:
    for data in ({"headers": {"X-Key": value}}, {"authorization": value}):
        with pytest.raises(channels.InvalidSettings):
            channels.split("webhook", {"url": "https://hooks.example.com/", **data})


@pytest.mark.parametrize(
    "secret",
    ["secret", "whsec_", "whsec_!!!!", "whsec_" + "QUJD" * 5, "whsec_" + "QUJD" * 30, SECRET + "\n", "x" + SECRET],
)
def test_a_weak_or_broken_signing_secret_is_refused(secret: str) -> None:
    with pytest.raises(channels.InvalidSettings, match="24 to 64"):
        channels.split("webhook", {"url": "https://hooks.example.com/", "secret": secret})


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/",
        "https://user:pw@x.example/",
        "https://x.example\\@127.0.0.1/",
        "http://2130706433/",
        "x",
        "",
        "https://a b/",
    ],
)
def test_an_address_two_parsers_could_read_differently_is_refused(url: str) -> None:
    with pytest.raises(channels.InvalidSettings) as refusal:
        channels.split("webhook", {"url": url})
    assert "url" in refusal.value.fields


def test_a_url_that_carries_a_secret_rests_under_seal() -> None:
    plain, token = "https://hooks.example.com/in", "https://hooks.example.com/in?token=abc"
    long = "https://discord.com/api/webhooks/1/abcdefghijklmnopqrstuvwxyz"
    assert channels.split("webhook", {"url": plain}) == ({"url": plain}, {})
    for url in (token, long):
        assert channels.split("webhook", {"url": url}) == ({}, {"url": url})
        assert hook(url).address() in ("https://hooks.example.com/…", "https://discord.com/…")
    assert hook(plain).address() == plain


def test_410_ends_it_and_a_redirect_is_not_followed(receiver: Receiver) -> None:
    gone = receiver.behave("/gone", answers.status(410))
    with pytest.raises(DeliveryError, match="gone for good") as refusal:
        deliver(hook(gone), PAGE)
    assert refusal.value.permanent and refusal.value.code == 410
    moved = receiver.behave("/moved", answers.redirect(receiver.url("/elsewhere")))
    with pytest.raises(DeliveryError, match="redirects are not followed") as refusal:
        deliver(hook(moved), PAGE)
    assert refusal.value.permanent and not receiver.at("/elsewhere")


def test_what_may_have_arrived_is_called_ambiguous(receiver: Receiver) -> None:
    for path, answer in (("/500", answers.accept_then_500()), ("/cut", answers.accept_then_cut())):
        with pytest.raises(DeliveryError) as refusal:
            deliver(hook(receiver.behave(path, answer)), PAGE)
        assert refusal.value.ambiguous and not refusal.value.permanent
    slow_down = receiver.behave("/429", answers.too_many(7))
    with pytest.raises(DeliveryError) as refusal:
        deliver(hook(slow_down), PAGE)
    assert refusal.value.retry_after == 7 and not refusal.value.ambiguous


def test_loopback_is_blocked_without_outbound_allow(receiver: Receiver) -> None:
    with pytest.raises(DeliveryError, match="OUTBOUND_ALLOW") as refusal:
        deliver(hook(receiver.url("/in")), PAGE, Reach())
    assert refusal.value.permanent and not receiver.calls


@pytest.mark.parametrize("trap", ["x" * 60_000, "😀" * 30_000, '"\\' * 30_000])
def test_the_body_stays_below_20_kb_and_keeps_its_links(trap: str) -> None:
    alert = {"id": 9, "entity_name": trap, "message": trap, "evidence": {str(n): trap for n in range(50)}}
    body = body_of(replace(trapped(trap), alert=alert, verdict={"summary": trap}))
    assert len(body) <= MOST_BYTES
    assert json.loads(body)["links"]["open"] == PAGE.links[1].url
