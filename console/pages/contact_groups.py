"""Which people belong together? Groups of contacts, who is in them, and what names them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from console.pages import visit
from console.pages.channels import asked
from portal import services
from portal.audit import Actor
from portal.models import Client, Contact, ContactGroup
from portal.tenancy import WRITE, Viewer, viewer_of


@visit.page
def group_list(request: HttpRequest) -> HttpResponse:
    """`/contact-groups/`"""
    viewer = viewer_of(request)
    rows = ContactGroup.objects.for_user(viewer).select_related("client")
    rows = rows.prefetch_related("contacts", "triggers", "levels__policy").order_by("client__name", "name")
    listed = visit.paged(request, rows, "name", "client__name")
    found = listed["page"].object_list
    shown = [{"group": g, "named": named_by(g, viewer), "may": viewer.may(WRITE, g.client_id)} for g in found]
    context = {"rows": shown, "may_add": visit.may_any(request, WRITE)}
    return visit.show(request, "console/contact_groups.html", context | listed)


def named_by(g: ContactGroup, viewer: Viewer) -> dict[str, Any]:
    """The triggers and escalation levels that name it; what the visitor may not read is only counted."""
    triggers: list[Any] = list(g.triggers.all())
    levels: list[Any] = list(g.levels.all())
    seen = {
        "triggers": [t for t in triggers if viewer.sees(t.client_id)],
        "levels": [x for x in levels if viewer.sees(x.policy.client_id)],
    }
    speaks = any(t.enabled for t in triggers) or any(x.policy.active for x in levels)
    return {**seen, "hidden": len(triggers) + len(levels) - sum(map(len, seen.values())), "silent": not speaks}


class GroupForm(forms.Form):
    """Its name, and who is in it."""

    client = forms.ModelChoiceField(
        Client.objects.none(),
        required=False,
        empty_label="Our own staff",
        help_text="A client's group holds that client's people only.",
    )
    name = forms.CharField(max_length=120)
    contacts = forms.ModelMultipleChoiceField(
        Contact.objects.none(), required=False, widget=forms.CheckboxSelectMultiple, label="People"
    )

    def __init__(self, request: HttpRequest, row: ContactGroup | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["client"].queryset = visit.clients_for(request, WRITE)
        people = Contact.objects.for_user(request).select_related("client").order_by("client__name", "name", "pk")
        if row is not None:
            del fields["client"]
            people = people.filter(client=row.client_id) if row.client_id is not None else people
        elif not viewer_of(request).msp_role:
            fields["client"].required, fields["client"].empty_label = True, None
        fields["contacts"].queryset = people
        fields["contacts"].label_from_instance = lambda c: f"{c.name} ({c.client.name})" if c.client_id else c.name


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/contact-groups/add/`"""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    return _worked(request, None)


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/contact-groups/3/`"""
    row = visit.found(ContactGroup.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, row)
    return _worked(request, row)


def _worked(request: HttpRequest, row: ContactGroup | None) -> HttpResponse:
    """Show the form, or save it."""
    initial = {"name": row.name, "contacts": list(row.contacts.values_list("pk", flat=True))} if row else {}
    form = GroupForm(request, row, request.POST if request.method == "POST" else None, initial=initial)
    if form.is_bound and form.is_valid():
        values: dict[str, Any] = form.cleaned_data
        if row is None:
            visit.require(request, WRITE, values["client"].pk if values["client"] else None)
        try:
            if row is None:
                row = services.create(ContactGroup, by=Actor.of(request), **values)
            else:
                services.change(row, by=Actor.of(request), **values)
        except ValidationError as error:
            visit.spread_errors(form, error, lambda name: "contacts" if name == "contact_ids" else name)
        else:
            messages.success(request, f"{values['name']} was saved.")
            return redirect("contact_groups")
    context = {
        "form": form,
        "row": row,
        "whose": f"{row.client.name}’s" if row and row.client else "Our own staff’s" if row else "",
        "cancel_url": reverse("contact_groups"),
    }
    return render(request, "console/contact_group.html", context, status=400 if form.errors else 200)


@visit.page
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """`/contact-groups/3/delete/`"""
    row = visit.found(ContactGroup.objects.for_user(request), pk)
    visit.require(request, WRITE, row)
    named = named_by(row, viewer_of(request))
    body = f"The people of {row.name} stay. What names only the group tells nobody any more."
    names = [*(t.name for t in named["triggers"]), *(str(x) for x in named["levels"])][:20]
    body += f" It is named by: {', '.join(names)}." if names else ""
    return asked(
        request, "Delete this group?", body, reverse("contact_groups"), f"{row.name} was deleted.",
        lambda: services.delete(row, by=Actor.of(request)),
    )  # fmt: skip
