"""How is it said? Our own words for a client's or a channel's messages, tried on an alert before anybody reads them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from alerts import phrasing, trying
from alerts.models import Alert, Channel, MessageTemplate
from console.pages import visit
from console.pages.channels import asked
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client
from portal.tenancy import WRITE, Viewer, viewer_of

RECENT = 20
PLAIN = ("name", "types", "title", "text", "enabled")


@visit.page
def template_list(request: HttpRequest) -> HttpResponse:
    """`/message-templates/`"""
    viewer = viewer_of(request)
    rows = MessageTemplate.objects.for_user(viewer).select_related("client", "channel").order_by("name", "pk")
    listed = visit.paged(request, rows, "name", "client__name")
    shown = [{"template": t, "may": viewer.may(WRITE, t.client_id)} for t in listed["page"].object_list]
    context = {"rows": shown, "may_add": visit.may_any(request, WRITE)}
    return visit.show(request, "console/message_templates.html", context | listed)


class TemplateForm(forms.Form):
    """Whose messages, and how they are said."""

    client = forms.ModelChoiceField(
        Client.objects.none(), required=False, empty_label="All clients", help_text="Messages about this client."
    )
    channel = forms.ModelChoiceField(
        Channel.objects.none(),
        required=False,
        empty_label="All channels",
        help_text="Messages to this channel. A channel's wording comes before a client's.",
    )
    name = forms.CharField(max_length=120, help_text="What you call this wording.")
    types = forms.CharField(
        required=False, max_length=300, help_text="As monitor.down, monitor.recovery, certificate. Empty: all."
    )
    title = forms.CharField(
        required=False,
        max_length=phrasing.LONGEST["title"],
        help_text="Stands where “client · monitor” is. Empty: as it is.",
        widget=forms.TextInput(attrs={"placeholder": "{{client}}: {{monitor}} is {{word}}"}),
    )
    text = forms.CharField(
        required=False,
        max_length=phrasing.LONGEST["text"],
        label="First line",
        help_text="Under the title. Empty: the cause, as it is.",
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "{{cause}}, since {{since}}"}),
    )
    enabled = forms.BooleanField(required=False, initial=True)
    alert = forms.TypedChoiceField(required=False, coerce=int, empty_value=None, label="Try it on")

    def __init__(self, request: HttpRequest, row: MessageTemplate | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        viewer, fields = viewer_of(request), self.fields
        choices: Any = fields
        choices["client"].queryset = visit.clients_for(request, WRITE)
        channels = Channel.objects.for_user(viewer).select_related("client").order_by("client__name", "name", "pk")
        if row is not None:
            del fields["client"]
            if row.client_id is not None:
                channels = channels.filter(Q(client=row.client_id) | Q(client=None))
        elif not viewer.msp_role:
            choices["client"].required, choices["client"].empty_label = True, None
        choices["channel"].queryset = channels
        choices["channel"].label_from_instance = lambda c: f"{c.name} ({c.client.name})" if c.client_id else c.name
        recent = Alert.objects.for_user(viewer).select_related("client").order_by("-pk")[:RECENT]
        choices["alert"].choices = [
            ("", "A sample"),
            *((a.pk, f"{a.client.name}: {a.title}"[:90] if a.client else a.title[:90]) for a in recent),
        ]

    def written(self) -> list[forms.BoundField]:
        """All but the choice of what it is tried on."""
        return [self[name] for name in self.fields if name != "alert"]


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/message-templates/add/`"""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    return _worked(request, None)


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/message-templates/3/`"""
    row = visit.found(MessageTemplate.objects.for_user(request).select_related("client", "channel"), pk)
    visit.require(request, WRITE, row)
    return _worked(request, row)


def _worked(request: HttpRequest, row: MessageTemplate | None) -> HttpResponse:
    """Show the form, try it without storing anything, or save it."""
    initial = {n: getattr(row, n) for n in PLAIN} | {"channel": row.channel_id} if row else {"name": ""}
    form = TemplateForm(request, row, request.POST if request.method == "POST" else None, initial=initial)
    wish = request.method == "POST" and "preview" in request.POST
    if wish:
        for name in ("name", "client"):  # not needed to try it
            if name in form.fields:
                form.fields[name].required = False
    trial = None
    if form.is_bound and form.is_valid():
        if wish:
            trial = _tried(form, viewer_of(request))
        else:
            try:
                return _saved(request, row, form.cleaned_data)
            except ValidationError as error:
                visit.spread_errors(form, error)
    if trial is None and not form.is_bound:
        trial = trying.tried(row or MessageTemplate(), None, database_now())
    sample = trial.values if trial else {}
    names = [(f"{{{{{name}}}}}", about, sample.get(name, "")) for name, about in phrasing.NAMES.items()]
    context = {"form": form, "row": row, "trial": trial, "names": names, "cancel_url": reverse("message_templates")}
    fragment = "preview" if wish and getattr(request, "htmx", None) else ""
    failed = bool(form.errors) and not fragment
    return visit.show(request, "console/message_template.html", context, fragment, status=400 if failed else 200)


def _tried(form: TemplateForm, viewer: Viewer) -> trying.Trial | None:
    """What it would say; None when it names something that does not exist, which then stands at the field."""
    for field in ("title", "text"):
        complaint = trying.unknown(form.cleaned_data[field])
        if complaint:
            form.add_error(field, complaint)
            return None
    words = {name: form.cleaned_data[name] for name in ("title", "text", "types")}
    wanted = form.cleaned_data["alert"]
    alert = Alert.objects.for_user(viewer).filter(pk=wanted).first() if wanted else None
    return trying.tried(MessageTemplate(**words), alert, database_now())


def _saved(request: HttpRequest, row: MessageTemplate | None, given: dict[str, Any]) -> HttpResponse:
    values = {name: given[name] for name in (*PLAIN, "channel", *(() if row else ("client",)))}
    if row is None:
        visit.require(request, WRITE, values["client"].pk if values["client"] else None)
    made = phrasing.save_template(row, by=Actor.of(request), **values)
    messages.success(request, f"{made.name} was saved. Messages use it from now on.")
    return redirect("message_templates")


@visit.page
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """`/message-templates/3/delete/`"""
    row = visit.found(MessageTemplate.objects.for_user(request), pk)
    visit.require(request, WRITE, row)
    body = f"Messages say again what they would without {row.name}. To keep it for later, switch it off instead."
    return asked(
        request, "Delete this wording?", body, reverse("message_templates"), f"{row.name} was deleted.",
        lambda: phrasing.delete_template(row, by=Actor.of(request)),
    )  # fmt: skip
