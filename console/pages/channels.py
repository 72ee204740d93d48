"""Where can messages go, and does each place still work? Channels with their health, a test button, and their form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse

from alerts import acts, channel_settings, sender, services
from alerts import channels as kinds
from alerts.models import Channel
from alerts.opening import open_channel
from console import settings_form
from console.pages import visit
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client, ProviderSettings
from portal.tenancy import WRITE, viewer_of


@visit.page
def channel_list(request: HttpRequest) -> HttpResponse:
    """`/channels/`"""
    viewer = viewer_of(request)
    providers = {p.provider: p.values() for p in ProviderSettings.objects.all()}
    rows = (
        Channel.objects.for_user(viewer)
        .select_related("client", "contact")
        .prefetch_related("triggers", "reaches__contact")
        .order_by("client__name", "name", "pk")[:500]
    )
    problems = {c.pk: problem(c, providers) for c in rows if c.enabled}
    common = {why for why, n in Counter(problems.values()).items() if why and n > 1}
    shown = [
        {
            "channel": c, "label": kinds.KINDS[c.type].label if c.type in kinds.KINDS else c.type, "where": where(c), "problem": problems.get(c.pk, ""), "said_above": problems.get(c.pk) in common,
            "triggers": [t for t in c.triggers.all() if t.enabled], "people": [way.contact for way in c.reaches.all()], "may": viewer.may(WRITE, c.client_id),
        }
        for c in rows
    ]  # fmt: skip
    return visit.show(
        request,
        "console/channels.html",
        {"rows": shown, "common": sorted(common), "may_add": visit.may_any(request, WRITE), "types": kinds.choices()},
    )


def where(row: Channel) -> str:
    """Where it goes, as a person may read it."""
    try:
        return channel_settings.main(row)
    except ValueError:
        return ""


def problem(row: Channel, providers: dict[str, Any]) -> str:
    """Why it cannot send now, with the cure; "" when it can."""
    try:
        return open_channel(row, providers).ready()
    except Exception as error:  # settings of another time, or a secret that no key opens: the list must still show it
        return f"Its settings do not open ({type(error).__name__}): enter them again."


class ChannelForm(forms.Form):
    """What all channels share, and the settings of one type from its schema."""

    client = forms.ModelChoiceField(
        Client.objects.none(),
        required=False,
        empty_label="Our own staff",
        help_text="Whose it is: a client's channel hears of that client only.",
    )
    name = forms.CharField(max_length=120)
    enabled = forms.BooleanField(required=False, initial=True)
    group_window_seconds = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=3600,
        label="Gather for (s)",
        help_text="More alerts within this time come as one message. Empty: the usual; 0: never.",
    )

    def __init__(self, request: HttpRequest, type_: str, row: Channel | None, data: QueryDict | None) -> None:
        shown = channel_settings.shown(row) if row else {}
        initial = (
            {"name": row.name, "enabled": row.enabled, "group_window_seconds": row.group_window_seconds}
            if row
            else {"name": kinds.get(type_).label}
        )
        super().__init__(data, initial=initial)
        fields: Any = self.fields
        fields["client"].queryset = visit.clients_for(request, WRITE)
        if row:
            del fields["client"]
        elif not viewer_of(request).msp_role:
            fields["client"].required, fields["client"].empty_label = True, None
        self.schema = kinds.schemas()[type_]
        main = kinds.get(type_).main_field
        added = settings_form.fields_of(
            self.schema, shown, frozenset(channel_settings.opened(row)) if row else frozenset(), readable=main
        )
        first = settings_form.leading(self.schema, main)
        fields.update(added)
        self.order_fields(
            ["client", "name", *first, *[n for n in added if n not in first], "enabled", "group_window_seconds"]
        )
        self.first = [n for n in ("client", "name", *first) if n in fields] + ["enabled"]

    def sections(self) -> list[tuple[str, list[forms.BoundField], bool]]:
        """What matters first, the rest behind a click."""
        rest = [self[n] for n in self.fields if n not in self.first]
        return [("", [self[n] for n in self.first], False), ("More settings", rest, not any(f.errors for f in rest))]


def field_named(name: str) -> str:
    """The form's field of a complaint."""
    return settings_form.PREFIX + name.split(".")[1] if name.startswith("config.") else name


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/channels/add/?type=slack`"""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    wish = (request.POST if request.method == "POST" else request.GET).get("type", "email")
    return worked(request, wish if wish in kinds.KINDS else "email", None)


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/channels/3/`"""
    row = visit.found(Channel.objects.for_user(request).select_related("client"), pk)
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
        given: dict[str, Any] = {name: values[name] for name in ("name", "enabled", "group_window_seconds")}
        if row is None:
            client = values.get("client")
            visit.require(request, WRITE, client.pk if client else None)
            given |= {"client": client, "type": type_}
        try:
            saved = services.save_channel(
                row, by=Actor.of(request), settings=settings_form.typed(form.schema, values), **given
            )
        except ValidationError as error:
            visit.spread_errors(
                form,
                error,
                lambda name: settings_form.PREFIX + kinds.get(type_).main_field if name == "url" else field_named(name),
            )
        else:
            named = saved.triggers.exists()
            messages.success(
                request,
                f"{saved.name} was saved. "
                + (
                    "Test it."
                    if named
                    else "It stays silent until a trigger names it. Test it, then add it to a trigger."
                ),
            )
            return redirect("channels")
    context = {"form": form, "row": row, "type": type_, "types": kinds.choices(), "label": kinds.get(type_).label}
    return render(request, "console/channel_form.html", context, status=400 if form.errors else 200)


@visit.page
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Send one marked message now, and say what the vendor answered."""
    row = visit.found(Channel.objects.for_user(request), pk)
    if not visit.pressed(request):
        return redirect("channels")
    visit.require(request, WRITE, row)
    delivery = sender.send_now(acts.test_delivery(row, by=Actor.of(request), at=database_now()))
    last = delivery.attempts.order_by("n").last()
    answer = f" The answer was {last.response_code}." if last and last.response_code else ""
    if delivery.state == "delivered":
        messages.success(request, f"The test message to {row.name} was delivered.{answer}")
    else:
        messages.error(
            request,
            f"The test message to {row.name} was not delivered: {(last.error if last else '') or delivery.reason or 'no answer'}",
        )
    return redirect(visit.back(request, reverse("channels")))


@visit.page
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """`/channels/3/delete/`"""
    row = visit.found(Channel.objects.for_user(request), pk)
    visit.require(request, WRITE, row)
    named = [t.name for t in row.triggers.all()[:20]]
    body = f"{row.name} hears nothing any more, and the record of its deliveries is deleted. To keep the record, switch it off instead."
    body += f" These triggers name it and go on without it: {', '.join(named)}." if named else ""
    return asked(
        request,
        "Delete this channel?",
        body,
        reverse("channels"),
        f"{row.name} was deleted.",
        lambda: services.delete_channel(row, by=Actor.of(request)),
    )


def asked(request: HttpRequest, title: str, body: str, to: str, said: str, do: Callable[[], Any]) -> HttpResponse:
    """A destructive act: GET names what goes, POST does it."""
    if request.method == "POST":
        return visit.act(request, to, said, lambda: do() and None)
    return render(
        request,
        "components/confirm_page.html",
        {"title": title, "body": body, "confirm_label": "Delete", "cancel_url": to},
    )
