"""Is nothing done twice, above its cap or without valid approval, whoever comes first? `make soak` runs ten thousand races of each kind.

In `make test` there are two hundred in all: they are costly, each is a run from its proposal to its end.
"""

from __future__ import annotations

import os
import time

import pytest
from django.db import connection
from django.db.models import Count

from playbooks.models import Approval, Run
from portal import audit
from tests import cast
from tests.incidents.races import Hands
from tests.playbooks import races, rushing

RACES = int(os.environ.get("RACES", "200"))
KINDS = tuple(races.HANDS)
SOAK = 10_000  # of each kind
TOGETHER = 50  # are prepared, and judged in the end, in one go
WORKERS = 20
ENOUGH = 200
BOTH_ENDS = {  # what has to be seen, or the race is none
    "double approval": ("running",),
    "approve or deny": ("running", "denied"),
    "approve or recovery": ("running", "void"),
    "approve or expiry": ("running", "expired"),
}
postgres = pytest.mark.skipif(connection.vendor != "postgresql", reason="once: SQLite has one writer at a time")
pytestmark = [pytest.mark.django_db(transaction=True), postgres]


def run(kind: str, count: int, seconds: float = float("inf"), first: int = 0) -> None:
    """So many races of this kind from this seed on, or as many as fit; the orders that stood are printed."""
    orders: dict[str, int] = {}
    found: list[str] = []
    began, done = time.monotonic(), 0
    with Hands() as four:
        while done < count and time.monotonic() - began < seconds:
            lot = races.prepare(kind, range(first + done, first + min(done + TOGETHER, count)))
            for one in lot:
                races.race(one, four.together)
            races.over(lot)
            found += races.violations(lot, orders)
            done += len(lot)
    found += audit.verify()
    print(
        f"\n{kind}: {done} races in {time.monotonic() - began:.0f} s, seeds {first} to {first + done - 1}, {len(found)} violations"
    )
    for order, times in sorted(orders.items(), key=lambda pair: -pair[1]):
        print(f"{times:6} {order}")
    assert not found, found[:5]
    if done >= ENOUGH:  # of few races one side may win all
        assert all(any(end in order for order in orders) for end in BOTH_ENDS[kind]), "each of them came first at times"


def rush(rounds: int, seconds: float = float("inf")) -> None:
    """Twenty workers, again and again."""
    found: list[str] = []
    began, done = time.monotonic(), 0
    clients = [cast.client(f"Client {n}") for n in range(WORKERS)]
    failures = [races.down(of, 1)[0] for of in clients]
    with Hands(WORKERS) as twenty:
        while done < rounds and time.monotonic() - began < seconds:
            found += rushing.rush(done, failures, twenty.together)
            done += 1
    found += audit.verify()
    print(f"\ncaps: {done} rounds of {WORKERS} workers in {time.monotonic() - began:.0f} s, {len(found)} violations")
    assert not found, found[:5]


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_comes_first_it_acts_once_and_only_with_valid_approval(kind: str) -> None:
    """R43, R44: people agree, deny or come twice, the failure ends or its time does, workers begin; one order stands."""
    run(kind, max(20, RACES // 10))


def test_twenty_workers_never_get_above_the_cap() -> None:
    """R45: exactly three in the hour, however many try; never more on the same target; once within a cooldown."""
    rush(max(3, RACES // 60))


def test_fifty_presses_at_the_same_moment_are_one_run() -> None:
    """R43: three people press as fast as they can, each again and again."""
    orders: dict[str, int] = {}
    lot = races.prepare("double approval", range(2))
    with Hands(50) as fifty:
        for one in lot:
            races.race(one, fifty.together, count=50)
    races.over(lot)
    assert not races.violations(lot, orders)
    assert set(orders) == {"approved > running > verifying > recovered > succeeded"}
    twice = Approval.objects.values("run", "user").annotate(n=Count("pk")).filter(n__gt=1)
    assert not twice.exists()
    for one in lot:
        refused = [answer for answer in one.answers if answer]
        assert refused.count("begun") == 1
        assert all("already" in answer for answer in refused if answer != "begun")
        assert Run.objects.get(pk=one.run.pk).approvals.count() == one.run.approvals_required


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_of_each(kind: str) -> None:
    """Several of it beside each other: each begins at another seed (RACES_FROM)."""
    count, first = int(os.environ.get("RACES", SOAK)), int(os.environ.get("RACES_FROM", "0"))
    run(kind, count, float(os.environ.get("RACES_SECONDS", "inf")), first)


@pytest.mark.soak
def test_five_hundred_times_twenty_workers() -> None:
    rush(int(os.environ.get("RACES", SOAK)) // WORKERS, float(os.environ.get("RACES_SECONDS", "inf")))
