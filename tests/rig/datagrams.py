"""What answers a packet? A UDP socket on loopback with a function from a packet to the packets that answer it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.rig.process import free_port

Answer = Callable[[bytes], list[bytes]]


class Datagrams:
    """A context manager. `port` is where it listens; after leaving, `heard` holds every packet that came."""

    def __init__(self, answer: Answer, address: str = "127.0.0.1") -> None:
        self.heard: list[bytes] = []
        self._answer = answer
        self._socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self.address, self.port = address, int(self._socket.getsockname()[1])
        self._ending = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending = True
        with socket.socket(self._socket.family, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", (self.address, self.port))
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            packet, source = self._socket.recvfrom(65535)
            if self._ending and not packet:  # the waker: what came before it has been read
                return
            self.heard.append(packet)
            for answer in self._answer(packet):
                self._socket.sendto(answer, source)


def nothing(packet: bytes) -> list[bytes]:
    """Hears and says nothing."""
    return []


def closed_port() -> int:
    """A UDP port on 127.0.0.1 on which nobody listens."""
    return free_port(socket.SOCK_DGRAM)
