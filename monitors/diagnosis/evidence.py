"""In which shape is evidence kept? The contract between what probes measure and the pure function that judges it.

Everything is plain JSON, so that a verdict can be replayed from the database years later. Times are milliseconds unless
a name says otherwise, moments are seconds since 1970, shares run from 0 to 1 and percentages from 0 to 100. A key that is
missing means "was not measured" and never "was well". `status` words are lower case; `not_run` comes with a `why`.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

VERSION = 1

LAYERS = (
    "dns", "tls", "transit", "client_network", "server", "service", "application", "probe", "unknown",
)  # fmt: skip


class Hop(TypedDict):
    """One step of a path. `address` is null where nobody answered; `others` are further addresses seen at this distance."""

    ttl: int
    address: str | None
    sent: int
    got: int
    rtt_ms: NotRequired[list[float]]  # every answer's time, in order of sending
    asn: NotRequired[int | None]
    as_name: NotRequired[str]
    name: NotRequired[str]  # reverse DNS, hostile text: shown as text only
    others: NotRequired[list[str]]
    said: NotRequired[
        str
    ]  # "ttl" (time exceeded), "host", "net", "port", "admin", "frag" (unreachable …), "reply", "open", "closed"


class Path(TypedDict):
    """Where packets die or grow slow on the way to the target. `proto` icmp, tcp (SYNs to the service's port) or udp."""

    proto: str
    status: str  # ok | not_permitted | not_run | failed
    why: NotRequired[str]
    port: NotRequired[int]
    address: NotRequired[str]
    reached: NotRequired[bool]
    rounds: NotRequired[int]
    way: NotRequired[
        str
    ]  # how it was measured: raw | datagram | connect (no constant flow) | mtr (few rounds, no `said`)
    hops: NotRequired[list[Hop]]


class Answer(TypedDict):
    """What one name server said. `server` is system, an address, or the authoritative server's name with its address."""

    server: str
    address: NotRequired[str]  # of the probe's own resolver, where `server` is "system"
    asked: NotRequired[str]  # the name that a control asked for
    status: str  # ok | nxdomain | nodata | servfail | refused | lame | timeout | unreachable | not_run
    addresses: NotRequired[list[str]]
    cname: NotRequired[list[str]]
    ttl: NotRequired[int]
    ms: NotRequired[float]
    why: NotRequired[str]
    dnssec: NotRequired[str]  # secure | insecure | bogus


class Names(TypedDict):
    """How the target's name is answered: `system` is the probe's own resolver, `control` the same server's answer for a name that must exist."""

    name: str
    system: Answer
    control: NotRequired[Answer]
    resolvers: NotRequired[list[Answer]]
    authoritative: NotRequired[list[Answer]]
    delegation: NotRequired[
        dict[str, Any]
    ]  # {"zone", "parent": [names], "child": [names], "status": ok|lame|missing|mismatch; "lame": [servers], "said_by": zone}


class Connect(TypedDict):
    """Plain TCP to the service's port, a few times in a row."""

    status: str  # ok | refused | timeout | unreachable | reset | some (part of the tries) | not_run
    tries: int
    ok: int
    ms: NotRequired[list[float]]
    said: NotRequired[str]


class Tls(TypedDict):
    """The handshake, verified apart from its making: a wrong certificate still shows what it is."""

    status: (
        str  # ok | expired | not_yet_valid | wrong_host | untrusted | incomplete | protocol | stalled | reset | not_run
    )
    protocol: NotRequired[str]
    fingerprint: NotRequired[str]
    subject: NotRequired[str]
    issuer: NotRequired[str]
    not_after: NotRequired[float]
    not_before: NotRequired[float]
    chain: NotRequired[int]
    ms: NotRequired[float]
    said: NotRequired[str]


class Http(TypedDict):
    """One request as the monitor makes it (only http monitors), with its phases."""

    status: (
        str  # ok | http_status | content | stalled | timeout | reset | protocol | not_run …: the check's error class
    )
    code: NotRequired[int]
    bytes: NotRequired[int]
    phases: NotRequired[dict[str, float]]  # dns_ms connect_ms tls_ms first_byte_ms total_ms
    said: NotRequired[str]
    server: NotRequired[str]


class Check(TypedDict):
    """The monitor's own check, made once more within the battery (every kind): what it says now."""

    status: str  # up | degraded | failing | unknown
    error_class: NotRequired[str]
    message: NotRequired[str]
    phases: NotRequired[dict[str, float]]


class Size(TypedDict):
    """Do full-sized packets arrive as small ones do? Pings with "don't fragment" of `sizes` bytes of IP packet."""

    status: str  # ok | black_hole | reported (somebody said "too big") | no_answer | not_permitted | not_run
    sizes: NotRequired[dict[str, int]]  # size -> answers of three
    largest: NotRequired[int]
    said_by: NotRequired[str]  # who said "too big", and what would fit (0: not told)
    mtu: NotRequired[int]
    why: NotRequired[str]


class Own(TypedDict):
    """The probe's own line: anchors it can reach, its first router, and for a private probe its neighbours on the LAN."""

    anchors: NotRequired[dict[str, bool]]
    gateway: NotRequired[dict[str, Any]]  # {"address", "sent", "got", "ms", "arp"}
    neighbours: NotRequired[dict[str, Any]]  # {"known": 12, "asked": 5, "answered": 4}
    target_on_lan: NotRequired[bool]
    arp: NotRequired[str]  # for a target on the LAN: "complete" | "failed" | "unknown"


class BatteryEvidence(TypedDict):
    """What one probe measured."""

    v: int
    probe: int
    slug: str
    private: bool
    network: str
    at: float
    took_ms: float
    cut: list[str]  # parts that the deadline ended
    # {"host", "port", "tls", "kind", "address", "addresses": [...]; "addresses_from": "others" (resolvers or owners, ours
    # gave none) | "known" (from better days), "blocked": why the guard kept all parts from it}
    target: dict[str, Any]
    own: NotRequired[Own]
    names: NotRequired[Names]
    paths: NotRequired[list[Path]]
    connect: NotRequired[Connect]
    ping: NotRequired[dict[str, Any]]  # {"status", "sent", "got", "rtt_ms": [...]}
    size: NotRequired[Size]
    tls: NotRequired[Tls]
    http: NotRequired[Http]
    check: NotRequired[Check]
    reused_from: NotRequired[int]  # the battery that these measurements were made for


class Usual(TypedDict, total=False):
    """What is usual from one probe (Baseline.data). Quantiles are [p5, p50, p95] of the hour of day, or of all hours."""

    learned_at: float
    samples: int
    path: list[str | None]
    paths: list[list[str | None]]  # further paths seen while well: load balancing
    as_path: list[int]
    silent: list[int]  # TTLs that never answer
    hop_ms: list[float | None]
    hop_loss: list[float]  # share of answers lost at this distance while well: rate limits, not trouble
    ping: dict[str, Any]  # {"answers": bool, "ms": [p5, p50, p95], "loss": share}
    names: dict[str, Any]  # {"addresses": [...], "cname": [...], "authoritative": [...]}
    tls: dict[str, Any]  # {"fingerprint", "issuer", "subject", "not_after"}
    phases: dict[str, list[float]]  # connect_ms: [p5, p50, p95] …
    http: dict[str, Any]  # {"bytes": [p5, p50, p95]}
    largest: int


class Evidence(TypedDict):
    """All that a verdict is drawn from."""

    v: int
    at: float
    monitor: dict[
        str, Any
    ]  # {"id", "kind", "host", "port", "tls", "interval_s", "timeout_s", "quorum", "private": bool}
    failure: dict[str, Any]  # {"error_class", "message", "http_status", "state": "failing|degraded", "since": moment}
    votes: dict[str, str]  # probe id -> up | degraded | failing | unknown | blind | stale
    batteries: list[BatteryEvidence]
    usual: dict[str, Usual]  # probe id -> what is usual from there
    networks: NotRequired[dict[str, list[Any]]]  # address of a usual path -> [AS number, its name]
    route_changes: NotRequired[
        list[dict[str, Any]]
    ]  # {"probe", "at", "before", "after", "as_before", "as_after"}: the last day's
    around: NotRequired[
        dict[str, dict[str, int]]
    ]  # same_as, same_address, same_host, same_site, same_probe, same_issuer, same_dns: {"watched": n, "failing": m}
    expected: NotRequired[int]  # batteries asked for; fewer have come if the deadline was first


class Reason(TypedDict):
    """One piece of evidence in words. `probes` are the slugs that saw it."""

    text: str
    probes: list[str]
    weight: NotRequired[float]


# Where the problem lives (functional form: "for" is a Python word). `for` and `against` speak of the chosen cause,
# `ruled_out` of the others; `hop` is a TTL seen from most of the confirming probes.
Verdict = TypedDict(
    "Verdict",
    {
        "version": int,
        "summary": str,
        "layer": str,  # one of LAYERS
        "cause": str,  # a fixed word of monitors.diagnosis.verdict, finer than the layer: "loss_at_hop"
        "confidence": float,
        "hop": int | None,
        "hop_address": str | None,
        "asn": int | None,
        "as_name": str,
        "loss_percent": float | None,  # what is lost of packets that are not all lost; None where it is not about loss
        "regions": dict[str, Any],  # {"confirming": [slugs], "asked": [slugs]}
        "for": list[Reason],
        "against": list[Reason],
        "ruled_out": list[dict[str, str]],  # [{"layer", "text"}]
        "candidates": list[dict[str, Any]],  # [{"layer", "cause", "score", "confidence"}], best first
        "also": list[dict[str, Any]],  # further faults that stand by themselves: [{"layer", "cause", "summary"}]
        "baseline_diff": str,  # none | route_change | dns_change | cert_change | latency_drift | unknown
        "dns": str,  # ok | failed | changed | unknown
        "ssl": str,  # ok | failed | changed | unknown
        "mtr_reports": int,
    },
)
