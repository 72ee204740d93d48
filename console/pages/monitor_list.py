"""Which monitors are there, and how are they? Filtered by the address, a page at a time, a constant number of queries."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db.models import Case, IntegerField, Q, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse

from console.pages import saved_filters, visit
from console.pages.overview import BAD
from monitors import checks, history
from monitors.models import Monitor
from monitors.models.monitor import State
from portal.clock import database_now
from portal.models import Client, Tag
from portal.tenancy import WRITE, viewer_of

# What the seven states are sorted by: what needs a look comes first.
WORST = Case(
    When(state="down", then=Value(0)), When(state="degraded", then=Value(1)), When(state="unknown", then=Value(2)), When(state="pending", then=Value(3)),
    When(state="maintenance", then=Value(4)), When(state="up", then=Value(5)), default=Value(6), output_field=IntegerField(),
)  # fmt: skip
# What can be done to several at once, in the order of the menu; an ellipsis asks first.
ACTS = (
    ("pause", "Pause"),
    ("resume", "Resume"),
    ("check", "Check now"),
    ("tag", "Add tags…"),
    ("untag", "Remove tags…"),
    ("move", "Move to a site or service…"),
    ("watch_from", "Watch from…"),
    ("delete", "Delete…"),
)


@visit.page
def monitor_list(request: HttpRequest) -> HttpResponse:
    """`/monitors/?state=&client=&kind=&tag=&q=&page=`; `state=unwell` is down, degraded or unknown; `all=2` ticks all of page 2."""
    viewer = viewer_of(request)
    wish = request.GET
    rows = filtered(Monitor.objects.for_user(viewer), wish)
    ordered = (
        rows.select_related("client", "site")
        .prefetch_related("tags")
        .alias(worst=WORST)
        .order_by("worst", "name", "pk")
    )
    page = Paginator(ordered, visit.PAGE).get_page(wish.get("page"))
    ids = [m.pk for m in page.object_list]
    at = database_now()
    uptimes, latest = history.uptimes(ids, at), history.latest(ids)
    context = {
        "saved": saved_filters.chips(request, "monitors"),
        "page": page,
        "rows": [
            {
                "monitor": m,
                "kind": label_of(m.kind),
                "uptime": uptimes[m.pk]["30d"],
                "last": latest.get(m.pk),
                "may": viewer.may(WRITE, m.client_id),
            }
            for m in page.object_list
        ],
        "states": [(s.value, s.label) for s in State],
        "kinds": [(kind, check.label) for kind, check in checks.KINDS.items()],
        "clients": list(Client.objects.for_user(viewer).only("pk", "name")[:500]),
        "tags": list(
            Tag.objects.filter(monitor__in=Monitor.objects.for_user(viewer))
            .distinct()
            .values_list("name", flat=True)[:100]
        ),
        "get": wish,
        "filters": {k: v for k, v in wish.items() if k not in ("page", "all") and v},
        # A refresh in place ticks nothing by itself: a row that was not there when somebody chose is not chosen.
        "ticked": wish.get("all") == str(page.number) and not getattr(request, "htmx", None),
        "acts": ACTS,
        "may_add": visit.may_any(request, WRITE),
    }
    return visit.show(request, "console/monitor_list.html", context, visit.wanted(request, "live"))


def filtered(rows: QuerySet[Monitor], wish: Any) -> QuerySet[Monitor]:
    """The monitors that the address asks for."""
    state = wish.get("state", "")
    if state:
        rows = rows.filter(state__in=BAD) if state == "unwell" else rows.filter(state=state)
    for key in ("client", "site", "service"):
        if wish.get(key):
            rows = rows.filter(**{f"{key}_id": visit.whole(wish[key]) or 0})
    if wish.get("kind"):
        rows = rows.filter(kind=wish["kind"])
    if wish.get("tag"):
        rows = rows.filter(
            pk__in=Monitor.tags.through.objects.filter(tag__name__iexact=wish["tag"]).values("monitor_id")
        )
    text = wish.get("q", "").strip()[:200]
    if text:
        rows = rows.filter(
            Q(name__icontains=text)
            | Q(config__url__icontains=text)
            | Q(config__host__icontains=text)
            | Q(site__name__icontains=text)
        )
    return rows


def label_of(kind: str) -> str:
    """A kind in a word or two, for a list."""
    return checks.KINDS[kind].label.partition(" (")[0] if kind in checks.KINDS else kind
