"""What is on this network? A slow, bounded look at a private probe's own subnets, only where its machine allows it.

Allowed by the machine, not by the portal: WATCHKEEPER_PROBE_DISCOVERY=own (its own subnets), or networks as
192.168.7.0/24,10.1.0.0/22 (those of them that are its own). The portal says "look" and nothing more: no address, no port.
"""

from __future__ import annotations

import asyncio
import html
import os
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, ip_network
from pathlib import Path
from typing import Any

import psutil

from monitors.checks.base import safe_sentence
from monitors.checks.connection import reading_context

VARIABLE = "WATCHKEEPER_PROBE_DISCOVERY"
SMALLEST_PREFIX = 22  # 1,022 addresses; of a larger subnet only the part around ourselves is looked at
MOST_HOSTS = 256
PER_SECOND = 20  # packets, and later connections
SECONDS = 240.0  # for all of it; what was found by then is the answer
PORT_SECONDS = 1.5

# What usually listens there. Asked in this order, each port of all hosts before the next port, so that no host sees a burst.
PORTS = {
    443: "https", 80: "http", 22: "ssh", 25: "smtp", 53: "domain", 993: "imaps", 143: "imap", 587: "submission", 3306: "mysql", 5432: "postgresql",
    6379: "redis", 8080: "http", 8443: "https", 3389: "remote desktop", 445: "file sharing", 389: "ldap", 9100: "printer", 1883: "mqtt", 5060: "sip",
    21: "ftp",
}  # fmt: skip
SPEAK_FIRST = {22, 25, 587, 143, 21}


class NotAllowed(Exception):
    """This machine does not allow it; the sentence says how it would."""


@dataclass
class Found:
    """One machine that answered."""

    address: str
    name: str = ""
    hardware: str = ""
    ports: dict[int, str] = field(default_factory=dict)  # port -> what it said of itself, often ""


# --- Where may we look? Pure -------------------------------------------------------------------------------------------
def chosen(own: Iterable[IPv4Interface], allowed: str) -> list[IPv4Network]:
    """Our own private subnets that the setting allows, each cut to 1,022 addresses around us. NotAllowed if there are none."""
    text = allowed.strip().lower()
    if not text:
        raise NotAllowed(f"This machine does not allow it. Set {VARIABLE}=own for the probe there, and start it anew.")
    private = [i for i in own if _private(i)]
    if text != "own":
        try:
            limits = [ip_network(part.strip()) for part in text.split(",") if part.strip()]
        except ValueError as error:
            raise NotAllowed(f"{VARIABLE} on this machine is mistyped: {error}.") from error
        nets = [n for i in private for limit in limits if (n := _overlap(around(i), limit)) is not None]
    else:
        nets = [around(i) for i in private]
    if not nets:
        raise NotAllowed("This machine stands in no private network that may be looked at.")
    return sorted(set(nets))


def _private(i: IPv4Interface) -> bool:
    return i.ip.is_private and not i.ip.is_loopback and not i.ip.is_link_local and i.network.prefixlen < 32


def around(i: IPv4Interface) -> IPv4Network:
    """The subnet, or the /22 of it that we stand in."""
    return (
        i.network if i.network.prefixlen >= SMALLEST_PREFIX else IPv4Network((int(i.ip), SMALLEST_PREFIX), strict=False)
    )


def _overlap(net: IPv4Network, limit: Any) -> IPv4Network | None:
    if not isinstance(limit, IPv4Network) or not net.overlaps(limit):
        return None
    return net if net.prefixlen >= limit.prefixlen else limit


def addresses(nets: Sequence[IPv4Network], ours: Iterable[IPv4Address]) -> list[IPv4Address]:
    """Every host address of these networks but our own, without repeats."""
    mine = set(ours)
    seen: dict[IPv4Address, None] = {}
    for net in nets:
        seen.update(dict.fromkeys(a for a in net.hosts() if a not in mine))
    return list(seen)


def title_of(body: bytes) -> str:
    """What a web page calls itself, as one safe line."""
    found = re.search(rb"<title[^>]{0,200}>(.{1,300}?)</title>", body, re.IGNORECASE | re.DOTALL)
    return safe_sentence(html.unescape(found[1].decode("utf-8", "replace")))[:80] if found else ""


# --- Looking ------------------------------------------------------------------------------------------------------------
def interfaces() -> list[IPv4Interface]:
    """Our own IPv4 addresses with their subnets, of interfaces that are up."""
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    found = []
    for name, rows in psutil.net_if_addrs().items():
        found += [
            IPv4Interface(f"{row.address}/{row.netmask}") for row in rows if name in up and row.family == socket.AF_INET and row.netmask
        ]  # fmt: skip
    return found


def neighbours(text: str) -> dict[str, str]:
    """The kernel's table of who answered on the wire (/proc/net/arp): address -> hardware address."""
    found = {}
    for line in text.splitlines()[1:]:
        parts = line.split()
        if len(parts) >= 4 and int(parts[2], 16) & 2 and parts[3] != "00:00:00:00:00:00":
            found[parts[0]] = parts[3]
    return found


async def discover(body: dict[str, Any], surroundings: dict[str, Any]) -> dict[str, Any]:
    """The job: {"networks": […], "asked": n, "took_s", "cut": bool, "hosts": [{"address", "name", "hardware", "ports": {…}}]}."""
    own = interfaces()
    nets = chosen(own, os.environ.get(VARIABLE, ""))
    began = time.monotonic()
    wanted = addresses(nets, (i.ip for i in own))
    found: dict[str, Found] = {}
    cut = False
    try:
        async with asyncio.timeout(SECONDS):
            await _knock(wanted, found)
            await _ports(found)
            await _names(found)
    except TimeoutError:
        cut = True
    return {
        "networks": [str(n) for n in nets], "asked": len(wanted), "took_s": round(time.monotonic() - began, 1), "cut": cut or len(found) >= MOST_HOSTS,
        "hosts": [
            {"address": h.address, "name": h.name, "hardware": h.hardware, "ports": {str(p): said for p, said in sorted(h.ports.items())}}
            for h in sorted(found.values(), key=lambda h: IPv4Address(h.address))
        ],
    }  # fmt: skip


async def _paced(things: Sequence[Any]) -> AsyncIterator[Any]:
    """One by one, PER_SECOND of them a second."""
    for number, thing in enumerate(things):
        if number:
            await asyncio.sleep(1 / PER_SECOND)
        yield thing


async def _knock(wanted: Sequence[IPv4Address], found: dict[str, Found]) -> None:
    """Who is there? An empty datagram makes the kernel ask on the wire; whoever answers that stands in its table."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        async for address in _paced(wanted):
            try:
                sock.sendto(b"", (str(address), 9))
            except OSError:
                continue
            _note(found, wanted)
    await asyncio.sleep(1.0)
    _note(found, wanted)


def _note(found: dict[str, Found], wanted: Sequence[IPv4Address]) -> None:
    try:
        table = neighbours(Path("/proc/net/arp").read_text())
    except (OSError, ValueError):
        return
    among = {str(a) for a in wanted}
    for address, hardware in table.items():
        if address in among and len(found) < MOST_HOSTS:
            found.setdefault(address, Found(address)).hardware = hardware


async def _ports(found: dict[str, Found]) -> None:
    tasks: set[asyncio.Task[None]] = set()
    async for host, port in _paced([(h, p) for p in PORTS for h in found.values()]):
        task = asyncio.create_task(_try(host, port))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        await asyncio.gather(*tasks, return_exceptions=True)


async def _try(host: Found, port: int) -> None:
    try:
        async with asyncio.timeout(PORT_SECONDS):
            context = reading_context() if PORTS[port] == "https" else None
            reader, writer = await asyncio.open_connection(host.address, port, ssl=context)
    except ssl.SSLError:
        host.ports[port] = ""  # something listens, though it does not speak our TLS
        return
    except (OSError, TimeoutError):
        return
    host.ports[port] = ""
    try:
        async with asyncio.timeout(PORT_SECONDS):
            host.ports[port] = await _said(reader, writer, host.address, port)
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def _said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, port: int) -> str:
    if port in SPEAK_FIRST:
        return safe_sentence((await reader.read(200)).decode("utf-8", "replace").split("\n")[0])[:80]
    if PORTS[port] in ("http", "https"):
        writer.write(f"GET / HTTP/1.0\r\nHost: {address}\r\nUser-Agent: watchkeeper-probe\r\n\r\n".encode())
        return title_of(await reader.read(16_384))
    return ""


async def _names(found: dict[str, Found]) -> None:
    """What the network's own resolver calls them."""
    loop = asyncio.get_running_loop()
    async for host in _paced(list(found.values())):
        try:
            async with asyncio.timeout(2):
                name, _ = await loop.getnameinfo((host.address, 0), socket.NI_NAMEREQD)
            host.name = safe_sentence(name)[:120]
        except (OSError, TimeoutError):
            continue
