"""What keeps the portal in step, and what did people do? Workers, slots, repeated requests, schedules, the audit log: to be read."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django_celery_beat.models import PeriodicTask

from portal.admin.desk import Truth
from portal.admin.lists import Capped, WhenAt, time_column
from portal.models import AuditEntry, AuditHead, IdempotencyKey, Slot, Worker


@admin.register(AuditEntry)
class AuditDesk(Truth):
    list_display = ("at", "actor", "action", "subject", "subject_name", "ip")
    list_filter = (WhenAt, "action", "chain")
    search_fields = ("actor", "action", "=subject", "subject_name", "=request_id")
    paginator = Capped

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "subject" or super().lookup_allowed(lookup, value, request)


@admin.register(AuditHead)
class AuditHeadDesk(Truth):
    list_display = ("chain", "seq", "hash")
    search_fields = ("chain",)


@admin.register(Worker)
class WorkerDesk(Truth):
    list_display = ("id", "role", "host", "pid", time_column("started_at", "Started"), time_column("seen_at", "Seen"))
    list_filter = ("role", "host")
    search_fields = ("id", "host")


@admin.register(Slot)
class SlotDesk(Truth):
    list_display = ("name", "slot", "taken_by", "taken_at", "done_at")
    list_filter = ("name",)
    search_fields = ("name", "taken_by")
    ordering = ("-id",)
    paginator = Capped


@admin.register(IdempotencyKey)
class IdempotencyDesk(Truth):
    list_display = ("token", "key", "status", "created_at")
    list_filter = ("status",)
    search_fields = ("=key", "=token")
    ordering = ("-id",)
    hidden = ("response", "request_hash")
    paginator = Capped


@admin.register(PeriodicTask)
class PeriodicTaskDesk(Truth):
    """Beat rings bells and nothing else; the schedule is the code's."""

    list_display = ("name", "task", "schedule_words", "enabled", time_column("last_run_at", "Last rung"))
    list_filter = ("enabled",)
    list_select_related = ("interval", "crontab", "solar", "clocked")
    search_fields = ("name", "task")

    @admin.display(description="When")
    def schedule_words(self, row: PeriodicTask) -> str:
        return str(row.interval or row.crontab or row.solar or row.clocked or "")
