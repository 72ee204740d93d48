"""The report in a real browser: both themes, a phone's width, paper, strangers' words, and a verdict that arrives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from monitors.diagnosis import links
from monitors.models import Battery, Diagnosis
from portal.clock import database_now
from tests import cast
from tests.console import report_scene, scene
from tests.console.test_browser import DESK, PHONE, Visitor, chromium, local_probe  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)

KEEP = os.environ.get("WATCHKEEPER_SCREENSHOTS")  # a directory: keep what was seen there


class Stranger(Visitor):
    """Somebody who has only the link."""

    def __init__(self, chromium: Any, live_server: Any, size: dict[str, int] = DESK, **options: Any) -> None:  # noqa: F811
        super().__init__(chromium, live_server, cast.stranger(), size, **options)
        self.window.clear_cookies()
        self.dialogs: list[str] = []
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))


def path_of(d: Diagnosis) -> str:
    return f"/r/{links.token_of(d)}/"


def too_wide(page: Any) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def keep(page: Any, name: str, **options: Any) -> None:
    if KEEP:
        page.screenshot(path=str(Path(KEEP) / f"{name}.png"), **options)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_report_fits_its_window_and_complains_of_nothing(chromium, live_server, local_probe, scheme, size):  # noqa: F811
    d = report_scene.diagnosis()
    somebody = Stranger(chromium, live_server, size, color_scheme=scheme)
    page = somebody.open(path_of(d))
    assert too_wide(page) <= 0
    assert page.get_by_role("heading", level=1).inner_text() == report_scene.SUMMARY
    first = page.get_by_role("heading", level=1).bounding_box()
    assert first and first["y"] + first["height"] < size["height"], "the cause stands on the first screenful"
    keep(page, f"report-{scheme}-{size['width']}", full_page=True)
    keep(page, f"report-{scheme}-{size['width']}-first")
    assert somebody.window.cookies() == [] and somebody.complaints == []


def test_monitor_and_alert_say_why_on_a_phone_and_on_a_desk(chromium, live_server, local_probe):  # noqa: F811
    s = scene.outage()
    d = report_scene.diagnosis(s.down, s.alert)
    for size in (DESK, PHONE):
        sam = Visitor(chromium, live_server, cast.make_staff(), size)
        for name, path in (
            ("monitor", f"/monitors/{s.down.pk}/"),
            ("alert", f"/alerts/{s.alert.pk}/"),
            ("diagnosis", f"/diagnoses/{d.pk}/"),
        ):
            page = sam.open(path)
            assert too_wide(page) <= 0, path
            keep(page, f"{name}-{size['width']}", full_page=name != "diagnosis")
        assert sam.complaints == []


def test_on_paper_everything_is_unfolded_and_nothing_is_a_button(chromium, live_server, local_probe):  # noqa: F811
    d = report_scene.diagnosis()
    somebody = Stranger(chromium, live_server, {"width": 794, "height": 1123}, color_scheme="dark")
    page = somebody.open(path_of(d))
    page.emulate_media(media="print", color_scheme="light")
    assert not page.locator(".page-actions").is_visible() and not page.locator("nav.chips").first.is_visible()
    assert page.locator(".print-only").inner_text().endswith(links.url_of(d))
    assert page.locator(".path-of td").get_by_text("usually 192.0.2.199").first.is_visible(), (
        "folded tables are unfolded"
    )
    assert too_wide(page) <= 0
    keep(page, "report-print", full_page=True)
    if KEEP:
        page.pdf(path=str(Path(KEEP) / "report.pdf"), format="A4", print_background=False)
    assert somebody.complaints == []


def test_what_strangers_wrote_is_only_text(chromium, live_server, local_probe):  # noqa: F811
    from tests.console.test_report_page import hostile

    d = hostile()
    somebody = Stranger(chromium, live_server, PHONE)
    page = somebody.open(path_of(d))
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert page.evaluate("window.broken === undefined")
    assert page.locator("main script, main img, main iframe, main b").count() == 0
    assert too_wide(page) <= 0
    keep(page, "report-hostile", full_page=True)
    assert somebody.dialogs == [] and somebody.complaints == []


def test_the_verdict_takes_the_place_of_the_waiting(chromium, live_server, local_probe):  # noqa: F811
    d = report_scene.diagnosis(state="gathering")
    Diagnosis.objects.filter(pk=d.pk).update(deadline_at=database_now())
    somebody = Stranger(chromium, live_server)
    page = somebody.open(path_of(d))
    assert page.get_by_role("heading", level=1).inner_text() == "Looking for the cause…"
    keep(page, "report-gathering")
    page.evaluate("window.stayed = true")
    folded = page.locator("details").first.evaluate("part => { part.open = true; return part.id; }")
    Battery.objects.filter(diagnosis=d).update(state="done")
    Diagnosis.objects.filter(pk=d.pk).update(state="done", verdict=report_scene.VERDICT, finished_at=database_now())
    page.get_by_role("heading", level=1).get_by_text(report_scene.SUMMARY).wait_for()
    page.locator(f"#{folded}[open]").wait_for()
    assert page.evaluate("window.stayed"), "only the report was replaced"
    assert page.locator("[data-print]").is_visible(), "its buttons work after the refresh"
    assert somebody.complaints == []
