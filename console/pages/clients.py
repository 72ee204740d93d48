"""Who are the clients, and how is each? The list, one client's page, the form that adds one, and how one leaves."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from alerts.models import Alert, Channel, Trigger
from console.pages import trash as bin
from console.pages import visit
from console.pages.monitor_list import WORST
from console.pages.overview import WORST as WORST_ALERT
from console.pages.overview import problems_of
from incidents.models import Incident
from monitors.models import Monitor
from monitors.models.monitor import State
from playbooks.models import Playbook
from portal import services, trash
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client, Contact, Membership, Service, Site
from portal.tenancy import WRITE, Viewer, viewer_of
from statuspages.models import Page

ORDER = (State.DOWN, State.DEGRADED, State.UNKNOWN, State.MAINTENANCE, State.PENDING, State.PAUSED, State.UP)


@visit.page
def client_list(request: HttpRequest) -> HttpResponse:
    """`/clients/?q=`"""
    viewer = viewer_of(request)
    rows = Client.objects.for_user(viewer).prefetch_related("tags")
    text = request.GET.get("q", "").strip()[:120]
    if text:
        rows = rows.filter(name__icontains=text)
    clients = list(rows[:500])
    states: dict[int, Counter[str]] = defaultdict(Counter)
    for client, state, n in (
        Monitor.objects.for_user(viewer).order_by().values_list("client_id", "state").annotate(n=Count("pk"))
    ):
        states[client][state] += n
    alerts = dict(
        Alert.objects.for_user(viewer)
        .filter(resolved_at=None)
        .order_by()
        .values_list("client_id")
        .annotate(n=Count("pk"))
    )
    shown = [
        {
            "client": c,
            "states": [(s.value, states[c.pk][s]) for s in ORDER if states[c.pk][s]],
            "alerts": alerts.get(c.pk, 0),
        }
        for c in clients
    ]
    return visit.show(
        request, "console/clients.html", {"rows": shown, "get": request.GET, "may_add": viewer.may(WRITE, None)}
    )


@visit.page
def client(request: HttpRequest, pk: int) -> HttpResponse:
    """`/clients/3/`"""
    viewer = viewer_of(request)
    c = visit.found(Client.objects.for_user(viewer).prefetch_related("tags"), pk)
    monitors = Monitor.objects.for_user(viewer).filter(client=c)
    alerts = list(
        Alert.objects.for_user(viewer)
        .filter(client=c, resolved_at=None)
        .exclude(hold_reason="explained_by_parent")
        .select_related("client")
        .alias(worst=WORST_ALERT)
        .order_by("worst", "-status", "created_at")[:20]
    )
    counts = Counter(dict(monitors.order_by().values_list("state").annotate(n=Count("pk"))))
    context = {
        "client": c,
        "states": [(s.value, counts[s]) for s in ORDER if counts[s]],
        "total": sum(counts.values()),
        "monitors": list(monitors.select_related("site").alias(worst=WORST).order_by("worst", "name")[:30]),
        "problem_list": problems_of(alerts, viewer, database_now()),
        "incidents": list(Incident.objects.for_user(viewer).filter(client=c).order_by("-pk")[:5]),
        "sites": list(c.sites.annotate(n=Count("monitors"))),
        "services": list(c.services.annotate(n=Count("monitors"))),
        "contacts": list(Contact.objects.for_user(viewer).filter(client=c).prefetch_related("ways__channel")[:50]),
        "may_change": viewer.may(WRITE, c.pk),
    }
    return visit.show(request, "console/client.html", context)


class ClientForm(forms.Form):
    """What is needed to begin; the rest is in the administration."""

    name = forms.CharField(max_length=120)
    email = forms.EmailField(
        required=False,
        label="E-mail",
        help_text="Every alert of this client is mailed here, by a trigger that you can see and change.",
    )
    timezone = forms.CharField(max_length=64, initial="UTC", label="Time zone", help_text="As in Europe/Lisbon.")
    tags = forms.CharField(required=False, max_length=500, help_text="Separated by commas.")


@visit.staff_page
def add(request: HttpRequest) -> HttpResponse:
    """`/clients/add/`"""
    visit.require(request, WRITE, None)
    form = ClientForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        values: dict[str, Any] = form.cleaned_data
        try:
            row = services.create_client(by=Actor.of(request), **{**values, "tags": values["tags"].split(",")})
        except ValidationError as error:
            visit.spread_errors(form, error)
        else:
            messages.success(request, f"{row.name} is a client now. Add what is to be watched.")
            return redirect("client", pk=row.pk)
    return render(
        request,
        "console/form_page.html",
        {
            "form": form,
            "title": "Add a client",
            "submit": "Add the client",
            "cancel_url": "/clients/",
            "crumb": ("Clients", "/clients/"),
        },
        status=400 if form.errors else 200,
    )


# --- How one leaves -------------------------------------------------------------------------------------------------------
GOES = (Site, Service, Monitor, Alert, Incident, Page, Playbook, Contact, Channel, Trigger)


def counted(c: Client, viewer: Viewer) -> list[tuple[str, int]]:
    """What goes with a client: (kind, how many)."""
    found = [
        (str(m._meta.verbose_name_plural), m._default_manager.for_user(viewer).filter(client=c).count()) for m in GOES
    ]  # type: ignore[attr-defined]
    found.append(("people with access", Membership.objects.filter(client=c).count()))
    return [(kind, n) for kind, n in found if n]


@visit.staff_page
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """`/clients/3/delete/`: what stops at once, what goes for good later, and a copy to take along first."""
    viewer = viewer_of(request)
    c = visit.found(Client.objects.for_user(viewer), pk)
    visit.require(request, WRITE, None)
    if request.method == "POST":
        services.delete_client(c, by=Actor.of(request))
        messages.success(request, bin.undo(c))
        return redirect("clients")
    context = {"client": c, "goes": counted(c, viewer), "days": trash.KEPT.days}
    return visit.show(request, "console/client_delete.html", context)
