"""How is a public page answered thousands of times a second? From finished bytes, above sessions and everything else.

The middleware answers pages for everybody and pages with a password by itself; a page for signed-in people goes the long
way, to the view below. A process looks into the database once a second at most, whatever is asked of it: one query lists
all pages, and a page's data are read when its projection is another. While the database is away it serves what it has.

A host of the portal answers below `/status/<slug>/`; a proved domain answers its own page and nothing else. Answers never
depend on the host that was asked: a page has one address of its own (`front.home_of`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from urllib.parse import quote

from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.request import split_domain_port, validate_host
from django.template.loader import render_to_string
from django.utils.http import http_date, parse_http_date_safe
from django.views.decorators.csrf import csrf_exempt

from alerts.twoway import hooks
from portal.tenancy import viewer_of
from statuspages import feed_keys, gate
from statuspages.board import Known, board
from statuspages.front import HTML, NOWHERE, File, Front
from statuspages.models import Page
from statuspages.words import word

log = logging.getLogger("watchkeeper.pages")

PREFIX = "/status/"
OPEN = "style.css"  # what a page with a password shows of itself beside the form
SUBSCRIBE = "subscribe/"
ELSEWHERE = ("subscribe", "preferences", "leave")  # below a page's address, answered by views of their own
PUBLIC = "public, max-age=15, stale-while-revalidate=60, stale-if-error=86400"
SHARED = ("application/json", "image/svg+xml", "application/atom+xml")  # may be read by other sites' scripts


# --- Who is asked for what? -----------------------------------------------------------------------------------------------
class PublicPages:
    """The middleware; it stands below `Unavailable` and above everything that costs time."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            found = answer(request)
        except (DatabaseError, InterfaceError) as error:  # before this process has seen any page
            log.error("the database did not answer %s (%s)", request.path_info, type(error).__name__)
            found = not_yet("This page is not available for a moment; try again soon.")
        return found or self.get_response(request)


def answer(request: HttpRequest) -> HttpResponse | None:
    """A public page's answer; None: this request is not for a public page, or needs to know who is signed in."""
    path = request.path_info
    host = split_domain_port(request.META.get("HTTP_HOST") or request.META.get("SERVER_NAME", ""))[0]
    if not validate_host(host, settings.ALLOWED_HOSTS):
        known = board.at_domain(host)
        if known is None:
            return plain(404, "Not found.") if path == "/" or path.startswith(PREFIX) else None
        if known.visibility == Page.Visibility.SIGNED_IN:
            return HttpResponseRedirect(f"{settings.BASE_URL}{PREFIX}{known.slug}{path}")
        return respond(request, known, path[1:], "/")
    if not path.startswith(PREFIX):
        return None
    slug, slash, rest = path[len(PREFIX) :].partition("/")
    if rest.partition("/")[0] in ELSEWHERE:
        return None
    known = board.find(slug)
    if known is None or known.visibility == Page.Visibility.SIGNED_IN:
        return None
    if not slash:
        return HttpResponseRedirect(f"{PREFIX}{slug}/")
    return respond(request, known, rest, f"{PREFIX}{slug}/")


@csrf_exempt  # the one form there is, a password's, checks by itself where it comes from (gate.same_site)
def page(request: HttpRequest, slug: str, rest: str = "") -> HttpResponse:
    """The long way: pages for signed-in people. The client's own and the MSP's may read; for all others it does not exist."""
    known = board.find(slug)
    if known is None:
        raise Http404("No such page.")
    if known.visibility != Page.Visibility.SIGNED_IN:
        return respond(request, known, rest, f"{PREFIX}{slug}/")
    if feed_keys.asked(rest):
        return private_feed(request, known, feed_keys.asked(rest))
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    if not viewer_of(request).sees(known.client_id):
        raise Http404("No such page.")
    return respond(request, known, rest, f"{PREFIX}{slug}/")


# --- The answer -----------------------------------------------------------------------------------------------------------
def respond(request: HttpRequest, known: Known, rest: str, root: str) -> HttpResponse:
    """What the page answers at `rest`, for a reader who may know of it; `root` is where it was asked for."""
    asks, public = known.visibility == Page.Visibility.PASSWORD, known.visibility == Page.Visibility.PUBLIC
    if request.method not in ("GET", "HEAD") and not (asks and request.method == "POST" and not rest):
        response = plain(405, "This address is for reading.")
        response["Allow"] = "GET, HEAD"
        return response
    if feed_keys.asked(rest) and not public:
        return private_feed(request, known, feed_keys.asked(rest))
    if asks and rest != OPEN:
        refusal = _gate(request, known, rest, root)
        if refusal is not None:
            return refusal
    front = board.front(known)
    if front is None:
        return not_yet(word(known.language, "not_built"))
    if rest.startswith(feed_keys.PLACE) and (public or rest == feed_keys.PLACE):
        return HttpResponseRedirect(f"{root}feed.atom") if public else _feeds_place(request, known, front)
    if rest == SUBSCRIBE:  # asked for at the page's own domain: the forms are the portal's
        handed = f"?pass={quote(gate.hand_over(known.pk, known.password_hash))}" if asks else ""
        return _away(f"{settings.BASE_URL}{PREFIX}{known.slug}/{SUBSCRIBE}{handed}")
    file = front.file(rest)
    if file is None and not rest.endswith("/") and front.file(f"{rest}/") is not None:
        return HttpResponseRedirect(f"{root}{rest}/")
    if file is None:
        return plain(404, word(known.language, "nothing_here"))
    return deliver(request, file, front.as_of, shared=public)


def deliver(request: HttpRequest, file: File, as_of: datetime, *, shared: bool) -> HttpResponse:
    """The file, or 304 to who has it; packed for who can unpack it. Only what everybody may read is for shared caches."""
    meta = request.META
    matches = meta.get("HTTP_IF_NONE_MATCH")
    if matches is not None:
        had = matches.strip() == "*" or file.etag in (one.strip().removeprefix("W/") for one in matches.split(","))
    else:
        since = parse_http_date_safe(meta["HTTP_IF_MODIFIED_SINCE"]) if "HTTP_IF_MODIFIED_SINCE" in meta else None
        had = since is not None and int(as_of.timestamp()) <= since
    if had:
        response = HttpResponse(status=304)
        del response["Content-Type"]
    elif file.packed is not None and _unpacks(meta.get("HTTP_ACCEPT_ENCODING", "")):
        response = HttpResponse(file.packed, content_type=file.type)
        response["Content-Encoding"] = "gzip"
        response["Content-Length"] = str(len(file.packed))
    else:
        response = HttpResponse(file.content, content_type=file.type)
        response["Content-Length"] = str(len(file.content))
    response["ETag"] = f"W/{file.etag}"  # packed or not, it says the same
    response["Last-Modified"] = http_date(as_of.timestamp())
    response["Cache-Control"] = PUBLIC if shared else "private, no-cache"
    response["Vary"] = "Accept-Encoding" if shared else "Accept-Encoding, Cookie"
    if shared and file.type.startswith(SHARED):
        response["Access-Control-Allow-Origin"] = "*"
    return _guarded(response, file.policy)


def _unpacks(accepted: str) -> bool:
    return any(
        part.partition(";")[0].strip() == "gzip" and "q=0" not in part.replace("q=0.", "")
        for part in accepted.split(",")
    )


def _guarded(response: HttpResponse, policy: str) -> HttpResponse:
    response["Content-Security-Policy"] = policy
    response["X-Content-Type-Options"] = "nosniff"
    response["Referrer-Policy"] = "same-origin"
    response["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
    if "frame-ancestors *" in policy:
        response.xframe_options_exempt = True  # type: ignore[attr-defined]
    else:
        response["X-Frame-Options"] = "DENY"
    if settings.SECURE_HSTS_SECONDS:
        response["Strict-Transport-Security"] = f"max-age={settings.SECURE_HSTS_SECONDS}"
    return response


def plain(status: int, text: str) -> HttpResponse:
    """A short answer without anything of the portal in it."""
    response = HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")
    response["Cache-Control"] = "no-store"
    return _guarded(response, NOWHERE)


def not_yet(text: str) -> HttpResponse:
    """503, to be tried again in two seconds."""
    response = plain(503, text)
    response["Retry-After"] = "2"
    return response


# --- A private page's feed ------------------------------------------------------------------------------------------------
def private_feed(request: HttpRequest, known: Known, key: str) -> HttpResponse:
    """The feed, to whoever has its address: feed readers know neither passwords nor cookies."""
    if request.method not in ("GET", "HEAD") or not feed_keys.opens(known, key):
        return hooks.unlogged(plain(404, word(known.language, "nothing_here")))
    front = board.front(known)
    if front is None:
        return hooks.unlogged(not_yet(word(known.language, "not_built")))
    file = front.private_feed(feed_keys.address(known, front.home, key))
    response = deliver(request, file, front.as_of, shared=False)
    response["Vary"], response["X-Robots-Tag"] = "Accept-Encoding", "noindex"
    return response


def _feeds_place(request: HttpRequest, known: Known, front: Front) -> HttpResponse:
    """Which address to give to a feed reader; for whoever may read the page."""
    person = known.visibility == Page.Visibility.SIGNED_IN
    key = feed_keys.for_person(known, request.user) if person else feed_keys.for_password(known)
    file = front.feeds_place(feed_keys.address(known, front.home, key), person=person)
    response = deliver(request, file, front.as_of, shared=False)
    response["Cache-Control"] = "private, no-store"
    return response


# --- The password ---------------------------------------------------------------------------------------------------------
def _gate(request: HttpRequest, known: Known, rest: str, root: str) -> HttpResponse | None:
    """None: this reader has said the password. Otherwise the form, or the way on after it."""
    name = gate.cookie_name(known.pk)
    if request.method != "POST":
        wanted = rest or request.GET.get("to", "")
        if gate.holds(request.COOKIES.get(name, ""), known.pk, known.password_hash):
            return None
        return _form(known, wanted, root, "", 403)
    if not gate.same_site(request):
        return plain(403, "Open the page itself and enter its password there.")
    address = request.META.get("REMOTE_ADDR", "")
    try:
        said, wanted = request.POST.get("password", "")[:200], request.POST.get("to", "")
    except RequestDataTooBig:
        return plain(413, "That is too much.")
    if gate.too_often(known.pk, address):
        response = _form(known, wanted, root, "password_often", 429)
        response["Retry-After"] = str(int(gate.WINDOW))
        return response
    if not check_password(said, known.password_hash):
        gate.wrong(known.pk, address)
        return _form(known, wanted, root, "password_wrong", 403)
    return gate.let_in(_away(root + gate.way_on(wanted)), known.pk, known.password_hash, root)


def _away(address: str) -> HttpResponse:
    """To be looked at there, now."""
    response = HttpResponse(status=303)
    response["Location"] = address
    response["Cache-Control"] = "no-store"
    return _guarded(response, NOWHERE)


def _form(known: Known, wanted: str, root: str, trouble: str, status: int) -> HttpResponse:
    context = {"language": known.language, "root": root, "trouble": trouble, "to": gate.way_on(wanted)}
    response = HttpResponse(
        render_to_string("statuspages/public/password.html", context), status=status, content_type=HTML
    )
    response["Cache-Control"] = "private, no-store"
    response["Vary"] = "Cookie"
    return _guarded(response, NOWHERE)
