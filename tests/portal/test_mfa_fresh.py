"""Was it really they, lately? What an approval asks of a session: which second step, how long ago, and where to take it."""

from __future__ import annotations

import datetime as dt

import pytest
import time_machine
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.test import RequestFactory

from portal import mfa
from tests import cast
from tests.portal.an_app import by_password, give_app, give_codes, shown, with_code

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_attempts_yet():
    cache.clear()


def request_of(browser, user):
    """What a view sees of this browser."""
    request = RequestFactory().get("/")
    request.session, request.user = browser.session, user
    return request


def test_a_password_is_no_second_step(client):
    sam = cast.make_staff()
    by_password(client, sam)
    client.post("/reauthenticate/", {"password": cast.PASSWORD})
    assert mfa.fresh(request_of(client, sam)) == ""


def test_a_code_at_sign_in_counts_for_ten_minutes():
    sam = cast.make_staff()
    give_app(sam)
    request = request_of(with_code(sam), sam)
    assert mfa.fresh(request) == "totp"
    now = dt.datetime.now(dt.UTC)
    with time_machine.travel(now + dt.timedelta(minutes=9), tick=False):
        assert mfa.fresh(request) == "totp" and mfa.fresh(request, within=dt.timedelta(minutes=1)) == ""
    with time_machine.travel(now + dt.timedelta(minutes=11), tick=False):
        assert mfa.fresh(request) == ""
    with time_machine.travel(now - dt.timedelta(minutes=1), tick=False):
        assert mfa.fresh(request) == "", "what lies ahead proves nothing"


def test_a_recovery_code_counts_by_its_name():
    sam = cast.make_staff()
    give_app(sam)
    assert mfa.fresh(request_of(with_code(sam, give_codes(sam)[0]), sam)) == "recovery_codes"


def test_somebody_elses_proof_counts_for_nobody():
    sam, olga = cast.make_staff(), cast.make_owner()
    give_app(sam)
    browser = with_code(sam)
    assert mfa.fresh(request_of(browser, olga)) == "" and mfa.fresh(request_of(browser, AnonymousUser())) == ""


def test_a_step_that_was_taken_away_proves_nothing_any_more():
    sam = cast.make_staff()
    give_app(sam)
    request = request_of(with_code(sam), sam)
    mfa.reset(sam, by=cast.TESTS)
    assert mfa.fresh(request) == ""


def test_the_way_there_and_back():
    sam = cast.make_staff()
    give_app(sam)
    browser = with_code(sam)
    where = mfa.step_up_url(request_of(browser, sam), "/incidents/7/?tab=plan")
    assert where == "/reauthenticate/code/?next=%2Fincidents%2F7%2F%3Ftab%3Dplan"
    page = browser.get(where)
    assert page.status_code == 200 and "password" not in page.content.decode()
    answer = browser.post(where, {"code": shown(later=1), "next": "/incidents/7/?tab=plan"})
    assert answer["Location"] == "/incidents/7/?tab=plan"


@pytest.mark.parametrize(
    "next", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", ""]
)
def test_the_way_back_is_ours(client, next):
    sam = cast.make_staff()
    give_app(sam)
    assert mfa.step_up_url(request_of(client, sam), next).endswith("?next=%2F")


def test_without_a_step_the_way_leads_to_getting_one(client):
    assert mfa.step_up_url(request_of(client, cast.make_staff()), "/incidents/7/") == "/security/"
