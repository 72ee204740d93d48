"""Are these one problem or two? The pages on which incidents are merged, split, joined by an alert, and grouped under a parent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from alerts.models import Alert
from console.pages import visit
from incidents import joining, parents
from incidents.models import Incident
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.tenancy import WRITE, viewer_of

MOST = 200


def _shown(
    request: HttpRequest, form: forms.Form, i: Incident, do: Callable[[], Incident], said: str, **words: str
) -> HttpResponse:
    """A page that is one form about one incident; then the incident that came of it."""
    if request.method == "POST" and form.is_valid():
        try:
            after = do()
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, said)
            return redirect("incident", pk=after.pk)
    here = reverse("incident", args=[i.pk])
    context = {"form": form, "cancel_url": here, "crumb": (i.title, here), **words}
    return render(request, "console/form_page.html", context, status=400 if form.errors else 200)


def _own(request: HttpRequest, pk: int) -> Incident:
    i: Incident = visit.found(Incident.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, i)
    return i


# --- Merge --------------------------------------------------------------------------------------------------------------------
class MergeForm(forms.Form):
    into = forms.ModelChoiceField(
        Incident.objects.none(), label="Carries on as", empty_label=None, widget=forms.RadioSelect
    )

    def __init__(self, i: Incident, viewer: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["into"]
        field.queryset = Incident.objects.for_user(viewer).filter(client=i.client_id, resolved_at=None).exclude(pk=i.pk).order_by("-pk")[:MOST]  # fmt: skip
        field.queryset = Incident.objects.filter(pk__in=[o.pk for o in field.queryset]).order_by("-pk")
        field.label_from_instance = lambda o: f"#{o.pk} {o.title}"


@visit.page
def merge(request: HttpRequest, pk: int) -> HttpResponse:
    """`/incidents/2/merge/`: into which other open one of the same client?"""
    i = _own(request, pk)
    form = MergeForm(i, viewer_of(request), request.POST if request.method == "POST" else None)
    return _shown(
        request, form, i, lambda: joining.merge(i, form.cleaned_data["into"], by=Actor.of(request), at=database_now()), "Merged: everything of it is here now.",
        title=f"Merge “{i.title}” into another incident", submit="Merge", note="Its alerts, monitors and lead move there, and this one is resolved. Nobody is paged. Splitting them off again undoes it.",
    )  # fmt: skip


# --- Split and join -----------------------------------------------------------------------------------------------------------
class SplitForm(forms.Form):
    alerts = forms.ModelMultipleChoiceField(Alert.objects.none(), label="Take out", widget=forms.CheckboxSelectMultiple)
    title = forms.CharField(max_length=200, required=False, help_text="Empty: as the first of these alerts.")

    def __init__(self, i: Incident, viewer: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["alerts"]
        field.queryset = Alert.objects.for_user(viewer).filter(incident_link__incident=i).order_by("pk")
        field.label_from_instance = lambda a: f"{a.title} ({a.get_status_display().lower()})"


@visit.page
def split(request: HttpRequest, pk: int) -> HttpResponse:
    """`/incidents/2/split/?alerts=4,5&title=`: which alerts get an incident of their own?"""
    i, wish = _own(request, pk), request.GET
    chosen = [n for n in map(visit.whole, wish.get("alerts", "").split(",")) if n]
    about = {"alerts": chosen, "title": wish.get("title", "")[:200]}
    form = SplitForm(i, viewer_of(request), request.POST if request.method == "POST" else None, initial=about)

    def do() -> Incident:
        said = form.cleaned_data
        return joining.split(
            i, [a.pk for a in said["alerts"]], title=said["title"], by=Actor.of(request), at=database_now()
        )

    return _shown(
        request, form, i, do, "They have an incident of their own now.", title=f"Take alerts out of “{i.title}”", submit="Take them out",
        note="They keep their status and escalation; nobody is paged.",
    )  # fmt: skip


class JoinForm(forms.Form):
    alert = forms.ModelChoiceField(Alert.objects.none(), empty_label=None, widget=forms.RadioSelect)

    def __init__(self, i: Incident, viewer: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["alert"]
        rows = Alert.objects.for_user(viewer).filter(client=i.client_id, resolved_at=None).exclude(source="incident")
        found = rows.exclude(incident_link__incident=i).order_by("-pk").values_list("pk", flat=True)[:MOST]
        field.queryset = Alert.objects.filter(pk__in=list(found)).order_by("-pk")
        field.label_from_instance = lambda a: a.title + (f" (now in #{a.incident_id})" if a.incident_id else "")


@visit.page
def join(request: HttpRequest, pk: int) -> HttpResponse:
    """`/incidents/2/join/`: which open alert belongs here?"""
    i = _own(request, pk)
    form = JoinForm(i, viewer_of(request), request.POST if request.method == "POST" else None)
    return _shown(
        request, form, i, lambda: joining.move(form.cleaned_data["alert"], i, by=Actor.of(request), at=database_now()), "The alert belongs here now.",
        title=f"Add an alert to “{i.title}”", submit="Add it", note="It keeps its status and escalation; nobody is paged.",
    )  # fmt: skip


# --- Parents ------------------------------------------------------------------------------------------------------------------
class GroupForm(forms.Form):
    incidents = forms.ModelMultipleChoiceField(Incident.objects.none(), label="Clients' incidents", widget=forms.CheckboxSelectMultiple)  # fmt: skip
    title = forms.CharField(max_length=200, required=False, help_text="Only our staff reads it.")

    def __init__(self, into: Incident | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        rows = Incident.objects.filter(client__isnull=False, resolved_at=None, parent=None).order_by("-pk")[:MOST]
        fields["incidents"].queryset = Incident.objects.filter(pk__in=[r.pk for r in rows]).select_related("client").order_by("client__name", "pk")  # fmt: skip
        fields["incidents"].label_from_instance = lambda c: f"{c.client.name} · {c.title}"
        if into is not None:
            del fields["title"]


@visit.staff_page
def group(request: HttpRequest, pk: int = 0) -> HttpResponse:
    """`/incidents/group/?incidents=4,7` makes a parent; `/incidents/2/group/` adds to one."""
    if not viewer_of(request).may(WRITE, None):
        raise PermissionDenied
    into: Incident | None = visit.found(Incident.objects.for_user(request), pk) if pk else None
    if into is not None and into.client_id is not None:  # from a client's incident: group it with others
        return redirect(f"{reverse('incident_group')}?incidents={into.pk}")
    chosen = [n for n in map(visit.whole, request.GET.get("incidents", "").split(",")) if n]
    form = GroupForm(into, request.POST if request.method == "POST" else None, initial={"incidents": chosen})
    if request.method == "POST" and form.is_valid():
        said, by = form.cleaned_data, Actor.of(request)
        try:
            parent = parents.group(said["incidents"], title=said.get("title", ""), into=into, by=by, at=database_now())
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, "They stand under one parent incident; the clients see nothing of it.")
            return redirect("incident", pk=parent.pk)
    context = {"form": form, "into": into, "proposals": [] if into else parents.proposals()}
    return visit.show(request, "console/incident_group.html", context, status=400 if form.errors else 200)


@visit.staff_page
def ungroup(request: HttpRequest, pk: int) -> HttpResponse:
    """A POST takes a child out of its parent."""
    child = visit.found(Incident.objects.for_user(request), pk)
    if not visit.pressed(request):
        return redirect("incident", pk=pk)
    visit.require(request, WRITE, None)
    return visit.act(
        request, reverse("incident", args=[pk]), "It is on its own again.", lambda: parents.ungroup(child, by=Actor.of(request), at=database_now())
    )  # fmt: skip
