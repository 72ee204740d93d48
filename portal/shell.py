"""What does every page's frame need? The navigation, who looks, and how many problems there are."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from portal import registry
from portal.tenancy import viewer_of


def context(request: HttpRequest) -> dict:
    """Template context of the shell."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {"nav": [], "portal_name": "Watchkeeper"}
    viewer = viewer_of(request)
    nav = [
        {"label": item.label, "url": item.url, "icon": item.icon, "active": request.path == item.url or (item.url != "/" and request.path.startswith(item.url))}
        for item in registry.navigation
        if not item.staff_only or viewer.msp_role
    ]
    return {"nav": nav, "viewer": viewer, "portal_name": "Watchkeeper", "base_url": settings.BASE_URL}
