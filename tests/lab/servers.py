"""What runs on the lab's machines? Name servers, web servers of every temper, anchors; in one thread, each in its space."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import dns.name

from tests.lab import internet, pki, zones
from tests.lab.internet import Internet

WORDS = "Welcome to the shop. " + "All is well here, and there is much to read. " * 140  # larger than one packet
READY = b"READY\r\n"


@dataclass
class Site:
    """One web site. Tempers are the server's; what it answers is its own."""

    port: int
    node: str = "web"
    name: str = ""
    context: ssl.SSLContext | None = None
    temper: str = "ok"  # ok | hang | reset | tls_reset | tls_stall | half | cut | closed
    status: int = 200
    body: str = WORDS
    wait_s: float = 0.0
    banner: bytes = b""  # no HTTP: say this and close
    counter: int = 0
    others: dict[str, ssl.SSLContext] = field(default_factory=dict)  # further names on this port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.counter += 1
        with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            try:
                async with asyncio.timeout(60):
                    await self._serve(reader, writer)
            except (TimeoutError, asyncio.CancelledError):  # too long, or the lab ends
                pass
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        temper = self.temper
        if temper == "half":
            temper = "hang" if self.counter % 2 else "ok"
        if temper == "hang":
            await asyncio.sleep(60)
        if temper == "reset":
            return reset(writer)
        if temper in ("tls_reset", "tls_stall"):
            await reader.read(1)
            if temper == "tls_stall":
                await asyncio.sleep(60)
            return reset(writer)
        if self.banner:
            writer.write(self.banner)
            return await writer.drain()
        if self.context is not None:
            self.context.sni_callback = self._choose
            await writer.start_tls(self.context)
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(self.wait_s)
        body = self.body.encode()
        head = f"HTTP/1.1 {self.status} Lab\r\nServer: lab\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"  # fmt: skip
        if temper == "cut":
            body = body[: len(body) // 2]
        writer.write(head.encode() + body)
        await writer.drain()

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if name in self.others:
            connection.context = self.others[name]


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST."""
    way = writer.get_extra_info("socket")
    if way is not None:
        way.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Servers:
    """All of them. Tempers and moods are plain attributes: a fault sets one, healing sets it back."""

    def __init__(self, net: Internet) -> None:
        self.net = net
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="lab servers", daemon=True)
        self.root = pki.Authority("Lab Root CA")
        self.issuer = pki.Authority("Lab Issuing CA", self.root)
        self.names: dict[str, zones.Authoritative | zones.Resolver] = {}
        self.sites: dict[str, Site] = {}
        self.heard: list[dict[str, Any]] = []  # what the webhook channel was sent
        self._open: dict[str, asyncio.Server] = {}

    def start(self) -> Servers:
        """Listen everywhere."""
        self.thread.start()
        self._name_servers()
        certificate = self.issuer.context
        self.sites = {
            "shop": Site(443, context=certificate("www.acme.example"), others={"www.onprem.example": certificate("www.onprem.example")}),
            "api": Site(8443, context=certificate("api.acme.example"), body=json.dumps({"status": "ok", "padding": "x" * 3000})),
            "plain": Site(80),
            "db": Site(5432, banner=READY),
            "second": Site(80, node="second"),
            "colo": Site(80, node="colo"),
        }  # fmt: skip
        for key in self.sites:
            self.listen(key)
        for number, address in enumerate(internet.OWN["anchors"]):
            self.sites[f"anchor {number}"] = Site(443, node="anchors", name=address, banner=b"\n")
            self.listen(f"anchor {number}")
        return self

    def close(self) -> None:
        """End the thread."""

        async def end() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.do(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something in the servers' loop; its answer."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    # --- Web ---------------------------------------------------------------------------------------------------------
    def listen(self, key: str) -> None:
        """Open a site's port."""
        site = self.sites[key]
        self._open[key] = self.serve(site.node, site.name or self.net.addresses[site.node][0], site.port, site.serve)

    def stop(self, key: str) -> None:
        """Close a site's port: connections are refused."""
        self.loop.call_soon_threadsafe(self._open.pop(key).close)

    def serve(
        self, node: str, address: str, port: int,
        each: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], context: ssl.SSLContext | None = None,
    ) -> asyncio.Server:  # fmt: skip
        """A TCP server on one machine."""

        async def begin() -> asyncio.Server:
            with self.net[node].inside():
                way = socket.socket()
                way.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                way.bind((address, port))
            return await asyncio.start_server(each, sock=way, ssl=context)

        return self.do(begin())  # type: ignore[no-any-return]

    # --- Names -------------------------------------------------------------------------------------------------------
    def _name_servers(self) -> None:
        texts = {origin: text.replace("COLO", self.net.addresses["colo"][0]) for origin, text in zones.ZONES.items()}

        def authority(*origins: str) -> zones.Authoritative:
            return zones.Authoritative({dns.name.from_text(o): zones.zone(o, texts[o]) for o in origins})

        above = [o for o in texts if o not in (".", "acme.example.", "onprem.example.", "hosted.example.")]
        names = self.net["names"]
        self.names = {
            "root": authority("."), "tld": authority(*above), "ns": authority("acme.example.", "onprem.example."),
            "secondary": authority("acme.example.", "hosted.example."),
            "one": zones.Resolver(names, internet.RESOLVER_ONE), "two": zones.Resolver(names, internet.RESOLVER_TWO),
        }  # fmt: skip
        where = {
            "root": ("names", internet.ROOT), "tld": ("names", internet.TLD), "ns": ("ns", internet.NS), "secondary": ("names", internet.SECONDARY),
            "one": ("names", internet.RESOLVER_ONE), "two": ("names", internet.RESOLVER_TWO),
        }  # fmt: skip
        for key, (node, address) in where.items():
            self.do(self._name_server(node, address, self.names[key]))

    async def _name_server(self, node: str, address: str, server: zones.Authoritative | zones.Resolver) -> None:
        with self.net[node].inside():
            way = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            stream = socket.socket()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for each in (way, stream):
            each.bind((address, 53))
        way.setblocking(False)
        await self.loop.create_datagram_endpoint(lambda: zones.Listening(server), sock=way)
        await asyncio.start_server(lambda r, w: zones.over_tcp(server, r, w), sock=stream)

    def edit(self, server: str, origin: str, old: str, new: str) -> None:
        """Replace text in one zone of one server, from its first state."""
        found = self.names[server]
        assert isinstance(found, zones.Authoritative)
        text = zones.ZONES[origin].replace("COLO", self.net.addresses["colo"][0])
        assert old in text, f"{old!r} is not in {origin}"
        found.zones[dns.name.from_text(origin)] = zones.zone(origin, text.replace(old, new))

    def resolvers(self) -> list[zones.Resolver]:
        """Both recursive ones."""
        return [server for server in self.names.values() if isinstance(server, zones.Resolver)]
