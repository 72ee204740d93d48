"""What became of each message? The notification log: every attempt, what the vendor said, and a button to try again."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from alerts import acts
from alerts.models import Channel, Delivery, Notice
from console.pages import saved_filters, visit
from console.pages.alert import ATTEMPTS, TONES
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client
from portal.tenancy import WRITE, viewer_of

RETRIABLE = ("failed", "unknown")
# What each occasion is, as people say it.
KINDS = {
    **dict(Notice.Kind.choices), "opened": "Something broke", "raised": "It became worse", "recovered": "It recovered", "updated": "An update",
    "digest": "Several in one", "escalated": "Nobody took it: next level", "reminder": "Reminder: nobody has it", "acknowledged": "Somebody has it",
    "exhausted": "Nobody answered at all", "shift": "A turn began", "canary": "Weekly test", "quota": "Quota nearly used", "test": "Test button",
    "channel_dead": "A channel failed", "news": "A letter: status page, report, request",
}  # fmt: skip


@visit.page
def deliveries(request: HttpRequest) -> HttpResponse:
    """`/deliveries/?client=&channel=&state=&kind=&alert=&delivery=`"""
    viewer = viewer_of(request)
    wish = request.GET
    rows = (
        Delivery.objects.for_user(viewer)
        .select_related("channel", "contact", "notice", "alert", "client")
        .prefetch_related("attempts")
    )
    for key, column in (("client", "client"), ("channel", "channel"), ("alert", "alert"), ("delivery", "pk")):
        if wish.get(key):
            rows = rows.filter(**{column: visit.whole(wish[key]) or 0})
    for key in ("state", "kind"):
        if wish.get(key):
            rows = rows.filter(**{key: wish[key]})
    shown, newer, older = visit.cut(request, rows)
    context: dict[str, Any] = {
        "saved": saved_filters.chips(request, "deliveries"),
        "rows": [
            {
                "delivery": d,
                "attempts": [(t, ATTEMPTS.get(t.outcome, t.outcome)) for t in d.attempts.all()],
                "tone": TONES.get(d.state, "unknown"),
                "kind": KINDS.get(d.kind, d.kind),
                "may": not (d.channel and d.channel.deleted_at)
                and viewer.may(WRITE, d.channel.client_id if d.channel else d.client_id),
                "gone": d.channel is not None and d.channel.deleted_at is not None,
                "may_retry": d.state in RETRIABLE
                and not (d.channel and d.channel.deleted_at)
                and viewer.may(WRITE, d.channel.client_id if d.channel else d.client_id),
            }
            for d in shown
        ],
        "newer_url": newer,
        "older_url": older,
        "states": Delivery.State.choices,
        "kinds": KINDS.items(),
        "channels": list(Channel.objects.for_user(viewer).only("pk", "name", "client")[:500]),
        "clients": list(Client.objects.for_user(viewer).only("pk", "name")[:500]),
        "get": wish,
        "filters": {k: v for k, v in wish.items() if k not in ("before", "after") and v},
    }
    return visit.show(request, "console/deliveries.html", context, visit.wanted(request, "live"))


@visit.page
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """Try a failed one anew."""
    row = visit.found(Delivery.objects.for_user(request).select_related("channel"), pk)
    if not visit.pressed(request):
        return redirect("deliveries")
    visit.require(request, WRITE, row.channel or row.client_id)
    return visit.act(
        request,
        reverse("deliveries"),
        "It is tried again now.",
        lambda: acts.retry(row, by=Actor.of(request), at=database_now()) and None,
    )
