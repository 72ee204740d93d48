"""Who knocked where nobody may? Listeners on one port of loopback, by TCP and UDP, IPv4 and IPv6, that count and answer."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\nContent-Type: application/json\r\n\r\n{"canary":true}'
HOUSES = ("127.0.0.1", "::1")


@dataclass
class Canary:
    """`hits`: (protocol, whom they called, the first bytes) of everything that came, connections without a word too."""

    port: int
    hits: list[tuple[str, str, bytes]] = field(default_factory=list)

    @property
    def urls(self) -> tuple[str, str]:
        """It by IPv4 and by IPv6."""
        return f"http://127.0.0.1:{self.port}/canary", f"http://[::1]:{self.port}/canary"


@contextlib.contextmanager
def listening() -> Iterator[Canary]:
    """A canary in a thread of its own; at the end everything that was on its way has been counted."""
    sockets = _all_on_one_port()
    canary = Canary(sockets[0].getsockname()[1])
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=_sit, args=(canary, sockets, theirs), name="canary", daemon=True)
    thread.start()
    try:
        yield canary
    finally:
        ours.close()
        thread.join(30)
        for each in (*sockets, theirs):
            each.close()


def _all_on_one_port() -> list[socket.socket]:
    for _ in count():
        sockets: list[socket.socket] = []
        try:
            for house in HOUSES:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    each = socket.socket(socket.AF_INET6 if ":" in house else socket.AF_INET, kind)
                    sockets.append(each)
                    each.bind((house, sockets[0].getsockname()[1] if len(sockets) > 1 else 0))
                    if kind == socket.SOCK_STREAM:
                        each.listen(64)
            return sockets
        except OSError:  # somebody has that port already: the next one
            for each in sockets:
                each.close()
    raise AssertionError("unreachable")


def _sit(canary: Canary, sockets: list[socket.socket], end: socket.socket) -> None:
    """Take what comes until the end is told, and then whatever waits still."""
    ended = False
    while True:
        ready, _, _ = select.select([*sockets, *([] if ended else [end])], [], [], 0 if ended else None)
        if end in ready:
            ended = True
            continue
        if ended and not ready:
            return
        for each in ready:
            _take(canary, each)


def _take(canary: Canary, each: socket.socket) -> None:
    house = each.getsockname()[0]
    if each.type == socket.SOCK_DGRAM:
        data, _ = each.recvfrom(4096)
        canary.hits.append(("udp", house, data[:80]))
        return
    line, _ = each.accept()
    with line, contextlib.suppress(OSError):
        line.settimeout(0.2)
        said = b""
        with contextlib.suppress(TimeoutError):
            said = line.recv(4096)
        canary.hits.append(("tcp", house, said[:80]))
        line.sendall(ANSWER)
