"""Which way do packets take, and where are they lost? Pure: stored paths in, marks and lines out, with what is usual and who is suspected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from console.pages.report_evidence import LONG, number, numbers, percent, plain, rows, table, whole, words

MOST_HOPS = 64
PROTOCOLS = {"icmp": "ICMP", "tcp": "TCP", "udp": "UDP"}
SAID = {
    "ttl": "", "reply": "answers", "open": "port open", "closed": "port closed", "host": "says: host unreachable", "net": "says: network unreachable",
    "port": "says: port unreachable", "admin": "says: forbidden here", "frag": "says: packet too big",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    """One step of a path as it is drawn. `loss` is the share of probes without an answer; `carried` what of it lasts until
    the end: a router that answers rarely but passes everything on loses nothing. Times are median milliseconds.
    """

    ttl: int
    address: str = ""
    name: str = ""
    asn: int | None = None
    as_name: str = ""
    sent: int = 0
    got: int = 0
    loss: float | None = None
    carried: float = 0.0
    rtt: float | None = None
    low: float | None = None
    high: float | None = None
    others: tuple[str, ...] = ()
    note: str = ""
    usual_address: str = ""
    usual_rtt: float | None = None
    usual_loss: float | None = None
    moved: bool = False
    suspected: bool = False
    target: bool = False

    @property
    def loss_word(self) -> str:
        """What was lost here, for a table."""
        return percent(self.loss)

    @property
    def usual_loss_word(self) -> str:
        """What is usually lost here."""
        return percent(self.usual_loss)

    @property
    def silent(self) -> bool:
        """Did nobody answer at this distance?"""
        return not self.got

    @property
    def notes(self) -> str:
        """What else is to be known of it, for a table."""
        moved = self.moved or (self.silent and bool(self.usual_address))
        return ", ".join(
            t for t in (
                "answers seldom, passes packets on" if self.withheld else "", f"usually {self.usual_address}" if moved else "",
                f"also {', '.join(self.others)}" if self.others else "", "the target" if self.target else self.note,
            ) if t
        )  # fmt: skip

    @property
    def withheld(self) -> bool:
        """Does this router keep answers back although later ones arrive?"""
        return self.loss is not None and bool(self.got) and self.loss > self.carried + 0.05


@dataclass(frozen=True, slots=True)
class Line:
    """One path from one probe. `why_not` says why there is nothing to draw."""

    anchor: str
    probe: str
    label: str
    marks: tuple[Mark, ...] = ()
    reached: bool | None = None
    rounds: int | None = None
    address: str = ""
    why_not: str = ""
    known: bool = False  # is there a usual path to compare with?
    way: str = ""  # how it was measured, where that bounds what it can tell

    @property
    def suspected(self) -> Mark | None:
        """The step the verdict points at."""
        return next((m for m in self.marks if m.suspected), None)

    @property
    def last_heard(self) -> int:
        """The farthest distance that answered; 0 when none did."""
        return max((m.ttl for m in self.marks if not m.silent), default=0)

    @property
    def moved(self) -> bool:
        """Does it run over other routers than usual?"""
        return any(m.moved for m in self.marks)


def lines(
    evidence: Mapping[str, Any], usual: Mapping[str, Any], verdict: Mapping[str, Any], anchor: str, probe: str
) -> list[Line]:
    """The paths of one battery; `anchor` begins their ids on the page."""
    confirms = plain(evidence.get("slug")) in words(table(verdict.get("regions")).get("confirming"), 200)
    found = []
    for n, path in enumerate(rows(evidence.get("paths"), 4)):
        proto = plain(path.get("proto")).lower()
        port = whole(path.get("port"))
        label = PROTOCOLS.get(proto, "Path") + (f" to port {port}" if port and proto != "icmp" else "")
        status = plain(path.get("status"))
        marks = _marks(rows(path.get("hops"), MOST_HOPS), usual, verdict, confirms, path.get("reached") is True)
        why = "" if marks else plain(path.get("why"), LONG) or WHY_NOT.get(status, "No step of it was seen.")
        found.append(
            Line(
                f"{anchor}-{n}", probe, label, tuple(marks), path.get("reached") if isinstance(path.get("reached"), bool) else None,
                whole(path.get("rounds")), plain(path.get("address"), 64), why, bool(usual.get("path")), WAYS.get(plain(path.get("way")), ""),
            )
        )  # fmt: skip
    return found


WAYS = {
    "connect": "measured by connections: each may take another way",
    "mtr": "measured by mtr: few rounds",
}
WHY_NOT = {
    "not_permitted": "This probe may not send such packets.",
    "not_run": "It was not measured.",
    "failed": "The measurement failed.",
}


def _marks(
    hops: list[dict[str, Any]], usual: Mapping[str, Any], verdict: Mapping[str, Any], confirms: bool, reached: bool
) -> list[Mark]:
    seen: dict[int, dict[str, Any]] = {}
    for hop in hops:
        ttl = whole(hop.get("ttl"))
        if ttl is not None and 0 < ttl <= MOST_HOPS:
            seen.setdefault(ttl, hop)
    losses = {ttl: _loss(hop) for ttl, hop in seen.items()}
    last = max((ttl for ttl, hop in seen.items() if whole(hop.get("got"))), default=0)
    carried, least = {}, 1.0
    for ttl in sorted(seen, reverse=True):
        loss = losses[ttl]
        if loss is not None and whole(seen[ttl].get("got")):
            least = min(least, loss)
        carried[ttl] = least if last >= ttl else 1.0
    suspect = _suspect(seen, verdict, confirms)
    return [
        _mark(ttl, hop, losses[ttl], carried[ttl], usual, ttl == suspect, reached and ttl == last)
        for ttl, hop in sorted(seen.items())
    ]


def _suspect(seen: Mapping[int, Mapping[str, Any]], verdict: Mapping[str, Any], confirms: bool) -> int | None:
    """The verdict's hop on this path: by its address; by its distance only where this probe confirms and nobody answered there."""
    ttl, address = whole(verdict.get("hop")), verdict.get("hop_address")
    if ttl is None and not address:
        return None
    for at, hop in seen.items():
        others = hop.get("others")
        if address and (hop.get("address") == address or (isinstance(others, list) and address in others)):
            return at
    here = seen.get(ttl) if ttl is not None else None
    return ttl if here is not None and confirms and (not address or not here.get("address")) else None


def _loss(hop: Mapping[str, Any]) -> float | None:
    sent, got = number(hop.get("sent")), number(hop.get("got"))
    return None if not sent or sent < 0 or got is None else min(1.0, max(0.0, 1 - got / sent))


def _mark(
    ttl: int, hop: Mapping[str, Any], loss: float | None, carried: float, usual: Mapping[str, Any], suspected: bool, target: bool
) -> Mark:  # fmt: skip
    address, times = plain(hop.get("address"), 64), numbers(hop.get("rtt_ms"))
    once = _at(usual.get("path"), ttl)
    known = {plain(_at(path, ttl), 64) for path in (usual.get("paths") or []) if isinstance(path, list)} | {
        plain(once, 64)
    }
    return Mark(
        ttl=ttl, address=address, name=plain(hop.get("name")), asn=whole(hop.get("asn")), as_name=plain(hop.get("as_name"), 60),
        sent=whole(hop.get("sent")) or 0, got=max(0, whole(hop.get("got")) or 0), loss=loss, carried=carried,
        rtt=median(times) if times else None, low=min(times, default=None), high=max(times, default=None),
        others=tuple(words(hop.get("others"), 8)), note=SAID.get(plain(hop.get("said")), ""),
        usual_address=plain(once, 64), usual_rtt=number(_at(usual.get("hop_ms"), ttl)), usual_loss=number(_at(usual.get("hop_loss"), ttl)),
        moved=bool(address and plain(once, 64)) and address not in known, suspected=suspected, target=target,
    )  # fmt: skip


def _at(values: object, ttl: int) -> Any:
    return values[ttl - 1] if isinstance(values, list) and 0 < ttl <= len(values) else None


# --- Routes in words ----------------------------------------------------------------------------------------------------------------
def route_words(before: object, after: object, as_before: object, as_after: object) -> str:
    """What moved: `AS3356 → AS174`; where the networks stayed, the first routers that differ."""
    old, new = _differing(_systems(as_before), _systems(as_after))
    if old and new:
        return f"{' '.join(old)} → {' '.join(new)}"
    if new:
        return f"now also through {' '.join(new)}"
    if old:
        return f"no longer through {' '.join(old)}"
    pairs = zip(before if isinstance(before, list) else [], after if isinstance(after, list) else [], strict=False)
    for n, (was, now) in enumerate(pairs, 1):
        if was and now and was != now:
            return f"within the same networks: {plain(was, 64)} → {plain(now, 64)} at hop {n}"
    return "within the same networks"


def _systems(value: object) -> list[str]:
    return [f"AS{n}" for v in value[:40] if (n := whole(v)) is not None] if isinstance(value, list) else []


def _differing(old: list[str], new: list[str]) -> tuple[list[str], list[str]]:
    """Without what both have at their beginning and at their end."""
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return old, new
