"""How long does a pushed result count, and what does it say?"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from monitors.checks.base import Status
from monitors.checks.push import PushConfig, judge
from tests.checks.lab import NOON


@pytest.mark.parametrize(
    ("seconds_ago", "facts", "status", "error_class"),
    [
        (5, {"status": "up"}, Status.UP, ""),
        (119, {"status": "UP"}, Status.UP, ""),
        (120, {"status": "up"}, Status.FAILING, "missed"),
        (5, {"status": "failing", "message": "disk full"}, Status.FAILING, "pushed"),
        (5, {"status": "down"}, Status.FAILING, "pushed"),
        (5, {"status": "degraded"}, Status.DEGRADED, "pushed"),
        (5, {"status": "purple"}, Status.UNKNOWN, ""),
    ],
)
def test_verdicts(seconds_ago: int, facts: dict[str, Any], status: Status, error_class: str) -> None:
    outcome = judge(PushConfig(ttl_seconds=120), {"pushed_at": NOON - timedelta(seconds=seconds_ago), **facts}, NOON)
    assert (outcome.status, outcome.error_class) == (status, error_class)


def test_what_was_pushed_is_kept_on_one_safe_line() -> None:
    facts = {"pushed_at": NOON, "status": "failing", "message": "disk\nfull\x1b[0m", "latency_ms": 12.5}
    outcome = judge(PushConfig(ttl_seconds=120), facts, NOON)
    assert (outcome.message, outcome.total_ms) == ("disk full [0m", 12.5)
    assert outcome.facts["deadline"] == (NOON + timedelta(seconds=120)).isoformat()
