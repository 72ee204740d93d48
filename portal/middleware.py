"""What is done to every request? An id for the log, a strict content policy, and a plain 503 while the database is away."""

from __future__ import annotations

import logging
import random
import re
import secrets
import uuid
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string

from portal.logs import request_id

log = logging.getLogger("watchkeeper.web")
Handler = Callable[[HttpRequest], HttpResponse]


class RequestId:
    """Takes a caller's X-Request-ID when it is harmless, else makes one; it stands in logs, answers and audit entries."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request.request_id = (
            given
            if re.fullmatch(r"[A-Za-z0-9-]{8,36}", given)
            else str(uuid.UUID(int=random.getrandbits(128), version=4))
        )  # a name, no secret: without a system call
        mark = request_id.set(request.request_id)
        try:
            response = self.get_response(request)
        finally:
            request_id.reset(mark)
        response["X-Request-ID"] = request.request_id
        return response


class CallersAddress:
    """Who really calls: behind proxies named in TRUSTED_PROXIES, REMOTE_ADDR becomes the address that they saw."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.TRUSTED_PROXIES:
            peer, forwarded = request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_X_FORWARDED_FOR", "")
            request.META["REMOTE_ADDR"] = callers_address(peer, forwarded, settings.TRUSTED_PROXIES)
        return self.get_response(request)


def callers_address(peer: str, forwarded: str, proxies: Iterable[IPv4Network | IPv6Network]) -> str:
    """The last address of X-Forwarded-For that no proxy of ours has; what a caller wrote before it is not believed.

    `peer` is who connected ("" by a Unix socket, which only this machine reaches).
    """
    proxies, at = tuple(proxies), peer
    for hop in reversed(forwarded.split(",")):
        address = _without_port(at)
        if at and not (address and any(ip_address(address) in network for network in proxies)):
            break
        seen = _without_port(hop.strip())
        if not seen:
            break
        at = seen
    return at


def _without_port(text: str) -> str:
    """The address in 192.0.2.1, 192.0.2.1:443, 2001:db8::1 or [2001:db8::1]:443; "" for anything else."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return ""
    return str(getattr(found, "ipv4_mapped", None) or found)


class Unavailable:
    """The database is away: 503 with Retry-After, in the caller's language (page or API), instead of a trace."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            return self.get_response(request)
        except (OperationalError, InterfaceError):
            return self.answer(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Django turns exceptions of views into answers before they reach `__call__`."""
        if isinstance(error, OperationalError | InterfaceError):
            return self.answer(request)
        if isinstance(error, RequestDataTooBig):
            return api_error(413, "too_large", "The body is larger than 2 MB; send less at a time.")
        return None

    def answer(self, request: HttpRequest) -> HttpResponse:
        """503, to be tried again in 5 s."""
        log.error("the database did not answer %s %s", request.method, request.path)
        if request.path.startswith(("/api/", "/v2/", "/hooks/", "/probe/", "/ping/", "/mcp", "/healthz", "/readyz")):
            response: HttpResponse = api_error(
                503, "unavailable", "The database is not answering; try again in a few seconds."
            )
        else:
            response = HttpResponse(render_to_string("503.html"), status=503)
        response["Retry-After"] = "5"
        return response


def api_error(status: int, code: str, message: str, fields: dict | None = None) -> JsonResponse:
    """The API's error body, for places outside DRF."""
    return JsonResponse({"error": {"code": code, "message": message, "fields": fields or {}}}, status=status)


class ContentSecurityPolicy:
    """Nothing inline, nothing from elsewhere."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.csp_nonce = secrets.token_urlsafe(16)
        response = self.get_response(request)
        if "Content-Security-Policy" not in response:
            # The API's documentation page is Swagger's own bundle, which sets inline styles.
            styles = (
                "'self' 'unsafe-inline'"
                if request.path.startswith("/api/docs")
                else f"'self' 'nonce-{request.csp_nonce}'"
            )
            response["Content-Security-Policy"] = (
                f"default-src 'self'; script-src 'self' 'nonce-{request.csp_nonce}'; style-src {styles}; img-src 'self' data:; "
                "font-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
            )
        response.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
        return response
