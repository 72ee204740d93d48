"""How does somebody who has only a message acknowledge? By a token, or a short code, that stands for one delivery.

Both are worked out from the installation's key and never stored: a token is the delivery's number with a signature, bound
to its purpose; it holds for 24 hours (SPEC INC-5, SEC-3). Whoever uses one is the person that the delivery went to.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from alerts.facts import portal_url
from alerts.message import Message
from alerts.models import Delivery

GOOD_FOR = timedelta(hours=24)
_ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # no 0/O, 1/I/L: it is read aloud and typed on a phone
CODE_LENGTH = 5


def _mac(purpose: str, subject: str) -> bytes:
    return hmac.new(settings.SECRET_KEY.encode(), f"alerts.links:{purpose}:{subject}".encode(), hashlib.sha256).digest()


def token(delivery_id: int, purpose: str = "acknowledge") -> str:
    """`<delivery>.<signature>`, at most 40 characters of [A-Za-z0-9_.-]."""
    signature = base64.urlsafe_b64encode(_mac(purpose, str(delivery_id))[:15]).decode()
    return f"{delivery_id}.{signature}"


def find(text: str, at: datetime, purpose: str = "acknowledge") -> tuple[Delivery | None, str]:
    """(delivery, obstacle) behind a token: ("unknown" | "expired" | ""); an expired one still says what it was about."""
    number, _, _ = text.partition(".")
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        return None, "unknown"
    if not hmac.compare_digest(token(int(number), purpose).encode(), text.encode("utf-8", "replace")):
        return None, "unknown"
    row = (
        Delivery.objects.select_related("alert", "channel", "contact")
        .filter(pk=int(number))
        .exclude(client__deleted_at__isnull=False)
        .first()
    )
    if row is None:
        return None, "unknown"
    return row, "expired" if at - row.created_at > GOOD_FOR else ""


def code(alert_id: int, channel_id: int) -> str:
    """What a person at that channel answers to acknowledge that alert: five letters and digits."""
    number = int.from_bytes(_mac("code", f"{alert_id}:{channel_id}")[:8])
    letters = []
    for _ in range(CODE_LENGTH):
        number, rest = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[rest])
    return "".join(letters)


def key(alert_id: int) -> str:
    """What an alert is called at vendors: the same over its life, another one for each installation."""
    return f"watchkeeper-{_mac('key', 'installation').hex()[:10]}-{alert_id}"


def acknowledge_url(delivery_id: int) -> str:
    """The page that asks "do you take it?"."""
    return portal_url(f"/a/{token(delivery_id)}/")


def of(row: Delivery) -> dict[str, Any]:
    """What a message of this delivery carries of all that."""
    if row.alert_id is None:
        return {}
    return {
        "key": key(row.alert_id), "acknowledge_token": token(row.pk), "acknowledge_code": code(row.alert_id, row.channel_id),
    }  # fmt: skip


def addressed(message: Message, row: Delivery) -> Message:
    """The message with an Acknowledge link that stands for this delivery, instead of one that asks to sign in."""
    if row.alert_id is None:
        return message
    mine = acknowledge_url(row.pk)
    return replace(
        message, links=tuple(replace(link, url=mine) if link.rel == "acknowledge" else link for link in message.links)
    )
