"""May staff go on without a second step? Not where REQUIRE_STAFF_MFA is on: they get one first, or prove it first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from portal import mfa, oidc_pages
from portal.middleware import Handler, api_error
from portal.views import MACHINES

PROVE = frozenset({"account_logout", "mfa_reauthenticate", "mfa_reauthenticate_webauthn"})
ENROL = frozenset(
    {
        "account_logout",
        "account_reauthenticate",
        "mfa_index",
        "mfa_activate_totp",
        "mfa_add_webauthn",
    }
)


class StaffSecondStep:
    """Leads sessions of staff that took no second step to where they get or take one, and nowhere else.

    It asks what the session proved, not what the person has: whoever knew the password before the step was added stays
    outside. API tokens stay as they are: they are random, and narrower than their person.
    """

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        """The answer instead of the page, or None: go on."""
        if not settings.REQUIRE_STAFF_MFA or _by_token(request) or not request.user.is_authenticated:
            return None
        if not mfa.required_of(request.user) or _proved(request):
            return None
        has_one = mfa.has_factor(request.user)
        if request.resolver_match is not None and request.resolver_match.view_name in (PROVE if has_one else ENROL):
            return None
        if request.path.startswith(MACHINES):
            return api_error(
                403,
                "second_step_required",
                "Staff sign in with a second step here; do that on the portal's pages first.",
            )
        back = request.get_full_path() if request.method in ("GET", "HEAD") else "/"
        where = mfa.step_up_url(request, back) if has_one else reverse("mfa_index")
        return HttpResponseClientRedirect(where) if getattr(request, "htmx", False) else redirect(where)


def _proved(request: HttpRequest) -> bool:
    """Did this session take a second step, here or (where OIDC_MFA says so) at the company's own sign-on?"""
    return bool(mfa.proofs(request)) or oidc_pages.brought_second_step(request, request.user)


def _by_token(request: HttpRequest) -> bool:
    """With a bearer token the API never looks at the session."""
    scheme = request.headers.get("Authorization", "").partition(" ")[0].lower()
    return scheme == "bearer" and request.path.startswith(MACHINES)
