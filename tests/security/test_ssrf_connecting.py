"""If a forbidden address is stored all the same, or a name turns to one later: does anything knock there? Nothing does.

A canary listens on loopback (TCP and UDP, IPv4 and IPv6). 127.0.0.2 plays the world, which may be reached: servers there
answer with redirects and referrals, and a name server of our own turns names around after they were checked.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from django.conf import settings as installation

from alerts import channels, sender
from alerts.channels.base import DeliveryError, HttpChannel
from alerts.models import Channel
from alerts.opening import open_channel
from monitors import checks, plans
from monitors.checks.base import Context, Outcome, Status
from monitors.models import Monitor
from monitors.probe import plan as probe_plan
from playbooks import steps
from playbooks.fetching import fetch
from playbooks.steps.base import NotDone
from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine, OutboundError, Request
from portal.outbound.resolver import Resolver
from portal.secrets import Sealed
from tests.alerts.letters import PAGE
from tests.alerts.test_channels_contract import example as channel_example
from tests.checks.test_contract import FULL as CHECKS
from tests.outbound.hostile import Hostile
from tests.outbound.nameserver import NameServer
from tests.playbooks.steps import scene
from tests.security import canary
from tests.security.addresses import instead
from tests.security.sinks import CHANNELS, HOST, MONITORS, STEPS, URL, given

pytestmark = pytest.mark.once
WORLD = "127.0.0.2"
HOME, MIXED, TURNING, ALIAS = "home.example", "mixed.example", "turning.example", "alias.example"


@pytest.fixture(autouse=True)
def only_the_world_may_be_reached(settings, monkeypatch):
    settings.OUTBOUND_ALLOW = (ip_network(f"{WORLD}/32"),)
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *more: Any, **named: Any) -> Any:
        """The system's resolver, which blocking code asks: three of our names lead home."""
        return look_up({HOME: "127.0.0.1", MIXED: "127.0.0.1", ALIAS: "127.0.0.1"}.get(host, host), *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture
def bird() -> Iterator[canary.Canary]:
    with canary.listening() as found:
        yield found


def names() -> NameServer:
    return NameServer(
        {HOME: ["127.0.0.1", "::1"], MIXED: [WORLD, "127.0.0.1"]}, turns={TURNING: [[WORLD], ["127.0.0.1"]]}, ttl=0,
        aliases={ALIAS: "cdn.example", "cdn.example": "edge.example", "edge.example": HOME},
    )  # fmt: skip


def wrongs(form: str, port: int, good: str) -> list[str]:
    """What might stand in a setting although nothing would take it today: home by its address, by its name, and by a chain of aliases."""
    places = [f"127.0.0.1:{port}", f"[::1]:{port}", *(f"{name}:{port}" for name in (HOME, MIXED, ALIAS))]
    if form == URL:
        return [instead(good, place) for place in places]
    return ["127.0.0.1", "::1", HOME, MIXED, ALIAS] if form == HOST else places


def with_engine(story: Callable[[HttpEngine, Resolver], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with names() as server:
            resolver = Resolver([server.address], try_seconds=5)
            engine = HttpEngine(resolver=resolver)
            try:
                return await story(engine, resolver)
            finally:
                engine.close()
                resolver.close()

    return asyncio.run(run())


def test_the_canary_hears_whoever_knocks(settings) -> None:
    """Otherwise its silence would say nothing."""
    settings.OUTBOUND_ALLOW = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    with canary.listening() as bird:
        for url in bird.urls:
            assert fetch(Request(url)).body == b'{"canary":true}'
        for family, house in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"x", (house, bird.port))
    assert sorted((kind, house) for kind, house, _ in bird.hits) == [("tcp", "127.0.0.1"), ("tcp", "::1"), ("udp", "127.0.0.1"), ("udp", "::1")]  # fmt: skip


# --- Messages ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("kind", "field"), CHANNELS)
def test_no_message_goes_there(kind: str, field: str, bird: canary.Canary) -> None:
    form, good = CHANNELS[kind, field]
    said = []
    for wrong in wrongs(form, bird.port, good or channel_example(kind)[field]):
        settings = given(kind, field, channel_example(kind), wrong) | ({"smtp_port": bird.port, "smtp_tls": "none"} if kind == "email" else {})  # fmt: skip
        try:
            plain, secret = channels.split(kind, settings)
        except ValueError:  # nothing of that shape can be stored: the vendor's own hosts only
            continue
        opened = open_channel(Channel(type=kind, config=plain, secrets=Sealed.of(secret)), {})
        if isinstance(opened, HttpChannel):
            answer = with_engine(lambda engine, _, opened=opened: sender.send_http(engine, opened, PAGE))
        else:
            answer = sender.send_threaded(opened, PAGE)
        said.append(answer)
    if field not in ("comment_url", "close_url"):  # those are asked for a ticket that exists only
        assert all(isinstance(a, DeliveryError) and a.permanent and "Blocked" in str(a) for a in said), said
    assert bird.hits == []


# --- Checks --------------------------------------------------------------------------------------------------------------
def checked(kind: str, config: dict[str, Any], reach: Reach, timeout: float = 15) -> Outcome:
    async def run(engine: HttpEngine, resolver: Resolver) -> Outcome:
        ctx = Context(http=engine, resolver=resolver, reach=reach, timeout=timeout)
        return await checks.get(kind).run(checks.parse(kind, config), ctx)

    outcome = with_engine(run)
    assert isinstance(outcome, Outcome)
    return outcome


@pytest.mark.parametrize(("kind", "field"), MONITORS)
def test_no_check_knocks_there(kind: str, field: str, bird: canary.Canary) -> None:
    example = {
        n: v
        for n, v in CHECKS[kind].items()
        if n not in ("proxy", "upside_down", "rdap_url", "whois_server", "expires_on")
    }
    form, good = MONITORS[kind, field]
    for wrong in wrongs(form, bird.port, good or CHECKS[kind][field]):
        if kind == "domain" and wrong.startswith("["):  # a WHOIS server has no brackets
            continue
        config = given(kind, field, example, wrong)
        if "port" in checks.get(kind).Config.model_fields:
            config["port"] = bird.port
        if field == "proxy":
            config["url"] = f"http://{WORLD}:{bird.port}/"
        mine = plans.plan_of(Monitor(pk=1, kind=kind, config=config, timeout_seconds=15))
        assert mine.fault == ""
        outcome = checked(kind, config, mine.reach)
        assert (outcome.status, outcome.error_class) == (Status.UNKNOWN, "blocked"), (wrong, outcome)
        assert "127.0.0.1" not in outcome.message and "::1" not in outcome.message
    assert bird.hits == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_leads_there(status: int, bird: canary.Canary) -> None:
    async def story(engine: HttpEngine, resolver: Resolver) -> list[Outcome]:
        found = []
        async with Hostile(host=WORLD) as world:
            for aim in (*bird.urls, f"http://{HOME}:{bird.port}/", f"//{MIXED}:{bird.port}/", f"http://{ALIAS}:{bird.port}/", f"http://2130706433:{bird.port}/"):  # fmt: skip
                world.location = aim
                for kind, config in (
                    ("http", {"url": f"{world.base}/redirect/{status}", "method": "POST" if status == 307 else "GET"}),
                    ("domain", {"name": "acme.example", "rdap_url": f"{world.base}/redirect/{status}"}),
                ):
                    ctx = Context(http=engine, resolver=resolver, reach=Reach(allow=installation.OUTBOUND_ALLOW), timeout=15)  # fmt: skip
                    found.append(await checks.get(kind).run(checks.parse(kind, config), ctx))
            assert len(world.requests) >= len(found), "the world was asked each time"
        return found

    for outcome in with_engine(story):
        assert outcome.status != Status.UP and outcome.error_class in ("blocked", "redirect"), outcome
    assert bird.hits == []


def test_a_name_that_turns_around_after_it_was_checked_leads_nowhere(bird: canary.Canary) -> None:
    """DNS rebinding: the first answer is the world's, every later one home. Each use judges what it dials."""

    async def story(engine: HttpEngine, resolver: Resolver) -> None:
        async with Hostile(host=WORLD) as world:
            reach = Reach(allow=installation.OUTBOUND_ALLOW)
            assert (await engine.fetch(Request(f"http://{TURNING}:{world.port}/ok"), reach)).address == WORLD
            resolver._known.clear()  # the second the answer is believed for is over
            with pytest.raises(OutboundError, match="Blocked"):
                await engine.fetch(Request(f"http://{TURNING}:{bird.port}/"), reach)
            ctx = Context(http=engine, resolver=resolver, reach=reach, timeout=15)
            for kind in ("tcp", "udp", "smtp", "tls", "redis"):
                outcome = await checks.get(kind).run(checks.parse(kind, {**CHECKS[kind], "host": TURNING, "port": bird.port}), ctx)  # fmt: skip
                assert outcome.error_class == "blocked", (kind, outcome)

    with_engine(story)
    assert bird.hits == []


def test_the_probe_program_opens_no_more_than_its_order(bird: canary.Canary) -> None:
    """An order for a client's own network reaches private addresses; never the probe's own machine."""
    limits = {"interval": 60, "timeout": 15.0, "confirmation_count": 1, "confirmation_seconds": 0, "recovery_count": 1, "recovery_seconds": 0}  # fmt: skip
    order = {"id": 1, "kind": "tcp", "config": {"host": "127.0.0.1", "port": bird.port}, "private": True, "degraded_latency_ms": None, "degraded_loss_percent": None, **limits}  # fmt: skip
    assert set(probe_plan.LIMITS) == limits.keys()
    for host in ("127.0.0.1", "::1", HOME, ALIAS, "169.254.169.254", "100.64.0.1"):
        plan = probe_plan.plan_of({**order, "config": {"host": host, "port": bird.port}})
        assert plan.fault == "" and plan.reach.private
        assert checked("tcp", {"host": host, "port": bird.port}, plan.reach).error_class == "blocked"
    assert bird.hits == []


# --- Steps ---------------------------------------------------------------------------------------------------------------
@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "field"), STEPS)
def test_no_step_is_carried_out_there(kind: str, field: str, bird: canary.Canary) -> None:
    of, (form, good) = scene.run(), STEPS[kind, field]
    context = scene.context(of, kind)
    for wrong in wrongs(form, bird.port, good or scene.example(kind)[field]):
        if field != "server" and any(name in wrong for name in (HOME, MIXED, ALIAS)):
            continue  # the engine asks the machine's own name servers: not in a test
        config, secrets = steps.split(kind, given(kind, field, scene.example(kind), wrong))
        with pytest.raises(NotDone, match="Blocked"):
            steps.build(kind, config, secrets).do(context)
    assert bird.hits == []
