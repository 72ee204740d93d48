"""May somebody try another password? Strangers are held back per address, per place and per account; people are not.

A browser that once signed in to an account carries a signed cookie that says so. Strangers who guess at that account use
up the strangers' tries only: from their own browser its person still gets in. All strangers together have 30 tries in
15 minutes at one account; a browser that is known has ten in five minutes of its own, so that a stolen cookie helps little.

The counts live in the cache: one process's own without Redis, and gone while Redis is away.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

from django.conf import settings
from django.core import signing
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare, salted_hmac

from portal.errors import Refused
from portal.middleware import Handler
from portal.models import User

COOKIE, SALT = "known-", "portal.throttle"
KNOWN_FOR = timedelta(days=180)
MOST_COOKIES = 5  # accounts that one browser is known for; the oldest is forgotten


@dataclass(frozen=True, slots=True)
class Limit:
    """So many wrong passwords in so many seconds, counted from the first."""

    most: int
    seconds: int

    @property
    def minutes(self) -> int:
        """How long somebody waits at most, once the tries have ended."""
        return -(-self.seconds // 60)


ADDRESS = Limit(30, 300)  # an office behind one address mistypes too
PLACE = Limit(5, 300)  # one account, tried from one network
ACCOUNT = Limit(30, 900)  # one account, tried by all strangers together
BROWSER = Limit(10, 300)  # one account, tried from one browser that is known


class Tries:
    """What one try used up. `give_back` after the right password."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = list(keys)

    def rollback(self) -> None:
        """It was the right password: it does not count."""
        for key in self.keys:
            try:
                cache.decr(key)
            except ValueError:  # forgotten meanwhile
                pass


def take(request: HttpRequest, email: str) -> Tries:
    """Count one try at an account before its password is looked at. Raises Refused when there is none left."""
    used: list[str] = []
    for key, limit in limits(email, request.META.get("REMOTE_ADDR", ""), known_browser(request, email)):
        if _count(key, limit) > limit.most:
            minutes = limit.minutes
            raise Refused(
                f"Too many wrong passwords. Wait {minutes} minutes, use a browser that you signed in with before, or choose a "
                "new password by mail."
            )
        used.append(key)
    return Tries(used)


def limits(email: str, address: str, browser: str) -> list[tuple[str, Limit]]:
    """Which counts a try goes into, the narrowest reach first: what stops there uses up nothing of the next.

    `browser` is the mark of a browser that is known for this account, or "".
    """
    if browser:
        return [(_key("browser", browser), BROWSER)]
    who, single, wide = email.strip().lower(), network(address, 32, 64), network(address, 24, 48)
    return [
        (_key("address", single), ADDRESS),
        (_key("place", wide, who), PLACE),
        (_key("account", who), ACCOUNT),
    ]


def network(address: str, v4: int, v6: int) -> str:
    """The network that an address belongs to; whoever has an IPv6 address has a whole /64 of them."""
    try:
        found = ip_address(address)
    except ValueError:
        return "unknown"
    return str(ip_network(f"{found}/{v4 if found.version == 4 else v6}", strict=False))


def _key(*parts: str) -> str:
    return "try:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40]


def _count(key: str, limit: Limit) -> int:
    """One more; the count since the first. What is refused does not make the wait longer."""
    cache.add(key, 0, limit.seconds)
    try:
        return int(cache.incr(key))
    except ValueError:  # it ended between the two
        cache.set(key, 1, limit.seconds)
        return 1


# --- Browsers that are known ----------------------------------------------------------------------------------------------
def cookie_name(user: Any) -> str:
    """One cookie an account, by a name that tells a stranger nothing."""
    return COOKIE + salted_hmac(f"{SALT}.name", str(user.pk)).hexdigest()[:12]


def mark_of(user: Any) -> str:
    """A fragment that changes with the password: with it every browser becomes a stranger again."""
    return salted_hmac(f"{SALT}.mark", str(user.password)).hexdigest()[:16]


def known_browser(request: HttpRequest, email: str) -> str:
    """The mark of this browser, when it signed in to that account before and the password is still the same; else ""."""
    if not any(name.startswith(COOKIE) for name in request.COOKIES):
        return ""
    user = User.objects.filter(email__iexact=email.strip()).first()
    if user is None:
        return ""
    said = _said(request.COOKIES.get(cookie_name(user), ""))
    same = said.get("user") == user.pk and constant_time_compare(str(said.get("mark", "")), mark_of(user))
    return f"{user.pk}.{said['browser']}" if same else ""


def remember(request: HttpRequest, user: User) -> None:
    """This browser has just proved to be the person's (a sign-in, a mail's link, a new password): the answer tells it so."""
    request.known_to = user


class KnownBrowsers:
    """Sets the cookie of a browser that has proved itself."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self.get_response(request)
        user = getattr(request, "known_to", None)
        if user is not None:
            _set_cookie(request, answer, user)
        return answer


def _set_cookie(request: HttpRequest, answer: HttpResponse, user: User) -> None:
    name = cookie_name(user)
    before = _said(request.COOKIES.get(name, ""))
    browser = str(before["browser"]) if before.get("user") == user.pk else secrets.token_urlsafe(9)
    said = signing.dumps({"user": user.pk, "mark": mark_of(user), "browser": browser}, salt=SALT)
    answer.set_cookie(
        name,
        said,
        max_age=KNOWN_FOR,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    others = [other for other in request.COOKIES if other.startswith(COOKIE) and other != name]
    for other in others[: max(0, len(others) + 1 - MOST_COOKIES)]:
        answer.delete_cookie(other, samesite="Lax")


def _said(text: str) -> dict[str, Any]:
    try:
        said = signing.loads(text, salt=SALT, max_age=KNOWN_FOR) if text else {}
    except signing.BadSignature:
        return {}
    return said if isinstance(said, dict) and "browser" in said else {}
