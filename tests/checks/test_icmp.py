"""Does the icmp check ping by whichever way is open, and say "unknown" when none is?"""

from __future__ import annotations

import asyncio
import shutil
import socket

import pytest

from monitors.checks import icmp
from monitors.checks.base import CannotTell, Status, limit
from tests.checks.lab import check

WAYS = {"datagram": socket.SOCK_DGRAM, "raw": socket.SOCK_RAW}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("way", list(WAYS))
def test_loopback_answers_by_socket(way: str, address: str) -> None:
    try:
        sock = icmp.open_socket(":" in address, WAYS[way])
    except OSError as error:
        pytest.skip(f"NOT RUN: no {way} ICMP socket here ({error.strerror})")
    with sock:
        times = asyncio.run(icmp.Echo(sock, address, raw=way == "raw").run(3, 2.0))
    assert len(times) == 3 and all(spent is not None and spent >= 0 for spent in times)


def test_loopback_answers_by_fping() -> None:
    program = shutil.which("fping")
    if not program:
        pytest.skip("NOT RUN: fping is not installed")
    try:
        times = asyncio.run(icmp.ask_fping(program, "127.0.0.1", 3, 2.0))
    except CannotTell:
        pytest.skip("NOT RUN: fping may not ping here")
    assert len(times) == 3 and None not in times


def test_a_whole_run_gives_loss_mean_and_jitter() -> None:
    outcome = check("icmp", {"host": "localhost", "count": 3}, timeout=10)
    if outcome.error_class == "permission":
        pytest.skip("NOT RUN: no way to ping is open here")
    assert (outcome.status, outcome.loss_percent) == (Status.UP, 0.0)
    facts = outcome.facts["icmp"]
    assert outcome.total_ms == facts["mean_ms"] and facts["jitter_ms"] is not None
    assert facts["via"] in ("datagram", "raw", "fping")


def test_nothing_permitted_is_unknown_and_not_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(v6: bool, sock_type: int) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(icmp, "open_socket", refuses)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    outcome = check("icmp", {"host": "127.0.0.1"})
    assert (outcome.status, outcome.error_class) == (Status.UNKNOWN, "permission")
    assert "CAP_NET_RAW" in outcome.message


def test_a_socket_that_may_not_send_is_unknown_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Muzzled(socket.socket):
        def sendto(self, *args: object) -> int:
            raise PermissionError(1, "Operation not permitted")

    def opens(v6: bool, sock_type: int) -> socket.socket:
        sock = Muzzled(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        return sock

    monkeypatch.setattr(icmp, "open_socket", opens)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    outcome = check("icmp", {"host": "127.0.0.1"})
    assert (outcome.status, outcome.error_class) == (Status.UNKNOWN, "permission")


@pytest.mark.parametrize("times", [[None, None], [1.0, None], [1.0, 3.0, 2.0]])
def test_lost_packets(monkeypatch: pytest.MonkeyPatch, times: list[float | None]) -> None:
    async def ping(address: str, count: int, seconds: float) -> tuple[list[float | None], str]:
        return times, "raw"

    monkeypatch.setattr(icmp, "ping", ping)
    outcome = limit(check("icmp", {"host": "127.0.0.1", "count": len(times)}), degraded_loss_percent=20)
    wanted = {0: (Status.UP, ""), 1: (Status.DEGRADED, "loss"), 2: (Status.FAILING, "loss")}[times.count(None)]
    assert (outcome.status, outcome.error_class) == wanted


def test_the_sums() -> None:
    facts = icmp.summary([10.0, 14.0, None, 12.0])
    assert (facts["loss_percent"], facts["min_ms"], facts["mean_ms"], facts["max_ms"]) == (25.0, 10.0, 12.0, 14.0)
    assert facts["jitter_ms"] == 3.0
    assert icmp.summary([None])["mean_ms"] is None


def test_packets() -> None:
    token = bytes(range(16))
    request = icmp.echo_request(7, token, v6=False, identifier=0xABCD)
    assert icmp.checksum(request) == 0, "a correct checksum sums up to nothing"
    reply = b"\x00" + request[1:]
    assert icmp.answered_sequence(reply, token, v6=False, raw=False) == 7
    assert icmp.answered_sequence(b"\x45" + bytes(19) + reply, token, v6=False, raw=True) == 7
    assert icmp.answered_sequence(request, token, v6=False, raw=False) is None, "our own question is not an answer"
    assert icmp.answered_sequence(reply, bytes(16), v6=False, raw=False) is None, "another program's answer"
    assert icmp.answered_sequence(b"", token, v6=False, raw=True) is None
    assert icmp.answered_sequence(b"\x81" + request[1:], token, v6=True, raw=True) == 7


@pytest.mark.parametrize(
    ("output", "times"), [("192.0.2.1 : 0.05 - 0.06\n", [0.05, None, 0.06]), ("ICMP note\n::1 : - - -\n", [None] * 3)]
)
def test_what_fping_prints(output: str, times: list[float | None]) -> None:
    assert icmp.read_fping(output, 3) == times


@pytest.mark.parametrize("output", ["", "fping: can't create socket (must run as root?)\n", "192.0.2.1 : 1.0\n"])
def test_what_fping_prints_when_it_may_not(output: str) -> None:
    with pytest.raises(CannotTell):
        icmp.read_fping(output, 3)
