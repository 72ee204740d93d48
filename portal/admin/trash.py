"""What waits in the trash, and which views of lists do people keep? At the desk to be read; the trash is emptied on its page."""

from __future__ import annotations

from django.contrib import admin

from portal.admin.desk import Truth
from portal.models import SavedFilter, TrashEntry


@admin.register(TrashEntry)
class TrashDesk(Truth):
    list_display = ("name", "kind", "client", "deleted_by", "deleted_at")
    list_filter = ("kind", "client")
    list_select_related = ("client",)
    search_fields = ("name", "deleted_by", "client__name")
    date_hierarchy = "deleted_at"
    hidden = ("taken",)


@admin.register(SavedFilter)
class SavedFilterDesk(Truth):
    list_display = ("name", "list", "user", "query", "created_at")
    list_filter = ("list",)
    list_select_related = ("user",)
    search_fields = ("name", "user__email")
