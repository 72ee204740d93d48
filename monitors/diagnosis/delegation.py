"""Do those who own a name answer for it, and does the zone above still point to them?

The way there is the resolver's view; the root servers are never asked. Whom DNS names as an owner is asked on port 53 only,
and only at an address that the guard lets through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import dns.rdatatype

from monitors.diagnosis import questions
from monitors.diagnosis.evidence import Names
from monitors.diagnosis.questions import SILENT, Question, Reply, Server, ask
from portal.outbound.guard import Blocked

MOST_OWNERS, MOST_PARENTS = 4, 2
MOST_STEPS = 8  # zones looked for above a name
MOST_NAMED = 12  # name servers of one zone
# Labels under which names are given out in a country's domain: co.uk, com.br …
SHARED = frozenset(("co", "com", "org", "net", "gov", "ac", "edu", "or", "ne", "go"))


class Delegation:
    """The owners of one name; what they say is written into `found` as it comes."""

    def __init__(
        self,
        name: str,
        found: Names,
        allowed: Callable[[str], None],
        former: Sequence[str] = (),
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        """`allowed` raises Blocked; `former` are name servers of better days; `heard` is told of each answer."""
        self.name, self.found, self.allowed, self.former, self.heard = name, found, allowed, former, heard
        self.refused: dict[str, str] = {}  # name servers that must not be asked, and why

    async def run(self, server: Server, zone: str, above: str, sets: dict[str, list[str]]) -> None:
        if not zone:
            return
        glue: dict[str, list[str]] = {}
        if self.found["system"]["status"] in ("servfail", "timeout"):
            zone, above, glue = await self._descended(server, zone, above, sets)
        parent_names = sets.get(above, [])[:MOST_PARENTS]
        places, parents = await asyncio.gather(
            self._places(server, sets[zone][:MOST_OWNERS], glue), self._places(server, parent_names, most=MOST_PARENTS)
        )
        by_parent, by_parent_glue, gone = await self._referral(parents, zone)
        more = [name for name in by_parent if name not in sets[zone]][: MOST_OWNERS - len(places)]
        places += await self._places(server, more, by_parent_glue) if more else []
        self._begun(places)
        own_sets = await asyncio.gather(*(self._ask_owner(n, place, zone) for n, place in enumerate(places)))
        child = sorted({name for own in own_sets for name in own}) or sorted(sets[zone])[:MOST_NAMED]
        self.found["authoritative"] += [
            {"server": name, "status": "not_run", "why": why}
            for name, why in self.refused.items()
            if name in (*by_parent, *sets[zone])
        ]
        self._judge(zone, sorted(by_parent), child, gone)
        await self._missing(zone)

    def _begun(self, places: Sequence[Server]) -> int:
        """A line for each owner that is going to be asked; returns the number of the first."""
        known = self.found.setdefault("authoritative", [])
        known += [
            {"server": str(place), "status": "not_run", "why": "It was not finished in time."} for place in places
        ]
        return len(known) - len(places)

    async def _descended(
        self, server: Server, zone: str, above: str, sets: dict[str, list[str]]
    ) -> tuple[str, str, dict[str, list[str]]]:
        """A resolver cannot see a zone whose servers are all silent or broken: the zone above it still points there."""
        places = await self._places(server, sets[zone][:MOST_PARENTS], most=MOST_PARENTS)
        replies = await asyncio.gather(*(ask(place, Question(self.name, recursive=False), tries=1) for place in places))
        for reply in replies:
            if lower := _deeper(reply, zone):
                sets[lower], glue = _named(reply, lower)
                return lower, zone, glue
        return zone, above, {}

    async def zones(self, server: Server) -> tuple[str, str, dict[str, list[str]]]:
        """(the zone of the name, the zone above it, name servers by zone), as the resolver sees them."""
        labels = self.name.split(".")
        suffixes = [".".join(labels[n:]) for n in range(len(labels))][-MOST_STEPS:]
        replies = await asyncio.gather(*(ask(server, Question(suffix, "NS")) for suffix in suffixes))
        sets: dict[str, list[str]] = {}
        for suffix, reply in zip(suffixes, replies, strict=True):
            own = [found for found in reply.records("NS") if found.name.to_text().rstrip(".").lower() == suffix]
            if own:
                sets[suffix] = [data.to_text().rstrip(".").lower() for found in own for data in found]
        zones = [suffix for suffix in suffixes if suffix in sets]
        return (zones[0] if zones else ""), (zones[1] if len(zones) > 1 else ""), sets

    async def _places(
        self, server: Server, names: Sequence[str], glue: dict[str, list[str]] | None = None, most: int = MOST_OWNERS
    ) -> list[Server]:
        """Where these name servers can be asked: one allowed address each, from the zone above or else by the resolver."""
        glue = glue or {}
        unknown = [name for name in names if name not in glue]
        replies = await asyncio.gather(*(ask(server, Question(name)) for name in unknown))
        known = glue | {name: reply.values("A") for name, reply in zip(unknown, replies, strict=True)}
        places: list[Server] = []
        for name in names:
            for address in known[name]:
                try:
                    self.allowed(address)
                except Blocked as refusal:
                    self.refused[name] = str(refusal)
                    continue
                self.refused.pop(name, None)
                places.append(Server(address, label=f"{name} {address}"))
                break
        return places[:most]

    async def _referral(self, parents: Sequence[Server], zone: str) -> tuple[list[str], dict[str, list[str]], bool]:
        """(name servers that the zone above names, their addresses there, whether it says that there is no such zone)."""
        replies = await asyncio.gather(*(ask(parent, Question(zone, "NS", recursive=False)) for parent in parents))
        for reply in replies:
            if reply.message is None or reply.status not in ("ok", "nxdomain"):
                continue
            if reply.status == "nxdomain":
                return [], {}, reply.authoritative
            names, glue = _named(reply, zone)
            if names:
                return names, glue, False
            if reply.authoritative:
                return [], {}, True
        return [], {}, False

    async def _ask_owner(self, n: int, place: Server, zone: str) -> list[str]:
        """Ask one owner for the name; returns the name servers it itself names for the zone."""
        first, second, own = await asyncio.gather(
            *(
                ask(place, Question(name, kind, recursive=False))
                for name, kind in ((self.name, "A"), (self.name, "AAAA"), (zone, "NS"))
            )
        )
        answer = questions.merged(str(place), [first, second])
        answer.pop("dnssec", None)  # only a resolver validates
        spoken = [reply for reply in (first, second) if reply.message is not None]
        if answer["status"] == "nodata" and answer.get("cname"):
            answer["status"] = "ok"  # the alias leads into a zone that is not theirs
        denied = answer["status"] in ("refused", "nodata", "ok", "nxdomain") and not any(
            r.authoritative for r in spoken
        )
        if denied and spoken and not any(_deeper(reply, zone) for reply in spoken):
            answer["status"], answer["why"] = "lame", "It is named as the zone's server but does not speak for it."
        self.found["authoritative"][n] = answer
        self.heard()
        return own.values("NS") if own.authoritative else []

    def _judge(self, zone: str, parent: list[str], child: list[str], gone: bool) -> None:
        answers = self.found.get("authoritative", [])
        lame = [answer["server"] for answer in answers if answer["status"] == "lame"]
        delegation: dict[str, Any] = {"zone": zone, "parent": parent, "child": child, "status": "ok"}
        if gone:
            delegation["status"] = "missing"
        elif lame:
            delegation.update(status="lame", lame=lame)
        elif parent and child and set(parent) != set(child):
            delegation["status"] = "mismatch"
        self.found["delegation"] = delegation

    async def _missing(self, zone: str) -> None:
        """A name that the registry's zone denies has lost its delegation; who used to own it may still answer."""
        answers = self.found.get("authoritative", [])
        spoken = [answer["status"] for answer in answers if answer["status"] not in (*SILENT, "not_run")]
        if not (_registry(zone) and spoken and set(spoken) == {"nxdomain"}) or self.name == zone:
            return
        lost = ".".join(self.name.split(".")[-len(zone.split(".")) - 1 :])
        self.found["delegation"] = {"zone": lost, "parent": [], "child": [], "status": "missing", "said_by": zone}
        places = []
        for text in list(self.former)[:MOST_OWNERS]:
            address = text.split()[-1] if text.split() else ""
            try:
                self.allowed(address)
            except Blocked:
                continue
            places.append(Server(address, label=text[:200]))
        first = self._begun(places)
        own = await asyncio.gather(*(self._ask_owner(first + n, place, lost) for n, place in enumerate(places)))
        self.found["delegation"]["child"] = sorted({name for names in own for name in names})


def _named(reply: Reply, zone: str) -> tuple[list[str], dict[str, list[str]]]:
    """Name servers and their addresses in a referral (or an answer) for the zone."""
    names: list[str] = []
    glue: dict[str, list[str]] = {}
    if reply.message is None:
        return names, glue
    for found in (*reply.message.answer, *reply.message.authority):
        if found.rdtype == dns.rdatatype.NS and found.name.to_text().rstrip(".").lower() == zone:
            names += [data.to_text().rstrip(".").lower() for data in found]
    for found in reply.message.additional:
        if found.rdtype == dns.rdatatype.A:
            glue.setdefault(found.name.to_text().rstrip(".").lower(), []).extend(data.to_text() for data in found)
    return names[:MOST_NAMED], glue


def _deeper(reply: Reply, zone: str) -> str:
    """The zone below this one that the reply points to, or ""."""
    if reply.message is None or reply.status != "ok" or reply.message.answer:
        return ""
    owners = (
        found.name.to_text().rstrip(".").lower()
        for found in reply.message.authority
        if found.rdtype == dns.rdatatype.NS
    )
    return next((owner for owner in owners if owner.endswith(f".{zone}")), "")


def _registry(zone: str) -> bool:
    """Is this a zone in which names are given out, as com or co.uk?"""
    labels = zone.split(".")
    return len(labels) == 1 or (len(labels) == 2 and labels[0] in SHARED and len(labels[1]) == 2)
