"""Does Slack show it as typed, in the right colour, once, and does its refusal reach a person with the cure?"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError
from alerts.channels.slack import CURES, Slack, content_of, escape, fit
from alerts.message import Line, Link
from tests.alerts.letters import GATHERED, HOSTILE, LOOPBACK, PAGE, RECOVERED, TRAPS, deliver, trapped
from tests.rig import answers
from tests.rig.receiver import Receiver

pytestmark = pytest.mark.once
HOOK = "/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx"


def slack(provider: dict[str, Any] | None = None, **data: Any) -> Slack:
    config, secrets = channels.split("slack", data)
    built = channels.build({"type": "slack", "config": config, "secrets": secrets}, provider, LOOPBACK)
    assert isinstance(built, Slack)
    return built


def by_api(receiver: Receiver, **more: Any) -> Slack:
    return slack(channel="C0123456", token="xoxb-1234-abcdef", api_url=receiver.url("/api"), **more)


def texts(value: Any) -> list[dict[str, Any]]:
    """Every text object inside."""
    if isinstance(value, list):
        return [found for item in value for found in texts(item)]
    if isinstance(value, dict):
        own = [value] if value.get("type") in ("plain_text", "mrkdwn") else []
        return own + [found for item in value.values() for found in texts(item)]
    return []


# --- the message -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("message", "colour", "emoji"),
    [
        (PAGE, "#dc2626", ":red_circle:"),
        (replace(PAGE, severity="warning", event="degraded"), "#f59e0b", ":warning:"),
        (RECOVERED, "#16a34a", ":large_green_circle:"),
        (GATHERED, "#dc2626", ":red_circle:"),
    ],
)
def test_colour_and_emoji_follow_the_severity(message: Any, colour: str, emoji: str) -> None:
    content = content_of(message)
    (attachment,) = content["attachments"]
    assert attachment["color"] == colour
    assert content["text"].startswith(f"{emoji} [")


def test_the_first_line_says_what_where_and_why() -> None:
    assert content_of(PAGE)["text"] == ":red_circle: [Down] Acme · shop — connection refused"
    assert content_of(RECOVERED)["text"] == ":large_green_circle: [Recovered] Acme · shop — after 6 min"


def test_a_name_shows_as_typed_and_is_nowhere_markup() -> None:
    content = content_of(trapped(HOSTILE))
    assert content["mrkdwn"] is False and "&lt;b&gt;*_&amp;" in content["text"]
    found = texts(content)
    assert found and all(t["type"] == "plain_text" and t["emoji"] is False for t in found)
    assert any("&lt;b&gt;*_&amp; is down" in t["text"] for t in found)


@pytest.mark.parametrize("trap", TRAPS)
def test_nobody_is_called_and_no_limit_is_broken(trap: str) -> None:
    for base in (PAGE, RECOVERED, GATHERED):
        content = content_of(trapped(trap, base))
        assert "<" not in content["text"] and ">" not in content["text"]
        (attachment,) = content["attachments"]
        assert len(attachment["blocks"]) <= 50
        for found in texts(content):
            assert 0 < len(found["text"]) <= 3000 and "<" not in found["text"]
            assert not found["text"].endswith(("&", "&am", "&amp", "&l", "&lt"))
        for block in attachment["blocks"]:
            assert len(block.get("fields", [])) <= 10 and all(len(f["text"]) <= 2000 for f in block.get("fields", []))
            assert len(block.get("elements", [])) <= 10


def test_cutting_counts_what_slack_counts() -> None:
    assert fit("&" * 10, 12) == "&amp;&amp;…"
    assert fit("abc", 3) == "abc" and fit("abcd", 3) == "ab…"
    assert escape("<!channel> & <http://x|y>") == "&lt;!channel&gt; &amp; &lt;http://x|y&gt;"


def test_buttons_are_links_and_the_first_thing_to_do_stands_out() -> None:
    (actions,) = [b for b in content_of(PAGE)["attachments"][0]["blocks"] if b["type"] == "actions"]
    assert [(b["text"]["text"], b["url"]) for b in actions["elements"]] == [(x.label, x.url) for x in PAGE.links]
    assert actions["elements"][0]["style"] == "primary"
    evil = replace(
        PAGE, links=(Link("open", "Open", "javascript:alert(1)"), Link("report", "R", "https://x/" + "a" * 4000))
    )
    assert not [b for b in content_of(evil)["attachments"][0]["blocks"] if b["type"] == "actions"]


def test_a_gathered_message_has_a_line_and_a_link_for_each() -> None:
    blocks = content_of(GATHERED)["attachments"][0]["blocks"]
    lines = [b for b in blocks if b.get("accessory")]
    assert [b["accessory"]["url"] for b in lines] == [line.url for line in GATHERED.lines]
    assert lines[0]["text"]["text"] == "■ Down  Acme · shop — connection refused"
    assert lines[2]["text"]["text"] == "● Recovered  Acme · mail"
    assert "and 20 more" in str(blocks)
    line = Line("critical", "down", "x" * 500, "Acme", "y" * 900, "https://portal.example/")
    assert len(content_of(replace(GATHERED, lines=(line,) * 300))["attachments"][0]["blocks"]) <= 50


# --- incoming webhook ------------------------------------------------------------------------------------------------
def test_an_incoming_webhook_takes_it(receiver: Receiver) -> None:
    channel = slack(url=receiver.behave(HOOK, answers.slack_hook()))
    receipt = deliver(channel, PAGE)
    (call,) = receiver.at(HOOK)
    assert receipt.code == 200 and receipt.answer == "ok" and receipt.provider_id == ""
    assert call.json() == content_of(PAGE)
    assert channel.address() == f"http://127.0.0.1:{receiver.port}/…" and channel.ready() == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [("invalid_payload", 400), ("action_prohibited", 403), ("invalid_token", 403), ("no_service", 404)]
    + [("channel_not_found", 404), ("channel_is_archived", 410)],
)
def test_a_webhooks_refusal_is_final_and_names_the_cure(receiver: Receiver, error: str, code: int) -> None:
    url = receiver.behave(HOOK, answers.slack_hook_refuses(error))
    with pytest.raises(DeliveryError) as refusal:
        deliver(slack(url=url), PAGE)
    assert refusal.value.permanent and refusal.value.code == code and error in str(refusal.value)
    assert CURES.get(error, "") in str(refusal.value)


def test_a_rate_limit_is_waited_out(receiver: Receiver) -> None:
    with pytest.raises(DeliveryError) as refusal:
        deliver(slack(url=receiver.behave(HOOK, answers.too_many(30))), PAGE)
    assert refusal.value.retry_after == 30 and not refusal.value.permanent and not refusal.value.ambiguous


def test_slacks_own_address_must_be_https_and_something_must_say_where_to() -> None:
    for data in ({"url": "http://hooks.slack.com/services/T/B/x"}, {}, {"token": "xoxb-1"}, {"url": "hooks.slack.com"}):
        with pytest.raises(channels.InvalidSettings):
            channels.split("slack", data)
    config, secrets = channels.split("slack", {"url": "https://hooks.slack.com" + HOOK})
    assert config == {} and secrets == {"url": "https://hooks.slack.com" + HOOK}


# --- Web API ---------------------------------------------------------------------------------------------------------
def test_the_web_api_posts_and_names_the_message(receiver: Receiver) -> None:
    receiver.behave("/api/chat.postMessage", answers.slack_api("C0123456", "1700000000.000100"))
    receipt = deliver(by_api(receiver), PAGE)
    (call,) = receiver.at("/api/chat.postMessage")
    assert receipt.provider_id == "C0123456:1700000000.000100"
    assert call.headers["authorization"] == "Bearer xoxb-1234-abcdef" and call.json()["channel"] == "C0123456"


def test_the_recovery_updates_the_first_message_in_place(receiver: Receiver) -> None:
    receiver.behave("/api/chat.update", answers.slack_api())
    deliver(by_api(receiver), replace(trapped(HOSTILE, RECOVERED), provider_id="C0123456:1700000000.000100"))
    (call,) = receiver.calls
    body = call.json()
    assert call.path == "/api/chat.update" and (body["channel"], body["ts"]) == ("C0123456", "1700000000.000100")
    assert body["attachments"][0]["color"] == "#16a34a" and "mrkdwn" not in body
    assert body["text"] == ":large_green_circle: Recovered after 6 min"


def test_when_the_first_message_is_gone_the_next_try_posts_anew(receiver: Receiver) -> None:
    receiver.behave("/api/chat.update", answers.slack_api_refuses("message_not_found"))
    receiver.behave("/api/chat.postMessage", answers.slack_api())
    told = replace(RECOVERED, provider_id="C0123456:1700000000.000100")
    with pytest.raises(DeliveryError) as refusal:
        deliver(by_api(receiver), told)
    assert not refusal.value.permanent and not refusal.value.ambiguous
    deliver(by_api(receiver), replace(told, attempt=2))
    assert receiver.calls[-1].path == "/api/chat.postMessage"


def test_a_raise_answers_in_the_thread_and_in_the_channel(receiver: Receiver) -> None:
    receiver.behave("/api/chat.postMessage", answers.slack_api())
    deliver(by_api(receiver), replace(PAGE, kind="raised", provider_id="C0123456:1700000000.000100"))
    body = receiver.calls[0].json()
    assert body["thread_ts"] == "1700000000.000100" and body["reply_broadcast"] is True


@pytest.mark.parametrize(
    ("error", "permanent", "ambiguous"),
    [("channel_not_found", True, False), ("not_in_channel", True, False), ("invalid_auth", True, False)]
    + [("is_archived", True, False), ("ratelimited", False, False), ("fatal_error", False, True)],
)
def test_200_that_means_no(receiver: Receiver, error: str, permanent: bool, ambiguous: bool) -> None:
    receiver.behave("/api/chat.postMessage", answers.slack_api_refuses(error))
    with pytest.raises(DeliveryError, match=error) as refusal:
        deliver(by_api(receiver), PAGE)
    assert (refusal.value.permanent, refusal.value.ambiguous) == (permanent, ambiguous)
    assert CURES.get(error, "") in str(refusal.value)


def test_an_answer_that_is_not_slacks_may_have_been_posted(receiver: Receiver) -> None:
    receiver.behave("/api/chat.postMessage", answers.ok("<html>"), answers.ok("[]"), answers.ok('{"error": "x"}'))
    for _ in range(3):
        with pytest.raises(DeliveryError) as refusal:
            deliver(by_api(receiver), PAGE)
        assert refusal.value.ambiguous


def test_the_installations_token_completes_a_channel_but_goes_to_slack_only() -> None:
    own = {"token": "xoxb-the-installations-own"}
    channel = slack(own, channel="#ops")
    assert channel.ready() == "" and channel.address() == "#ops"
    assert dict(channel.request(PAGE).headers)["Authorization"] == "Bearer xoxb-the-installations-own"
    assert channel.request(PAGE).url == "https://slack.com/api/chat.postMessage"
    elsewhere = slack(own, channel="#ops", api_url="https://evil.example/api")
    assert "No bot token" in elsewhere.ready()
    assert "No bot token" in slack(channel="#ops").ready()


# --- a button that acts in Slack -------------------------------------------------------------------------------------
OURS = {"token": "xoxb-the-installations-own", "signing_secret": "the-installations-signing-secret"}
TAKE = replace(PAGE, acknowledge_token="41.c2lnbmF0dXJlMTIzNDU2Nzg", acknowledge_code="K7Q2M")


def acknowledge_button(channel: Slack, message: Any = TAKE) -> dict[str, Any]:
    """The first button of the message."""
    body = json.loads(channel.request(message).body or b"")
    (actions,) = [b for b in body["attachments"][0]["blocks"] if b["type"] == "actions"]
    first: dict[str, Any] = actions["elements"][0]
    return first


def test_with_a_signing_secret_acknowledge_acts_inside_slack() -> None:
    button = acknowledge_button(slack(OURS, channel="#ops"))
    assert (button["action_id"], button["value"]) == ("acknowledge", TAKE.acknowledge_token)
    assert "url" not in button and button["style"] == "primary" and button["text"]["text"] == "Acknowledge"


@pytest.mark.parametrize(
    ("provider", "data"),
    [({"token": OURS["token"]}, {"channel": "#ops"}), (OURS, {"url": "https://hooks.slack.com" + HOOK})]
    + [(OURS, {"channel": "#ops", "token": "xoxb-of-another-app"})],
    ids=["no secret", "webhook", "another app"],
)
def test_where_a_press_could_not_be_proved_acknowledge_is_a_link(
    provider: dict[str, Any], data: dict[str, Any]
) -> None:
    button = acknowledge_button(slack(provider, **data))
    assert button["url"] == PAGE.links[0].url and "value" not in button and button["action_id"] != "acknowledge"


def test_a_channels_own_app_has_its_own_signing_secret() -> None:
    own = slack(OURS, channel="#ops", token="xoxb-of-another-app", signing_secret="its-own-signing-secret")
    assert own.signing_secret == "its-own-signing-secret" and acknowledge_button(own)["value"] == TAKE.acknowledge_token
    assert OURS["signing_secret"] in own.secrets() and "its-own-signing-secret" in own.secrets()


def test_only_what_nobody_has_can_be_taken() -> None:
    for kind in ("acknowledged", "recovered", "digest"):
        button = acknowledge_button(slack(OURS, channel="#ops"), replace(TAKE, kind=kind))
        assert button["action_id"] != "acknowledge"


def test_who_has_it_is_written_into_the_first_message(receiver: Receiver) -> None:
    receiver.behave("/api/chat.update", answers.slack_api())
    took = replace(
        TAKE, kind="acknowledged", cause="Ana has it", links=PAGE.links[1:], provider_id="C0123456:1700000000.000100"
    )
    deliver(by_api(receiver), took)
    (call,) = receiver.calls
    assert call.path == "/api/chat.update" and call.json()["ts"] == "1700000000.000100"
    shown = str(call.json()["attachments"])
    assert "Ana has it" in shown and "'Acknowledge'" not in shown
    assert call.json()["text"] == ":red_circle: Acknowledged after 6 min"


def test_the_account_is_registered_and_its_secrets_are_secrets() -> None:
    from portal import providers

    label, account = providers.ACCOUNTS["slack"]
    assert label == "Slack" and set(account.model_fields) == {"token", "signing_secret"}
    assert "xoxb" not in repr(account.model_validate(OURS)) and Slack.lifecycle
