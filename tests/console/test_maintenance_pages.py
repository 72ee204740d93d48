"""Maintenance and silences as people without scripts work with them: plan, look before, change, end, and what was hidden."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from alerts import engine, quiet
from alerts.models import MaintenanceWindow, Silence
from console.pages.maintenance import WindowForm
from console.pages.quiet_form import initial_times, said, told_by
from monitors import maintenance
from portal.clock import database_now
from tests import cast
from tests.console import scene
from tests.console.visiting import browser, form_of, text

pytestmark = pytest.mark.django_db


def plan(caller, **values):
    """The add form's own answer, with some fields filled in."""
    form = form_of(caller.get("/maintenance/add/"))
    return {**form, "title": "Switch replaced", **values}


def window(**values) -> MaintenanceWindow:
    at = database_now()
    return quiet.save_window(by=cast.TESTS, at=at, **{"title": "Switch", "duration_seconds": 3600, **values})


# --- Plan ---------------------------------------------------------------------------------------------------------------
def test_a_window_is_planned_and_runs_at_once():
    s = scene.outage()
    caller = browser(cast.alice())
    assert "No work is planned" in text(caller.get("/maintenance/"))
    page = caller.post("/maintenance/add/", plan(caller, client=s.client.pk, monitors=[s.up.pk]), follow=True)
    assert "It runs" in text(page) and "Switch replaced" in text(page)
    row = MaintenanceWindow.objects.get()
    assert (row.client, row.scopes, row.owner) == (s.client, [f"monitor:{s.up.pk}"], "alice@acme.example")
    s.up.refresh_from_db()
    assert s.up.in_maintenance and "End now" in text(caller.get("/maintenance/"))


def test_what_it_would_cover_is_shown_and_nothing_stored():
    s = scene.outage()
    caller = browser(cast.alice())
    data = plan(caller, client=s.client.pk, monitors=[s.down.pk], title="", repeat="daily", preview="1")
    whole = caller.post("/maintenance/add/", data)
    for words in ("1 monitor", "1 open alert", "api is down", "Again every day"):
        assert words in text(whole), words
    panel = caller.post("/maintenance/add/", data, headers={"HX-Request": "true"})
    assert "1 open alert" in text(panel) and "<form" not in panel.content.decode()
    bad = caller.post("/maintenance/add/", {**data, "timezone": "Mars/Olympus"}, headers={"HX-Request": "true"})
    assert bad.status_code == 200 and "Time zone" in text(bad), "a panel that says what is not clear yet"
    assert not MaintenanceWindow.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"title": ""}, "title"),
        ({"client": ""}, "client"),
        ({"duration": "at"}, "ends_at"),
        ({"duration": "at", "ends_at": "2020-01-01T10:00"}, "ends_at"),
        ({"starts_at": "soon"}, "starts_at"),
        ({"repeat": "own"}, "rule"),
        ({"repeat": "own", "rule": "FREQ=SECONDLY"}, "rule"),
        ({"repeat": "daily", "duration": "604800"}, "rule"),
        ({"timezone": "Nowhere/City"}, "timezone"),
        ({"scopes": "moon:1"}, "scopes"),
        ({"scopes": "site:987654"}, "scopes"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_at_its_field(wrong, field):
    caller = browser(cast.alice())
    data = plan(caller, client=cast.acme().pk, **wrong) if "client" not in wrong else plan(caller, **wrong)
    answer = caller.post("/maintenance/add/", {**data, **wrong})
    assert answer.status_code == 400 and field in answer.context["form"].errors, answer.context["form"].errors
    assert not MaintenanceWindow.objects.exists()


def test_a_clients_people_choose_among_their_own_only():
    s, other = scene.outage(), scene.monitor(cast.globex(), "mill")
    caller = browser(cast.alice())
    page = caller.get("/maintenance/add/").content.decode()
    assert "Acme · shop" in page and "mill" not in page
    answer = caller.post("/maintenance/add/", plan(caller, client=s.client.pk, monitors=[other.pk]))
    assert answer.status_code == 400 and "monitors" in answer.context["form"].errors


def test_buttons_elsewhere_fill_the_form():
    s = scene.outage()
    caller = browser(cast.make_staff())
    for query in (f"entity=endpoint:{s.down.pk}", f"entity=monitor:{s.down.pk}", f"monitor={s.down.pk}", f"alert={s.alert.pk}"):  # fmt: skip
        form = caller.get(f"/maintenance/add/?{query}").context["form"]
        assert (form.initial["monitors"], form.initial["client"]) == ([s.down.pk], s.client.pk), query
    form = caller.get(f"/silences/add/?entity=monitor:{s.down.pk}").context["form"]
    assert (form.initial["entity_id"], form.initial["client"]) == (str(s.down.pk), s.client.pk)
    stranger = browser(cast.mallory()).get(f"/maintenance/add/?monitor={s.down.pk}").context["form"]
    assert "monitors" not in stranger.initial


# --- Change, end, cancel --------------------------------------------------------------------------------------------------
def test_an_untouched_form_changes_nothing_and_a_longer_one_lasts_longer():
    s = scene.outage()
    caller = browser(cast.alice())
    row = window(client=s.client, scopes=[f"monitor:{s.up.pk}", f"certificate:{s.up.pk}"], recurrence="FREQ=DAILY")
    page = caller.get(f"/maintenance/{row.pk}/edit/")
    assert caller.post(f"/maintenance/{row.pk}/edit/", form_of(page)).status_code == 302
    after = MaintenanceWindow.objects.get()
    for name in ("title", "starts_at", "ends_at", "recurrence", "scopes", "tags", "timezone"):
        assert getattr(after, name) == getattr(row, name), name
    caller.post(f"/maintenance/{row.pk}/edit/", {**form_of(page), "duration": "7200"})
    after.refresh_from_db()
    assert after.ends_at - after.starts_at == timedelta(hours=2) and after.starts_at == row.starts_at


def test_the_work_is_done_sooner():
    s = scene.outage()
    row = window(client=s.client)
    caller = browser(cast.alice())
    assert caller.get(f"/maintenance/{row.pk}/end/").status_code == 302 and row.occurrences.filter(closed_at=None)
    assert "What still fires is told now" in text(caller.post(f"/maintenance/{row.pk}/end/", follow=True))
    assert "not running" in text(caller.post(f"/maintenance/{row.pk}/end/", follow=True))
    assert "Switch" in text(caller.get("/maintenance/?past=1")) and "Switch" not in text(caller.get("/maintenance/"))


def test_cancelling_asks_first_and_keeps_the_record():
    s = scene.outage()
    row = window(client=s.client, recurrence="FREQ=WEEKLY")
    caller = browser(cast.alice())
    assert "at none of its times" in text(caller.get(f"/maintenance/{row.pk}/cancel/"))
    assert not MaintenanceWindow.objects.get().cancelled_at
    assert "Cancelled." in text(caller.post(f"/maintenance/{row.pk}/cancel/", follow=True))
    assert "cancelled" in text(caller.get("/maintenance/?past=1"))
    assert caller.get(f"/maintenance/{row.pk}/explode/").status_code == 404


def test_its_page_tells_what_it_covers_and_what_it_hid():
    s = scene.outage()
    row = window(client=s.client, description="We replace a switch.", recurrence="FREQ=WEEKLY;BYDAY=SU")
    quiet.step(database_now())
    scene.fail(s.up, database_now())
    page = text(browser(cast.alice()).get(f"/maintenance/{row.pk}/"))
    for words in (
        "Switch",
        "We replace a switch.",
        "everything of Acme",
        "shop is down",
        "2 monitors now",
        "still runs",
    ):
        assert words in page, words
    assert "1 alert" in text(browser(cast.alice()).get("/maintenance/"))


def test_a_silence_that_comes_again_is_made_and_shows_what_it_hid():
    s = scene.outage()
    caller = browser(cast.make_staff())
    data = {**form_of(caller.get("/silences/add/")), "reason": "Backups", "repeat": "weekly", "days": ["SA", "SU"]}
    assert caller.post("/silences/add/", data).status_code == 302
    row = Silence.objects.get()
    assert row.recurrence == "FREQ=WEEKLY;BYDAY=SA,SU"
    scene.fail(s.up, database_now())
    page = text(caller.get(f"/silences/{row.pk}/"))
    assert "shop is down" in page and "every Sat, Sun" in page
    assert "every Sat, Sun" in text(caller.get("/silences/"))
    later = (database_now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    assert "Quiet from" in text(caller.post("/silences/add/", {**data, "starts_at": later, "repeat": ""}, follow=True))


def test_others_do_not_know_of_it_and_readers_only_read():
    s = scene.outage()
    row, silence = window(client=s.client), cast.silence()
    mallory, reader = browser(cast.mallory()), browser(cast.viewer())
    for path in (f"/maintenance/{row.pk}/", f"/maintenance/{row.pk}/edit/", f"/silences/{silence.pk}/"):
        assert mallory.get(path).status_code == 404
    assert mallory.post(f"/maintenance/{row.pk}/end/").status_code == 404
    assert reader.get(f"/maintenance/{row.pk}/").status_code == 200
    assert "End now" not in text(reader.get("/maintenance/")) + text(reader.get(f"/maintenance/{row.pk}/"))
    assert [reader.post(f"/maintenance/{row.pk}/{verb}/").status_code for verb in ("end", "cancel")] == [403, 403]
    assert reader.get("/maintenance/add/").status_code == reader.get(f"/maintenance/{row.pk}/edit/").status_code == 403


def test_a_list_costs_the_same_with_three_and_with_thirty():
    caller = browser(cast.make_staff())
    m = scene.monitor()
    counts = []
    for number in (3, 27):
        for n in range(number):
            window(title=f"Work {number} {n}", scopes=[f"monitor:{m.pk}"], client=cast.acme())
        caller.get("/maintenance/")
        with CaptureQueriesContext(connection) as asked:
            assert caller.get("/maintenance/").status_code == 200
        counts.append(len(asked))
    assert counts[0] == counts[1]
    assert maintenance.follow() == 0


# --- How often --------------------------------------------------------------------------------------------------------------
SUNDAY = datetime(2026, 11, 8, 9, 30, tzinfo=ZoneInfo("Europe/Lisbon"))  # the second of its month


@pytest.mark.parametrize(
    ("answers", "rule", "words"),
    [
        ({}, "", ""),
        ({"repeat": "daily"}, "FREQ=DAILY", "every day at 09:30"),
        ({"repeat": "weekly"}, "FREQ=WEEKLY;BYDAY=SU", "every Sun at 09:30"),
        ({"repeat": "weekly", "days": ["MO", "FR"]}, "FREQ=WEEKLY;BYDAY=MO,FR", "every Mon, Fri at 09:30"),
        ({"repeat": "monthly"}, "FREQ=MONTHLY;BYMONTHDAY=8", "every month on day 8 at 09:30"),
        ({"repeat": "weekday"}, "FREQ=MONTHLY;BYDAY=2SU", "every second Sunday of a month at 09:30"),
        ({"repeat": "own", "rule": "FREQ=YEARLY"}, "FREQ=YEARLY", "FREQ=YEARLY"),
        (
            {"repeat": "daily", "last_day": "2026-12-24"},
            "FREQ=DAILY;UNTIL=20261224",
            "every day at 09:30, until 24 Dec 2026",
        ),
    ],
)
def test_what_is_chosen_becomes_a_rule_and_is_read_back(answers, rule, words):
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    data = {"title": "x", "duration": "3600", "timezone": "Europe/Lisbon", "starts_at": "2026-11-08T09:30", **answers}
    form = WindowForm(request, MaintenanceWindow(client=None), data)
    assert form.is_valid(), form.errors
    times = form.times(database_now())
    assert (times["recurrence"], times["starts_at"]) == (rule, SUNDAY)
    back = told_by(rule, SUNDAY)
    assert {k: str(v) if isinstance(v, date) else v for k, v in back.items()} == {
        "repeat": "",
        **({"days": ["SU"]} if answers.get("repeat") == "weekly" else {}),
        **answers,
    }
    row = window(scopes=["endpoint:7"], starts_at=SUNDAY, recurrence=rule, timezone="Europe/Lisbon")
    assert said(row) == words and initial_times(row)["starts_at"] == "2026-11-08T09:30"
    if rule:
        assert engine.coming(engine.Times(SUNDAY, SUNDAY + timedelta(hours=1), rule, "Europe/Lisbon"), SUNDAY, 2)[1]
