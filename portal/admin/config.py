"""When do models reach the admin? Apps bring their own `admin.py`; the ground's are named here, and strangers' are sent away."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.admin import apps


class DeskConfig(apps.AdminConfig):
    """`django.contrib.admin` with our site in the place of its own."""

    default = False  # named in INSTALLED_APPS
    default_site = "portal.admin.site.Desk"

    def ready(self) -> None:
        super().ready()
        # Libraries register their plumbing. An e-mail address of allauth's, added for somebody else, would be a way into
        # their account; groups and schedules mean nothing here. Only what our apps register stays.
        for model in [m for m, desk in admin.site._registry.items() if not desk.__module__.startswith(OURS)]:
            admin.site.unregister(model)
        from portal.admin import branding, clients, exports, people, providers, running, trash  # noqa: F401 - importing registers them


OURS = ("portal.", "alerts.", "monitors.", "incidents.", "statuspages.", "playbooks.", "console.")
