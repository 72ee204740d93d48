"""Does a WebSocket endpoint shake hands, answer a ping and, if wanted, say what is expected?

RFC 6455 without extensions: handshake with the key's check, one text out, texts in until the expected one, ping, close.
"""

import base64
import hashlib
import os
import re
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from portal.outbound.guard import SplitURL, check_url

from .base import KEPT_BODY, Check, CheckFailed, Context, Outcome, Secret, Status, Stopwatch
from .connection import Stream
from .conversation import VerifiedConfig, conversation, exactly, farewell

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MOST_READ = 65536  # bytes of one message
MOST_HEADERS = 100
MOST_FRAMES = 1000
CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_STATUS = re.compile(r"HTTP/1\.1 ([1-5][0-9]{2})(?: .*)?")
OURS = {"host", "connection", "upgrade", "content-length", "transfer-encoding", "te", "trailer", "expect"}


def split(url: str) -> SplitURL:
    """The parts of a ws:// or wss:// URL as those of http:// or https://; raises ValueError."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() not in ("ws", "wss"):
        raise ValueError("The URL must start with ws:// or wss://.")
    return check_url(("https" if scheme.lower() == "wss" else "http") + mark + rest)


def _checked(url: str) -> str:
    split(url)
    return url


def _token(text: str) -> str:
    if text and not _TOKEN.fullmatch(text):
        raise ValueError("A subprotocol is one word, such as graphql-transport-ws")
    return text


def _strip(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


class WebsocketConfig(VerifiedConfig):
    """Where to shake hands, and what to say and hear."""

    url: Annotated[str, BeforeValidator(_strip), AfterValidator(_checked)] = Field(
        title="URL", max_length=2000, examples=["wss://live.example.com/feed"]
    )
    headers: dict[str, Secret] = Field(
        {},
        title="Headers",
        description="Extra request headers; values are kept secret.",
        max_length=20,
        examples=[{"Origin": "https://www.example.com"}],
    )
    subprotocol: Annotated[str, AfterValidator(_token)] = Field(
        "", title="Subprotocol", description="The server must agree to it.", examples=["graphql-transport-ws"]
    )
    send: str = Field(
        "", title="Send", max_length=2000, description="Text to send first.", examples=['{"type": "connection_init"}']
    )
    expect: str = Field(
        "", title="Expect", max_length=500, description="Text that one of the messages must contain.", examples=["ack"]
    )
    ping: bool = Field(True, title="Ping", description="The server must answer a ping.")

    @field_validator("headers")
    @classmethod
    def _headers(cls, headers: dict[str, Secret]) -> dict[str, Secret]:
        for name, value in headers.items():
            if not _TOKEN.fullmatch(name):
                raise ValueError("A header name may only contain letters, digits and -_.!#$%&'*+^`|~")
            if name.lower() in OURS or name.lower().startswith("sec-websocket-"):
                raise ValueError(f"The header {name} is written by the check itself and cannot be set")
            if not value.get_secret_value().isprintable() or len(value.get_secret_value()) > 4000:
                raise ValueError(
                    f"The value of the header {name} holds a line break or control character, or is too long"
                )
        return headers


class WebsocketCheck(Check):
    """One WebSocket conversation."""

    kind: ClassVar[str] = "websocket"
    label: ClassVar[str] = "WebSocket"
    Config = WebsocketConfig
    leads_to: ClassVar[tuple[str, ...]] = ("url",)

    @classmethod
    def target(cls, config: WebsocketConfig) -> str:
        """The URL without its query, where keys are often kept"""
        return config.url.partition("?")[0].partition("#")[0]

    @classmethod
    async def probe(cls, config: WebsocketConfig, ctx: Context, outcome: Outcome) -> None:
        """Shake hands, talk, ping, close; http_status is the answer to the handshake."""
        url = split(config.url)
        secured = url.scheme == "https"
        async with conversation(url.host, url.port, ctx, outcome, tls=secured, verify=config.verify_tls) as stream:
            key = base64.b64encode(os.urandom(16))
            watch = Stopwatch.start()
            await stream.send(request_for(config, url, key))
            status = await _status(stream)
            outcome.first_byte_ms, outcome.http_status = watch.lap(), status
            headers = await _headers(stream)
            if status != 101:
                raise CheckFailed("http_status", f"Answered {status} to the handshake, wanted 101")
            if flaw := handshake_flaw(headers, key, config.subprotocol):
                raise CheckFailed("protocol", flaw)
            talk = Talk(stream)
            if config.send:
                await talk.say(TEXT, config.send.encode())
            if config.expect:
                await _hear(talk, config.expect.encode(), outcome)
            if config.ping:
                await talk.ping()
            await farewell(stream, frame(CLOSE, (1000).to_bytes(2)))
        outcome.settle(Status.UP, "The expected text came" if config.expect else "The server shook hands")


def request_for(config: WebsocketConfig, url: SplitURL, key: bytes) -> bytes:
    """The handshake. Header values that are not ASCII travel as UTF-8."""
    name = f"[{url.host}]" if ":" in url.host else url.host
    usual = {"http": 80, "https": 443}[url.scheme]
    lines = [
        f"GET {url.target} HTTP/1.1",
        f"Host: {name}" + (f":{url.port}" if url.port != usual else ""),
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key.decode()}",
        *([f"Sec-WebSocket-Protocol: {config.subprotocol}"] if config.subprotocol else []),
        *(["User-Agent: Watchkeeper"] if "user-agent" not in map(str.lower, config.headers) else []),
        *(f"{header}: {value.get_secret_value()}" for header, value in config.headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


async def _status(stream: Stream) -> int:
    found = _STATUS.fullmatch(await stream.line())
    if not found:
        raise CheckFailed("protocol", "The server does not speak HTTP")
    return int(found[1])


async def _headers(stream: Stream) -> dict[str, str]:
    """The answer's headers by lower-case name; repeated ones are joined by commas."""
    headers: dict[str, str] = {}
    for _ in range(MOST_HEADERS):
        line = await stream.line()
        if not line:
            return headers
        name, colon, value = line.partition(":")
        if not colon:
            raise CheckFailed("protocol", "The server does not speak HTTP")
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    raise CheckFailed("too_large", f"The answer has more than {MOST_HEADERS} headers")


def handshake_flaw(headers: dict[str, str], key: bytes, subprotocol: str) -> str | None:
    """What is wrong with a 101 answer (RFC 6455, 4.1), or None."""
    words = [word.strip().lower() for word in headers.get("connection", "").split(",")]
    if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in words:
        return "The server does not turn to WebSocket"
    proof = base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest()).decode()
    if headers.get("sec-websocket-accept") != proof:
        return "The server's answer does not belong to our handshake"
    if headers.get("sec-websocket-extensions"):
        return "The server uses extensions that nobody asked for"
    if headers.get("sec-websocket-protocol", "") != subprotocol:
        return (
            f"The server does not agree to {subprotocol}" if subprotocol else "The server chose a subprotocol unasked"
        )
    return None


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole frame, masked as a client must."""
    size = len(payload)
    head = bytes([0x80 | opcode])
    head += bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2)
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


@dataclass(slots=True)
class Talk:
    """Frames over one stream. Pings are answered, fragments joined, and a close ends the check."""

    stream: Stream
    _parts: list[bytes] = field(default_factory=list)
    _open: bool = False
    _frames: int = 0

    async def say(self, opcode: int, payload: bytes) -> None:
        """Send one frame."""
        await self.stream.send(frame(opcode, payload))

    async def hear(self) -> tuple[int, bytes]:
        """The next whole message (TEXT, whatever it holds) or PONG; raises CheckFailed."""
        while True:
            opcode, final, payload = await self._frame()
            if opcode == PING:
                await self.say(PONG, payload)
            elif opcode == PONG:
                return PONG, payload
            elif opcode == CLOSE:
                code = int.from_bytes(payload[:2])
                raise CheckFailed("reset", f"The server closed the WebSocket ({code or 'no code'})")
            else:
                if self._open != (opcode == CONTINUED):
                    raise CheckFailed("protocol", "The server's fragments make no sense")
                self._parts.append(payload)
                if sum(map(len, self._parts)) > MOST_READ:
                    raise CheckFailed("too_large", f"The server sent a message of more than {MOST_READ} bytes")
                self._open = not final
                if final:
                    whole = b"".join(self._parts)
                    self._parts.clear()
                    return TEXT, whole

    async def ping(self) -> None:
        """Ask for a pong and wait for it, whatever else is said meanwhile."""
        token = os.urandom(8)
        await self.say(PING, token)
        while await self.hear() != (PONG, token):
            pass

    async def _frame(self) -> tuple[int, bool, bytes]:
        self._frames += 1
        if self._frames > MOST_FRAMES:
            raise CheckFailed("too_large", f"The server sent more than {MOST_FRAMES} frames")
        head = await self.stream.reader.readexactly(2)
        opcode, final, size = head[0] & 0x0F, bool(head[0] & 0x80), head[1] & 0x7F
        known = opcode in (CONTINUED, TEXT, BINARY) or (opcode in (CLOSE, PING, PONG) and final and size < 126)
        if head[0] & 0x70 or head[1] & 0x80 or not known:
            raise CheckFailed("protocol", "The server does not speak WebSocket")
        if size > 125:
            size = int.from_bytes(await self.stream.reader.readexactly(2 if size == 126 else 8))
        return opcode, final, await exactly(self.stream, size, MOST_READ)


async def _hear(talk: Talk, wanted: bytes, outcome: Outcome) -> None:
    heard = 0
    while heard <= MOST_READ:
        kind, message = await talk.hear()
        if kind == TEXT:
            if wanted in message:
                return
            heard += len(message)
            outcome.body = message[:KEPT_BODY]
    raise CheckFailed("content", f"The expected text is not in the first {MOST_READ} bytes of messages")
