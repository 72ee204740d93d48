"""The task guides, as pages beside the work they are about."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse

from console import guides
from console.pages.visit import page, show


@page
def index(request: HttpRequest) -> HttpResponse:
    """`/help/`"""
    return show(request, "console/help.html", {"guides": guides.all_there(), "guide": None})


@page
def guide(request: HttpRequest, name: str) -> HttpResponse:
    """`/help/on-call/`"""
    found = guides.read(name)
    if found is None:
        raise Http404
    return show(request, "console/help.html", {"guides": guides.all_there(), "guide": found})
