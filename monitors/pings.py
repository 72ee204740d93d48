"""A job says that it started, failed or finished. What is kept of that, and what does its monitor learn?

One transaction: the ping, the new facts of the monitor and its next look. Nothing here waits for a broker, and the limit
on how often one address may be used is read from the pings themselves, not from a cache.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from monitors import services
from monitors.models import Monitor, Ping
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Token
from portal.tenancy import MAY, WRITE, viewer_with

KEPT_BODY = 10 * 1024  # bytes
MOST_A_MINUTE = 60  # of one monitor
LONGEST_RUN = timedelta(days=3)  # a start that is older does not belong to this finish
LOOK_BACK = 100  # pings among which the start of a run is looked for
LARGEST_EXIT_CODE = 255
NEW_PERIOD, NEW_GRACE = 86400, 3600  # of a heartbeat that its first ping makes, in seconds
SLUG = re.compile(r"[-a-zA-Z0-9_]{1,60}")
WORDS = {"": Ping.Kind.SUCCESS, "start": Ping.Kind.START, "fail": Ping.Kind.FAIL, "log": Ping.Kind.LOG}


class TooOften(Exception):
    """More than MOST_A_MINUTE pings of one monitor within a minute. `seconds`: when to come again."""

    def __init__(self, seconds: int) -> None:
        super().__init__("rate limited")
        self.seconds = seconds


class Ambiguous(Exception):
    """The key sees several monitors of this slug, or several clients to make one for."""


@dataclass(frozen=True, slots=True)
class Signal:
    """What arrived. `rid` tells runs that overlap apart; `exit_code` only with kind `exit`."""

    kind: str
    exit_code: int | None = None
    rid: str = ""
    method: str = "GET"
    remote: str | None = None
    user_agent: str = ""
    body: str = ""


def meaning(word: str) -> tuple[str, int | None] | None:
    """(kind, exit code) of the last part of the address; None for an unknown word. ValueError for an impossible exit code."""
    if word in WORDS:
        return WORDS[word], None
    if not (word.isascii() and word.isdigit()):
        return None
    if len(word) > 3 or int(word) > LARGEST_EXIT_CODE:
        raise ValueError(word)
    return Ping.Kind.EXIT, int(word)


def readable(body: bytes) -> str:
    """The first 10 KB as text that every database stores."""
    return body[:KEPT_BODY].decode("utf-8", "replace").replace("\x00", "�")


def address(text: str) -> str | None:
    """An IP address as it is stored, or None (a socket file, a proxy's nonsense)."""
    try:
        return str(ip_address(text))
    except ValueError:
        return None


# --- Whose ping is it? ------------------------------------------------------------------------------------------------------
def by_uuid(code: UUID) -> int | None:
    """The id of the heartbeat with this address."""
    return Monitor.objects.filter(uuid=code, kind="heartbeat").values_list("pk", flat=True).first()


def by_slug(token: Token, slug: str, *, create: bool) -> tuple[int | None, bool]:
    """(id of the heartbeat, made just now) that a ping key means. With `create` a missing one is made, for the key's one client.

    Raises Ambiguous when the key sees several.
    """
    viewer = viewer_with(token.user, token)
    rows = Monitor.objects.for_user(viewer).filter(kind="heartbeat", slug=slug).order_by()
    found = list(rows.values_list("pk", flat=True)[:2])
    if len(found) > 1:
        raise Ambiguous
    if found or not create or not SLUG.fullmatch(slug):
        return (found[0] if found else None), False
    if viewer.sees_all or len(viewer.client_ids) != 1:
        raise Ambiguous
    client = next(iter(viewer.client_ids))
    if WRITE not in MAY.get(viewer.msp_role or viewer.client_roles.get(client, ""), frozenset()):
        return None, False
    m = Monitor(
        client_id=client,
        name=slug,
        slug=slug,
        kind="heartbeat",
        config={"period_seconds": NEW_PERIOD, "grace_seconds": NEW_GRACE},
    )
    by = Actor(f"{token.user.email} (token {token.name})"[:200], user_id=token.user_id)
    try:
        with transaction.atomic():
            return services.save(m, by=by, at=database_now()).pk, True
    except (IntegrityError, ValidationError):  # somebody else's first ping was a moment earlier
        return rows.values_list("pk", flat=True).first(), False


# --- What follows from it ---------------------------------------------------------------------------------------------------
def receive(monitor: int, signal: Signal) -> Ping | None:
    """Keep a ping and tell its monitor; None when the monitor is gone. Raises TooOften.

    A paused heartbeat wakes with its first ping (a log line is none). Pings of one monitor are taken one after another.
    """
    with transaction.atomic():
        m = Monitor.objects.select_for_update().filter(pk=monitor).first()
        if m is None:
            return None
        at = database_now()
        _refuse_flood(m, at)
        ping = Ping.objects.create(
            monitor=m, at=at, kind=signal.kind, exit_code=signal.exit_code, rid=signal.rid[:36], duration_ms=_duration(m, signal, at), method=signal.method[:8],
            remote=signal.remote, user_agent=signal.user_agent[:200], body=signal.body,
        )  # fmt: skip
        if signal.kind == Ping.Kind.LOG:
            return ping
        if not m.enabled:
            m = services.resume(m, by=Actor("Its first ping", ip=signal.remote or ""), at=at)
        services.tell(m, facts_of(signal, at), at)
        return ping


def facts_of(signal: Signal, at: datetime) -> dict[str, Any]:
    """What the check learns, as `monitors.checks.heartbeat` reads it."""
    if signal.kind == Ping.Kind.START:
        return {"started_at": at.isoformat()}
    code = 1 if signal.kind == Ping.Kind.FAIL else signal.exit_code or 0
    return {"exit": code, "started_at": None} if code else {"exit": 0, "started_at": None, "last_ping": at.isoformat()}


def _refuse_flood(m: Monitor, at: datetime) -> None:
    oldest = (
        Ping.objects.filter(monitor=m)
        .order_by("-id")
        .values_list("at", flat=True)[MOST_A_MINUTE - 1 : MOST_A_MINUTE]
        .first()
    )
    if oldest is not None and at - oldest < timedelta(minutes=1):
        raise TooOften(max(1, 60 - int((at - oldest).total_seconds())))


def _duration(m: Monitor, signal: Signal, at: datetime) -> float | None:
    """Milliseconds since the start of the run that this ends; None when it ends none that is known."""
    if signal.kind in (Ping.Kind.START, Ping.Kind.LOG):
        return None
    for kind, rid, then in Ping.objects.filter(monitor=m).order_by("-id").values_list("kind", "rid", "at")[:LOOK_BACK]:
        if at - then > LONGEST_RUN:
            return None
        if rid == signal.rid and kind != Ping.Kind.LOG:
            return (at - then).total_seconds() * 1000 if kind == Ping.Kind.START else None
    return None
