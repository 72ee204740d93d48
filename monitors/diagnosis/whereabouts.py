"""Where on the way is it? What all probes saw is laid over each other: one broken machine must explain all of them.

Pure. Two questions with one answer each, a share of belief per place: where do packets end (`dying`), where do they get
lost now and then (`losing`)? A place is a router's address, or what stands silent behind one.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from .reading import PathReading, Step, part, texts
from .scene import Scene, View

ELSEWHERE = 0.03  # how well a place explains a probe that does not pass it: two things may be broken at once
KINDS = {0: 2.0, 1: 1.6}  # how often the target, the client's edge and (1.0) a router on the way are what breaks


@dataclass(slots=True)
class Place:
    """One machine that may be at fault. `gap` counts the steps to the target, None where nobody knows."""

    key: str
    address: str | None
    gap: int | None
    share: float = 0.0
    kind: str = ""  # the layer, where it does not follow from the distance
    ttls: Counter[int] = field(default_factory=Counter)
    slugs: list[str] = field(default_factory=list)

    @property
    def ttl(self) -> int | None:
        """At which hop most of the probes have it; the nearer one of equals."""
        return min(self.ttls, key=lambda ttl: (-self.ttls[ttl], ttl)) if self.ttls else None

    @property
    def layer(self) -> str:
        if self.kind:
            return self.kind
        if self.gap == 0:
            return "server"
        if self.gap == 1:
            return "client_network"
        first = self.ttls and max(self.ttls) <= 2
        return "probe" if first and len(self.slugs) == 1 else "transit"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What is believed of all places. `known`: was there anything to compare with, or is it a guess?"""

    places: list[Place]
    views: list[View]
    known: bool
    evidence: float = 0.0

    def share(self, layer: str) -> float:
        """How much of the belief lies in this layer."""
        return sum(place.share for place in self.places if place.layer == layer)

    def best(self, layer: str) -> Place | None:
        """The likeliest place of that layer."""
        return max(
            (p for p in self.places if p.layer == layer), key=lambda p: (p.share, -(p.ttl or 99), p.key), default=None
        )


# --- Where packets end -----------------------------------------------------------------------------------------------
def dying(scene: Scene) -> Whereabouts:
    """Where do the packets of those who get nothing back from the target end?"""
    lost = [view for view in scene.failing if view.alive is False and view.paths and not view.misled]
    public = [view for view in lost if not view.private] or lost
    zones: list[tuple[View, list[tuple[Place, float]]]] = []
    known = True
    for view in public:
        zone, compared = _zone(view, scene)
        if zone:
            zones.append((view, zone))
            known = known and compared
    places = _overlaid(zones, scene)
    proven = {view.slug for view in public if view.connected}
    for place in places:
        if place.layer == "probe" and proven.issuperset(place.slugs):
            place.kind = "transit"  # its anchors answer: whatever ends its packets so early is not its own line
    return Whereabouts(places, public, known and bool(zones), float(len(zones)))


def furthest(view: View, scene: Scene) -> PathReading | None:
    """The path that came nearest to the target."""
    return max(view.paths, key=lambda path: _nearness(path.last, scene), default=None)


def _nearness(step: Step | None, scene: Scene) -> tuple[int, int]:
    if step is None or step.address is None:
        return -99, 0
    gap = scene.behind.get(step.address)
    return (-gap if gap is not None else -50), step.ttl


def _zone(view: View, scene: Scene) -> tuple[list[tuple[Place, float]], bool]:
    """The places of this view where its packets may have ended, each with its weight; and whether a usual path was known."""
    reading = furthest(view, scene)
    if reading is None:
        return [], False
    last, usual = reading.last, view.usual
    if reading.loop is not None and reading.loop.address:
        loop = Place(reading.loop.address, reading.loop.address, None, kind="transit")
        loop.ttls[reading.loop.ttl] += 1
        return [(loop, 1.0)], True
    reached = last.ttl if last else 0
    silent = {one for one in usual.get("silent") or [] if isinstance(one, int)}
    way = _usual_way(view, last)
    if not way:
        gap = scene.behind.get(last.address) if last and last.address else None
        if gap is None:
            return _anywhere(last, reached), False
        # Others' paths tell how far it still was.
        zone = [(_behind(last, reached + n, gap - n, scene), 1.0) for n in range(1, gap + 1)]
        return _with_last(zone, last, gap, scene), True
    length = len(way)
    found: list[tuple[Place, float]] = []
    for ttl in range(reached + 1, length + 1):
        gap = length - ttl
        address = way[ttl - 1]
        after = next((n for n in range(ttl, length) if way[n]), None)
        key = f"before {way[after]} -{after + 1 - ttl}" if after is not None else f"gap {gap}"
        place = Place(address or key, address, gap)
        place.ttls[ttl] += 1
        found.append((place, 1.0))
        if address is not None and ttl not in silent:
            break  # this one usually answers: what is dead is not behind it
    return _with_last(found, last, length - reached, scene), True


def _anywhere(last: Step | None, reached: int) -> list[tuple[Place, float]]:
    """Without any path to compare with, the next hop may be the target, its edge or a router on the way."""
    word = last.said if last else ""
    target, edge, router = {"host": (1.3, 1.0, 0.5), "net": (0.1, 0.4, 2.0), "admin": (0.1, 2.0, 0.5)}.get(
        word, (1.0, 1.0, 1.5)
    )
    if last is not None and last.address and word in ("net", "admin"):  # it speaks of itself
        itself = Place(last.address, last.address, None)
        itself.ttls[last.ttl] += 1
        return [(_behind(last, reached + 1, 0), target), (_behind(last, reached + 1, 1), edge), (itself, router)]
    return [(_behind(last, reached + 1, 0), target), (_behind(last, reached + 1, 1), edge), (_behind(last, reached + 1, None), router)]  # fmt: skip


def _usual_way(view: View, last: Step | None) -> list[str | None]:
    """The usual path that goes through the last hop that answered, at the same distance."""
    ways = [view.usual.get("path"), *(view.usual.get("paths") or [])]
    known = [way for way in ways if isinstance(way, list) and way]
    before = {*view.addresses, *texts(part(view.usual.get("names")).get("addresses"))}
    if before:  # a target that never answered such packets stands behind the last that did
        known = [way if way[-1] in before else [*way, min(view.addresses or before)] for way in known]
    if last is None:
        return known[0] if known else []
    for way in known:
        if last.ttl <= len(way) and way[last.ttl - 1] in (last.address, *last.others):
            return [one if isinstance(one, str) else None for one in way]
    return []


def _behind(last: Step | None, ttl: int, gap: int | None, scene: Scene | None = None) -> Place:
    """Whatever stands at this distance, known only by what answered before it, or by being the target itself."""
    before = last.address if last else ""
    key = f"gap {gap}" if gap in (0, 1) else f"behind {before} +{ttl - (last.ttl if last else 0)}"
    address = None
    if scene is not None and gap in (0, 1):
        near = sorted(one for one, steps in scene.behind.items() if steps == gap)
        address = near[0] if len(near) == 1 else None
    place = Place(address or key, address, gap)
    place.ttls[ttl] += 1
    return place


def _with_last(zone: list[tuple[Place, float]], last: Step | None, gap: int, scene: Scene) -> list[tuple[Place, float]]:
    """The router that answered last may itself no longer pass anything on; what it says of itself tells more than silence."""
    if last is None or last.address is None:
        return zone
    word = last.said
    # Machines of their own do not fall silent together: the router they share may answer and pass nothing on.
    alone = 1.5 if gap == 1 and scene.site_dark else 0.25
    factor = {"host": 0.1, "net": 2.0, "admin": 30.0}.get(word, alone)
    itself = Place(last.address, last.address, gap)
    if word == "admin" and gap == 0:  # whoever answers for the target's address is there, and a firewall says no
        itself.kind = "client_network"
    itself.ttls[last.ttl] += 1
    if word == "net":  # it has no route: what stands behind it is not asked at all
        zone = [(place, weight * 0.25) for place, weight in zone]
    if word == "host":  # it speaks of its neighbour: the next one does not answer
        zone = [(place, weight * (4.0 if place.gap == gap - 1 else 1.0)) for place, weight in zone]
    return [*zone, (itself, factor)]


def _overlaid(zones: list[tuple[View, list[tuple[Place, float]]]], scene: Scene) -> list[Place]:
    """All probes' zones over each other: a place that explains all of them is believed more than several at once."""
    places: dict[str, Place] = {}
    prior: dict[str, float] = {}
    for view, zone in zones:
        for place, _ in zone:
            kept = places.setdefault(place.key, Place(place.key, place.address, place.gap, kind=place.kind))
            prior.setdefault(place.key, KINDS.get(place.gap, 1.0) if place.gap is not None else 1.0)
            kept.ttls.update(place.ttls)
            kept.slugs.append(view.slug)
    # Each probe's weights count less where many see the same: their ways overlap, so their words do, too.
    many = max(1.0, math.sqrt(len(zones)))
    for place in places.values():
        total = math.log(prior[place.key]) * many
        for _, zone in zones:
            whole = sum(weight for _, weight in zone)
            mine = next((weight for other, weight in zone if other.key == place.key), ELSEWHERE)
            total += math.log(mine / whole)
        place.share = total / many
        if place.address and scene.alive_routers.get(place.address):
            place.share -= 3.0  # others get through it
    _normalise(list(places.values()))
    return sorted(places.values(), key=lambda place: (-place.share, place.key))


def _normalise(places: list[Place]) -> None:
    top = max((place.share for place in places), default=0.0)
    whole = sum(math.exp(place.share - top) for place in places)
    for place in places:
        place.share = math.exp(place.share - top) / whole


# --- Where some packets are lost -----------------------------------------------------------------------------------------
def losing(scene: Scene) -> Whereabouts:
    """Where does loss begin that stays until the end? `evidence` is the log likelihood ratio of there being any."""
    views = [view for view in scene.outside if view.alive]
    lossy = [view for view in views if view.lossy]
    places: dict[str, Place] = {}
    for view in lossy:
        for path in view.paths:
            for ttl in path.onsets:
                step = path.at(ttl)
                if step is None or step.address is None:
                    continue
                gap = scene.behind.get(step.address)
                if (
                    path.reached and path.last is not None
                ):  # where the target answered late only, better days know better
                    gap = min(path.last.ttl - ttl, gap if gap is not None else 99)
                place = places.setdefault(step.address, Place(step.address, step.address, gap))
                place.ttls[ttl] += 1
                if view.slug not in place.slugs:
                    place.slugs.append(view.slug)
    total_lost = sum(max(0.0, view.lost) for view in lossy)
    if not places:
        return Whereabouts([], lossy, False, total_lost)
    strongest = 0.0
    for address, place in places.items():
        for view in lossy:
            seen = [
                path.onsets[step.ttl]
                for path in view.paths
                for step in path.steps
                if step.ttl in path.onsets and (step.address == address or address in step.others)
            ]
            # A lossy probe that does not pass it must have another reason of its own.
            place.share += sum(seen) if seen else -1.0
        for view in views:
            # What comes back from the target has a way of its own: that others get it does not acquit this one.
            if place.gap != 0 and view not in lossy and _passes(view, address):
                place.share -= min(8.0, 0.25 * view.passed)
        strongest = max(strongest, place.share)
    _normalise(list(places.values()))
    for place in list(places.values()):
        if (hidden := _hidden(place, lossy)) is not None:
            places[hidden.key] = hidden
    ordered = sorted(places.values(), key=lambda place: (-place.share, place.key))
    return Whereabouts(ordered, lossy, True, max(strongest, total_lost))


def _hidden(place: Place, lossy: list[View]) -> Place | None:
    """The silent hop before the target or its edge, if there is one: loss may as well start there, unseen. It takes part of the belief."""
    if place.gap not in (0, 1):
        return None
    before = [
        (path.at(step.ttl - 1), step.ttl - 1)
        for view in lossy
        for path in view.paths
        for step in path.steps
        if step.address == place.address and step.ttl > 1
    ]
    silent = [ttl for step, ttl in before if step is None or not step.answered]
    if len(silent) * 2 <= len(before):
        return None
    hidden = Place(f"before {place.key}", None, place.gap + 1, place.share * 0.4, slugs=list(place.slugs))
    hidden.ttls.update(silent)
    place.share *= 0.6
    return hidden


def _passes(view: View, address: str) -> bool:
    return any(step.address == address for path in view.paths if path.reached for step in path.steps)
