"""Which incidents are there, and how does a person open one?"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from console.pages import visit
from incidents import parents, services
from incidents.models import Incident
from monitors.models import Monitor
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client, Service
from portal.tenancy import ACK, WRITE, viewer_of

STATUSES = (("open", "Open"), ("", "All"), ("resolved", "Resolved"))


@visit.page
def incident_list(request: HttpRequest) -> HttpResponse:
    """`/incidents/?status=open|resolved&severity=&client=&service=&mine=1&q=`"""
    viewer = viewer_of(request)
    every = Incident.objects.for_user(viewer).select_related("client", "service", "lead")
    shown, newer, older = visit.cut(request, filtered(every, request.GET, request.user))
    services_seen = Service.objects.for_user(viewer).filter(incidents__isnull=False).select_related("client").distinct()
    may_group = bool(viewer.msp_role) and viewer.may(WRITE, None)
    context = {
        "rows": shown, "newer_url": newer, "older_url": older, "statuses": STATUSES, "get": request.GET, "severities": Incident.Severity.choices,
        "clients": list(Client.objects.for_user(viewer).only("pk", "name")[:500]), "may_add": visit.may_any(request, WRITE),
        "services": list(services_seen.order_by("client__name", "name")[:300]), "may_group": may_group,
        "proposed": len(parents.proposals()) if may_group and not getattr(request, "htmx", None) else 0,
        "may_ack": {i.client_id for i in shown if viewer.may(ACK, i.client_id)},
        "filters": {k: v for k, v in request.GET.items() if k not in ("before", "after") and v},
    }  # fmt: skip
    return visit.show(request, "console/incident_list.html", context, visit.wanted(request, "live"))


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


class IncidentForm(forms.Form):
    """What a person knows when they open one."""

    title = forms.CharField(max_length=200, help_text="What is broken, in words a client understands.")
    severity = forms.ChoiceField(choices=Incident.Severity.choices, initial="major")
    client = forms.ModelChoiceField(Client.objects.none(), required=False, empty_label="All clients (our own)")
    service = forms.ModelChoiceField(Service.objects.none(), required=False, empty_label="None")
    message = forms.CharField(
        required=False,
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 3}),
        label="First update",
        help_text="What is known so far.",
    )
    affected_monitor_ids = forms.ModelMultipleChoiceField(
        Monitor.objects.none(),
        required=False,
        label="Affected monitors",
        widget=forms.SelectMultiple(attrs={"size": 6}),
    )
    notify = forms.BooleanField(
        required=False,
        initial=True,
        label="Tell people now",
        help_text="Routed as an alert is: triggers and escalation.",
    )

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        viewer, clients = viewer_of(request), visit.clients_for(request, WRITE)
        fields: Any = self.fields
        fields["client"].queryset = clients
        if not viewer.msp_role:
            fields["client"].required, fields["client"].empty_label = True, None
        fields["service"].queryset = (
            Service.objects.for_user(viewer).filter(client__in=clients).select_related("client")
        )
        fields["service"].label_from_instance = lambda s: f"{s.client.name} · {s.name}"
        fields["affected_monitor_ids"].queryset = (
            Monitor.objects.for_user(viewer)
            .filter(client__in=clients)
            .select_related("client")
            .order_by("client__name", "name")
        )
        fields["affected_monitor_ids"].label_from_instance = lambda m: f"{m.client.name} · {m.name}"


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/incidents/add/`"""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    form = IncidentForm(
        request,
        request.POST if request.method == "POST" else None,
        initial={"affected_monitor_ids": [visit.whole(request.GET.get("monitor"))]},
    )
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        client, affected = values["client"], [m.pk for m in values["affected_monitor_ids"]]
        owners = (
            {m.client_id for m in values["affected_monitor_ids"]}
            | ({values["service"].client_id} if values["service"] else set())
            | ({client.pk} if client else set())
        )
        for owner in owners or {None}:
            visit.require(request, WRITE, owner)
        try:
            row = services.create(
                title=values["title"], severity=values["severity"], by=Actor.of(request), at=database_now(), client_id=client.pk if client else None,
                message=values["message"], service=values["service"], affected_monitor_ids=affected, notify=values["notify"],
            )  # fmt: skip
        except ValidationError as error:
            visit.spread_errors(form, error)
        else:
            messages.success(request, "The incident is open." + (" People are being told." if values["notify"] else ""))
            return redirect("incident", pk=row.pk)
    return render(
        request,
        "console/form_page.html",
        {
            "form": form,
            "title": "Open an incident",
            "submit": "Open the incident",
            "cancel_url": "/incidents/",
            "crumb": ("Incidents", "/incidents/"),
        },
        status=400 if form.errors else 200,
    )
