"""How long does a cable take? A bridge in user space that holds each frame back, loses some, and takes orders on stdin.

Linux without `netem` cannot delay packets, so the two halves of a slow cable end in one space where this program carries
frames across: `python -m tests.lab.weather NAME:LEFT:RIGHT …`, orders as {"cable": NAME, "to_right": {"delay_ms": 20,
"jitter_ms": 0, "loss": 0.0}, "to_left": {…}}, one a line. Frames pass with their offload header (checksum, segments), as
they would over a kernel's own bridge.
"""

from __future__ import annotations

import heapq
import itertools
import json
import os
import random
import select
import socket
import sys
import time
from dataclasses import dataclass

SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
ETH_P_ALL = 0x0003
LONGEST_FRAME = 70_000


@dataclass(slots=True)
class Way:
    """One direction of a cable."""

    out: socket.socket
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    last: float = 0.0  # frames do not overtake each other

    def due(self, now: float) -> float | None:
        """When a frame that came now goes on (monotonic seconds); None: it is lost."""
        if self.loss and random.random() < self.loss:
            return None
        self.last = max(self.last, now + (self.delay_ms + random.uniform(0, self.jitter_ms)) / 1000)
        return self.last


def opened(interface: str) -> socket.socket:
    """Every frame that comes in at one interface."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    end.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    end.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    end.bind((interface, ETH_P_ALL))
    end.setblocking(False)
    return end


class Weather:
    """All slow cables of one lab."""

    def __init__(self, cables: list[str]) -> None:
        self.ways: dict[tuple[str, str], Way] = {}
        self.by_fd: dict[int, tuple[socket.socket, Way]] = {}
        for cable in cables:
            name, left, right = cable.split(":")
            a, b = opened(left), opened(right)
            self.ways[name, "to_right"], self.ways[name, "to_left"] = Way(b), Way(a)
            self.by_fd[a.fileno()] = (a, self.ways[name, "to_right"])
            self.by_fd[b.fileno()] = (b, self.ways[name, "to_left"])
        self.held: list[tuple[float, int, socket.socket, bytes]] = []
        self.numbers = itertools.count()

    def order(self, line: str) -> None:
        """Change a cable's ways."""
        said = json.loads(line)
        for side in ("to_right", "to_left"):
            for name, value in said.get(side, {}).items():
                setattr(self.ways[said["cable"], side], name, value)

    def run(self) -> None:
        """Until stdin ends."""
        orders, rest = sys.stdin.fileno(), b""
        os.set_blocking(orders, False)
        while True:
            wait = max(0.0, self.held[0][0] - time.monotonic()) if self.held else 1.0
            ready, _, _ = select.select([orders, *self.by_fd], [], [], wait)
            for fd in ready:
                if fd != orders:
                    self._take(*self.by_fd[fd])
                    continue
                heard = os.read(orders, 65536)
                if not heard:
                    return
                *lines, rest = (rest + heard).split(b"\n")
                for line in lines:
                    self.order(line.decode())
                    print("done", flush=True)
            self._let_go()

    def _take(self, end: socket.socket, way: Way) -> None:
        for _ in range(64):
            try:
                frame = end.recv(LONGEST_FRAME)
            except BlockingIOError:
                return
            except OSError:  # the interface went down meanwhile
                return
            due = way.due(time.monotonic())
            if due is not None:
                heapq.heappush(self.held, (due, next(self.numbers), way.out, frame))

    def _let_go(self) -> None:
        now = time.monotonic()
        while self.held and self.held[0][0] <= now + 0.0001:
            _, _, out, frame = heapq.heappop(self.held)
            try:
                out.send(frame)
            except OSError:  # full, or the interface is down: lost, as on any cable
                pass


if __name__ == "__main__":
    weather = Weather(sys.argv[1:])
    print("ready", flush=True)
    weather.run()
