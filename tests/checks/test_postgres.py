"""Does the postgres check sign in every way a real server asks for, and give no password to a false one?"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError

from monitors import checks
from monitors.checks import postgres
from monitors.checks.base import CheckFailed, Status, limit
from tests.checks.lab import Handler, Listener, check, closed_port
from tests.checks.misbehaving import CANARY, TROUBLES, suffer
from tests.rig.certificates import Authority, self_signed
from tests.rig.postgres import Postgres
from tests.rig.process import NotAvailable

pytestmark = pytest.mark.once

RULES = """
host all scram all scram-sha-256
host all md5   all md5
host all plain all password
host all nobody all reject
host all all all trust
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A real server with one user for each way to sign in."""
    try:
        made = Postgres(max_connections=20)
    except NotAvailable as missing:
        pytest.skip(f"NOT RUN: {missing}")
    with made:
        with psycopg.connect(made.url(), autocommit=True) as connection:
            for user, method in (("scram", "scram-sha-256"), ("plain", "scram-sha-256"), ("md5", "md5")):
                connection.execute(f"SET password_encryption = '{method}'")  # type: ignore[arg-type]
                connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'pässword'")  # type: ignore[arg-type]
            (made.home / "data" / "pg_hba.conf").write_text(RULES)
        made.stop()
        made.start()
        yield made


def at(port: int, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, "tls": "none", **more}


def front(port: int, tls: ssl.SSLContext) -> Handler:
    """What a server with TLS does before the rest: SSLRequest, S, handshake; then everything goes to the real one."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(8) == struct.pack("!II", 8, 80877103)
        writer.write(b"S")
        await writer.start_tls(tls)
        inner, outer = await asyncio.open_connection("127.0.0.1", port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(4096):
                sink.write(data)

        done = [asyncio.ensure_future(pump(reader, outer)), asyncio.ensure_future(pump(inner, writer))]
        await asyncio.wait(done, return_when=asyncio.FIRST_COMPLETED)
        for pumping in done:
            pumping.cancel()
        await asyncio.gather(*done, return_exceptions=True)
        outer.close()
        await outer.wait_closed()

    return handler


@pytest.mark.parametrize("user", ["scram", "md5", "postgres"])
def test_a_user_who_may_come_in(server: Postgres, user: str) -> None:
    outcome = check("postgres", at(server.port, user=user, password="pässword", database="postgres"))
    assert outcome.status == Status.UP and outcome.message == "The server answered SELECT 1", outcome
    assert outcome.facts["version"] and outcome.connect_ms is not None and outcome.first_byte_ms is not None


@pytest.mark.parametrize(
    ("who", "error_class"),
    [
        ({"user": "scram", "password": CANARY}, "permission"),
        ({"user": "md5", "password": CANARY}, "permission"),
        ({"user": "scram"}, "permission"),
        ({"user": "nobody", "password": CANARY}, "permission"),
        ({"user": "postgres", "database": "no_such_database"}, "content"),
        ({"user": "plain", "password": CANARY}, "tls"),
    ],
    ids=["wrong", "wrong by md5", "no password", "rejected", "no such database", "in the clear"],
)
def test_a_user_who_may_not(server: Postgres, who: dict[str, str], error_class: str) -> None:
    outcome = check("postgres", at(server.port, **{"database": "postgres", **who}))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class), outcome
    assert CANARY not in repr(outcome)


def test_without_a_user_it_is_enough_that_it_asks(server: Postgres) -> None:
    outcome = check("postgres", at(server.port))
    assert outcome.status == Status.UP and "asks who" in outcome.message, outcome


def test_a_server_without_room_is_failing(server: Postgres) -> None:
    held = [psycopg.connect(server.url()) for _ in range(20)]
    try:
        outcome = check("postgres", at(server.port, user="postgres"))
    finally:
        for connection in held:
            connection.close()
    assert outcome.error_class == "content" and "too many connections" in outcome.message, outcome


def test_tls_is_not_given_up(server: Postgres) -> None:
    outcome = check("postgres", at(server.port, tls="tls", user="scram", password=CANARY))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "tls"), outcome
    assert "does not offer TLS" in outcome.message


@pytest.mark.parametrize("user", ["scram", "plain"])
def test_over_tls(server: Postgres, trusted: Authority, user: str) -> None:
    shown = trusted.issue()
    with Listener(front(server.port, shown.server_context())) as listener:
        place = at(listener.port, tls="tls", user=user, database="postgres")
        outcome = check("postgres", place | {"password": "pässword"})
        wrong = check("postgres", place | {"password": CANARY})
    assert outcome.status == Status.UP and outcome.tls_ms is not None, outcome
    assert outcome.facts["certificate"]["fingerprint"] == shown.fingerprint
    assert wrong.error_class == "permission" and CANARY not in repr(wrong)


def test_a_bad_certificate_stops_it_unless_it_need_not_verify(server: Postgres) -> None:
    with Listener(front(server.port, self_signed().server_context())) as listener:
        place = at(listener.port, tls="tls", user="plain", password="pässword", database="postgres")
        strict, lax = check("postgres", place), check("postgres", place | {"verify_tls": False})
    assert (strict.status, strict.error_class) == (Status.FAILING, "tls") and "certificate" in strict.facts, strict
    assert lax.status == Status.UP and lax.facts["certificate"]["chain_error"], lax


def test_words_before_tls_are_refused(trusted: Authority) -> None:
    async def slips_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"SR\0\0\0\x08\0\0\0\0")
        await reader.read()

    with Listener(slips_in) as listener:
        outcome = check("postgres", at(listener.port, tls="tls"))
    assert outcome.error_class == "protocol" and "before TLS" in outcome.message, outcome


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def replies(*answers: bytes) -> Handler:
    """Each packet that is heard gets the next answer."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(4096)
            writer.write(answer)
            await writer.drain()
        await reader.read()

    return handler


OK, READY = message(b"R", bytes(4)), message(b"Z", b"I")


@pytest.mark.parametrize(
    ("answers", "error_class"),
    [
        ((OK + READY, message(b"D", struct.pack("!HI", 1, 1) + b"2") + READY), "content"),
        ((OK + READY, READY), "content"),
        ((message(b"E", b"SFATAL\0C57P03\0M" + CANARY.encode() + b"\0\0"),), "content"),
        ((message(b"E", b"nonsense"),), "protocol"),
        ((b"R\xff\xff\xff\xff",), "too_large"),
        ((message(b"N", b"\0") * 300,), "protocol"),
        ((OK + message(b"S", b"a\0b\0") * 300,), "protocol"),
        ((message(b"R", struct.pack("!I", 7)),), "permission"),
        ((message(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"), OK), "protocol"),
        ((message(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"), message(b"R", struct.pack("!I", 11) + b"x")), "protocol"),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), "protocol"),
    ],
    ids=[
        "wrong value", "no row", "starting up", "an error without a code", "oversized", "endless notices", "endless parameters", "kerberos",
        "let in unproven", "a bad challenge", "HTTP",
    ],
)  # fmt: skip
def test_wrong_answers(answers: tuple[bytes, ...], error_class: str) -> None:
    with Listener(replies(*answers)) as listener:
        outcome = check("postgres", at(listener.port, user="ana", password="secret"))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class), outcome
    assert CANARY not in repr(outcome)


@pytest.mark.parametrize("tls", ["tls", "none"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_servers_that_are_not_well(trouble: str, tls: str) -> None:
    suffer(trouble, "postgres", lambda port: at(port, tls=tls, user="ana", password=CANARY))


def test_refused_and_upside_down() -> None:
    outcome = check("postgres", at(closed_port()))
    assert outcome.error_class == "connect_refused" and limit(outcome, upside_down=True).status == Status.UP


def test_the_example_of_rfc_7677() -> None:
    # The RFC's client names its user in the exchange; PostgreSQL takes it from the start packet.
    exchange = postgres.Scram("pencil", "rOprNGfwEbeRWgbNEkqO")
    exchange.first = lambda: b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"  # type: ignore[method-assign]
    proof = exchange.final(b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    assert proof.endswith(b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    with pytest.raises(CheckFailed, match="could not prove"):
        exchange.verify(b"v=AAAA")
    exchange.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    assert exchange.proven


@pytest.mark.parametrize("challenge", [b"", b"r=x,s=AA==,i=1", b"r=mine,s=?,i=1", b"r=mine,s=AA==,i=99999999", b"\xff"])
def test_a_challenge_that_makes_no_sense(challenge: bytes) -> None:
    with pytest.raises(CheckFailed):
        postgres.Scram("pencil", "mine").final(challenge)


@pytest.mark.parametrize("wrong", [{"password": "x"}, {"database": "x"}, {"user": "a\0b"}])
def test_settings_that_make_no_sense(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        checks.parse("postgres", {"host": "db.example.com", **wrong})
