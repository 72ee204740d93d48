"""An outage, from the overview to the post-mortem: can staff do all of it by mouse, by keys, without scripts, with a phone?"""

from __future__ import annotations

import pytest

from incidents.models import Incident, Postmortem, Update
from portal.clock import database_now
from tests import cast
from tests.console import scene
from tests.statuspages import showing
from tests.walks.walker import KEYS, MOUSE, PHONE, PLAIN, Walker

soak = pytest.mark.soak
pytestmark = pytest.mark.once
SAID = "A switch is broken. We replace it."
LEARNED = "Keep a second switch."


@pytest.mark.parametrize("manner", [pytest.param(MOUSE, marks=soak), KEYS, PLAIN, pytest.param(PHONE, marks=soak)])
def test_staff_take_an_outage_tell_readers_end_it_and_write_down_what_was_learned(chromium, portal, manner):
    s = scene.outage()
    page = showing.page(name="Acme status", slug="acme")
    part = showing.component(page, "The API", s.down)
    incident = f"/incidents/{s.incident.pk}/"
    sam = Walker(chromium, portal, manner, cast.make_staff())
    sam.goes("/").reads("1 problem").follows("api", within=".problems")
    sam.presses("Acknowledge", within="#acknowledge").reads("sam@msp.example has it")
    sam.follows(s.incident.title, within="aside")
    assert Incident.objects.get().responder_status == "acknowledged"

    sam.goes(f"{incident}publication/").ticks(part.name).presses("Publish, and tell subscribers").reads("Published")
    sam.goes(incident).chooses("Status", "Identified").types("Message", SAID).presses("Post the update")
    sam.reads("The update is on the record.")
    showing.build(page, database_now())
    reader = Walker(chromium, portal, manner)
    reader.goes("/status/acme/").reads("Disruption of The API").reads(SAID)

    sam.presses("Resolve", within="#resolve").reads("resolved")
    assert Incident.objects.get().status == "resolved"
    sam.follows("Post-mortem", within="main").follows("Begin with a draft")
    body = sam.page.get_by_label("Text").first.input_value()
    sam.types("Text", body + LEARNED if manner != KEYS else LEARNED).presses("Save")
    sam.reads(LEARNED).presses("Finish").reads("Finished")
    assert Postmortem.objects.get().finished_at and Update.objects.filter(message=SAID).count() == 1
    showing.build(page, database_now())
    reader.reloads().reads("Resolved")
    reader.done()
    sam.done()


def test_keys_lead_everywhere_and_are_listed(chromium, portal):
    s = scene.outage()
    sam = Walker(chromium, portal, KEYS, cast.make_staff()).goes("/")
    sam.keys("Tab")
    skip = sam.page.locator(".skip")
    assert skip.evaluate("e => e === document.activeElement && e.getBoundingClientRect().top >= 0"), "first of all"
    sam.keys("Enter", "Tab")
    assert sam.page.evaluate("document.getElementById('main').contains(document.activeElement)"), "past the menus"
    sam.keys("?")
    assert sam.page.locator("#keys").get_attribute("open") is not None
    sam.keys("Escape")
    assert sam.page.locator("#keys").get_attribute("open") is None
    for key, path in {"m": "/monitors/", "a": "/alerts/", "i": "/incidents/", "c": "/clients/", "d": "/deliveries/", "p": "/approvals/"}.items():  # fmt: skip
        sam.keys("g", key).page.wait_for_url(f"**{path}")
    sam.looks().keys("g", "o").page.wait_for_url(f"{portal.url}/")
    sam.keys("j", "Enter").page.wait_for_url(f"**/alerts/{s.alert.pk}/")
    sam.looks().done()


def test_the_keyboard_goes_round_a_page_and_is_caught_nowhere(chromium, portal):
    """Tab reaches every control of the busiest pages, and leaves them again."""
    s = scene.outage()
    sam = Walker(chromium, portal, KEYS, cast.make_staff())
    for path in (f"/incidents/{s.incident.pk}/", "/monitors/add/"):
        sam.goes(path)
        sam.steps_round()
    sam.done()
