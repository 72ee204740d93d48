"""Does a name lead to its addresses, and does a dead name hold up nobody but those who asked for it?"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from portal.outbound import resolver as resolver_module
from portal.outbound.resolver import ResolveError, Resolver
from tests.outbound.nameserver import SILENT, NameServer

pytestmark = pytest.mark.once


def with_names(server: NameServer, story: Callable[[Resolver], Awaitable[None]], try_seconds: float = 0.2) -> None:
    async def play() -> None:
        async with server:
            resolver = Resolver([server.address], try_seconds=try_seconds)
            try:
                await story(resolver)
            finally:
                resolver.close()

    asyncio.run(play())


async def failure(resolver: Resolver, name: str, family: int = 0, timeout: float = 5.0) -> str:
    with pytest.raises(ResolveError) as caught:
        await resolver.resolve(name, family, timeout)
    assert caught.value.message.endswith(".")
    return caught.value.kind


def test_ipv4_comes_first_and_families_can_be_chosen() -> None:
    async def story(resolver: Resolver) -> None:
        both = await resolver.resolve("both.example")
        assert sorted(both[:2]) == ["192.0.2.1", "192.0.2.2"]
        assert both[2:] == ["2001:db8::1"]
        assert sorted(await resolver.resolve("both.example", 4)) == ["192.0.2.1", "192.0.2.2"]
        assert await resolver.resolve("both.example", 6) == ["2001:db8::1"]
        assert await resolver.resolve("BOTH.example.", 6) == ["2001:db8::1"]
        assert await resolver.resolve("six.example") == ["2001:db8::6"]

    names = {"both.example": ["2001:db8::1", "192.0.2.1", "192.0.2.2"], "six.example": ["2001:db8::6"]}
    with_names(NameServer(names), story)


def test_literals_need_no_question() -> None:
    server = NameServer()

    async def story(resolver: Resolver) -> None:
        assert resolver.known("192.0.2.9") == ["192.0.2.9"]
        assert await resolver.resolve("192.0.2.9") == ["192.0.2.9"]
        assert await resolver.resolve("2001:DB8::9", 6) == ["2001:db8::9"]
        assert await failure(resolver, "192.0.2.9", 6) == "no_answer"
        assert await failure(resolver, "2001:db8::9", 4) == "no_answer"
        assert resolver.known("web1") is None  # ends in a digit, and is a name all the same
        assert not server.asked

    with_names(server, story)


def test_the_hosts_file_counts() -> None:
    async def story(resolver: Resolver) -> None:
        assert "127.0.0.1" in await resolver.resolve("localhost")
        assert await resolver.resolve("localhost", 4) == ["127.0.0.1"]

    with_names(NameServer({"localhost": ["192.0.2.66"]}), story)


def test_each_failure_has_its_kind() -> None:
    names: dict[str, list[str] | str] = {
        "servfail.example": "servfail",
        "refused.example": "refused",
        "silent.example": SILENT,
        "empty.example": [],
        "four.example": ["192.0.2.4"],
    }

    async def story(resolver: Resolver) -> None:
        assert await failure(resolver, "missing.example") == "nxdomain"
        assert await failure(resolver, "servfail.example") == "servfail"
        assert await failure(resolver, "refused.example") == "refused"
        assert await failure(resolver, "empty.example") == "no_answer"
        assert await failure(resolver, "four.example", 6) == "no_answer"
        assert await failure(resolver, "silent.example", timeout=0.05) == "timeout"
        for bad in ("a..b", "", "0x7f.1", "-a.example", "a b", "a" * 64 + ".example"):
            assert await failure(resolver, bad) == "bad_name"

    with_names(NameServer(names), story)


def test_a_name_server_that_is_not_there_is_refused_or_silent_not_a_crash() -> None:
    async def play() -> None:
        resolver = Resolver(["127.0.0.1:1"], try_seconds=0.1)
        assert await failure(resolver, "any.example", timeout=2) in ("refused", "timeout")
        resolver.close()

    asyncio.run(play())


def test_an_answer_is_believed_for_its_ttl_and_asked_for_once_by_many() -> None:
    server = NameServer({"busy.example": ["192.0.2.1"]}, ttl=30)

    async def story(resolver: Resolver) -> None:
        answers = await asyncio.gather(*(resolver.resolve("busy.example") for _ in range(200)))
        assert all(answer == ["192.0.2.1"] for answer in answers)
        assert server.asked["busy.example"] == 1
        assert resolver.known("busy.example") == ["192.0.2.1"]
        await resolver.resolve("busy.example")
        assert server.asked["busy.example"] == 1

    with_names(server, story)


def test_no_answer_is_believed_longer_than_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    server = NameServer({"long.example": ["192.0.2.1"], "zero.example": ["192.0.2.3"]}, ttl=86400)

    async def story(resolver: Resolver) -> None:
        await resolver.resolve("long.example")
        server.names["long.example"] = ["192.0.2.2"]
        now[0] += 59.5
        assert resolver.known("long.example") == ["192.0.2.1"]
        now[0] += 1
        assert resolver.known("long.example") is None
        assert await resolver.resolve("long.example") == ["192.0.2.2"]  # c-ares' own memory must not answer either
        server.ttl = 0
        await resolver.resolve("zero.example")
        assert resolver.known("zero.example") == ["192.0.2.3"]  # one second at least
        now[0] += 1.1
        assert resolver.known("zero.example") is None

    async def play() -> None:
        async with server:
            resolver = Resolver([server.address])
            await story(resolver)
            resolver.close()

    loop = asyncio.new_event_loop()
    try:
        loop.time = time.perf_counter  # type: ignore[method-assign]  # the loop's own clock keeps running
        loop.run_until_complete(play())
    finally:
        loop.close()


def test_a_repaired_name_is_seen_at_once() -> None:
    server = NameServer({"flappy.example": "servfail"})

    async def story(resolver: Resolver) -> None:
        assert await failure(resolver, "flappy.example") == "servfail"
        server.names["flappy.example"] = ["192.0.2.1"]
        assert await resolver.resolve("flappy.example") == ["192.0.2.1"]

    with_names(server, story)


def test_a_server_that_drops_ipv6_questions_does_not_delay_ipv4() -> None:
    async def story(resolver: Resolver) -> None:
        # With a 30 s wait per question this only ends in time if the answer does not wait for the silent half.
        assert await resolver.resolve("four.example", timeout=10) == ["192.0.2.4"]

    with_names(NameServer({"four.example": ["192.0.2.4"]}, silent_for_ipv6=True), story, try_seconds=30)


def test_dead_names_do_not_delay_the_living() -> None:
    names: dict[str, list[str] | str] = {f"up{n}.example": ["192.0.2.1"] for n in range(100)}
    names |= {f"dead{n}.example": SILENT for n in range(100)}

    async def story(resolver: Resolver) -> None:
        dead = [asyncio.ensure_future(resolver.resolve(f"dead{n}.example", timeout=60)) for n in range(100)]
        await asyncio.sleep(0)
        living = await asyncio.gather(*(resolver.resolve(f"up{n}.example") for n in range(100)))
        assert all(answer == ["192.0.2.1"] for answer in living)
        assert not any(task.done() for task in dead)
        resolver.close()  # ends them all
        outcomes = await asyncio.gather(*dead, return_exceptions=True)
        assert {getattr(outcome, "kind", None) for outcome in outcomes} == {"timeout"}

    with_names(NameServer(names), story, try_seconds=30)


def test_one_waiter_giving_up_does_not_end_the_look_up_for_the_others() -> None:
    server = NameServer({"slow.example": SILENT})

    async def story(resolver: Resolver) -> None:
        patient = asyncio.ensure_future(resolver.resolve("slow.example", timeout=30))
        cancelled = asyncio.ensure_future(resolver.resolve("slow.example", timeout=30))
        await asyncio.sleep(0)
        cancelled.cancel()
        assert await failure(resolver, "slow.example", timeout=0.01) == "timeout"
        server.names["slow.example"] = ["192.0.2.1"]  # c-ares' second try gets it
        assert await patient == ["192.0.2.1"]
        with pytest.raises(asyncio.CancelledError):
            await cancelled

    with_names(server, story)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "REMEMBERED", 10)
    names: dict[str, list[str] | str] = {f"n{n}.example": ["192.0.2.1"] for n in range(30)}

    async def story(resolver: Resolver) -> None:
        for name in names:
            await resolver.resolve(name)
        assert sum(resolver.known(name) is not None for name in names) == 10
        assert resolver.known("n29.example") is not None

    with_names(NameServer(names), story)
