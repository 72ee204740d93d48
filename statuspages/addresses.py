"""Can news be sent there? A reader's address in its one normal form, or a sentence; nothing is looked up, nothing is asked.

A name is not resolved here: the answer would tell strangers about names inside, and take as long as a name server likes.
What it stands for is checked each time something goes out (`portal.outbound.guard`).
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from django.conf import settings
from django.core.exceptions import ValidationError

from alerts.channels.email import address as mail_address
from portal.outbound.guard import Blocked, Reach, check_url, check_written
from statuspages.models import Page, Subscriber
from statuspages.phrases import say

LONGEST_MAIL: Final = 254  # RFC 5321
LONGEST_URL: Final = 1000
SLACK: Final = "hooks.slack.com"


def reach_of(page: Page) -> tuple[IPv4Network | IPv6Network, ...]:
    """Networks that its readers' webhooks may reach besides public ones: none, unless every reader is signed in."""
    return tuple(settings.OUTBOUND_ALLOW) if page.visibility == Page.Visibility.SIGNED_IN else ()


def normal(page: Page, kind: str, text: str) -> str:
    """The address as it is stored and used. ValidationError with a sentence in the page's language."""
    text = text.strip()
    if kind not in CHECKS:
        raise ValidationError(say(page.language, "wrong_kind"))
    try:
        if not text.isprintable() or " " in text:
            raise ValueError("not one word")
        return CHECKS[kind](page, text)
    except (ValueError, Blocked):
        wrong = {"email": "wrong_email", "slack": "wrong_slack"}.get(kind, "wrong_url")
        raise ValidationError(say(page.language, wrong)) from None


def _mail(page: Page, text: str) -> str:
    # What may stand in quotes (or list several) is nothing that a person has as an address.
    if (
        len(text) > LONGEST_MAIL
        or not text.isascii()
        and not text.rpartition("@")[0].isascii()
        or set(text) & set('",;<>()[]\\')
    ):
        raise ValueError("not a plain address")
    local, _, domain = mail_address(text).rpartition("@")
    return f"{local}@{domain.lower()}"


def _hook(page: Page, text: str) -> str:
    parts = check_url(text)
    if len(text) > LONGEST_URL:
        raise ValueError("too long")
    check_written(parts.host, Reach(allow=reach_of(page)))
    return parts.url


def _slack(page: Page, text: str) -> str:
    parts = check_url(text, schemes=("https",))
    if (
        len(text) > LONGEST_URL
        or (parts.host, parts.port) != (SLACK, 443)
        or not parts.target.startswith("/services/")
        or "?" in parts.target
    ):
        raise ValueError("not Slack's")
    return parts.url


CHECKS: Final[dict[str, Callable[[Page, str], str]]] = {"email": _mail, "webhook": _hook, "slack": _slack}


def readable(row: Subscriber) -> str:
    """Enough of an address that its owner knows it, and no more: `a•••@example.com`, `https://hooks.example.com/…`."""
    text = row.address.open() or ""
    if row.kind == Subscriber.Kind.EMAIL:
        local, _, domain = text.rpartition("@")
        return f"{local[:1]}•••@{domain}" if domain else ""
    return f"{text.split('/', 3)[0]}//{text.split('/', 3)[2]}/…" if text.count("/") >= 2 else ""
