"""The pages about people: who sees whom, who invites whom as what, and what nobody gets hold of."""

from __future__ import annotations

import re

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client as Browser

from portal import invitations, people
from portal.errors import Refused
from portal.models import AuditEntry, Membership, OneTimeLink, User
from tests import cast
from tests.portal.an_app import by_password, give_app, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def a_mail_server():
    cache.clear()  # Django's tests keep mails in a list


def of(user: User, client=None) -> Membership:
    return Membership.objects.get(user=user, client=client)


def as_(user: User) -> Browser:
    browser = Browser()
    browser.force_login(user)
    return browser


def text(browser: Browser, path: str = "/people/") -> str:
    answer = browser.get(path)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def invite(browser: Browser, email: str, role: str, client=None, **more: str):
    where = {"client": client.pk} if client else {}
    return browser.post("/people/invite/", {"email": email, "role": role, **where, **more})


def everybody() -> None:
    for make in (
        cast.make_owner,
        cast.make_staff,
        cast.make_auditor,
        cast.alice,
        cast.approver,
        cast.viewer,
        cast.mallory,
    ):
        make()


# --- Who sees whom ----------------------------------------------------------------------------------------------------
ALL = {"olga", "sam", "audrey", "alice", "april", "vic", "mallory"}


@pytest.mark.parametrize(
    ("who", "seen"),
    [
        (cast.make_owner, ALL),
        (cast.make_staff, ALL),
        (cast.make_auditor, ALL),
        (cast.alice, {"alice", "april", "vic"}),
        (cast.mallory, {"mallory"}),
    ],
)
def test_our_own_people_see_all_and_a_clients_admin_their_own(who, seen):
    everybody()
    page = text(as_(who()))
    main = page.partition('aria-label="People"')[2]
    assert {name for name in ALL if f"{name}@" in main} == seen


@pytest.mark.parametrize("who", [cast.approver, cast.viewer, cast.stranger])
def test_for_everybody_else_the_pages_do_not_exist(who):
    everybody()
    browser, vic = as_(who()), of(cast.viewer(), cast.acme())
    for path in (
        "/people/",
        "/people/invite/",
        f"/people/{vic.pk}/",
        f"/people/{vic.pk}/remove/",
        f"/people/{vic.pk}/resend/",
    ):
        assert browser.get(path).status_code == browser.post(path).status_code == 404, path
    assert Browser().get("/people/")["Location"].startswith("/login/")


def test_the_list_says_role_last_sign_in_second_step_and_who_has_not_come_yet():
    sam, alice = cast.make_staff(), cast.alice()
    give_app(sam)
    by_password(Browser(), alice)
    people.invite("ina@acme.example", role="viewer", client=cast.acme(), by=cast.TESTS)
    rows = dict(
        re.findall(r"<tr data-row.*?>(?:<a[^>]*>)?(\S+?@\S+?)<.*?</th>(.*?)</tr>", text(as_(cast.make_owner())), re.S)
    )
    assert "Staff" in rows["sam@msp.example"] and re.search(r'Second step">\s*yes', rows["sam@msp.example"])
    assert "Client admin" in rows["alice@acme.example"] and "Acme" in rows["alice@acme.example"]
    assert "<time" in rows["alice@acme.example"] and "no</span>" in rows["alice@acme.example"]
    assert "Invited" in rows["ina@acme.example"] and "Invited" not in rows["alice@acme.example"]


def test_the_list_is_searched_and_filtered_by_place():
    everybody()
    browser = as_(cast.make_owner())

    def shown(query: str) -> set[str]:
        return {
            name for name in ALL if f"{name}@" in text(browser, f"/people/?{query}").partition('aria-label="People"')[2]
        }

    assert shown("q=ALI") == {"alice"}
    assert shown("client=0") == {"olga", "sam", "audrey"} and shown(f"client={cast.globex().pk}") == {"mallory"}
    assert shown("q=nobody-at-all") == set() and shown("client=nonsense") == ALL


def test_the_list_costs_the_same_with_three_people_and_with_thirty(django_assert_max_num_queries):
    browser = as_(cast.make_owner())
    browser.get("/people/")
    for number in range(30):
        give_app(cast.person(f"p{number}@acme.example", "viewer", cast.acme()))
    with django_assert_max_num_queries(12):
        browser.get("/people/")


# --- Inviting ---------------------------------------------------------------------------------------------------------
def test_a_clients_admin_invites_by_mail_and_the_person_comes_in():
    assert invite(as_(cast.alice()), "ina@acme.example", "approver", cast.acme(), name="Ina")["Location"] == "/people/"
    link = re.search(r"http://localhost:8000(/invite/\S+)", mail.outbox[0].body)[1]
    assert mail.outbox[0].to == ["ina@acme.example"]
    guest = Browser()
    guest.post(link, {"password": cast.PASSWORD})
    assert signed_in(guest)
    row = Membership.objects.get(user__email="ina@acme.example")
    assert (row.role, row.client, row.user.name) == ("approver", cast.acme(), "Ina")
    entry = AuditEntry.objects.get(
        action="membership.created", client_id=cast.acme().pk, subject=f"membership:{row.pk}"
    )
    assert entry.actor == "alice@acme.example"


GIVEN = {
    # (who, role, at which client): may they?
    (cast.make_owner, "owner", None): True,
    (cast.make_owner, "staff", None): True,
    (cast.make_owner, "admin", cast.acme): True,
    (cast.make_staff, "owner", None): False,
    (cast.make_staff, "staff", None): False,
    (cast.make_staff, "owner", cast.acme): False,
    (cast.make_staff, "admin", cast.acme): True,
    (cast.make_auditor, "viewer", cast.acme): False,
    (cast.alice, "admin", cast.acme): True,
    (cast.alice, "viewer", cast.acme): True,
    (cast.alice, "viewer", cast.globex): False,
    (cast.alice, "viewer", None): False,
    (cast.alice, "owner", None): False,
    (cast.alice, "staff", cast.acme): False,
    (cast.make_owner, "viewer", None): False,
    (cast.make_owner, "staff", cast.acme): False,
}


@pytest.mark.parametrize(
    ("given", "may"), GIVEN.items(), ids=[f"{w.__name__} {r} {c and c.__name__}" for w, r, c in GIVEN]
)
def test_who_may_give_which_role_where(given, may):
    who, role, client = given
    browser, client = as_(who()), client and client()
    before = Membership.objects.count()
    answer = invite(browser, "ina@example.com", role, client)
    assert answer.status_code in ((302,) if may else (400, 403))
    assert Membership.objects.count() == before + may and len(mail.outbox) == may
    assert may or not User.objects.filter(email="ina@example.com").exists()


def test_the_form_offers_a_clients_admin_their_own_client_and_its_roles_only():
    everybody()
    page = text(as_(cast.alice()), "/people/invite/")
    assert "Globex" not in page and "Our own staff" not in page and ">Owner<" not in page and "Client approver" in page


def test_whether_an_account_exists_elsewhere_is_not_told():
    cast.mallory()
    browser = as_(cast.alice())
    said = []
    for email in ("mallory@globex.example", "nobody@else.example"):
        invite(browser, email, "viewer", cast.acme())
        said.append(text(browser).partition('class="messages"')[2].partition("</div></div>")[0].replace(email, "…"))
    assert said[0] == said[1] and "was invited" in said[0]
    assert "You now belong to Acme" in mail.outbox[0].subject and "/invite/" not in mail.outbox[0].body


@pytest.mark.parametrize("email", ["", "nobody", "a@b.example\r\nBcc: x@x.example", "alice@acme.example"])
def test_what_cannot_be_invited_is_explained(email):
    browser = as_(cast.alice())
    answer = invite(browser, email, "viewer", cast.acme())
    assert answer.status_code == 400 and "notice-danger" in answer.content.decode() and not mail.outbox


def test_where_no_mail_goes_out_the_link_is_shown_once_to_who_manages_the_whole_person(settings):
    settings.EMAIL_BACKEND = "portal.mail.Backend"  # without a server: it refuses
    page = invite(as_(cast.alice()), "ina@acme.example", "viewer", cast.acme())
    link = re.search(r"http://localhost:8000(/invite/[\w-]+/)", page.content.decode())[1]
    assert (
        "no-store" in page["Cache-Control"]
        and page["Referrer-Policy"] == "no-referrer"
        and Browser().get(link).status_code == 200
    )


@pytest.mark.parametrize("place", ["msp", "globex"])
def test_a_clients_admin_never_gets_the_link_to_an_account_that_opens_more(settings, place):
    settings.EMAIL_BACKEND = "portal.mail.Backend"
    client, role = (cast.globex(), "viewer") if place == "globex" else (None, "owner")
    people.invite("new@msp.example", role=role, client=client, by=cast.TESTS)
    alice = as_(cast.alice())
    answers = [invite(alice, "new@msp.example", "viewer", cast.acme())]
    row = Membership.objects.get(user__email="new@msp.example", client=cast.acme())
    answers.append(alice.post(f"/people/{row.pk}/resend/"))
    answers.append(alice.get("/people/"))
    assert not any("/invite/" in a.content.decode().replace("/people/invite/", "") for a in answers)
    assert alice.post(f"/people/{row.pk}/end-sessions/").status_code == 403


# --- Who was invited and has not come ---------------------------------------------------------------------------------
def test_sending_again_ends_the_older_link():
    browser = as_(cast.alice())
    invite(browser, "ina@acme.example", "viewer", cast.acme())
    row = Membership.objects.get(user__email="ina@acme.example")
    assert "Send it again" in text(browser, f"/people/{row.pk}/")
    browser.post(f"/people/{row.pk}/resend/")
    old, new = (re.search(r"http://localhost:8000(/invite/\S+)", m.body)[1] for m in mail.outbox)
    assert Browser().get(old).status_code == 410 and Browser().get(new).status_code == 200
    assert AuditEntry.objects.get(action="invitation.sent_again").client_id == cast.acme().pk


def test_a_withdrawn_invitation_opens_nothing_and_may_be_given_anew():
    browser = as_(cast.alice())
    invite(browser, "ina@acme.example", "viewer", cast.acme())
    row = Membership.objects.get(user__email="ina@acme.example")
    assert "Withdraw the invitation" in text(browser, f"/people/{row.pk}/remove/")
    browser.post(f"/people/{row.pk}/remove/")
    link = re.search(r"http://localhost:8000(/invite/\S+)", mail.outbox[0].body)[1]
    assert Browser().post(link, {"password": cast.PASSWORD}).status_code == 410
    assert not Membership.objects.filter(pk=row.pk).exists() and not OneTimeLink.objects.filter(used_at=None).exists()
    invite(browser, "ina@acme.example", "viewer", cast.acme())
    again = re.search(r"http://localhost:8000(/invite/\S+)", mail.outbox[1].body)[1]
    assert Browser().post(again, {"password": cast.PASSWORD}).status_code == 302


def test_an_invitation_to_two_places_survives_the_end_of_one():
    for client in (cast.acme(), cast.globex()):
        people.invite("ina@example.com", role="viewer", client=client, by=cast.TESTS)
    as_(cast.alice()).post(
        f"/people/{Membership.objects.get(user__email='ina@example.com', client=cast.acme()).pk}/remove/"
    )
    assert OneTimeLink.objects.filter(used_at=None).exists()


def test_who_has_come_gets_no_new_link():
    alice, vic = cast.alice(), cast.viewer()
    page = as_(alice).post(f"/people/{of(vic, cast.acme()).pk}/resend/", follow=True)
    assert "has come in already" in page.content.decode() and not mail.outbox
    with pytest.raises(Refused):
        invitations.resend(of(vic, cast.acme()), by=cast.TESTS)
