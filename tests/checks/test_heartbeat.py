"""When is a ping due, when is it missed, and what do summer time and long jobs change?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitors import checks
from monitors.checks.base import Status
from monitors.checks.heartbeat import HeartbeatConfig, judge, next_deadline
from tests.checks.lab import NOON


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def settings(**data: Any) -> HeartbeatConfig:
    return HeartbeatConfig.model_validate(data)


VIENNA = {"timezone": "Europe/Vienna", "grace_seconds": 0}


@pytest.mark.parametrize(
    ("config", "last_ping", "deadline"),
    [
        ({"period_seconds": 3600, "grace_seconds": 300}, "2026-06-01 12:00", "2026-06-01 13:05"),
        ({"schedule": "30 2 * * *", "grace_seconds": 600}, "2026-06-01 02:30", "2026-06-02 02:40"),
        ({"schedule": "@daily", "grace_seconds": 0}, "2026-06-01 12:00", "2026-06-02 00:00"),
        # A period is real time: the hour that the clock skips or repeats changes nothing.
        ({"period_seconds": 86400, **VIENNA}, "2026-03-28 12:00", "2026-03-29 12:00"),
        # 02:30 does not exist on 29 March 2026 in Vienna: the job runs when the clock has jumped to 03:00 (01:00 UTC).
        ({"schedule": "30 2 * * *", **VIENNA}, "2026-03-28 01:30", "2026-03-29 01:00"),
        # 02:30 happens twice on 25 October 2026 (00:30 and 01:30 UTC): the job runs once, and next day an hour later in UTC.
        ({"schedule": "30 2 * * *", **VIENNA}, "2026-10-24 00:30", "2026-10-25 00:30"),
        ({"schedule": "30 2 * * *", **VIENNA}, "2026-10-25 00:30", "2026-10-26 01:30"),
        # Local midnight is another UTC hour in winter and in summer.
        ({"schedule": "0 0 * * *", **VIENNA}, "2026-01-10 12:00", "2026-01-10 23:00"),
        ({"schedule": "0 0 * * *", **VIENNA}, "2026-07-10 12:00", "2026-07-10 22:00"),
    ],
)
def test_deadlines(config: dict[str, Any], last_ping: str, deadline: str) -> None:
    assert next_deadline(settings(**config), utc(last_ping)) == utc(deadline)


@given(
    st.integers(0, 15 * 366 * 86400).map(lambda seconds: utc("2020-01-01 00:00") + timedelta(seconds=seconds)),
    st.sampled_from(["30 2 * * *", "*/5 * * * *", "0 0 1 * *", "15 3 * * 0", "0 12 * * MON-FRI"]),
    st.sampled_from(["UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_a_deadline_always_lies_after_the_ping(last_ping: datetime, schedule: str, timezone: str) -> None:
    deadline = next_deadline(settings(schedule=schedule, timezone=timezone, grace_seconds=0), last_ping)
    assert deadline.utcoffset() == timedelta(0)
    assert last_ping < deadline <= last_ping + timedelta(days=33)


HOURLY = {"period_seconds": 3600, "grace_seconds": 300}


@pytest.mark.parametrize(
    ("minutes_ago", "facts", "status", "error_class"),
    [
        (10, {}, Status.UP, ""),
        (62, {}, Status.UP, ""),  # late, within its grace
        (65, {}, Status.FAILING, "missed"),  # the deadline itself is too late
        (10, {"exit": 0}, Status.UP, ""),
        (10, {"exit": 1}, Status.FAILING, "exit_code"),
        (10, {"started_at": NOON - timedelta(minutes=4)}, Status.UP, ""),  # running
        (10, {"started_at": NOON - timedelta(minutes=6)}, Status.FAILING, "missed"),  # running for too long
        (3, {"started_at": NOON - timedelta(minutes=6)}, Status.UP, ""),  # started, then finished
        (None, {}, Status.UNKNOWN, ""),  # new: never alerts
        (None, {"started_at": NOON - timedelta(minutes=6)}, Status.FAILING, "missed"),
        (None, {"exit": 3}, Status.FAILING, "exit_code"),
    ],
)
def test_verdicts(minutes_ago: int | None, facts: dict[str, Any], status: Status, error_class: str) -> None:
    last_ping = NOON - timedelta(minutes=minutes_ago) if minutes_ago is not None else None
    outcome = judge(settings(**HOURLY), {"last_ping": last_ping, **facts}, NOON)
    assert (outcome.status, outcome.error_class) == (status, error_class), outcome


def test_a_miss_is_dated_at_the_deadline() -> None:
    outcome = judge(settings(**HOURLY), {"last_ping": NOON - timedelta(hours=5)}, NOON)
    assert outcome.facts["deadline"] == (NOON - timedelta(hours=5) + timedelta(minutes=65)).isoformat()


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"period_seconds": 60, "schedule": "* * * * *"},
        {"period_seconds": 0},
        {"period_seconds": 60, "grace_seconds": -1},
        {"schedule": "* * * *"},
        {"schedule": "0 * * * * *"},  # seconds: Debian's cron has none
        {"schedule": "0 0 30 2 *"},  # never comes round
        {"schedule": "61 * * * *"},
        {"schedule": "0 0 * * MON#9"},
        {"schedule": "@reboot"},
        {"period_seconds": 60, "timezone": "Mars/Olympus"},
        {"period_seconds": 60, "timezone": "../../etc/passwd"},
        {"period_seconds": 60, "timezone": ""},
    ],
)
def test_settings_that_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        checks.parse("heartbeat", config)
