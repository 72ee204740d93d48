"""What does every page's frame need? The navigation with its counts, who looks, and how many problems there are."""

from __future__ import annotations

import functools
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from portal import registry
from portal.tenancy import Viewer, viewer_of


def context(request: HttpRequest) -> dict[str, Any]:
    """Template context of the shell. Counts are asked for only when a template shows them: a fragment does not."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {"nav": [], "portal_name": "Watchkeeper"}
    viewer = viewer_of(request)
    counts = functools.cache(lambda: counted(viewer))
    return {
        "nav": lambda: navigation(request.path, viewer, counts()),
        "problems": lambda: counts().get("problems", 0),
        "viewer": viewer,
        "portal_name": "Watchkeeper",
        "base_url": settings.BASE_URL,
    }


def counted(viewer: Viewer) -> dict[str, int]:
    """What the apps count, by address; nothing for somebody who sees nothing."""
    found: dict[str, int] = {}
    if viewer.sees_all or viewer.client_ids:
        for source in registry.badges:
            found |= source(viewer)
    return found


def navigation(path: str, viewer: Viewer, counts: dict[str, int]) -> list[dict[str, Any]]:
    """The entries that this person has, the current one marked."""
    return [
        {
            "label": item.label, "url": item.url, "icon": item.icon, "badge": counts.get(item.url, 0), "alarming": bool(counts.get(item.url)),
            "active": path == item.url or (item.url != "/" and path.startswith(item.url)),
        }
        for item in registry.navigation
        if not item.staff_only or viewer.msp_role
    ]  # fmt: skip
