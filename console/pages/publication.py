"""Do readers know of this incident? The box on an incident's page: where it is published, and where it may be."""

from __future__ import annotations

from typing import Any

from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from console.pages import visit
from incidents.models import Incident, ServiceRules
from portal.audit import Actor
from portal.clock import database_now
from portal.tenancy import WRITE, viewer_of
from statuspages import publishing, services
from statuspages.bodies import address_of
from statuspages.models import Page, Publication

MOST = 20


@visit.page
def publication(request: HttpRequest, pk: int) -> HttpResponse:
    """`/incidents/2/publication/`: `#box` for the incident's page, a page of its own without scripts; a POST publishes."""
    viewer = viewer_of(request)
    row = visit.found(Incident.objects.for_user(viewer).select_related("client", "service"), pk)
    if request.method == "POST":
        visit.require(request, WRITE, row)
        return published(request, row)
    shown = (
        Publication.objects.for_user(viewer)
        .filter(incident=row, withdrawn_at=None)
        .select_related("page")
        .prefetch_related("components")
    )
    there = [{"row": p, "may": viewer.may(WRITE, p.page.client_id), "url": address_of(p.page)} for p in shown]
    may = viewer.may(WRITE, row.client_id) and row.merged_into_id is None
    waits = waiting_page(row) if may and not there else 0
    pages = (
        Page.objects.for_user(viewer)
        .filter(publishing.pages_for(row), enabled=True)
        .exclude(pk__in=[p["row"].page_id for p in there])
    )
    free = [
        offered(row, page, waits)
        for page in pages.defer("logo").order_by(F("client").desc(nulls_last=True), "name")[:MOST]
        if may and viewer.may(WRITE, page.client_id)
    ]
    free.sort(key=lambda f: not f["waits"])
    context = {"incident": row, "there": there, "free": free, "may": may, "may_make": may and not free and not there}
    return visit.show(request, "console/publication.html", context, visit.wanted(request, "box"))


def offered(row: Incident, page: Page, waits: int) -> dict[str, Any]:
    """A page that it may be published on, with its components; those that it touches are chosen already."""
    touched = {c.pk for c in publishing.affected(row, page)}
    parts = [{"row": c, "chosen": c.pk in touched} for c in page.components.order_by("order", "pk")]
    return {
        "page": page,
        "components": parts,
        "waits": page.pk == waits,
        "touched": len(touched),
        "url": address_of(page),
    }


def waiting_page(row: Incident) -> int:
    """The page that its service's rule names, when that waits for a person; 0 otherwise."""
    if not row.auto_created or not row.service_id or row.resolved_at is not None:
        return 0
    rules = ServiceRules.objects.filter(service=row.service_id, creation=ServiceRules.Creation.AUTO_WITH_CONFIRMATION)
    return rules.values_list("auto_publish_page", flat=True).first() or 0


def published(request: HttpRequest, row: Incident) -> HttpResponse:
    """Show it on the page that was chosen."""
    page = visit.found(
        Page.objects.for_user(request).filter(publishing.pages_for(row)), visit.whole(request.POST.get("page")) or 0
    )
    visit.require(request, WRITE, page)
    ids = {i for i in (visit.whole(v) for v in request.POST.getlist("components")) if i}
    chosen = list(page.components.filter(pk__in=ids))
    return visit.act(
        request, reverse("incident", args=[row.pk]), f"Published on {page.name}; subscribers are told.",
        lambda: services.publish(row, page, components=chosen, title=request.POST.get("title", ""), by=Actor.of(request), at=database_now()) and None,
    )  # fmt: skip


@visit.page
def withdraw(request: HttpRequest, pk: int, publication: int) -> HttpResponse:
    """`/incidents/2/publication/5/withdraw/`: asked first."""
    row = visit.found(Incident.objects.for_user(request), pk)
    shown = visit.found(Publication.objects.for_user(request).filter(incident=row).select_related("page"), publication)
    visit.require(request, WRITE, row)
    visit.require(request, WRITE, shown.page)
    back = reverse("incident", args=[pk])
    if shown.withdrawn_at is not None and not visit.pressed(request):
        return redirect(back)
    if visit.pressed(request):
        said = f"Taken off {shown.page.name}."
        return visit.act(
            request, back, said, lambda: services.withdraw(shown, by=Actor.of(request), at=database_now()) and None
        )
    body = f"Readers of {shown.page.name} see {row.title} no more, and subscribers hear nothing further of it. The incident goes on here."
    return render(
        request, "components/confirm_page.html", {"title": f"Take it off {shown.page.name}?", "body": body, "confirm_label": "Take it off", "cancel_url": back}
    )  # fmt: skip
