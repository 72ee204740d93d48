"""REQUIRE_STAFF_MFA: our own people get or take a second step before anything else; tokens and clients are left alone."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.test import Client as Browser

from portal import mfa
from portal.accounts import SecondStep
from tests import cast
from tests.portal.an_app import by_code, by_password, give_app, give_codes, secret_on, shown, signed_in, with_code

pytestmark = pytest.mark.django_db
EVERYWHERE = ("/", "/alerts/", "/admin/", "/clients/", "/password/change/", "/security/codes/new/")


@pytest.fixture(autouse=True)
def required(settings):
    cache.clear()
    settings.REQUIRE_STAFF_MFA = True


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("who", ["make_staff", "make_auditor"])
def test_staff_without_a_second_step_get_one_before_anything_else(client, who):
    sam = getattr(cast, who)()
    by_password(client, sam)
    for path in EVERYWHERE:
        assert client.get(path)["Location"] == "/security/", path
    assert b"Staff sign in with a second step here" in client.get("/security/").content
    client.post("/reauthenticate/", {"password": cast.PASSWORD, "next": "/security/app/"})
    secret = secret_on(client.get("/security/app/"))
    assert client.post("/security/app/", {"code": shown(secret)})["Location"] == "/security/codes/"
    assert client.get("/security/codes/").status_code == 200, "proved by adding it"
    assert client.get("/password/change/").status_code == 200


def test_a_session_that_knew_only_the_password_stays_outside_after_the_step_is_added():
    sam, thief = cast.make_staff(), Browser()
    by_password(thief, sam)
    give_app(sam)
    assert thief.get("/alerts/?page=2")["Location"] == "/reauthenticate/code/?next=%2Falerts%2F%3Fpage%3D2"
    for path in ("/", "/security/", "/security/app/", "/security/passkeys/add/", "/reauthenticate/"):
        assert thief.get(path)["Location"].startswith("/reauthenticate/code/"), path
    assert thief.get("/reauthenticate/code/").status_code == 200
    thief.post("/reauthenticate/code/", {"code": shown(), "next": "/password/change/"})
    assert thief.get("/password/change/").status_code == 200, "it was they after all"


def test_a_sign_in_with_both_steps_goes_through():
    sam = cast.make_staff()
    give_app(sam)
    assert with_code(sam).get("/password/change/").status_code == 200


def test_a_recovery_code_is_a_second_step_too(client):
    sam = cast.make_staff()
    give_app(sam)
    code = give_codes(sam)[0]
    by_password(client, sam)
    by_code(client, code)
    assert signed_in(client) and client.get("/password/change/").status_code == 200


def test_programs_are_told_in_json_and_fragments_lead_the_whole_page(client):
    by_password(client, cast.make_staff())
    answer = client.get("/api/v1/sites")
    assert answer.status_code == 403 and answer.json()["error"]["code"] == "second_step_required"
    assert client.get("/alerts/", headers={"HX-Request": "true"})["HX-Redirect"] == "/security/"
    sneaky = client.get("/alerts/", headers={"Authorization": "Bearer wk_x"})
    assert sneaky["Location"] == "/security/", "pages do not look at tokens"


def test_tokens_stay_as_they_are():
    assert cast.api(cast.make_staff()).get("/api/v1/sites").status_code == 200


def test_clients_people_choose_for_themselves(client):
    by_password(client, cast.alice())
    assert client.get("/password/change/").status_code == 200


def test_signing_out_is_always_possible(client):
    by_password(client, cast.make_staff())
    client.post("/logout/")
    assert not signed_in(client)


def test_the_last_step_of_staff_stays_and_clients_may_remove_theirs(client):
    sam, alice = cast.make_staff(), cast.alice()
    app, hers = give_app(sam), give_app(alice)
    browser = with_code(sam)
    browser.post("/reauthenticate/code/", {"code": shown(later=1)})
    page = browser.get("/security/app/remove/")
    assert b"add another one before you remove this one" in page.content
    browser.post("/security/app/remove/")
    assert mfa.has_factor(sam)
    mfa.Authenticator.objects.create(user=sam, type=mfa.PASSKEY, data={"name": "laptop", "credential": {}})
    assert SecondStep().can_delete_authenticator(app) and SecondStep().can_delete_authenticator(hers)


def test_the_last_passkey_of_staff_stays(client):
    sam = cast.make_staff()
    key = mfa.Authenticator.objects.create(user=sam, type=mfa.PASSKEY, data={"name": "laptop", "credential": {}})
    codes = give_codes(sam)
    by_password(client, sam)
    client.post("/reauthenticate/code/", {"code": codes[1]})
    by_code(client, codes[0])
    client.post("/reauthenticate/code/", {"code": codes[1]})
    assert client.get(f"/security/passkeys/{key.pk}/remove/").status_code == 200
    assert client.post(f"/security/passkeys/{key.pk}/remove/")["Location"] == "/security/"
    assert mfa.has_factor(sam)


def test_without_the_setting_nobody_is_held_up(client, settings):
    settings.REQUIRE_STAFF_MFA = False
    by_password(client, cast.make_staff())
    assert client.get("/password/change/").status_code == 200
