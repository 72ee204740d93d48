"""Does everybody see the portal under the right name, logo and colour, readable, and without loosening what a page may do?"""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, transaction
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from alerts import requested, requesting
from incidents import reports, sla_mail
from portal import branding, colours, viewing
from portal.clock import database_now
from portal.models import AuditEntry, Branding
from portal.tenancy import viewer_of
from tests import cast
from tests.console.test_browser import DESK, PHONE, Visitor, chromium, local_probe  # noqa: F401 - fixtures
from tests.console.test_incident_browser import keep
from tests.console.visiting import browser, text
from tests.rig import axe

pytestmark = pytest.mark.django_db
# One point of a colour, as a whole PNG.
LOGO = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")  # fmt: skip
YELLOW = "#ffe000"
STYLE = re.compile(r'<style nonce="([^"]+)">([^<]*)</style>')


def brand(client: Any = None, **values: Any) -> Branding:
    return branding.save(client, by=cast.TESTS, **{"name": "", "accent": "", **values})


def seen(user: Any, where: str = "/") -> tuple[str, str]:
    """(the portal's name, the logo's address) on a page as this person sees it."""
    html = browser(user).get(where).content.decode()
    found = re.search(r'<a class="brand"[^>]*><img src="([^"]+)"[^>]*><span[^>]*>([^<]+)</span>', html)
    assert found
    return found[2], found[1]


# --- Who sees which -----------------------------------------------------------------------------------------------------------
def test_as_delivered_it_is_called_watchkeeper_and_has_no_style_of_its_own():
    name, logo = seen(cast.alice())
    assert name == "Watchkeeper" and logo.endswith("favicon.svg")
    assert not STYLE.search(browser(cast.alice()).get("/").content.decode())


def test_a_clients_people_see_its_own_and_nobody_else_does():
    brand(name="Northwind Care")
    brand(cast.acme(), name="Acme Watch", picture=LOGO)
    assert seen(cast.alice())[0] == "Acme Watch" and seen(cast.viewer())[0] == "Acme Watch"
    for other in (cast.mallory(), cast.make_staff(), cast.make_owner(), cast.stranger()):
        assert seen(other)[0] == "Northwind Care"
    assert "/branding/logo/" not in seen(cast.mallory())[1]


def test_what_a_client_leaves_empty_is_the_msps():
    brand(name="Northwind Care", accent="#aa2200", picture=LOGO)
    brand(cast.acme(), accent="#00aa22")
    found = branding.of(viewer_of(cast.alice()))
    assert (found.name, found.accent) == ("Northwind Care", "#00aa22") and found.logo.endswith(".png")


def test_who_belongs_to_two_clients_sees_the_msps():
    brand(cast.acme(), name="Acme Watch")
    brand(cast.globex(), name="Globex Eyes")
    both = cast.person("both@x.example", "viewer", cast.acme())
    cast.person("both@x.example", "viewer", cast.globex())
    assert seen(both)[0] == "Watchkeeper"


def test_the_sign_in_page_is_the_msps():
    brand(name="Northwind Care", accent=YELLOW, picture=LOGO)
    answer = browser().get("/login/")
    html = answer.content.decode()
    assert "Northwind Care" in text(answer) and "/branding/logo/" in html and STYLE.search(html)


def test_staff_who_look_as_a_client_see_what_its_people_see():
    brand(cast.acme(), name="Acme Watch")
    sam = browser(cast.make_staff())
    sam.post("/view-as/", {"client": cast.acme().pk, "reason": "They cannot find a button."})
    assert sam.session.get(viewing.VIEWING) and "Acme Watch" in text(sam.get("/"))


def test_there_is_one_for_everybody_and_one_for_each_client():
    brand(name="One")
    for client in (None, cast.acme()):
        with pytest.raises(IntegrityError), transaction.atomic():
            Branding.objects.bulk_create([Branding(client=client, name="x"), Branding(client=client, name="y")])


def test_a_mail_to_a_clients_people_names_the_portal_as_they_know_it():
    brand(cast.acme(), name="Acme Watch")
    assert branding.called(cast.acme().pk) == "Acme Watch" and branding.called(cast.globex().pk) == "Watchkeeper"
    at = database_now()
    about = {"title": "x", "starts_at": at, "ends_at": at + timedelta(hours=1)}
    row = requesting.ask(cast.acme(), user=cast.alice(), by=cast.TESTS, at=at, **about)
    requesting.decline(row, by=cast.TESTS, at=at, reason="No.")
    assert requested.last_letter(row).notice.snapshot["letter"]["footer"].endswith("in Acme Watch.")


# --- What may stand there -----------------------------------------------------------------------------------------------------
@given(st.integers(0, 0xFFFFFF).map(lambda n: f"#{n:06x}"))
def test_every_colour_can_be_read_in_both_themes(accent):
    t = colours.tokens(accent)
    for n, papers in enumerate(((colours.LIGHT_PAPER, colours.LIGHT_RAISED), (colours.DARK_PAPER, colours.DARK_RAISED))):  # fmt: skip
        for paper in (*papers, t["act-tint"][n]):
            assert colours.contrast(t["link"][n], paper) >= 4.5, (accent, paper)
        assert colours.contrast(t["act"][n], "#ffffff") >= 4.5 and colours.contrast(t["act-hover"][n], "#ffffff") >= 4.5


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"accent": "red"}, "accent"), ({"accent": "#fff"}, "accent"), ({"accent": "#12345g"}, "accent"), ({"accent": "#123456;}*{x:url(//evil)"}, "accent"),
        ({"name": "x" * 61}, "name"), ({"name": "a\x00b"}, "name"), ({"name": "a\u202eb"}, "name"),
        ({"picture": b"<svg onload=alert(1)>"}, "logo"), ({"picture": b"GIF89a"}, "logo"), ({"picture": LOGO + bytes(210_000)}, "logo"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_at_its_field_and_nothing_is_kept(values, field):
    with pytest.raises(ValidationError) as refused:
        brand(**values)
    assert list(refused.value.message_dict) == [field] and not Branding.objects.exists()


def test_a_name_is_text_on_every_page():
    brand(cast.acme(), name="<b>Acme</b>")
    assert "<b>Acme</b>" not in browser(cast.alice()).get("/").content.decode()


def test_the_style_has_the_pages_own_nonce_and_the_policy_stays_as_strict():
    plain = browser(cast.alice()).get("/")["Content-Security-Policy"]
    brand(cast.acme(), accent=YELLOW)
    answer = browser(cast.alice()).get("/")
    found = STYLE.search(answer.content.decode())
    assert found and re.fullmatch(r":root\{(--[a-z-]+:light-dark\(#[0-9a-f]{6},#[0-9a-f]{6}\);?)+\}", found[2])
    policy = answer["Content-Security-Policy"]
    assert f"'nonce-{found[1]}'" in policy and "unsafe" not in policy
    assert re.sub(r"nonce-[^']+", "", policy) == re.sub(r"nonce-[^']+", "", plain)


# --- The picture's address ---------------------------------------------------------------------------------------------------
def test_a_logo_is_served_by_its_digest_as_what_it_is_and_kept_for_long(client):
    brand(cast.acme(), picture=LOGO)
    where = seen(cast.alice())[1]
    answer = client.get(where)  # also to whoever is not signed in: a mail shows it
    assert answer.content == LOGO and answer["Content-Type"] == "image/png"
    assert answer["X-Content-Type-Options"] == "nosniff" and "immutable" in answer["Cache-Control"]
    assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert client.post(where).status_code == 405
    assert client.get(where.replace(".png", ".webp")).status_code == 404
    assert client.get(f"/branding/logo/{'0' * 64}.png").status_code == 404


def test_another_picture_has_another_address_and_the_old_one_is_gone(client):
    brand(picture=LOGO)
    first = seen(cast.make_staff())[1]
    brand(picture=LOGO + b"\x00")
    second = seen(cast.make_staff())[1]
    assert first != second and client.get(first).status_code == 404 and client.get(second).status_code == 200
    brand(picture=None)
    assert seen(cast.make_staff())[1].endswith("favicon.svg")


# --- The forms -----------------------------------------------------------------------------------------------------------------
def test_the_owner_sets_ours_on_the_page_and_it_is_on_record():
    olga = browser(cast.make_owner())
    picture = SimpleUploadedFile("logo.png", LOGO, "image/png")
    wish = {"name": "Northwind  Care", "own_accent": "on", "accent": "#AA2200", "logo": picture}
    answer = olga.post(reverse("branding_ours"), wish, follow=True)
    assert "Everybody sees it now." in text(answer) and "Northwind Care" in text(answer)
    row = Branding.objects.get()
    assert (row.client, row.accent, row.logo_type) == (None, "#aa2200", "image/png")
    assert AuditEntry.objects.filter(action="branding.change", client_id=None).exists()
    olga.post(reverse("branding_ours"), {"name": "Northwind Care", "accent": "#aa2200"})
    row.refresh_from_db()
    assert row.accent == "" and row.logo_digest, "the colour was unticked, the logo kept"
    olga.post(reverse("branding_ours"), {"name": "", "accent": "#aa2200", "no_logo": "on"})
    row.refresh_from_db()
    assert row.logo is None and not row.logo_digest and seen(cast.make_owner())[0] == "Watchkeeper"


def test_a_picture_that_is_none_is_refused_at_its_field():
    file = SimpleUploadedFile("logo.png", b"<svg/>", "image/png")
    answer = browser(cast.make_owner()).post(reverse("branding_client", args=[cast.acme().pk]), {"logo": file})
    assert answer.status_code == 400 and "An SVG is a program" in text(answer) and not Branding.objects.exists()


@pytest.mark.parametrize(
    ("who", "ours", "theirs"),
    [
        (cast.make_owner, 302, 302), (cast.make_staff, 403, 302), (cast.make_auditor, 403, 403), (cast.alice, 404, 404), (cast.mallory, 404, 404), (cast.stranger, 404, 404),
    ],
)  # fmt: skip
def test_who_may_change_it(who, ours, theirs):
    person, wish = browser(who()), {"name": "New"}
    assert person.post(reverse("branding_ours"), wish).status_code == ours
    assert person.post(reverse("branding_client", args=[cast.acme().pk]), wish).status_code == theirs
    assert person.get(reverse("branding")).status_code == (200 if ours == 302 else ours)
    assert Branding.objects.count() == (ours == 302) + (theirs == 302)


# --- In a real browser ------------------------------------------------------------------------------------------------------------
def visited() -> list[str]:
    """Acme under a colour that is hard to read, with a request that waits, a report and its recipients."""
    acme, at = cast.acme(), database_now()
    brand(acme, name="Acme Watch", accent=YELLOW, picture=LOGO, domain="portal.acme.example")
    about = {"title": "New switch", "note": "Loud.", "starts_at": at, "ends_at": at + timedelta(hours=1)}
    row = requesting.ask(acme, user=cast.approver(), by=cast.TESTS, at=at, **about)
    reports.save_contract(cast.service(), by=cast.TESTS)
    sla_mail.name_recipients(acme, [cast.contact()], by=cast.TESTS, ours=True)
    first = (at.replace(day=1) - timedelta(days=1)).date().replace(day=1)
    reports.make(acme, first, by=cast.TESTS, at=at)
    return [
        "/", "/sla/", f"/sla/{acme.pk}/{first:%Y-%m}/", "/maintenance/", f"/maintenance/requests/{row.pk}/", "/maintenance/requests/add/",
    ]  # fmt: skip


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_in_a_browser_the_colour_is_there_readable_in_both_themes_and_every_page_fits(chromium, live_server, local_probe, size):  # fmt: skip # noqa: F811
    alice, barriers = Visitor(chromium, live_server, cast.alice(), size), []
    places = visited()
    for where in places:
        page = alice.open(where)
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, where
        barriers += axe.look(page, where)
        keep(page, f"branded-{where.strip('/').replace('/', '-') or 'overview'}-{size['width']}-dark")
        page.emulate_media(color_scheme="light")
        keep(page, f"branded-{where.strip('/').replace('/', '-') or 'overview'}-{size['width']}")
    link = page.evaluate("getComputedStyle(document.querySelector('.crumbs a')).color")
    light = colours.tokens(YELLOW)["link"][0]
    assert link == f"rgb({int(light[1:3], 16)}, {int(light[3:5], 16)}, {int(light[5:7], 16)})"
    assert page.evaluate("document.querySelector('.brand img').naturalWidth") == 1, "the logo is drawn"
    olga = Visitor(chromium, live_server, cast.make_owner(), size)
    for where in ("/branding/", "/branding/ours/", f"/branding/{cast.acme().pk}/", places[4], places[3], places[2], "/sla/"):  # fmt: skip
        page = olga.open(where)
        keep(page, f"staff-{where.strip('/').replace('/', '-')}-{size['width']}")
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, where
        barriers += axe.look(page, where)
    assert not barriers, axe.told(barriers)
    assert alice.complaints == [] and olga.complaints == []
