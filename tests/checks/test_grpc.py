"""Does the grpc check ask the standard health question over HTTP/2 and read every answer to it?"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitors import checks
from monitors.checks import grpc
from monitors.checks.base import CheckFailed, Status, limit
from tests.checks.lab import NOWHERE, SHORT, Listener, check, closed_port
from tests.checks.misbehaving import TROUBLES, suffer
from tests.rig.certificates import Authority, Certificate, self_signed
from tests.rig.http2 import SERVING, Http2, Reply

pytestmark = pytest.mark.once

NAMED = b"\0\0\0\0\x10\x0a\x0eshop.v1.Orders"


def at(port: int, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, "tls": "none", **more}


def ask(reply: Reply, **config: Any) -> Any:
    with Listener(Http2(lambda body: reply).converse) as listener:
        return check("grpc", at(listener.port, **config))


def with_h2(certificate: Certificate) -> ssl.SSLContext:
    context = certificate.server_context()
    context.set_alpn_protocols(["h2"])
    return context


@pytest.mark.parametrize(("service", "body"), [("", b"\0\0\0\0\0"), ("shop.v1.Orders", NAMED)])
def test_a_service_that_is_serving(service: str, body: bytes) -> None:
    server = Http2(lambda asked: Reply())
    with Listener(server.converse) as listener:
        outcome = check("grpc", at(listener.port, service=service))
    assert outcome.status == Status.UP and outcome.facts["grpc"] == "SERVING", outcome
    assert server.heard == [body]
    assert outcome.facts["address"] == "127.0.0.1" and outcome.http_status == 200
    assert None not in (outcome.dns_ms, outcome.connect_ms, outcome.first_byte_ms, outcome.total_ms)


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (b"\0\0\0\0\x02\x08\x02", "NOT_SERVING"),
        (b"\0\0\0\0\x02\x08\x03", "SERVICE_UNKNOWN"),
        (b"\0\0\0\0\0", "UNKNOWN"),
        (b"\0\0\0\0\x02\x08\x09", "UNKNOWN"),
    ],
)
def test_every_other_state_is_failing(body: bytes, state: str) -> None:
    outcome = ask(Reply(body))
    assert (outcome.status, outcome.error_class, outcome.facts["grpc"]) == (Status.FAILING, "content", state), outcome


@pytest.mark.parametrize(
    ("code", "error_class", "words"),
    [
        ("5", "content", "no such service"),
        ("7", "permission", "does not let us"),
        ("12", "protocol", "no health service"),
        ("13", "content", "status 13"),
        ("14", "content", "unavailable"),
        ("16", "permission", "who asks"),
        ("-1", "protocol", "no gRPC status"),
    ],
)
@pytest.mark.parametrize("alone", [True, False], ids=["with the headers", "as a trailer"])
def test_calls_that_fail(code: str, error_class: str, words: str, alone: bool) -> None:
    told = {"grpc-status": code, "grpc-message": "hunter2-canary"}
    reply = Reply(trailers=None) if alone else Reply(b"", told)
    if alone:
        reply.headers |= told
    outcome = ask(reply)
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class), outcome
    assert words in outcome.message and "canary" not in repr(outcome)


@pytest.mark.parametrize(
    ("reply", "error_class"),
    [
        (Reply(status="503"), "http_status"),
        (Reply(headers={"content-type": "text/html"}), "protocol"),
        (Reply(headers={"content-type": "application/grpc-web"}), "protocol"),
        (Reply(trailers={"x": "y"}), "protocol"),
        (Reply(b"garbage"), "protocol"),
        (Reply(b""), "protocol"),
        (Reply(b"\x01" + SERVING[1:]), "protocol"),
        (Reply(SERVING + b"more"), "protocol"),
        (Reply(b"\0\0\0\0\x01\x08"), "protocol"),
        (Reply(b"\0\0\0\0\x02\x12\x7f"), "protocol"),
        (Reply(b"\0\0\0\0\x01\x0d"), "protocol"),
        (Reply(b"x" * 100_000), "too_large"),
    ],
    ids=[
        "503", "HTML", "gRPC-Web", "no status", "garbage", "empty", "compressed", "two messages", "cut short", "cut string", "odd field", "large",
    ],
)  # fmt: skip
def test_wrong_answers(reply: Reply, error_class: str) -> None:
    outcome = ask(reply)
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class), outcome


def test_fields_that_a_later_version_may_add_are_passed_over() -> None:
    assert grpc.state_in(b"\0\0\0\0\x08\x12\x02hi\x18\x07\x08\x01") == grpc.SERVING


@given(st.binary(max_size=100))
def test_no_message_breaks_the_reader(body: bytes) -> None:
    for wire in (body, grpc.message(body)):
        try:
            grpc.state_in(wire)
        except CheckFailed:
            pass


def test_tls(trusted: Authority) -> None:
    shown = trusted.issue()
    with Listener(Http2(lambda body: Reply()).converse, with_h2(shown)) as listener:
        outcome = check("grpc", at(listener.port, tls="tls"))
    assert outcome.status == Status.UP and outcome.tls_ms is not None, outcome
    assert outcome.facts["certificate"]["fingerprint"] == shown.fingerprint
    assert outcome.facts["certificate"]["chain_error"] is None


def test_a_bad_certificate_stops_it_unless_it_need_not_verify() -> None:
    server = Http2(lambda body: Reply())
    with Listener(server.converse, with_h2(self_signed())) as listener:
        strict = check("grpc", at(listener.port, tls="tls"))
        assert server.heard == []
        lax = check("grpc", at(listener.port, tls="tls", verify_tls=False))
    assert (strict.status, strict.error_class) == (Status.FAILING, "tls") and "certificate" in strict.facts, strict
    assert lax.status == Status.UP and lax.facts["certificate"]["chain_error"], lax


def test_a_server_that_knows_only_http_1(trusted: Authority) -> None:
    async def old(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    for tls in ("none", "tls"):
        with Listener(old, trusted.issue().server_context() if tls == "tls" else None) as listener:
            outcome = check("grpc", at(listener.port, tls=tls))
        assert (outcome.status, outcome.error_class) == (Status.FAILING, "protocol"), outcome


@pytest.mark.parametrize("tls", ["tls", "none"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_servers_that_are_not_well(trouble: str, tls: str) -> None:
    suffer(trouble, "grpc", lambda port: at(port, tls=tls))


def test_a_server_that_never_answers_the_call() -> None:
    def mute(body: bytes) -> Reply:
        raise ValueError

    class Mute(Http2):
        async def converse(self, reader: Any, writer: Any) -> None:
            try:
                await super().converse(reader, writer)
            except ValueError:
                await reader.read()

    with Listener(Mute(mute).converse) as listener:
        outcome = check("grpc", at(listener.port), timeout=SHORT)
    assert (outcome.status, outcome.error_class) in ((Status.FAILING, "timeout"), (Status.FAILING, "reset")), outcome


def test_refused_blocked_and_upside_down() -> None:
    outcome = check("grpc", at(closed_port()))
    assert outcome.error_class == "connect_refused" and limit(outcome, upside_down=True).status == Status.UP
    with Listener(Http2(lambda body: Reply()).converse) as listener:
        blocked = check("grpc", at(listener.port), reach=NOWHERE)
        assert listener.connections == 0
    assert (blocked.status, blocked.error_class) == (Status.UNKNOWN, "blocked")


@pytest.mark.parametrize("wrong", ["a b", "/x", "1x", "a" * 300])
def test_names_that_no_service_has(wrong: str) -> None:
    with pytest.raises(ValidationError):
        checks.parse("grpc", {"host": "api.example.com", "service": wrong})
