"""What does one probe measure when something has failed? All of it at once, within one hard deadline.

Run by the portal's prober and by the stand-alone probe: nothing here may import Django. A sick target never makes it
raise; what is not finished in time is cut, named, and what was seen of it until then is kept. Before any packet goes to an
address, whoever named it, the guard is asked; only the machine's own resolver and first router are named by its operator.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from monitors.checks.base import Context
from monitors.diagnosis.again import Again
from monitors.diagnosis.evidence import VERSION, BatteryEvidence
from monitors.diagnosis.handshake import Connecting, Handshaking
from monitors.diagnosis.lan import OwnLine
from monitors.diagnosis.names import Naming
from monitors.diagnosis.paths import Pings, Sizing, Walk
from monitors.diagnosis.reverse import Reverse
from monitors.diagnosis.targets import has_service, key_of, target_of
from portal.outbound.guard import Blocked, Reach, check_address, parse_host
from portal.outbound.resolver import ResolveError, Resolver

if TYPE_CHECKING:
    from portal.outbound.http import HttpEngine

__all__ = ["DEADLINE", "Surroundings", "baseline", "key_of", "run", "target_of"]

log = logging.getLogger("watchkeeper.diagnosis")

DEADLINE = 5.0  # seconds
LONGEST = 30.0
RESOLVE_SECONDS, OTHERS_SECONDS = 2.0, 1.2  # for our own resolver, and then for what the others say
KNOWN_SECONDS, GLANCE = 1.0, 0.2  # for the same two, where an address is known from better days
CHECK_SHARE = 0.9  # of the deadline is what the check may take: its own word says more than being cut
ENDING = 0.05  # seconds kept back to write everything down


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a battery may use: the engine's resolver and HTTP (of this loop), the monitor's reach, the clock (s since 1970)."""

    resolver: Resolver
    http: HttpEngine
    reach: Reach
    clock: Callable[[], float] = time.time

    def allowed(self, address: str) -> None:
        """Raises Blocked for an address that must not be touched."""
        check_address(address, self.reach)


async def run(order: dict[str, Any], surroundings: Surroundings) -> BatteryEvidence:
    """Everything, for a diagnosis.

    `order`: {"v", "probe", "slug", "private", "network", "target" (of `target_of`; may carry "known": addresses from better
    days), "check": {"kind", "config", "timeout", "degraded_latency_ms", "degraded_loss_percent"} or None, "resolvers",
    "anchors", "owners" (name servers from better days), "deadline_s"}.
    """
    return await _Battery(order, surroundings, light=False).run()


async def baseline(order: dict[str, Any], surroundings: Surroundings) -> BatteryEvidence:
    """The lighter sweep while all is well: paths, names, TLS, pings, sizes. Same order, same shape."""
    return await _Battery(order, surroundings, light=True).run()


class _Battery:
    """One run: its parts, and what each has to say when time is up."""

    def __init__(self, order: dict[str, Any], surroundings: Surroundings, *, light: bool) -> None:
        self.order, self.around, self.light = order, surroundings, light
        self.target: dict[str, Any] = dict(order.get("target") or {})
        self.seconds = min(LONGEST, max(0.5, float(order.get("deadline_s") or DEADLINE)))
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.readers: dict[str, Callable[[], Any]] = {}
        self.walks: list[Walk] = []
        self.address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def run(self) -> BatteryEvidence:
        """Begin all parts, wait, write down."""
        at, started = self.around.clock(), time.perf_counter()
        loop = asyncio.get_running_loop()
        end = loop.time() + self.seconds - ENDING
        self._begin()
        try:
            while (left := end - loop.time()) > 0 and (
                under_way := [task for task in self.tasks.values() if not task.done()]
            ):
                if self._hopeless(under_way):
                    break
                # Parts begin when the address is known, so each look may find more of them.
                await asyncio.wait(under_way, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            cut = [name for name, task in self.tasks.items() if not task.done()]
            return self._written(at, started, cut)
        finally:
            for task in self.tasks.values():
                task.cancel()
            await asyncio.gather(*self.tasks.values(), return_exceptions=True)
            if not self.address.done():
                self.address.cancel()

    def _hopeless(self, under_way: list[asyncio.Task[None]]) -> bool:
        """Is only the check still waited for, though no connection came about? It would say the same a little later."""
        tries = self.readers["connect"]() if "connect" in self.readers else {}
        return under_way == [self.tasks.get("check")] and tries.get("status") == "timeout"

    # --- Parts ----------------------------------------------------------------------------------------------------------
    def _begin(self) -> None:
        order, target = self.order, self.target
        asked = [str(anchor) for anchor in order.get("anchors") or ()]
        self.naming = Naming(
            str(target.get("name") or target.get("host", "")), self.around.allowed, [str(r) for r in order.get("resolvers") or ()],
            controls=names_in(asked), owners=[str(owner) for owner in order.get("owners") or ()],
        )  # fmt: skip
        self._part("names", self.naming.run(), lambda: self.naming.found)
        if not self.light:
            own = OwnLine(asked, private=bool(order.get("private")), allowed=self.around.allowed)
            self._part("own", own.run(self.address), lambda: own.found)
            if order.get("check"):
                self.again = Again(order["check"], self._context(float(order["check"].get("timeout") or 10.0)))
                self._part("check", self.again.run(), self.again.check)
                self.readers["http"] = self.again.http
        self._part("address", self._toward(), lambda: None)

    def _part(self, name: str, work: Coroutine[Any, Any, None], read: Callable[[], Any]) -> None:
        self.tasks[name] = asyncio.get_running_loop().create_task(_guarded(name, work))
        self.readers[name] = read

    def _context(self, timeout: float) -> Context:
        around = self.around
        return Context(
            http=around.http, resolver=around.resolver, reach=around.reach, timeout=min(timeout, self.seconds * CHECK_SHARE),
            now=lambda: datetime.fromtimestamp(around.clock(), UTC),
        )  # fmt: skip

    async def _toward(self) -> None:
        """Find the address, and begin what goes there."""
        addresses = await self._addresses()
        if not addresses:
            self.address.set_result("")
            return
        address, target = addresses[0], self.target
        target["address"], target["addresses"] = address, addresses
        self.address.set_result(address)
        self._walk(address, 0)
        pings, sizing = Pings(address), Sizing(address)
        self._part("ping", pings.run(), pings.evidence)
        self._part("size", sizing.run(), sizing.evidence)
        if has_service(target):
            self._service(address, int(target["port"]))
        reverse = Reverse(self.walks)
        self._part(
            "reverse",
            reverse.run(lambda: [self.tasks[name] for name in self.tasks if name.startswith("path ")]),
            lambda: None,
        )
        self.reverse = reverse

    def _service(self, address: str, port: int) -> None:
        target = self.target
        self._walk(address, port)
        if not self.light:
            # A MySQL server counts connections that break off, and in the end shuts this probe out.
            connecting = Connecting(address, port, 1 if target.get("kind") == "mysql" else 3)
            self._part("connect", connecting.run(), connecting.evidence)
        if target.get("tls"):
            name = str(target.get("server_name") or target["host"])
            now = datetime.fromtimestamp(self.around.clock(), UTC)
            shaking = Handshaking(address, port, name, now, str(target.get("starttls") or ""))
            self._part("tls", shaking.run(), shaking.evidence)

    def _walk(self, address: str, port: int) -> None:
        walk = Walk(address, port)
        self.walks.append(walk)
        self._part(f"path {walk.trace.proto}", walk.run(), lambda: None)

    async def _addresses(self) -> list[str]:
        """Where the target is; every one of them has passed the guard. Empty: nobody knows, or it must not be touched."""
        target = self.target
        try:
            host = parse_host(str(target.get("host", "")))
        except ValueError:
            return []
        if target.get("name") and not target.get("port"):
            return []  # the name itself is what is watched: there is no host behind the question
        patience = KNOWN_SECONDS if target.get("known") else RESOLVE_SECONDS
        try:
            return self._passed(await self.around.resolver.resolve(host, timeout=min(patience, self.seconds / 2)))
        except ResolveError:
            pass  # others may know it, or it may be known from better days
        if host == self.naming.name:
            await self.naming.told(min(GLANCE if target.get("known") else OTHERS_SECONDS, self.seconds / 4))
        for source, known in (
            ("others", self.naming.addresses() if host == self.naming.name else []),
            ("known", target.get("known") or []),
        ):
            if known:
                target["addresses_from"] = source
                return self._passed([str(address) for address in known])
        return []

    def _passed(self, addresses: Sequence[str]) -> list[str]:
        """All of them, or none and the reason in `target`: a name with one forbidden address is not touched at all."""
        try:
            for address in addresses:
                self.around.allowed(address)
        except Blocked as refusal:
            self.target["blocked"] = str(refusal)
            return []
        return list(addresses)

    # --- Writing down ---------------------------------------------------------------------------------------------------
    def _written(self, at: float, started: float, cut: list[str]) -> BatteryEvidence:
        order = self.order
        evidence: BatteryEvidence = {
            "v": VERSION, "probe": int(order.get("probe") or 0), "slug": str(order.get("slug", "")), "private": bool(order.get("private")),
            "network": str(order.get("network", "")), "at": at, "took_ms": 0.0, "cut": cut, "target": {k: v for k, v in self.target.items() if k != "known"},
        }  # fmt: skip
        for name in ("own", "names", "connect", "ping", "size", "tls", "http", "check"):
            found = self.readers[name]() if name in self.readers else None
            if found:
                evidence[name] = found
        if self.walks:
            evidence["paths"] = [walk.evidence() for walk in self.walks]
            self.reverse.write(evidence["paths"])
        evidence["took_ms"] = round((time.perf_counter() - started) * 1000, 1)
        return evidence


async def _guarded(name: str, work: Coroutine[Any, Any, None]) -> None:
    """One part's own bug must not take the others with it."""
    try:
        await work
    except Exception:
        log.exception("the part %s of a battery broke", name)


def names_in(anchors: Sequence[str]) -> list[str]:
    """Host names among the anchors: independent names that must be answered wherever the world is in reach."""
    found = []
    for anchor in anchors:
        try:
            host = parse_host(urlsplit(anchor if "//" in anchor else f"//{anchor}").hostname or "")
        except ValueError:
            continue
        if ":" not in host and not host.rpartition(".")[2].isdigit() and "." in host:
            found.append(host)
    return found
