"""The support desk: every list and page answers whom it should, costs the same for 3 rows as for 30, and saves through the doors."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.core.cache import cache
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from alerts.models import (
    Alert,
    Attempt,
    Delivery,
    Notice,
)
from incidents.models import Incident, TimelineEntry
from monitors.models import Monitor, Ping, StateChange
from portal.models import (
    AuditEntry,
)
from tests import cast
from tests.portal.at_the_desk import address, desk, fill

pytestmark = pytest.mark.django_db
DESKS = sorted(admin.site._registry, key=lambda model: model._meta.label)
INLINE = re.compile(
    r"""<script(?![^>]*\b(?:src|type="application/json")\b)|\sstyle=["']|<style\b|\son[a-z]+=["']|javascript:""", re.I
)


@pytest.fixture(autouse=True)
def no_attempts_yet():
    cache.clear()


# --- Who gets in -------------------------------------------------------------------------------------------------------
def test_every_model_has_a_desk_but_results():
    from django.apps import apps

    ours = {
        m
        for label in ("portal", "alerts", "monitors", "incidents", "statuspages", "playbooks")
        for m in apps.get_app_config(label).get_models()
    }
    assert {m._meta.label for m in ours - set(DESKS)} == {"monitors.Result"}
    strangers = {m._meta.label for m in set(DESKS) - ours}
    assert strangers == {"django_celery_beat.PeriodicTask"}


@pytest.mark.parametrize(
    "who", ["make_owner", *(pytest.param(w, marks=pytest.mark.soak) for w in ("make_staff", "make_auditor"))]
)
def test_every_list_and_page_answers_the_msps_people(who):
    fill()
    user = getattr(cast, who)()
    browser = desk(user)
    assert browser.get("/admin/").status_code == 200
    for model in DESKS:
        page = admin.site._registry[model]
        may_view = user.has_perm(f"{model._meta.app_label}.view_{model._meta.model_name}")
        answer = browser.get(address(model))
        assert answer.status_code == (200 if may_view else 403), model
        row = page.model._default_manager.order_by("pk").first()
        if row is not None and may_view:
            one = browser.get(address(model, f"{row.pk}/change/"))
            assert one.status_code == 200, model
            if who == "make_auditor":
                assert b'name="_save"' not in one.content, model
                assert b'name="action"' not in answer.content, model
            for html in (answer.content.decode(), one.content.decode()):
                assert not INLINE.search(html), (model, INLINE.search(html))
                assert "hidden-word" not in html, model
        add = browser.get(address(model, "add/"))
        may_add = user.has_perm(f"{model._meta.app_label}.add_{model._meta.model_name}") and page.has_add_permission(
            add.wsgi_request
        )
        assert add.status_code == (200 if may_add else 403), model
        assert not INLINE.search(add.content.decode()), model


def test_a_clients_people_do_not_get_in():
    for user in (cast.alice(), cast.viewer(), cast.stranger()):
        browser = desk(user)
        answer = browser.get("/admin/monitors/monitor/")
        assert answer.status_code in (302, 403)
        assert browser.get("/admin/", follow=True).status_code == 403


def test_who_is_not_signed_in_is_sent_to_the_one_sign_in_page(client):
    answer = client.get("/admin/alerts/alert/", follow=True)
    assert answer.redirect_chain[-1][0].startswith("/login/?next=")


def test_the_policy_of_an_admin_page_allows_nothing_inline(client):
    policy = desk(cast.make_owner()).get("/admin/")["Content-Security-Policy"]
    assert "unsafe" not in policy and "default-src 'self'" in policy


def cost_of(browser: Browser, model) -> int:
    """How many queries the list takes; none of them counts a huge table to its end."""
    with CaptureQueriesContext(connection) as queries:
        assert browser.get(address(model)).status_code == 200
    whole = re.compile(rf'^SELECT COUNT\(\*\) AS "__count" FROM "{model._meta.db_table}"$')
    assert model not in HUGE or not [q["sql"] for q in queries.captured_queries if whole.match(q["sql"])], model
    return len(queries)


HUGE = {Alert, Notice, Delivery, Attempt, Ping, StateChange, Incident, TimelineEntry, AuditEntry}


def test_a_list_costs_the_same_for_three_rows_and_for_thirty():
    browser = desk(cast.make_owner())
    for number in range(3):
        fill(number)
    browser.get(address(Monitor))  # fills what is asked once
    few = {model: cost_of(browser, model) for model in DESKS}
    for number in range(3, 30):
        fill(number)
    assert {model: cost_of(browser, model) for model in DESKS} == few


def test_a_list_is_searched_filtered_and_cut():
    fill()
    browser = desk(cast.make_staff())
    for model, query in [
        (Delivery, "?q=ops&state=failed&when=day"),
        (Alert, "?q=shop&status=open&when=hour"),
        (StateChange, "?when=week&to_state=down"),
        (Monitor, "?state=pending&q=shop&kind=http"),
    ]:
        page = browser.get(address(model) + query)
        assert (
            page.status_code == 200
            and b"1 " in page.content
            and b'class="action-select"' in page.content
            or model is StateChange
        ), model
    assert b'class="status status-down"><svg' in browser.get(address(StateChange)).content
