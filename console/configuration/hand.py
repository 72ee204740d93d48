"""How does configuration act? By the API's own resources, without a request: one place decides what is allowed."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.core import exceptions as django_errors
from django.http import HttpRequest
from rest_framework import exceptions as drf
from rest_framework.request import Request
from rest_framework.serializers import BaseSerializer

from portal.api.base import TenantViewSet
from portal.api.errors import BODY, dotted, of_django
from portal.audit import Actor
from portal.errors import Refused
from portal.tenancy import OWNER, Viewer, leaving_clients

ACTOR = Actor("config")

REFUSALS = (django_errors.ValidationError, django_errors.PermissionDenied, drf.APIException, Refused)


def viewer() -> Viewer:
    """Whoever may run commands on the portal's machine may do what its owner may."""
    return Viewer(user=AnonymousUser(), msp_role=OWNER, leaving=leaving_clients())  # type: ignore[arg-type]


def view_of(resource: type[TenantViewSet]) -> Any:
    """The resource, acting as the configuration."""
    base = HttpRequest()
    base.method = "POST"
    request = Request(base)
    request.user, request.auth = AnonymousUser(), None
    base._viewer = acts_for = viewer()  # type: ignore[attr-defined]
    acting = type(resource.__name__, (resource,), {"actor": ACTOR, "viewer": acts_for, "format_kwarg": None})
    view = acting()
    view.request, view.action, view.kwargs = request, "create", {}
    return view


def shown(serializer: BaseSerializer, keep: set[str]) -> BaseSerializer:
    """The serializer with these fields only: what is measured or counted costs queries and is no configuration."""
    for name in set(serializer.fields) - keep:
        serializer.fields.pop(name)
    return serializer


def create(view: Any, body: dict[str, Any]) -> int:
    """Make a row; its id. Raises what the API answers with."""
    serializer = view.get_serializer(data=body)
    serializer.is_valid(raise_exception=True)
    view.perform_create(serializer)
    return int(serializer.instance.pk)


def change(view: Any, row: Any, body: dict[str, Any]) -> None:
    """Change the given fields of a row."""
    serializer = view.get_serializer(row, data=body, partial=True)
    serializer.is_valid(raise_exception=True)
    view.perform_update(serializer)


def complaints(error: Exception) -> dict[str, list[str]]:
    """What a refusal says, by the body's dotted keys."""
    if isinstance(error, drf.ValidationError):
        return dotted(error.detail)
    if isinstance(error, django_errors.ValidationError):
        return of_django(error)
    if isinstance(error, drf.APIException):
        return {BODY: [str(error.detail)]}
    return {BODY: [str(error) or "This is not allowed."]}
