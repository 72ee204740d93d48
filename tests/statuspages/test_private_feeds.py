"""STP-1, STP-3: who may follow a page that is not for everybody, until when, and where the password leads."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.hashers import make_password
from django.test import Client as Browser

from portal.models import AuditEntry
from statuspages import gate, services, serving
from statuspages.models import Page
from tests import cast
from tests.console.visiting import browser, text
from tests.statuspages import showing

pytestmark = pytest.mark.django_db
PASSWORD = "open sesame"


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Each test is a process that has just started."""
    monkeypatch.setattr(gate, "tries", gate.Tries())
    serving.board.forget()
    yield
    serving.board.forget()


def made(**values: Any) -> Page:
    """Acme's page with an incident."""
    page = showing.page(**values)
    showing.incident(page, components=[showing.component(page)])
    return showing.build(page)


def locked() -> Page:
    return made(visibility="password", password_hash=make_password(PASSWORD))


def inside(who: Any = None) -> Browser:
    """A browser that may read: it said the password, or is signed in."""
    reader = Browser()
    if who is not None:
        reader.force_login(who)
    else:
        assert reader.post("/status/acme/", {"password": PASSWORD}).status_code == 303
    return reader


def address(reader: Browser) -> str:
    """The path that the page gives for a feed reader."""
    found = re.search(
        r'id="feed-address"[^>]*>https?://[^/<]+([^<]+)<', reader.get("/status/acme/feed/").content.decode()
    )
    assert found
    return found[1]


def status(path: str) -> int:
    return int(Browser().get(path).status_code)


# --- Until when --------------------------------------------------------------------------------------------------------------
def test_a_private_address_ends_with_the_password():
    page = locked()
    where = address(inside())
    assert status(where) == 200
    services.save_page(page, by=cast.TESTS, at=showing.AT, password="another sesame")
    assert status(where) == 404


def test_a_private_address_ends_when_staff_says_so_and_the_page_shows_another():
    page = locked()
    reader, staff = inside(), browser(cast.make_staff())
    where, press = address(reader), f"/status-pages/{page.pk}/feeds/"
    assert press in staff.get(f"/status-pages/{page.pk}/").content.decode()
    assert "Every feed reader" in text(staff.get(press)) and status(where) == 200, "asked first"
    staff.post(press)
    assert status(where) == 404 and status(address(reader)) == 200
    assert AuditEntry.objects.filter(action="page.feeds_renewed").count() == 1
    assert browser(cast.viewer()).post(press).status_code == 403


def test_a_private_address_ends_when_the_page_is_switched_off():
    page = locked()
    where = address(inside())
    services.save_page(page, by=cast.TESTS, at=showing.AT, enabled=False)
    assert status(where) == 404


def test_a_persons_address_ends_with_their_password():
    made(visibility="signed_in")
    alice = cast.alice()
    where = address(inside(alice))
    assert status(where) == 200
    alice.set_password("a quite different one")
    alice.save()
    assert status(where) == 404


# --- Which one ---------------------------------------------------------------------------------------------------------------
def test_one_pages_address_opens_no_other_and_a_guess_opens_none():
    page = locked()
    showing.build(showing.page(cast.globex(), visibility="password", password_hash=page.password_hash))
    key = address(inside()).rpartition("/")[2]
    for where in (
        f"globex/feed/{key}",
        f"acme/feed/{'A' * 32}.atom",
        f"acme/feed/1.{'A' * 32}.atom",
        "acme/feed/.atom",
    ):
        assert (
            status(f"/status/{where}") in (403, 404) and b"Payments" not in Browser().get(f"/status/{where}").content
        ), where


def test_the_key_of_a_page_with_a_password_is_nothing_once_the_page_is_for_members():
    page = locked()
    where = address(inside())
    services.save_page(page, by=cast.TESTS, at=showing.AT, visibility="signed_in")
    assert status(where) == 404


def test_a_page_for_everybody_has_one_feed_for_everybody():
    made()
    index = Browser().get("/status/acme/").content.decode()
    assert index.count("feed.atom") == 2 and 'href="feed/"' not in index, "found by programs, and linked for people"
    for old in ("feed/", f"feed/{'A' * 32}.atom"):
        assert Browser().get(f"/status/acme/{old}")["Location"] == "/status/acme/feed.atom", "who followed it goes on"


def test_at_its_domain_a_page_for_members_sends_people_to_the_same_place_of_the_portal(settings):
    made(visibility="signed_in", custom_domain="status.acme.example", domain_verified_at=showing.AT)
    there = Browser(headers={"host": "status.acme.example"}).get("/incidents/7/")
    assert there["Location"] == f"{settings.BASE_URL}/status/acme/incidents/7/"
    assert address(inside(cast.alice())).startswith("/status/acme/feed/"), "a feed reader is no signed-in browser"


# --- Where the password leads --------------------------------------------------------------------------------------------------
def test_a_link_to_an_incident_leads_there_after_the_password():
    place = f"incidents/{locked().publications.get().pk}/"
    asked = Browser().get(f"/status/acme/{place}").content.decode()
    assert f'name="to" value="{place}"' in asked
    assert Browser().post("/status/acme/", {"password": PASSWORD, "to": place})["Location"] == f"/status/acme/{place}"


def test_a_wrong_password_forgets_not_where_to():
    locked()
    answer = Browser().post("/status/acme/", {"password": "wrong", "to": "subscribe/"})
    assert answer.status_code == 403 and b'name="to" value="subscribe/"' in answer.content


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example/",
        "https://evil.example/",
        "../../login/",
        "/login/",
        "x\r\nSet-Cookie: a=b",
        "%2e%2e/",
        ".",
        "a" * 200 + "/",
    ],
)
def test_the_password_leads_nowhere_outside_the_page(to):
    locked()
    assert Browser().post("/status/acme/", {"password": PASSWORD, "to": to})["Location"] == "/status/acme/"


def test_a_hand_over_is_of_one_page_one_password_and_two_minutes():
    with time_machine.travel(showing.AT, tick=False) as clock:
        token = gate.hand_over(7, "its hash")
        assert gate.handed(token, 7, "its hash")
        assert not gate.handed(token, 8, "its hash") and not gate.handed(token, 7, "another")
        assert not gate.holds(token, 7, "its hash"), "it is no cookie"
        clock.shift(timedelta(seconds=gate.HAND_OVER + 1))
        assert not gate.handed(token, 7, "its hash")
