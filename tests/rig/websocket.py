"""What does a WebSocket server do? RFC 6455 on the server's side: the handshake, whole frames, and whatever a test wants said."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def frame(opcode: int, payload: bytes, *, final: bool = True, masked: bool = False, reserved: int = 0) -> bytes:
    """One frame as a server sends it."""
    head = bytes([(0x80 if final else 0) | reserved | opcode])
    size = len(payload)
    if size < 126:
        length = bytes([size])
    else:
        length = b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")
    return head + (bytes([length[0] | 0x80]) + length[1:] + bytes(4) if masked else length) + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """(opcode, payload) of one frame, which must be masked as a client's."""
    head = await reader.readexactly(2)
    assert head[0] & 0x80 and head[1] & 0x80, "whole and masked"
    size = head[1] & 0x7F
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(size)
    return head[0] & 15, bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


Said = Callable[[int, bytes], list[bytes]]


def well_mannered(opcode: int, payload: bytes) -> list[bytes]:
    """Repeats texts, answers pings and closes, says nothing to a pong."""
    if opcode == PONG:
        return []
    if opcode == TEXT:
        return [frame(TEXT, b"you said " + payload)]
    return [frame({PING: PONG, CLOSE: CLOSE}[opcode], payload)]


@dataclass
class Websocket:
    """One server's manners; `converse` is a handler. `first` is said after the handshake; `answer` to each frame."""

    first: bytes = b""
    answer: Said = well_mannered
    protocols: tuple[str, ...] = ()
    status: str = "101 Switching Protocols"
    change: dict[str, str] = field(default_factory=dict)
    requests: list[dict[str, str]] = field(default_factory=list)
    heard: list[tuple[int, bytes]] = field(default_factory=list)
    after: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        raw = (await reader.readuntil(b"\r\n\r\n")).decode()
        start, *lines = raw.strip().split("\r\n")
        request = {"": start} | {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in lines}
        self.requests.append(request)
        proof = base64.b64encode(hashlib.sha1((request["sec-websocket-key"] + MAGIC).encode()).digest()).decode()
        headers = {"Upgrade": "websocket", "Connection": "keep-alive, Upgrade", "Sec-WebSocket-Accept": proof}
        if request.get("sec-websocket-protocol") in self.protocols:
            headers["Sec-WebSocket-Protocol"] = request["sec-websocket-protocol"]
        headers |= self.change
        answer = [f"HTTP/1.1 {self.status}", *(f"{name}: {value}" for name, value in headers.items() if value), "", ""]
        writer.write("\r\n".join(answer).encode() + self.first)
        await writer.drain()
        if self.after:
            await self.after(writer)
        while True:
            opcode, payload = await read_frame(reader)
            self.heard.append((opcode, payload))
            for reply in self.answer(opcode, payload):
                writer.write(reply)
                await writer.drain()
