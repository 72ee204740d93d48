"""What do clients ask to be worked on? Requests for maintenance: the form, one request, and our staff's answer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from alerts import requested, requesting
from alerts.models import MaintenanceRequest
from console.pages import visit
from console.pages.quiet_form import WallField
from monitors.models import Monitor
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import Service, Site
from portal.models.clients import known_zone
from portal.tenancy import ACK, WRITE, Viewer, viewer_of

State = MaintenanceRequest.State
TONES = {State.REQUESTED: "info", State.ACCEPTED: "up", State.DECLINED: "degraded", State.WITHDRAWN: "unknown"}
MODELS: dict[str, Any] = {"monitor": Monitor, "site": Site, "service": Service}
ANSWERED_SHOWN = timedelta(days=30)
MOST, MOST_CHOICES = 100, 500


# --- On the page of windows -----------------------------------------------------------------------------------------------
def panel(request: HttpRequest, at: datetime) -> dict[str, Any]:
    """What waits, and to a client's people also what was answered lately."""
    viewer = viewer_of(request)
    rows = MaintenanceRequest.objects.for_user(viewer).select_related("client")
    wanted = Q(state=State.REQUESTED)
    if not viewer.msp_role:
        wanted |= Q(decided_at__gt=at - ANSWERED_SHOWN)
    shown = sorted(rows.filter(wanted).order_by("-pk")[:MOST], key=lambda r: (r.state != State.REQUESTED, -r.pk))
    return {
        "requests": [{"row": r, "tone": TONES[State(r.state)], "when": requested.span_of(r)} for r in shown],
        "waiting": sum(r.state == State.REQUESTED for r in shown),
        "may_answer": viewer.may(WRITE, None),
        "may_ask": not viewer.msp_role and visit.may_any(request, ACK),
    }


# --- One request ------------------------------------------------------------------------------------------------------------
@visit.page
def request_page(request: HttpRequest, pk: int) -> HttpResponse:
    """`/maintenance/requests/5/`"""
    viewer = viewer_of(request)
    row = visit.found(MaintenanceRequest.objects.for_user(viewer).select_related("client", "window"), pk)
    return visit.show(request, "console/maintenance_request.html", _context(row, viewer))


def _context(row: MaintenanceRequest, viewer: Viewer) -> dict[str, Any]:
    waits = row.state == State.REQUESTED
    told = requested.last_letter(row)
    return {
        "row": row,
        "tone": TONES[State(row.state)],
        "when": requested.span_of(row),
        "covers": covers(row, viewer),
        "may_answer": waits and viewer.may(WRITE, None),
        "may_withdraw": waits and viewer.may(ACK, row.client_id),
        "over": row.ends_at <= database_now(),
        "told": told,
        "told_word": told.get_state_display().lower() if told else "",
        "longest": requesting.LONGEST_REASON,
    }


def covers(row: MaintenanceRequest, viewer: Viewer) -> list[str]:
    """What would be worked on, in words; what is gone or not seen by its number."""
    found = []
    for scope in row.scopes:
        noun, _, identity = scope.partition(":")
        model = MODELS.get(noun)
        name = None
        if model is not None and identity.isdigit():
            name = model.objects.for_user(viewer).filter(pk=int(identity)).values_list("name", flat=True).first()
        found.append(f"{noun} {name or identity}")
    return found or [f"everything of {row.client.name}"]


@visit.page
def press(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """`accept` and `decline` (with `reason`) by our staff, `withdraw` by those who may ask."""
    viewer = viewer_of(request)
    row = visit.found(MaintenanceRequest.objects.for_user(viewer).select_related("client", "window"), pk)
    here = reverse("maintenance_request", args=[pk])
    if verb not in ("accept", "decline", "withdraw"):
        raise Http404
    if not visit.pressed(request):
        return redirect(here)
    visit.require(request, ACK if verb == "withdraw" else WRITE, row.client_id if verb == "withdraw" else None)
    by, at, reason = Actor.of(request), database_now(), request.POST.get("reason", "")
    try:
        if verb == "accept":
            requesting.accept(row, by=by, at=at, words=reason)
            messages.success(request, f"Planned. {row.asked_name} is told by mail.")
        elif verb == "decline":
            requesting.decline(row, by=by, at=at, reason=reason)
            messages.success(request, f"Declined. {row.asked_name} is told by mail, with your reason.")
        else:
            requesting.withdraw(row, by=by, at=at)
            messages.success(request, "Withdrawn.")
    except Refused as refusal:
        messages.error(request, str(refusal))
    except ValidationError as error:
        context = {**_context(row, viewer), "error": " ".join(error.messages), "reason": reason}
        return render(request, "console/maintenance_request.html", context, status=400)
    return redirect(here)


# --- Its form -----------------------------------------------------------------------------------------------------------------
class RequestForm(forms.Form):
    """What is to be done, to what, when."""

    client = forms.ModelChoiceField(None)
    title = forms.CharField(max_length=200, label="What is done", help_text="As “New switch in the shop”.")
    starts_at = WallField(label="From")
    ends_at = WallField(label="Until")
    timezone = forms.CharField(max_length=64, label="Time zone", help_text="As Europe/Lisbon.")
    monitors = forms.ModelMultipleChoiceField(None, required=False, widget=forms.SelectMultiple(attrs={"size": 6}), help_text="Nothing chosen here and below: everything of yours.")  # fmt: skip
    sites = forms.ModelMultipleChoiceField(None, required=False, widget=forms.SelectMultiple(attrs={"size": 4}))
    services = forms.ModelMultipleChoiceField(None, required=False, widget=forms.SelectMultiple(attrs={"size": 4}))
    note = forms.CharField(
        required=False,
        max_length=requesting.LONGEST_NOTE,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="For our staff: what they should know.",
    )
    PICKED = {"monitors": "monitor", "sites": "site", "services": "service"}

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        mine = visit.clients_for(request, ACK)
        fields["client"].queryset = mine
        only = list(mine[:2])
        if len(only) == 1:
            fields["client"].initial, fields["client"].widget = only[0].pk, forms.HiddenInput()
        for name, noun in self.PICKED.items():
            rows = MODELS[noun].objects.for_user(request).filter(client__in=mine).select_related("client")
            listed = list(rows.order_by("client__name", "name", "pk")[:MOST_CHOICES])
            if not listed:
                del fields[name]
                continue
            fields[name].queryset = rows
            several = len(only) > 1
            fields[name].widget.choices = [(r.pk, f"{r.client.name} · {r.name}" if several else r.name) for r in listed]

    def clean_timezone(self) -> str:
        zone = str(self.cleaned_data["timezone"]).strip()
        known_zone(zone)
        return zone

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        client = values.get("client")
        for name in self.PICKED:
            if client and any(r.client_id != client.pk for r in values.get(name) or ()):
                self.add_error(name, f"Choose only what is {client.name}’s.")
        return values

    def values(self) -> dict[str, Any]:
        """As the door takes them."""
        given, zone = self.cleaned_data, ZoneInfo(self.cleaned_data["timezone"])
        return {
            "title": given["title"], "note": given["note"], "timezone": given["timezone"], "starts_at": given["starts_at"].replace(tzinfo=zone),
            "ends_at": given["ends_at"].replace(tzinfo=zone), "scopes": [f"{noun}:{r.pk}" for name, noun in self.PICKED.items() for r in given.get(name) or ()],
        }  # fmt: skip


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/maintenance/requests/add/`"""
    if not visit.may_any(request, ACK):
        raise PermissionDenied
    form = RequestForm(
        request, request.POST if request.method == "POST" else None, initial={"timezone": str(visit.zone_of(request))}
    )
    if form.is_bound and form.is_valid():
        client = form.cleaned_data["client"]
        try:
            row = requesting.ask(client, user=request.user, by=Actor.of(request), at=database_now(), **form.values())  # type: ignore[arg-type]
        except ValidationError as error:
            visit.spread_errors(form, error)
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, "Asked. Our staff answers, and you are told by mail.")
            return redirect("maintenance_request", pk=row.pk)
    back = reverse("maintenance")
    context = {
        "form": form, "title": "Ask for maintenance", "submit": "Ask", "cancel_url": back, "crumb": ("Maintenance", back),
        "note": "Nothing is held back before our staff has accepted it.",
    }  # fmt: skip
    return render(request, "console/form_page.html", context, status=400 if form.errors else 200)
