"""What has the second act's client? A server in its network, and two firewalls before it: one on the main line, one on the
second. Both lead to the same server; either may hang."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from console.demo.serving import Street
from console.demo.site import Site

TRIES = 10  # ports to try until one is free on all three addresses
PUSH = 0.3  # seconds: a connection that does not stand by then is not answered


class Firewall:
    """Leads whoever connects to `host`:`port` on to a server inside. Hung, its address still answers pings and lets nobody through."""

    def __init__(self, street: Street, host: str, port: int, inside: tuple[str, int]) -> None:
        """Raises OSError when the port is taken."""
        self.host, self.port, self.inside, self._street = host, port, inside, street
        self._socket = socket.create_server((host, port), backlog=64)
        self._socket.setblocking(False)
        self._crowd: list[socket.socket] = []
        self._passing: set[asyncio.Task[None]] = set()
        self._taking: asyncio.Task[None] | None = None
        street.do(self._open())

    def hang(self) -> None:
        """Take no connection any more, and answer none: the queue of those who wait is full, so the kernel drops what comes."""
        self._street.do(self._hang())

    def recover(self) -> None:
        """Work again."""
        self._street.do(self._open())

    def close(self) -> None:
        """End it; nobody listens there any more."""
        for one in (self._socket, *self._crowd):
            one.close()

    async def _open(self) -> None:
        self._socket.listen(64)
        for one in self._crowd:
            one.close()
        self._crowd = []
        self._taking = asyncio.create_task(self._take())

    async def _hang(self) -> None:
        for task in (self._taking, *self._passing):
            if task is not None:
                task.cancel()
        self._socket.listen(0)
        loop, answered = asyncio.get_running_loop(), True
        while answered:
            one = socket.socket()
            one.setblocking(False)
            self._crowd.append(one)
            try:
                await asyncio.wait_for(loop.sock_connect(one, (self.host, self.port)), PUSH)
            except TimeoutError:
                answered = False

    async def _take(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            guest, _ = await loop.sock_accept(self._socket)
            task = asyncio.create_task(self._lead(guest))
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)

    async def _lead(self, guest: socket.socket) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(60):
                near = await asyncio.open_connection(sock=guest)
                far = await asyncio.open_connection(*self.inside)
                try:
                    await asyncio.gather(_pass(near[0], far[1]), _pass(far[0], near[1]))
                finally:
                    far[1].close()
                    near[1].close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


class Premises:
    """The server at `<net>.10`, the firewalls of the main line at `<net>.2` and of the second at `<net>.3`; one port for all."""

    def __init__(self, street: Street, net: str, name: str) -> None:
        self.server, self.main, self.second = f"{net}.10", f"{net}.2", f"{net}.3"
        for left in reversed(range(TRIES)):
            site = Site(street, name, host=self.server)
            self.port, self.firewalls = site.port, []
            try:
                for host in (self.main, self.second):
                    self.firewalls.append(Firewall(street, host, site.port, (self.server, site.port)))
                return
            except OSError:
                self.close()
                if not left:
                    raise

    @property
    def primary(self) -> Firewall:
        """The one on the main line."""
        return self.firewalls[0]

    def close(self) -> None:
        """Take both firewalls away."""
        for one in self.firewalls:
            one.close()
