"""By which name was the portal asked, and who comes in there? At BASE_URL everybody; at a client's own domain its people.

A proved domain (`portal.branding`) is a door to the same portal: with the client's face before anybody signs in, for the
client's people and our own staff. Everybody else is refused there as somebody unknown. A session opens one door only: what
began at one name is nobody at another. The public status pages and single sign-on stay at BASE_URL.

A process looks once a second which domains there are, and only when a name is asked that is not the portal's own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in
from django.db import DatabaseError, InterfaceError
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.request import split_domain_port, validate_host
from django.utils.functional import SimpleLazyObject

from portal.middleware import Handler
from portal.models import Branding, Client

log = logging.getLogger("watchkeeper.doors")

LOOK_SECONDS: Final = 1.0
MARK: Final = "door"  # the session's key: the client's domain at which it began; not there: at BASE_URL
ELSEWHERE: Final = ("/status/", "/login/oidc/")  # these have one address, the portal's own


@dataclass(frozen=True, slots=True)
class Door:
    """A client's own name for the portal."""

    domain: str
    client_id: int


# --- Which doors are there? -------------------------------------------------------------------------------------------------
class Doors:
    """What this process knows of them; while the database is away, what it knew."""

    def __init__(self) -> None:
        self.known: dict[str, Door] = {}
        self.looked_at: float | None = None
        self.lock = threading.Lock()

    def at(self, host: str) -> Door | None:
        """The door with this name, as lower-case text without a port."""
        if self.looked_at is None or time.monotonic() - self.looked_at >= LOOK_SECONDS:
            with self.lock:
                self._look()
        return self.known.get(host)

    def _look(self) -> None:
        moment = time.monotonic()
        rows = Branding.objects.filter(domain_proved_at__isnull=False, client__in=Client.objects.all()).order_by()
        try:
            self.known = {domain: Door(domain, client) for domain, client in rows.values_list("domain", "client_id")}
        except (DatabaseError, InterfaceError) as error:
            if self.looked_at is None:
                raise
            log.warning("the database did not answer (%s): clients' domains are as they were", type(error).__name__)
        self.looked_at = moment


doors = Doors()


def look_again() -> None:
    """Something changed here: do not wait for the second to pass."""
    if doors.looked_at is not None:
        doors.looked_at = float("-inf")


def of(request: Any) -> Door | None:
    """The client's door by which this request came; None at the portal's own address, and where nobody asked."""
    return getattr(request, "door", None)


def may_enter(user: Any, door: Door | None) -> bool:
    """Is this person at home there: our staff, and the client's own people?"""
    if door is None:
        return True
    return any(client in (None, door.client_id) for client in user.memberships.values_list("client_id", flat=True))


# --- Who else answers at a name? --------------------------------------------------------------------------------------------
_claims: list[Callable[[str], str]] = []


def claims(source: Callable[[str], str]) -> None:
    """`source(domain)` says who answers there already, in a sentence; "" where it knows nobody."""
    if source not in _claims:
        _claims.append(source)


def claimed(domain: str) -> str:
    """Why a portal cannot answer at this name; "" when nothing is in the way."""
    return next((why for source in _claims if (why := source(domain))), "")


# --- What is done to requests -----------------------------------------------------------------------------------------------
class ByWhichName:
    """Lets a client's domain in, with `request.door`; whatever is no name of ours is refused further in, as ever.

    Below it only `request.get_host()` says the name that was asked; the header reads as BASE_URL's, for who compares it with
    the portal's own names.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        asked = request.META.get("HTTP_HOST", "")
        host = split_domain_port(asked)[0]
        if not host or validate_host(host, settings.ALLOWED_HOSTS):
            return self.get_response(request)
        door = doors.at(host)
        if door is None:
            return self.get_response(request)
        if request.path_info.startswith(ELSEWHERE):
            return HttpResponseRedirect(settings.BASE_URL + request.get_full_path())
        request.door = door  # type: ignore[attr-defined]
        request.get_host = lambda: asked.lower()  # type: ignore[method-assign]
        request.META["HTTP_HOST"] = urlsplit(settings.BASE_URL).netloc
        return self.get_response(request)


class OwnPeople:
    """Who is signed in elsewhere, or is not at home here, is nobody at this door. Looked up when somebody asks who it is."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.user
        request.user = SimpleLazyObject(lambda: _here(request, given))  # type: ignore[assignment]
        return self.get_response(request)


def _here(request: HttpRequest, user: Any) -> Any:
    if not user.is_authenticated:
        return user
    door = of(request)
    began = request.session.get(MARK, "")
    if began == (door.domain if door else "") and may_enter(user, door):
        return getattr(request, "_cached_user", user)
    request._cached_user = AnonymousUser()  # type: ignore[attr-defined]  # nobody was seen here
    return request._cached_user  # type: ignore[attr-defined]


@receiver(user_logged_in, dispatch_uid="portal.doors")
def mark(sender: Any, request: Any, **_: Any) -> None:
    """A session that begins belongs to the door at which it began."""
    session, door = getattr(request, "session", None), of(request)
    if session is None:
        return
    if door is None:
        session.pop(MARK, None)
    else:
        session[MARK] = door.domain
