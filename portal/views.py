"""How does somebody come in for the first time, and what is said when a page cannot be shown?"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django.contrib.auth import login
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from portal import oidc_pages, people
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.forms import OwnerForm, PasswordForm
from portal.middleware import api_error
from portal.models import OneTimeLink

BACKEND = "django.contrib.auth.backends.ModelBackend"
MACHINES = ("/api/", "/v2/", "/ping/", "/mcp")  # addresses that programs ask: they get JSON


def _state(link: OneTimeLink) -> str:
    """open, used or expired."""
    if link.used_at is not None:
        return "used"
    return "open" if link.expires_at > database_now() else "expired"


def _apply(form: PasswordForm, act: Any) -> Any:
    """What `act` gives, or None with its complaints at the form's fields."""
    try:
        return act()
    except ValidationError as error:
        for name, sentences in (
            error.message_dict if hasattr(error, "error_dict") else {"password": error.messages}
        ).items():
            for sentence in sentences:
                form.add_error(name if name in form.fields else None, sentence)
    return None


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def set_up(request: HttpRequest, token: str = "") -> HttpResponse:
    """`/setup/<token>/`: makes the first owner and signs them in. Once there is an owner this page does not exist."""
    if people.owner_exists():
        raise Http404
    link = OneTimeLink.find(people.SETUP, token) if token else None
    state = _state(link) if link else "missing"
    if link is None or state != "open":
        return render(
            request, "portal/setup_closed.html", {"state": state}, status=200 if not token else 410 if link else 404
        )
    form = OwnerForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            user = _apply(
                form,
                lambda: people.set_up(
                    link, values["email"], values["password"], name=values["name"], by=Actor.of(request)
                ),
            )
        except Refused:  # somebody else was faster
            raise Http404 from None
        if user is not None:
            login(request, user, backend=BACKEND)
            return redirect("/")
    return render(request, "portal/setup.html", {"form": form}, status=400 if form.errors else 200)


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def accept_invitation(request: HttpRequest, token: str) -> HttpResponse:
    """`/invite/<token>/`: the invited person chooses a password and is signed in."""
    link = OneTimeLink.find(people.INVITE, token)
    if link is None or link.user is None:
        raise Http404
    if _state(link) != "open":
        return render(request, "portal/invite_closed.html", {"state": _state(link)}, status=410)
    if oidc_pages.must_sign_on(request, link.user):
        return redirect("oidc_begin")  # there is no password to choose
    form = PasswordForm(request.POST or None, initial={"name": link.user.name})
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            user = _apply(
                form, lambda: people.accept(link, values["password"], name=values["name"], by=Actor.of(request))
            )
        except Refused:
            return render(request, "portal/invite_closed.html", {"state": "used"}, status=410)
        if user is not None:
            login(request, user, backend=BACKEND)
            return redirect("/")
    return render(
        request, "portal/invite.html", {"form": form, "invited": link.user}, status=400 if form.errors else 200
    )


def no_sign_up(request: HttpRequest) -> HttpResponse:
    """Nobody opens an account by themselves."""
    raise Http404


def admin_login(request: HttpRequest) -> HttpResponse:
    """The admin has no door of its own: one sign-in page, one throttle. Who is signed in and still sent here may not enter."""
    if request.user.is_authenticated:
        raise PermissionDenied
    return redirect(f"/login/?next={quote(request.GET.get('next', '/admin/'))}")


def _machine(request: HttpRequest) -> bool:
    return request.path.startswith(MACHINES)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400."""
    if _machine(request):
        return api_error(400, "invalid", "The request cannot be read.")
    return HttpResponse("The request cannot be read.", status=400, content_type="text/plain; charset=utf-8")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    return (
        api_error(403, "forbidden", "This is not allowed.")
        if _machine(request)
        else render(request, "403.html", status=403)
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404."""
    return (
        api_error(404, "not_found", "There is nothing with this address.")
        if _machine(request)
        else render(request, "404.html", status=404)
    )


def broken(request: HttpRequest) -> HttpResponse:
    """500: a bug of ours. Rendered without the request's context, which may be what is broken."""
    if _machine(request):
        return api_error(
            500, "error", "Something went wrong here; the log has the details under this answer's X-Request-ID."
        )
    return render(None, "500.html", status=500)
