"""As curl: what a page shows is what the API answers to the line at its foot."""

from __future__ import annotations

import re
import shlex
from html import unescape

import pytest

from console import curl
from tests import cast
from tests.console.visiting import browser

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def line_on(page) -> str:
    """The line as somebody would copy it from the page."""
    found = re.search(r'id="curl"[^>]*>([^<]*)<', page.content.decode())
    return unescape(found[1]) if found else ""


def asked_by(line: str, settings) -> str:
    """The path that a shell would make of it."""
    return shlex.split(line)[-1].removeprefix(settings.BASE_URL)


@pytest.mark.parametrize("part", sorted(curl.RESOURCES))
def test_every_list_names_a_call_that_the_api_answers(part, settings):
    line = line_on(browser(cast.make_staff()).get(f"/{part}/")) or curl.line(f"/{part}/")
    assert cast.api(cast.make_staff(), "read").get(asked_by(line, settings)).status_code == 200, line


def test_a_page_of_one_object_names_that_object(settings):
    monitor, staff = cast.monitor(), cast.make_staff()
    line = line_on(browser(staff).get(f"/monitors/{monitor.pk}/"))
    assert cast.api(staff, "read").get(asked_by(line, settings)).json()["name"] == monitor.name


def test_a_chosen_client_stays_chosen_and_nothing_else_is_taken_over(settings):
    line = curl.line("/monitors/", "client=7&state=down&x=';rm%20-rf%20/'")
    assert asked_by(line, settings) == "/api/v1/monitors?client=7"
    hostile = curl.line("/monitors/", "client=%27%3Bid%3B%27")
    assert len(shlex.split(hostile)) == 4, "one argument, whatever it holds"


def test_pages_without_a_call_show_none():
    staff = browser(cast.make_staff())
    for path in ("/", "/search/?q=shop", "/monitors/add/", "/simulate/", "/help/"):
        assert line_on(staff.get(path)) == "", path


def test_the_line_holds_no_token():
    assert "wk_" not in line_on(browser(cast.make_staff()).get("/monitors/"))
