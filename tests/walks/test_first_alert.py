"""From the printed link to the first alert: does a newcomer get there by mouse, by keys, without scripts, with a phone?"""

from __future__ import annotations

from typing import Any

import pytest

from alerts.models import Alert
from monitors.models import Monitor
from portal import people
from tests.monitors.test_prober import until
from tests.rig.mailbox import Mailbox
from tests.rig.site import Site
from tests.walks.walker import KEYS, MOUSE, PHONE, PLAIN, Walker

soak = pytest.mark.soak
pytestmark = pytest.mark.once
WORD = "a long enough word"


@pytest.fixture
def mail(settings: Any, mailbox: Mailbox) -> Mailbox:
    """A mail server, and the portal told of it."""
    settings.EMAIL_BACKEND = "portal.mail.Backend"
    settings.SMTP = {"host": "127.0.0.1", "port": mailbox.port, "user": "", "password": "", "sender": "watch@msp.example", "tls": "none"}  # fmt: skip
    return mailbox


@pytest.mark.parametrize("manner", [pytest.param(MOUSE, marks=soak), KEYS, pytest.param(PLAIN, marks=soak), pytest.param(PHONE, marks=soak)])  # fmt: skip
def test_a_newcomer_owns_it_watches_a_site_and_hears_that_it_died(chromium, portal, working, mail, site: Site, manner):
    olga = Walker(chromium, portal, manner).goes(people.setup_link() or "")
    olga.types("E-mail", "olga@msp.example").types("Password", WORD)
    olga.presses("Create the owner and sign in")
    olga.reads("olga@msp.example is mailed")
    olga.types("Address of the site", site.url()).presses("Watch it")
    monitor = olga.page.url
    olga.reads("is watched from now on")
    until(lambda: Monitor.objects.get().state == "up", "the site to be up")
    olga.goes(monitor).reads("Up")
    site.refuse()
    olga.presses("Check now")
    (letter, *_) = mail.wait_for(1, "olga@msp.example", within=90)
    assert letter.subject.startswith("[Down]") and letter.subject.count("127.0.0.1")
    alert = Alert.objects.get()
    assert f"{portal.url}/alerts/{alert.pk}/" in letter.text + letter.html
    olga.goes("/").reads("1 problem").follows("127.0.0.1", within=".problems")
    assert olga.page.url == f"{portal.url}/alerts/{alert.pk}/"
    olga.reads("The connection was refused").reads("E-mail to olga@msp.example")
    olga.goes(monitor).reads("Down")
    olga.done()
