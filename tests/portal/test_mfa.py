"""The second step: an app is set up, asked for at sign-in, used once a code, throttled, and kept under seal."""

from __future__ import annotations

import datetime as dt
import json
import logging

import pytest
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.cache import cache
from django.db import connection
from django.test import Client as Browser

from portal import mfa
from portal.accounts import SecondStep
from portal.clock import database_now
from portal.models import AuditEntry
from tests import cast
from tests.portal.an_app import (
    SECRET,
    by_code,
    by_password,
    give_app,
    give_codes,
    secret_on,
    shown,
    signed_in,
    unlike,
    with_code,
)

pytestmark = pytest.mark.django_db
NOON = dt.datetime(2030, 5, 1, 12, 0, 10, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def no_attempts_yet():
    cache.clear()


def acts() -> list[str]:
    return list(AuditEntry.objects.order_by("seq").values_list("action", flat=True))


def stored() -> str:
    """Everything the database holds about second steps and sessions, as text."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT data FROM mfa_authenticator")
        rows = [str(row) for row in cursor.fetchall()]
    return "\n".join([*rows, *(json.dumps(session.get_decoded()) for session in Session.objects.all())])


# --- From nothing to the second sign-in -----------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_an_app_is_set_up_and_asked_for_from_then_on(client, caplog):
    caplog.set_level(logging.DEBUG)
    sam = cast.make_staff()
    by_password(client, sam)
    asked = client.get("/security/app/")
    assert asked["Location"] == "/reauthenticate/?next=%2Fsecurity%2Fapp%2F", "first: is it you?"
    assert (
        client.post(asked["Location"], {"password": cast.PASSWORD, "next": "/security/app/"})["Location"]
        == "/security/app/"
    )

    page = client.get("/security/app/")
    secret = secret_on(page)
    assert b"data:image/svg+xml" in page.content and "no-store" in page["Cache-Control"]
    assert "img-src 'self' data:" in page["Content-Security-Policy"]
    assert secret not in stored(), "not even while its first code is awaited"
    wrong = client.post("/security/app/", {"code": unlike(secret)})
    assert secret_on(wrong) == secret and not mfa.has_factor(sam)
    answer = client.post("/security/app/", {"code": shown(secret)})
    assert answer["Location"] == "/security/codes/" and mfa.has_factor(sam) and secret not in stored()

    codes = client.get("/security/codes/").context["unused_codes"]
    again = client.get("/security/codes/")
    assert len(set(codes)) == 10 and codes[0].encode() not in again.content, "shown once"
    assert "user.second_step_added" in acts()
    assert [(m.to, m.subject) for m in mail.outbox] == [
        ([sam.email], "A second step was added to your account (Watchkeeper)")
    ]

    client.post("/logout/")
    assert by_password(client, sam, next="/alerts/")["Location"].startswith("/login/second-step/")
    assert not signed_in(client) and client.get("/alerts/").status_code == 302
    by_code(client, shown(secret))
    assert not signed_in(client), "the code that set it up was used"
    assert by_code(client, shown(secret, later=1))["Location"] == "/alerts/" and signed_in(client)
    assert AuditEntry.objects.filter(action="user.signed_in").latest("seq").after == {
        "with": ["password", "authenticator app"]
    }
    assert secret not in caplog.text and codes[0] not in caplog.text


def test_a_used_code_is_refused_by_every_process(client):
    sam, code = cast.make_staff(), shown()
    give_app(sam)
    with_code(sam, code)
    cache.clear()  # another process, or a cache that was away
    by_password(client, sam)
    answer = by_code(client, code)
    assert b"does not fit" in answer.content and not signed_in(client)


def test_without_a_cache_a_code_still_works_once(client, settings):
    from portal.cache import PatientRedisCache

    settings.CACHES = {"default": {"BACKEND": "portal.cache.PatientRedisCache", "LOCATION": "redis://127.0.0.1:1/0"}}
    sam, code = cast.make_staff(), shown()
    give_app(sam)
    try:
        with_code(sam, code)
        by_password(client, sam)
        by_code(client, code)
        assert not signed_in(client)
    finally:
        PatientRedisCache.open_until = 0.0


def test_five_wrong_codes_at_sign_in_and_the_right_one_waits_too(client):
    sam = cast.make_staff()
    give_app(sam)
    by_password(client, sam)
    for _ in range(5):
        assert b"does not fit" in by_code(client, unlike()).content
    cache.clear()  # the count is not in the cache
    assert b"Wait five minutes" in by_code(client, shown()).content and not signed_in(client)


@pytest.mark.parametrize("code", ["", "x\x00y", "☃" * 6, "1" * 200, " "])
def test_what_is_no_code_is_refused(client, code):
    sam = cast.make_staff()
    give_app(sam)
    by_password(client, sam)
    assert by_code(client, code).status_code == 200 and not signed_in(client)


# --- Codes ------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("at", "code"),  # RFC 6238, appendix B, SHA-1, the last six digits
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_the_standard(at, code):
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # 12345678901234567890
    assert mfa.code_at(secret, at // 30) == shown(secret, at=at) == code


@pytest.mark.parametrize(("steps", "fits"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_half_a_minute_off(steps, fits):
    sam = cast.make_staff()
    give_app(sam)
    assert mfa.verify_totp(sam, shown(at=NOON.timestamp(), later=steps), NOON) is fits


def test_a_code_may_be_typed_as_it_is_shown():
    sam = cast.make_staff()
    give_app(sam)
    code = shown(at=NOON.timestamp())
    assert mfa.verify_totp(sam, f" {code[:3]} {code[3:]} ", NOON)


def test_a_code_works_once_and_an_older_one_never_after_it():
    sam = cast.make_staff()
    give_app(sam)
    at = NOON.timestamp()
    assert mfa.verify_totp(sam, shown(at=at), NOON)
    assert not mfa.verify_totp(sam, shown(at=at), NOON)
    assert not mfa.verify_totp(sam, shown(at=at, later=-1), NOON)
    assert mfa.verify_totp(sam, shown(at=at, later=1), NOON)


def test_codes_are_throttled_for_five_minutes_and_for_that_person_only():
    sam, olga = cast.make_staff(), cast.make_owner()
    give_app(sam), give_app(olga)
    for second in range(5):
        assert not mfa.verify_totp(sam, "nonsense", NOON + dt.timedelta(seconds=second))
    assert not mfa.verify_totp(sam, shown(at=NOON.timestamp()), NOON + dt.timedelta(seconds=5))
    assert mfa.verify_totp(olga, shown(at=NOON.timestamp()), NOON + dt.timedelta(seconds=5))
    after = NOON + dt.timedelta(minutes=5, seconds=1)
    assert mfa.verify_totp(sam, shown(at=after.timestamp()), after)


def test_guesses_at_the_app_and_at_recovery_codes_count_together():
    sam = cast.make_staff()
    give_app(sam)
    codes = give_codes(sam)
    for _ in range(3):
        assert not mfa.verify_totp(sam, "nonsense", NOON)
    for _ in range(2):
        with pytest.raises(mfa.Refused, match="does not fit"):
            mfa.use_code(sam, "00000000", NOON)
    with pytest.raises(mfa.Refused, match="Wait five minutes"):
        mfa.use_code(sam, codes[0], NOON)


def test_nobody_without_an_app_has_a_code_that_fits():
    sam = cast.make_staff()
    assert not mfa.verify_totp(sam, shown(), database_now())
    give_codes(sam)
    assert not mfa.verify_totp(sam, shown(), database_now()) and not mfa.has_factor(sam)


# --- Recovery codes ---------------------------------------------------------------------------------------------------------
def test_a_recovery_code_signs_in_once_and_its_person_hears_of_it(client):
    sam = cast.make_staff()
    give_app(sam)
    code = give_codes(sam)[3]
    by_password(client, sam)
    by_code(client, f"{code[:4]}-{code[4:]}")
    assert signed_in(client) and "user.recovery_code_used" in acts()
    assert "9 are left" in mail.outbox[0].body and code not in mail.outbox[0].body
    other = Browser()
    by_password(other, sam)
    by_code(other, code)
    assert not signed_in(other)


@pytest.mark.django_db(transaction=True)
def test_new_recovery_codes_end_the_old_ones():
    sam = cast.make_staff()
    give_app(sam)
    old = give_codes(sam)
    browser = with_code(sam)
    assert browser.get("/security/codes/new/")["Location"].startswith("/reauthenticate/code/")
    browser.post("/reauthenticate/code/", {"code": shown(later=1), "next": "/security/codes/new/"})
    assert browser.post("/security/codes/new/")["Location"] == "/security/codes/"
    page = browser.get("/security/codes/")
    new = page.context["unused_codes"]
    assert not set(old) & set(new) and f"{new[0]}%0A".encode() in page.content, "the download holds them"
    assert "user.recovery_codes_made" in acts() and "recovery codes" in mail.outbox[-1].subject


# --- At rest ----------------------------------------------------------------------------------------------------------------
def test_new_keys_seal_what_old_ones_sealed(settings):
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.ENCRYPTION_KEYS = [old]
    sam = cast.make_staff()
    give_app(sam)
    codes = give_codes(sam)
    assert SECRET not in stored()
    settings.ENCRYPTION_KEYS = [new, old]
    assert mfa.reseal() == (2, [])
    settings.ENCRYPTION_KEYS = [new]
    assert mfa.verify_totp(sam, shown(), database_now())
    assert mfa.use_code(sam, codes[0], database_now()).type == "recovery_codes"


def test_a_lost_key_is_said_at_sign_in_and_named_by_the_rotation(client, settings):
    sam = cast.make_staff()
    row = give_app(sam)
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    by_password(client, sam)
    assert b"ENCRYPTION_KEYS lacks its key" in by_code(client, shown()).content
    assert mfa.reseal() == (0, [f"mfa.authenticator {row.pk} secret"])


def test_the_seal_is_the_installations_own():
    sealed = SecondStep().encrypt(SECRET)
    assert SECRET not in sealed and SecondStep().decrypt(sealed) == SECRET


# --- Taking it away -----------------------------------------------------------------------------------------------------------
def test_the_password_is_not_enough_to_take_the_step_away(client):
    sam = cast.make_staff()
    give_app(sam), give_codes(sam)
    browser = with_code(sam)
    assert browser.get("/security/app/remove/")["Location"].startswith("/reauthenticate/code/")
    by_word = browser.post("/reauthenticate/", {"password": cast.PASSWORD, "next": "/security/app/remove/"})
    assert by_word["Location"].startswith("/reauthenticate/code/")
    assert browser.post("/security/app/remove/").status_code == 302 and mfa.has_factor(sam)
    answer = browser.post("/reauthenticate/code/", {"code": shown(later=1), "next": "/security/app/remove/"})
    assert answer["Location"] == "/security/", "what was asked for is done"
    assert not Authenticator.objects.exists(), "the recovery codes went with it"
    assert "user.second_step_removed" in acts() and "was removed" in mail.outbox[-1].subject


def test_a_mail_server_that_is_away_stops_nothing(client, settings):
    settings.EMAIL_BACKEND = "portal.mail.Backend"  # without a server: it refuses
    sam = cast.make_staff()
    give_app(sam)
    code = give_codes(sam)[0]
    by_password(client, sam)
    by_code(client, code)
    assert signed_in(client)


def test_nobody_looks_at_the_pages_unknown(client):
    for path in ("/security/", "/security/app/", "/security/codes/", "/security/passkeys/", "/security/passkeys/add/"):
        assert client.get(path)["Location"].startswith("/login/?next="), path
