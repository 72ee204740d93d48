"""STP-3: the feed is valid Atom, says incidents and works, and each entry keeps its id."""

from __future__ import annotations

from datetime import timedelta
from xml.etree import ElementTree as tree

import pytest

from statuspages import feeds, projection
from tests.statuspages import hostile, showing
from tests.statuspages.showing import AT, HOUR

pytestmark = pytest.mark.django_db
NS = {"a": feeds.ATOM}
HOME = "https://status.acme.example/"


def feed(page) -> tree.Element:
    return tree.fromstring(feeds.atom(projection.body_of(page, AT), HOME, AT))


def test_newest_news_stand_first_and_lead_to_their_page():
    page = showing.page()
    showing.incident(page, "Old", at=AT - timedelta(days=3), resolved_at=AT - timedelta(days=3) + HOUR)
    row = showing.incident(page, "New", at=AT - HOUR)
    root = feed(page)
    titles = [e.findtext("a:title", "", NS) for e in root.findall("a:entry", NS)]
    assert titles == ["New (Investigating)", "Old (Resolved)"]
    entry = root.find("a:entry", NS)
    assert entry.findtext("a:id", "", NS) == f"{HOME}incidents/{row.publications.get().pk}/"
    assert root.findtext("a:updated", "", NS) == "2026-11-21T11:30:00Z"
    for one in [root, *root.findall("a:entry", NS)]:
        assert one.findtext("a:id", "", NS) and one.findtext("a:updated", "", NS), "RFC 4287 asks for these"


def test_an_entry_keeps_its_id_when_there_is_more_to_say():
    page = showing.page()
    row = showing.incident(page, at=AT - HOUR)
    before = feed(page).find("a:entry", NS)
    row.updates.create(status="identified", message="It was the *cable*.", created_at=AT)
    after = feed(page).find("a:entry", NS)
    assert before.findtext("a:id", "", NS) == after.findtext("a:id", "", NS)
    assert after.findtext("a:updated", "", NS) == "2026-11-21T12:30:00Z"
    assert "<em>cable</em>" in after.findtext("a:content", "", NS)


def test_planned_work_is_news_too_and_an_empty_feed_is_a_feed():
    page = showing.page()
    assert feed(page).findall("a:entry", NS) == [] and feed(page).findtext("a:updated", "", NS)
    showing.work(page)
    assert feed(page).find("a:entry", NS).findtext("a:title", "", NS) == "New database (Scheduled)"


def test_a_feed_parser_understands_every_word_of_it():
    """The same program that many feed readers are made with."""
    feedparser = pytest.importorskip("feedparser", reason="NOT RUN: feedparser is not installed")
    page = showing.page(name="Acme & <Sons>", language="fr")
    for n, text in enumerate(hostile.TEXTS[:: feeds.MOST // 12]):
        showing.incident(page, text[:200] or "x", message=text, at=AT - timedelta(hours=n))
    row = showing.incident(page, "Zahlung & <b>Kasse</b>", at=AT, message="It was the *cable*.")
    told = feedparser.parse(feeds.atom(projection.body_of(page, AT), HOME, AT), sanitize_html=False)
    assert not told.bozo and told.version == "atom10" and told.encoding == "utf-8", told.get("bozo_exception")
    about = told.feed
    assert (about.id, about.link, about.title, about.language) == (HOME, HOME, "État de Acme & <Sons>", "fr")
    assert [link.href for link in about.links if link.rel == "self"] == [
        f"{HOME}feed.atom"
    ] and about.author == "Acme & <Sons>"
    first = told.entries[0]
    assert first.id == first.link == f"{HOME}incidents/{row.publications.get().pk}/"
    assert first.title == "Zahlung & <b>Kasse</b> (Analyse en cours)" and first.title_detail.type == "text/plain"
    assert "<em>cable</em>" in first.content[0].value and first.content[0].type == "text/html"
    assert first.published_parsed[:5] == first.updated_parsed[:5] == AT.timetuple()[:5]
    ids = [entry.id for entry in told.entries]
    assert len(set(ids)) == len(ids) == len(hostile.TEXTS[:: feeds.MOST // 12]) + 1
    assert all(entry.title and entry.updated_parsed and entry.content[0].value for entry in told.entries)
    assert told.entries == sorted(told.entries, key=lambda one: one.updated_parsed, reverse=True), "newest first"


def test_characters_that_xml_cannot_say_do_not_break_the_feed():
    page = showing.page(name="A\x0b & <b>")
    showing.incident(page, "Bell \x07 \ufffe ]]> &amp;")
    assert "Bell" in feed(page).find("a:entry", NS).findtext("a:title", "", NS)


def test_a_feed_is_bounded():
    page = showing.page()
    for n in range(feeds.MOST + 5):
        showing.incident(page, f"I{n}", at=AT - timedelta(hours=n))
    assert len(feed(page).findall("a:entry", NS)) == feeds.MOST
