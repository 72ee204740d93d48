"""The task guides, as pages beside the work they are about."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

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


@require_safe
@login_required
def picture(request: HttpRequest, name: str) -> HttpResponse:
    """`/help/pictures/alert.webp`: what a page of a guide looks like."""
    found = guides.picture(name)
    if found is None:
        raise Http404
    return HttpResponse(
        found.read_bytes(), content_type="image/webp", headers={"Cache-Control": "private, max-age=3600"}
    )
