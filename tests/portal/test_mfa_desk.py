"""Somebody lost their phone: at the desk it is seen who has what, and taken away after a question, with a mail."""

from __future__ import annotations

import pytest
from django.core import mail
from django.core.cache import cache

from portal import mfa
from portal.models import AuditEntry
from tests import cast
from tests.portal.an_app import SECRET, give_app, give_codes, with_code
from tests.portal.at_the_desk import desk

pytestmark = pytest.mark.django_db
LIST = "/admin/portal/user/"


@pytest.fixture(autouse=True)
def no_attempts_yet():
    cache.clear()


def reset(browser, *people, **sure: str):
    chosen = [str(person.pk) for person in people]
    return browser.post(LIST, {"action": "reset_second_step", "_selected_action": chosen, **sure})


def test_the_desk_says_who_has_what_and_never_the_secret():
    alice = cast.alice()
    row = give_app(alice)
    codes = give_codes(alice)
    browser = desk(cast.make_owner())
    for path in (LIST, f"{LIST}{alice.pk}/change/"):
        page = browser.get(path).content.decode()
        assert "authenticator app, 10 recovery codes" in page, path
        assert not [s for s in (SECRET, row.data["secret"], *codes) if s in page], path


@pytest.mark.parametrize("who", ["make_owner", "make_staff"])
def test_a_lost_step_is_taken_away_after_a_question(who):
    alice = cast.alice()
    give_app(alice), give_codes(alice)
    hers = with_code(alice)
    browser = desk(getattr(cast, who)())
    asked = reset(browser, alice)
    assert b"alice@acme.example: authenticator app" in asked.content and mfa.has_factor(alice), "it asks first"
    reset(browser, alice, sure="yes")
    assert not mfa.Authenticator.objects.filter(user=alice).exists()
    assert hers.get("/password/change/").status_code == 302, "signed out everywhere"
    entry = AuditEntry.objects.get(action="user.second_step_reset")
    assert entry.subject == f"user:{alice.pk}" and entry.before == {"had": "authenticator app, 10 recovery codes"}
    assert [(m.to, m.subject) for m in mail.outbox] == [([alice.email], "Your second step was reset (Watchkeeper)")]


def test_staff_do_not_reset_an_owner_and_nobody_themselves():
    sam, olga = cast.make_staff(), cast.make_owner()
    give_app(sam), give_app(olga)
    browser = desk(sam)
    answer = browser.post(
        LIST, {"action": "reset_second_step", "_selected_action": [sam.pk, olga.pk], "sure": "yes"}, follow=True
    )
    page = answer.content.decode()
    assert "Only another owner resets" in page and "Your own second step is changed" in page
    assert mfa.has_factor(sam) and mfa.has_factor(olga) and not mail.outbox


def test_an_owner_resets_another_owner():
    olga, otto = cast.make_owner(), cast.person("otto@msp.example", "owner")
    give_app(otto)
    reset(desk(olga), otto, sure="yes")
    assert not mfa.has_factor(otto)


def test_who_has_none_is_told_so():
    alice = cast.alice()
    browser = desk(cast.make_owner())
    answer = browser.post(
        LIST, {"action": "reset_second_step", "_selected_action": [alice.pk], "sure": "yes"}, follow=True
    )
    assert b"has no second step" in answer.content


def test_an_auditor_only_looks():
    alice = cast.alice()
    give_app(alice)
    reset(desk(cast.make_auditor()), alice, sure="yes")
    assert mfa.has_factor(alice)
