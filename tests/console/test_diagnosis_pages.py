"""Why, for those who sign in: whose diagnosis it is, the link to share, Diagnose now, and the parts of monitor and alert."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from monitors.diagnosis import links
from monitors.models import Diagnosis, Monitor, ProbeState
from portal.clock import database_now
from portal.models import AuditEntry
from tests import cast
from tests.console import report_scene, scene
from tests.console.visiting import browser, text

pytestmark = pytest.mark.django_db


# --- Whose it is ---------------------------------------------------------------------------------------------------------
def test_its_client_and_the_staff_read_it_and_nobody_else():
    d = report_scene.diagnosis()
    for person in (cast.make_staff(), cast.make_auditor(), cast.alice(), cast.viewer()):
        page = browser(person).get(f"/diagnoses/{d.pk}/")
        assert page.status_code == 200 and report_scene.SUMMARY in text(page)
        assert browser(person).get(f"/diagnoses/{d.pk}/raw.json").status_code == 200
    for path in (f"/diagnoses/{d.pk}/", f"/diagnoses/{d.pk}/raw.json", f"/diagnoses/{d.pk}/revoke/"):
        assert browser(cast.mallory()).get(path).status_code == 404
        assert browser().get(path).status_code == 302, "who is not signed in is asked to"
    for verb in ("renew", "revoke"):
        assert browser(cast.mallory()).post(f"/diagnoses/{d.pk}/{verb}/").status_code == 404
    assert browser(cast.mallory()).post(f"/monitors/{d.monitor_id}/diagnose/").status_code == 404


def test_the_page_of_those_who_sign_in_leads_to_monitor_and_alert():
    s = scene.outage()
    d = report_scene.diagnosis(s.down, s.alert)
    body = browser(cast.make_staff()).get(f"/diagnoses/{d.pk}/").content.decode()
    assert (
        f'href="/monitors/{s.down.pk}/"' in body and f'href="/alerts/{s.alert.pk}/"' in body and body.count("<h1") == 1
    )
    assert f'hx-get="/diagnoses/{d.pk}/"' not in body or 'hx-target="#report"' in body


# --- The link ------------------------------------------------------------------------------------------------------------
def test_the_link_is_shown_to_who_may_write_only():
    d = report_scene.diagnosis()
    for person, may in (
        (cast.make_staff(), True),
        (cast.alice(), True),
        (cast.make_auditor(), False),
        (cast.viewer(), False),
    ):
        body = browser(person).get(f"/diagnoses/{d.pk}/").content.decode()
        assert (links.url_of(d) in body) is may and ('id="share"' in body) is may


def test_a_link_is_renewed_and_revoked_by_plain_forms_and_both_are_on_the_record():
    d, caller = report_scene.diagnosis(), browser(cast.alice())
    old = f"/r/{links.token_of(d)}/"
    answer = caller.post(f"/diagnoses/{d.pk}/renew/", follow=True)
    assert "There is a new link" in text(answer) and browser().get(old).status_code == 404
    d.refresh_from_db()
    new = f"/r/{links.token_of(d)}/"
    assert new in answer.content.decode() and browser().get(new).status_code == 200
    assert "Revoke the link?" in text(caller.get(f"/diagnoses/{d.pk}/revoke/"))
    answer = caller.post(f"/diagnoses/{d.pk}/revoke/", follow=True)
    assert (
        "opens nothing any more" in text(answer)
        and "the link was revoked" in text(answer)
        and new not in answer.content.decode()
    )
    assert browser().get(new).status_code == 410
    assert "revoked already" in text(caller.post(f"/diagnoses/{d.pk}/revoke/", follow=True))
    actions = list(
        AuditEntry.objects.filter(action__startswith="diagnosis.").order_by("seq").values_list("action", "actor")
    )
    assert actions == [("diagnosis.link_renew", "alice@acme.example"), ("diagnosis.link_revoke", "alice@acme.example")]


def test_who_only_reads_changes_no_link():
    d = report_scene.diagnosis()
    for person in (cast.viewer(), cast.make_auditor(), cast.approver()):
        assert browser(person).post(f"/diagnoses/{d.pk}/renew/").status_code == 403
        assert browser(person).post(f"/diagnoses/{d.pk}/revoke/").status_code == 403
    assert browser(cast.alice()).post(f"/diagnoses/{d.pk}/nonsense/").status_code == 404
    assert browser(cast.alice()).get(f"/diagnoses/{d.pk}/renew/").status_code == 302, "looking presses nothing"
    mark = d.link_mark
    d.refresh_from_db()
    assert d.link_mark == mark and d.link_revoked_at is None


# --- A monitor's page ----------------------------------------------------------------------------------------------------
def test_a_monitors_page_shows_its_last_verdicts_and_routes_that_moved():
    d = report_scene.diagnosis()
    for person in (cast.make_staff(), cast.viewer()):
        page = browser(person).get(f"/monitors/{d.monitor_id}/")
        part = text(page).partition(" Why ")[2].partition("90 days")[0]
        assert report_scene.SUMMARY in part and "probably" in part and "0.87" in part and "The route in between" in part
        assert "Route moved: AS64510 → AS64620, 46 min ago from Frankfurt" in part.replace(" ,", ",")
        assert f'href="/diagnoses/{d.pk}/"' in page.content.decode()
    fragment = (
        browser(cast.viewer())
        .get(f"/monitors/{d.monitor_id}/", headers={"HX-Request": "true", "HX-Target": "why"})
        .content.decode()
    )
    assert fragment.lstrip().startswith('<section class="panel" id="why"') and "<html" not in fragment


def test_the_five_newest_are_listed_and_one_under_way_is_looked_at_every_second():
    d = report_scene.diagnosis()
    at = database_now()
    for n in range(6):
        Diagnosis.objects.create(monitor=d.monitor, cause="person", state="dropped", started_at=at, deadline_at=at, finished_at=at - timedelta(hours=n + 1))  # fmt: skip
    Diagnosis.objects.create(monitor=d.monitor, cause="failure", started_at=at, deadline_at=at + timedelta(seconds=8))
    body = browser(cast.make_staff()).get(f"/monitors/{d.monitor_id}/").content.decode()
    assert len(re.findall(r'id="diagnosis-\d+"', body)) == 5 and "Looking for the cause…" in body
    assert re.search(r'id="why"[^>]*hx-trigger="every 1s', body)


def test_a_kind_without_an_address_has_no_such_part():
    m = scene.monitor(cast.acme(), "backup", "heartbeat", {"period_seconds": 3600})
    assert 'id="why"' not in browser(cast.make_staff()).get(f"/monitors/{m.pk}/").content.decode()


# --- Diagnose now --------------------------------------------------------------------------------------------------------
def test_diagnose_now_is_a_plain_form_and_begins_one(settings):
    settings.DIAGNOSIS = True
    m = scene.monitor()
    caller = browser(cast.alice())
    page = caller.get(f"/monitors/{m.pk}/").content.decode()
    assert f'action="/monitors/{m.pk}/diagnose/"' in page and "No diagnosis so far" in page
    answer = caller.post(f"/monitors/{m.pk}/diagnose/", follow=True)
    d = Diagnosis.objects.get()
    assert (d.monitor_id, d.cause, d.requested_by, d.state) == (m.pk, "person", "alice@acme.example", "gathering")
    assert "Its probes look now" in text(answer) and "Looking for the cause…" in text(answer)
    caller.post(f"/monitors/{m.pk}/diagnose/")
    assert Diagnosis.objects.count() == 1, "one at a time"


def test_a_refusal_is_said_in_its_own_words(settings):
    settings.DIAGNOSIS = True
    m = scene.monitor()
    ProbeState.objects.filter(monitor=m).delete()
    assert "None of its probes can look now" in text(
        browser(cast.alice()).post(f"/monitors/{m.pk}/diagnose/", follow=True)
    )
    Monitor.objects.filter(pk=m.pk).update(enabled=False)
    assert "paused; resume it first" in text(browser(cast.alice()).post(f"/monitors/{m.pk}/diagnose/", follow=True))
    assert not Diagnosis.objects.exists()


def test_who_only_reads_cannot_ask_for_one():
    m = scene.monitor()
    for person in (cast.viewer(), cast.make_auditor()):
        assert "diagnose/" not in browser(person).get(f"/monitors/{m.pk}/").content.decode()
        assert browser(person).post(f"/monitors/{m.pk}/diagnose/").status_code == 403
    assert browser(cast.alice()).get(f"/monitors/{m.pk}/diagnose/").status_code == 302
    assert not Diagnosis.objects.exists()


# --- An alert's page -----------------------------------------------------------------------------------------------------
def test_an_alert_says_why_with_what_speaks_for_and_against():
    s = scene.outage()
    d = report_scene.diagnosis(s.down, s.alert)
    for person in (cast.make_staff(), cast.viewer()):
        page = browser(person).get(f"/alerts/{s.alert.pk}/")
        part = text(page).partition(" Why ")[2].partition("Who was told")[0]
        for word in ("Probably", "0.87", "The route in between", "hop 6", "3 of 4 places", "Up to hop 5 nothing is lost seen from Frankfurt", "From inside the client", "Ruled out: Names (DNS), The server", "Also wrong"):  # fmt: skip
            assert word in part, word
        assert page.content.decode().count(f'href="/diagnoses/{d.pk}/"') == 2, "from the buttons and from the box"


def test_an_alert_waits_for_the_verdict_and_renews_that_part_alone():
    s = scene.outage()
    d = report_scene.diagnosis(s.down, state="gathering")  # it has begun before there was an alert
    caller = browser(cast.viewer())
    body = caller.get(f"/alerts/{s.alert.pk}/").content.decode()
    assert "Looking for the cause…" in body and re.search(r'id="why"[^>]*hx-trigger="every 1s"', body)
    Diagnosis.objects.filter(pk=d.pk).update(state="done", alert=s.alert, verdict=report_scene.VERDICT)
    part = caller.get(f"/alerts/{s.alert.pk}/", headers={"HX-Request": "true", "HX-Target": "why"}).content.decode()
    assert (
        part.lstrip().startswith('<section class="panel" id="why"')
        and report_scene.SUMMARY in part
        and "every 1s" not in part
    )


def test_an_alert_without_a_diagnosis_has_no_empty_box():
    s = scene.outage()
    assert 'id="why"' not in browser(cast.make_staff()).get(f"/alerts/{s.alert.pk}/").content.decode()


def test_another_clients_diagnosis_never_stands_in_an_alert():
    s = scene.outage()
    other = scene.monitor(cast.globex(), "theirs")
    report_scene.diagnosis(other, s.alert)  # as it could only be by mistake
    assert report_scene.SUMMARY not in browser(cast.alice()).get(f"/alerts/{s.alert.pk}/").content.decode()


# --- What it costs -------------------------------------------------------------------------------------------------------
def test_the_parts_cost_a_few_queries_whatever_there_is(django_assert_max_num_queries):
    s = scene.outage()
    report_scene.diagnosis(s.down, s.alert)
    caller = browser(cast.make_staff())
    for target, path, most in (("why", f"/monitors/{s.down.pk}/", 9), ("why", f"/alerts/{s.alert.pk}/", 8)):
        with django_assert_max_num_queries(most):
            assert caller.get(path, headers={"HX-Request": "true", "HX-Target": target}).status_code == 200
