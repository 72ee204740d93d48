"""Who may open a diagnosis' report? Whoever has its address: worked out from the installation's key, never stored.

The token is the diagnosis' number with a signature over number and mark. A new mark ends the old link; a revoked or an
expired one still says which report it was, so that the page can say what happened instead of "not found".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from monitors.models import Diagnosis
from monitors.models.diagnosis import new_mark
from portal import audit
from portal.audit import Actor
from portal.errors import Refused

GOOD_FOR = timedelta(days=90)
NUMBER, SIGNATURE = 8, 16  # bytes: together 24, so that base64 needs no padding
LENGTH = (NUMBER + SIGNATURE) * 4 // 3


class Ended(Exception):
    """The link was good once. `why` is expired or revoked; the sentence is for the page."""

    def __init__(self, why: str, diagnosis: Diagnosis) -> None:
        super().__init__("This link was revoked." if why == "revoked" else "This link has expired.")
        self.why, self.diagnosis = why, diagnosis


def token_of(d: Diagnosis) -> str:
    """32 characters of [A-Za-z0-9_-]."""
    return _token(d.pk, d.link_mark)


def url_of(d: Diagnosis) -> str:
    """The report's address. It opens the report until it expires, is revoked or renewed."""
    return f"{settings.BASE_URL}/r/{token_of(d)}/"


def open_until(d: Diagnosis) -> datetime | None:
    """When the link ends; None for one that is revoked."""
    return None if d.link_revoked_at is not None else d.link_expires_at


def find(token: str, at: datetime) -> Diagnosis | None:
    """The diagnosis behind a token; None when it is not known (or was renewed). Raises Ended for one that is over."""
    if len(token) != LENGTH or not token.isascii():
        return None
    try:
        raw = base64.urlsafe_b64decode(token)
    except ValueError:
        return None
    number = int.from_bytes(raw[:NUMBER]) if len(raw) == NUMBER + SIGNATURE else 2**63
    rows = Diagnosis.objects.exclude(monitor__client__deleted_at__isnull=False).select_related("monitor", "alert")
    d = rows.filter(pk=number).first() if number < 2**63 else None
    # A number that is not there is compared as well: the answer's time tells nothing.
    right = _token(number % 2**63, d.link_mark if d else "")
    if not hmac.compare_digest(right.encode(), token.encode()) or d is None:
        return None
    if d.link_revoked_at is not None:
        raise Ended("revoked", d)
    if d.link_expires_at is None or at >= d.link_expires_at:
        raise Ended("expired", d)
    return d


def renew(d: Diagnosis, *, by: Actor, at: datetime) -> Diagnosis:
    """A new link, good for 90 days; the old one is not known any more."""
    with transaction.atomic():
        d = Diagnosis.objects.select_for_update(of=("self",)).select_related("monitor").get(pk=d.pk)
        d.link_mark, d.link_expires_at, d.link_revoked_at = new_mark(), at + GOOD_FOR, None
        d.save(update_fields=["link_mark", "link_expires_at", "link_revoked_at"])
        audit.record("diagnosis.link_renew", d, by=by, client_id=d.monitor.client_id)
    return d


def revoke(d: Diagnosis, *, by: Actor, at: datetime) -> Diagnosis:
    """The link opens nothing any more. Refused when that is so already."""
    with transaction.atomic():
        d = Diagnosis.objects.select_for_update(of=("self",)).select_related("monitor").get(pk=d.pk)
        if d.link_revoked_at is not None:
            raise Refused("This link is revoked already.")
        d.link_revoked_at = at
        d.save(update_fields=["link_revoked_at"])
        audit.record("diagnosis.link_revoke", d, by=by, client_id=d.monitor.client_id)
    return d


def _token(number: int, mark: str) -> str:
    text = f"monitors.diagnosis.links:{number}:{mark}"
    mac = hmac.new(settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256).digest()[:SIGNATURE]
    return base64.urlsafe_b64encode(number.to_bytes(NUMBER) + mac).decode()
