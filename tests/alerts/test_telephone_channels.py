"""Do SMS, calls and WhatsApp say the right thing in the fewest paid parts, and read Twilio's and Vonage's answers rightly?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from alerts import channels
from alerts.channels.base import DeliveryError, HttpChannel
from alerts.channels.telephone import masked, number, segments, sms
from alerts.message import Link, Message
from tests.alerts.letters import GATHERED, PAGE, RECOVERED, TEST, deliver, trapped
from tests.alerts.vendors import Vendor, twilio_sms, twilio_voice, twilio_whatsapp, vonage_sms
from tests.alerts.vendors.desk import at_work, built
from tests.rig.answers import Answer
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.once

LINK = "https://portal.example/a/41.c2lnbmF0dXJlMTIzNDU2Nzg/"
TAKE = replace(
    PAGE,
    acknowledge_token="41.c2lnbmF0dXJlMTIzNDU2Nzg",
    acknowledge_code="K7Q2M",
    links=(Link("acknowledge", "Acknowledge", LINK), Link("open", "Open", "https://portal.example/alerts/9/")),
)
PUBLIC = "https://portal.example"


@pytest.fixture(autouse=True)
def public(settings: Any) -> None:
    settings.BASE_URL = PUBLIC


@pytest.fixture
def twilio(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with at_work(twilio_sms.VENDOR, monkeypatch) as server:
        yield server


def made(vendor: Vendor, **more: Any) -> HttpChannel:
    return built(vendor.setup(""), **more)


def form(channel: HttpChannel, message: Message = TAKE) -> dict[str, str]:
    return channel.fields(message)  # type: ignore[attr-defined,no-any-return]


# --- numbers and segments ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("+351 912 345 678", "+351912345678"),
        ("00351-912-345-678", "+351912345678"),
        ("+1 (415) 523-8886", "+14155238886"),
    ],
)
def test_a_number_may_be_written_as_people_write_it(typed: str, kept: str) -> None:
    assert number(typed) == kept


@pytest.mark.parametrize(
    "typed", ["912345678", "+0123456789", "+351", "call me", "+1234567890123456", "+351912345678,+351911111111"]
)
@pytest.mark.parametrize("kind", ["twilio_sms", "vonage_sms", "twilio_voice", "twilio_whatsapp"])
def test_anything_else_is_refused_with_an_example(kind: str, typed: str) -> None:
    with pytest.raises(channels.InvalidSettings, match=r"country code, as \+351912345678"):
        channels.split(kind, {"to": typed})


def test_a_sender_is_a_number_a_short_code_or_a_name() -> None:
    for good in ("+351300500700", "12345", "Watchkeeper", "ACME"):
        channels.split("twilio_sms", {"to": "+351912345678", "sender": good})
    for bad in ("A-name-that-is-long", "+12", "x\r\ny"):
        with pytest.raises(channels.InvalidSettings):
            channels.split("twilio_sms", {"to": "+351912345678", "sender": bad})
    with pytest.raises(channels.InvalidSettings):  # a name cannot call
        channels.split("twilio_voice", {"to": "+351912345678", "sender": "ACME"})


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 1), ("a" * 160, 1), ("a" * 161, 2), ("a" * 306, 2), ("a" * 307, 3)]
    + [("€" * 80, 1), ("€" * 81, 2), ("a" * 152 + "€" * 5, 2), ("ü" * 160, 1), ("ã" * 70, 1), ("ã" * 71, 2)]
    + [("😀" * 35, 1), ("😀" * 36, 2), ("😀" * 66, 2), ("😀" * 67, 3), ("ã" * 134, 2), ("ã" * 135, 3)],
)
def test_segments_are_counted_as_they_are_paid(text: str, count: int) -> None:
    """An emoji (two units) is never torn apart: 33 of them fit into 67 units."""
    assert segments(text) == count


def test_a_number_in_a_log_is_not_the_number() -> None:
    assert masked("+351912345691") == "+351…91"


# --- the text message ---------------------------------------------------------------------------------------------------
def test_it_says_what_where_why_and_how_to_answer() -> None:
    assert form(made(twilio_sms.VENDOR))["Body"] == (f"Down: Acme - shop\nconnection refused\n{LINK}\nReply ACK K7Q2M")
    assert segments(form(made(twilio_sms.VENDOR))["Body"]) == 1


@pytest.mark.parametrize(
    ("message", "begins"),
    [
        (replace(TAKE, kind="escalated"), "Escalated: Acme - shop\n"),
        (replace(TAKE, kind="reminder"), "Still open: Acme - shop\n"),
    ]
    + [
        (replace(TAKE, kind="exhausted"), "Nobody answered: Acme - shop\n"),
        (RECOVERED, "Recovered: Acme - shop\nafter 6 min"),
    ]
    + [
        (GATHERED, "23 alerts: 22 critical, 1 recovered\nDown Acme - shop; "),
        (TEST, "Test: Acme - shop\nThis is a test"),
    ]
    + [(replace(TAKE, attempt=2), "Down: Acme - shop (repeat)\n")],
)
def test_every_kind_begins_with_its_word(message: Message, begins: str) -> None:
    assert form(made(twilio_sms.VENDOR), message)["Body"].startswith(begins)


@pytest.mark.parametrize("most", [1, 2, 3, 10])
@pytest.mark.parametrize("cause", ["x" * 3000, "ü" * 3000, "ã" * 3000, "😀" * 3000, "{" * 3000])
def test_the_cause_is_cut_and_nothing_else(cause: str, most: int) -> None:
    body = form(made(twilio_sms.VENDOR, max_segments=most), replace(TAKE, cause=cause))["Body"]
    assert segments(body) <= most and body.endswith(f"\n{LINK}\nReply ACK K7Q2M")
    if most == 1 and cause[0] in "ã😀":  # 70 places are less than name, link and code need: the cause goes altogether
        assert body == f"Down: Acme - shop\n{LINK}\nReply ACK K7Q2M"
        return
    assert body.startswith("Down: Acme - shop\n") and "...\n" in body
    longer = body.replace("...\n", cause[0] * 4 + "...\n")
    assert segments(longer) > most or len(longer) > 1600, "there was room for more of it"


def test_a_long_name_loses_its_middle_before_the_link_loses_anything() -> None:
    long = replace(TAKE, cause="", monitor={"name": "shop" + "-a" * 400 + "-eu-1"})
    body = form(made(twilio_sms.VENDOR), long)["Body"]
    assert segments(body) == 2 and body.endswith(f"-eu-1\n{LINK}\nReply ACK K7Q2M")


def test_an_answer_is_asked_for_only_where_it_is_heard() -> None:
    account = twilio_sms.provider()
    deaf = {**account, "auth_token": "", "api_key_sid": "SK" + "0" * 32, "api_key_secret": "s3cret-s3cret"}
    setup = twilio_sms.VENDOR.setup("")
    for provider, more in ((deaf, {}), (account, {"sender": "ACME"})):
        channel = built(replace(setup, provider=provider), **more)
        assert channel.ready() == "" and "ACK" not in form(channel)["Body"]
    for quiet in (RECOVERED, GATHERED, replace(TAKE, kind="acknowledged"), TEST):
        assert "ACK" not in form(made(twilio_sms.VENDOR), quiet)["Body"]
    unsigned = replace(vonage_sms.VENDOR.setup(""), provider={**vonage_sms.provider(), "signature_secret": ""})
    assert "ACK" not in json.loads(built(unsigned).request(TAKE).body or b"")["text"]
    assert "Reply ACK K7Q2M" in json.loads(made(vonage_sms.VENDOR).request(TAKE).body or b"")["text"]


def test_without_a_link_the_text_still_stands() -> None:
    assert sms(replace(TAKE, links=())) == "Down: Acme - shop\nconnection refused"


# --- Twilio's account ----------------------------------------------------------------------------------------------------
def test_what_is_missing_is_said_with_the_cure() -> None:
    setup = twilio_sms.VENDOR.setup("")
    for provider, word in (
        ({}, "No Twilio account"),
        ({"account_sid": twilio_sms.ACCOUNT, "sender": "+351300500700"}, "auth token nor an API key"),
        ({"account_sid": twilio_sms.ACCOUNT, "auth_token": "x" * 32}, "No sender"),
    ):
        assert word in built(replace(setup, provider=provider)).ready()
    assert (
        "number to call from"
        in built(replace(twilio_voice.VENDOR.setup(""), provider=twilio_sms.provider(sender="ACME"))).ready()
    )
    whatsapp = twilio_whatsapp.VENDOR.setup("")
    assert "WhatsApp sender" in built(replace(whatsapp, provider=twilio_sms.provider())).ready()
    assert "approved template" in built(whatsapp, content_sid=None).ready()
    assert "No Vonage account" in built(replace(vonage_sms.VENDOR.setup(""), provider={})).ready()


def test_an_api_key_goes_before_the_auth_token_and_a_service_before_the_number() -> None:
    more = {"api_key_sid": "SK" + "1" * 32, "api_key_secret": "k3y-s3cret", "messaging_service_sid": "MG" + "2" * 32}
    channel = built(replace(twilio_sms.VENDOR.setup(""), provider=twilio_sms.provider(**more)))
    assert channel.request(TAKE).auth == ("basic", "SK" + "1" * 32, "k3y-s3cret")
    fields = form(channel)
    assert fields["MessagingServiceSid"] == "MG" + "2" * 32 and "From" not in fields
    assert (
        built(replace(twilio_sms.VENDOR.setup(""), provider=twilio_sms.provider(region="ie1")))
        .request(TAKE)
        .url.startswith("https://api.dublin.ie1.twilio.com/2010-04-01/Accounts/AC")
    )


def test_a_channels_own_account_takes_nothing_of_the_installations() -> None:
    own = {"account_sid": "AC" + "9" * 32, "auth_token": "own-token-own-token", "sender": "+351300500999"}
    channel = made(twilio_sms.VENDOR, **own)
    request = channel.request(TAKE)
    assert request.auth == ("basic", own["account_sid"], own["auth_token"]) and own["account_sid"] in request.url
    assert twilio_sms.TOKEN not in str(request) and form(channel)["From"] == own["sender"]
    assert "No sender" in made(twilio_sms.VENDOR, **{**own, "sender": None}).ready()
    with pytest.raises(channels.InvalidSettings, match="needs both"):
        channels.split("twilio_sms", {"to": "+351912345678", "account_sid": "AC" + "9" * 32})


@pytest.mark.parametrize(
    ("base", "called"),
    [("https://portal.example", True), ("http://localhost:8000", False), ("http://127.0.0.1:8000", False)]
    + [("http://10.1.2.3", False), ("http://portal", False), ("http://wk.local", False)],
)
def test_twilio_is_asked_to_call_back_only_where_it_can(base: str, called: bool, settings: Any) -> None:
    """With an address that it cannot reach Twilio refuses the message itself (21609)."""
    settings.BASE_URL = base
    fields = form(made(twilio_sms.VENDOR), replace(TAKE, attempt=3))
    assert fields.get("StatusCallback") == (f"{base}/hooks/twilio/status/41/3/" if called else None)


# --- Twilio's answers ---------------------------------------------------------------------------------------------------
def test_queued_is_noted_with_the_sid(twilio: Receiver) -> None:
    receipt = deliver(made(twilio_sms.VENDOR), TAKE)
    assert (receipt.code, receipt.provider_id, receipt.answer) == (201, twilio_sms.SID, f"queued {twilio_sms.SID}")


@pytest.mark.parametrize("code", [21211, 21408, 21610, 21614, 30003, 30004, 30005, 30006, 30007, 30034])
def test_what_can_never_arrive_is_final_and_names_the_cure(twilio: Receiver, code: int) -> None:
    status, headers, body = twilio_sms.refused(400, code, f"refused for {twilio_sms.TOKEN}")
    twilio.behave(EVERYWHERE, Answer(status, body, headers, accepted=False))
    with pytest.raises(DeliveryError, match=f"Twilio error {code}") as refusal:
        deliver(made(twilio_sms.VENDOR), TAKE)
    assert refusal.value.permanent and twilio_sms.TOKEN not in str(refusal.value)
    assert str(refusal.value).endswith("."), "the cure is a sentence"


@pytest.mark.parametrize(
    ("status", "body", "permanent", "ambiguous"),
    [
        (429, {"code": 20429, "message": "Too Many Requests"}, False, False),
        (400, {"code": 21611, "message": "queue"}, False, False),
    ]
    + [
        (401, {"code": 20003, "message": "Authenticate"}, True, False),
        (500, {"code": 20500, "message": "oops"}, False, True),
    ]
    + [
        (201, {"sid": "SM1", "status": "failed", "error_code": 30006}, True, False),
        (201, {}, False, True),
        (200, [], False, True),
    ],
)
def test_the_code_decides_what_follows(
    twilio: Receiver, status: int, body: Any, permanent: bool, ambiguous: bool
) -> None:
    twilio.behave(EVERYWHERE, Answer(status, json.dumps(body).encode(), {}, accepted=status < 300))
    with pytest.raises(DeliveryError) as refusal:
        deliver(made(twilio_sms.VENDOR), TAKE)
    assert (refusal.value.permanent, refusal.value.ambiguous) == (permanent, ambiguous)


def test_before_a_second_try_twilio_is_asked_for_the_first(twilio: Receiver) -> None:
    """Its answer was lost, not the message: nobody gets a second copy."""
    again = replace(TAKE, attempt=2)
    path = f"/2010-04-01/Accounts/{twilio_sms.ACCOUNT}/Messages.json"
    rows = [
        {"sid": "SMold", "status": "undelivered", "body": f"x {LINK}"},
        {"sid": "SMother", "status": "sent", "body": "y"},
    ]
    twilio.behave(
        path, Answer(200, twilio_sms.listing(*rows, {"sid": "SMfirst", "status": "sent", "body": f"Down {LINK} z"}))
    )
    assert deliver(made(twilio_sms.VENDOR), again).answer == "sent SMfirst"
    assert [call.method for call in twilio.calls] == ["GET"] and twilio.calls[0].query["To"] == [twilio_sms.NUMBER]
    twilio.forget()
    found = [Answer(200, twilio_sms.listing(*rows)), Answer(201, b'{"sid": "SMnew", "status": "queued"}')]
    twilio.behave(path, *found)
    assert deliver(made(twilio_sms.VENDOR), again).provider_id == "SMnew"
    assert [call.method for call in twilio.calls] == ["GET", "POST"]


# --- the call ------------------------------------------------------------------------------------------------------------
def twiml(message: Message = TAKE, **more: Any) -> ElementTree.Element:
    return ElementTree.fromstring(form(made(twilio_voice.VENDOR, **more), message)["Twiml"])


def test_a_call_says_it_twice_and_waits_for_one_key() -> None:
    gather = twiml().find("Gather")
    assert gather is not None and gather.get("numDigits") == "1" and gather.get("method") == "POST"
    assert gather.get("action") == f"{PUBLIC}/hooks/twilio/voice/{TAKE.acknowledge_token}/"
    said = [say.text for say in gather.iter("Say")]
    assert (
        said
        == ["This is Watchkeeper. Down: Acme, shop. connection refused. Press 1 to acknowledge, 9 to hear it again."]
        * 2
    )
    assert "nothing was acknowledged" in (twiml().findall("Say")[-1].text or "")


def test_no_key_is_asked_for_where_there_is_nothing_to_acknowledge() -> None:
    for quiet in (RECOVERED, GATHERED, TEST, replace(TAKE, kind="acknowledged")):
        assert twiml(quiet).find("Gather") is None and len(twiml(quiet).findall("Say")) == 2


def test_a_machine_is_to_be_recognised_and_told_of(settings: Any) -> None:
    fields = form(made(twilio_voice.VENDOR))
    assert fields["MachineDetection"] == "Enable" and fields["AsyncAmd"] == "true"
    assert fields["AsyncAmdStatusCallback"] == fields["StatusCallback"] == f"{PUBLIC}/hooks/twilio/status/41/1/"
    settings.BASE_URL = "http://localhost:8000"
    fields = form(made(twilio_voice.VENDOR))
    assert fields["MachineDetection"] == "Enable" and "AsyncAmd" not in fields


@pytest.mark.parametrize("text", ["&" * 5000, "😀" * 5000, "x" * 5000, "<Say>", "\ud800\ufffe", "a" * 345])
def test_the_words_stay_below_twilios_limit_and_are_xml(text: str) -> None:
    for message in (trapped(text, TAKE), replace(TAKE, cause=text), replace(TAKE, monitor={"name": text})):
        whole = form(made(twilio_voice.VENDOR), message)["Twiml"]
        assert len(whole) <= 4000 and ElementTree.fromstring(whole).tag == "Response"
        assert "Press 1 to acknowledge" in whole


# --- WhatsApp --------------------------------------------------------------------------------------------------------------
def test_whatsapp_fills_the_five_variables_and_sends_no_body() -> None:
    fields = form(made(twilio_whatsapp.VENDOR))
    assert "Body" not in fields and fields["To"] == f"whatsapp:{twilio_sms.NUMBER}"
    variables = json.loads(fields["ContentVariables"])
    assert twilio_whatsapp.shown(variables) == (
        "Down: shop - connection refused\nClient: Acme\nSince: 21 Nov 2026, 14:32:08 (UTC)\n"
        f"Open or acknowledge: {LINK} (reply ACK K7Q2M)\nThis message was sent by Watchkeeper."
    )


def test_free_text_is_a_choice_and_then_there_is_no_template() -> None:
    fields = form(made(twilio_whatsapp.VENDOR, free_text=True))
    assert "ContentSid" not in fields and fields["Body"].startswith("Down: Acme - shop\n") and LINK in fields["Body"]


@pytest.mark.parametrize("text", ["", "x" * 5000, "😀" * 5000, "a\n\tb" + " " * 9 + "c"])
def test_no_variable_is_empty_broken_or_too_long(text: str) -> None:
    for message in (trapped(text, TAKE), trapped(text, GATHERED), replace(TAKE, client={}, monitor={}, links=())):
        variables = json.loads(form(made(twilio_whatsapp.VENDOR), message)["ContentVariables"])
        assert all(v.strip() and "\n" not in v and "\t" not in v and "    " not in v for v in variables.values())
        assert len(twilio_whatsapp.shown(variables)) <= 1024


# --- Vonage ----------------------------------------------------------------------------------------------------------------
def test_vonage_takes_numbers_without_plus_and_is_told_where_to_report(monkeypatch: pytest.MonkeyPatch) -> None:
    with at_work(vonage_sms.VENDOR, monkeypatch) as server:
        receipt = deliver(made(vonage_sms.VENDOR), TAKE)
        sent = server.calls[0].json()
    assert receipt.provider_id == vonage_sms.UUID and receipt.answer == f"submitted {vonage_sms.UUID}"
    assert (sent["to"], sent["from"], sent["client_ref"]) == ("351912345678", "351300500701", "wk-41-1")
    assert (sent["webhook_url"], sent["webhook_version"]) == (f"{PUBLIC}/hooks/vonage/status/", "v1")


@pytest.mark.parametrize(
    ("answer", "said", "permanent", "ambiguous"),
    [(vonage_sms.wrong("to", "bad number"), r"to: bad number\)\. Check the number", True, False)]
    + [(vonage_sms.refused(402, "#low-balance", "Low balance", "Your balance is low."), "top it up", True, False)]
    + [(vonage_sms.refused(429, "#throttled", "Rate Limit Hit", "Wait."), "Rate Limit Hit", False, False)]
    + [(vonage_sms.refused(500, "#internal", "Internal", "Sorry."), "Internal", False, True)]
    + [
        ((202, {}, b"{}"), "may have been sent", False, True),
        ((202, {}, b"<html>"), "may have been sent", False, True),
    ],
)
def test_vonages_problems_are_read(
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, dict[str, str], bytes],
    said: str,
    permanent: bool,
    ambiguous: bool,
) -> None:
    with at_work(vonage_sms.VENDOR, monkeypatch) as server:
        server.behave(EVERYWHERE, Answer(answer[0], answer[2], answer[1], accepted=False))
        with pytest.raises(DeliveryError, match=said) as refusal:
            deliver(made(vonage_sms.VENDOR), TAKE)
    assert (refusal.value.permanent, refusal.value.ambiguous) == (permanent, ambiguous)


def test_they_are_paid_so_they_are_few_unless_somebody_says_otherwise() -> None:
    for kind in ("twilio_sms", "vonage_sms", "twilio_voice", "twilio_whatsapp"):
        assert (channels.KINDS[kind].per_minute, channels.KINDS[kind].per_month) == (10, 500)
