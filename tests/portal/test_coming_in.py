"""Signing in and out, the first owner's set-up, invitations, lost passwords, and people who were switched off."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.cache import cache
from django.test import Client as Browser

from portal import people
from portal.models import AuditEntry, Membership, OneTimeLink, User
from tests import cast

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_attempts_yet():
    cache.clear()


def sign_in(browser: Browser, email: str, password: str = cast.PASSWORD, **more: str):
    return browser.post("/login/", {"login": email, "password": password, **more})


def signed_in(browser: Browser) -> bool:
    return "_auth_user_id" in browser.session


# --- Signing in ------------------------------------------------------------------------------------------------------
def test_sign_in_by_email_in_any_case_and_sign_out(client):
    cast.make_staff()
    page = client.get("/login/")
    assert page.status_code == 200 and b'name="login"' in page.content and b'name="password"' in page.content
    answer = sign_in(client, "SAM@MSP.example")
    assert answer.status_code == 302 and answer["Location"] == "/" and signed_in(client)
    assert AuditEntry.objects.filter(action="user.signed_in").count() == 1
    assert client.get("/logout/").status_code == 200 and signed_in(client)
    assert client.post("/logout/")["Location"] == "/login/" and not signed_in(client)


@pytest.mark.parametrize(
    ("email", "password"),
    [("sam@msp.example", "wrong"), ("who@msp.example", cast.PASSWORD), ("", ""), ("sam", "x\x00y")],
)
def test_a_wrong_sign_in_says_the_same_for_everybody(client, email, password):
    cast.make_staff()
    answer = sign_in(client, email, password)
    assert answer.status_code in (200, 400) and not signed_in(client)


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_nobody_is_sent_elsewhere_after_signing_in(client, target):
    cast.make_staff()
    assert sign_in(client, "sam@msp.example", next=target)["Location"] == "/"


def test_after_five_wrong_passwords_the_right_one_waits_too(client):
    cast.make_staff()
    for _ in range(5):
        sign_in(client, "sam@msp.example", "wrong")
    sign_in(client, "sam@msp.example")
    assert not signed_in(client)


def test_without_a_cache_people_can_sign_in(client, settings):
    from portal.cache import PatientRedisCache

    PatientRedisCache.open_until = 0.0
    settings.CACHES = {"default": {"BACKEND": "portal.cache.PatientRedisCache", "LOCATION": "redis://127.0.0.1:1/0"}}
    cast.make_staff()
    try:
        assert sign_in(client, "sam@msp.example").status_code == 302 and signed_in(client)
    finally:
        PatientRedisCache.open_until = 0.0


def test_nobody_opens_an_account(client):
    assert client.get("/signup/").status_code == 404
    assert client.post("/signup/", {"email": "x@x.example", "password1": cast.PASSWORD}).status_code == 404
    assert not User.objects.exists()


# --- Switched off ----------------------------------------------------------------------------------------------------
def test_a_session_ends_when_its_person_is_switched_off(client):
    staff = cast.make_staff()
    cast.make_owner()
    sign_in(client, staff.email)
    assert client.get("/api/v1/sites").status_code == 200
    User.objects.filter(pk=staff.pk).update(is_active=False)  # however it happened
    assert client.get("/api/v1/sites").status_code == 401
    User.objects.filter(pk=staff.pk).update(is_active=True)
    sign_in(client, staff.email)
    people.change_user(User.objects.get(pk=staff.pk), by=cast.TESTS, is_active=False)
    assert not Session.objects.exists()
    sign_in(client, staff.email)
    assert not signed_in(client)


def test_a_changed_role_ends_sessions(client):
    staff = cast.make_staff()
    sign_in(client, staff.email)
    people.change_role(Membership.objects.get(user=staff), "auditor", by=cast.TESTS)
    assert client.get("/api/v1/sites").status_code == 401


# --- The admin's door ------------------------------------------------------------------------------------------------
def test_the_admin_is_for_our_own_people(client):
    assert client.get("/admin/")["Location"].startswith("/admin/login/")
    assert client.get("/admin/login/?next=/admin/")["Location"] == "/login/?next=/admin/"
    for who, status in (
        (cast.make_owner, 200),
        (cast.make_staff, 200),
        (cast.make_auditor, 200),
        (cast.alice, 403),
        (cast.stranger, 403),
    ):
        client.force_login(who())
        assert client.get("/admin/", follow=True).status_code == status, who


# --- Set up ----------------------------------------------------------------------------------------------------------
OWNER = {"email": "Olga@msp.example", "name": "Olga", "password": cast.PASSWORD}


def test_the_printed_link_makes_the_owner_and_signs_them_in(client):
    path = people.setup_link().removeprefix("http://localhost:8000")
    assert client.get(path).status_code == 200 and not User.objects.exists()
    assert client.post(path, OWNER)["Location"] == "/" and signed_in(client)
    assert Membership.objects.get().role == "owner"
    assert people.setup_link() is None
    for spelling in (path, path.rstrip("/"), path.upper(), "/setup/", "/setup/anything/", f"{path}?x=1"):
        assert client.get(spelling, follow=True).status_code == 404, spelling
        assert client.post(spelling, OWNER).status_code in (301, 404), spelling
    assert User.objects.count() == 1


def test_a_second_link_makes_no_second_owner(client):
    first, second = (people.setup_link().rpartition("/setup/")[2] for _ in range(2))
    client.post(f"/setup/{first}", OWNER)
    client.post(f"/setup/{first}/", OWNER)
    assert client.post(f"/setup/{second}/", {**OWNER, "email": "b@b.example"}).status_code == 404
    with pytest.raises(people.Refused):
        people.set_up(OneTimeLink.objects.get(used_at=None), "b@b.example", cast.PASSWORD, by=cast.TESTS)
    assert Membership.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "word", "status"),
    [("expired", "too old", 410), ("used", "was used", 410), ("unknown", "needs its link", 404)],
)
def test_a_link_that_does_not_work_says_why(client, change, word, status):
    path = people.setup_link().removeprefix("http://localhost:8000")
    long_ago = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    OneTimeLink.objects.update(
        **{"expired": {"expires_at": long_ago}, "used": {"used_at": long_ago}, "unknown": {"hash": "x"}}[change]
    )
    for answer in (client.get(path), client.post(path, OWNER)):
        assert answer.status_code == status and word in answer.content.decode()
    assert not User.objects.exists()


@pytest.mark.parametrize(
    "bad",
    [
        {"password": "short"},
        {"password": "password123"},
        {"email": "nobody"},
        {"email": ""},
        {"email": "a@b.example\r\nBcc: x@x.example"},
    ],
)
def test_a_bad_set_up_form_is_explained_and_may_be_sent_again(client, bad):
    path = people.setup_link().removeprefix("http://localhost:8000")
    answer = client.post(path, {**OWNER, **bad})
    assert answer.status_code == 400 and 'class="error"' in answer.content.decode()
    assert not User.objects.exists()
    assert client.post(path, OWNER).status_code == 302


# --- Invitations -----------------------------------------------------------------------------------------------------
def test_an_invited_person_chooses_a_password_once(client):
    _, link = people.invite("ina@acme.example", role="viewer", client=cast.acme(), by=cast.TESTS)
    path = link.removeprefix("http://localhost:8000")
    assert "ina@acme.example" in client.get(path).content.decode()
    assert client.post(path, {"password": "short"}).status_code == 400
    assert client.post(path, {"password": cast.PASSWORD, "name": "Ina"})["Location"] == "/"
    assert signed_in(client) and User.objects.get(email="ina@acme.example").name == "Ina"
    assert Browser().post(path, {"password": "another-password-1"}).status_code == 410
    assert Browser().get("/invite/unknown/").status_code == 404


def test_an_old_link_never_changes_the_password_of_somebody_who_has_one(client):
    _, link = people.invite("ina@acme.example", role="viewer", client=cast.acme(), by=cast.TESTS)
    user = User.objects.get(email="ina@acme.example")
    user.set_password("their-own-password")
    user.save()
    assert client.post(link.removeprefix("http://localhost:8000"), {"password": cast.PASSWORD}).status_code == 410
    assert people.invite(user.email, role="viewer", client=cast.globex(), by=cast.TESTS)[1] is None


# --- Lost passwords --------------------------------------------------------------------------------------------------
def test_a_lost_password_is_replaced_by_mail(client):
    user = cast.make_staff()
    other = Browser()
    sign_in(other, user.email)
    unknown = client.post("/password/reset/", {"email": "who@nowhere.example"})
    known = client.post("/password/reset/", {"email": user.email})
    assert known.status_code == unknown.status_code == 302 and known["Location"] == unknown["Location"]
    assert [m.to for m in mail.outbox] == [[user.email]]
    link = re.search(r"http://localhost:8000(/password/reset/key/\S+)", mail.outbox[0].body).group(1)
    page = client.get(link, follow=True)
    form = {"password1": "a-brand-new-one", "password2": "a-brand-new-one"}
    assert client.post(page.redirect_chain[-1][0], form, follow=True).status_code == 200
    user.refresh_from_db()
    assert user.check_password("a-brand-new-one")
    assert other.get("/api/v1/sites").status_code == 401  # signed out elsewhere
    assert "does not work any more" in Browser().get(link, follow=True).content.decode()


def test_the_link_in_the_mail_ignores_the_host_that_was_asked(client):
    user = cast.make_staff()
    client.post("/password/reset/", {"email": user.email}, HTTP_HOST="127.0.0.1:9999")
    assert "http://localhost:8000/password/reset/key/" in mail.outbox[0].body
    assert client.get("/login/", HTTP_HOST="evil.example").status_code == 400
