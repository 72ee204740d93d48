"""Which incidents are there?"""

from __future__ import annotations

from typing import Any

from django.db.models import Case, Q, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse

from console.pages import saved_filters, visit
from incidents import engine, parents
from incidents.models import Incident
from portal.models import Client, Service
from portal.tenancy import ACK, WRITE, viewer_of

STATUSES = (("open", "Open"), ("", "All"), ("resolved", "Resolved"))


@visit.page
def incident_list(request: HttpRequest) -> HttpResponse:
    """`/incidents/?status=open|resolved&severity=&client=&service=&mine=1&q=`"""
    viewer = viewer_of(request)
    every = Incident.objects.for_user(viewer).select_related("client", "service", "lead")
    shown, newer, older = worst_first(request, filtered(every, request.GET, request.user))
    services_seen = Service.objects.for_user(viewer).filter(incidents__isnull=False).select_related("client").distinct()
    may_group = bool(viewer.msp_role) and viewer.may(WRITE, None)
    context = {
        "saved": saved_filters.chips(request, "incidents"),
        "rows": shown, "newer_url": newer, "older_url": older, "statuses": STATUSES, "get": request.GET, "severities": Incident.Severity.choices,
        "clients": list(Client.objects.for_user(viewer).only("pk", "name")[:500]), "may_add": visit.may_any(request, WRITE),
        "services": list(services_seen.order_by("client__name", "name")[:300]), "may_group": may_group,
        "proposed": len(parents.proposals()) if may_group and not getattr(request, "htmx", None) else 0,
        "may_ack": {i.client_id for i in shown if viewer.may(ACK, i.client_id)},
        "filters": {k: v for k, v in request.GET.items() if k not in ("before", "after") and v},
    }  # fmt: skip
    return visit.show(request, "console/incident_list.html", context, visit.wanted(request, "live"))


def worst_first(request: HttpRequest, rows: QuerySet[Incident]) -> tuple[list[Incident], str, str]:
    """What is open, the gravest on top, as far as it fits one page; everything else newest first, page by page."""
    if request.GET.get("status") == "open" and not {"before", "after"} & request.GET.keys():
        rank = Case(*(When(severity=word, then=Value(n)) for n, word in enumerate(engine.SEVERITIES)))
        found = list(rows.order_by(rank.desc(), "-pk")[: visit.PAGE + 1])
        if len(found) <= visit.PAGE:
            return found, "", ""
    return visit.cut(request, rows)


def filtered(rows: QuerySet[Incident], wish: Any, user: Any) -> QuerySet[Incident]:
    """The rows that the address asks for; what it does not understand matches nothing. Mine: I lead it, or I acknowledged it."""
    if wish.get("status") == "open":
        rows = rows.filter(resolved_at=None)
    elif wish.get("status") == "resolved":
        rows = rows.exclude(resolved_at=None)
    if wish.get("severity"):
        rows = rows.filter(severity=wish["severity"])
    for key, column in (("client", "client_id"), ("service", "service_id")):
        if wish.get(key):
            rows = rows.filter(**{column: visit.whole(wish[key]) or 0})
    if wish.get("mine"):
        rows = rows.filter(Q(lead__user=user) | Q(acknowledged_by__in={str(user), user.email} - {""}))
    if wish.get("q", "").strip():
        rows = rows.filter(title__icontains=wish["q"].strip()[:200])
    return rows
