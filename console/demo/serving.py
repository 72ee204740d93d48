"""On what do the demo's little servers run? One asyncio loop in one thread, on loopback, beside the portal."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

HOST = "127.0.0.1"
Made = TypeVar("Made")
Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Street:
    """Where the servers stand. `open` gives each its port; `close` shuts all of them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="demo-servers", daemon=True)
        self._thread.start()

    def open(
        self, conversation: Conversation, *, host: str = HOST, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> int:
        """Serve; returns the port. Raises OSError when it is taken."""

        async def start() -> asyncio.Server:
            return await asyncio.start_server(_patient(conversation), host, port, ssl=tls, limit=1 << 20)

        server = self.do(start())
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def do(self, work: Coroutine[Any, Any, Made]) -> Made:
        """Carry out in the loop of the servers, from another thread; returns what it returns. TimeoutError after 10 s."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def close(self) -> None:
        """End everything."""

        async def end() -> None:
            for server in self._servers:
                server.close()
            rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


def _patient(conversation: Conversation) -> Conversation:
    async def held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.wait_for(conversation(reader, writer), 60)
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever called went away, or speaks something else
        finally:
            writer.close()

    return held


async def requested(reader: asyncio.StreamReader) -> str:
    """The path that an HTTP request asks for, after its head was read; ValueError for anything else."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    method, path, _ = head.split("\r\n", 1)[0].split(" ", 2)
    if method not in ("GET", "HEAD"):
        raise ValueError(method)
    return path


async def answer(
    writer: asyncio.StreamWriter, status: str, body: str, kind: str = "text/html; charset=utf-8", *headers: str
) -> None:
    """One HTTP answer; the connection closes after it."""
    content = body.encode()
    lines = [
        f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(content)}", "Connection: close", *headers,
    ]  # fmt: skip
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
    await writer.drain()
