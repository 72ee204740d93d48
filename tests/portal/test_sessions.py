"""One's own sessions: listed with device and address, ended one by one or all others, and by a new password."""

from __future__ import annotations

import datetime as dt

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client as Browser

from portal import audit, people, sessions, sign_ins
from portal.clock import database_now
from portal.models import AuditEntry, Token
from tests import cast
from tests.portal.an_app import by_password, signed_in

pytestmark = pytest.mark.django_db

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1"


@pytest.fixture(autouse=True)
def quick_hashes(settings):
    """These tests sign in often."""
    cache.clear()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    cast._hash.cache_clear()
    yield
    cast._hash.cache_clear()


def browser(user, agent: str = FIREFOX, address: str = "192.0.2.7") -> Browser:
    """A browser in which this person signed in."""
    one = Browser(REMOTE_ADDR=address, headers={"User-Agent": agent})
    by_password(one, user)
    assert signed_in(one)
    return one


def page(one: Browser) -> str:
    return one.get("/security/sessions/").content.decode()


def end(one: Browser, which: object):
    return one.post("/security/sessions/end/", {"session": which}, follow=True)


def number(user, address: str) -> int:
    return UserSession.objects.get(user=user, ip=address).pk


# --- The list ---------------------------------------------------------------------------------------------------------
def test_the_list_says_which_device_from_where_and_which_is_this_one():
    sam = cast.make_staff()
    browser(sam, PHONE, "2001:db8::5")
    text = page(browser(sam))
    assert "Firefox on Linux" in text and "192.0.2.7" in text and "Safari on iPhone" in text and "2001:db8::5" in text
    assert text.count("This one") == 1 and text.index("This one") < text.index("Safari on iPhone"), "this one first"


def test_the_list_shows_nobody_elses_and_no_session_key():
    sam, alice = cast.make_staff(), cast.alice()
    browser(alice, PHONE, "198.51.100.1")
    text = page(browser(sam))
    assert "iPhone" not in text and "198.51.100.1" not in text
    for key in Session.objects.values_list("session_key", flat=True):
        assert key not in text and key[:10] not in text


def test_it_is_linked_from_the_security_page_and_asks_who_you_are(client):
    assert client.get("/security/sessions/")["Location"].startswith("/login/?next=")
    assert client.post("/security/sessions/end/", {"session": "others"})["Location"].startswith("/login/?next=")
    client.force_login(cast.make_staff())
    assert 'href="/security/sessions/"' in client.get("/security/").content.decode()


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        (PHONE, "Safari on iPhone"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15", "Safari on Mac"),
        ("curl/8.5", "a program that does not say what it is"),
        ("", "a program that does not say what it is"),
        ("<script>alert(1)</script>", "a program that does not say what it is"),
    ],
)  # fmt: skip
def test_a_device_is_a_few_words(agent, words):
    assert sessions.device_of(agent) == words


def test_last_seen_is_written_once_in_five_minutes(client):
    sam = cast.make_staff()
    one = browser(sam)
    row = UserSession.objects.get(user=sam)
    first = row.last_seen_at
    page(one)
    row.refresh_from_db()
    assert row.last_seen_at == first, "seen a moment ago"
    UserSession.objects.update(last_seen_at=database_now() - dt.timedelta(minutes=6))
    cache.clear()  # as after five minutes
    one.defaults["REMOTE_ADDR"] = "192.0.2.99"
    page(one)
    row.refresh_from_db()
    assert row.last_seen_at >= first and row.ip == "192.0.2.99", "where it was used last"
    assert UserSession.objects.count() == 1


def test_being_seen_costs_no_question_within_five_minutes(django_assert_num_queries):
    one = browser(cast.make_staff())
    page(one)
    with django_assert_num_queries(2):  # the session and its person: no page of ours is behind this address
        one.get("/security/sessions/end/")


def test_a_session_from_before_is_written_down_when_it_is_used_and_an_ended_one_never_again():
    sam = cast.make_staff()
    one = browser(sam)
    UserSession.objects.all().delete()
    cache.clear()
    page(one)
    assert UserSession.objects.filter(user=sam).count() == 1
    Session.objects.all().delete()
    UserSession.objects.all().delete()
    cache.clear()
    assert one.get("/security/sessions/").status_code == 302 and not UserSession.objects.exists()


def test_by_a_unix_socket_there_is_no_address():
    sam = cast.make_staff()
    text = page(browser(sam, address=""))
    assert "Firefox on Linux" in text and "From" not in text and "::" not in text


# --- Ending -----------------------------------------------------------------------------------------------------------
def test_one_session_is_ended_and_the_others_stay():
    sam = cast.make_staff()
    here, stolen, other = browser(sam), browser(sam, PHONE, "203.0.113.9"), browser(sam, address="192.0.2.8")
    answer = end(here, number(sam, "203.0.113.9"))
    assert "The session of Safari on iPhone was ended" in answer.content.decode()
    assert stolen.get("/security/").status_code == 302 and other.get("/security/").status_code == 200
    entry = AuditEntry.objects.get(action="user.session_ended")
    assert entry.before == {"device": "Safari on iPhone", "address": "203.0.113.9"} and entry.actor == sam.email
    assert not list(audit.verify())


def test_all_others_are_ended_at_once():
    sam = cast.make_staff()
    here, *others = (browser(sam, address=f"192.0.2.{n}") for n in range(4))
    assert "3 other sessions were ended" in end(here, "others").content.decode()
    assert here.get("/security/").status_code == 200
    assert all(one.get("/security/").status_code == 302 for one in others)
    assert AuditEntry.objects.get(action="user.sessions_ended").before == {"sessions": 3}


@pytest.mark.parametrize("which", ["987654", "-1", "", "x", "9" * 40, "１"])
def test_a_session_that_is_not_there_is_said_and_nothing_ends(which):
    one = browser(cast.make_staff())
    assert end(one, which).status_code == 200
    assert Session.objects.count() == 1 and not AuditEntry.objects.filter(action__startswith="user.session").exists()


def test_somebody_elses_session_cannot_be_ended():
    sam, alice = cast.make_staff(), cast.alice()
    hers, his = browser(alice, address="198.51.100.1"), browser(sam)
    assert "has ended already" in end(his, number(alice, "198.51.100.1")).content.decode()
    assert hers.get("/security/").status_code == 200


def test_looking_ends_nothing():
    one = browser(cast.make_staff())
    assert one.get("/security/sessions/end/?session=others").status_code == 405


def test_signing_out_takes_it_from_the_list():
    sam = cast.make_staff()
    here, other = browser(sam), browser(sam, PHONE)
    other.post("/logout/")
    assert "iPhone" not in page(here)


# --- What ends them besides -------------------------------------------------------------------------------------------
def test_a_new_password_ends_other_sessions_and_all_tokens():
    sam = cast.make_staff()
    here, other, token = browser(sam), browser(sam, PHONE), cast.api(sam)
    form = {"oldpassword": cast.PASSWORD, "password1": "a-brand-new-one", "password2": "a-brand-new-one"}
    here.post("/password/change/", form)
    assert other.get("/security/").status_code == 302 and token.get("/api/v1/sites").status_code == 401
    text = page(here)
    assert text.count("This one") == 1 and "iPhone" not in text, "here one stays signed in"
    assert Session.objects.count() == 1 and not Token.objects.filter(revoked_at=None).exists()
    assert AuditEntry.objects.get(action="user.password_changed").after == {"sessions_ended": 1, "tokens_ended": 1}


def test_staff_end_a_persons_sessions_on_the_record():
    alice = cast.alice()
    one = browser(alice)
    assert people.sign_out(alice, by=cast.TESTS) == 1
    assert one.get("/security/").status_code == 302
    assert AuditEntry.objects.get(action="user.sessions_ended").actor == "the tests"
    assert not UserSession.objects.exists()


def test_what_has_expired_is_forgotten():
    sam = cast.make_staff()
    browser(sam)
    at = database_now() + dt.timedelta(days=15)
    sign_ins.forget_links(at)
    assert not Session.objects.exists() and not UserSession.objects.exists()
