"""Who is called when nobody answers, at the support desk? Policies and levels through their doors; runs are to be read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from alerts import policies
from alerts.models import EscalationPolicy, Level, Run, ServiceRouting, Step
from portal.admin.desk import Desk, Truth, TruthInline
from portal.admin.lists import Capped, WhenAt, each, state_column, time_column
from portal.audit import Actor


class LevelInline(TruthInline):
    model = Level
    fields = readonly_fields = ("order", "delay_seconds", "calls")
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related(*policies.KEYS)

    @admin.display(description="Calls")
    def calls(self, row: Level) -> str:
        return called(row)


def called(row: Level) -> str:
    """Everybody whom a level names, in one line."""
    return ", ".join(str(one) for name in policies.KEYS for one in getattr(row, name).all()) or "nobody"


@admin.register(EscalationPolicy)
class EscalationPolicyDesk(Desk):
    """A policy is made with its levels, on its page or over the API; here it is changed, switched and deleted."""

    list_display = (
        "name",
        "client",
        "active",
        "attached_only",
        "filter_severities",
        "filter_scopes",
        "filter_tags",
        "repeat_count",
    )
    list_filter = ("active", "attached_only", "client")
    list_select_related = ("client",)
    search_fields = ("name", "client__name")
    fields = (
        "name", "client", "active", "attached_only", "filter_severities", "filter_sources", "filter_scopes", "filter_tags",
        "repeat_count", "repeat_after_seconds", "on_empty",
    )  # fmt: skip
    readonly_fields = ("client",)
    inlines = (LevelInline,)
    actions = ("switch_on", "switch_off")
    renamed = {f"filters.{name}": f"filter_{name}" for name in ("severities", "sources", "scopes", "tags")}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def change(self, row: EscalationPolicy, by: Actor, values: dict[str, Any]) -> EscalationPolicy:
        return policies.save_policy(row, by=by, **values)

    def remove(self, row: EscalationPolicy, by: Actor) -> None:
        policies.delete_policy(row, by=by)

    @admin.action(description="Switch on", permissions=["operate"])
    def switch_on(self, request: HttpRequest, queryset: QuerySet[EscalationPolicy]) -> None:
        each(request, queryset, lambda row: policies.activate(row, True, by=Actor.of(request)), "switched on")

    @admin.action(description="Switch off", permissions=["operate"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[EscalationPolicy]) -> None:
        each(request, queryset, lambda row: policies.activate(row, False, by=Actor.of(request)), "switched off")


@admin.register(Level)
class LevelDesk(Desk):
    """One level; its policy's others stay as they are, and all of them are judged together."""

    list_display = ("policy", "order", "delay_seconds", "calls")
    list_filter = ("policy__active", "policy__client")
    list_select_related = ("policy",)
    search_fields = ("policy__name",)
    autocomplete_fields = ("policy", "channels", "contacts", "groups", "schedules")
    ordering = ("policy__name", "order")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related(*policies.KEYS)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("policy",) if obj else ()

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {}

    @admin.display(description="Calls")
    def calls(self, row: Level) -> str:
        return called(row)

    def create(self, by: Actor, values: dict[str, Any]) -> Level:
        policy = values.pop("policy")
        policies.save_policy(policy, by=by, levels=[*_others(policy), values])
        return policy.levels.get(order=values["order"])

    def change(self, row: Level, by: Actor, values: dict[str, Any]) -> Level:
        mine = {**_pictured(Level.objects.get(pk=row.pk)), **values}
        policies.save_policy(row.policy, by=by, levels=[*_others(row.policy, row.pk), mine])
        return row.policy.levels.get(order=mine["order"])

    def remove(self, row: Level, by: Actor) -> None:
        policies.save_policy(row.policy, by=by, levels=_others(row.policy, row.pk))


def _pictured(level: Level) -> dict[str, Any]:
    lists = {name: list(getattr(level, name).all()) for name in policies.KEYS}
    return {"order": level.order, "delay_seconds": level.delay_seconds, **lists}


def _others(policy: EscalationPolicy, but: int | None = None) -> list[dict[str, Any]]:
    return [_pictured(level) for level in policy.levels.exclude(pk=but).prefetch_related(*policies.KEYS)]


@admin.register(ServiceRouting)
class ServiceRoutingDesk(Desk):
    list_display = ("service", "policy")
    list_select_related = ("service", "policy")
    search_fields = ("service__name", "policy__name")
    autocomplete_fields = ("service", "policy")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("service",) if obj else ()

    def create(self, by: Actor, values: dict[str, Any]) -> ServiceRouting:
        return policies.attach(values["service"], values["policy"], by=by)

    def change(self, row: ServiceRouting, by: Actor, values: dict[str, Any]) -> ServiceRouting:
        return policies.attach(row.service, values.get("policy", row.policy), by=by)

    def remove(self, row: ServiceRouting, by: Actor) -> None:
        policies.attach(row.service, None, by=by)
        row.delete()


class StepInline(TruthInline):
    model = Step
    fields = readonly_fields = ("at", "pass_number", "level", "contact_name", "via", "reason", "delivery")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("delivery__channel")


@admin.register(Run)
class RunDesk(Truth):
    list_display = ("policy_name", "alert", state_column("status", "Status"), "client", "step", time_column("started_at", "Since"), "next_action_at")  # fmt: skip
    list_filter = ("status", "client")
    list_select_related = ("alert", "client")
    search_fields = ("policy_name", "alert__title")
    ordering = ("-id",)
    inlines = (StepInline,)
    paginator = Capped


@admin.register(Step)
class StepDesk(Truth):
    list_display = ("at", "run", "pass_number", "level", "contact_name", "via", "reason")
    list_filter = (WhenAt,)
    list_select_related = ("run",)
    search_fields = ("contact_name", "via", "reason", "run__policy_name")
    ordering = ("-id",)
    paginator = Capped
