"""Do two hundred races between people and the machine leave one order each? `make soak` runs ten thousand (R34)."""

from __future__ import annotations

import os
from collections import Counter

import pytest
from django.db import connection

from tests.incidents.races import Hands, prepare, run, touched_afterwards

RACES = int(os.environ.get("RACES", "200"))
TOGETHER = 50  # are opened, and recover in the end, in one go


@pytest.mark.django_db(transaction=True)
def test_two_hundred_races_between_people_and_the_machine():
    """Whoever comes first, one order stands in the timeline, and what a person resolved the machine does not touch."""
    if connection.vendor != "postgresql":
        pytest.skip("once: SQLite has one writer at a time")
    orders, violations = Counter(), []
    with Hands() as four:
        for start in range(0, RACES, TOGETHER):
            races = prepare(range(start, min(start + TOGETHER, RACES)))
            for one in races:
                try:
                    orders[run(one, four)] += 1
                except AssertionError as violation:
                    violations.append(str(violation))
            violations += touched_afterwards(races)
    print(f"{RACES} races, {len(violations)} violations, {len(orders)} orders")
    for order, count in orders.most_common():
        print(f"{count:6} {order}")
    assert not violations, violations[:5]
    words = " ".join(orders)
    assert "resolved by hand" in words and "resolved by the machine" in words, "both ends were seen"
