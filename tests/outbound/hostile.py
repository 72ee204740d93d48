"""How badly can a server behave? One on loopback that does what the path says, and keeps what it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from types import TracebackType
from typing import Self

from tests.rig.serving import reset

FLOOD = b"x" * 65536


class Hostile:
    """``requests`` holds each request's bytes; ``location`` is where ``/redirect/<status>`` leads."""

    def __init__(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._tls = tls
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[bytes] = []
        self.connections = 0
        self.location = "/loop"
        self._arrival = asyncio.Condition()

    @property
    def base(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connection, self._host, 0, ssl=self._tls, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def heard(self, requests: int) -> None:
        """Returns when so many requests have come."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: len(self.requests) >= requests)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
                await self._converse(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(h[15:]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length:")), 0)
        body = await reader.readexactly(length)
        self.requests.append(head + body)
        async with self._arrival:
            self._arrival.notify_all()
        path = head.split(b" ")[1].decode()
        behave = getattr(self, "do_" + path.strip("/").partition("/")[0].partition("?")[0].replace("-", "_"), None)
        if behave is None:
            await say(writer, 200, head + body)
        else:
            await behave(writer, path, head)

    async def do_status(self, writer: asyncio.StreamWriter, path: str, _head: bytes) -> None:
        await say(writer, int(path.rpartition("/")[2]), b"said so")

    async def do_redirect(self, writer: asyncio.StreamWriter, path: str, _head: bytes) -> None:
        await say(writer, int(path.split("/")[2]), b"", "Location: " + self.location)

    async def do_loop(self, writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        await say(writer, 302, b"", "Location: /loop")

    async def do_never(self, _writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        await asyncio.sleep(600)

    async def do_drip_body(self, writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        await drip(writer)

    async def do_drip_headers(self, writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        await drip(writer)

    async def do_endless(self, writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(FLOOD)
            await writer.drain()

    async def do_huge_header(self, writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        await say(writer, 200, b"", "X: " + "y" * 80_000)

    async def do_many_headers(self, writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Flood: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 100)
            await writer.drain()

    async def do_endless_interim(self, writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100)
            await writer.drain()

    async def do_interim(self, writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        await say(writer, 200, b"late", "X-Last: yes\r\nX-Folded: a\r\n b")

    async def do_reset(self, writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        reset(writer)

    async def do_reset_midway(self, writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(0.02)
        reset(writer)

    async def do_short(self, writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")

    async def do_nothing(self, _writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        return

    async def do_garbage(self, writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n" + b"\x00\xff" * 100)

    async def do_bad_chunk(self, writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nbad\r\n")

    async def do_gzip(self, writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        await say(writer, 200, b"\x1f\x8b\x08pretended", "Content-Encoding: gzip")

    async def do_latin(self, writer: asyncio.StreamWriter, _path: str, _head: bytes) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nX-Name: caf\xe9\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
        )

    async def do_digest(self, writer: asyncio.StreamWriter, _path: str, head: bytes) -> None:
        if b"authorization: digest" in head.lower():
            await say(writer, 200, b"let in")
        else:
            await say(writer, 401, b"who are you", 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"')


async def say(writer: asyncio.StreamWriter, status: int, body: bytes, headers: str = "X: y") -> None:
    head = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"z")
        await writer.drain()
        await asyncio.sleep(0.05)
