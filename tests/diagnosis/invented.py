"""Invented internets: routers, probes, a service, one thing broken. What would the probes measure, and what is the truth?

Physics, not rules: packets travel hop by hop, are lost, delayed, filtered or answered, and the batteries are what comes
back of them. Nothing here knows how monitors.diagnosis judges. `invent(seed, fault)` gives evidence and its label.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from typing import Any

from monitors.diagnosis import usual as usuals
from monitors.diagnosis.evidence import Evidence

NOW = 1_795_300_000.0
HOST = "shop.acme.example"
CARRIERS = ("Northwind", "Bluewire", "Hexagon", "Longhaul", "Meridian", "Skagerrak", "Tundra", "Vantage")
ROUNDS = 8


@dataclass(eq=False)
class Router:
    """One machine that passes packets on. Every field but the first four is what may be wrong with it."""

    address: str
    asn: int
    as_name: str
    answers: float = 0.99  # how often it answers what expires at it
    busy_ms: float = 0.0  # how slow it answers itself, while passing on quickly
    loss: float = 0.0  # of what comes in
    back_loss: float = 0.0  # of what comes back
    delay_ms: float = 0.0
    dead: bool = False
    refuses: str = ""  # says so of everything: net, admin
    drops: str = ""  # silently: icmp, tcp, tcp+say
    mtu: int = 1500
    loops: bool = False
    ill: bool = False  # is any of these set? (what is well need not be looked at packet by packet)
    tells: bool = False  # says "host unreachable" for a dead neighbour behind it


@dataclass
class Place:
    """One probe: the way it goes, its own line and resolver."""

    pk: int
    slug: str
    stages: list[list[Router]]
    private: bool = False
    line_dead: bool = False
    resolver: str = "ok"  # ok, dead, or what it says wrongly: servfail, nxdomain, wrong
    speed: float = 1.0


@dataclass
class World:
    """Everything: places, the edge and server that all lead to, and the service's health."""

    rng: random.Random
    places: list[Place]
    edge: Router
    server: Router
    address: str
    pings: bool = True  # does the target answer pings?
    port: str = "open"  # open, closed, silent
    process: str = "ok"  # ok, hangs, resets
    certificate: str = "ok"
    days: float = 60.0
    code: int = 200
    content: str = "ok"
    first_byte_ms: float = 60.0
    dns: str = "ok"
    kind: str = "http"
    tls: bool = True
    fingerprint: str = "ab" * 16
    moved_to: str = ""


@dataclass
class Truth:
    """What is really wrong. `layers` are all right answers; `hop` where it is, of the place most share; `ambiguous`: nobody could know."""

    fault: str
    layers: tuple[str, ...]
    causes: tuple[str, ...] = ()
    hop_address: str | None = None
    hops: set[int] = field(default_factory=set)
    ambiguous: bool = False
    also: str = ""


# --- Building -----------------------------------------------------------------------------------------------------------
def build(rng: random.Random, places: int | None = None, private: bool | None = None) -> World:
    """A healthy internet."""
    taken: set[str] = set()

    def address(kind: int) -> str:
        while True:
            found = f"{kind}.{rng.randrange(1, 250)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
            if found not in taken:
                taken.add(found)
                return found

    def router(asn: int, name: str, kind: int) -> Router:
        habit = rng.random()
        answers = 0.0 if habit < 0.08 else rng.uniform(0.2, 0.8) if habit < 0.2 else 0.985
        return Router(address(kind), asn, name, answers, rng.choice((0, 0, 0, 0, 40)))

    names = rng.sample(CARRIERS, 5)
    carriers = []
    for n in range(3):
        asn = rng.randrange(1000, 60000)
        core = [
            [router(asn, names[n], 62 + n) for _ in range(2 if rng.random() < 0.3 else 1)]
            for _ in range(rng.randint(2, 4))
        ]
        carriers.append(core)
    isp_asn = rng.randrange(1000, 60000)
    isp = [[router(isp_asn, names[3], 80)] for _ in range(rng.randint(1, 3))]
    edge = Router(address(91), isp_asn, names[3], 0.985 if rng.random() < 0.85 else 0.0)
    server = Router(address(91), isp_asn, names[3])
    found = []
    for n in range(places or rng.choice((3, 4, 5, 6))):
        asn = rng.randrange(60001, 64000)
        own = [
            [Router(f"10.{n + 1}.0.1", 0, "", 0.99)],
            *[[router(asn, f"Access {n}", 45)] for _ in range(rng.randint(1, 2))],
        ]
        found.append(
            Place(
                n + 1,
                f"region-{n + 1}",
                [*own, *rng.choice(carriers), *isp, [edge], [server]],
                speed=rng.uniform(0.5, 3),
            )
        )
    if private if private is not None else rng.random() < 0.35:
        found.append(Place(len(found) + 1, "office", [[server]], private=True))
    edge.tells = rng.random() < 0.6
    isp[-1][0].tells = rng.random() < 0.5
    return World(rng, found, edge, server, server.address, pings=rng.random() < 0.8)


# --- One packet ---------------------------------------------------------------------------------------------------------
def send(world: World, place: Place, way: list[Router], ttl: int, proto: str, size: int = 64) -> tuple[Router, str, float] | None:  # fmt: skip
    """Who answers, what, after how many ms? None when nothing comes back."""
    rng = world.rng
    if place.line_dead and not place.private:
        return (way[0], "ttl", 1.0) if ttl == 1 and rng.random() < 0.9 else None
    took, length = 0.0, len(way)
    before: Router | None = None
    for n, router in enumerate(way, 1):
        took += place.speed * (0.4 if n < 3 else 3.0)
        if n < ttl and n < length and not router.ill:
            before = router
            continue
        took += router.delay_ms
        if router.loss and rng.random() < router.loss:
            return None
        if router.dead:
            says = before is not None and before.tells and rng.random() < 0.7
            return _back(world, way, n - 1, before, "host", took + 30) if says and before else None
        end = router is world.server and n == len(way)
        if ttl == n and not end:
            if rng.random() >= router.answers:
                return None
            return _back(world, way, n, router, "ttl", took + (rng.expovariate(1 / router.busy_ms) if router.busy_ms else 0))  # fmt: skip
        if router.refuses:
            return _back(world, way, n, router, router.refuses, took) if rng.random() < 0.8 else None
        if router.drops and router.drops.startswith(proto):
            return _back(world, way, n, router, "admin", took) if router.drops.endswith("say") else None
        if size > router.mtu:
            return None
        if router.loops:
            at = way[n - 1] if (ttl - n) % 2 == 0 else way[n - 2]
            return _back(world, way, n, at, "ttl", took) if ttl <= 30 and rng.random() < at.answers else None
        if end:
            if proto == "icmp":
                return _back(world, way, n, router, "reply", took) if world.pings else None
            word = {"open": "open", "closed": "closed"}.get(world.port)
            return _back(world, way, n, router, word, took) if word else None
        before = router
    return None


def _back(world: World, way: list[Router], n: int, who: Router, word: str, took: float) -> tuple[Router, str, float] | None:  # fmt: skip
    for router in way if n == len(way) else ():
        if router.back_loss and world.rng.random() < router.back_loss:
            return None  # only what comes back from the target goes this way
    return who, word, took * 1.6 * world.rng.uniform(0.97, 1.1)


def choose(world: World, place: Place) -> list[Router]:
    """One flow's way: load balancing picks one router of each stage."""
    return [stage[0] if len(stage) == 1 else world.rng.choice(stage) for stage in place.stages]


# --- One battery ------------------------------------------------------------------------------------------------------------
def path(world: World, place: Place, proto: str) -> dict[str, Any]:
    """An MTR of a few rounds."""
    way = choose(world, place)
    hops: list[dict[str, Any]] = []
    reached = False
    quiet = 0
    for ttl in range(1, 31):
        seen: dict[str, int] = {}
        rtts, words, got = [], [], 0
        for _ in range(ROUNDS):
            flow = choose(world, place) if proto == "icmp" and world.rng.random() < 0.2 else way
            answer = send(world, place, flow, ttl, proto)
            if answer:
                who, word, ms = answer
                got += 1
                seen[who.address] = seen.get(who.address, 0) + 1
                rtts.append(round(ms, 2))
                words.append(word)
                last = who
        hop: dict[str, Any] = {"ttl": ttl, "address": None, "sent": ROUNDS, "got": got}
        if seen:
            order = sorted(seen, key=lambda one: -seen[one])
            hop.update(address=order[0], rtt_ms=rtts, said=max(set(words), key=words.count))
            if last.asn and world.rng.random() < 0.97:
                hop.update(asn=last.asn, as_name=last.as_name)
            if len(order) > 1:
                hop["others"] = order[1:]
        hops.append(hop)
        quiet = 0 if got else quiet + 1
        if set(words) & {"reply", "open", "closed"}:
            reached = True
            break
        if quiet >= 5 or set(words) & {"host", "net", "admin"}:
            break
    return {
        "proto": proto, "status": "ok", "port": 443, "address": world.address, "reached": reached, "rounds": ROUNDS, "hops": hops
    }  # fmt: skip


def arrives(world: World, place: Place, proto: str, size: int, tries: int) -> tuple[bool, float]:
    """Does one exchange succeed within so many tries, and how long does it take (ms)?"""
    waited = 0.0
    for n in range(tries):
        way = choose(world, place)
        answer = send(world, place, way, 64, proto, size)
        if answer and answer[0] is world.server and answer[1] in ("reply", "open"):
            return True, waited + answer[2]
        waited += 1000 * 2**n
    return False, waited


def battery(world: World, place: Place) -> dict[str, Any]:
    """Everything one probe measures."""
    rng = world.rng
    found: dict[str, Any] = {
        "v": 1, "probe": place.pk, "slug": place.slug, "private": place.private, "network": f"net{place.pk}",
        "at": NOW - rng.uniform(0, 3), "took_ms": 3000.0, "cut": [],
        "target": {"host": HOST, "port": 443 if world.tls else 80, "tls": world.tls, "kind": world.kind, "address": world.address, "addresses": [world.address]},
    }  # fmt: skip
    found["own"] = own_line(world, place)
    names, resolved = looked_up(world, place)
    found["names"] = names
    if not resolved:
        found["check"] = {"status": "failing", "error_class": "dns", "message": "No such name", "phases": {}}
        for name in ("tls", "http", "connect", "ping", "size"):
            found[name] = {"status": "not_run", "why": "no address"}
        if "connect" in found:
            found["connect"].update(tries=0, ok=0)
        found["target"].update(address=None, addresses=[])
        return found
    if names["system"]["addresses"] != [world.address]:
        # It was sent to a machine that nobody runs: packets go out of its own network and end there.
        elsewhere = names["system"]["addresses"][0]
        place = replace(place, stages=[*place.stages[:3], [Router(elsewhere, 0, "", dead=True, ill=True)]])
        world = replace(world, address=elsewhere)
        found["target"].update(address=elsewhere, addresses=[elsewhere])
    found["paths"] = [path(world, place, "icmp"), path(world, place, "tcp")]
    replies = [send(world, place, choose(world, place), 64, "icmp") for _ in range(10)]
    times = [round(one[2], 2) for one in replies if one and one[1] == "reply"]
    found["ping"] = {"status": "ok" if times else "no_answer", "sent": 10, "got": len(times), "rtt_ms": times}
    found["size"] = sized(world, place)
    connects, refused = [], 0
    unreachable = 0
    for _ in range(4):
        answer = send(world, place, choose(world, place), 64, "tcp")
        if answer and answer[1] == "open":
            connects.append(round(answer[2], 2))
        refused += bool(answer and answer[1] == "closed")
        unreachable += bool(answer and answer[1] in ("host", "net", "admin"))
    status = "ok" if len(connects) == 4 else "some" if connects else "refused" if refused else "unreachable" if unreachable else "timeout"  # fmt: skip
    found["connect"] = {"status": status, "tries": 4, "ok": len(connects), "ms": connects}
    found.update(spoken(world, place))
    return found


def own_line(world: World, place: Place) -> dict[str, Any]:
    """Anchors, the first router, the neighbours."""
    alive = not place.line_dead
    if not place.private:
        return {"anchors": {"one.example:443": alive, "two.example:443": alive}, "gateway": {"address": f"10.{place.pk}.0.1", "sent": 3, "got": 3, "ms": 0.5}}  # fmt: skip
    edge = not world.edge.dead
    return {
        "anchors": {"one.example:443": edge, "two.example:443": edge},
        "gateway": {"address": "192.168.1.1", "sent": 3, "got": 3 if edge else 0, "ms": 0.4},
        "neighbours": {"known": 9, "asked": 5, "answered": world.rng.randint(3, 5)},
        "target_on_lan": True,
        "arp": "failed" if world.server.dead else "complete",
    }


def sized(world: World, place: Place) -> dict[str, Any]:
    """Three pings each of three sizes."""
    got = {
        str(size): sum(
            bool((a := send(world, place, choose(world, place), 64, "icmp", size)) and a[1] == "reply")
            for _ in range(3)
        )
        for size in (576, 1400, 1500)
    }
    if not any(got.values()):
        return {"status": "no_answer", "sizes": got}
    if got["576"] and not got["1500"]:
        return {"status": "black_hole", "sizes": got, "largest": 1400 if got["1400"] else 576}
    return {"status": "ok", "sizes": got, "largest": 1500}


def spoken(world: World, place: Place) -> dict[str, Any]:
    """Handshake, request and the monitor's own check."""
    rng = world.rng
    ok, connect_ms = arrives(world, place, "tcp", 64, 2)
    phases = {"dns_ms": round(rng.uniform(2, 20), 1)}
    skipped = {"status": "not_run", "why": "no connection"}

    def ended(error: str, message: str, **parts: Any) -> dict[str, Any]:
        check = {"status": "failing", "error_class": error, "message": message, "phases": phases}
        return {"tls": skipped, "http": skipped, **parts, "check": check}

    if not ok:
        error = "connect_refused" if world.port == "closed" and connect_ms < 4000 and _alive(world, place) else "connect_timeout"  # fmt: skip
        return ended(error, "Connection failed")
    phases["connect_ms"] = round(connect_ms, 1)
    tls: dict[str, Any] = {"status": "not_run", "why": "no TLS"}
    if world.tls:
        ok, tls_ms = arrives(world, place, "tcp", 1500, 2)
        if world.process == "hangs" or not ok:
            return ended("timeout", "Handshake timed out", tls={"status": "stalled", "ms": 3000.0})
        if world.process == "resets":
            return ended("reset", "Connection reset", tls={"status": "reset"})
        tls = {
            "status": world.certificate, "protocol": "TLSv1.3", "fingerprint": world.fingerprint, "subject": HOST, "issuer": "Example CA", "not_after": NOW + world.days * 86400, "chain": 2, "ms": tls_ms,
        }  # fmt: skip
        phases["tls_ms"] = round(tls_ms, 1)
        if world.certificate != "ok":
            return ended("tls", "Certificate is wrong", tls=tls)
    ok, back_ms = arrives(world, place, "tcp", 1500, 2)
    if world.process == "hangs" or not ok:
        return ended("timeout", "No answer", tls=tls, http={"status": "stalled", "bytes": 0})
    if world.process == "resets":
        return ended("reset", "Connection reset", tls=tls, http={"status": "reset"})
    first = back_ms + world.first_byte_ms * rng.uniform(0.8, 1.3)
    phases.update(first_byte_ms=round(first, 1), total_ms=round(first + 20 + sum(phases.values()), 1))
    http: dict[str, Any] = {"status": "ok", "code": world.code, "bytes": 12000, "phases": dict(phases)}
    if first > 5000:
        phases.pop("first_byte_ms")
        return ended("timeout", "No answer within 5 s", tls=tls, http={"status": "timeout", "bytes": 0})
    if world.code >= 400:
        return ended("http_status", f"HTTP {world.code}", tls=tls, http={**http, "status": "http_status"})
    if world.content != "ok":
        return ended("content", "The word is not on the page", tls=tls, http={**http, "status": "content"})
    slow = phases["total_ms"] > 2000
    return {"tls": tls, "http": http, "check": {"status": "degraded" if slow else "up", "phases": dict(phases)}}


def _alive(world: World, place: Place) -> bool:
    answer = send(world, place, choose(world, place), 64, "tcp")
    return bool(answer and answer[1] == "closed")


def looked_up(world: World, place: Place) -> tuple[dict[str, Any], bool]:
    """What the name servers say; does the probe get an address?"""
    rng, good = world.rng, [world.address]
    dead = place.line_dead or (place.private and world.edge.dead)
    nothing = {"status": "timeout", "ms": 2000.0}

    def answer(server: str, word: str) -> dict[str, Any]:
        if dead or rng.random() < 0.01:
            return {"server": server, **nothing}
        if word == "ok":
            return {"server": server, "status": "ok", "addresses": good, "ttl": 300, "ms": rng.uniform(2, 40)}
        if word == "wrong":
            return {"server": server, "status": "ok", "addresses": ["198.18.7.7"], "ttl": 60, "ms": 9.0}
        return {"server": server, "status": word, "ms": 30.0}

    # What a resolver without faults of its own says of this zone, and what the zone's own servers say.
    cached, source, delegation = {
        "ok": ("ok", "ok", "ok"), "nxdomain": ("nxdomain", "nxdomain", "ok"), "dead": ("servfail", "timeout", "ok"),
        "lame": ("servfail", "refused", "lame"), "bogus": ("servfail", "ok", "ok"), "expired": ("nxdomain", "ok", "missing"),
        "wrong": ("wrong", "wrong", "ok"), "nodata": ("nodata", "nodata", "ok"),
    }[world.dns]  # fmt: skip
    if world.dns == "dead" and rng.random() < 0.3:
        cached = "timeout"
    own = cached if place.resolver == "ok" else "timeout" if place.resolver == "dead" else place.resolver
    if place.resolver == "ok" and rng.random() < 0.01:
        own = "timeout"
    system = answer("system", own)
    names: dict[str, Any] = {
        "name": HOST,
        "system": system,
        "control": {"server": "system", **({"status": "timeout"} if dead or place.resolver == "dead" else {"status": "ok", "addresses": ["192.0.2.1"]})},
        "resolvers": [answer("9.9.9.9", cached), answer("1.1.1.1", cached)],
        "authoritative": [answer("ns1.acme.example 192.0.2.53", source), answer("ns2.acme.example 192.0.2.54", source)],
        "delegation": {"zone": "acme.example", "parent": [] if delegation == "missing" else ["ns1.acme.example"], "child": ["ns1.acme.example"], "status": delegation},
    }  # fmt: skip
    if world.dns == "bogus" and not dead:
        for one in (system, *names["resolvers"]):
            one["dnssec"] = "bogus"
    if dead:
        names["delegation"] = {}
    return names, system["status"] == "ok"


# --- Faults -------------------------------------------------------------------------------------------------------------------
def shared_carrier(world: World) -> tuple[list[Router], list[Place]]:
    """The routers of the carrier (not the access, not the ISP of the target) that most places use, and those places."""
    tally: dict[int, list[Place]] = {}
    isp = world.edge.asn
    for place in world.places:
        for asn in {r.asn for stage in place.stages for r in stage if 0 < r.asn <= 60000 and r.asn != isp}:
            tally.setdefault(asn, []).append(place)
    asn = max(sorted(tally), key=lambda one: len(tally[one]))
    routers = []
    for stage in tally[asn][0].stages:
        if stage[0].asn == asn and len(stage) == 1:
            routers.append(stage[0])
    return routers, tally[asn]


def transit_router(world: World) -> Router:
    """One router on the way, between the probes' own lines and the client's edge, that at least one place must pass."""
    routers, _ = shared_carrier(world)
    isp = [
        s[0] for s in world.places[0].stages if s[0].asn == world.edge.asn and s[0] not in (world.edge, world.server)
    ]
    pool = [*routers, *isp]
    return world.rng.choice(pool)


def ttls(world: World, router: Router) -> set[int]:
    """At which distances the places see it."""
    return {
        n for place in world.places if not place.private for n, stage in enumerate(place.stages, 1) if router in stage
    }


def at_router(world: World, fault: str, causes: tuple[str, ...], **wrong: Any) -> Truth:
    router = transit_router(world)
    for key, value in wrong.items():
        setattr(router, key, value)
    return Truth(fault, ("transit",), causes, router.address, ttls(world, router))


def _detour(world: World) -> Truth:
    """The carrier is left for another one, which loses packets: everybody who went by it goes by the new one."""
    rng = world.rng
    routers, places = shared_carrier(world)
    old_asn = next(r.asn for s in places[0].stages for r in s if 0 < r.asn <= 60000 and r.asn != world.edge.asn)
    new = [[Router(f"77.7.{n}.{rng.randrange(1, 250)}", 64999, "Cogwheel")] for n in range(rng.randint(2, 4))]
    worst = rng.choice(new)[0]
    worst.loss = rng.uniform(0.4, 0.8)
    for place in places:
        inside = [n for n, s in enumerate(place.stages) if s[0].asn == old_asn]
        place.stages = [*place.stages[: inside[0]], *new, *place.stages[inside[-1] + 1 :]]
    return Truth("route_moved", ("transit",), ("route_moved",), worst.address, ttls(world, worst))


def _one_way(world: World) -> Truth:
    """What comes back from the target to some places is lost on a way of its own."""
    public = [p for p in world.places if not p.private]
    chosen = public[: max(1, len(public) // 2)]
    for place in chosen:
        place.stages = [[*stage] for stage in place.stages]
        first = place.stages[1][0]
        place.stages[1] = [Router(first.address, first.asn, first.as_name, first.answers, back_loss=0.6)]
    return Truth("one_way_loss", ("transit",), ("one_way_loss", "loss_at_hop"))


def break_it(world: World, fault: str) -> Truth:
    """Let one thing be wrong, and say what is right to answer."""
    rng = world.rng
    public = [p for p in world.places if not p.private]
    simple: dict[str, tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]] = {
        # fault: what changes in the world, right layers, right causes
        "port_closed": ({"port": "closed"}, ("service",), ("port_closed",)),
        "hanging": ({"process": "hangs"}, ("service",), ("hanging",)),
        "resets": ({"process": "resets"}, ("service",), ("resets",)),
        "http_5xx": ({"code": rng.choice((500, 502, 503, 504))}, ("application",), ("http_5xx",)),
        "http_4xx": ({"code": rng.choice((401, 403, 404))}, ("application",), ("http_4xx",)),
        "wrong_content": ({"content": "wrong"}, ("application",), ("wrong_content",)),
        "slow_application": ({"first_byte_ms": rng.choice((2600, 4000, 9000))}, ("application",), ("slow",)),
        "servfail": ({"dns": "dead"}, ("dns",), ("servfail", "authoritative_timeout")),
        "nxdomain": ({"dns": "nxdomain"}, ("dns",), ("nxdomain",)),
        "nodata": ({"dns": "nodata"}, ("dns",), ("nodata",)),
        "lame": ({"dns": "lame"}, ("dns",), ("lame",)),
        "bogus": ({"dns": "bogus"}, ("dns",), ("bogus_dnssec",)),
        "expired_delegation": ({"dns": "expired"}, ("dns",), ("delegation_missing",)),
        "certificate_expired": ({"certificate": "expired", "days": -2.0}, ("tls",), ("expired",)),
        "certificate_wrong_host": ({"certificate": "wrong_host", "fingerprint": "cd" * 16}, ("tls",), ("wrong_host",)),
        "certificate_untrusted": ({"certificate": "untrusted", "fingerprint": "cd" * 16}, ("tls",), ("untrusted",)),
        "certificate_incomplete": ({"certificate": "incomplete"}, ("tls",), ("incomplete",)),
    }  # fmt: skip
    if fault in simple:
        changes, layers, causes = simple[fault]
        for key, value in changes.items():
            setattr(world, key, value)
        return Truth(fault, layers, causes)
    if fault == "loss_at_hop":
        return at_router(world, fault, ("loss_at_hop",), loss=rng.uniform(0.35, 0.8))
    if fault == "black_hole":
        return at_router(world, fault, ("black_hole_at_hop",), dead=True)
    if fault == "no_route":
        return at_router(world, fault, ("black_hole_at_hop",), refuses="net")
    if fault == "loop":
        router = transit_router(world)
        router.loops = True
        seen = ttls(world, router)
        return Truth(fault, ("transit",), ("loop",), None, seen | {n - 1 for n in seen})
    if fault == "slow_hop":
        world.kind = "http"
        return at_router(world, fault, ("latency_at_hop",), delay_ms=rng.choice((900, 1500)))
    if fault == "mtu_black_hole":
        world.pings = True
        return Truth(fault, ("transit",), ("mtu_black_hole",)) if _shrink(world) else Truth(fault, ("transit",))
    if fault == "route_moved":
        return _detour(world)
    if fault == "one_way_loss":
        return _one_way(world)
    if fault == "edge_dead":
        world.edge.dead = True
        return Truth(fault, ("client_network",), ("edge_dead",), world.edge.address, ttls(world, world.edge))
    if fault == "edge_filters":
        world.edge.drops = "tcp+say"
        return Truth(fault, ("client_network",), ("admin_prohibited",), world.edge.address)
    if fault == "edge_loss":
        world.edge.loss = rng.uniform(0.35, 0.7)
        unseen = ("server",) if not world.edge.answers else ()  # an edge that never answers hides where loss begins
        return Truth(fault, ("client_network", *unseen), ("edge_loss",), world.edge.address, ttls(world, world.edge))
    if fault == "server_dead":
        world.server.dead = True
        return Truth(fault, ("server",), ("host_down",))
    if fault == "one_resolver":
        rng.choice(public).resolver = rng.choice(("servfail", "nxdomain", "wrong"))
        return Truth(fault, ("dns",), ("one_resolver", "wrong_answer"))
    if fault == "own_resolver_dead":
        rng.choice(public).resolver = "dead"
        return Truth(fault, ("probe",), ("own_resolver",))
    if fault == "portal_dns_dead":
        world.places = [public[0]]
        world.places[0].resolver = "dead"
        return Truth(fault, ("probe",), ("own_resolver",))
    if fault == "own_line_dead":
        rng.choice(public).line_dead = True
        return Truth(fault, ("probe",), ("own_line",))
    if fault == "own_line_lossy":
        place = rng.choice(public)
        place.stages[1] = [replace(place.stages[1][0], loss=0.6)]
        return Truth(fault, ("probe",), ("own_line",))
    if fault == "two_faults":
        router, truth = transit_router(world), None
        router.loss = 0.3
        world.code = 503
        truth = Truth(fault, ("application", "transit"), (), router.address, also="transit")
        return truth
    raise ValueError(fault)


def _shrink(world: World) -> bool:
    router = transit_router(world)
    router.mtu = 1420
    return True


FAULTS = (
    "loss_at_hop", "black_hole", "no_route", "loop", "slow_hop", "mtu_black_hole", "route_moved", "one_way_loss",
    "edge_dead", "edge_filters", "edge_loss", "server_dead", "port_closed", "hanging", "resets", "http_5xx", "http_4xx",
    "wrong_content", "slow_application", "servfail", "nxdomain", "nodata", "lame", "bogus", "expired_delegation",
    "certificate_expired", "certificate_wrong_host", "certificate_untrusted", "certificate_incomplete", "one_resolver",
    "own_resolver_dead", "portal_dns_dead", "own_line_dead", "own_line_lossy", "two_faults",
)  # fmt: skip


# --- The whole --------------------------------------------------------------------------------------------------------------
def invent(seed: int, fault: str, *, baseline: bool = True, missing: float = 0.05, places: int | None = None, private: bool | None = None, cut: bool = False) -> tuple[Evidence, Truth]:  # fmt: skip
    """Evidence of one invented failure and what is really wrong. `missing`: the chance that a part of a battery is not there."""
    rng = random.Random(f"{seed} {fault} {baseline}")
    world = build(rng, places, private)
    learned: dict[str, Any] = {}
    if baseline:
        for place in world.places:
            known = None
            for n in range(1 if places is None and rng.random() < 0.5 else 2):
                known = usuals.learn(known, battery(world, place), NOW - 7200 + n * 600)  # type: ignore[arg-type]
            learned[str(place.pk)] = known
    truth = break_it(world, fault)
    for place in world.places:
        for router in (one for stage in place.stages for one in stage):
            router.ill = bool(
                router.loss or router.delay_ms or router.dead or router.refuses or router.drops or router.loops
            ) or (router.mtu < 1500)
    batteries, votes = [], {}
    for place in world.places:
        found = battery(world, place)
        votes[str(place.pk)] = found["check"]["status"]
        own = found.get("own", {}).get("anchors", {})
        if own and not any(own.values()):
            votes[str(place.pk)] = "blind"
        for name in ("own", "names", "paths", "connect", "ping", "size", "tls", "http", "check"):
            if rng.random() < missing:
                found.pop(name, None)
                found["cut"].append(name)
        if cut:
            for name in ("http", "tls", "size", "names"):
                found.pop(name, None)
        batteries.append(found)
    # Without the parts that would tell, or without anything to compare with, nobody could know.
    silent = ("black_hole", "no_route", "loop", "edge_dead", "edge_filters", "server_dead", "edge_loss", "slow_hop")
    truth.ambiguous = cut or (not baseline and fault in silent)
    failing = [b for b in batteries if votes[str(b["probe"])] in ("failing", "blind", "degraded")]
    first = (failing or batteries)[0].get("check", {})
    rng.shuffle(batteries)
    evidence: dict[str, Any] = {
        "v": 1, "at": NOW, "expected": len(batteries),
        "monitor": {"id": 7, "kind": world.kind, "host": HOST, "port": 443, "tls": world.tls, "interval_s": 60, "timeout_s": 10, "quorum": 1, "private": False},
        "failure": {"error_class": first.get("error_class", ""), "message": first.get("message", ""), "state": "degraded" if first.get("status") == "degraded" else "failing", "since": NOW - 5},
        "votes": votes, "batteries": batteries, "usual": learned, "route_changes": [], "around": {},
    }  # fmt: skip
    return evidence, truth  # type: ignore[return-value]


def hop_of(truth: Truth) -> bool:
    """Does the label say where?"""
    return bool(truth.hops) and not math.isnan(len(truth.hops))
