"""Monitors, probes and what they saw: how are they searched, changed and acted on at the desk?

Results have a composite key, which Django's admin does not take; they are on the monitor's own page.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from monitors import checks, services, subjects, templates
from monitors import diagnosis_admin as diagnosis_admin
from monitors import host_admin as host_admin
from monitors import probe_admin as probe_admin
from monitors.models import (
    Certificate,
    FailureBody,
    Monitor,
    MonitorTemplate,
    Ping,
    Probe,
    ProbeState,
    Rollup,
    StateChange,
)
from portal.admin.desk import Desk, DoorForm, Truth
from portal.admin.fields import ObjectField, TagsField
from portal.admin.lists import Capped, WhenAt, each, shape, state_column, time_column
from portal.audit import Actor
from portal.clock import database_now
from portal.providers import is_masked


class MonitorForm(DoorForm):
    """Settings are JSON, as in the API; secrets among them are taken, sealed and never shown."""

    kind = forms.ChoiceField(choices=[(kind, check.label) for kind, check in checks.KINDS.items()], initial="http")
    config = ObjectField(label="Settings")
    tags = TagsField()
    probes = forms.ModelMultipleChoiceField(
        queryset=Probe.objects.none(), required=False, help_text="Empty: the portal's own probe."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "probes" in self.fields:
            self.fields["probes"].queryset = Probe.objects.for_user(self.request).filter(enabled=True)
            if self.instance.pk:
                self.initial["probes"] = [view.probe_id for view in self.instance.views.all()]
        if "config" in self.fields:
            kept = sorted(self.instance.secrets.open()) if self.instance.pk and self.instance.secrets else []
            hint = 'A JSON object with the settings of this kind, as {"url": "https://shop.example/"}.'
            self.fields["config"].help_text = hint + (
                f" Stored and not shown: {', '.join(kept)}; name one here to replace it, null forgets it."
                if kept
                else ""
            )


@admin.register(Monitor)
class MonitorDesk(Desk):
    form = MonitorForm
    list_display = (
        "name",
        state_column("state", "State", shape),
        time_column("state_since", "Since"),
        "client",
        "kind",
        "target",
        "enabled",
    )
    list_filter = ("state", "kind", "enabled", "severity", "client", "tags")
    list_select_related = ("client",)
    search_fields = ("name", "client__name", "site__name", "notes", "=uuid")
    date_hierarchy = "created_at"
    autocomplete_fields = ("client", "site", "service", "parent")
    readonly_fields = ("state_column_word", "state_since", "state_reason", "uuid", "created_at")
    actions = ("pause", "resume", "check_now")
    fieldsets = (
        (None, {"fields": ("client", "name", "kind", "config", "probes", "enabled")}),
        ("What the engine says", {"fields": ("state_column_word", "state_since", "state_reason")}),
        (
            "When",
            {
                "fields": (
                    "interval_seconds",
                    "timeout_seconds",
                    "confirmation_count",
                    "confirmation_seconds",
                    "recovery_count",
                    "recovery_seconds",
                    "quorum",
                    "distinct_networks",
                )
            },
        ),
        (
            "How bad",
            {
                "fields": (
                    "severity",
                    "degraded_latency_ms",
                    "degraded_loss_percent",
                    "flapping_changes",
                    "flapping_window_seconds",
                )
            },
        ),
        (
            "Where it belongs",
            {"fields": ("site", "service", "parent", "tags", "slug", "uuid", "runbook_url", "notes", "created_at")},
        ),
    )

    @admin.display(description="State")
    def state_column_word(self, row: Monitor) -> str:
        return shape(row.state)

    @admin.display(description="Target")
    def target(self, row: Monitor) -> str:
        return subjects.target_of(row)[:80]

    def through_the_door(self, form: DoorForm, by: Actor) -> Monitor:
        values = dict(form.cleaned_data)
        tags, probes, config = values.pop("tags", []), list(values.pop("probes", [])), values.pop("config")
        row = form.instance if form.instance.pk is None else Monitor.objects.get(pk=form.instance.pk)
        for name, value in values.items():
            setattr(row, name, value)
        row.config = {name: value for name, value in config.items() if not is_masked(value)}
        # Staff vouch for what they typed themselves, not for what a client's people had typed before.
        typed = row.pk is None or {"config", "kind"} & set(form.changed_data)
        return services.save(
            row, by=by, at=database_now(), tags=tags, probes=probes or (None if row.pk is None or "probes" not in form.changed_data else list(Probe.objects.filter(built_in=True))),
            trusted=True if typed else None,
        )  # fmt: skip

    def remove(self, row: Monitor, by: Actor) -> None:
        services.delete(row, by=by, at=database_now())

    @admin.action(description="Pause", permissions=["operate"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Monitor]) -> None:
        each(request, queryset, lambda m: services.pause(m, by=Actor.of(request), at=database_now()), "paused")

    @admin.action(description="Resume", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Monitor]) -> None:
        each(request, queryset, lambda m: services.resume(m, by=Actor.of(request), at=database_now()), "resumed")

    @admin.action(description="Check now", permissions=["operate"])
    def check_now(self, request: HttpRequest, queryset: QuerySet[Monitor]) -> None:
        each(
            request,
            queryset,
            lambda m: services.check_now(m, by=Actor.of(request), at=database_now()),
            "checked at once",
        )


class MonitorTemplateForm(DoorForm):
    """Values are JSON, as in the API; a template holds no secrets."""

    kind = forms.ChoiceField(choices=[(kind, check.label) for kind, check in checks.KINDS.items()], initial="http")
    values = ObjectField(
        help_text='As {"interval_seconds": 60, "config": {"keyword": "ok"}, "tags": ["web"]}; what is left out stays each monitor\'s own.'
    )


@admin.register(MonitorTemplate)
class MonitorTemplateDesk(Desk):
    form = MonitorTemplateForm
    list_display = ("name", "kind", "client", "version", "followers", time_column("updated_at", "Changed"))
    list_filter = ("kind", "client")
    list_select_related = ("client",)
    search_fields = ("name", "description", "client__name")
    autocomplete_fields = ("client",)
    fields = ("client", "name", "description", "kind", "values", "version", "created_at", "updated_at")
    readonly_fields = ("version", "created_at", "updated_at")
    actions = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[MonitorTemplate]:
        return super().get_queryset(request).annotate(n=Count("monitors"))

    @admin.display(description="Monitors")
    def followers(self, row: Any) -> int:
        return row.n

    def create(self, by: Actor, values: dict[str, Any]) -> MonitorTemplate:
        return templates.save(MonitorTemplate(**values), by=by)

    def change(self, row: MonitorTemplate, by: Actor, values: dict[str, Any]) -> MonitorTemplate:
        fresh = MonitorTemplate.objects.get(pk=row.pk)
        for name, value in values.items():
            setattr(fresh, name, value)
        return templates.save(fresh, by=by)

    def remove(self, row: MonitorTemplate, by: Actor) -> None:
        templates.delete(row, by=by)


@admin.register(ProbeState)
class ProbeStateDesk(Truth):
    list_display = (
        "monitor",
        "probe",
        "saw",
        "streak",
        time_column("last_at", "Last"),
        "next_due_at",
        "active",
        "claimed_by",
        "message",
    )
    list_filter = ("status", "active", "changed", "probe")
    list_select_related = ("monitor", "probe")
    search_fields = ("monitor__name", "message")
    ordering = ("-id",)
    paginator = Capped

    @admin.display(description="Saw", ordering="status")
    def saw(self, row: ProbeState) -> str:
        return shape(row.get_status_display())


@admin.register(StateChange)
class StateChangeDesk(Truth):
    list_display = (
        "at",
        "monitor",
        state_column("from_state", "From", shape),
        state_column("to_state", "To", shape),
        "reason",
        "layer",
    )
    list_filter = (WhenAt, "to_state", "layer")
    list_select_related = ("monitor",)
    search_fields = ("monitor__name", "reason")
    ordering = ("-id",)
    paginator = Capped


@admin.register(Ping)
class PingDesk(Truth):
    list_display = ("at", "monitor", "kind", "exit_code", "duration_ms", "remote", "user_agent")
    list_filter = (WhenAt, "kind")
    list_select_related = ("monitor",)
    search_fields = ("monitor__name", "=rid")
    ordering = ("-id",)
    paginator = Capped


@admin.register(Certificate)
class CertificateDesk(Truth):
    list_display = (
        "subject",
        "monitor",
        "issuer",
        "not_after",
        "hostname_ok",
        "chain_error",
        time_column("last_seen_at", "Seen"),
    )
    list_filter = ("hostname_ok",)
    list_select_related = ("monitor",)
    search_fields = ("subject", "issuer", "fingerprint", "monitor__name")
    date_hierarchy = "not_after"


@admin.register(Rollup)
class RollupDesk(Truth):
    list_display = ("monitor", "probe", "period", "start", "up", "degraded", "failing", "unknown")
    list_filter = ("period", "probe")
    list_select_related = ("monitor", "probe")
    search_fields = ("monitor__name",)
    ordering = ("-id",)
    paginator = Capped


@admin.register(FailureBody)
class FailureBodyDesk(Truth):
    list_display = ("at", "monitor", "probe", "beginning")
    list_filter = (WhenAt,)
    list_select_related = ("monitor", "probe")
    search_fields = ("monitor__name",)
    ordering = ("-id",)
    paginator = Capped

    @admin.display(description="Body")
    def beginning(self, row: FailureBody) -> str:
        return row.body[:80]
