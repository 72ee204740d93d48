"""Where does it live? A table of situations, a comment per rule; then whole invented internets; then what holds for all."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from monitors.diagnosis.evidence import LAYERS
from monitors.diagnosis.verdict import VERSION, judge

from .invented import FAULTS, HOST, NOW, Truth, invent

pytestmark = pytest.mark.once
KEYS = (
    "version", "summary", "layer", "cause", "confidence", "hop", "hop_address", "asn", "as_name", "loss_percent", "regions", "for", "against", "ruled_out",
    "candidates", "also", "baseline_diff", "dns", "ssl", "mtr_reports",
)  # fmt: skip
DIFFERENCES = ("none", "route_change", "dns_change", "cert_change", "latency_drift", "unknown")
Tweak = Callable[[dict[str, Any]], None]


# --- Changes to a situation -------------------------------------------------------------------------------------------------
def nothing(evidence: dict[str, Any]) -> None:
    """As it was measured."""


def around(**shared: tuple[int, int]) -> Tweak:
    """So many other monitors share something with it, and so many of them fail."""

    def change(evidence: dict[str, Any]) -> None:
        evidence["around"] = {key: {"watched": watched, "failing": bad} for key, (watched, bad) in shared.items()}

    return change


def without(*names: str) -> Tweak:
    """The batteries were partial: these were not measured."""

    def change(evidence: dict[str, Any]) -> None:
        for battery in evidence["batteries"]:
            for name in names:
                battery.pop(name, None)

    return change


def only_private(evidence: dict[str, Any]) -> None:
    """Only the probe inside the client's network has looked."""
    evidence["batteries"] = [one for one in evidence["batteries"] if one["private"]]


def no_icmp_right(evidence: dict[str, Any]) -> None:
    """The probes may not send ICMP."""
    for battery in evidence["batteries"]:
        battery["ping"] = battery["size"] = {"status": "not_permitted", "why": "no right to raw sockets"}
        for path in battery.get("paths", []):
            if path["proto"] == "icmp":
                path.clear()
                path.update(proto="icmp", status="not_permitted", why="no right to raw sockets")


def routers_answer_seldom(evidence: dict[str, Any]) -> None:
    """Some routers on the way limit what they answer."""
    rng = random.Random(3)
    for battery in evidence["batteries"]:
        for path in battery.get("paths", []):
            for hop in path["hops"][:-1]:
                if rng.random() < 0.4 and hop["got"] > 3:
                    hop["got"] = rng.randint(1, 3)
                    hop["rtt_ms"] = hop["rtt_ms"][: hop["got"]]


def pings_filtered(evidence: dict[str, Any]) -> None:
    """The target never answers pings; it did not while it was well either."""
    for battery in evidence["batteries"]:
        battery["ping"] = {"status": "no_answer", "sent": 10, "got": 0, "rtt_ms": []}
        battery["size"] = {"status": "no_answer", "sizes": {}}
        for path in battery.get("paths", []):
            if path["proto"] == "icmp" and path["reached"]:
                path["reached"] = False
                path["hops"] = path["hops"][:-1]
    for known in evidence["usual"].values():
        known["ping"] = {"answers": False, "loss": 1.0}


# Name: fault of the invented internet, change, right layers, right causes ("" is any), and more for invent().
SITUATIONS: dict[str, tuple[str, Tweak, str, str, dict[str, Any]]] = {
    "loss at a hop of a carrier": ("loss_at_hop", nothing, "transit", "loss_at_hop", {}),
    "loss, and routers that limit what they answer": ("loss_at_hop", routers_answer_seldom, "transit", "", {}),
    "loss, without a baseline": ("loss_at_hop", nothing, "transit", "loss_at_hop", {"baseline": False}),
    "loss, without the right to send ICMP": ("loss_at_hop", no_icmp_right, "transit", "loss_at_hop", {}),
    "loss of packets in one direction only": ("one_way_loss", nothing, "transit", "one_way_loss|loss|loss_at_hop", {}),
    "packets end at a router of a carrier": ("black_hole", nothing, "transit", "black_hole_at_hop", {"places": 5}),
    "a router says it has no route": ("no_route", nothing, "transit", "black_hole_at_hop", {}),
    "two routers send packets to and fro": ("loop", nothing, "transit", "loop", {}),
    "a router that delays everything behind it": ("slow_hop", nothing, "transit", "latency_at_hop", {}),
    "small packets arrive, large ones vanish": ("mtu_black_hole", nothing, "transit", "mtu_black_hole", {}),
    "the route moved to another carrier": ("route_moved", nothing, "transit", "route_moved|loss_at_hop", {}),
    "the client's firewall is dead": ("edge_dead", nothing, "client_network", "edge_dead", {"places": 5}),
    "dead firewall, seen from inside, too": ("edge_dead", nothing, "client_network", "edge_dead", {"private": True}),
    "dead firewall, seen from inside only": ("edge_dead", only_private, "client_network", "edge_dead", {"private": True}),
    "dead firewall, others of the site fail": ("edge_dead", around(same_site=(6, 6)), "client_network", "edge_dead", {"places": 4}),
    "the client's firewall refuses": ("edge_filters", nothing, "client_network", "", {}),
    "the client's line loses packets": ("edge_loss", nothing, "client_network", "edge_loss", {"places": 4}),
    "the server is dead": ("server_dead", nothing, "server", "host_down", {"places": 4}),
    "dead server, seen on its own network": ("server_dead", nothing, "server", "host_down", {"private": True}),
    "dead server, all on its host fail": ("server_dead", around(same_host=(4, 4), same_site=(5, 0)), "server", "host_down", {}),
    "dead server, without a baseline, seen inside": ("server_dead", nothing, "server", "host_down", {"private": True, "baseline": False}),
    "the port is closed": ("port_closed", nothing, "service", "port_closed", {}),
    "the port is closed, pings are filtered": ("port_closed", pings_filtered, "service", "port_closed", {}),
    "the port is closed, no baseline": ("port_closed", nothing, "service", "port_closed", {"baseline": False}),
    "the process hangs": ("hanging", nothing, "service", "hanging", {}),
    "the process resets connections": ("resets", nothing, "service", "resets", {}),
    "HTTP 5xx": ("http_5xx", nothing, "application", "http_5xx", {}),
    "HTTP 5xx, routers that limit what they answer": ("http_5xx", routers_answer_seldom, "application", "http_5xx", {}),
    "HTTP 5xx, ICMP filtered at the end": ("http_5xx", pings_filtered, "application", "http_5xx", {}),
    "HTTP 5xx, no baseline": ("http_5xx", nothing, "application", "http_5xx", {"baseline": False}),
    "HTTP 5xx, nothing but the request was made": ("http_5xx", without("paths", "ping", "size", "connect", "tls", "names", "own"), "application", "http_5xx", {}),
    "HTTP 4xx": ("http_4xx", nothing, "application", "http_4xx", {}),
    "wrong content": ("wrong_content", nothing, "application", "wrong_content", {}),
    "a slow application": ("slow_application", nothing, "application", "slow", {}),
    "SERVFAIL": ("servfail", nothing, "dns", "authoritative_timeout|servfail", {}),
    "SERVFAIL, authoritative servers not asked": ("servfail", lambda e: [b.get("names", {}).pop("authoritative", 0) for b in e["batteries"]], "dns", "servfail|authoritative_timeout", {}),
    "NXDOMAIN": ("nxdomain", nothing, "dns", "nxdomain", {}),
    "the name has no address": ("nodata", nothing, "dns", "nodata", {}),
    "name servers that do not serve the zone": ("lame", nothing, "dns", "lame", {}),
    "invalid signatures": ("bogus", nothing, "dns", "bogus_dnssec", {}),
    "expired delegation": ("expired_delegation", nothing, "dns", "delegation_missing", {}),
    "one resolver is wrong": ("one_resolver", nothing, "dns", "one_resolver|wrong_answer", {}),
    "certificate expired": ("certificate_expired", nothing, "tls", "expired", {}),
    "certificate for another name": ("certificate_wrong_host", nothing, "tls", "wrong_host", {}),
    "certificate of nobody's": ("certificate_untrusted", nothing, "tls", "untrusted", {}),
    "intermediate missing": ("certificate_incomplete", nothing, "tls", "incomplete", {}),
    "certificate expired, no baseline, no ICMP": ("certificate_expired", no_icmp_right, "tls", "expired", {"baseline": False}),
    "one region's own line is dead": ("own_line_dead", nothing, "probe", "own_line", {}),
    "one region's own line loses packets": ("own_line_lossy", nothing, "probe", "own_line", {}),
    "one region's own resolver is dead": ("own_resolver_dead", nothing, "probe", "own_resolver", {}),
    "the portal's DNS is dead": ("portal_dns_dead", nothing, "probe", "own_resolver", {}),
    "two faults at once": ("two_faults", nothing, "application|transit", "", {}),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_situation(situation):
    """Three internets each: two of them must be right in layer and cause, and none wrong while it is sure of itself."""
    fault, change, layers, causes, more = SITUATIONS[situation]
    right = []
    for seed in range(3):
        evidence, truth = invent(seed, fault, **{"missing": 0.0, "places": 4, **more})
        change(evidence)
        told = judge(evidence)
        good = told["layer"] in (*layers.split("|"), *truth.layers) and (
            not causes or told["cause"] in causes.split("|")
        )
        right.append(good)
        assert good or told["layer"] in truth.layers or told["confidence"] <= 0.8, told["summary"]
    assert sum(right) >= 2


# --- Thin evidence ------------------------------------------------------------------------------------------------------------
def test_nothing_measured_is_unknown():
    told = judge({"v": 1, "at": NOW, "batteries": [], "usual": {}, "votes": {}, "monitor": {"host": HOST}, "failure": {"error_class": "connect_timeout"}})  # type: ignore[typeddict-item]  # fmt: skip
    assert (told["layer"], told["confidence"], told["mtr_reports"]) == ("unknown", 0.0, 0)


@pytest.mark.parametrize("fault", ["edge_dead", "server_dead"])
def test_edge_and_server_cannot_be_told_apart_without_a_baseline(fault):
    for seed in range(12):
        evidence, _ = invent(seed, fault, baseline=False, missing=0.0, private=False, places=3)
        for battery in evidence["batteries"]:
            for path in battery.get("paths", []):  # and nobody says who gives up
                path["hops"] = [hop for hop in path["hops"] if hop.get("said") != "host"]
        told = judge(evidence)
        assert told["layer"] == "unknown" or told["confidence"] <= 0.6


def test_few_of_the_probes_that_were_asked_make_nobody_sure():
    evidence, _ = invent(1, "edge_dead", missing=0.0, places=6)
    evidence["batteries"] = evidence["batteries"][:2]
    told = judge(evidence)
    assert 0 < told["confidence"] <= 0.8


def test_a_silent_service_without_handshakes():
    """UDP: the machine answers pings, the check hears nothing."""
    evidence, _ = invent(1, "hanging", missing=0.0, places=3)
    evidence["monitor"].update(kind="ntp", tls=False)
    for battery in evidence["batteries"]:
        for name in ("tls", "http", "connect", "size"):
            battery[name] = {"status": "not_run", "why": "the service speaks UDP"}
        battery["connect"].update(tries=0, ok=0)
    told = judge(evidence)
    assert (told["layer"], told["cause"]) == ("service", "no_answer")


def test_a_firewall_that_answers_for_the_target_and_refuses():
    evidence, _ = invent(1, "server_dead", missing=0.0, places=3, private=False)
    for battery in evidence["batteries"]:
        for path in battery["paths"]:
            at = len(evidence["usual"][str(battery["probe"])]["path"])
            path["hops"] = [hop for hop in path["hops"] if hop["ttl"] < at]
            path["hops"].append({"ttl": at, "address": battery["target"]["address"], "sent": 8, "got": 8, "rtt_ms": [9.0] * 8, "said": "admin"})  # fmt: skip
    told = judge(evidence)
    assert (told["layer"], told["cause"]) == ("client_network", "admin_prohibited")


def test_a_port_that_is_dropped_in_front_of_a_service_that_is_well_inside():
    right = 0
    for seed in range(4):
        evidence, _ = invent(seed, "edge_filters", missing=0.0, places=3, private=True)
        for battery in evidence["batteries"]:
            for path in battery.get("paths", []):
                path["hops"] = [hop for hop in path["hops"] if hop.get("said") != "admin"]
            if not battery["private"]:
                battery["connect"]["status"] = "timeout"
        told = judge(evidence)
        right += told["layer"] == "client_network"
    assert right >= 3


def test_several_machines_of_a_site_do_not_die_at_once():
    evidence, _ = invent(1, "server_dead", missing=0.0, places=4, private=False)
    around(same_site=(4, 4), same_host=(0, 0))(evidence)
    assert judge(evidence)["layer"] == "client_network"


def test_an_edge_that_still_serves_another_machine_is_not_dead():
    """Five monitors of the dark machine fail; one of the machine beside it was checked just now, and is well."""
    for seed in range(4):
        evidence, _ = invent(seed, "edge_dead", missing=0.0, places=4, private=False)
        assert judge(evidence)["layer"] == "client_network"
        around(same_site=(6, 5), same_address=(5, 5))(evidence)
        told = judge(evidence)
        assert told["layer"] != "client_network" or told["confidence"] <= 0.5, told["summary"]


def lossy_at_the_end(inside: Tweak, seed: int) -> dict[str, Any]:
    """From everywhere outside the target gets or gives two of three packets, and every hop before it all."""
    evidence, _ = invent(seed, "http_5xx", missing=0.0, places=4, private=True)
    evidence["monitor"].update(kind="icmp", tls=False)
    evidence["failure"] = {"error_class": "loss", "message": "33 % of the packets were lost"}
    evidence["batteries"] = [one for one in evidence["batteries"] if one["private"] or one.get("paths")]
    for battery in evidence["batteries"]:
        beside, address = battery["private"], battery["target"]["address"]
        got = 9 if beside else 6
        for name in ("http", "tls", "connect", "size"):
            battery[name] = {"status": "not_run", "why": "the monitor pings"}
        battery["check"] = {"status": "up"} if beside else {"status": "degraded", "error_class": "loss"}
        battery["ping"] = {"status": "ok", "sent": 9, "got": got, "rtt_ms": [9.0] * got}
        before = [] if beside else battery["paths"][0]["hops"][:-1]
        for hop in before:
            hop.update(sent=9, got=9, rtt_ms=[5.0] * 9)
        end = {
            "ttl": len(before) + 1,
            "address": address,
            "sent": 9,
            "got": got,
            "rtt_ms": [9.0] * got,
            "said": "reply",
        }
        battery["paths"] = [{"proto": "icmp", "status": "ok", "address": address, "reached": True, "rounds": 9, "hops": [*before, end]}]  # fmt: skip
        if beside:
            battery["own"].update(target_on_lan=True, arp="complete")
            inside(battery)
    return evidence


def test_a_machine_that_loses_nothing_on_its_own_network_is_not_what_loses_packets():
    def too(battery: dict[str, Any]) -> None:
        battery["ping"].update(got=5)
        battery["paths"][0]["hops"][0].update(got=6, rtt_ms=[0.1] * 6)

    blamed = [seed for seed in range(8) if judge(lossy_at_the_end(too, seed))["cause"] == "loss_at_host"]
    assert len(blamed) >= 3, "it loses there too"
    for seed in blamed:
        told = judge(lossy_at_the_end(nothing, seed))
        assert (told["layer"], told["cause"]) == ("transit", "one_way_loss"), told["summary"]


def test_a_dead_switch_takes_the_private_probe_with_it():
    evidence, _ = invent(1, "server_dead", missing=0.0, places=3, private=True)
    for battery in evidence["batteries"]:
        if battery["private"]:
            battery["own"].update(
                anchors={"one": False}, neighbours={"known": 9, "asked": 5, "answered": 0}, arp="failed"
            )
            battery["own"]["gateway"].update(got=0)
    assert judge(evidence)["layer"] == "client_network"


def test_a_name_that_leads_elsewhere_is_the_fault_whatever_answers_there():
    evidence, _ = invent(1, "port_closed", missing=0.0, places=3, private=False)
    for battery in evidence["batteries"]:
        battery["target"].update(address="198.18.9.9", addresses=["198.18.9.9"])
        for answer in (battery["names"]["system"], *battery["names"]["resolvers"], *battery["names"]["authoritative"]):
            answer["addresses"] = ["198.18.9.9"]
    told = judge(evidence)
    assert (told["layer"], told["cause"], told["dns"], told["baseline_diff"]) == ("dns", "wrong_answer", "changed", "dns_change")  # fmt: skip


def test_it_answers_again():
    evidence, _ = invent(1, "http_5xx", missing=0.0)
    for battery in evidence["batteries"]:
        battery["check"] = {"status": "up"}
    told = judge(evidence)
    assert told["layer"] == "unknown"
    assert "answers again" in told["summary"]


# --- What is said ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("loss_at_hop", ("Packets are lost from hop", "AS")),
        ("port_closed", ("Port 443 is closed: the server answers, the service does not listen",)),
        ("certificate_expired", (f"The certificate of {HOST} expired 2 days ago",)),
        ("nxdomain", (f"The name {HOST} does not exist any more (NXDOMAIN from its own name servers)",)),
        ("http_5xx", ("The application answers with HTTP 50", "in all 4 regions")),
        ("edge_dead", ("The client's edge is dead", "hop")),
    ],
)
def test_the_sentence(fault, words):
    told = judge(invent(2, fault, missing=0.0, places=4, private=False)[0])
    assert all(word in told["summary"] for word in words), told["summary"]
    assert len(told["summary"]) <= 140


def test_a_moved_route_is_named_with_its_carriers_and_age():
    evidence, _ = invent(2, "route_moved", missing=0.0, places=3, private=False)
    first = evidence["batteries"][0]
    before = evidence["usual"][str(first["probe"])]["as_path"]
    evidence["route_changes"] = [
        {"probe": b["probe"], "at": NOW - 2400, "as_before": before, "as_after": [64999], "before": [], "after": []} for b in evidence["batteries"]
    ]  # fmt: skip
    told = judge(evidence)
    assert told["cause"] == "route_moved"
    assert told["baseline_diff"] == "route_change"
    assert "→ Cogwheel, 40 min ago" in told["summary"]


def test_regions_confirming_are_counted():
    told = judge(invent(3, "port_closed", missing=0.0, places=4, private=False)[0])
    assert told["regions"]["confirming"] == told["regions"]["asked"] == [f"region-{n}" for n in range(1, 5)]


def test_other_layers_are_ruled_out_with_a_reason():
    told = judge(invent(3, "http_5xx", missing=0.0)[0])
    assert {one["layer"] for one in told["ruled_out"]} >= {"dns", "tls", "server"}
    assert (told["dns"], told["ssl"]) == ("ok", "ok")


def test_two_faults_at_once_are_both_named():
    """A lossy carrier and an application that answers 503: neither explains the other."""
    both = 0
    for seed in range(8):
        evidence, _ = invent(seed, "two_faults", missing=0.0, private=False)
        told = judge(evidence)
        both += {told["layer"], *(one["layer"] for one in told["also"])} >= {"application", "transit"}
    assert both >= 5


def test_neighbours_are_counted_and_never_named():
    evidence, _ = invent(4, "server_dead", missing=0.0)
    around(same_host=(4, 4))(evidence)
    told = judge(evidence)
    assert any("4 of 4 other monitors" in one["text"] for one in told["for"])


def test_neighbours_of_the_same_site_tip_the_scale():
    for fails, layer in (((6, 6), "client_network"), ((6, 0), "server")):
        tipped = 0
        for seed in range(6):
            evidence, _ = invent(seed, "edge_dead", baseline=False, missing=0.0, private=False)
            around(same_site=fails)(evidence)
            shares = {one["layer"]: one["score"] for one in reversed(judge(evidence)["candidates"])}
            other = {"client_network": "server", "server": "client_network"}[layer]
            tipped += shares.get(layer, -9) > shares.get(other, -9)
        assert tipped >= 4


# --- Whole internets --------------------------------------------------------------------------------------------------------
def outcomes(seeds: range) -> list[tuple[Truth, Any]]:
    """Each fault in so many internets; every fifth without a baseline, every seventh with batteries cut short."""
    found = []
    for seed in seeds:
        for fault in FAULTS:
            evidence, truth = invent(seed, fault, baseline=seed % 5 != 4, cut=seed % 7 == 6)
            found.append((truth, judge(evidence)))
    return found


@pytest.fixture(scope="module")
def judged() -> list[tuple[Truth, Any]]:
    return outcomes(range(500, 509))


def is_right(truth: Truth, told: Any) -> bool:
    """The layer, or "unknown" where nobody could know."""
    return told["layer"] in truth.layers or (truth.ambiguous and told["layer"] == "unknown")


def test_the_layer_is_right_in_nineteen_of_twenty(judged):
    assert len(judged) >= 300
    assert sum(is_right(*one) for one in judged) / len(judged) >= 0.95


def test_the_hop_is_right_in_nine_of_ten(judged):
    asked = [(truth, told) for truth, told in judged if truth.hops and told["layer"] in truth.layers]
    good = [told["hop"] in truth.hops or told["hop_address"] == truth.hop_address for truth, told in asked]
    assert len(asked) > 50 and sum(good) / len(good) >= 0.9


def test_hardly_ever_sure_and_wrong(judged):
    wrong = [truth.fault for truth, told in judged if told["confidence"] > 0.8 and not is_right(truth, told)]
    assert len(wrong) <= max(1, len(judged) // 100), wrong


def test_the_confidence_is_honest(judged):
    named = [(told["confidence"], is_right(truth, told)) for truth, told in judged if told["layer"] != "unknown"]
    assert sum((confidence - right) ** 2 for confidence, right in named) / len(named) <= 0.05


# --- What holds for any evidence ---------------------------------------------------------------------------------------------
HOSTILE = "<script>alert(1)</script>\u202e\x00\n\r" + "A" * 5000


def mangled(value: Any, rng: random.Random, much: float) -> Any:
    """The same JSON with keys missing, and with texts and numbers nobody expects."""
    if isinstance(value, dict):
        return {key: mangled(one, rng, much) for key, one in value.items() if rng.random() > much}
    if isinstance(value, list):
        return [mangled(one, rng, much) for one in value if rng.random() > much / 2]
    if rng.random() < much / 3:
        return rng.choice((None, HOSTILE, -1, 10**30, 0.0, True, "", [], {}))
    return value


def sound(told: Any) -> None:
    """Does the verdict keep its shape?"""
    text = json.dumps(told, allow_nan=False)
    assert len(text) <= 20_000
    assert tuple(told) == KEYS
    assert told["layer"] in LAYERS and told["baseline_diff"] in DIFFERENCES and told["version"] == VERSION
    assert told["dns"] in ("ok", "failed", "changed", "unknown") and told["ssl"] in ("ok", "failed", "changed", "unknown")  # fmt: skip
    assert 0 <= told["confidence"] <= 1 and isinstance(told["mtr_reports"], int)
    assert 0 < len(told["summary"]) <= 140
    assert "\u202e" not in text and "\\u202e" not in text and "\\u0000" not in text and "\\n" not in text


@pytest.mark.parametrize("much", [0.02, 0.1, 0.3])
def test_whatever_is_missing_or_odd_a_verdict_comes(much):
    for seed in range(len(FAULTS)):
        rng = random.Random(seed * 7 + int(much * 100))
        evidence, _ = invent(seed, FAULTS[seed], missing=0.0)
        for _ in range(3):
            sound(judge(mangled(evidence, rng, much)))


def test_hostile_texts_stay_text():
    evidence, _ = invent(1, "loss_at_hop", missing=0.0)
    for battery in evidence["batteries"]:
        battery["slug"] = battery["slug"] + "\u202e\n"
        for path in battery["paths"]:
            for hop in path["hops"]:
                hop["as_name"] = hop["name"] = HOSTILE
        battery["tls"]["subject"] = battery["check"]["message"] = HOSTILE
    evidence["failure"]["message"] = evidence["monitor"]["host"] = HOSTILE
    sound(judge(evidence))


def test_a_very_large_evidence_gives_a_small_verdict():
    evidence, _ = invent(1, "loss_at_hop", missing=0.0)
    first = evidence["batteries"][0]
    evidence["batteries"] = [{**copy.deepcopy(first), "probe": n, "slug": f"probe-{n}" * 9} for n in range(200)]
    sound(judge(evidence))


def test_the_same_evidence_gives_the_same_verdict_in_any_order():
    for fault in FAULTS[::2]:
        evidence, _ = invent(5, fault, missing=0.0, places=3)
        before = json.dumps(judge(evidence))
        evidence["batteries"].reverse()
        assert json.dumps(judge(json.loads(json.dumps(evidence)))) == before


def test_the_evidence_stays_as_it_was():
    evidence, _ = invent(5, "loss_at_hop")
    kept = json.dumps(evidence)
    judge(evidence)
    assert json.dumps(evidence) == kept


def test_with_less_evidence_nobody_becomes_sure_of_what_is_wrong():
    """Parts are taken away one after another; what was not surely wrong does not become so (but for one in a hundred)."""
    tried = wrong = 0
    for fault in FAULTS[::2]:
        evidence, truth = invent(6, fault, missing=0.0)
        rng = random.Random(fault)
        if judge(evidence)["layer"] not in truth.layers:
            continue
        for _ in range(6):
            battery = rng.choice(evidence["batteries"])
            present = [name for name in ("own", "names", "paths", "connect", "ping", "size", "tls", "http") if name in battery]  # fmt: skip
            if present:
                battery.pop(rng.choice(present))
            told = judge(evidence)
            tried += 1
            wrong += told["confidence"] > 0.8 and told["layer"] not in truth.layers
    assert wrong <= tried // 100
