"""How does a test run one check against a real server on loopback?"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

from monitors import checks
from monitors.checks.base import Context, Outcome
from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine
from portal.outbound.resolver import Resolver
from tests.rig.process import free_port

LOOPBACK = Reach(allow=(ip_network("127.0.0.0/8"), ip_network("::1/128")))
NOWHERE = Reach()
NO_NAME_SERVER = "127.0.0.1:9"  # nothing listens there: c-ares works below the loopback lock and must not ask the world
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SHORT, LONG = 0.5, 15.0  # seconds: to wait for what never comes, and for what surely comes, even on a busy machine

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def patience(error_class: str) -> float:
    """The time-out, in seconds, of a check that is to end with this: whatever does come must not race a short one."""
    return SHORT if error_class == "timeout" else LONG


def datagram_patience(error_class: str) -> float:
    """The same where questions are repeated: after a packet that means nothing a check waits for a better one."""
    return 1.0 if error_class in ("protocol", "timeout") else LONG


def check(
    kind: str, config: dict[str, Any], *, reach: Reach = LOOPBACK, timeout: float = LONG, **context: Any
) -> Outcome:
    """The outcome of one run, with an engine and a resolver of its own."""

    async def run() -> Outcome:
        resolver = Resolver(nameservers=[NO_NAME_SERVER])
        engine = HttpEngine(resolver=resolver)
        try:
            parsed = checks.parse(kind, config)
            ctx = Context(http=engine, resolver=resolver, reach=reach, timeout=timeout, **context)
            return await checks.get(kind).run(parsed, ctx)
        finally:
            engine.close()
            resolver.close()

    return asyncio.run(run())


class Listener:
    """A TCP server on 127.0.0.1 in a thread of its own; it counts the connections and forgives clients that vanish."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self._handler, self._tls = handler, tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _open(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, EOFError, asyncio.CancelledError, ValueError):
            await self._handler(reader, writer)
        writer.transport.abort()

    async def _shut(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def says(*lines: bytes, after_each: bool = True) -> Handler:
    """A handler that speaks first and then, by default, answers each line heard with the next one."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, line in enumerate(lines):
            if number and after_each:
                await reader.readline()
            writer.write(line)
            await writer.drain()
        await reader.read()

    return handler


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts and says nothing."""
    await reader.read()


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts and closes at once."""


def closed_port() -> int:
    """A port on which nothing listens."""
    return free_port()
