"""Does a fetch stay where it may go, with what it may carry, whoever tries to lead it elsewhere?"""

import asyncio

import pytest

from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine, Request
from tests.outbound.hostile import Hostile
from tests.outbound.nameserver import NameServer
from tests.outbound.playing import LOOPBACK, NOTHING, engine, error, play

pytestmark = pytest.mark.once


# --- The guard --------------------------------------------------------------------------------------------------------
def test_blocked_addresses_get_no_connection() -> None:
    names = NameServer(
        {
            "local.example": ["127.0.0.1"],
            "mixed.example": ["93.184.216.34", "127.0.0.1"],
            "mapped.example": ["::ffff:127.0.0.1"],
            "six.example": ["::1"],
            "nat.example": ["64:ff9b::7f00:1"],
            "private.example": ["10.0.0.1"],
            "metadata.example": ["169.254.169.254"],
        }
    )

    async def story(http: HttpEngine, canary: Hostile) -> None:
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", *names.names):
            failure = await error(http, Request(f"http://{host}:{canary.port}/", timeout=30), NOTHING)
            assert (failure.kind, failure.sent) == ("blocked", False), host
        private = Reach(private=True)
        assert (await error(http, Request(f"http://metadata.example:{canary.port}/"), private)).kind == "blocked"
        assert (await error(http, Request("http://a.com/", proxy=canary.base), NOTHING)).kind == "blocked"
        assert (await error(http, Request("http://10.0.0.1/", proxy=canary.base))).kind == "blocked"
        assert canary.connections == 0

    play(story, names)


def test_a_name_that_changes_its_mind_gains_nothing() -> None:
    """Allowed at the first question, forbidden at the second: what was checked is dialled, without asking again."""
    names = NameServer(turns={"rebind.example": [["127.0.0.1"], ["127.0.0.2"]]}, ttl=0)

    async def story(http: HttpEngine, server: Hostile) -> None:
        request = Request(f"http://rebind.example:{server.port}/", family=4)
        assert (await http.fetch(request, LOOPBACK)).address == "127.0.0.1"
        assert names.asked["rebind.example"] == 1
        http._resolver._known.clear()  # as if the second for which every answer is believed had passed
        http._resolver._channels.clear()
        assert (await error(http, request)).kind == "blocked"
        assert names.asked["rebind.example"] == 2
        assert server.connections == 1

    play(story, names)


def test_the_second_lock_holds_when_the_first_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.outbound.http.check_address", lambda address, reach: None)

    async def story(http: HttpEngine, canary: Hostile) -> None:
        failure = await error(http, Request(canary.base + "/"), NOTHING)
        assert (failure.kind, failure.sent) == ("blocked", False)
        assert canary.connections == 0

    play(story)


def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")

    async def story(http: HttpEngine, server: Hostile) -> None:
        assert (await http.fetch(Request(server.base + "/"), LOOPBACK)).status == 200

    play(story)


def test_a_proxy_is_asked_when_the_request_names_one() -> None:
    async def story(http: HttpEngine, proxy: Hostile) -> None:
        await http.fetch(Request(proxy.base + "/before"), LOOPBACK)  # leaves a pinned handle behind
        request = Request("http://shop.example/x", proxy=proxy.base.replace("://", "://user:p%20w@"))
        response = await http.fetch(request, LOOPBACK)
        assert response.status == 200
        assert proxy.requests[-1].startswith(b"GET http://shop.example/x HTTP/1.1\r\n")
        assert b"Proxy-Authorization: Basic dXNlcjpwIHc=\r\n" in proxy.requests[-1]
        await http.fetch(Request(proxy.base + "/after"), LOOPBACK)
        assert proxy.requests[-1].startswith(b"GET /after ")
        assert b"Proxy-" not in proxy.requests[-1]

    play(story)


# --- Redirects --------------------------------------------------------------------------------------------------------
def test_redirects_are_followed_only_as_far_as_asked() -> None:
    async def story(http: HttpEngine, server: Hostile) -> None:
        server.location = "/target"
        unfollowed = await http.fetch(Request(server.base + "/redirect/302"), LOOPBACK)
        assert (unfollowed.status, unfollowed.redirects) == (302, 0)
        followed = await http.fetch(Request(server.base + "/redirect/302", max_redirects=1), LOOPBACK)
        assert (followed.status, followed.redirects, followed.url) == (200, 1, server.base + "/target")
        loop = await error(http, Request(server.base + "/loop", max_redirects=3))
        assert (loop.kind, loop.sent) == ("redirect", True)
        assert len([r for r in server.requests if r.startswith(b"GET /loop")]) == 4
        endless = await error(http, Request(server.base + "/loop", max_redirects=10**6))
        assert endless.kind == "redirect"

    play(story)


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("http://169.254.169.254/latest/meta-data/", "blocked"),
        ("http://[::ffff:169.254.169.254]/", "blocked"),
        ("http://10.0.0.1/", "blocked"),
        ("//10.0.0.1/", "blocked"),
        ("http://local.example/", "blocked"),
        ("file:///etc/passwd", "redirect"),
        ("gopher://127.0.0.1:6379/_FLUSHALL", "redirect"),
        ("http://127.1/", "redirect"),
        ("http://2130706433/", "redirect"),
        ("http://a.com\\@127.0.0.1/", "redirect"),
        ("http://u:p@127.0.0.1/", "redirect"),
        ("http://[fe80::1%25lo]/", "redirect"),
        ("http://①②⑦.0.0.1/", "redirect"),
    ],
)
def test_a_redirect_to_where_nobody_may_go(location: str, kind: str) -> None:
    names = NameServer({"local.example": ["10.1.1.1"]})

    async def story(http: HttpEngine, server: Hostile) -> None:
        server.location = location
        failure = await error(http, Request(server.base + "/redirect/302", max_redirects=3))
        assert (failure.kind, failure.sent) == (kind, True)
        assert server.connections == 1

    play(story, names)


def test_redirects_spend_one_deadline_together() -> None:
    async def story(http: HttpEngine, server: Hostile) -> None:
        server.location = "/never"
        failure = await error(http, Request(server.base + "/redirect/302", max_redirects=3, timeout=2))
        assert (failure.kind, failure.sent) == ("timeout", True)
        assert failure.phases.total >= 1999

    play(story)


SECRETS = {"Authorization": "Basic c2VjcmV0", "Cookie": "sid=secret", "X-Api-Key": "secret", "Accept": "text/html"}


def test_secrets_stay_with_the_host_they_were_meant_for() -> None:
    async def run() -> None:
        async with Hostile() as here, Hostile() as there, engine() as http:
            for given in (
                Request("", headers=SECRETS),
                Request("", auth=("bearer", "secret"), headers={"X-Api-Key": "secret"}),
            ):
                given.max_redirects = 1
                here.location = "/same"
                given.url = here.base + "/redirect/307"
                await http.fetch(given, LOOPBACK)
                assert here.requests[-1].lower().count(b"authorization: ") == 1
                assert b"secret" in here.requests[-1]
                here.location = there.base + "/other"
                await http.fetch(given, LOOPBACK)
                assert b"secret" not in there.requests[-1] and b"c2VjcmV0" not in there.requests[-1]
                assert b"uthorization" not in there.requests[-1] and b"ookie" not in there.requests[-1]
            assert b"Accept: */*" in there.requests[-1]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "method", "after"),
    [(301, "POST", "GET"), (302, "POST", "GET"), (303, "POST", "GET"), (303, "PUT", "GET"), (303, "HEAD", "HEAD")]
    + [(307, "POST", "POST"), (308, "POST", "POST"), (301, "PUT", "PUT"), (302, "GET", "GET")],
)
def test_the_method_after_a_redirect(status: int, method: str, after: str) -> None:
    async def story(http: HttpEngine, server: Hostile) -> None:
        server.location = "/after"
        body = b"payload" if method in ("POST", "PUT") else None
        headers = {"Content-Type": "text/x"} if body else {}
        request = Request(
            f"{server.base}/redirect/{status}", method=method, body=body, headers=headers, max_redirects=1
        )
        await http.fetch(request, LOOPBACK)
        last = server.requests[-1]
        assert last.startswith(f"{after} /after ".encode())
        assert (b"payload" in last, b"text/x" in last) == (after in ("POST", "PUT"),) * 2

    play(story)


def test_locations_as_servers_really_write_them() -> None:
    async def story(http: HttpEngine, server: Hostile) -> None:
        for location, asked in (("/a b", "/a%20b"), ("/ü", "/%C3%BC"), ("?x=1", "/redirect/302?x=1"), ("../up", "/up")):
            server.location = location
            limit = 0 if location.startswith("?") else 1
            response = await http.fetch(Request(server.base + "/redirect/302", max_redirects=limit), LOOPBACK)
            assert response.redirects == limit
            if limit:
                assert response.url == server.base + asked

    play(story)
