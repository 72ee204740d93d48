"""Does every channel get along with its vendor? Real requests over loopback to servers that keep the vendors' own rules."""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from alerts import channels
from alerts.channels.base import Channel, DeliveryError, HttpChannel
from alerts.message import Message
from tests.alerts import vendors
from tests.alerts.letters import DIAGNOSED, GATHERED, LOOPBACK, PAGE, RECOVERED, TEST, deliver, trapped
from tests.alerts.vendors import Vendor
from tests.rig.answers import Answer, accept_then_cut, drip, hang
from tests.rig.calls import Call
from tests.rig.receiver import EVERYWHERE, Receiver

pytestmark = pytest.mark.once

FOUND: dict[str, Vendor] = {
    v.kind: v for m in pkgutil.iter_modules(vendors.__path__) if (v := getattr(importlib.import_module(f"{vendors.__name__}.{m.name}"), "VENDOR", None))
}  # fmt: skip
NAMED = replace(
    PAGE, key="watchkeeper-0a1b2c3d4e-9", acknowledge_token="41.c2lnbmF0dXJlMTIzNDU2Nzg", acknowledge_code="K7Q2M"
)
# Every kind of message that a channel must be able to say.
MESSAGES: dict[str, Message] = {
    "opened": NAMED,
    "diagnosed": replace(DIAGNOSED, key=NAMED.key),
    "updated": replace(DIAGNOSED, key=NAMED.key, kind="updated", event="updated", type="monitor.updated", delivery_id=60),
    "raised": replace(NAMED, kind="raised", delivery_id=51),
    "escalated": replace(NAMED, kind="escalated", delivery_id=52),
    "reminder": replace(NAMED, kind="reminder", delivery_id=53),
    "acknowledged": replace(NAMED, kind="acknowledged", delivery_id=54, links=PAGE.links[1:], cause="Ana takes it."),
    "exhausted": replace(NAMED, kind="exhausted", delivery_id=55),
    "recovered": replace(RECOVERED, key=NAMED.key),
    "digest": GATHERED,
    "test": TEST,
    "canary": replace(TEST, kind="canary", type="canary", delivery_id=56, title="Weekly test of ops", cause="Nothing is wrong."),
    "channel_dead": replace(TEST, kind="channel_dead", event="channel_dead", type="channel.dead", severity="warning", delivery_id=57, title="Channel ops does not deliver", cause="HTTP 404"),
    "shift": replace(TEST, kind="shift", event="shift", type="oncall.shift", delivery_id=58, title="You are on call", cause="Until Monday 09:00."),
    "quota": replace(TEST, kind="quota", event="quota", type="channel.quota", severity="warning", delivery_id=59, title="Channel sms has used 80 % of its month"),
}  # fmt: skip
HOSTILE = "<!channel> @everyone <b>*_[x](y) \r\nBcc: all@evil.example"
AS_TYPED = "<!channel> @everyone <b>*_[x](y) Bcc: all@evil.example"  # a name is one line; all else as typed

ONE_LINK = ("twilio_sms", "twilio_whatsapp", "vonage_sms")  # room for the most urgent link only: Acknowledge

every_vendor = pytest.mark.parametrize("vendor", FOUND.values(), ids=FOUND.keys())


class Counter:
    """A vendor's server, and the channel that sends to it."""

    def __init__(self, vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
        self.vendor = vendor
        self.server = Receiver(judge=self._judge)
        self.server.__enter__()
        base = self.server.url("").rstrip("/")
        for place, suffix in vendor.patch:
            monkeypatch.setattr(place, base + suffix)
        setup = vendor.setup(base)
        config, secrets = channels.split(setup.type, {**setup.config, **setup.secrets})
        self.channel: Channel = channels.build(
            {"type": setup.type, "config": config, "secrets": secrets}, setup.provider, LOOPBACK
        )
        self.hidden = [t for t in [*_texts(secrets), *_texts(setup.provider)] if len(t) >= 8 and not t.startswith("+")]

    def _judge(self, call: Call) -> Answer:
        status, headers, body = self.vendor.answer(call)
        return Answer(status, body, headers, accepted=status < 400)

    def send(self, message: Message) -> object:
        assert isinstance(self.channel, HttpChannel)
        return deliver(self.channel, message)

    def seen(self) -> str:
        """Everything that a person sees, in one text."""
        return "\n".join(text for call in self.server.accepted() for text in self.vendor.seen(call))


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    return [value] if isinstance(value, str) else []


@pytest.fixture
def counter(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter]:
    if not issubclass(channels.get(vendor.kind), HttpChannel):
        pytest.skip("it does not speak HTTP itself; its own tests send to a real server")
    found = Counter(vendor, monkeypatch)
    try:
        yield found
    finally:
        found.server.__exit__(None, None, None)


def test_every_http_channel_has_a_vendor_that_judges_it() -> None:
    missing = {k for k, c in channels.KINDS.items() if issubclass(c, HttpChannel)} - set(FOUND)
    assert not missing, f"no vendor for {sorted(missing)}"


@every_vendor
@pytest.mark.parametrize("kind", MESSAGES)
def test_the_vendor_takes_every_kind_of_message(counter: Counter, kind: str) -> None:
    counter.send(MESSAGES[kind])
    assert counter.server.accepted() and len(counter.server.accepted()) == len(counter.server.calls)


@every_vendor
def test_a_page_says_what_is_wrong(counter: Counter) -> None:
    counter.send(NAMED)
    seen = counter.seen()
    assert "shop" in seen and "connection refused" in seen


@every_vendor
def test_a_page_with_its_cause_says_it_and_links_the_report(counter: Counter) -> None:
    counter.send(replace(DIAGNOSED, key=NAMED.key))
    assert "Loss begins at hop 7" in counter.seen()
    if counter.vendor.link_in_text and counter.vendor.kind not in ONE_LINK:
        sent = b"".join(c.body + c.target.encode() for c in counter.server.calls).decode("utf-8", "replace")
        assert "/r/12" in sent, sent[:800]


@every_vendor
def test_a_page_carries_a_way_to_act(counter: Counter) -> None:
    counter.send(NAMED)
    if counter.vendor.link_in_text:
        sent = b"".join(c.body + c.target.encode() for c in counter.server.calls).decode("utf-8", "replace")
        assert "portal.example" in sent


@every_vendor
def test_a_hostile_name_shows_as_typed(counter: Counter) -> None:
    counter.send(replace(trapped(HOSTILE), key=NAMED.key))
    shown = " ".join(counter.seen().split())
    assert AS_TYPED in shown, shown[:600]


@every_vendor
@pytest.mark.parametrize(
    "long", ["x" * 60_000, "ü" * 20_000, "😀" * 20_000, "&<>*_`" * 9_000], ids=["plain", "ü", "emoji", "markup"]
)
def test_an_over_long_text_is_cut_within_the_limit(counter: Counter, long: str) -> None:
    counter.send(replace(trapped(long), key=NAMED.key))
    if counter.vendor.link_in_text:
        sent = b"".join(c.body + c.target.encode() for c in counter.server.calls).decode("utf-8", "replace")
        assert "portal.example" in sent, "the link was cut"


@every_vendor
def test_the_vendor_that_is_too_busy_is_asked_again_when_it_says(counter: Counter) -> None:
    status, headers, body = counter.vendor.too_many
    counter.server.behave(EVERYWHERE, Answer(status, body, headers, accepted=False))
    with pytest.raises(DeliveryError) as refusal:
        counter.send(NAMED)
    error = refusal.value
    assert not error.permanent and not error.ambiguous and error.retry_after == 7


@every_vendor
@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_vendor_in_trouble_is_asked_again(counter: Counter, status: int) -> None:
    counter.server.behave(EVERYWHERE, Answer(status, b"upstream down", accepted=False))
    with pytest.raises(DeliveryError) as refusal:
        counter.send(NAMED)
    assert not refusal.value.permanent and refusal.value.code == status


@every_vendor
def test_a_final_no_is_final_and_hides_our_secrets(counter: Counter) -> None:
    status, headers, body = counter.vendor.refused
    echo = body + b" you sent " + " ".join(counter.hidden).encode()
    for answer in (body, echo):
        counter.server.behave(EVERYWHERE, Answer(status, answer, headers, accepted=False))
        with pytest.raises(DeliveryError) as refusal:
            counter.send(NAMED)
        assert refusal.value.permanent
        assert not any(secret in str(refusal.value) for secret in counter.hidden)


@every_vendor
@pytest.mark.parametrize("manner", [accept_then_cut(), drip(b"." * 2000, 0.05), hang()], ids=["cut", "drip", "silence"])
def test_an_answer_that_never_comes_is_ambiguous_and_ends_in_time(
    counter: Counter, manner: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = type(counter.channel).request
    monkeypatch.setattr(type(counter.channel), "request", lambda self, m: replace(whole(self, m), timeout=0.3))
    counter.server.behave(EVERYWHERE, manner)
    began = time.monotonic()
    with pytest.raises(DeliveryError) as refusal:
        counter.send(NAMED)
    assert time.monotonic() - began < 30 and not refusal.value.permanent
    assert refusal.value.ambiguous or not counter.server.accepted() or len(counter.server.calls) > 1
