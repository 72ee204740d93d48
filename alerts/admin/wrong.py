"""What is wrong: how are alerts and their occasions read, and what can be done with them?"""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from alerts import acts
from alerts.models import (
    Alert,
    Decision,
    Notice,
)
from portal.admin.desk import Truth, TruthInline
from portal.admin.lists import Capped, When, each, severity, state_column, time_column
from portal.audit import Actor
from portal.clock import database_now


class NoticeInline(TruthInline):
    model = Notice
    fields = readonly_fields = ("seq", "kind", "event", "severity", "created_at")
    show_change_link = True


@admin.register(Alert)
class AlertDesk(Truth):
    list_display = (
        "title",
        state_column("status", "Status"),
        state_column("severity", "Severity", severity),
        "client",
        "entity_name",
        "hold_reason",
        time_column("created_at", "Since"),
        "acknowledged_by",
    )
    list_filter = (When, "status", "severity", "source", "hold_reason", "client")
    list_select_related = ("client",)
    search_fields = ("title", "message", "entity_name", "client__name")
    inlines = (NoticeInline,)
    actions = ("acknowledge", "resolve")
    paginator = Capped

    @admin.action(description="Acknowledge", permissions=["operate"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        each(request, queryset, lambda a: acts.acknowledge(a, by=Actor.of(request), at=database_now()), "acknowledged")

    @admin.action(description="Resolve", permissions=["operate"])
    def resolve(self, request: HttpRequest, queryset: QuerySet[Alert]) -> None:
        each(request, queryset, lambda a: acts.resolve(a, by=Actor.of(request), at=database_now()), "resolved")


class DecisionInline(TruthInline):
    model = Decision
    fields = readonly_fields = ("rule", "outcome", "reason")


@admin.register(Notice)
class NoticeDesk(Truth):
    list_display = ("created_at", "type", "kind", state_column("severity", "Severity", severity), "alert", "client")
    list_filter = (When, "kind", "severity")
    list_select_related = ("alert", "client")
    search_fields = ("type", "alert__title")
    ordering = ("-id",)
    inlines = (DecisionInline,)
    paginator = Capped


@admin.register(Decision)
class DecisionDesk(Truth):
    list_display = ("notice", "rule", "outcome", "reason")
    list_filter = ("outcome",)
    list_select_related = ("notice",)
    search_fields = ("rule", "reason")
    ordering = ("-id",)
    paginator = Capped
