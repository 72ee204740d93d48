"""How does the support desk see probes and what they were asked to do? Made and changed by the doors, jobs read only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from monitors import probes, remote, watching
from monitors.models import Probe, ProbeJob
from monitors.probe_health import health_of
from portal.admin.desk import Desk, DoorForm, Truth
from portal.admin.fields import ObjectField, TagsField
from portal.admin.lists import Capped, When, badge, each, shape, time_column
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused

# What the desk's shapes can say of a probe's health; the rest is a word.
SHAPED = {"blind": "blind", "stale": "stale", "ok": "ok", "silent": "lost", "disabled": "paused"}


class ProbeForm(DoorForm):
    tags = TagsField()
    anchors = ObjectField(
        of=list,
        help_text='Independent addresses that prove its own line is well, as ["1.1.1.1:443", "https://example.com"].',
    )


@admin.register(Probe)
class ProbeDesk(Desk):
    """Registered in `monitors.admin`, beside the other desks."""

    form = ProbeForm
    list_display = ("name", "slug", "client", "network", "health_word", "enabled", time_column("last_seen_at", "Seen"))
    list_filter = ("enabled", "built_in", "client", "tags")
    list_select_related = ("client",)
    search_fields = ("name", "slug", "network", "hostname")
    autocomplete_fields = ("client",)
    readonly_fields = (
        "built_in", "blind_since", "blind_reason", "last_seen_at", "version", "clock_offset_ms", "hostname", "platform", "enrolled_at", "revoked_at", "key", "said",
    )  # fmt: skip
    actions = ("new_token", "revoke")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Probe]:
        return super().get_queryset(request).annotate(asked_at=Now())  # one clock for all rows

    @admin.display(description="Health")
    def health_word(self, row: Probe) -> str:
        health = health_of(row, getattr(row, "asked_at", None) or database_now())
        return shape(SHAPED[health.code]) if health.code in SHAPED else badge(health.word)

    @admin.display(description="Key")
    def key(self, row: Probe) -> str:
        return remote.identity.fingerprint(row.public_key) if row.public_key else "not enrolled"

    @admin.display(description="What it says of itself")
    def said(self, row: Probe) -> str:
        return (
            ", ".join(f"{name} {value}" for name, value in row.health.items() if name not in watching.KEPT)
            or "nothing yet"
        )

    def change(self, row: Probe, by: Actor, values: dict[str, Any]) -> Probe:
        probes.change(row, by=by, at=database_now(), **values)
        return row

    def remove(self, row: Probe, by: Actor) -> None:
        probes.delete(row, by=by, at=database_now())

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.built_in)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        found = super().get_actions(request)
        found.pop("delete_selected", None)
        return found

    @admin.action(description="New enrolment token", permissions=["operate"])
    def new_token(self, request: HttpRequest, queryset: QuerySet[Probe]) -> None:
        for probe in queryset:
            try:
                token = remote.new_token(probe, by=Actor.of(request), at=database_now())
            except Refused as refusal:
                messages.error(request, f"{probe}: {refusal}")
            else:
                messages.success(request, f"{probe}: {token} (once, within ten minutes; it is not shown again)")

    @admin.action(description="Revoke", permissions=["operate"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Probe]) -> None:
        each(request, queryset, lambda p: remote.revoke(p, by=Actor.of(request), at=database_now()), "revoked")


@admin.register(ProbeJob)
class ProbeJobDesk(Truth):
    list_display = ("kind", "probe", "state_word", "requested_by", "created_at", "expires_at", "finished_at")
    list_filter = (When, "state", "kind", "probe")
    list_select_related = ("probe",)
    search_fields = ("key", "requested_by")
    ordering = ("-id",)
    paginator = Capped

    @admin.display(description="State", ordering="state")
    def state_word(self, row: ProbeJob) -> str:
        return badge(row.get_state_display())
