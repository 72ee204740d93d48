"""What waits in the trash, over the API? List, put back, delete for good: the doors of the page."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from portal import trash
from portal.api.base import ReadOnlyTenantViewSet
from portal.clock import database_now
from portal.models import TrashEntry
from portal.tenancy import WRITE


class TrashEntrySerializer(serializers.ModelSerializer):
    """One thing in the trash. `client` is null for our own things, and for a client itself."""

    label = serializers.SerializerMethodField(help_text="What it is, as Monitor.")
    until = serializers.SerializerMethodField(help_text="It goes for good then.")

    class Meta:
        model = TrashEntry
        fields = ["id", "client", "kind", "label", "object_id", "name", "deleted_at", "deleted_by", "until"]
        read_only_fields = fields

    def get_label(self, entry: TrashEntry) -> str:
        return trash.kind_of(entry).label

    @extend_schema_field(serializers.DateTimeField)
    def get_until(self, entry: TrashEntry) -> datetime:
        return trash.until(entry)


class BackSerializer(serializers.Serializer):
    """Another name, where something else has the old one by now."""

    name = serializers.CharField(required=False, allow_blank=True, max_length=120)


class BackAgainSerializer(serializers.Serializer):
    """What came back, and what of it is not as before."""

    kind = serializers.CharField()
    object_id = serializers.IntegerField()
    not_as_before = serializers.ListField(child=serializers.CharField())


class Trash(ReadOnlyTenantViewSet):
    """What was deleted in the last 30 days: for who may put it back."""

    queryset = TrashEntry.objects.all()
    serializer_class = TrashEntrySerializer
    filterset_fields = ["client", "kind"]
    read_scope = WRITE

    @extend_schema(request=BackSerializer, responses=BackAgainSerializer)
    @action(detail=True, methods=["post"], url_path="put-back", url_name="put-back", filterset_fields=None)
    def put_back(self, request: Request, pk: str) -> Response:
        """It is there again as it was; 400 at `name` when something else is called so by now."""
        entry = self.get_object()
        body = BackSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        said: list[str] = trash.put_back(entry, by=self.actor, at=database_now(), name=body.validated_data.get("name", "").strip())  # fmt: skip
        return Response({"kind": entry.kind, "object_id": entry.object_id, "not_as_before": said})

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete it for good, with its history. Nobody can bring it back."""
        trash.purge(self.get_object(), by=self.actor, at=database_now())
        return Response(status=204)
