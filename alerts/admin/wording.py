"""How is it said, and how much has been sent? Message templates, and the channels' counters of each month."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from alerts import limits, phrasing
from alerts.models import MessageTemplate, Usage
from portal.admin.desk import Desk, Truth
from portal.audit import Actor


@admin.register(MessageTemplate)
class MessageTemplateDesk(Desk):
    list_display = ("name", "client", "channel", "types", "title", "enabled")
    list_filter = ("enabled", "client")
    list_select_related = ("client", "channel")
    search_fields = ("name", "client__name", "channel__name", "title")
    autocomplete_fields = ("client", "channel")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("client",) if obj else ()

    def create(self, by: Actor, values: dict[str, Any]) -> MessageTemplate:
        return phrasing.save_template(None, by=by, **values)

    def change(self, row: MessageTemplate, by: Actor, values: dict[str, Any]) -> MessageTemplate:
        return phrasing.save_template(row, by=by, **values)

    def remove(self, row: MessageTemplate, by: Actor) -> None:
        phrasing.delete_template(row, by=by)


@admin.register(Usage)
class UsageDesk(Truth):
    list_display = ("channel", "client", "month", "sent", "quota", "warned_percent")
    list_filter = ("channel__type", "channel__client")
    list_select_related = ("channel__client",)
    search_fields = ("channel__name", "channel__client__name")
    date_hierarchy = "month"

    @admin.display(description="Client", ordering="channel__client")
    def client(self, row: Usage) -> str:
        return str(row.channel.client or "–")

    @admin.display(description="Quota now")
    def quota(self, row: Usage) -> str:
        most = limits.quota(row.channel)
        return f"{most:,}" if most is not None else "–"
