"""STP-1, STP-4: readers of pages that are not for everybody, as a browser and a feed reader go about it: over real HTTP."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests
from django.contrib.auth.hashers import make_password
from django.test import Client as Browser

from statuspages import gate, serving
from statuspages.models import Subscriber
from tests import cast
from tests.statuspages import showing

feedparser = pytest.importorskip("feedparser", reason="NOT RUN: feedparser is not installed")
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
PASSWORD, DOMAIN, SECONDS = "open sesame", "status.acme.example", 30


@pytest.fixture(autouse=True)
def portal(live_server: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The portal's own address; each test is a process that has just started."""
    monkeypatch.setattr(gate, "tries", gate.Tries())
    serving.board.forget()
    settings.BASE_URL = live_server.url
    return str(live_server.url)


@pytest.fixture
def locked() -> Any:
    page = showing.page(visibility="password", password_hash=make_password(PASSWORD))
    showing.incident(page, components=[showing.component(page)])
    return showing.build(page)


@pytest.fixture
def members() -> Any:
    """A page for Acme's own people."""
    page = showing.page(visibility="signed_in")
    showing.incident(page, components=[showing.component(page)])
    return showing.build(page)


class Reader(requests.Session):
    """A browser: it keeps cookies and goes where it is sent."""

    def __init__(self, home: str, host: str = "") -> None:
        super().__init__()
        self.home, self.host = home, host

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        if self.host and str(url).startswith("/"):
            kwargs["headers"] = {**(kwargs.get("headers") or {}), "Host": self.host}
        where = self.home + url if str(url).startswith("/") else url
        return super().request(method, where, *args, **{"timeout": SECONDS, **kwargs})


def signed_in(home: str, who: Any) -> Reader:
    """Somebody's browser after they signed in."""
    reader, browser = Reader(home), Browser()
    browser.force_login(who)
    reader.cookies.set("sessionid", browser.cookies["sessionid"].value)
    return reader


def feed_address(text: str) -> str:
    found = re.search(r'id="feed-address"[^>]*>([^<]+)<', text)
    assert found, text
    return found[1]


def told(answer: requests.Response) -> list[str]:
    """The titles of a feed that a feed reader understood."""
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("application/atom+xml"), answer.text
    feed = feedparser.parse(answer.content)
    assert not feed.bozo and feed.version == "atom10", feed.get("bozo_exception")
    return [entry.title for entry in feed.entries]


# --- Subscribing -----------------------------------------------------------------------------------------------------------
def test_who_wants_to_subscribe_says_the_password_once_and_gets_on(portal, locked):
    reader = Reader(portal)
    asked = reader.get("/status/acme/subscribe/")
    assert asked.status_code == 403 and 'name="password"' in asked.text and 'value="subscribe/"' in asked.text
    form = reader.post("/status/acme/", data={"password": PASSWORD, "to": "subscribe/"})
    assert form.status_code == 200 and form.url == f"{portal}/status/acme/subscribe/" and 'id="subscribe"' in form.text
    sent = reader.post("/status/acme/subscribe/", data={"kind": "email", "address": "ana@readers.example"})
    assert sent.status_code == 200 and 'data-state="answer"' in sent.text
    assert Subscriber.objects.get().page == locked and Reader(portal).get("/status/acme/subscribe/").status_code == 403


def test_a_password_said_at_the_pages_own_domain_counts_for_subscribing_too(portal, locked):
    type(locked).objects.update(custom_domain=DOMAIN, domain_verified_at=showing.AT)
    showing.build(locked)
    reader = Reader(portal, DOMAIN)
    page = reader.post("/", data={"password": PASSWORD}, allow_redirects=False)
    assert page.status_code == 303 and page.headers["Location"] == "/"
    over = reader.get("/subscribe/", allow_redirects=False)
    assert over.status_code == 303 and over.headers["Location"].startswith(f"{portal}/status/acme/subscribe/?pass=")
    form = reader.get(over.headers["Location"])
    assert form.url == f"{portal}/status/acme/subscribe/" and 'id="subscribe"' in form.text
    assert Reader(portal, DOMAIN).get("/subscribe/", allow_redirects=False).status_code == 403


def test_the_clients_people_subscribe_to_their_page_and_nobody_else(portal, members):
    form = signed_in(portal, cast.alice()).get("/status/acme/subscribe/")
    assert form.status_code == 200 and 'id="subscribe"' in form.text
    assert signed_in(portal, cast.mallory()).get("/status/acme/subscribe/").status_code == 404
    assert (
        Reader(portal).get("/status/acme/subscribe/", allow_redirects=False).headers["Location"].startswith("/login/")
    )


# --- Feeds -------------------------------------------------------------------------------------------------------------------
def test_a_feed_reader_follows_a_page_with_a_password_by_its_private_address(portal, locked):
    reader = Reader(portal)
    assert reader.get("/status/acme/feed/").status_code == 403, "only who may read the page is told the address"
    index = reader.post("/status/acme/", data={"password": PASSWORD})
    assert 'href="feed/"' in index.text and "feed.atom" not in index.text
    address = feed_address(reader.get("/status/acme/feed/").text)
    answer = Reader(portal).get(address)
    assert told(answer) == ["Payments fail (Investigating)"] and not answer.cookies
    assert feedparser.parse(answer.content).feed.links[0].href == address, "a feed names itself by this very address"
    assert answer.headers["Cache-Control"] == "private, no-cache" and answer.headers["X-Robots-Tag"] == "noindex"
    assert Reader(portal).get(address, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert Reader(portal).get("/status/acme/feed.atom").status_code == 403


def test_a_persons_feed_is_theirs_while_they_may_read_the_page(portal, members):
    alice = cast.alice()
    address = feed_address(signed_in(portal, alice).get("/status/acme/feed/").text)
    assert told(Reader(portal).get(address)) == ["Payments fail (Investigating)"]
    assert address != feed_address(signed_in(portal, cast.viewer()).get("/status/acme/feed/").text)
    assert Reader(portal).get("/status/acme/feed.atom", allow_redirects=False).headers["Location"].startswith("/login/")
    alice.memberships.all().delete()
    assert Reader(portal).get(address).status_code == 404
    mallory = signed_in(portal, cast.mallory()).get("/status/acme/feed/")
    assert mallory.status_code == 404
