"""When is who called? The times of a run as tables: passes, pauses, levels that reach nobody, a portal that was away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import engine
from alerts.engine.escalation import LATE, Climb, after_step, climbs, due_at, may_meet, resumed, shift_to

pytestmark = pytest.mark.once
T = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TWICE = Climb(delays=(0, 300, 900), repeat_count=1, repeat_after=600)


def at(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


def seconds(climb: Climb, shifted: float = 0) -> list[float]:
    """When each step is due, and the end."""
    return [(due_at(climb, n, T, shifted) - T).total_seconds() for n in range(climb.steps + 1)]


# --- Due ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("climb", "expected"),
    [
        # One level, one pass: it is exhausted repeat_after later.
        (Climb((300,)), [300, 600]),
        # Pass p of a level is due at start + p × (last delay + repeat_after) + its delay.
        (TWICE, [0, 300, 900, 1500, 1800, 2400, 3000]),
        # A single level that is repeated twice.
        (Climb((0,), repeat_count=2, repeat_after=60), [0, 60, 120, 180]),
    ],
)
def test_steps_are_due_as_the_policy_says(climb, expected):
    assert seconds(climb) == expected


def test_a_shift_moves_everything_alike():
    assert seconds(TWICE, 45.5) == [s + 45.5 for s in seconds(TWICE)]


def test_a_step_is_a_pass_and_a_level():
    assert [TWICE.place(n) for n in range(7)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]
    assert (TWICE.passes, TWICE.steps) == (2, 6)


# --- Pauses -----------------------------------------------------------------------------------------------------------
def test_a_pause_makes_everything_later_by_as_long_as_it_lasted():
    assert resumed(10.0, at(100), at(160)) == 70.0


def test_a_pause_that_ends_before_it_began_changes_nothing():
    assert resumed(10.0, at(100), at(90)) == 10.0


# --- Levels that reach nobody -------------------------------------------------------------------------------------------
def test_a_level_with_nobody_is_skipped_at_once_and_the_others_keep_their_distances():
    step, shift = after_step(TWICE, 0, T, 0.0, at(2), skipped=True)
    assert step == 1
    assert [(due_at(TWICE, n, T, shift) - T).total_seconds() for n in (1, 2, 3)] == [2, 602, 1202]


def test_a_level_that_was_told_changes_no_time():
    assert after_step(TWICE, 0, T, 0.0, at(2), skipped=False) == (1, 0.0)


def test_the_next_pass_is_not_brought_forward():
    """It would find the same people missing: a run would burn out in a second."""
    assert after_step(TWICE, 2, T, 0.0, at(901), skipped=True) == (3, 0.0)
    assert after_step(Climb((0,), 20, 300), 0, T, 0.0, at(0), skipped=True) == (1, 0.0)


def test_skipping_never_makes_the_next_level_later():
    step, shift = after_step(TWICE, 0, T, 0.0, at(400), skipped=True)  # the next was due at 300
    assert (step, shift) == (1, 0.0)


# --- A portal that was away --------------------------------------------------------------------------------------------
def test_after_an_hour_away_the_levels_of_a_pass_are_called_together_but_not_the_next_pass():
    now, shift, step = at(3600), 0.0, 0
    called = []
    while due_at(TWICE, step, T, shift) <= now:
        called.append(step)
        step, shift = after_step(TWICE, step, T, shift, now, skipped=False)
    assert called == [0, 1, 2]
    assert due_at(TWICE, 3, T, shift) == now + timedelta(seconds=600), "they have as long as always to answer"


def test_a_second_late_is_not_carried_on():
    assert after_step(TWICE, 2, T, 0.0, at(900 + LATE), skipped=False) == (3, 0.0)


@given(
    delays=st.lists(st.integers(0, 7 * 86400), min_size=1, max_size=20, unique=True).map(sorted),
    repeat=st.integers(0, 20),
    after=st.integers(30, 7 * 86400),
    lags=st.lists(st.floats(0, 5000), min_size=1, max_size=40),
    skips=st.lists(st.booleans(), min_size=1, max_size=40),
)
def test_whatever_happens_steps_come_in_order_and_the_run_ends(delays, repeat, after, lags, skips):
    climb, shift, step, now = Climb(tuple(delays), repeat, after), 0.0, 0, T
    while step < climb.steps:
        due = due_at(climb, step, T, shift)
        now = max(now, due) + timedelta(seconds=lags[step % len(lags)])
        following, shift = after_step(climb, step, T, shift, now, skipped=skips[step % len(skips)])
        assert following == step + 1
        if following % len(delays) == 0:  # those who were called last have time to answer
            late = (now - due).total_seconds()
            rest = (due_at(climb, following, T, shift) - now).total_seconds()
            assert rest >= after + (delays[0] if following < climb.steps else 0) - min(late, LATE) - 0.001
        step = following


def test_shift_to_is_what_due_at_undoes():
    assert due_at(TWICE, 4, T, shift_to(TWICE, 4, T, at(77))) == at(77)


# --- Which policies -----------------------------------------------------------------------------------------------------
FACTS = engine.Facts(
    source="endpoint", event="consecutive_failure", severity="critical", entity_type="monitor", entity_id="7", entity_name="shop",
    client=1, client_slug="acme", service=5, tags=frozenset({"prod"}),
)  # fmt: skip


def rule(**filters) -> engine.Rule:
    client = filters.pop("client", None)
    return engine.Rule(id=1, name="p", client=client, **{name: frozenset(words) for name, words in filters.items()})


@pytest.mark.parametrize(
    ("filters", "attached", "attached_only", "expected"),
    [
        ({}, False, False, True),  # empty filters take everything
        ({"severities": {"critical"}, "tags": {"prod"}}, False, False, True),
        ({"severities": {"warning"}}, False, False, False),
        ({"scopes": {"client:acme"}}, False, False, True),
        ({"severities": {"warning"}}, True, False, True),  # its service names the policy: filters do not count
        ({}, False, True, False),  # only for services that name it
        ({}, True, True, True),
        ({"client": 2}, False, False, False),  # another client's policy never …
        ({"client": 2}, True, False, False),  # … not even when a service names it
    ],
)
def test_which_alerts_a_policy_takes_up(filters, attached, attached_only, expected):
    assert climbs(rule(**filters), FACTS, T, attached=attached, attached_only=attached_only) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({}, {}, True),
        ({"client": 1}, {"client": 2}, False),
        ({"client": 1}, {}, True),
        ({"severities": {"critical"}}, {"severities": {"warning", "info"}}, False),
        ({"sources": {"endpoint"}}, {"sources": {"heartbeat"}}, False),
        ({"scopes": {"endpoint:7"}}, {"scopes": {"endpoint:8"}}, False),
        ({"scopes": {"endpoint:7"}}, {"scopes": {"client:1"}}, True),  # the endpoint may be that client's
        ({"scopes": {"client:1"}}, {"scopes": {"client:acme"}}, True),  # perhaps the same client
        ({"scopes": {"client:1"}}, {"scopes": {"client:2"}}, False),
        ({"tags": {"a"}}, {"tags": {"b"}}, True),  # an alert has many tags
    ],
)
def test_can_one_alert_match_both(one, other, expected):
    assert may_meet(rule(**one), rule(**other)) is expected
    assert may_meet(rule(**other), rule(**one)) is expected
