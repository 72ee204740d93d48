"""Does the websocket check shake hands as RFC 6455 says, talk, and see through servers that only pretend to?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from monitors import checks
from monitors.checks import websocket
from monitors.checks.base import Status, limit
from portal.outbound.guard import check_url
from tests.checks.lab import LONG, SHORT, Listener, check, closed_port, patience, says
from tests.checks.misbehaving import CANARY, TROUBLES, suffer, until
from tests.rig.certificates import Authority, self_signed
from tests.rig.websocket import CLOSE, PING, PONG, TEXT, Websocket, frame, well_mannered

pytestmark = pytest.mark.once


def ask(server: Websocket, timeout: float = LONG, **config: Any) -> Any:
    with Listener(server.converse) as listener:
        outcome = check("websocket", {"url": f"ws://127.0.0.1:{listener.port}/feed?key=1", **config}, timeout=timeout)
        if outcome.status == Status.UP:
            until(lambda: server.heard[-1:] == [(CLOSE, b"\x03\xe8")])  # it always says goodbye
        return outcome


def test_the_example_of_rfc_6455() -> None:
    headers = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}
    assert websocket.handshake_flaw(headers, b"dGhlIHNhbXBsZSBub25jZQ==", "") is None
    assert websocket.handshake_flaw(headers, b"dGhlIHNhbXBsZSBub25jZR==", "")


def test_handshake_ping_and_close() -> None:
    server = Websocket()
    outcome = ask(server, headers={"Origin": "https://www.example.com", "Authorization": f"Bearer {CANARY}"})
    assert outcome.status == Status.UP and outcome.http_status == 101, outcome
    assert outcome.connect_ms is not None and outcome.first_byte_ms is not None
    request = server.requests[0]
    assert request[""] == "GET /feed?key=1 HTTP/1.1" and request["sec-websocket-version"] == "13"
    assert request["origin"] == "https://www.example.com" and request["authorization"] == f"Bearer {CANARY}"
    assert [opcode for opcode, _ in server.heard] == [PING, CLOSE]
    assert CANARY not in repr(outcome)


@pytest.mark.parametrize("text", ["hi", "y" * 200, "ä"])
def test_send_and_expect(text: str) -> None:
    server = Websocket()
    outcome = ask(server, send=text, expect=f"you said {text}", ping=False)
    assert outcome.status == Status.UP, outcome
    assert [opcode for opcode, _ in server.heard] == [TEXT, CLOSE]


def test_fragments_pings_and_other_messages_on_the_way() -> None:
    first = frame(TEXT, b"hel", final=False) + frame(PING, b"are you there") + frame(0, b"lo wo", final=False)
    server = Websocket(first=frame(2, b"noise") + first + frame(0, b"rld"))
    outcome = ask(server, expect="hello world")
    assert outcome.status == Status.UP, outcome
    assert (PONG, b"are you there") in server.heard


def test_the_expected_text_never_comes() -> None:
    outcome = ask(Websocket(), timeout=1.5, send="hi", expect="bye")
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "timeout"), outcome
    assert outcome.body == b"you said hi"
    talks = Websocket(first=frame(TEXT, b"x" * 30_000) * 3)
    assert ask(talks, expect="bye").error_class == "content"


def test_a_subprotocol() -> None:
    assert ask(Websocket(protocols=("chat",)), subprotocol="chat").status == Status.UP
    outcome = ask(Websocket(), subprotocol="chat")
    assert (outcome.error_class, "does not agree" in outcome.message) == ("protocol", True), outcome


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "403 Forbidden", "500 Oh"])
def test_another_status_is_failing(status: str) -> None:
    outcome = ask(Websocket(status=status))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "http_status"), outcome
    assert outcome.http_status == int(status[:3])


@pytest.mark.parametrize(
    "change",
    [
        {"Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
        {"Sec-WebSocket-Accept": ""},
        {"Upgrade": "h2c"},
        {"Connection": "close"},
        {"Sec-WebSocket-Extensions": "permessage-deflate"},
        {"Sec-WebSocket-Protocol": "unasked"},
    ],
)
def test_a_handshake_that_only_looks_like_one(change: dict[str, str]) -> None:
    outcome = ask(Websocket(change=change))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "protocol"), outcome


@pytest.mark.parametrize(
    ("first", "error_class"),
    [
        (frame(TEXT, b"x", masked=True), "protocol"),
        (frame(TEXT, b"x", reserved=0x40), "protocol"),
        (frame(3, b"x"), "protocol"),
        (frame(PING, b"x", final=False), "protocol"),
        (frame(PING, b"x" * 126), "protocol"),
        (frame(0, b"x"), "protocol"),
        (frame(TEXT, b"x", final=False) + frame(TEXT, b"y"), "protocol"),
        (frame(TEXT, b"x" * 70_000), "too_large"),
        (b"\x81\x7f" + b"\xff" * 8, "too_large"),
        (frame(TEXT, b"x" * 40_000, final=False) + frame(0, b"x" * 40_000), "too_large"),
        (frame(TEXT, b"") * 1100, "too_large"),
        (frame(CLOSE, b"\x03\xf5bye"), "reset"),
        (frame(CLOSE, b""), "reset"),
        (b"\x81", "timeout"),
    ],
    ids=[
        "masked", "reserved bits", "unknown opcode", "a ping in parts", "a large ping", "a part of nothing", "a text in a text", "large",
        "announced large", "large in parts", "many", "closes", "closes without a word", "cut short",
    ],
)  # fmt: skip
def test_frames_that_make_no_sense(first: bytes, error_class: str) -> None:
    outcome = ask(Websocket(first=first), timeout=patience(error_class), expect="never", ping=False)
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class), outcome


def test_no_pong_is_failing_and_a_wrong_one_is_none() -> None:
    def mute(opcode: int, payload: bytes) -> list[bytes]:
        return [frame(PONG, b"another")] if opcode == PING else well_mannered(opcode, payload)

    outcome = ask(Websocket(answer=mute), timeout=SHORT)
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "timeout"), outcome
    assert ask(Websocket(answer=mute), ping=False).status == Status.UP


def test_tls(trusted: Authority) -> None:
    shown = trusted.issue()
    with Listener(Websocket().converse, shown.server_context()) as listener:
        outcome = check("websocket", {"url": f"wss://localhost:{listener.port}/", "send": "a", "expect": "said a"})
    assert outcome.status == Status.UP and outcome.tls_ms is not None, outcome
    assert outcome.facts["certificate"]["fingerprint"] == shown.fingerprint


def test_a_bad_certificate_stops_it_unless_it_need_not_verify() -> None:
    server = Websocket()
    with Listener(server.converse, self_signed().server_context()) as listener:
        place = {"url": f"wss://localhost:{listener.port}/", "headers": {"X-Key": CANARY}}
        strict = check("websocket", place)
        assert server.requests == []
        lax = check("websocket", place | {"verify_tls": False})
    assert (strict.status, strict.error_class) == (Status.FAILING, "tls") and "certificate" in strict.facts, strict
    assert lax.status == Status.UP and lax.facts["certificate"]["chain_error"], lax


@pytest.mark.parametrize(
    ("words", "error_class"),
    [
        (b"SSH-2.0-x\r\n", "protocol"),
        (b"HTTP/1.0 101 ok\r\n", "protocol"),
        (b"HTTP/1.1 101 ok\r\nnonsense\r\n", "protocol"),
        (b"HTTP/1.1 101 ok\r\n" + b"A: b\r\n" * 200, "too_large"),
        (b"HTTP/1.1 101 ok\r\nA: " + b"b" * 9000, "protocol"),
        (b"HTTP/1.1 101 ok\r\nA: b\r\n", "timeout"),
    ],
)
def test_wrong_answers(words: bytes, error_class: str) -> None:
    with Listener(says(b"", words)) as listener:
        outcome = check("websocket", {"url": f"ws://127.0.0.1:{listener.port}"}, timeout=patience(error_class))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class), outcome


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_servers_that_are_not_well(trouble: str, scheme: str) -> None:
    suffer(trouble, "websocket", lambda port: {"url": f"{scheme}://127.0.0.1:{port}/", "headers": {"X-Key": CANARY}})


def test_a_server_that_drips_frames_for_ever() -> None:
    async def drips(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(frame(TEXT, b"tick"))
            await writer.drain()
            await asyncio.sleep(0.02)

    outcome = ask(Websocket(after=drips), timeout=SHORT, expect="tock")
    assert outcome.error_class == "timeout", outcome


def test_refused_and_upside_down() -> None:
    outcome = check("websocket", {"url": f"ws://127.0.0.1:{closed_port()}/"})
    assert outcome.error_class == "connect_refused" and limit(outcome, upside_down=True).status == Status.UP


@pytest.mark.parametrize(
    ("url", "host"),
    [("ws://[::1]:81/", "[::1]:81"), ("wss://a.example", "a.example"), ("wss://a.example:80/", "a.example:80")],
)
def test_the_host_header(url: str, host: str) -> None:
    config = checks.parse("websocket", {"url": url})
    assert f"\r\nHost: {host}\r\n".encode() in websocket.request_for(config, websocket.split(url), b"k")  # type: ignore[arg-type]
    assert websocket.split(url).origin == check_url(url.replace("ws", "http", 1)).origin


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "https://a.example/"},
        {"url": "ws://user@a.example/"},
        {"url": "ws://a.example/\r\nX: y"},
        {"url": "a.example"},
        {"subprotocol": "a, b"},
        {"headers": {"Host": "b.example"}},
        {"headers": {"Sec-WebSocket-Key": "x"}},
        {"headers": {"X Y": "x"}},
        {"headers": {"X": "a\r\nb"}},
    ],
)
def test_settings_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        checks.parse("websocket", {"url": "wss://a.example/", **wrong})
