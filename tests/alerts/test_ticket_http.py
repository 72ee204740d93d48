"""Does any ticket system get the requests that were described, filled in without changing their form?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.ticket_http import NAMES, at_path, filled, number_of, values_of
from alerts.channels.tickets import id_of, named
from tests.alerts.letters import PAGE, RECOVERED, TEST, deliver, trapped
from tests.alerts.vendors.desk import at_work, base_of, built
from tests.alerts.vendors.ticket_http import VENDOR
from tests.rig import answers
from tests.rig.receiver import Receiver

pytestmark = pytest.mark.once
NAMED = replace(PAGE, key="watchkeeper-0a1b2c3d4e-9")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with at_work(VENDOR, monkeypatch) as found:
        yield found


def by_ticket(server: Receiver, **more: Any) -> Any:
    """A system whose addresses hold the ticket's id."""
    base = base_of(server)
    urls = {
        "comment_url": f"{base}/api/tickets/{{{{ticket}}}}/comments",
        "close_url": f"{base}/api/tickets/{{{{ticket}}}}",
    }
    return built(VENDOR.setup(base), **{**urls, **more})


# --- the life of a ticket --------------------------------------------------------------------------------------------
def test_open_comment_close(server: Receiver) -> None:
    channel = by_ticket(server)
    receipt = deliver(channel, NAMED)
    assert receipt.provider_id == "4711|T-4711" and number_of(receipt.provider_id) == "T-4711"
    for message in (replace(NAMED, kind="acknowledged"), RECOVERED):
        told = deliver(channel, replace(message, provider_id=receipt.provider_id))
        assert told.provider_id == receipt.provider_id
    assert [f"{call.method} {call.path}" for call in server.accepted()] == [
        "POST /api/tickets", "POST /api/tickets/4711/comments", "PATCH /api/tickets/4711",
    ]  # fmt: skip
    assert server.calls[0].json()["title"] == "[Down] Acme · shop — connection refused"
    assert server.calls[0].headers["idempotency-key"] == "watchkeeper-open-41"


def test_what_stands_in_an_address_is_quoted(server: Receiver) -> None:
    channel = by_ticket(server, comment_url=f"{base_of(server)}/api/tickets/{{{{number}}}}/comments")
    deliver(channel, replace(NAMED, kind="raised", provider_id="4711|T/../1?x=1#y é"))
    assert server.calls[0].target == "/api/tickets/T%2F..%2F1%3Fx%3D1%23y%20%C3%A9/comments"


def test_a_reminder_asks_nothing(server: Receiver) -> None:
    deliver(by_ticket(server), replace(NAMED, kind="reminder", provider_id="4711"))
    assert not server.calls


def test_a_recovery_without_a_ticket_has_nothing_to_close(server: Receiver) -> None:
    assert "nothing to do" in deliver(by_ticket(server), RECOVERED).answer and not server.calls


def test_an_address_by_our_own_key_needs_no_ticket(server: Receiver) -> None:
    deliver(built(VENDOR.setup(base_of(server))), replace(RECOVERED, key=NAMED.key))
    assert server.accepted()[0].path == f"/api/tickets/{NAMED.key}"


def test_without_an_address_that_closes_a_recovery_is_a_comment(server: Receiver) -> None:
    deliver(by_ticket(server, close_url=None), replace(RECOVERED, provider_id="4711"))
    assert [call.path for call in server.accepted()] == ["/api/tickets/4711/comments"]


def test_a_test_is_opened_and_closed_at_once(server: Receiver) -> None:
    deliver(by_ticket(server), TEST)
    assert [call.method for call in server.accepted()] == ["POST", "PATCH"]


def test_a_ticket_without_an_id_in_the_answer_is_told_and_nothing_opens_another(server: Receiver) -> None:
    channel = by_ticket(server, id_path="nowhere.at.all")
    receipt = deliver(channel, NAMED)
    assert receipt.provider_id == NAMED.key and "names no ticket" in receipt.answer
    deliver(channel, replace(NAMED, kind="raised", provider_id=receipt.provider_id))
    assert len(server.at("/api/tickets")) == 1


def test_a_ticket_that_is_gone_is_no_fault(server: Receiver) -> None:
    server.behave("/api/tickets/4711/comments", answers.status(404, '{"message": "No such ticket"}'))
    assert "is gone" in deliver(by_ticket(server), replace(NAMED, kind="raised", provider_id="4711")).answer


def test_a_refusal_is_told_in_their_words(server: Receiver) -> None:
    with pytest.raises(DeliveryError, match="Who are you.*Authorization header") as refusal:
        deliver(by_ticket(server, authorization="Bearer wrong-wrong"), NAMED)
    assert refusal.value.permanent and "wrong-wrong" not in str(refusal.value)


# --- filling in ------------------------------------------------------------------------------------------------------
TEMPLATE = '{"a": "{{title}}", "{{title}}": 1, "n": "{{alert_id}}", "l": ["{{ key }} and {{key}}", true, null], "m": "#{{alert_id}}"}'


def test_names_are_filled_into_texts_only_and_numbers_stay_numbers() -> None:
    found = filled(json.loads(TEMPLATE), values_of(NAMED, "open"))
    assert found == {
        "a": "shop is down", "{{title}}": 1, "n": 9, "l": [f"{NAMED.key} and {NAMED.key}", True, None], "m": "#9",
    }  # fmt: skip


@pytest.mark.parametrize("trap", ['", "admin": true, "x": "', "{{key}}", "\\u0022", "{{title}}{{title}}"])
def test_a_name_cannot_change_the_form_of_the_request(server: Receiver, trap: str) -> None:
    body = '{"title": "{{monitor}}", "external_id": "{{key}}"}'
    deliver(by_ticket(server, body=body), replace(trapped(trap), key=NAMED.key))
    assert server.accepted()[0].json() == {"title": trap, "external_id": NAMED.key}


def test_every_known_name_stands_for_something() -> None:
    assert set(values_of(NAMED, "open", "4711")) == set(NAMES)


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [({"data": {"id": 7}}, "data.id", 7), ([{"id": "x"}], "0.id", "x"), ({"id": True}, "id", None)]
    + [({"id": {"a": 1}}, "id", None), (None, "id", None), ({"id": 1}, "id.more", None), ([1], "5", None)],
)
def test_the_id_is_found_where_it_is_said_to_be(value: Any, path: str, found: Any) -> None:
    assert at_path(value, path) == found


@pytest.mark.parametrize(
    ("id_", "number", "kept"),
    [
        (7, "", "7"),
        ("7", "7", "7"),
        (7, "T-7", "7|T-7"),
        ("", "T-7", ""),
        (None, "", ""),
        ("..", "", ""),
        ("a/b", "", ""),
    ]
    + [("x" * 200, "", ""), (7, "a|b", "7")],
)
def test_an_id_that_could_lead_elsewhere_is_not_kept(id_: Any, number: str, kept: str) -> None:
    assert named(id_, number) == kept and id_of(kept) == kept.partition("|")[0]


# --- settings --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"body": '{"a": {{title}}}'}, "It is not JSON"),
        ({"body": '"text"'}, "object or list"),
        ({"body": '{"a": "{{password}}"}'}, "There is no {{password}}"),
        ({"body": "[" * 30 + "]" * 30}, "at most 20 deep"),
        ({"close_url": "https://{{ticket}}.example/"}, ""),
        ({"close_url": "https://t.example/{{title}}"}, "In an address stand only"),
        ({"close_url": "ftp://t.example/{{ticket}}"}, ""),
        ({"close_url": "https://t.example/{{ticket}}", "id_path": ""}, "say where the id is"),
        ({"id_path": "a..b"}, ""),
        ({"headers": {"Authorization": "x"}}, "field of its own"),
        ({"headers": {"X-Key": "a\r\nb"}}, "one line"),
    ],
)
def test_settings_that_cannot_work_are_refused(data: dict[str, Any], said: str) -> None:
    with pytest.raises(channels.InvalidSettings, match=said or None):
        channels.split("ticket_http", {"url": "https://t.example/", **data})


def test_every_typed_address_is_guarded_and_one_with_a_query_is_kept_secret() -> None:
    data = {
        "url": "https://a.example/?key=s3cr3t",
        "comment_url": "https://b.example/{{ticket}}",
        "close_url": "https://c.example/{{ticket}}",
    }
    config: Any = channels.parse("ticket_http", data)
    assert config.reaches() == ("https://a.example/?key=s3cr3t", "https://b.example/1", "https://c.example/1")
    plain, secrets = channels.split("ticket_http", data)
    assert set(secrets) == {"url"} and set(plain) == {"comment_url", "close_url"}
    assert "s3cr3t" not in channels.build({"type": "ticket_http", "config": plain, "secrets": secrets}).address()
