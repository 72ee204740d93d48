"""What does a battery see from inside a namespace? A program that measures there: a line of JSON in, a line of JSON out.

A program of its own because the tests' process must not open sockets to anywhere but loopback, and because /etc/resolv.conf
is the namespace's own only for programs that are started in it.

    [{"order": {...}, "light": false, "private": true, "closed": ["RawEcho"]}, …]
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextvars import ContextVar
from typing import Any

from monitors.diagnosis import battery
from monitors.diagnosis.rawsockets import RawEcho, RawSyn
from monitors.diagnosis.unprivileged import ConnectSyn, DatagramEcho
from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine
from portal.outbound.resolver import Resolver


async def measured(asked: list[dict[str, Any]]) -> dict[str, Any]:
    """All orders at once; their evidence, and the processor time that they took."""
    resolver = Resolver()
    http = HttpEngine(asyncio.get_running_loop(), resolver)
    began = time.process_time()
    try:
        done = await asyncio.gather(*(_one(each, resolver, http) for each in asked))
    finally:
        cpu = (time.process_time() - began) * 1000
        http.close()
        resolver.close()
    return {"evidence": done, "cpu_ms": round(cpu, 1)}


async def _one(asked: dict[str, Any], resolver: Resolver, http: HttpEngine) -> Any:
    closed.set(tuple(asked.get("closed", ())))  # for this battery only: each runs in a context of its own
    around = battery.Surroundings(resolver, http, Reach(private=bool(asked.get("private", True))))
    measure = battery.baseline if asked.get("light") else battery.run
    return await measure(asked["order"], around)


closed: ContextVar[tuple[str, ...]] = ContextVar("closed", default=())


def closable(way: type) -> None:
    """A way to send that a test can take away without taking this process's rights."""
    opened = way.__init__  # type: ignore[misc]

    def init(self: Any, *args: Any, **named: Any) -> None:
        if way.__name__ in closed.get():
            raise PermissionError("taken away by the test")
        opened(self, *args, **named)

    way.__init__ = init  # type: ignore[misc]


def main() -> None:
    """Until the input ends."""
    for way in (RawEcho, RawSyn, DatagramEcho, ConnectSyn):
        closable(way)
    for line in sys.stdin:
        print(json.dumps(asyncio.run(measured(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
