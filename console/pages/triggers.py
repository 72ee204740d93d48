"""Which alerts go where? Triggers in words, how many alerts of the last week each would have told, and their form."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from alerts import facts, filters, matching, services
from alerts.models import Channel, Trigger
from console.pages import trash, visit
from console.pages.channels import asked
from console.pages.overview import shape_of, word_of
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client, Contact, ContactGroup
from portal.tenancy import WRITE, Viewer, viewer_of

PICKS = {"class": "picks"}  # long lists scroll by themselves
DAYS = (("0", "Mon"), ("1", "Tue"), ("2", "Wed"), ("3", "Thu"), ("4", "Fri"), ("5", "Sat"), ("6", "Sun"))


@visit.page
def trigger_list(request: HttpRequest) -> HttpResponse:
    """`/triggers/`"""
    viewer = viewer_of(request)
    rows = Trigger.objects.for_user(viewer).select_related("client").order_by("client__name", "name")
    listed = visit.paged(
        request, rows.prefetch_related("channels", "contacts", "groups__contacts"), "name", "client__name"
    )
    seen = matching.recent(viewer, database_now())
    shown = [
        {
            "trigger": t,
            "which": which(t),
            "to": goes_to(t, viewer),
            "matched": len(seen.wanted_by(facts.rule(t, {}))),
            "may": viewer.may(WRITE, t.client_id),
        }
        for t in listed["page"].object_list
    ]
    context = {"rows": shown, "alerts": len(seen.alerts), "cut": seen.cut, "may_add": visit.may_any(request, WRITE)}
    return visit.show(request, "console/triggers.html", context | listed)


def goes_to(t: Trigger, viewer: Viewer) -> list[dict[str, str]]:
    """Whom it tells, each with their page where the visitor may open it."""
    found = [
        *((c, "channel_edit", viewer.may(WRITE, c.client_id)) for c in t.channels.all()),
        *((c, "contact", viewer.sees(c.client_id)) for c in t.contacts.all()),
        *((g, "contact_group", viewer.may(WRITE, g.client_id)) for g in t.groups.all()),
    ]
    return [{"name": str(row), "url": reverse(page, args=[row.pk]) if may else ""} for row, page, may in found]


def which(t: Trigger) -> list[str]:
    """Its filters in words; none is every alert."""
    said = [
        f"{word} {value.replace(',', ' or ')}"
        for word, value in (
            ("severity", t.filter_severities),
            ("source", t.filter_sources),
            ("in", t.filter_scopes),
            ("tagged", t.filter_tags),
        )
        if value
    ]
    if t.from_time and t.until_time:
        said.append(f"{t.from_time:%H:%M}–{t.until_time:%H:%M} {t.timezone}")
    if t.weekdays:
        said.append(" ".join(dict(DAYS).get(d, d) for d in t.weekdays.split(",")))
    return said


class TriggerForm(forms.Form):
    """Which alerts, to whom, when."""

    client = forms.ModelChoiceField(
        Client.objects.none(), required=False, empty_label="All clients", help_text="Set: only alerts of this client."
    )
    name = forms.CharField(max_length=120)
    filter_severities = forms.MultipleChoiceField(
        choices=[(s, s.capitalize()) for s in filters.SEVERITIES],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Severities",
        help_text="None ticked: all.",
    )
    channels = forms.ModelMultipleChoiceField(
        Channel.objects.none(), required=False, widget=forms.CheckboxSelectMultiple(attrs=PICKS)
    )
    contacts = forms.ModelMultipleChoiceField(
        Contact.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple(attrs=PICKS),
        help_text="Told by their own ways and rules.",
    )
    groups = forms.ModelMultipleChoiceField(
        ContactGroup.objects.none(), required=False, widget=forms.CheckboxSelectMultiple(attrs=PICKS)
    )
    reminder_minutes = forms.IntegerField(
        required=False,
        min_value=services.SHORTEST_REMINDER,
        max_value=services.LONGEST_REMINDER,
        label="Remind every (min)",
        help_text="Say it again while nobody has acknowledged. Empty: once.",
    )
    verdict_wait_seconds = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=services.LONGEST_VERDICT_WAIT,
        initial=8,
        label="Wait for the cause (s)",
        help_text="How long the first message may wait for the probable cause, from the first failing check. 0: not at all. Empty: 8.",
    )
    notify_on_resolve = forms.BooleanField(required=False, initial=True, label="Also tell when it has recovered")
    enabled = forms.BooleanField(required=False, initial=True)
    filter_sources = forms.MultipleChoiceField(
        choices=[(s, s.capitalize()) for s in filters.SOURCES],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Sources",
        help_text="None ticked: all.",
    )
    filter_tags = forms.CharField(
        required=False,
        max_length=1000,
        label="Tags",
        help_text="Of the monitor, its site or its client; separated by commas, one is enough.",
    )
    filter_scopes = forms.CharField(
        required=False,
        max_length=1000,
        label="Scopes",
        help_text="endpoint:7, client:3, site:2, service:5 …; separated by commas.",
    )
    weekdays = forms.MultipleChoiceField(
        choices=DAYS, required=False, widget=forms.CheckboxSelectMultiple, help_text="None ticked: every day."
    )
    from_time = forms.TimeField(required=False, label="From", widget=forms.TimeInput(attrs={"type": "time"}))
    until_time = forms.TimeField(required=False, label="Until", widget=forms.TimeInput(attrs={"type": "time"}))
    timezone = forms.CharField(max_length=64, initial="UTC", label="Time zone")
    FIRST = (
        "client", "name", "filter_severities", "channels", "contacts", "groups", "reminder_minutes", "verdict_wait_seconds", "notify_on_resolve", "enabled",
    )  # fmt: skip

    def __init__(self, request: HttpRequest, row: Trigger | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        viewer, fields = viewer_of(request), self.fields
        choices: Any = fields
        choices["client"].queryset = visit.clients_for(request, WRITE)
        if row:
            del fields["client"]
        elif not viewer.msp_role:
            choices["client"].required, choices["client"].empty_label = True, None
        for name, model in (("channels", Channel), ("contacts", Contact), ("groups", ContactGroup)):
            rows = model.objects.for_user(viewer)
            rows = rows.filter(client=row.client) if row and row.client_id else rows
            if not rows.exists():
                del fields[name]
                continue
            choices[name].queryset = rows.select_related("client").order_by("client__name", "name")
            choices[name].label_from_instance = lambda r: f"{r.name} ({r.client.name})" if r.client_id else r.name

    def sections(self) -> list[tuple[str, list[forms.BoundField], bool]]:
        """What matters first, the rest behind a click."""
        rest = [self[n] for n in self.fields if n not in self.FIRST]
        used = any(
            self.initial.get(n) for n in ("filter_sources", "filter_tags", "filter_scopes", "weekdays", "from_time")
        )
        return [
            ("", [self[n] for n in self.FIRST if n in self.fields], False),
            ("More filters and hours", rest, not used and not any(f.errors for f in rest)),
        ]

    def values(self) -> dict[str, Any]:
        """As the service takes them: filters as comma-separated text."""
        texts = ("filter_severities", "filter_sources", "weekdays")
        values = {**self.cleaned_data, **{name: ",".join(self.cleaned_data[name]) for name in texts}}
        if values["verdict_wait_seconds"] is None:
            values["verdict_wait_seconds"] = Trigger._meta.get_field("verdict_wait_seconds").default
        return values


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/triggers/add/`"""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    return worked(request, None)


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/triggers/2/`"""
    row = visit.found(Trigger.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, row)
    return worked(request, row)


def worked(request: HttpRequest, row: Trigger | None) -> HttpResponse:
    """Show the form, or save it."""
    initial: dict[str, Any] = {}
    if row:
        initial = {
            name: getattr(row, name)
            for name in (
                "name",
                "filter_tags",
                "filter_scopes",
                "from_time",
                "until_time",
                "timezone",
                "enabled",
                "notify_on_resolve",
                "reminder_minutes",
                "verdict_wait_seconds",
            )
        }
        initial |= {
            name: [w for w in getattr(row, name).split(",") if w]
            for name in ("filter_severities", "filter_sources", "weekdays")
        }
        initial |= {
            name: list(getattr(row, name).values_list("pk", flat=True)) for name in ("channels", "contacts", "groups")
        }
    form = TriggerForm(request, row, request.POST if request.method == "POST" else None, initial=initial)
    wish = request.method == "POST" and "preview" in request.POST
    preview = None
    if wish:
        form.fields["name"].required = False  # not needed to try it
    if form.is_bound and form.is_valid():
        values = form.values()
        try:
            if not wish:
                return saved(request, row, values)
            preview = tried(request, row, values)
        except ValidationError as error:
            visit.spread_errors(form, error, lambda name: FIELDS.get(name, name))
    if preview is None and row is not None and not form.is_bound:
        preview = tried(request, row, {})
    context = {
        "form": form, "row": row, "which": which(row) if row else [], "cancel_url": reverse("triggers"), "preview": preview,
        "days": matching.WEEK.days, "most": matching.MOST,
    }  # fmt: skip
    fragment = "preview" if wish and getattr(request, "htmx", None) else ""
    failed = bool(form.errors) and not fragment
    return visit.show(request, "console/trigger_form.html", context, fragment, status=400 if failed else 200)


FIELDS = {"channel_ids": "channels", "contact_ids": "contacts", "group_ids": "groups"}


def tried(request: HttpRequest, row: Trigger | None, values: dict[str, Any]) -> dict[str, Any]:
    """Which alerts of the last week a trigger with these values would have wanted. Nothing is stored."""
    rule = matching.trial(values, row)
    seen = matching.recent(viewer_of(request), database_now())
    wanted = seen.wanted_by(rule)
    return {
        "matched": len(wanted), "all": len(seen.alerts), "cut": seen.cut, "more": max(0, len(wanted) - matching.SHOWN),
        "alerts": [{"alert": a, "state": shape_of(a), "word": "Resolved" if a.is_resolved else word_of(a)} for a in wanted[: matching.SHOWN]],
    }  # fmt: skip


def saved(request: HttpRequest, row: Trigger | None, values: dict[str, Any]) -> HttpResponse:
    """Save it, and back to the list."""
    if row is None:
        visit.require(request, WRITE, values["client"].pk if values["client"] else None)
    made = services.save_trigger(row, by=Actor.of(request), **values)
    messages.success(request, f"{made.name} was saved.")
    return redirect("triggers")


@visit.page
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """`/triggers/2/delete/`"""
    row = visit.found(Trigger.objects.for_user(request), pk)
    visit.require(request, WRITE, row)
    body = f"{row.name} tells nobody any more. Alerts that only it would have told reach nobody. It waits in the trash for 30 days and can be put back. To keep it for longer, switch it off instead."
    return asked(
        request,
        "Delete this trigger?",
        body,
        reverse("triggers"),
        f"{row.name} was deleted.",
        lambda: trash.deleted(row, lambda: services.delete_trigger(row, by=Actor.of(request))),
    )
