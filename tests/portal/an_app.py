"""What does a person's phone do? An authenticator app by RFC 6238, written for the tests alone, and its owner at the pages."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import struct
import time

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.test import Client as Browser

from portal.accounts import SecondStep
from portal.models import User
from tests import cast

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


_glances: dict[str, float] = {}  # test → Unix time


def glance() -> float:
    """When this test first looked at the phone: "the same code" and "the next one" stay so when half a minute ends meanwhile.

    Ours takes the code before and after too, so that a glance may be old by one step. A test that travels looks again.
    """
    test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
    now = time.time()
    if abs(_glances.setdefault(test, now) - now) > 60:
        _glances[test] = now
    return _glances[test]


def shown(secret: str = SECRET, *, at: float | None = None, later: int = 0) -> str:
    """The six digits on the phone at a Unix time (this test's), or `later` codes after that."""
    step = int(glance() if at is None else at) // 30 + later
    mac = hmac.new(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1).digest()
    start = mac[19] % 16
    (number,) = struct.unpack(">I", mac[start : start + 4])
    return f"{(number % 2**31) % 1_000_000:06d}"


def unlike(secret: str = SECRET) -> str:
    """Six digits that the phone does not show around now."""
    near = {shown(secret, later=steps) for steps in range(-3, 4)}
    return next(code for code in (f"{number:06d}" for number in range(10)) if code not in near)


def give_app(user: User, secret: str = SECRET) -> Authenticator:
    """This person set up an app with that secret."""
    return Authenticator.objects.create(user=user, type="totp", data={"secret": SecondStep().encrypt(secret)})


def give_codes(user: User) -> list[str]:
    """This person has recovery codes: these."""
    return RecoveryCodes.activate(user).generate_codes()


def by_password(browser: Browser, user: User, **more: str):
    return browser.post("/login/", {"login": user.email, "password": cast.PASSWORD, **more})


def by_code(browser: Browser, code: str):
    return browser.post("/login/second-step/", {"code": code})


def signed_in(browser: Browser) -> bool:
    return "_auth_user_id" in browser.session


def with_code(user: User, code: str = "") -> Browser:
    """A browser in which this person signed in with password and app."""
    browser = Browser()
    by_password(browser, user)
    by_code(browser, code or shown())
    assert signed_in(browser)
    return browser


def secret_on(page) -> str:
    """The key that a page shows for typing into the app."""
    return re.search(r'secret-key">([A-Z2-7]+)<', page.content.decode())[1]
