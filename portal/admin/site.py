"""Who may enter the admin, by which door, and in what order do its lists stand? The MSP's people, by `/login/`."""

from __future__ import annotations

import functools
import zoneinfo
from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from portal import views

# What stands first is what a person at the desk looks for first.
ORDER = {
    "monitors": "Monitors",
    "alerts": "Alerts and channels",
    "incidents": "Incidents",
    "portal": "Clients and people",
}


class Desk(admin.AdminSite):
    """Our AdminSite. A client's people do not get in at all: their pages are the portal's."""

    site_header = "Watchkeeper"
    site_title = "Watchkeeper"
    index_title = "Administration"
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        return bool(user.is_active and getattr(user, "msp_role", ""))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return views.admin_login(request)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "POST":
            logout(request)
        return redirect("/login/")

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return redirect("/password/change/")

    def admin_view(self, view: Callable[..., HttpResponse], cacheable: bool = False) -> Callable[..., HttpResponse]:
        """Each page in the viewer's own time zone; rendered here, as templates would be later, outside of it."""
        guarded = super().admin_view(view, cacheable)

        @functools.wraps(guarded)
        def seen(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            with timezone.override(_zone_of(request)):
                answer = guarded(request, *args, **kwargs)
                if hasattr(answer, "render") and not getattr(answer, "is_rendered", True):
                    answer.render()
                return answer

        return seen

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[dict[str, Any]]:
        apps = [
            {**app, "name": ORDER.get(app["app_label"], app["name"])}
            for app in super().get_app_list(request, app_label)
        ]
        known = list(ORDER)
        return sorted(apps, key=lambda app: known.index(app["app_label"]) if app["app_label"] in known else len(known))


def _zone_of(request: HttpRequest) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(getattr(request.user, "timezone", "") or "UTC")
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return zoneinfo.ZoneInfo("UTC")
