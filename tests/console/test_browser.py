"""The pages in a real browser: the first run, keys, what the content policy says, and a phone's width."""

# ruff: noqa: F811 - a fixture is imported, and asked for by its name

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client as Browser

from alerts.models import Alert
from monitors.models import Monitor
from tests import cast
from tests.console import scene
from tests.console.visiting import FORMS, LISTS, own_pages
from tests.walks.window import DESK, NARROW, PHONE, chromium, complaints, misfits  # noqa: F401 - a fixture, sizes for others

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def local_probe() -> None:
    """Transactional tests empty the tables that migrations filled."""
    from monitors.models import Probe

    Probe.objects.get_or_create(slug="local", defaults={"name": "Portal", "built_in": True})


class Visitor:
    """Somebody signed in with a window, who hears every complaint of the browser."""

    def __init__(self, chromium: Any, live_server: Any, user: Any, size: dict[str, int] = DESK, **options: Any) -> None:
        session = Browser()
        session.force_login(user)
        self.base = live_server.url
        self.window = chromium.new_context(viewport=size, **options)
        self.window.add_cookies([{"name": "sessionid", "value": session.cookies["sessionid"].value, "url": self.base}])
        self.page = self.window.new_page()
        self.page.set_default_timeout(60_000)
        self.complaints: list[str] = []
        self.page.on(
            "console",
            lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None,
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def heard(self) -> Any:
        """A context: what is done in it is posted, and leaving waits for the answer (of a slow server, too)."""
        return self.page.expect_response(lambda answer: answer.request.method == "POST")

    def open(self, path: str) -> Any:
        """Go there."""
        self.page.goto(self.base + path)
        return self.page


def test_from_the_first_run_to_a_monitors_page(chromium, live_server, local_probe):
    owner = cast.make_owner()
    ana = Visitor(chromium, live_server, owner)
    page = ana.open("/")
    page.get_by_label("Address of the site").fill("shop.acme.example")
    page.keyboard.press("Enter")
    page.wait_for_url("**/monitors/*/")
    assert page.get_by_role("heading", level=1).inner_text().startswith("shop.acme.example")
    assert "is watched from now on" in page.inner_text(".messages")
    assert Monitor.objects.get().client.name == "My sites"
    assert ana.complaints == []


def test_an_alert_is_acknowledged_by_a_key(chromium, live_server, local_probe):
    s = scene.outage()
    sam = Visitor(chromium, live_server, cast.make_staff())
    page = sam.open(f"/alerts/{s.alert.pk}/")
    page.keyboard.press("a")
    page.wait_for_selector("text=You have it")
    assert Alert.objects.get().status == "acknowledged"
    assert page.locator("[data-ack]").count() == 0
    page.keyboard.press("/")
    page.keyboard.type("shop")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search/?q=shop")
    assert sam.complaints == []


def test_the_overview_refreshes_in_place(chromium, live_server, local_probe):
    s = scene.outage()
    sam = Visitor(chromium, live_server, cast.make_staff())
    page = sam.open("/")
    assert page.title().startswith("(1) Overview")
    page.evaluate("window.stayed = true")
    Alert.objects.filter(pk=s.alert.pk).update(entity_name="payments")
    page.evaluate("htmx.trigger('#live', 'refresh')")
    page.wait_for_selector("text=payments")
    assert page.evaluate("window.stayed"), "only the live part was replaced"
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.id") == f"open-{s.alert.pk}"
    page.keyboard.press("a")
    page.wait_for_selector("text=You have it")
    assert sam.complaints == []


def test_a_test_result_appears_beside_the_form(chromium, live_server, local_probe, site):
    sam = Visitor(chromium, live_server, cast.make_staff())
    cast.acme()
    page = sam.open("/monitors/add/")
    page.get_by_label("URL", exact=True).fill(site.url())
    page.get_by_role("button", name="Test now").click()
    page.wait_for_selector("#trial >> text=Nothing was saved")
    assert page.get_by_label("URL", exact=True).input_value() == site.url(), "what was typed is still there"
    assert not Monitor.objects.exists() and sam.complaints == []


@pytest.mark.parametrize("size", [NARROW, pytest.param(PHONE, marks=pytest.mark.soak)], ids=["360", "390"])
def test_every_page_fits_a_phone_and_breaks_nothing(chromium, live_server, local_probe, size):
    """Nothing scrolls sideways, a finger hits every control, the content policy has nothing to refuse."""
    s = scene.outage()
    Monitor.objects.filter(pk=s.down.pk).update(
        name="a-very-long-host-name-without-any-room-to-break-it.region-12.shop.acme.example"
    )
    sam = Visitor(chromium, live_server, cast.make_owner(), size, color_scheme="dark", has_touch=True)
    own = own_pages(s)
    wrong = []
    for path in (*LISTS, *FORMS, "/search/?q=shop", "/people/", "/security/", "/help/", "/help/on-call/", *own):
        page = sam.open(path)
        wrong += [f"{path}: {one}" for one in (*misfits(page), *complaints(page))]
    assert not wrong, "\n".join(wrong)
    page.get_by_role("button", name="Menu").tap()
    page.locator("#nav").get_by_role("link", name="Incidents").tap()
    page.wait_for_url("**/incidents/")
    page.locator("summary[aria-label='Your account']").tap()
    page.get_by_role("link", name="Guides").tap()
    page.wait_for_url("**/help/")
    assert sam.complaints == []


def test_everything_can_be_read_without_scripts(chromium, live_server, local_probe):
    s = scene.outage()
    sam = Visitor(chromium, live_server, cast.make_staff(), java_script_enabled=False)
    page = sam.open("/")
    page.get_by_role("button", name="Acknowledge").click()
    page.wait_for_selector("text=You have it")
    page = sam.open(f"/monitors/{s.up.pk}/")
    assert page.locator("svg.chart-band").count() == 1 and page.locator("svg.chart-bars rect").count() == 90
