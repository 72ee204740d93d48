"""Does the ntp check measure the offset right, and tell a clock that cannot be trusted?"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitors.checks import ntp
from monitors.checks.base import Status
from tests.checks.lab import LONG, check, datagram_patience
from tests.rig.datagrams import Datagrams, closed_port, nothing
from tests.rig.process import free_port

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("unhurried_datagrams")]

SINCE_1900 = 2_208_988_800
WELL = {"leap": 0, "stratum": 2, "code": b"GPS\0", "ahead": 0.0}


def stamp(seconds: float) -> bytes:
    """An NTP time, modulo its era."""
    return struct.pack("!II", int(seconds) % (1 << 32), int(seconds % 1 * (1 << 32)))


def clock(**change: Any) -> Any:
    """A server's answers (RFC 4330); `ahead` is in seconds."""
    made = WELL | change

    def answer(packet: bytes) -> list[bytes]:
        assert len(packet) == 48 and packet[0] == 4 << 3 | 3 and packet[1:40] == bytes(39)
        now = stamp(time.time() + SINCE_1900 + made["ahead"])
        head = struct.pack("!BBbb", made["leap"] << 6 | 4 << 3 | 4, made["stratum"], 6, -20)
        reference = made.get("echo", packet[40:48])
        return [head + bytes(8) + made["code"] + now + reference + now + now]

    return answer


def ask(answer: Any, timeout: float = LONG, **config: Any) -> Any:
    with Datagrams(answer) as server:
        return check("ntp", {"host": "127.0.0.1", "port": server.port, **config}, timeout=timeout)


@pytest.mark.parametrize("ahead", [0.0, 1.5, -0.4])
def test_the_offset_is_measured(ahead: float) -> None:
    outcome = ask(clock(ahead=ahead))
    assert outcome.status == Status.UP, outcome
    facts = outcome.facts["ntp"]
    assert abs(facts["offset_ms"] - ahead * 1000) < 200 and facts["stratum"] == 2 and facts["leap"] == "none"
    assert outcome.first_byte_ms is not None and facts["delay_ms"] < 5000


def test_too_far_off_is_degraded() -> None:
    assert ask(clock(ahead=0.1), offset_ms=500).status == Status.UP
    for ahead in (2, -2):
        outcome = ask(clock(ahead=ahead), offset_ms=500)
        assert (outcome.status, outcome.error_class) == (Status.DEGRADED, "content"), outcome
        assert "limit is 500 ms" in outcome.message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"leap": 3}, "not synchronised"),
        ({"stratum": 16}, "not synchronised"),
        ({"stratum": 0, "code": b"RATE"}, "kiss of death: RATE"),
        ({"stratum": 0, "code": b"\xff\x00\n1"}, "kiss of death: no reason"),
        ({"stratum": 5}, "at stratum 5"),
    ],
)
def test_a_clock_that_cannot_be_trusted_is_failing(change: dict[str, Any], words: str) -> None:
    outcome = ask(clock(**change), max_stratum=4)
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "content"), outcome
    assert words in outcome.message


@pytest.mark.parametrize(
    ("answer", "error_class"),
    [
        (nothing, "timeout"),
        (lambda packet: [b"what?"], "protocol"),
        (lambda packet: [bytes(48)], "protocol"),
        (clock(echo=b"guessed!"), "protocol"),
        (lambda packet: [packet], "protocol"),
        (lambda packet: [b"x" * 60_000], "protocol"),
    ],
    ids=["silence", "short", "zeros", "a guess", "an echo", "oversized"],
)
def test_what_is_no_answer(answer: Any, error_class: str) -> None:
    outcome = ask(answer, timeout=datagram_patience(error_class))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class), outcome


def test_a_stranger_s_packet_before_the_answer_does_no_harm() -> None:
    right = clock()
    assert ask(lambda packet: [bytes(48), *right(packet)]).status == Status.UP


def test_a_late_answer_to_the_second_question_is_measured_against_the_second() -> None:
    heard: list[bytes] = []
    right = clock()

    def second(packet: bytes) -> list[bytes]:
        heard.append(packet)
        return right(packet) if len(heard) == 2 else []

    outcome = ask(second, timeout=3)  # a question a second: measured against the first, it would be half of one off
    assert abs(outcome.facts["ntp"]["offset_ms"]) < 250, "the wait for the first must not count"


def test_a_closed_port_is_refused() -> None:
    outcome = check("ntp", {"host": "127.0.0.1", "port": closed_port()})
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "connect_refused")


def test_the_turn_of_the_era_in_2036_changes_nothing() -> None:
    before = datetime(2036, 2, 7, 6, 28, 15, tzinfo=UTC)  # one second before the counter starts again
    reply = ntp.Reply(leap=0, stratum=1, code="", received=0.5, sent=0.5)
    offset, delay = ntp.clock_difference(before, 100.0, reply)
    assert offset == pytest.approx(1450, abs=1) and delay == pytest.approx(100, abs=1)
    later, _ = ntp.clock_difference(before + timedelta(seconds=2), 0.0, ntp.Reply(0, 1, "", 1.0, 1.0))
    assert later == pytest.approx(0, abs=1)


def test_a_real_time_server(tmp_path: Path) -> None:
    program = shutil.which("chronyd", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program:
        pytest.skip("NOT RUN: chronyd is not installed")
    port = free_port()
    settings = f"local stratum 3\nallow\nport {port}\nbindaddress 127.0.0.1\ncmdport 0\nbindcmdaddress /\n"
    settings += f"pidfile {tmp_path}/pid\n"
    (tmp_path / "conf").write_text(settings)
    server = subprocess.Popen([program, "-x", "-d", "-u", "root", "-f", str(tmp_path / "conf")])
    try:
        outcome = None
        for _ in range(150):
            outcome = check("ntp", {"host": "127.0.0.1", "port": port, "offset_ms": 1000}, timeout=5)
            if outcome.error_class != "connect_refused":
                break
            time.sleep(0.1)
        assert outcome and outcome.status == Status.UP and outcome.facts["ntp"]["stratum"] == 3, outcome
    finally:
        server.terminate()
        server.wait(10)
