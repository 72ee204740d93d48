"""Does Pushbullet get one push however often it is tried, with a link to tap on, and is its month respected?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.pushbullet import CURES, QUOTA, Pushbullet
from alerts.message import Message
from tests.alerts.letters import GATHERED, HOSTILE, PAGE, RECOVERED, TEST, TRAPS, deliver, trapped
from tests.alerts.vendors import desk
from tests.alerts.vendors.pushbullet import DEVICE, TOKEN, VENDOR, refused
from tests.rig.answers import Answer
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.once


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with desk.at_work(VENDOR, monkeypatch) as server:
        yield server


def pushbullet(**more: Any) -> Pushbullet:
    channel = desk.built(VENDOR.setup(""), **more)
    assert isinstance(channel, Pushbullet)
    return channel


def sent(message: Message, **more: Any) -> dict[str, Any]:
    """The body of its request."""
    found = json.loads(pushbullet(**more).request(message).body or b"")
    assert isinstance(found, dict)
    return found


def test_a_page_is_a_link_to_tap_on_with_the_others_in_the_text() -> None:
    push = sent(PAGE)
    assert (push["type"], push["url"]) == ("link", PAGE.links[0].url)
    assert push["title"] == "■ [Down] Acme · shop — connection refused"
    assert "Open alert: https://portal.example/alerts/9/" in push["body"]


def test_without_a_link_it_is_a_note() -> None:
    push = sent(replace(PAGE, links=()))
    assert push["type"] == "note" and "url" not in push


@pytest.mark.parametrize("trap", TRAPS)
def test_a_name_shows_as_typed_on_one_line_and_cut(trap: str) -> None:
    for base in (PAGE, RECOVERED, GATHERED, TEST):
        push = sent(trapped(trap, base))
        assert len(push["title"]) <= 200 and "\n" not in push["title"] and len(push["body"]) <= 3000
    assert f"{HOSTILE} is down" in sent(trapped(HOSTILE))["body"]


def test_every_try_is_the_same_push_and_every_delivery_another() -> None:
    first, again = sent(PAGE), sent(replace(PAGE, attempt=3))
    assert first == again and first["guid"], "a repeat must not look like another push"
    assert sent(replace(PAGE, delivery_id=99))["guid"] != first["guid"]
    unnamed = replace(PAGE, delivery_id=0)
    assert sent(unnamed)["guid"] != sent(unnamed)["guid"]


def test_another_installation_names_its_pushes_differently(settings: Any) -> None:
    ours = sent(PAGE)["guid"]
    settings.SECRET_KEY = "another installation's key"
    assert sent(PAGE)["guid"] != ours


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ({}, "all devices of the account"),
        ({"device_iden": DEVICE}, f"device {DEVICE}"),
        ({"email": "ana@acme.example"}, "ana@acme.example"),
        ({"channel_tag": "acme-ops"}, "channel acme-ops"),
    ],
)
def test_a_push_has_the_target_that_was_set(server: Receiver, target: dict[str, str], address: str) -> None:
    deliver(pushbullet(**target), PAGE)
    (call,) = server.accepted()
    assert target.items() <= call.json().items() and call.headers["access-token"] == TOKEN
    assert pushbullet(**target).address() == address


def test_two_targets_are_refused_when_it_is_saved() -> None:
    with pytest.raises(channels.InvalidSettings, match="one target"):
        channels.split("pushbullet", {"token": TOKEN, "email": "ana@acme.example", "device_iden": DEVICE})


def refusal_of(server: Receiver, code: int, headers: dict[str, str], body: bytes) -> DeliveryError:
    server.behave(EVERYWHERE, Answer(code, body, headers, accepted=code < 400))
    with pytest.raises(DeliveryError) as refusal:
        deliver(pushbullet(), PAGE)
    return refusal.value


def test_a_month_that_is_used_up_is_final_and_names_the_cure(server: Receiver) -> None:
    error = refusal_of(server, *refused(400, QUOTA, "Pushbullet Pro is required to make this call."))
    assert error.permanent and "Pushbullet Pro is required" in str(error) and CURES[QUOTA] in str(error)
    assert Pushbullet.per_month == 500 and "500" in Pushbullet.caveat


def test_a_wrong_token_and_a_wrong_device_name_the_cure(server: Receiver) -> None:
    wrong = refusal_of(server, *refused(401, "invalid_access_token", "Access token is missing or invalid."))
    assert wrong.permanent and "Access Tokens" in str(wrong)
    gone = refusal_of(
        server, *refused(400, "invalid_param", "The param 'device_iden' has an invalid value.", "device_iden")
    )
    assert gone.permanent and "not known to this account" in str(gone)


def test_a_rate_limit_is_waited_out_until_the_moment_it_names(server: Receiver) -> None:
    soon = {"X-Ratelimit-Reset": str(int(datetime.now(UTC).timestamp()) + 90)}
    error = refusal_of(server, 429, soon, refused(429, "ratelimited", "You have been ratelimited.")[2])
    assert error.retry_after is not None and 60 < error.retry_after <= 90 and not error.permanent
    assert refusal_of(server, 429, {"X-Ratelimit-Reset": "soon"}, b"{}").retry_after is None


def test_an_answer_that_is_not_pushbullets_may_have_been_sent(server: Receiver) -> None:
    assert refusal_of(server, 200, {}, b"<html>").ambiguous


def test_the_account_completes_a_channel() -> None:
    config, secrets = channels.split("pushbullet", {"email": "ana@acme.example"})
    row = {"type": "pushbullet", "config": config, "secrets": secrets}
    assert "No access token" in channels.build(row).ready()
    assert channels.build(row, {"token": TOKEN}).ready() == ""
