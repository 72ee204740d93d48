"""Where is somebody signed in? Their sessions: from which device, since when, last seen; and how they are ended.

A session is spoken of by its row's number. Its key is the cookie, so it is shown and logged nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare

from portal import audit
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.middleware import Handler
from portal.models import User
from portal.models.people import digest

SEEN_EVERY = timedelta(minutes=5)
NOWHERE = "::"  # an address that is not known: by a Unix socket there is none
LONGEST = UserSession._meta.get_field("user_agent").max_length

BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("FxiOS", "Firefox"), ("CriOS", "Chrome"), ("Chrom", "Chrome"), ("Safari", "Safari"))  # fmt: skip
SYSTEMS = (("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS X", "Mac"), ("CrOS", "ChromeOS"), ("Linux", "Linux"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Open:
    """A session that still opens the portal."""

    pk: int
    device: str
    address: str
    began_at: datetime
    seen_at: datetime
    here: bool


def device_of(user_agent: str) -> str:
    """A few words for what a browser calls itself: "Firefox on Linux"; what is not known is said so."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or "a program that does not say what it is"


def address_of(request: HttpRequest) -> str:
    """The caller's address, or NOWHERE."""
    try:
        return str(ip_address(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return NOWHERE


# --- They come, and are seen ------------------------------------------------------------------------------------------------
def begin(request: HttpRequest, user: User) -> None:
    """Write down a session that begins."""
    if not request.session.session_key:
        request.session.save()
    key, at = str(request.session.session_key), database_now()
    about = {"user": user, "created_at": at, "last_seen_at": at, **_where(request)}
    UserSession.objects.update_or_create(session_key=key, defaults=about)
    _due(key)


def _where(request: HttpRequest) -> dict[str, str]:
    return {"ip": address_of(request), "user_agent": request.META.get("HTTP_USER_AGENT", "")[:LONGEST]}


def _due(key: str) -> bool:
    """Is it time to write that this session was seen? Once in five minutes a process says yes."""
    return cache.add(f"seen:{digest(key)[:40]}", 1, int(SEEN_EVERY.total_seconds()))


def seen(request: HttpRequest, user: User) -> None:
    """This session was used now, from here."""
    key = str(request.session.session_key)
    if not _due(key):
        return
    at = database_now()
    rows = UserSession.objects.filter(session_key=key)
    if rows.filter(last_seen_at__lt=at - SEEN_EVERY).update(last_seen_at=at, **_where(request)) or rows.exists():
        return
    if Session.objects.filter(session_key=key).exists():  # it began before sessions were written down
        about = {"user": user, "created_at": at, "last_seen_at": at, **_where(request)}
        UserSession.objects.get_or_create(session_key=key, defaults=about)


class LastSeen:
    """Writes when a session was last used, at most every five minutes; pages that look at no session cost nothing."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self.get_response(request)
        user = getattr(request, "_cached_user", None)  # only there when the page asked who it is
        if user is not None and user.is_authenticated and request.session.session_key:
            seen(request, user)
        return answer


# --- Which are open, and how they end -------------------------------------------------------------------------------------------
def listed(user: User, here: str | None) -> list[Open]:
    """What opens the portal for this person, this session (by its key) first, then the latest seen."""
    found = [
        Open(
            row.pk,
            device_of(row.user_agent),
            "" if row.ip == NOWHERE else str(row.ip),
            row.created_at,
            row.last_seen_at,
            row.session_key == here,
        )
        for row in _living(user)
    ]
    return sorted(found, key=lambda one: (not one.here, -one.seen_at.timestamp()))


def _living(user: User) -> list[UserSession]:
    """The rows whose session has neither expired nor another password than the person's."""
    rows = {row.session_key: row for row in UserSession.objects.filter(user=user).order_by("pk")}
    mark = user.get_session_auth_hash()
    alive = []
    for session in Session.objects.filter(session_key__in=rows, expire_date__gt=database_now()):
        said = session.get_decoded()
        if said.get(SESSION_KEY) == str(user.pk) and constant_time_compare(said.get(HASH_SESSION_KEY, ""), mark):
            alive.append(rows[session.session_key])
    return alive


def end(user: User, pk: int, *, by: Actor) -> str:
    """End one session of this person; its device. Refused when it is not (or no longer) one of theirs."""
    row = next((row for row in _living(user) if row.pk == pk), None)
    if row is None:
        raise Refused("This session has ended already.")
    with transaction.atomic():
        forget([row.session_key])
        what = {"device": device_of(row.user_agent), "address": "" if row.ip == NOWHERE else row.ip}
        audit.record("user.session_ended", user, by=by, before=what)
    return str(what["device"])


def end_others(user: User, here: str | None, *, by: Actor) -> int:
    """End every session of this person but the one with this key; how many."""
    others = [row.session_key for row in _living(user) if row.session_key != here]
    with transaction.atomic():
        forget(others)
        if others:
            audit.record("user.sessions_ended", user, by=by, before={"sessions": len(others)})
    return len(others)


def forget(keys: Iterable[str]) -> int:
    """End the sessions with these keys, unaudited; how many there were."""
    keys = list(keys)
    UserSession.objects.filter(session_key__in=keys).delete()
    return Session.objects.filter(session_key__in=keys).delete()[0]


def keys_of(user: Any) -> list[str]:
    """The keys of every session of this person, written down or not."""
    found = Session.objects.iterator(chunk_size=1000)
    return [s.session_key for s in found if s.get_decoded().get(SESSION_KEY) == str(user.pk)]


def forget_expired(at: datetime) -> None:
    """Delete sessions that have expired, and rows of sessions that are gone."""
    Session.objects.filter(expire_date__lt=at).delete()
    UserSession.objects.exclude(session_key__in=Session.objects.values("session_key")).filter(
        last_seen_at__lt=at - timedelta(days=1)
    ).delete()
