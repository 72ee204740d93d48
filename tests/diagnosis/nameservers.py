"""Who answers for names? One program that is a whole little DNS: a registry's zone, owners, resolvers, each at its address.

    python -m tests.diagnosis.nameservers        (inside a namespace that has the addresses 10.0.8.2 … 10.0.8.20)

Resolvers do not know the answers: they follow the delegations from the registry down, over the same tables.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

RESOLVER, SILENT_RESOLVER, REFUSING_RESOLVER, LYING_RESOLVER = "10.0.8.2", "10.0.8.4", "10.0.8.5", "10.0.8.6"
REGISTRY, OWNER, SECOND_OWNER, SILENT_OWNER, BROKEN_OWNER, FORMER_OWNER = (
    f"10.0.8.{n}" for n in (11, 12, 13, 15, 16, 17)
)
NOT_OURS = "192.0.2.53"  # the guard of these tests keeps everybody from it
ADDRESSES = (
    RESOLVER, SILENT_RESOLVER, REFUSING_RESOLVER, LYING_RESOLVER, REGISTRY, OWNER, SECOND_OWNER, SILENT_OWNER, BROKEN_OWNER, FORMER_OWNER, NOT_OURS,
)  # fmt: skip
HOSTILE = r"<script>alert\(1\)</script>"  # in the notation of zone files

A, NS, PTR, CNAME, SOA = dns.rdatatype.A, dns.rdatatype.NS, dns.rdatatype.PTR, dns.rdatatype.CNAME, dns.rdatatype.SOA


@dataclass
class Zone:
    """Records by (name, type), and which names are given away to whom: zone → {server name: address}."""

    apex: str
    records: dict[tuple[str, str], list[str]]
    delegations: dict[str, dict[str, str]] = field(default_factory=dict)


def owned(apex: str, servers: dict[str, str], more: dict[tuple[str, str], list[str]]) -> Zone:
    """A zone with its own name servers and their addresses."""
    records = {(apex, "NS"): [f"{name}." for name in servers], (apex, "SOA"): [f"ns.{apex}. root.{apex}. 1 2 3 4 5"]}
    records |= {(name, "A"): [address] for name, address in servers.items() if name.endswith(apex)}
    return Zone(apex, records | more)


WELL = {"ns1.well.example": OWNER, "ns2.well.example": SECOND_OWNER}
ZONES = {
    "example": Zone(
        "example",
        {("example", "NS"): ["a.registry.example."], ("example", "SOA"): ["a.registry.example. r.example. 1 2 3 4 5"], ("a.registry.example", "A"): [REGISTRY]},
        {
            "well.example": WELL,
            "uneven.example": {"ns1.uneven.example": OWNER},
            "lame.example": {"ns1.well.example": OWNER},
            "silent.example": {"ns1.silent.example": SILENT_OWNER},
            "broken.example": {"ns1.broken.example": BROKEN_OWNER},
            "bogus.example": {"ns1.bogus.example": OWNER},
            "lured.example": {"ns1.lured.example": NOT_OURS},
        },
    ),
    "well.example": owned("well.example", WELL, {
        ("www.well.example", "A"): ["10.9.0.1"], ("alias.well.example", "CNAME"): ["www.well.example."], ("text.well.example", "TXT"): ['"x"'],
        ("forbidden.well.example", "A"): ["192.0.2.99"], ("half.well.example", "A"): ["10.9.0.1", "192.0.2.99"],
        ("signed.well.example", "A"): ["10.9.0.1"], ("xn--mller-kva.well.example", "A"): ["10.9.0.1"],
    }),
    "uneven.example": owned("uneven.example", {"ns1.uneven.example": OWNER, "ns2.uneven.example": SECOND_OWNER}, {("www.uneven.example", "A"): ["10.9.0.1"]}),
    "bogus.example": owned("bogus.example", {"ns1.bogus.example": OWNER}, {("www.bogus.example", "A"): ["10.9.0.1"]}),
    "gone.example": owned("gone.example", {"ns1.gone.example": FORMER_OWNER}, {("www.gone.example", "A"): ["10.9.0.1"]}),
    "lured.example": owned("lured.example", {"ns1.lured.example": NOT_OURS}, {("www.lured.example", "A"): ["10.9.0.1"]}),
}  # fmt: skip
HOLDERS = {
    REGISTRY: ["example"], OWNER: ["well.example", "uneven.example", "bogus.example"], SECOND_OWNER: ["well.example", "uneven.example"],
    FORMER_OWNER: ["gone.example"], NOT_OURS: ["lured.example"],
}  # fmt: skip
REVERSE = {"2.2.0.10.in-addr.arpa": f"{HOSTILE}.evil.example.", "2.1.0.10.in-addr.arpa": "first.router.example."}


def said_by(holder: str, query: dns.message.Message) -> dns.message.Message | None:
    """What an owner answers from its own zones; None for one that is silent."""
    if holder == SILENT_OWNER:
        return None
    reply = dns.message.make_response(query)
    reply.flags &= ~dns.flags.RA
    question = query.question[0]
    name = question.name.to_text().rstrip(".").lower()
    zones = [ZONES[apex] for apex in HOLDERS.get(holder, ()) if name == apex or name.endswith(f".{apex}")]
    if holder == BROKEN_OWNER or not zones:
        reply.set_rcode(dns.rcode.SERVFAIL if holder == BROKEN_OWNER else dns.rcode.REFUSED)
        return reply
    zone = zones[-1]
    for lower, servers in zone.delegations.items():
        if name == lower or name.endswith(f".{lower}"):
            reply.authority.append(
                dns.rrset.from_text_list(f"{lower}.", 300, "IN", "NS", [f"{server}." for server in servers])
            )
            reply.additional += [
                dns.rrset.from_text(f"{server}.", 300, "IN", "A", address) for server, address in servers.items()
            ]
            return reply
    reply.flags |= dns.flags.AA
    _answer(reply, zone, name, dns.rdatatype.to_text(question.rdtype))
    return reply


def _answer(reply: dns.message.Message, zone: Zone, name: str, rdtype: str) -> None:
    for kind in (rdtype, "CNAME"):
        if values := zone.records.get((name, kind)):
            reply.answer.append(dns.rrset.from_text_list(f"{name}.", 300, "IN", kind, values))
            if kind == "CNAME" and rdtype != "CNAME":
                _answer(reply, zone, values[0].rstrip("."), rdtype)
            return
    if name not in {known for known, _ in zone.records}:
        reply.set_rcode(dns.rcode.NXDOMAIN)


def resolved(query: dns.message.Message) -> dns.message.Message | None:
    """What a resolver finds by following the delegations; None where it would go on waiting."""
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.RA
    question = query.question[0]
    name = question.name.to_text().rstrip(".").lower()
    if not name:
        reply.answer.append(dns.rrset.from_text(".", 300, "IN", "NS", "a.root.example."))
        return reply
    if name in REVERSE and question.rdtype == PTR:
        reply.answer.append(dns.rrset.from_text(question.name, 300, "IN", "PTR", REVERSE[name]))
        return reply
    if name.endswith("bogus.example") and not query.flags & dns.flags.CD:
        reply.set_rcode(dns.rcode.SERVFAIL)
        return reply
    if name != "example" and not name.endswith(".example"):
        reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply
    holder = REGISTRY
    for _ in range(4):
        heard = said_by(holder, query)
        if heard is None:
            return None
        if heard.rcode() in (dns.rcode.SERVFAIL, dns.rcode.REFUSED):
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply
        if heard.answer or not heard.authority:
            reply.set_rcode(heard.rcode())
            reply.answer = heard.answer
            if name.startswith("signed.") and query.flags & dns.flags.AD:
                reply.flags |= dns.flags.AD
            return reply
        holder = heard.additional[0][0].address
    return None


def respond(address: str, data: bytes) -> bytes | None:
    """The answer of whoever lives at this address."""
    query = dns.message.from_wire(data)
    if address == SILENT_RESOLVER:
        return None
    if address == REFUSING_RESOLVER:
        reply: dns.message.Message | None = dns.message.make_response(query)
        assert reply is not None
        reply.set_rcode(dns.rcode.REFUSED)
    elif address == LYING_RESOLVER:
        reply = dns.message.make_response(query)
        if query.question[0].rdtype == A:
            reply.answer.append(dns.rrset.from_text(query.question[0].name, 5, "IN", "A", "10.9.0.66"))
    elif address == RESOLVER:
        reply = resolved(query)
    else:
        reply = said_by(address, query)
    return reply.to_wire() if reply else None


class _Server(asyncio.DatagramProtocol):
    def __init__(self, address: str) -> None:
        self.address = address

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = respond(self.address, data)
        if reply is not None:
            self.transport.sendto(reply, addr)  # type: ignore[attr-defined]


async def main() -> None:
    """Serve until ended."""
    loop = asyncio.get_running_loop()
    for address in ADDRESSES:
        await loop.create_datagram_endpoint(lambda address=address: _Server(address), local_addr=(address, 53))  # type: ignore[misc]
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
