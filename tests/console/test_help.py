"""The guides: every one is a page, leads where it says, and is linked from the pages that it is about."""

from __future__ import annotations

import re

import pytest
from django.urls import Resolver404, resolve

from console import guides
from tests import cast
from tests.console.visiting import browser, text

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def test_every_guide_is_a_page_and_in_the_list():
    staff = browser(cast.make_staff())
    index = staff.get("/help/")
    for name, (title, _) in guides.GUIDES.items():
        page = staff.get(f"/help/{name}/")
        assert page.status_code == 200 and title in text(page) and f'href="/help/{name}/"' in index.content.decode(), (
            name
        )
        assert guides.read(name).title == title, "the list's title is the guide's own"
        assert "](" not in text(page) and "the rest is not shown" not in text(page)


def test_guides_lead_to_each_other_and_nowhere_else(settings):
    for name in guides.GUIDES:
        for address in re.findall(r'href="([^"]+)"', guides.read(name).html):
            if address.startswith(settings.BASE_URL):
                try:
                    resolve(address.removeprefix(settings.BASE_URL))
                except Resolver404:
                    pytest.fail(f"{name} leads to {address}")


def test_pages_name_their_guide():
    staff = browser(cast.make_staff())
    for path, name in (
        ("/on-call/", "on-call"),
        ("/probes/", "first-probe"),
        ("/status-pages/", "status-page"),
        ("/playbooks/", "playbooks"),
    ):
        assert f'href="/help/{name}/"' in staff.get(path).content.decode(), path
    assert "guide:" not in text(staff.get("/deliveries/"))


@pytest.mark.parametrize("name", ["nothing", "decisions", "measured", "..", "readme"])
def test_nothing_else_of_the_source_is_served(name):
    assert browser(cast.make_staff()).get(f"/help/{name}/").status_code == 404


def test_strangers_sign_in_first(client):
    assert client.get("/help/on-call/")["Location"].startswith("/login/")
