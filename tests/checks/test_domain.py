"""When does a registration end? Asked of a registry on loopback, by RDAP and by WHOIS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from pydantic import ValidationError

from monitors import checks
from monitors.checks import domain
from monitors.checks.base import Status
from tests.checks.lab import NOON, SHORT, Listener, check, closed_port, says

CARD = ["vcard", [["version", {}, "text", "4.0"], ["fn", {}, "text", "Good Names Ltd"]]]


def rdap(expires: str) -> dict[str, Any]:
    events = [{"eventAction": "registration", "eventDate": "2001-01-01T00:00:00Z"}]
    events.append({"eventAction": "expiration", "eventDate": expires})
    return {"events": events, "entities": [{"roles": ["registrar"], "vcardArray": CARD}]}


DOMAINS: dict[str, tuple[int, Any]] = {
    "acme.example": (200, rdap("2026-08-30T12:00:00Z")),
    "late.example": (200, rdap("2026-05-30T12:00:00+02:00")),
    "secretive.example": (200, {"events": []}),
    "busy.example": (429, {}),
    "odd.example": (200, [[["x"]]]),
}


class Registry(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/dns.json":
            base = f"http://127.0.0.1:{self.server.server_address[1]}/rdap/"  # type: ignore[index]
            status, document = 200, {"services": [[["example", "test"], [base]]]}
        else:
            status, document = DOMAINS.get(self.path.removeprefix("/rdap/domain/"), (404, {}))
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Tests are quiet."""


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def ask(registry: str, name: str, **config: Any) -> Any:
    return check("domain", {"name": name, "rdap_url": f"{registry}/rdap", **config}, now=lambda: NOON)


def test_a_registered_domain(registry: str) -> None:
    outcome = ask(registry, "acme.example")
    assert outcome.status == Status.UP
    facts = outcome.facts["domain"]
    assert (facts["expires_at"], facts["days_left"]) == ("2026-08-30T12:00:00+00:00", 90)
    assert (facts["registrar"], facts["source"], facts["name"]) == ("Good Names Ltd", "rdap", "acme.example")


def test_a_host_below_the_registered_name_finds_it(registry: str) -> None:
    assert ask(registry, "www.shop.acme.example").facts["domain"]["name"] == "acme.example"


@pytest.mark.parametrize("name", ["late.example", "gone.example"])
def test_an_ended_or_unknown_registration_fails(registry: str, name: str) -> None:
    outcome = ask(registry, name)
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "expired")


@pytest.mark.parametrize(
    ("name", "error_class"),
    [("secretive.example", "content"), ("busy.example", "http_status"), ("odd.example", "content")],
)
def test_a_registry_that_does_not_tell_is_unknown_and_not_down(registry: str, name: str, error_class: str) -> None:
    outcome = ask(registry, name)
    assert (outcome.status, outcome.error_class) == (Status.UNKNOWN, error_class), outcome


def test_a_date_noted_by_hand_counts_when_the_registry_does_not_tell(registry: str) -> None:
    outcome = ask(registry, "secretive.example", expires_on="2026-07-01")
    assert (outcome.status, outcome.facts["domain"]["source"]) == (Status.UP, "manual")
    outcome = ask(f"http://127.0.0.1:{closed_port()}", "acme.example", expires_on="2026-05-01")
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "expired")


def test_the_registry_is_found_in_ianas_list(registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain, "BOOTSTRAP_URL", f"{registry}/dns.json")
    outcome = check("domain", {"name": "acme.example"}, now=lambda: NOON)
    assert outcome.facts["domain"]["source"] == "rdap"


WHOIS = b"Domain Name: ACME.AT\r\nRegistrar: Good Names Ltd\r\nRegistry Expiry Date: 2026-08-30T12:00:00Z\r\n"


def whois_server(*answers: bytes) -> Any:
    async def handler(reader: Any, writer: Any) -> None:
        asked = (await reader.readline()).decode()
        for text in answers:
            writer.write(text.replace(b"ASKED", asked.strip().encode()))
        await writer.drain()

    return handler


def test_whois() -> None:
    with Listener(whois_server(WHOIS)) as server:
        outcome = check("domain", {"name": "acme.at", "whois_server": f"127.0.0.1:{server.port}"}, now=lambda: NOON)
    facts = outcome.facts["domain"]
    assert (outcome.status, facts["source"], facts["days_left"], facts["registrar"]) == (
        Status.UP,
        "whois",
        90,
        "Good Names Ltd",
    )


@pytest.mark.parametrize(
    ("text", "status", "error_class"),
    [
        (b"% nothing found\r\nNo match for ASKED\r\n", Status.FAILING, "expired"),
        (b"Domain: acme.at\r\nStatus: active\r\n", Status.UNKNOWN, "content"),
        (b"", Status.UNKNOWN, "content"),
        (b"\n" * 200_000, Status.UNKNOWN, "content"),
        (b" " * 200_000, Status.UNKNOWN, "content"),
        (b"expir" + b"y" * 200_000, Status.UNKNOWN, "content"),
    ],
)
def test_whois_answers_that_give_no_date(text: bytes, status: Status, error_class: str) -> None:
    with Listener(whois_server(text)) as server:
        outcome = check("domain", {"name": "acme.at", "whois_server": f"127.0.0.1:{server.port}"}, now=lambda: NOON)
    assert (outcome.status, outcome.error_class) == (status, error_class), outcome


def test_whois_says_nothing_in_time() -> None:
    with Listener(says(b"")) as server:
        outcome = check("domain", {"name": "acme.at", "whois_server": f"127.0.0.1:{server.port}"}, timeout=SHORT)
    assert (outcome.status, outcome.error_class) == (Status.UNKNOWN, "timeout")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-08-30T12:00:00Z", "2026-08-30"),
        ("2026-08-30T00:30:00+02:00", "2026-08-29"),
        ("2026-08-30 12:00:00", "2026-08-30"),
        ("30-Aug-2026", "2026-08-30"),
        ("2026.08.30", "2026-08-30"),
        ("20260830", "2026-08-30"),
        ("30.08.2026", "2026-08-30"),
        ("2026/08/30 01:00:00 (JST)", "2026-08-30"),
        ("August 30 2026", "2026-08-30"),
        ("soon", None),
        ("", None),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_dates_as_registries_write_them(text: str, day: str | None) -> None:
    when = domain.parse_when(text)
    assert (when.date().isoformat() if when else None) == day


def test_the_longest_suffix_in_ianas_list_wins() -> None:
    bases = domain.read_bootstrap({"services": [[["uk"], ["https://uk/"]], [["Co.UK"], ["http://co/", "https://co/"]]]})
    assert domain.rdap_base(bases, "acme.co.uk") == "https://co/"
    assert domain.rdap_base(bases, "acme.uk") == "https://uk/"
    assert domain.rdap_base(bases, "acme.at") is None
    for wrong in ({}, [], {"services": [1]}, {"services": None}):
        with pytest.raises(ValueError):
            domain.read_bootstrap(wrong)


@pytest.mark.parametrize(
    "config", [{"name": "localhost"}, {"name": "192.0.2.1"}, {"name": "a\r\nb.com"}, {"whois_server": "x:0"}]
)
def test_settings_that_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        checks.parse("domain", {"name": "example.com", **config})
