"""Where do messages go, and who is told? Channels, ways to people, triggers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from alerts import acts, channel_settings, channels, sender, services
from alerts.models import (
    Channel,
    ContactChannel,
    Delivery,
    Trigger,
)
from portal.admin import typed
from portal.admin.desk import Desk, DoorForm
from portal.admin.lists import time_column
from portal.audit import Actor
from portal.clock import database_now


# --- Where messages go ----------------------------------------------------------------------------------------------------
@admin.register(Channel)
class ChannelDesk(Desk):
    """Its settings are those of its type's `Config`: the type is chosen first, then the form knows its fields."""

    list_display = (
        "name",
        "type",
        "client",
        "contact",
        "enabled",
        "health",
        time_column("last_success_at", "Last success"),
    )
    list_filter = ("type", "enabled", "canary", ("unhealthy_since", admin.EmptyFieldListFilter), "client")
    list_select_related = ("client", "contact")
    search_fields = ("name", "client__name", "contact__name")
    autocomplete_fields = ("client", "contact")
    actions = ("test",)
    COMMON = ("name", "client", "contact")
    REST = ("enabled", "group_window_seconds", "rate_per_minute", "monthly_quota", "canary")

    @admin.display(description="Health")
    def health(self, row: Channel) -> str:
        return row.unhealthy_reason if row.unhealthy_since else "well"

    @admin.display(description="Settings")
    def shown(self, row: Channel) -> str:
        return ", ".join(f"{name}: {value}" for name, value in channel_settings.shown(row).items())

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.GET.get("type") in channels.KINDS or not self.has_add_permission(request):
            return super().add_view(request, form_url, extra_context)
        choices = [(f"?type={kind}", label, "") for kind, label in channels.choices()]
        context = {
            **self.admin_site.each_context(request),
            "title": "Which kind of channel?",
            "choices": choices,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/choose.html", context)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **{**kwargs, "fields": (*self.COMMON, *self.REST)})
        if not self._writes(request, obj):
            return form
        return type("ChannelForm", (form,), {**_fields(_type(request, obj), obj), "type": _type(request, obj)})

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if not self._writes(request, obj):
            return (*self.COMMON, "type", "shown", *self.REST, "health")
        return (
            *self.COMMON,
            *_fields(_type(request, obj), obj),
            *self.REST,
            *(("health", "last_answer") if obj else ()),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (
            ("type", "shown", "health", "last_answer")
            if not self._writes(request, obj)
            else ("health", "last_answer")
            if obj
            else ()
        )

    def _writes(self, request: HttpRequest, obj: Any) -> bool:
        known = _type(request, obj) in channels.KINDS
        return known and (self.has_change_permission(request, obj) if obj else self.has_add_permission(request))

    def through_the_door(self, form: DoorForm, by: Actor) -> Channel:
        old = form.instance if form.instance.pk else None
        given = typed.values_of(form.cleaned_data, _schema(form.type))
        values = {
            name: form.cleaned_data[name]
            for name in (*self.COMMON, *self.REST)
            if old is None or name in form.changed_data
        }
        return services.save_channel(old, by=by, settings=given, **values, **({} if old else {"type": form.type}))

    def remove(self, row: Channel, by: Actor) -> None:
        services.delete_channel(row, by=by)

    @admin.action(description="Send a test message", permissions=["operate"])
    def test(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        for channel in queryset[:5]:  # a person waits for each
            row = sender.send_now(acts.test_delivery(channel, by=Actor.of(request), at=database_now()))
            last = row.attempts.last()
            say = messages.success if row.state == Delivery.State.DELIVERED else messages.error
            say(
                request,
                f"{channel}: {row.get_state_display().lower()}" + (f" ({last.error})" if last and last.error else ""),
            )


def _type(request: HttpRequest, row: Channel | None) -> str:
    return row.type if row is not None else request.GET.get("type", "")


def _schema(kind: str) -> dict[str, Any]:
    return channels.get(kind).Config.model_json_schema()


def _fields(kind: str, row: Channel | None) -> dict[str, forms.Field]:
    kept = frozenset(channel_settings.opened(row)) if row is not None else frozenset()
    return typed.fields_of(_schema(kind), row.config if row is not None else {}, kept)


@admin.register(ContactChannel)
class ContactChannelDesk(Desk):
    list_display = ("contact", "channel", "urgency", "delay_minutes", "quiet")
    list_filter = ("urgency", "channel__type")
    list_select_related = ("contact", "channel")
    search_fields = ("contact__name", "channel__name")
    autocomplete_fields = ("contact", "channel")

    @admin.display(description="Quiet hours")
    def quiet(self, row: ContactChannel) -> str:
        if row.quiet_from is None or row.quiet_until is None:
            return "–"
        return f"{row.quiet_from:%H:%M}–{row.quiet_until:%H:%M}: {row.get_quiet_urgency_display().lower()}"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("contact", "channel") if obj else ()

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {}

    def create(self, by: Actor, values: dict[str, Any]) -> ContactChannel:
        contact = values.pop("contact")
        services.add_way(contact, by=by, **values)
        return contact.ways.get(channel=values["channel"])

    def change(self, row: ContactChannel, by: Actor, values: dict[str, Any]) -> ContactChannel:
        services.change_way(row, by=by, **values)
        return row.contact.ways.get(pk=row.pk)

    def remove(self, row: ContactChannel, by: Actor) -> None:
        services.remove_way(row, by=by)


# --- Who is told, and what is quiet -----------------------------------------------------------------------------------------
@admin.register(Trigger)
class TriggerDesk(Desk):
    list_display = (
        "name",
        "client",
        "filter_severities",
        "filter_sources",
        "filter_scopes",
        "filter_tags",
        "goes_to",
        "reminder_minutes",
        "enabled",
    )
    list_filter = ("enabled", "client")
    list_select_related = ("client",)
    search_fields = ("name", "client__name", "channels__name")
    autocomplete_fields = ("client", "channels", "contacts", "groups")
    renamed = {"channel_ids": "channels", "contact_ids": "contacts", "group_ids": "groups"}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("channels", "contacts", "groups")

    @admin.display(description="Goes to")
    def goes_to(self, row: Trigger) -> str:
        return ", ".join(str(one) for one in [*row.channels.all(), *row.contacts.all(), *row.groups.all()]) or "nobody"

    def create(self, by: Actor, values: dict[str, Any]) -> Trigger:
        return services.save_trigger(None, by=by, **values)

    def change(self, row: Trigger, by: Actor, values: dict[str, Any]) -> Trigger:
        return services.save_trigger(row, by=by, **values)

    def remove(self, row: Trigger, by: Actor) -> None:
        services.delete_trigger(row, by=by)
