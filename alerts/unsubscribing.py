"""How does a reader stop digests by one click? `/u/<token>/`: looking changes nothing, pressing does, and no login is asked.

Only digests can be stopped so, never an alert: the mail that carries the link is a digest's (RFC 8058), and the token is
bound to this purpose, to one channel and to the addresses it had. Tokens are worked out, never stored; they hold as long as
the channel goes to the same addresses, because an old digest's link must work too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from alerts.models import Channel
from alerts.twoway import hooks
from portal import audit
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused

MOST_AN_HOUR: Final = 60  # presses and wrong links of one address
LONGEST: Final = 60


# --- The link -----------------------------------------------------------------------------------------------------------
def token(channel_id: int, address: str) -> str:
    """`<channel>.<signature>`, for the digests of one channel at its present addresses."""
    subject = f"alerts.unsubscribing:{channel_id}:{address}".encode()
    mac = hmac.new(settings.SECRET_KEY.encode(), subject, hashlib.sha256).digest()
    return f"{channel_id}.{base64.urlsafe_b64encode(mac[:15]).decode()}"


def path(channel_id: int, address: str) -> str:
    """The page's address within the portal."""
    return f"/u/{token(channel_id, address)}/"


def find(text: str) -> Channel | None:
    """The channel behind a token; None for every other text, whether or not there is such a channel."""
    number, _, _ = text.partition(".")
    if len(text) > LONGEST or not number.isascii() or not number.isdigit() or len(number) > 18:
        return None
    row = Channel.objects.filter(pk=int(number), type="email").first()
    wanted = token(int(number), address_of(row) if row else "")
    right = hmac.compare_digest(wanted.encode(), text.encode("utf-8", "replace"))
    return row if right else None


def address_of(row: Channel) -> str:
    """Where a mail channel goes, as the mail's own side names it."""
    to = row.config.get("to", ())
    return ", ".join(to) if isinstance(to, list | tuple) else str(to)


# --- The doors ----------------------------------------------------------------------------------------------------------
def stop(row: Channel, *, by: Actor, at: datetime) -> bool:
    """The reader wants no more digests there; False when that was so already."""
    with transaction.atomic():
        if not Channel.objects.filter(pk=row.pk, digests_stopped_at=None).update(digests_stopped_at=at):
            return False
        audit.record("channel.digests_stopped", row, by=by, client_id=row.client_id)
    return True


def resume(row: Channel, *, by: Actor) -> None:
    """Digests may go there again. Refused when nobody had stopped them."""
    with transaction.atomic():
        if not Channel.objects.filter(pk=row.pk).exclude(digests_stopped_at=None).update(digests_stopped_at=None):
            raise Refused(f"{row.name} may get digests already.")
        audit.record("channel.digests_resumed", row, by=by, client_id=row.client_id)
    row.digests_stopped_at = None


def stopped(row: Channel) -> str:
    """Why no digest goes there, in a sentence; "" when one may."""
    since = row.digests_stopped_at
    if since is None:
        return ""
    day = f"{since.day} {since:%b %Y}"
    return f"The reader asked for no more digests on {day}; they can be switched on again at the channel's page."


# --- The page -----------------------------------------------------------------------------------------------------------
@never_cache
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """`/u/<token>/`: GET shows a button, POST (also a mail program's one click, which has no cookie) stops digests."""
    who = Actor.of(request).ip
    row = find(token)
    if (row is None or request.method == "POST") and hooks.counted("unsubscribe", who) > MOST_AN_HOUR:
        return _show(request, None, "many", 429)
    if row is None:
        return _show(request, None, "unknown", 404)
    if request.method == "POST":
        reader = Actor("a reader of its digests (link)", ip=who)
        return _show(request, row, "done" if stop(row, by=reader, at=database_now()) else "already")
    return _show(request, row, "already" if row.digests_stopped_at else "ask")


def _show(request: HttpRequest, row: Channel | None, state: str, status: int = 200) -> HttpResponse:
    context: dict[str, Any] = {"state": state, "address": address_of(row) if row else ""}
    response = hooks.unlogged(render(request, "alerts/unsubscribe.html", context, status=status))
    response["Referrer-Policy"] = "no-referrer"
    return response
