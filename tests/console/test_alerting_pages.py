"""Alerts, incidents and what is told to whom, as a person without scripts works with them."""

from __future__ import annotations

import re

import pytest
from django.test import Client as Browser

from alerts.models import Alert, Channel, Delivery, Silence, Trigger
from incidents.models import Incident
from tests import cast
from tests.console import scene
from tests.console.visiting import browser, form_of, text
from tests.rig.receiver import Receiver

pytestmark = pytest.mark.django_db


# --- Alerts and incidents --------------------------------------------------------------------------------------------
def test_the_alert_page_tells_the_whole_story():
    s = scene.outage()
    page = text(browser(cast.make_staff()).get(f"/alerts/{s.alert.pk}/"))
    for words in (
        "api is down",
        "The connection was refused",
        "nobody has it yet",
        "Ops",
        "Failed",
        "HTTP 503",
        "Acme ops",
        "Delivered",
        "Why it did, or did not, go out",
    ):
        assert words in page, words


def test_acknowledge_snooze_and_resolve_without_scripts():
    s = scene.outage()
    caller, path = browser(cast.alice()), f"/alerts/{s.alert.pk}"
    assert 'id="acknowledge"' in caller.get(f"{path}/").content.decode()
    assert "You have it" in text(caller.post(f"{path}/acknowledge/", follow=True))
    assert Incident.objects.get().responder_status == "acknowledged"
    assert "Choose how long" in text(caller.post(f"{path}/snooze/", follow=True))
    assert "Snoozed for 30 minutes" in text(caller.post(f"{path}/snooze/", {"minutes": "30"}, follow=True))
    assert "Resolved." in text(caller.post(f"{path}/resolve/", follow=True))
    assert "resolved already" in text(caller.post(f"{path}/resolve/", follow=True))


def test_a_press_goes_back_only_to_our_own_pages():
    s = scene.outage()
    caller = browser(cast.alice())
    for wish, where in (
        ("/", "/"),
        ("/alerts/?status=open", "/alerts/?status=open"),
        ("https://evil.example/", f"/alerts/{s.alert.pk}/"),
        ("//evil.example", f"/alerts/{s.alert.pk}/"),
    ):
        assert caller.post(f"/alerts/{s.alert.pk}/acknowledge/", {"next": wish})["Location"] == where


def test_every_form_asks_for_its_csrf_token():
    s = scene.outage()
    caller = Browser(enforce_csrf_checks=True)
    caller.force_login(cast.alice())
    assert caller.post(f"/alerts/{s.alert.pk}/acknowledge/").status_code == 403
    token = re.search(
        r'name="csrfmiddlewaretoken" value="([^"]+)"', caller.get(f"/alerts/{s.alert.pk}/").content.decode()
    )[1]
    assert caller.post(f"/alerts/{s.alert.pk}/acknowledge/", {"csrfmiddlewaretoken": token}).status_code == 302


def test_an_incident_is_updated_resolved_and_reopened():
    s = scene.outage()
    caller, path = browser(cast.alice()), f"/incidents/{s.incident.pk}"
    assert caller.post(f"{path}/", {"status": "identified", "message": ""}).status_code == 400
    page = text(caller.post(f"{path}/", {"status": "identified", "message": "A broken switch."}, follow=True))
    assert "A broken switch." in page and "Identified" in page
    assert caller.post(f"{path}/", {"status": "investigating", "message": "Back."}).status_code == 400
    assert "Told Acme ops" in page, "the pages sent are part of the timeline"
    assert "A broken switch." not in text(caller.get(f"{path}/?show=pages"))
    caller.post(f"{path}/acknowledge/")
    assert "Resolved, for the public" in text(caller.post(f"{path}/resolve/", follow=True))
    assert "Open again" in text(caller.post(f"{path}/reopen/", follow=True))


def test_a_person_opens_an_incident():
    s = scene.outage()
    caller = browser(cast.alice())
    other = scene.monitor(cast.globex(), "other")
    data = {
        "title": "Nobody can pay",
        "severity": "major",
        "client": s.client.pk,
        "message": "We look into it.",
        "notify": "on",
    }
    assert caller.post("/incidents/add/", {**data, "affected_monitor_ids": [other.pk]}).status_code == 400
    answer = caller.post("/incidents/add/", {**data, "affected_monitor_ids": [s.up.pk]}, follow=True)
    assert "Nobody can pay" in text(answer)
    assert Alert.objects.filter(source="incident", client=s.client).count() == 1


# --- Deliveries, channels, triggers, silences, clients -----------------------------------------------------------------
def test_a_failed_delivery_is_tried_again():
    s = scene.outage()
    failed = Delivery.objects.get(alert=s.alert, channel=s.ours)
    assert browser(cast.alice()).post(f"/deliveries/{failed.pk}/retry/").status_code == 404
    caller = browser(cast.make_staff())
    assert "tried again now" in text(caller.post(f"/deliveries/{failed.pk}/retry/", follow=True))
    assert "Only failed deliveries" in text(caller.post(f"/deliveries/{failed.pk}/retry/", follow=True))


def test_a_channel_is_added_tested_and_keeps_its_secret(receiver: Receiver):
    of = cast.acme()
    caller = browser(cast.alice())
    data = {
        "type": "webhook",
        "client": of.pk,
        "name": "Hook",
        "enabled": "on",
        "config_url": receiver.url(),
        "config_authorization": "Bearer topsecret",
    }
    assert caller.post("/channels/add/", {**data, "config_url": "nonsense"}).status_code == 400
    assert "stays silent until a trigger" in text(caller.post("/channels/add/", data, follow=True))
    row = Channel.objects.get(name="Hook")
    assert "was delivered" in text(caller.post(f"/channels/{row.pk}/test/", follow=True)) and len(receiver.calls) == 1
    page = caller.get(f"/channels/{row.pk}/")
    assert "topsecret" not in page.content.decode()
    assert caller.post(f"/channels/{row.pk}/", {**form_of(page), "name": "Hook 2"}).status_code == 302
    row.refresh_from_db()
    assert (row.name, row.secrets.open()["authorization"]) == ("Hook 2", "Bearer topsecret")
    assert caller.post("/channels/add/", {**data, "client": ""}).status_code == 400, (
        "a client's people make their client's channels only"
    )


def test_a_trigger_is_added_and_says_what_it_would_have_told():
    s = scene.outage()
    caller = browser(cast.make_staff())
    data = {
        "name": "Critical ones",
        "filter_severities": ["critical"],
        "channels": [s.ours.pk],
        "timezone": "UTC",
        "enabled": "on",
        "notify_on_resolve": "on",
    }
    assert (
        "filter_scopes" in caller.post("/triggers/add/", {**data, "filter_scopes": "nonsense"}).context["form"].errors
    )
    assert caller.post("/triggers/add/", data).status_code == 302
    row = next(r for r in caller.get("/triggers/").context["rows"] if r["trigger"].name == "Critical ones")
    assert row["matched"] == 1 and row["which"] == ["severity critical"]
    page = caller.get(f"/triggers/{row['trigger'].pk}/")
    caller.post(f"/triggers/{row['trigger'].pk}/", {**form_of(page), "weekdays": ["0", "4"]})
    saved = Trigger.objects.get(name="Critical ones")
    assert (saved.weekdays, saved.filter_severities, list(saved.channels.all())) == ("0,4", "critical", [s.ours])


def test_a_silence_shows_what_it_hides_before_it_hides_it():
    s = scene.outage()
    caller = browser(cast.alice())
    form = caller.get(f"/silences/add/?alert={s.alert.pk}")
    assert "About Acme · api" in text(form)
    data = {**form_of(form), "reason": "Works on the switch"}
    assert (
        "api is down" in text(caller.post("/silences/add/", {**data, "preview": "1"})) and not Silence.objects.exists()
    )
    assert "Quiet until" in text(caller.post("/silences/add/", data, follow=True))
    row = Silence.objects.get()
    assert row.client == s.client and row.matchers["entity_id"] == str(s.down.pk)
    assert caller.post("/silences/add/", {**data, "duration": "at"}).status_code == 400
    assert caller.post("/silences/add/", {**data, "client": ""}).status_code == 400, (
        "a client's people silence their own alerts only"
    )
    assert "Cancelled." in text(caller.post(f"/silences/{row.pk}/cancel/", follow=True))


def test_only_staff_adds_clients():
    assert browser(cast.alice()).get("/clients/add/").status_code == 404
    caller = browser(cast.make_staff())
    assert "is a client now" in text(
        caller.post("/clients/add/", {"name": "Initech", "timezone": "Europe/Lisbon", "tags": "gold"}, follow=True)
    )
    assert (
        "timezone" in caller.post("/clients/add/", {"name": "Hooli", "timezone": "Nowhere/City"}).context["form"].errors
    )


def test_search_finds_within_what_one_may_see():
    s = scene.outage()
    caller = browser(cast.alice())
    assert "shop" in text(caller.get("/search/?q=sho"))
    assert caller.get(f"/search/?q=alert {s.alert.pk}")["Location"] == f"/alerts/{s.alert.pk}/"
    assert "Nothing found" in text(browser(cast.mallory()).get("/search/?q=shop"))
