"""What does a path say to somebody who reads many? Pure: the hops of one MTR in, what they mean out.

Loss is real when it starts at a hop and stays until the end; loss at one hop alone is a router that answers seldom.
A silent hop is no fault while later ones answer, and a slow one is only busy while later ones are fast. Few packets are
weak evidence: every share of loss is weighed by how likely the counts are with and without it, and what probes saw is
added up, so that one lost of eight says little and the same from six places says much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

UNREACHABLE = ("host", "net", "admin", "frag", "port")
ARRIVED = ("reply", "open", "closed")
LOSSES = (0.1, 0.2, 0.35, 0.5, 0.7, 0.9, 0.99)
# How often routers do not answer what expires at them although nothing is lost, and how common that is (no baseline).
HABITS = ((0.01, 0.72), (0.25, 0.1), (0.5, 0.09), (0.8, 0.09))


# --- JSON of unknown manners ------------------------------------------------------------------------------------------
def part(value: Any) -> dict[str, Any]:
    """That part of the evidence; empty when it was not measured."""
    return value if isinstance(value, dict) else {}


def parts(value: Any) -> list[dict[str, Any]]:
    """The entries of a list that are objects."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    """The strings of a list, each of bounded length."""
    return [one[:200] for one in value if isinstance(one, str)] if isinstance(value, list) else []


def told_number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e15 else None


def count_of(value: Any) -> int:
    """A count from 0 to 10,000; 0 for what is none."""
    number = told_number(value)
    return min(10_000, max(0, int(number))) if number is not None else 0


# --- One path -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Step:
    """One hop that answered, or did not. `ms` is the median of its answers."""

    ttl: int
    address: str | None
    sent: int
    got: int
    ms: float | None = None
    asn: int | None = None
    as_name: str = ""
    said: str = ""
    others: tuple[str, ...] = ()

    @property
    def answered(self) -> bool:
        return self.got > 0 and self.address is not None


@dataclass(frozen=True, slots=True)
class PathReading:
    """One path, read. `last` is the furthest hop that answered; `gives_up` said that it cannot deliver, and how."""

    proto: str
    reached: bool
    steps: tuple[Step, ...]
    last: Step | None
    gives_up: Step | None = None
    loop: Step | None = None
    onsets: dict[int, float] = field(default_factory=dict)  # ttl -> log likelihood ratio of "loss starts here"
    loss: float = 0.0  # the share that is lost until the end, beyond what is usual
    slow_from: Step | None = None
    slow_ms: float = 0.0

    def at(self, ttl: int) -> Step | None:
        """The hop at that distance."""
        return next((step for step in self.steps if step.ttl == ttl), None)


def read(path: Mapping[str, Any], usual: Mapping[str, Any], addresses: set[str]) -> PathReading | None:
    """What one path says, beside what is usual; `addresses` are the target's. None when it was not run."""
    if path.get("status") != "ok":
        return None
    steps = steps_of(path)
    if not steps:
        return None
    arrived = next((step for step in steps if is_target(step, addresses)), None)
    if arrived is not None:
        steps = [step for step in steps if step.ttl <= arrived.ttl]
    reached = arrived is not None or (path.get("reached") is True and "port" not in {step.said for step in steps})
    answering = [step for step in steps if step.answered]
    last = answering[-1] if answering else None
    gives_up = next((s for s in answering if s.said in UNREACHABLE and s.said not in ("port", "frag")), None)
    loop = None if reached else looping(steps)
    onsets, loss = loss_onsets(steps, usual) if reached and last is not None else ({}, 0.0)
    slow_from, slow_ms = slower(steps, usual) if reached else (None, 0.0)
    return PathReading(
        proto=str(path.get("proto", ""))[:8],
        reached=reached,
        steps=tuple(steps),
        last=last,
        gives_up=gives_up,
        loop=loop,
        onsets=onsets,
        loss=loss,
        slow_from=slow_from,
        slow_ms=slow_ms,
    )


def steps_of(path: Mapping[str, Any]) -> list[Step]:
    """The hops in order, of one TTL each, at most 64."""
    found: dict[int, Step] = {}
    for hop in parts(path.get("hops"))[:128]:
        ttl = count_of(hop.get("ttl"))
        if not 1 <= ttl <= 64 or ttl in found:
            continue
        sent = count_of(hop.get("sent"))
        rtts = sorted(one for value in (hop.get("rtt_ms") or []) if (one := told_number(value)) is not None)
        asn = told_number(hop.get("asn"))
        address = hop.get("address")
        found[ttl] = Step(
            ttl=ttl,
            address=address[:45] if isinstance(address, str) and address else None,
            sent=sent,
            got=min(sent, count_of(hop.get("got"))),
            ms=rtts[len(rtts) // 2] if rtts else None,
            asn=int(asn) if asn is not None and 0 < asn < 2**32 else None,
            as_name=str(hop.get("as_name") or "")[:80],
            said=str(hop.get("said") or "")[:8],
            others=tuple(texts(hop.get("others"))[:16]),
        )
    return [found[ttl] for ttl in sorted(found)]


def is_target(step: Step, addresses: set[str]) -> bool:
    """Did the target itself answer here?"""
    if not step.answered or step.said in ("host", "net", "admin", "frag"):
        return False
    return step.said in (*ARRIVED, "port") or step.address in addresses


def looping(steps: list[Step]) -> Step | None:
    """The first router of a loop: the same two or more addresses come again and again, and nothing else follows."""
    seen: dict[str, int] = {}
    again = []
    for step in steps:
        if step.address is None:
            continue
        if step.address in seen and step.ttl - seen[step.address] >= 2:
            again.append(step)
        seen.setdefault(step.address, step.ttl)
    if len(again) < 2 or again[-1].ttl < max((s.ttl for s in steps if s.answered), default=0):
        return None
    first = min(seen[step.address] for step in again if step.address)
    return next(step for step in steps if step.ttl == first)


# --- Loss ---------------------------------------------------------------------------------------------------------------
def loss_onsets(steps: list[Step], usual: Mapping[str, Any]) -> tuple[dict[int, float], float]:
    """For each hop that answered, how much likelier the counts are if loss starts there than if there is none (natural log).

    A change point: before it every hop answers as it usually does, from it on a share of everything is lost as well.
    Hops that answer seldom explain their own losses, but not those of the hops behind them.
    """
    answering = [step for step in steps if step.answered and step.sent]
    if not answering or answering[-1].got >= answering[-1].sent and len(answering) < 2:
        return {}, 0.0
    if all(step.got >= step.sent for step in answering[-1:]) and answering[-1].sent >= 3:
        return {}, 0.0  # everything arrived: whatever is lost on the way is not lost
    tables = [
        likelihoods(step.sent, step.got, habit(step, usual, step is answering[-1])) for step in answering
    ]  # [hop][0: none, 1…: LOSSES]
    found: dict[int, float] = {}
    best, share = 0.0, 0.0
    tail = [0.0] * len(LOSSES)
    for step, table in zip(reversed(answering), reversed(tables), strict=True):
        for n in range(len(LOSSES)):
            tail[n] += table[n + 1] - table[0]
        peak = max(tail)
        found[step.ttl] = peak + math.log(sum(math.exp(max(-60.0, one - peak)) for one in tail) / len(LOSSES))
        if peak > best:
            best, share = peak, LOSSES[tail.index(peak)]
    return found, share


def habit(step: Step, usual: Mapping[str, Any], is_end: bool) -> float | None:
    """The share of answers usually missing at this distance; None where nobody knows."""
    losses = usual.get("hop_loss")
    if isinstance(losses, list) and step.ttl <= len(losses):
        known = told_number(losses[step.ttl - 1])
        path = usual.get("path")
        there = path[step.ttl - 1] if isinstance(path, list) and step.ttl <= len(path) else None
        # Another router than usual, or one that never answered before: its habits are not known.
        if known is not None and (there == step.address or (there is not None and there in step.others)):
            return round(min(0.95, max(0.01, known)), 1) or 0.01
    return 0.0 if is_end else None


@lru_cache(maxsize=20_000)
def likelihoods(sent: int, got: int, usually_lost: float | None) -> tuple[float, ...]:
    """The log likelihood of these counts for no further loss and for each of LOSSES. 0.0 usually lost: the target itself."""
    if usually_lost is None:
        habits: tuple[tuple[float, float], ...] = HABITS
    elif usually_lost == 0.0:
        habits = ((0.01, 0.96), (0.3, 0.035), (0.8, 0.005))
    else:
        wide = min(0.9, usually_lost + 0.25)
        habits = ((usually_lost, 0.93), (wide, 0.05), (0.8, 0.02))
    found = []
    for extra in (0.0, *LOSSES):
        total = 0.0
        for missing, share in habits:
            arrives = min(0.999, max(0.001, (1 - missing) * (1 - extra)))
            total += share * math.exp(got * math.log(arrives) + (sent - got) * math.log(1 - arrives))
        found.append(math.log(max(total, 1e-300)))
    return tuple(found)


def loss_bounds(sent: int, got: int) -> tuple[float, float]:
    """Between which shares does the loss lie (Wilson, 90 %)? 1 lost of 8 lies between 0.03 and 0.41."""
    if sent <= 0:
        return 0.0, 1.0
    z, share = 1.645, 1 - got / sent
    middle = share + z * z / (2 * sent)
    width = z * math.sqrt(share * (1 - share) / sent + z * z / (4 * sent * sent))
    below = 1 + z * z / sent
    return max(0.0, (middle - width) / below), min(1.0, (middle + width) / below)


# --- Time ---------------------------------------------------------------------------------------------------------------
def slower(steps: list[Step], usual: Mapping[str, Any]) -> tuple[Step | None, float]:
    """From which hop on is everything slower than usual, and by how many ms at the end? A jump that does not last is none."""
    known = usual.get("hop_ms")
    if not isinstance(known, list):
        return None, 0.0
    excess = [
        (step, step.ms - before)
        for step in steps
        if step.ms is not None and step.ttl <= len(known) and (before := told_number(known[step.ttl - 1])) is not None
    ]
    if not excess or excess[-1][0].ttl != steps[-1].ttl:
        return None, 0.0
    end = excess[-1][1]
    base = (excess[-1][0].ms or 0.0) - end
    if end < max(20.0, 0.5 * base):
        return None, 0.0
    start = excess[-1][0]
    for step, more in reversed(excess):
        if more < 0.5 * end:
            break
        start = step
    return start, end


# --- Which way it went ------------------------------------------------------------------------------------------------------
def best_path(sample: Mapping[str, Any]) -> dict[str, Any] | None:
    """The path that tells most: one that arrived, then the one with most answering hops; ICMP before TCP."""
    paths = [path for path in parts(sample.get("paths")) if path.get("status") == "ok" and path.get("hops")]
    rank = {"icmp": 2, "tcp": 1}
    return max(
        paths,
        key=lambda path: (
            bool(path.get("reached")),
            sum(1 for hop in parts(path.get("hops")) if hop.get("got") and hop.get("address")),
            rank.get(str(path.get("proto")), 0),
        ),
        default=None,
    )


def route(path: Mapping[str, Any] | None, sample: Mapping[str, Any]) -> list[str | None]:
    """The addresses hop by hop, up to the target or to the last that answered."""
    target = part(sample.get("target"))
    addresses = {*texts(target.get("addresses")), str(target.get("address") or (path or {}).get("address") or "")}
    return route_of(steps_of(path or {}), addresses)


def route_of(steps: list[Step], addresses: set[str]) -> list[str | None]:
    """The same of hops that were read already; `addresses` are the target's."""
    way: list[str | None] = []
    for step in steps:
        way += [None] * (step.ttl - 1 - len(way))
        way.append(step.address if step.answered else None)
        if is_target(step, addresses):
            return way
    while way and way[-1] is None:
        way.pop()
    return way


def as_sequence(path: Mapping[str, Any]) -> list[int]:
    """AS numbers in order of the path, without repeats."""
    return as_sequence_of(steps_of(path))


def as_sequence_of(steps: list[Step]) -> list[int]:
    """The same of hops that were read already."""
    found: list[int] = []
    for step in steps:
        if step.asn is not None and step.answered and (not found or found[-1] != step.asn):
            found.append(step.asn)
    return found
