"""What is every resource of the API made of? `TenantViewSet`: the caller's rows only, writes through services.

    class Sites(TenantViewSet):
        queryset = Site.objects.select_related("client")
        serializer_class = SiteSerializer
        filterset_fields = ["client"]

        def perform_create(self, serializer):
            serializer.instance = services.create_site(by=self.actor, **serializer.validated_data)

`required_scope` (default write; an `@action(..., required_scope="ack")` may say otherwise) is asked of the token and of
the role on the row's client. `self.viewer` is the portal.tenancy.Viewer, `self.actor` the portal.audit.Actor.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import mixins, viewsets
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.serializers import BaseSerializer

from portal.api.idempotency import Idempotent
from portal.api.permissions import OwnersOnly, verb_of
from portal.audit import Actor
from portal.ownership import client_id_from
from portal.tenancy import ADMINISTER, Viewer, viewer_of


class Router(SimpleRouter):
    """Routes that answer with and without a final slash, never by redirect."""

    def __init__(self) -> None:
        super().__init__()
        self.trailing_slash = "/?"


class PortalViewSet(Idempotent, viewsets.GenericViewSet):
    """Who asks, and repeatable writes. For resources that are not lists of a tenant's rows."""

    required_scope: str | None = None
    read_scope: str | None = None

    @property
    def viewer(self) -> Viewer:
        """Who asks, and what they may see."""
        return viewer_of(self.request)

    @property
    def actor(self) -> Actor:
        """Who acts, for services and the audit log."""
        return Actor.of(self.request)


class TenantRows(PortalViewSet):
    """The part that TenantViewSet and ReadOnlyTenantViewSet share: only rows that the caller sees."""

    def get_queryset(self) -> QuerySet:
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows.none()
        return rows.for_user(self.request)


class ReadOnlyTenantViewSet(mixins.RetrieveModelMixin, mixins.ListModelMixin, TenantRows):
    """list and retrieve."""


class TenantViewSet(mixins.CreateModelMixin, mixins.UpdateModelMixin, mixins.DestroyModelMixin, ReadOnlyTenantViewSet):
    """list, retrieve, create, change (PUT as PATCH: the given fields) and delete of a tenant's rows."""

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        self.check_owner(serializer)
        self.perform_create(serializer)
        return Response(serializer.data, status=201)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        row = self.get_object()
        serializer = self.get_serializer(row, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        self.perform_update(serializer)
        return Response(serializer.data)

    def check_owner(self, serializer: BaseSerializer) -> None:
        """May the caller make a row of that client? 403 otherwise; foreign clients were refused at the field before."""
        client_id = client_id_from(self.get_queryset().model, serializer.validated_data)
        if not self.viewer.may(verb_of(self.request, self), client_id):
            where = "of this client" if client_id else "without a client"
            raise PermissionDenied(f"Your role or your token does not allow making one {where}.")


class OwnersViewSet(PortalViewSet):
    """Resources that only owners see: for everybody else their rows do not exist."""

    permission_classes = [OwnersOnly]

    def get_queryset(self) -> QuerySet:
        rows = super().get_queryset()
        fake = getattr(self, "swagger_fake_view", False)
        return rows.none() if fake or not self.viewer.may(ADMINISTER, None) else rows
