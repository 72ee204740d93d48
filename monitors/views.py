"""Where do jobs report? /ping/<uuid> and /ping/<key>/<slug>, with /start, /fail, /log or an exit code, as Healthchecks' clients do.

Plain text, no session, no CSRF token: curl and runitor are the callers, and the address is the secret.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from monitors import pings
from portal.api.authentication import token_of

METHODS = ("GET", "HEAD", "POST")


def answer(text: str, status: int = 200, **headers: str) -> HttpResponse:
    """A plain answer."""
    response = HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")
    response["Ping-Body-Limit"] = str(pings.KEPT_BODY)
    for name, value in headers.items():
        response[name.replace("_", "-")] = value
    # Django would log the path of a refusal, and here the path is the secret.
    response._has_been_logged = True
    return response


def _door(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @wraps(view)
    def guarded(request: HttpRequest, **parts: str) -> HttpResponse:
        if request.method not in METHODS:
            return answer("method not allowed", 405, Allow=", ".join(METHODS))
        return view(request, **parts)

    return csrf_exempt(never_cache(guarded))


@_door
def ping(request: HttpRequest, code: str, what: str = "") -> HttpResponse:
    """A ping to a monitor's own address."""
    try:
        uuid = UUID(code)
    except ValueError:
        return not_found(request)
    return _take(request, pings.by_uuid(uuid), what)


@_door
def ping_by_slug(request: HttpRequest, key: str, slug: str, what: str = "") -> HttpResponse:
    """A ping by key (a token with the scope `ping`) and slug; ?create=1 makes a monitor that is missing."""
    token = token_of(key)
    if token is None or "ping" not in token.scope_set:
        return not_found(request)
    try:
        monitor, made = pings.by_slug(token, slug, create=request.GET.get("create") == "1")
    except pings.Ambiguous:
        return answer("ambiguous slug: use a key that is bound to one client", 409)
    return _take(request, monitor, what, made=made)


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    """Everything else below /ping/."""
    return answer("not found", 404)


def _take(request: HttpRequest, monitor: int | None, what: str, *, made: bool = False) -> HttpResponse:
    try:
        meant = pings.meaning(what)
    except ValueError:
        return answer("invalid url format: an exit code is a number from 0 to 255", 400)
    if monitor is None or meant is None:
        return not_found(request)
    rid = request.GET.get("rid", "")
    if rid:
        try:
            rid = str(UUID(rid))
        except ValueError:
            return answer("invalid uuid format: rid", 400)
    kind, exit_code = meant
    body = request.read(pings.KEPT_BODY) if request.method == "POST" else b""
    signal = pings.Signal(
        kind=kind, exit_code=exit_code, rid=rid, method=request.method or "", remote=pings.address(request.META.get("REMOTE_ADDR", "")),
        user_agent=request.headers.get("User-Agent", ""), body=pings.readable(body),
    )  # fmt: skip
    try:
        if pings.receive(monitor, signal) is None:
            return not_found(request)
    except pings.TooOften as often:
        return answer("rate limited", 429, Retry_After=str(often.seconds))
    return answer("Created", 201) if made else answer("OK")
