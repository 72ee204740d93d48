"""What does the container engine say? Its HTTP API over the Unix socket: GET only, bounded in time and size.

The socket is as good as root on that machine, so this file can do nothing but read: there is no way to pass a method or
a body. Podman's socket speaks the same. https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

MOST_HEAD = 32 * 1024
MOST_BODY, MOST_EVENTS = 8 << 20, 1 << 20
PATIENCE = 8.0


class EngineTrouble(Exception):
    """The engine answered, but not with what was asked. `status` is HTTP's, 0 where the answer was no HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the engine."""

    status: int
    headers: dict[str, str]
    body: bytes


class Engine:
    """The engine behind one socket. Raises OSError where nobody listens, TimeoutError, EngineTrouble."""

    def __init__(self, socket_path: str) -> None:
        self.path = socket_path

    async def containers(self) -> list[dict[str, Any]]:
        """Every container, running or not."""
        return _list(await self._json("/containers/json", all="1"))

    async def inspect(self, container: str) -> dict[str, Any]:
        """One container in full."""
        return _dict(await self._json(f"/containers/{quote(container, safe='')}/json"))

    async def stats(self, container: str) -> dict[str, Any]:
        """Its counters now. `one-shot` spares the engine's own second of measuring; the rate is worked out here."""
        return _dict(
            await self._json(
                f"/containers/{quote(container, safe='')}/stats", **{"stream": "false", "one-shot": "true"}
            )
        )

    async def image(self, name: str) -> dict[str, Any]:
        """One image, by name or id."""
        return _dict(await self._json(f"/images/{quote(name, safe='/:@')}/json"))

    async def logs(self, container: str, lines: int, most: int = 256 * 1024) -> str:
        """The last lines it wrote, from both streams, in order."""
        where = f"/containers/{quote(container, safe='')}/logs"
        answer = await self._get(where, {"stdout": "1", "stderr": "1", "tail": str(lines)}, most)
        if answer.status != 200:
            raise EngineTrouble(answer.status, "The engine keeps no log of it")
        return spoken(answer.body, answer.headers.get("content-type", ""))

    async def ends(self, since: float, until: float) -> list[tuple[str, int, bool]]:
        """(container, exit code, for want of memory?) of every end between two moments (Unix time), in order.

        A container that its policy started again no longer says how it ended; only the engine's events do.
        """
        wanted = json.dumps({"type": ["container"], "event": ["oom", "die"]})
        query = {"since": f"{since:.6f}", "until": f"{until:.6f}", "filters": wanted}
        answer = await self._get("/events", query, MOST_EVENTS)
        if answer.status != 200:
            raise EngineTrouble(answer.status, "The engine tells no events")
        return ended(answer.body)

    async def _json(self, path: str, **query: str) -> Any:
        answer = await self._get(path, query, MOST_BODY)
        if answer.status != 200:
            raise EngineTrouble(answer.status, f"The engine answered {answer.status}")
        try:
            return json.loads(answer.body)
        except ValueError:
            raise EngineTrouble(0, "The engine's answer cannot be read") from None

    async def _get(self, path: str, query: dict[str, str], most: int) -> Answer:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_unix_connection(self.path, limit=MOST_HEAD)
            try:
                target = f"{path}?{urlencode(query)}" if query else path
                writer.write(
                    f"GET {target} HTTP/1.1\r\nHost: docker\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode()
                )
                await writer.drain()
                return await _answer(reader, most)
            finally:
                writer.transport.abort()


async def _answer(reader: asyncio.StreamReader, most: int) -> Answer:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ", 2)[1])
        headers = {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in head[1:] if line)}
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = await _chunks(reader, most)
        elif "content-length" in headers:
            length = int(headers["content-length"])
            if length > most:
                raise EngineTrouble(status, f"The engine's answer is larger than {most >> 10} KB")
            body = await reader.readexactly(length)
        else:
            body = await _rest(reader, most)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError, ValueError):
        raise EngineTrouble(0, "The engine's answer is not HTTP, or was cut off") from None
    return Answer(status, headers, body)


async def _chunks(reader: asyncio.StreamReader, most: int) -> bytes:
    parts, size = [], 0
    while length := int((await reader.readuntil(b"\n")).split(b";")[0], 16):
        size += length
        if length < 0 or size > most:
            raise EngineTrouble(0, f"The engine's answer is larger than {most >> 10} KB")
        parts.append(await reader.readexactly(length))
        await reader.readexactly(2)
    return b"".join(parts)


async def _rest(reader: asyncio.StreamReader, most: int) -> bytes:
    body = b""
    while chunk := await reader.read(65536):
        body += chunk
        if len(body) > most:
            raise EngineTrouble(0, f"The engine's answer is larger than {most >> 10} KB")
    return body


def ended(lines: bytes) -> list[tuple[str, int, bool]]:
    """The ends among the engine's events, one JSON object a line; what killed it for want of memory comes before."""
    found, starved = [], set()
    for line in lines.splitlines():
        try:
            event = json.loads(line)
            key, action = str(event["Actor"]["ID"]), event["Action"]
            if action == "oom":
                starved.add(key)
            elif action == "die":
                found.append((key, int(event["Actor"]["Attributes"]["exitCode"]), key in starved))
                starved.discard(key)
        except (ValueError, TypeError, KeyError):  # half a line, or an engine that words it otherwise
            continue
    return found


def spoken(body: bytes, content_type: str = "") -> str:
    """A log as text. Without a terminal both streams come in frames: a byte which, three zeros, four of length."""
    if "raw-stream" not in content_type and body[:1] in (b"\x00", b"\x01", b"\x02") and body[1:4] == b"\x00\x00\x00":
        parts, at = [], 0
        while at + 8 <= len(body):
            length = int.from_bytes(body[at + 4 : at + 8], "big")
            parts.append(body[at + 8 : at + 8 + length])
            at += 8 + length
        body = b"".join(parts)
    return body.decode("utf-8", "replace")


def _list(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise EngineTrouble(0, "The engine's answer is no list")
    return [item for item in value if isinstance(item, dict)]


def _dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise EngineTrouble(0, "The engine's answer is no object")
    return value
