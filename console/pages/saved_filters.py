"""Which views of a list does somebody come back to? A filter under a name, a chip above the list, each person's own."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from console.pages import visit
from portal.models import SavedFilter, User

MOST = 20  # a list
LONGEST, LONGEST_VALUE = 1000, 200  # characters of a filter, of one value in it
# What each list can be filtered by; anything else in an address is left out.
LISTS: dict[str, frozenset[str]] = {
    "monitors": frozenset({"q", "state", "client", "site", "service", "kind", "tag"}),
    "alerts": frozenset({"q", "status", "severity", "source", "client", "monitor", "incident"}),
    "incidents": frozenset({"q", "status", "severity", "client", "service", "mine"}),
    "deliveries": frozenset({"state", "kind", "channel", "client", "alert", "delivery"}),
}


def normal(name: str, query: str) -> str:
    """A list's query string in one spelling, without pages and what the list does not know. ValidationError says the cure."""
    if len(query) > 2 * LONGEST:
        raise ValidationError("This filter is too long to be kept; search for less text.")
    found = {k: v.strip() for k, v in parse_qsl(query, max_num_fields=50) if k in LISTS[name] and v.strip()}
    if any(len(value) > LONGEST_VALUE or not value.isprintable() for value in found.values()):
        raise ValidationError(f"Each part of a filter has {LONGEST_VALUE} printable characters at most.")
    text = urlencode(sorted(found.items()))
    if not text:
        raise ValidationError("There is nothing to keep yet: filter the list first.")
    if len(text) > LONGEST:
        raise ValidationError("This filter is too long to be kept; search for less text.")
    return text


def chips(request: HttpRequest, name: str) -> dict[str, Any]:
    """For `components/saved_filters.html`: this person's filters of a list, which of them is on, and what could be kept."""
    try:
        now = normal(name, request.GET.urlencode())
    except (ValidationError, ValueError):
        now = ""
    rows = list(SavedFilter.objects.filter(user=request.user.pk, list=name))  # type: ignore[misc]
    shown = [{"row": row, "on": row.query == now} for row in rows]
    return {"list": name, "rows": shown, "query": now, "offer": bool(now) and not any(r["on"] for r in shown)}


def keep(user: User, name: str, called: str, query: str) -> SavedFilter:
    """Keep a filter under a name; one of the same name is replaced. ValidationError when it is no filter, or one too many."""
    called = called.strip()
    if not called or len(called) > 60 or not called.isprintable():
        raise ValidationError("Give the filter a name of 60 characters at most.")
    query = normal(name, query)
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # two presses at once: one after the other
        mine = SavedFilter.objects.filter(user=user, list=name)
        row = mine.filter(name__iexact=called).first()
        if row is None and mine.count() >= MOST:
            raise ValidationError(f"There are {MOST} saved filters of this list already; remove one first.")
        row = row or SavedFilter(user=user, list=name)
        row.name, row.query = called, query
        row.save()
    return row


@visit.page
def save(request: HttpRequest) -> HttpResponse:
    """`POST /filters/` with list, name and query."""
    name = request.POST.get("list", "") if visit.pressed(request) else ""
    if name not in LISTS:
        if visit.pressed(request):
            raise Http404
        return redirect("overview")
    try:
        row = keep(request.user, name, request.POST.get("name", ""), request.POST.get("query", ""))  # type: ignore[arg-type]
    except (ValidationError, ValueError) as error:
        said = error.messages if isinstance(error, ValidationError) else ["This is no filter of a list."]
        messages.error(request, " ".join(said))
        return redirect(visit.back(request, reverse(name)))
    messages.success(request, f"{row.name} is kept above the list.")
    return redirect(f"{reverse(name)}?{row.query}")


@visit.page
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """`POST /filters/7/delete/`: somebody's own only; others' do not exist."""
    row = visit.found(SavedFilter.objects.filter(user=request.user.pk), pk)  # type: ignore[misc]
    if visit.pressed(request):
        row.delete()
        messages.success(request, f"{row.name} was removed.")
    return redirect(visit.back(request, reverse(row.list)))
