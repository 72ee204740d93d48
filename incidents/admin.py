"""Incidents and their record: how are they searched, edited and moved on at the desk?"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from incidents import services
from incidents.models import Incident, IncidentAlert, ServiceRules, TimelineEntry, Update
from portal.admin.desk import Desk, DoorForm, Truth, TruthInline
from portal.admin.fields import ObjectField
from portal.admin.lists import Capped, each, severity, state_column, time_column
from portal.audit import Actor
from portal.clock import database_now


class IncidentForm(DoorForm):
    affected_monitor_ids = ObjectField(of=list, label="Affected monitors", help_text="Their numbers, as [7, 9].")
    message = forms.CharField(
        required=False,
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"}),
        help_text="The first public update.",
    )
    notify = forms.BooleanField(required=False, initial=True, help_text="Tell people, as an alert.")


class TimelineInline(TruthInline):
    model = TimelineEntry
    fields = readonly_fields = ("seq", "at", "kind", "by", "text")


@admin.register(Incident)
class IncidentDesk(Desk):
    form = IncidentForm
    list_display = (
        "title",
        state_column("status", "Public"),
        state_column("responder_status", "Responders"),
        state_column("severity", "Severity", severity),
        "client",
        "auto_created",
        time_column("created_at", "Opened"),
        "acknowledged_by",
    )
    list_filter = ("status", "responder_status", "severity", "auto_created", "client")
    list_select_related = ("client",)
    search_fields = ("title", "client__name", "=cause_key")
    date_hierarchy = "created_at"
    autocomplete_fields = ("client", "service")
    inlines = (TimelineInline,)
    actions = ("acknowledge", "resolve")
    paginator = Capped
    DECIDED = (
        "client", "service", "status", "responder_status", "cause_key", "auto_created", "taken_over", "created_at", "created_by", "acknowledged_at",
        "acknowledged_by", "resolved_at", "resolved_by",
    )  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ("client", "service", "title", "severity", "status", "affected_monitor_ids", "message", "notify")
        return ("title", "severity", "auto_resolve", "affected_monitor_ids", *self.DECIDED)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.DECIDED if obj else ()

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"message": None, "notify": None}) if obj else form

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # the durable record

    def create(self, by: Actor, values: dict[str, Any]) -> Incident:
        client = values.pop("client", None)
        return services.create(by=by, at=database_now(), client_id=client.pk if client else None, **values)

    def change(self, row: Incident, by: Actor, values: dict[str, Any]) -> Incident:
        return services.edit(row, values, by=by, at=database_now())

    @admin.action(description="Acknowledge", permissions=["operate"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Incident]) -> None:
        each(
            request,
            queryset,
            lambda i: services.acknowledge(i, by=Actor.of(request), at=database_now()),
            "acknowledged",
        )

    @admin.action(description="Resolve", permissions=["operate"])
    def resolve(self, request: HttpRequest, queryset: QuerySet[Incident]) -> None:
        each(request, queryset, lambda i: services.resolve(i, by=Actor.of(request), at=database_now()), "resolved")


@admin.register(ServiceRules)
class ServiceRulesDesk(Desk):
    list_display = ("service", "creation", "merge_window_minutes", "default_severity")
    list_filter = ("creation",)
    list_select_related = ("service",)
    search_fields = ("service__name",)
    autocomplete_fields = ("service",)


@admin.register(IncidentAlert)
class IncidentAlertDesk(Truth):
    list_display = ("incident", "alert", "joined_at")
    list_select_related = ("incident", "alert")
    search_fields = ("incident__title", "alert__title")
    ordering = ("-id",)
    paginator = Capped


@admin.register(Update)
class UpdateDesk(Truth):
    list_display = ("incident", state_column("status", "Status"), "message", "by", "created_at")
    list_filter = ("status",)
    list_select_related = ("incident",)
    search_fields = ("incident__title", "message")
    ordering = ("-id",)
    paginator = Capped


@admin.register(TimelineEntry)
class TimelineDesk(Truth):
    list_display = ("incident", "seq", "at", "kind", "by", "text")
    list_filter = ("kind",)
    list_select_related = ("incident",)
    search_fields = ("incident__title", "text")
    ordering = ("-id",)
    paginator = Capped
