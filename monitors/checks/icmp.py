"""Does a host answer pings, how many are lost, and how much do the times vary?

Three ways, the least privileged first: a datagram ICMP socket, a raw one, the installed `fping`. None permitted is
"unknown", never "down".
"""

import asyncio
import os
import shutil
import socket
import statistics
import struct
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from .base import AnswerConfig, CannotTell, Check, CheckFailed, Context, Host, Outcome, Status, Stopwatch
from .connection import allowed_addresses

ECHO, ECHO_REPLY = 8, 0
ECHO_V6, ECHO_REPLY_V6 = 128, 129
SPACING = 0.2  # seconds between packets, less when the time limit is short
NOT_PERMITTED = "Pinging is not permitted here: allow net.ipv4.ping_group_range, grant CAP_NET_RAW or install fping"


class IcmpConfig(AnswerConfig):
    """Whom to ping, and how often in one run."""

    host: Host = Field(title="Host", description="Name or address to ping.", examples=["gw.example.com", "192.0.2.1"])
    count: int = Field(3, ge=1, le=20, title="Packets", description="Packets in one run.", examples=[3])


class IcmpCheck(Check):
    """Loss, mean time and jitter."""

    kind: ClassVar[str] = "icmp"
    label: ClassVar[str] = "Ping (ICMP)"
    Config = IcmpConfig
    main_field: ClassVar[str] = "host"
    leads_to: ClassVar[tuple[str, ...]] = ("host",)

    @classmethod
    def target(cls, config: IcmpConfig) -> str:
        """The host"""
        return config.host

    @classmethod
    async def probe(cls, config: IcmpConfig, ctx: Context, outcome: Outcome) -> None:
        """Ping the first address; `total_ms` is the mean round trip, facts["icmp"] the rest."""
        watch = Stopwatch.start()
        address = (await allowed_addresses(config.host, ctx))[0]
        outcome.dns_ms = watch.lap()
        seconds = (ctx.timeout - outcome.dns_ms / 1000) * 0.9  # the rest is kept to write the answer down
        times, via = await ping(address, config.count, max(seconds, 0.05))
        outcome.facts["icmp"] = summary(times) | {"via": via, "address": address}
        outcome.loss_percent = outcome.facts["icmp"]["loss_percent"]
        outcome.total_ms = outcome.facts["icmp"]["mean_ms"]
        if outcome.total_ms is None:
            raise CheckFailed("loss", f"None of {config.count} pings was answered")
        outcome.settle(Status.UP, f"{config.count - times.count(None)} of {config.count} pings answered")


def summary(times: list[float | None]) -> dict[str, Any]:
    """Loss (percent), minimum, mean, maximum and jitter (mean change from one answer to the next), in milliseconds."""
    answered = [spent for spent in times if spent is not None]
    steps = [abs(after - before) for before, after in zip(answered, answered[1:], strict=False)]
    return {
        "loss_percent": round(100 * (len(times) - len(answered)) / len(times), 1),
        "times_ms": times,
        "min_ms": min(answered, default=None),
        "mean_ms": round(statistics.fmean(answered), 3) if answered else None,
        "max_ms": max(answered, default=None),
        "jitter_ms": round(statistics.fmean(steps), 3) if steps else None,
    }


async def ping(address: str, count: int, seconds: float) -> tuple[list[float | None], str]:
    """(round trips in ms, None where lost; the way used). Raises CannotTell("permission") when no way is open."""
    for name, sock_type in (("datagram", socket.SOCK_DGRAM), ("raw", socket.SOCK_RAW)):
        try:
            sock = open_socket(":" in address, sock_type)
        except OSError:
            continue  # this way is closed to us: the next one may not be
        with sock:
            try:
                return await Echo(sock, address, raw=sock_type == socket.SOCK_RAW).run(count, seconds), name
            except PermissionError:
                continue  # it could be opened but may not send
    if program := shutil.which("fping"):
        return await ask_fping(program, address, count, seconds), "fping"
    raise CannotTell("permission", NOT_PERMITTED)


def open_socket(v6: bool, sock_type: int) -> socket.socket:
    """A non-blocking ICMP socket; raises OSError when it is not permitted or not known here."""
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if v6 else (socket.AF_INET, socket.IPPROTO_ICMP)
    sock = socket.socket(family, sock_type, protocol)
    sock.setblocking(False)
    return sock


def checksum(data: bytes) -> int:
    """RFC 1071 over an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(sequence: int, token: bytes, *, v6: bool, identifier: int = 0) -> bytes:
    """One echo request; the token tells our answers from those to other programs."""
    kind = ECHO_V6 if v6 else ECHO
    bare = struct.pack("!BBHHH", kind, 0, 0, identifier, sequence) + token
    # For IPv6 the kernel writes the checksum, because it covers addresses only it knows.
    return bare if v6 else bare[:2] + struct.pack("!H", checksum(bare)) + bare[4:]


def answered_sequence(packet: bytes, token: bytes, *, v6: bool, raw: bool) -> int | None:
    """The sequence number when the packet answers us, else None. Raw IPv4 sockets deliver the IP header too."""
    if raw and not v6:
        packet = packet[(packet[0] & 0x0F) * 4 :] if packet else b""
    if len(packet) < 8 + len(token) or packet[0] != (ECHO_REPLY_V6 if v6 else ECHO_REPLY):
        return None
    return int.from_bytes(packet[6:8]) if packet[8 : 8 + len(token)] == token else None


@dataclass(slots=True)
class Echo:
    """One series of echo requests over an open socket."""

    sock: socket.socket
    address: str
    raw: bool

    async def run(self, count: int, seconds: float) -> list[float | None]:
        """Round trips in ms by sequence, None where no answer came within `seconds` of the start.

        Raises PermissionError, at once, when this kind of socket may not send.
        """
        token, sent, times = os.urandom(16), [0.0] * count, [None] * count
        gap = min(SPACING, seconds / (count + 1))
        sender = asyncio.create_task(self._send(token, sent, gap))
        receiver = asyncio.create_task(self._receive(token, sent, times))
        try:
            async with asyncio.timeout(seconds):
                ended, _ = await asyncio.wait((sender, receiver), return_when=asyncio.FIRST_EXCEPTION)
                for task in ended:
                    task.result()
        except TimeoutError:
            pass  # what is still missing is lost
        finally:
            sender.cancel()
            receiver.cancel()
            await asyncio.gather(sender, receiver, return_exceptions=True)
        return list(times)

    async def _send(self, token: bytes, sent: list[float], gap: float) -> None:
        loop, identifier = asyncio.get_running_loop(), os.getpid() & 0xFFFF
        for sequence in range(len(sent)):
            packet = echo_request(sequence, token, v6=":" in self.address, identifier=identifier)
            sent[sequence] = time.perf_counter()
            try:
                await loop.sock_sendto(self.sock, packet, (self.address, 0))
            except PermissionError:
                raise
            except OSError:
                pass  # no route at this moment: this packet is lost, the next may get through
            if sequence + 1 < len(sent):
                await asyncio.sleep(gap)

    async def _receive(self, token: bytes, sent: list[float], times: list[Any]) -> None:
        loop, v6 = asyncio.get_running_loop(), ":" in self.address
        while None in times:
            try:
                packet, source = await loop.sock_recvfrom(self.sock, 2048)
            except OSError:
                await asyncio.sleep(0.01)  # an ICMP error for an earlier packet; the others may still be answered
                continue
            arrived = time.perf_counter()
            sequence = answered_sequence(packet, token, v6=v6, raw=self.raw)
            if sequence is None or sequence >= len(times) or source[0] != self.address or times[sequence] is not None:
                continue
            times[sequence] = round((arrived - sent[sequence]) * 1000, 3)


async def ask_fping(program: str, address: str, count: int, seconds: float) -> list[float | None]:
    """Round trips in ms by `fping`, which carries the capability this process lacks."""
    gap = max(10, round(min(SPACING, seconds / (count + 1)) * 1000))
    wait = max(50, round(seconds * 1000) - gap * count)
    argv = [program, "-C", str(count), "-q", "-r", "0", "-p", str(gap), "-t", str(wait), "--", address]
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return read_fping(output.decode("ascii", "replace"), count)


def read_fping(output: str, count: int) -> list[float | None]:
    """Times from a line such as `192.0.2.1 : 0.05 - 0.06`; raises CannotTell when fping may not ping either."""
    for line in output.splitlines():
        _, colon, rest = line.partition(" : ")
        words = rest.split()
        if colon and len(words) == count:
            return [None if word == "-" else float(word) for word in words]
    raise CannotTell("permission", NOT_PERMITTED)
