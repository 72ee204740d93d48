"""What is usual from one probe? Pure: a healthy sample in, the baseline out.

Only samples taken while all is well come here. What is kept is small (at most LIMIT bytes of JSON) and forgets: shares
and times follow the last few dozen samples, so that a network that changed for good becomes the usual one by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from .evidence import BatteryEvidence, Usual
from .reading import as_sequence, as_sequence_of, best_path, part, route, route_of, steps_of, texts, told_number

LIMIT = 6000  # bytes of JSON
FURTHER = 5  # paths beside the first
KEPT_ADDRESSES = 16
SLOWEST = 0.05  # the least weight of one more sample: about twenty are remembered
OLD = 7 * 86_400.0
BLOCK = 4  # hours of day that share their quantiles: 24 of each phase would not fit
QUANTILES = (0.05, 0.5, 0.95)
PHASES = ("dns_ms", "connect_ms", "tls_ms", "first_byte_ms", "total_ms")


def learn(before: Usual | None, sample: BatteryEvidence, at: float) -> Usual:
    """The baseline after one more healthy sample. `at` is seconds since 1970; `before` stays as it was."""
    usual: Usual = json.loads(json.dumps(before or {}))
    seen = int(told_number(usual.get("samples")) or 0)
    weight = max(SLOWEST, 1 / (seen + 1))
    usual["samples"] = seen + 1
    _learn_path(usual, sample, at, weight)
    _learn_ping(usual, sample, weight)
    _learn_names(usual, sample)
    tls = part(sample.get("tls"))
    if tls.get("status") == "ok":
        kept = {key: tls[key] for key in ("fingerprint", "issuer", "subject", "not_after") if tls.get(key)}
        usual["tls"] = {key: value[:200] if isinstance(value, str) else value for key, value in kept.items()}
    size = part(sample.get("size"))
    largest = told_number(size.get("largest"))
    if size.get("status") in ("ok", "reported") and largest:
        usual["largest"] = int(largest)
    http = part(sample.get("http"))
    length = told_number(http.get("bytes"))
    if http.get("status") == "ok" and length is not None:
        usual["http"] = {"bytes": nearer(part(usual.get("http")).get("bytes"), length, seen)}
    times = part(http.get("phases")) or part(part(sample.get("check")).get("phases"))
    usual = phases(usual, datetime.fromtimestamp(at, UTC).hour, times)
    return fitting(usual)


def phases(before: Usual | None, hour: int, phases: dict[str, float]) -> Usual:
    """The baseline after one more healthy check's phases (milliseconds by name) in that hour of day (0-23, UTC).

    `connect_ms` speaks of all hours: [p5, p50, p95]. `connect_ms@8` speaks of 08:00 to 11:59 and holds a fourth number,
    how many checks it was drawn from; `connect_ms@all` is the first with its count.
    """
    usual: Usual = {**(before or {})}  # type: ignore[typeddict-item]
    table = {key: list(value) for key, value in part(usual.get("phases")).items()}
    for name in PHASES:
        value = told_number(phases.get(name))
        if value is None or value < 0:
            continue
        for when in ("all", str(hour // BLOCK * BLOCK)):
            known = table.get(f"{name}@{when}") or []
            count = int(known[3]) if len(known) > 3 else 0
            table[f"{name}@{when}"] = [*nearer(known, value, count), float(min(count + 1, 100_000))]
        table[name] = table[f"{name}@all"][:3]
    if table:
        usual["phases"] = table
    return usual


def phase(usual: Usual | Mapping[str, Any], name: str, at: float) -> list[float] | None:
    """[p5, p50, p95] of that phase at that time of day; of all hours where too few checks are known of it."""
    table = part(usual.get("phases"))
    try:
        hour = datetime.fromtimestamp(at, UTC).hour
    except (OverflowError, OSError, ValueError):
        hour = 0
    for key in (f"{name}@{hour // BLOCK * BLOCK}", name):
        known = table.get(key)
        numbers = [told_number(one) for one in known] if isinstance(known, list) else []
        if len(numbers) >= 3 and None not in numbers and (len(numbers) == 3 or (numbers[3] or 0) >= 20):
            return [float(one or 0) for one in numbers[:3]]
    return None


def moved(usual: Usual | None, sample: BatteryEvidence) -> dict[str, Any] | None:
    """How the route differs from the usual ones: {"before", "after", "as_before", "as_after"}; None while it has not moved.

    A further branch of load balancing, a hop that is silent this time and a path that ends early are no change: what
    counts is a carrier that was never on the way, one that was left out, or most of the routers being new.
    """
    known = usual or {}
    before = known_path(known)
    path = best_path(sample) if before else None
    steps = steps_of(path or {})
    targets = {*texts(part(sample.get("target")).get("addresses")), str(part(sample.get("target")).get("address"))}
    after = route_of(steps, targets)
    answering = [address for address in after if address]
    if not before or len(answering) < 2:
        return None
    as_before = [int(asn) for n in known.get("as_path") or [] if (asn := told_number(n)) is not None]
    as_after = as_sequence_of(steps)
    found = {"before": before, "after": after, "as_before": as_before, "as_after": as_after}
    familiar = {one for way in (before, *(known.get("paths") or [])) if isinstance(way, list) for one in way if one}
    at_hand = {step.ttl: {step.address, *step.others} for step in steps}
    new = [
        ttl
        for ttl, address in enumerate(after, 1)
        if address and address not in targets and not (at_hand.get(ttl, {address}) & familiar)
    ]
    if not new:
        return None
    if as_before and as_after:
        if set(as_after) - set(as_before):
            return found
        if not _in_order(as_after, as_before):
            return found
    few = max(3, len(answering) // 2)
    return found if len(new) >= few else None


def old(usual: Usual | None, at: float) -> bool:
    """Is that baseline too old to be compared with at this moment?"""
    learned = told_number((usual or {}).get("learned_at"))
    return learned is None or at - learned > OLD


def known_path(usual: Usual | dict[str, Any]) -> list[str | None]:
    """The usual path, hop by hop; empty where none was learned."""
    path = usual.get("path")
    return [one if isinstance(one, str) else None for one in path] if isinstance(path, list) else []


def nearer(known: Any, value: float, count: int) -> list[float]:
    """[p5, p50, p95], each a step nearer to what it should be after one more value (stochastic approximation)."""
    numbers = [told_number(one) for one in known[:3]] if isinstance(known, list) else []
    if len(numbers) < 3 or None in numbers or not count:
        return [round(value * share, 2) for share in (0.8, 1.0, 1.3)]
    low, middle, high = (float(one or 0) for one in numbers)
    scale = max(high - low, 0.1 * middle, 0.2)
    step = scale * max(0.02, 1 / (count + 1))
    moved_by = [
        quantile + step * (share - (1.0 if value < quantile else 0.0))
        for quantile, share in zip((low, middle, high), QUANTILES, strict=True)
    ]
    return [round(max(0.0, one), 2) for one in sorted(moved_by)]


def fitting(usual: Usual) -> Usual:
    """The same within LIMIT bytes: what is least missed goes first (further paths, then blocks of hours)."""
    while len(json.dumps(usual)) > LIMIT:
        if usual.get("paths"):
            usual["paths"] = usual["paths"][:-1]
            continue
        table = usual.get("phases") or {}
        blocks = [key for key in table if "@" in key and not key.endswith("@all")]
        if blocks:
            usual["phases"] = {key: value for key, value in table.items() if key != blocks[-1]}
            continue
        names = usual.get("names") or {}
        if any(len(names.get(key) or []) > 2 for key in names):
            usual["names"] = {key: list(value)[:2] for key, value in names.items()}
            continue
        usual.pop("path", None)  # nothing else is that long
        usual.pop("hop_ms", None)
        usual.pop("hop_loss", None)
        break
    return usual


def _learn_path(usual: Usual, sample: BatteryEvidence, at: float, weight: float) -> None:
    path = best_path(sample)
    after = route(path, sample)[:32] if path else []
    if path is None or not any(after):
        return
    usual["learned_at"] = at
    ways: list[list[str | None]] = [way for way in (known_path(usual), *(usual.get("paths") or [])) if way]
    place = next((n for n, way in enumerate(ways) if _alike(way, after)), None)
    if place is None:
        ways.insert(1, after)  # the newest of the further ones; the front is for what is seen most
    else:
        merged = [a or b for a, b in zip(ways[place], after, strict=True)]
        ways[place] = merged
        if place:  # one place nearer to the front each time: the most frequent one ends there
            ways[place - 1], ways[place] = ways[place], ways[place - 1]
    usual["path"], usual["paths"] = ways[0], ways[1 : FURTHER + 1]
    if _alike(ways[0], after):  # the carriers are those of the way that stands first
        usual["as_path"] = as_sequence(path)
    _learn_hops(usual, path, len(after), weight)


def _learn_hops(usual: Usual, path: dict[str, Any], length: int, weight: float) -> None:
    times = list(usual.get("hop_ms") or [])
    losses = list(usual.get("hop_loss") or [])
    by_ttl = {hop.get("ttl"): hop for hop in map(part, path.get("hops") or [])}
    for n in range(length):
        hop = by_ttl.get(n + 1, {})
        sent, got = told_number(hop.get("sent")) or 0, told_number(hop.get("got")) or 0
        loss = 1 - got / sent if sent else 1.0
        rtts = sorted(one for value in hop.get("rtt_ms") or [] if (one := told_number(value)) is not None)
        middle = rtts[len(rtts) // 2] if rtts else None
        if n >= len(losses):
            losses.append(round(loss, 3))
            times.append(None)
        else:
            losses[n] = round(losses[n] + weight * (loss - losses[n]), 3)
        if n < len(times) and middle is not None:
            known = times[n]
            times[n] = round(middle if known is None else known + weight * _clipped(middle - known, known), 2)
    usual["hop_ms"], usual["hop_loss"] = times[:length], losses[:length]
    usual["silent"] = [n + 1 for n, loss in enumerate(losses[:length]) if loss >= 0.99]


def _clipped(step: float, known: float) -> float:
    """One slow answer of a busy router moves the usual time by little."""
    most = max(2.0, known * 0.5)
    return max(-most, min(most, step))


def _learn_ping(usual: Usual, sample: BatteryEvidence, weight: float) -> None:
    ping = part(sample.get("ping"))
    sent, got = told_number(ping.get("sent")), told_number(ping.get("got"))
    if not sent or got is None or ping.get("status") in ("not_permitted", "not_run"):
        return
    before = part(usual.get("ping"))
    loss = told_number(before.get("loss"))
    now = 1 - got / sent
    share = now if loss is None else loss + weight * (now - loss)
    known: dict[str, Any] = {"answers": share < 0.9, "loss": round(share, 3)}
    rtts = sorted(one for value in ping.get("rtt_ms") or [] if (one := told_number(value)) is not None)
    if rtts:
        known["ms"] = nearer(before.get("ms"), rtts[len(rtts) // 2], int(usual.get("samples") or 1) - 1)
    elif "ms" in before:
        known["ms"] = before["ms"]
    usual["ping"] = known


def _learn_names(usual: Usual, sample: BatteryEvidence) -> None:
    names = part(sample.get("names"))
    system = part(names.get("system"))
    if system.get("status") != "ok":
        return
    before = part(usual.get("names"))
    # Name servers that rotate their answers make the list grow; the newest stand first and the oldest fall out.
    answers = texts(system.get("addresses"))
    for answer in map(part, names.get("authoritative") or []):
        answers += texts(answer.get("addresses"))
    servers = [str(part(answer).get("server"))[:120] for answer in names.get("authoritative") or []]
    usual["names"] = {
        "addresses": _unique([*answers, *texts(before.get("addresses"))])[:KEPT_ADDRESSES],
        "cname": _unique([*texts(system.get("cname"))])[:8],
        "authoritative": _unique(servers)[:8] or texts(before.get("authoritative")),
    }


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(item[:120] for item in items))


def _alike(way: Sequence[str | None], other: Sequence[str | None]) -> bool:
    """Are these the same way, but for hops that were silent once?"""
    return len(way) == len(other) and all(a == b or a is None or b is None for a, b in zip(way, other, strict=True))


def _in_order(some: Sequence[int], whole: Sequence[int]) -> bool:
    """Does `some` follow the order of `whole`, though parts of it may not have been seen?"""
    rest = iter(whole)
    return all(one in rest for one in some)
