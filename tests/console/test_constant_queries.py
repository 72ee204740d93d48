"""Does a page cost the same, however many clients there are? Every page and list of the API is asked before and after the
installation has grown fivefold, and asks the database no more often."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from bench import crowd
from playbooks import steps
from tests import cast
from tests.playbooks.acting import Bell
from tests.portal import every_page

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.soak]  # the main lists have such a test each, daily
TIMES = 4
SLACK = 2  # the second query of something that was empty before


def asked(browser: Browser, path: str) -> int:
    """How many queries the second visit costs; the first one fills what the process remembers."""
    browser.get(path)
    with CaptureQueriesContext(connection) as seen:
        answer = browser.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return len(seen)


def test_a_page_of_five_times_as_many_clients_asks_no_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(steps.KINDS, Bell.kind, Bell)
    s = every_page.fill()
    browsers = {"staff": Browser(), "client": Browser(), "desk": Browser()}
    for who, browser in browsers.items():
        browser.force_login(cast.alice() if who == "client" else cast.make_owner())
    paths = {
        "staff": every_page.of_staff(s), "client": every_page.of_clients(s),
        "desk": [*crowd.lists_of_the_desk(), *every_page.of_the_desk(s)],
    }  # fmt: skip
    skipped = {"/reauthenticate/", "/logout/"}
    before = {(who, p): asked(browsers[who], p) for who in paths for p in dict.fromkeys(paths[who]) if p not in skipped}
    crowd.multiply(s.client, TIMES)
    grown = {key: asked(browsers[key[0]], key[1]) for key in before}
    worse = {key: (before[key], grown[key]) for key in before if grown[key] > before[key] + SLACK}
    assert not worse
