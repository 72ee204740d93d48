"""What did each probe see, and what do all of them know of the network together? Pure: evidence in, views and a scene out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from . import usual as usuals
from .reading import PathReading, count_of, part, parts, read, texts, told_number
from .wording import safe

BAD = ("failing", "degraded")
ANSWERS = ("ok", "nodata", "nxdomain")
# Words of a handshake or a request that say no more than that nothing came back.
SILENT = frozenset(
    ("stalled", "timeout", "connect_timeout", "connect", "unreachable", "dns", "blocked", "permission", "internal")
)
MANY = 64  # batteries that are read; more tell nothing new


@dataclass(frozen=True)
class View:
    """What one probe saw. A part that was not measured is an empty object; `usual` is empty when none is known or it is old."""

    probe: str
    slug: str
    private: bool
    battery: Mapping[str, Any]
    usual: Mapping[str, Any]
    vote: str

    @cached_property
    def target(self) -> dict[str, Any]:
        return part(self.battery.get("target"))

    @cached_property
    def addresses(self) -> set[str]:
        """The target's addresses as this probe found them."""
        return {
            one for one in (*texts(self.target.get("addresses")), self.target.get("address")) if isinstance(one, str)
        }

    @cached_property
    def paths(self) -> list[PathReading]:
        found = (read(path, self.usual, self.addresses) for path in parts(self.battery.get("paths"))[:6])
        return [one for one in found if one is not None]

    def said(self, name: str) -> str:
        """The status word of a part; empty when it was not measured."""
        status = part(self.battery.get(name)).get("status")
        return status if isinstance(status, str) and status != "not_run" else ""

    @cached_property
    def ping(self) -> tuple[int, int]:
        """Pings sent and answered; (0, 0) when nobody pinged."""
        ping = part(self.battery.get("ping"))
        if ping.get("status") in ("not_permitted", "not_run"):
            return 0, 0
        sent = count_of(ping.get("sent"))
        return sent, min(sent, count_of(ping.get("got")))

    @cached_property
    def tries(self) -> tuple[int, int]:
        """Connections tried and made."""
        connect = part(self.battery.get("connect"))
        if connect.get("status") in (None, "not_run"):
            return 0, 0
        tries = count_of(connect.get("tries"))
        return tries, min(tries, count_of(connect.get("ok")))

    @cached_property
    def blind(self) -> bool:
        """Does its word not count? Said by its vote, or because it reaches none of its anchors (a private one may be cut off with its client)."""
        anchors = [ok for ok in part(part(self.battery.get("own")).get("anchors")).values() if isinstance(ok, bool)]
        return self.vote == "blind" or (bool(anchors) and not any(anchors))

    @cached_property
    def resolver_dead(self) -> bool:
        """Does its resolver answer for nothing, not even a name that must exist?"""
        names = part(self.battery.get("names"))
        word, control = part(names.get("system")).get("status"), part(names.get("control")).get("status")
        return word not in (None, "ok", "not_run") and control is not None and control not in ANSWERS

    @cached_property
    def connected(self) -> bool:
        """Did most of its anchors answer just now? Then its own line carries packets out and back."""
        anchors = [ok for ok in part(part(self.battery.get("own")).get("anchors")).values() if isinstance(ok, bool)]
        return len(anchors) > 1 and sum(anchors) * 2 > len(anchors)

    @cached_property
    def failing(self) -> bool:
        """Does it see the failure now? Its own last check says so, else its vote."""
        status = part(self.battery.get("check")).get("status")
        return (status if isinstance(status, str) and status != "unknown" else self.vote) in BAD

    @cached_property
    def well(self) -> bool:
        """Does it see that all is well now?"""
        status = part(self.battery.get("check")).get("status")
        return not self.blind and (status if isinstance(status, str) else self.vote) == "up"

    @cached_property
    def alive(self) -> bool | None:
        """Did anything at all come back from the target's address? None when nothing was tried that could."""
        if self.ping[1] or self.said("connect") in ("ok", "some", "refused", "reset"):
            return True
        if any(path.reached for path in self.paths):
            return True
        if self.said("tls") not in ("", *SILENT) or self.said("http") not in ("", *SILENT):
            return True
        tried = self.said("connect") or self.paths or self.ping[0]
        error = part(self.battery.get("check")).get("error_class")
        return False if tried or error in ("connect_timeout", "connect") else None

    @cached_property
    def lost(self) -> float:
        """The log likelihood ratio of packets being lost on the whole way, from pings and connections, against an odd one."""
        total = 0.0
        if self.alive is not True:
            return 0.0
        answers = part(self.usual.get("ping"))
        usually = told_number(answers.get("loss")) or 0.0
        for sent, got, before in ((*self.ping, usually), (*self.tries, 0.0)):
            if not sent or before > 0.5 or (got == 0 and sent):
                continue
            share = max(1 - got / sent, 0.02)
            noise = max(0.015, before)
            if share > noise:
                total += (sent - got) * math.log(share / noise)
                total += got * math.log((1 - share) / (1 - noise))
        return total

    @cached_property
    def lossy(self) -> bool:
        """Does the target get and give only a part of its packets, as seen from here?"""
        return self.lost > 2 or any(max(path.onsets.values(), default=0.0) > 2 for path in self.paths)

    @cached_property
    def passed(self) -> int:
        """How many packets are known to have come back from the target: few say little about there being no loss."""
        return self.ping[1] + self.tries[1] + sum(path.steps[-1].got for path in self.paths if path.reached)

    @cached_property
    def elsewhere(self) -> bool:
        """Does the name lead to none of the addresses it had while all was well? (Large pools of addresses tell nothing.)"""
        now = set(texts(part(part(self.battery.get("names")).get("system")).get("addresses")))
        before = set(texts(part(self.usual.get("names")).get("addresses")))
        return bool(now and before and not now & before and len(before) < 8)

    @cached_property
    def misled(self) -> bool:
        """Does its resolver send it to an address that is not the target's? Then its packets say nothing of the way there."""
        names = part(self.battery.get("names"))
        now = set(texts(part(names.get("system")).get("addresses")))
        if not now:
            known = set(texts(part(self.usual.get("names")).get("addresses")))
            return bool(self.addresses and known and not self.addresses & known)
        if self.elsewhere:
            return True
        source = {one for answer in parts(names.get("authoritative")) for one in texts(answer.get("addresses"))}
        before = set(texts(part(self.usual.get("names")).get("addresses")))
        others = {one for answer in parts(names.get("resolvers")) for one in texts(answer.get("addresses"))}
        true = source or (others & before)
        return bool(now and true and not now & true and not now & before)

    @cached_property
    def moved(self) -> dict[str, Any] | None:
        return usuals.moved(self.usual, self.battery) if self.usual else None  # type: ignore[arg-type]


@dataclass(frozen=True)
class Scene:
    """All views beside each other."""

    evidence: Mapping[str, Any]
    views: list[View]

    @cached_property
    def seeing(self) -> list[View]:
        """The probes whose word counts."""
        return [view for view in self.views if not view.blind]

    @cached_property
    def failing(self) -> list[View]:
        """Those of them that see the failure. When nobody's check tells, all of them."""
        failing = [view for view in self.seeing if view.failing]
        return failing or ([] if any(view.well for view in self.views) else self.seeing)

    @cached_property
    def unheard(self) -> int:
        """How many probes see the failure by their votes, but have measured nothing so far?"""
        heard = {view.probe for view in self.views}
        votes = part(self.evidence.get("votes"))
        return sum(1 for probe, word in votes.items() if word in BAD and str(probe) not in heard)

    @cached_property
    def blind_unheard(self) -> int:
        """How many probes are known to be blind and measured nothing?"""
        heard = {view.probe for view in self.views}
        votes = part(self.evidence.get("votes"))
        return sum(1 for probe, word in votes.items() if word == "blind" and str(probe) not in heard)

    @cached_property
    def outside(self) -> list[View]:
        """Those of the seeing who look from outside the client's network; all of them where nobody else looks."""
        return [view for view in self.seeing if not view.private] or self.seeing

    @cached_property
    def well(self) -> list[View]:
        return [view for view in self.seeing if view.well]

    @cached_property
    def at(self) -> float:
        return told_number(self.evidence.get("at")) or 0.0

    @cached_property
    def host(self) -> str:
        return str(part(self.evidence.get("monitor")).get("host") or "the target")

    @cached_property
    def port(self) -> int | None:
        number = told_number(part(self.evidence.get("monitor")).get("port"))
        return int(number) if number else None

    @cached_property
    def failure(self) -> dict[str, Any]:
        return part(self.evidence.get("failure"))

    @cached_property
    def behind(self) -> dict[str, int]:
        """How many steps before the target each router stands, from all paths that were ever complete (0: the target)."""
        found: dict[str, int] = {}
        for view in self.views:
            ways: list[list[str | None]] = []
            for way in (view.usual.get("path"), *(view.usual.get("paths") or [])):
                if isinstance(way, list) and way and isinstance(way[-1], str):
                    known = {*view.addresses, *texts(part(view.usual.get("names")).get("addresses"))}
                    if way[-1] in known or part(view.usual.get("ping")).get("answers"):
                        ways.append([one if isinstance(one, str) else None for one in way])
            for reading in view.paths:
                if reading.reached and reading.last is not None:
                    end = reading.last.ttl
                    way = [None] * end
                    for step in reading.steps:
                        if step.answered and step.ttl <= end:
                            way[step.ttl - 1] = step.address
                    ways.append(way)
            for way in ways:
                for n, address in enumerate(reversed(way)):
                    if address:
                        found[address] = min(n, found.get(address, 99))
            for address in view.addresses:
                found[address] = 0
        return found

    @cached_property
    def networks(self) -> dict[str, tuple[int, str]]:
        """The AS of each address, as any probe was told; of a silent one when the routers before it are in the last AS of the way."""
        return {**self._beyond, **self._before, **self._told}

    @cached_property
    def _before(self) -> dict[str, tuple[int, str]]:
        found: dict[str, tuple[int, str]] = {}
        for address, owner in part(self.evidence.get("networks")).items():
            if isinstance(owner, list) and len(owner) == 2 and (asn := told_number(owner[0])) is not None:
                found[str(address)] = int(asn), str(owner[1] or "")
        return found

    @cached_property
    def _beyond(self) -> dict[str, tuple[int, str]]:
        found: dict[str, tuple[int, str]] = {}
        for view in self.views:
            carriers, way = view.usual.get("as_path"), view.usual.get("path")
            if not isinstance(carriers, list) or not carriers or not isinstance(way, list):
                continue
            for path in view.paths:
                last = path.last
                if last is not None and last.asn is not None and last.asn == carriers[-1] and not path.reached:
                    for address in way[last.ttl :]:
                        if isinstance(address, str) and address not in view.addresses:
                            found[address] = last.asn, last.as_name
        return found

    @cached_property
    def _told(self) -> dict[str, tuple[int, str]]:
        return {
            step.address: (step.asn, step.as_name)
            for view in self.views
            for reading in view.paths
            for step in reading.steps
            if step.address and step.asn is not None
        }

    @cached_property
    def alive_routers(self) -> Counter[str]:
        """Routers that those who see all well have packets pass."""
        return Counter(
            address
            for view in self.well
            for address in {
                step.address for path in view.paths if path.reached for step in path.steps if step.address and step.got
            }
        )

    @cached_property
    def beside(self) -> tuple[int, int]:
        """How many monitors of the same site stand at other addresses, and how many of those fail."""
        site = self.around.get("same_site", (0, 0))
        same = max((self.around.get(name, (0, 0)) for name in ("same_address", "same_host")), key=lambda one: one[0])
        watched = max(0, site[0] - same[0])
        return watched, max(0, min(watched, site[1] - same[1]))

    @cached_property
    def site_dark(self) -> bool:
        """Do others of the same site fail too, that stand at other addresses?"""
        watched, failing = self.beside
        return failing >= 1 and failing * 2 >= watched

    @cached_property
    def around(self) -> dict[str, tuple[int, int]]:
        """How many other monitors share something with this one, and how many of them fail."""
        found = {}
        for key, value in part(self.evidence.get("around")).items():
            watched = count_of(part(value).get("watched"))
            found[str(key)] = watched, min(watched, count_of(part(value).get("failing")))
        return found


@dataclass(frozen=True, slots=True)
class Spot:
    """A place on the way: where something may be wrong. `gap` counts the steps from there to the target."""

    ttl: int
    address: str | None
    gap: int | None
    views: tuple[str, ...] = field(default=())


def compose(evidence: Mapping[str, Any]) -> Scene:
    """The scene of this evidence; the same whatever the order of its batteries."""
    usual, votes = part(evidence.get("usual")), part(evidence.get("votes"))
    at = told_number(evidence.get("at")) or 0.0
    found: dict[str, dict[str, Any]] = {}
    ordered = sorted(
        parts(evidence.get("batteries"))[:MANY],
        key=lambda one: (str(one.get("probe")), told_number(one.get("at")) or 0.0, str(one.get("slug"))),
    )
    for battery in ordered:  # the latest of each probe
        found[str(battery.get("probe"))] = battery
    views = []
    for probe, battery in found.items():
        known = part(usual.get(probe))
        views.append(
            View(
                probe=probe,
                slug=safe(battery.get("slug") or probe, 60),
                private=battery.get("private") is True,
                battery=battery,
                usual={} if usuals.old(known, at) else known,  # type: ignore[arg-type]
                vote=str(votes.get(probe) or ""),
            )
        )
    return Scene(evidence, views)
