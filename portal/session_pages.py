"""Where am I signed in, and how do I end that? One's own sessions only."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from portal import sessions
from portal.audit import Actor
from portal.errors import Refused

LARGEST_ID = 2**63 - 1


@never_cache
@login_required
@require_http_methods(["GET", "HEAD"])
def open_sessions(request: HttpRequest) -> HttpResponse:
    """`/security/sessions/`"""
    found = sessions.listed(request.user, request.session.session_key)
    context = {"sessions": found, "others": any(not one.here for one in found)}
    return render(request, "security/sessions.html", context)


@never_cache
@login_required
@require_http_methods(["POST"])
def end(request: HttpRequest) -> HttpResponse:
    """`/security/sessions/end/`: `session` is the number of one, or "others"."""
    which, by = request.POST.get("session", ""), Actor.of(request)
    if which == "others":
        ended = sessions.end_others(request.user, request.session.session_key, by=by)
        messages.success(request, f"{ended} other session{' was' if ended == 1 else 's were'} ended.")
    elif which.isascii() and which.isdigit() and int(which) <= LARGEST_ID:
        try:
            device = sessions.end(request.user, int(which), by=by)
        except Refused as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, f"The session of {device} was ended.")
    else:
        messages.error(request, "Say which session is to be ended.")
    return redirect("sessions")
