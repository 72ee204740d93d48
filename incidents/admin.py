"""Incidents and their record: how are they searched, edited and moved on at the desk?"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from incidents import postmortems, reports, services
from incidents.models import (
    Incident,
    IncidentAlert,
    Postmortem,
    ReportMail,
    ReportRecipient,
    ServiceRules,
    SlaContract,
    SlaReport,
    TimelineEntry,
    Update,
)
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
    autocomplete_fields = ("client", "service", "lead")
    inlines = (TimelineInline,)
    actions = ("acknowledge", "resolve")
    paginator = Capped
    DECIDED = (
        "client", "service", "parent", "merged_into", "status", "responder_status", "cause_key", "auto_created", "taken_over", "created_at", "created_by", "acknowledged_at",
        "acknowledged_by", "resolved_at", "resolved_by", "times_known_by",
    )  # fmt: skip

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ("client", "service", "title", "severity", "status", "affected_monitor_ids", "message", "notify")
        return (*services.EDITABLE, *self.DECIDED)

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


@admin.register(Postmortem)
class PostmortemDesk(Desk):
    """Written on the incident's own page; here it is found, read, finished and reopened."""

    list_display = ("incident", "version", "edited", time_column("finished_at", "Finished"), time_column("updated_at", "Changed"), "updated_by")  # fmt: skip
    list_filter = ("edited", ("finished_at", admin.EmptyFieldListFilter))
    list_select_related = ("incident",)
    search_fields = ("incident__title", "body")
    ordering = ("-id",)
    actions = ("finish", "reopen")
    paginator = Capped
    fields = ("incident", "body", "version", "edited", "finished_at", "updated_at", "updated_by")
    readonly_fields = ("incident", "version", "edited", "finished_at", "updated_at", "updated_by")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def change(self, row: Postmortem, by: Actor, values: dict[str, Any]) -> Postmortem:
        if "body" not in values:
            return row
        return postmortems.save(row, body=values["body"], version=row.version, by=by, at=database_now())

    @admin.action(description="Finish", permissions=["operate"])
    def finish(self, request: HttpRequest, queryset: QuerySet[Postmortem]) -> None:
        each(request, queryset, lambda p: postmortems.finish(p, by=Actor.of(request), at=database_now()), "finished")

    @admin.action(description="Reopen", permissions=["operate"])
    def reopen(self, request: HttpRequest, queryset: QuerySet[Postmortem]) -> None:
        each(request, queryset, lambda p: postmortems.reopen(p, by=Actor.of(request), at=database_now()), "reopened")


@admin.register(SlaContract)
class SlaContractDesk(Desk):
    list_display = ("service", "target_percent", "counted_from", "exclude_maintenance", "exclude_transit", "exclude_probe", "timezone")  # fmt: skip
    list_filter = ("counted_from", "service__client")
    list_select_related = ("service",)
    search_fields = ("service__name", "service__client__name")
    autocomplete_fields = ("service",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("service",) if obj else ()

    def create(self, by: Actor, values: dict[str, Any]) -> SlaContract:
        return reports.save_contract(values.pop("service"), by=by, **values)

    def change(self, row: SlaContract, by: Actor, values: dict[str, Any]) -> SlaContract:
        return reports.save_contract(row.service, by=by, **values)

    def remove(self, row: SlaContract, by: Actor) -> None:
        reports.delete_contract(row, by=by)


@admin.register(SlaReport)
class SlaReportDesk(Truth):
    list_display = ("client", "month", "digest", time_column("made_at", "Made"), "made_by")
    list_filter = ("client",)
    list_select_related = ("client",)
    search_fields = ("client__name", "=digest")
    date_hierarchy = "month"
    actions = ("recompute",)
    paginator = Capped

    @admin.action(description="Count again", permissions=["operate"])
    def recompute(self, request: HttpRequest, queryset: QuerySet[SlaReport]) -> None:
        for row in queryset.select_related("client")[:20]:
            found = reports.recompute(row, at=database_now())
            words = "; ".join(found[:5]) if found else "equal"
            self.message_user(request, f"{row}: {words}", messages.WARNING if found else messages.SUCCESS)


@admin.register(ReportRecipient)
class ReportRecipientDesk(Truth):
    list_display = ("contact", "client")
    list_filter = ("client",)
    list_select_related = ("client", "contact")
    search_fields = ("contact__name", "client__name")


@admin.register(ReportMail)
class ReportMailDesk(Truth):
    list_display = ("name", "report", time_column("created_at", "Owed"), time_column("sent_at", "Sent"), "error")
    list_filter = (("sent_at", admin.EmptyFieldListFilter), "report__client")
    list_select_related = ("report__client",)
    search_fields = ("name", "report__client__name")
    date_hierarchy = "created_at"
    paginator = Capped
