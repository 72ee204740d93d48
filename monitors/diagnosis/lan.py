"""Is it this probe's own line? Its anchors, its first router, and for a private probe its neighbours and the target's ARP entry.

The first router is named by this machine's own configuration, as its resolver is: the guard, which keeps monitors from
reaching into our network, has no say in it. Neighbours are only asked by private probes, and only where the guard agrees.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from monitors.diagnosis.evidence import Own
from monitors.diagnosis.paths import Pings
from monitors.probe import anchors
from portal.outbound.guard import Blocked

TABLES = Path("/proc/thread-self/net")
MOST_ASKED, GATEWAY_PINGS = 5, 3
ARP_SECONDS = 1.3  # the kernel asks three times, a second apart, before it gives up
UP, GATEWAY, COMPLETE = 0x1, 0x2, 0x2


@dataclass(frozen=True, slots=True)
class Lines:
    """This machine's IPv4 routes and neighbours."""

    gateway: str | None
    networks: tuple[IPv4Network, ...]  # those that need no router
    neighbours: dict[str, bool]  # address -> did it answer the kernel?

    def holds(self, address: str) -> bool:
        """Is this address on one of our own networks?"""
        return ":" not in address and any(IPv4Address(address) in network for network in self.networks)

    def arp(self, address: str) -> str:
        """complete, failed or unknown."""
        known = self.neighbours.get(address)
        return "unknown" if known is None else "complete" if known else "failed"


def lines(tables: Path = TABLES) -> Lines:
    """As the kernel knows them now."""
    gateway, networks = read_routes(_read(tables / "route"))
    return Lines(gateway, networks, read_arp(_read(tables / "arp")))


def read_routes(text: str) -> tuple[str | None, tuple[IPv4Network, ...]]:
    """(the default gateway of the best metric, directly connected networks) from /proc/net/route."""
    best: tuple[int, str] | None = None
    networks = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) < 8:
            continue
        to, via, mask = (_address(word) for word in (words[1], words[2], words[7]))
        flags, metric = int(words[3], 16), int(words[6])
        if not flags & UP:
            continue
        if not flags & GATEWAY and int(mask):
            networks.append(IPv4Network((int(to), int(mask).bit_count())))
        elif flags & GATEWAY and not int(mask) and (best is None or metric < best[0]):
            best = metric, str(via)
    return (best[1] if best else None), tuple(networks)


def read_arp(text: str) -> dict[str, bool]:
    """Neighbours from /proc/net/arp."""
    rows = (line.split() for line in text.splitlines()[1:])
    return {words[0]: bool(int(words[2], 16) & COMPLETE) for words in rows if len(words) >= 4}


def _address(text: str) -> IPv4Address:
    return IPv4Address(struct.pack("=I", int(text, 16)))  # the kernel prints the word as this machine holds it


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:  # not Linux, or hidden from us
        return ""


class OwnLine:
    """What speaks for or against this probe's own network. `run` may be cancelled; `found` holds what is known by then."""

    def __init__(self, asked: Sequence[str], *, private: bool, allowed: Callable[[str], None]) -> None:
        self.anchors, self.private, self.allowed = asked, private, allowed
        self.found: Own = {}
        self.lines = lines()

    async def run(self, target: asyncio.Future[str] | None = None) -> None:
        """Ask all of them; `target` gives the target's address once it is known."""
        parts = [self._anchors(), self._gateway()]
        if self.private:
            parts.append(self._neighbours())
        if target is not None:
            parts.append(self._target(target))
        await asyncio.gather(*parts)

    async def _anchors(self) -> None:
        if self.anchors:
            self.found["anchors"] = await anchors.ask(self.anchors)

    async def _gateway(self) -> None:
        gateway = self.lines.gateway
        if gateway is None:
            return
        pings = Pings(gateway)
        await pings.run(GATEWAY_PINGS)
        seen = pings.evidence()
        found: dict[str, Any] = {"address": gateway, "arp": lines().arp(gateway)}
        if seen["status"] == "ok":
            found |= {"sent": seen["sent"], "got": seen["got"]}
            if seen["rtt_ms"]:
                found["ms"] = min(seen["rtt_ms"])
        self.found["gateway"] = found

    async def _neighbours(self) -> None:
        known = [
            a
            for a, complete in self.lines.neighbours.items()
            if complete and a != self.lines.gateway and self._allows(a)
        ]
        asked = random.sample(known, min(MOST_ASKED, len(known)))
        pings = [Pings(address) for address in asked]
        await asyncio.gather(*(one.run(1) for one in pings))
        if pings and all(one.status != "ok" for one in pings):
            return
        answered = sum(bool(one.times) for one in pings)
        self.found["neighbours"] = {"known": len(known), "asked": len(asked), "answered": answered}

    def _allows(self, address: str) -> bool:
        try:
            self.allowed(address)
        except Blocked:
            return False
        return True

    async def _target(self, target: asyncio.Future[str]) -> None:
        await asyncio.wait([target])
        address = target.result()
        if not address:
            return
        self.found["target_on_lan"] = self.lines.holds(address)
        if not self.found["target_on_lan"]:
            return
        for _ in range(3):  # the other parts are sending to it: the kernel has to ask who it is
            await asyncio.sleep(ARP_SECONDS)
            self.found["arp"] = lines().arp(address)
            if self.found["arp"] == "complete":
                return
