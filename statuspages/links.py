"""Where do a reader's links lead? To confirm, to choose, to leave: each worked out from the reader's mark, none stored.

A link is good for one purpose and one reader; it opens nothing else. A new mark ends all of a reader's links. Leaving must
work from a mail of last year, whatever the page is called by then: the page's name in the address is for people only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

from django.conf import settings

from statuspages.models import Subscriber

CONFIRM, PREFERENCES, LEAVE = "confirm", "preferences", "leave"
LONGEST: Final = 60


def _mac(purpose: str, subject: str) -> bytes:
    said = f"statuspages.links:{purpose}:{subject}".encode()
    return hmac.new(settings.SECRET_KEY.encode(), said, hashlib.sha256).digest()


def token(row: Subscriber, purpose: str) -> str:
    """`<subscriber>.<signature>`, for one purpose."""
    signature = base64.urlsafe_b64encode(_mac(purpose, f"{row.pk}:{row.mark}")[:18]).decode()
    return f"{row.pk}.{signature}"


def find(text: str, purpose: str) -> Subscriber | None:
    """The subscriber behind a token; None for every other text, whether or not there is such a subscriber."""
    number, _, _ = text.partition(".")
    if len(text) > LONGEST or not number.isascii() or not number.isdigit() or len(number) > 18:
        return None
    row = Subscriber.objects.select_related("page").filter(pk=int(number)).first()
    wanted = token(row or Subscriber(pk=int(number), mark=""), purpose)
    right = hmac.compare_digest(wanted.encode(), text.encode("utf-8", "replace"))
    return row if right else None


def url(row: Subscriber, purpose: str) -> str:
    """An absolute address, always the portal's own: a static copy elsewhere can answer nobody."""
    place = {CONFIRM: "subscribe/confirm", PREFERENCES: "preferences", LEAVE: "leave"}[purpose]
    return f"{settings.BASE_URL}/status/{row.page.slug}/{place}/{token(row, purpose)}/"


def hook_key() -> str:
    """What stands in the address to which a mail server reports letters that came back; of the whole installation."""
    return base64.urlsafe_b64encode(_mac("bounces", "")[:24]).decode()


def hook_url() -> str:
    """That address."""
    return f"{settings.BASE_URL}/hooks/bounces/{hook_key()}/"


def secret(row: Subscriber) -> str:
    """What a webhook's messages are signed with: `whsec_…` (Standard Webhooks). A new mark makes another one."""
    return "whsec_" + base64.b64encode(_mac("secret", f"{row.pk}:{row.mark}")).decode()


def fingerprint(kind: str, address: str) -> str:
    """By what an address is found again without being read: keyed, so that nobody can try addresses against a stolen table."""
    plain = address.lower() if kind == Subscriber.Kind.EMAIL else address
    return hmac.new(
        settings.SECRET_KEY.encode(), f"statuspages.address:{kind}:{plain}".encode(), hashlib.sha256
    ).hexdigest()
