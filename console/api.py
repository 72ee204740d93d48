"""Which resources does the API have? Each app registers its own; here they come together under /api/v1/."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from rest_framework.viewsets import ViewSetMixin

from console import clients_api, configuration_api, contacts_api, filters_api, services_api, trash_api
from portal.api.base import Router
from statuspages import incident_api

# In the order of the documentation.
SOURCES = ("portal.api.routes", "monitors.api", "alerts.api", "incidents.api", "statuspages.api", "playbooks.api")
# Bodies that several apps share stand in the place of the ground's own.
ASSEMBLED: dict[str, type[ViewSetMixin]] = {
    "clients": clients_api.Clients,
    "contacts": contacts_api.Contacts,
    "services": services_api.Services,
    "incidents": incident_api.Incidents,
}


def build() -> Router:
    """One router with every app's resources."""
    router = Router()
    for name in SOURCES:
        if find_spec(name) is not None:
            import_module(name).register(router)
    router.registry = [
        (prefix, ASSEMBLED.get(prefix, viewset), basename) for prefix, viewset, basename in router.registry
    ]
    router.register("trash", trash_api.Trash)
    router.register("saved-filters", filters_api.SavedFilters)
    router.register("config", configuration_api.Configuration, basename="config")
    return router


router = build()
