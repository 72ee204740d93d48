"""Playbooks at the support desk: looked up, and withdrawn or stopped by the doors. They are written on their own pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from playbooks import services
from playbooks.models import Approval, Brake, Playbook, Run, RunStep, RunTarget, Step
from portal.admin.desk import Truth, TruthInline
from portal.admin.lists import Capped, badge, each, time_column
from portal.audit import Actor
from portal.clock import database_now


class StepInline(TruthInline):
    model = Step
    fields = readonly_fields = ("order", "kind", "config")


@admin.register(Playbook)
class PlaybookDesk(Truth):
    list_display = (
        "name",
        "client",
        "mode",
        "version",
        "quorum",
        "verified_in_a_row",
        time_column("automatic_since", "Automatic since"),
    )
    list_filter = ("mode", "client")
    list_select_related = ("client",)
    search_fields = ("name", "client__name")
    inlines = (StepInline,)
    actions = ("stop",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(self.has_operate_permission(request))

    def remove(self, row: Playbook, by: Actor) -> None:
        services.delete_playbook(row, by=by, at=database_now())

    @admin.action(description="Stop", permissions=["operate"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Playbook]) -> None:
        by = Actor.of(request)
        each(
            request,
            queryset,
            lambda p: services.stop(playbook=p, reason="Stopped at the desk.", by=by, at=database_now()),
            "stopped",
        )


@admin.register(Step)
class StepDesk(Truth):
    list_display = ("playbook", "order", "kind")
    list_filter = ("kind",)
    list_select_related = ("playbook",)
    search_fields = ("playbook__name",)
    hidden = ("secrets",)


@admin.register(Brake)
class BrakeDesk(Truth):
    list_display = ("scope", "client", "playbook", "reason", "by", "at")
    list_filter = ("client",)
    list_select_related = ("client", "playbook")
    search_fields = ("scope", "reason", "by")
    actions = ("lift",)

    @admin.action(description="Lift", permissions=["operate"])
    def lift(self, request: HttpRequest, queryset: QuerySet[Brake]) -> None:
        each(request, queryset, lambda b: services.release(b, by=Actor.of(request)), "lifted")


class RunStepInline(TruthInline):
    model = RunStep
    fields = readonly_fields = ("order", "kind", "state", "started_at", "finished_at", "error")


class ApprovalInline(TruthInline):
    model = Approval
    fields = readonly_fields = ("user", "word", "how", "at", "reason")


@admin.register(Run)
class RunDesk(Truth):
    list_display = (
        "__str__",
        "client",
        "monitor",
        "shown",
        "mode",
        "reason",
        time_column("created_at", "Proposed"),
        time_column("acted_at", "Acted"),
    )
    list_filter = ("state", "mode", "client")
    list_select_related = ("client", "monitor", "playbook")
    search_fields = ("playbook_name", "monitor__name", "plan_hash")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    paginator = Capped
    inlines = (RunStepInline, ApprovalInline)
    actions = ("withdraw",)

    @admin.display(description="State", ordering="state")
    def shown(self, row: Run) -> str:
        return badge(row.get_state_display())

    @admin.action(description="Withdraw what has not begun", permissions=["operate"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        each(request, queryset, lambda r: services.cancel(r, by=Actor.of(request), at=database_now()), "withdrawn")


@admin.register(RunStep)
class RunStepDesk(Truth):
    list_display = ("run", "order", "kind", "state", "started_at", "finished_at", "error")
    list_filter = ("state", "kind")
    list_select_related = ("run",)
    search_fields = ("run__playbook_name",)
    ordering = ("-id",)
    paginator = Capped


@admin.register(RunTarget)
class RunTargetDesk(Truth):
    list_display = ("key", "run", "active")
    list_filter = ("active",)
    list_select_related = ("run",)
    search_fields = ("key",)
    ordering = ("-id",)
    paginator = Capped


@admin.register(Approval)
class ApprovalDesk(Truth):
    list_display = ("run", "user", "word", "how", "at")
    list_filter = ("word", "how")
    list_select_related = ("run", "user")
    search_fields = ("user__email", "run__playbook_name")
    ordering = ("-id",)
    paginator = Capped
