"""Where does the problem live? Pure and versioned: stored evidence in, one verdict out; no database, no clock, no network.

Rules (`candidates` of one probe, `witnesses` of all) give each cause points for and against. Points of one probe are added, those of several are added and
divided by the root of their number; the cause with most wins if it stands out, and else the verdict is "unknown". The
confidence is what `calibrated` makes of the distance to the next layer. A new VERSION is a new answer to old evidence:
`manage.py replay_verdict` shows what it changes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import witnesses
from .candidates import VIEW_RULES, speed
from .clues import ANY, Clue
from .evidence import LAYERS, Evidence, Reason, Verdict
from .reading import count_of, part, texts
from .scene import Scene, compose
from .summary import also_words, summarise
from .whereabouts import Place, Whereabouts, dying, losing
from .wording import LAYER_WORDS, safe

VERSION = 1

# How likely is the first layer to be right, by its distance to the next one (log-odds)? A logistic curve whose numbers
# were fitted to invented internets: `python -m tests.diagnosis.fitting` prints them anew.
SLOPE, SHIFT = 1.05, -0.3
UNKNOWN_AT = 1.2  # points of "nobody can know this": what is weaker is not named
LEAST = 0.45  # below this confidence the layer is not named
MOST = 0.99


@dataclass(slots=True)
class Candidate:
    """One cause with all that speaks for and against it."""

    layer: str
    cause: str
    score: float = 0.0
    clues: list[Clue] = field(default_factory=list)
    plain: float = 0.0

    @property
    def place(self) -> Place | None:
        """Where it is, when a rule says so."""
        found = max((clue for clue in self.clues if clue.place), key=lambda clue: clue.weight, default=None)
        return found.place if found else None


@dataclass(frozen=True, slots=True)
class Judged:
    """The outcome before it is put in words."""

    scene: Scene
    found: list[Candidate]
    best: Candidate | None
    confidence: float
    margin: float
    ends: Whereabouts
    losses: Whereabouts


def judge(evidence: Evidence) -> Verdict:
    """What the evidence says about where the failure lives. Never raises for JSON of the contract's shape, however thin."""
    outcome = weigh(evidence)
    return _told(outcome)


def weigh(evidence: Evidence | Mapping[str, Any]) -> Judged:
    """All candidates with their points, best first, and which of them is believed."""
    scene = compose(evidence)
    where_ends, where_lost = dying(scene), losing(scene)
    views = scene.failing
    collected: list[tuple[Clue, float]] = []
    damp = 1 / math.sqrt(len(views)) if views else 1.0
    for view in views:
        for rule in VIEW_RULES:
            for clue in rule(view, scene):
                collected.append((_of(clue, view.slug), damp))
    for scene_rule in witnesses.SCENE_RULES:
        collected += [(clue, 1.0) for clue in scene_rule(scene)]
    collected += [(clue, 1.0) for clue in witnesses.ends(scene, where_ends)]
    collected += [(clue, 1.0) for clue in witnesses.loss(scene, where_lost)]
    found = _candidates(collected)
    best, margin = _best(found)
    confidence = min(calibrated(margin), _ceiling(scene, best, where_ends)) if best else 0.0
    if best is not None and confidence < LEAST:
        best = None
    return Judged(scene, found, best, confidence if best else 0.0, margin, where_ends, where_lost)


def calibrated(margin: float) -> float:
    """The confidence for this distance to the next layer."""
    return min(MOST, 1 / (1 + math.exp(-(SLOPE * margin + SHIFT))))


def _of(clue: Clue, slug: str) -> Clue:
    return replace(clue, slugs=clue.slugs or (slug,))


def _candidates(collected: list[tuple[Clue, float]]) -> list[Candidate]:
    """Points per cause. What speaks of a whole layer counts for each of its causes, and names no cause by itself."""
    named: dict[tuple[str, str], Candidate] = {}
    for clue, damp in collected:
        if clue.cause == ANY or clue.weight <= 0:
            continue
        mine = named.setdefault((clue.layer, clue.cause), Candidate(clue.layer, clue.cause))
        mine.score += clue.weight * damp
        mine.clues.append(clue)
        if clue.plain:
            mine.plain += clue.weight * damp
    for clue, damp in collected:
        for mine in named.values():
            if (
                mine.layer == clue.layer
                and mine.cause not in clue.but
                and (clue.cause == ANY or (clue.weight <= 0 and clue.cause == mine.cause))
            ):
                mine.score += clue.weight * damp
                mine.clues.append(clue)
    return sorted(named.values(), key=lambda one: (-one.score, LAYERS.index(one.layer), one.cause))


def _best(found: list[Candidate]) -> tuple[Candidate | None, float]:
    """The first candidate and its distance to all other layers together, "unknown" being one of them."""
    if not found:
        return None, 0.0
    top = found[0]
    others: dict[str, float] = {"unknown": UNKNOWN_AT}
    for one in found:
        if one.layer != top.layer:
            others[one.layer] = max(others.get(one.layer, -99.0), one.score)
    rest = math.log(sum(math.exp(min(50.0, score)) for score in others.values()))
    return top, min(12.0, top.score - rest)


def _ceiling(scene: Scene, best: Candidate | None, ends: Whereabouts) -> float:
    """How sure may one be at most? Thin evidence is never more than a good guess."""
    most = MOST
    views = scene.failing or scene.views
    measured = [
        sum(1 for name in ("paths", "connect", "ping", "tls", "http", "names") if name in view.battery)
        for view in views
    ]
    if not any(measured):
        return 0.4
    if max(measured) <= 2 or len(scene.views) * 2 < count_of(scene.evidence.get("expected")):
        most = 0.8
    watched, failing = scene.beside
    if best and best.layer == "client_network" and watched and not failing and not best.plain:
        most = min(most, 0.5)  # others behind the same edge are well
    if best and best.layer in ("server", "client_network", "transit") and ends.places and not best.plain:
        if not ends.known:
            most = min(most, 0.6)
        elif ends.share(best.layer) < 0.75:
            most = min(most, 0.8)
    return most


# --- In words ---------------------------------------------------------------------------------------------------------------
def _told(outcome: Judged) -> Verdict:
    scene, best = outcome.scene, outcome.best
    place = _place(scene, best) if best else None
    cause = best.cause if best else "unknown"
    if best and _moved_there(scene, best, place):
        cause = "route_moved"
    asn, as_name = _owner(scene, place) if place else (None, "")
    confirming = _confirming(scene, best)
    verdict: Verdict = {
        "version": VERSION,
        "summary": "",
        "layer": best.layer if best else "unknown",
        "cause": cause,
        "confidence": round(outcome.confidence, 2),
        "hop": place.ttl if place else None,
        "hop_address": safe(place.address, 45) if place and place.address else None,
        "asn": asn,
        "as_name": safe(as_name, 80),
        "loss_percent": _loss(scene, best) if best else None,
        "regions": {"confirming": confirming, "asked": sorted(view.slug for view in scene.views)},
        "for": _reasons(best, 1) if best else [],
        "against": _reasons(best, -1) if best else [],
        "ruled_out": _ruled_out(outcome),
        "candidates": _listed(outcome),
        "also": _also(outcome),
        "baseline_diff": _difference(scene, best),
        "dns": _dns(scene),
        "ssl": _ssl(scene),
        "mtr_reports": sum(1 for view in scene.views if view.paths),
    }
    verdict["summary"] = summarise(verdict, scene, outcome.found[0].layer if outcome.found else "unknown")
    return verdict


def _owner(scene: Scene, place: Place) -> tuple[int | None, str]:
    """Whose it is; a router that never answers belongs to those before and behind it, if they are one."""
    if place.address or place.ttl is None:
        return scene.networks.get(place.address or "", (None, ""))
    for view in scene.failing:
        way = view.usual.get("path")
        if view.slug not in place.slugs or not isinstance(way, list) or not 1 < place.ttl < len(way):
            continue
        before = next((one for one in reversed(way[: place.ttl - 1]) if one), None)
        after = next((one for one in way[place.ttl :] if one), None)
        first, last = scene.networks.get(before or ""), scene.networks.get(after or "")
        if first and last and first[0] == last[0]:
            return first
    return None, ""


PLACELESS = ("one_way_loss", "mtu_black_hole", "lan")  # of which no router can be named


def _place(scene: Scene, best: Candidate) -> Place | None:
    """Which machine on the way it is; for the client's edge and the server also where no rule needed to say so."""
    if best.cause in PLACELESS or best.layer not in ("transit", "client_network", "server", "probe"):
        return None
    gap = {"client_network": 1, "server": 0}.get(best.layer)
    found = best.place if best.layer != "server" else None
    if found is not None or gap is None:
        return found
    near = sorted(address for address, steps in scene.behind.items() if steps == gap)
    if len(near) != 1:
        return None
    ends = [path.last.ttl for view in scene.views for path in view.paths if path.reached and path.last is not None]
    ends += [len(way) for view in scene.failing if isinstance(way := view.usual.get("path"), list) and way and way[-1] == near[0]] if gap == 0 else []  # fmt: skip
    place = Place(near[0], near[0], gap)
    place.ttls.update(end - gap for end in ends if end > gap)
    return place


LOSING = ("loss_at_hop", "loss", "one_way_loss", "edge_loss", "loss_at_host", "own_line")


def _loss(scene: Scene, best: Candidate) -> float | None:
    """The share of packets that get lost (percent, the middle of the probes that see it), for a cause that is loss."""
    if best.cause not in LOSING:
        return None
    shares = []
    for view in scene.failing:
        sent, got = (a + b for a, b in zip(view.ping, view.tries, strict=True))
        measured = max((path.loss for path in view.paths), default=0.0) or (1 - got / sent if sent else 0.0)
        if 0.0 < measured < 1.0:
            shares.append(measured)
    return round(100 * sorted(shares)[len(shares) // 2], 1) if shares else None


def _moved_there(scene: Scene, best: Candidate, place: Place | None) -> bool:
    """Does the trouble stand on a part of the way that is new?"""
    if best.layer != "transit" or best.cause not in ("loss_at_hop", "latency_at_hop", "black_hole_at_hop"):
        return False
    changed = [view for view in scene.failing if view.moved]
    if len(changed) * 2 <= len(scene.failing):
        return False
    familiar = {one for view in changed for one in view.usual.get("path") or [] if one}
    return place is None or place.address is None or place.address not in familiar


def _confirming(scene: Scene, best: Candidate | None) -> list[str]:
    if best is None:
        return []
    slugs = {slug for clue in best.clues if clue.weight > 0.4 and clue.cause != ANY for slug in clue.slugs}
    return sorted(slugs & {view.slug for view in scene.views})


def _reasons(best: Candidate, sign: int) -> list[Reason]:
    """What speaks for it (1) or against it (-1), each sentence once with all who saw it, weightiest first."""
    heavy: dict[str, float] = defaultdict(float)
    seen: dict[str, set[str]] = defaultdict(set)
    for clue in best.clues:
        if clue.weight * sign > 0:
            heavy[clue.text] = max(heavy[clue.text], abs(clue.weight))
            seen[clue.text] |= set(clue.slugs)
    ordered = sorted(heavy, key=lambda text: (-heavy[text], text))[:10]
    return [{"text": safe(text), "probes": sorted(seen[text])[:20], "weight": round(sign * heavy[text], 2)} for text in ordered]  # fmt: skip


def _ruled_out(outcome: Judged) -> list[dict[str, str]]:
    """Which other layers it is not, with the strongest reason; only where the evidence says so."""
    scene = outcome.scene
    against: dict[str, tuple[float, str]] = {}
    for view in scene.failing:
        for rule in VIEW_RULES:
            for clue in rule(view, scene):
                if clue.weight <= -2.5 and clue.cause == ANY and clue.weight < against.get(clue.layer, (0.0, ""))[0]:
                    against[clue.layer] = clue.weight, clue.text
    extra = [*witnesses.agreement(scene), *witnesses.ends(scene, outcome.ends), *witnesses.blindness(scene)]
    for clue in extra:
        if clue.weight <= -2.5 and clue.weight < against.get(clue.layer, (0.0, ""))[0]:
            against[clue.layer] = clue.weight, clue.text
    alive = {one.layer for one in outcome.found if one.score > 0} | ({outcome.best.layer} if outcome.best else set())
    return [
        {"layer": layer, "text": safe(f"{LAYER_WORDS[layer]}: {text}")}
        for layer, (_, text) in sorted(against.items(), key=lambda one: LAYERS.index(one[0]))
        if layer not in alive
    ]


def _listed(outcome: Judged) -> list[dict[str, Any]]:
    """All candidates that have any points, with their share of belief."""
    first: dict[str, float] = {"unknown": UNKNOWN_AT}
    for one in outcome.found:
        first[one.layer] = max(first.get(one.layer, -99.0), one.score)
    whole = sum(math.exp(min(50.0, score)) for score in first.values())
    listed: list[dict[str, Any]] = []
    for one in outcome.found[:12]:
        if one.score < -2 and len(listed) >= 3:
            break
        share = math.exp(min(50.0, one.score)) / whole
        share = outcome.confidence if one is outcome.best else min(share, 1 - outcome.confidence)
        listed.append({"layer": one.layer, "cause": one.cause, "score": round(one.score, 2), "confidence": round(share, 2)})  # fmt: skip
    return listed


def _also(outcome: Judged) -> list[dict[str, Any]]:
    """Further faults that were seen directly and that the first does not explain."""
    found, layers = [], {outcome.best.layer} if outcome.best else set()
    if outcome.best is None:
        return []
    for one in outcome.found:
        if one.layer in layers or one.plain < 3.5 or one.score < 0.5:
            continue
        layers.add(one.layer)
        found.append({"layer": one.layer, "cause": one.cause, "summary": also_words(one.layer, one.cause, one.clues[0].text)})  # fmt: skip
    return found[:4]


def _difference(scene: Scene, best: Candidate | None) -> str:
    """What differs from the baseline: what belongs to the verdict first."""
    views = [view for view in scene.views if view.usual and not view.blind]
    if not views:
        return "unknown"
    seen = scene.failing or views
    differs = {
        "route_change": any(view.moved for view in seen) or any(clue.text.startswith("the route changed") for clue in witnesses.route(scene)),
        "dns_change": _dns(scene) == "changed",
        "cert_change": _ssl_changed(scene),
        "latency_drift": any(path.slow_ms > 50 for view in seen for path in view.paths)
        or any(clue.layer == "application" and clue.cause == "slow" and "instead of" in clue.text for view in seen for clue in speed(view, scene)),
    }  # fmt: skip
    first = {"dns": "dns_change", "tls": "cert_change", "transit": "route_change"}.get(best.layer if best else "", "")
    for name in (first, *differs):
        if differs.get(name):
            return name
    return "none"


def _dns(scene: Scene) -> str:
    """ok, failed, changed or unknown: as most of the seeing probes say; a probe's own dead resolver says nothing of the name."""
    words = []
    for view in scene.seeing:
        names = part(view.battery.get("names"))
        status = part(names.get("system")).get("status")
        control = part(names.get("control")).get("status")
        if status in (None, "not_run") or (status != "ok" and control not in (None, "ok", "nodata", "nxdomain")):
            continue
        now = set(texts(part(names.get("system")).get("addresses")))
        before = set(texts(part(view.usual.get("names")).get("addresses")))
        words.append("failed" if status != "ok" else "changed" if now and before and not now & before else "ok")
    return max(("ok", "changed", "failed"), key=words.count) if words else "unknown"


def _ssl(scene: Scene) -> str:
    words = [view.said("tls") for view in scene.seeing if view.said("tls")]
    if not words:
        return "unknown"
    bad = sum(1 for word in words if word != "ok")
    if bad * 2 > len(words):
        return "failed"
    return "changed" if _ssl_changed(scene) else "ok"


def _ssl_changed(scene: Scene) -> bool:
    for view in scene.seeing:
        now = part(view.battery.get("tls")).get("fingerprint")
        before = part(view.usual.get("tls")).get("fingerprint")
        if now and before and now != before:
            return True
    return False
