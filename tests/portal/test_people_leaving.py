"""Roles at the pages about people, and the way out: who changes, removes and signs out whom; the last owner stays."""

from __future__ import annotations

import threading

import pytest
from django.core import mail
from django.core.cache import cache
from django.db import connection

from portal import people
from portal.errors import Refused
from portal.models import AuditEntry, Membership
from portal.tenancy import viewer_of
from tests import cast
from tests.portal.test_people_pages import as_, everybody, of, text

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_remembered():
    cache.clear()


# --- Roles, and leaving -----------------------------------------------------------------------------------------------
def test_an_admin_gives_another_role_and_the_person_signs_in_anew():
    vic = cast.viewer()
    theirs, row = as_(vic), of(vic, cast.acme())
    as_(cast.alice()).post(f"/people/{row.pk}/", {"role": "approver"})
    row.refresh_from_db()
    assert row.role == "approver" and theirs.get("/").status_code == 302
    entry = AuditEntry.objects.get(action="membership.changed")
    assert (entry.before, entry.after, entry.client_id) == ({"role": "viewer"}, {"role": "approver"}, cast.acme().pk)


@pytest.mark.parametrize("role", ["owner", "staff", "auditor", "", "root"])
def test_a_clients_admin_makes_nobody_one_of_ours(role):
    row = of(cast.viewer(), cast.acme())
    for who in (cast.alice(), cast.make_owner()):
        assert as_(who).post(f"/people/{row.pk}/", {"role": role}).status_code == 400
    row.refresh_from_db()
    assert row.role == "viewer" and row.client == cast.acme()


def test_staff_neither_change_nor_remove_our_own_people():
    browser = as_(cast.make_staff())
    for who in (cast.make_owner(), cast.make_auditor(), cast.make_staff()):
        row = of(who)
        assert f'href="/people/{row.pk}/"' not in text(browser)
        for path in ("", "remove/", "resend/", "end-sessions/"):
            assert browser.post(f"/people/{row.pk}/{path}", {"role": "owner"}).status_code == 403
    assert Membership.objects.filter(client=None).count() == 3


def test_auditors_only_look():
    browser, row = as_(cast.make_auditor()), of(cast.viewer(), cast.acme())
    assert "Invite somebody" not in text(browser) and f'href="/people/{row.pk}/"' not in text(browser)
    for path in ("/people/invite/", f"/people/{row.pk}/", f"/people/{row.pk}/remove/"):
        assert browser.get(path).status_code == browser.post(path).status_code == 403


def test_another_clients_people_do_not_exist():
    browser, row = as_(cast.mallory()), of(cast.viewer(), cast.acme())
    for path in ("", "remove/", "resend/", "end-sessions/", "nonsense/"):
        where = f"/people/{row.pk}/{path}"
        assert browser.get(where).status_code == browser.post(where, {"role": "admin"}).status_code == 404
    assert browser.get(f"/people/?client={cast.acme().pk}").content.decode().count("vic@") == 0
    assert Membership.objects.filter(pk=row.pk, role="viewer").exists()


def test_somebody_is_removed_and_sees_nothing_any_more():
    vic = cast.viewer()
    token, theirs, row = cast.api(vic, client=cast.acme()), as_(vic), of(vic, cast.acme())
    browser = as_(cast.alice())
    assert "see nothing of Acme" in text(browser, f"/people/{row.pk}/remove/")
    browser.post(f"/people/{row.pk}/remove/")
    assert theirs.get("/").status_code == 302 and token.get("/api/v1/sites").status_code == 401
    assert AuditEntry.objects.get(action="membership.removed").actor == "alice@acme.example"


def test_looking_changes_nothing():
    browser, row = as_(cast.alice()), of(cast.viewer(), cast.acme())
    for path in ("remove/", "resend/", "end-sessions/"):
        assert browser.get(f"/people/{row.pk}/{path}").status_code in (200, 302)
    assert Membership.objects.filter(pk=row.pk).exists() and not mail.outbox
    assert browser.get(f"/people/{row.pk}/nonsense/").status_code == 404


def test_an_admin_signs_their_own_people_out():
    vic = cast.viewer()
    theirs = as_(vic)
    as_(cast.alice()).post(f"/people/{of(vic, cast.acme()).pk}/end-sessions/")
    assert theirs.get("/").status_code == 302
    assert AuditEntry.objects.get(action="user.sessions_ended").actor == "alice@acme.example"


def test_who_belongs_to_two_clients_is_signed_out_by_staff_and_not_by_one_admin():
    vic = cast.viewer()
    cast.person(vic.email, "viewer", cast.globex())
    theirs, row = as_(vic), of(vic, cast.acme())
    alice = as_(cast.alice())
    assert "Sign them out" not in text(alice, f"/people/{row.pk}/")
    assert alice.post(f"/people/{row.pk}/end-sessions/").status_code == 403 and theirs.get("/").status_code == 200
    as_(cast.make_staff()).post(f"/people/{row.pk}/end-sessions/")
    assert theirs.get("/").status_code == 302


@pytest.mark.parametrize("path", ["", "remove/"])
def test_the_last_owner_stays(path):
    olga = cast.make_owner()
    browser, row = as_(olga), of(olga)
    page = browser.post(f"/people/{row.pk}/{path}", {"role": "staff"}, follow=True)
    assert "This is the last owner" in page.content.decode()
    assert Membership.objects.get(pk=row.pk).role == "owner"
    other = cast.person("otto@msp.example", "owner")
    browser.post(f"/people/{row.pk}/{path}", {"role": "staff"})
    assert (
        not Membership.objects.filter(pk=row.pk, role="owner").exists()
        and people.owner_exists()
        and people.may_manage(viewer_of(other), None)
    )


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_remove_each_other_at_the_same_moment_leave_one():
    rows = [of(cast.make_owner()), of(cast.person("otto@msp.example", "owner"))]
    start = threading.Barrier(2, timeout=60)

    def remove(row: Membership) -> None:
        try:
            start.wait()
            people.remove(row, by=cast.TESTS)
        except Refused:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=remove, args=(row,)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert Membership.objects.filter(client=None, role="owner").count() == 1


# --- The rule itself --------------------------------------------------------------------------------------------------
def test_who_may_manage_people_where():
    everybody()
    acme, globex = cast.acme().pk, cast.globex().pk
    may = {
        who.__name__: [people.may_manage(viewer_of(who()), place) for place in (None, acme, globex)]
        for who in (
            cast.make_owner,
            cast.make_staff,
            cast.make_auditor,
            cast.alice,
            cast.approver,
            cast.viewer,
            cast.stranger,
        )
    }
    yes, no = True, False
    assert may == {
        "make_owner": [yes, yes, yes], "make_staff": [no, yes, yes], "make_auditor": [no, no, no], "alice": [no, yes, no],
        "approver": [no, no, no], "viewer": [no, no, no], "stranger": [no, no, no],
    }  # fmt: skip


def test_whoever_belongs_nowhere_is_managed_by_nobody():
    assert not people.manages(viewer_of(cast.make_owner()), cast.stranger())
