"""The installation over the API: provider accounts for owners, and the audit log."""

from __future__ import annotations

import re
from typing import Any

import django_filters
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from portal import providers
from portal.api.base import OwnersViewSet, ReadOnlyTenantViewSet
from portal.api.filters import IdFilter
from portal.api.serializers import SecretMap
from portal.models import AuditEntry, ProviderSettings
from portal.tenancy import viewer_of


class ProviderSerializer(serializers.ModelSerializer):
    """A provider's account for all channels of its kind."""

    provider = serializers.CharField(max_length=32)
    config = serializers.DictField(required=False)
    secrets = SecretMap()
    has_secret = serializers.SerializerMethodField()

    class Meta:
        model = ProviderSettings
        fields = ["provider", "config", "secrets", "has_secret", "updated_at"]

    def get_has_secret(self, row: ProviderSettings) -> bool:
        return bool(row.secrets)

    def validate_provider(self, name: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9_]{1,31}", name):
            raise serializers.ValidationError("Write it in small letters, as telegram or twilio.")
        if self.instance is not None and name != self.instance.provider:
            raise serializers.ValidationError("This cannot be changed; make a new one instead.")
        return name


class Providers(
    mixins.CreateModelMixin, mixins.DestroyModelMixin, mixins.RetrieveModelMixin, mixins.ListModelMixin, OwnersViewSet
):
    """Accounts with message providers, by the provider's name."""

    queryset = ProviderSettings.objects.all()
    serializer_class = ProviderSerializer
    lookup_field = "provider"

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.instance = providers.create(by=self.actor, **serializer.validated_data)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        row = self.get_object()
        serializer = self.get_serializer(row, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        values = {n: v for n, v in serializer.validated_data.items() if n != "provider"}
        providers.change(row, by=self.actor, **values)
        return Response(self.get_serializer(row).data)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.update(request, *args, **kwargs)

    def perform_destroy(self, instance: ProviderSettings) -> None:
        providers.remove(instance, by=self.actor)


class AuditEntrySerializer(serializers.ModelSerializer):
    """One act. `client` null is the MSP's own chain."""

    client = serializers.IntegerField(source="client_id", allow_null=True)

    class Meta:
        model = AuditEntry
        fields = [
            "id",
            "client",
            "at",
            "actor",
            "ip",
            "request_id",
            "action",
            "subject",
            "subject_name",
            "before",
            "after",
            "seq",
            "hash",
        ]

    def to_representation(self, row: AuditEntry) -> dict[str, Any]:
        body = super().to_representation(row)
        viewer = viewer_of(self.context["request"]) if "request" in self.context else None
        if row.subject.startswith("client:") and (viewer is None or not viewer.msp_role):
            for side in ("before", "after"):  # what staff write about a client is not for its people
                body[side] = {name: value for name, value in (body[side] or {}).items() if name != "notes"}
        return body


class AuditFilter(django_filters.FilterSet):
    """`client`, `action`, `subject` (as site:3), `actor`, `since` and `until` (RFC 3339)."""

    client = IdFilter(field_name="client_id")
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = AuditEntry
        fields = ["action", "subject", "actor"]


class AuditLog(ReadOnlyTenantViewSet):
    """Who did what, newest first. Read only."""

    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    filterset_class = AuditFilter
