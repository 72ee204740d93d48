"""How are outside systems' keys looked after over the API? The key itself stands only in the answer that made it."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiTypes, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from alerts import integrations
from alerts.inbound import generic, taking
from alerts.inbound.event import Invalid
from alerts.models import Integration
from portal.api.base import TenantViewSet
from portal.api.errors import bad
from portal.api.filters import IdFilter
from portal.api.serializers import TagNames, TenantSerializer


class IntegrationSerializer(TenantSerializer):
    """An outside system's key. The key itself stands only in the answer that made it."""

    tags = TagNames()
    mapping = serializers.DictField(
        required=False,
        help_text='For kind generic: {"title": "$.alert.title", "severity": {"path", "values", "default"}, …}.',
    )
    url = serializers.SerializerMethodField(help_text="Where to post; `?key=` is added there.")

    class Meta:
        model = Integration
        fields = [
            "id", "client", "site", "service", "name", "kind", "key_hint", "url", "mapping", "tags", "enabled",
            "last_event_at", "last_problem", "created_at",
        ]  # fmt: skip
        read_only_fields = ["key_hint", "last_event_at", "last_problem"]
        fixed = ("client", "kind")

    def get_url(self, row: Integration) -> str:
        return integrations.address(row)


class WithKeySerializer(IntegrationSerializer):
    """The same with the new key."""

    key = serializers.CharField(read_only=True, help_text="Shown once.")

    class Meta(IntegrationSerializer.Meta):
        fields = [*IntegrationSerializer.Meta.fields, "key"]


class TriedBodySerializer(serializers.Serializer):
    """A body to try, perhaps with a mapping that is not saved yet."""

    body = serializers.JSONField()
    mapping = serializers.DictField(required=False)


class IntegrationFilter(django_filters.FilterSet):
    """`client`, `kind`, `enabled`, `name`."""

    client = IdFilter(field_name="client_id")

    class Meta:
        model = Integration
        fields = ["kind", "enabled", "name"]


class Integrations(TenantViewSet):
    """Which outside systems may raise alerts here."""

    queryset = Integration.objects.all()
    serializer_class = IntegrationSerializer
    filterset_class = IntegrationFilter

    def get_queryset(self) -> QuerySet:
        return super().get_queryset().order_by("-id")

    @extend_schema(responses={201: WithKeySerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Make one. `key` stands in this answer and nowhere else."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        self.check_owner(serializer)
        row, plain = integrations.create(by=self.actor, **serializer.validated_data)
        return Response({**self.get_serializer(row).data, "key": plain}, status=201)

    def perform_update(self, serializer: BaseSerializer) -> None:
        integrations.change(serializer.instance, by=self.actor, **serializer.validated_data)

    def perform_destroy(self, instance: Integration) -> None:
        integrations.delete(instance, by=self.actor)

    @extend_schema(request=None, responses=WithKeySerializer)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, **kwargs: Any) -> Response:
        """A new key, shown in this answer. The old one opens nothing from now on."""
        row = self.get_object()
        plain = integrations.rotate(row, by=self.actor)
        return Response({**self.get_serializer(row).data, "key": plain})

    @extend_schema(request=TriedBodySerializer, responses=OpenApiTypes.OBJECT)
    @action(detail=True, methods=["post"])
    def preview(self, request: Request, **kwargs: Any) -> Response:
        """What would happen if this body came in. Nothing is stored, nobody is told."""
        row = self.get_object()
        given = TriedBodySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        if "mapping" in given.validated_data and row.kind == Integration.Kind.GENERIC:
            try:
                row.mapping = generic.settle(given.validated_data["mapping"])
            except generic.Mistakes as error:
                raise bad(error.fields) from None
        try:
            found = taking.read(row, given.validated_data["body"])
        except Invalid as error:
            raise bad({"body": error.errors}) from None
        return Response({"events": taking.would(row, found)})
