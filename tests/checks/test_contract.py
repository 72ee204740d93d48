"""What must every kind of check keep? One test each, over all kinds."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from monitors import checks
from monitors.checks.base import ERROR_CLASSES, Check, CheckFailed, Context, Outcome, Status, limit
from tests.checks.lab import LOOPBACK, NOON, NOWHERE, SHORT, Listener, check, closed_port, hangs_up, silent

CANARY = "hunter2-canary"
FULL: dict[str, dict[str, Any]] = {
    "http": {
        "url": "https://shop.example.com/health?key=1",
        "method": "POST",
        "headers": {"X-Api-Key": CANARY},
        "body": "{}",
        "accepted_statuses": "200-299, 401",
        "keyword": "o.?k",
        "keyword_mode": "regex",
        "json_path": "$.a[0]",
        "json_equals": 1,
        "auth": "basic",
        "user": "ana",
        "password": CANARY,
        "proxy": f"http://me:{CANARY}@proxy.example.com:3128",
        "upside_down": True,
    },
    "tcp": {"host": "db.example.com", "port": 5432, "send": "PING\r\n", "expect": "PONG", "starttls": ""},
    "icmp": {"host": "gw.example.com", "count": 5},
    "dns": {"name": "example.com", "record_type": "MX", "expected": ["10 mail.example.com"], "resolver": "9.9.9.9:53"},
    "tls": {"host": "shop.example.com", "port": 443, "server_name": "www.example.com"},
    "domain": {"name": "example.com", "rdap_url": "https://rdap.example.net/", "expires_on": "2027-01-31"},
    "smtp": {"host": "mail.example.com", "port": 587, "tls": "starttls"},
    "imap": {
        "host": "imap.example.com",
        "port": 143,
        "tls": "starttls",
        "user": "ana",
        "password": CANARY,
        "capability": "IDLE",
    },
    "ssh": {"host": "gw.example.com", "fingerprint": "SHA256:" + "A" * 43, "key_type": "rsa", "expect": "OpenSSH"},
    "udp": {"host": "game.example.com", "port": 27015, "send_hex": "ff ff", "expect": "ok"},
    "ntp": {"host": "time.example.com", "offset_ms": 250, "max_stratum": 4},
    "snmp": {
        "host": "switch.example.com",
        "community": CANARY,
        "oid": ".1.3.6.1.2.1.1.3.0",
        "compare": "at least",
        "value": "60",
    },
    "postgres": {"host": "db.example.com", "tls": "none", "user": "ana", "password": CANARY, "database": "shop"},
    "mysql": {"host": "db.example.com", "verify_tls": False, "user": "ana", "password": CANARY, "database": "shop"},
    "redis": {"host": "cache.example.com", "tls": "tls", "user": "ana", "password": CANARY, "role": "replica"},
    "grpc": {"host": "api.example.com", "port": 50051, "tls": "none", "service": "shop.v1.Orders"},
    "websocket": {
        "url": "wss://live.example.com/feed?key=1",
        "headers": {"Authorization": CANARY},
        "subprotocol": "chat",
        "send": "hi",
        "expect": "hello",
    },
    "heartbeat": {"schedule": "30 2 * * *", "timezone": "Europe/Vienna", "grace_seconds": 300},
    "push": {"ttl_seconds": 120},
    "group": {"monitor_ids": [7, 9]},
    "host": {"services": ["nginx"], "cpu_percent": 80},
    "container": {"include": ["shop-*"], "log_lines": 5},
}
HOST_KINDS = ("tcp", "icmp", "tls", "smtp", "imap", "ssh", "udp", "ntp", "snmp", "postgres", "mysql", "redis", "grpc")
STREAMS = ("imap", "ssh", "postgres", "mysql", "redis", "grpc")  # over TCP, with a host and a port
BAD_HOSTS = (
    "a.com; id",
    "$(id)",
    "-oProxyCommand=x",
    "a\nb",
    "a\r\nQUIT",
    "a\x00b",
    "0x7f.1",
    "2130706433",
    "①②⑦.0.0.1",
    "fe80::1%eth0",
    "user@host",
    "",
)
every_kind = pytest.mark.parametrize("kind", list(checks.KINDS))


def test_the_registry_names_each_kind_by_its_own_name() -> None:
    assert {kind: check.kind for kind, check in checks.KINDS.items()} == {kind: kind for kind in FULL}
    with pytest.raises(KeyError, match="no check of kind 'carrier-pigeon'"):
        checks.get("carrier-pigeon")


@every_kind
def test_settings_survive_json_and_back(kind: str) -> None:
    parsed = checks.parse(kind, FULL[kind])
    again = checks.parse(kind, json.loads(json.dumps(parsed.plain())))
    assert again == parsed


@every_kind
def test_an_unknown_key_is_refused(kind: str) -> None:
    with pytest.raises(ValidationError) as refused:
        checks.parse(kind, FULL[kind] | {"shell": "rm"})
    assert "shell" in checks.complaints(refused.value)


@every_kind
def test_the_schema_is_enough_for_a_form(kind: str) -> None:
    schema = checks.schemas()[kind]
    assert schema["additionalProperties"] is False
    assert all(field.get("title") for field in schema["properties"].values())
    json.dumps(schema)


@every_kind
def test_what_a_person_reads_holds_no_secret(kind: str) -> None:
    parsed, kind_of_check = checks.parse(kind, FULL[kind]), checks.get(kind)
    assert kind_of_check.label and kind_of_check.main_field in kind_of_check.Config.model_fields
    shown = kind_of_check.target(parsed) + repr(parsed) + parsed.model_dump_json()
    assert CANARY not in shown
    assert "key=1" not in kind_of_check.target(parsed)


def test_complaints_do_not_repeat_what_was_typed() -> None:
    with pytest.raises(ValidationError) as refused:
        checks.parse("http", {"url": f"ftp://{CANARY}", "password": [CANARY], "proxy": f"gopher://{CANARY}"})
    assert CANARY not in str(refused.value) + str(checks.complaints(refused.value))
    assert {"url", "password", "proxy"} <= set(checks.complaints(refused.value))


@pytest.mark.parametrize("kind", HOST_KINDS)
@pytest.mark.parametrize("host", BAD_HOSTS)
def test_a_host_that_could_be_a_command_or_a_riddle_is_refused(kind: str, host: str) -> None:
    with pytest.raises(ValidationError):
        checks.parse(kind, {"host": host, **({"port": 25} if kind in ("tcp", "udp") else {})})


@pytest.mark.parametrize("server", [silent, hangs_up, None], ids=["silent", "hangs_up", "closed"])
@pytest.mark.parametrize("kind", ["http", "tcp", "tls", "smtp", "domain", "dns", "websocket", *STREAMS])
def test_an_unwell_target_is_an_outcome_and_not_an_exception(kind: str, server: Any) -> None:
    def outcome_at(port: int) -> Outcome:
        configs: dict[str, dict[str, Any]] = {
            "http": {"url": f"http://127.0.0.1:{port}/", "headers": {"X-Api-Key": CANARY}},
            "tcp": {"host": "127.0.0.1", "port": port, "expect": "hello"},
            "tls": {"host": "127.0.0.1", "port": port},
            "smtp": {"host": "127.0.0.1", "port": port},
            "domain": {"name": "example.com", "whois_server": f"127.0.0.1:{port}"},
            "dns": {"name": "example.com", "resolver": f"127.0.0.1:{port}"},
            "websocket": {"url": f"ws://127.0.0.1:{port}/", "headers": {"X-Api-Key": CANARY}},
            **{kind: {"host": "127.0.0.1", "port": port} for kind in STREAMS},
        }
        return check(kind, configs[kind], timeout=SHORT)

    if server is None:
        outcome = outcome_at(closed_port())
    else:
        with Listener(server) as listener:
            outcome = outcome_at(listener.port)
    expected = Status.UNKNOWN if kind == "domain" else Status.FAILING
    assert outcome.status == expected, outcome
    assert outcome.message and len(outcome.message) <= 200
    assert outcome.total_ms is not None
    assert CANARY not in repr(outcome)
    if server is None and kind in ("http", "tcp", "tls", "smtp", "websocket", *STREAMS):
        assert outcome.error_class == "connect_refused"


@pytest.mark.parametrize(
    "kind", ["http", "tcp", "tls", "smtp", "domain", "dns", "icmp", "udp", "ntp", "snmp", "websocket", *STREAMS]
)
def test_a_forbidden_address_is_unknown_with_the_cure_and_gets_no_packet(kind: str) -> None:
    with Listener(silent) as canary:
        configs: dict[str, dict[str, Any]] = {
            "http": {"url": f"http://127.0.0.1:{canary.port}/"},
            "tcp": {"host": "localhost", "port": canary.port},
            "tls": {"host": "::ffff:127.0.0.1", "port": canary.port},
            "smtp": {"host": "localhost", "port": canary.port},
            "domain": {"name": "example.com", "whois_server": f"localhost:{canary.port}"},
            "dns": {"name": "example.com", "resolver": f"127.0.0.1:{canary.port}"},
            "icmp": {"host": "127.0.0.1"},
            "websocket": {"url": f"ws://localhost:{canary.port}/"},
            **{kind: {"host": "localhost", "port": canary.port} for kind in ("udp", "ntp", "snmp", *STREAMS)},
        }
        outcome = check(kind, configs[kind], reach=NOWHERE)
        assert canary.connections == 0
    assert (outcome.status, outcome.error_class) == (Status.UNKNOWN, "blocked")
    assert "OUTBOUND_ALLOW" in outcome.message


def test_one_forbidden_address_among_good_ones_blocks_the_name() -> None:
    class TwoAddresses:
        async def resolve(self, host: str, family: int = 0, timeout: float = 5) -> list[str]:
            return ["127.0.0.1", "169.254.169.254"]

    ctx = Context(http=None, resolver=TwoAddresses(), reach=LOOPBACK, timeout=15)  # type: ignore[arg-type]
    with Listener(silent) as canary:
        parsed = checks.parse("tcp", {"host": "rebind.example.com", "port": canary.port})
        outcome = asyncio.run(checks.get("tcp").run(parsed, ctx))
        assert canary.connections == 0
    assert outcome.error_class == "blocked"


def test_a_fault_of_our_own_is_unknown_and_says_so() -> None:
    class Broken(Check):
        kind = label = "broken"

        @classmethod
        async def probe(cls, config: Any, ctx: Context, outcome: Outcome) -> None:
            raise ZeroDivisionError(CANARY)

    ctx = Context(http=None, resolver=None, reach=NOWHERE, timeout=15)  # type: ignore[arg-type]
    outcome = asyncio.run(Broken.run(None, ctx))
    assert (outcome.status, outcome.error_class) == (Status.UNKNOWN, "internal")
    assert CANARY not in outcome.message


def test_messages_are_one_short_printable_line() -> None:
    outcome = Outcome(Status.UP)
    outcome.settle(Status.FAILING, "a\r\nb\x1b[31m\u202ec" + "x" * 500, "content")
    assert len(outcome.message) == 200 and outcome.message.isprintable()
    with pytest.raises(ValueError, match="not an error class"):
        outcome.settle(Status.FAILING, "", "gremlins")
    assert "internal" in ERROR_CLASSES and isinstance(CheckFailed("dns", "x"), Exception)


@pytest.mark.parametrize(
    ("outcome", "limits", "wanted"),
    [
        (Outcome(Status.UP, total_ms=80), {"degraded_latency_ms": 100}, Status.UP),
        (Outcome(Status.UP, total_ms=100), {"degraded_latency_ms": 100}, Status.UP),  # the limit itself is still fine
        (Outcome(Status.UP, total_ms=101), {"degraded_latency_ms": 100}, Status.DEGRADED),
        (Outcome(Status.UP, loss_percent=33.3), {"degraded_loss_percent": 10}, Status.DEGRADED),
        (Outcome(Status.UP, loss_percent=0.0), {"degraded_loss_percent": 0}, Status.UP),
        (Outcome(Status.FAILING, total_ms=900), {"degraded_latency_ms": 100}, Status.FAILING),  # worse stays worse
        (Outcome(Status.UNKNOWN), {"degraded_latency_ms": 1, "upside_down": True}, Status.UNKNOWN),
        (Outcome(Status.UP), {"upside_down": True}, Status.FAILING),
        (Outcome(Status.DEGRADED), {"upside_down": True}, Status.FAILING),
        (Outcome(Status.FAILING, error_class="connect_refused"), {"upside_down": True}, Status.UP),
    ],
)
def test_shared_thresholds(outcome: Outcome, limits: dict[str, Any], wanted: Status) -> None:
    before = repr(outcome)
    assert limit(outcome, **limits).status == wanted
    assert repr(outcome) == before, "limit must not change its argument"


def test_passive_kinds_know_nothing_before_the_first_news() -> None:
    for kind in ("heartbeat", "push", "group"):
        assert checks.get(kind).passive
        outcome = check(kind, FULL[kind], now=lambda: NOON)
        assert outcome.status == Status.UNKNOWN and outcome.message


def test_secrets_are_typed_as_secrets() -> None:
    parsed: Any = checks.parse("http", FULL["http"])
    assert isinstance(parsed.password, SecretStr) and isinstance(parsed.headers["X-Api-Key"], SecretStr)
    for kind in ("imap", "postgres", "mysql", "redis"):
        assert isinstance(checks.parse(kind, FULL[kind]).password, SecretStr)  # type: ignore[attr-defined]
    assert isinstance(checks.parse("snmp", FULL["snmp"]).community, SecretStr)  # type: ignore[attr-defined]


def test_the_checks_load_without_django() -> None:
    code = "import sys, monitors.checks; sys.exit(any(m.split('.')[0] in ('django', 'celery') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
