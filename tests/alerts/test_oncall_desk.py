"""Schedules at the support desk: through the same doors as the page and the API."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client as Browser

from alerts import schedules
from alerts.models import Layer, LayerMember, OnCallSchedule, Override
from portal.clock import database_now
from portal.models import AuditEntry
from tests import cast
from tests.portal.at_the_desk import address, desk

pytestmark = pytest.mark.django_db
INLINES = {f"{name}-{n}_FORMS": "0" for name in ("layers", "overrides") for n in ("TOTAL", "INITIAL")}


@pytest.fixture
def browser() -> Browser:
    return desk(cast.make_owner())


@pytest.fixture
def row() -> OnCallSchedule:
    return schedules.save_schedule(
        None, by=cast.TESTS, client=cast.acme(), name="Ops", layers=[{"contacts": [cast.contact()]}]
    )


def test_every_list_and_page_opens(browser, row):
    schedules.add_override(
        row, by=cast.TESTS, at=database_now(), contact=cast.contact(), ends_at=database_now() + timedelta(hours=1)
    )
    for model in (OnCallSchedule, Layer, LayerMember, Override):
        one = model.objects.get()
        assert browser.get(address(model)).status_code == 200
        assert browser.get(address(model, f"?q={one.pk}")).status_code == 200
        assert browser.get(address(model, f"{one.pk}/change/")).status_code == 200
    page = browser.get(address(OnCallSchedule, f"{row.pk}/change/")).content.decode()
    assert "Ana" in page, "who has it now"


def test_a_schedule_is_made_changed_and_deleted_through_its_doors(browser):
    made = browser.post(address(OnCallSchedule, "add/"), {"name": "Night", "timezone": "Europe/Lisbon", **INLINES})
    assert made.status_code == 302, made.content.decode()
    row = OnCallSchedule.objects.get()
    wrong = browser.post(
        address(OnCallSchedule, f"{row.pk}/change/"), {"name": "Night", "timezone": "Mars/Olympus", **INLINES}
    )
    assert wrong.status_code == 200 and "is not a time zone" in wrong.content.decode()
    values = {"name": "Nights", "timezone": "Europe/Lisbon", "tell_shift_start": "on", **INLINES}
    assert browser.post(address(OnCallSchedule, f"{row.pk}/change/"), values).status_code == 302
    row.refresh_from_db()
    assert (row.name, row.tell_shift_start, row.timezone) == ("Nights", True, "Europe/Lisbon")
    pressed = {"action": "revoke_feed", "_selected_action": row.pk}
    assert browser.post(address(OnCallSchedule), pressed).status_code == 302
    row.refresh_from_db()
    assert row.feed_version == 2
    assert browser.post(address(OnCallSchedule, f"{row.pk}/delete/"), {"post": "yes"}).status_code == 302
    actions = AuditEntry.objects.filter(subject=f"oncallschedule:{row.pk}").order_by("id")
    assert list(actions.values_list("action", flat=True)) == [
        f"oncallschedule.{verb}" for verb in ("created", "changed", "feed_revoked", "deleted")
    ]


def test_somebody_takes_over_at_the_desk(browser, row):
    at = database_now()
    values = {
        "schedule": row.pk, "contact": cast.contact().pk, "starts_at_0": f"{at:%Y-%m-%d}", "starts_at_1": "00:00",
        "ends_at_0": f"{at - timedelta(days=2):%Y-%m-%d}", "ends_at_1": "00:00", "reason": "",
    }  # fmt: skip
    wrong = browser.post(address(Override, "add/"), values)
    assert "It must end after it starts." in wrong.content.decode()
    values["ends_at_0"] = f"{at + timedelta(days=2):%Y-%m-%d}"
    made = browser.post(address(Override, "add/"), values)
    assert made.status_code == 302, made.content.decode()
    taken = Override.objects.get()
    assert "olga@msp.example" in taken.created_by
    assert browser.post(address(Override, f"{taken.pk}/delete/"), {"post": "yes"}).status_code == 302
    assert AuditEntry.objects.filter(action="oncallschedule.override_removed").exists()


def test_layers_and_members_are_read_only_there(browser, row):
    for model in (Layer, LayerMember):
        one = model.objects.get()
        assert browser.get(address(model, "add/")).status_code == 403
        assert browser.post(address(model, f"{one.pk}/delete/"), {"post": "yes"}).status_code == 403
