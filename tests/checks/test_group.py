"""How is a group doing? As its worst child is."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from monitors import checks
from monitors.checks.base import Status
from monitors.checks.group import judge


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (["up", "up"], Status.UP),
        (["up", "degraded"], Status.DEGRADED),
        (["degraded", "down", "up"], Status.FAILING),
        (["up", "unknown", "paused", "maintenance", "pending"], Status.UP),
        (["unknown", "paused"], Status.UNKNOWN),
        ([], Status.UNKNOWN),
    ],
)
def test_verdicts(states: list[str], status: Status) -> None:
    children = [{"name": f"m{number}", "state": state} for number, state in enumerate(states)]
    assert judge({"children": children}).status == status


def test_the_message_names_the_children_that_are_down() -> None:
    outcome = judge(
        {"children": [{"name": f"m{n}", "state": "down"} for n in range(8)] + [{"name": "x", "state": "up"}]}
    )
    assert outcome.message == "8 of 9 down: m0, m1, m2, m3, m4 and 3 more"
    assert outcome.error_class == "children"


@pytest.mark.parametrize("ids", [[], [1, 1], [0], [-1], ["x"]])
def test_settings_that_are_refused(ids: list[int]) -> None:
    with pytest.raises(ValidationError):
        checks.parse("group", {"monitor_ids": ids})
