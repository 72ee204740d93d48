"""Incidents in a real browser: both widths, the keyboard, and a post-mortem previewed and saved as people do it."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from incidents import exports, reports, services
from incidents.models import Incident, Postmortem
from portal.clock import database_now
from tests import cast
from tests.console import scene
from tests.console.test_browser import DESK, PHONE, Visitor, chromium, local_probe  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)
KEEP = os.environ.get("WATCHKEEPER_SCREENSHOTS")  # a directory: keep what was seen there


def too_wide(page: Any) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def keep(page: Any, name: str) -> None:
    if KEEP:
        page.screenshot(path=str(Path(KEEP) / f"{name}.png"), full_page=True)


@pytest.fixture
def incident(local_probe) -> Incident:  # noqa: F811
    """One that has lived through the usual."""
    s = scene.outage()
    service = cast.service()
    type(s.down).objects.filter(pk__in=[s.down.pk, s.up.pk]).update(service=service)
    reports.save_contract(service, by=cast.TESTS)
    at = database_now()
    services.edit(s.incident, {"lead": cast.contact(), "title": "Checkout answers with errors"}, by=cast.TESTS, at=at)
    services.update(s.incident, status="identified", message="Database failover stuck. Promoting the standby.", by=cast.TESTS, at=at)  # fmt: skip
    return s.incident


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_every_page_fits_its_window(chromium, live_server, incident, size):  # noqa: F811
    visitor = Visitor(chromium, live_server, cast.make_staff(), size)
    month = f"/sla/{cast.acme().pk}/{database_now():%Y-%m}/"
    for name, where in {
        "incident": f"/incidents/{incident.pk}/", "incidents": "/incidents/", "edit": f"/incidents/{incident.pk}/edit/", "merge": f"/incidents/{incident.pk}/merge/",
        "group": "/incidents/group/", "postmortem-edit": f"/incidents/{incident.pk}/postmortem/edit/", "sla": "/sla/", "sla-month": month,
    }.items():  # fmt: skip
        page = visitor.open(where)
        keep(page, f"{name}-{size['width']}")
        assert too_wide(page) <= 0, where


def test_the_keyboard_walks_the_list_and_acknowledges(chromium, live_server, incident):  # noqa: F811
    m = scene.monitor(None, "web", config={"url": "https://web.acme.example/"})
    scene.fail(m, database_now() - timedelta(minutes=2))
    page = Visitor(chromium, live_server, cast.make_staff()).open("/incidents/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    with page.expect_navigation():
        page.keyboard.press("a")
    incident.refresh_from_db()
    assert (
        incident.responder_status == "acknowledged"
        and Incident.objects.filter(responder_status="triggered").count() == 1
    )


def test_a_post_mortem_is_previewed_in_place_and_saved(chromium, live_server, incident):  # noqa: F811
    visitor = Visitor(chromium, live_server, cast.make_staff())
    page = visitor.open(f"/incidents/{incident.pk}/postmortem/edit/")
    page.fill("#id_body", "# Learned\n\n**Alarm** <img src=x onerror=alert(1)>")
    page.click("#preview-button")
    page.wait_for_selector("#preview strong:has-text('Alarm')")
    assert page.input_value("#id_body").startswith("# Learned"), "what was typed stays"
    assert page.query_selector("#preview img") is None
    with page.expect_navigation():
        page.click("#save")
    assert Postmortem.objects.get().body.startswith("# Learned")
    keep(page, "postmortem")
    if KEEP:
        body = reports.figures(cast.acme(), database_now().date(), at=database_now())
        Path(KEEP, "sla.pdf").write_bytes(exports.as_pdf(body))
