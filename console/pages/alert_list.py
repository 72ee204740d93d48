"""Which alerts are there? All of them, newest first, filtered by the address."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse

from alerts.models import Alert
from console.pages import saved_filters, visit
from console.pages.overview import shape_of, word_of
from portal.models import Client
from portal.tenancy import ACK, viewer_of

STATUSES = (
    ("", "All"),
    ("active", "Active"),
    ("open", "Nobody has it"),
    ("acknowledged", "Acknowledged"),
    ("held", "Held back"),
    ("resolved", "Resolved"),
)
SEVERITIES = (("critical", "Critical"), ("warning", "Warning"), ("info", "Info"))


@visit.page
def alert_list(request: HttpRequest) -> HttpResponse:
    """`/alerts/?status=&severity=&source=&client=&monitor=&q=`"""
    viewer = viewer_of(request)
    rows, newer, older = visit.cut(
        request, filtered(Alert.objects.for_user(viewer).select_related("client"), request.GET)
    )
    context = {
        "saved": saved_filters.chips(request, "alerts"),
        "rows": [
            {
                "alert": a,
                "state": shape_of(a),
                "word": "Resolved" if a.is_resolved else word_of(a),
                "may_ack": a.status == "open" and viewer.may(ACK, a.client_id),
            }
            for a in rows
        ],
        "newer_url": newer,
        "older_url": older,
        "statuses": STATUSES,
        "severities": SEVERITIES,
        "sources": list(
            Alert.objects.for_user(viewer).order_by("source").values_list("source", flat=True).distinct()[:30]
        ),
        "clients": list(Client.objects.for_user(viewer).only("pk", "name")[:500]),
        "filters": {k: v for k, v in request.GET.items() if k not in ("before", "after") and v},
        "get": request.GET,
    }
    return visit.show(request, "console/alert_list.html", context, visit.wanted(request, "live"))


def filtered(rows: QuerySet[Alert], wish: Any) -> QuerySet[Alert]:
    """The rows that the address asks for; what it does not understand matches nothing."""
    status = wish.get("status", "")
    if status == "active":
        rows = rows.filter(resolved_at=None)
    elif status == "held":
        rows = rows.filter(resolved_at=None).exclude(hold_reason="")
    elif status:
        rows = rows.filter(status=status)
    for key in ("severity", "source"):
        if wish.get(key):
            rows = rows.filter(**{key: wish[key]})
    for key, column in (("client", "client_id"), ("monitor", "monitor_id"), ("incident", "incident_id")):
        if wish.get(key):
            rows = rows.filter(**{column: visit.whole(wish[key]) or 0})
    text = wish.get("q", "").strip()[:200]
    if text:
        rows = rows.filter(Q(title__icontains=text) | Q(message__icontains=text) | Q(entity_name__icontains=text))
    return rows
