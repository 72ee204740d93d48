"""Does "ACK K7Q2M" stop the escalation, and does nothing else? Signed by Twilio's own library, and by Vonage's rules.

A forged, stale, replayed or foreign answer changes nothing, and says so.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import jwt
import pytest
from django.core.cache import cache
from django.test import Client as Browser
from twilio.request_validator import RequestValidator

from alerts import acts, links, services
from alerts.channels.telephone import segments
from alerts.channels.twilio_sms import TwilioSms
from alerts.models import Alert, Attempt, Channel, Delivery
from alerts.sender import prepare
from alerts.twoway import telephone
from alerts.twoway.receipts import Later, settle_later
from portal import providers
from portal.clock import database_now
from portal.models import AuditEntry, Contact
from tests import cast
from tests.alerts import stage
from tests.alerts.letters import LOOPBACK
from tests.alerts.vendors import twilio_sms, vonage_sms
from tests.alerts.vendors.desk import at_work

pytestmark = pytest.mark.django_db

BASE = "https://portal.example"
PHONE, OTHER = twilio_sms.NUMBER, "+351919999999"
OWN_ACCOUNT, OWN_TOKEN = "AC" + "9" * 32, "the-channels-own-auth-token"


@pytest.fixture(autouse=True)
def installation(settings: Any) -> None:
    settings.BASE_URL = BASE
    cache.clear()
    cast.make_owner()
    plain = {"account_sid": twilio_sms.ACCOUNT, "sender": twilio_sms.FROM}
    providers.create(by=cast.TESTS, provider="twilio", config=plain, secrets={"auth_token": twilio_sms.TOKEN})
    plain = {"api_key": vonage_sms.KEY, "sender": vonage_sms.FROM}
    secrets = {"api_secret": vonage_sms.SECRET, "signature_secret": vonage_sms.SIGNATURE}
    providers.create(by=cast.TESTS, provider="vonage", config=plain, secrets=secrets)


def phone(type_: str = "twilio_sms", to: str = PHONE, owner: Contact | None = None, **more: Any) -> Channel:
    """A contact's telephone, as a channel."""
    owner = owner or cast.contact()
    config = {"to": to, **more.pop("config", {})}
    return Channel.objects.create(
        client=owner.client, contact=owner, name=f"{owner.name} {type_}", type=type_, config=config, **more
    )


def told(channel: Channel, at: datetime | None = None, monitor: int = 7) -> Delivery:
    """An alert went out to it, and Twilio queued it."""
    at = at or database_now()
    services.save_trigger(None, by=cast.TESTS, name=f"to {channel.pk} {monitor}", channels=[channel])
    (alert,) = stage.tell(stage.failing(monitor, at, client=channel.client, title=f"shop {monitor} is down"))
    row = Delivery.objects.get(alert=alert, channel=channel)
    Delivery.objects.filter(pk=row.pk).update(state="delivered", attempt=1, finished_at=at)
    Attempt.objects.create(delivery=row, n=1, at=at, outcome="delivered", answer=f"queued {twilio_sms.SID}")
    return Delivery.objects.select_related("alert").get(pk=row.pk)


def code_of(row: Delivery) -> str:
    return links.code(row.alert_id or 0, row.channel_id)


def twilio(path: str, fields: dict[str, str], token: str = twilio_sms.TOKEN, base: str = BASE, **extra: Any) -> Any:
    """Twilio's POST, signed by its own library over the public address."""
    signature = RequestValidator(token).compute_signature(f"{base}{path}", fields)
    headers = {"X-Twilio-Signature": signature, **extra.pop("headers", {})}
    body = urlencode(fields)
    return Browser(enforce_csrf_checks=True).post(
        path, body, content_type="application/x-www-form-urlencoded", headers=headers, **extra
    )


def text(body: str, sender: str = PHONE, sid: str = "SM1", **more: Any) -> Any:
    fields = {"From": sender, "To": twilio_sms.FROM, "Body": body, "MessageSid": sid, "AccountSid": twilio_sms.ACCOUNT}
    return twilio("/hooks/twilio/message/", fields, **more)


def said(answer: Any) -> str:
    """What the person reads or hears of a TwiML answer."""
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/xml"), answer.content
    return " ".join("".join(ElementTree.fromstring(answer.content).itertext()).split())


def status_of(row: Delivery) -> str:
    return Alert.objects.get(pk=row.alert_id).status


# --- SMS ------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("words", ["ACK {}", "ack {}", " Ack: {} thanks", "acknowledge {}", "ACK-{}"])
def test_ack_and_the_code_acknowledge_it_in_the_contacts_name(words: str) -> None:
    row = told(phone())
    assert said(text(words.format(code_of(row).lower()))).startswith("You have it. Escalation stops")
    alert = Alert.objects.get(pk=row.alert_id)
    assert (alert.status, alert.acknowledged_by) == ("acknowledged", "Ana")
    entry = AuditEntry.objects.get(action="alert.acknowledge")
    assert entry.actor == "Ana (SMS from +351…78)" and PHONE not in entry.actor


def test_the_code_that_is_sent_is_the_code_that_works() -> None:
    row = told(phone())
    ((_, kind, message),) = prepare(
        [Delivery.objects.select_related("alert", "channel", "notice").get(pk=row.pk)], database_now()
    )
    assert isinstance(kind, TwilioSms) and message is not None
    sent = kind.fields(message)["Body"]
    assert links.acknowledge_url(row.pk) in sent and segments(sent) <= 2
    assert said(text(sent.rpartition("Reply ")[2])).startswith("You have it")


def test_the_code_names_one_alert_and_the_others_stay_open() -> None:
    channel = phone()
    first, second = told(channel), told(channel, monitor=8)
    text(f"ACK {code_of(second)}")
    assert (status_of(first), status_of(second)) == ("open", "acknowledged")


def test_who_was_faster_is_named() -> None:
    row = told(phone())
    acts.acknowledge(row.alert, by=cast.TESTS, at=database_now(), name="Ben")
    assert said(text(f"ACK {code_of(row)}")).startswith("Ben has it already")
    assert Alert.objects.get(pk=row.alert_id).acknowledged_by == "Ben"


def test_what_is_over_cannot_be_taken() -> None:
    row = told(phone())
    acts.resolve(row.alert, by=cast.TESTS, at=database_now())
    assert "resolved already" in said(text(f"ACK {code_of(row)}"))
    assert status_of(row) == "resolved"


@pytest.mark.parametrize(
    "forge",
    [
        {"token": "another-auth-token"},
        {"base": "https://evil.example"},
        {"base": "http://portal.example"},
        {"headers": {"X-Twilio-Signature": ""}},
        {"headers": {"X-Twilio-Signature": "AAAA"}},
    ],
)
def test_a_forged_answer_changes_nothing_and_says_so(forge: dict[str, Any]) -> None:
    row = told(phone())
    answer = text(f"ACK {code_of(row)}", **forge)
    assert answer.status_code == 403 and b"signature" in answer.content
    assert status_of(row) == "open"


def test_the_address_that_is_signed_comes_from_settings_not_from_host() -> None:
    row = told(phone())
    fields = {"From": PHONE, "Body": f"ACK {code_of(row)}", "MessageSid": "SM1"}
    signature = RequestValidator(twilio_sms.TOKEN).compute_signature("https://localhost/hooks/twilio/message/", fields)
    forged = Browser().post(
        "/hooks/twilio/message/", fields, headers={"X-Twilio-Signature": signature, "Host": "localhost"}, secure=True
    )
    assert forged.status_code == 403 and status_of(row) == "open"


def test_an_extra_or_changed_field_breaks_the_signature() -> None:
    row = told(phone())
    path, signed = "/hooks/twilio/message/", {"From": PHONE, "Body": "hello", "MessageSid": "SM1"}
    signature = RequestValidator(twilio_sms.TOKEN).compute_signature(f"{BASE}{path}", signed)
    for sent in ({**signed, "Body": f"ACK {code_of(row)}"}, {**signed, "Extra": "1"}):
        assert Browser().post(path, sent, headers={"X-Twilio-Signature": signature}).status_code == 403
    assert status_of(row) == "open"


def test_another_number_cannot_use_the_code() -> None:
    row = told(phone())
    phone(to=OTHER, owner=cast.contact(cast.globex(), "Gus"))
    assert "Nothing was acknowledged" in said(text(f"ACK {code_of(row)}", sender=OTHER))
    assert "Nothing was acknowledged" in said(text(f"ACK {code_of(row)}", sender="+351910000000", sid="SM2"))
    assert status_of(row) == "open"


def test_an_old_code_is_no_code() -> None:
    row = told(phone())
    Delivery.objects.filter(pk=row.pk).update(created_at=database_now() - timedelta(hours=25))
    assert "in the last 24 hours. Nothing was acknowledged." in said(text(f"ACK {code_of(row)}"))
    assert status_of(row) == "open"


def test_an_overheard_answer_that_is_played_again_does_nothing() -> None:
    """Twilio signs no time: the same message counts once, also when the alert has become worse and calls again."""
    row = told(phone())
    text(f"ACK {code_of(row)}")
    Alert.objects.filter(pk=row.alert_id).update(status="open", acknowledged_at=None, acknowledged_by="")
    assert said(text(f"ACK {code_of(row)}")) == ""
    assert status_of(row) == "open"
    assert said(text(f"ACK {code_of(row)}", sid="SM2")).startswith("You have it")


def test_another_accounts_owner_cannot_speak_for_this_one() -> None:
    """A client with an account of their own can sign whatever they like with its token; only for their own channels."""
    row = told(phone())
    phone(
        owner=cast.contact(cast.globex(), "Gus"), config={"account_sid": OWN_ACCOUNT}, secrets={"auth_token": OWN_TOKEN}
    )
    assert "Nothing was acknowledged" in said(text(f"ACK {code_of(row)}", token=OWN_TOKEN))
    assert status_of(row) == "open"


def test_a_channel_with_its_own_account_is_heard_by_that_account_only() -> None:
    row = told(phone(config={"account_sid": OWN_ACCOUNT}, secrets={"auth_token": OWN_TOKEN}))
    assert "Nothing was acknowledged" in said(text(f"ACK {code_of(row)}"))
    assert said(text(f"ACK {code_of(row)}", sid="SM2", token=OWN_TOKEN)).startswith("You have it")


def test_ten_wrong_codes_and_the_number_is_not_listened_to(caplog: pytest.LogCaptureFixture) -> None:
    row = told(phone())
    for n in range(10):
        assert "No alert with the code" in said(text("ACK ZZZZZ", sid=f"SMw{n}"))
    with caplog.at_level("WARNING", "watchkeeper.hooks"):
        assert said(text(f"ACK {code_of(row)}", sid="SMright")) == ""
    assert status_of(row) == "open" and "not listened to" in caplog.text and PHONE not in caplog.text


def test_two_machines_do_not_talk_all_night() -> None:
    phone()
    answers = [said(text("I am on holiday until Monday.", sid=f"SM{n}")) for n in range(5)]
    assert [bool(a) for a in answers] == [True, True, True, False, False]
    assert answers[0] == telephone.HOW


@pytest.mark.parametrize("word", ["STOP", "stop", "Unsubscribe", "START", "help", "Stop."])
def test_stop_is_left_to_twilio(word: str) -> None:
    phone()
    assert said(text(word)) == ""


def test_whatsapp_answers_are_heard_at_the_whatsapp_channel_only() -> None:
    sms, whatsapp = told(phone()), told(phone("twilio_whatsapp"), monitor=8)
    text(f"ACK {code_of(sms)}", sender=f"whatsapp:{PHONE}")
    assert status_of(sms) == "open"
    assert said(text(f"ACK {code_of(whatsapp)}", sender=f"whatsapp:{PHONE}", sid="SM2")).startswith("You have it")


# --- The door -----------------------------------------------------------------------------------------------------------
HOOKS = ["/hooks/twilio/message/", "/hooks/twilio/voice/1.x/", "/hooks/twilio/status/1/1/", "/hooks/vonage/message/"]
HOOKS += ["/hooks/vonage/status/", "/hooks/slack/", "/hooks/telegram/"]


@pytest.mark.parametrize("path", HOOKS)
def test_every_hook_is_for_post_small_and_refuses_what_is_not_signed(path: str) -> None:
    browser = Browser(enforce_csrf_checks=True)
    assert browser.get(path).status_code == 405
    assert browser.post(path, b"x" * (64 * 1024 + 1), content_type="application/json").status_code == 413
    for body, kind in (
        (b"", "application/json"),
        (b"[1]", "application/json"),
        (b"a=b", "application/x-www-form-urlencoded"),
    ):
        answer = browser.post(path, body, content_type=kind)
        assert answer.status_code == 403 and answer.content.startswith(b"Refused: ")


# --- A call ---------------------------------------------------------------------------------------------------------------
def press(row: Delivery, key: str, token: str = "", **fields: Any) -> Any:
    sent = {
        "CallSid": "CA1",
        "To": PHONE,
        "From": twilio_sms.FROM,
        "Digits": key,
        "CallStatus": "in-progress",
        **fields,
    }
    signed_with = sent.pop("signed_with", twilio_sms.TOKEN)
    return twilio(f"/hooks/twilio/voice/{token or links.token(row.pk)}/", sent, token=signed_with)


def test_one_acknowledges_and_nine_says_it_again() -> None:
    row = told(phone("twilio_voice"))
    again = said(press(row, "9"))
    assert again.count("connection refused") == 2 and "Press 1 to acknowledge" in again
    assert "That key does nothing" in said(press(row, "5")) and status_of(row) == "open"
    assert said(press(row, "1")).startswith("You have it")
    assert AuditEntry.objects.get(action="alert.acknowledge").actor == "Ana (phone call to +351…78)"


def test_a_voicemail_never_acknowledges() -> None:
    row = told(phone("twilio_voice"))
    for by in ("machine_start", "machine_end_beep", "machine_end_silence", "fax"):
        assert "answering machine cannot acknowledge" in said(press(row, "1", AnsweredBy=by))
    assert status_of(row) == "open"


def test_what_twilio_found_out_in_the_background_counts_as_well() -> None:
    row = told(phone("twilio_voice"))
    status = f"/hooks/twilio/status/{row.pk}/1/"
    assert twilio(status, {"CallSid": "CA1", "AnsweredBy": "machine_start"}).status_code == 204
    assert "answering machine cannot acknowledge" in said(press(row, "1"))
    assert status_of(row) == "open"
    assert said(press(row, "1", CallSid="CA2")).startswith("You have it"), "the next call reached a person"


def test_a_key_for_another_number_channel_or_token_is_refused() -> None:
    row, sms = told(phone("twilio_voice")), told(phone(), monitor=8)
    for answer in (
        press(row, "1", To=OTHER),
        press(row, "1", signed_with="another"),
        press(row, "1", token=links.token(row.pk, "report")),
        press(row, "1", token=f"{row.pk}.AAAAAAAAAAAAAAAAAAAA"),
        press(row, "1", token=links.token(sms.pk)),
    ):
        assert answer.status_code == 403
    assert {status_of(row), status_of(sms)} == {"open"}


def test_an_old_call_says_that_nothing_was_acknowledged() -> None:
    row = told(phone("twilio_voice"))
    Delivery.objects.filter(pk=row.pk).update(created_at=database_now() - timedelta(hours=25))
    for key in ("1", "9"):
        assert "older than 24 hours" in said(press(row, key))
    assert status_of(row) == "open"


# --- Receipts --------------------------------------------------------------------------------------------------------------
def receipt(row: Delivery, n: int = 1, token: str = twilio_sms.TOKEN, **fields: str) -> int:
    return int(twilio(f"/hooks/twilio/status/{row.pk}/{n}/", {"MessageSid": "SM1", **fields}, token=token).status_code)


def test_a_receipt_stands_with_the_attempt() -> None:
    row = told(phone())
    for state in ("sent", "delivered", "sent"):  # the last one is late
        assert receipt(row, MessageStatus=state) == 204
    assert row.attempts.get().answer == "delivered SM1"
    assert Delivery.objects.get(pk=row.pk).state == "delivered"


def test_what_can_never_arrive_fails_and_is_told_elsewhere() -> None:
    other = cast.channel(name="ops hook")
    row = told(phone())
    assert receipt(row, MessageStatus="undelivered", ErrorCode="30006") == 204
    row.refresh_from_db()
    assert row.state == "failed" and "30006" in row.reason and "landline" in row.reason
    assert row.attempts.get().outcome == "permanent"
    assert Delivery.objects.filter(kind="channel_dead", channel=other).count() == 1
    assert receipt(row, MessageStatus="undelivered", ErrorCode="30006") == 204
    assert Delivery.objects.filter(kind="channel_dead").count() == 1, "a receipt that comes twice changes nothing"


def test_what_may_arrive_next_time_goes_back_to_its_ladder() -> None:
    row = told(phone("twilio_voice"))
    at = database_now()
    assert twilio(f"/hooks/twilio/status/{row.pk}/1/", {"CallSid": "CA1", "CallStatus": "no-answer"}).status_code == 204
    row.refresh_from_db()
    assert row.state == "pending" and row.reason == "Nobody answered the call."
    assert timedelta(seconds=25) < row.next_attempt_at - at < timedelta(seconds=40)


def test_a_late_failure_of_an_earlier_attempt_or_of_what_is_over_calls_nobody() -> None:
    row = told(phone())
    Attempt.objects.create(delivery=row, n=2, at=database_now(), outcome="delivered", answer="queued SM2")
    Delivery.objects.filter(pk=row.pk).update(attempt=2)
    assert receipt(row, 1, MessageStatus="undelivered", ErrorCode="30008") == 204
    assert Delivery.objects.get(pk=row.pk).state == "delivered"
    acts.resolve(row.alert, by=cast.TESTS, at=database_now())
    assert receipt(row, 2, MessageStatus="undelivered", ErrorCode="30008") == 204
    assert Delivery.objects.get(pk=row.pk).state == "failed"
    assert not Delivery.objects.filter(kind="channel_dead").exists()


def test_a_forged_receipt_is_refused_and_an_unknown_attempt_told() -> None:
    row = told(phone())
    assert receipt(row, token="another", MessageStatus="undelivered") == 403
    assert Delivery.objects.get(pk=row.pk).state == "delivered"
    assert receipt(row, 9, MessageStatus="delivered") == 409
    assert not settle_later(987654321, 1, Later("delivered", "x"), at=database_now())


# --- Vonage ----------------------------------------------------------------------------------------------------------------
def vonage(path: str, said_: dict[str, Any], age: float = 0, secret: str = vonage_sms.SIGNATURE, **claims: Any) -> Any:
    """Vonage's POST with its signed token."""
    body = json.dumps(said_).encode()
    token = {
        "iat": int((database_now() - timedelta(seconds=age)).timestamp()),
        "jti": "c5ba8f24-1a14-4c10-bfdf-3fbe8ce511b5",
        "iss": "Vonage",
        "payload_hash": hashlib.sha256(body).hexdigest(),
        "api_key": vonage_sms.KEY,
        **claims,
    }
    signed = jwt.encode({k: v for k, v in token.items() if v is not None}, secret, algorithm="HS256")
    return Browser(enforce_csrf_checks=True).post(
        path, body, content_type="application/json", headers={"Authorization": f"Bearer {signed}"}
    )


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was sent back by SMS."""
    sent: list[str] = []
    monkeypatch.setattr(telephone, "reply_by_vonage", lambda row, providers, said: sent.append(said))
    return sent


def inbound(body: str, sender: str = PHONE, uuid: str = "u-1") -> dict[str, Any]:
    return {
        "channel": "sms",
        "message_uuid": uuid,
        "to": vonage_sms.FROM[1:],
        "from": sender[1:],
        "text": body,
        "message_type": "text",
    }


def test_vonages_answer_acknowledges_and_is_answered(replies: list[str]) -> None:
    row = told(phone("vonage_sms"))
    assert vonage("/hooks/vonage/message/", inbound(f"Ack {code_of(row)}")).status_code == 200
    assert status_of(row) == "acknowledged" and replies[0].startswith("You have it")
    assert AuditEntry.objects.get(action="alert.acknowledge").actor == "Ana (SMS from +351…78)"


def test_the_answer_goes_back_by_vonage_from_the_account_that_heard_it(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OUTBOUND_ALLOW = LOOPBACK.allow
    row = told(phone("vonage_sms"))
    with at_work(vonage_sms.VENDOR, monkeypatch) as server:
        vonage("/hooks/vonage/message/", inbound(f"ACK {code_of(row)}"))
        (call,) = server.accepted()
    assert call.json()["text"].startswith("You have it") and call.json()["to"] == PHONE[1:]
    deaf = vonage("/hooks/vonage/message/", inbound("ACK ZZZZZ", uuid="u-9"))
    assert deaf.status_code == 200, "nobody takes the answer any more, and the webhook is fine all the same"


@pytest.mark.parametrize(
    "forge",
    [{"secret": "another-signature-secret-0123456789"}, {"age": 301}, {"age": -301}, {"payload_hash": "0" * 64}]
    + [{"payload_hash": None}, {"api_key": "someoneelse"}, {"iat": None}, {"iat": "soon"}],
    ids=str,
)
def test_vonages_forged_or_stale_answer_changes_nothing(forge: dict[str, Any], replies: list[str]) -> None:
    row = told(phone("vonage_sms"))
    answer = vonage("/hooks/vonage/message/", inbound(f"ACK {code_of(row)}"), **forge)
    assert answer.status_code == 403 and status_of(row) == "open" and not replies


def test_an_unsigned_token_is_no_signature(replies: list[str]) -> None:
    row = told(phone("vonage_sms"))
    body = json.dumps(inbound(f"ACK {code_of(row)}")).encode()
    claims = {"iat": int(database_now().timestamp()), "payload_hash": hashlib.sha256(body).hexdigest()}
    token = jwt.encode(claims, "", algorithm="none")
    answer = Browser().post(
        "/hooks/vonage/message/", body, content_type="application/json", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 403 and status_of(row) == "open"


def test_vonages_answer_counts_once_and_for_its_own_number(replies: list[str]) -> None:
    row = told(phone("vonage_sms"))
    vonage("/hooks/vonage/message/", inbound(f"ACK {code_of(row)}", sender=OTHER))
    assert status_of(row) == "open"
    vonage("/hooks/vonage/message/", inbound(f"ACK {code_of(row)}", uuid="u-2"))
    Alert.objects.filter(pk=row.alert_id).update(status="open", acknowledged_at=None, acknowledged_by="")
    vonage("/hooks/vonage/message/", inbound(f"ACK {code_of(row)}", uuid="u-2"))
    assert status_of(row) == "open"


def test_vonages_receipts_settle_the_attempt_they_name() -> None:
    row = told(phone("vonage_sms"))
    base = {"message_uuid": "u-1", "client_ref": f"wk-{row.pk}-1", "channel": "sms"}
    assert vonage("/hooks/vonage/status/", {**base, "status": "submitted"}).status_code == 204
    assert row.attempts.get().answer == "submitted u-1"
    assert vonage("/hooks/vonage/status/", {**base, "status": "delivered"}, secret="x" * 32).status_code == 403
    error = {"type": "https://developer.vonage.com/api-errors/messages#1050", "title": 1050, "detail": "Number barred"}
    assert vonage("/hooks/vonage/status/", {**base, "status": "rejected", "error": error}).status_code == 204
    row.refresh_from_db()
    assert row.state == "failed" and row.reason == "Vonage says: rejected, error 1050: Number barred"
