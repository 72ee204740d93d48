"""Does the alert's page say who is called next, does every button do what it says, and does the overview cry when nobody answers?"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts import acts, escalator, schedules
from alerts.models import Alert, OnCallSchedule, Run
from portal.clock import database_now
from tests import cast
from tests.alerts import climbing, stage
from tests.console.visiting import browser, text

pytestmark = pytest.mark.django_db


def climbing_alert(**values):
    """An alert of now: Ops was called at once, Ana is called in five minutes."""
    ops, phone = stage.webhook("Ops"), stage.webhook("SMS")
    ana = climbing.person("Ana", phone)
    climbing.policy(climbing.level(0, ops), climbing.level(300, contacts=[ana]), name="Night", **values)
    at = database_now()
    (alert,) = stage.tell(stage.failing(at=at))
    climbing.sweep(at)
    return alert, at


def page_of(alert, who=None) -> str:
    return text(browser(who or cast.make_staff()).get(f"/alerts/{alert.pk}/"))


def test_the_next_step_names_level_time_and_person():
    alert, _ = climbing_alert()
    page = page_of(alert)
    assert "Night Climbing" in page and "Level 1: Ops" in page
    assert "Level 2 in 4 min : Ana, by SMS." in page or "Level 2 in 5 min : Ana, by SMS." in page


def test_after_the_last_level_it_says_how_it_ends_and_then_that_it_ended():
    alert, at = climbing_alert()
    climbing.sweep(at + timedelta(seconds=301))
    assert "Everybody was called." in page_of(alert)
    climbing.sweep(at + timedelta(seconds=602))
    page = page_of(alert)
    assert "Night Nobody answered" in page and "Exhausted" not in page
    assert Run.objects.get().status == "exhausted"


def test_paused_runs_say_so():
    alert, at = climbing_alert()
    acts.snooze(alert, by=cast.TESTS, at=at, minutes=30)
    assert "Paused by a silence" in page_of(alert) and "Level 2 in" not in page_of(alert)


def test_a_clients_person_reads_only_of_their_own_policies():
    alert, _ = climbing_alert()
    page = page_of(alert, cast.alice())
    assert "Night" not in page and "Ana" not in page and "Acknowledge" in page


def test_acknowledging_stops_it_and_an_alert_that_got_worse_can_be_acknowledged_again():
    alert, at = climbing_alert()
    caller = browser(cast.make_staff())
    path = f"/alerts/{alert.pk}/"
    assert "You have it" in text(caller.post(f"{path}acknowledge/", follow=True))
    assert Run.objects.get().status == "stopped_by_ack" and 'id="acknowledge"' not in caller.get(path).content.decode()
    assert "has it already" in text(caller.post(f"{path}acknowledge/", follow=True))
    Run.objects.update(status="active", ended_at=None, next_action_at=at)  # as when it became worse
    assert 'id="acknowledge"' in caller.get(path).content.decode()
    assert "You have it" in text(caller.post(f"{path}acknowledge/", follow=True))


def test_unsnooze_is_offered_while_it_is_snoozed():
    alert, _ = climbing_alert()
    caller, path = browser(cast.make_staff()), f"/alerts/{alert.pk}/"
    assert 'id="unsnooze"' not in caller.get(path).content.decode()
    assert "is not snoozed" in text(caller.post(f"{path}unsnooze/", follow=True))
    caller.post(f"{path}snooze/", {"minutes": "30"})
    assert 'id="unsnooze"' in caller.get(path).content.decode()
    assert "Awake again" in text(caller.post(f"{path}unsnooze/", follow=True))
    alert.refresh_from_db()
    assert alert.snoozed_until is None and alert.hold_reason == ""
    assert Run.objects.get().status == "active"


def test_the_live_part_brings_the_escalation_along():
    alert, _ = climbing_alert()
    answer = browser(cast.make_staff()).get(f"/alerts/{alert.pk}/", headers={"HX-Request": "true", "HX-Target": "live"})
    assert "Level 2" in text(answer) and "<html" not in answer.content.decode()


def test_reminders_and_what_was_said_to_those_called_are_in_the_story():
    alert, at = climbing_alert()
    Alert.objects.filter(pk=alert.pk).update(remind_at=at + timedelta(minutes=12))
    assert "Reminder" in page_of(alert)
    stage.drain(at + timedelta(seconds=1))
    acts.acknowledge(alert, by=cast.TESTS, at=at + timedelta(seconds=2), name="Ana")
    page = page_of(alert)
    assert "escalated · policy Night: Ops" in page and "Ana acknowledged it" in page and "Reminder" not in page


# --- The overview ------------------------------------------------------------------------------------------------------
def test_the_overview_shows_first_what_nobody_answered():
    alert, at = climbing_alert()
    caller = browser(cast.make_staff())
    page = text(caller.get("/"))
    assert "Nobody answered" not in page and "level 2" in page, "and who is called next"
    climbing.sweep(at + timedelta(seconds=301))
    climbing.sweep(at + timedelta(seconds=602))
    page = text(caller.get("/"))
    assert page.index("Nobody answered") < page.index("1 problem")
    assert "Nobody answered" not in text(browser(cast.mallory()).get("/"))
    caller.post(f"/alerts/{alert.pk}/acknowledge/", {"next": "/"})
    assert "Nobody answered" not in text(caller.get("/"))


def test_who_is_on_call_stands_on_top_of_every_page():
    assert "on call:" not in browser(cast.make_staff()).get("/").content.decode()
    cast.schedule()
    assert "on call: " in text(browser(cast.make_staff()).get("/alerts/"))
    assert str(cast.contact()) in text(browser(cast.alice()).get("/alerts/"))
    assert "on call:" not in text(browser(cast.mallory()).get("/alerts/"))


def test_a_gap_stands_on_top_and_many_names_are_counted():
    for n in range(4):
        contact = climbing.person(f"P{n}", stage.webhook(f"W{n}"))
        schedules.save_schedule(None, by=cast.TESTS, client=None, name=f"S{n}", layers=[{"contacts": [contact]}])
    assert "on call: P0, P1 +2" in text(browser(cast.make_staff()).get("/alerts/"))
    OnCallSchedule.objects.exclude(name="S1").delete()
    OnCallSchedule.objects.get().layers.all().delete()
    assert "on call: nobody (S1)" in text(browser(cast.make_staff()).get("/alerts/"))


def test_the_overview_costs_the_same_with_two_and_with_ten_that_climb():
    ops, at, costs = stage.webhook("Ops"), database_now(), []
    climbing.policy(climbing.level(300, ops))
    caller = browser(cast.make_staff())
    for n in range(10):
        stage.tell(stage.failing(100 + n, at))
        if n in (1, 9):
            caller.get("/")
            with CaptureQueriesContext(connection) as seen:
                assert text(caller.get("/")).count("next: Ops, level 1") == n + 1
            costs.append(len(seen))
    assert costs[0] == costs[1], costs


def test_a_climb_that_is_due_now_is_said_so():
    alert, at = climbing_alert()
    Run.objects.update(next_action_at=at - timedelta(seconds=10))
    assert "Level 2 now: Ana, by SMS." in page_of(alert)
    assert escalator.climb(at) == 1
