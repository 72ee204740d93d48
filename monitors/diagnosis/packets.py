"""What do the packets of a path look like, and what does one that comes back say? Pure: bytes in, plain facts out.

Every packet carries a number that says which of ours it was: in an echo's sequence, in a SYN's sequence number. Whoever
sends back an error quotes the beginning of the packet, so the number comes back with it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

ICMP, TCP, ICMP6 = 1, 6, 58
SYN, RST, ACK = 0x02, 0x04, 0x10
# What an ICMP type (and code) says, in evidence.Hop's words. Codes not named here mean "host": somebody cannot deliver.
REPLY_4, UNREACHABLE_4, EXCEEDED_4 = 0, 3, 11
CODES_4 = {
    0: "net",
    1: "host",
    2: "port",
    3: "port",
    4: "frag",
    6: "net",
    9: "admin",
    10: "admin",
    11: "net",
    13: "admin",
}
REPLY_6, UNREACHABLE_6, TOO_BIG_6, EXCEEDED_6 = 129, 1, 2, 3
CODES_6 = {0: "net", 1: "admin", 3: "host", 4: "port", 5: "admin", 6: "admin"}


@dataclass(frozen=True, slots=True)
class Heard:
    """One packet that came back for one of ours."""

    number: int
    said: str
    mtu: int = 0  # of a "frag", where the router names it


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo(identifier: int, number: int, flow: int, *, v6: bool, length: int = 32) -> bytes:
    """An echo request of `length` bytes (ICMP header and payload, at least 12).

    Two bytes of the payload make up for the number, so all of one flow have the same checksum: routers that share load
    between paths by it send them the same way (Paris traceroute).
    """
    balance = (flow - number) & 0xFFFF
    body = struct.pack("!HH", balance, 0) + b"\0" * (length - 12)
    bare = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, identifier, number) + body
    return bare if v6 else bare[:2] + struct.pack("!H", checksum(bare)) + bare[4:]  # v6: the kernel writes it


def syn(source: str, target: str, source_port: int, port: int, number: int) -> bytes:
    """A bare SYN with the checksum that belongs to these addresses."""
    bare = struct.pack("!HHIIBBHHH", source_port, port, number, 0, 6 << 4, SYN, 64240, 0, 0) + b"\x02\x04\x05\xb4"
    if ":" in target:
        around = IPv6Address(source).packed + IPv6Address(target).packed + struct.pack("!II", len(bare), TCP)
    else:
        around = IPv4Address(source).packed + IPv4Address(target).packed + struct.pack("!HH", TCP, len(bare))
    return bare[:16] + struct.pack("!H", checksum(around + bare)) + bare[18:]


def without_header(packet: bytes) -> bytes:
    """What an IPv4 header carries; b"" when it is cut off."""
    return packet[(packet[0] & 0x0F) * 4 :] if len(packet) >= 20 else b""


def answer_to_echo(icmp: bytes, identifier: int, *, v6: bool) -> Heard | None:
    """The reply of the target itself."""
    if len(icmp) < 8 or icmp[0] != (REPLY_6 if v6 else REPLY_4):
        return None
    theirs, number = struct.unpack_from("!HH", icmp, 4)
    return Heard(number, "reply") if theirs == identifier else None


def answer_to_syn(segment: bytes, port: int, first_port: int, ports: int) -> tuple[int, Heard] | None:
    """(our port, what the target's TCP says) when the segment answers one of our SYNs; it acknowledges number + 1."""
    if len(segment) < 20:
        return None
    theirs, ours = struct.unpack_from("!HH", segment)
    if theirs != port or not first_port <= ours < first_port + ports:
        return None
    acknowledged, flags = struct.unpack_from("!I", segment, 8)[0], segment[13]
    if flags & RST and flags & ACK:
        return ours, Heard((acknowledged - 1) & 0xFFFFFFFF, "closed")
    if flags & SYN and flags & ACK:
        return ours, Heard((acknowledged - 1) & 0xFFFFFFFF, "open")
    return None


@dataclass(frozen=True, slots=True)
class Quote:
    """The beginning of one of our packets, inside somebody's error message."""

    said: str
    protocol: int
    target: bytes
    head: bytes  # eight bytes or more of our ICMP or TCP header
    mtu: int


def quoted(icmp: bytes, *, v6: bool) -> Quote | None:
    """What an ICMP error says and about which packet; None for anything else."""
    if len(icmp) < 8:
        return None
    kind, code, mtu = icmp[0], icmp[1], 0
    if v6:
        if kind == TOO_BIG_6:
            said, mtu = "frag", struct.unpack_from("!I", icmp, 4)[0]
        elif kind == EXCEEDED_6:
            said = "ttl"
        elif kind == UNREACHABLE_6:
            said = CODES_6.get(code, "host")
        else:
            return None
        inner = icmp[8:]
        if len(inner) < 48:
            return None
        return Quote(said, inner[6], inner[24:40], inner[40:], mtu)
    if kind == EXCEEDED_4:
        said = "ttl"
    elif kind == UNREACHABLE_4:
        said = CODES_4.get(code, "host")
        mtu = struct.unpack_from("!H", icmp, 6)[0] if said == "frag" else 0
    else:
        return None
    inner = icmp[8:]
    head = without_header(inner)
    return Quote(said, inner[9], inner[16:20], head, mtu) if len(head) >= 8 else None


def said_of(kind: int, code: int, *, v6: bool) -> str:
    """The word for an ICMP error that the kernel has read already (its error queue); "" when it is none."""
    if v6:
        return {TOO_BIG_6: "frag", EXCEEDED_6: "ttl"}.get(kind) or (
            CODES_6.get(code, "host") if kind == UNREACHABLE_6 else ""
        )
    return "ttl" if kind == EXCEEDED_4 else CODES_4.get(code, "host") if kind == UNREACHABLE_4 else ""
