"""What does a gRPC server say over HTTP/2? RFC 9113 for one call: settings, headers, data, trailers, by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 4, 6, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8

SERVING = b"\0\0\0\0\x02\x08\x01"
WELL = {"content-type": "application/grpc"}


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def packed(headers: dict[str, str]) -> bytes:
    """HPACK without any table: every field as a literal that is not indexed (RFC 7541, 6.2.2)."""
    found = b""
    for name, value in headers.items():
        for text in (name.encode(), value.encode()):
            assert len(text) < 127
        found += b"\0" + bytes([len(name.encode())]) + name.encode() + bytes([len(value.encode())]) + value.encode()
    return found


@dataclass
class Reply:
    """What to say to one call. `trailers` None: the status comes with the headers and nothing after it."""

    body: bytes = SERVING
    trailers: dict[str, str] | None = field(default_factory=lambda: {"grpc-status": "0"})
    headers: dict[str, str] = field(default_factory=lambda: dict(WELL))
    status: str = "200"


@dataclass
class Http2:
    """One server's manners; `converse` is a handler. `heard` holds the body of each call."""

    answer: Callable[[bytes], Reply]
    heard: list[bytes] = field(default_factory=list)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        assert await reader.readexactly(len(PREFACE)) == PREFACE, "HTTP/2 from the first byte"
        writer.write(frame(SETTINGS, 0, 0, b""))
        bodies: dict[int, bytes] = {}
        while True:
            head = await reader.readexactly(9)
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            if kind == SETTINGS and not flags & ACK:
                writer.write(frame(SETTINGS, ACK, 0, b""))
            elif kind == PING and not flags & ACK:
                writer.write(frame(PING, ACK, 0, payload))
            elif kind == DATA:
                bodies[stream] = bodies.get(stream, b"") + payload
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                body = bodies.pop(stream, b"")
                self.heard.append(body)
                writer.write(said(self.answer(body), stream))
            await writer.drain()


def said(reply: Reply, stream: int) -> bytes:
    """The frames of one answer."""
    start = packed({":status": reply.status, **reply.headers})
    if reply.trailers is None:
        return frame(HEADERS, END_HEADERS | END_STREAM, stream, start)
    words = frame(HEADERS, END_HEADERS, stream, start)
    parts = [reply.body[at : at + 16384] for at in range(0, len(reply.body), 16384)]
    words += b"".join(frame(DATA, 0, stream, part) for part in parts)
    return words + frame(HEADERS, END_HEADERS | END_STREAM, stream, packed(reply.trailers))
