"""Escalation in a real browser: no complaint, wide enough for a phone, and the alert's page brings the next level by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerts.models import Alert, Run
from portal.clock import database_now
from tests import cast
from tests.alerts import climbing, stage
from tests.console.test_browser import PHONE, Visitor, chromium  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db(transaction=True)


def ladder():
    """Two levels, and an alert of now that climbs them."""
    ops = stage.webhook("A channel with a rather long name of the night shift")
    ana = climbing.person("Ana", stage.webhook("SMS"))
    row = climbing.policy(climbing.level(0, ops), climbing.level(300, contacts=[ana]), name="Night shift")
    at = database_now()
    (alert,) = stage.tell(stage.failing(at=at))
    climbing.sweep(at)
    return row, alert, at


def test_a_level_is_added_and_the_policy_saved(chromium, live_server):  # noqa: F811
    row, _, _ = ladder()
    sam = Visitor(chromium, live_server, cast.make_staff())
    page = sam.open(f"/escalation-policies/{row.pk}/edit/")
    page.get_by_role("button", name="Add a level").click()
    third = page.locator("#level-3")
    third.get_by_label("After").fill("20")
    third.get_by_label("Ana", exact=True).check()
    page.get_by_role("button", name="Save", exact=True).last.click()
    page.get_by_text("Level 3").wait_for()
    assert list(row.levels.values_list("delay_seconds", flat=True)) == [0, 300, 1200]
    assert sam.complaints == []


def test_the_alerts_page_follows_the_climb(chromium, live_server):  # noqa: F811
    _, alert, at = ladder()
    sam = Visitor(chromium, live_server, cast.make_staff())
    page = sam.open(f"/alerts/{alert.pk}/")
    page.get_by_text("Ana, by SMS.").wait_for()
    climbing.sweep(at + timedelta(seconds=301))
    page.evaluate("document.getElementById('live').dispatchEvent(new Event('refresh'))")
    page.get_by_text("Everybody was called.").wait_for()
    page.locator("#ack").click()
    page.get_by_text("You have it.").wait_for()
    assert Run.objects.get().status == "stopped_by_ack" and sam.complaints == []


def test_a_phone_is_wide_enough(chromium, live_server):  # noqa: F811
    row, alert, _ = ladder()
    Alert.objects.update(monitor_id=None)
    sam = Visitor(chromium, live_server, cast.make_staff(), PHONE)
    paths = ("/escalation-policies/", f"/escalation-policies/{row.pk}/", f"/escalation-policies/{row.pk}/edit/", "/page-now/", "/simulate/")  # fmt: skip
    for path in (*paths, f"/alerts/{alert.pk}/", "/"):
        page = sam.open(path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    assert sam.complaints == []
