"""Choosing monitors in a real browser: the list refreshes under the choice, and every new page fits a phone."""

from __future__ import annotations

import pytest

from monitors import templates
from monitors.models import Monitor, MonitorTemplate
from tests import cast
from tests.console import scene
from tests.console.test_browser import PHONE, Visitor, chromium, local_probe

__all__ = ["chromium", "local_probe"]  # fixtures
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.usefixtures("local_probe")
def test_a_refresh_of_the_list_keeps_what_was_chosen(request, live_server):
    s = scene.outage()
    sam = Visitor(request.getfixturevalue("chromium"), live_server, cast.make_staff())
    page = sam.open("/monitors/")
    page.check(f"#choose-{s.up.pk}")
    Monitor.objects.filter(pk=s.up.pk).update(name="renamed")
    page.evaluate("document.activeElement.blur(); htmx.trigger('#live', 'refresh')")
    page.wait_for_selector("text=renamed")
    assert page.is_checked(f"#choose-{s.up.pk}") and not page.is_checked(f"#choose-{s.down.pk}")
    page.get_by_role("button", name="Go").click()
    page.wait_for_selector("text=1 monitor was paused")
    assert not Monitor.objects.get(pk=s.up.pk).enabled and Monitor.objects.get(pk=s.down.pk).enabled
    assert sam.complaints == []


@pytest.mark.usefixtures("local_probe")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_new_pages_fit_a_phone_and_work_without_scripts(request, live_server, scheme):
    s = scene.outage()
    values = {"interval_seconds": 30, "config": {"keyword": "a-very-long-keyword-without-any-room-to-break-it" * 4}}
    row = templates.save(MonitorTemplate(name="Websites", kind="http", values=values), by=cast.TESTS)
    sam = Visitor(
        request.getfixturevalue("chromium"),
        live_server,
        cast.make_staff(),
        PHONE,
        color_scheme=scheme,
        has_touch=True,
        java_script_enabled=False,
    )

    def fits() -> None:
        wide = sam.page.locator("html").evaluate("e => e.scrollWidth - e.clientWidth")
        assert wide <= 0, f"{sam.page.url} is {wide} px too wide"

    where = ("add/?kind=dns", f"{row.pk}/", f"{row.pk}/diff/", f"{row.pk}/delete/", "")
    for path in (
        f"/monitors/{s.up.pk}/clone/",
        f"/monitors/add/?template={row.pk}",
        *(f"/monitor-templates/{tail}" for tail in where),
    ):
        sam.open(path)
        fits()
    page = sam.open("/monitors/?all=1")
    fits()
    page.select_option("select[name=action]", "delete")
    page.get_by_role("button", name="Go").click()
    page.wait_for_selector("text=Delete 2 monitors?")
    fits()
    page = sam.open("/sites/add/")
    page.get_by_label("Name").fill("Shop")
    page.get_by_label("URL").fill("shop.acme.example")
    page.get_by_role("button", name="See what can be watched").click()
    fits()
    page.get_by_role("button", name="Add the site and what is ticked").click()
    page.wait_for_selector("text=4 monitors watch it from now on")
    page = sam.open("/monitors/several/")
    page.get_by_label("Addresses").fill(f"https://{'a' * 60}.example/{'b' * 200}\nnonsense://x")
    page.get_by_role("button", name="Look what they become").click()
    page.wait_for_selector("text=Line 2: url:")
    fits()
    assert sam.complaints == [] or all("400" in text for text in sam.complaints)
