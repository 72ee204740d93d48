"""How does somebody come in by the company's own sign-on? Led there, back with an answer, and on as by any other way."""

from __future__ import annotations

import logging
import time
from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from allauth.account.views import LoginView
from allauth.mfa.stages import AuthenticateStage
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from portal import oidc
from portal.models import User
from portal.tenancy import OWNER

log = logging.getLogger("watchkeeper.oidc")

PENDING = "oidc"  # the session's key for those who are on their way: {state: what to remember}
MOST_PENDING = 5  # tabs that sign in at the same time
PATIENCE = 600  # seconds that somebody may take at the provider
METHOD = "oidc"


class SignIn(LoginView):
    """allauth's page, with the button."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        shown = {"sign_on": oidc.name(), "only_sign_on": oidc.required()} if oidc.enabled() else {}
        return {**super().get_context_data(**kwargs), **shown}


sign_in = SignIn.as_view()


@never_cache
@require_safe
def begin(request: HttpRequest) -> HttpResponse:
    """`/login/oidc/?next=`: leads to the provider. It changes nothing but this visitor's own session."""
    return _led_there(request)


@never_cache
@require_safe
@login_required
def prove_again(request: HttpRequest) -> HttpResponse:
    """`/login/oidc/again/?next=`: before something important, for people who have neither password nor second step here."""
    return _led_there(request, again=True)


def _led_there(request: HttpRequest, *, again: bool = False) -> HttpResponse:
    if not oidc.enabled():
        raise Http404
    try:
        where, kept = oidc.begin(again=again)
    except oidc.SignOnError as error:
        return _failed(request, str(error), 503)
    oldest, pending = time.time() - PATIENCE, request.session.get(PENDING, {})
    pending = {state: one for state, one in pending.items() if one["at"] > oldest}
    latest = sorted(pending, key=lambda state: pending[state]["at"])[1 - MOST_PENDING :]
    one = {**kept, "next": _ours(request.GET.get("next", "")), "at": time.time(), "again": again}
    request.session[PENDING] = {**{state: pending[state] for state in latest}, kept["state"]: one}
    return redirect(where)


@never_cache
@require_safe
def callback(request: HttpRequest) -> HttpResponse:
    """`/login/oidc/callback/`: the provider's answer; each works once, in the browser that asked."""
    if not oidc.enabled():
        raise Http404
    pending = dict(request.session.get(PENDING, {}))
    kept = pending.pop(request.GET.get("state", ""), None)
    if kept is None or kept["at"] <= time.time() - PATIENCE:
        said = "This sign-in was not begun in this browser, or it took longer than ten minutes. Try again."
        return _failed(request, said, 400)
    request.session[PENDING] = pending
    try:
        person = oidc.finish(request.GET.dict(), kept)
    except oidc.SignOnError as error:
        return _failed(request, str(error), 400)
    user = User.objects.filter(email__iexact=person.email).first()
    if user is None:
        said = f"Nobody here has the address {person.email}. Ask the owner of this portal, or your company's admin, to invite you."
        return _failed(request, said, 403)
    if kept["again"]:
        return _proved_again(request, user, person, kept)
    if request.user.is_authenticated and request.user.pk != user.pk:
        logout(request)
    record_authentication(request, user, METHOD, second_step=person.second_step, at=person.proved_at)
    return perform_login(request, Login(user=user, redirect_url=kept["next"] or None))


def _proved_again(request: HttpRequest, user: User, person: oidc.Person, kept: dict[str, Any]) -> HttpResponse:
    """Somebody who is signed in proved it anew: it must be they, and after they were asked."""
    if request.user.pk != user.pk:
        return _failed(
            request, f"You are signed in here as somebody else than with {oidc.name()}. Sign out first.", 403
        )
    if person.proved_at < kept["at"] - oidc.SKEW:
        return _failed(request, f"{oidc.name()} did not ask you again who you are, so this proves nothing new.", 403)
    record_authentication(request, user, METHOD, second_step=person.second_step, reauthenticated=True)
    return redirect(kept["next"] or "/")


def _ours(text: str) -> str:
    """An address of the portal's own, or ""."""
    return text if text.startswith("/") and url_has_allowed_host_and_scheme(text, allowed_hosts=None) else ""


def _failed(request: HttpRequest, sentence: str, status: int) -> HttpResponse:
    return render(request, "account/sign_on_failed.html", {"sentence": sentence, "sign_on": oidc.name()}, status=status)


# --- What the session has of it -----------------------------------------------------------------------------------------------
def _records(request: HttpRequest, user: Any) -> list[dict[str, Any]]:
    return [one for one in get_authentication_records(request, user) if one.get("method") == METHOD]


def brought_second_step(request: HttpRequest, user: Any) -> bool:
    """Did the provider take a second step that OIDC_MFA accepts, in this session?"""
    return any(one.get("second_step") for one in _records(request, user))


def must_sign_on(request: HttpRequest, user: Any) -> bool:
    """Has this person to come by the provider, and did not? Owners need not: somebody must get in while it is away."""
    return oidc.required() and user.msp_role != OWNER and not _records(request, user)


class SecondStepStage(AuthenticateStage):
    """The second step of a sign-in, unless the provider has taken one already."""

    def handle(self) -> tuple[Any, bool]:
        if brought_second_step(self.request, self.login.user):
            return None, True
        return super().handle()
