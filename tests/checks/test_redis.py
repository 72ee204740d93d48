"""Does the redis check sign in, ping and look at the role, with a real server and with bad ones?"""

from __future__ import annotations

from typing import Any

import pytest

from monitors.checks.base import Status, limit
from tests.checks.lab import SHORT, Handler, Listener, check, closed_port, patience, says
from tests.checks.misbehaving import CANARY, TROUBLES, suffer
from tests.rig.certificates import Authority, self_signed
from tests.rig.valkey import Valkey

pytestmark = pytest.mark.once


@pytest.fixture
def locked(crash_valkey: Valkey) -> Valkey:
    """A server with a password for the default user and one for ana, who may only ping."""
    with crash_valkey.client() as client:
        client.acl_setuser("ana", enabled=True, passwords=["+secret"], commands=["+ping"])
        client.config_set("requirepass", "pässword")
    return crash_valkey


def at(port: int, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, **more}


def test_a_server_that_answers_is_up(valkey: Valkey) -> None:
    outcome = check("redis", at(valkey.port, role="primary"))
    assert outcome.status == Status.UP and outcome.facts["role"] == "primary", outcome
    assert outcome.connect_ms is not None and outcome.first_byte_ms is not None


def test_the_wrong_role_is_failing(valkey: Valkey) -> None:
    outcome = check("redis", at(valkey.port, role="replica"))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "content")
    assert "is a primary" in outcome.message


def test_a_replica_that_lost_its_primary_is_failing(crash_valkey: Valkey) -> None:
    with crash_valkey.client() as client:
        client.replicaof("127.0.0.1", closed_port())  # type: ignore[no-untyped-call]
    outcome = check("redis", at(crash_valkey.port, role="replica"))
    assert outcome.error_class == "content" and "lost its primary" in outcome.message


def test_passwords(locked: Valkey) -> None:
    assert check("redis", at(locked.port, password="pässword")).status == Status.UP
    assert check("redis", at(locked.port, user="ana", password="secret")).status == Status.UP
    for wrong in ({}, {"password": CANARY}, {"user": "ana", "password": CANARY}):
        outcome = check("redis", at(locked.port, **wrong))
        assert (outcome.status, outcome.error_class) == (Status.FAILING, "permission"), outcome
        assert CANARY not in repr(outcome)
    denied = check("redis", at(locked.port, user="ana", password="secret", role="primary"))
    assert denied.error_class == "permission", "ana may only ping"


def test_a_password_where_none_is_set_is_said(valkey: Valkey) -> None:
    outcome = check("redis", at(valkey.port, user="bob", password=CANARY))
    assert outcome.error_class == "permission" and CANARY not in repr(outcome)


def test_a_frozen_server_is_a_timeout(crash_valkey: Valkey) -> None:
    crash_valkey.freeze()
    outcome = check("redis", at(crash_valkey.port), timeout=SHORT)
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "timeout")


# AUTH comes in five lines, PING in three.
RESP: Handler = says(b"", b"", b"", b"", b"", b"+OK\r\n", b"", b"", b"+PONG\r\n")


def test_tls(trusted: Authority) -> None:
    shown = trusted.issue()
    with Listener(RESP, shown.server_context()) as server:
        outcome = check("redis", at(server.port, tls="tls", password="x"))
    assert outcome.status == Status.UP and outcome.tls_ms is not None, outcome
    assert outcome.facts["certificate"]["fingerprint"] == shown.fingerprint


@pytest.mark.parametrize("names", [("localhost", "127.0.0.1"), ("other.example",)], ids=["unknown issuer", "name"])
def test_a_bad_certificate_hears_no_password(trusted: Authority, names: tuple[str, ...]) -> None:
    heard: list[bytes] = []

    async def listens(reader: Any, writer: Any) -> None:
        heard.append(await reader.read(1000))

    shown = self_signed() if len(names) > 1 else trusted.issue(names)
    with Listener(listens, shown.server_context()) as server:
        outcome = check("redis", at(server.port, tls="tls", password=CANARY))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "tls"), outcome
    assert "does not verify" in outcome.message and outcome.facts["certificate"]["fingerprint"] == shown.fingerprint
    assert not any(heard), "nothing was said over a connection that nobody vouches for"


def test_a_certificate_that_need_not_verify() -> None:
    with Listener(RESP, self_signed().server_context()) as server:
        outcome = check("redis", at(server.port, tls="tls", password="x", verify_tls=False))
    assert outcome.status == Status.UP and outcome.facts["certificate"]["chain_error"], outcome


@pytest.mark.parametrize("trouble", TROUBLES)
def test_servers_that_are_not_well(trouble: str) -> None:
    suffer(trouble, "redis", lambda port: at(port, password=CANARY))


@pytest.mark.parametrize(
    ("answer", "error_class"),
    [
        (b"+PONK\r\n", "content"),
        (b"-LOADING wait\r\n", "content"),
        (b"-ERR hunter2-canary\r\n", "content"),
        (b"-hunter2-canary\r\n", "content"),
        (b"$99999999\r\n", "too_large"),
        (b"$-1\r\n", "protocol"),
        (b"*1\r\n", "protocol"),
        (b"$9\r\nshort", "timeout"),
    ],
)
def test_wrong_answers(answer: bytes, error_class: str) -> None:
    with Listener(says(b"", answer)) as server:
        outcome = check("redis", at(server.port), timeout=patience(error_class))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class), outcome
    assert CANARY not in repr(outcome)


def test_refused_and_upside_down() -> None:
    outcome = check("redis", at(closed_port()))
    assert outcome.error_class == "connect_refused"
    assert limit(outcome, upside_down=True).status == Status.UP
