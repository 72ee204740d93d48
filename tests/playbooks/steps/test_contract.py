"""Does every kind of step keep the house's promises? Each registered kind, with the examples of its own settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from playbooks import steps
from playbooks.steps.base import MOST_OUTPUT, NotDone, Step, StepConfig, shortened
from tests.environment import for_programs
from tests.playbooks.steps import scene
from tests.rig import netns
from tests.rig.process import NotAvailable

pytestmark = pytest.mark.once
KINDS = tuple(steps.KINDS)
every_kind = pytest.mark.parametrize("kind", KINDS)
ROOT = Path(__file__).resolve().parents[3]
TALK = (
    "socket.connect",
    "socket.sendto",
    "socket.sendmsg",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.bind",
)
_heard: list[str] | None = None


def _listen(event: str, _: tuple[Any, ...]) -> None:
    if _heard is not None and event in TALK:
        _heard.append(event)


sys.addaudithook(_listen)  # for good: Python takes none back


@contextmanager
def talk() -> Iterator[list[str]]:
    """Every look-up and every connection that is made meanwhile, by anybody in this process."""
    global _heard
    _heard = []
    try:
        yield _heard
    finally:
        _heard = None


def said_of(kind: str) -> list[str]:
    """All that can be said of a step beforehand."""
    step = scene.made(kind, **scene.example(kind))
    return [step.sentence(), step.undo_sentence(), step.target(), str(step.longest())]


# --- The registry -----------------------------------------------------------------------------------------------------------
def test_these_are_the_kinds() -> None:
    assert KINDS == ("dns_swap", "restart", "script", "webhook", "wait", "check", "incident_update", "notify")


@every_kind
def test_a_kind_is_complete(kind: str) -> None:
    cls = steps.get(kind)
    assert cls.kind == kind and cls.label and (kind, cls.label) in steps.choices()
    assert issubclass(cls, Step) and issubclass(cls.Config, StepConfig)
    assert all(field.get("title") for field in steps.schemas()[kind]["properties"].values())
    assert len(kind) <= 24


@every_kind
def test_its_settings_come_back_as_they_were_stored(kind: str) -> None:
    config, secrets = steps.split(kind, scene.example(kind))
    again = steps.build(kind, config, secrets)
    assert steps.split(kind, {**config, **secrets}) == (config, secrets)
    assert again.config == scene.made(kind, **scene.example(kind)).config


@every_kind
def test_a_step_that_acts_names_what_it_touches(kind: str) -> None:
    step = scene.made(kind, **scene.example(kind))
    target = step.target()
    assert bool(target) == step.acts
    assert len(target) <= 300 and target == scene.made(kind, **scene.example(kind)).target()


@every_kind
def test_it_says_what_it_would_do_with_the_values_and_without_secrets(kind: str) -> None:
    given = scene.example(kind)
    step = scene.made(kind, **given)
    sentence = step.sentence()
    assert sentence.endswith(".") and sentence[0].isupper() and "\n" not in sentence
    assert bool(step.undo_sentence()) == step.undoable
    for name, field in type(step.config).model_fields.items():
        value = given.get(name)
        if (field.json_schema_extra or {}).get("secret") and isinstance(value, str) and len(value) > 5:  # type: ignore[union-attr]
            assert value not in " ".join(said_of(kind)) + repr(step.config)
        elif field.is_required() and isinstance(value, str | int) and not isinstance(getattr(step.config, name), SecretStr):  # fmt: skip
            assert str(value) in sentence, f"{name} is not said"


@every_kind
def test_it_may_take_some_time_and_not_for_ever(kind: str) -> None:
    assert 1 <= scene.made(kind, **scene.example(kind)).longest() <= 1000


@every_kind
def test_what_is_not_a_setting_is_refused_at_its_name_without_what_was_typed(kind: str) -> None:
    with pytest.raises(steps.InvalidSettings) as refusal:
        steps.parse(kind, {**scene.example(kind), "surprise": "hunter2"})
    assert list(refusal.value.fields) == ["surprise"] and "hunter2" not in str(refusal.value)


@every_kind
def test_a_step_that_cannot_be_undone_says_so(kind: str) -> None:
    step = scene.made(kind, **scene.example(kind))
    if not step.undoable:
        with pytest.raises(NotDone, match="cannot be undone"):
            step.undo(scene.CONTEXT, {}, {})


def test_an_unknown_kind_is_told_the_known_ones() -> None:
    with pytest.raises(ValueError, match="known are dns_swap, restart, "):
        steps.get("pigeon")


# --- A dry run asks nobody ----------------------------------------------------------------------------------------------------
@every_kind
def test_saying_what_it_would_do_opens_no_connection(kind: str) -> None:
    with talk() as heard:
        assert said_of(kind)[0]
    assert heard == []


def test_the_listener_hears_connections() -> None:
    import socket

    with talk() as heard, socket.socket() as one:
        one.settimeout(5)
        one.connect_ex(("127.0.0.1", 9))
    assert heard == ["socket.connect"]


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["restart", "script", "notify"])
def test_looking_for_problems_asks_the_database_and_nobody_else(kind: str) -> None:
    from portal.clock import database_now

    database_now()  # the database's own connection is there
    step = scene.made(kind, **scene.example(kind))
    with talk() as heard:
        assert step.problem(None)
    assert heard == []


def test_every_kind_can_say_what_it_would_do_without_any_network(tmp_path: Path) -> None:
    """In a space of its own without so much as a loopback: whoever asked somebody would fail or wait."""
    try:
        netns.needed()
    except NotAvailable as why:
        pytest.skip(f"NOT RUN: {why}")
    script = """
import django
django.setup()
from tests.playbooks.steps import test_contract as t
for kind in t.KINDS:
    with t.talk() as heard:
        print("said", kind, *t.said_of(kind), sep=" | ")
    assert heard == [], heard
"""
    with netns.Net() as net:
        space = net.space("nowhere")
        space.run("ip", "link", "set", "lo", "down")
        environment = for_programs(DATA_DIR=str(tmp_path), WATCHKEEPER_TEST_DB="sqlite")
        child = space.start([sys.executable, "-c", script], env=environment, log=tmp_path / "told", cwd=ROOT)
        ended = child.wait(600)
    told = (tmp_path / "told").read_text()
    assert ended == 0, told
    assert [line.split(" | ")[1] for line in told.splitlines() if line.startswith("said | ")] == list(KINDS)


# --- What is kept of what a step said --------------------------------------------------------------------------------------------
def test_long_output_keeps_its_beginning_and_its_end() -> None:
    kept = shortened("first\n" + "é" * MOST_OUTPUT + "\nlast")
    assert kept.startswith("first\n") and kept.endswith("\nlast") and "bytes left out" in kept
    assert len(kept.encode()) <= MOST_OUTPUT


def test_output_that_cannot_be_stored_or_shown_is_replaced() -> None:
    assert shortened("a\x00b\x1b[31m\r\nc\td\ud800") == "a\ufffdb\ufffd[31m\nc\td\ufffd"


# --- The settings of a DNS swap -----------------------------------------------------------------------------------------------
GOOD = scene.example("dns_swap")
CLOUD = {
    **{k: v for k, v in GOOD.items() if k not in ("server", "key_name", "key_secret")},
    "provider": "cloudflare",
    "zone_id": "abc",
    "token": "t" * 40,
}


@pytest.mark.parametrize(
    ("given", "field", "sentence"),
    [
        ({**GOOD, "name": "www.example.org"}, "name", "does not lie in the zone"),
        ({**GOOD, "name": "badexample.com"}, "name", "does not lie in the zone"),
        ({**GOOD, "values": []}, "values", "at least 1"),
        ({**GOOD, "values": [f"192.0.2.{n}" for n in range(9)]}, "values", "at most 8"),
        ({**GOOD, "values": ["2001:db8::1"]}, "values", "A records hold IPv4 addresses"),
        ({**GOOD, "record_type": "AAAA"}, "values", "AAAA records hold IPv6 addresses"),
        ({**GOOD, "record_type": "TXT"}, "record_type", "A"),
        ({**GOOD, "expected": ["nonsense"]}, "expected", "A records hold IPv4 addresses"),
        ({**GOOD, "expected": GOOD["values"]}, "expected", "nothing would ever change"),
        ({**GOOD, "record_type": "CNAME", "values": ["a.example.com", "b.example.com"]}, "values", "one value"),
        ({**GOOD, "record_type": "CNAME", "values": ["www.example.com."]}, "values", "lead to itself"),
        ({**GOOD, "record_type": "CNAME", "name": "example.com", "values": ["a.b"]}, "name", "cannot be an alias"),
        ({**GOOD, "ttl": 29}, "ttl", "30"),
        ({**GOOD, "ttl": 86401}, "ttl", "86400"),
        ({**GOOD, "server": "ns1.example.com:99999"}, "server", "host:port"),
        ({**GOOD, "server": ""}, "server", "RFC 2136 needs it"),
        ({**GOOD, "key_secret": "not base64"}, "key_secret", "base64 of at least 16 bytes"),
        ({**GOOD, "key_secret": "c2hvcnQ="}, "key_secret", "base64 of at least 16 bytes"),
        ({**GOOD, "token": "t" * 40}, "token", "has no use for it"),
        ({**CLOUD, "token": ""}, "token", "Cloudflare needs it"),
        ({**CLOUD, "token": "two words"}, "token", "without spaces"),
        ({**CLOUD, "zone_id": "../../user"}, "zone_id", "letters and digits only"),
        ({**CLOUD, "region": "us-east-1"}, "region", "has no use for it"),
        ({**CLOUD, "endpoint": "http://api.example.com"}, "endpoint", "https://"),
        ({**CLOUD, "provider": "route53"}, "access_key_id", "Route 53 needs it"),
    ],
)
def test_a_dns_swap_that_cannot_work_is_refused_at_its_field(given: dict[str, Any], field: str, sentence: str) -> None:
    with pytest.raises(steps.InvalidSettings) as refusal:
        steps.parse("dns_swap", given)
    said = refusal.value.fields
    assert list(said) == [field] and sentence in " ".join(said[field])


def test_names_and_values_are_kept_in_one_form() -> None:
    step = scene.made("dns_swap", **{**GOOD, "zone": "Example.COM.", "name": "WWW.example.com.", "values": "192.0.2.21, 192.0.2.20\n192.0.2.20", "server": "NS1.example.com"})  # fmt: skip
    assert step.config.values == ("192.0.2.20", "192.0.2.21") and step.target() == "dns:example.com/www.example.com/A"
    assert step.config.server == "ns1.example.com:53"


def test_the_sentence_of_a_dns_swap_names_every_value() -> None:
    step = scene.made("dns_swap", **{**GOOD, "expected": ["192.0.2.10"], "ttl": 120})
    assert step.sentence() == (
        "Set A of www.example.com (zone example.com) to 192.0.2.20 with a TTL of 120 s at ns1.example.com:53 by RFC 2136, signed with the key "
        "watchkeeper-update if it is exactly 192.0.2.10 before, and otherwise leave it alone."
    )
