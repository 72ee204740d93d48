"""STP, SPEC 0: a page in French or Portuguese, its forms, letters and feed say nothing in English that we wrote ourselves."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.hashers import make_password
from django.core.cache import cache
from django.test import Client as Browser

from statuspages import letters, links, serving
from statuspages.models import Page
from statuspages.phrases import PHRASES
from statuspages.words import MONTHS, WORDS
from tests.statuspages import reading, showing
from tests.statuspages.showing import AT, HOUR

pytestmark = pytest.mark.django_db
LANGUAGES = ("fr", "pt")


@pytest.fixture(autouse=True)
def _nothing_known():
    cache.clear()  # counts of an hour
    serving.board.forget()
    yield
    serving.board.forget()


def made(language: str, **values) -> Page:
    """A page with everything on it that has words of ours."""
    page = showing.page(
        language=language, show_latency=True, show_verdicts=True, support_url="https://acme.example", **values
    )
    m = showing.monitor("down", "a")
    part = showing.component(page, "Zz", m, group=showing.group(page, "Yy"))
    showing.rolled(m, AT - timedelta(hours=20), 19, up=60)
    for n, severity in enumerate(("minor", "major", "critical")):
        showing.incident(page, f"Xx {n}", severity, AT - HOUR * (n + 1), components=[part], message="Ww")
    showing.incident(page, "Vv", resolved_at=AT - HOUR, at=AT - HOUR * 2, message="Ww").updates.update(message="Ww")
    for status in ("scheduled", "in_progress", "verifying", "completed", "cancelled"):
        starts = AT + HOUR if status == "scheduled" else AT - HOUR
        row = showing.work(page, "Uu", status, components=[part], starts_at=starts, ends_at=starts + HOUR)
        row.updates.update(message="Ww")
    return showing.build(page)


def seen(text: str) -> str:
    """What a person reads or hears of a document."""
    spoken = " ".join(re.findall(r'(?:aria-label|title|alt|placeholder)="([^"]*)"', text))
    return unescape(f"{re.sub(r'<[^>]+>', ' ', text)} {spoken}")


def english(language: str, text: str) -> list[str]:
    """Our own English phrases in a text, but for those that the language says with the same words."""
    own = set(re.findall(r"\w+", " ".join([*WORDS[language].values(), *PHRASES[language].values(), *MONTHS[language]])))
    phrases = {*WORDS["en"].values(), *PHRASES["en"].values(), *MONTHS["en"]}
    plain = {re.sub(r"\{\w+\}", "", phrase).strip(" :.") for phrase in phrases}
    return sorted(
        phrase for phrase in plain
        if len(phrase) > 2 and not set(re.findall(r"\w+", phrase)) <= own and re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text)
    )  # fmt: skip


def test_english_is_noticed():
    assert "Subscribe" in english("fr", seen("<a aria-label='x'>Subscribe</a>")) and not english("fr", "S’abonner")


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_address_of_a_page_speaks_english(language):
    page = made(language)
    front = serving.board.front(serving.board.find(page.slug))
    addresses = [one for one in front.addresses() if not one.endswith((".css", ".json"))]
    assert len(addresses) > 20
    for address in [*addresses, "nothing", "subscribe/", "preferences/1.x/", "subscribe/confirm/1.x/", "leave/1.x/"]:
        assert english(language, seen(showing.get(page, address).content.decode())) == [], address


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_form_of_a_reader_speaks_english(language):
    page = made(language)
    row, waits = reading.reader(page), reading.reader(page, "ben@readers.example", state="pending", asked_at=showing.AT)
    wrong = {"kind": "slack", "address": "x"}
    shown = [
        Browser().post("/status/acme/subscribe/", wrong),
        Browser().post("/status/acme/subscribe/", {"kind": "email", "address": "c@r.example"}),
    ]
    for subscriber, purpose in ((waits, links.CONFIRM), (row, links.PREFERENCES), (row, links.LEAVE)):
        where = reading.path(links.url(subscriber, purpose))
        shown += [Browser().get(where), reading.press(where)]
    for answer in shown:
        assert english(language, seen(answer.content.decode())) == [], answer.request["PATH_INFO"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_guards_a_page_speaks_no_english(language):
    page = made(language, visibility="password", password_hash=make_password("open sesame"))
    browser = Browser()
    shown = [browser.get("/status/acme/"), browser.post("/status/acme/", {"password": "wrong"})]
    browser.post("/status/acme/", {"password": "open sesame"})
    shown.append(browser.get("/status/acme/feed/"))
    assert [one.status_code for one in shown] == [403, 403, 200]
    for answer in shown:
        assert english(language, seen(answer.content.decode())) == []
    assert page.language == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_letter_speaks_english(language):
    page = made(language)
    parts, work = list(page.components.all()), page.works.first()
    told = [
        letters.incident(page.publications.first(), parts, what=what, message="Ww", at=AT)
        for what in ("opened", "update", "resolved", "reopened")
    ]
    told += [
        letters.work(work, parts, what=what, message="Ww", at=AT)
        for what in ("scheduled", "updated", "reminder", "started", "verifying", "completed", "cancelled")
    ]
    told += [letters.question(page, known=known) for known in (True, False)]
    for letter in told:
        said = " ".join(
            [
                letter["subject"],
                letter["text"],
                seen(str(letter["html"])),
                letter["footer"],
                (letter["open"] or {}).get("label", ""),
            ]
        )
        assert english(language, said) == [], letter["subject"]
