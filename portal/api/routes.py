"""Which of the API's resources are the portal's own?"""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from portal.api import installation, people, resources, tokens


def register(router: SimpleRouter) -> None:
    """Add them to the router of /api/v1/."""
    router.register("clients", resources.Clients)
    router.register("sites", resources.Sites)
    router.register("services", resources.Services)
    router.register("contacts", resources.Contacts)
    router.register("contact-groups", resources.ContactGroups)
    router.register("tokens", tokens.Tokens)
    router.register("users", people.Users)
    router.register("memberships", people.Memberships)
    router.register("provider-settings", installation.Providers)
    router.register("audit-log", installation.AuditLog)
