"""Servers, their minutes and their containers: what does the desk show of them? Read only; they are written by what was seen."""

from __future__ import annotations

from django.contrib import admin

from monitors.models import Container, Host, HostSample
from portal.admin.desk import Truth
from portal.admin.lists import Capped, WhenAt, time_column


@admin.register(Host)
class HostDesk(Truth):
    list_display = ("monitor", "named", "system", "too_high", time_column("seen_at", "Seen"))
    list_select_related = ("monitor",)
    search_fields = ("monitor__name", "monitor__client__name")
    ordering = ("-id",)

    @admin.display(description="Name")
    def named(self, row: Host) -> str:
        return str(row.facts.get("name", ""))

    @admin.display(description="System")
    def system(self, row: Host) -> str:
        return str(row.facts.get("system", ""))

    @admin.display(description="Too high")
    def too_high(self, row: Host) -> str:
        return ", ".join(sorted(name for name, entry in row.crossed.items() if entry.get("level")))


@admin.register(HostSample)
class HostSampleDesk(Truth):
    list_display = ("at", "monitor", "cpu", "memory", "load")
    list_filter = (WhenAt,)
    list_select_related = ("monitor",)
    search_fields = ("monitor__name",)
    ordering = ("-id",)
    paginator = Capped

    @admin.display(description="CPU %")
    def cpu(self, row: HostSample) -> str:
        return _shown(row, "cpu_percent")

    @admin.display(description="Memory %")
    def memory(self, row: HostSample) -> str:
        return _shown(row, "memory_percent")

    @admin.display(description="Load per processor")
    def load(self, row: HostSample) -> str:
        return _shown(row, "load5_per_core")


def _shown(row: HostSample, name: str) -> str:
    value = row.values.get(name)
    return f"{value:g}" if value is not None else "–"


@admin.register(Container)
class ContainerDesk(Truth):
    list_display = (
        "name",
        "monitor",
        "image",
        "state",
        "health",
        "exit_code",
        "oom_killed",
        time_column("seen_at", "Seen"),
    )
    list_filter = ("state", "health", "oom_killed")
    list_select_related = ("monitor",)
    search_fields = ("name", "image", "monitor__name", "runtime_id")
    ordering = ("-id",)
    paginator = Capped
