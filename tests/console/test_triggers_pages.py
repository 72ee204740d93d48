"""The trigger's form as a person without scripts works with it: what it would have told of, and how often it reminds."""

from __future__ import annotations

import html
from datetime import timedelta

import pytest

from alerts.models import Alert, Trigger
from portal.clock import database_now
from portal.models import ContactGroup
from tests import cast
from tests.alerts import stage
from tests.console.test_pages import queries
from tests.console.visiting import browser, form_of, text

pytestmark = pytest.mark.django_db
DATA = {"name": "Ours", "timezone": "UTC", "enabled": "on", "notify_on_resolve": "on"}


def read(answer) -> str:
    return html.unescape(text(answer))


def week() -> None:
    """Acme: twelve critical, one warning; Globex: one. And one that is older than a week."""
    at = database_now()
    for n in range(12):
        stage.tell(stage.failing(n, at - timedelta(hours=n)))
    stage.tell(stage.failing(50, at, severity="warning"), stage.failing(60, at, client=cast.globex()))
    stage.tell(stage.failing(70, at))
    Alert.objects.filter(entity_id="70").update(created_at=at - timedelta(days=8))


def test_the_preview_counts_and_lists_the_alerts_of_the_last_week_and_stores_nothing():
    week()
    caller = browser(cast.make_staff())
    page = read(caller.post("/triggers/add/", {**DATA, "filter_severities": ["critical"], "preview": "1"}))
    assert "13 of 14 alerts of the last 7 days" in page and "and 3 more" in page
    assert "monitor-70" not in page and "monitor-60 is down" in page
    page = read(caller.post("/triggers/add/", {**DATA, "name": "", "client": cast.globex().pk, "preview": "1"}))
    assert "1 of 14" in page, "a name is not needed to look"
    assert "0 of 14" in read(caller.post("/triggers/add/", {**DATA, "filter_tags": "no such", "preview": "1"}))
    assert not Trigger.objects.exists()


def test_the_preview_says_what_is_not_clear_yet():
    answer = browser(cast.make_staff()).post("/triggers/add/", {**DATA, "filter_scopes": "nonsense", "preview": "1"})
    assert (
        answer.status_code == 400
        and "Not clear yet" in read(answer)
        and "filter_scopes" in answer.context["form"].errors
    )


def test_the_live_preview_is_only_that_part_of_the_page_also_when_the_form_is_wrong():
    week()
    caller = browser(cast.make_staff())
    asked = {"HX-Request": "true", "HX-Target": "preview"}
    for data in (DATA, {**DATA, "from_time": "10:00"}):
        answer = caller.post("/triggers/add/", {**data, "preview": "1"}, headers=asked)
        body = answer.content.decode()
        assert answer.status_code == 200 and "<html" not in body and 'id="preview"' in body[:200]


def test_a_client_admin_sees_their_own_alerts_only_in_the_preview():
    week()
    answer = browser(cast.mallory()).post("/triggers/add/", {**DATA, "client": cast.globex().pk, "preview": "1"})
    assert "1 of 1 alert of the last 7 days" in read(answer) and "Acme" not in read(answer)


def test_a_reminder_is_bounded_saved_and_said():
    caller = browser(cast.make_staff())
    for minutes in ("4", "1441", "x"):
        answer = caller.post("/triggers/add/", {**DATA, "reminder_minutes": minutes})
        assert answer.status_code == 400 and "reminder_minutes" in answer.context["form"].errors, minutes
    caller.post("/triggers/add/", {**DATA, "reminder_minutes": "30"})
    row = Trigger.objects.get()
    assert row.reminder_minutes == 30 and "reminds every 30 min" in read(caller.get("/triggers/"))
    page = caller.get(f"/triggers/{row.pk}/")
    caller.post(f"/triggers/{row.pk}/", {**form_of(page), "reminder_minutes": ""})
    row.refresh_from_db()
    assert row.reminder_minutes is None


def test_how_long_it_waits_for_the_cause_is_bounded_and_saved():
    caller = browser(cast.make_staff())
    for seconds in ("-1", "31"):
        answer = caller.post("/triggers/add/", {**DATA, "verdict_wait_seconds": seconds})
        assert answer.status_code == 400 and "verdict_wait_seconds" in answer.context["form"].errors, seconds
    caller.post("/triggers/add/", {**DATA, "verdict_wait_seconds": "0"})
    row = Trigger.objects.get()
    assert row.verdict_wait_seconds == 0
    page = caller.get(f"/triggers/{row.pk}/")
    assert "Wait for the cause" in page.content.decode()
    caller.post(f"/triggers/{row.pk}/", {**form_of(page), "verdict_wait_seconds": ""})
    row.refresh_from_db()
    assert row.verdict_wait_seconds == 8, "empty is the usual"


def test_the_list_links_whom_it_tells_where_one_may_open_them():
    of = cast.acme()
    row = Trigger.objects.create(client=of, name="All of Acme")
    person, channel, group = (
        cast.contact(of),
        stage.webhook("ops", of),
        ContactGroup.objects.create(client=of, name="G"),
    )
    row.contacts.add(person), row.channels.add(channel), row.groups.add(group)
    links = {f'href="/channels/{channel.pk}/"', f'href="/contacts/{person.pk}/"', f'href="/contact-groups/{group.pk}/"'}
    assert all(link in browser(cast.alice()).get("/triggers/").content.decode() for link in links)
    shown = {link for link in links if link in browser(cast.viewer()).get("/triggers/").content.decode()}
    assert shown == {f'href="/contacts/{person.pk}/"'}, "what one may only read has no page of its own to open"


def test_the_form_costs_the_same_however_much_there_is():
    caller = browser(cast.make_staff())
    week()
    row = Trigger.objects.create(name="Everything")
    stage.webhook()
    few = queries(caller, f"/triggers/{row.pk}/")
    at = database_now()
    for n in range(100, 130):
        stage.tell(stage.failing(n, at, client=cast.client(f"Client {n}")))
        stage.webhook(f"hook {n}", cast.client(f"Client {n}"))
    assert queries(caller, f"/triggers/{row.pk}/") == few <= 40
