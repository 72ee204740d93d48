"""How is a path measured without the right to open raw sockets? The kernel's error queues tell who sent an error back.

An ICMP datagram socket needs net.ipv4.ping_group_range; a TCP connection with a small TTL needs nothing at all. What
neither can do is asked of `mtr`, whose helper carries the right as a file capability.
"""

from __future__ import annotations

import asyncio
import errno
import json
import shutil
import socket
import struct
import time
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from monitors.diagnosis import packets
from monitors.diagnosis.evidence import Hop, Path
from monitors.diagnosis.packets import Heard
from monitors.diagnosis.rawsockets import Listener, family_of, listening, received, whole, with_ttl

IP_RECVERR, IPV6_RECVERR, MSG_ERRQUEUE = 11, 25, 0x2000
FROM_ICMP = (2, 3)  # SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6
PATIENCE = 0.9
MOST_OPEN = 64  # half-open connections of one path
MTR_ROUNDS = 3  # so few that every single time can be told from its averages
PORT_ERRORS = {errno.ECONNREFUSED: "closed", errno.ENETUNREACH: "net", errno.EHOSTUNREACH: "host"}


def complained(ancillary: Iterable[tuple[int, int, bytes]], *, v6: bool) -> tuple[str, str, int] | None:
    """(who, what they said, MTU) of an entry of the error queue; None when it was this machine itself."""
    for level, kind, value in ancillary:
        if (level, kind) not in ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)) or len(
            value
        ) < 32:
            continue
        _, origin, icmp_type, code, _, info, _ = struct.unpack_from("IBBBBII", value)
        if origin not in FROM_ICMP:
            return None
        said = packets.said_of(icmp_type, code, v6=v6)
        who = value[24:40] if v6 else value[20:24]
        if said and (v6 and len(value) >= 44 or not v6):
            return socket.inet_ntop(socket.AF_INET6 if v6 else socket.AF_INET, who), said, info
    return None


class DatagramEcho:
    """Echo requests through an ICMP datagram socket; the kernel chooses the identifier and gives us only our own answers."""

    way = "datagram"

    def __init__(self, address: str, heard: Listener, *, unsplit: bool = False) -> None:
        family, self.address, self.heard = family_of(address), address, heard
        self.v6 = family == socket.AF_INET6
        self.too_big = False
        self.sock = listening(family, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6 if self.v6 else socket.IPPROTO_ICMP)
        option = (socket.IPPROTO_IPV6, IPV6_RECVERR) if self.v6 else (socket.IPPROTO_IP, IP_RECVERR)
        self.sock.setsockopt(*option, 1)
        if unsplit:
            whole(self.sock, v6=self.v6)
        asyncio.get_running_loop().add_reader(self.sock.fileno(), self._read)

    def send(self, number: int, ttl: int, *, turn: int = 0, length: int = 32) -> bool:
        """One packet; False when this machine itself did not let it out."""
        packet = packets.echo(0, number, 0x5000 + turn * 0x111, v6=self.v6, length=length)
        for _ in range(2):  # an error of an earlier packet is told instead of sending this one
            try:
                self.sock.sendmsg([packet], with_ttl(ttl, v6=self.v6), 0, (self.address, 0))
                return True
            except OSError as error:
                self.too_big = error.errno == errno.EMSGSIZE
                self._read()
        return False

    def _read(self) -> None:
        for data, ancillary, _, at in received(self.sock, MSG_ERRQUEUE):
            found = complained(ancillary, v6=self.v6)
            if found and len(data) >= 8:
                self.heard(Heard(struct.unpack_from("!H", data, 6)[0], found[1], found[2]), found[0], at)
        for data, _, source, at in received(self.sock):
            if (
                len(data) >= 8
                and data[0] == (packets.REPLY_6 if self.v6 else packets.REPLY_4)
                and source == self.address
            ):
                self.heard(Heard(struct.unpack_from("!H", data, 6)[0], "reply"), source, at)

    def close(self) -> None:
        """Stop listening."""
        asyncio.get_running_loop().remove_reader(self.sock.fileno())
        self.sock.close()


class ConnectSyn:
    """SYNs by beginning real connections, each with its TTL. Each has its own source port: no constant flow this way."""

    way = "connect"

    def __init__(self, address: str, port: int, heard: Listener) -> None:
        self.address, self.port, self.heard = address, port, heard
        self.v6 = ":" in address
        self.too_big = False
        self.open: dict[socket.socket, tuple[int, asyncio.TimerHandle]] = {}

    def send(self, number: int, ttl: int, *, turn: int = 0, length: int = 0) -> bool:
        """One connection begun; False when there is no room or no way."""
        if len(self.open) >= MOST_OPEN:
            return False
        loop = asyncio.get_running_loop()
        sock = socket.socket(family_of(self.address), socket.SOCK_STREAM)
        sock.setblocking(False)
        if self.v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        error = sock.connect_ex((self.address, self.port))
        if error not in (0, errno.EINPROGRESS):
            sock.close()
            return False
        self.open[sock] = number, loop.call_later(PATIENCE, self._drop, sock)
        loop.add_writer(sock.fileno(), self._settled, sock)
        return True

    def _settled(self, sock: socket.socket) -> None:
        at, number = time.time(), self.open[sock][0]
        complaints = [
            (found, when)
            for _, ancillary, _, when in received(sock, MSG_ERRQUEUE)
            if (found := complained(ancillary, v6=self.v6))
        ]
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._drop(sock)
        if complaints:
            (who, said, mtu), when = complaints[0]
            self.heard(Heard(number, said, mtu), who, when)
        elif error == 0:
            self.heard(Heard(number, "open"), self.address, at)
        elif error == errno.ECONNREFUSED:
            self.heard(Heard(number, "closed"), self.address, at)

    def _drop(self, sock: socket.socket) -> None:
        known = self.open.pop(sock, None)
        if known is not None:
            known[1].cancel()
            asyncio.get_running_loop().remove_writer(sock.fileno())
            sock.close()

    def close(self) -> None:
        """End what is still half open."""
        for sock in list(self.open):
            self._drop(sock)


# --- By mtr -------------------------------------------------------------------------------------------------------------
def mtr_command(program: str, address: str, port: int) -> list[str]:
    """The argument list; the address is an IP literal (else ValueError), so nothing in it can be an option."""
    literal = str(ip_address(address))
    how = ["--tcp", "--port", str(int(port))] if port else []
    return [
        program,
        "--json",
        "--no-dns",
        "--report-cycles",
        str(MTR_ROUNDS),
        "--interval",
        "1",
        "--gracetime",
        "1",
        *how,
        "--",
        literal,
    ]


async def ask_mtr(address: str, port: int = 0) -> Path:
    """A path as `mtr` sees it, or status not_permitted where it is not installed or may not either."""
    proto = "tcp" if port else "icmp"
    path: Path = {"proto": proto, "status": "not_permitted", "address": address}
    if port:
        path["port"] = port
    program = shutil.which("mtr")
    if program is None:
        path["why"] = "This probe may not open raw sockets, and mtr is not installed."
        return path
    process = await asyncio.create_subprocess_exec(
        *mtr_command(program, address, port),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        hops = read_mtr(json.loads(output))
    except (ValueError, KeyError, TypeError, AttributeError):
        path["why"] = "This probe may not open raw sockets, and mtr may not either."
        return path
    path.update(
        {"status": "ok", "rounds": MTR_ROUNDS, "hops": hops, "reached": bool(hops) and hops[-1]["address"] == address}
    )
    return path


def read_mtr(report: dict[str, Any]) -> list[Hop]:
    """Steps from mtr's JSON; addresses that are none become silence."""
    hops: list[Hop] = []
    for hub in report["report"]["hubs"][:30]:
        sent = int(hub["Snt"])
        got = round(sent * (1 - float(hub["Loss%"]) / 100))
        try:
            address: str | None = str(ip_address(hub["host"]))
        except ValueError:
            address = None
        hops.append(
            {"ttl": int(hub["count"]), "address": address, "sent": sent, "got": got, "rtt_ms": _times(hub, got)}
        )
    return hops


def _times(hub: dict[str, Any], got: int) -> list[float]:
    best, mean, worst = (float(hub[name]) for name in ("Best", "Avg", "Wrst"))
    if got <= 1:
        return [mean] * got
    between = [round(max(best, min(worst, mean * got - best - worst)), 3)] if got == 3 else []
    return [best, *between, worst]
