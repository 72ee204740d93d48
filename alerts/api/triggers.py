"""Which alerts go where, over the API? Filters are comma-separated text: OR within a field, AND between, empty = all."""

from __future__ import annotations

import django_filters
from rest_framework import serializers
from rest_framework.serializers import BaseSerializer

from alerts import services
from alerts.models import Channel, Trigger
from portal.api.base import TenantViewSet
from portal.api.filters import IdFilter
from portal.api.serializers import OwnRow, TenantSerializer
from portal.models import Contact, ContactGroup

FILTERS = ("filter_severities", "filter_sources", "filter_scopes", "filter_tags")


class TriggerSerializer(TenantSerializer):
    """A trigger. With a client: only that client's alerts, to that client's own channels and people."""

    name = serializers.CharField(max_length=120)  # unique: the service says it, without regard to case
    weekdays = serializers.CharField(max_length=40, required=False, allow_blank=True)
    channel_ids = OwnRow(many=True, required=False, source="channels", queryset=Channel.objects.all())
    contact_ids = OwnRow(many=True, required=False, source="contacts", queryset=Contact.objects.all())
    group_ids = OwnRow(many=True, required=False, source="groups", queryset=ContactGroup.objects.all())

    class Meta:
        model = Trigger
        fields = [
            "id", "client", "name", *FILTERS, "weekdays", "from_time", "until_time", "timezone", "enabled", "notify_on_resolve",
            "channel_ids", "contact_ids", "group_ids", "created_at",
        ]  # fmt: skip
        extra_kwargs = {name: {"max_length": 4000} for name in FILTERS}
        validators: list = []


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
