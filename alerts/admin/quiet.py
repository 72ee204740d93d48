"""What is quiet, and when is what worked on? Silences, maintenance windows and their occurrences."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from alerts import filters, quiet, requesting
from alerts.models import MaintenanceRequest, MaintenanceWindow, Occurrence, Silence
from portal.admin.desk import Desk, DoorForm, Truth, TruthInline
from portal.admin.fields import ObjectField
from portal.admin.lists import each, time_column
from portal.audit import Actor
from portal.clock import database_now


# --- Silences -------------------------------------------------------------------------------------------------------------
class SilenceForm(DoorForm):
    matchers = ObjectField(help_text='What it covers, as {"source": "endpoint", "entity_id": "7"}; all must match.')


@admin.register(Silence)
class SilenceDesk(Desk):
    form = SilenceForm
    list_display = (
        "reason",
        "owner",
        "client",
        "starts_at",
        "ends_at",
        "until_recovered",
        "cancelled_at",
        "cancelled_by",
    )
    list_filter = (("cancelled_at", admin.EmptyFieldListFilter), "until_recovered", "client")
    list_select_related = ("client",)
    search_fields = ("reason", "owner", "client__name")
    date_hierarchy = "starts_at"
    autocomplete_fields = ("client",)
    fields = ("reason", "client", "starts_at", "ends_at", "until_recovered", "matchers", "recurrence", "timezone")
    actions = ("cancel",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # it is cancelled, not rewritten: what it hid refers to it

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def create(self, by: Actor, values: dict[str, Any]) -> Silence:
        return quiet.save_silence(by=by, at=database_now(), **values)

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Silence]) -> None:
        by = Actor.of(request)
        each(request, queryset, lambda row: quiet.cancel_silence(row, by=by, at=database_now()), "cancelled")


# --- Maintenance ------------------------------------------------------------------------------------------------------------
class WordsField(forms.CharField):
    """A list of words, written with commas."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return filters.words(super().to_python(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return list(initial or []) != self.to_python(data)


class WindowForm(DoorForm):
    scopes = WordsField(required=False, help_text="endpoint:7, site:1, service:5, client:3: one is enough.")
    tags = WordsField(required=False, help_text="Of the monitor, its site or its client: one is enough.")


class OccurrenceInline(TruthInline):
    model = Occurrence
    fields = readonly_fields = ("starts_at", "ends_at", "closed_at")
    max_num = 20


@admin.register(MaintenanceWindow)
class WindowDesk(Desk):
    form = WindowForm
    list_display = (
        "title",
        "owner",
        "client",
        time_column("starts_at", "Starts"),
        time_column("ends_at", "Ends"),
        "recurrence",
        "cancelled_at",
    )
    list_filter = (("cancelled_at", admin.EmptyFieldListFilter), "client")
    list_select_related = ("client",)
    search_fields = ("title", "description", "owner", "client__name")
    date_hierarchy = "starts_at"
    autocomplete_fields = ("client",)
    fields = ("title", "description", "client", "starts_at", "ends_at", "recurrence", "timezone", "scopes", "tags")
    inlines = (OccurrenceInline,)
    actions = ("end", "cancel")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("client",) if obj else ()  # whose it is decides what it may cover

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # it is cancelled: what it hid refers to it

    def create(self, by: Actor, values: dict[str, Any]) -> MaintenanceWindow:
        return quiet.save_window(by=by, at=database_now(), **values)

    def change(self, row: MaintenanceWindow, by: Actor, values: dict[str, Any]) -> MaintenanceWindow:
        return quiet.change_window(row, by=by, at=database_now(), **values)

    @admin.action(description="End now", permissions=["operate"])
    def end(self, request: HttpRequest, queryset: QuerySet[MaintenanceWindow]) -> None:
        each(request, queryset, lambda row: quiet.end_now(row, by=Actor.of(request), at=database_now()), "ended")

    @admin.action(description="Cancel", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[MaintenanceWindow]) -> None:
        by = Actor.of(request)
        each(request, queryset, lambda row: quiet.cancel_window(row, by=by, at=database_now()), "cancelled")


@admin.register(Occurrence)
class OccurrenceDesk(Truth):
    list_display = ("window", "client", "starts_at", "ends_at", "closed_at")
    list_filter = (("closed_at", admin.EmptyFieldListFilter), "window__client")
    list_select_related = ("window__client",)
    search_fields = ("window__title", "window__client__name")
    date_hierarchy = "starts_at"

    @admin.display(description="Client", ordering="window__client")
    def client(self, row: Occurrence) -> str:
        return str(row.window.client or "–")


@admin.register(MaintenanceRequest)
class RequestDesk(Truth):
    list_display = ("title", "client", "state", "asked_name", time_column("starts_at", "Starts"), time_column("ends_at", "Ends"), "decided_by")  # fmt: skip
    list_filter = ("state", "client")
    list_select_related = ("client",)
    search_fields = ("title", "note", "asked_name", "client__name")
    date_hierarchy = "starts_at"
    actions = ("accept",)

    @admin.action(description="Accept and plan", permissions=["operate"])
    def accept(self, request: HttpRequest, queryset: QuerySet[MaintenanceRequest]) -> None:
        by = Actor.of(request)
        each(request, queryset, lambda row: requesting.accept(row, by=by, at=database_now()), "accepted")
