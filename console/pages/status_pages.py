"""What do readers see, and who are they? The list of status pages, one page with all its parts, and what is pressed there."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Count, Q
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from console.pages import visit
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client
from portal.tenancy import WRITE, viewer_of
from statuspages import domains, links, services, subscribers, telling
from statuspages.bodies import address_of
from statuspages.models import Page, ScheduledWork, Subscriber

MOST, MOST_SHOWN, MOST_READERS = 300, 20, 200
SEEN = {"public": ("Everybody", "up"), "password": ("Password", "info"), "signed_in": ("Signed in", "info")}
FIRST_WORD = KeyTextTransform(
    "status", KeyTransform("state", "projection__body")
)  # what readers are told first, as it was last built
# The state of a page in the shapes of the house.
SHAPES = {
    "operational": "up", "degraded": "degraded", "partial_outage": "down", "major_outage": "down", "under_maintenance": "maintenance", "unknown": "unknown",
}  # fmt: skip
WORDS = {
    "operational": "Operational", "degraded": "Degraded", "partial_outage": "Partial outage", "major_outage": "Major outage", "under_maintenance": "Maintenance",
    "unknown": "No data",
}  # fmt: skip
WORK_TONES = {
    "scheduled": "info",
    "in_progress": "maintenance",
    "verifying": "maintenance",
    "completed": "up",
    "cancelled": "unknown",
}


# --- The list -------------------------------------------------------------------------------------------------------------
@visit.page
def page_list(request: HttpRequest) -> HttpResponse:
    """`/status-pages/?client=3`"""
    viewer = viewer_of(request)
    rows = Page.objects.for_user(viewer).select_related("client").defer("logo", "custom_css", "about")
    if request.GET.get("client") == "none":
        rows = rows.filter(client=None)
    elif request.GET.get("client"):
        rows = rows.filter(client=visit.whole(request.GET["client"]) or 0)
    active = Count("subscribers", filter=Q(subscribers__state=Subscriber.State.ACTIVE), distinct=True)
    rows = rows.annotate(first_word=FIRST_WORD, readers=active, parts=Count("components", distinct=True)).order_by(
        "client__name", "name", "pk"
    )
    listed = visit.paged(request, rows, "name", "client__name", "slug")
    context = {
        "rows": [pictured(page, viewer) for page in listed["page"].object_list], **listed, "may_add": visit.may_any(request, WRITE), "filters": {k: v for k, v in request.GET.items() if v and k != "page"},
        "get": request.GET, "clients": list(Client.objects.for_user(viewer).only("pk", "name")[:MOST]) if viewer.msp_role else [],
    }  # fmt: skip
    return visit.show(request, "console/status_pages.html", context)


def pictured(page: Page, viewer: Any) -> dict[str, Any]:
    """A page as the list and its own page tell it: how it is, where it is, who may see it."""
    state = str(getattr(page, "first_word", "") or "")
    word, tone = SEEN[page.visibility]
    return {
        "page": page, "state": SHAPES.get(state, "unknown"), "word": WORDS.get(state, "No data"), "seen": word, "tone": tone, "url": address_of(page),
        "may": viewer.may(WRITE, page.client_id),
    }  # fmt: skip


# --- One page -------------------------------------------------------------------------------------------------------------
@visit.page
def page(request: HttpRequest, pk: int) -> HttpResponse:
    """`/status-pages/3/`: components, planned work, what was published, readers, domain."""
    viewer, at = viewer_of(request), database_now()
    row = visit.found(Page.objects.for_user(viewer).select_related("client").annotate(first_word=FIRST_WORD), pk)
    works = row.works.prefetch_related("components").order_by("-starts_at", "-pk")
    context = {
        **pictured(row, viewer), "row": row, "sections": sections_of(row, at), "counts": subscribers.counts(row), "record": domains.record_of(row),
        "works": [shown_work(w, at) for w in works.filter(status__in=("scheduled", "in_progress", "verifying")).order_by("starts_at", "pk")[:MOST_SHOWN]],
        "past": [shown_work(w, at) for w in works.filter(status__in=("completed", "cancelled"))[:5]],
        "published": list(row.publications.filter(withdrawn_at=None).select_related("incident")[:MOST_SHOWN]), "groups": list(row.groups.all()),
        "badges": list(row.components.order_by("order", "pk").only("pk", "name")[:MOST_SHOWN]),
    }  # fmt: skip
    return visit.show(request, "console/status_page.html", context)


def sections_of(row: Page, at: datetime) -> list[dict[str, Any]]:
    """The components below their headings, in the order of the page; those without a heading first."""
    components = (
        row.components.select_related("service")
        .annotate(watched=Count("monitors", distinct=True))
        .order_by("order", "pk")
    )
    below: dict[int | None, list[dict[str, Any]]] = {}
    for c in components:
        ended = c.override_until is not None and c.override_until <= at
        below.setdefault(c.group_id, []).append(
            {"row": c, "said": c.get_override_display() if c.override and not ended else ""}
        )
    found = [{"group": None, "components": below.get(None, [])}]
    found += [{"group": g, "components": below.get(g.pk, [])} for g in row.groups.all()]
    for section in found:
        _ends(section["components"])
    _ends(found[1:])
    return found


def _ends(rows: list[dict[str, Any]]) -> None:
    """Who cannot go further up or down."""
    for number, r in enumerate(rows):
        r["first"], r["last"] = number == 0, number == len(rows) - 1


def shown_work(work: ScheduledWork, at: datetime) -> dict[str, Any]:
    """Planned work in a list."""
    late = work.status in ("in_progress", "verifying") and work.ends_at < at
    return {"work": work, "tone": WORK_TONES[work.status], "word": work.get_status_display(), "late": late}


# --- What is pressed ------------------------------------------------------------------------------------------------------
@visit.page
def press(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """`verify`: look for the domain's record now; `on`, `off`: whether the page answers; `feeds`, `delete`: asked first."""
    row = visit.found(Page.objects.for_user(request).select_related("client"), pk)
    if verb not in ("verify", "on", "off", "feeds", "delete"):
        raise Http404
    back, by = reverse("statuspage", args=[pk]), Actor.of(request)
    if not visit.pressed(request) and verb not in ("feeds", "delete"):
        return redirect(back)
    visit.require(request, WRITE, row)
    if verb == "feeds":
        return feeds_ended(request, row, by, f"{back}#readers")
    if verb == "verify":
        said = f"Proved. The page answers at {row.custom_domain} as soon as that name points here."
        return visit.act(
            request, f"{back}#domain", said, lambda: domains.verify(row, by=by, at=database_now()) and None
        )
    if verb in ("on", "off"):
        said = "Readers find it again." if verb == "on" else "Off: its address answers as if it did not exist."
        return visit.act(
            request,
            back,
            said,
            lambda: services.save_page(row, by=by, at=database_now(), enabled=verb == "on") and None,
        )
    if visit.pressed(request):
        to = reverse("statuspages")
        return visit.act(request, to, "Deleted.", lambda: services.delete_page(row, by=by, at=database_now()))
    counts = subscribers.counts(row)
    body = (
        f"{row.components.count()} components with their history, {counts['active']} readers and what was published here go, and {address_of(row)} answers nobody "
        "any more. Incidents and monitors stay."
    )
    return render(
        request, "components/confirm_page.html", {"title": f"Delete {row.name}?", "body": body, "confirm_label": "Delete it", "cancel_url": back}
    )  # fmt: skip


def feeds_ended(request: HttpRequest, row: Page, by: Actor, back: str) -> HttpResponse:
    """End the private addresses of its feed; asked first."""
    if visit.pressed(request):
        said = "The old feed addresses are good no more; readers find new ones on the page."
        return visit.act(request, back, said, lambda: services.renew_feeds(row, by=by, at=database_now()) and None)
    body = f"Every feed reader that follows {row.name} stops getting news until its owner gives it the new address, which the page shows to those who may read it."
    return render(
        request, "components/confirm_page.html", {"title": "End the feed addresses?", "body": body, "confirm_label": "End them", "cancel_url": back}
    )  # fmt: skip


# --- Readers --------------------------------------------------------------------------------------------------------------
@visit.page
def readers(request: HttpRequest, pk: int) -> HttpResponse:
    """`/status-pages/3/readers/?state=active`; addresses only for those who may change the page."""
    viewer = viewer_of(request)
    row = visit.found(Page.objects.for_user(viewer).select_related("client"), pk)
    may, counts = viewer.may(WRITE, row.client_id), subscribers.counts(row)
    rows = subscribers.of_page(row)
    if request.GET.get("state") in Subscriber.State.values:
        rows = rows.filter(state=request.GET["state"])
    shown, newer, older = visit.cut(request, rows)
    context = {
        "row": row, "may": may, "rows": [{"row": s, "address": address_for(s) if may else ""} for s in shown], "newer": newer, "older": older,
        "states": [(value, label, counts[value]) for value, label in Subscriber.State.choices], "state": request.GET.get("state", ""), "url": address_of(row),
        "waiting": telling.waiting(row),
        "log": f"{reverse('deliveries')}?kind=news&state=pending" if viewer.msp_role else "",
        "hook": links.hook_url() if viewer.msp_role and viewer.may(WRITE, None) else "",
    }  # fmt: skip
    return visit.show(request, "console/status_page_readers.html", context)


def address_for(reader: Subscriber) -> str:
    """Where the news goes; of a webhook only the host, for its path is a secret."""
    if not reader.address:
        return ""
    text = str(reader.address.open())
    if reader.kind == Subscriber.Kind.EMAIL:
        return text
    return text.partition("://")[2].partition("/")[0].rpartition("@")[2] or "–"


@visit.page
def reader_press(request: HttpRequest, pk: int, reader: int, verb: str) -> HttpResponse:
    """`remove`: end a subscription, asked first; `ask`: send the question once more; `resume`: one that is suspended."""
    row = visit.found(Page.objects.for_user(request).select_related("client"), pk)
    found = visit.found(row.subscribers.select_related("page"), reader)
    if verb not in ("remove", "ask", "resume"):
        raise Http404
    back, by = reverse("statuspage_readers", args=[pk]), Actor.of(request)
    if verb != "remove" and not visit.pressed(request):
        return redirect(back)
    visit.require(request, WRITE, row)
    if verb == "resume":
        said = "Resumed: news go there again."
        return visit.act(request, back, said, lambda: subscribers.resume(found, by=by, at=database_now()))
    if verb == "ask":
        return visit.act(
            request, back, "Asked once more.", lambda: subscribers.ask_again(found, by=by, at=database_now())
        )
    if visit.pressed(request):
        return visit.act(request, back, "Removed.", lambda: subscribers.remove(found, by=by, at=database_now()))
    body = f"{address_for(found) or 'This reader'} hears nothing of {row.name} any more, and the links in old messages end. They may subscribe again."
    return render(
        request, "components/confirm_page.html", {"title": "Remove this reader?", "body": body, "confirm_label": "Remove", "cancel_url": back}
    )  # fmt: skip
