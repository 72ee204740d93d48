"""What do scripts read that were written for Probr's `/api/alerts`? The same keys, as a bare list (SPEC 19)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework import serializers
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import acts
from alerts.api.alerts import AlertFilter
from alerts.models import Alert
from alerts.snapshot import moment
from portal.api.base import TenantRows
from portal.api.errors import bad
from portal.clock import database_now
from portal.tenancy import ACK

LIMIT, MOST = 100, 1000


class CompatibleAlertSerializer(serializers.Serializer):
    """An alert in Probr's words."""

    id = serializers.IntegerField()
    site_id = serializers.IntegerField(allow_null=True)
    probe_config_id = serializers.IntegerField(allow_null=True, help_text="The monitor.")
    severity = serializers.CharField()
    probe_type = serializers.CharField(help_text="The monitor's kind; http is http_health.")
    title = serializers.CharField()
    message = serializers.CharField()
    is_resolved = serializers.BooleanField()
    resolved_at = serializers.DateTimeField(allow_null=True)
    notified_at = serializers.DateTimeField(allow_null=True, help_text="When the first message was accepted.")
    created_at = serializers.DateTimeField()


def body(alert: Alert) -> dict[str, Any]:
    """Exactly these keys."""
    kind = {"http": "http_health"}.get(alert.kind, alert.kind or alert.source)
    host = (urlsplit(alert.site.url).hostname or "") if alert.site else ""
    return {
        "id": alert.pk, "site_id": alert.site_id, "probe_config_id": alert.monitor_id, "severity": alert.severity, "probe_type": kind,
        "title": f"[{alert.severity.upper()}] {kind} — {host or alert.entity_name}", "message": alert.message, "is_resolved": alert.is_resolved,
        "resolved_at": moment(alert.resolved_at), "notified_at": moment(alert.notified_at), "created_at": moment(alert.created_at),
    }  # fmt: skip


class First(BasePagination):
    """The first `limit` rows as a bare list: 100, at most 1000."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list:
        raw = request.query_params.get("limit") or str(LIMIT)
        if not raw.isascii() or not raw.isdigit() or len(raw) > 9 or int(raw) < 1:
            raise bad({"limit": f"{raw[:20]!r} is not a number from 1 to {MOST}."})
        return list(queryset[: min(int(raw), MOST)])

    def get_paginated_response(self, data: list) -> Response:
        return Response(data)


class CompatibleAlerts(TenantRows):
    """Alerts for scripts written for Probr."""

    queryset = Alert.objects.select_related("site").order_by("-id")
    serializer_class = CompatibleAlertSerializer
    filterset_class = AlertFilter
    pagination_class = First

    @extend_schema(
        operation_id="compatible_alerts_list",
        responses=CompatibleAlertSerializer(many=True),
        parameters=[OpenApiParameter("limit", OpenApiTypes.INT, description=f"Default {LIMIT}, at most {MOST}.")],
    )
    def list(self, request: Request) -> Response:
        """Newest first, as a bare list."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response([body(alert) for alert in page])

    @extend_schema(operation_id="compatible_alerts_resolve", request=None, responses=CompatibleAlertSerializer)
    def resolve(self, request: Request, pk: str) -> Response:
        """It is over."""
        acts.resolve(self.get_object(), by=self.actor, at=database_now())
        return Response(body(self.get_queryset().get(pk=pk)))


alerts_list = CompatibleAlerts.as_view({"get": "list"})
alerts_resolve = CompatibleAlerts.as_view({"patch": "resolve"}, required_scope=ACK)
