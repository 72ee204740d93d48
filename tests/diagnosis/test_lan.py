"""Is it this probe's own line? From the kernel's tables, and in the field."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from monitors.diagnosis.lan import Lines, read_arp, read_routes

alone = pytest.mark.alone
pytestmark = pytest.mark.once

ROUTES = """Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth1	00000000	0104A8C0	0003	0	0	600	00000000	0	0	0
eth0	00000000	0101A8C0	0003	0	0	100	00000000	0	0	0
eth0	0001A8C0	00000000	0001	0	0	100	00FFFFFF	0	0	0
eth2	0000000A	00000000	0000	0	0	100	000000FF	0	0	0
"""
NEIGHBOURS = """IP address       HW type     Flags       HW address            Mask     Device
192.168.1.1      0x1         0x2         aa:bb:cc:dd:ee:ff     *        eth0
192.168.1.77     0x1         0x0         00:00:00:00:00:00     *        eth0
"""


def test_the_gateway_is_that_of_the_best_metric_and_networks_that_are_down_do_not_count() -> None:
    assert read_routes(ROUTES) == ("192.168.1.1", (IPv4Network("192.168.1.0/24"),))


def test_without_a_table_nothing_is_known() -> None:
    assert read_routes("") == (None, ())
    assert read_arp("") == {}


def test_the_neighbours_table_says_who_answered_the_kernel() -> None:
    lines = Lines(None, (IPv4Network("192.168.1.0/24"),), read_arp(NEIGHBOURS))
    assert [lines.arp(f"192.168.1.{n}") for n in (1, 77, 9)] == ["complete", "failed", "unknown"]
    assert (lines.holds("192.168.1.9"), lines.holds("192.168.2.9"), lines.holds("fe80::1")) == (True, False, False)


@alone
def test_the_first_router_is_pinged(seen: dict[str, Any]) -> None:
    gateway = seen["black hole"]["own"]["gateway"]
    assert (gateway["address"], gateway["sent"], gateway["got"], gateway["arp"]) == ("10.0.1.2", 3, 3, "complete")


@alone
def test_a_neighbour_that_is_there_is_known_to_the_kernel(seen: dict[str, Any]) -> None:
    own = seen["neighbour"]["own"]
    assert (own["target_on_lan"], own["arp"]) == (True, "complete")


@alone
def test_a_neighbour_that_is_off_does_not_answer_arp(seen: dict[str, Any]) -> None:
    own = seen["nobody here"]["own"]
    assert (own["target_on_lan"], own["arp"]) == (True, "failed")
    assert seen["nobody here"]["connect"]["status"] in ("timeout", "unreachable")


@alone
def test_only_private_probes_look_at_their_neighbours(seen: dict[str, Any]) -> None:
    assert seen["neighbour"]["own"]["neighbours"] == {"known": 1, "asked": 1, "answered": 1}
    assert "neighbours" not in seen["well"]["own"]
    assert seen["well"]["own"]["target_on_lan"] is False


@alone
def test_anchors_say_whether_the_world_is_in_reach(seen: dict[str, Any]) -> None:
    assert seen["www.well"]["own"]["anchors"] == {"10.9.0.1:8080": True, "https://text.well.example": False}
