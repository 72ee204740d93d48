"""Single sign-on and our own rules: the second step, passwords where it is required, and settings that cannot work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from django.test import Client as Browser

from portal import environment, mfa, people
from portal.models import User
from tests import cast
from tests.portal.an_app import by_code, by_password, give_app, shown, signed_in
from tests.portal.provider import Provider, led_back, provided, sign_on

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def provider(settings) -> Iterator[Provider]:
    with provided(settings) as one:
        yield one


def said(answer) -> str:
    return answer.content.decode()


# --- The second step --------------------------------------------------------------------------------------------------
def test_our_second_step_is_asked_for_all_the_same(client, provider):
    sam = cast.make_staff()
    give_app(sam)
    provider.claims["amr"] = ["pwd", "mfa"]
    assert sign_on(client)["Location"] == "/login/second-step/" and not signed_in(client)
    by_code(client, shown())
    assert signed_in(client)


@pytest.mark.parametrize(("claims", "enough"), [({"amr": ["pwd", "otp"]}, True), ({"acr": "gold"}, True), ({"amr": ["pwd"]}, False), ({"amr": "otp"}, False), ({}, False)])  # fmt: skip
def test_where_oidc_mfa_is_set_the_providers_counts(client, provider, settings, claims, enough):
    settings.OIDC, settings.REQUIRE_STAFF_MFA = provider.settings(mfa=frozenset({"otp", "gold"})), True
    cast.make_staff()
    provider.claims |= claims
    sign_on(client)
    assert signed_in(client)
    answer = client.get("/alerts/")
    assert answer.status_code == 200 if enough else answer["Location"] == "/security/"


def test_who_has_a_step_here_is_not_asked_twice_where_the_providers_counts(client, provider, settings):
    settings.OIDC, settings.REQUIRE_STAFF_MFA = provider.settings(mfa=frozenset({"otp"})), True
    give_app(cast.make_staff())
    provider.claims["amr"] = ["otp"]
    assert sign_on(client)["Location"] == "/" and client.get("/alerts/").status_code == 200


def test_it_counts_for_that_person_and_session_only(client, provider, settings):
    settings.OIDC, settings.REQUIRE_STAFF_MFA = provider.settings(mfa=frozenset({"otp"})), True
    sam = cast.make_staff()
    give_app(sam)
    provider.claims["amr"] = ["otp"]
    sign_on(client)
    by_password(other := Browser(), sam)
    assert not signed_in(other) and mfa.has_factor(sam)


# --- Once more, before something important --------------------------------------------------------------------------------
@pytest.fixture
def ina(provider, client) -> Browser:
    """Somebody who has neither a password nor a second step here, signed on."""
    people.invite("ina@acme.example", role="approver", client=cast.acme(), by=cast.TESTS)
    provider.claims |= {"email": "ina@acme.example", "auth_time": int(time.time()) - 3600}
    sign_on(client)
    assert signed_in(client)
    return client


def lately(browser: Browser) -> bool:
    """Did this session prove who it is within ten minutes, as approvals ask?"""
    return any(time.time() - one["at"] < 600 for one in browser.session["account_authentication_methods"])


def test_an_old_proof_at_the_provider_is_no_new_one_here(ina, provider):
    assert not lately(ina), "signed in there an hour ago"
    del provider.claims["auth_time"]
    ina.post("/logout/")
    sign_on(ina)
    assert signed_in(ina) and not lately(ina), "it does not say when"


def test_who_has_no_password_proves_it_again_at_the_provider(ina, provider):
    way = ina.get("/reauthenticate/?next=/approvals/")["Location"]
    assert way == "/login/oidc/again/?next=%2Fapprovals%2F"
    to = ina.get(way)["Location"]
    provider.claims["auth_time"] = int(time.time())
    assert ina.get(led_back(to))["Location"] == "/approvals/" and lately(ina)
    assert provider.authorizations[-1]["prompt"] == "login" and provider.authorizations[-1]["max_age"] == "0"


def test_a_provider_that_did_not_ask_again_proves_nothing(ina, provider):
    page = ina.get(led_back(ina.get("/login/oidc/again/")["Location"]))
    assert page.status_code == 403 and "did not ask you again" in said(page) and not lately(ina)


def test_somebody_else_cannot_prove_it_for_them(ina, provider):
    cast.make_staff()
    provider.claims |= {"email": "sam@msp.example", "auth_time": int(time.time())}
    page = ina.get(led_back(ina.get("/login/oidc/again/")["Location"]))
    assert page.status_code == 403 and "somebody else" in said(page) and not lately(ina)
    assert ina.session["_auth_user_id"] == str(User.objects.get(email="ina@acme.example").pk)


def test_who_has_a_password_is_asked_for_that(client, provider):
    by_password(client, cast.alice())
    assert client.get("/reauthenticate/?next=/security/app/").status_code == 200
    assert Browser().get("/login/oidc/again/")["Location"].startswith("/login/?next=")


# --- Required ---------------------------------------------------------------------------------------------------------
def test_where_it_is_required_passwords_are_the_owners_alone(client, provider, settings):
    settings.OIDC = provider.settings(require=True)
    sam, olga = cast.make_staff(), cast.make_owner()
    by_password(client, sam)
    assert not signed_in(client) and "You sign in with Acme ID here" in said(client.get("/login/"))
    sign_on(client)
    assert signed_in(client)
    by_password(owner := Browser(), olga)
    assert signed_in(owner)


def test_where_it_is_required_an_invitation_leads_to_the_provider(client, provider, settings):
    settings.OIDC = provider.settings(require=True)
    _, link = people.invite("ina@acme.example", role="viewer", client=cast.acme(), by=cast.TESTS)
    path = link.removeprefix("http://localhost:8000")
    assert client.get(path)["Location"] == client.post(path, {"password": cast.PASSWORD})["Location"] == "/login/oidc/"
    assert not User.objects.get(email="ina@acme.example").has_usable_password()


# --- The settings -----------------------------------------------------------------------------------------------------
GOOD = {
    "issuer": "https://login.example/realms/main/",
    "client_id": "c",
    "secret": "s",
    "name": "",
    "mfa": "otp, hwk",
    "require": False,
}
LOOPBACK = (ip_network("127.0.0.0/8"),)


def test_settings_that_can_work_are_taken(monkeypatch):
    monkeypatch.setattr(environment, "mistakes", [])
    found = environment.single_sign_on(GOOD, ())
    assert found["issuer"] == "https://login.example/realms/main" and found["mfa"] == {"otp", "hwk"}
    assert found["name"] == "single sign-on" and environment.mistakes == []
    assert environment.single_sign_on({**GOOD, "issuer": "http://127.0.0.1:9/x"}, LOOPBACK)
    assert environment.single_sign_on({**GOOD, "issuer": "", "client_id": "", "secret": "", "mfa": ""}, ()) == {}
    assert environment.mistakes == []


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"issuer": "http://login.example"}, "OIDC_ISSUER='http://login.example' is not an https address"),
        ({"issuer": "http://127.0.0.1:9"}, "is not an https address"),
        ({"issuer": "login.example"}, "is not an https address"),
        ({"issuer": "https://login.example/?x=1"}, "is not an https address"),
        ({"issuer": "https://[::1/"}, "is not an https address"),
        ({"issuer": ""}, "OIDC_ISSUER missing"),
        ({"client_id": ""}, "OIDC_CLIENT_ID missing"),
        ({"secret": ""}, "OIDC_CLIENT_SECRET missing"),
        ({"client_id": "", "secret": ""}, "OIDC_CLIENT_ID and OIDC_CLIENT_SECRET missing"),
        ({"issuer": "", "client_id": "", "secret": ""}, "set OIDC_ISSUER too"),
    ],
)
def test_each_mistake_in_the_settings_is_named_with_its_cure(monkeypatch, wrong, named):
    monkeypatch.setattr(environment, "mistakes", [])
    assert environment.single_sign_on({**GOOD, **wrong}, ()) == {}
    assert len(environment.mistakes) == 1 and named in environment.mistakes[0]
    assert GOOD["secret"] * 3 not in environment.mistakes[0]
