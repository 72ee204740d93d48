"""Does one probe measure everything at once, in time, and nothing that it must not touch?"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from monitors.diagnosis import battery
from monitors.diagnosis.battery import key_of, names_in, target_of
from monitors.diagnosis.evidence import BatteryEvidence
from monitors.probe import jobs
from portal.outbound.guard import Reach
from portal.outbound.http import HttpEngine
from portal.outbound.resolver import Resolver
from tests.diagnosis.conftest import WELL, path
from tests.diagnosis.field import Field, order

alone = pytest.mark.alone
pytestmark = pytest.mark.once


# --- In the field -------------------------------------------------------------------------------------------------------
@alone
def test_a_whole_battery_has_every_part_and_says_who_measured(seen: dict[str, Any]) -> None:
    found = seen["well"]
    assert (found["v"], found["probe"], found["slug"], found["private"], found["cut"]) == (1, 7, "berlin", False, [])
    assert found["target"]["address"] == WELL
    assert {"own", "names", "paths", "connect", "ping", "size", "http", "check"} <= found.keys()
    assert [one["proto"] for one in found["paths"]] == ["icmp", "tcp"]
    assert (found["connect"]["status"], found["connect"]["ok"], len(found["connect"]["ms"])) == ("ok", 3, 3)
    assert (found["ping"]["sent"], found["ping"]["got"]) == (10, 10)


@alone
def test_the_monitors_own_check_is_made_once_more_with_its_phases(seen: dict[str, Any]) -> None:
    found = seen["well"]
    assert (found["check"]["status"], found["http"]["status"]) == ("up", "ok")
    assert (found["http"]["code"], found["http"]["bytes"], found["http"]["server"]) == (200, 5, "little")
    assert {"connect_ms", "first_byte_ms", "total_ms"} <= found["http"]["phases"].keys()


@alone
def test_the_lighter_sweep_has_the_same_shape_with_fewer_parts(seen: dict[str, Any]) -> None:
    found = seen["only a host"]
    assert {"names", "paths", "ping", "size"} <= found.keys()
    assert not {"own", "connect", "check", "http", "tls"} & found.keys()


@alone
def test_the_deadline_cuts_and_keeps_what_was_seen_until_then(seen: dict[str, Any]) -> None:
    found = seen["quick"]
    assert {"path icmp", "path tcp", "ping", "size"} <= set(found["cut"])
    assert [hop["address"] for hop in path(found, "icmp")["hops"]][:3] == ["10.0.1.2", "10.0.2.2", "10.0.3.2"]
    assert found["size"] == {"status": "not_run", "why": "It was not finished in time."}


@alone
def test_a_dripping_answer_costs_no_more_than_the_deadline(seen: dict[str, Any]) -> None:
    found = seen["dripping"]
    assert found["took_ms"] < 15_000  # the answer itself would drip for hours
    assert (found["http"]["status"], found["connect"]["status"]) == ("stalled", "ok")
    assert found["check"]["status"] == "unknown"  # the monitor itself would wait longer than a battery may


@alone
def test_a_port_that_opens_and_then_says_nothing_stalls_tls_and_http(seen: dict[str, Any]) -> None:
    found = seen["mute"]
    assert (found["tls"]["status"], found["http"]["status"], found["connect"]["status"]) == ("stalled", "stalled", "ok")


@alone
def test_where_the_name_is_not_answered_the_address_of_better_days_is_measured(seen: dict[str, Any]) -> None:
    found = seen["www.silent"]
    assert (found["target"]["addresses_from"], found["target"]["address"]) == ("known", WELL)
    assert path(found, "tcp")["reached"]


@alone
def test_where_only_the_owners_know_the_name_theirs_is_measured(seen: dict[str, Any]) -> None:
    found = seen["www.gone"]
    assert (found["target"]["addresses_from"], found["target"]["address"]) == ("others", WELL)


@alone
@pytest.mark.parametrize("name", ["loopback", "private from outside", "forbidden.well", "half.well"])
def test_a_forbidden_address_gets_no_part_at_all(seen: dict[str, Any], name: str) -> None:
    found = seen[name]
    assert found["target"]["blocked"].startswith("Blocked")
    assert not {"paths", "ping", "size", "connect", "tls"} & found.keys()


@alone
def test_not_one_packet_left_for_a_forbidden_address(seen: dict[str, Any], field: Field) -> None:
    # A name with a forbidden address, one with a forbidden address among good ones, a resolver, an owner, a private target.
    counted = [line.split("counter")[1].split() for line in field.space("probe").run("nft", "list", "ruleset").splitlines() if "counter" in line]  # fmt: skip
    assert [words[1] for words in counted] == ["0", "0"]


@alone
def test_evidence_is_plain_json_that_fits_a_jobs_outcome(seen: dict[str, Any]) -> None:
    assert all(len(json.dumps(found)) < 20_000 for found in seen.values())


# --- On loopback --------------------------------------------------------------------------------------------------------
async def measured(asked: dict[str, Any], reach: Reach = Reach()) -> BatteryEvidence:  # noqa: B008
    """A battery of this process: it reaches nothing, because the guard lets it reach nothing."""
    resolver = Resolver([])
    http = HttpEngine(asyncio.get_running_loop(), resolver)
    try:
        return await battery.run(asked, battery.Surroundings(resolver, http, reach))
    finally:
        http.close()
        resolver.close()


@pytest.mark.parametrize(
    "target",
    [{}, {"host": ""}, {"host": "a b", "port": 1, "kind": "tcp"}, {"host": "-oProxyCommand=x", "port": 22, "kind": "ssh"}, {"host": "127.0.0.1;id", "port": 0, "kind": "icmp"}],
)  # fmt: skip
def test_an_order_that_makes_no_sense_gives_evidence_of_nothing(target: dict[str, Any]) -> None:
    found = asyncio.run(measured({"v": 1, "target": target, "deadline_s": 1.0}))
    assert "paths" not in found and "address" not in found["target"]


def test_the_probe_program_takes_a_diagnosis_as_a_job() -> None:
    body = {**order("127.0.0.1"), "deadline_s": 1.0}
    state, result = asyncio.run(jobs.carry_out({"kind": "diagnose", "body": body}, {}))
    assert (state, result["target"]["blocked"][:7]) == ("done", "Blocked")


def test_what_the_probe_may_reach_is_the_monitors_word_and_its_own_list() -> None:
    async def refusal(check: dict[str, Any] | None) -> str:
        _, result = await jobs.carry_out(
            {"kind": "diagnose", "body": {**order("10.255.255.1", private=False), "check": check, "deadline_s": 0.5}},
            {},
        )
        return str(result["target"].get("blocked", ""))

    assert "private" in asyncio.run(refusal(None))
    assert "private" in asyncio.run(refusal({"kind": "tcp", "config": {}, "private": False}))


def test_an_order_of_another_time_is_refused() -> None:
    state, result = asyncio.run(jobs.carry_out({"kind": "diagnose", "body": {"v": 2}}, {}))
    assert (state, "as new as the portal" in result["why"]) == ("refused", True)


# --- Targets ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "config", "wanted"),
    [
        ("http", {"url": "https://Shop.Example./a?b"}, {"host": "shop.example", "port": 443, "tls": True}),
        ("http", {"url": "http://[2001:db8::1]:8080/"}, {"host": "2001:db8::1", "port": 8080, "tls": False}),
        ("websocket", {"url": "wss://live.example/feed"}, {"host": "live.example", "port": 443, "tls": True}),
        ("tcp", {"host": "db.example", "port": 5432}, {"host": "db.example", "port": 5432, "tls": False}),
        ("tcp", {"host": "m.example", "port": 143, "starttls": "imap"}, {"host": "m.example", "port": 143, "tls": True, "starttls": "imap"}),
        ("tls", {"host": "a.example", "server_name": "b.example"}, {"host": "a.example", "port": 443, "tls": True, "server_name": "b.example"}),
        ("smtp", {"host": "mx.example"}, {"host": "mx.example", "port": 25, "tls": True, "starttls": "smtp"}),
        ("imap", {"host": "mx.example"}, {"host": "mx.example", "port": 993, "tls": True}),
        ("postgres", {"host": "db.example"}, {"host": "db.example", "port": 5432, "tls": True, "starttls": "postgres"}),
        ("mysql", {"host": "db.example"}, {"host": "db.example", "port": 3306, "tls": False}),
        ("redis", {"host": "c.example", "tls": "tls"}, {"host": "c.example", "port": 6379, "tls": True}),
        ("grpc", {"host": "api.example"}, {"host": "api.example", "port": 443, "tls": True}),
        ("ssh", {"host": "gw.example"}, {"host": "gw.example", "port": 22, "tls": False}),
        ("ntp", {"host": "t.example"}, {"host": "t.example", "port": 123, "tls": False}),
        ("udp", {"host": "g.example", "port": 27015}, {"host": "g.example", "port": 27015, "tls": False}),
        ("icmp", {"host": "müller.example"}, {"host": "xn--mller-kva.example", "port": 0, "tls": False}),
        ("dns", {"name": "a.example"}, {"host": "a.example", "port": 0, "tls": False, "name": "a.example"}),
        ("dns", {"name": "a.example", "resolver": "9.9.9.9:5353"}, {"host": "9.9.9.9", "port": 5353, "tls": False, "name": "a.example"}),
    ],
)  # fmt: skip
def test_what_there_is_to_look_at_follows_from_the_kind(
    kind: str, config: dict[str, Any], wanted: dict[str, Any]
) -> None:
    assert target_of(kind, config) == wanted | {"kind": kind}


@pytest.mark.parametrize("kind", ["heartbeat", "push", "group", "host", "container", "domain", "unheard-of"])
def test_some_kinds_have_nothing_to_send_packets_to(kind: str) -> None:
    assert target_of(kind, {"host": "a.example", "name": "a.example", "port": 1}) is None


@pytest.mark.parametrize("config", [{}, {"host": "a b", "port": 1}, {"host": "a.example"}, {"host": "a.example", "port": 99999}, {"host": "0x7f.1", "port": 1}])  # fmt: skip
def test_settings_that_no_longer_fit_have_no_target(config: dict[str, Any]) -> None:
    assert target_of("tcp", config) is None


def test_monitors_of_one_host_and_port_share_a_key_and_long_names_fit_it() -> None:
    web, port = target_of("http", {"url": "https://a.example/x"}), target_of("tcp", {"host": "a.example", "port": 443})
    assert web and port and key_of(web) == key_of(port) == "a.example:443"
    long = {"host": ".".join(["x" * 60] * 4), "port": 443, "kind": "http", "tls": True, "name": "y" * 200}
    assert len(key_of(long)) <= 200 and key_of(long) != key_of(long | {"port": 444})


def test_only_names_among_the_anchors_are_controls() -> None:
    assert names_in(["1.1.1.1:443", "https://example.com/x", "[::1]:80", "dns.example:53", "nonsense:::", "host:1"]) == ["example.com", "dns.example"]  # fmt: skip
