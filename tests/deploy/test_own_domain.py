"""A client's own domain for the portal: whose it is has to be proved, and only its people and our staff come in there."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Any

import pytest
from django.core import mail
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client as Browser

from portal import branding, doors
from portal.clock import database_now
from portal.errors import Refused
from portal.models import AuditEntry, Branding, Client
from statuspages.models import Page
from tests import cast
from tests.console.visiting import browser, text
from tests.portal.an_app import by_password, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.once]
OWN = "portal.acme.example"
LOGO = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tries yet, and a process that has looked for no domain."""
    cache.clear()
    monkeypatch.setattr(doors.doors, "looked_at", None)


@pytest.fixture
def https(settings: Any) -> Any:
    """The portal behind a proxy with a certificate, at its own name."""
    settings.BASE_URL, settings.HTTPS = "https://portal.msp.example", True
    settings.ALLOWED_HOSTS = ["portal.msp.example", "testserver"]
    settings.CSRF_TRUSTED_ORIGINS = [settings.BASE_URL]
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SECURE_HSTS_SECONDS = 31536000
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    return settings


def entered(domain: str = OWN, client: Client | None = None, **more: Any) -> Branding:
    """Acme's portal with this domain, not proved."""
    values = {"name": "Acme Watch", "accent": "#00aa22", **more}
    return branding.save(client or cast.acme(), by=cast.TESTS, domain=domain, **values)


def proved(domain: str = OWN, client: Client | None = None) -> Branding:
    row = entered(domain, client)
    return branding.prove(row, by=cast.TESTS, at=database_now(), asked=lambda name: [row.domain_mark])


def at(host: str = OWN, **more: Any) -> Browser:
    """Somebody's browser at that name, behind the proxy."""
    return Browser(HTTP_HOST=host, HTTP_X_FORWARDED_PROTO="https", **more)


# --- Whose name is it? --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name",
    ["https://portal.acme.example", "portal.acme.example/x", "192.0.2.1", "localhost", "portal.local", "acme", "*.acme.example", "-a.example", "a..example",
     "testserver", "portal.msp.example", "x" * 250 + ".example", "a\r\nHost: b.example"],
)  # fmt: skip
def test_a_name_that_cannot_be_a_clients_is_refused_at_its_field(https, name):
    with pytest.raises(ValidationError) as refused:
        entered(name)
    assert list(refused.value.message_dict) == ["domain"] and not Branding.objects.exists()


def test_a_name_answers_for_one_client_and_for_no_status_page_beside():
    entered()
    with pytest.raises(ValidationError, match="Another client's portal"):
        entered(client=cast.globex())
    with pytest.raises(IntegrityError), transaction.atomic():
        Branding.objects.bulk_create([Branding(client=cast.globex(), domain=OWN)])
    Page.objects.create(client=cast.acme(), name="Acme status", slug="acme", custom_domain="status.acme.example")
    page = browser(cast.make_staff()).post(
        f"/branding/{cast.acme().pk}/", {"domain": "status.acme.example", "accent": ""}
    )
    assert page.status_code == 400 and "status page “Acme status” has this domain" in text(page)
    with pytest.raises(ValidationError, match="Only a client's portal"):
        branding.save(None, by=cast.TESTS, name="", accent="", domain="portal.other.example")


def test_it_is_proved_by_its_record_and_another_name_is_proved_anew():
    row = entered("Portal.Acme.Example.")
    assert row.domain == OWN and branding.record_of(row) == (f"_watchkeeper.{OWN}", row.domain_mark)
    at_, nobody = database_now(), lambda name: ["something else"]
    with pytest.raises(Refused, match="says “something else”, not “watchkeeper-"):
        branding.prove(row, by=cast.TESTS, at=at_, asked=nobody)
    assert branding.home(cast.acme().pk) == "http://localhost:8000"
    asked: list[str] = []
    branding.prove(row, by=cast.TESTS, at=at_, asked=lambda name: asked.append(name) or [row.domain_mark])
    assert asked == [f"_watchkeeper.{OWN}"] and branding.home(cast.acme().pk) == f"http://{OWN}:8000"
    entry = AuditEntry.objects.get(action="branding.domain_proved")
    assert entry.client_id == cast.acme().pk and entry.after == {"domain": OWN}
    assert entered(name="Other name").domain_proved_at, "what is not another name stays proved"
    again = entered("my.acme.example")
    assert again.domain_proved_at is None and again.domain_mark != row.domain_mark


def test_a_proof_for_a_name_that_was_changed_meanwhile_counts_for_nothing():
    row = entered()
    entered("my.acme.example")
    with pytest.raises(Refused, match="changed the domain meanwhile"):
        branding.prove(row, by=cast.TESTS, at=database_now(), asked=lambda name: [row.domain_mark])
    assert not Branding.objects.exclude(domain_proved_at=None).exists()


def test_the_page_says_what_to_enter_and_looks_when_pressed(monkeypatch):
    sam, where = browser(cast.make_staff()), f"/branding/{cast.acme().pk}/"
    assert sam.post(where, {"domain": "https://x", "accent": "#2563eb"}).status_code == 400
    assert sam.post(where, {"domain": OWN, "accent": "#2563eb"})["Location"] == f"{where}#domain"
    page, row = text(sam.get(where)), Branding.objects.get()
    assert f"_watchkeeper.{OWN}" in page and row.domain_mark in page and "Not proved" in page and "Check now" in page
    assert f"{OWN} Not proved" in " ".join(text(browser(cast.make_owner()).get("/branding/")).split())
    monkeypatch.setattr(branding.prove, "__kwdefaults__", {"asked": lambda name: [row.domain_mark]})
    page = text(sam.post(where, {"prove": "1"}, follow=True))
    assert "Proved" in page and "Check again" in page and "people add one there too" in page
    assert browser(cast.alice()).post(where, {"prove": "1"}).status_code == 404
    assert browser(cast.make_auditor()).post(where, {"prove": "1"}).status_code in (403, 404)


def test_a_proxy_may_get_certificates_for_our_names_and_no_others(settings):
    settings.ALLOWED_HOSTS = ["portal.msp.example", "testserver"]
    proved()
    entered("portal.globex.example", cast.globex())
    said = {name: browser().get("/tls/ask/", {"domain": name}).status_code for name in (OWN, "portal.msp.example", "portal.globex.example", "x.example", "")}  # fmt: skip
    assert said == {OWN: 200, "portal.msp.example": 200, "portal.globex.example": 404, "x.example": 404, "": 404}


# --- Who comes in there? ------------------------------------------------------------------------------------------------------
def test_before_the_proof_and_at_any_other_name_nobody_is_answered(https):
    entered()
    for host in (OWN, "evil.example"):
        assert at(host).get("/login/").status_code == 400
    assert at("portal.msp.example").get("/login/").status_code == 200


def test_its_sign_in_page_has_the_clients_face_and_safe_cookies(https):
    branding.save(cast.acme(), by=cast.TESTS, name="", accent="", picture=b64decode(LOGO))
    proved()
    answer = at().get("/login/")
    html = answer.content.decode()
    assert "Acme Watch" in html and "/branding/logo/" in html and "<style nonce=" in html and OWN in html
    assert "Acme Watch" not in at("portal.msp.example").get("/login/").content.decode()
    assert answer["Strict-Transport-Security"] and answer.cookies["csrftoken"]["secure"] and not answer.cookies["csrftoken"]["domain"]  # fmt: skip
    ours = at()
    by_password(ours, cast.alice())
    cookie = ours.cookies["sessionid"]
    assert cookie["secure"] and cookie["httponly"] and not cookie["domain"]


def test_only_the_clients_people_and_our_staff_come_in_and_others_hear_what_strangers_hear(https):
    proved()
    for person in (cast.alice(), cast.viewer(), cast.make_staff()):
        there = at()
        assert by_password(there, person)["Location"] == "/" and there.get("/monitors/").status_code == 200
    answers = set()
    for email in (cast.mallory().email, cast.stranger().email, "who@x.example"):
        there = at()
        answer = there.post("/login/", {"login": email, "password": cast.PASSWORD})
        assert not signed_in(there)
        said = re.sub(r'value="[^"]*"|nonce="[^"]*"', "", answer.content.decode())
        answers.add((answer.status_code, said))
    assert len(answers) == 1


def test_a_session_opens_the_door_at_which_it_began_and_no_other(https):
    proved()
    proved("portal.globex.example", cast.globex())
    both = cast.person("both@x.example", "viewer", cast.acme())
    cast.person("both@x.example", "viewer", cast.globex())
    there = at()
    by_password(there, both)
    for host, in_ in ((OWN, True), ("portal.msp.example", False), ("portal.globex.example", False)):
        assert (there.get("/monitors/", HTTP_HOST=host).status_code == 200) is in_, host
    main = at("portal.msp.example")
    by_password(main, both)
    assert main.get("/monitors/").status_code == 200
    assert main.get("/monitors/", HTTP_HOST=OWN)["Location"].startswith("/login/")


def test_who_leaves_the_client_is_nobody_there_at_once(https):
    proved()
    cast.person("alice@acme.example", "viewer", cast.globex())
    there = at()
    by_password(there, cast.alice())
    assert there.get("/monitors/").status_code == 200
    cast.User.objects.get(email="alice@acme.example").memberships.filter(client=cast.acme()).delete()
    assert there.get("/monitors/").status_code == 302


def test_a_form_is_taken_from_the_same_name_only(https):
    proved()
    there = at(enforce_csrf_checks=True)
    token = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', there.get("/login/").content.decode())[1]
    said = {"login": cast.alice().email, "password": cast.PASSWORD, "csrfmiddlewaretoken": token}
    for origin in ("https://evil.example", f"http://{OWN}", "null", "https://portal.globex.example"):
        assert there.post("/login/", said, HTTP_ORIGIN=origin).status_code == 403, origin
    assert there.post("/login/", said, HTTP_ORIGIN=f"https://{OWN}").status_code == 302 and signed_in(there)


def test_status_pages_and_single_sign_on_stay_at_the_portals_own_address(https):
    proved()
    for path in ("/status/globex/?x=1", "/login/oidc/?next=/alerts/"):
        assert at().get(path)["Location"] == f"https://portal.msp.example{path}"


def test_each_name_has_passkeys_of_its_own_and_says_so(https):
    https.MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
    proved()
    for host in (OWN, "portal.msp.example"):
        there = at(host)
        by_password(there, cast.alice())
        asked = there.get("/security/passkeys/add/")["Location"]
        page = there.post(asked, {"password": cast.PASSWORD, "next": "/security/passkeys/add/"}, follow=True)
        assert f"will work at {host} and nowhere else" in text(page) and f'"id": "{host}"' in page.content.decode()
        assert f"This is {host}; one that was added elsewhere does not work here" in text(
            there.get("/security/passkeys/")
        )


# --- Where do mails lead? -----------------------------------------------------------------------------------------------------
def test_a_lost_password_leads_home_whatever_name_was_asked(https):
    proved()
    for host in (OWN, "portal.msp.example"):
        for person, home in ((cast.alice(), f"https://{OWN}"), (cast.make_staff(), "https://portal.msp.example"), (cast.mallory(), "https://portal.msp.example")):  # fmt: skip
            mail.outbox.clear()
            at(host).post("/password/reset/", {"email": person.email})
            assert re.search(r"https?://[^/\s]+", mail.outbox[0].body)[0] == home


def test_home_is_the_clients_for_its_people_alone(https):
    acme, base = proved().client_id, "https://portal.msp.example"
    cast.person("both@x.example", "viewer", cast.globex())
    both = cast.person("both@x.example", "viewer", cast.acme())
    homes = {
        p.email: branding.home_of(p) for p in (cast.alice(), cast.mallory(), cast.make_owner(), both, cast.stranger())
    }
    assert homes.pop("alice@acme.example") == f"https://{OWN}" and set(homes.values()) == {base}
    assert branding.homes() == {acme: f"https://{OWN}"}
    assert branding.led(f"{base}/alerts/3/", f"https://{OWN}") == f"https://{OWN}/alerts/3/"
    for kept in (f"{base}.evil.example/", f"{base}/status/acme/", "https://elsewhere.example/alerts/3/"):
        assert branding.led(kept, f"https://{OWN}") == kept
