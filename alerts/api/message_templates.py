"""How is it said, over the API? Logic-less `{{name}}` wording per client, channel and type, and what it would say."""

from __future__ import annotations

from typing import Any

import django_filters
from django.core.exceptions import ValidationError
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from alerts import phrasing, trying
from alerts.models import Alert, Channel, MessageTemplate
from portal.api.base import TenantViewSet
from portal.api.filters import IdFilter
from portal.api.serializers import OwnRow, TenantSerializer
from portal.clock import database_now
from portal.tenancy import READ


class MessageTemplateSerializer(TenantSerializer):
    """Wording of our own. The most particular one counts: channel before client before everybody."""

    channel = OwnRow(required=False, allow_null=True, queryset=Channel.objects.all())

    class Meta:
        model = MessageTemplate
        fields = ["id", "client", "channel", "name", "types", "title", "text", "enabled", "created_at"]


class WordingSerializer(serializers.Serializer):
    """Wording to try."""

    title = serializers.CharField(required=False, allow_blank=True, max_length=phrasing.LONGEST["title"])
    text = serializers.CharField(required=False, allow_blank=True, max_length=phrasing.LONGEST["text"])
    types = serializers.CharField(required=False, allow_blank=True, max_length=300)
    alert = OwnRow(
        required=False,
        allow_null=True,
        queryset=Alert.objects.all(),
        help_text="Tried on this alert; else on a sample.",
    )


class SaidSerializer(serializers.Serializer):
    """What it would say."""

    headline = serializers.CharField(source="title")
    text = serializers.CharField(help_text="The first line under it.")
    headline_without = serializers.CharField(source="plain_title", help_text="As it is without the template.")
    text_without = serializers.CharField(source="plain_text")
    type = serializers.CharField(help_text="The message's type, as monitor.down.")
    applies = serializers.BooleanField(source="fits", help_text="Do its types name this message?")
    values = serializers.DictField(child=serializers.CharField(), help_text="What each {{name}} stands for in it.")


class MessageTemplateFilter(django_filters.FilterSet):
    """`client`, `channel`, `enabled`, `name`."""

    client = IdFilter(field_name="client_id")
    channel = IdFilter(field_name="channel_id")

    class Meta:
        model = MessageTemplate
        fields = ["enabled", "name"]


class MessageTemplates(TenantViewSet):
    """Wording of titles and first lines."""

    queryset = MessageTemplate.objects.order_by("-id")
    serializer_class = MessageTemplateSerializer
    filterset_class = MessageTemplateFilter

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.instance = phrasing.save_template(None, by=self.actor, **serializer.validated_data)

    def perform_update(self, serializer: BaseSerializer) -> None:
        phrasing.save_template(serializer.instance, by=self.actor, **serializer.validated_data)

    def perform_destroy(self, instance: MessageTemplate) -> None:
        phrasing.delete_template(instance, by=self.actor)

    @extend_schema(request=WordingSerializer, responses=SaidSerializer)
    @action(detail=False, methods=["post"], required_scope=READ)
    def preview(self, request: Request, **kwargs: Any) -> Response:
        """What a template with this body would say, of an alert or of a sample. Nothing is stored, nobody is told."""
        said = WordingSerializer(data=request.data, context=self.get_serializer_context())
        said.is_valid(raise_exception=True)
        values = dict(said.validated_data)
        alert = values.pop("alert", None)
        for field in ("title", "text"):
            complaint = trying.unknown(values.get(field, ""))
            if complaint:
                raise ValidationError({field: complaint})
        return Response(SaidSerializer(trying.tried(MessageTemplate(**values), alert, database_now())).data)
