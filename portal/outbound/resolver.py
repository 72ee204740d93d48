"""Which addresses does this name stand for right now?

c-ares (through aiodns) inside the asyncio loop: a name server that never answers costs its own waiters their time-out
and nobody else anything. Answers are remembered for their TTL, 1 to 60 s; failures are not remembered, so a repaired
name is seen at the next question. ``/etc/hosts`` counts, as it does for every other program on the machine.
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Literal

import aiodns
import pycares
from aiodns import error as ares

from portal.outbound.guard import parse_host

ResolveKind = Literal["nxdomain", "no_answer", "servfail", "timeout", "refused", "bad_name"]

SENTENCES: Final[dict[ResolveKind, str]] = {
    "nxdomain": "The host name does not exist.",
    "no_answer": "The host name has no address of the wanted kind.",
    "servfail": "The name servers could not answer for this host name.",
    "timeout": "No name server answered in time.",
    "refused": "The name server refused the question.",
    "bad_name": "This is not a valid host name.",
}
_KINDS: Final[dict[int, ResolveKind]] = {
    ares.ARES_ENOTFOUND: "nxdomain",
    ares.ARES_ENONAME: "nxdomain",
    ares.ARES_ENODATA: "no_answer",
    ares.ARES_ETIMEOUT: "timeout",
    ares.ARES_ECANCELLED: "timeout",
    ares.ARES_EDESTRUCTION: "timeout",
    ares.ARES_EREFUSED: "refused",
    ares.ARES_ECONNREFUSED: "refused",
    ares.ARES_EBADNAME: "bad_name",
    ares.ARES_EBADQUERY: "bad_name",
}
# When the two questions (A and AAAA) fail in different ways, the one that says most about the name.
_WEIGHT: Final[tuple[ResolveKind, ...]] = ("nxdomain", "bad_name", "timeout", "refused", "servfail", "no_answer")
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}

SHORTEST, LONGEST = 1.0, 60.0  # seconds an answer is believed, whatever its TTL says
REMEMBERED = 20_000  # names; the oldest go first
TRY_SECONDS, TRIES = 2.0, 3
NOSORT: Final = 1 << 7  # ARES_AI_NOSORT of ares.h, which pycares has no name for
GRACE = 0.1  # seconds IPv6 may come after IPv4: some name servers never answer AAAA questions

Key = tuple[str, int]
Waiter = asyncio.Future[list[str]]


class _LookUp:
    """One name being asked about: who waits, and what is known so far, by IP version."""

    __slots__ = ("waiters", "open", "found", "kinds", "ttl")

    def __init__(self, questions: int) -> None:
        self.waiters: list[Waiter] = []
        self.open = questions
        self.found: dict[int, list[str]] = {}
        self.kinds: set[ResolveKind] = set()
        self.ttl = LONGEST


class ResolveError(Exception):
    """The name gave no address. ``kind`` says why; ``str()`` is a sentence safe to show."""

    def __init__(self, kind: ResolveKind, message: str = "") -> None:
        super().__init__(message or SENTENCES[kind])
        self.kind: ResolveKind = kind
        self.message = str(self)


class Resolver:
    """Name look-ups for one event loop. Make it inside the running loop; ``close()`` it there."""

    def __init__(self, nameservers: Sequence[str] | None = None, *, try_seconds: float = TRY_SECONDS) -> None:
        """``nameservers`` ("ip" or "ip:port") replace the machine's own; ``try_seconds`` is the wait per question."""
        self._loop = asyncio.get_running_loop()
        self._nameservers = nameservers
        self._try_seconds = try_seconds
        self._channels: dict[bool, tuple[aiodns.DNSResolver, float]] = {}  # by "may use search domains"
        self._stale = False
        self._known: dict[Key, tuple[float, list[str]]] = {}
        self._waiting: dict[Key, _LookUp] = {}

    def known(self, host: str, family: int = 0) -> list[str] | None:
        """The addresses if no question is needed (IP literal or fresh answer), else None. Never waits."""
        found = self._known.get((host, family))
        if found is not None and found[0] > time.monotonic():
            return found[1]
        version = _literal(host)
        return [host] if version and family in (0, version) else None

    async def resolve(self, host: str, family: int = 0, timeout: float = 5.0) -> list[str]:
        """Addresses of ``host``, IPv4 first, for family 4, 6 or 0 (both), within ``timeout`` seconds.

        Raises ResolveError. Concurrent questions for one name share one look-up; each keeps its own time-out.
        """
        try:
            host = parse_host(host)
        except ValueError as exc:
            raise ResolveError("bad_name", str(exc)) from None
        addresses = self.known(host, family)
        if addresses is not None:
            return addresses
        if _literal(host):
            raise ResolveError("no_answer")
        key = (host, family)
        waiter: Waiter = self._loop.create_future()
        look_up = self._waiting.get(key) or self._ask(key)
        look_up.waiters.append(waiter)
        alarm = self._loop.call_later(timeout, _give_up, waiter)
        try:
            return await waiter
        finally:
            alarm.cancel()

    def close(self) -> None:
        """Ends every look-up under way (its waiters get a "timeout") and frees the sockets."""
        for channel, _ in self._channels.values():
            channel.cancel()
        self._channels.clear()
        for key, look_up in list(self._waiting.items()):
            look_up.kinds = {"timeout"}
            self._finish(key, look_up)

    def _ask(self, key: Key) -> _LookUp:
        host, family = key
        versions = (4, 6) if family == 0 else (family,)
        look_up = self._waiting[key] = _LookUp(len(versions))
        channel = self._channel("." not in host)
        for version in versions:
            # No AI_ADDRCONFIG: a container without IPv6 must still be able to say what the name has. In the server's
            # order (NOSORT): sorting opens a socket for every address.
            question = channel.getaddrinfo(host, family=_FAMILIES[version], type=socket.SOCK_STREAM, flags=NOSORT)
            question.add_done_callback(partial(self._answered, key, look_up, version))
        return look_up

    def _channel(self, search: bool) -> aiodns.DNSResolver:
        """The c-ares channel, made anew every minute, and within a second after any failure.

        c-ares keeps a cache of its own (an hour long, failures too) that cannot be switched off from here; a fresh
        channel has an empty one, and sees a changed ``/etc/resolv.conf``. An old one ends with its last question.
        A dotted name is asked exactly as written: a search domain's wildcard must not make a dead name look alive.
        """
        now = time.monotonic()
        channel, born = self._channels.get(search, (None, 0.0))
        if channel is None or now - born >= (SHORTEST if self._stale else LONGEST):
            options: dict[str, Any] = {"timeout": self._try_seconds, "tries": TRIES}
            if not search:
                options["flags"] = pycares.ARES_FLAG_NOSEARCH | pycares.ARES_FLAG_EDNS
            channel = aiodns.DNSResolver(self._nameservers, self._loop, **options)
            self._channels[search] = channel, now
            self._stale = False
        return channel

    def _answered(
        self, key: Key, look_up: _LookUp, version: int, question: "asyncio.Future[pycares.AddrInfoResult]"
    ) -> None:
        failure = None if question.cancelled() else question.exception()
        if self._waiting.get(key) is not look_up:  # finished without this answer
            return
        look_up.open -= 1
        if question.cancelled():
            look_up.kinds.add("timeout")
        elif failure is not None:
            code = failure.args[0] if isinstance(failure, ares.DNSError) else 0
            look_up.kinds.add(_KINDS.get(code, "servfail"))
        elif nodes := question.result().nodes:
            look_up.found[version] = [node.addr[0].decode("ascii") for node in nodes]
            look_up.ttl = min(look_up.ttl, *(node.ttl for node in nodes))
        if look_up.open == 0:
            self._finish(key, look_up)
        elif version == 4 and look_up.found:
            self._loop.call_later(GRACE, self._finish, key, look_up)

    def _finish(self, key: Key, look_up: _LookUp) -> None:
        if self._waiting.get(key) is not look_up:
            return
        del self._waiting[key]
        # IPv4 first: a machine without IPv6 then needs no second try, and one with both loses nothing.
        addresses = list(dict.fromkeys(look_up.found.get(4, []) + look_up.found.get(6, [])))
        if addresses:
            self._known.pop(key, None)
            if len(self._known) >= REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[key] = time.monotonic() + max(look_up.ttl, SHORTEST), addresses
        else:
            self._stale = True
        kind: ResolveKind = next((kind for kind in _WEIGHT if kind in look_up.kinds), "no_answer")
        for waiter in look_up.waiters:
            if waiter.done():
                continue
            if addresses:
                waiter.set_result(addresses)
            else:
                waiter.set_exception(ResolveError(kind))


def _literal(host: str) -> int:
    """4 or 6 if a host that passed ``parse_host`` is an IP literal, else 0: only a dotted quad ends in a number."""
    return 6 if ":" in host else 4 if host.rpartition(".")[2].isdigit() else 0


def _give_up(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_exception(ResolveError("timeout"))
