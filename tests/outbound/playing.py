"""How does a test set the stage? An engine, a hostile server, a name server if wanted, and one story played in a loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network

import pytest

from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine, OutboundError, Request
from portal.outbound.resolver import Resolver
from tests.outbound.hostile import Hostile
from tests.outbound.nameserver import NameServer

LOOPBACK = Reach(allow=(ip_network("127.0.0.1/32"), ip_network("::1/128")))
NOTHING = Reach()


@contextlib.asynccontextmanager
async def engine(names: NameServer | None = None, **options: int) -> AsyncIterator[HttpEngine]:
    resolver = Resolver([names.address] if names else None, try_seconds=0.3)
    made = HttpEngine(resolver=resolver, **options)
    try:
        yield made
    finally:
        made.close()
        resolver.close()


def play(story: Callable[[HttpEngine, Hostile], Awaitable[None]], names: NameServer | None = None) -> None:
    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            if names is not None:
                await stack.enter_async_context(names)
            server = await stack.enter_async_context(Hostile())
            await story(await stack.enter_async_context(engine(names)), server)

    asyncio.run(run())


async def error(http: HttpEngine, request: Request, reach: Reach = LOOPBACK) -> OutboundError:
    with pytest.raises(OutboundError) as caught:
        await http.fetch(request, reach)
    assert caught.value.message.endswith(".")
    assert "127.0.0.1" not in caught.value.message
    assert caught.value.phases.total >= 0
    return caught.value
