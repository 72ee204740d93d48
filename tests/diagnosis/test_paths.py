"""Where do packets die? Paths through real routers with real faults, and the packets themselves as bytes."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from monitors.diagnosis import packets
from monitors.diagnosis.hops import Trace, number_of
from monitors.diagnosis.unprivileged import mtr_command, read_mtr
from tests.diagnosis.conftest import CLOSED, LIMITED, NARROW, NO_PINGS, REFUSED, WELL, path

ROUTERS = ["10.0.1.2", "10.0.2.2", "10.0.3.2", "10.0.4.2"]
alone = pytest.mark.alone
pytestmark = pytest.mark.once


def met(found: dict[str, Any]) -> list[str | None]:
    """Who answered, hop by hop."""
    return [hop["address"] for hop in found["hops"]]


# --- In the field -------------------------------------------------------------------------------------------------------
@alone
@pytest.mark.parametrize("proto", ["icmp", "tcp"])
def test_a_clean_path_shows_each_router_and_the_target(seen: dict[str, Any], proto: str) -> None:
    found = path(seen["well"], proto)
    assert (found["status"], found["reached"], found["way"]) == ("ok", True, "raw")
    assert met(found) == [*ROUTERS, WELL]
    assert all(hop["got"] == hop["sent"] == found["rounds"] == len(hop["rtt_ms"]) for hop in found["hops"])
    assert [hop["said"] for hop in found["hops"]] == ["ttl"] * 4 + ["reply" if proto == "icmp" else "open"]


@alone
def test_loss_at_the_third_router_begins_behind_it(seen: dict[str, Any]) -> None:
    hops = [hop for proto in ("icmp", "tcp") for hop in path(seen["lossy"], proto)["hops"]]
    assert all(hop["got"] == hop["sent"] for hop in hops if hop["ttl"] <= 3)
    assert sum(hop["sent"] - hop["got"] for hop in hops if hop["ttl"] > 3) > 0


@alone
def test_behind_a_black_hole_nobody_answers_and_the_packets_sent_are_told(seen: dict[str, Any]) -> None:
    found = path(seen["black hole"], "tcp")
    assert (found["status"], found["reached"]) == ("ok", False)
    assert met(found)[:4] == [*ROUTERS[:3], None]
    assert all((hop["got"], hop["sent"]) == (0, 5) for hop in found["hops"] if hop["ttl"] > 3)
    assert len(found["hops"]) < 10  # nobody goes on to thirty into silence


@alone
def test_a_closed_port_is_told_by_the_target_itself(seen: dict[str, Any]) -> None:
    found = path(seen["closed"], "tcp")
    assert (met(found)[-1], found["hops"][-1]["said"], found["reached"]) == (CLOSED, "closed", True)


@alone
def test_a_target_that_answers_no_pings_is_reached_by_its_port(seen: dict[str, Any]) -> None:
    assert not path(seen["no pings"], "icmp")["reached"]
    assert path(seen["no pings"], "tcp")["hops"][-1] | {"rtt_ms": []} == {
        "ttl": 5, "address": NO_PINGS, "sent": 5, "got": 5, "rtt_ms": [], "said": "open",
    }  # fmt: skip
    assert seen["no pings"]["ping"]["got"] == 0


@alone
def test_a_router_that_limits_its_answers_loses_nothing_of_what_goes_through_it(seen: dict[str, Any]) -> None:
    for proto in ("icmp", "tcp"):
        *_, router, target = path(seen["limited"], proto)["hops"]
        assert router["got"] < router["sent"]
        assert (target["address"], target["got"]) == (LIMITED, target["sent"])


@alone
def test_load_sharing_shows_both_routers_at_one_distance(seen: dict[str, Any]) -> None:
    third = [path(seen[f"shared {n}"], "tcp")["hops"][2] for n in (1, 2, 3)]
    assert {address for hop in third for address in (hop["address"], *hop.get("others", ()))} == {
        "10.0.3.2",
        "10.0.6.2",
    }


@alone
def test_a_router_that_forbids_ends_the_path_with_its_word(seen: dict[str, Any]) -> None:
    found = path(seen["refused"], "icmp")
    assert (met(found)[-1], found["hops"][-1]["said"], found["reached"]) == ("10.0.3.2", "admin", False)
    assert REFUSED not in met(found)


@alone
def test_large_packets_that_vanish_without_a_word_are_a_black_hole(seen: dict[str, Any]) -> None:
    size = seen["narrow"]["size"]
    assert (size["status"], size["largest"]) == ("black_hole", 1280)
    assert size["sizes"] == {"576": 3, "1280": 3, "1400": 0, "1500": 0}
    assert seen["narrow"]["ping"]["got"] == 10 and seen["narrow"]["target"]["address"] == NARROW


@alone
def test_a_router_that_says_too_big_is_named_with_what_would_fit(seen: dict[str, Any]) -> None:
    size = seen["narrow, told"]["size"]
    assert (size["status"], size["said_by"], size["mtu"], size["largest"]) == ("reported", "10.0.2.2", 1300, 1280)


@alone
def test_full_sized_packets_pass_where_nothing_is_narrow(seen: dict[str, Any]) -> None:
    assert (seen["well"]["size"]["status"], seen["well"]["size"]["largest"]) == ("ok", 1500)
    assert seen["black hole"]["size"]["status"] == "no_answer"


@alone
def test_without_raw_sockets_the_kernels_error_queue_shows_the_same_path(seen: dict[str, Any]) -> None:
    for proto, way in (("icmp", "datagram"), ("tcp", "connect")):
        found = path(seen["unprivileged"], proto)
        assert (found["way"], met(found)[:4], found["reached"]) == (way, ROUTERS, True)
    assert seen["unprivileged"]["size"]["largest"] == 1500


@alone
@pytest.mark.parametrize("name", ["version 6", "version 6, unprivileged"])
def test_paths_of_version_6_look_the_same(seen: dict[str, Any], name: str) -> None:
    for proto in ("icmp", "tcp"):
        found = path(seen[name], proto)
        assert met(found) == ["fd00:1::2", "fd00:2::2", "fd00:3::2", "fd00:4::2", "fd00:5::2"]
        assert (found["reached"], found["hops"][0]["said"]) == (True, "ttl")
    sizes = seen[name]["size"]["sizes"]  # the first of each may go while routers still ask who their neighbours are
    assert set(sizes) == {"1280", "1400", "1500"} and min(sizes.values()) >= 2


@alone
def test_without_any_right_of_our_own_mtr_is_asked(seen: dict[str, Any]) -> None:
    found = path(seen["by mtr"], "icmp")
    if found["status"] == "not_permitted":
        pytest.skip("NOT RUN: mtr is not installed (apt-get install mtr-tiny)")
    assert (found["way"], met(found)[:4], found["reached"]) == ("mtr", ROUTERS, True)


@alone
def test_routers_are_called_what_reverse_dns_says_however_hostile_as_one_line_of_text(seen: dict[str, Any]) -> None:
    names = [hop.get("name") for hop in path(seen["well"], "icmp")["hops"]]
    assert names[0] == "first.router.example"
    assert names[1] == r"<script>alert\(1\)</script>.evil.example"  # as text: whoever shows it has to escape it
    assert all(name is None or (name.isprintable() and len(name) <= 253) for name in names)


# --- Bookkeeping --------------------------------------------------------------------------------------------------------
def trace_of(*heard: tuple[int, int, str, str], sent: int = 8) -> Trace:
    """A trace of one round, with answers (ttl, ms, source, word)."""
    trace = Trace("icmp", "192.0.2.9")
    for ttl in range(1, sent + 1):
        trace.sent(number_of(0, ttl), 100.0)
    for ttl, ms, source, said in heard:
        trace.heard(number_of(0, ttl), source, said, 100.0 + ms / 1000)
    trace.rounds = 1
    return trace


def test_beyond_the_nearest_distance_that_reached_nothing_is_sent_or_told() -> None:
    trace = trace_of((4, 9, "192.0.2.9", "reply"), (3, 8, "192.0.2.9", "reply"), (5, 9, "192.0.2.9", "reply"))
    assert trace.farthest(1) == 3
    assert [hop["ttl"] for hop in trace.evidence(200.0)["hops"]] == [1, 2, 3]


def test_silence_is_followed_a_few_steps_and_in_the_first_rounds_to_the_end() -> None:
    trace = trace_of((2, 5, "10.0.0.2", "ttl"))
    assert (trace.farthest(1), trace.farthest(2)) == (30, 6)


def test_a_packet_that_may_still_be_answered_is_not_lost_yet() -> None:
    trace = trace_of((1, 5, "10.0.0.1", "ttl"))
    assert trace.evidence(100.5)["hops"][1]["sent"] == 0
    assert trace.evidence(102.0)["hops"][1]["sent"] == 1


def test_a_second_answer_to_one_packet_does_not_count() -> None:
    trace = trace_of((1, 5, "10.0.0.1", "ttl"), (1, 6, "10.0.0.7", "ttl"))
    hop = trace.evidence(200.0)["hops"][0]
    assert (hop["got"], hop["address"], "others" in hop) == (1, "10.0.0.1", False)


def test_a_refusal_on_the_way_is_not_the_end_once_the_target_has_answered() -> None:
    trace = trace_of((2, 5, "10.0.0.2", "host"), (6, 9, "192.0.2.9", "reply"))
    assert (trace.reached, trace.end) == (True, 6)


# --- Packets ------------------------------------------------------------------------------------------------------------
def test_all_echoes_of_one_flow_have_the_same_checksum_so_load_sharing_sends_them_one_way() -> None:
    sums = {packets.echo(7, number, 0x5000, v6=False)[2:4] for number in (1, 2, 700)}
    assert len(sums) == 1
    assert packets.checksum(packets.echo(7, 3, 0x5000, v6=False)) == 0


def ip(protocol: int, source: bytes, target: bytes, body: bytes) -> bytes:
    """An IPv4 packet."""
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0, source, target) + body


US, THEM = bytes((10, 0, 0, 1)), bytes((192, 0, 2, 9))


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [(11, 0, "ttl"), (3, 0, "net"), (3, 1, "host"), (3, 3, "port"), (3, 4, "frag"), (3, 13, "admin"), (3, 10, "admin"), (3, 7, "host")],
)  # fmt: skip
def test_icmp_errors_say_which_packet_and_why(kind: int, code: int, said: str) -> None:
    inner = ip(packets.ICMP, US, THEM, packets.echo(7, 42, 0x5000, v6=False)[:8])
    quote = packets.quoted(struct.pack("!BBHHH", kind, code, 0, 0, 1300) + inner, v6=False)
    assert quote is not None
    assert (quote.said, quote.target, struct.unpack_from("!HH", quote.head, 4)) == (said, THEM, (7, 42))
    assert quote.mtu == (1300 if said == "frag" else 0)


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 12, 27, 30, 35])
def test_a_cut_off_error_is_no_error_of_ours(cut: int) -> None:
    inner = ip(packets.ICMP, US, THEM, packets.echo(7, 42, 0x5000, v6=False)[:8])
    assert packets.quoted((struct.pack("!BBHHH", 11, 0, 0, 0, 0) + inner)[:cut], v6=False) is None


def test_what_the_targets_tcp_says_is_matched_by_port_and_acknowledgement() -> None:
    def segment(port: int, ours: int, acknowledged: int, flags: int) -> bytes:
        return struct.pack("!HHIIBBHHH", port, ours, 1, acknowledged, 5 << 4, flags, 0, 0, 0)

    assert packets.answer_to_syn(segment(443, 61002, 1001, packets.SYN | packets.ACK), 443, 61000, 8) == (61002, packets.Heard(1000, "open"))  # fmt: skip
    assert packets.answer_to_syn(segment(443, 61002, 1001, packets.RST | packets.ACK), 443, 61000, 8) == (61002, packets.Heard(1000, "closed"))  # fmt: skip
    assert packets.answer_to_syn(segment(443, 61008, 1001, packets.RST | packets.ACK), 443, 61000, 8) is None
    assert packets.answer_to_syn(segment(80, 61002, 1001, packets.SYN | packets.ACK), 443, 61000, 8) is None
    assert packets.answer_to_syn(segment(443, 61002, 1001, packets.ACK), 443, 61000, 8) is None


# --- mtr ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "host", ["shop.example", "-x", "192.0.2.1; reboot", "$(id)", "192.0.2.1\n", "`id`", "", "192.0.2.1 -c 9"]
)
def test_nothing_but_an_address_reaches_a_command_line(host: str) -> None:
    with pytest.raises(ValueError):
        mtr_command("mtr", host, 443)


def test_the_address_stands_behind_the_end_of_the_options() -> None:
    assert mtr_command("mtr", "192.0.2.1", 443)[-2:] == ["--", "192.0.2.1"]


def test_mtrs_report_becomes_hops_and_a_name_in_it_becomes_silence() -> None:
    hub = {"count": 1, "host": "192.0.2.1", "Loss%": 33.3, "Snt": 3, "Last": 2.0, "Avg": 2.0, "Best": 1.0, "Wrst": 3.0}
    hops = read_mtr({"report": {"hubs": [hub, hub | {"count": 2, "host": "???", "Loss%": 100.0, "Avg": 0.0}]}})
    assert hops[0] == {"ttl": 1, "address": "192.0.2.1", "sent": 3, "got": 2, "rtt_ms": [1.0, 3.0]}
    assert hops[1] == {"ttl": 2, "address": None, "sent": 3, "got": 0, "rtt_ms": []}
