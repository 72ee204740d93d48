"""What does a diagnosis look like when it is done? Rows with evidence of the contract's full shape, written by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from monitors.models import Battery, Diagnosis, Monitor, Probe, RouteChange
from portal.clock import database_now
from tests import cast
from tests.console import scene

SUMMARY = "Packets are lost from hop 6 on, inside AS64620 (Example Transit)"
PLACES = (("fra", "Frankfurt"), ("ams", "Amsterdam"), ("gru", "São Paulo"))
NETWORKS = ((64500, "Home"), (64500, "Home"), (64510, "Carrier One"), (64510, "Carrier One"), (64510, "Carrier One"), (64620, "Example Transit"), (64620, "Example Transit"), (64620, "Example Transit"), (64700, "Shop Hosting"), (64700, "Shop Hosting"))  # fmt: skip
TARGET = "198.51.100.80"
RTTS = (0.6, 2.1, 6.5, 9.0, 11.5, 34.0, 38.0, 41.0, 44.0, 46.0)


def probe(slug: str, name: str, **more: Any) -> Probe:
    """A probe of this name."""
    return Probe.objects.get_or_create(slug=slug, defaults={"name": name, **more})[0]


def address(n: int, place: int) -> str:
    """The router at hop `n` on the way from that place; from the fifth on it is the same from everywhere."""
    return TARGET if n == 10 else f"192.0.2.{n * 10 + (place if n < 5 else 0)}"


def hops(place: int, loss_from: int = 6, loss: float = 0.42, slower: float = 40.0) -> list[dict[str, Any]]:
    """Ten hops: the second silent, the fourth answering seldom, and loss from one hop on."""
    found = []
    for n, ((asn, name), base) in enumerate(zip(NETWORKS, RTTS, strict=True), 1):
        got = 10 if n < loss_from else round(10 * (1 - loss))
        got = 0 if n == 2 else 3 if n == 4 and loss_from > 4 else got
        times = [base + place * 3 + (slower if n >= loss_from else 0) + k / 10 for k in range(got)]
        hop: dict[str, Any] = {
            "ttl": n,
            "address": address(n, place) if got else None,
            "sent": 10,
            "got": got,
            "rtt_ms": times,
        }
        if got:
            hop |= {"asn": asn, "as_name": name, "name": f"r{n}.example.net", "said": "reply" if n == 10 else "ttl"}
        if n == 7:
            hop["others"] = ["192.0.2.171", "192.0.2.172"]
        found.append(hop)
    return found


def usual(place: int) -> dict[str, Any]:
    """How it looks from there while all is well."""
    path = [None if n == 2 else address(n, place) for n in range(1, 11)]
    path[7] = "192.0.2.199"  # the route has moved since
    return {
        "learned_at": 1.0, "samples": 12, "path": path, "paths": [], "as_path": [64500, 64510, 64620, 64700], "silent": [2],
        "hop_ms": [None if n == 2 else RTTS[n - 1] + place * 3 for n in range(1, 11)], "hop_loss": [0.0] * 3 + [0.7] + [0.0] * 6,
        "names": {"addresses": [TARGET], "cname": [], "authoritative": [TARGET]},
        "tls": {"fingerprint": "ab" * 32, "issuer": "Example CA", "subject": "shop.acme.example", "not_after": 1.9e9},
        "phases": {"dns_ms": [1, 2, 6], "connect_ms": [40, 46, 58], "tls_ms": [45, 52, 70], "first_byte_ms": [60, 80, 130], "total_ms": [150, 190, 260]},
    }  # fmt: skip


def battery(p: Probe, place: int, at: datetime, **changes: Any) -> dict[str, Any]:
    """What one probe measured."""
    return {
        "v": 1, "probe": p.pk, "slug": p.slug, "private": p.client_id is not None, "network": p.network, "at": at.timestamp(), "took_ms": 3900.0, "cut": [],
        "target": {"host": "api.acme.example", "port": 443, "tls": True, "kind": "http", "address": TARGET, "addresses": [TARGET]},
        "own": {
            "anchors": {"https://anchor.msp.example": True, "198.51.100.1:443": True, "inner.msp.example:443": False},
            "gateway": {"address": "10.20.0.1", "sent": 5, "got": 5, "ms": 0.6}, "neighbours": {"known": 12, "asked": 5, "answered": 4},
        },
        "names": {
            "name": "api.acme.example", "system": {"server": "system", "status": "ok", "addresses": [TARGET], "ttl": 300, "ms": 2.2},
            "control": {"server": "system", "status": "ok", "addresses": ["198.51.100.7"], "ms": 1.9},
            "resolvers": [{"server": "192.0.2.53", "status": "ok", "addresses": [TARGET], "ttl": 280, "ms": 9.0, "dnssec": "secure"}, {"server": "192.0.2.54", "status": "timeout", "why": "no answer within 1.5 s"}],
            "authoritative": [{"server": "ns1.acme.example (192.0.2.90)", "status": "ok", "addresses": ["203.0.113.9"], "ttl": 300, "ms": 31.0}],
            "delegation": {"zone": "acme.example", "parent": ["ns1.acme.example", "ns2.acme.example"], "child": ["ns1.acme.example"], "status": "mismatch"},
        },
        "paths": [
            {"proto": "icmp", "status": "ok", "address": TARGET, "reached": True, "rounds": 10, "hops": hops(place)},
            {"proto": "tcp", "port": 443, "status": "ok", "address": TARGET, "reached": True, "rounds": 10, "hops": hops(place, slower=30.0)},
        ],
        "connect": {"status": "some", "tries": 5, "ok": 3, "ms": [88.0, 91.0, 1090.0]},
        "ping": {"status": "ok", "sent": 10, "got": 6, "rtt_ms": [86.0, 87.0, 90.0]},
        "size": {"status": "ok", "sizes": {"1500": 2, "1280": 2, "576": 2}, "largest": 1500},
        "tls": {"status": "ok", "protocol": "TLSv1.3", "fingerprint": "cd" * 32, "subject": "shop.acme.example", "issuer": "Another CA", "not_after": 1.85e9, "chain": 3, "ms": 180.0},
        "http": {"status": "timeout", "phases": {"dns_ms": 2.2, "connect_ms": 90.0, "tls_ms": 180.0, "first_byte_ms": 420.0, "total_ms": 5000.0}, "said": "no answer within 5 s"},
        "check": {"status": "failing", "error_class": "timeout", "message": "No answer within 5 s"},
        **changes,
    }  # fmt: skip


VERDICT: dict[str, Any] = {
    "version": 1, "summary": SUMMARY, "layer": "transit", "cause": "loss_at_hop", "confidence": 0.87,
    "hop": 6, "hop_address": "192.0.2.60", "asn": 64620, "as_name": "Example Transit",
    "regions": {"confirming": ["fra", "ams", "gru"], "asked": ["fra", "ams", "gru", "acme-lan"]},
    "for": [
        {"text": "42 % of packets are lost from hop 6 on, and the loss lasts until the target", "probes": ["fra", "ams", "gru"], "weight": 3.0},
        {"text": "Up to hop 5 nothing is lost", "probes": ["fra", "ams", "gru"]},
    ],
    "against": [{"text": "From inside the client's network it answers", "probes": ["acme-lan"]}],
    "ruled_out": [{"layer": "dns", "text": "Every resolver gives the usual address"}, {"layer": "server", "text": "It answers from inside at 4 ms"}, {"layer": "probe", "text": "Each probe reaches its independent places"}],
    "candidates": [{"layer": "transit", "cause": "loss_at_hop", "score": 4.2, "confidence": 0.87}, {"layer": "client_network", "cause": "uplink_full", "score": 1.0, "confidence": 0.08}],
    "also": [{"layer": "dns", "cause": "delegation", "summary": "The zone above names a name server that the zone does not know"}],
    "baseline_diff": "route_change", "dns": "ok", "ssl": "changed", "mtr_reports": 6,
}  # fmt: skip


def diagnosis(m: Monitor | None = None, alert: Any = None, *, state: str = "done", evidence: bool = True, verdict: dict[str, Any] | None = None, changes: dict[str, Any] | None = None) -> Diagnosis:  # fmt: skip
    """A diagnosis of Acme's monitor, judged with what three regions and one private probe saw. `changes` go into each battery."""
    at = database_now()
    if m is None:
        m = scene.monitor(cast.acme(), "api", config={"url": "https://api.acme.example/"})
        scene.state(m, "down", at - timedelta(minutes=6), "No answer within 5 s")
    began = at - timedelta(minutes=6)
    probes = [probe(slug, name, network=f"AS6440{n}") for n, (slug, name) in enumerate(PLACES)]
    probes.append(probe("acme-lan", "Acme LAN", client=m.client))
    d = Diagnosis.objects.create(
        monitor=m, alert=alert, cause="failure", state=state, first_failure_at=began, started_at=began, deadline_at=began + timedelta(seconds=8),
        finished_at=began + timedelta(seconds=7) if state != "gathering" else None, link_expires_at=at + timedelta(days=90), revision=1 if state == "done" else 0,
    )  # fmt: skip
    seen = []
    for n, p in enumerate(probes):
        private = p.client_id is not None
        e = battery(p, n, began, **(changes or {}))
        if private and not changes:
            e |= {
                "paths": [{"proto": "icmp", "status": "not_permitted", "why": "Raw sockets need CAP_NET_RAW on this machine."}, {"proto": "udp", "status": "ok", "reached": True, "hops": hops(0, 11)[:3]}],
                "reused_from": 1, "cut": ["authoritative"], "check": {"status": "up"}, "connect": {"status": "ok", "tries": 5, "ok": 5, "ms": [4.0]},
                "http": {"status": "ok", "code": 200, "bytes": 5120, "phases": {"connect_ms": 4.0, "total_ms": 90.0}, "server": "nginx"},
            }  # fmt: skip
        done = evidence and (state != "gathering" or n == 0)
        Battery.objects.create(
            diagnosis=d, probe=p, target_key="api.acme.example:443", state="done" if done else "running",
            started_at=began + timedelta(milliseconds=300), finished_at=began + timedelta(seconds=4.2 + n / 10) if done else None, evidence=e if done else {},
        )  # fmt: skip
        if done:
            seen.append(e)
    if state == "done":
        d.evidence = {
            "v": 1, "at": at.timestamp(), "monitor": {"id": m.pk, "kind": "http", "host": "api.acme.example", "port": 443},
            "failure": {"error_class": "timeout", "message": "No answer within 5 s", "state": "failing", "since": began.timestamp()},
            "votes": {str(p.pk): "failing" for p in probes}, "batteries": seen, "usual": {str(p.pk): usual(n) for n, p in enumerate(probes)},
            "around": {"same_as": {"watched": 9, "failing": 4}, "same_site": {"watched": 3, "failing": 0}}, "expected": len(probes),
        }  # fmt: skip
        d.verdict = verdict if verdict is not None else VERDICT
        d.layer, d.confidence, d.verdict_version = "transit", d.verdict.get("confidence"), 1
        d.save()
    RouteChange.objects.create(
        monitor=m, probe=probes[0], at=began - timedelta(minutes=40), before=["192.0.2.10", "192.0.2.199"], after=["192.0.2.10", "192.0.2.80"],
        as_before=[64500, 64510, 64700], as_after=[64500, 64620, 64700],
    )  # fmt: skip
    return d
