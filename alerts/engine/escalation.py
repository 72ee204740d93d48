"""When is the next level called, and what follows from one that reached nobody? (SPEC ESC-1..3, DLV-2)

A run counts steps from 0 over all passes: step = pass × levels + level. Everything is told from the run's start and one
number, its shift: seconds by which pauses moved it later and skipped levels moved it sooner. So nothing is ever added up
twice, and whoever works out a time gets the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.engine.holding import Facts
from alerts.engine.routing import Rule, refuses

LATE = 30.0  # seconds; more than this late, the portal itself was away


@dataclass(frozen=True, slots=True)
class Climb:
    """A policy's times as a run keeps them: seconds from the start of a pass, strictly rising."""

    delays: tuple[int, ...]
    repeat_count: int = 0
    repeat_after: int = 300

    @property
    def passes(self) -> int:
        return 1 + self.repeat_count

    @property
    def steps(self) -> int:
        """How many steps there are; the one after the last is exhaustion."""
        return self.passes * len(self.delays)

    def place(self, step: int) -> tuple[int, int]:
        """(pass, level) of a step, both from 0."""
        return divmod(step, len(self.delays))

    def offset(self, step: int) -> float:
        """Seconds from the start of an undisturbed run: pass × (last delay + repeat_after) + the level's delay.

        For the step after the last: when the run is exhausted, so long after its last step as passes are apart.
        """
        number, level = self.place(step)
        between = self.delays[-1] + self.repeat_after
        return float(number * between + (self.delays[level] if number < self.passes else 0))


def due_at(climb: Climb, step: int, started_at: datetime, shifted: float) -> datetime:
    """When a step is due."""
    return started_at + timedelta(seconds=climb.offset(step) + shifted)


def shift_to(climb: Climb, step: int, started_at: datetime, at: datetime) -> float:
    """The shift that makes a step due at `at`; what follows keeps its distances."""
    return (at - started_at).total_seconds() - climb.offset(step)


def resumed(shifted: float, paused_at: datetime, at: datetime) -> float:
    """The shift after a pause: later by as long as it lasted."""
    return shifted + max(0.0, (at - paused_at).total_seconds())


def after_step(
    climb: Climb, step: int, started_at: datetime, shifted: float, at: datetime, *, skipped: bool
) -> tuple[int, float]:
    """(next step, shift) after a step was carried out at `at`.

    A level that reached nobody (`skipped`) makes the next level of the same pass due at once. Never the next pass: it
    would find the same people missing, and a run would burn out in a second.
    Where the portal itself was away, the levels of a pass that are overdue are called together, but a new pass (and "nobody
    answered") leaves those just called as long as always to answer.
    """
    following = step + 1
    if following % len(climb.delays):
        return following, min(shifted, shift_to(climb, following, started_at, at)) if skipped else shifted
    late = (at - due_at(climb, step, started_at, shifted)).total_seconds()
    return following, shifted + late if late > LATE else shifted


def climbs(rule: Rule, f: Facts, at: datetime, *, attached: bool, attached_only: bool) -> bool:
    """Does a policy take an alert up? A service that names it brings all its alerts; else its filters decide."""
    if rule.client is not None and rule.client != f.client:
        return False
    return attached or (not attached_only and not refuses(rule, f, at))


def may_meet(a: Rule, b: Rule) -> bool:
    """Can one alert match both? In doubt yes: an alert lies in many scopes and has many tags."""
    return (
        (a.client is None or b.client is None or a.client == b.client)
        and (not a.severities or not b.severities or bool(a.severities & b.severities))
        and (not a.sources or not b.sources or bool(a.sources & b.sources))
        and (not a.scopes or not b.scopes or any(_same_place(x, y) for x in a.scopes for y in b.scopes))
    )


def _same_place(one: str, other: str) -> bool:
    """Can an alert lie in both scopes? Two of one noun must be the same; a client's number and its slug may be."""
    noun, _, identity = one.partition(":")
    noun_too, _, identity_too = other.partition(":")
    if noun != noun_too:
        return True
    return identity == identity_too or (noun == "client" and identity.isdigit() != identity_too.isdigit())
