"""Does the smtp check hold the right conversation with a real mail server?"""

from __future__ import annotations

import socket
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

from monitors.checks.base import Status
from tests.checks.lab import Listener, check, hangs_up, says
from tests.rig.certificates import Authority, self_signed


def mail_server(**options: Any) -> Controller:
    """A real SMTP server on a free port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    controller = Controller(Sink(), hostname="127.0.0.1", port=port, **options)
    controller.start()
    return controller


def test_starttls_with_a_good_certificate(trusted: Authority) -> None:
    shown = trusted.issue()
    server = mail_server(tls_context=shown.server_context())
    try:
        outcome = check("smtp", {"host": "127.0.0.1", "port": server.port})
    finally:
        server.stop()
    assert outcome.status == Status.UP, outcome
    assert outcome.facts["certificate"]["fingerprint"] == shown.fingerprint
    assert outcome.facts["certificate"]["chain_error"] is None
    assert any(text.startswith("SIZE") for text in outcome.facts["extensions"])
    assert outcome.tls_ms is not None and outcome.first_byte_ms is not None


def test_a_bad_certificate_is_a_finding_and_not_a_failure() -> None:
    shown = self_signed()
    server = mail_server(tls_context=shown.server_context())
    try:
        outcome = check("smtp", {"host": "127.0.0.1", "port": server.port})
    finally:
        server.stop()
    assert outcome.status == Status.UP and outcome.facts["certificate"]["chain_error"]


def test_without_tls() -> None:
    server = mail_server()
    try:
        plain = check("smtp", {"host": "127.0.0.1", "port": server.port, "tls": "none"})
        wanted = check("smtp", {"host": "127.0.0.1", "port": server.port})
    finally:
        server.stop()
    assert plain.status == Status.UP and "certificate" not in plain.facts
    assert (wanted.status, wanted.error_class) == (Status.FAILING, "tls")


def test_tls_from_the_first_byte(trusted: Authority) -> None:
    dialogue = says(b"220 ready\r\n", b"250-mail\r\n250 SIZE 1\r\n", b"221 bye\r\n")
    with Listener(dialogue, trusted.issue().server_context()) as server:
        outcome = check("smtp", {"host": "127.0.0.1", "port": server.port, "tls": "tls"})
    assert outcome.status == Status.UP and outcome.facts["extensions"] == ["SIZE 1"]


@pytest.mark.parametrize(
    ("server", "error_class"),
    [
        (says(b"554 no service\r\n"), "protocol"),
        (says(b"220 ok\r\n", b"502 what\r\n"), "protocol"),
        (says(b"HTTP/1.1 400 Bad Request\r\n"), "protocol"),
        (hangs_up, "reset"),
    ],
)
def test_servers_that_are_not_well(server: Any, error_class: str) -> None:
    with Listener(server) as listener:
        outcome = check("smtp", {"host": "127.0.0.1", "port": listener.port, "tls": "none"})
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class), outcome


@pytest.mark.parametrize("farewell", [b"", b"421 too late\r\n"], ids=["none", "wrong"])
def test_a_missing_farewell_changes_nothing(farewell: bytes) -> None:
    with Listener(says(b"220 ok\r\n", b"250 mail\r\n", farewell)) as listener:
        outcome = check("smtp", {"host": "127.0.0.1", "port": listener.port, "tls": "none"})
    assert outcome.status == Status.UP, outcome
