"""Does Google Chat show it as typed, in the right colour and thread, and small enough?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.google_chat import CURES, GoogleChat, content_of
from alerts.channels.plain import as_json
from alerts.message import Line
from tests.alerts.letters import GATHERED, HOSTILE, PAGE, RECOVERED, TEST, TRAPS, deliver, trapped
from tests.alerts.vendors import desk
from tests.alerts.vendors.google_chat import BYTES, KEY, PATH, TOKEN, VENDOR, cards, refused, rendered
from tests.rig.answers import Answer
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.once
MINE = replace(PAGE, key="watchkeeper-0a1b2c3d4e-9")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with desk.at_work(VENDOR, monkeypatch) as server:
        yield server


def chat(server: Receiver, **more: Any) -> GoogleChat:
    channel = desk.built(VENDOR.setup(desk.base_of(server)), **more)
    assert isinstance(channel, GoogleChat)
    return channel


def widgets(content: dict[str, Any]) -> list[dict[str, Any]]:
    found = content["cardsV2"][0]["card"]["sections"][0]["widgets"]
    assert isinstance(found, list)
    return found


# --- the message -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("message", "colour"),
    [(PAGE, "#dc2626"), (replace(PAGE, severity="warning"), "#f59e0b"), (RECOVERED, "#16a34a"), (TEST, "#3b82f6")],
)
def test_the_first_line_has_the_severitys_colour(message: Any, colour: str) -> None:
    assert f'<font color="{colour}">' in widgets(content_of(message))[0]["textParagraph"]["text"]


def test_a_page_says_what_where_why_and_where_to_press() -> None:
    content = content_of(PAGE)
    assert content["fallbackText"] == "[Down] Acme · shop — connection refused"
    assert content["cardsV2"][0]["card"]["header"] == {"title": "■ Down", "subtitle": "#K7Q"}
    first, *rest = widgets(content)
    assert rendered(first["textParagraph"]["text"]) == "■ shop is down\nconnection refused"
    assert {"topLabel": "Client", "text": "Acme", "wrapText": True} in [w.get("decoratedText") for w in rest]
    pressed = rest[-1]["buttonList"]["buttons"]
    assert [(b["text"], b["onClick"]["openLink"]["url"]) for b in pressed] == [(x.label, x.url) for x in PAGE.links]


@pytest.mark.parametrize("trap", TRAPS)
def test_a_name_shows_as_typed_and_within_every_limit(trap: str) -> None:
    for base in (PAGE, RECOVERED, GATHERED, TEST):
        content = content_of(trapped(trap, base))
        cards(content["cardsV2"])
        assert len(as_json(content)) <= BYTES and "text" not in content, "`text` has markup without an escape"
    said = rendered(widgets(content_of(trapped(HOSTILE)))[0]["textParagraph"]["text"])
    assert f"{HOSTILE} is down" in said


def test_nothing_that_was_typed_stands_where_google_reads_no_escape() -> None:
    content = content_of(trapped("<b>&amp;"))
    labels = [w["decoratedText"].get("topLabel", "") for w in widgets(content) if "decoratedText" in w]
    assert not any(
        char in text for text in [*labels, *content["cardsV2"][0]["card"]["header"].values()] for char in "<>&"
    )


@pytest.mark.parametrize("char", ["x", "ü", "😀", "&"])
def test_a_storm_is_cut_to_what_google_takes_in_bytes(char: str) -> None:
    line = Line("critical", "down", char * 500, "Acme", char * 900, "https://portal.example/alerts/9/" + "a" * 300)
    content = content_of(replace(GATHERED, lines=(line,) * 300, more=5))
    cards(content["cardsV2"])
    assert len(as_json(content)) <= BYTES
    shown = sum("decoratedText" in widget for widget in widgets(content))
    assert shown >= 5 and f"and {305 - shown} more" in str(content)
    assert all(link.url in str(content) for link in GATHERED.links)


# --- where it goes ---------------------------------------------------------------------------------------------------
def test_everything_about_an_alert_is_one_thread_and_every_try_one_request(server: Receiver) -> None:
    for message in (MINE, replace(MINE, attempt=2), replace(MINE, kind="recovered", delivery_id=42)):
        deliver(chat(server), message)
    first, again, over = server.accepted()
    assert first.json()["thread"] == over.json()["thread"] == {"threadKey": MINE.key}
    assert first.query["messageReplyOption"] == ["REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"]
    assert first.query["requestId"] == again.query["requestId"] != over.query["requestId"]
    assert first.query["key"] == [KEY] and "threadKey" not in first.query


def test_an_address_copied_from_an_example_says_nothing_twice(server: Receiver) -> None:
    url = f"{desk.base_of(server)}{PATH}?messageReplyOption=REPLY_MESSAGE_OR_FAIL&key={KEY}&token={TOKEN}&threadKey=x"
    deliver(chat(server, url=url), MINE)
    (call,) = server.accepted()
    assert (
        call.query["messageReplyOption"] == ["REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"] and "threadKey" not in call.query
    )
    assert f"token={TOKEN}" in call.target, "a key is sent as it was written"


def test_a_message_without_an_alert_and_a_channel_without_threads_stand_alone(server: Receiver) -> None:
    deliver(chat(server), TEST)
    deliver(chat(server, threads=False), MINE)
    assert all("thread" not in call.json() and "messageReplyOption" not in call.query for call in server.accepted())


def test_another_installation_names_its_requests_differently(server: Receiver, settings: Any) -> None:
    deliver(chat(server), MINE)
    settings.SECRET_KEY = "another installation's key"
    deliver(chat(server), MINE)
    ours, theirs = server.accepted()
    assert ours.query["requestId"] != theirs.query["requestId"]


# --- answers ---------------------------------------------------------------------------------------------------------
def refusal_of(server: Receiver, code: int, headers: dict[str, str], body: bytes) -> DeliveryError:
    server.behave(EVERYWHERE, Answer(code, body, headers, accepted=code < 400))
    with pytest.raises(DeliveryError) as refusal:
        deliver(chat(server), MINE)
    return refusal.value


@pytest.mark.parametrize(
    ("code", "name"),
    [(400, "INVALID_ARGUMENT"), (401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED"), (404, "NOT_FOUND")],
)
def test_a_refusal_is_final_and_names_the_cure(server: Receiver, code: int, name: str) -> None:
    error = refusal_of(server, *refused(code, name, "The caller may not"))
    assert error.permanent and error.code == code
    assert name in str(error) and "The caller may not" in str(error) and CURES[name] in str(error)


def test_the_longer_of_two_hints_is_waited_out(server: Receiver) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12.5s"}
    exhausted = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded", "details": [info]}
    error = refusal_of(server, *desk.said(429, {"error": exhausted}, retry_after="3"))
    assert error.retry_after == 12.5 and not error.permanent and not error.ambiguous


def test_an_answer_that_is_not_googles_may_have_been_posted(server: Receiver) -> None:
    assert refusal_of(server, 200, {}, b"<html>").ambiguous


# --- settings --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "url",
    [
        f"http://chat.googleapis.com{PATH}?key={KEY}&token={TOKEN}",
        f"https://chat.googleapis.com{PATH}",
        f"https://chat.googleapis.com{PATH}?key={KEY}",
        "https://chat.google.com/room/AAAAabcdefg",
    ],
)
def test_half_an_address_is_told_when_it_is_saved(url: str) -> None:
    with pytest.raises(channels.InvalidSettings):
        channels.split("google_chat", {"url": url})


def test_the_address_is_shown_without_its_keys(server: Receiver) -> None:
    shown = chat(server).address()
    assert KEY not in shown and TOKEN not in shown and shown.endswith("/…")
