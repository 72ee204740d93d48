"""What do silences and maintenance windows have in common over the API? What they hid, and what they would cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Count, F, Model, QuerySet, Window
from django.db.models.functions import DenseRank
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import quiet
from alerts.api.alerts import AlertSerializer
from alerts.models import Alert, Delivery
from alerts.snapshot import alert_body
from portal.clock import database_now

MOST_HID = 50
MOST_SHOWN = 100


def hid(rows: Sequence[Model], field: str) -> dict[int, tuple[int, list[int]]]:
    """(how many alerts, the newest of their ids) by row: two queries for any number. `field` is Delivery's: silence, window."""
    kept = Delivery.objects.filter(**{f"{field}__in": rows}, alert__isnull=False).order_by()
    counts = dict(kept.values_list(f"{field}_id").annotate(n=Count("alert_id", distinct=True)))
    rank = Window(DenseRank(), partition_by=F(f"{field}_id"), order_by=F("alert_id").desc())
    newest = kept.annotate(rank=rank).filter(rank__lte=MOST_HID)
    alerts: dict[int, list[int]] = {}
    for row_id, alert_id in sorted(set(newest.values_list(f"{field}_id", "alert_id")), reverse=True):
        alerts.setdefault(row_id, []).append(alert_id)
    return {row.pk: (counts.get(row.pk, 0), alerts.get(row.pk, [])) for row in rows}


class HiddenSerializer(AlertSerializer):
    """An alert, with how many of its messages were held."""

    hidden_messages = serializers.IntegerField(read_only=True)

    class Meta(AlertSerializer.Meta):
        fields = [*AlertSerializer.Meta.fields, "hidden_messages"]
        read_only_fields = fields

    def to_representation(self, alert: Alert) -> dict[str, Any]:
        return {**alert_body(alert), "hidden_messages": alert.hidden_messages}  # type: ignore[attr-defined]


class SpanSerializer(serializers.Serializer):
    """One occurrence."""

    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()


class WatchedSerializer(serializers.Serializer):
    """A monitor that would be covered."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    client = serializers.IntegerField()
    state = serializers.CharField()


class PreviewSerializer(serializers.Serializer):
    """What it would cover if it ran now, and its next five occurrences. Of what the caller sees; nothing is stored."""

    monitors = WatchedSerializer(many=True, help_text=f"The first {MOST_SHOWN}.")
    monitor_count = serializers.IntegerField()
    alerts = AlertSerializer(many=True, help_text=f"Open ones, the newest {MOST_SHOWN}.")
    alert_count = serializers.IntegerField()
    occurrences = SpanSerializer(many=True)


class Quiet:
    """`/{id}/hidden` and `/preview`, for a view set of silences or of windows. `planned(values)` gives the unsaved row."""

    @extend_schema(responses=HiddenSerializer(many=True), filters=False)
    @action(detail=True)
    def hidden(self: Any, request: Request, **kwargs: Any) -> Response:
        """The alerts whose messages it held, newest first, with how many messages."""
        page = self.paginate_queryset(quiet.hidden(self.get_object(), self.viewer))
        return self.get_paginated_response(HiddenSerializer(page, many=True).data)

    @extend_schema(responses=PreviewSerializer, filters=False)
    @action(detail=False, methods=["post"])
    def preview(self: Any, request: Request, **kwargs: Any) -> Response:
        """Which monitors and open alerts this would cover, and when it runs next. The body is that of a new one."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        self.check_owner(serializer)
        at = database_now()
        seen = quiet.preview(self.planned(serializer.validated_data, at), viewer=self.viewer, at=at)
        body = {
            "monitors": seen.monitors[:MOST_SHOWN], "monitor_count": seen.monitor_count, "alerts": seen.alerts[:MOST_SHOWN],
            "alert_count": len(seen.alerts), "occurrences": [{"starts_at": a, "ends_at": b} for a, b in seen.occurrences],
        }  # fmt: skip
        return Response(PreviewSerializer(body).data)


def without(rows: QuerySet, states: dict[int, str], *unwanted: str) -> QuerySet:
    """The rows whose state, as worked out, is none of these."""
    return rows.exclude(pk__in=[pk for pk, state in states.items() if state in unwanted])
