"""How is something read that may hang (a dead disk, a stuck daemon) without holding up every other check?

In a daemon thread of its own: who waits stops waiting after the limit, and nobody starts a second reading of the same
name before the first one is back, so that a dead disk costs one thread and not one a minute.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
POLL = 0.02

_under_way: set[str] = set()
_lock = threading.Lock()


class StillUnderWay(Exception):
    """An earlier reading of this name has not come back, however long one waited."""


def _begin(name: str) -> bool:
    with _lock:
        if name in _under_way:
            return False
        _under_way.add(name)
        return True


async def run(name: str, work: Callable[[], T], timeout: float) -> T:
    """What `work` returns or raises. TimeoutError after `timeout` seconds; StillUnderWay when an earlier one hangs so long."""
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout
    while not _begin(name):
        if loop.time() >= until:
            raise StillUnderWay(name)
        await asyncio.sleep(POLL)
    waiting: asyncio.Future[T] = loop.create_future()

    def tell(value: T | None, error: BaseException | None) -> None:
        if waiting.done():
            return
        if error is not None:
            waiting.set_exception(error)
        else:
            waiting.set_result(value)  # type: ignore[arg-type]

    def go() -> None:
        value, trouble = None, None
        try:
            value = work()
        except Exception as error:
            trouble = error
        finally:
            with _lock:
                _under_way.discard(name)
        try:
            loop.call_soon_threadsafe(tell, value, trouble)
        except RuntimeError:  # the loop is gone: nobody waits any more
            return

    threading.Thread(target=go, name=f"aside-{name}", daemon=True).start()
    async with asyncio.timeout(timeout):
        return await waiting
