"""How are single packets sent with a chosen TTL, and their answers heard, by a process that may open raw sockets?

All batteries of a loop share one listening socket for each IP version (the kernel copies every ICMP packet to each raw
socket). Times of arrival are the kernel's own, so a busy loop does not make a path look slow.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import secrets
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

from monitors.diagnosis import packets
from monitors.diagnosis.packets import Heard

Listener = Callable[[Heard, str, float], None]

SO_ATTACH_FILTER, SO_TIMESTAMPNS = 26, 35  # Linux; Python has no names for these
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_PROBE = 10, 23, 3
MOST_AT_ONCE = 256  # packets read before others get their turn
FIRST_PORT, LAST_PORT = 61000, 65000  # above the range that Linux gives to connections
PORTS = 8  # a SYN's source port stays the same within a round and differs between rounds
RECEIVE_BUFFER = 1 << 20


def family_of(address: str) -> socket.AddressFamily:
    """AF_INET or AF_INET6 of an IP literal."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def with_ttl(ttl: int, *, v6: bool) -> list[tuple[int, int, bytes]]:
    """The ancillary data that gives one packet its TTL."""
    if v6:
        return [(socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, struct.pack("i", ttl))]
    return [(socket.IPPROTO_IP, socket.IP_TTL, struct.pack("i", ttl))]


def whole(sock: socket.socket, *, v6: bool) -> None:
    """From now on this socket's packets are never split, whatever the kernel believes of the path."""
    if v6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DONTFRAG, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)


def received(sock: socket.socket, flags: int = 0) -> Iterator[tuple[bytes, list[tuple[int, int, bytes]], str, float]]:
    """(packet, ancillary data, source, when the kernel got it) of all that waits."""
    for _ in range(MOST_AT_ONCE):
        try:
            data, ancillary, _, source = sock.recvmsg(2048, 512, flags)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            continue  # an error that belongs to an earlier packet
        at = 0.0
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(value) >= 16:
                seconds, nanoseconds = struct.unpack_from("qq", value)
                at = seconds + nanoseconds / 1e9
        yield data, ancillary, source[0].partition("%")[0] if source else "", at or time.time()


def listening(family: socket.AddressFamily, kind: socket.SocketKind, protocol: int) -> socket.socket:
    """A non-blocking socket whose packets carry their time of arrival; OSError when it is not permitted."""
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    except OSError:
        sock.close()
        raise
    return sock


class Ear:
    """Hears every ICMP packet of this machine, and passes on those that answer somebody here."""

    def __init__(self, family: socket.AddressFamily) -> None:
        self.v6 = family == socket.AF_INET6
        self.sock = listening(family, socket.SOCK_RAW, packets.ICMP6 if self.v6 else packets.ICMP)
        if self.v6:
            wanted = (packets.REPLY_6, packets.UNREACHABLE_6, packets.TOO_BIG_6, packets.EXCEEDED_6)
            blocked = [0xFFFFFFFF] * 8
            for number in wanted:
                blocked[number >> 5] &= ~(1 << (number & 31))
            self.sock.setsockopt(packets.ICMP6, 1, struct.pack("8I", *blocked))  # ICMP6_FILTER
        else:
            passed = 1 << packets.REPLY_4 | 1 << packets.UNREACHABLE_4 | 1 << packets.EXCEEDED_4
            self.sock.setsockopt(
                socket.SOL_RAW if hasattr(socket, "SOL_RAW") else 255, 1, struct.pack("I", ~passed & 0xFFFFFFFF)
            )
        self.echoes: dict[int, tuple[bytes, Listener]] = {}  # identifier -> (target, who listens)
        self.syns: dict[int, tuple[bytes, int, Listener]] = {}  # our port -> (target, its port, who listens)
        self.users = 0

    def read(self) -> None:
        """Take what has come."""
        for packet, _, source, at in received(self.sock):
            icmp = packet if self.v6 else packets.without_header(packet)
            if len(icmp) < 8:
                continue
            if icmp[0] == (packets.REPLY_6 if self.v6 else packets.REPLY_4):
                identifier = icmp[4] << 8 | icmp[5]
                known = self.echoes.get(identifier)
                if known and known[0] == socket.inet_pton(family_of(source), source):
                    known[1](Heard(icmp[6] << 8 | icmp[7], "reply"), source, at)
                continue
            quote = packets.quoted(icmp, v6=self.v6)
            if quote is not None:
                self._pass_on(quote, source, at)

    def _pass_on(self, quote: packets.Quote, source: str, at: float) -> None:
        if quote.protocol == (packets.ICMP6 if self.v6 else packets.ICMP):
            identifier, number = struct.unpack_from("!HH", quote.head, 4)
            echo = self.echoes.get(identifier)
            if echo and echo[0] == quote.target and quote.head[0] == (128 if self.v6 else 8):
                echo[1](Heard(number, quote.said, quote.mtu), source, at)
        elif quote.protocol == packets.TCP:
            ours, theirs, number = struct.unpack_from("!HHI", quote.head)
            syn = self.syns.get(ours)
            if syn and syn[0] == quote.target and syn[1] == theirs:
                syn[2](Heard(number, quote.said, quote.mtu), source, at)


_ears: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[socket.AddressFamily, Ear]] = WeakKeyDictionary()


def borrow_ear(family: socket.AddressFamily) -> Ear:
    """This loop's ear, opened for the first who asks; give it back by `return_ear`. PermissionError when not permitted."""
    loop = asyncio.get_running_loop()
    mine = _ears.setdefault(loop, {})
    ear = mine.get(family)
    if ear is None:
        ear = mine[family] = Ear(family)
        loop.add_reader(ear.sock.fileno(), ear.read)
    ear.users += 1
    return ear


def return_ear(ear: Ear) -> None:
    """Nobody left to hear for: the socket goes."""
    ear.users -= 1
    if ear.users:
        return
    loop = asyncio.get_running_loop()
    loop.remove_reader(ear.sock.fileno())
    ear.sock.close()
    mine = _ears.get(loop, {})
    for family in [family for family, known in mine.items() if known is ear]:
        del mine[family]


class RawEcho:
    """Echo requests of any TTL, flow and length to one address."""

    way = "raw"

    def __init__(self, address: str, heard: Listener, *, unsplit: bool = False) -> None:
        family, self.address = family_of(address), address
        self.v6 = family == socket.AF_INET6
        self.ear = borrow_ear(family)
        self.too_big = False
        try:
            self.sock = socket.socket(family, socket.SOCK_RAW, packets.ICMP6 if self.v6 else packets.ICMP)
            self.sock.setblocking(False)
            deafen(self.sock)
            if unsplit:
                whole(self.sock, v6=self.v6)
        except OSError:
            return_ear(self.ear)
            raise
        self.identifier = next(n for n in iter(lambda: secrets.randbelow(65535) + 1, 0) if n not in self.ear.echoes)
        self.ear.echoes[self.identifier] = socket.inet_pton(family, address), heard

    def send(self, number: int, ttl: int, *, turn: int = 0, length: int = 32) -> bool:
        """One packet; False when this machine itself did not let it out."""
        packet = packets.echo(self.identifier, number, 0x5000 + turn * 0x111, v6=self.v6, length=length)
        return self._out(packet, ttl)

    def _out(self, packet: bytes, ttl: int) -> bool:
        try:
            self.sock.sendmsg([packet], with_ttl(ttl, v6=self.v6), 0, (self.address, 0))
        except OSError as error:
            self.too_big = error.errno == errno.EMSGSIZE
            return False
        return True

    def close(self) -> None:
        """Stop listening."""
        self.ear.echoes.pop(self.identifier, None)
        return_ear(self.ear)
        self.sock.close()


class RawSyn:
    """SYNs of any TTL to one port. The kernel itself turns down what the target then opens."""

    way = "raw"

    def __init__(self, address: str, port: int, heard: Listener) -> None:
        family, self.address, self.port, self.heard = family_of(address), address, port, heard
        self.v6 = family == socket.AF_INET6
        self.too_big = False
        self.ear = borrow_ear(family)
        try:
            self.sock = listening(family, socket.SOCK_RAW, socket.IPPROTO_TCP)
            self.sock.connect((address, 0))  # from now on the kernel gives us this address's packets only
            only_port(self.sock, port, v6=self.v6)
            self.source = self.sock.getsockname()[0]
        except OSError:
            return_ear(self.ear)
            raise
        self.first = self._ports()
        self.salt = secrets.randbits(16) << 16
        packed = socket.inet_pton(family, address)
        for ours in range(self.first, self.first + PORTS):
            self.ear.syns[ours] = packed, port, self._known
        asyncio.get_running_loop().add_reader(self.sock.fileno(), self._read)

    def _ports(self) -> int:
        while True:
            first = FIRST_PORT + secrets.randbelow((LAST_PORT - FIRST_PORT) // PORTS) * PORTS
            if first not in self.ear.syns:
                return first

    def send(self, number: int, ttl: int, *, turn: int = 0, length: int = 0) -> bool:
        """One SYN; False when this machine itself did not let it out."""
        ours = self.first + turn % PORTS
        segment = packets.syn(self.source, self.address, ours, self.port, self.salt | number)
        try:
            self.sock.sendmsg([segment], with_ttl(ttl, v6=self.v6))
        except OSError:
            return False
        return True

    def _known(self, heard: Heard, source: str, at: float) -> None:
        if heard.number & 0xFFFF0000 == self.salt:
            self.heard(Heard(heard.number & 0xFFFF, heard.said, heard.mtu), source, at)

    def _read(self) -> None:
        for packet, _, source, at in received(self.sock):
            segment = packet if self.v6 else packets.without_header(packet)
            found = packets.answer_to_syn(segment, self.port, self.first, PORTS)
            if found is not None:
                self._known(found[1], source, at)

    def close(self) -> None:
        """Stop listening."""
        asyncio.get_running_loop().remove_reader(self.sock.fileno())
        self.sock.close()
        for ours in range(self.first, self.first + PORTS):
            self.ear.syns.pop(ours, None)
        return_ear(self.ear)


class _Rule(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]


class _Program(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.POINTER(_Rule))]


def _attach(sock: socket.socket, rules: list[tuple[int, int, int, int]]) -> None:
    """A classic BPF program in front of the socket: what it refuses is not even copied to us."""
    table = (_Rule * len(rules))(*(_Rule(*rule) for rule in rules))
    program = _Program(len(rules), table)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, bytes(program))


def deafen(sock: socket.socket) -> None:
    """This socket only sends."""
    _attach(sock, [(0x06, 0, 0, 0)])


def only_port(sock: socket.socket, port: int, *, v6: bool) -> None:
    """Segments from this source port only: a busy target's other connections are none of our business."""
    load: list[tuple[int, int, int, int]] = [(0x28, 0, 0, 0)] if v6 else [(0xB1, 0, 0, 0), (0x48, 0, 0, 0)]
    _attach(sock, [*load, (0x15, 0, 1, port), (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0)])


Sender = (
    Any  # RawEcho, RawSyn or their unprivileged counterparts: send(number, ttl, turn=, length=), close(), way, too_big
)
