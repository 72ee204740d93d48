"""How are a service's alerts escalated, and how do its incidents open? The form of one service."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from alerts.models import EscalationPolicy
from console.pages import visit
from console.services_api import NOT_YOURS, policy_of, save
from incidents import rules
from incidents.models import Incident, ServiceRules
from portal.audit import Actor
from portal.models import Client, Service
from portal.tenancy import WRITE, viewer_of
from statuspages.models import Page


class ServiceForm(forms.Form):
    """What a service is, whom its alerts call, when an incident is opened for it."""

    client = forms.ModelChoiceField(Client.objects.none(), empty_label=None)
    name = forms.CharField(max_length=120, help_text="What a client calls it, as Checkout.")
    escalation_policy = forms.ModelChoiceField(
        EscalationPolicy.objects.none(), required=False, empty_label="None: only policies whose filters match",
        help_text="All its alerts climb this policy, whatever the policy's filters say.",
    )  # fmt: skip
    creation = forms.ChoiceField(choices=ServiceRules.Creation.choices, label="Incidents open")
    merge_window_minutes = forms.IntegerField(
        min_value=0, max_value=rules.LONGEST_MERGE_MINUTES, label="Merge window", help_text="Minutes in which further alerts join the open incident."
    )  # fmt: skip
    default_severity = forms.ChoiceField(
        choices=[("", "By the alert's"), *Incident.Severity.choices], required=False, label="Severity of its incidents"
    )

    auto_publish_page = forms.ModelChoiceField(
        Page.objects.none(), required=False, empty_label="None: a person publishes them", label="Status page of its incidents",
        help_text="They stand there once confirmed; where a person has to confirm, they wait on the incident's page.",
    )  # fmt: skip

    def __init__(self, request: HttpRequest, row: Service | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["client"].queryset = visit.clients_for(request, WRITE)
        policies = EscalationPolicy.objects.for_user(request).order_by("name")
        if row is not None:
            del fields["client"]
            policies = policies.filter(Q(client=None) | Q(client=row.client_id))
            now = policy_of(row)
            if now is not None and not viewer_of(request).sees(now.client_id):
                fields["escalation_policy"].disabled = True
                fields["escalation_policy"].empty_label = "Set by our staff"
                self.initial["escalation_policy"] = None
                fields["escalation_policy"].help_text = NOT_YOURS
        fields["escalation_policy"].queryset = policies
        pages, chosen = Page.objects.for_user(request).order_by("name"), self.initial.get("auto_publish_page")
        if row is not None:
            pages = pages.filter(Q(client=None) | Q(client=row.client_id))
        fields["auto_publish_page"].queryset = pages
        if chosen and not pages.filter(pk=chosen).exists():
            del fields["auto_publish_page"]  # a page of ours that they do not see: it stays


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/services/add/?client=3`"""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    return _worked(request, None)


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/services/5/`"""
    rows = Service.objects.for_user(request).select_related("client", "routing__policy", "incident_rules")
    row = visit.found(rows, pk)
    visit.require(request, WRITE, row)
    return _worked(request, row)


def _worked(request: HttpRequest, row: Service | None) -> HttpResponse:
    kept = (getattr(row, "incident_rules", None) if row is not None else None) or ServiceRules()
    initial: dict[str, Any] = {name: getattr(kept, name) for name in rules.FIELDS}
    if row is not None:
        initial |= {"name": row.name, "escalation_policy": policy_of(row)}
    else:
        initial["client"] = visit.whole(request.GET.get("client"))
    form = ServiceForm(request, row, request.POST if request.method == "POST" else None, initial=initial)
    if form.is_bound and form.is_valid():
        given = dict(form.cleaned_data)
        if row is None:
            visit.require(request, WRITE, given["client"].pk)
        own = {name: given.pop(name) for name in rules.FIELDS if name in given}
        if own.get("auto_publish_page") is not None:
            own["auto_publish_page"] = own["auto_publish_page"].pk
        policy = [] if form.fields["escalation_policy"].disabled else [given["escalation_policy"]]
        del given["escalation_policy"]
        try:
            saved = save(row, given, own, policy, by=Actor.of(request), viewer=viewer_of(request))
        except ValidationError as error:
            visit.spread_errors(form, error)
        else:
            messages.success(request, f"{saved.name} was saved.")
            return redirect("client", pk=saved.client_id)
    title = row.name if row is not None else "Add a service"
    client = row.client if row is not None else None
    crumb = (client.name, reverse("client", args=[client.pk])) if client else ("Clients", reverse("clients"))
    context = {"form": form, "title": title, "crumb": crumb, "cancel_url": crumb[1], "note": "Monitors that belong together, as a client sees them."}  # fmt: skip
    return render(request, "console/form_page.html", context, status=400 if form.errors else 200)
