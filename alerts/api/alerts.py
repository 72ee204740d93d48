"""What is wrong, over the API, and what people do about it."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import acts, filters, quiet
from alerts.api.deliveries import DeliverySerializer, with_attempts
from alerts.api.policies import RunSerializer, bodies, runs_of
from alerts.models import Alert, Delivery, Run
from alerts.models.alert import Severity
from alerts.snapshot import alert_body
from portal.api.base import ReadOnlyTenantViewSet
from portal.api.filters import IdFilter
from portal.clock import database_now
from portal.tenancy import ACK

ACTIVE = "active"


class AlertSerializer(serializers.ModelSerializer):
    """An alert, as webhooks show it, too. `entity_id` is a number where it is one."""

    type = serializers.CharField(read_only=True, help_text="The event's whole public name, as monitor.down.")
    entity_id = serializers.JSONField()
    client = serializers.IntegerField(source="client_id", allow_null=True)
    site_id = serializers.IntegerField(allow_null=True)
    service_id = serializers.IntegerField(allow_null=True)
    report_url = serializers.CharField(allow_null=True, read_only=True)
    hold_reason = serializers.CharField(
        allow_null=True, help_text="Why nobody is told: silenced, explained_by_parent …"
    )
    is_resolved = serializers.BooleanField(read_only=True)

    class Meta:
        model = Alert
        fields = [
            "id", "source", "event", "type", "severity", "status", "entity_type", "entity_id", "entity_name", "monitor_id", "client", "site_id",
            "service_id", "incident_id", "title", "message", "verdict", "evidence", "report_url", "hold_reason", "snoozed_until", "created_at",
            "notified_at", "acknowledged_at", "acknowledged_by", "resolved_at", "is_resolved",
        ]  # fmt: skip
        read_only_fields = fields

    def to_representation(self, alert: Alert) -> dict[str, Any]:
        return alert_body(alert)


class AlertFilter(django_filters.FilterSet):
    """`source`, `severity`, `status` (active, open, acknowledged, resolved), `client`, `site_id`, `resolved` …"""

    source = django_filters.ChoiceFilter(choices=[(s, s) for s in filters.SOURCES])
    severity = django_filters.ChoiceFilter(choices=Severity.choices)
    status = django_filters.ChoiceFilter(choices=[(ACTIVE, "Active"), *Alert.Status.choices], method="of_status")
    client = IdFilter(field_name="client_id")
    site_id = IdFilter(field_name="site_id")
    service_id = IdFilter(field_name="service_id")
    monitor_id = IdFilter(field_name="monitor_id")
    incident_id = IdFilter(field_name="incident_id")
    resolved = django_filters.BooleanFilter(field_name="resolved_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = Alert
        fields: list[str] = []

    def of_status(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(resolved_at=None) if value == ACTIVE else rows.filter(status=value)


class AlertAcknowledgeSerializer(serializers.Serializer):
    """Who has it."""

    acknowledged_by = serializers.CharField(
        required=False, allow_blank=True, max_length=200, help_text="Default: who calls."
    )


class AlertSnoozeSerializer(serializers.Serializer):
    """How long to be quiet: minutes, or until it has recovered."""

    minutes = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=acts.LONGEST_SNOOZE_MINUTES
    )
    until_recovered = serializers.BooleanField(required=False, default=False)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if (values.get("minutes") is None) != values["until_recovered"]:
            raise serializers.ValidationError({"minutes": ["Give minutes, or until_recovered: true."]})
        return values


class Alerts(ReadOnlyTenantViewSet):
    """What is or was wrong, newest first."""

    queryset = Alert.objects.order_by("-id")
    serializer_class = AlertSerializer
    filterset_class = AlertFilter

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        return super().filter_queryset(queryset) if self.action in ("list", "active") else queryset

    @extend_schema(responses=AlertSerializer(many=True))
    @action(detail=False)
    def active(self, request: Request) -> Response:
        """Those that are not resolved, held ones included."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset().filter(resolved_at=None)))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(responses=DeliverySerializer(many=True), filters=False)
    @action(detail=True)
    def deliveries(self, request: Request, **kwargs: Any) -> Response:
        """Its messages, one per channel and occasion, with every attempt; those that the caller's own channels got."""
        rows = with_attempts(Delivery.objects.for_user(request).filter(alert=self.get_object()))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(DeliverySerializer(page, many=True).data)

    @extend_schema(responses=RunSerializer(many=True), filters=False)
    @action(detail=True, url_path="escalation-runs")
    def escalation_runs(self, request: Request, **kwargs: Any) -> Response:
        """Who was called for it by which policy, and who is next; runs of the caller's own policies, newest first."""
        page = self.paginate_queryset(runs_of(Run.objects.for_user(request).filter(alert=self.get_object())))
        return self.get_paginated_response(bodies(page, request))

    @extend_schema(request=AlertAcknowledgeSerializer, responses=AlertSerializer)
    @action(detail=True, methods=["post"], required_scope=ACK)
    def acknowledge(self, request: Request, **kwargs: Any) -> Response:
        """Somebody has it: escalation stops, the alert stays open. Again is harmless; resolved already is 409."""
        alert = self.get_object()
        body = AlertAcknowledgeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        name = body.validated_data.get("acknowledged_by", "")
        return Response(alert_body(acts.acknowledge(alert, by=self.actor, at=database_now(), name=name)))

    @extend_schema(request=None, responses=AlertSerializer)
    @action(detail=True, methods=["post", "patch"], required_scope=ACK)
    def resolve(self, request: Request, **kwargs: Any) -> Response:
        """It is over. Should it still fail at the next check, a new alert opens. Resolved already is 409."""
        return Response(alert_body(acts.resolve(self.get_object(), by=self.actor, at=database_now())))

    @extend_schema(request=AlertSnoozeSerializer, responses=AlertSerializer)
    @action(detail=True, methods=["post"], required_scope=ACK)
    def snooze(self, request: Request, **kwargs: Any) -> Response:
        """Quiet for some minutes or until it has recovered."""
        alert = self.get_object()
        body = AlertSnoozeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(
            alert_body(acts.snooze(alert, by=self.actor, at=database_now(), minutes=body.validated_data.get("minutes")))
        )

    @extend_schema(request=None, responses=AlertSerializer)
    @action(detail=True, methods=["post"], required_scope=ACK)
    def unsnooze(self, request: Request, **kwargs: Any) -> Response:
        """Speak of it again now. Not snoozed, or resolved already, is 409."""
        return Response(alert_body(quiet.unsnooze(self.get_object(), by=self.actor, at=database_now())))
