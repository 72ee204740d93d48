"""How is the target's name answered: by this probe's resolver, by others, and by those who own it?

Who owns it is `delegation`'s question. Of resolvers, this machine's own are asked wherever they are, for its operator named
them; others only where the guard agrees.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from monitors.checks.dns import split_resolver
from monitors.diagnosis import questions
from monitors.diagnosis.delegation import Delegation
from monitors.diagnosis.evidence import Answer, Names
from monitors.diagnosis.questions import SILENT, Question, Reply, Server, ask
from portal.outbound.guard import Blocked, parse_host

MOST_RESOLVERS = 6
Allowed = Callable[[str], None]  # raises Blocked


class Naming:
    """One name. `run` may be cancelled at any moment; `found` holds what was learned by then."""

    def __init__(
        self,
        host: str,
        allowed: Allowed,
        resolvers: Sequence[str] = (),
        controls: Sequence[str] = (),
        owners: Sequence[str] = (),
    ) -> None:
        """`controls` are names that must exist; `owners` addresses of name servers known from before ("ns1.example 192.0.2.1")."""
        self.allowed, self.resolvers, self.controls = allowed, resolvers[:MOST_RESOLVERS], controls[:2]
        self.found: Names = {
            "name": host[:255],
            "system": {"server": "system", "status": "not_run", "why": "It was not finished in time."},
        }
        self.news = asyncio.Event()  # somebody gave an address, or all is over
        self.name = ""
        try:
            self.name = parse_host(host)
            ip_address(self.name)
        except ValueError as flaw:
            if not self.name:
                self._nothing(str(flaw))
        else:
            self.name = ""
            self._nothing("The target is an address, not a name.")
        if self.name:
            self.found["name"] = self.name
        self.delegation = Delegation(self.name, self.found, allowed, owners, self._heard)

    def _nothing(self, why: str) -> None:
        self.found["system"] = {"server": "system", "status": "not_run", "why": why}

    def addresses(self) -> list[str]:
        """Those that somebody gave, the system's first."""
        answers = [self.found["system"], *self.found.get("resolvers", ()), *self.found.get("authoritative", ())]
        return list(dict.fromkeys(a for answer in answers for a in answer.get("addresses", ())))

    async def told(self, seconds: float) -> None:
        """Until somebody gave an address, or there is nobody left to ask, or so long."""
        try:
            async with asyncio.timeout(seconds):
                await self.news.wait()
        except TimeoutError:
            pass

    async def run(self) -> None:
        """Everything about this name."""
        try:
            if self.name:
                await self._run()
        finally:
            self.news.set()

    async def _run(self) -> None:
        local = await asyncio.to_thread(questions.local)
        if self.name in local.hosts:
            self.found["system"] = {
                "server": "system",
                "status": "ok",
                "addresses": local.hosts[self.name],
                "why": "It stands in /etc/hosts.",
            }
        others = [self._resolver(text) for text in self.resolvers]
        self.found["resolvers"] = [
            {"server": label, "status": "not_run", "why": why or "It was not finished in time."}
            for label, _, why in others
        ]
        asking = asyncio.gather(*(self._ask_resolver(n, server) for n, (_, server, _) in enumerate(others) if server))
        # Looked for at once: where names are not answered, each of these steps lasts until patience ends.
        looking = asyncio.ensure_future(self.delegation.zones(local.servers[0])) if local.servers else None
        try:
            server = await self._ask_system(local)
            if server is None:  # ours is dead: the way to the owners leads through one that answers
                await asking
                good = [
                    s
                    for n, (_, s, _) in enumerate(others)
                    if s and self.found["resolvers"][n]["status"] not in (*SILENT, "refused")
                ]
                server = good[0] if good else None
            if server is not None:
                zones = looking if looking is not None and server == local.servers[0] else self.delegation.zones(server)
                await self.delegation.run(server, *await zones)
            await asking
        finally:
            asking.cancel()
            if looking is not None:
                looking.cancel()

    # --- Resolvers ------------------------------------------------------------------------------------------------------
    async def _ask_system(self, local: questions.Local) -> Server | None:
        """The probe's own resolver, and a control at the same server. Returns the server that answered anything."""
        if not local.servers:
            if self.found["system"]["status"] == "not_run":
                self._nothing("This probe has no resolver of its own.")
            return None
        asked = [
            asyncio.gather(questions.addresses(server, self.name), self._control(server)) for server in local.servers
        ]
        for server, (answer, control) in zip(local.servers, await asyncio.gather(*asked), strict=True):
            first = "control" not in self.found
            alive = answer["status"] not in SILENT or control["status"] == "ok"
            if first or alive:
                self.found["control"] = control
                if self.name not in local.hosts:
                    self.found["system"] = {**answer, "server": "system", "address": str(server)}
            if alive:
                return server
        return None

    async def _control(self, server: Server) -> Answer:
        """Does this server still answer for names that have nothing to do with the target?

        Names of anchors are best, for somebody chose them as independent. Else the root's servers, and, because these are
        remembered for days by a resolver that has lost the world, a name under the same top-level domain that nobody can
        have asked for before: any answer will do, also that there is none.
        """
        names = [name for name in self.controls if name != self.name]
        if names:
            replies = await asyncio.gather(*(ask(server, Question(name)) for name in names))
            best = next((r for r in replies if r.status == "ok"), replies[0])
            return _control(names[replies.index(best)], best, best.status == "ok")
        unheard = f"wk-{secrets.token_hex(5)}.{self.name.rpartition('.')[2]}"
        root, above = await asyncio.gather(ask(server, Question("", "NS")), ask(server, Question(unheard)))
        if above.status in ("ok", "nxdomain"):
            return _control(".", root if root.status == "ok" else Reply("ok", above.ms), True)
        return _control(unheard, above, False)

    def _resolver(self, text: str) -> tuple[str, Server | None, str]:
        """(label, where to ask or None, why not)."""
        try:
            host, port = split_resolver(text.strip())
            server = Server(str(ip_address(host)), port)
            self.allowed(server.address)
        except ValueError:
            return text[:80], None, "This is not a resolver's address."
        except Blocked as refusal:
            return text[:80], None, str(refusal)
        return str(server), server, ""

    async def _ask_resolver(self, n: int, server: Server) -> None:
        self.found["resolvers"][n] = await questions.addresses(server, self.name)
        self._heard()

    def _heard(self) -> None:
        if self.addresses():
            self.news.set()


def _control(name: str, reply: Reply, well: bool) -> Answer:
    answer: Answer = {
        "server": "system",
        "status": "ok" if well else reply.status,
        "asked": name,
    }
    if reply.ms is not None:
        answer["ms"] = reply.ms
    if not well and reply.why:
        answer["why"] = reply.why
    return answer
