"""Does a press in Slack or Telegram acknowledge, in the name of who pressed, and does nothing else?"""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.cache import cache
from django.test import Client as Browser

from alerts import acts, channels, links, services
from alerts.channels.base import HttpChannel
from alerts.models import Alert, Channel, Delivery
from alerts.sender import prepare
from alerts.twoway import chat, replying
from portal import providers
from portal.clock import database_now
from portal.models import AuditEntry
from tests import cast
from tests.alerts import stage

pytestmark = pytest.mark.django_db

SIGNING, HOOK_SECRET = "8f742231b10e8888abcd99yyyzzz85a5", "telegram-webhook-secret_1"
OWN_SIGNING = "the-other-apps-signing-secret"
CHAT = "-1001234567890"


@pytest.fixture(autouse=True)
def installation(settings: Any) -> None:
    settings.BASE_URL = "https://portal.example"
    cache.clear()
    cast.make_owner()
    secrets = {"token": "xoxb-1234-abcdef", "signing_secret": SIGNING}
    providers.create(by=cast.TESTS, provider="slack", secrets=secrets)
    secrets = {"bot_token": "123456789:AAabcdefghijklmnopqrstuvwxyz0123456", "webhook_secret": HOOK_SECRET}
    providers.create(by=cast.TESTS, provider="telegram", secrets=secrets)


@pytest.fixture
def whispers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was said to the one who pressed."""
    said: list[str] = []
    monkeypatch.setattr(chat, "whisper_in_slack", lambda address, text: said.append(text))
    return said


def channel(type_: str, config: dict[str, Any], **more: Any) -> Channel:
    return Channel.objects.create(client=cast.acme(), name=f"ops {type_}", type=type_, config=config, **more)


def told(where: Channel, monitor: int = 7) -> Delivery:
    """An alert's message to it, not sent yet."""
    services.save_trigger(None, by=cast.TESTS, name=f"to {where.pk} {monitor}", channels=[where])
    (alert,) = stage.tell(stage.failing(monitor, database_now(), title=f"shop {monitor} is down"))
    return Delivery.objects.select_related("alert", "channel", "notice").get(alert=alert, channel=where)


def status_of(row: Delivery) -> str:
    return Alert.objects.get(pk=row.alert_id).status


# --- Slack ------------------------------------------------------------------------------------------------------------------
def slack_channel(**more: Any) -> Channel:
    return channel("slack", {"channel": "C0123456"}, **more)


def button(row: Delivery) -> dict[str, Any]:
    """The Acknowledge button of the message as it really goes out."""
    ((_, kind, message),) = prepare([row], database_now())
    assert isinstance(kind, HttpChannel) and message is not None
    blocks = json.loads(kind.request(message).body or b"")["attachments"][0]["blocks"]
    (actions,) = [block for block in blocks if block["type"] == "actions"]
    found: dict[str, Any] = actions["elements"][0]
    return found


def press(
    value: str, secret: str = SIGNING, age: float = 0, action: str = "acknowledge", signature: str = "", **more: Any
) -> Any:
    """Slack's POST of a pressed button."""
    payload = {
        "type": "block_actions",
        "user": {"id": "U1", "username": "dana", "name": "dana"},
        "team": {"id": "T1", "domain": "acme"},
        "actions": [{"action_id": action, "value": value, "type": "button"}],
        "response_url": "https://hooks.slack.com/actions/T1/1/x",
        **more,
    }
    body = urlencode({"payload": json.dumps(payload)}).encode()
    stamp = str(int((database_now() - timedelta(seconds=age)).timestamp()))
    made = "v0=" + hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": signature or made}
    return Browser(enforce_csrf_checks=True).post(
        "/hooks/slack/", body, content_type="application/x-www-form-urlencoded", headers=headers
    )


def test_a_press_acknowledges_in_the_name_of_who_pressed(whispers: list[str]) -> None:
    row = told(slack_channel())
    pressed = button(row)
    assert pressed["action_id"] == "acknowledge" and "url" not in pressed
    answer = press(pressed["value"])
    assert answer.status_code == 200 and answer.content == b"" and not whispers
    alert = Alert.objects.get(pk=row.alert_id)
    assert (alert.status, alert.acknowledged_by) == ("acknowledged", "dana")
    assert AuditEntry.objects.get(action="alert.acknowledge").actor == "dana (Slack acme)"


@pytest.mark.parametrize(
    "forge",
    [
        {"secret": "another"},
        {"age": 301},
        {"age": -301},
        {"signature": "v0=00"},
        {"signature": "v1=x"},
        {"secret": OWN_SIGNING},
    ],
    ids=str,
)
def test_a_forged_or_stale_press_changes_nothing(forge: dict[str, Any], whispers: list[str]) -> None:
    row = told(slack_channel())
    answer = press(links.token(row.pk), **forge)
    assert answer.status_code == 403 and answer.content.startswith(b"Refused: ")
    assert status_of(row) == "open"


def test_the_app_that_signs_must_be_the_channels_own(whispers: list[str]) -> None:
    """A client's own app cannot press the installation's buttons, nor the other way round."""
    own = slack_channel(secrets={"token": "xoxb-own-token", "signing_secret": OWN_SIGNING})
    mine, theirs = told(slack_channel()), told(own, monitor=8)
    assert press(links.token(mine.pk), secret=OWN_SIGNING).status_code == 403
    assert press(links.token(theirs.pk)).status_code == 403
    assert (status_of(mine), status_of(theirs)) == ("open", "open")
    assert press(links.token(theirs.pk), secret=OWN_SIGNING).status_code == 200
    assert status_of(theirs) == "acknowledged"


@pytest.mark.parametrize(
    ("value", "said"),
    [("1.AAAAAAAAAAAAAAAAAAAA", "no such alert"), ("nonsense", "no such alert"), ("😀" * 90, "no such alert")],
)
def test_an_unknown_token_says_so_to_the_one_who_pressed(value: str, said: str, whispers: list[str]) -> None:
    assert press(value).status_code == 200
    assert said in whispers[0]


def test_an_old_or_late_press_says_so(whispers: list[str]) -> None:
    row = told(slack_channel())
    Delivery.objects.filter(pk=row.pk).update(created_at=database_now() - timedelta(hours=25))
    press(links.token(row.pk))
    assert "older than 24 hours" in whispers[-1] and status_of(row) == "open"
    late = told(slack_channel(), monitor=8)
    acts.acknowledge(late.alert, by=cast.TESTS, at=database_now(), name="Ben")
    press(links.token(late.pk))
    assert whispers[-1].startswith("Ben has it already")
    acts.resolve(late.alert, by=cast.TESTS, at=database_now())
    press(links.token(late.pk))
    assert "resolved already" in whispers[-1]


def test_other_presses_are_taken_note_of_and_do_nothing(whispers: list[str]) -> None:
    row = told(slack_channel())
    assert press(links.token(row.pk), action="link-1").status_code == 200
    assert press(links.token(row.pk), type="view_submission").status_code == 200
    assert press(links.token(row.pk), actions="x").status_code == 200
    assert status_of(row) == "open" and not whispers


def test_whispers_go_to_slack_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(replying, "_ask", lambda request, reach: asked.append(request.url))
    for address in (
        "http://hooks.slack.com/x",
        "https://evil.example/x",
        "https://hooks.slack.com.evil.example/",
        "",
        "x",
    ):
        replying.whisper_in_slack(address, "no")
    replying.whisper_in_slack("https://hooks.slack.com/actions/T1/1/x", "yes")
    assert asked == ["https://hooks.slack.com/actions/T1/1/x"]


def test_a_whisper_that_fails_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens there, and loopback is out of reach anyway."""
    monkeypatch.setattr(replying, "SLACK", ("127.0.0.1",))
    replying.whisper_in_slack("https://127.0.0.1:9/x", "lost")


# --- Telegram ---------------------------------------------------------------------------------------------------------------
def telegram(update: dict[str, Any], secret: str = HOOK_SECRET) -> Any:
    return Browser(enforce_csrf_checks=True).post(
        "/hooks/telegram/",
        json.dumps(update),
        content_type="application/json",
        headers={"X-Telegram-Bot-Api-Secret-Token": secret},
    )


def callback(data: str, chat_id: object = int(CHAT), id_: str = "77", **more: Any) -> dict[str, Any]:
    query = {
        "id": id_,
        "from": {"id": 5, "first_name": "Dana", "last_name": "Ops", "username": "dana"},
        "message": {"message_id": 3, "chat": {"id": chat_id, "type": "supergroup", **more}},
        "data": data,
    }
    return {"update_id": 1, "callback_query": query}


def telegram_channel(chat_id: str = CHAT) -> Channel:
    assert "telegram" in channels.KINDS
    return channel("telegram", {"chat_id": chat_id})


def test_telegrams_button_acknowledges_and_is_answered_in_place() -> None:
    row = told(telegram_channel())
    answer = telegram(callback(f"ack:{links.token(row.pk)}")).json()
    assert (answer["method"], answer["callback_query_id"], answer["show_alert"]) == ("answerCallbackQuery", "77", False)
    assert answer["text"].startswith("You have it") and len(answer["text"]) <= 200
    assert Alert.objects.get(pk=row.alert_id).acknowledged_by == "Dana Ops"
    assert AuditEntry.objects.get(action="alert.acknowledge").actor == "Dana Ops (Telegram)"


def test_telegrams_secret_decides() -> None:
    row = told(telegram_channel())
    for secret in ("", "wrong", HOOK_SECRET + "x", "é"):
        assert telegram(callback(f"ack:{links.token(row.pk)}"), secret).status_code == 403
    assert status_of(row) == "open"


def test_without_a_webhook_secret_nobody_gets_in() -> None:
    from portal.models import ProviderSettings

    ProviderSettings.objects.filter(provider="telegram").delete()
    assert telegram(callback("ack:x"), "").status_code == 403


def test_a_button_of_another_chat_channel_or_day_does_nothing() -> None:
    row, slack_row = told(telegram_channel()), told(slack_channel(), monitor=8)
    for update in (
        callback(f"ack:{links.token(row.pk)}", chat_id=42),
        callback(f"ack:{links.token(slack_row.pk)}", id_="78"),
        callback(f"ack:{row.pk}.AAAAAAAAAAAAAAAAAAAA", id_="79"),
        callback(f"resolve:{links.token(row.pk)}", id_="80"),
        callback("", id_="81"),
    ):
        answer = telegram(update).json()
        assert answer["show_alert"] and "Nothing was acknowledged" in answer["text"]
    Delivery.objects.filter(pk=row.pk).update(created_at=database_now() - timedelta(hours=25))
    assert "older than 24 hours" in telegram(callback(f"ack:{links.token(row.pk)}", id_="82")).json()["text"]
    assert {status_of(row), status_of(slack_row)} == {"open"}


def test_the_same_press_counts_once() -> None:
    row = told(telegram_channel())
    update = callback(f"ack:{links.token(row.pk)}")
    telegram(update)
    Alert.objects.filter(pk=row.alert_id).update(status="open", acknowledged_at=None, acknowledged_by="")
    assert "heard already" in telegram(update).json()["text"] and status_of(row) == "open"


def test_a_public_channel_is_known_by_its_name() -> None:
    row = told(telegram_channel("@AcmeOps"))
    assert telegram(callback(f"ack:{links.token(row.pk)}", username="acmeops")).json()["show_alert"] is False


@pytest.mark.parametrize("words", ["/start", "/start@watchkeeper_bot", "/start deep-link", "/id"])
def test_start_says_the_chats_id(words: str) -> None:
    answer = telegram({"update_id": 2, "message": {"text": words, "chat": {"id": int(CHAT)}}}).json()
    assert answer["method"] == "sendMessage" and answer["chat_id"] == int(CHAT) and CHAT in answer["text"]


def test_other_talk_is_not_answered() -> None:
    for update in (
        {"message": {"text": "hello", "chat": {"id": 1}}},
        {"message": {"chat": {"id": 1}}},
        {"update_id": 3},
        {"message": "x"},
    ):
        answer = telegram(update)
        assert answer.status_code == 200 and answer.content == b""
