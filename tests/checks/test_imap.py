"""Does the imap check hold the right conversation, and keep a password from whom it is not meant for?"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from monitors import checks
from monitors.checks.base import Status, limit
from tests.checks.lab import Listener, check, closed_port, patience, says
from tests.checks.misbehaving import CANARY, TROUBLES, suffer
from tests.rig.certificates import Authority, self_signed
from tests.rig.imap import Imap

pytestmark = pytest.mark.once

ANA = {"user": "ana", "password": 'pä"ss\\ w{3}\r\nx'}


def at(port: int, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, **more}


@pytest.mark.parametrize("way", ["tls", "starttls"])
def test_tls_a_capability_and_a_user(trusted: Authority, way: str) -> None:
    shown = trusted.issue()
    tls = shown.server_context()
    server = Imap(users={ANA["user"]: ANA["password"]}, starttls=tls if way == "starttls" else None)
    with Listener(server.converse, tls if way == "tls" else None) as listener:
        outcome = check("imap", at(listener.port, tls=way, capability="quota", **ANA))
    assert outcome.status == Status.UP, outcome
    assert outcome.facts["certificate"]["fingerprint"] == shown.fingerprint
    assert outcome.facts["capabilities"] == ["IDLE", "IMAP4REV1", "QUOTA"], "those offered to ana"
    assert outcome.tls_ms is not None and outcome.first_byte_ms is not None and outcome.connect_ms is not None
    assert ANA["password"].encode() in server.heard, "whole, as a literal: nothing in it became a command"


def test_without_tls_and_user() -> None:
    server = Imap()
    with Listener(server.converse) as listener:
        well = check("imap", at(listener.port, tls="none", capability="IDLE"))
        unwell = check("imap", at(listener.port, tls="none", capability="QUOTA"))
    assert well.status == Status.UP, well
    assert (unwell.status, unwell.error_class) == (Status.FAILING, "content") and "QUOTA" in unwell.message
    assert all(line.split()[1] in (b"CAPABILITY", b"LOGOUT") for line in server.heard)


def test_a_wrong_password(trusted: Authority) -> None:
    server = Imap(users={"ana": "right"})
    with Listener(server.converse, trusted.issue().server_context()) as listener:
        outcome = check("imap", at(listener.port, user="ana", password=CANARY))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "permission"), outcome
    assert CANARY not in repr(outcome), "not even when the server repeats it"


def test_a_server_that_turned_login_off(trusted: Authority) -> None:
    server = Imap(outside=b"IMAP4rev1 LOGINDISABLED")
    with Listener(server.converse, trusted.issue().server_context()) as listener:
        outcome = check("imap", at(listener.port, user="ana", password=CANARY))
    assert outcome.error_class == "permission" and "LOGIN off" in outcome.message
    assert CANARY.encode() not in b"".join(server.heard)


@pytest.mark.parametrize("way", ["tls", "starttls"])
def test_a_bad_certificate_hears_no_password_unless_it_need_not_verify(way: str) -> None:
    tls = self_signed().server_context()
    server = Imap(users={"ana": CANARY}, starttls=tls if way == "starttls" else None)
    with Listener(server.converse, tls if way == "tls" else None) as listener:
        place = at(listener.port, tls=way, user="ana", password=CANARY)
        strict = check("imap", place)
        assert CANARY.encode() not in b"".join(server.heard)
        lax = check("imap", place | {"verify_tls": False})
    assert (strict.status, strict.error_class) == (Status.FAILING, "tls"), strict
    assert strict.facts["certificate"]["chain_error"]
    assert lax.status == Status.UP, lax


def test_starttls_is_not_given_up() -> None:
    server = Imap()
    with Listener(server.converse) as listener:
        outcome = check("imap", at(listener.port, tls="starttls", user="ana", password=CANARY))
    assert outcome.error_class == "tls" and CANARY.encode() not in b"".join(server.heard)


@pytest.mark.parametrize(
    ("lines", "error_class"),
    [
        ((b"* BYE full\r\n",), "content"),
        ((b"220 mail\r\n",), "protocol"),
        ((b"* OK\r\n", b"c1 OK done\r\n"), "protocol"),
        ((b"* OK\r\n", b"c1 NO\r\n"), "protocol"),
        ((b"* OK\r\n", b"c1 WHAT\r\n"), "protocol"),
        ((b"* OK\r\n", b"nonsense\r\n"), "protocol"),
        ((b"* OK\r\n", b"* note\r\n" * 200), "protocol"),
        ((b"* OK\r\n", b"* CAPABILITY " + b"x" * 9000), "protocol"),
        ((b"* OK\r\n", b"* CAPABILITY IMAP4rev1\r\n"), "timeout"),
    ],
)
def test_wrong_answers(lines: tuple[bytes, ...], error_class: str) -> None:
    with Listener(says(*lines)) as listener:
        outcome = check("imap", at(listener.port, tls="none"), timeout=patience(error_class))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class), outcome


@pytest.mark.parametrize("way", ["tls", "starttls", "none"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_servers_that_are_not_well(trouble: str, way: str) -> None:
    suffer(trouble, "imap", lambda port: at(port, tls=way))


def test_refused_and_upside_down() -> None:
    outcome = check("imap", at(closed_port()))
    assert outcome.error_class == "connect_refused" and limit(outcome, upside_down=True).status == Status.UP


@pytest.mark.parametrize(
    "wrong",
    [
        {"tls": "none", **ANA},
        {"user": "ana"},
        {"password": "x"},
        {"capability": "IDLE LOGOUT"},
        {"user": "a\0", "password": "x"},
    ],
)
def test_settings_that_make_no_sense(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        checks.parse("imap", {"host": "mail.example.com", **wrong})
