"""Where on the way do packets die or grow slow? All distances at once, several rounds, by pings and by SYNs to the port.

Each way to send needs its own right; the first that is open here is taken, and none at all is "not_permitted", never "down".
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from monitors.checks.base import CannotTell
from monitors.checks.icmp import ask_fping
from monitors.diagnosis.evidence import Path, Size
from monitors.diagnosis.hops import ARRIVED, PATIENCE, Trace, number_of
from monitors.diagnosis.packets import Heard
from monitors.diagnosis.rawsockets import Listener, RawEcho, RawSyn, Sender
from monitors.diagnosis.unprivileged import ConnectSyn, DatagramEcho, ask_mtr

ROUNDS = {"icmp": 6, "tcp": 5}
EVERY = 0.4  # seconds between the beginnings of two rounds
BURST, PACE = 3, 0.008  # packets sent together, and seconds to the next of them
TTL = 64
PINGS, PING_EVERY, PING_WAIT = 10, 0.1, 0.8
SIZES = {4: (576, 1280, 1400, 1500), 6: (1280, 1400, 1500)}  # bytes of IP packet
SIZE_TRIES, SIZE_EVERY, SIZE_WAIT = 3, 0.3, 0.8
NO_RIGHT = "This probe may not ping: allow net.ipv4.ping_group_range or grant CAP_NET_RAW."


class NotPermitted(Exception):
    """No way to send such packets is open to this process."""


def open_echo(
    address: str, heard: Listener, *, unsplit: bool = False, ways: tuple[type, ...] = (RawEcho, DatagramEcho)
) -> Sender:
    """The best way to send echo requests; raises NotPermitted."""
    for way in ways:
        try:
            return way(address, heard, unsplit=unsplit)
        except OSError:
            continue  # closed to us, or this IP version is unknown here
    raise NotPermitted(NO_RIGHT)


def open_syn(address: str, port: int, heard: Listener, *, ways: tuple[type, ...] = (RawSyn, ConnectSyn)) -> Sender:
    """The best way to send SYNs; raises NotPermitted."""
    for way in ways:
        try:
            return way(address, port, heard)
        except OSError:
            continue
    raise NotPermitted(NO_RIGHT)


class Walk:
    """One path. `run` may be cancelled at any moment; `evidence` tells what was seen by then."""

    def __init__(self, address: str, port: int = 0) -> None:
        self.trace = Trace("tcp" if port else "icmp", address, port)
        self.told: Path | None = None  # by mtr, whole or not at all
        self.way, self.bell = "", Bell()

    def evidence(self) -> Path:
        """The path as far as it is known."""
        path = self.told or self.trace.evidence(time.time())
        if self.way:
            path["way"] = self.way
        return path

    async def run(self) -> None:
        """Send, listen, end when the last answers had their time."""
        trace = self.trace
        try:
            sender = self._open()
        except NotPermitted:
            self.way = "mtr"
            self.told = {
                "proto": trace.proto,
                "status": "not_run",
                "why": "mtr was not finished in time.",
                "address": trace.address,
            }
            self.told = await ask_mtr(trace.address, trace.port)
            return
        self.way = sender.way
        try:
            await walk(sender, trace, self.bell)
        finally:
            sender.close()

    def _open(self) -> Sender:
        trace = self.trace
        if trace.port:
            return open_syn(trace.address, trace.port, self._heard)
        return open_echo(trace.address, self._heard)

    def _heard(self, heard: Heard, source: str, at: float) -> None:
        self.trace.heard(heard.number, source, heard.said, at)
        self.bell.ring()


async def walk(sender: Sender, trace: Trace, bell: Bell) -> None:
    """Rounds of packets, each as far as there is reason to go."""
    loop = asyncio.get_running_loop()
    rounds, refused = ROUNDS[trace.proto], 0
    for turn in range(rounds):
        begun = loop.time()
        ttl = 1
        while ttl <= trace.farthest(turn):
            number = number_of(turn, ttl)
            at = time.time()
            if sender.send(number, ttl, turn=turn):
                trace.sent(number, at)
            else:
                refused += 1
            if ttl % BURST == 0:
                await asyncio.sleep(PACE)
            ttl += 1
        trace.rounds = turn + 1
        if turn + 1 < rounds:
            await asyncio.sleep(max(0.0, begun + EVERY - loop.time()))
    if not trace.steps:
        trace.failed = "This probe has no route to the target." if refused else "Nothing could be sent."
    await bell.until(lambda: not trace.waiting(), PATIENCE)


class Bell:
    """Rung at each answer, so that nobody waits longer than for the last one."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """There is news."""
        self._rung.set()

    async def until(self, done: Callable[[], bool], seconds: float) -> None:
        """Until it is done, or so long."""
        try:
            async with asyncio.timeout(seconds):
                while not done():
                    self._rung.clear()
                    await self._rung.wait()
        except TimeoutError:
            pass


class Pings:
    """Ten small pings in about a second."""

    def __init__(self, address: str) -> None:
        self.address, self.status, self.why = address, "ok", ""
        self.bell = Bell()
        self.sent_at: dict[int, float] = {}
        self.times: dict[int, float] = {}

    def evidence(self) -> dict[str, Any]:
        """{"status", "sent", "got", "rtt_ms"}; the youngest, if unanswered, count as not sent."""
        if self.status != "ok":
            return {"status": self.status, "why": self.why}
        now = time.time()
        sent = [n for n, at in self.sent_at.items() if n in self.times or now - at >= PING_WAIT]
        times = [ms for _, ms in sorted(self.times.items())]
        return {"status": "ok", "sent": len(sent), "got": len(times), "rtt_ms": times}

    def heard(self, heard: Heard, source: str, at: float) -> None:
        """Take one answer."""
        if heard.said in ARRIVED and source == self.address and heard.number in self.sent_at:
            self.times.setdefault(heard.number, round(max(0.0, at - self.sent_at[heard.number]) * 1000, 3))
            self.bell.ring()

    async def run(self, count: int = PINGS) -> None:
        """Send and listen."""
        try:
            sender = open_echo(self.address, self.heard)
        except NotPermitted as reason:
            if not await self._by_fping(count):
                self.status, self.why = "not_permitted", str(reason)
            return
        try:
            for number in range(1, count + 1):
                self.sent_at[number] = time.time()  # also when there is no route at this moment: then it is lost
                sender.send(number, TTL)
                if number < count:
                    await asyncio.sleep(PING_EVERY)
            await self.bell.until(lambda: len(self.times) == count, PING_WAIT)
        finally:
            sender.close()

    async def _by_fping(self, count: int) -> bool:
        """The installed `fping` carries the right that this process lacks. False when it is not there or may not either."""
        program = shutil.which("fping")
        if program is None:
            return False
        at = time.time()
        try:
            times = await ask_fping(program, str(ip_address(self.address)), count, count * PING_EVERY + PING_WAIT)
        except (CannotTell, OSError):
            return False
        for number, ms in enumerate(times, 1):
            self.sent_at[number] = at
            if ms is not None:
                self.times[number] = ms
        return True


class Sizing:
    """Three pings of each size that nobody on the way may split."""

    def __init__(self, address: str) -> None:
        self.address, self.status, self.why = address, "not_run", "It was not finished in time."
        self.sizes: dict[int, int] = dict.fromkeys(SIZES[6 if ":" in address else 4], 0)
        self.bell = Bell()
        self.of: dict[int, int] = {}  # number -> size
        self.answered: set[int] = set()
        self.reported: tuple[str, int] | None = None  # who said "too big", and what would fit

    def evidence(self) -> Size:
        """What arrived, and what follows from it."""
        if self.status != "ok":
            return {"status": self.status, "why": self.why}
        sendable = set(self.of.values())
        size: Size = {
            "status": self._verdict(),
            "sizes": {str(n): got for n, got in self.sizes.items() if n in sendable},
        }
        arrived = [length for length, answers in self.sizes.items() if answers]
        if arrived:
            size["largest"] = max(arrived)
        if self.reported:
            size["said_by"], size["mtu"] = self.reported
        return size

    def _verdict(self) -> str:
        tried = [self.sizes[length] for length in sorted(self.sizes) if length in self.of.values()]
        if not any(tried):
            return "no_answer"
        if self.reported:
            return "reported"
        # A single large one that is lost is loss; all of a size, while every smaller size came through, is its size.
        silent = [number for number, answers in enumerate(tried) if not answers]
        if silent and not any(tried[silent[0] :]) and all(answers >= 2 for answers in tried[: silent[0]]):
            return "black_hole"
        return "ok"

    def heard(self, heard: Heard, source: str, at: float) -> None:
        """Take one answer."""
        length = self.of.get(heard.number)
        if length is None or heard.number in self.answered:
            return
        if heard.said == "frag":
            self.reported = source, heard.mtu
        elif heard.said in ARRIVED and source == self.address:
            self.answered.add(heard.number)
            self.sizes[length] += 1
            self.bell.ring()

    async def run(self) -> None:
        """Send and listen."""
        try:
            sender = open_echo(self.address, self.heard, unsplit=True)
        except NotPermitted as reason:
            self.status, self.why = "not_permitted", str(reason)
            return
        header = 40 if ":" in self.address else 20
        try:
            number = 0
            for turn in range(SIZE_TRIES):
                for length in self.sizes:
                    number += 1
                    self.of[number] = length
                    if not sender.send(number, TTL, length=length - header) and sender.too_big:
                        del self.of[number]  # our own line takes no packet of this size: that is no finding
                if turn + 1 < SIZE_TRIES:
                    await asyncio.sleep(SIZE_EVERY)
            await self.bell.until(lambda: len(self.answered) == len(self.of), SIZE_WAIT)
            self.status = "ok"
        finally:
            sender.close()
