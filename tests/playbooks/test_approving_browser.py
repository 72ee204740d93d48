"""Approvals in a real browser: a client's approver from the inbox to the yes, live progress that leaves the keyboard alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from playbooks.models import Run
from tests import cast
from tests.console.test_browser import DESK, PHONE, Visitor, chromium  # noqa: F401 - a fixture
from tests.playbooks import acting
from tests.playbooks.acting import says
from tests.playbooks.test_approving import path_of, waits_for
from tests.portal import an_app
from tests.rig import axe

KEEP = os.environ.get("WATCHKEEPER_SCREENSHOTS")  # a directory: keep what was seen there
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


def keep(page: Any, name: str) -> None:
    if KEEP:
        page.screenshot(path=str(Path(KEEP) / f"{name}.png"), full_page=True)


def too_wide(page: Any) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


LOOKS = {"light": (DESK, "light"), "dark": (DESK, "dark"), "phone": (PHONE, "light")}


@pytest.mark.parametrize("look", LOOKS)
def test_a_clients_approver_walks_from_the_inbox_to_the_yes(chromium, live_server, look):  # noqa: F811
    size, scheme = LOOKS[look]
    april = cast.approver()
    an_app.give_app(april)
    scene, run = waits_for(
        april, bells=("front", "back"), name="Ring the bells of the shop, and wait until somebody answers"
    )
    visitor = Visitor(chromium, live_server, april, size, color_scheme=scheme)
    stranger = chromium.new_context(viewport=size, color_scheme=scheme).new_page()
    stranger.set_default_timeout(60_000)
    addresses = {"own": path_of(run, april), "many": path_of(run)}
    barriers: list[axe.Barrier] = []
    for name, path in addresses.items():
        stranger.goto(live_server.url + path)
        keep(stranger, f"link-{name}-asked-{look}")
        assert too_wide(stranger) <= 0
        barriers += axe.look(stranger, f"the {name} link", themes=[scheme])
    page = visitor.open("/approvals/")
    keep(page, f"inbox-{look}")
    page.get_by_role("link", name="Look at").click()
    page.wait_for_selector("#approve-button")
    keep(page, f"asked-{look}")
    assert too_wide(page) <= 0
    page.get_by_label("Code of your authenticator").fill(an_app.shown())
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Approve").click()
    page.wait_for_selector("text=Approved, about to start")
    keep(page, f"approved-{look}")
    acting.carried_out(run, scene.well)
    page.wait_for_selector("h1 >> text=Succeeded")
    keep(page, f"done-{look}")
    assert too_wide(page) <= 0
    visitor.open("/runs/")
    keep(page, f"runs-{look}")
    assert too_wide(page) <= 0
    for name, path in addresses.items():
        stranger.goto(live_server.url + path)
        keep(stranger, f"link-{name}-done-{look}")
        assert too_wide(stranger) <= 0
        barriers += axe.look(stranger, f"the {name} link, later", themes=[scheme])
    assert not barriers, axe.told(barriers)
    assert visitor.complaints == []


def test_while_a_run_goes_on_the_page_follows_and_leaves_the_keyboard_where_it_is(chromium, live_server):  # noqa: F811
    april = cast.approver()
    scene, run = waits_for(april)
    says(run, april)
    sam = Visitor(chromium, live_server, cast.make_staff())
    page = sam.open(f"/runs/{run.pk}/")
    assert page.locator("noscript").count() == 1
    page.evaluate("window.stayed = true")
    page.locator("#see-alert").focus()
    Run.objects.filter(pk=run.pk).update(reason="Its turn comes soon.")
    page.wait_for_selector("text=Its turn comes soon.")
    assert page.evaluate("[window.stayed, document.activeElement.id]") == [True, "see-alert"]
    assert sam.complaints == []


def test_while_somebody_types_others_words_are_counted_and_nothing_typed_is_lost(chromium, live_server):  # noqa: F811
    april, bob, carol = cast.approver(), acting.approver(), acting.approver("carol")
    an_app.give_app(april)
    scene, run = waits_for(april, bob, carol, approvals_required=2)
    visitor = Visitor(chromium, live_server, april)
    page = visitor.open(f"/runs/{run.pk}/")
    page.get_by_label("Code of your authenticator").fill("123")
    page.get_by_role("button", name="Approve").focus()
    says(run, bob)
    page.wait_for_selector("text=1 of 2 approvals so far")
    assert page.get_by_label("Code of your authenticator").input_value() == "123"
    assert page.evaluate("document.activeElement.id") == "approve-button"
    says(run, carol)
    page.wait_for_selector("text=Approved, about to start")
    assert page.locator("#approve-button").count() == 0, "there is nothing left to decide"
    assert visitor.complaints == []


def test_without_scripts_a_link_shows_how_it_stands(chromium, live_server):  # noqa: F811
    april = cast.approver()
    scene, run = waits_for(april)
    says(run, april)
    visitor = Visitor(chromium, live_server, april, java_script_enabled=False)
    page = visitor.open(f"/runs/{run.pk}/")
    acting.carried_out(run, scene.well)
    page.get_by_role("link", name="Show it as it is now").click()
    page.wait_for_selector("h1 >> text=Succeeded")
