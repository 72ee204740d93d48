"""What do clients ask to be worked on, over the API? Requests for maintenance: asked, listed, answered."""

from __future__ import annotations

from typing import Any

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import requesting
from alerts.models import MaintenanceRequest
from portal.api.base import ReadOnlyTenantViewSet
from portal.api.filters import IdFilter
from portal.api.permissions import verb_of
from portal.api.serializers import OwnRow, TenantSerializer
from portal.clock import database_now
from portal.models import Client
from portal.tenancy import ACK, WRITE


class MaintenanceRequestSerializer(TenantSerializer):
    """A request for a maintenance window. It hides nothing until our staff accepts it; `window` is what that made."""

    client = OwnRow(queryset=Client.objects.all())
    title = serializers.CharField(max_length=200)
    note = serializers.CharField(required=False, allow_blank=True, max_length=requesting.LONGEST_NOTE, help_text="For our staff.")  # fmt: skip
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    timezone = serializers.CharField(required=False, max_length=64, help_text="As Europe/Lisbon: how times are said.")
    scopes = serializers.ListField(
        child=serializers.CharField(max_length=140),
        required=False,
        help_text="monitor:7, site:1, service:5. Empty: everything of the client's.",
    )
    asked_by = serializers.CharField(source="asked_name", read_only=True)

    class Meta:
        model = MaintenanceRequest
        fields = [
            "id", "client", "title", "note", "starts_at", "ends_at", "timezone", "scopes", "state", "asked_by", "created_at", "decided_at", "decided_by",
            "reason", "window",
        ]  # fmt: skip
        read_only_fields = ["state", "created_at", "decided_at", "decided_by", "reason", "window"]


class AcceptedRequestSerializer(serializers.Serializer):
    """Words that go to the asker."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=requesting.LONGEST_REASON)


class DeclinedRequestSerializer(serializers.Serializer):
    """Why not: the asker reads it."""

    reason = serializers.CharField(max_length=requesting.LONGEST_REASON)


class RequestFilter(django_filters.FilterSet):
    """?client=3&state=requested"""

    client = IdFilter(field_name="client_id")
    state = django_filters.ChoiceFilter(choices=MaintenanceRequest.State.choices)

    class Meta:
        model = MaintenanceRequest
        fields: list[str] = []


class Requests(ReadOnlyTenantViewSet):
    """Requests for maintenance. A client's admins and approvers ask (scope ack); our staff accepts or declines (write)."""

    queryset = MaintenanceRequest.objects.order_by("-pk")
    serializer_class = MaintenanceRequestSerializer
    filterset_class = RequestFilter
    required_scope = ACK

    @extend_schema(request=MaintenanceRequestSerializer, responses={201: MaintenanceRequestSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Ask for a window, once. Our staff is told."""
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = dict(asked.validated_data)
        client = values.pop("client")
        if not self.viewer.may(verb_of(request, self), client.pk):
            raise PermissionDenied("Your role or your token does not allow asking for this client.")
        row = requesting.ask(client, user=request.user, by=self.actor, at=database_now(), **values)
        return Response(self.get_serializer(row).data, status=201)

    def _ours(self) -> None:
        if not self.viewer.may(WRITE, None):
            raise PermissionDenied("Requests are answered by our staff.")

    @extend_schema(request=AcceptedRequestSerializer, responses=MaintenanceRequestSerializer)
    @action(detail=True, methods=["post"], required_scope=WRITE)
    def accept(self, request: Request, **kwargs: Any) -> Response:
        """Plan the window it asks for; the asker is mailed. 409 when it was answered, or its time is over."""
        row = self.get_object()
        self._ours()
        said = AcceptedRequestSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        words = said.validated_data.get("reason", "")
        row = requesting.accept(row, by=self.actor, at=database_now(), words=words)
        return Response(self.get_serializer(row).data)

    @extend_schema(request=DeclinedRequestSerializer, responses=MaintenanceRequestSerializer)
    @action(detail=True, methods=["post"], required_scope=WRITE)
    def decline(self, request: Request, **kwargs: Any) -> Response:
        """Say no, and why; the asker is mailed. 409 when it was answered."""
        row = self.get_object()
        self._ours()
        said = DeclinedRequestSerializer(data=request.data)
        said.is_valid(raise_exception=True)
        row = requesting.decline(row, by=self.actor, at=database_now(), reason=said.validated_data["reason"])
        return Response(self.get_serializer(row).data)

    @extend_schema(request=None, responses=MaintenanceRequestSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, **kwargs: Any) -> Response:
        """It is not wanted any more. 409 when it was answered."""
        row = requesting.withdraw(self.get_object(), by=self.actor, at=database_now())
        return Response(self.get_serializer(row).data)
