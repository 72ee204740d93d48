"""Does every kind of channel keep the house's promises? Each registered kind, with the examples of its own settings."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from alerts import channels
from alerts.channels.addresses import refuse_private, refuse_private_targets
from alerts.channels.base import Channel, ChannelConfig, DeliveryError, HttpChannel, ThreadedChannel
from alerts.channels.wording import cut, cut_middle, span
from portal.outbound.http import OutboundError, Phases, Response
from portal.secrets import Sealed
from tests.alerts.letters import GATHERED, LOOPBACK, PAGE, RECOVERED, TEST, TRAPS, trapped

pytestmark = pytest.mark.once
every_kind = pytest.mark.parametrize("kind", channels.KINDS)
# Mail speaks SMTP: its formatting and its answers have tests of their own.
every_http_kind = pytest.mark.parametrize("kind", [k for k, c in channels.KINDS.items() if issubclass(c, HttpChannel)])


def example(kind: str) -> dict[str, Any]:
    """Settings as the fields' own examples say: a kind without examples cannot be shown in a form either."""
    fields = channels.KINDS[kind].Config.model_fields
    data = {name: field.examples[0] for name, field in fields.items() if field.examples}
    missing = [name for name, field in fields.items() if field.is_required() and name not in data]
    assert not missing, f"{kind}: give an example for {missing}"
    return data


def made(kind: str) -> Channel:
    config, secrets = channels.split(kind, example(kind))
    return channels.build({"type": kind, "config": config, "secrets": secrets}, {}, LOOPBACK)


def http(kind: str) -> HttpChannel:
    channel = made(kind)
    assert isinstance(channel, HttpChannel)
    return channel


def answer(status: int, body: bytes = b"", headers: list[tuple[str, str]] | None = None) -> Response:
    return Response(status, headers or [], body, False, Phases(), "127.0.0.1", "1.1", "http://x")


def secret_texts(channel: Channel) -> list[str]:
    _, secrets = channels.split(channel.kind, example(channel.kind))
    return [text for text in _texts(secrets) if len(text) > 5]


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


# --- the registry ----------------------------------------------------------------------------------------------------
@every_kind
def test_a_kind_is_complete(kind: str) -> None:
    cls = channels.get(kind)
    assert cls.kind == kind and cls.label
    assert issubclass(cls, HttpChannel | ThreadedChannel)
    assert issubclass(cls.Config, ChannelConfig)
    assert cls.main_field in cls.Config.model_fields
    assert (kind, cls.label) in channels.choices()
    assert all(field.get("title") for field in channels.schemas()[kind]["properties"].values())
    assert made(kind).ready() == "" or cls.provider, "only what a provider completes may be unready with its examples"


def test_an_unknown_type_is_told_the_known_ones() -> None:
    with pytest.raises(ValueError, match="known are email, slack, "):
        channels.get("pigeon")


# --- settings --------------------------------------------------------------------------------------------------------
@every_kind
def test_settings_come_back_as_they_went(kind: str) -> None:
    config, secrets = channels.split(kind, example(kind))
    assert json.loads(json.dumps([config, secrets])) == [config, secrets], "both must be storable as JSON"
    assert not set(config) & set(secrets)
    assert channels.join(kind, config, secrets) == channels.parse(kind, example(kind))
    assert channels.split(kind, {**config, **secrets}) == (config, secrets)
    sealed = {"type": kind, "config": config, "secrets": Sealed.of(secrets)}
    assert channels.build(sealed).config == channels.parse(kind, example(kind))


@every_kind
def test_the_main_field_is_enough_as_the_apis_shorthand(kind: str) -> None:
    main = channels.KINDS[kind].main_field
    given = example(kind)[main]
    assert isinstance(given, str)
    channels.parse(kind, {main: given})


@every_kind
def test_an_unknown_key_is_refused_and_no_answer_repeats_a_secret(kind: str) -> None:
    with pytest.raises(channels.InvalidSettings) as refusal:
        channels.split(kind, {**example(kind), "colour": "hunter2-hunter2"})
    assert "colour" in refusal.value.fields
    for name in channels.KINDS[kind].Config.model_fields:
        with pytest.raises(ValueError) as refusal_of_one:
            channels.split(kind, {**example(kind), name: {"hunter2-hunter2": ["hunter2-hunter2"]}, "extra": 1})
        assert "hunter2-hunter2" not in str(refusal_of_one.value).replace(f"{name}.hunter2-hunter2", "")
        assert refusal_of_one.value.__suppress_context__


@every_kind
def test_secrets_print_as_masks(kind: str) -> None:
    channel = made(kind)
    for secret in secret_texts(channel):
        for shown in (channel.address(), repr(channel.config), str(channel.config), channel.config.model_dump_json()):
            assert secret not in shown


@every_kind
def test_what_a_person_typed_is_checked_when_saved(kind: str) -> None:
    config = channels.parse(kind, example(kind))
    refuse_private_targets(config, ())  # its example is a public name (or unknown here): it passes


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:9/x", "http://10.0.0.7/", "https://[::1]/", "http://localhost/", "169.254.169.254"]
)
def test_private_addresses_are_refused_unless_allowed(target: str) -> None:
    with pytest.raises(ValueError, match="OUTBOUND_ALLOW"):
        refuse_private(target, ())


def test_allowed_and_unknown_addresses_pass() -> None:
    refuse_private("http://127.0.0.1:9/x", LOOPBACK.allow)
    refuse_private("https://no-such-name.example/", ())
    refuse_private("https://8.8.8.8/", ())
    with pytest.raises(ValueError, match="four plain decimal numbers"):
        refuse_private("http://0x7f.1/", ())


# --- formatting ------------------------------------------------------------------------------------------------------
@every_http_kind
@pytest.mark.parametrize("trap", TRAPS)
def test_a_hostile_name_breaks_no_request(kind: str, trap: str) -> None:
    channel = http(kind)
    for base in (PAGE, RECOVERED, TEST, GATHERED):
        request = channel.request(trapped(trap, base))
        assert request.timeout <= 10 and request.max_redirects == 0 and request.verify
        assert 0 < len(request.body or b"") < 60_000
        assert all(value.isprintable() for value in dict(request.headers).values())


@every_http_kind
def test_the_links_survive_the_longest_text(kind: str) -> None:
    if kind == "twilio_voice":
        pytest.skip("a call speaks; nobody can press a link in it")
    channel = http(kind)
    body = (channel.request(trapped("x" * 50_000)).body or b"").decode()
    for link in PAGE.links:
        assert link.url in body


@every_http_kind
def test_a_repeat_says_so_unless_the_receiver_folds_it(kind: str) -> None:
    channel = http(kind)
    again = (channel.request(replace(PAGE, attempt=2)).body or b"").decode()
    assert ("(repeat)" in again) is not channel.keyed
    assert "(repeat)" not in (channel.request(PAGE).body or b"").decode()


# --- answers ---------------------------------------------------------------------------------------------------------
@every_http_kind
@pytest.mark.parametrize(
    ("status", "permanent", "ambiguous"),
    [(400, True, False), (401, True, False), (403, True, False), (404, True, False), (410, True, False)]
    + [(302, True, False), (408, False, False), (429, False, False), (500, False, True), (503, False, True)],
)
def test_http_answers_mean_the_same_everywhere(kind: str, status: int, permanent: bool, ambiguous: bool) -> None:
    channel = http(kind)
    with pytest.raises(DeliveryError) as refusal:
        channel.read(answer(status, b"no, thank you", [("Retry-After", "7")]))
    error = refusal.value
    assert (error.permanent, error.ambiguous, error.code) == (permanent, ambiguous, status)
    assert error.retry_after == 7 or permanent


@every_http_kind
def test_a_vendor_that_echoes_the_secret_does_not_put_it_into_the_log(kind: str) -> None:
    channel = http(kind)
    for secret in secret_texts(channel):
        for status in (200, 400, 500):
            try:
                said = channel.read(answer(status, f"you sent {secret}, thanks".encode())).answer
            except DeliveryError as error:
                said = str(error)
            assert secret not in said


@every_http_kind
def test_a_broken_connection_is_ambiguous_only_once_sent(kind: str) -> None:
    channel = http(kind)
    assert channel.failed(OutboundError("timeout", "late", sent=True)).ambiguous
    assert not channel.failed(OutboundError("connect_refused", "refused")).ambiguous
    assert channel.failed(OutboundError("blocked", "no")).permanent


# --- wording ---------------------------------------------------------------------------------------------------------
def test_cutting_keeps_what_matters() -> None:
    assert cut("connection refused", 10) == "connectio…"
    assert cut("short", 10) == "short"
    assert cut_middle("shop-in-a-very-long-place-eu-1", 20).endswith("-eu-1")
    assert len(cut_middle("x" * 99, 20)) == 20


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, ""), (0, "0 s"), (59, "59 s"), (360, "6 min"), (7500, "2 h 5 min"), (273600, "3 d 4 h")],
)
def test_durations_as_people_say_them(seconds: float | None, said: str) -> None:
    assert span(seconds) == said


def test_a_secret_is_never_a_plain_string_in_the_settings() -> None:
    for kind, cls in channels.KINDS.items():
        config = channels.parse(kind, example(kind))
        for name in cls.Config.secret_names():
            value = getattr(config, name)
            assert isinstance(value, SecretStr | dict), f"{kind}.{name}"
