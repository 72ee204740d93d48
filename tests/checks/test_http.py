"""Does the http check tell well from unwell against a real server?"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from pydantic import ValidationError

from monitors import checks
from monitors.checks.base import Status
from tests.checks.lab import SHORT, Listener, check, says
from tests.rig.certificates import Authority, self_signed

OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"


class Answers(BaseHTTPRequestHandler):
    """Paths name what they do."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        heard = self.rfile.read(length).decode()
        echo = json.dumps(
            {"method": self.command, "headers": dict(self.headers), "body": heard, "nodes": [{"state": "ok"}]}
        )
        status, body, more = 200, echo.encode(), {}
        if self.path == "/teapot":
            status, body = 418, b"short and stout " * 1000
        elif self.path == "/moved":
            status, more = 302, {"Location": "/"}
        elif self.path == "/loop":
            status, more = 302, {"Location": "/loop"}
        elif self.path == "/inside":
            status, more = 302, {"Location": "http://169.254.169.254/latest/meta-data/"}
        elif self.path == "/large":
            body = b"x" * 5000
        elif self.path == "/gzip":
            body, more = gzip.compress(b"all is well"), {"Content-Encoding": "gzip"}
        elif self.path == "/bomb":
            body, more = gzip.compress(bytes(100_000_000), 9), {"Content-Encoding": "gzip"}
        elif self.path == "/brotli":
            more = {"Content-Encoding": "br"}
        elif self.path == "/latin":
            body, more = "Grüße".encode("latin-1"), {"Content-Type": "text/html; charset=ISO-8859-1"}
        elif self.path == "/guarded" and not self.headers.get("Authorization"):
            status, more = 401, {"WWW-Authenticate": 'Digest realm="x", nonce="n", qop="auth", algorithm=MD5'}
        self.send_response(status)
        for name, value in more.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET

    def log_message(self, *args: Any) -> None:
        """Tests are quiet."""


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_healthy_page_is_up_with_its_phases(base: str) -> None:
    outcome = check("http", {"url": base})
    assert (outcome.status, outcome.http_status, outcome.body) == (Status.UP, 200, None)
    assert outcome.connect_ms is not None and outcome.first_byte_ms is not None and outcome.total_ms is not None
    assert outcome.facts["address"] == "127.0.0.1" and "certificate" not in outcome.facts


def test_a_wrong_status_keeps_the_first_two_kilobytes(base: str) -> None:
    outcome = check("http", {"url": f"{base}/teapot"})
    assert (outcome.status, outcome.error_class, outcome.http_status) == (Status.FAILING, "http_status", 418)
    assert outcome.message == "Answered 418, wanted 200-299"
    assert outcome.body is not None and len(outcome.body) == 2048


@pytest.mark.parametrize(
    ("path", "config", "error_class"),
    [
        ("/teapot", {"accepted_statuses": "200-299,418"}, ""),
        ("/", {"keyword": '"nodes"'}, ""),
        ("/", {"keyword": "sold out"}, "content"),
        ("/", {"keyword": "sold out", "keyword_mode": "absent"}, ""),
        ("/", {"keyword": "nodes", "keyword_mode": "absent"}, "content"),
        ("/", {"keyword": 'nod(es)?"', "keyword_mode": "regex"}, ""),
        ("/latin", {"keyword": "Grüße"}, ""),
        ("/gzip", {"keyword": "all is well"}, ""),
        ("/bomb", {"keyword": "all is well"}, "content"),
        ("/brotli", {"keyword": "all is well"}, "content"),
        ("/brotli", {}, ""),
        ("/", {"json_path": "$.nodes[0].state"}, ""),
        ("/", {"json_path": "$.nodes[0].state", "json_equals": "ok"}, ""),
        ("/", {"json_path": "$.nodes[0].state", "json_equals": "bad"}, "content"),
        ("/", {"json_path": "$.nodes[1]"}, "content"),
        ("/large", {"json_path": "$.a"}, "content"),
        ("/moved", {}, ""),
        ("/moved", {"follow_redirects": False}, "http_status"),
        ("/moved", {"follow_redirects": False, "accepted_statuses": "302"}, ""),
        ("/loop", {}, "redirect"),
        ("/guarded", {}, "http_status"),
        ("/guarded", {"auth": "digest", "user": "ana", "password": "x"}, ""),
    ],
)
def test_what_is_wanted_decides(base: str, path: str, config: dict[str, Any], error_class: str) -> None:
    outcome = check("http", {"url": base + path, **config})
    assert (outcome.status, outcome.error_class) == (Status.FAILING if error_class else Status.UP, error_class), outcome


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"headers": {"X-Api-Key": "k"}}, {"X-Api-Key": "k"}),
        ({"auth": "basic", "user": "ana", "password": "x"}, {"Authorization": "Basic YW5hOng="}),
        ({"auth": {"type": "basic", "username": "ana", "password": "x"}}, {"Authorization": "Basic YW5hOng="}),
        ({"auth": "bearer", "token": "t0ken"}, {"Authorization": "Bearer t0ken"}),
        ({"method": "post", "body": "hello"}, {"Content-Length": "5"}),
    ],
)
def test_what_is_sent(base: str, config: dict[str, Any], wanted: dict[str, str]) -> None:
    for name, value in wanted.items():
        equal = {"json_path": f"$.headers['{name}']", "json_equals": value}
        outcome = check("http", {"url": base, **config, **equal})
        assert outcome.status == Status.UP, outcome


def test_too_large_is_degraded_unless_it_is_said_to_be_a_failure(base: str) -> None:
    config = {"url": f"{base}/large", "max_body": 1024}
    outcome = check("http", config)
    assert (outcome.status, outcome.error_class) == (Status.DEGRADED, "too_large")
    outcome = check("http", config | {"fail_when_too_large": True})
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "too_large")


def test_a_redirect_into_the_cloud_metadata_is_blocked_and_not_down(base: str) -> None:
    outcome = check("http", {"url": f"{base}/inside"})
    assert (outcome.status, outcome.error_class) == (Status.UNKNOWN, "blocked")


def test_a_drip_of_one_byte_cannot_outlast_the_deadline() -> None:
    async def drips(reader: Any, writer: Any) -> None:
        writer.write(OK_HEAD + b"Content-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    with Listener(drips) as server:
        outcome = check("http", {"url": f"http://127.0.0.1:{server.port}"}, timeout=SHORT)
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "timeout")


def test_https_brings_the_certificate_along(trusted: Authority) -> None:
    certificate = trusted.issue()
    with Listener(says(OK_HEAD + b"Content-Length: 0\r\n\r\n"), certificate.server_context()) as server:
        outcome = check("http", {"url": f"https://127.0.0.1:{server.port}/"})
    assert outcome.status == Status.UP, outcome
    facts = outcome.facts["certificate"]
    assert facts["fingerprint"] == certificate.fingerprint
    assert facts["hostname_ok"] and facts["chain_error"] is None
    assert outcome.tls_ms is not None


@pytest.mark.parametrize(
    ("flaw", "hostname_ok", "chain_error"),
    [("expired", True, False), ("name", False, False), ("self_signed", True, True)],
)
def test_a_certificate_that_does_not_verify_fails_but_can_be_read(
    trusted: Authority, flaw: str, hostname_ok: bool, chain_error: bool
) -> None:
    certificate = {
        "expired": trusted.issue(valid=timedelta(days=-2)),
        "name": trusted.issue(("other.example.com",)),
        "self_signed": self_signed(),
    }[flaw]
    with Listener(says(OK_HEAD + b"Content-Length: 0\r\n\r\n"), certificate.server_context()) as server:
        url = f"https://127.0.0.1:{server.port}/"
        strict = check("http", {"url": url})
        lax = check("http", {"url": url, "verify_tls": False})
    assert (strict.status, strict.error_class) == (Status.FAILING, "tls")
    assert lax.status == Status.UP
    for outcome in (strict, lax):
        facts = outcome.facts["certificate"]
        assert facts["fingerprint"] == certificate.fingerprint
        assert (facts["hostname_ok"], facts["chain_error"] is not None) == (hostname_ok, chain_error), facts


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("url", "file:///etc/passwd", "http"),
        ("url", "http://a.com\\@127.0.0.1/", ""),
        ("url", "http://user:pw@example.com/", ""),
        ("accepted_statuses", "2x", "'2x' is not a status or a range such as 200-299"),
        ("json_path", "a.b", "begins with"),
        ("headers", {"Host": "evil"}, "cannot be set"),
        ("headers", {"content-length": "1"}, "cannot be set"),
        ("headers", {"Transfer-Encoding": "chunked"}, "cannot be set"),
        ("headers", {"CONNECTION": "close"}, "cannot be set"),
        ("headers", {"Upgrade": "h2c"}, "cannot be set"),
        ("headers", {"X-A": "1\r\nX-B: 2"}, "line break"),
        ("headers", {"X-A": "1\u20282"}, "line break"),
        ("headers", {"X-A": "1\u0085"}, "line break"),
        ("headers", {"X A": "1"}, "header name"),
        ("headers", {"X-A:": "1"}, "header name"),
        ("headers", {"": "1"}, "header name"),
        ("method", "CONNECT", ""),
        ("max_body", 1 << 30, ""),
        ("proxy", "gopher://proxy.example.com", "proxy"),
        ("family", 5, ""),
    ],
)
def test_settings_that_are_refused(key: str, value: Any, sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        checks.parse("http", {"url": "http://a.example", key: value})
    said = checks.complaints(refused.value)
    assert sentence in " ".join(next(iter(said.values()))) and next(iter(said)).startswith(key)


def test_an_empty_form_field_is_no_setting() -> None:
    empty = dict.fromkeys(
        ("keyword", "json_path", "json_equals", "client_certificate", "client_key", "proxy", "auth"), ""
    )
    assert checks.parse("http", {"url": "http://a.example", **empty}) == checks.parse(
        "http", {"url": "http://a.example"}
    )


@pytest.mark.parametrize(
    "config",
    [
        {"keyword": "(", "keyword_mode": "regex"},
        {"json_equals": "ok"},
        {"auth": "basic"},
        {"auth": "basic", "user": "a:b"},
        {"auth": "bearer"},
        {"auth": "bearer", "token": "a b"},
        {"client_certificate": "-----BEGIN CERTIFICATE-----"},
        {"client_certificate": "x", "client_key": "y"},
    ],
)
def test_settings_that_do_not_fit_together(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        checks.parse("http", {"url": "http://a.example", **config})


def test_a_client_certificate_must_come_with_its_own_key(authority: Authority) -> None:
    one, other = authority.issue(), authority.issue()
    pair = {"client_certificate": one.pem.decode(), "client_key": one.key.decode()}
    checks.parse("http", {"url": "https://a.example", **pair})
    with pytest.raises(ValidationError, match="does not belong"):
        checks.parse("http", {"url": "https://a.example", **pair, "client_key": other.key.decode()})
