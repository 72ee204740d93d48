"""How does a feed reader, which types no password, read a page that is not for everybody? At an address nobody can guess.

Of a page with a password the address is the same for all its readers, and ends when the password changes. Of a page for
signed-in people it is one person's own, and ends when their password changes or they may no longer see the page. A new
`Page.feed_mark` ends all of a page's. Nothing is stored: a key is worked out, and opens the feed and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model

from portal.tenancy import viewer_of
from statuspages.board import Known
from statuspages.models import Page

PLACE: Final = "feed/"  # below a page's address: what to give to a feed reader, and below that the feed itself
_ADDRESS: Final = re.compile(r"feed/((?:[1-9][0-9]{0,17}\.)?[A-Za-z0-9_-]{32})\.atom")


def asked(rest: str) -> str:
    """The key in an address below a page's; empty: it is no private feed's."""
    found = _ADDRESS.fullmatch(rest)
    return found[1] if found else ""


def for_password(known: Known) -> str:
    """The key of whoever has said the page's password."""
    return _signed(known, f"password:{known.password_hash}")


def for_person(known: Known, person: Any) -> str:
    """The key of one signed-in person."""
    return f"{person.pk}.{_signed(known, f'person:{person.pk}:{person.get_session_auth_hash()}')}"


def opens(known: Known, key: str) -> bool:
    """Does it open this page's feed now?"""
    if known.visibility == Page.Visibility.PASSWORD:
        return hmac.compare_digest(for_password(known).encode(), key.encode())
    number, dot, _ = key.partition(".")
    person = get_user_model().objects.filter(pk=int(number)).first() if dot else None
    if person is None or not hmac.compare_digest(for_person(known, person).encode(), key.encode()):
        return False
    return viewer_of(person).sees(known.client_id)


def address(known: Known, home: str, key: str) -> str:
    """Where this key's feed is: at the page's own address, or (for signed-in people) always at the portal's."""
    signed_in = known.visibility == Page.Visibility.SIGNED_IN
    return f"{f'{settings.BASE_URL}/status/{known.slug}/' if signed_in else home}{PLACE}{key}.atom"


def _signed(known: Known, whom: str) -> str:
    said = f"statuspages.feed_keys:{known.pk}:{known.feed_mark}:{whom}".encode()
    return base64.urlsafe_b64encode(hmac.new(settings.SECRET_KEY.encode(), said, hashlib.sha256).digest()[:24]).decode()
