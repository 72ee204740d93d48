"""How does a person open an incident? With what they know, and, if readers shall know it too, straight onto a status page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from console.pages import visit
from console.pages.overview import BAD
from incidents import services
from incidents.models import Incident
from monitors.models import Monitor
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import Client, Service
from portal.tenancy import WRITE, viewer_of
from statuspages import publishing
from statuspages.models import Page

MOST = 300  # monitors that one can choose among without looking for them
MORE = "There are many: these are not well. For others choose the client and press “List the client’s monitors”."
FIRST = [choice for choice in Incident.Status.choices if choice[0] != "resolved"]


class IncidentForm(forms.Form):
    """What a person knows when they open one."""

    title = forms.CharField(max_length=200, help_text="What is broken, in words a client understands.")
    severity = forms.ChoiceField(choices=Incident.Severity.choices, initial="major")
    client = forms.ModelChoiceField(Client.objects.none(), required=False, empty_label="All clients (our own)")
    service = forms.ModelChoiceField(Service.objects.none(), required=False, empty_label="None")
    affected_monitor_ids = forms.ModelMultipleChoiceField(
        Monitor.objects.none(),
        required=False,
        label="Affected monitors",
        widget=forms.SelectMultiple(attrs={"size": 6}),
    )
    status = forms.ChoiceField(choices=FIRST, initial="investigating", required=False, label="How far it is")
    message = forms.CharField(
        required=False,
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 3}),
        label="First update",
        help_text="What is known so far.",
    )
    status_page = forms.ModelChoiceField(
        Page.objects.none(), required=False, empty_label="Not published", label="Publish on", help_text="At once, with the components of its monitors; subscribers are told."
    )  # fmt: skip
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
        seen = Service.objects.for_user(viewer).filter(client__in=clients).select_related("client")
        fields["service"].queryset = seen.order_by("client__name", "name")
        fields["service"].label_from_instance = lambda s: f"{s.client.name} · {s.name}"
        watched = Monitor.objects.for_user(viewer).filter(client__in=clients).select_related("client")
        fields["affected_monitor_ids"].queryset = watched
        offered, self.more = self._offered(watched.order_by("client__name", "name", "pk"))
        fields["affected_monitor_ids"].choices = [(m.pk, f"{m.client.name} · {m.name}") for m in offered]
        if self.more:
            fields["affected_monitor_ids"].help_text = MORE
        pages = Page.objects.for_user(viewer).filter(enabled=True).defer("logo").order_by("name")
        may = [p.pk for p in pages if viewer.may(WRITE, p.client_id)]
        fields["status_page"].queryset = pages.filter(pk__in=may).select_related("client")
        fields["status_page"].label_from_instance = lambda p: f"{p.client.name} · {p.name}" if p.client else p.name
        if not may:
            del fields["status_page"]

    def _offered(self, watched: QuerySet[Monitor]) -> tuple[list[Monitor], bool]:
        """(monitors to choose among, are there others?): all; of very many those of the client, chosen ones, not well ones."""
        few = watched.only("name", "client__name", "kind")
        found = list(few[: MOST + 1])
        if len(found) <= MOST:
            return found, False
        client = visit.whole(str(self["client"].value() or ""))
        chosen = [pk for v in self["affected_monitor_ids"].value() or () if (pk := visit.whole(str(v)))]
        wanted = Q(client=client) if client else Q(state__in=BAD)
        return list(few.filter(wanted | Q(pk__in=chosen))[:MOST]), True

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        client, service = given.get("client"), given.get("service")
        owners = {m.client_id for m in given.get("affected_monitor_ids", ())}
        owners |= ({client.pk} if client else set()) | ({service.client_id} if service else set())
        page = given.get("status_page")
        if page is not None and page.client_id is not None and owners - {page.client_id}:
            self.add_error("status_page", "This page speaks of another client; choose one of this client's, or the MSP's.")  # fmt: skip
        return given | {"owners": owners, "status": given.get("status") or Incident.Status.INVESTIGATING}


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/incidents/add/?monitor=7`; posted with `again`, it lists the chosen client's monitors and keeps what was typed."""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    said, again = request.POST, bool(request.POST.get("again"))
    chosen: dict[str, Any] = {"affected_monitor_ids": [visit.whole(request.GET.get("monitor"))]}
    if again:
        ids = said.getlist("affected_monitor_ids")
        chosen = {**said.dict(), "affected_monitor_ids": ids, "notify": "notify" in said}
    posted = request.method == "POST" and not again
    form = IncidentForm(request, said if posted else None, initial=chosen)
    if posted and form.is_valid():
        for owner in form.cleaned_data["owners"] or {None}:
            visit.require(request, WRITE, owner)
        try:
            row = opened(form.cleaned_data, Actor.of(request))
        except ValidationError as error:
            visit.spread_errors(form, error)
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            told = " People are being told." if form.cleaned_data["notify"] else ""
            messages.success(request, f"The incident is open.{told}")
            return redirect("incident", pk=row.pk)
    context = {
        "form": form, "title": "Open an incident", "submit": "Open the incident", "cancel_url": "/incidents/", "crumb": ("Incidents", "/incidents/"), "again_label": "List the client’s monitors" if form.more else "",
    }  # fmt: skip
    return render(request, "console/form_page.html", context, status=400 if form.errors else 200)


def opened(said: dict[str, Any], by: Actor) -> Incident:
    """Open it, and show it on its page when one is chosen, or neither."""
    client, page, at = said["client"], said.get("status_page"), database_now()
    with transaction.atomic():
        row = services.create(
            title=said["title"], severity=said["severity"], by=by, at=at, client_id=client.pk if client else None, message=said["message"], service=said["service"],
            status=said["status"], affected_monitor_ids=[m.pk for m in said["affected_monitor_ids"]], notify=said["notify"],
        )  # fmt: skip
        if page is not None:
            publishing.publish(row, page, by=by, at=at)
    return row
