"""How is something broken in the lab, and made whole again? Verbs; each remembers how it is undone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.lab import internet
from tests.lab.internet import Internet
from tests.lab.servers import Servers


class Breaking:
    """Verbs on one lab. `heal()` takes everything back, newest first."""

    def __init__(self, net: Internet, servers: Servers) -> None:
        self.net, self.servers = net, servers
        self._undo: list[Callable[[], Any]] = []

    def heal(self) -> None:
        """As it was."""
        while self._undo:
            self._undo.pop()()
        for resolver in self.servers.resolvers():
            resolver.forget()

    def later(self, seconds: float) -> None:
        """What was broken last mends itself after a while."""
        timer = threading.Timer(seconds, self._undo.pop())
        timer.start()
        self._undo.append(timer.join)

    # --- Packets -----------------------------------------------------------------------------------------------------
    def rules(self, node: str, *lines: str) -> None:
        """nft rules ("HOOK RULE") on a machine, all of them at once."""
        self._undo.append(lambda: self.net.no_rules(node))
        self.net.rules(node, *lines)

    def loss(self, node: str, percent: int, match: str = "") -> None:
        """A machine loses a share of what arrives at it, both ways (or only what matches)."""
        self.rules(node, f"prerouting {match} {share(percent)} drop")

    def vanish(self, node: str) -> None:
        """It takes nothing and says nothing: power is off."""
        self.rules(node, "prerouting drop", "output drop")

    def swallow(self, node: str, match: str = "") -> None:
        """It answers for itself, but what it should carry on is lost."""
        self.rules(node, f"forward {match} drop")

    def unplug(self, node: str, interface: str) -> None:
        """One interface goes down; others there live on."""
        self.net[node].run("ip", "link", "set", interface, "down")

        def again() -> None:
            self.net[node].run("ip", "link", "set", interface, "up")
            self.net.laid[node] = {p: way for p, way in self.net.laid[node].items() if way == "direct"}
            self.net.reroute()  # routes through it went with it

        self._undo.append(again)

    def unplug_cable(self, name: str) -> None:
        """Both ends lose their carrier."""
        cable = self.net.cables[name]
        self.unplug(cable.left, cable.left_interface)
        self._undo.append(lambda: self.net.laid.__setitem__(cable.right, {p: w for p, w in self.net.laid[cable.right].items() if w == "direct"}))  # fmt: skip

    def unplug_port(self, segment: str, node: str) -> None:
        """A cable out of a switch: that machine alone is gone."""
        switch = self.net[segment]
        switch.run("ip", "link", "set", f"to-{node}", "down")
        self._undo.append(lambda: self._again(segment, node))

    def _again(self, segment: str, node: str) -> None:
        self.net[segment].run("ip", "link", "set", f"to-{node}", "up")
        self.net.laid[node] = {p: way for p, way in self.net.laid[node].items() if way == "direct"}
        self.net.reroute()

    def narrow(self, cable: str, size: int) -> None:
        """Full-sized packets do not fit through a cable, and nobody is told (either end keeps silent about it)."""
        laid = self.net.cables[cable]
        for node, interface in ((laid.left, laid.left_interface), (laid.right, laid.right_interface)):
            self.net[node].run("ip", "link", "set", interface, "mtu", str(size))
            self.rules(node, "output icmp type destination-unreachable icmp code frag-needed drop")
            self._undo.append(lambda n=node, i=interface: self.net[n].run("ip", "link", "set", i, "mtu", "1500"))
        for node in ("web", *internet.AS_OF_NODE):  # whoever learned a size before forgets it
            self.net[node].run("ip", "route", "flush", "cache", check=False)

    # --- Ways --------------------------------------------------------------------------------------------------------
    def costs(self, *changes: tuple[str, str, int]) -> None:
        """Carriers prefer other ways: (from, to, cost) both ways."""
        before = dict(self.net.costs)
        for a, b, cost in changes:
            self.net.costs[a, b] = self.net.costs[b, a] = cost
        self.net.reroute()

        def back() -> None:
            self.net.costs.clear()
            self.net.costs.update(before)
            self.net.reroute()

        self._undo.append(back)

    def route(self, node: str, prefix: str, via: str) -> None:
        """A wrong route at one router; "unreachable" and "blackhole" are ways too."""
        words = ["via", via] if via[0].isdigit() else [via]
        kind = [prefix, *words] if len(words) == 2 else [*words, prefix]
        before = self.net.laid[node].get(prefix)
        with suppress(RuntimeError):
            self.net[node].run("ip", "route", "del", prefix)
        self.net[node].run("ip", "route", "add", *kind)

        def back() -> None:
            self.net[node].run("ip", "route", "del", *kind[:1] if len(words) == 1 else [], prefix)
            if before is None:
                return
            self.net.laid[node].pop(prefix, None)
            self.net.reroute()

        self._undo.append(back)

    def weather(self, cable: str, delay_ms: float, jitter_ms: float = 0.0, *, ways: str = "both") -> None:
        """A slow cable takes so much longer than it usually does."""
        usual = self.net.cables[cable].delay_ms or 0.0
        now = {"delay_ms": usual + delay_ms, "jitter_ms": jitter_ms}
        self.net.delay(cable, right=now if ways in ("both", "right") else None, left=now if ways in ("both", "left") else None)  # fmt: skip
        self._undo.append(self.net.fair)

    # --- Programs ----------------------------------------------------------------------------------------------------
    def site(self, key: str, **now: Any) -> None:
        """Another temper, status, body, wait or certificate of a site."""
        site = self.servers.sites[key]
        before = {name: getattr(site, name) for name in now}

        def back() -> None:
            for name, value in before.items():
                setattr(site, name, value)

        self._undo.append(back)
        for name, value in now.items():
            setattr(site, name, value)

    def close(self, key: str) -> None:
        """Nobody listens at a site's port."""
        self.servers.stop(key)
        self._undo.append(lambda: self.servers.listen(key))

    def mood(self, server: str, mood: str) -> None:
        """A name server's mood."""
        found = self.servers.names[server]
        before = found.mood
        self._undo.append(lambda: setattr(found, "mood", before))
        found.mood = mood
        self._forget()

    def edit(self, servers: list[str], origin: str, old: str, new: str) -> None:
        """Other text in a zone."""
        for server in servers:
            self.servers.edit(server, origin, old, new)
            self._undo.append(lambda s=server: self.servers.edit(s, origin, old, old))
        self._forget()

    def _forget(self) -> None:
        # What is remembered would hide the fault for a few seconds more; a case is about what follows then.
        for resolver in self.servers.resolvers():
            resolver.forget()


def share(percent: int) -> str:
    """nft's words for so many of a hundred packets."""
    return f"numgen random mod 100 < {percent}" if percent < 100 else ""
