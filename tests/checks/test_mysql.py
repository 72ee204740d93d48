"""Does the mysql check sign in by both plug-ins, ping, and keep the password from whom it is not meant for?"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from monitors import checks
from monitors.checks import mysql
from monitors.checks.base import Status, limit
from tests.checks.lab import Listener, check, closed_port, patience, says
from tests.checks.misbehaving import CANARY, TROUBLES, suffer, until
from tests.rig.certificates import Authority, self_signed
from tests.rig.mysql import NATIVE, SHA2, Mysql, error
from tests.rig.process import free_port

pytestmark = pytest.mark.once

USERS = {"old": (NATIVE, "pässword"), "new": (SHA2, "pässword"), "open": (SHA2, ""), "odd": ("client_ed25519", "x")}


def at(port: int, **more: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, "tls": "none", **more}


@pytest.mark.parametrize("default", [NATIVE, SHA2, "client_ed25519"])
@pytest.mark.parametrize("user", ["old", "new"])
def test_a_user_who_may_come_in(user: str, default: str) -> None:
    server = Mysql(users=USERS, cached={"new"}, default=default)
    with Listener(server.converse) as listener:
        outcome = check("mysql", at(listener.port, user=user, password="pässword", database="shop"))
        until(lambda: server.heard[-1:] == [mysql.QUIT])  # a connection that breaks off counts against the probe
    assert outcome.status == Status.UP and outcome.message == "The server answered a ping", outcome
    assert outcome.facts["version"] == "8.0.99-rig"
    assert outcome.connect_ms is not None and outcome.first_byte_ms is not None
    assert not any("pässword".encode() in packet for packet in server.heard)


def test_a_user_without_a_password() -> None:
    with Listener(Mysql(users=USERS).converse) as listener:
        assert check("mysql", at(listener.port, user="open")).status == Status.UP


@pytest.mark.parametrize(
    ("who", "error_class"),
    [
        ({"user": "old", "password": CANARY}, "permission"),
        ({"user": "new", "password": CANARY}, "permission"),
        ({"user": "old"}, "permission"),
        ({"user": "nobody", "password": CANARY}, "permission"),
        ({"user": "odd", "password": CANARY}, "permission"),
        ({"user": "old", "password": "pässword", "database": "nope"}, "content"),
    ],
)
def test_a_user_who_may_not(who: dict[str, str], error_class: str) -> None:
    with Listener(Mysql(users=USERS, cached={"new"}).converse) as listener:
        outcome = check("mysql", at(listener.port, **who))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class), outcome
    assert CANARY not in repr(outcome)


def test_the_long_way_in_is_taken_over_tls_only(trusted: Authority) -> None:
    server = Mysql(users=USERS, tls=trusted.issue().server_context())
    with Listener(server.converse) as listener:
        place = at(listener.port, user="new", password="pässword")
        plain = check("mysql", place)
        assert not any("pässword".encode() in packet for packet in server.heard)
        secured = check("mysql", place | {"tls": "tls"})
    assert (plain.status, plain.error_class) == (Status.FAILING, "tls") and "turn on TLS" in plain.message, plain
    assert secured.status == Status.UP and secured.tls_ms is not None, secured
    assert secured.facts["certificate"]["chain_error"] is None


def test_without_a_user_it_is_enough_that_it_asks(trusted: Authority) -> None:
    server = Mysql(users=USERS, tls=trusted.issue().server_context())
    with Listener(server.converse) as listener:
        for tls in ("none", "tls"):
            outcome = check("mysql", at(listener.port, tls=tls))
            assert outcome.status == Status.UP and "asks who" in outcome.message, outcome
    assert b"watchkeeper\0" in server.heard[0], "the handshake is gone through to its end"


def test_tls_is_not_given_up() -> None:
    server = Mysql(users=USERS)
    with Listener(server.converse) as listener:
        outcome = check("mysql", at(listener.port, tls="tls", user="old", password=CANARY))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "tls") and server.heard == [], outcome


def test_a_bad_certificate_stops_it_unless_it_need_not_verify() -> None:
    server = Mysql(users=USERS, tls=self_signed().server_context())
    with Listener(server.converse) as listener:
        place = at(listener.port, tls="tls", user="new", password="pässword")
        strict = check("mysql", place)
        assert all(len(packet) == 32 for packet in server.heard), "nothing but the wish for TLS"
        lax = check("mysql", place | {"verify_tls": False})
    assert (strict.status, strict.error_class) == (Status.FAILING, "tls") and "certificate" in strict.facts, strict
    assert lax.status == Status.UP and lax.facts["certificate"]["chain_error"], lax


def packet(body: bytes, number: int = 0) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


@pytest.mark.parametrize(
    ("words", "error_class"),
    [
        (packet(error(1040, "Too many connections")), "content"),
        (packet(error(1129, "Host is blocked")), "permission"),
        (packet(error(1130, f"Host {CANARY}")), "permission"),
        (packet(error(9999, CANARY)), "content"),
        (packet(b""), "protocol"),
        (packet(b"\x09old\0" + bytes(60)), "protocol"),
        (packet(b"\x0a5.0\0"), "protocol"),
        (packet(b"\x0a5.0\0" + bytes(60)), "protocol"),
        (packet(b"\x0a5.0\0", 1), "protocol"),
        (b"\xff\xff\xff\0", "too_large"),
        (b"220 mail.example.com\r\n", "protocol"),
        (packet(b"\x0a8.0\0" + bytes(60))[:20], "timeout"),
    ],
)
def test_wrong_greetings(words: bytes, error_class: str) -> None:
    with Listener(says(words)) as listener:
        outcome = check("mysql", at(listener.port), timeout=patience(error_class))
    assert (outcome.status, outcome.error_class) == (Status.FAILING, error_class), outcome
    assert CANARY not in repr(outcome)


def test_no_pong() -> None:
    for pong, error_class in ((b"\x05", "content"), (error(1053, CANARY), "content"), (b"", "protocol")):
        with Listener(Mysql(users=USERS, pong=pong).converse) as listener:
            outcome = check("mysql", at(listener.port, user="open"))
        assert outcome.error_class == error_class and CANARY not in repr(outcome), outcome


@pytest.mark.parametrize("tls", ["tls", "none"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_servers_that_are_not_well(trouble: str, tls: str) -> None:
    suffer(trouble, "mysql", lambda port: at(port, tls=tls, user="ana", password=CANARY))


def test_refused_and_upside_down() -> None:
    outcome = check("mysql", at(closed_port()))
    assert outcome.error_class == "connect_refused" and limit(outcome, upside_down=True).status == Status.UP


@pytest.mark.parametrize("wrong", [{"password": "x"}, {"database": "x"}, {"user": "a\0b"}])
def test_settings_that_make_no_sense(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        checks.parse("mysql", {"host": "db.example.com", **wrong})


def test_a_real_mariadb(tmp_path: Path, trusted: Authority) -> None:
    where = f"{os.environ['PATH']}:/usr/sbin"
    program, installer = shutil.which("mariadbd", path=where), shutil.which("mariadb-install-db", path=where)
    if not program or not installer:
        pytest.skip("NOT RUN: mariadbd is not installed")
    port, base = free_port(), Path(program).parent.parent
    user = ["--user=root"] if os.geteuid() == 0 else []
    shared = ["--no-defaults", *user, f"--basedir={base}", f"--datadir={tmp_path}/data"]
    options = [*shared, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run([installer, *options], check=True, capture_output=True)
    (tmp_path / "users.sql").write_text("CREATE USER ana@'%' IDENTIFIED BY 'secret';\n")
    chain, key = trusted.issue().write(tmp_path)
    settings = [
        f"--socket={tmp_path}/s",
        f"--port={port}",
        "--bind-address=127.0.0.1",
        f"--init-file={tmp_path}/users.sql",
    ]
    server = subprocess.Popen(
        [
            program,
            *shared,
            *settings,
            f"--ssl-cert={chain}",
            f"--ssl-key={key}",
            f"--lc-messages-dir={base}/share/mysql",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            if check("mysql", at(port)).error_class != "connect_refused":
                break
            time.sleep(0.1)
        for tls in ("none", "tls"):
            assert check("mysql", at(port, tls=tls, user="ana", password="secret")).status == Status.UP
            assert check("mysql", at(port, tls=tls, user="ana", password="x")).error_class == "permission"
            assert check("mysql", at(port, tls=tls)).status == Status.UP
    finally:
        server.terminate()
        server.wait(30)
