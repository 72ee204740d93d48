"""Whose address is this, asked by DNS? Team Cymru's service, with a memory, because neighbours share an answer."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from monitors.diagnosis.questions import Question, Server, ask

SECONDS = 1.5  # for all addresses together
REMEMBERED, BELIEVED = 4096, 86400.0  # networks, seconds
LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class Owner:
    """An autonomous system."""

    asn: int
    name: str


def readable(name: str) -> str:
    """An owner's name as one printable line: somebody else wrote it."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())[:LONGEST_NAME]


_remembered: OrderedDict[str, tuple[float, Owner | None]] = OrderedDict()


def origin_name(address: str) -> str:
    """Team Cymru's name for the question whose network an address is in."""
    ip = ip_address(address)
    if isinstance(ip, IPv4Address):
        return ".".join(reversed(str(ip).split("."))) + ".origin.asn.cymru.com"
    return ".".join(reversed(ip.exploded.replace(":", "")[:16])) + ".origin6.asn.cymru.com"


def read_origin(text: str) -> int:
    """The AS number in "13335 | 1.1.1.0/24 | AU | apnic | 2011-08-11"; the first of several, 0 when there is none."""
    words = text.strip('"').split("|")[0].split()
    return int(words[0]) if words and words[0].isdigit() and int(words[0]) < 1 << 32 else 0


def read_name(text: str) -> str:
    """The name in "13335 | US | arin | 2010-07-14 | CLOUDFLARENET, US"."""
    return readable(text.strip('"').split("|")[-1])


async def owners_by_dns(
    addresses: Iterable[str], servers: Sequence[Server], seconds: float = SECONDS
) -> tuple[dict[str, Owner | None], bool]:
    """(owners, did everybody answer?). All are asked at once; what has not come in time is missing."""
    found: dict[str, Owner | None] = {}
    open_: dict[str, list[str]] = {}  # by network: neighbours share an answer
    for address in addresses:
        key = network_of(address)
        known = _remembered.get(key)
        if known is not None and time.monotonic() - known[0] < BELIEVED:
            found[address] = known[1]
        else:
            open_.setdefault(key, []).append(address)
    if not open_ or not servers:
        return found, not open_
    tasks = [asyncio.create_task(_look_up(same[0], servers[0])) for same in open_.values()]
    await asyncio.wait(tasks, timeout=seconds)
    whole = True
    for (key, same), task in zip(open_.items(), tasks, strict=True):
        if not task.done():
            task.cancel()
            whole = False
            continue
        answered, owner = task.result()
        whole = whole and answered
        if not answered:
            continue
        _remembered[key] = time.monotonic(), owner
        while len(_remembered) > REMEMBERED:
            _remembered.popitem(last=False)
        found.update(dict.fromkeys(same, owner))
    return found, whole


def network_of(address: str) -> str:
    """Nothing smaller is announced: /24, /48."""
    ip = ip_address(address)
    return str(IPv4Address(int(ip) >> 8 << 8)) if ip.version == 4 else str(IPv6Address(int(ip) >> 80 << 80))


async def _look_up(address: str, server: Server) -> tuple[bool, Owner | None]:
    reply = await ask(server, Question(origin_name(address), "TXT"), seconds=0.7)
    if reply.status == "nxdomain":
        return True, None  # announced by nobody
    number = next((n for text in reply.values("TXT") if (n := read_origin(text))), 0)
    if reply.status != "ok" or not number:
        return reply.status == "ok", None
    named = await ask(server, Question(f"AS{number}.asn.cymru.com", "TXT"), seconds=0.7)
    names = [read_name(data.to_text()) for found in named.records("TXT") for data in found]
    return True, Owner(number, names[0] if names else "")
