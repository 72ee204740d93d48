"""How does the portal look, and to whom? Read here; changed under Branding, where the picture is judged and seen."""

from __future__ import annotations

from django.contrib import admin

from portal.admin.desk import Truth
from portal.models import Branding


@admin.register(Branding)
class BrandingDesk(Truth):
    list_display = ("id", "client", "name", "accent", "logo_type", "domain", "domain_proved_at")
    list_filter = ("client",)
    list_select_related = ("client",)
    search_fields = ("name", "client__name")
    hidden = ("logo",)
