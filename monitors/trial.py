"""Would this check work? Runs one once, now, without storing anything: the "Test now" button.

In an event loop of its own, so that it needs no worker, and within a deadline, because a person waits for the page.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from monitors import checks
from monitors.checks.base import Context, Outcome, Status
from portal.errors import Refused
from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine
from portal.outbound.resolver import Resolver

LONGEST_SECONDS = 20.0
AT_ONCE = 4  # each holds a web thread for as long as it runs

_room = threading.BoundedSemaphore(AT_ONCE)


def try_once(kind: str, config: Any, reach: Reach, timeout: float) -> Outcome:
    """What one check with this (parsed) config finds, within `timeout` seconds, 20 at most.

    Raises Refused for kinds that wait to be told something, and while four trials are running already.
    """
    check = checks.get(kind)
    if check.passive:
        raise Refused(f"{check.label} cannot be tried: it waits for what others report. Save it first.")
    if not _room.acquire(blocking=False):
        raise Refused("Several tests are running already; try again in a few seconds.")
    try:
        return asyncio.run(_run(check, config, reach, min(timeout, LONGEST_SECONDS)))
    finally:
        _room.release()


async def _run(check: type[checks.Check], config: Any, reach: Reach, timeout: float) -> Outcome:
    resolver = Resolver()
    engine = HttpEngine(asyncio.get_running_loop(), resolver, max_inflight=4)
    try:
        # A kind that times itself still gets an end here.
        return await asyncio.wait_for(
            check.run(config, Context(http=engine, resolver=resolver, reach=reach, timeout=timeout)), timeout + 2
        )
    except TimeoutError:
        return Outcome(Status.FAILING, f"No complete answer within {timeout:g} s", "timeout")
    finally:
        engine.close()
        resolver.close()
