"""Does the snmp check ask for one value, read every kind of it, and compare it as it should?"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitors import checks
from monitors.checks import snmp
from monitors.checks.base import Status, limit
from tests.checks.lab import LONG, SHORT, check, datagram_patience
from tests.checks.misbehaving import CANARY
from tests.rig.datagrams import Datagrams, closed_port, nothing
from tests.rig.process import free_port

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("unhurried_datagrams")]

UPTIME = "1.3.6.1.2.1.1.3.0"
# Written out by hand from X.690 and RFC 3416: community "public", request 1, the OID above.
QUESTION = bytes.fromhex("3026 020101 0406 7075626c6963 a019 020101 020100 020100 300e 300c 0608 2b06010201010300 0500")


def device(community: str = "hush", value: bytes = b"\x43\x02\x30\x39", oid: str = UPTIME, error: int = 0) -> Any:
    """A device that answers those who know its community, as devices do: the others hear nothing."""

    def answer(packet: bytes) -> list[bytes]:
        at = packet.index(b"\x04", 3)
        size = packet[at + 1]
        if packet[at + 2 : at + 2 + size].decode() != community:
            return []
        pdu = packet[at + 2 + size :]
        assert pdu[0] == 0xA0
        number = pdu[2 : 4 + pdu[3]]
        code = bytes([2, 1, error, 2, 1, 0])
        bound = snmp.tlv(0x30, snmp.tlv(0x30, snmp.tlv(6, snmp.oid_bytes(oid)) + value))
        body = b"\x02\x01\x01" + snmp.tlv(4, community.encode()) + snmp.tlv(0xA2, number + code + bound)
        return [snmp.tlv(0x30, body)]

    return answer


def ask(answer: Any, timeout: float = LONG, **config: Any) -> Any:
    with Datagrams(answer) as served:
        return check("snmp", {"host": "127.0.0.1", "port": served.port, "community": "hush", **config}, timeout=timeout)


def test_the_question_byte_by_byte() -> None:
    assert snmp.get_request("public", 1, UPTIME) == QUESTION


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        (b"\x43\x02\x30\x39", 12345),
        (b"\x02\x01\xff", -1),
        (b"\x41\x05\x00\xff\xff\xff\xff", 4294967295),
        (b"\x46\x09\x00" + b"\xff" * 8, 2**64 - 1),
        (b"\x04\x03abc", "abc"),
        (b"\x04\x02\xff\xfe", "ff:fe"),
        (b"\x04\x81\x80" + b"y" * 128, "y" * 100),
        (b"\x40\x04\xc0\x00\x02\x01", "192.0.2.1"),
        (b"\x06\x03\x2b\x06\x01", "1.3.6.1"),
        (b"\x04\x02a\n", "a."),
    ],
)
def test_every_kind_of_value(wire: bytes, value: int | str) -> None:
    outcome = ask(device(value=wire))
    assert outcome.status == Status.UP and outcome.facts["snmp"] == {"oid": UPTIME, "value": value}, outcome
    assert outcome.first_byte_ms is not None


@pytest.mark.parametrize(
    ("compare", "wanted", "holds"),
    [
        ("equals", "12345", True),
        ("equals", "12345.0", True),
        ("equals", "1", False),
        ("differs", "1", True),
        ("differs", "12345", False),
        ("at least", "12345", True),
        ("at least", "12346", False),
        ("at most", "12345", True),
        ("at most", "1e3", False),
        ("contains", "234", True),
    ],
)
def test_comparing(compare: str, wanted: str, holds: bool) -> None:
    outcome = ask(device(), compare=compare, value=wanted)
    assert (outcome.status, outcome.error_class) == ((Status.UP, "") if holds else (Status.FAILING, "content")), outcome


def test_text_is_compared_as_text() -> None:
    assert snmp.holds("equals", "up", "up") and not snmp.holds("equals", "01", "1")
    assert not snmp.holds("at least", "up", "1") and snmp.holds("at least", "36.5", "36")


def test_the_wrong_community_hears_nothing() -> None:
    outcome = ask(device(), timeout=SHORT, community=CANARY)
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "timeout"), outcome
    assert CANARY not in repr(outcome)


@pytest.mark.parametrize(
    ("answer", "error_class", "words"),
    [
        (device(value=b"\x80\0"), "content", "does not know"),
        (device(value=b"\x81\0"), "content", "does not know"),
        (device(value=b"\x82\0"), "content", "does not know"),
        (device(error=2), "content", "no such name"),
        (device(error=99), "content", "error 99"),
        (device(oid="1.3.6.1.2.1.1.5.0"), "protocol", "another OID"),
        (device(value=b"\x99\x01x"), "protocol", "does not answer"),
        (device(value=b"\x04\x7fshort"), "protocol", "does not answer"),
        (device(value=b"\x02\x00"), "protocol", "does not answer"),
        (lambda packet: [packet], "protocol", "does not answer"),
        (lambda packet: [b"\x30\x84\xff\xff\xff\xff"], "protocol", "does not answer"),
        (lambda packet: [b"x" * 60_000], "protocol", "does not answer"),
        (nothing, "timeout", "No answer"),
    ],
)
def test_answers_that_are_none(answer: Any, error_class: str, words: str) -> None:
    outcome = ask(answer, timeout=datagram_patience(error_class))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class), outcome
    assert words in outcome.message


def test_an_answer_to_somebody_else_s_question_is_passed_over() -> None:
    right, other = device(), device(value=b"\x02\x01\x07")

    def twice(packet: bytes) -> list[bytes]:
        strange = other(packet)[0]
        at = strange.index(b"\xa2") + 4
        return [strange[:at] + bytes([strange[at] ^ 1]) + strange[at + 1 :], *right(packet)]

    outcome = ask(twice)
    assert outcome.status == Status.UP and outcome.facts["snmp"]["value"] == 12345, outcome


def test_over_ipv6() -> None:
    with Datagrams(device(), "::1") as served:
        outcome = check("snmp", {"host": "::1", "port": served.port, "community": "hush"})
    assert outcome.status == Status.UP and outcome.facts["address"] == "::1", outcome


def test_refused_and_upside_down() -> None:
    outcome = check("snmp", {"host": "127.0.0.1", "port": closed_port()})
    assert outcome.error_class == "connect_refused" and limit(outcome, upside_down=True).status == Status.UP


@given(st.binary(max_size=200))
def test_no_packet_breaks_the_reader(packet: bytes) -> None:
    snmp.read(packet, 1)
    snmp.read(b"\x30" + bytes([len(packet) % 128]) + packet, 1)


@given(st.integers(0, len(QUESTION) - 1), st.integers(0, 255))
def test_no_changed_byte_breaks_the_reader(place: int, byte: int) -> None:
    packet = bytearray(device("public")(QUESTION)[0])
    packet[place] = byte
    snmp.read(bytes(packet), 1)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20))
def test_an_oid_there_and_back(parts: list[int]) -> None:
    oid = ".".join(map(str, (1, 3, *parts)))
    assert snmp.oid_text(snmp.oid_bytes(oid)) == oid


@pytest.mark.parametrize(
    "wrong",
    [
        {"oid": "sysUpTime.0"},
        {"oid": "3.1"},
        {"oid": "1.40"},
        {"oid": "1.3.4294967296"},
        {"oid": "1.3.01"},
        {"compare": "equals"},
        {"value": "1"},
        {"compare": "at least", "value": "much"},
        {"compare": "at least", "value": "nan"},
        {"compare": "at most", "value": "inf"},
        {"community": ""},
    ],
)
def test_settings_that_make_no_sense(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        checks.parse("snmp", {"host": "switch.example.com", **wrong})


def test_a_real_device(tmp_path: Path) -> None:
    program = shutil.which("snmpd", path=f"{os.environ['PATH']}:/usr/sbin")
    if not program:
        pytest.skip("NOT RUN: snmpd is not installed")
    port = free_port()
    (tmp_path / "conf").write_text(f"rocommunity hush\nagentAddress udp:127.0.0.1:{port}\nsysName watched\n")
    argv = [program, "-f", "-Lf", str(tmp_path / "log"), "-C", "-c", str(tmp_path / "conf"), "-I", "-smux"]
    environment = {**os.environ, "MIBS": "", "SNMP_PERSISTENT_DIR": str(tmp_path)}
    server = subprocess.Popen([*argv, "-p", str(tmp_path / "pid")], env=environment)
    try:
        config = {"host": "127.0.0.1", "port": port, "community": "hush", "oid": "1.3.6.1.2.1.1.5.0"}
        outcome = None
        for _ in range(150):
            outcome = check("snmp", config | {"compare": "equals", "value": "watched"}, timeout=5)
            if outcome.error_class != "connect_refused":
                break
            time.sleep(0.1)
        assert outcome and outcome.status == Status.UP, outcome
        unknown = check("snmp", config | {"oid": "1.3.6.1.2.1.1.99.0"})
        assert "does not know" in unknown.message, unknown
    finally:
        server.terminate()
        server.wait(10)
