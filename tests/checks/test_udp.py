"""Does the udp check tell an answer from silence, and silence from a closed port?"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from monitors import checks
from monitors.checks.base import Status, limit
from tests.checks.lab import NOWHERE, SHORT, check
from tests.rig.datagrams import Datagrams, closed_port, nothing

pytestmark = pytest.mark.once


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_answer_is_up(address: str) -> None:
    with Datagrams(lambda packet: [b"pong " + packet], address) as server:
        outcome = check("udp", {"host": address, "port": server.port, "send": "ping", "expect": "pong ping"})
        assert server.heard == [b"ping"]
    assert outcome.status == Status.UP, outcome
    assert outcome.dns_ms is not None and outcome.first_byte_ms is not None and outcome.facts["address"] == address


def test_bytes_go_out_and_come_back() -> None:
    with Datagrams(lambda packet: [packet[::-1]]) as server:
        place = {"host": "127.0.0.1", "port": server.port, "send_hex": "ff 00:0a"}
        well = check("udp", place | {"expect_hex": "0a00ff"})
        unwell = check("udp", place | {"expect_hex": "0b"})
    assert well.status == Status.UP, well
    assert (unwell.status, unwell.error_class, unwell.body) == (Status.FAILING, "content", b"\n\0\xff")


def test_silence_is_failing_where_an_answer_is_wanted_and_the_question_is_repeated() -> None:
    with Datagrams(nothing) as server:
        outcome = check("udp", {"host": "127.0.0.1", "port": server.port, "send": "ping"}, timeout=SHORT)
    assert server.heard == [b"ping"] * 3
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "timeout"), outcome


def test_a_lost_packet_costs_a_moment_and_not_the_check() -> None:
    heard: list[bytes] = []

    def second_time(packet: bytes) -> list[bytes]:
        heard.append(packet)
        return [b"here"] if len(heard) == 2 else []

    with Datagrams(second_time) as server:
        outcome = check("udp", {"host": "127.0.0.1", "port": server.port, "expect": "here"}, timeout=3)
    assert outcome.status == Status.UP, outcome


@pytest.mark.parametrize("answers", [True, False])
def test_a_closed_port_is_refused(answers: bool) -> None:
    outcome = check("udp", {"host": "127.0.0.1", "port": closed_port(), "answers": answers})
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "connect_refused"), outcome
    assert "ICMP" in outcome.message


def test_without_a_wanted_answer_silence_is_fine() -> None:
    with Datagrams(nothing) as server:
        outcome = check("udp", {"host": "127.0.0.1", "port": server.port, "answers": False, "send": "x"}, timeout=SHORT)
    assert server.heard == [b"x"], "said once: nobody waits for anything"
    assert outcome.status == Status.UP, outcome


def test_the_largest_answer_is_read_and_its_beginning_kept() -> None:
    with Datagrams(lambda packet: [b"x" * 60_000]) as server:
        outcome = check("udp", {"host": "127.0.0.1", "port": server.port, "expect": "y"})
    assert outcome.error_class == "content" and outcome.body == b"x" * 2048


def test_upside_down() -> None:
    outcome = check("udp", {"host": "127.0.0.1", "port": closed_port()})
    assert limit(outcome, upside_down=True).status == Status.UP


def test_a_forbidden_address_gets_no_packet() -> None:
    with Datagrams(nothing) as server:
        for answers in (True, False):
            config = {"host": "127.0.0.1", "port": server.port, "answers": answers}
            outcome = check("udp", config, reach=NOWHERE)
            assert (outcome.status, outcome.error_class) == (Status.UNKNOWN, "blocked")
    assert server.heard == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"send": "a", "send_hex": "61"},
        {"expect": "a", "expect_hex": "61"},
        {"expect": "a", "answers": False},
        {"send_hex": "6"},
        {"send_hex": "xy"},
        {"send": "é" * 300},
    ],
)
def test_settings_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        checks.parse("udp", {"host": "a.example", "port": 1, **wrong})
