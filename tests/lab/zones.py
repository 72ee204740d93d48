"""Who answers for names in the lab? Authoritative servers with real zones, and resolvers that really walk from the root."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.zone

from tests.lab import internet
from tests.rig.netns import Space

SHORT = 5  # seconds: what may change in a fault is not remembered long
ZONES = {
    ".": f"""
@ 300 SOA a.root.example. hostmaster.root.example. 1 60 60 600 5
@ 300 NS a.root.example.
a.root.example. 300 A {internet.ROOT}
example. 300 NS a.nic.example.
com. 300 NS a.nic.example.
net. 300 NS a.nic.example.
org. 300 NS a.nic.example.
a.nic.example. 300 A {internet.TLD}
""",
    "example.": f"""
@ 300 SOA a.nic.example. hostmaster.nic.example. 1 60 60 600 5
@ 300 NS a.nic.example.
a.nic.example. 300 A {internet.TLD}
a.root.example. 300 A {internet.ROOT}
acme.example. {SHORT} NS ns1.acme.example.
acme.example. {SHORT} NS ns2.hosted.example.
ns1.acme.example. {SHORT} A {internet.NS}
onprem.example. {SHORT} NS ns.onprem.example.
ns.onprem.example. {SHORT} A {internet.NS}
hosted.example. {SHORT} NS ns2.hosted.example.
ns2.hosted.example. {SHORT} A {internet.SECONDARY}
""",
    "acme.example.": f"""
@ {SHORT} SOA ns1.acme.example. hostmaster.acme.example. 7 60 60 600 {SHORT}
@ {SHORT} NS ns1.acme.example.
@ {SHORT} NS ns2.hosted.example.
@ {SHORT} A {internet.WEB}
ns1 {SHORT} A {internet.NS}
www {SHORT} A {internet.WEB}
plain {SHORT} A {internet.WEB}
api {SHORT} A {internet.WEB}
db {SHORT} A {internet.WEB}
second {SHORT} A {internet.SECOND}
""",
    "onprem.example.": f"""
@ {SHORT} SOA ns.onprem.example. hostmaster.onprem.example. 7 60 60 600 {SHORT}
@ {SHORT} NS ns.onprem.example.
ns {SHORT} A {internet.NS}
www {SHORT} A {internet.WEB}
""",
    "hosted.example.": f"""
@ {SHORT} SOA ns2.hosted.example. hostmaster.hosted.example. 7 60 60 600 {SHORT}
@ {SHORT} NS ns2.hosted.example.
ns2 {SHORT} A {internet.SECONDARY}
colo {SHORT} A COLO
""",
}
# Names that must exist in any world, for those who ask whether a resolver works at all.
EVERYWHERE = "@ 300 SOA a.nic.example. h.nic.example. 1 60 60 600 5\n@ 300 NS a.nic.example.\n@ 300 A 11.66.0.1\nwww 300 A 11.66.0.1\n"
for _name in ("com.", "net.", "org."):
    ZONES[_name] = EVERYWHERE
for _name in ("example.com.", "example.net.", "example.org."):
    ZONES[_name] = EVERYWHERE


def zone(origin: str, text: str) -> dns.zone.Zone:
    """One zone of the text above."""
    return dns.zone.from_text(text, origin=origin, relativize=False, check_origin=False)


@dataclass
class Authoritative:
    """One server's zones, and its mood: ok, servfail, refused, silent, nxdomain."""

    zones: dict[dns.name.Name, dns.zone.Zone]
    mood: str = "ok"

    def answer(self, query: dns.message.Message) -> dns.message.Message | None:
        """What it says; None: nothing."""
        reply = dns.message.make_response(query)
        question = query.question[0]
        if self.mood == "silent":
            return None
        if self.mood in ("servfail", "refused"):
            reply.set_rcode(dns.rcode.SERVFAIL if self.mood == "servfail" else dns.rcode.REFUSED)
            return reply
        mine = [origin for origin in self.zones if question.name.is_subdomain(origin)]
        if not mine:
            reply.set_rcode(dns.rcode.REFUSED)
            return reply
        origin = max(mine, key=len)
        found = self.zones[origin]
        reply.flags |= dns.flags.AA
        cut = question.name
        while len(cut) > len(origin):  # a name below a cut belongs to somebody else
            names = found.get_rrset(cut, "NS")
            if names is not None:
                reply.flags &= ~dns.flags.AA
                reply.authority.append(names)
                reply.additional += [glue for ns in names if (glue := found.get_rrset(ns.target, "A")) is not None]
                return reply
            cut = cut.parent()
        node = found.get_node(question.name)
        if node is not None and self.mood != "nxdomain":
            for kind in (question.rdtype, dns.rdatatype.CNAME):
                rrset = found.get_rrset(question.name, kind)
                if rrset is not None:
                    reply.answer.append(rrset)
                    return reply
        elif self.mood == "nxdomain" or not any(name.is_subdomain(question.name) for name in found.nodes):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        soa = found.get_rrset(origin, "SOA")
        if soa is not None:
            reply.authority.append(soa)
        return reply


Known = tuple[float, dns.rcode.Rcode, list[dns.rrset.RRset]]
MOST_STEPS, TRY_SECONDS = 16, 0.6


@dataclass
class Resolver:
    """A recursive resolver at one address. Moods: ok, servfail, silent, lie (every address is `lies`)."""

    space: Space
    address: str
    mood: str = "ok"
    lies: str = "11.66.0.1"
    known: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], Known] = field(default_factory=dict)
    cuts: dict[dns.name.Name, tuple[float, list[str]]] = field(default_factory=dict)

    async def answer(self, query: dns.message.Message) -> dns.message.Message | None:
        """What it says; None: nothing."""
        reply = dns.message.make_response(query, recursion_available=True)
        question = query.question[0]
        if self.mood == "silent":
            return None
        if self.mood == "servfail":
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply
        if self.mood == "lie" and question.rdtype == dns.rdatatype.A:
            reply.answer.append(dns.rrset.from_text(question.name, SHORT, "IN", "A", self.lies))
            return reply
        rcode, answer = await self.resolve(question.name, question.rdtype)
        reply.set_rcode(rcode)
        reply.answer += answer
        return reply

    async def resolve(
        self, name: dns.name.Name, kind: dns.rdatatype.RdataType, depth: int = 0
    ) -> tuple[dns.rcode.Rcode, list[dns.rrset.RRset]]:
        """(rcode, answer) by walking down from the closest cut that is remembered."""
        fresh = self.known.get((name, kind))
        if fresh is not None and fresh[0] > time.monotonic():
            return fresh[1], fresh[2]
        rcode, answer = (dns.rcode.SERVFAIL, []) if depth > 6 else await self._walk(name, kind, depth)
        ttl = min((r.ttl for r in answer), default=1 if rcode == dns.rcode.SERVFAIL else SHORT)
        self.known[name, kind] = (time.monotonic() + ttl, rcode, answer)
        return rcode, answer

    async def _walk(
        self, name: dns.name.Name, kind: dns.rdatatype.RdataType, depth: int
    ) -> tuple[dns.rcode.Rcode, list[dns.rrset.RRset]]:
        servers = self._closest(name)
        for _ in range(MOST_STEPS):
            said = await self._ask(servers, name, kind)
            if said is None:
                return dns.rcode.SERVFAIL, []
            if said.rcode() == dns.rcode.NXDOMAIN or said.answer:
                alias = said.answer[0] if said.answer and said.answer[0].rdtype == dns.rdatatype.CNAME else None
                if alias is not None and kind != dns.rdatatype.CNAME:
                    rcode, more = await self.resolve(alias[0].target, kind, depth + 1)
                    return rcode, [alias, *more]
                return said.rcode(), list(said.answer)
            referral = next((r for r in said.authority if r.rdtype == dns.rdatatype.NS), None)
            if referral is None:
                return dns.rcode.NOERROR, []
            glue = {r.name: [a.address for a in r] for r in said.additional if r.rdtype == dns.rdatatype.A}
            servers = [address for ns in referral for address in glue.get(ns.target, ())]
            for ns in referral:
                if ns.target not in glue:
                    _, found = await self.resolve(ns.target, dns.rdatatype.A, depth + 1)
                    servers += [a.address for r in found if r.rdtype == dns.rdatatype.A for a in r]
            self.cuts[referral.name] = (time.monotonic() + referral.ttl, servers)
        return dns.rcode.SERVFAIL, []

    def _closest(self, name: dns.name.Name) -> list[str]:
        while len(name) > 1:
            expires, servers = self.cuts.get(name, (0.0, []))
            if expires > time.monotonic() and servers:
                return servers
            name = name.parent()
        return [internet.ROOT]

    async def _ask(
        self, servers: list[str], name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> dns.message.Message | None:
        query = dns.message.make_query(name, kind, use_edns=0)
        query.flags &= ~dns.flags.RD
        for server in servers:
            said = await asked(self.space, self.address, server, query)
            if said is not None and said.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                return said
        return None

    def forget(self) -> None:
        """Empty the cache, as an operator would after a repair."""
        self.known.clear()
        self.cuts.clear()


async def asked(space: Space, source: str, server: str, query: dns.message.Message) -> dns.message.Message | None:
    """One question over UDP; None without an answer in time."""
    with space.inside():
        way = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    way.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        way.bind((source, 0))
        way.connect((server, 53))
        await loop.sock_sendall(way, query.to_wire())
        async with asyncio.timeout(TRY_SECONDS):
            while True:
                said = dns.message.from_wire(await loop.sock_recv(way, 4096))
                if said.id == query.id:
                    return said
    except (OSError, TimeoutError, dns.exception.DNSException):
        return None
    finally:
        way.close()


class Listening(asyncio.DatagramProtocol):
    """UDP port 53 of one server."""

    def __init__(self, server: Authoritative | Resolver) -> None:
        self.server = server
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        def send(wire: bytes) -> None:
            self.transport.sendto(wire, source)  # type: ignore[attr-defined]

        task = asyncio.get_running_loop().create_task(_serve(self.server, data, send))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


async def _serve(server: Authoritative | Resolver, data: bytes, send: Callable[[bytes], None]) -> None:
    with contextlib.suppress(dns.exception.DNSException, OSError):
        query = dns.message.from_wire(data)
        said = server.answer(query)
        reply = said if said is None or isinstance(said, dns.message.Message) else await said
        if reply is not None:
            send(reply.to_wire(max_size=65535))


async def over_tcp(server: Authoritative | Resolver, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:  # fmt: skip
    """The same over TCP: a length before each message."""
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while True:
            length = int.from_bytes(await reader.readexactly(2))
            data = await reader.readexactly(length)
            await _serve(server, data, lambda wire: writer.write(len(wire).to_bytes(2) + wire))
            await writer.drain()
    writer.close()
