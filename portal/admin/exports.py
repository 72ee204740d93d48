"""Which archives of clients are there? At the desk to be read; they are asked for and fetched on the client's page."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from portal.admin.desk import Truth
from portal.models import ClientExport, ExportPart


@admin.register(ClientExport)
class ClientExportDesk(Truth):
    list_display = ("client", "state", "asked_by", "asked_at", "size", "expires_at")
    list_filter = ("state", "client")
    list_select_related = ("client",)
    search_fields = ("client__name", "asked_by")
    date_hierarchy = "asked_at"
    hidden = ("lease_token", "lease_until")


@admin.register(ExportPart)
class ExportPartDesk(Truth):
    list_display = ("export", "n")
    list_select_related = ("export__client",)
    search_fields = ("export__client__name",)
    hidden = ("data",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("data")
