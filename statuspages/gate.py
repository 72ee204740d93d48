"""Who may read a page that asks for a password? Whoever said it within twelve hours: a signed cookie, of this page alone.

It is the only cookie that public pages know, and holds neither the password nor anything of the reader. It ends when the
password changes. Wrong ones are counted in the process, by address and by page, so that guessing gets nowhere.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import OrderedDict
from urllib.parse import urlsplit

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

HOURS = 12
WINDOW = 300.0  # seconds
MOST_OF_AN_ADDRESS, MOST_OF_A_PAGE = 20, 300
REMEMBERED = 5000
HAND_OVER = 120  # seconds
WAY_ON = re.compile(
    r"(?:[a-z0-9][a-z0-9-]*/){1,3}"
)  # what stands below a page: its own addresses, never another site's
_signer = signing.TimestampSigner(salt="statuspages.gate")
_hands = signing.TimestampSigner(salt="statuspages.gate.hand_over")


def cookie_name(page_id: int) -> str:
    """Of this page's cookie."""
    return f"page-{page_id}"


def _about(page_id: int, password_hash: str) -> str:
    return f"{page_id}.{hashlib.sha256(password_hash.encode()).hexdigest()[:24]}"


def pass_for(page_id: int, password_hash: str) -> str:
    """What the cookie holds."""
    return _signer.sign(_about(page_id, password_hash))


def holds(cookie: str, page_id: int, password_hash: str) -> bool:
    """Is it ours, of this page, under its present password, and not older than twelve hours?"""
    try:
        return _signer.unsign(cookie, max_age=HOURS * 3600) == _about(page_id, password_hash)
    except signing.BadSignature:
        return False


def let_in(response: HttpResponse, page_id: int, password_hash: str, path: str) -> HttpResponse:
    """Whoever gets this answer has said the password, for `path` and what is below it."""
    response.set_cookie(
        cookie_name(page_id), pass_for(page_id, password_hash), max_age=HOURS * 3600, path=path, secure=settings.SESSION_COOKIE_SECURE,
        httponly=True, samesite="Lax",
    )  # fmt: skip
    return response


def hand_over(page_id: int, password_hash: str) -> str:
    """For who said it at the page's own domain and goes on to the portal's: no cookie goes with them, this does."""
    return _hands.sign(_about(page_id, password_hash))


def handed(text: str, page_id: int, password_hash: str) -> bool:
    """Did they come by `hand_over`, just now?"""
    try:
        return _hands.unsign(text[:200], max_age=HAND_OVER) == _about(page_id, password_hash)
    except signing.BadSignature:
        return False


def way_on(text: str) -> str:
    """The address below the page that somebody wanted before they were asked; empty: the page itself."""
    return text if WAY_ON.fullmatch(text) and len(text) < 100 else ""


def same_site(request: HttpRequest) -> bool:
    """Did this page's own form send it? Browsers say so; what says nothing is no browser and carries no cookies."""
    said = request.headers.get("Sec-Fetch-Site")
    if said is not None:
        return said in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.META.get("HTTP_HOST", "")


class Tries:
    """Wrong passwords of the last minutes, by key."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seen: OrderedDict[object, tuple[float, int]] = OrderedDict()

    def count(self, key: object) -> int:
        """How many within the window."""
        began, n = self.seen.get(key, (0.0, 0))
        return n if time.monotonic() - began < WINDOW else 0

    def add(self, *keys: object) -> None:
        """One more of each."""
        with self.lock:
            for key in keys:
                n = self.count(key)
                began = self.seen[key][0] if n else time.monotonic()
                self.seen[key] = (began, n + 1)
                self.seen.move_to_end(key)
            while len(self.seen) > REMEMBERED:
                self.seen.popitem(last=False)


tries = Tries()


def too_often(page_id: int, address: str) -> bool:
    """Has this address, or everybody together, been wrong too often?"""
    return tries.count((page_id, address)) >= MOST_OF_AN_ADDRESS or tries.count(page_id) >= MOST_OF_A_PAGE


def wrong(page_id: int, address: str) -> None:
    """Somebody said a wrong password."""
    tries.add((page_id, address), page_id)
