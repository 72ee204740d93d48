"""What are the routers on the way called? Reverse DNS by the probe's own resolver: hostile text, never more than text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import dns.reversename

from monitors.diagnosis import questions
from monitors.diagnosis.evidence import Path
from monitors.diagnosis.paths import Walk
from monitors.diagnosis.questions import Question, Server, ask

FIRST = 1.0  # seconds until most routers have answered
MOST = 40
LONGEST_NAME = 253


class Reverse:
    """Names of the hops of some walks."""

    def __init__(self, walks: Sequence[Walk]) -> None:
        self.walks = walks
        self.names: dict[str, str] = {}
        self.asked: set[str] = set()

    async def run(self, walking: Callable[[], Iterable[asyncio.Task[None]]]) -> None:
        """Ask once early, and once more for those who answered later. A resolver that is silent is not asked again."""
        servers = (await asyncio.to_thread(questions.local)).servers
        if not servers:
            return
        await asyncio.sleep(FIRST)
        if not await self._ask(servers[0]):
            return
        if under_way := list(walking()):
            await asyncio.wait(under_way)
        await self._ask(servers[0])

    async def _ask(self, server: Server) -> bool:
        """False when nobody answered."""
        seen = dict.fromkeys(address for walk in self.walks for address in walk.trace.addresses())
        fresh = [address for address in seen if address not in self.asked][: MOST - len(self.asked)]
        self.asked.update(fresh)
        return any(await asyncio.gather(*(self._one(server, address) for address in fresh))) if fresh else True

    async def _one(self, server: Server, address: str) -> bool:
        reply = await ask(
            server, Question(dns.reversename.from_address(address).to_text(), "PTR"), seconds=0.8, tries=1
        )
        names = reply.values("PTR")
        if names:
            self.names[address] = readable(names[0])
        return reply.status not in ("timeout", "unreachable")

    def write(self, paths: Iterable[Path]) -> None:
        """Note the names in the hops."""
        for path in paths:
            for hop in path.get("hops", ()):
                if name := self.names.get(hop["address"] or ""):
                    hop["name"] = name


def readable(name: str) -> str:
    """One printable line, not longer than a name can be."""
    return "".join(char if char.isprintable() else "?" for char in name)[:LONGEST_NAME]
