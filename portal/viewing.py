"""How does staff see the portal as a client's people do? For half an hour, with a reason, looking only, and the client knows.

The session says whose portal it is and until when; `portal.tenancy` makes of it a viewer of that client and of nothing
else. Begin and end stand in the client's own audit chain. Tokens have no session: for them nothing changes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from portal import audit
from portal.audit import Actor
from portal.errors import Refused
from portal.middleware import Handler, api_error
from portal.models import AuditEntry, AuditHead, Client
from portal.tenancy import VIEWING, WRITE, Viewer, viewed_client, viewer_of
from portal.views import MACHINES

BEGAN, ENDED = "client.viewing_began", "client.viewing_ended"
MINUTES = 30
SHORTEST_REASON = 5
OPEN = ("/r/", "/status/", "/ping/", "/hooks/")  # answered alike whoever is signed in: nobody's session is looked at
# What staff see there is their own account's, or the installation's: it is no client's view.
OWN = ("/admin/", "/security/", "/password/", "/reauthenticate/", "/login/")


@dataclass(frozen=True, slots=True)
class Viewing:
    """What the banner says."""

    client: str
    until: datetime


def begin(request: HttpRequest, client: Client, reason: str) -> None:
    """From now on this session sees what a viewer of the client sees. ValidationError without a reason."""
    if not viewer_of(request).may(WRITE, None):
        raise Refused("Only owners and staff look as a client's people do.")
    reason = reason.strip()
    if len(reason) < SHORTEST_REASON:
        raise ValidationError({"reason": ["Say why: the client reads it."]})
    if not client.active:
        raise ValidationError({"client": ["People of an inactive client see nothing."]})
    until = int(time.time()) + MINUTES * 60
    with transaction.atomic():
        after = {"reason": reason[:500], "until": datetime.fromtimestamp(until, UTC).isoformat()}
        entry = audit.record(BEGAN, client, by=Actor.of(request), client_id=client.pk, after=after)
        about = {"client": client.pk, "name": client.name, "until": until, "user": request.user.pk}
        request.session[VIEWING] = {**about, "entry": entry.seq}
    request._viewer = None


def end(request: HttpRequest, how: str = "ended") -> None:
    """Staff see everything again. `how`: ended, over (the half hour) or signed out."""
    known = request.session.get(VIEWING)
    if not known:
        return
    began = {"client_id": known["client"], "before": {"began_with_entry": known["entry"]}}
    with transaction.atomic():
        # Pages that refresh themselves notice the end of the half hour at the same moment.
        AuditHead.objects.select_for_update().get(chain=audit.chain_of(known["client"]))
        if not AuditEntry.objects.filter(action=ENDED, **began).exists():
            _record_end(request, known, how, began)
        request.session.pop(VIEWING, None)
    request._viewer = None


def looked(viewer: Viewer, most: int = 10) -> list[AuditEntry]:
    """Who looked at the clients that this person sees, the latest first."""
    return list(AuditEntry.objects.for_user(viewer).filter(action=BEGAN).order_by("-pk")[:most])


def _record_end(request: HttpRequest, known: dict[str, Any], how: str, began: dict[str, Any]) -> None:
    subject = Client.objects.filter(pk=known["client"]).first() or f"client:{known['client']}"
    audit.record(ENDED, subject, by=Actor.of(request), after={"how": how}, **began)


def on_sign_out(sender: object, request: HttpRequest, user: Any, **_: Any) -> None:
    """Whoever signs out, looks no longer."""
    if request is not None and user is not None and hasattr(request, "session"):
        end(request, "signed out")


class OnlyLooking:
    """While somebody looks as a client's people do: nothing but looking, and nothing of their own."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """The refusal instead of the page, or None: go on."""
        looks = request.method in ("GET", "HEAD", "OPTIONS")
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or (looks and request.path.startswith(OPEN)):
            return None
        if VIEWING not in request.session:
            return None
        known = request.session[VIEWING]
        if viewed_client(request) is None:
            end(request, "over")
            return None
        request.viewing_as = Viewing(known["name"], datetime.fromtimestamp(known["until"], UTC))
        if request.path == reverse("viewing_end"):
            return None
        if looks and not request.path.startswith(OWN):
            return None
        said = f"You look at the portal as {known['name']}’s people see it. End that first; then you can do this."
        if request.path.startswith(MACHINES):
            return api_error(403, "only_looking", said)
        return render(request, "console/viewing_refused.html", {"sentence": said}, status=403)
