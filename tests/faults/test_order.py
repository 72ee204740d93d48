"""Does the order matter in which results arrive? Not to the state, nor to who is paged: the engine is asked in every order."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitors import engine
from monitors.engine import DEGRADED, FAILING, UNKNOWN, UP, Decision, Limits, View

pytestmark = pytest.mark.once
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROBES = range(6)
LIMITS = Limits(interval=60, confirmation_count=2, recovery_count=2, quorum=3)
Seen = tuple[int, datetime, int]  # probe, time, status


def one_round(number: int, statuses: tuple[int, ...]) -> list[Seen]:
    """What the six probes see in a round, a tenth of a second apart."""
    return [
        (p, NOON + timedelta(seconds=60 * number, milliseconds=100 * p), s)
        for p, s in zip(PROBES, statuses, strict=True)
    ]


def take(views: dict[int, View], seen: Seen) -> None:
    """One more result."""
    probe, at, status = seen
    view = engine.observe(views[probe], status, at, error_class="timeout" if status == FAILING else "")
    views[probe] = replace(view, vote=engine.confirmed(view, LIMITS))


def fresh() -> dict[int, View]:
    return {p: View(probe=p) for p in PROBES}


def judge(views: dict[int, View], state: str) -> Decision:
    return engine.decide(list(views.values()), LIMITS, state)


# The target is well, fails for all, fails for all, is well for all but one.
STORY = [(UP,) * 6, (FAILING,) * 6, (FAILING,) * 6, (UP, UP, UP, FAILING, UP, UP)]


def pages(orders: list[list[Seen]]) -> tuple[list[tuple[str, bool]], dict[int, View]]:
    """The states that follow, judged after every single result; and what is known at the end."""
    views, state = fresh(), "pending"
    told: list[tuple[str, bool]] = []
    for seen in itertools.chain.from_iterable(orders):
        take(views, seen)
        decision = judge(views, state)
        if decision.state != state:
            state = decision.state
            told.append((state, decision.alarming))
    return [t for t in told if t[1] or t[0] == "up"], views


@pytest.mark.parametrize("number", range(len(STORY)))
def test_six_results_of_a_round_in_every_order(number: int) -> None:
    """R33: all 720 orders of one round's results, the other rounds as they came: same pages, same final state."""
    rounds = [one_round(n, statuses) for n, statuses in enumerate(STORY)]
    expected = pages(rounds)
    assert ("down", True) in expected[0], "the story pages somebody"
    for order in itertools.permutations(rounds[number]):
        assert pages([*rounds[:number], list(order), *rounds[number + 1 :]]) == expected


def test_late_and_repeated_results_change_nothing() -> None:
    """Results of earlier rounds that come again, or only now, are ignored: in any mixture the same pages and views."""
    rounds = [one_round(n, statuses) for n, statuses in enumerate(STORY)]
    expected = pages(rounds)
    luck = random.Random(33)
    for _ in range(300):
        mixed: list[list[Seen]] = []
        for number, results in enumerate(rounds):
            old = [luck.choice(earlier) for earlier in rounds[:number] for _ in range(2)]
            own = luck.sample(results, k=6)
            for (
                late
            ) in old:  # a late one comes after its own probe's newer result, or is older than what is known anyway
                own.insert(luck.randint(0, len(own)), late)
            own += [luck.choice(own)]
            mixed.append(own)
        assert pages(mixed) == expected


@pytest.mark.parametrize("unknowns", range(7))
def test_probes_that_cannot_look_never_make_it_down(unknowns: int) -> None:
    """I8: however many probes say nothing, only three that see it fail, twice each, make it down."""
    statuses = (UNKNOWN,) * unknowns + (FAILING,) * (6 - unknowns)
    views = fresh()
    for number in range(3):
        for seen in one_round(number, statuses):
            take(views, seen)
    decision = judge(views, "up")
    assert (decision.state == "down") == (6 - unknowns >= LIMITS.quorum)
    assert decision.state in ("down", "unknown")


def test_degraded_is_not_down_in_any_order() -> None:
    """Two failing and four degraded of six: degraded, whoever reported first."""
    rounds = [one_round(n, (FAILING, FAILING, DEGRADED, DEGRADED, DEGRADED, DEGRADED)) for n in range(3)]
    for order in itertools.islice(itertools.permutations(rounds[2]), 0, 720, 7):
        views = fresh()
        for seen in itertools.chain(rounds[0], rounds[1], order):
            take(views, seen)
        assert judge(views, "up").state == "degraded"
