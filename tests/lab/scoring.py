"""How good were the verdicts? Pure: records in (label, evidence, verdict), a matrix and a few honest numbers out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LAYERS = ("dns", "tls", "transit", "client_network", "server", "service", "application", "probe", "unknown", "none")
SHORT = dict(zip(LAYERS, ("dns", "tls", "trans", "client", "server", "servic", "appl", "probe", "unknwn", "none"), strict=True))  # fmt: skip
STEPS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0001)
SURE = 0.5  # of what nobody could tell, a verdict may be at most so sure


@dataclass(frozen=True)
class Score:
    """One case judged."""

    name: str
    truth: str
    said: str
    confidence: float
    right: bool
    ambiguous: bool
    place: bool | None  # hop or network named rightly; None: none is named, or there is none
    seconds: float | None
    summary: str


def score(record: dict[str, Any], verdict: dict[str, Any] | None) -> Score:
    """A record beside the verdict that is to be judged (None: no diagnosis was made)."""
    name = f"{record['situation']} #{record['variant']} ({record['monitor']})"
    layers = record["layers"]
    if verdict is None:
        truth = "none" if record["silent"] else layers[0]
        return Score(name, truth, "none", 0.0, record["silent"], record["ambiguous"], None, record.get("seconds"), "")
    said, confidence = str(verdict.get("layer")), float(verdict.get("confidence") or 0.0)
    if record["ambiguous"]:
        right = said == "unknown" or confidence <= SURE
        return Score(name, "unknown", said, confidence, right, True, None, record.get("seconds"), verdict.get("summary", ""))  # fmt: skip
    right = said in layers
    place, named = None, bool(verdict.get("hop_address") or verdict.get("asn"))
    if named and (record["hops"] or record["networks"]):
        place = verdict.get("hop_address") in record["hops"] or verdict.get("asn") in record["networks"]
    return Score(name, said if right else layers[0], said, confidence, right, False, place, record.get("seconds"), verdict.get("summary", ""))  # fmt: skip


def matrix(scores: Sequence[Score]) -> str:
    """Truth by row, verdict by column; a second label that is right, too, counts in its own row."""
    counts = Counter((s.truth, s.said) for s in scores)
    rows = [layer for layer in LAYERS if any(s.truth == layer for s in scores)]
    columns = [layer for layer in LAYERS if any(s.said == layer for s in scores)]
    lines = [" " * 16 + "".join(f"{SHORT[c]:>8}" for c in columns) + "   right"]
    for row in rows:
        mine = [s for s in scores if s.truth == row]
        cells = "".join(f"{counts[row, c] or '·':>8}" for c in columns)
        lines.append(f"{row:<16}{cells}   {sum(s.right for s in mine)}/{len(mine)}")
    return "\n".join(lines)


def brier(scores: Sequence[Score]) -> float | None:
    """Mean squared distance between confidence and truth: 0 is perfect, 0.25 is always saying one half."""
    spoken = [s for s in scores if s.said != "none"]
    return sum((s.confidence - s.right) ** 2 for s in spoken) / len(spoken) if spoken else None


def calibration(scores: Sequence[Score]) -> str:
    """Of those said with such confidence, how many were right?"""
    lines = ["confidence      cases  mean said  were right"]
    for low, high in zip(STEPS, STEPS[1:], strict=False):
        here = [s for s in scores if s.said != "none" and low <= s.confidence < high]
        if here:
            mean, right = sum(s.confidence for s in here) / len(here), sum(s.right for s in here) / len(here)
            lines.append(f"{low:.2f} to {min(high, 1.0):.2f}   {len(here):>5}      {mean:.2f}       {right:.2f}")
    return "\n".join(lines)


def report(scores: Sequence[Score]) -> str:
    """All of it, for a person."""
    clear, dim = [s for s in scores if not s.ambiguous], [s for s in scores if s.ambiguous]
    placed = [s for s in clear if s.place is not None and s.right]
    times = sorted(s.seconds for s in scores if s.seconds is not None)
    parts = [matrix(clear)] if clear else []
    if clear:
        value = brier(clear)
        parts.append(
            f"right {sum(s.right for s in clear)} of {len(clear)} ({100 * sum(s.right for s in clear) / len(clear):.1f} %)"
            + (f", Brier score {value:.3f}" if value is not None else "")
        )
    if placed:
        parts.append(
            f"hop or network right in {sum(bool(s.place) for s in placed)} of {len(placed)} with the right layer"
        )
    if dim:
        parts.append(f"ambiguous: unknown or at most {SURE:g} sure in {sum(s.right for s in dim)} of {len(dim)}")
    if times:
        parts.append(f"from the first failing result to the verdict: median {times[len(times) // 2]:.1f} s, 95 % {times[int(len(times) * 0.95)]:.1f} s, longest {times[-1]:.1f} s")  # fmt: skip
    if clear:
        parts.append(calibration(clear))
    wrong = [s for s in scores if not s.right]
    if wrong:
        parts.append("wrong:\n" + "\n".join(f"  {s.name}: {s.said} {s.confidence:.2f}, is {s.truth}: {s.summary}" for s in wrong))  # fmt: skip
    lost = [s for s in placed if not s.place]
    if lost:
        parts.append("right layer, wrong place:\n" + "\n".join(f"  {s.name}: {s.summary}" for s in lost))
    return "\n\n".join(parts)
