"""What do all pages share? Who visits, what they may do, how a press of a button ends, and how a list is cut into pages."""

from __future__ import annotations

import functools
import operator
import zoneinfo
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from portal.errors import Refused
from portal.models import Client
from portal.ownership import client_id_of
from portal.tenancy import viewer_of

View = Callable[..., HttpResponse]
PAGE = 50
LARGEST_ID = 2**63 - 1


def page(view: View) -> View:
    """A page for people who are signed in, in their own time zone, never cached. Looked at and sent; other methods are 405."""

    @functools.wraps(view)
    def seen(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        with timezone.override(zone_of(request)):
            return view(request, *args, **kwargs)

    return require_http_methods(["GET", "HEAD", "POST"])(login_required(never_cache(seen)))


def staff_page(view: View) -> View:
    """A page of the MSP's own people; for everybody else it does not exist."""

    @functools.wraps(view)
    def seen(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not viewer_of(request).msp_role:
            raise Http404
        return view(request, *args, **kwargs)

    return page(seen)


def pressed(request: HttpRequest) -> bool:
    """Was the button pressed? Who only looks (a reload after signing in) is sent to the page the button stands on."""
    return request.method == "POST"


def zone_of(request: HttpRequest) -> zoneinfo.ZoneInfo:
    """The zone that times are shown in: the person's own; UTC when this machine does not know it."""
    try:
        return zoneinfo.ZoneInfo(getattr(request.user, "timezone", "") or "UTC")
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return zoneinfo.ZoneInfo("UTC")


def wanted(request: HttpRequest, *fragments: str) -> str:
    """Which fragment of the page a refresh in place asks for; "" for the whole page."""
    htmx = getattr(request, "htmx", None)
    if request.method != "GET" or not htmx or htmx.history_restore_request:
        return ""
    return htmx.target if htmx.target in fragments else fragments[0]


def show(
    request: HttpRequest, template: str, context: dict[str, Any], fragment: str = "", *, status: int = 200
) -> HttpResponse:
    """The whole page or one fragment of it. A live page sets `problems` to None and brings its own count."""
    answer = render(request, f"{template}#{fragment}" if fragment else template, context, status=status)
    patch_vary_headers(answer, ["HX-Request", "HX-Target"])
    return answer


def found(rows: QuerySet[Any], pk: int) -> Any:
    """The row of this id among rows that were scoped by `for_user`; what is not seen does not exist."""
    row = rows.filter(pk=pk).first() if 0 < pk <= LARGEST_ID else None
    if row is None:
        raise Http404
    return row


def require(request: HttpRequest, verb: str, of: Model | int | None) -> None:
    """403 unless this person may do `verb` on the row (or the client id; None = the MSP's own)."""
    if not viewer_of(request).may(verb, client_id_of(of) if isinstance(of, Model) else of):
        raise PermissionDenied


def may_any(request: HttpRequest, verb: str) -> bool:
    """May this person do `verb` on anything at all? Decides whether an "Add" button is worth showing."""
    viewer = viewer_of(request)
    return viewer.may(verb, None) or any(viewer.may(verb, c) for c in viewer.client_ids)


def clients_for(request: HttpRequest, verb: str) -> QuerySet[Client]:
    """The clients on whose rows this person may do `verb`."""
    viewer = viewer_of(request)
    rows = Client.objects.for_user(viewer)
    return (
        rows
        if viewer.sees_all and viewer.may(verb, None)
        else rows.filter(pk__in=[c for c in viewer.client_ids if viewer.may(verb, c)])
    )


def act(request: HttpRequest, to: str, said: str, do: Callable[[], Any]) -> HttpResponse:
    """Do it, say so, and go back; a refusal is said as well, and nothing else changes."""
    try:
        answer = do()
    except Refused as refusal:
        messages.error(request, str(refusal))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, answer if isinstance(answer, str) else said)
    return redirect(back(request, to))


def back(request: HttpRequest, to: str) -> str:
    """Where to go after an act: the page the button stood on (`next`), when it is one of ours, else `to`."""
    wanted = request.POST.get("next", "")
    safe = (
        wanted.startswith("/")
        and url_has_allowed_host_and_scheme(wanted, None)
        and urlsplit(wanted).path == wanted.partition("?")[0].partition("#")[0]
    )
    return wanted if safe else to


def whole(text: str | None) -> int | None:
    """A number from an address; None for anything else."""
    return int(text) if text and text.isascii() and text.isdigit() and int(text) <= LARGEST_ID else None


def cut(request: HttpRequest, rows: QuerySet[Any], size: int = PAGE) -> tuple[list[Any], str, str]:
    """(rows, newer address, older address) of a list that is newest first by id: no counting, stable while rows arrive."""
    older, newer = whole(request.GET.get("before")), whole(request.GET.get("after"))
    if newer is not None:
        found_rows = list(rows.filter(pk__gt=newer).order_by("pk")[: size + 1])
        more_newer, more_older = len(found_rows) > size, True
        found_rows = found_rows[:size][::-1]
    else:
        found_rows = list((rows.filter(pk__lt=older) if older is not None else rows).order_by("-pk")[: size + 1])
        more_newer, more_older = older is not None, len(found_rows) > size
        found_rows = found_rows[:size]
    if not found_rows:
        return [], "", ""
    return (
        found_rows,
        with_query(request, after=found_rows[0].pk, before=None) if more_newer else "",
        with_query(request, before=found_rows[-1].pk, after=None) if more_older else "",
    )


def paged(request: HttpRequest, rows: QuerySet[Any], *columns: str) -> dict[str, Any]:
    """{"page": the page of an ordered list that the address asks for (`page=`), "q": what was looked for (`q=`) in these columns}."""
    text = request.GET.get("q", "").strip()[:200]
    if text and columns:
        rows = rows.filter(functools.reduce(operator.or_, (Q(**{f"{c}__icontains": text}) for c in columns)))
    return {"page": Paginator(rows, PAGE).get_page(request.GET.get("page")), "q": text}


def with_query(request: HttpRequest, **changes: Any) -> str:
    """The page's own query string with some keys changed; None removes one."""
    kept = {k: v for k, v in request.GET.items() if k not in changes}
    return "?" + urlencode({**kept, **{k: v for k, v in changes.items() if v is not None}})


def spread_errors(form: Any, error: ValidationError, rename: Callable[[str], str] = lambda name: name) -> None:
    """Put a domain's complaints at the form's fields; what names no field of the form stands above it."""
    by_field: dict[str, Iterable[str]] = (
        error.message_dict if hasattr(error, "error_dict") else {"__all__": error.messages}
    )
    for name, sentences in by_field.items():
        for sentence in sentences:
            field, text = rename(name), sentence
            if (
                name == "__all__" and ": " in sentence and sentence.partition(": ")[0] in form.fields
            ):  # a constraint names its column
                field, _, text = sentence.partition(": ")
            known = field in form.fields
            form.add_error(field if known else None, text if known or name == "__all__" else f"{name}: {text}")
