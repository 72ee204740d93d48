"""Silences in time: those that come later, come again, end by themselves, and what is told when they do."""

from __future__ import annotations

from datetime import datetime

import pytest
from django.core.exceptions import ValidationError

from alerts import quiet
from alerts.models import Alert, Channel, Silence
from portal.tenancy import viewer_of
from tests import cast
from tests.alerts import stage
from tests.alerts.stage import T, drain, failing, later, tell, told, well

pytestmark = pytest.mark.django_db
DAY = 24 * 60


@pytest.fixture
def ops() -> Channel:
    channel = stage.webhook()
    stage.trigger(channel)
    return channel


def silence(at: datetime = T, **values) -> Silence:
    about = {"reason": "work", "matchers": {"entity_id": 7}, "duration_seconds": 600, **values}
    return quiet.save_silence(by=cast.TESTS, at=at, **about)


def test_one_that_begins_later_holds_what_nobody_was_told_of_by_then(ops):
    silence(starts_at=later(10))
    (alert,) = tell(failing(7, later(9, 59)))
    quiet.step(later(9, 59), later(9, 58))
    assert told(alert) == [("opened", "pending")]
    quiet.step(later(10), later(9, 59))
    assert told(alert) == [("opened", "held")]


def test_at_its_end_what_still_fires_is_sent_and_what_recovered_is_not(ops):
    silence(matchers={})
    still, gone = tell(failing(7, later(1)), failing(8, later(1)))
    tell(well(8, later(5)))
    quiet.step(later(10), later(9))
    assert [d.alert_id for d in drain(later(10))] == [still.pk]
    assert told(gone) == [("opened", "expired")]


def test_who_was_told_before_hears_of_the_recovery_while_it_is_quiet(ops):
    (alert,) = tell(failing(7))
    drain(T)
    silence(later(1))
    tell(well(7, later(5)))
    assert [d.kind for d in drain(later(5))] == ["recovered"]


def test_a_nightly_one_holds_every_night_and_lets_go_every_morning(ops):
    nightly = silence(recurrence="FREQ=DAILY", timezone="UTC")
    quiet.step(later(11), later(10))
    (alert,) = tell(failing(7, later(DAY + 1)))
    assert (alert.hold_reason, alert.held_by) == ("silenced", nightly.pk)
    quiet.step(later(DAY + 9), later(DAY + 8))
    assert told(alert) == [("opened", "held")]
    quiet.step(later(DAY + 10), later(DAY + 9))
    assert told(alert) == [("opened", "pending")]


def test_a_nightly_one_holds_what_is_open_when_it_comes_again(ops):
    silence(recurrence="FREQ=DAILY")
    (alert,) = tell(failing(7, later(DAY - 1)))
    quiet.step(later(DAY), later(DAY - 1))
    assert told(alert) == [("opened", "held")]


def test_after_a_restart_nothing_that_holds_is_forgotten(ops):
    silence(starts_at=later(10))
    (alert,) = tell(failing(7, later(9)))
    quiet.step(later(12), None)
    assert told(alert) == [("opened", "held")]


def test_a_hundred_held_by_one_that_lasts_do_not_hide_another_that_has_ended(ops):
    silence(matchers={"source": "endpoint"}, duration_seconds=DAY * 60)
    tell(*(failing(n, later(1)) for n in range(100, 200)))
    silence(matchers={"source": "certificate"})
    (other,) = tell(failing(7, later(1), source="certificate", condition="expired", event="expired"))
    quiet.step(later(10), later(9))
    assert told(other) == [("opened", "pending")]
    assert Alert.objects.filter(hold_reason="silenced").count() == 100


def test_until_recovered_ends_with_the_last_that_it_holds(ops):
    row = silence(matchers={"source": "endpoint"}, duration_seconds=None, until_recovered=True)
    tell(failing(7, later(1)), failing(8, later(1)))
    tell(well(7, later(2)))
    row.refresh_from_db()
    assert row.ends_at is None
    tell(well(8, later(3)))
    row.refresh_from_db()
    assert row.ends_at == later(3)
    (fresh,) = tell(failing(7, later(4)))
    assert fresh.hold_reason == ""


def test_it_lists_what_it_hid_and_how_many_messages(ops):
    stage.trigger(stage.webhook("second", url="https://hooks.example/second"), name="Second")
    row = silence()
    (alert,) = tell(failing(7, later(1)))
    quiet.step(later(10), later(9))
    drain(later(10))
    (found,) = quiet.hidden(row, viewer_of(cast.make_staff()))
    assert (found.pk, found.hidden_messages) == (alert.pk, 2)
    assert list(quiet.hidden(row, viewer_of(cast.mallory()))) == []


def test_one_that_would_overlap_itself_is_refused():
    with pytest.raises(ValidationError) as refusal:
        silence(recurrence="FREQ=DAILY", duration_seconds=25 * 3600)
    assert "recurrence" in refusal.value.message_dict
