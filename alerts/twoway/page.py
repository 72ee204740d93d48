"""Who takes it? The page behind a message's Acknowledge link: looking changes nothing, pressing does.

A mail scanner opens every link and may submit every form. So a visitor who is not signed in must choose who they are,
and nothing is chosen beforehand (SPEC INC-5); the first choice is the one that does nothing.
"""

from __future__ import annotations

import zoneinfo
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from alerts import acts, escalating, links
from alerts.channels.wording import one_line
from alerts.models import Alert, Delivery
from alerts.twoway import hooks, taking
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.tenancy import ACK, viewer_of

LONGEST_NAME = 80
TAKE, LOOK, CLOSE = "take", "look", "close"
STATUS = {"unknown": 404, "expired": 410}


@never_cache
@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
def take(request: HttpRequest, token: str) -> HttpResponse:
    """`/a/<token>/`: GET shows, POST acknowledges or resolves."""
    at = database_now()
    row, obstacle = links.find(token[:60], at)
    if row is None or row.alert is None:
        return _show(request, None, {"state": taking.UNKNOWN})
    alert = row.alert
    able = viewer_of(request).may(ACK, alert.client_id)
    state = obstacle or (taking.RESOLVED if alert.is_resolved else "open" if _open(alert) else taking.ALREADY)
    context: dict[str, Any] = {"state": state, "able": able}
    if request.method == "POST" and not obstacle:
        context |= _press(request, row, able=able, at=at)
    return _show(request, row, context)


def _open(alert: Alert) -> bool:
    """Does it wait for somebody? Also when it was taken, became worse, and calls people again."""
    return alert.status == Alert.Status.OPEN or escalating.is_climbing(alert)


def _press(request: HttpRequest, row: Delivery, *, able: bool, at: datetime) -> dict[str, Any]:
    """What the form did, as context for the page."""
    alert = row.alert
    assert alert is not None
    if request.POST.get("verb") == "resolve":
        if not able:
            return {"wrong": "Sign in to resolve it.", "status": 403}
        return _close(row, by=Actor.of(request), at=at)
    if able:
        name, by, user_id = str(request.user), Actor.of(request), request.user.pk
        taken = taking.take(row, "", name=name, where=f"link, {by.name}", at=at, ip=by.ip, user_id=user_id)
    else:
        choice, name = request.POST.get("who", ""), _name(request, row)
        if choice == LOOK:
            return {"wrong": "Nothing was changed: you chose only to look.", "status": 400}
        if choice not in (TAKE, CLOSE):
            return {"wrong": "Nothing was changed: choose first who takes it.", "status": 400}
        if not name:
            return {"wrong": "Nothing was changed: say who you are.", "status": 400}
        where = f"link of {one_line(row.channel.name)}"
        ip = Actor.of(request).ip
        if choice == CLOSE:
            return _close(row, by=Actor(f"{name} ({where})"[:200], ip=ip), at=at)
        taken = taking.take(row, "", name=name, where=where, at=at, ip=ip, user_id=taking.user_of(row))
    row.alert = taken.alert or alert
    return {"state": taken.state}


def _close(row: Delivery, *, by: Actor, at: datetime) -> dict[str, Any]:
    """It is over, says a person; should it still fail at the next check, a new alert opens."""
    assert row.alert is not None
    try:
        row.alert = acts.resolve(row.alert, by=by, at=at)
    except Refused:
        return {"state": taking.RESOLVED}
    return {"state": "closed"}


def _name(request: HttpRequest, row: Delivery) -> str:
    """The contact's name, or what somebody without one typed."""
    if row.contact or row.channel.contact:
        return taking.person_of(row)
    return one_line(request.POST.get("name", ""))[:LONGEST_NAME]


def _show(request: HttpRequest, row: Delivery | None, context: dict[str, Any]) -> HttpResponse:
    known = bool(row and (row.contact or row.channel.contact))
    zone = row.alert.client.timezone if row and row.alert and row.alert.client else "UTC"
    about = {
        "alert": row.alert if row else None,
        "verdict": ((row.alert.verdict or {}).get("summary") or row.alert.message) if row and row.alert else "",
        "person": taking.person_of(row) if row and known else "",
        "channel": row.channel.name if row else "",
        "open": row is not None and row.alert is not None and not row.alert.is_resolved,
        "typed": one_line(request.POST.get("name", ""))[:LONGEST_NAME],
        "longest": LONGEST_NAME,
        "take": TAKE,
        "look": LOOK,
        "close": CLOSE,
    }
    status = context.pop("status", STATUS.get(context["state"], 200))
    with timezone.override(_zone(request, zone)):
        return hooks.unlogged(render(request, "alerts/take.html", {**about, **context}, status=status))


def _zone(request: HttpRequest, otherwise: str) -> zoneinfo.ZoneInfo:
    """The visitor's zone when they are signed in, else the client's."""
    try:
        return zoneinfo.ZoneInfo(getattr(request.user, "timezone", "") or otherwise)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return zoneinfo.ZoneInfo("UTC")
