"""What nobody has taken is said again, and a person's quiet hours are kept."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest

from alerts import acts, engine, reminding
from alerts.engine import Quiet, Way, quiet_until
from alerts.models import Alert, ContactChannel, Trigger
from tests import cast
from tests.alerts import stage
from tests.alerts.stage import T, drain, failing, later, rows, tell, well


# --- Reminders ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def reminding_trigger(db) -> Trigger:
    trigger = stage.trigger(stage.webhook())
    Trigger.objects.filter(pk=trigger.pk).update(reminder_minutes=30)
    return trigger


def minutes(alert: Alert) -> list[tuple[str, int]]:
    """(kind, minutes after T) of what was delivered."""
    return [(d.kind, round((d.finished_at - T).total_seconds() / 60)) for d in rows(alert) if d.state == "delivered"]


def at(minute: float) -> None:
    reminding.step(later(minute))
    drain(later(minute))


def test_nobody_takes_it_so_it_is_said_again_every_half_hour(reminding_trigger):
    (alert,) = tell(failing(7))
    for minute in range(0, 95, 5):
        at(minute)
    assert minutes(alert) == [("opened", 0), ("reminder", 30), ("reminder", 60), ("reminder", 90)]


def test_an_acknowledgement_ends_the_reminders(reminding_trigger):
    (alert,) = tell(failing(7))
    at(0)
    acts.acknowledge(alert, by=cast.TESTS, at=later(10))
    for minute in (30, 60, 90):
        at(minute)
    assert [kind for kind, _ in minutes(alert) if kind == "reminder"] == []
    alert.refresh_from_db()
    assert alert.remind_at is None


def test_a_recovery_ends_them_too(reminding_trigger):
    (alert,) = tell(failing(7))
    at(0)
    tell(well(7, later(10)))
    for minute in (10, 30, 60):
        at(minute)
    assert minutes(alert) == [("opened", 0), ("recovered", 10)]


def test_a_snoozed_alert_is_not_said_again_until_it_wakes(reminding_trigger):
    (alert,) = tell(failing(7))
    at(0)
    acts.snooze(alert, by=cast.TESTS, at=later(10), minutes=60)
    for minute in (30, 31, 60):
        at(minute)
    assert [kind for kind, _ in minutes(alert) if kind == "reminder"] == []


def test_without_the_wish_there_is_no_reminder(db):
    stage.trigger(stage.webhook())
    (alert,) = tell(failing(7))
    for minute in (0, 30, 600):
        at(minute)
    assert minutes(alert) == [("opened", 0)]


def test_two_sweeps_at_the_same_moment_remind_once(reminding_trigger):
    tell(failing(7))
    at(0)
    assert [reminding.step(later(30)), reminding.step(later(30))] == [1, 0]


# --- Quiet hours ---------------------------------------------------------------------------------------------------------
NIGHT = Quiet(time(22), time(7), "Europe/Lisbon")


@pytest.mark.parametrize(
    ("local", "severity", "until"),
    [
        ("2026-11-21T21:59:59", "warning", None),
        ("2026-11-21T22:00:00", "warning", "2026-11-22T07:00:00"),
        ("2026-11-22T06:59:59", "info", "2026-11-22T07:00:00"),
        ("2026-11-22T07:00:00", "warning", None),
        ("2026-11-22T03:00:00", "critical", None),  # what is critical wakes people, unless they want nothing at all
    ],
)
def test_quiet_hours(local, severity, until):
    there = datetime.fromisoformat(local).replace(tzinfo=UTC)  # Lisbon is at UTC in November
    ends = quiet_until(NIGHT, severity, there)
    assert (ends.isoformat()[:19] if ends else None) == until


def test_who_wants_nothing_at_night_is_not_woken_by_what_is_critical():
    assert quiet_until(Quiet(time(22), time(7), "UTC", True), "critical", T.replace(hour=23)) == datetime(
        2026, 11, 22, 7, tzinfo=UTC
    )


def test_hours_within_one_day():
    lunch = Quiet(time(12), time(13), "UTC")
    assert quiet_until(lunch, "info", T) == T + timedelta(hours=1)
    assert quiet_until(lunch, "info", T - timedelta(minutes=1)) is None


def test_the_end_of_quiet_hours_is_on_the_wall_clock_when_clocks_change():
    spring = datetime(2027, 3, 27, 23, tzinfo=UTC)  # the night to summer time in Lisbon
    assert quiet_until(NIGHT, "info", spring) == datetime(2027, 3, 28, 6, tzinfo=UTC)
    autumn = datetime(2027, 10, 30, 22, tzinfo=UTC)
    assert quiet_until(NIGHT, "info", autumn) == datetime(2027, 10, 31, 7, tzinfo=UTC)


def test_a_delay_that_ends_in_quiet_hours_waits_for_their_end():
    way = Way(1, 1, delay_minutes=30, quiet=Quiet(time(12, 15), time(14), "UTC"))
    assert way.delay("warning", T) == 2 * 3600
    assert way.delay("critical", T) == 30 * 60


@pytest.mark.django_db
def test_a_warning_at_night_reaches_ana_in_the_morning_unless_it_is_over():
    ana, channel = cast.contact(), stage.webhook(of=cast.acme())
    ContactChannel.objects.create(contact=ana, channel=channel, quiet_from=time(11), quiet_until=time(13))
    stage.trigger(name="Ana", contacts=[ana])
    over, still = tell(failing(1, severity="warning")) + tell(failing(2, severity="warning"))
    (page,) = tell(failing(3))
    assert [d.alert for d in drain(T)] == [page]
    tell(well(1, later(30)))
    assert [d.alert for d in drain(later(60))] == [still]
    assert [d.state for d in rows(over)] == ["expired"]


def test_a_rule_without_quiet_hours_knows_none():
    assert engine.Way(1, 1).delay("info", T) == 0
