"""Integrations as a person without scripts keeps them: made with a sample, tried, shown once, renewed, deleted."""

from __future__ import annotations

import json
import re

import pytest
from django.core.cache import cache

from alerts.inbound.mappings import SAMPLES
from alerts.models import Alert, Integration
from portal.models.people import digest
from tests import cast
from tests.alerts import outside
from tests.console.visiting import browser, form_of, text

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_counters():
    cache.clear()


def test_an_empty_list_teaches():
    page = text(browser(cast.make_staff()).get("/integrations/"))
    assert "Nothing posts here yet" in page and "Add an integration" in page
    assert "Add an integration" not in text(browser(cast.viewer()).get("/integrations/"))


@pytest.mark.parametrize("kind", ["events", "alertmanager", "generic"])
def test_the_key_is_shown_once_with_lines_to_paste(kind):
    caller = browser(cast.make_staff())
    page = caller.get(f"/integrations/add/?kind={kind}{'&sample=zabbix' if kind == 'generic' else ''}")
    answer = caller.post(
        "/integrations/add/", {**form_of(page), "type": kind, "name": "Tool", "client": cast.acme().pk}
    )
    assert answer.status_code == 200 and "no-store" in answer["Cache-Control"]
    row = Integration.objects.get()
    key = re.search(r'id="key"[^>]*>([a-z0-9]{32})<', answer.content.decode())[1]
    assert (row.kind, row.client, row.key_hash) == (kind, cast.acme(), digest(key))
    assert answer.content.decode().count(key) >= 3  # in the snippets, too
    later = caller.get(f"/integrations/{row.pk}/")
    assert key not in later.content.decode() and "YOUR_KEY" in later.content.decode() and row.key_hint in text(later)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_fills_the_form_and_its_body_tries_well(name):
    caller = browser(cast.make_staff())
    page = caller.get(f"/integrations/add/?kind=generic&sample={name}")
    tried = caller.post("/integrations/add/", {**form_of(page), "type": "generic", "preview": "1"})
    assert tried.status_code == 200 and "It would open a new alert." in text(tried)
    assert not Integration.objects.exists() and not Alert.objects.exists()


def test_a_sample_is_saved_as_it_was_shown():
    caller = browser(cast.make_staff())
    page = caller.get("/integrations/add/?kind=generic&sample=ninjaone")
    caller.post("/integrations/add/", {**form_of(page), "type": "generic"})
    assert Integration.objects.get().mapping == SAMPLES["ninjaone"].mapping
    again = caller.get(f"/integrations/{Integration.objects.get().pk}/")
    caller.post(f"/integrations/{Integration.objects.get().pk}/", form_of(again))
    assert Integration.objects.get().mapping == SAMPLES["ninjaone"].mapping


def test_a_preview_in_place_is_only_the_panel_and_changes_nothing():
    row, _ = outside.integration("generic")
    caller = browser(cast.alice())
    data = {
        **form_of(caller.get(f"/integrations/{row.pk}/")),
        "preview": "1",
        "m_title": "$.what",
        "body": json.dumps({"what": "<b>Fire</b>"}),
    }
    answer = caller.post(f"/integrations/{row.pk}/", data, HTTP_HX_REQUEST="true", HTTP_HX_TARGET="preview")
    page = answer.content.decode()
    assert answer.status_code == 200 and "<html" not in page and "It would open a new alert." in page
    assert "&lt;b&gt;Fire" in page and "<b>Fire" not in page
    row.refresh_from_db()
    assert row.mapping == outside.MAPPING and row.last_event_at is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"body": "{"}, "The body is not JSON"),
        ({"body": "[" * 100_000}, "nested too deeply"),
        ({"body": ""}, "Paste a body"),
        ({"body": "7"}, "A JSON object was expected"),
        ({"m_title": "$.a["}, "is not a path"),
        ({"m_title": ""}, "required"),
        ({"m_severity_values": "P1 critical"}, "Name: value"),
        ({"m_severity_values": "P1: dreadful"}, "dreadful"),
    ],
)
def test_a_body_or_a_mapping_that_cannot_be_tried_says_why(change, words):
    row, _ = outside.integration("generic")
    caller = browser(cast.alice())
    data = {**form_of(caller.get(f"/integrations/{row.pk}/")), "preview": "1", **change}
    assert words in text(caller.post(f"/integrations/{row.pk}/", data, HTTP_HX_REQUEST="true"))
    if "body" not in change:
        del data["preview"]
        saved = caller.post(f"/integrations/{row.pk}/", data)
        assert saved.status_code == 400 and words in text(saved)


def test_the_list_says_what_was_last_heard_and_what_was_odd():
    row, key = outside.integration("generic", name="RMM")
    outside.post("/api/v1/inbound/generic", {"alert": {}, "device": {"name": "x"}}, key)
    page = text(browser(cast.alice()).get("/integrations/"))
    assert "RMM" in page and "title: nothing was found" in page and row.key_hint in page


def test_a_new_key_is_asked_for_shown_once_and_the_old_one_is_gone():
    row, old = outside.integration()
    caller = browser(cast.alice())
    assert "Make a new key?" in text(caller.get(f"/integrations/{row.pk}/rotate/"))
    assert outside.post("/api/v1/events", outside.event(old)).status_code == 202
    new = re.search(r'id="key"[^>]*>([a-z0-9]{32})<', caller.post(f"/integrations/{row.pk}/rotate/").content.decode())[
        1
    ]
    assert outside.post("/api/v1/events", outside.event(old)).status_code == 400
    assert outside.post("/api/v1/events", outside.event(new)).status_code == 202


def test_deleting_names_what_goes_and_does_it():
    row, _ = outside.integration()
    caller = browser(cast.alice())
    assert "open alerts are closed" in text(caller.get(f"/integrations/{row.pk}/delete/"))
    caller.post(f"/integrations/{row.pk}/delete/")
    assert not Integration.objects.exists()


def test_who_may_not_write_sees_the_list_only():
    row, _ = outside.integration()
    caller = browser(cast.viewer())
    assert "Our events" in text(caller.get("/integrations/"))
    for path in (
        f"/integrations/{row.pk}/",
        f"/integrations/{row.pk}/rotate/",
        f"/integrations/{row.pk}/delete/",
        "/integrations/add/",
    ):
        assert caller.get(path).status_code == 403 and caller.post(path).status_code == 403


def test_the_other_clients_admin_finds_nothing():
    row, _ = outside.integration()
    caller = browser(cast.mallory())
    assert "Our events" not in text(caller.get("/integrations/"))
    for path in (f"/integrations/{row.pk}/", f"/integrations/{row.pk}/rotate/", f"/integrations/{row.pk}/delete/"):
        assert caller.get(path).status_code == caller.post(path).status_code == 404


def test_the_desk_shows_a_new_key_once_and_renews_it():
    caller = browser(cast.make_owner())
    made = caller.post(
        "/admin/alerts/integration/add/",
        {"name": "Desk", "kind": "events", "client": cast.acme().pk, "enabled": "on", "mapping": "{}", "tags": ""},
    )
    row = Integration.objects.get()
    first = re.search(r'class="secret">([a-z0-9]{32})<', made.content.decode())[1]
    assert (
        row.key_hash == digest(first)
        and first not in caller.get(f"/admin/alerts/integration/{row.pk}/change/").content.decode()
    )
    act = {"action": "rotate", "_selected_action": [row.pk]}
    second = re.search(
        r'class="secret">([a-z0-9]{32})<', caller.post("/admin/alerts/integration/", act).content.decode()
    )[1]
    assert outside.post("/api/v1/events", outside.event(second)).status_code == 202
    caller.post("/admin/alerts/integration/", {**act, "action": "revoke"})
    assert outside.post("/api/v1/events", outside.event(second)).status_code == 400
    changed = caller.post(
        f"/admin/alerts/integration/{row.pk}/change/",
        {"name": "Desk", "enabled": "on", "mapping": "{}", "tags": "a, b"},
    )
    assert changed.status_code == 302 and Integration.objects.get().tags == ["a", "b"]


def test_the_list_costs_the_same_with_three_and_with_thirty(django_assert_max_num_queries):
    caller = browser(cast.make_staff())
    caller.get("/integrations/")
    for n in range(30):
        outside.integration(name=f"i{n}")
    with django_assert_max_num_queries(9):
        caller.get("/integrations/")
