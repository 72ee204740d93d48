"""Single sign-on: who the provider vouches for comes in when they exist here, and nobody else; each lie is found out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
from django.contrib.sessions.models import Session
from django.test import Client as Browser

from portal import oidc, people
from portal.models import AuditEntry, User
from tests import cast
from tests.portal.an_app import by_password, signed_in
from tests.portal.provider import CLIENT, Key, Provider, led_back, provided, sign_on

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def provider(settings) -> Iterator[Provider]:
    with provided(settings) as one:
        yield one


def said(answer) -> str:
    return answer.content.decode()


# --- Coming in --------------------------------------------------------------------------------------------------------
def test_who_exists_here_comes_in_and_goes_on_to_where_they_were_going(client, provider):
    sam = cast.make_staff()
    assert "Sign in with Acme ID" in said(client.get("/login/?next=/alerts/"))
    assert 'href="/login/oidc/?next=%2Falerts%2F"' in said(client.get("/login/?next=/alerts/"))
    assert sign_on(client, "/alerts/")["Location"] == "/alerts/"
    assert signed_in(client) and client.get("/alerts/").status_code == 200
    assert AuditEntry.objects.get(action="user.signed_in").after == {"with": ["single sign-on"]}
    assert User.objects.get().pk == sam.pk and sam.memberships.get().role == "staff", "the role stays ours"


def test_the_address_is_compared_without_regard_to_case(client, provider):
    cast.make_staff()
    provider.claims["email"] = "Sam@MSP.example"
    sign_on(client)
    assert signed_in(client)


def test_what_is_asked_holds_pkce_state_nonce_and_our_own_address(client, provider):
    asked = {
        k: v[0]
        for k, v in parse_qs(urlsplit(client.get("/login/oidc/", HTTP_HOST="127.0.0.1")["Location"]).query).items()
    }
    assert asked["redirect_uri"] == "http://localhost:8000/login/oidc/callback/", "whatever host was asked"
    assert asked["code_challenge_method"] == "S256" and len(asked["code_challenge"]) == 43
    assert len(asked["state"]) >= 43 and len(asked["nonce"]) >= 43 and asked["state"] != asked["nonce"]
    again = parse_qs(urlsplit(client.get("/login/oidc/")["Location"]).query)
    assert not {again["state"][0], again["nonce"][0]} & {asked["state"], asked["nonce"]}


def test_two_tabs_may_sign_in_at_the_same_time(client, provider):
    cast.make_staff()
    first, second = (client.get("/login/oidc/")["Location"] for _ in range(2))
    assert client.get(led_back(second))["Location"] == "/"
    client.post("/logout/")
    assert not signed_in(client)
    assert client.get(led_back(first)).status_code == 400, "signing out forgets it"


def test_a_provider_that_wants_the_secret_in_the_form_gets_it_there(client, provider):
    cast.make_staff()
    provider.description = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    sign_on(client)
    assert signed_in(client)


def test_an_address_that_only_the_user_info_holds_is_asked_for(client, provider):
    cast.make_staff()
    provider.claims = {"sub": "sub-1"}
    provider.userinfo = {"sub": "sub-1", "email": "sam@msp.example", "email_verified": True}
    sign_on(client)
    assert signed_in(client)


def test_the_user_info_of_somebody_else_is_refused(client, provider):
    cast.make_staff()
    provider.claims = {"sub": "sub-1"}
    provider.userinfo = {"sub": "sub-2", "email": "sam@msp.example", "email_verified": True}
    assert sign_on(client).status_code == 400 and not signed_in(client)


def test_a_new_key_of_the_provider_is_found(client, provider, monkeypatch):
    cast.make_staff()
    sign_on(client)
    client.post("/logout/")
    provider.key = Key("second")
    monkeypatch.setattr(oidc, "KEYS_AGAIN", 0.0)  # as after a minute
    sign_on(client)
    assert signed_in(client)


def test_somebody_invited_comes_in_without_choosing_a_password(client, provider):
    people.invite("ina@acme.example", role="viewer", client=cast.acme(), by=cast.TESTS)
    provider.claims["email"] = "ina@acme.example"
    sign_on(client)
    assert signed_in(client) and not User.objects.get(email="ina@acme.example").has_usable_password()


def test_somebody_elses_session_is_not_carried_over(client, provider):
    cast.make_staff()
    client.force_login(cast.alice())
    before = client.session.session_key
    sign_on(client)
    assert client.session["_auth_user_id"] == str(cast.make_staff().pk) and client.session.session_key != before


# --- Not coming in ----------------------------------------------------------------------------------------------------
def test_nobody_is_made_by_signing_on(client, provider):
    provider.claims["email"] = "new@msp.example"
    answer = sign_on(client)
    assert answer.status_code == 403 and "Nobody here has the address new@msp.example" in said(answer)
    assert not User.objects.exists() and not signed_in(client)


@pytest.mark.parametrize("verified", [False, None, "false", 0, 1, "yes", []])
def test_an_address_that_is_not_verified_proves_nothing(client, provider, verified):
    cast.make_staff()
    provider.claims["email_verified"] = verified
    answer = sign_on(client)
    assert (
        answer.status_code == 400
        and "does not call your e-mail address verified" in said(answer)
        and not signed_in(client)
    )


@pytest.mark.parametrize("email", [None, "", "   ", 7, ["sam@msp.example"]])
def test_without_an_address_the_cure_is_said(client, provider, email):
    cast.make_staff()
    provider.claims["email"] = email
    answer = sign_on(client)
    assert "lets it send the claim “email”" in said(answer) and not signed_in(client)


def test_who_was_switched_off_stays_outside(client, provider):
    User.objects.filter(pk=cast.make_staff().pk).update(is_active=False)
    assert sign_on(client)["Location"] == "/login/inactive/" and not signed_in(client)


LIES = {
    "another key": lambda p: lambda c: p.signed(c, Key("first")),
    "an unknown key": lambda p: lambda c: p.signed(c, Key("other")),
    "no signature": lambda p: lambda c: jwt.encode(c, None, algorithm="none"),
    "our secret as its key": lambda p: lambda c: jwt.encode(c, "s3cret/with+signs&=" * 2, algorithm="HS256"),
    "another issuer": lambda p: lambda c: p.signed({**c, "iss": "http://127.0.0.1:1/realms/main"}),
    "another program": lambda p: lambda c: p.signed({**c, "aud": "somebody-else"}),
    "several programs, not for us": lambda p: lambda c: p.signed({**c, "aud": [CLIENT, "x"], "azp": "x"}),
    "several programs, for nobody": lambda p: lambda c: p.signed({**c, "aud": [CLIENT, "x"]}),
    "expired": lambda p: lambda c: p.signed({**c, "exp": int(time.time()) - 600}),
    "from the future": lambda p: lambda c: p.signed({**c, "iat": int(time.time()) + 600}),
    "no end": lambda p: lambda c: p.signed({k: v for k, v in c.items() if k != "exp"}),
    "no subject": lambda p: lambda c: p.signed({k: v for k, v in c.items() if k != "sub"}),
    "another nonce": lambda p: lambda c: p.signed({**c, "nonce": "x" * 43}),
    "no nonce": lambda p: lambda c: p.signed({k: v for k, v in c.items() if k != "nonce"}),
    "nonsense": lambda p: lambda c: "nonsense",
    "nothing": lambda p: lambda c: "",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_token_that_is_not_true_is_refused(client, provider, lie):
    cast.make_staff()
    provider.sign = lie(provider)
    answer = sign_on(client)
    assert answer.status_code == 400 and "could not be verified" in said(answer) and not signed_in(client)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({}, "was not begun in this browser"),
        ({"state": "guessed", "code": "x"}, "was not begun in this browser"),
        ({"state": "", "code": "x"}, "was not begun in this browser"),
    ],
)
def test_an_answer_that_nobody_asked_for_is_refused(client, provider, answer, sentence):
    client.get("/login/oidc/")
    page = client.get(f"/login/oidc/callback/?{urlencode(answer)}")
    assert page.status_code == 400 and sentence in said(page)


def test_an_answer_works_once_and_in_its_own_browser_only(client, provider):
    cast.make_staff()
    back = led_back(client.get("/login/oidc/")["Location"])
    assert Browser().get(back).status_code == 400, "a stolen or planted answer"
    assert client.get(back).status_code == 302
    assert client.get(back).status_code == 400


def test_after_ten_minutes_an_answer_is_too_late(client, provider):
    cast.make_staff()
    back = led_back(client.get("/login/oidc/")["Location"])
    session = client.session
    session["oidc"] = {state: {**one, "at": one["at"] - 601} for state, one in session["oidc"].items()}
    session.save()
    assert "longer than ten minutes" in said(client.get(back)) and not signed_in(client)


@pytest.mark.parametrize(
    ("error", "sentence"), [("access_denied", "did not let you in"), ("server_error", "could not sign you in")]
)
def test_the_providers_own_no_is_explained(client, provider, error, sentence):
    provider.denies = error
    page = sign_on(client)
    assert page.status_code == 400 and f"Acme ID {sentence}" in said(page) and "/login/oidc/" in said(page)


def test_an_answer_of_another_provider_is_refused(client, provider):
    cast.make_staff()
    back = led_back(client.get("/login/oidc/")["Location"])
    where = urlsplit(back)
    mixed = {**{k: v[0] for k, v in parse_qs(where.query).items()}, "iss": "https://evil.example"}
    page = client.get(f"{where.path}?{urlencode(mixed)}")
    assert page.status_code == 400 and "another provider" in said(page) and "/token" not in provider.asked


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "https://evil.example"},
        {"authorization_endpoint": "http://evil.example/authorize"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": ""},
    ],
)
def test_a_description_that_cannot_be_believed_leads_nobody_anywhere(client, provider, wrong):
    provider.description = wrong
    page = client.get("/login/oidc/")
    assert page.status_code == 503 and "is not set up rightly here" in said(page)


def test_a_provider_that_is_away_is_said_and_the_password_still_works(client, provider, settings):
    sam = cast.make_staff()
    settings.OIDC = provider.settings(issuer="http://127.0.0.1:1/realms/main")
    page = client.get("/login/oidc/")
    assert page.status_code == 503 and "cannot be reached now" in said(page) and "Back to sign in" in said(page)
    by_password(client, sam)
    assert signed_in(client)


def test_a_provider_that_must_not_be_reached_is_not(client, provider, settings):
    settings.OUTBOUND_ALLOW = ()
    assert client.get("/login/oidc/").status_code == 503 and not provider.asked


@pytest.mark.parametrize("next", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_nobody_is_led_elsewhere_afterwards(client, provider, next):
    cast.make_staff()
    assert sign_on(client, next)["Location"] == "/"


def test_without_a_provider_there_is_neither_page_nor_button(client, settings):
    settings.OIDC = {}
    assert (
        client.get("/login/oidc/").status_code == client.get("/login/oidc/callback/?state=x&code=y").status_code == 404
    )
    assert "oidc" not in said(client.get("/login/"))


def test_the_way_is_for_browsers_that_look(client, provider):
    assert client.post("/login/oidc/").status_code == client.post("/login/oidc/callback/").status_code == 405


def test_the_secret_stands_on_no_page_and_in_no_session(client, provider):
    cast.make_staff()
    pages = [client.get("/login/"), client.get("/login/oidc/"), sign_on(client)]
    assert not any("s3cret" in said(page) + page.get("Location", "") for page in pages)
    assert not any("s3cret" in str(session.get_decoded()) for session in Session.objects.all())
