"""Does ntfy show it as typed, loud enough, in place of the one before, and never as a file?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.ntfy import content_of, priority_of
from alerts.message import Link, Message
from tests.alerts.letters import GATHERED, HOSTILE, PAGE, RECOVERED, TEST, deliver, trapped
from tests.alerts.vendors.desk import at_work, base_of, built
from tests.alerts.vendors.ntfy import TOKEN, TOPIC, VENDOR, refused
from tests.rig import answers
from tests.rig.answers import Answer
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.once
NAMED = replace(PAGE, key="watchkeeper-0a1b2c3d4e-9")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with at_work(VENDOR, monkeypatch) as found:
        yield found


def ntfy(server: Receiver, **more: Any) -> Any:
    return built(VENDOR.setup(base_of(server)), **more)


def content(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(content_of(message, TOPIC))
    return found


# --- the message -----------------------------------------------------------------------------------------------------
def test_a_page_says_what_where_and_why_with_buttons_that_only_open_pages() -> None:
    said = content(NAMED)
    assert said["title"] == "[Down] Acme · shop — connection refused" and said["topic"] == TOPIC
    assert "connection refused" in said["message"] and "Client: Acme" in said["message"] and "#K7Q" in said["message"]
    assert [(a["action"], a["label"], a["url"]) for a in said["actions"]] == [
        ("view", link.label, link.url) for link in PAGE.links
    ]
    assert said["click"] == "https://portal.example/alerts/9/" and "markdown" not in said


@pytest.mark.parametrize(
    ("message", "priority", "tag"),
    [
        (NAMED, 5, "red_circle"),
        (replace(NAMED, severity="warning"), 4, "warning"),
        (replace(NAMED, severity="info"), 3, "information_source"),
        (replace(NAMED, kind="acknowledged"), 2, "red_circle"),
        (RECOVERED, 3, "green_circle"),
        (TEST, 3, "information_source"),
    ],
)
def test_priority_and_colour_follow_what_it_is(message: Message, priority: int, tag: str) -> None:
    assert priority_of(message) == priority and content(message)["tags"] == [tag]


def test_the_next_message_of_an_alert_replaces_the_first() -> None:
    assert content(NAMED)["sequence_id"] == content(replace(RECOVERED, key=NAMED.key))["sequence_id"] == NAMED.key
    assert content(GATHERED)["sequence_id"] == "watchkeeper-delivery-44"
    assert "sequence_id" not in content(replace(PAGE, key="not a sequence"))


def test_a_name_shows_as_typed() -> None:
    said = content(trapped(HOSTILE))
    assert f"Acme · {HOSTILE}" not in said["title"] and HOSTILE in said["title"] and HOSTILE in said["message"]


def test_a_gathered_message_has_a_line_for_each() -> None:
    said = content(GATHERED)
    assert "■ Down  Acme · shop — connection refused" in said["message"]
    assert "● Recovered  Acme · mail" in said["message"] and "and 20 more" in said["message"]


@pytest.mark.parametrize("long", ["x" * 9000, "ü" * 9000, "😀" * 9000, '"' * 9000, "\\" * 9000])
def test_it_never_becomes_a_file_and_the_links_stay(long: str) -> None:
    facts = tuple((str(n), long[:600]) for n in range(30))
    whole = content_of(replace(trapped(long, NAMED), facts=facts), TOPIC)
    said = json.loads(whole)
    assert len(whole) <= 8192 and 0 < len(said["message"].encode()) <= 4096
    assert "#K7Q" in said["message"] and [a["url"] for a in said["actions"]] == [link.url for link in PAGE.links]


def test_at_the_limit_nothing_is_cut() -> None:
    empty = len(content(replace(NAMED, facts=(("A", ""),)))["message"].encode())
    room = 4096 - empty - len("\nA: ")
    assert "…" not in content(replace(NAMED, facts=(("A", "x" * room),)))["message"]
    assert "…" in content(replace(NAMED, facts=(("A", "x" * (room + 1)),)))["message"]


def test_at_most_three_buttons_and_none_that_does_not_fit() -> None:
    links = tuple(Link("open", f"L{n}", f"https://portal.example/{n}") for n in range(6))
    assert len(content(replace(NAMED, links=links))["actions"]) == 3
    evil = (Link("open", "x", "javascript:x"), Link("report", "y", "https://portal.example/" + "a" * 2000))
    assert content(replace(NAMED, links=evil))["actions"] == []


# --- over the wire ---------------------------------------------------------------------------------------------------
def test_it_is_published_to_the_servers_root_with_the_token(server: Receiver) -> None:
    receipt = deliver(ntfy(server), NAMED)
    (call,) = server.accepted("/")
    assert receipt.provider_id == "hwQ2YpKdmg" and call.json()["topic"] == TOPIC
    assert call.headers["authorization"] == f"Bearer {TOKEN}"


def test_a_server_below_a_path_and_a_user_work_too(server: Receiver) -> None:
    url = server.behave("/push/", answers.ok_json({"id": "x1", "event": "message"})).rstrip("/")
    deliver(ntfy(server, url=f"{url}/{TOPIC}", token=None, user="phil", password="hunter2-hunter2"), NAMED)
    assert server.calls[0].path == "/push/" and server.calls[0].headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("number", "status", "cure"), [(40101, 401, "Check the access token"), (40301, 403, "needs a token")]
)
def test_a_refusal_names_the_cure(server: Receiver, number: int, status: int, cure: str) -> None:
    code, headers, body = refused(number, status, "forbidden")
    server.behave(EVERYWHERE, Answer(code, body, headers, accepted=False))
    with pytest.raises(DeliveryError, match=cure) as refusal:
        deliver(ntfy(server), NAMED)
    assert refusal.value.permanent and TOPIC not in str(refusal.value)


def test_the_days_quota_is_told_and_tried_again(server: Receiver) -> None:
    code, headers, body = refused(42908, 429, "limit reached: too many messages")
    server.behave(EVERYWHERE, Answer(code, body, headers, accepted=False))
    with pytest.raises(DeliveryError, match="messages are used up") as refusal:
        deliver(ntfy(server), NAMED)
    assert not refusal.value.permanent


# --- settings --------------------------------------------------------------------------------------------------------
def test_the_topic_is_a_secret_and_the_server_is_guarded() -> None:
    url = f"https://ntfy.example.com/{TOPIC}"
    config, secrets = channels.split("ntfy", {"url": url})
    assert config == {} and secrets == {"url": url}
    channel = channels.build({"type": "ntfy", "config": config, "secrets": secrets})
    assert TOPIC not in channel.address() and channel.config.reaches() == (url,)


@pytest.mark.parametrize(
    "data",
    [
        {"url": "https://ntfy.sh/"},
        {"url": "https://ntfy.sh/topic?auth=x"},
        {"url": "https://ntfy.sh/a b"},
        {"url": f"https://ntfy.sh/{'x' * 65}"},
        {"url": "https://ntfy.sh/t", "token": "tk_1", "user": "a", "password": "b"},
        {"url": "https://ntfy.sh/t", "user": "a"},
        {"url": "https://ntfy.sh/t", "token": "a\r\nX: y"},
    ],
)
def test_settings_that_cannot_work_are_refused(data: dict[str, str]) -> None:
    with pytest.raises(channels.InvalidSettings):
        channels.split("ntfy", data)
