"""Wrong passwords: strangers are held back, the person is not. With the numbers that the README states."""

from __future__ import annotations

import re
import time

import pytest
import time_machine
from django.core import mail
from django.core.cache import cache
from django.test import Client as Browser

from portal import throttle
from portal.models import User
from portal.throttle import ACCOUNT, ADDRESS, BROWSER, PLACE, Limit
from tests import cast
from tests.portal.an_app import signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture(autouse=True)
def quick_hashes(settings):
    """Thousands of guesses: what is tested is which of them are looked at."""
    cache.clear()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    cast._hash.cache_clear()
    yield
    cast._hash.cache_clear()


def guess(browser: Browser, email: str, password: str = "wrong", address: str = "192.0.2.1"):
    return browser.post("/login/", {"login": email, "password": password}, REMOTE_ADDR=address)


def sign_in(browser: Browser, user: User, address: str = "192.0.2.1") -> bool:
    guess(browser, user.email, cast.PASSWORD, address)
    return signed_in(browser)


def known(user: User) -> Browser:
    """A browser in which this person signed in once, and out again."""
    browser = Browser()
    assert sign_in(browser, user, "198.51.100.200")
    browser.post("/logout/")
    assert not signed_in(browser)
    return browser


def attack(email: str, guesses: int, addresses: int) -> int:
    """So many guesses from so many networks; how many of them had their password looked at."""
    looked_at = 0
    for number in range(guesses):
        page = guess(Browser(), email, f"guess-{number}", f"10.{number % addresses}.0.1")
        looked_at += page.status_code == 200 and b"Too many wrong passwords" not in page.content
    return looked_at


# --- The victim -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("guesses", [200, pytest.param(1000, marks=pytest.mark.soak)])
def test_many_guesses_from_fifty_addresses_do_not_stop_the_person_on_their_own_browser(guesses):
    user = cast.make_staff()
    own = known(user)
    assert attack(user.email, guesses, 50) == ACCOUNT.most, "this many were looked at"
    assert sign_in(own, user, "198.51.100.200")
    assert sign_in(known_again(own), user, "203.0.113.77"), "also from elsewhere"


def known_again(browser: Browser) -> Browser:
    browser.post("/logout/")
    return browser


def test_on_a_new_browser_the_person_waits_at_most_the_stated_minutes():
    user = cast.make_staff()
    now = time.time()
    with time_machine.travel(now, tick=False) as clock:
        attack(user.email, 100, 50)
        fresh = Browser()
        page = guess(fresh, user.email, cast.PASSWORD, "198.51.100.9")
        assert f"Wait {ACCOUNT.minutes} minutes" in page.content.decode() and not signed_in(fresh)
        clock.shift(ACCOUNT.seconds + 1)
        assert sign_in(fresh, user, "198.51.100.9")


def test_who_cannot_wait_chooses_a_new_password_by_mail_and_is_known_then():
    user = cast.make_staff()
    attack(user.email, 100, 50)
    fresh = Browser()
    fresh.post("/password/reset/", {"email": user.email})
    link = re.search(r"http://localhost:8000(/password/reset/key/\S+)", mail.outbox[0].body)[1]
    form = fresh.get(link, follow=True).redirect_chain[-1][0]
    fresh.post(form, {"password1": "a-brand-new-one", "password2": "a-brand-new-one"})
    guess(fresh, user.email, "a-brand-new-one", "198.51.100.9")
    assert signed_in(fresh)


def test_a_stranger_in_one_network_cannot_delay_the_person_elsewhere():
    user = cast.make_staff()
    for number in range(200):
        guess(Browser(), user.email, address=f"192.0.2.{number}")
    assert sign_in(Browser(), user, "198.51.100.9")


def test_a_second_person_in_the_office_is_not_held_back_by_the_first():
    user, olga = cast.make_staff(), cast.make_owner()
    for _ in range(20):
        guess(Browser(), user.email)
    assert sign_in(Browser(), olga)


# --- The stranger -----------------------------------------------------------------------------------------------------
def test_all_strangers_together_have_at_most_150_guesses_in_an_hour(rf):
    now, looked_at = time.time(), 0
    with time_machine.travel(now, tick=False) as clock:
        for _minute in range(60):
            looked_at += sum(taken(rf, f"10.{number}.0.1") for number in range(40))
            clock.shift(60)
    assert ACCOUNT.most * 4 <= looked_at <= ACCOUNT.most * 5


def taken(rf, address: str, email: str = "sam@msp.example") -> bool:
    """Is a password that comes from there looked at?"""
    try:
        throttle.take(rf.post("/login/", REMOTE_ADDR=address), email)
    except throttle.Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("limit", "addresses"),
    [(PLACE, [f"192.0.2.{n}" for n in range(60)]), (PLACE, [f"2001:db8:1:{n}::1" for n in range(60)])],
    ids=["IPv4 /24", "IPv6 /48"],
)
def test_one_account_has_five_tries_from_one_network(limit, addresses):
    user = cast.make_staff()
    pages = [guess(Browser(), user.email, address=address) for address in addresses]
    assert sum(b"Too many wrong" not in page.content for page in pages) == limit.most


@pytest.mark.parametrize(
    "addresses",
    [["192.0.2.1"] * 60, [f"2001:db8::{n:x}" for n in range(1, 61)]],
    ids=["one IPv4 address", "one IPv6 /64"],
)
def test_one_address_has_thirty_tries_at_all_accounts_together(rf, addresses):
    tries = [taken(rf, address, f"p{n}@acme.example") for n, address in enumerate(addresses)]
    assert sum(tries) == ADDRESS.most == 30 and taken(rf, "198.51.100.9")


def test_an_address_that_is_stopped_uses_up_nothing_of_the_account(rf):
    for number in range(ADDRESS.most):
        taken(rf, "192.0.2.1", f"p{number}@acme.example")
    assert not any(taken(rf, "192.0.2.1") for _ in range(100))
    assert all(taken(rf, f"10.{number}.0.1") for number in range(ACCOUNT.most))


def test_the_right_password_uses_up_nothing():
    user = cast.make_staff()
    for _ in range(PLACE.most * 3):
        assert sign_in(Browser(), user)


def test_what_is_said_is_the_same_for_an_account_that_is_not_there():
    user = cast.make_staff()
    pages = [
        [guess(Browser(), email, address=f"{first}.{n}.0.1").content for n in range(ACCOUNT.most + 1)][-1]
        for first, email in ((10, user.email), (11, "who@msp.example"))
    ]
    said = [re.findall(r"Too many wrong passwords[^<]+", page.decode()) for page in pages]
    assert said[0] == said[1] != []


# --- The cookie -------------------------------------------------------------------------------------------------------
def cookie(browser: Browser):
    return next(morsel for name, morsel in browser.cookies.items() if name.startswith(throttle.COOKIE))


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_names_nobody(settings):
    settings.SESSION_COOKIE_SECURE = True
    user = cast.make_staff()
    morsel = cookie(known(user))
    assert morsel["httponly"] and morsel["secure"] and morsel["samesite"] == "Lax"
    assert user.email not in f"{morsel.key}{morsel.value}" and user.password[-12:] not in morsel.value
    assert morsel["max-age"] == throttle.KNOWN_FOR.total_seconds()


def test_a_browser_that_is_known_has_ten_tries_of_its_own():
    user = cast.make_staff()
    stolen = known(user)
    pages = [guess(stolen, user.email, address=f"10.{n}.0.1") for n in range(40)]
    assert sum(b"Too many wrong" not in page.content for page in pages) == BROWSER.most
    assert sign_in(Browser(), user, "198.51.100.9"), "and takes nobody else's"


def held_back(browser: Browser, user: User) -> bool:
    """Is this browser a stranger, while strangers have no try left?"""
    for number in range(ACCOUNT.most):
        guess(Browser(), user.email, address=f"10.{number}.0.1")
    return not sign_in(browser, user, "198.51.100.9")


def test_a_cookie_of_one_account_helps_at_no_other():
    user, olga = cast.make_staff(), cast.make_owner()
    assert held_back(known(olga), user)


def test_a_cookie_that_was_changed_helps_nobody():
    user = cast.make_staff()
    browser = known(user)
    morsel = cookie(browser)
    browser.cookies[morsel.key] = morsel.value[:-1] + ("a" if morsel.value[-1] != "a" else "b")
    assert held_back(browser, user)


def test_one_accounts_cookie_under_anothers_name_helps_nobody():
    user, olga = cast.make_staff(), cast.make_owner()
    browser = known(olga)
    browser.cookies[throttle.cookie_name(user)] = cookie(browser).value
    assert held_back(browser, user)


def test_a_new_password_makes_every_other_browser_a_stranger_again():
    user = cast.make_staff()
    old, here = known(user), known(user)
    sign_in(here, user)
    form = {"oldpassword": cast.PASSWORD, "password1": "a-brand-new-one", "password2": "a-brand-new-one"}
    here.post("/password/change/", form)
    user.refresh_from_db()
    for number in range(ACCOUNT.most):
        guess(Browser(), user.email, address=f"10.{number}.0.1")
    guess(old, user.email, "a-brand-new-one", "198.51.100.8")
    assert not signed_in(old)
    here.post("/logout/")
    guess(here, user.email, "a-brand-new-one", "198.51.100.9")
    assert signed_in(here), "the browser in which it was chosen stays known"


def test_after_half_a_year_a_browser_is_a_stranger():
    user = cast.make_staff()
    browser = known(user)
    with time_machine.travel(time.time() + throttle.KNOWN_FOR.total_seconds() + 60, tick=False):
        assert held_back(browser, user)


def test_a_browser_is_known_for_five_accounts_at_most():
    browser = Browser()
    for number in range(8):
        user = cast.person(f"p{number}@acme.example", "viewer", cast.acme())
        assert sign_in(browser, user, f"10.{number}.0.1")
        browser.post("/logout/")
    assert sum(name.startswith(throttle.COOKIE) and bool(m.value) for name, m in browser.cookies.items()) == 5


def test_proving_it_again_counts_on_the_persons_own_browser():
    user = cast.make_staff()
    browser = known(user)
    sign_in(browser, user)
    attack(user.email, 60, 50)
    page = browser.post("/reauthenticate/", {"password": cast.PASSWORD, "next": "/security/app/"})
    assert page["Location"] == "/security/app/"


def test_a_wait_is_told_in_whole_minutes():
    assert [Limit(1, seconds).minutes for seconds in (1, 60, 61, 300, 900)] == [1, 1, 2, 5, 15]
