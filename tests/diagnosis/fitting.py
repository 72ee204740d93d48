"""Which numbers make the judge's confidence honest? `python -m tests.diagnosis.fitting [n]` fits them to invented internets.

Prints SLOPE and SHIFT for monitors/diagnosis/verdict.py, what share of layers and hops is right, and the Brier score.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator

from monitors.diagnosis import verdict

from .invented import FAULTS, invent


def trials(seeds: range) -> Iterator[tuple[int, str, object, verdict.Judged, object, float]]:
    """Each fault with each seed; every fifth without a baseline, every seventh cut short."""
    for seed in seeds:
        for fault in FAULTS:
            evidence, truth = invent(seed, fault, baseline=seed % 5 != 4, cut=seed % 7 == 6)
            began = time.perf_counter()
            told = verdict.judge(evidence)
            took = time.perf_counter() - began
            yield seed, fault, truth, verdict.weigh(evidence), told, took


def fit(points: list[tuple[float, bool]]) -> tuple[float, float]:
    """Slope and shift of the logistic curve through (distance, was it right?), by Newton's method with a weak prior."""
    slope, shift = 1.0, 0.0
    for _ in range(50):
        g1, g0, h11, h10, h00 = 0.02 * (1 - slope), -0.02 * shift, 0.02, 0.0, 0.02
        for x, right in points:
            p = 1 / (1 + math.exp(-max(-30.0, min(30.0, slope * x + shift))))
            d, w = float(right) - p, p * (1 - p)
            g1, g0 = g1 + d * x, g0 + d
            h11, h10, h00 = h11 + w * x * x, h10 + w * x, h00 + w
        det = h11 * h00 - h10 * h10
        step1, step0 = (h00 * g1 - h10 * g0) / det, (h11 * g0 - h10 * g1) / det
        slope, shift = slope + max(-1, min(1, step1)), shift + max(-1, min(1, step0))
    return slope, shift


def main(first: int, last: int) -> None:
    points, missed, brier = [], defaultdict(Counter), []  # type: ignore[var-annotated]
    total = right = sure_wrong = hops = hops_right = unknown = 0
    causes: dict[str, Counter[str]] = defaultdict(Counter)
    slowest: list[float] = []
    which: dict[str, list[int]] = defaultdict(list)
    sizes = []
    for seed, fault, truth, judged, told, took in trials(range(first, last)):
        slowest.append(took)
        sizes.append(len(str(told)))
        if judged.found:
            points.append((judged.margin, judged.found[0].layer in truth.layers))
        ok = told["layer"] in truth.layers or (truth.ambiguous and told["layer"] == "unknown")
        total, right, unknown = total + 1, right + ok, unknown + (told["layer"] == "unknown")
        brier.append((told["confidence"] - (1.0 if ok else 0.0)) ** 2 if told["layer"] != "unknown" else 0.0)
        sure_wrong += (not ok) and told["confidence"] > 0.8
        if not ok:
            missed[fault][f"{told['layer']}/{told['cause']}{'!' if told['confidence'] > 0.8 else ''}"] += 1
            which[fault].append(seed)
        elif told["layer"] != "unknown" and truth.causes and told["cause"] not in truth.causes:
            causes[fault][told["cause"]] += 1
        if told["layer"] in truth.layers and truth.hops:
            hops += 1
            good = told["hop"] in truth.hops or told["hop_address"] == truth.hop_address
            hops_right += good
            if not good:
                missed[f"{fault} hop"][f"{told['hop']} for {sorted(truth.hops)}"] += 1
    for name, tally in sorted(missed.items(), key=lambda one: -one[1].total()):
        print(f"  {name:24} {dict(tally.most_common(6))} {which[name][:5]}")
    print("  causes:", {name: dict(tally) for name, tally in causes.items()})
    slope, shift = fit(points)
    slowest.sort()
    print(f"SLOPE, SHIFT = {slope:.2f}, {shift:.2f}   from {len(points)} internets")
    print(f"layer right {right / total:.3f}, unknown {unknown / total:.3f}, surely wrong {sure_wrong / total:.4f}, hop right {hops_right / max(1, hops):.3f}, Brier {sum(brier) / len(brier):.4f}")  # fmt: skip
    print(f"ms per judgement: median {slowest[len(slowest) // 2] * 1000:.2f}, p99 {slowest[int(len(slowest) * 0.99)] * 1000:.2f}; longest verdict {max(sizes)} characters")  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 2 else 0, int(sys.argv[-1]) if len(sys.argv) > 1 else 20)
