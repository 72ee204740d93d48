"""How is a person reached? One way: by which channel, for what, after how long, and when not.

A new way names a channel that exists, or makes one of their own right there, of any kind.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse

from alerts import channels as kinds
from alerts import services
from alerts.models import Channel, ContactChannel
from console import settings_form
from console.pages import visit
from console.pages.channel_form import SettingsForm, about_kind, field_named, grouped
from console.pages.channels import asked, where
from portal.audit import Actor
from portal.models import Contact
from portal.tenancy import WRITE

CLOCK = {"type": "time"}
TIMES = ("urgency", "delay_minutes", "quiet_from", "quiet_until", "quiet_urgency")


class WayForm(SettingsForm):
    """For which alerts, after how long, and when not."""

    urgency = forms.ChoiceField(choices=ContactChannel.Urgency.choices, label="For")
    delay_minutes = forms.IntegerField(
        min_value=0,
        max_value=1440,
        initial=0,
        label="After (min)",
        help_text="0: at once. Nothing goes out when somebody has acknowledged by then.",
    )
    quiet_from = forms.TimeField(
        required=False, label="Quiet from", widget=forms.TimeInput(attrs=CLOCK, format="%H:%M")
    )
    quiet_until = forms.TimeField(
        required=False, label="Quiet until", widget=forms.TimeInput(attrs=CLOCK, format="%H:%M")
    )
    quiet_urgency = forms.ChoiceField(
        choices=ContactChannel.Quiet.choices, label="In quiet hours", help_text="What waits goes out when they end."
    )  # fmt: skip

    def __init__(self, contact: Contact, kind: str, row: ContactChannel | None, data: QueryDict | None) -> None:
        initial = {name: getattr(row, name) for name in TIMES} if row else prefilled(contact, kind)
        super().__init__(data, initial=initial)
        self.fields["quiet_from"].help_text = f"Their own clock: {contact.timezone}. Both ends or neither."
        self.lead, self.rest = [], []
        if kind:
            self.add_settings(kind, None)
            main = settings_form.PREFIX + kinds.get(kind).main_field
            named = [*self.lead, *self.rest]
            self.lead = [n for n in named if n == main or self.fields[n].required]
            self.rest = [n for n in named if n not in self.lead]
        self.order_fields([*self.lead, *TIMES, *self.rest])

    def sections(self) -> list[tuple[str, list[forms.BoundField], bool]]:
        """What matters first, the rest behind a click."""
        rest = [self[n] for n in self.rest]
        return [
            ("", [self[n] for n in (*self.lead, *TIMES)], False),
            ("More settings", rest, not any(f.errors for f in rest)),
        ]

    def values(self) -> dict[str, Any]:
        """As the door takes them."""
        return {name: self.cleaned_data[name] for name in TIMES}


def prefilled(contact: Contact, kind: str) -> dict[str, Any]:
    """What is known of the person already: their address for mail, their number for the phone."""
    if not kind:
        return {}
    main = kinds.get(kind).main_field
    known = {"email": contact.email}.get(kind) or (contact.phone if main == "to" and kind != "email" else "")
    return {settings_form.PREFIX + main: known} if known else {}


@visit.page
def add(request: HttpRequest, pk: int) -> HttpResponse:
    """`/contacts/3/ways/add/?type=telegram` or `?channel=5`; without either, what there is to choose from."""
    contact = visit.found(Contact.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, contact)
    wish = request.POST if request.method == "POST" else request.GET
    kind, channel = wish.get("type", ""), None
    if wish.get("channel"):
        channel = visit.found(free(request, contact), visit.whole(wish["channel"]) or 0)
        kind = ""
    staff = contact.client_id is None
    if channel is None and (kind not in kinds.KINDS or kinds.KINDS[kind].staff_only):
        context = {
            "groups": [(t, a, [k for k in m if not kinds.KINDS[k["kind"]].staff_only]) for t, a, m in grouped(staff)],
            "to": "?type=", "contact": contact, "shared": [(c, where(c)) for c in free(request, contact)[:100]],
        }  # fmt: skip
        return render(request, "console/contact_way_kinds.html", context)
    form = WayForm(contact, kind, None, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        way = {"channel": channel} if channel is not None else {"type": kind, "settings": form.settings()}
        try:
            services.add_way(contact, by=Actor.of(request), **way, **form.values())
        except ValidationError as error:
            visit.spread_errors(form, error, lambda name: field_named(kind, name) if kind else name)
        else:
            messages.success(request, f"{contact.name} has one more way. Test it.")
            return redirect("contact", pk=contact.pk)
    label = channel.name if channel is not None else kinds.get(kind).label
    context = {
        "form": form, "contact": contact, "label": label, "about": about_kind(kind) if kind else None,
        "hidden": ("channel", channel.pk) if channel is not None else ("type", kind), "cancel_url": reverse("contact", args=[contact.pk]),
    }  # fmt: skip
    return render(request, "console/contact_way.html", context, status=400 if form.errors else 200)


def free(request: HttpRequest, contact: Contact) -> Any:
    """Shared channels of the contact's own client that they do not have yet, and that the visitor sees."""
    rows = Channel.objects.for_user(request).filter(client=contact.client_id, contact=None)
    return rows.exclude(reaches__contact=contact).order_by("name")


def _found(request: HttpRequest, pk: int, way: int) -> ContactChannel:
    rows = ContactChannel.objects.for_user(request).filter(contact=pk).select_related("contact__client", "channel")
    row: ContactChannel = visit.found(rows, way)
    visit.require(request, WRITE, row.contact)
    return row


@visit.page
def edit(request: HttpRequest, pk: int, way: int) -> HttpResponse:
    """`/contacts/3/ways/7/`"""
    row = _found(request, pk, way)
    form = WayForm(row.contact, "", row, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            services.change_way(row, by=Actor.of(request), **form.values())
        except ValidationError as error:
            visit.spread_errors(form, error)
        else:
            messages.success(request, f"{row.channel.name} was saved.")
            return redirect("contact", pk=pk)
    context = {
        "form": form,
        "contact": row.contact,
        "row": row,
        "label": row.channel.name,
        "cancel_url": reverse("contact", args=[pk]),
    }
    return render(request, "console/contact_way.html", context, status=400 if form.errors else 200)


@visit.page
def remove(request: HttpRequest, pk: int, way: int) -> HttpResponse:
    """`/contacts/3/ways/7/remove/`"""
    row = _found(request, pk, way)
    body = f"{row.contact.name} is not told by {row.channel.name} any more."
    if row.channel.contact_id == pk:
        body += " The channel is theirs alone: it goes too, or is switched off when it has a record to keep."
    return asked(
        request, "Remove this way?", body, reverse("contact", args=[pk]), f"{row.contact.name} is not told by {row.channel.name} any more.",
        lambda: services.remove_way(row, by=Actor.of(request)),
    )  # fmt: skip
