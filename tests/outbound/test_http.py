"""Does a fetch end in time, with the right verdict, whatever the server does?"""

import asyncio
import os
import socket
from ipaddress import ip_network

import pytest

from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine, Request, Response
from tests.outbound.hostile import Hostile
from tests.outbound.nameserver import SILENT, NameServer
from tests.outbound.playing import LOOPBACK, engine, error, play

pytestmark = pytest.mark.once


# --- What is sent, what comes back ------------------------------------------------------------------------------------
def test_an_answer_comes_with_everything_known_about_it() -> None:
    async def story(http: HttpEngine, server: Hostile) -> None:
        response = await http.fetch(Request(server.base + "/a?b=c#d"), LOOPBACK)
        assert (response.status, response.address, response.http_version) == (200, "127.0.0.1", "1.1")
        assert response.url == server.base + "/a?b=c"
        assert (response.truncated, response.redirects, response.certificates, response.verify_error) == (
            False,
            0,
            [],
            None,
        )
        assert response.header("connection") == "close"
        assert response.phases.dns is None and response.phases.tls is None
        assert response.phases.connect is not None and response.phases.first_byte is not None
        assert response.phases.total >= response.phases.connect + response.phases.first_byte
        head = server.requests[0].decode()
        assert head.startswith("GET /a?b=c HTTP/1.1\r\n")
        assert "Accept-Encoding: identity\r\n" in head
        by_name = await http.fetch(Request(f"http://localhost:{server.port}/", family=4), LOOPBACK)
        assert by_name.phases.dns is not None
        assert f"Host: localhost:{server.port}\r\n".encode() in server.requests[1]
        assert server.connections == 2  # nothing is reused

    play(story)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (Request("", method="HEAD"), b"HEAD / HTTP/1.1"),
        (Request("", method="delete"), b"DELETE / HTTP/1.1"),
        (Request("", method="OPTIONS"), b"OPTIONS / HTTP/1.1"),
        (Request("", method="POST"), b"Content-Length: 0"),
        (Request("", method="POST", body=b"\x00\xff"), b"\r\n\r\n\x00\xff"),
        (
            Request("", method="PATCH", body=b"{}", headers={"Content-Type": "application/json"}),
            b"Content-Type: application/json",
        ),
        (Request("", method="GET", body=b"query"), b"\r\n\r\nquery"),
        (Request("", headers={"X-Thing": "Grüße"}), "X-Thing: Grüße\r\n".encode()),
        (Request("", headers=[("X-A", "1"), ("X-A", "2")]), b"X-A: 1\r\nX-A: 2\r\n"),
        (Request("", headers={"X-Empty": ""}), b"X-Empty:\r\n"),
        (Request("", headers={"User-Agent": "mine"}), b"User-Agent: mine\r\n"),
        (Request("", headers={"Host": "other.example"}), b"Host: other.example\r\n"),
        (Request("", auth=("basic", "u", "p:ß")), b"Authorization: Basic dTpwOsOf\r\n"),
        (Request("", auth=("bearer", "t0ken"), headers={"authorization": "old"}), b"Authorization: Bearer t0ken\r\n"),
    ],
    ids=lambda value: value.decode("utf-8", "replace")[:30] if isinstance(value, bytes) else "",
)
def test_the_request_on_the_wire(request_: Request, expected: bytes) -> None:
    async def story(http: HttpEngine, server: Hostile) -> None:
        request_.url = server.base + "/"
        await http.fetch(request_, LOOPBACK)
        sent = server.requests[0]
        assert expected in sent
        for once in (b"\r\nauthorization:", b"\r\ncontent-type:", b"\r\nuser-agent:", b"\r\nhost:", b"\r\nexpect:"):
            assert sent.lower().count(once) <= 1
        assert b"old" not in sent
        assert b"x-www-form-urlencoded" not in sent

    play(story)


CONTROL = [
    "a\r\nX: y",
    "a\nb",
    "a\rb",
    "a\x00b",
    "a\x0bb",
    "a\x0cb",
    "a\x85b",
    "a\u2028b",
    "a\u2029b",
    "a\x7fb",
    "a\x1bb",
    "\ud800",
]


def test_control_characters_and_framing_are_refused_before_anything_is_sent() -> None:
    async def story(http: HttpEngine, server: Hostile) -> None:
        refused = [Request(server.base, headers={"X-A": value}) for value in CONTROL]
        refused += [Request(server.base, headers={value: "x"}) for value in [*CONTROL, "", "X A", "X:", "Ü", "X\t"]]
        framing = (
            "Content-Length",
            "transfer-encoding",
            "Connection",
            "TE",
            "Upgrade",
            "Expect",
            "Proxy-Authorization",
        )
        refused += [Request(server.base, headers={name: "1"}) for name in framing]
        refused += [Request(server.base, method=method) for method in ("", "GET /", "G\r\n", "CONNECT", "TRACE", "É")]
        refused += [Request(server.base, auth=("bearer", token)) for token in ("a b", "a\r\nb", "ü")]
        refused += [Request(server.base, auth=("basic", "a:b", "c"))]
        refused += [
            Request(url) for url in ("ftp://a.com", "http://u:p@127.0.0.1/", "http://127.1/", "http://a\r\nb/", "")
        ]
        refused += [
            Request(server.base, proxy=url) for url in ("https://p:1", "http://", "socks5://p:1", "http://p:1/x", "x")
        ]
        for request in refused:
            with pytest.raises(ValueError):
                await http.fetch(request, LOOPBACK)
        assert server.connections == 0

    play(story)


def test_nothing_of_one_request_is_left_for_the_next() -> None:
    async def story(http: HttpEngine, server: Hostile) -> None:
        loaded = Request(
            server.base + "/",
            method="POST",
            body=b"secret body",
            headers={"X-Secret": "one"},
            auth=("digest", "user", "secret"),
        )
        await http.fetch(loaded, LOOPBACK)
        await http.fetch(
            Request(server.base + "/", auth=("basic", "user", "secret"), headers={"X-Secret": "1"}), LOOPBACK
        )
        await http.fetch(Request(server.base + "/", method="HEAD"), LOOPBACK)
        server.requests.clear()
        response = await http.fetch(Request(server.base + "/"), LOOPBACK)
        assert response.body == server.requests[0]
        assert server.requests[0].startswith(b"GET / ")
        for left in (b"secret", b"Secret", b"uthorization", b"ontent-"):
            assert left not in server.requests[0]

    play(story)


def test_bodies_are_cut_or_refused_at_their_limit_and_never_unpacked() -> None:
    async def story(http: HttpEngine, server: Hostile) -> None:
        cut = await http.fetch(Request(server.base + "/endless", max_body=100_000), LOOPBACK)
        assert (len(cut.body), cut.truncated, cut.status) == (100_000, True, 200)
        refused = await error(http, Request(server.base + "/endless", max_body=1000, stop_at_max=False))
        assert (refused.kind, refused.sent) == ("too_large", True)
        exact = await http.fetch(Request(server.base + "/status/200", max_body=7), LOOPBACK)
        assert (exact.body, exact.truncated) == (b"said so", False)
        packed = await http.fetch(Request(server.base + "/gzip"), LOOPBACK)
        assert packed.body == b"\x1f\x8b\x08pretended"

    play(story)


def test_headers_come_back_as_the_last_answer_gave_them() -> None:
    async def story(http: HttpEngine, server: Hostile) -> None:
        late = await http.fetch(Request(server.base + "/interim"), LOOPBACK)
        assert (late.status, late.body, late.header("x-last")) == (200, b"late", "yes")
        assert late.header("link") is None
        assert late.header("x-folded") == "a b"
        latin = await http.fetch(Request(server.base + "/latin"), LOOPBACK)
        assert latin.header("x-name") == "café"
        assert [value for name, value in latin.headers if name == "Set-Cookie"] == ["a=1", "b=2"]
        digest = await http.fetch(Request(server.base + "/digest", auth=("digest", "u", "p")), LOOPBACK)
        assert (digest.status, digest.body) == (200, b"let in")
        assert digest.header("www-authenticate") is None

    play(story)


# --- Hostile servers: each ends in time with the right kind -----------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/never", "timeout"),
        ("/drip-body", "timeout"),
        ("/drip-headers", "timeout"),
        ("/huge-header", "too_large"),
        ("/many-headers", "too_large"),
        ("/endless-interim", "too_large"),
        ("/reset", "reset"),
        ("/reset-midway", "reset"),
        ("/short", "reset"),
        ("/nothing", "reset"),
        ("/garbage", "protocol"),
        ("/bad-chunk", "protocol"),
    ],
)
def test_hostile_servers_get_their_verdict_and_no_more_time_than_allowed(path: str, kind: str) -> None:
    async def story(http: HttpEngine, server: Hostile) -> None:
        slow = kind == "timeout"
        async with asyncio.timeout(60):  # the fetch's own deadline must end it long before
            failure = await error(http, Request(server.base + path, timeout=1 if slow else 30))
        assert (failure.kind, failure.sent) == (kind, True)
        assert failure.phases.connect is not None
        again = await http.fetch(Request(server.base + "/status/204"), LOOPBACK)
        assert again.status == 204

    play(story)


def test_nobody_listens() -> None:
    async def story(http: HttpEngine, server: Hostile) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            failure = await error(http, Request(f"http://127.0.0.1:{bound.getsockname()[1]}/"))
        assert (failure.kind, failure.sent) == ("connect_refused", False)

    play(story)


def test_names_that_do_not_resolve() -> None:
    names = NameServer({"dead.example": SILENT, "empty.example": []})

    async def story(http: HttpEngine, server: Hostile) -> None:
        for name, text in (
            ("missing.example", "does not exist"),
            ("empty.example", "no address"),
            ("dead.example", "in time"),
        ):
            failure = await error(http, Request(f"http://{name}/", timeout=1 if name == "dead.example" else 15))
            assert (failure.kind, failure.sent) == ("dns", False)
            assert text in failure.message
            assert failure.phases.dns is not None

    play(story, names)


def test_ipv6_only() -> None:
    async def run() -> None:
        try:
            server = await Hostile(host="::1").__aenter__()
        except OSError:
            pytest.skip("NOT RUN: this machine has no IPv6 loopback")
        async with engine() as http:
            response = await http.fetch(Request(server.base + "/"), LOOPBACK)
            assert response.address == "::1"
            assert (await error(http, Request(server.base + "/", family=4))).kind == "dns"
        await server.__aexit__(None, None, None)

    asyncio.run(run())


def test_the_next_address_is_tried_when_one_does_not_connect() -> None:
    names = NameServer({"two.example": ["127.0.0.1", "::1"]})

    async def run() -> None:
        reach = Reach(allow=(ip_network("127.0.0.0/8"), ip_network("::1/128")))
        async with names, engine(names) as http:
            try:
                server = await Hostile(host="::1").__aenter__()
            except OSError:
                pytest.skip("NOT RUN: this machine has no IPv6 loopback")
            response = await http.fetch(Request(f"http://two.example:{server.port}/"), reach)
            assert response.address == "::1"
            await server.__aexit__(None, None, None)

    asyncio.run(run())


# --- Many at once -----------------------------------------------------------------------------------------------------
def test_targets_that_never_answer_hold_up_nobody() -> None:
    async def story(http: HttpEngine, server: Hostile) -> None:
        hanging = [
            asyncio.ensure_future(http.fetch(Request(server.base + "/never", timeout=60), LOOPBACK)) for _ in range(300)
        ]
        await server.heard(300)
        healthy = [http.fetch(Request(server.base + "/status/200"), LOOPBACK) for _ in range(300)]
        answers = await asyncio.gather(*healthy)
        assert all(isinstance(answer, Response) and answer.status == 200 for answer in answers)
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()
        outcomes = await asyncio.gather(*hanging, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert (await http.fetch(Request(server.base + "/status/200"), LOOPBACK)).status == 200

    play(story)


def test_no_more_sockets_than_allowed_and_none_left_behind() -> None:
    async def run() -> None:
        async with Hostile() as server, engine(max_inflight=20) as http:
            before = len(os.listdir("/proc/self/fd"))
            never = [
                asyncio.ensure_future(http.fetch(Request(server.base + "/drip-headers", timeout=1), LOOPBACK))
                for _ in range(60)
            ]
            await server.heard(20)
            assert server.connections == 20
            outcomes = await asyncio.gather(*never, return_exceptions=True)
            # Each has its whole time-out from when there was room for it.
            assert {getattr(outcome, "kind", None) for outcome in outcomes} == {"timeout"}
            assert server.connections == 60
            for _ in range(500):  # the server notices at its next drop
                if len(os.listdir("/proc/self/fd")) <= before + 3:
                    break
                await asyncio.sleep(0.02)
            assert len(os.listdir("/proc/self/fd")) <= before + 3  # the loop's epoll

    asyncio.run(run())


def test_closing_ends_what_is_under_way_and_what_waits() -> None:
    async def run() -> None:
        async with Hostile() as server:
            http = HttpEngine(max_inflight=16)
            tasks = [asyncio.ensure_future(http.fetch(Request(server.base + "/never"), LOOPBACK)) for _ in range(20)]
            await server.heard(16)
            http.close()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
            assert server.connections == 16

    asyncio.run(run())
