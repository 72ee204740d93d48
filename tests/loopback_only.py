"""Can a test reach the world by mistake? No: Python's sockets go to loopback and Unix sockets only, and names stay here.

libcurl and c-ares open sockets in C, below this lock; they are kept in by the product's own guard, whose tests say so.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

LOCAL_NAMES = {"", "localhost", "localhost.localdomain", "ip6-localhost", socket.gethostname().lower()}


class WorldReached(RuntimeError):
    """A test tried to leave the machine. Not an OSError: product code must not mistake it for a target being down."""


def install() -> None:
    """Guard this process's sockets from here on; calling it twice changes nothing."""
    if getattr(socket.socket.connect, "guards_loopback", False):
        return
    for method in ("connect", "connect_ex", "sendto"):
        _guard(method)
    _guard_names()


def allowed(address: Any) -> bool:
    """Whether a socket address (host and port, or a Unix path) stays on this machine."""
    if not isinstance(address, tuple):
        return True  # a Unix path, or a family that does not leave the machine
    host = address[0]
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    try:
        ip = ip_address(str(host).partition("%")[0])
    except ValueError:
        return str(host).lower() in LOCAL_NAMES
    mapped = getattr(ip, "ipv4_mapped", None) or ip
    return bool(mapped.is_loopback or mapped.is_unspecified)


def _guard(method: str) -> None:
    original = getattr(socket.socket, method)

    def guarded(self: socket.socket, *args: Any) -> Any:
        # sendto(data, address) and sendto(data, flags, address): the address comes last in all three.
        if self.family in (socket.AF_INET, socket.AF_INET6) and not allowed(args[-1]):
            raise WorldReached(f"a test tried to reach {args[-1]!r}; use a server of tests/rig on loopback")
        return original(self, *args)

    guarded.guards_loopback = True  # type: ignore[attr-defined]
    setattr(socket.socket, method, guarded)


def _guard_names() -> None:
    original = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **named: Any) -> Any:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if name is not None and not _literal(name) and name.lower() not in LOCAL_NAMES:
            # What a machine without a network says: an unknown name is a legitimate thing for a test to ask about.
            raise socket.gaierror(socket.EAI_NONAME, f"names are not looked up in tests ({name})")
        return original(host, *args, **named)

    socket.getaddrinfo = getaddrinfo


def _literal(name: str) -> bool:
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
