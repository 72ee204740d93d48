"""Does trouble of our own page anybody about a client? Three regions and sixty monitors, each in a network of its own.

The long run, six regions and a thousand monitors, is `python -m tests.regions`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.regions import soak
from tests.regions.world import World
from tests.rig.process import NotAvailable

pytestmark = [pytest.mark.alone, pytest.mark.once, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    soak.TOLD = 240.0  # the minute is measured by `python -m tests.regions`; here the machine may be busy
    try:
        with World(regions=3, monitors=60, interval=5, timeout=3, quorum=2, quiet=0.5) as world:
            world.until_up()
            yield world
    except NotAvailable as why:
        pytest.skip(f"NOT RUN: {why}")


def told(outcome: soak.Outcome) -> str:
    return " | ".join(outcome.row())


def test_one_line_is_cut_and_one_page_names_the_observer(world):
    outcome = soak.cut(world, world.regions[0], hold=0)
    assert outcome.well, told(outcome)


@pytest.mark.soak
def test_two_lines_of_three_are_cut_and_nothing_is_down(world):
    """Fewer eyes than the quorum: unknown, two pages about observers, and none about what they had watched."""
    outcome = soak.cut(world, world.regions[0], world.regions[1], hold=0)
    assert outcome.well, told(outcome)


def test_what_one_region_alone_cannot_reach_is_shown_and_not_told(world):
    outcome = soak.lone_failure(world, world.regions[2], hold=0)
    assert outcome.well, told(outcome)


@pytest.mark.soak
def test_what_two_regions_see_fail_is_told(world):
    outcome = soak.agreed_failure(world, 7)
    assert outcome.well, told(outcome)
