"""A mapping is written in a real browser: the preview follows the typing, nothing is stored, and a phone is wide enough."""

from __future__ import annotations

import pytest

from alerts.models import Alert, Integration
from tests import cast
from tests.alerts import outside
from tests.console.test_browser import PHONE, Visitor, chromium  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_preview_follows_the_typing_and_stores_nothing(chromium, live_server):  # noqa: F811
    row, _ = outside.integration("generic")
    sam = Visitor(chromium, live_server, cast.make_staff())
    page = sam.open(f"/integrations/{row.pk}/")
    title = page.get_by_label("Title")
    with sam.heard():
        page.get_by_label("A body to try").fill('{"what": "Fire", "priority": "P1"}')
    title.fill("$.what")
    page.locator("#preview").get_by_text("Fire", exact=True).wait_for()
    assert "It would open a new alert." in page.inner_text("#preview") and "Critical" in page.inner_text("#preview")
    assert title.evaluate("e => e === document.activeElement")
    title.fill("$.wh[")
    page.locator("#preview").get_by_text("is not a path").wait_for()
    assert Integration.objects.get().mapping == outside.MAPPING and not Alert.objects.exists()
    assert sam.complaints == []


def test_a_phone_is_wide_enough(chromium, live_server):  # noqa: F811
    row, key = outside.integration("generic", name="An integration with a rather long name of somebody's RMM")
    outside.post("/api/v1/inbound/generic", {"x" * 60: 1}, key)
    ana = Visitor(chromium, live_server, cast.make_owner(), PHONE)
    for path in ("/integrations/", "/integrations/add/?kind=generic&sample=zabbix", f"/integrations/{row.pk}/"):
        page = ana.open(path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    assert ana.complaints == []
