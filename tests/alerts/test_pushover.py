"""Does what is critical ring until somebody answers, does it stop when it must, and can the portal ask who answered?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.pushover import Pushover
from alerts.message import Link, Message
from portal.outbound.http import Phases, Response
from tests.alerts.letters import GATHERED, PAGE, RECOVERED, TEST, TRAPS, deliver, trapped
from tests.alerts.vendors import desk
from tests.alerts.vendors.pushover import LIMITS, RECEIPT, TOKEN, UNANSWERED, USER, VENDOR, refused
from tests.alerts.vendors.pushover import message as judged
from tests.rig.answers import Answer, status
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.once
KEY = "watchkeeper-0a1b2c3d4e-9"
MINE = replace(PAGE, key=KEY)
OVER = replace(RECOVERED, key=KEY, provider_id=RECEIPT)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with desk.at_work(VENDOR, monkeypatch) as server:
        yield server


def pushover(**more: Any) -> Pushover:
    channel = desk.built(VENDOR.setup(""), **more)
    assert isinstance(channel, Pushover)
    return channel


def sent(message: Message, **more: Any) -> dict[str, Any]:
    """The body of its request."""
    found = json.loads(pushover(**more).request(message).body or b"")
    assert isinstance(found, dict)
    return found


# --- the message -----------------------------------------------------------------------------------------------------
def test_a_page_says_what_where_why_with_one_link_to_press_and_the_others_in_the_text() -> None:
    said = sent(MINE)
    assert said["title"] == "■ [Down] Acme · shop — connection refused"
    assert (said["url"], said["url_title"]) == (PAGE.links[0].url, "Acknowledge")
    assert "Open alert: https://portal.example/alerts/9/" in said["message"] and said["message"].endswith("#K7Q")
    assert said["timestamp"] == int(PAGE.at.timestamp()) and "html" not in said


@pytest.mark.parametrize("trap", TRAPS)
def test_a_name_breaks_no_limit(trap: str) -> None:
    for base in (MINE, RECOVERED, GATHERED, TEST):
        assert judged(sent(trapped(trap, base)))[0] == 200


def test_many_long_links_leave_room_for_the_text() -> None:
    links = tuple(Link("open", f"Way {n}", f"https://portal.example/{n}/" + "a" * 300) for n in range(6))
    said = sent(replace(MINE, links=(*links, Link("report", "R", "https://portal.example/" + "b" * 600))))
    assert len(said["message"]) <= LIMITS["message"] and "connection refused" in said["message"]
    assert "b" * 600 not in str(said)


# --- how loud --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("message", "priority"),
    [
        (MINE, 2),
        (replace(MINE, kind="escalated"), 2),
        (replace(MINE, kind="exhausted"), 2),
        (replace(MINE, severity="warning"), 0),
        (replace(MINE, severity="info"), -1),
        (replace(MINE, kind="acknowledged"), -1),
        (RECOVERED, 0),
        (GATHERED, 1),
        (TEST, 0),
        (replace(TEST, kind="shift"), -1),
    ],
)
def test_the_priority_follows_what_it_is_about(message: Message, priority: int) -> None:
    said = sent(message)
    assert said["priority"] == priority
    assert ("retry" in said and "expire" in said) is (priority == 2)


def test_an_emergency_rings_as_it_is_set_and_carries_the_alerts_key() -> None:
    said = sent(MINE, retry_seconds=30, expire_seconds=10_800, sound="bike", critical_sound="siren", device="iphone")
    assert (said["retry"], said["expire"], said["tags"], said["sound"], said["device"]) == (
        30,
        10_800,
        KEY,
        "siren",
        "iphone",
    )
    assert sent(RECOVERED, sound="bike", critical_sound="siren")["sound"] == "bike"


def test_without_emergencies_critical_is_loud_once() -> None:
    said = sent(MINE, emergency=False)
    assert said["priority"] == 1 and "retry" not in said and "tags" not in said


# --- lifecycle -------------------------------------------------------------------------------------------------------
def test_the_receipt_is_remembered(server: Receiver) -> None:
    assert deliver(pushover(), MINE).provider_id == RECEIPT
    assert deliver(pushover(), replace(MINE, severity="warning")).provider_id == ""


@pytest.mark.parametrize("kind", ["recovered", "acknowledged"])
def test_the_ringing_stops_before_people_are_told(server: Receiver, kind: str) -> None:
    deliver(pushover(), replace(OVER, kind=kind))
    stop, news = server.accepted()
    assert stop.path == f"/1/receipts/cancel_by_tag/{KEY}.json" and stop.json() == {"token": TOKEN}
    assert news.path == "/1/messages.json" and news.json()["priority"] < 2


def test_where_the_tag_is_not_taken_the_receipt_is_cancelled(server: Receiver) -> None:
    server.behave(f"/1/receipts/cancel_by_tag/{KEY}.json", status(404, '{"status":0,"errors":["not found"]}'))
    deliver(pushover(), OVER)
    assert [call.path for call in server.accepted()] == [f"/1/receipts/{RECEIPT}/cancel.json", "/1/messages.json"]


def test_what_never_rang_is_not_cancelled(server: Receiver) -> None:
    deliver(pushover(), replace(OVER, provider_id=""))
    deliver(pushover(), replace(MINE, kind="reminder", provider_id=RECEIPT))
    assert {call.path for call in server.calls} == {"/1/messages.json"}


def test_trouble_with_stopping_is_tried_again_once_and_then_people_hear(server: Receiver) -> None:
    server.behave(f"/1/receipts/cancel_by_tag/{KEY}.json", status(502, "bad gateway"))
    with pytest.raises(DeliveryError, match="could not be stopped") as refusal:
        deliver(pushover(), OVER)
    assert not refusal.value.permanent and not refusal.value.ambiguous and not server.at("/1/messages.json")
    deliver(pushover(), replace(OVER, attempt=2))
    assert len(server.at("/1/messages.json")) == 1


# --- who answered ----------------------------------------------------------------------------------------------------
def state(**values: Any) -> Response:
    body = desk.said(200, {**UNANSWERED, **values})[2]
    return Response(200, [], body, False, Phases(), "127.0.0.1", "1.1", "http://x")


def test_the_question_names_the_receipt_and_the_application() -> None:
    request = pushover().ask(RECEIPT)
    assert request.method == "GET"
    assert request.url == f"https://api.pushover.net/1/receipts/{RECEIPT}.json?token={TOKEN}"
    for wrong in ("", "../messages", "r" * 31):
        with pytest.raises(ValueError):
            pushover().ask(wrong)


def test_it_tells_who_answered_and_when() -> None:
    assert pushover().answered(state()) == (False, "")
    pressed = state(
        acknowledged=1, acknowledged_at=1795271999, acknowledged_by=USER, acknowledged_by_device="anas-phone"
    )
    assert pushover().answered(pressed) == (True, "by anas-phone at 21 Nov 2026, 14:39:59 (UTC)")
    assert pushover().answered(state(acknowledged=1)) == (True, "on a phone")
    assert pushover().answered(state(expired=1)) == (False, "expired")
    assert pushover().answered(state(expired=1, acknowledged=1))[0], "an answer counts, whatever came after"


def test_a_receipt_that_is_not_known_is_never_asked_for_again(server: Receiver) -> None:
    unknown = desk.said(
        404, {"receipt": "not found", "errors": ["receipt not found; may be invalid or expired"], "status": 0}
    )
    answer = Response(404, [], unknown[2], False, Phases(), "127.0.0.1", "1.1", "http://x")
    with pytest.raises(DeliveryError, match="receipt not found") as refusal:
        pushover().answered(answer)
    assert refusal.value.permanent


# --- answers ---------------------------------------------------------------------------------------------------------
def refusal_of(server: Receiver, code: int, headers: dict[str, str], body: bytes) -> DeliveryError:
    server.behave(EVERYWHERE, Answer(code, body, headers, accepted=code < 400))
    with pytest.raises(DeliveryError) as refusal:
        deliver(pushover(), MINE)
    return refusal.value


@pytest.mark.parametrize(
    ("field", "sentence", "cure"),
    [
        ("user", "user identifier is not a valid user, group, or subscribed user key", "user or group key"),
        ("token", "application token is invalid", "application's token is wrong"),
        ("device", "device name is not valid for user", "device is not known"),
    ],
)
def test_a_refusal_is_final_and_names_the_cure(server: Receiver, field: str, sentence: str, cure: str) -> None:
    error = refusal_of(server, *refused([sentence], **{field: "invalid"}))
    assert error.permanent and error.code == 400 and sentence in str(error) and cure in str(error)


def test_a_month_that_is_used_up_is_final_and_says_so(server: Receiver) -> None:
    spent = {"X-Limit-App-Limit": "10000", "X-Limit-App-Remaining": "0", "X-Limit-App-Reset": "1796083200"}
    error = refusal_of(server, 429, spent, b'{"status":0,"errors":["message limit reached"]}')
    assert error.permanent and "10000 messages of this month are used up" in str(error)


def test_200_that_means_no(server: Receiver) -> None:
    error = refusal_of(server, 200, {}, b'{"status":0,"errors":["user is disabled"]}')
    assert error.permanent and "user is disabled" in str(error)
    assert refusal_of(server, 200, {}, b"<html>").ambiguous


# --- settings --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "data",
    [
        {"user": "ana@acme.example"},
        {"user": USER, "retry_seconds": 29},
        {"user": USER, "expire_seconds": 10_801},
        {"user": USER, "retry_seconds": 600, "expire_seconds": 300},
        {"user": USER, "token": "short"},
        {"user": USER, "sound": "../x"},
    ],
)
def test_a_wrong_setting_is_told_when_it_is_saved(data: dict[str, Any]) -> None:
    with pytest.raises(channels.InvalidSettings):
        channels.split("pushover", data)


def test_the_account_completes_the_channel_and_a_channels_own_token_wins() -> None:
    none = channels.build({"type": "pushover", "config": {}, "secrets": {"user": USER}})
    assert "provider settings of Pushover" in none.ready()
    assert pushover().ready() == "" and sent(MINE)["token"] == TOKEN
    assert sent(MINE, token="b" * 30)["token"] == "b" * 30
    assert USER not in pushover().address() and pushover(device="iphone").address() == f"key …{USER[-4:]}, iphone"
