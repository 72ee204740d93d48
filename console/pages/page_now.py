"""Whom shall somebody wake, now? A person's own alarm: it is routed and escalated as an alert is, without a monitor.

First it is said who would be called; the second press does it. Where nobody would be called it is refused, with what to
change. What comes of it is on the alert's page (SPEC ALR-5).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from alerts import paging
from alerts.models import Alert, EscalationPolicy, OnCallSchedule
from alerts.outlook import outlook
from console.pages import visit
from console.pages.simulate import shown
from incidents import services
from incidents.models import Incident
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client, Service
from portal.tenancy import WRITE, viewer_of

SEVERITIES = (("critical", "Critical: wake people"), ("major", "Major: wake people"), ("minor", "Minor: a warning"))
ALERT_SEVERITY = {"critical": "critical", "major": "critical", "minor": "warning"}


class PageForm(forms.Form):
    """What is wrong, how bad, whose it is, and whom to call."""

    title = forms.CharField(
        max_length=200, label="What is wrong", help_text="The first words that people read on their phone.",
        widget=forms.TextInput(attrs={"autofocus": True, "placeholder": "Core switch in Lisbon is down"}),
    )  # fmt: skip
    message = forms.CharField(
        required=False, max_length=5000, label="What they should know", widget=forms.Textarea(attrs={"rows": 3})
    )
    severity = forms.ChoiceField(choices=SEVERITIES, initial="critical")
    call = forms.ChoiceField(
        label="Call", required=False, help_text="Triggers and policies that match are told in any case."
    )
    client = forms.ModelChoiceField(Client.objects.none(), required=False, empty_label="None (our own)")
    service = forms.ModelChoiceField(
        Service.objects.none(), required=False, empty_label="None", help_text="Its escalation policy is climbed, and its client is known."
    )  # fmt: skip

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        viewer, clients = viewer_of(request), visit.clients_for(request, WRITE)
        fields: Any = self.fields
        fields["client"].queryset = clients
        if not viewer.msp_role:
            fields["client"].required, fields["client"].empty_label = True, None
        services_seen = Service.objects.for_user(viewer).filter(client__in=clients).select_related("client")
        fields["service"].queryset = services_seen.order_by("client__name", "name")
        fields["service"].label_from_instance = lambda s: f"{s.client.name} · {s.name}"
        self.schedules = {f"schedule:{s.pk}": s for s in OnCallSchedule.objects.for_user(viewer).order_by("name")}
        policies = EscalationPolicy.objects.for_user(viewer).filter(active=True).order_by("name")
        self.policies = {f"policy:{p.pk}": p for p in policies.prefetch_related("levels")}
        fields["call"].choices = [
            ("", "As triggers and policies say"),
            *([("On call now", [(key, s.name) for key, s in self.schedules.items()])] if self.schedules else []),
            *([("Escalation policy", [(key, p.name) for key, p in self.policies.items()])] if self.policies else []),
        ]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        service, chosen = given.get("service"), self.policies.get(given.get("call", ""))
        schedule = self.schedules.get(given.get("call", ""))
        owner = next((row.client_id for row in (chosen, schedule) if row is not None and row.client_id), None)
        client = given.get("client")
        if service is not None and client is not None and service.client_id != client.pk:
            self.add_error("service", "This service belongs to another client.")
        about = client.pk if client is not None else service.client_id if service is not None else None
        if owner is not None and about is not None and owner != about:
            self.add_error("call", "Whom you chose belongs to another client, and may not hear of this one.")
        given["client_id"] = about if about is not None else owner
        given["policy"], given["schedule"] = chosen, schedule
        return given


@visit.page
def page_now(request: HttpRequest) -> HttpResponse:
    """`/page-now/`: the form; `do=check` says who would be called, `do=page` calls them."""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    asked_for = {name: visit.whole(request.GET.get(name)) or 0 for name in ("client", "service")}
    client = visit.clients_for(request, WRITE).filter(pk=asked_for["client"]).first()
    service = Service.objects.for_user(request).filter(pk=asked_for["service"]).first()
    initial: dict[str, Any] = {"client": client.pk if client else None, "service": service.pk if service else None}
    if request.GET.get("schedule"):
        initial["call"] = f"schedule:{visit.whole(request.GET['schedule']) or 0}"
    form = PageForm(request, request.POST if request.method == "POST" else None, initial=initial)
    if not form.is_bound and "call" not in initial and form.schedules and not climbs(request, form.initial):
        form.initial["call"] = next(iter(form.schedules))
    context: dict[str, Any] = {"form": form, "cancel_url": "/"}
    wish = request.POST.get("do", "check")
    if not form.is_bound or not form.is_valid() or wish == "change":
        if wish == "change":
            context["form"] = PageForm(request, initial=request.POST.dict())
            return render(request, "console/page_now.html", context)
        return render(request, "console/page_now.html", context, status=400 if form.is_bound else 200)
    given = form.cleaned_data
    visit.require(request, WRITE, given["client_id"])
    seen = asked(request, given)
    context |= {"checked": True, "given": given, **seen}
    if not seen["steps"]:
        context["refused"] = True
        return render(request, "console/page_now.html", context, status=400)
    if wish != "page":
        return render(request, "console/page_now.html", context)
    try:
        alert = called(request, given)
    except ValidationError as error:
        visit.spread_errors(form, error)
        return render(request, "console/page_now.html", {"form": form, "cancel_url": "/"}, status=400)
    first = [line["who"] for step in seen["steps"] if step["at"] == seen["steps"][0]["at"] for line in step["lines"]]
    messages.success(request, f"Calling {', '.join(dict.fromkeys(first[:5]))}. What becomes of it shows here.")
    return redirect("alert", pk=alert.pk)


def climbs(request: HttpRequest, initial: dict[str, Any]) -> bool:
    """Does some policy take such an alert up anyway? Then nobody need be named to be called."""
    at = database_now()
    found = draft("Page", "critical", initial.get("client"), initial.get("service"), at)
    return bool(outlook(found, at, viewer_of(request)).climbs)


def draft(title: str, severity: str, client_id: int | None, service_id: int | None, at: datetime) -> Alert:
    """The alert that the incident would open; never saved."""
    return Alert(
        source="incident", condition="opened", event="opened", entity_type="incident", entity_id="new", entity_name=title, tags=[], title=title,
        severity=ALERT_SEVERITY[severity], client_id=client_id, service_id=service_id, created_at=at, updated_at=at,
    )  # fmt: skip


def asked(request: HttpRequest, given: dict[str, Any]) -> dict[str, Any]:
    """Who would be called, by the rules that call for real."""
    at, service, viewer = database_now(), given["service"], viewer_of(request)
    found = draft(given["title"], given["severity"], given["client_id"], service.pk if service else None, at)
    also = [given["policy"]] if given["policy"] else []
    directly = paging.levels_of([given["schedule"]]) if given["schedule"] else []
    return shown(outlook(found, at, viewer, also=also, directly=directly), viewer)


def called(request: HttpRequest, given: dict[str, Any]) -> Alert:
    """Open the incident, tell whom the rules name, and begin to call whom the person chose: all of it, or nothing."""
    by, at = Actor.of(request), database_now()
    with transaction.atomic():
        incident: Incident = services.create(
            title=given["title"], severity=given["severity"], by=by, at=at, client_id=given["client_id"], message=given["message"],
            service=given["service"], notify=True,
        )  # fmt: skip
        alert = Alert.objects.select_for_update().get(incident_link__incident=incident)
        schedules = [given["schedule"]] if given["schedule"] else []
        paging.page(alert, by=by, at=at, policy=given["policy"], schedules=schedules)
    return alert
