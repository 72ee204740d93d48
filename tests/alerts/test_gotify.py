"""Does a Gotify server get it with markdown off, as loud as it should be, and does its refusal name the cure?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.gotify import content_of
from alerts.message import Message
from tests.alerts.letters import GATHERED, PAGE, RECOVERED, deliver, trapped
from tests.alerts.vendors.desk import at_work, base_of, built
from tests.alerts.vendors.gotify import TOKEN, VENDOR
from tests.rig import answers
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.once


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with at_work(VENDOR, monkeypatch) as found:
        yield found


def gotify(server: Receiver, **more: Any) -> Any:
    return built(VENDOR.setup(base_of(server)), **more)


def test_it_says_what_where_and_why_in_plain_text_with_its_links() -> None:
    said = content_of(PAGE)
    assert said["title"] == "[Down] Acme · shop — connection refused"
    assert said["extras"]["client::display"] == {"contentType": "text/plain"}
    assert said["extras"]["client::notification"]["click"]["url"] == "https://portal.example/alerts/9/"
    for link in PAGE.links:
        assert f"{link.label}: {link.url}" in said["message"]


@pytest.mark.parametrize(
    ("message", "priority"),
    [(PAGE, 8), (replace(PAGE, severity="warning"), 5), (replace(PAGE, severity="info"), 4)]
    + [(RECOVERED, 4), (replace(PAGE, kind="acknowledged"), 2)],
)
def test_priority_follows_what_it_is(message: Message, priority: int) -> None:
    assert content_of(message)["priority"] == priority


def test_a_long_text_is_cut_and_the_links_and_the_reference_stay() -> None:
    said = content_of(replace(trapped("ü" * 20_000), attempt=2))
    assert len(said["message"]) <= 6000 and len(said["title"]) <= 200
    assert said["message"].endswith("#K7Q (repeat)") and PAGE.links[0].url in said["message"]


def test_a_gathered_message_has_a_line_for_each() -> None:
    assert "■ Down  Acme · shop — connection refused" in content_of(GATHERED)["message"]


def test_the_server_takes_it_and_its_number_is_kept(server: Receiver) -> None:
    receipt = deliver(gotify(server), PAGE)
    assert receipt.provider_id == "25" and server.accepted("/message")[0].headers["x-gotify-key"] == TOKEN


def test_an_address_copied_with_path_and_token_works_and_is_kept_secret(server: Receiver) -> None:
    url = f"{base_of(server)}/message?token={TOKEN}"
    channel = gotify(server, url=url, token=None)
    deliver(channel, PAGE)
    assert server.accepted("/message") and TOKEN not in channel.address()
    assert channels.split("gotify", {"url": url}) == ({}, {"url": url})


def test_a_wrong_token_is_final_and_names_the_cure(server: Receiver) -> None:
    with pytest.raises(DeliveryError, match="application's token") as refusal:
        deliver(gotify(server, token="CnotAnAppToken"), PAGE)
    assert refusal.value.permanent and "you need to provide a valid access token" in str(refusal.value)


def test_a_page_of_something_else_is_no_delivery(server: Receiver) -> None:
    server.behave(EVERYWHERE, answers.ok("<html>hello</html>"))
    with pytest.raises(DeliveryError, match="not Gotify's answer") as refusal:
        deliver(gotify(server), PAGE)
    assert refusal.value.ambiguous


def test_without_a_token_it_says_what_to_do() -> None:
    channel = channels.build({"type": "gotify", "config": {"url": "https://gotify.example.com"}, "secrets": {}})
    assert "No application token" in channel.ready()
    for data in ({"url": "https://gotify.example.com/?x=1"}, {"url": "https://gotify.example.com", "token": "a b"}):
        with pytest.raises(channels.InvalidSettings):
            channels.split("gotify", data)
