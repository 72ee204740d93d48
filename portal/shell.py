"""What does every page's frame need? The navigation with its counts, who looks, who is on call, how many problems there are."""

from __future__ import annotations

import functools
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from portal import branding, registry
from portal.tenancy import Viewer, viewer_of


def context(request: HttpRequest) -> dict[str, Any]:
    """Template context of the shell. Counts are asked for only when a template shows them: a fragment does not."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {"nav": [], **face(None)}
    viewer = viewer_of(request)
    counts = functools.cache(lambda: counted(viewer))
    return {
        "nav": lambda: navigation(request.path, viewer, counts()),
        "problems": lambda: counts().get("problems", 0),
        "on_call": functools.cache(lambda: on_call(viewer)),
        "viewer": viewer,
        "guide_link": lambda: next(filter(None, (source(request.path) for source in registry.guides)), None),
        "curl": lambda: next(
            filter(None, (source(request.path, request.META.get("QUERY_STRING", "")) for source in registry.calls)), ""
        ),
        **face(viewer),
        "base_url": settings.BASE_URL,
    }


def face(viewer: Viewer | None) -> dict[str, Any]:
    """Under whose name the page is; looked up only when a template shows it."""
    brand = functools.cache(lambda: branding.of(viewer))
    return {
        "portal_name": lambda: brand().name,
        "brand_logo": lambda: brand().logo,
        "brand_style": lambda: brand().style,
    }


def counted(viewer: Viewer) -> dict[str, int]:
    """What the apps count, by address; nothing for somebody who sees nothing."""
    found: dict[str, int] = {}
    if viewer.sees_all or viewer.client_ids:
        for source in registry.badges:
            found |= source(viewer)
    return found


def may_somewhere(viewer: Viewer, verb: str) -> bool:
    """May this person do it to anything at all?"""
    return viewer.may(verb, None) or any(viewer.may(verb, client) for client in viewer.client_ids)


MOST_NAMES = 2


def on_call(viewer: Viewer) -> str:
    """Who is on call now, in a few words; "" where there is no schedule."""
    if not (viewer.sees_all or viewer.client_ids):
        return ""
    names = list(dict.fromkeys(name for source in registry.on_call for name in source(viewer)))
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" +{more}" if more > 0 else "")


def navigation(path: str, viewer: Viewer, counts: dict[str, int]) -> list[dict[str, Any]]:
    """The entries that this person has, the current one marked."""
    return [
        {
            "label": item.label, "url": item.url, "icon": item.icon, "badge": counts.get(item.url, 0), "alarming": bool(counts.get(item.url)),
            "active": path == item.url or (item.url != "/" and path.startswith(item.url)),
        }
        for item in registry.navigation
        if (not item.staff_only or viewer.msp_role) and (not item.verb or may_somewhere(viewer, item.verb))
    ]  # fmt: skip
