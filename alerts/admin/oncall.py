"""Whose turn is it, at the support desk? Schedules and take-overs go through their doors; layers are made on the page /on-call/."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from alerts import oncall, schedules
from alerts.models import Layer, LayerMember, OnCallSchedule, Override
from portal.admin.desk import Desk, Truth, TruthInline
from portal.admin.lists import each, time_column
from portal.audit import Actor
from portal.clock import database_now


class LayerInline(TruthInline):
    model = Layer
    fields = readonly_fields = (
        "order",
        "rotation",
        "rotation_days",
        "handoff_time",
        "handoff_day",
        "starts_at",
        "ends_at",
    )
    show_change_link = True  # fmt: skip


class OverrideInline(TruthInline):
    model = Override
    fields = readonly_fields = ("contact", "starts_at", "ends_at", "reason", "created_by")


@admin.register(OnCallSchedule)
class OnCallScheduleDesk(Desk):
    list_display = ("name", "client", "timezone", "tell_shift_start", time_column("created_at", "Since"))
    list_filter = ("tell_shift_start", "client")
    list_select_related = ("client",)
    search_fields = ("name", "client__name")
    autocomplete_fields = ("client",)
    fields = ("name", "client", "timezone", "tell_shift_start", "now")
    readonly_fields = ("now",)
    inlines = (LayerInline, OverrideInline)
    actions = ("revoke_feed",)

    @admin.display(description="On call now")
    def now(self, row: OnCallSchedule) -> str:
        if row.pk is None:
            return "Save it, then add its layers on the page On-call."
        return str(oncall.on_call(row, database_now()) or "nobody")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "client") if obj else self.readonly_fields

    def create(self, by: Actor, values: dict[str, Any]) -> OnCallSchedule:
        return schedules.save_schedule(None, by=by, **values)

    def change(self, row: OnCallSchedule, by: Actor, values: dict[str, Any]) -> OnCallSchedule:
        return schedules.save_schedule(row, by=by, **values)

    def remove(self, row: OnCallSchedule, by: Actor) -> None:
        schedules.delete_schedule(row, by=by)

    @admin.action(description="Revoke the calendar's address", permissions=["operate"])
    def revoke_feed(self, request: HttpRequest, queryset: QuerySet[OnCallSchedule]) -> None:
        each(request, queryset, lambda row: schedules.revoke_feed(row, by=Actor.of(request)), "given a new address")


class MemberInline(TruthInline):
    model = LayerMember
    fields = readonly_fields = ("position", "contact")


@admin.register(Layer)
class LayerDesk(Truth):
    list_display = ("schedule", "order", "rotation", "handoff_time", "handoff_day", "starts_at", "ends_at")
    list_filter = ("rotation", "schedule__client")
    list_select_related = ("schedule",)
    search_fields = ("schedule__name", "schedule__client__name")
    inlines = (MemberInline,)


@admin.register(LayerMember)
class LayerMemberDesk(Truth):
    list_display = ("layer", "position", "contact")
    list_select_related = ("layer__schedule", "contact")
    search_fields = ("contact__name", "layer__schedule__name")


@admin.register(Override)
class OverrideDesk(Desk):
    """Made and removed, never rewritten."""

    list_display = ("schedule", "contact", "starts_at", "ends_at", "reason", "created_by")
    list_filter = ("schedule__client",)
    list_select_related = ("schedule", "contact")
    search_fields = ("schedule__name", "contact__name", "reason")
    autocomplete_fields = ("schedule", "contact")
    date_hierarchy = "starts_at"
    fields = ("schedule", "contact", "starts_at", "ends_at", "reason")
    renamed = {"contact_id": "contact"}

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def create(self, by: Actor, values: dict[str, Any]) -> Override:
        return schedules.add_override(values.pop("schedule"), by=by, at=database_now(), **values)

    def remove(self, row: Override, by: Actor) -> None:
        schedules.remove_override(row, by=by)
