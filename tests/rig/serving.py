"""How does a test's server live beside the test? One asyncio loop in one thread, one port on 127.0.0.1 that stays ours."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Serving:
    """Base of the rig's servers: a context manager; entering opens the port, leaving closes everything.

    `refuse()` keeps the port bound but not listening: a caller gets "connection refused" and no other program can take
    the port meanwhile. `listen()` opens it again.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=type(self).__name__, daemon=True)
        self._server: asyncio.Server | None = None
        self._socket = self._bound(0)
        self.port: int = self._socket.getsockname()[1]
        self.connections: set[asyncio.BaseTransport] = set()

    async def accept(self, server_socket: socket.socket) -> asyncio.Server:
        """Start serving on this socket; each kind of server says how."""
        return await asyncio.start_server(self._connection, sock=server_socket, ssl=self._tls, backlog=1024)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its last; the connection is closed afterwards."""
        raise NotImplementedError

    def listen(self) -> None:
        """Answer connections (again)."""
        self.ask(self._listen())

    def refuse(self) -> None:
        """Answer no connection: connection refused. Open ones are cut."""
        self.ask(self._refuse())

    def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the server's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(15)

    def __enter__(self) -> Self:
        self._thread.start()
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cut everything and end the thread."""
        if self._thread.is_alive():
            self.ask(self._refuse())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(60)
        self._socket.close()
        if not self._loop.is_closed():
            self._loop.close()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await self.accept(self._socket)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()  # closes the listening socket too; take the port back before anybody else can
            self._server = None
            self._socket = self._bound(self.port)
        for transport in list(self.connections):
            transport.abort()  # type: ignore[attr-defined]
        conversations = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer.transport)
        try:
            await self.converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the caller went away: its right
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self.connections.discard(writer.transport)
            writer.close()

    @staticmethod
    def _bound(port: int) -> socket.socket:
        bound = socket.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        return bound


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN: the caller reads "connection reset by peer"."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
