"""Does Discord show it as typed, in the right colour, once, and is the first message brought up to date?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.discord import CURES, Discord, brief, content_of, escape, fit, units
from alerts.message import Line, Link
from tests.alerts.letters import GATHERED, HOSTILE, PAGE, RECOVERED, TRAPS, deliver, trapped
from tests.alerts.vendors import desk
from tests.alerts.vendors.discord import CHANNEL, MESSAGE, PATH, POST, TOKEN, VENDOR, rendered
from tests.alerts.vendors.discord import answer as judged
from tests.rig.answers import Answer, status
from tests.rig.calls import Call
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.once
TOLD = f"{CHANNEL}:{MESSAGE}"
MINE = replace(PAGE, key="watchkeeper-0a1b2c3d4e-9")
OVER = replace(RECOVERED, key=MINE.key, provider_id=TOLD)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with desk.at_work(VENDOR, monkeypatch) as server:
        yield server


def discord(server: Receiver, **more: Any) -> Discord:
    channel = desk.built(VENDOR.setup(desk.base_of(server)), **more)
    assert isinstance(channel, Discord)
    return channel


def fails(server: Receiver, code: int, body: dict[str, Any] | None = None, **headers: str) -> None:
    """From now on Discord says that to everything."""
    _, named, text = desk.said(code, body or {}, **headers)
    server.behave(EVERYWHERE, Answer(code, text, named, accepted=code < 400))


# --- the message -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("message", "colour"),
    [(PAGE, 0xDC2626), (replace(PAGE, severity="warning"), 0xF59E0B), (RECOVERED, 0x16A34A), (GATHERED, 0xDC2626)],
)
def test_the_border_has_the_severitys_colour(message: Any, colour: int) -> None:
    assert content_of(message)["embeds"][0]["color"] == colour


def test_a_page_has_its_cause_its_facts_its_links_and_calls_nobody() -> None:
    content = content_of(PAGE)
    assert rendered(content["content"]) == "■ [Down] Acme · shop — connection refused"
    assert content["allowed_mentions"] == {"parse": []}
    (embed,) = content["embeds"]
    assert rendered(embed["title"]) == "shop is down" and embed["footer"] == {"text": "#K7Q"}
    assert "[Acknowledge](<https://portal.example/alerts/9/#acknowledge>)" in embed["description"]
    assert ("Client", "Acme") in [(field["name"], field["value"]) for field in embed["fields"]]
    assert "For" in [field["name"] for field in embed["fields"]]


@pytest.mark.parametrize("trap", TRAPS)
def test_a_name_shows_as_typed_and_within_every_limit(trap: str) -> None:
    for base in (PAGE, RECOVERED, GATHERED):
        message = trapped(trap, base)
        assert judged(posted(content_of(message)))[0] == 200
        assert judged(posted(brief(message)))[0] == 200


def posted(content: dict[str, Any]) -> Call:
    headers = {"content-type": "application/json"}
    return Call(0, 0, "POST", f"{PATH}?wait=true", headers, desk.said(200, content)[2], True)


def test_every_markup_of_discords_is_only_characters() -> None:
    typed = "# *a* _b_ ~~c~~ `d` ||e|| > - 1. <@123456> @everyone [x](http://evil) https://evil.example :smile: \\"
    assert rendered(escape(typed)) == typed
    shown = rendered(content_of(trapped(HOSTILE))["embeds"][0]["title"])
    assert shown == f"{HOSTILE} is down"


@pytest.mark.parametrize(("char", "cost"), [("x", 1), ("ü", 1), ("😀", 2), ("*", 2)])
def test_cutting_counts_what_discord_counts(char: str, cost: int) -> None:
    whole = char * (100 // cost)
    assert fit(whole, 100) == escape(whole) and units(fit(whole, 100)) == 100
    assert fit(whole + char, 100).endswith("…") and units(fit(whole + char, 100)) <= 100


def test_a_link_that_could_break_out_stands_alone_and_an_endless_one_is_left_out() -> None:
    links = (Link("open", "Open", "https://x.example/a)b"), Link("report", "R", "https://x.example/" + "a" * 700))
    said = content_of(replace(PAGE, links=links))["embeds"][0]["description"]
    assert said.endswith("\n\nhttps://x.example/a)b")


def test_a_gathered_message_has_a_line_and_a_link_for_each_and_counts_the_rest() -> None:
    said = rendered(content_of(GATHERED)["embeds"][0]["description"]).splitlines()
    assert said[0] == "■ Down  Acme · shop — connection refused Open https://portal.example/alerts/9/"
    assert said[2] == "● Recovered  Acme · mail Open https://portal.example/alerts/11/" and said[3] == "and 20 more"
    line = Line("critical", "down", "*" * 500, "Acme", "😀" * 900, "https://portal.example/alerts/9/")
    many = content_of(replace(GATHERED, lines=(line,) * 300, more=0))
    assert judged(posted(many))[0] == 200 and "more" in many["embeds"][0]["description"]


# --- lifecycle -------------------------------------------------------------------------------------------------------
def test_what_was_posted_is_remembered(server: Receiver) -> None:
    receipt = deliver(discord(server), MINE)
    (call,) = server.accepted()
    assert call.query == {"wait": ["true"]} and receipt.provider_id == TOLD


@pytest.mark.parametrize("kind", ["recovered", "acknowledged"])
def test_the_first_message_changes_and_a_short_one_tells_people(server: Receiver, kind: str) -> None:
    deliver(discord(server), replace(OVER, kind=kind, links=PAGE.links))
    change, news = server.accepted()
    assert (change.method, change.path) == ("PATCH", f"{PATH}/messages/{MESSAGE}")
    assert change.json()["embeds"] and "Acknowledge]" not in str(change.json()), "nobody is asked any more"
    assert news.method == "POST" and "embeds" not in news.json()
    assert len(rendered(news.json()["content"]).splitlines()) == 2


def test_a_first_message_that_is_gone_keeps_nobody_from_hearing(server: Receiver) -> None:
    deliver(discord(server), replace(OVER, provider_id=f"{CHANNEL}:999"))
    assert [call.method for call in server.accepted()] == ["POST"]


def test_trouble_with_the_change_is_tried_again_once_and_then_people_hear(server: Receiver) -> None:
    server.behave(f"{PATH}/messages/{MESSAGE}", status(502, "bad gateway"))
    with pytest.raises(DeliveryError, match="could not be changed") as refusal:
        deliver(discord(server), OVER)
    assert not refusal.value.permanent and not refusal.value.ambiguous and not server.at(PATH)
    deliver(discord(server), replace(OVER, attempt=2))
    assert len(server.at(PATH)) == 1


def test_a_reminder_is_a_message_of_its_own(server: Receiver) -> None:
    deliver(discord(server), replace(MINE, kind="reminder", provider_id=TOLD))
    (call,) = server.calls
    assert call.method == "POST" and call.json()["embeds"]


def test_in_a_forum_an_alert_is_a_post_and_stays_in_it(server: Receiver) -> None:
    forum = discord(server, forum=True)
    receipt = deliver(forum, MINE)
    assert server.calls[0].json()["thread_name"] == "[Down] Acme · shop — connection refused"
    assert receipt.provider_id == f"{POST}:{POST}"
    deliver(forum, replace(OVER, provider_id=receipt.provider_id))
    assert [call.query["thread_id"] for call in server.calls[1:]] == [[POST], [POST]]
    assert "thread_name" not in server.calls[-1].json()


def test_a_thread_is_named_in_every_request(server: Receiver) -> None:
    deliver(discord(server, thread_id="77"), OVER)
    assert all(call.query["thread_id"] == ["77"] for call in server.calls)


# --- answers ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("code", "number", "sentence"),
    [(404, 10015, "Unknown Webhook"), (401, 50027, "Invalid Webhook Token"), (400, 220001, "Webhooks posted to forum")]
    + [(403, 50013, "Missing Permissions"), (404, 10003, "Unknown Channel")],
)
def test_a_refusal_is_final_and_names_the_cure(server: Receiver, code: int, number: int, sentence: str) -> None:
    fails(server, code, {"message": sentence, "code": number})
    with pytest.raises(DeliveryError) as refusal:
        deliver(discord(server), MINE)
    assert refusal.value.permanent and refusal.value.code == code
    assert sentence in str(refusal.value) and CURES[number] in str(refusal.value)


def test_a_broken_limit_says_which(server: Receiver) -> None:
    wrong = {"embeds": {"0": {"title": {"_errors": [{"code": "X", "message": "Must be 256 or fewer in length."}]}}}}
    fails(server, 400, {"message": "Invalid Form Body", "code": 50035, "errors": wrong})
    with pytest.raises(DeliveryError, match="embeds.0.title: Must be 256"):
        deliver(discord(server), MINE)


@pytest.mark.parametrize(("header", "hint", "wait"), [("7", 6.4, 7.0), ("1", 12.5, 12.5)])
def test_a_rate_limit_is_waited_out_as_the_longer_hint_says(
    server: Receiver, header: str, hint: float, wait: float
) -> None:
    fails(server, 429, {"message": "You are being rate limited.", "retry_after": hint}, retry_after=header)
    with pytest.raises(DeliveryError) as refusal:
        deliver(discord(server), MINE)
    assert refusal.value.retry_after == wait and not refusal.value.permanent and not refusal.value.ambiguous


def test_an_answer_that_is_not_discords_may_have_been_posted(server: Receiver) -> None:
    fails(server, 200, {"hello": 1})
    with pytest.raises(DeliveryError) as refusal:
        deliver(discord(server), MINE)
    assert refusal.value.ambiguous


# --- settings --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"url": f"http://discord.com{PATH}"}, "https://"),
        ({"url": f"https://discord.com{PATH}/slack"}, "copy it from Discord"),
        ({"url": f"https://discord.com{PATH}?wait=true"}, "Leave out"),
        ({"url": "https://discord.com/channels/1/2"}, "copy it from Discord"),
        ({"url": f"https://discord.com{PATH}", "thread_id": "general"}, "digits only"),
        ({"url": f"https://discord.com{PATH}", "thread_id": "1", "forum": True}, "not both"),
    ],
)
def test_a_wrong_setting_is_told_when_it_is_saved(data: dict[str, Any], said: str) -> None:
    with pytest.raises(channels.InvalidSettings, match=said):
        channels.split("discord", data)


def test_the_address_is_shown_without_the_token(server: Receiver) -> None:
    assert TOKEN not in discord(server).address() and discord(server).address().endswith("/…")
