"""Where do readers subscribe, confirm, choose and leave? Pages without a cookie and without JavaScript.

A form here needs no CSRF proof: subscribing asks nothing of who is signed in, and every other form's address is itself the
proof. Looking at a link changes nothing, so that scanners of mail may follow them all; pressing does, and a mail program's
one click (RFC 8058) is a press. The page's name in the address of a link is for people: the token alone decides.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from alerts.twoway import hooks
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.tenancy import viewer_of
from statuspages import addresses, gate, links, phrases, subscribers
from statuspages.front import LOGOS, home_of
from statuspages.models import Component, Page, Subscriber

MOST_WRONG: Final = 60  # links of no subscriber, within an hour from one address
View = Callable[..., HttpResponse]


def _door(view: View) -> View:
    """What holds for all of them: looked at or pressed, never kept by a cache, the address told to no other site."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = hooks.unlogged(view(request, *args, **kwargs))
        response["Referrer-Policy"] = "no-referrer"
        response["X-Robots-Tag"] = "noindex"
        return response

    return csrf_exempt(never_cache(require_http_methods(["GET", "HEAD", "POST"])(guarded)))


# --- Subscribing -----------------------------------------------------------------------------------------------------------
@_door
def subscribe(request: HttpRequest, slug: str) -> HttpResponse:
    """`/status/<slug>/subscribe/`: the form; pressed, the same answer for every address."""
    page = Page.objects.filter(slug=slug, enabled=True, subscriptions=True).first()
    if page is None:
        raise Http404
    if (first := _must_show(request, page)) is not None:
        return first
    if request.method != "POST":
        return _form(request, page)
    chosen = _chosen(request, page)
    kind, address = request.POST.get("kind", "email")[:8], request.POST.get("address", "")[:2000]
    try:
        subscribers.subscribe(page, kind, address, chosen, at=database_now(), ip=Actor.of(request).ip)
    except ValidationError as error:
        return _form(request, page, error=error.messages[0], kind=kind, address=address, chosen=chosen, status=400)
    except subscribers.TooMany:
        return _show(request, page, "many", status=429)
    except Refused:
        raise Http404 from None
    return _show(request, page, "answer")


def _must_show(request: HttpRequest, page: Page) -> HttpResponse | None:
    """Where to go first: only those who may read a page may subscribe to it. None: they may."""
    if page.visibility == Page.Visibility.PUBLIC or viewer_of(request).sees(page.client_id):
        return None
    if page.visibility == Page.Visibility.PASSWORD:
        if gate.holds(request.COOKIES.get(gate.cookie_name(page.pk), ""), page.pk, page.password_hash):
            return None
        root = f"/status/{page.slug}/"
        if gate.handed(request.GET.get("pass", ""), page.pk, page.password_hash):  # said at the page's own domain
            return gate.let_in(HttpResponseRedirect(request.path), page.pk, page.password_hash, root)
        return HttpResponseRedirect(f"{root}?to=subscribe/")
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    raise Http404


def _form(request: HttpRequest, page: Page, *, status: int = 200, **typed: Any) -> HttpResponse:
    kinds = [(kind, phrases.say(page.language, kind)) for kind in Subscriber.Kind.values]
    context = {"kinds": kinds, "kind": "email", "parts": _parts(page, typed.pop("chosen", ())), **typed}
    return _render(request, page, "form.html", context, status)


def _parts(page: Page, chosen: Any) -> list[tuple[Component, bool]]:
    wanted = {c.pk for c in chosen}
    return [(c, c.pk in wanted) for c in page.components.order_by("order", "pk")]


def _chosen(request: HttpRequest, page: Page) -> list[Component]:
    """Those of the page that were ticked; what is not the page's is not there."""
    asked = {int(v) for v in request.POST.getlist("components")[:500] if v.isascii() and v.isdigit() and len(v) < 18}
    return list(page.components.filter(pk__in=asked)) if asked else []


# --- A reader's own links --------------------------------------------------------------------------------------------------
@_door
def confirm(request: HttpRequest, slug: str, token: str) -> HttpResponse:
    """`…/subscribe/confirm/<token>/`: GET asks, POST confirms. A program that reads JSON gets `{state, secret}`."""
    row = links.find(token, links.CONFIRM)
    if row is None:
        return _nowhere(request, slug)
    at = database_now()
    state = subscribers.confirm(row, at=at) if request.method == "POST" else subscribers.standing(row, at)
    context: dict[str, Any] = {}
    if state == "confirmed" and row.kind == Subscriber.Kind.WEBHOOK:
        context["secret"] = links.secret(row)
    if request.method == "POST" and request.headers.get("Accept", "").startswith("application/json"):
        return JsonResponse({"state": state, **context}, status=200 if state in ("confirmed", "already") else 410)
    shown = {"ask": "confirm_ask", "already": "confirmed"}.get(state, state)
    return _show(request, row.page, shown, row, status=404 if state == "unknown" else 200, **context)


@_door
def leave(request: HttpRequest, slug: str, token: str) -> HttpResponse:
    """`…/leave/<token>/`: GET asks, POST (also a mail program's one click) unsubscribes; again is harmless."""
    row = links.find(token, links.LEAVE)
    if row is None:
        return _nowhere(request, slug)
    if request.method == "POST":
        subscribers.leave(row, at=database_now())
        return _show(request, row.page, "left")
    return _show(request, row.page, "left" if row.state == Subscriber.State.LEFT else "leave_ask", row)


@_door
def preferences(request: HttpRequest, slug: str, token: str) -> HttpResponse:
    """`…/preferences/<token>/`: of which components somebody hears."""
    row = links.find(token, links.PREFERENCES)
    if row is None or row.state != Subscriber.State.ACTIVE:
        return _nowhere(request, slug)
    saved = False
    if request.method == "POST":
        try:
            subscribers.choose(row, _chosen(request, row.page), at=database_now())
        except Refused:  # they left in another window at this moment
            return _nowhere(request, slug)
        saved = True
    context = {
        "saved": saved,
        "parts": _parts(row.page, row.components.all()),
        "leave_url": links.url(row, links.LEAVE),
    }
    return _render(request, row.page, "preferences.html", context, row=row)


def _nowhere(request: HttpRequest, slug: str) -> HttpResponse:
    """A link of no subscriber: the same for a number that exists and one that does not."""
    page = Page.objects.filter(slug=slug, enabled=True, visibility=Page.Visibility.PUBLIC).first() or Page(slug=slug)
    if hooks.counted("subscriber-links", Actor.of(request).ip) > MOST_WRONG:
        return _show(request, page, "many", status=429)
    return _show(request, page, "unknown", status=404)


def _show(
    request: HttpRequest, page: Page, state: str, row: Subscriber | None = None, *, status: int = 200, **more: Any
) -> HttpResponse:
    return _render(request, page, "said.html", {"state": state, **more}, status, row)


def _render(
    request: HttpRequest,
    page: Page,
    name: str,
    context: dict[str, Any],
    status: int = 200,
    row: Subscriber | None = None,
) -> HttpResponse:
    parts = {"page": page.name, "address": addresses.readable(row) if row else "", "names": "", "start": "", "end": ""}
    below = request.path.rstrip("/").count("/") - 2  # of /status/<slug>/
    about = {
        "page": page, "say": phrases.all_of(page.language, **parts), "page_url": home_of(page) if page.pk else "", "root": "../" * below,
        "language": page.language, "theme": page.theme, "logo": LOGOS.get(page.logo_type, "") if page.logo else "",
        "feed": "feed.atom" if page.visibility == Page.Visibility.PUBLIC else "",
        "base": "statuspages/subscribe/frame.html" if page.pk else "public.html", **context,
    }  # fmt: skip
    return render(request, f"statuspages/subscribe/{name}", about, status=status)


routes = [
    path("status/<slug:slug>/subscribe/", subscribe, name="status_subscribe"),
    path("status/<slug:slug>/subscribe/confirm/<str:token>/", confirm, name="status_confirm"),
    path("status/<slug:slug>/preferences/<str:token>/", preferences, name="status_preferences"),
    path("status/<slug:slug>/leave/<str:token>/", leave, name="status_leave"),
]
