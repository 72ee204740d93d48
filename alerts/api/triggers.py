"""Which alerts go where, over the API? Filters are comma-separated text: OR within a field, AND between, empty = all."""

from __future__ import annotations

from typing import Any

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from alerts import matching, services
from alerts.api.alerts import AlertSerializer
from alerts.models import Alert, Channel, Trigger
from portal.api.base import TenantViewSet
from portal.api.filters import IdFilter
from portal.api.serializers import OwnRow, TenantSerializer
from portal.clock import database_now
from portal.models import Contact, ContactGroup
from portal.tenancy import READ

FILTERS = ("filter_severities", "filter_sources", "filter_scopes", "filter_tags")


class TriggerSerializer(TenantSerializer):
    """A trigger. With a client: only that client's alerts, to that client's own channels and people."""

    name = serializers.CharField(max_length=120)  # unique: the service says it, without regard to case
    weekdays = serializers.CharField(max_length=40, required=False, allow_blank=True)
    reminder_minutes = serializers.IntegerField(
        required=False,
        allow_null=True,
        help_text="5 to 1440: say it again every so many minutes while nobody has acknowledged. null: once.",
    )
    verdict_wait_seconds = serializers.IntegerField(
        required=False,
        help_text="0 to 30: how long the first message may wait for the probable cause, from the first failing check. 0: not at all. Default 8.",
    )
    channel_ids = OwnRow(many=True, required=False, source="channels", queryset=Channel.objects.all())
    contact_ids = OwnRow(many=True, required=False, source="contacts", queryset=Contact.objects.all())
    group_ids = OwnRow(many=True, required=False, source="groups", queryset=ContactGroup.objects.all())

    class Meta:
        model = Trigger
        fields = [
            "id", "client", "name", *FILTERS, "weekdays", "from_time", "until_time", "timezone", "enabled", "notify_on_resolve", "reminder_minutes",
            "verdict_wait_seconds", "channel_ids", "contact_ids", "group_ids", "created_at",
        ]  # fmt: skip
        extra_kwargs = {name: {"max_length": 4000} for name in FILTERS}
        validators: list = []


class TriggerTrialSerializer(TriggerSerializer):
    """A trigger that need not have a name yet."""

    name = serializers.CharField(max_length=120, required=False)


class MatchSerializer(serializers.Serializer):
    """What a trigger would have wanted."""

    matched = serializers.IntegerField(help_text="How many alerts of the last 7 days.")
    looked_at = serializers.IntegerField(help_text=f"Of how many: the newest {matching.MOST} at most.")
    since = serializers.DateTimeField()
    alerts = AlertSerializer(many=True, help_text=f"The newest {matching.SHOWN} of them.")


class TriggerFilter(django_filters.FilterSet):
    """`client`, `enabled`, `name`."""

    client = IdFilter(field_name="client_id")

    class Meta:
        model = Trigger
        fields = ["enabled", "name"]


class Triggers(TenantViewSet):
    """Which alerts go to which channels, people and groups."""

    queryset = Trigger.objects.prefetch_related("channels", "contacts", "groups").order_by("-id")
    serializer_class = TriggerSerializer
    filterset_class = TriggerFilter

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.instance = services.save_trigger(None, by=self.actor, **serializer.validated_data)

    def perform_update(self, serializer: BaseSerializer) -> None:
        row = services.save_trigger(serializer.instance, by=self.actor, **serializer.validated_data)
        row._prefetched_objects_cache = {}  # the lists may be others now

    def perform_destroy(self, instance: Trigger) -> None:
        services.delete_trigger(instance, by=self.actor)

    @extend_schema(request=TriggerTrialSerializer, responses=MatchSerializer)
    @action(detail=False, methods=["post"], required_scope=READ)
    def preview(self, request: Request, **kwargs: Any) -> Response:
        """Which alerts of the last 7 days a trigger with this body would have wanted. Nothing is stored."""
        said = TriggerTrialSerializer(data=request.data, context=self.get_serializer_context())
        said.is_valid(raise_exception=True)
        seen = matching.recent(self.viewer, database_now())
        wanted = seen.wanted_by(matching.trial(said.validated_data))
        shown = Alert.objects.filter(pk__in=[a.pk for a in wanted[: matching.SHOWN]])
        shown = shown.select_related("client").order_by("-pk")
        body = {"matched": len(wanted), "looked_at": len(seen.alerts), "since": seen.since, "alerts": shown}
        return Response(MatchSerializer(body).data)
