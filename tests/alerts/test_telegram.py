"""Does Telegram show it as typed, does Acknowledge work where it can, and does the button go when somebody has taken it?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.telegram import Telegram, TelegramBot, content_of, escape, fit
from alerts.message import Line, Link, Message
from tests.alerts.letters import GATHERED, HOSTILE, PAGE, RECOVERED, TEST, TRAPS, deliver, trapped
from tests.alerts.vendors import desk
from tests.alerts.vendors.telegram import CHAT, MESSAGE, TOKEN, VENDOR, fault, refused, shown
from tests.rig.answers import Answer, status
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.once
TOLD = f"{CHAT}:{MESSAGE}"
MINE = replace(PAGE, key="watchkeeper-0a1b2c3d4e-9", acknowledge_token="41.c2lnbmF0dXJlMTIzNDU2Nzg")
OVER = replace(RECOVERED, key=MINE.key, provider_id=TOLD)
HEARING = {"bot_token": TOKEN, "webhook_secret": "a-secret-of-the-webhook"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with desk.at_work(VENDOR, monkeypatch) as server:
        yield server


def telegram(provider: dict[str, Any] | None = None, **more: Any) -> Telegram:
    setup = replace(VENDOR.setup(""), provider=provider or {})
    channel = desk.built(setup, **({"bot_token": None} if provider else {}), **more)
    assert isinstance(channel, Telegram)
    return channel


def pressed(content: dict[str, Any]) -> list[list[tuple[str, str]]]:
    """(text, url or callback data) of the buttons, row by row."""
    keyboard = content["reply_markup"]["inline_keyboard"]
    return [[(b["text"], b.get("url") or b["callback_data"]) for b in row] for row in keyboard]


# --- the message -----------------------------------------------------------------------------------------------------
def test_a_page_says_what_where_why_and_the_facts() -> None:
    content = content_of(PAGE, hears=False)
    lines = shown(content["text"]).splitlines()
    assert lines[0] == "■ [Down] Acme · shop — connection refused"
    assert "Client: Acme" in lines and lines[-1] == "#K7Q"
    assert content["parse_mode"] == "HTML" and content["link_preview_options"] == {"is_disabled": True}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_name_shows_as_typed_and_within_the_limit(trap: str) -> None:
    for base in (PAGE, RECOVERED, GATHERED, TEST):
        content = content_of(trapped(trap, base), hears=False)
        assert fault(content) == "" and "CALLED" not in shown(content["text"])
    assert f"{HOSTILE} is down" in shown(content_of(trapped(HOSTILE), hears=False)["text"])


def test_nobody_is_called_by_a_name_that_somebody_typed() -> None:
    typed = "@everyone_here ops@example.com <a href='tg://user?id=1'>x</a>"
    assert shown(escape(typed)) == typed
    assert "CALLED" in shown("@everyone_here"), "or the test proves nothing"


@pytest.mark.parametrize(("char", "cost"), [("x", 1), ("ü", 1), ("😀", 2), ("&", 1)])
def test_cutting_counts_what_is_left_of_the_markup(char: str, cost: int) -> None:
    whole = char * (100 // cost)
    assert shown(fit(whole, 100)) == whole
    cut = shown(fit(whole + char, 100))
    assert cut.endswith("…") and len(cut.encode("utf-16-le")) // 2 <= 100


def test_a_gathered_message_has_a_line_and_a_link_for_each_and_counts_the_rest() -> None:
    lines = shown(content_of(GATHERED, hears=False)["text"]).splitlines()
    assert "■ Down  Acme · shop — connection refused Open" in lines and "and 20 more" in lines
    assert lines[-3:] == [line.url for line in GATHERED.lines]
    line = Line("critical", "down", "&" * 500, "Acme", "😀" * 900, "https://portal.example/alerts/9/?a=1&b=2")
    many = content_of(replace(GATHERED, lines=(line,) * 300, more=0), hears=False)
    assert fault(many) == "" and "more" in shown(many["text"])


# --- buttons ---------------------------------------------------------------------------------------------------------
def test_acknowledge_answers_to_us_where_the_bots_updates_reach_us() -> None:
    content = telegram(HEARING).request(MINE)
    assert b'"callback_data":"ack:41.c2lnbmF0dXJlMTIzNDU2Nzg"' in (content.body or b"")
    assert len(b"ack:" + b"x" * 40) <= 64


@pytest.mark.parametrize(
    ("provider", "more"),
    [
        ({"bot_token": TOKEN}, {}),  # the account has no webhook
        (HEARING, {"bot_token": "987654321:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsawQ"}),  # another bot than the account's
    ],
)
def test_else_it_is_a_link(provider: dict[str, Any], more: dict[str, Any]) -> None:
    setup = replace(VENDOR.setup(""), provider=provider)
    body = desk.built(setup, **{"bot_token": None, **more}).request(MINE).body or b""
    assert b"callback_data" not in body and b'"url":"https://portal.example/alerts/9/#acknowledge"' in body


def test_a_message_without_token_has_a_link_even_so() -> None:
    assert pressed(content_of(PAGE, hears=True))[0] == [("Acknowledge", PAGE.links[0].url)]


def test_the_first_row_is_what_to_do_the_second_where_to_look() -> None:
    assert pressed(content_of(MINE, hears=True)) == [
        [("Acknowledge", "ack:41.c2lnbmF0dXJlMTIzNDU2Nzg")],
        [("Open alert", "https://portal.example/alerts/9/")],
    ]


def test_an_address_that_telegram_takes_for_no_button_stands_in_the_text(server: Receiver) -> None:
    local = replace(MINE, links=(Link("open", "Open alert", "http://localhost:8000/alerts/9/"),))
    deliver(telegram(), local)
    (call,) = server.accepted()
    assert "Open alert: http://localhost:8000/alerts/9/" in call.json()["text"]
    assert call.json()["reply_markup"]["inline_keyboard"] == []


# --- lifecycle -------------------------------------------------------------------------------------------------------
def test_what_was_sent_is_remembered(server: Receiver) -> None:
    assert deliver(telegram(), MINE).provider_id == TOLD
    assert "reply_parameters" not in server.calls[0].json()


@pytest.mark.parametrize("kind", ["recovered", "acknowledged"])
def test_the_buttons_go_and_a_reply_tells_people(server: Receiver, kind: str) -> None:
    deliver(telegram(HEARING), replace(OVER, kind=kind, links=PAGE.links, acknowledge_token=MINE.acknowledge_token))
    change, reply = server.accepted()
    assert change.path.endswith("/editMessageText") and change.json()["message_id"] == MESSAGE
    assert pressed(change.json()) == [[("Open alert", "https://portal.example/alerts/9/")]]
    assert reply.path.endswith("/sendMessage")
    assert reply.json()["reply_parameters"] == {"message_id": MESSAGE, "allow_sending_without_reply": True}
    assert len(shown(reply.json()["text"]).splitlines()) == 2, "the message it replies to holds the rest"


def test_a_reminder_replies_with_its_buttons_and_changes_nothing(server: Receiver) -> None:
    deliver(telegram(HEARING), replace(MINE, kind="reminder", provider_id=TOLD))
    (call,) = server.accepted()
    assert call.json()["reply_parameters"]["message_id"] == MESSAGE and pressed(call.json())[0][0][0] == "Acknowledge"


@pytest.mark.parametrize(
    "description", ["message is not modified", "message to edit not found", "message can't be edited"]
)
def test_a_message_that_cannot_be_changed_keeps_nobody_from_hearing(server: Receiver, description: str) -> None:
    server.behave(f"/bot{TOKEN}/editMessageText", answer(*refused(400, f"Bad Request: {description}")))
    deliver(telegram(), OVER)
    assert [call.path.rpartition("/")[2] for call in server.accepted()] == ["sendMessage"]


def test_trouble_with_the_change_is_tried_again_once_and_then_people_hear(server: Receiver) -> None:
    server.behave(f"/bot{TOKEN}/editMessageText", status(502, "bad gateway"))
    with pytest.raises(DeliveryError, match="could not be changed") as refusal:
        deliver(telegram(), OVER)
    assert not refusal.value.permanent and not refusal.value.ambiguous and not server.accepted()
    deliver(telegram(), replace(OVER, attempt=2))
    assert len(server.at(f"/bot{TOKEN}/sendMessage")) == 1


def test_a_group_that_has_moved_is_not_replied_to_by_old_numbers(server: Receiver) -> None:
    deliver(telegram(), replace(OVER, provider_id=f"-4242:{MESSAGE}"))
    (call,) = server.accepted()
    assert call.path.endswith("/sendMessage") and "reply_parameters" not in call.json()


def test_a_topic_and_silence_are_said(server: Receiver) -> None:
    deliver(telegram(thread_id=12, silent=True), MINE)
    assert server.calls[0].json()["message_thread_id"] == 12 and server.calls[0].json()["disable_notification"] is True


# --- answers ---------------------------------------------------------------------------------------------------------
def answer(code: int, headers: dict[str, str], body: bytes) -> Answer:
    return Answer(code, body, headers, accepted=code < 400)


def refusal_of(server: Receiver, given: tuple[int, dict[str, str], bytes], message: Message = MINE) -> DeliveryError:
    server.behave(EVERYWHERE, answer(*given))
    with pytest.raises(DeliveryError) as refusal:
        deliver(telegram(), message)
    return refusal.value


@pytest.mark.parametrize(
    ("code", "description", "cure"),
    [
        (400, "Bad Request: chat not found", "Check the chat id"),
        (401, "Unauthorized", "token is wrong or was revoked"),
        (403, "Forbidden: bot was blocked by the user", "press Start"),
        (403, "Forbidden: bot was kicked from the supergroup chat", "Add the bot to the group again"),
        (400, "Bad Request: TOPIC_CLOSED", "The topic is closed"),
        (400, "Bad Request: message thread not found", "The topic is gone"),
        (404, "Not Found", "@BotFather shows the valid one"),
    ],
)
def test_a_refusal_is_final_and_names_the_cure(server: Receiver, code: int, description: str, cure: str) -> None:
    error = refusal_of(server, refused(code, description))
    assert error.permanent and error.code == code and description in str(error) and cure in str(error)


def test_a_group_that_became_a_supergroup_says_its_new_number(server: Receiver) -> None:
    description = "Bad Request: group chat was upgraded to a supergroup chat"
    error = refusal_of(server, refused(400, description, migrate_to_chat_id=-1009999999999))
    assert error.permanent and "-1009999999999" in str(error)


def test_a_rate_limit_in_the_body_is_waited_out(server: Receiver) -> None:
    error = refusal_of(server, refused(429, "Too Many Requests: retry after 35", retry_after=35))
    assert error.retry_after == 35 and not error.permanent and not error.ambiguous


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"ok": false}'])
def test_an_answer_that_is_not_telegrams_may_have_been_sent(server: Receiver, body: bytes) -> None:
    assert refusal_of(server, (200, {}, body)).ambiguous


# --- settings --------------------------------------------------------------------------------------------------------
def test_without_a_bot_it_says_so_with_the_cure() -> None:
    config, _ = channels.split("telegram", {"chat_id": "7"})
    built = channels.build({"type": "telegram", "config": config, "secrets": {}})
    assert "@BotFather" in built.ready()
    own = channels.build({"type": "telegram", "config": config, "secrets": {}}, {"bot_token": TOKEN})
    assert own.ready() == "" and own.address() == "7"


def test_the_installations_token_never_goes_to_a_server_that_a_channel_chose() -> None:
    elsewhere = telegram(HEARING, api_url="https://bots.evil.example")
    assert "No bot" in elsewhere.ready()
    own = telegram(api_url="https://bots.acme.example/")
    assert own.request(MINE).url == f"https://bots.acme.example/bot{TOKEN}/sendMessage"
    assert own.config.reaches() == ("https://bots.acme.example/",)


@pytest.mark.parametrize(
    "data", [{"chat_id": "ops team"}, {"chat_id": "t.me/ops"}, {"chat_id": "1", "bot_token": "AAH"}, {"chat_id": ""}]
)
def test_a_wrong_setting_is_told_when_it_is_saved(data: dict[str, Any]) -> None:
    with pytest.raises(channels.InvalidSettings):
        channels.split("telegram", data)


def test_a_number_is_taken_as_it_comes() -> None:
    assert channels.split("telegram", {"chat_id": -100123})[0] == {"chat_id": "-100123"}


def test_the_accounts_secret_is_one_that_telegram_takes() -> None:
    TelegramBot.model_validate({"bot_token": TOKEN, "webhook_secret": "A-z_0"})
    for wrong in ({"webhook_secret": "a b"}, {"bot_token": "nonsense"}):
        with pytest.raises(ValueError):
            TelegramBot.model_validate(wrong)
