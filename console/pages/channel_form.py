"""Which kind of channel, and with which settings? The kinds to choose from, and the form that a kind's schema makes."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render

from alerts import channel_settings, limits, services
from alerts import channels as kinds
from alerts.models import Attempt, Channel, Delivery
from console import settings_form
from console.pages import visit
from console.pages.alert import ATTEMPTS, TONES
from console.pages.channels import pictures
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client
from portal.tenancy import ADMINISTER, WRITE, viewer_of

# What is told apart when one chooses. A kind that is not named here stands under the last one.
GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Mail and chat", "What a team reads together.", ("email", "slack", "discord", "telegram", "msteams", "google_chat")),
    ("Push", "Rings on phones and screens.", ("pushover", "pushbullet", "onesignal", "pusher_beams", "ntfy", "gotify")),
    ("Phone", "Reaches people without an app; most is paid by the message.", ("twilio_sms", "vonage_sms", "twilio_voice", "twilio_whatsapp")),
    ("On-call systems", "Hand the alert over to what already wakes people.", ("pagerduty", "opsgenie")),
    ("Tickets", "Open a ticket, comment on it, close it.", ("ticket_http", "ticket_jira", "ticket_halopsa", "ticket_connectwise", "ticket_autotask")),
    ("Programs and everything else", "For machines, and for the long tail.", ()),
)  # fmt: skip
LATEST = 5


def grouped(staff: bool) -> list[tuple[str, str, list[dict[str, str]]]]:
    """(group, what it is for, its kinds) of the kinds that this visitor may use."""
    placed = {kind for _, _, named in GROUPS for kind in named}
    last = tuple(kind for kind in kinds.KINDS if kind not in placed)
    found = []
    for title, about, named in GROUPS:
        members = [
            about_kind(k) for k in (named or last) if k in kinds.KINDS and (staff or not kinds.KINDS[k].staff_only)
        ]
        if members:
            found.append((title, about, members))
    return found


def about_kind(kind: str) -> dict[str, str]:
    """What to know before choosing it."""
    cls = kinds.KINDS[kind]
    return {
        "kind": kind,
        "label": cls.label,
        "about": (cls.__doc__ or "").strip().partition("\n")[0],
        "caveat": cls.caveat,
    }


class SettingsForm(forms.Form):
    """The settings of one type, from its schema."""

    def add_settings(self, type_: str, row: Channel | None) -> None:
        """Give the form the type's fields; `lead` are those to show first, `rest` the others."""
        shown = channel_settings.shown(row) if row else {}
        self.stored = frozenset(shown)
        self.schema = kinds.schemas()[type_]
        main = kinds.get(type_).main_field
        kept = frozenset(channel_settings.opened(row)) if row else frozenset()
        added = settings_form.fields_of(self.schema, shown, kept, readable=main)
        self.fields.update(added)
        self.lead = settings_form.leading(self.schema, main)
        self.rest = [name for name in added if name not in self.lead]

    def settings(self) -> dict[str, Any]:
        """What was typed, as the door takes it."""
        return settings_form.typed(self.schema, self.cleaned_data, self.stored)


class ChannelForm(SettingsForm):
    """What all channels share, and the settings of one type."""

    client = forms.ModelChoiceField(
        Client.objects.none(),
        required=False,
        empty_label="Our own staff",
        help_text="Whose it is: a client's channel hears of that client only.",
    )
    name = forms.CharField(max_length=120)
    enabled = forms.BooleanField(required=False, initial=True)
    canary = forms.BooleanField(
        required=False,
        label="Test it every week",
        help_text="One marked message a week. When it fails, you are told another way.",
    )
    group_window_seconds = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=3600,
        label="Gather for (s)",
        help_text="More alerts within this time come as one message. Empty: the usual; 0: never.",
    )
    rate_per_minute = forms.IntegerField(required=False, min_value=1, max_value=600, label="Messages a minute")
    monthly_quota = forms.IntegerField(required=False, min_value=1, max_value=10_000_000, label="Messages a month")
    PLAIN = ("name", "enabled", "canary", "group_window_seconds", "rate_per_minute", "monthly_quota")

    def __init__(self, request: HttpRequest, type_: str, row: Channel | None, data: QueryDict | None) -> None:
        kind = kinds.get(type_)
        initial = {name: getattr(row, name) for name in self.PLAIN} if row else {"name": kind.label}
        super().__init__(data, initial=initial)
        fields: Any = self.fields
        fields["client"].queryset = visit.clients_for(request, WRITE)
        if row or kind.staff_only:
            del fields["client"]
        elif not viewer_of(request).msp_role:
            fields["client"].required, fields["client"].empty_label = True, None
        self.add_settings(type_, row)
        self.limits = ["group_window_seconds"]
        if kind.people:
            usual = f"{kind.per_minute:,}" if kind.per_minute else "as the gathering time allows"
            fields["rate_per_minute"].help_text = f"More are gathered into one. Empty: {usual}."
            usual = f"{kind.per_month:,}" if kind.per_month else "not counted"
            fields["monthly_quota"].help_text = f"Warned of at 80 %; above it, one message an hour. Empty: {usual}."
            self.limits += ["rate_per_minute", "monthly_quota"]
        else:
            del fields["rate_per_minute"], fields["monthly_quota"]
        self.first = [n for n in ("client", "name", *self.lead, "enabled", "canary") if n in fields]
        self.order_fields([*self.first, *self.rest, *self.limits])

    def sections(self) -> list[tuple[str, list[forms.BoundField], bool]]:
        """What matters first, the rest behind a click."""
        rest, bounds = [self[n] for n in self.rest], [self[n] for n in self.limits]
        set_ = any(self.initial.get(n) is not None for n in self.limits)
        return [
            ("", [self[n] for n in self.first], False),
            ("More settings", rest, not any(f.errors for f in rest)),
            ("How much at once", bounds, not set_ and not any(f.errors for f in bounds)),
        ]


def field_named(type_: str, name: str) -> str:
    """The form's field of a complaint."""
    if name == "url":
        return settings_form.PREFIX + kinds.get(type_).main_field
    return settings_form.PREFIX + name.split(".")[1] if name.startswith("config.") else name


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/channels/add/`: the kinds to choose from; with `?type=slack` the form of one."""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    wish, staff = (
        (request.POST if request.method == "POST" else request.GET).get("type", ""),
        bool(viewer_of(request).msp_role),
    )
    if wish in kinds.KINDS and (staff or not kinds.KINDS[wish].staff_only):
        return worked(request, wish, None)
    return render(request, "console/channel_kinds.html", {"groups": grouped(staff), "to": "?type="})


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/channels/3/`: how it is, and its settings."""
    row = visit.found(Channel.objects.for_user(request).select_related("client", "contact"), pk)
    visit.require(request, WRITE, row)
    if row.type not in kinds.KINDS:
        messages.error(request, f"Channels of type {row.type} are not known any more; delete it.")
        return redirect("channels")
    return worked(request, row.type, row)


def worked(request: HttpRequest, type_: str, row: Channel | None) -> HttpResponse:
    """Show the form, or save it."""
    form = ChannelForm(request, type_, row, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        values = form.cleaned_data
        given: dict[str, Any] = {name: values[name] for name in form.PLAIN if name in values}
        if row is None:
            client = values.get("client")
            visit.require(request, WRITE, client.pk if client else None)
            given |= {"client": client, "type": type_}
        try:
            saved = services.save_channel(row, by=Actor.of(request), settings=form.settings(), **given)
        except ValidationError as error:
            visit.spread_errors(form, error, lambda name: field_named(type_, name))
        else:
            messages.success(request, f"{saved.name} was saved. {what_next(request, saved)}")
            return redirect("channel_edit", pk=saved.pk)
    cls = kinds.get(type_)
    context = {
        "form": form,
        "row": row,
        "type": type_,
        "label": cls.label,
        "caveat": cls.caveat,
        "about": about_kind(type_)["about"],
    }
    if row is not None:
        context |= known_of(request, row)
    return render(request, "console/channel_form.html", context, status=400 if form.errors else 200)


def what_next(request: HttpRequest, saved: Channel) -> str:
    """Who names it already? A new one is silent."""
    return "Test it." if seen(request, saved)["named"]["silent"] is False else (
        "It stays silent until a trigger names it. Test it, then add it to a trigger."
    )  # fmt: skip


def seen(request: HttpRequest, row: Channel) -> dict[str, Any]:
    """The channel as the list shows it."""
    return pictures(Channel.objects.filter(pk=row.pk), viewer_of(request), database_now())[0]


def known_of(request: HttpRequest, row: Channel) -> dict[str, Any]:
    """Its health, and its latest messages with the answers."""
    rows = Delivery.objects.for_user(request).filter(channel=row).select_related("notice", "alert").order_by("-pk")
    latest = rows.prefetch_related(Prefetch("attempts", Attempt.objects.order_by("n")))[:LATEST]
    return {
        "r": seen(request, row),
        "rate": limits.per_minute(row),
        "accounts": viewer_of(request).may(ADMINISTER, None),
        "latest": [
            {
                "delivery": d,
                "tone": TONES.get(d.state, "unknown"),
                "attempts": [(t, ATTEMPTS.get(t.outcome, t.outcome)) for t in d.attempts.all()],
            }
            for d in latest
        ],
    }
