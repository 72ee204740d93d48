"""Where is it? One box over clients, sites, monitors, alerts, incidents, contacts and channels, within what one may see."""

from __future__ import annotations

import re
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from alerts.models import Alert, Channel
from console.pages import visit
from incidents.models import Incident
from monitors.models import Monitor
from portal import shell
from portal.models import Client, Contact, Site
from portal.tenancy import WRITE, viewer_of

MOST = 20
FIRST = 5  # of each kind while somebody still types
DIRECT = re.compile(r"(alert|incident|monitor|client)s?[ :#/]+([0-9]{1,18})", re.IGNORECASE)


@visit.page
def search(request: HttpRequest) -> HttpResponse:
    """`/search/?q=`; `alert 9` goes straight there. `#found` is the list below the box while somebody types."""
    viewer = viewer_of(request)
    text = request.GET.get("q", "").strip()[:200]
    fragment = visit.wanted(request, "found")
    if not fragment and (direct := DIRECT.fullmatch(text)):
        return redirect(direct[1].lower(), pk=int(direct[2]))
    groups = [*places(viewer, text), *found(viewer, text)] if len(text) >= 2 else []
    context = {"search_query": text, "groups": groups, "short": len(text) < 2, "first": FIRST}
    return visit.show(request, "console/search.html", context, fragment)


def places(viewer: Any, text: str) -> list[dict[str, Any]]:
    """The pages themselves, as the menu names them."""
    lines = [
        _line(item["label"], item["url"], "")
        for item in shell.navigation("", viewer, {})
        if text.lower() in item["label"].lower()
    ]
    return [{"title": "Pages", "lines": lines}] if lines else []


def found(viewer: Any, text: str) -> list[dict[str, Any]]:
    """What matches, a group a kind: seven queries, each bounded."""
    monitors = (
        Monitor.objects.for_user(viewer)
        .filter(Q(name__icontains=text) | Q(config__url__icontains=text) | Q(config__host__icontains=text))
        .select_related("client")
    )
    alerts = (
        Alert.objects.for_user(viewer)
        .filter(Q(title__icontains=text) | Q(entity_name__icontains=text))
        .select_related("client")
        .order_by("-pk")
    )
    incidents = Incident.objects.for_user(viewer).filter(title__icontains=text).select_related("client").order_by("-pk")
    sites = (
        Site.objects.for_user(viewer).filter(Q(name__icontains=text) | Q(url__icontains=text)).select_related("client")
    )
    contacts = (
        Contact.objects.for_user(viewer)
        .filter(Q(name__icontains=text) | Q(email__icontains=text))
        .select_related("client")
    )
    channels = Channel.objects.for_user(viewer).filter(name__icontains=text).select_related("client")
    groups = [
        (
            "Monitors",
            [_line(m.name, reverse("monitor", args=[m.pk]), m.client.name, state=m.state) for m in monitors[:MOST]],
        ),
        (
            "Clients",
            [
                _line(c.name, reverse("client", args=[c.pk]), "")
                for c in Client.objects.for_user(viewer).filter(name__icontains=text)[:MOST]
            ],
        ),
        (
            "Incidents",
            [
                _line(i.title, reverse("incident", args=[i.pk]), i.client.name if i.client else "", badge=i.status)
                for i in incidents[:MOST]
            ],
        ),
        (
            "Alerts",
            [
                _line(
                    a.title,
                    reverse("alert", args=[a.pk]),
                    a.client.name if a.client else "",
                    badge=a.status,
                    at=a.created_at,
                )
                for a in alerts[:MOST]
            ],
        ),
        ("Sites", [_line(s.name, f"{reverse('monitors')}?site={s.pk}", s.client.name) for s in sites[:MOST]]),
        (
            "Contacts",
            [_line(c.name, reverse("contact", args=[c.pk]), c.email) for c in contacts[:MOST]],
        ),
        (
            "Channels",
            [
                _line(
                    c.name,
                    reverse("channel_edit", args=[c.pk]) if viewer.may(WRITE, c.client_id) else reverse("channels"),
                    c.type,
                )
                for c in channels[:MOST]
            ],
        ),
    ]
    return [{"title": title, "lines": lines} for title, lines in groups if lines]


def _line(name: str, url: str, more: str, **shown: Any) -> dict[str, Any]:
    return {"name": name, "url": url, "more": more, **shown}
