"""What is a contact over the API? The ground's body with `channels`: how the person is reached (SPEC 19).

Two forms: a channel that exists (`{"channel": 3, "urgency", "delay_minutes"}`), or one of their own, made here
(`{"type": "telegram", "url": "<chat id>", "config": {}}`). A list that is sent replaces the old one.
"""

from __future__ import annotations

from datetime import time
from typing import Any

from django.db import transaction
from rest_framework import serializers
from rest_framework.serializers import BaseSerializer

from alerts import channel_settings
from alerts import services as alert_services
from alerts.api.channels import MainField, SettingsMixin
from alerts.models import Channel, ContactChannel
from portal import services
from portal.api import resources
from portal.api.serializers import OwnRow
from portal.models import Contact

MOST_WAYS = 20


class WaySerializer(SettingsMixin, serializers.Serializer):
    """One way to reach a contact."""

    channel = OwnRow(
        required=False,
        queryset=Channel.objects.all(),
        help_text="A channel that exists; without it one is made of type, url and config.",
    )
    urgency = serializers.ChoiceField(choices=ContactChannel.Urgency.choices, default=ContactChannel.Urgency.ALL)
    delay_minutes = serializers.IntegerField(default=0, min_value=0, max_value=1440)
    quiet_from = serializers.TimeField(
        default=None, allow_null=True, format="%H:%M", help_text="Quiet hours, in the contact's time zone."
    )
    quiet_until = serializers.TimeField(default=None, allow_null=True, format="%H:%M")
    quiet_urgency = serializers.ChoiceField(
        choices=ContactChannel.Quiet.choices,
        default=ContactChannel.Quiet.LOW,
        help_text="What waits for their end: low (all but critical) or all.",
    )
    type = serializers.CharField(required=False, max_length=24)
    name = serializers.CharField(required=False, allow_blank=True, max_length=120)
    url = MainField(required=False, allow_null=True)
    headers = serializers.DictField(child=serializers.CharField(allow_blank=True), required=False, write_only=True)
    secret = serializers.CharField(required=False, allow_blank=True, max_length=4000, write_only=True)
    config = serializers.DictField(required=False, write_only=True)
    own = serializers.BooleanField(read_only=True, help_text="Is it the contact's own, and nobody else's?")

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        row = values.get("channel")
        if row is None and not values.get("type"):
            raise serializers.ValidationError(
                {"channel": ["Name a channel, or give type and url for one of their own."]}
            )
        if row is not None and values.get("url") == channel_settings.main(row):
            values.pop("url")  # sent back as it was shown
        return self.gather(values, row.type if row is not None else values["type"], row)

    def to_representation(self, way: ContactChannel) -> dict[str, Any]:
        row = way.channel
        return {
            "channel": row.pk, "urgency": way.urgency, "delay_minutes": way.delay_minutes, "quiet_from": _clock(way.quiet_from),
            "quiet_until": _clock(way.quiet_until), "quiet_urgency": way.quiet_urgency, "type": row.type, "name": row.name,
            "url": channel_settings.main(row), "own": row.contact_id == way.contact_id,
        }  # fmt: skip


def _clock(at: time | None) -> str | None:
    return at.strftime("%H:%M") if at is not None else None


class ContactSerializer(resources.ContactSerializer):
    """A person who can be told, and how."""

    channels = WaySerializer(many=True, required=False, source="ways", max_length=MOST_WAYS)

    class Meta(resources.ContactSerializer.Meta):
        fields = [*resources.ContactSerializer.Meta.fields, "channels"]


class Contacts(resources.Contacts):
    """People who can be told."""

    queryset = Contact.objects.prefetch_related("ways__channel")
    serializer_class = ContactSerializer

    def perform_create(self, serializer: BaseSerializer) -> None:
        values = dict(serializer.validated_data)
        ways = values.pop("ways", None)
        with transaction.atomic():
            contact = services.create(Contact, by=self.actor, **values)
            if ways:
                alert_services.set_ways(contact, ways, by=self.actor)
        serializer.instance = self.get_queryset().get(pk=contact.pk)

    def perform_update(self, serializer: BaseSerializer) -> None:
        values = dict(serializer.validated_data)
        ways = values.pop("ways", None)
        with transaction.atomic():
            services.change(serializer.instance, by=self.actor, **values)
            if ways is not None:
                alert_services.set_ways(serializer.instance, ways, by=self.actor)
        serializer.instance = self.get_queryset().get(pk=serializer.instance.pk)
