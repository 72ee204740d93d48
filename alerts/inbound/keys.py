"""Whose key is this? 32 characters as a PagerDuty routing key has; kept as a hash, shown once, found in constant time."""

from __future__ import annotations

import hmac
import re
import secrets
import string

from alerts.models import Integration
from portal.models.people import digest

LENGTH = 32
HINT = 6
ALPHABET = string.ascii_lowercase + string.digits
SHAPE = re.compile(rf"[a-z0-9]{{{LENGTH}}}")
_NOBODYS_HASH = digest("nobody")


def make() -> str:
    """A new key: 165 random bits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def give(row: Integration) -> str:
    """Give the (unsaved) row a new key; the old one opens nothing once this is saved. The plain text, shown once."""
    plain = make()
    row.key_hash, row.key_hint = digest(plain), plain[:HINT]
    return plain


def take(row: Integration) -> None:
    """Take the row's key away: no key opens it until it gets a new one."""
    row.key_hash, row.key_hint = digest(secrets.token_hex(32)), ""


def find(plain: str) -> Integration | None:
    """The integration that this key opens, also a switched off one; None for every other text, in the same time."""
    known = SHAPE.fullmatch(plain) is not None
    hashed = digest(plain) if known else _NOBODYS_HASH
    row = (
        Integration.objects.select_related("client", "site", "service")
        .filter(key_hash=hashed)
        .exclude(client__deleted_at__isnull=False)
        .first()
    )
    # Compared also when there is no such key, so that the answer's time says nothing.
    same = hmac.compare_digest(hashed, row.key_hash if row else _NOBODYS_HASH)
    return row if row is not None and known and same else None
