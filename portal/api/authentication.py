"""Who calls the API? A token (`Authorization: Bearer wk_…`) or the browser's session, then with its CSRF token."""

from __future__ import annotations

import hmac
import re
from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from portal.models import Token, User
from portal.models.people import digest

SHAPE = re.compile(r"wk_([0-9a-f]{8})_([A-Za-z0-9_-]{20,100})")
USED_EVERY = timedelta(minutes=1)
_NOBODYS_HASH = digest("nobody")


def token_of(text: str) -> Token | None:
    """The usable token behind its plain text, or None. The database's clock decides what has expired."""
    match = SHAPE.fullmatch(text)
    if match is None:
        return None
    prefix, secret = match.groups()
    token = Token.objects.select_related("user", "client").annotate(now=Now()).filter(prefix=prefix).first()
    # Compared also when there is no such prefix, so that the answer's time says nothing.
    same = hmac.compare_digest(digest(secret), token.hash if token else _NOBODYS_HASH)
    if token is None or not same or not token.usable(token.now):
        return None
    if token.client is not None and token.client.deleted_at is not None:
        return None
    if token.client is not None and not token.client.active and not token.user.msp_role:
        return None
    if token.last_used_at is None or token.last_used_at < token.now - USED_EVERY:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=token.now - USED_EVERY)
        Token.objects.filter(stale, pk=token.pk).update(last_used_at=token.now)
        token.last_used_at = token.now
    return token


class BearerToken(BaseAuthentication):
    """A token of a person. Another scheme is left to the next class; a bad token is 401, never "anonymous"."""

    def authenticate(self, request: Request) -> tuple[User, Token] | None:
        scheme, _, rest = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        token = token_of(rest.strip().decode("latin-1"))
        if token is None:
            raise AuthenticationFailed("This token is unknown, expired or revoked; make a new one.")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Watchkeeper API"'


class Session(SessionAuthentication):
    """The browser's session. Writes need the CSRF token, as every form does."""
