"""What is a fault, and what is its label? The shape of a situation, and the faults that several situations use.

A label names every answer that an expert with this evidence may give: `layers` (the first is the one we mean), `hops`
(nodes; an address of one of them is right) and `networks` (AS numbers). Where nobody could tell from what can be
measured, the situation is `ambiguous`: then right is "unknown", or a confidence of at most one half.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.lab import pki
from tests.lab.breaking import Breaking, share

Apply = Callable[[Breaking], None]
AUTHORITIES = ["ns", "secondary"]  # of the client's zone
NAME = {"shop": "www.acme.example", "api": "api.acme.example"}


@dataclass(frozen=True)
class Variant:
    """One way in which a situation happens."""

    monitor: str
    apply: Apply
    hops: tuple[str, ...] = ()
    networks: tuple[int, ...] = ()
    layers: tuple[str, ...] = ()  # instead of the situation's
    silent: bool = False  # nothing may be failing for enough places: no diagnosis is right, too


@dataclass(frozen=True)
class Situation:
    """A kind of fault with its label."""

    name: str
    layers: tuple[str, ...]
    variants: tuple[Variant, ...]
    ambiguous: bool = False


def v(monitor: str, apply: Apply, hops: str = "", *networks: int, layers: str = "", silent: bool = False) -> Variant:
    """One variant, briefly: `hops` and `layers` are words."""
    return Variant(monitor, apply, tuple(hops.split()), networks, tuple(layers.split()), silent)


def both(*parts: Apply) -> Apply:
    """Several faults at once."""

    def apply(b: Breaking) -> None:
        for part in parts:
            part(b)

    return apply


def ports(*nodes: str) -> Apply:
    """Cables out of the switch on the LAN."""
    return both(*(lambda b, n=n: b.unplug_port("lan", n) for n in nodes))  # type: ignore[misc]


def moods(mood: str) -> Apply:
    """Both name servers of the client's zone."""
    return both(*(lambda b, s=s: b.mood(s, mood) for s in AUTHORITIES))  # type: ignore[misc]


def sparing(limit: str, *nodes: str) -> Apply:
    """Routers that seldom or never say where packets died."""
    return both(*(lambda b, n=n: b.rules(n, f"output icmp type time-exceeded {limit} drop") for n in nodes))  # type: ignore[misc]


def certificate(key: str, *names: str, days: float = 60, chain: bool = True, foreign: bool = False) -> Apply:
    """Another certificate on a site."""

    def apply(b: Breaking) -> None:
        issuer = pki.Authority("Somebody Else CA", pki.Authority("Somebody Else Root")) if foreign else b.servers.issuer
        b.site(key, context=issuer.context(*(names or (NAME[key],)), days=days, chain=chain))

    return apply


def slow_way(b: Breaking, carrier: str) -> None:
    """A carrier's own core is given up: its traffic goes over the exchange and the other carrier, round half the world."""
    if carrier == "a":
        b.weather("b1-b2", 260)
        b.costs(("a1", "a2", 500), ("a1", "a3", 500), ("b1", "x3", 10))
    else:
        b.weather("a1-a2", 260)
        b.weather("a1-a3", 260)
        b.costs(("b1", "b2", 500))


def failing_way(b: Breaking, percent: int) -> None:
    """The same, and the other carrier does not carry what comes from there."""
    b.costs(("a1", "a2", 500), ("a1", "a3", 500))
    b.rules("b1", f"prerouting ip saddr {{ 11.1.0.0/16, 11.2.0.0/16 }} {share(percent)} drop")


def blip(b: Breaking, key: str) -> None:
    """Refused for a moment, and well when the batteries run."""
    b.close(key)
    b.later(1.2)
