"""Which addresses does a host name stand for, asked by code that blocks, and answered in bounded time?

The system's resolver takes no deadline, so it is asked in a thread that may be left behind. How many may be left behind
is bounded too. (Async code asks `portal.outbound.resolver`.)
"""

from __future__ import annotations

import queue
import socket
import threading
from ipaddress import ip_address
from typing import Final

MOST_AT_ONCE: Final = 32
_room = threading.BoundedSemaphore(MOST_AT_ONCE)


class Unresolved(Exception):
    """The name gave no address. `str()` is a sentence safe to show; `missing`: the name servers say there is none."""

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


def addresses_of(host: str, seconds: float) -> list[str]:
    """The host's IP addresses in the system's order, each once. Raises Unresolved, at the latest after `seconds`."""
    try:
        return [str(ip_address(host))]
    except ValueError:
        pass
    if not _room.acquire(blocking=False):
        raise Unresolved("Too many look-ups are waiting for the name servers.")
    answers: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()
    threading.Thread(target=_ask, args=(host, answers), name="name-lookup", daemon=True).start()
    try:
        answer = answers.get(timeout=max(0.0, seconds))
    except queue.Empty:
        raise Unresolved("No name server answered in time.") from None
    if isinstance(answer, list):
        return answer
    if isinstance(answer, socket.gaierror) and answer.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
        raise Unresolved("The host name does not exist.", missing=True)
    if isinstance(answer, UnicodeError):
        raise Unresolved("This is not a valid host name.", missing=True)
    raise Unresolved("The name servers could not answer for this host name.")


def _ask(host: str, answers: queue.SimpleQueue[list[str] | Exception]) -> None:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        answers.put(list(dict.fromkeys(str(entry[4][0]) for entry in found)))
    except (OSError, UnicodeError) as error:
        answers.put(error)
    finally:
        _room.release()
