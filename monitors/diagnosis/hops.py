"""What became of the packets of one path? Pure bookkeeping: sent and heard go in, a `Path` for the evidence comes out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from monitors.diagnosis.evidence import Hop, Path

FARTHEST = 30
BEYOND = 4  # silent steps after the last that answered are still asked: the next one may speak
WHOLE_ROUNDS = 2  # so many rounds go the whole length, until the target has answered
PATIENCE = 0.9  # seconds an answer may take; only later is it lost
STRIDE = 64  # numbers of one round
ARRIVED = frozenset(("reply", "open", "closed"))
REFUSED = frozenset(("host", "net", "port", "admin"))
_WEIGHT = ("ttl", "frag", "net", "host", "port", "admin", "closed", "open", "reply")


def number_of(turn: int, ttl: int) -> int:
    """The number that a packet carries."""
    return turn * STRIDE + ttl


@dataclass(slots=True)
class Step:
    """One distance."""

    sent: int = 0
    answers: dict[int, float] = field(default_factory=dict)  # number -> ms
    addresses: Counter[str] = field(default_factory=Counter)
    said: str = ""


@dataclass(slots=True)
class Trace:
    """One path while it is measured."""

    proto: str
    address: str
    port: int = 0
    rounds: int = 0
    steps: dict[int, Step] = field(default_factory=dict)
    open: dict[int, float] = field(default_factory=dict)  # number -> when it was sent
    end: int = FARTHEST + 1  # the nearest distance at which the target, or somebody's refusal, answered
    reached: bool = False
    failed: str = ""

    def sent(self, number: int, at: float) -> None:
        """A packet left."""
        self.steps.setdefault(number % STRIDE, Step()).sent += 1
        self.open[number] = at

    def heard(self, number: int, source: str, said: str, at: float) -> None:
        """An answer came; a second one to the same packet does not count."""
        left = self.open.pop(number, None)
        if left is None:
            return
        ttl, step = number % STRIDE, self.steps[number % STRIDE]
        step.answers[number] = round(max(0.0, at - left) * 1000, 3)
        step.addresses[source] += 1
        arrived = said in ARRIVED or source == self.address
        if step.said == "" or _WEIGHT.index(said) > _WEIGHT.index(step.said):
            step.said = said
        if arrived and not self.reached:
            self.reached, self.end = True, ttl  # a refusal on the way, seen before, was not the end after all
        elif arrived or (said in REFUSED and not self.reached):
            self.end = min(self.end, ttl)

    def farthest(self, turn: int) -> int:
        """How far this round has to go."""
        if self.end <= FARTHEST:
            return self.end
        if turn < WHOLE_ROUNDS:
            return FARTHEST
        return min(FARTHEST, self._last() + BEYOND)

    def waiting(self) -> bool:
        """Is an answer still missing from a distance that counts?"""
        return any(number % STRIDE <= self.end for number in self.open)

    def _last(self) -> int:
        return max((ttl for ttl, step in self.steps.items() if step.answers), default=0)

    def addresses(self) -> list[str]:
        """Who answered, nearest first."""
        return list(dict.fromkeys(a for _, step in sorted(self.steps.items()) for a in step.addresses))

    def evidence(self, now: float) -> Path:
        """What is known by now. Packets that may still be answered count as not sent."""
        path: Path = {"proto": self.proto, "status": "failed" if self.failed else "ok", "address": self.address}
        if self.failed:
            path["why"] = self.failed
        if self.port:
            path["port"] = self.port
        young: Counter[int] = Counter(n % STRIDE for n, at in self.open.items() if now - at < PATIENCE)
        last = self.end if self.end <= FARTHEST else min(FARTHEST, self._last() + BEYOND)
        path["reached"], path["rounds"] = self.reached, self.rounds
        path["hops"] = [_hop(ttl, self.steps[ttl], young[ttl]) for ttl in range(1, last + 1) if ttl in self.steps]
        return path


def _hop(ttl: int, step: Step, young: int) -> Hop:
    known = [address for address, _ in step.addresses.most_common()]
    hop: Hop = {
        "ttl": ttl,
        "address": known[0] if known else None,
        "sent": step.sent - young,
        "got": len(step.answers),
        "rtt_ms": [ms for _, ms in sorted(step.answers.items())],
    }
    if step.said:
        hop["said"] = step.said
    if known[1:]:
        hop["others"] = known[1:]
    return hop
