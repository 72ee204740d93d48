"""How is an incident corrected? Its title, severity, lead, affected monitors, its times, and the words of an update."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from console.pages import visit
from incidents import services, updates
from incidents.models import Incident, Update
from monitors.models import Monitor
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import Contact
from portal.tenancy import WRITE, viewer_of

SHAPE = "%Y-%m-%dT%H:%M:%S"


def moment(label: str, hint: str) -> forms.DateTimeField:
    """A time to the second, in the zone of the person who looks."""
    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format=SHAPE)
    return forms.DateTimeField(required=False, label=label, help_text=hint, widget=widget, input_formats=[SHAPE, "%Y-%m-%dT%H:%M"])  # fmt: skip


class EditForm(forms.Form):
    """What a person may correct."""

    title = forms.CharField(max_length=200)
    severity = forms.ChoiceField(choices=Incident.Severity.choices)
    lead = forms.ModelChoiceField(Contact.objects.none(), required=False, empty_label="Nobody yet", help_text="Who leads the response.")  # fmt: skip
    affected_monitor_ids = forms.ModelMultipleChoiceField(
        Monitor.objects.none(),
        required=False,
        label="Affected monitors",
        widget=forms.SelectMultiple(attrs={"size": 8}),
    )
    began_at = moment("Began", "Known by the first failing check, unless you know better.")
    mitigated_at = moment(
        "Mitigated", "When readers no longer felt it. Empty: set by the recovery of the last monitor."
    )
    auto_resolve = forms.BooleanField(required=False, label="Resolve by itself when everything has recovered")

    def __init__(self, incident: Incident, viewer: Any, *args: Any, **kwargs: Any) -> None:
        bare = {name: value.replace(microsecond=0) if value else None for name, value in ((n, getattr(incident, n)) for n in services.TIMES)}  # fmt: skip
        names = {name: getattr(incident, name) for name in services.EDITABLE}
        super().__init__(*args, initial=names | bare, **kwargs)
        fields: Any = self.fields
        fields["lead"].queryset = Contact.objects.for_user(viewer).filter(Q(client=incident.client_id) | Q(client=None)).order_by("name")  # fmt: skip
        fields["affected_monitor_ids"].queryset = Monitor.objects.for_user(viewer).filter(client=incident.client_id).order_by("name")  # fmt: skip
        if not incident.auto_created:
            del fields["auto_resolve"]

    def changes(self, incident: Incident) -> dict[str, Any]:
        """What was changed, as the door takes it. Monitors that are gone, or that this person does not see, stay named."""
        found = {name: self.cleaned_data[name] for name in self.changed_data}
        if "affected_monitor_ids" in found:
            field: Any = self.fields["affected_monitor_ids"]
            offered = set(field.queryset.values_list("pk", flat=True))
            chosen = [m.pk for m in found["affected_monitor_ids"]]
            found["affected_monitor_ids"] = [
                pk for pk in incident.affected_monitor_ids if pk in chosen or pk not in offered
            ]
            found["affected_monitor_ids"] += [pk for pk in chosen if pk not in found["affected_monitor_ids"]]
        return found


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/incidents/2/edit/`"""
    viewer = viewer_of(request)
    i = visit.found(Incident.objects.for_user(viewer).select_related("client"), pk)
    visit.require(request, WRITE, i)
    form = EditForm(i, viewer, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            services.edit(i, form.changes(i), by=Actor.of(request), at=database_now())
        except ValidationError as error:
            visit.spread_errors(form, error)
        else:
            messages.success(request, "The incident is corrected." if form.changed_data else "Nothing was changed.")
            return redirect("incident", pk=pk)
    context = {
        "form": form, "title": "Edit the incident", "submit": "Save", "cancel_url": reverse("incident", args=[pk]),
        "crumb": (i.title, reverse("incident", args=[pk])), "note": "Times are in your own zone. Every change is on the timeline.",
    }  # fmt: skip
    return render(request, "console/form_page.html", context, status=400 if form.errors else 200)


# --- The words of an update ------------------------------------------------------------------------------------------------
class WordsForm(forms.Form):
    """What an update says."""

    message = forms.CharField(label="Message", widget=forms.Textarea(attrs={"rows": 4}), max_length=5000)


@visit.page
def edit_update(request: HttpRequest, pk: int, update: int) -> HttpResponse:
    """`/incidents/2/updates/5/`: its words are corrected or (button `take_back`) taken back."""
    i = visit.found(Incident.objects.for_user(request), pk)
    visit.require(request, WRITE, i)
    row = visit.found(Update.objects.for_user(request).filter(incident=i), update)
    by, at, back = Actor.of(request), database_now(), reverse("incident", args=[pk])
    if request.method == "POST" and "take_back" in request.POST:
        said = "The update is taken back."
        return visit.act(request, back, said, lambda: updates.take_back(row, by=by, at=at))
    form = WordsForm(request.POST if request.method == "POST" else None, initial={"message": row.message})
    if request.method == "POST" and form.is_valid():
        try:
            updates.correct(row, message=form.cleaned_data["message"], by=by, at=at)
        except ValidationError as error:
            visit.spread_errors(form, error)
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, "The update reads so now.")
            return redirect(back)
    context = {"incident": i, "update": row, "form": form, "cancel_url": back}
    return visit.show(request, "console/incident_update.html", context, status=400 if form.errors else 200)
