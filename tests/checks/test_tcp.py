"""Does the tcp check connect, talk one line, and upgrade by STARTTLS?"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
from pydantic import ValidationError

from monitors import checks
from monitors.checks.base import Status
from tests.checks.lab import Listener, check, closed_port, hangs_up, patience, says, silent
from tests.rig.certificates import Authority, self_signed


def test_an_open_port_is_up() -> None:
    with Listener(silent) as server:
        outcome = check("tcp", {"host": "localhost", "port": server.port})
    assert outcome.status == Status.UP and outcome.connect_ms is not None and outcome.dns_ms is not None


def test_a_closed_port_is_refused() -> None:
    outcome = check("tcp", {"host": "127.0.0.1", "port": closed_port()})
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "connect_refused")


def test_a_name_that_cannot_be_looked_up_is_a_dns_failure() -> None:
    outcome = check("tcp", {"host": "no-such-host.invalid", "port": 80}, timeout=3)
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "dns")


def test_send_and_expect() -> None:
    async def parrot(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        writer.write(b"+PONG\r\n" if line == b"PING\r\n" else b"-ERR\r\n")
        await writer.drain()

    with Listener(parrot) as server:
        place = {"host": "127.0.0.1", "port": server.port, "expect": "PONG"}
        well = check("tcp", place | {"send": "PING\r\n"})
        unwell = check("tcp", place | {"send": "PLING\r\n"})
    assert well.status == Status.UP and well.first_byte_ms is not None
    assert (unwell.status, unwell.error_class, unwell.body) == (Status.FAILING, "content", b"-ERR\r\n")
    assert "ERR" not in unwell.message


@pytest.mark.parametrize(("server", "error_class"), [(silent, "timeout"), (hangs_up, "content")])
def test_no_answer(server: Any, error_class: str) -> None:
    with Listener(server) as listener:
        outcome = check(
            "tcp", {"host": "127.0.0.1", "port": listener.port, "expect": "220"}, timeout=patience(error_class)
        )
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class)


def test_an_endless_answer_is_cut_off() -> None:
    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 4096)
            await writer.drain()

    with Listener(floods) as listener:
        outcome = check("tcp", {"host": "127.0.0.1", "port": listener.port, "expect": "never"})
    assert outcome.error_class == "content" and outcome.body is not None and len(outcome.body) == 2048


def upgrading(greeting: bytes, dialogue: list[tuple[bytes, bytes]], tls: ssl.SSLContext) -> Any:
    """A server that speaks the dialogue in plain text and then starts TLS."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        for heard, answer in dialogue:
            assert await reader.readline() == heard
            writer.write(answer)
            await writer.drain()
        await writer.start_tls(tls)
        await reader.read()

    return handler


@pytest.mark.parametrize(
    ("protocol", "greeting", "dialogue"),
    [
        ("imap", b"* OK ready\r\n", [(b"a1 STARTTLS\r\n", b"* note\r\na1 OK begin\r\n")]),
        ("pop3", b"+OK ready\r\n", [(b"STLS\r\n", b"+OK begin\r\n")]),
        (
            "smtp",
            b"220-mail\r\n220 ready\r\n",
            [(b"EHLO watchkeeper.invalid\r\n", b"250-mail\r\n250 StartTLS\r\n"), (b"STARTTLS\r\n", b"220 go\r\n")],
        ),
    ],
)
def test_starttls_brings_the_certificate(trusted: Authority, protocol: str, greeting: bytes, dialogue: Any) -> None:
    for certificate, broken in ((trusted.issue(), False), (self_signed(), True)):
        with Listener(upgrading(greeting, dialogue, certificate.server_context())) as server:
            outcome = check("tcp", {"host": "127.0.0.1", "port": server.port, "starttls": protocol})
        assert outcome.status == Status.UP, outcome
        facts = outcome.facts["certificate"]
        assert facts["fingerprint"] == certificate.fingerprint and bool(facts["chain_error"]) is broken


@pytest.mark.parametrize(
    ("protocol", "lines", "error_class"),
    [
        ("imap", (b"* OK\r\n", b"a1 NO\r\n"), "tls"),
        ("imap", (b"HTTP/1.1 400\r\n",), "protocol"),
        ("pop3", (b"+OK\r\n", b"-ERR\r\n"), "tls"),
        ("smtp", (b"220 x\r\n", b"250 x\r\n"), "tls"),
        ("smtp", (b"x" * 10_000,), "protocol"),
        ("smtp", (b"220-x\r\n" * 200,), "protocol"),
    ],
)
def test_starttls_refused(protocol: str, lines: tuple[bytes, ...], error_class: str) -> None:
    with Listener(says(*lines)) as server:
        outcome = check("tcp", {"host": "127.0.0.1", "port": server.port, "starttls": protocol})
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class), outcome


@pytest.mark.parametrize("text", ["PING\r\n", "GET / HTTP/1.0\r\n\r\n", "hello", "a\tb\n", ""])
def test_one_line_may_be_sent(text: str) -> None:
    checks.parse("tcp", {"host": "a.example", "port": 1, "send": text})


@pytest.mark.parametrize("text", ["HELO a\r\nMAIL FROM:<b>\r\n", "a\x00", "a\rb", "\r\nx", "a\r\n\r\n\r\n", "x" * 1001])
def test_a_whole_dialogue_may_not(text: str) -> None:
    with pytest.raises(ValidationError):
        checks.parse("tcp", {"host": "a.example", "port": 1, "send": text})
