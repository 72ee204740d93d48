"""What became of each message, over the API? Deliveries with their attempts, and the log of all attempts."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Prefetch, Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import acts
from alerts.models import Attempt, Delivery, Notice
from portal.api.base import ReadOnlyTenantViewSet
from portal.api.filters import IdFilter
from portal.clock import database_now


class AttemptSerializer(serializers.ModelSerializer):
    """One try, as the vendor answered it."""

    class Meta:
        model = Attempt
        fields = ["at", "outcome", "response_code", "duration_ms", "error", "answer"]


class DeliverySerializer(serializers.ModelSerializer):
    """One message to one channel."""

    event = serializers.CharField(source="notice.event")
    type = serializers.CharField(source="notice.type")
    kind = serializers.CharField(help_text="The occasion: opened, escalated, reminder, acknowledged, recovered …")
    alert = serializers.IntegerField(source="alert_id", allow_null=True)
    channel = serializers.IntegerField(
        source="channel_id", allow_null=True, help_text="None: to a status page's reader."
    )
    channel_name = serializers.CharField(
        source="channel.name", default="", help_text="Empty: to a status page's reader."
    )
    contact = serializers.IntegerField(source="contact_id", allow_null=True)
    client = serializers.IntegerField(source="client_id", allow_null=True, help_text="Whose alert it tells.")
    carried_by = serializers.IntegerField(
        source="carried_by_id", allow_null=True, help_text="The delivery of the message it was gathered into."
    )
    attempts = AttemptSerializer(many=True)

    class Meta:
        model = Delivery
        fields = [
            "id", "alert", "channel", "channel_name", "contact", "client", "kind", "event", "type", "state", "reason", "hold_reason", "via", "carried_by",
            "created_at", "next_attempt_at", "finished_at", "attempts",
        ]  # fmt: skip
        read_only_fields = fields


def with_attempts(rows: QuerySet) -> QuerySet:
    """What the serializer shows, in three queries for any number of rows."""
    return (
        rows.select_related("notice", "channel")
        .prefetch_related(Prefetch("attempts", Attempt.objects.order_by("n")))
        .order_by("-id")
    )


class DeliveryFilter(django_filters.FilterSet):
    """`alert` (also gathered messages that carried it), `client` (whose alert), `channel`, `state`, `kind`."""

    alert = IdFilter(method="about")
    client = IdFilter(field_name="client_id")
    channel = IdFilter(field_name="channel_id")
    state = django_filters.ChoiceFilter(choices=Delivery.State.choices)
    kind = django_filters.ChoiceFilter(choices=Notice.Kind.choices)

    class Meta:
        model = Delivery
        fields: list[str] = []

    def about(self, rows: QuerySet, name: str, value: Any) -> QuerySet:
        carriers = Delivery.objects.filter(alert_id=value, carried_by__isnull=False).values("carried_by")
        return rows.filter(Q(alert_id=value) | Q(pk__in=carriers))


class Deliveries(ReadOnlyTenantViewSet):
    """Messages to the caller's channels, newest first."""

    queryset = with_attempts(Delivery.objects.all())
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilter

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    @extend_schema(request=None, responses=DeliverySerializer)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, **kwargs: Any) -> Response:
        """Try a failed one anew, with a fresh ladder of attempts. Anything else is 409."""
        row = acts.retry(self.get_object(), by=self.actor, at=database_now())
        return Response(DeliverySerializer(with_attempts(Delivery.objects.filter(pk=row.pk)).get()).data)


class LogSerializer(serializers.ModelSerializer):
    """One attempt, with what it was about."""

    delivery = serializers.IntegerField(source="delivery_id")
    alert = serializers.IntegerField(source="delivery.alert_id", allow_null=True)
    client = serializers.IntegerField(source="delivery.client_id", allow_null=True)
    channel = serializers.IntegerField(source="delivery.channel_id", allow_null=True)
    channel_name = serializers.CharField(source="delivery.channel.name", default="")
    channel_type = serializers.CharField(source="delivery.channel.type", default="")
    event = serializers.CharField(source="delivery.notice.event")
    type = serializers.CharField(source="delivery.notice.type")
    state = serializers.CharField(source="delivery.state", help_text="What became of the delivery in the end, so far.")

    class Meta:
        model = Attempt
        fields = [
            "id", "delivery", "alert", "client", "channel", "channel_name", "channel_type", "event", "type", "state",
            "n", "at", "outcome", "response_code", "duration_ms", "error", "answer",
        ]  # fmt: skip
        read_only_fields = fields


class LogFilter(django_filters.FilterSet):
    """`alert` (also gathered messages that carried it), `client`, `channel`, `state` (the delivery's), `outcome`."""

    alert = IdFilter(method="about")
    client = IdFilter(field_name="delivery__client_id")
    channel = IdFilter(field_name="delivery__channel_id")
    delivery = IdFilter(field_name="delivery_id")
    state = django_filters.ChoiceFilter(field_name="delivery__state", choices=Delivery.State.choices)
    outcome = django_filters.ChoiceFilter(
        choices=[(o, o) for o in ("delivered", "retry", "permanent", "ambiguous", "lost")]
    )

    class Meta:
        model = Attempt
        fields: list[str] = []

    def about(self, rows: QuerySet, name: str, value: Any) -> QuerySet:
        carriers = Delivery.objects.filter(alert_id=value, carried_by__isnull=False).values("carried_by")
        return rows.filter(Q(delivery__alert_id=value) | Q(delivery__in=carriers))


class NotificationLog(ReadOnlyTenantViewSet):
    """Every attempt to deliver to the caller's channels, newest first."""

    queryset = Attempt.objects.select_related("delivery__channel", "delivery__notice").order_by("-id")
    serializer_class = LogSerializer
    filterset_class = LogFilter
