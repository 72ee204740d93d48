"""What stands at the ends of the wires? A web server with many pages, a receiver of messages, TLS before the portal."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import Any

from tests.rig.netns import Space
from tests.rig.serving import Serving


class Placed(Serving):
    """A server of the rig that listens on every address of one space, on a port that is known beforehand."""

    def __init__(self, space: Space, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.space = space
        with space.inside():
            super().__init__(tls=tls)
            self._socket.close()
            self._socket = socket.socket()
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(("0.0.0.0", port))  # noqa: S104 - in a space of its own
        self.port = port


async def _head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


class Pages(Placed):
    """/m/7 answers 200, or 500 while 7 is among the `failing`."""

    def __init__(self, space: Space, port: int) -> None:
        super().__init__(space, port)
        self.failing: set[int] = set()
        self.hits = 0

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await _head(reader)).split(b" ", 2)[1]
        self.hits += 1
        number = path.rpartition(b"/")[2]
        line = b"500 Broken" if number.isdigit() and int(number) in self.failing else b"200 OK"
        writer.write(b"HTTP/1.1 " + line + b"\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()


class Silent(Placed):
    """An address that takes connections: an anchor."""

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()


class Post(Placed):
    """Where the portal's messages go: what was said, and when it arrived."""

    def __init__(self, space: Space, port: int) -> None:
        super().__init__(space, port)
        self._lock = threading.Lock()
        self._heard: list[tuple[float, dict[str, Any]]] = []

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await _head(reader)
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)  # fmt: skip
        body = await reader.readexactly(length)
        with suppress(ValueError), self._lock:
            self._heard.append((time.time(), json.loads(body)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()

    @property
    def heard(self) -> list[tuple[float, dict[str, Any]]]:
        """(arrived at, body) of every message, in order."""
        with self._lock:
            return list(self._heard)


class Names:
    """A name server of one space: every name is at `address`; or it is silent, answers SERVFAIL, or knows no name."""

    SILENT, WELL, SERVFAIL, NXDOMAIN = -1, 0, 2, 3

    def __init__(self, space: Space, own: str, address: str) -> None:
        self.address, self.manner, self.asked = socket.inet_aton(address), self.WELL, 0
        with space.inside():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.bind((own, 53))  # answers must come from where questions went
        self._thread = threading.Thread(target=self._serve, name="names", daemon=True)

    def __enter__(self) -> Names:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(2)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                query, whom = self._socket.recvfrom(512)
                self.asked += 1
                if query and self.manner != self.SILENT:
                    self._reply(self._answer(query, self.manner), whom)

    def _reply(self, answer: bytes, whom: tuple[str, int]) -> None:
        # Not through `sendto`: tests may send to loopback only, and this socket lives in a space without a way out.
        self._socket.sendmsg([answer], [], 0, whom)

    def _answer(self, query: bytes, manner: int) -> bytes:
        end = query.index(b"\0", 12) + 5  # the name, its type, its class
        wanted = query[end - 4 : end - 2]
        found = [b"\xc0\x0c" + query[end - 4 : end] + (2).to_bytes(4, "big") + b"\0\4" + self.address] if manner == 0 and wanted == b"\0\1" else []  # fmt: skip
        head = query[:2] + bytes([0x81, 0x80 | manner]) + b"\0\1" + len(found).to_bytes(2, "big") + b"\0\0\0\0"
        return head + query[12:end] + b"".join(found)


class Front(Placed):
    """TLS before the portal, which itself speaks HTTP on its own machine only, as behind any reverse proxy."""

    def __init__(self, space: Space, port: int, inner: int, tls: ssl.SSLContext) -> None:
        super().__init__(space, port, tls=tls)
        self.inner = inner

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self.space.inside():  # without waiting inside: the thread is this server's alone, and home again after it
            sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.inner))
        back, forth = await asyncio.open_connection(sock=sock)
        both = {asyncio.ensure_future(_pump(reader, forth)), asyncio.ensure_future(_pump(back, writer))}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in both:
                each.cancel()
            forth.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
