"""STP-1, STP-3, STP-5, S14, S28: what a page's addresses answer, to whom, and what they never carry."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from html.parser import HTMLParser
from urllib.parse import urljoin
from xml.etree import ElementTree as tree

import pytest
from django.contrib.auth.hashers import make_password
from django.db import OperationalError, connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext

from statuspages import gate, pictures, serving
from statuspages.models import Page
from tests import cast
from tests.statuspages import showing
from tests.statuspages.showing import AT, HOUR
from tests.statuspages.test_projection import SECRETS, planted

pytestmark = pytest.mark.django_db
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + b"\x00" * 60


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is a process that has just started."""
    serving.board.forget()
    monkeypatch.setattr(gate, "tries", gate.Tries())
    yield
    serving.board.forget()


@pytest.fixture
def page() -> Page:
    """Acme's page: an outage, an incident with updates, planned work, history."""
    page = showing.page(
        logo=PNG, logo_type="image/png", about="**Write** to us", support_url="https://acme.example/help"
    )
    m = showing.monitor("down", "a")
    part = showing.component(page, "Checkout", m, group=showing.group(page))
    showing.component(page, "Mail", showing.monitor("up", "b"))
    showing.rolled(m, AT - timedelta(days=3), 24, up=60)
    showing.incident(page, severity="critical", components=[part], at=AT - HOUR)
    showing.incident(page, "Slow orders", at=AT - timedelta(days=2), resolved_at=AT - timedelta(days=2) + HOUR)
    showing.work(page, components=[part])
    return showing.build(page)


def every_byte(page: Page) -> dict[str, bytes]:
    """{address: content} of everything there is."""
    front = serving.board.front(serving.board.find(page.slug))
    assert front is not None
    return {address: showing.get(page, address).content for address in front.addresses()}


# --- The page ---------------------------------------------------------------------------------------------------------------
def test_the_page_says_its_state_its_incidents_and_its_parts_without_script_or_cookie(page):
    answer = showing.get(page)
    text = answer.content.decode()
    assert answer.status_code == 200 and not answer.cookies and "<script" not in text
    first, then = text.index("Major outage: Checkout"), text.index("Payments fail")
    assert first < then < text.index("New database") < text.index('class="components"') < text.index("Slow orders")
    assert 'datetime="2026-11-21T11:30:00Z">21 November 2026, 11:30</time>' in text
    assert text.count("<rect") > 180 and "<title>18 November 2026: Operational, 100" in text


@pytest.mark.parametrize(("language", "words"), [("fr", "Panne majeure : Checkout"), ("pt", "Falha grave: Checkout")])
def test_the_page_speaks_its_language_and_its_zone(page, language, words):
    Page.objects.update(language=language, timezone="America/Sao_Paulo")
    text = showing.get(showing.build(page)).content.decode()
    assert (
        words in text and f'<html lang="{language}"' in text and "08:30</time>" in text and "America/Sao_Paulo" in text
    )


class Links(HTMLParser):
    """Everything that a page makes a browser fetch, and where its links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        if tag == "a":
            self.links.append(given.get("href", ""))
        else:
            self.fetched += [given[k] for k in ("src", "href", "srcset", "data", "poster", "action") if k in given]


def test_every_address_answers_and_every_link_within_leads_somewhere(page):
    for address, content in every_byte(page).items():
        if address.endswith((".json", ".atom", ".svg", ".css", ".png")):
            continue
        found = Links(content.decode())
        assert not [f for f in found.fetched if "//" in f], "nothing comes from elsewhere"
        for link in [*found.fetched, *found.links]:
            if "//" not in link and not link.startswith(("#", "data:")):
                answer = Browser().get(urljoin(f"/status/acme/{address}", link))
                assert answer.status_code == 200, (address, link)


@pytest.mark.parametrize(
    "rest",
    ["history/2019-01/", "history/2026-99/", "incidents/999999/", "badge/99.svg", "logo.gif", "../", "index.html", "x"],
)
def test_what_is_not_there_is_404(page, rest):
    assert showing.get(page, rest).status_code == 404


def test_addresses_without_their_last_slash_lead_to_it(page):
    assert Browser().get("/status/acme").headers["Location"] == "/status/acme/"
    assert showing.get(page, "embed").headers["Location"] == "/status/acme/embed/"
    assert showing.get(page, "history/2026-11").headers["Location"] == "/status/acme/history/2026-11/"


def test_json_says_what_the_page_says(page):
    answer = showing.get(page, "index.json")
    body = answer.json()
    assert body["state"]["status"] == "major_outage" and body["incidents"][0]["title"] == "Payments fail"
    assert body["as_of"] == "2026-11-21T12:30:00Z" and answer.headers["Access-Control-Allow-Origin"] == "*"
    assert set(body) == {"as_of", "url", "page", "state", "groups", "incidents", "works", "history"}


def test_badges_say_the_page_and_each_part(page):
    part = page.components.get(name="Mail")
    assert b"Acme: Major outage" in showing.get(page, "badge.svg").content
    answer = showing.get(page, f"badge/{part.pk}.svg")
    assert b"Mail: Operational" in answer.content and answer.headers["Content-Type"] == "image/svg+xml"


def test_a_badge_is_whole_whatever_the_name_holds():
    name = 'A\x0b\x01 <b> & " \ufffe' + "x" * 100
    assert "…" in "".join(tree.fromstring(pictures.badge(name, "operational", "en")).itertext())


@pytest.mark.parametrize("kind", ["up", "degraded", "down", "maintenance", "unknown"])
def test_a_badges_words_can_be_read(kind):
    from statuspages.colours import contrast

    assert contrast("#ffffff", pictures.BADGES[kind]) >= 4.5


# --- Fast and hard to kill --------------------------------------------------------------------------------------------------
def test_who_has_it_is_told_so(page):
    answer = showing.get(page)
    assert "public" in answer.headers["Cache-Control"] and "stale-while-revalidate" in answer.headers["Cache-Control"]
    again = showing.get(page, **{"If-None-Match": f'"other", {answer.headers["ETag"]}'})
    assert again.status_code == 304 and not again.content and again.headers["ETag"] == answer.headers["ETag"]
    assert showing.get(page, **{"If-Modified-Since": answer.headers["Last-Modified"]}).status_code == 304
    assert (
        showing.get(
            page, **{"If-None-Match": '"other"', "If-Modified-Since": answer.headers["Last-Modified"]}
        ).status_code
        == 200
    )


def test_another_state_is_another_validator(page):
    before = showing.get(page).headers["ETag"]
    page.components.filter(name="Checkout").update(override="operational")
    showing.build(page, AT + timedelta(minutes=1))
    after = showing.get(page, **{"If-None-Match": before})
    assert after.status_code == 200 and after.headers["ETag"] != before


def test_it_is_packed_for_who_can_unpack(page):
    packed, plain = (
        showing.get(page, **{"Accept-Encoding": "br, gzip"}),
        showing.get(page, **{"Accept-Encoding": "gzip;q=0"}),
    )
    assert packed.headers["Content-Encoding"] == "gzip" and gzip.decompress(packed.content) == plain.content
    assert len(packed.content) * 4 < len(plain.content) and "Accept-Encoding" in packed.headers["Vary"]


def test_readers_cost_one_look_into_the_database_a_second(page, monkeypatch):
    monkeypatch.setattr("statuspages.board.LOOK_SECONDS", 3600.0)  # a second, on a machine as slow as it likes
    showing.get(page)
    with CaptureQueriesContext(connection) as seen:
        for _ in range(20):
            assert showing.get(page).status_code == 200
    assert len(seen) == 0
    serving.board.look_again()
    with CaptureQueriesContext(connection) as seen:
        for _ in range(20):
            showing.get(page)
    assert len(seen) == 1


def test_while_the_database_is_away_pages_are_served_as_they_were(page, monkeypatch):
    text = showing.get(page).content

    def away() -> None:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(serving.board, "_read", away)
    serving.board.look_again()
    assert showing.get(page).content == text


def test_a_process_that_never_saw_the_database_asks_for_a_moment(page, monkeypatch):
    monkeypatch.setattr(serving.board, "_read", lambda: (_ for _ in ()).throw(OperationalError("no route")))
    answer = showing.get(page)
    assert answer.status_code == 503 and answer.headers["Retry-After"] and b"no route" not in answer.content


def test_a_page_that_was_never_built_asks_for_a_moment(page):
    showing.page(cast.globex())
    answer = Browser().get("/status/globex/")
    assert answer.status_code == 503 and answer.headers["Retry-After"]


def test_a_change_is_seen_at_once_by_the_process_that_made_it(page):
    assert showing.get(page).status_code == 200
    page.enabled = False
    page.save()
    assert showing.get(page).status_code == 404


# --- Headers ------------------------------------------------------------------------------------------------------------------
def test_nothing_runs_and_only_the_embed_may_be_framed(page):
    for address in every_byte(page):
        headers = showing.get(page, address).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "script" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        framed = address == "embed/"
        assert ("frame-ancestors *" in policy, headers.get("X-Frame-Options") is None) == (framed, framed), address


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch", "options"])
def test_a_public_page_is_for_reading(page, method):
    assert getattr(Browser(), method)("/status/acme/").status_code == 405


# --- Who may read it ----------------------------------------------------------------------------------------------------------
def test_a_page_that_is_off_answers_as_if_it_did_not_exist(page):
    Page.objects.update(enabled=False)
    serving.board.forget()
    off, never = Browser().get("/status/acme/"), Browser().get("/status/never-was/")
    assert off.status_code == never.status_code == 404


@pytest.fixture
def locked(page: Page) -> Page:
    Page.objects.update(visibility="password", password_hash=make_password("open sesame"))
    return showing.build(page)


def enter(word: str, browser: Browser | None = None, **headers: str):
    return (browser or Browser()).post("/status/acme/", {"password": word}, headers=headers)


def test_a_page_with_a_password_shows_nothing_but_a_form(locked):
    for address in ("", "index.json", "feed.atom", "badge.svg", "icon.svg", "embed/", "history/2026-11/", "logo.png"):
        answer = showing.get(locked, address)
        assert answer.status_code == 403 and not answer.cookies, address
        assert (
            b"Checkout" not in answer.content
            and b"Acme" not in answer.content
            and b"no-store" in answer.headers["Cache-Control"].encode()
        )
    assert showing.get(locked, "style.css").status_code == 200


def test_the_password_opens_this_page_for_this_reader_until_it_is_changed(locked):
    reader = Browser()
    answer = enter("open sesame", reader)
    cookie = answer.cookies[gate.cookie_name(locked.pk)]
    assert (
        answer.status_code == 303
        and cookie["path"] == "/status/acme/"
        and cookie["httponly"]
        and cookie["samesite"] == "Lax"
    )
    read = showing.get(locked, browser=reader)
    assert (
        b"Checkout" in read.content
        and read.headers["Cache-Control"].startswith("private")
        and "Cookie" in read.headers["Vary"]
    )
    assert showing.get(locked).status_code == 403, "another reader has to say it too"
    Page.objects.update(password_hash=make_password("another"))
    serving.board.forget()
    assert showing.get(locked, browser=reader).status_code == 403


def test_one_pages_cookie_opens_no_other(locked):
    other = showing.page(
        cast.globex(), visibility="password", password_hash=Page.objects.get(pk=locked.pk).password_hash
    )
    assert not gate.holds(gate.pass_for(locked.pk, locked.password_hash), other.pk, other.password_hash)
    assert not gate.holds("1.x:y:z", locked.pk, locked.password_hash)


def test_guessing_gets_nowhere(locked, monkeypatch):
    monkeypatch.setattr(serving, "check_password", lambda said, kept: said == "open sesame")
    for _ in range(gate.MOST_OF_AN_ADDRESS):
        assert enter("wrong").status_code == 403
    answer = enter("open sesame")
    assert answer.status_code == 429 and answer.headers["Retry-After"] and not answer.cookies


def test_another_sites_form_opens_nothing(locked):
    assert enter("open sesame", **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert enter("open sesame", Origin="https://evil.example").status_code == 403


def test_a_page_for_the_clients_people_is_read_by_them_and_staff_alone(page):
    Page.objects.update(visibility="signed_in")
    showing.build(page)
    assert showing.get(page).headers["Location"].startswith("/login/")
    for who, status in (
        (cast.alice(), 200),
        (cast.viewer(), 200),
        (cast.make_staff(), 200),
        (cast.mallory(), 404),
        (cast.stranger(), 404),
    ):
        reader = Browser()
        reader.force_login(who)
        answer = showing.get(page, browser=reader)
        assert answer.status_code == status, who
        assert status == 404 or answer.headers["Cache-Control"].startswith("private")
    assert Browser().get("/status/acme/index.json").status_code == 302


# --- Hosts --------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def domain(page: Page) -> str:
    Page.objects.update(custom_domain="status.acme.example", domain_verified_at=AT)
    showing.build(page)
    return "status.acme.example"


def test_a_proved_domain_is_the_page_and_nothing_else(domain):
    reader = Browser(headers={"host": domain})
    assert (
        b"Major outage" in reader.get("/").content and reader.get("/index.json").json()["url"] == f"https://{domain}/"
    )
    assert reader.get("/history/2026-11/").status_code == 200
    for path in (
        "/login/",
        "/admin/",
        "/status/acme/",
        "/status/globex/",
        "/healthz",
        "/metrics",
        "/api/v1/monitors",
        "/static/portal/app.css",
    ):
        assert reader.get(path).status_code == 404, path


def test_a_domain_that_is_not_proved_and_an_unknown_host_are_404(page):
    Page.objects.update(custom_domain="status.acme.example")
    showing.build(page)
    for host in ("status.acme.example", "evil.example", ""):
        assert Browser(headers={"host": host or "x y"}).get("/status/acme/").status_code == 404
        assert Browser(headers={"host": host or "x y"}).get("/").status_code == 404


def test_a_domain_cannot_take_the_portals_own_name(page):
    Page.objects.update(custom_domain="testserver", domain_verified_at=AT)
    showing.build(page)
    assert Browser().get("/").status_code == 302, "the portal's own front, which asks to sign in"


def test_two_hosts_are_never_mixed_up(domain):
    showing.build(
        showing.page(cast.globex(), name="Globex", custom_domain="status.globex.example", domain_verified_at=AT)
    )
    one, other = (Browser(headers={"host": f"status.{name}.example"}).get("/").content for name in ("acme", "globex"))
    assert b"Acme" in one and b"Globex" not in one and b"Globex" in other and b"Acme" not in other


def test_a_page_for_the_clients_people_is_not_read_at_its_domain(domain):
    Page.objects.update(visibility="signed_in")
    serving.board.forget()
    assert Browser(headers={"host": domain}).get("/").headers["Location"] == "http://localhost:8000/status/acme/"


# --- Nothing private ------------------------------------------------------------------------------------------------------------
def test_no_byte_of_any_address_carries_what_is_private():
    """An anonymous crawler reads everything there is; what was planted in monitors and other clients is nowhere."""
    page = showing.build(planted())
    for address, content in every_byte(page).items():
        assert [word for word in SECRETS if word.encode() in content] == [], address


def test_the_data_are_exactly_the_fields_that_may_be_public(page):
    """An allow-list: a new field has to be added here by a person who thought about it."""
    body = json.loads(showing.get(page, "index.json").content)
    keys: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            keys.update(value)
            value = list(value.values())
        if isinstance(value, list):
            for one in value:
                walk(one)

    walk(body)
    assert keys == {
        "as_of", "url", "page", "state", "groups", "incidents", "works", "history", "name", "headline", "about", "announcement", "support_url",
        "language", "timezone", "subscriptions", "status", "sentence", "components", "collapsed", "id", "description", "uptime", "days", "date", "up",
        "worst", "no_data", "title", "severity", "began_at", "resolved_at", "updates", "at", "html", "starts_at", "ends_at", "month",
    }  # fmt: skip


@pytest.mark.parametrize("language,words", [("fr", "Il n’y a rien"), ("pt", "Não há nada")])
def test_what_is_not_there_is_said_in_the_pages_language(page, language, words):
    Page.objects.update(language=language)
    serving.board.forget()
    assert words in showing.get(page, "nothing").content.decode()
