"""What is quiet for now, over the API? Made and cancelled, never changed; the row lists what it hid."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import facts, planning, quiet
from alerts.api.quiet import MOST_HID, Quiet, hid, without
from alerts.models import Silence
from portal.api.base import ReadOnlyTenantViewSet, TenantViewSet
from portal.api.filters import IdFilter
from portal.api.serializers import TenantSerializer
from portal.clock import database_now

STATES = ["active", "upcoming", "ended", "cancelled"]


class SilenceSerializer(TenantSerializer):
    """A silence. Its end is one of `ends_at`, `duration_seconds` or `until_recovered`."""

    starts_at = serializers.DateTimeField(required=False, help_text="Default: now.")
    duration_seconds = serializers.IntegerField(required=False, allow_null=True, write_only=True, min_value=1)
    matchers = serializers.JSONField(
        help_text='{"source", "entity_id", "entity_type", "client", "site", "tag", "severity"}; all must match, {} is everything.'
    )
    recurrence = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=300,
        help_text="RRULE; each occurrence lasts as long as the first.",
    )
    owner = serializers.CharField(required=False, allow_blank=True, max_length=200, help_text="Default: who makes it.")
    state = serializers.SerializerMethodField(help_text="active, upcoming, ended or cancelled.")
    hid_count = serializers.SerializerMethodField(help_text="How many alerts it hid messages of.")
    hid_alerts = serializers.SerializerMethodField(help_text=f"Their ids, the newest {MOST_HID}.")

    class Meta:
        model = Silence
        fields = [
            "id", "client", "reason", "owner", "starts_at", "ends_at", "duration_seconds", "until_recovered", "matchers", "recurrence", "timezone",
            "state", "hid_count", "hid_alerts", "cancelled_at", "cancelled_by", "created_at",
        ]  # fmt: skip
        read_only_fields = ["cancelled_at", "cancelled_by"]

    @extend_schema_field(serializers.ChoiceField(choices=STATES))
    def get_state(self, row: Silence) -> str:
        return facts.silence_state(row, self.context["now"])

    def get_hid_count(self, row: Silence) -> int:
        return self.context["hid"].get(row.pk, (0, []))[0]

    def get_hid_alerts(self, row: Silence) -> list[int]:
        return self.context["hid"].get(row.pk, (0, []))[1]

    def to_representation(self, row: Silence) -> dict[str, Any]:
        if "now" not in self.context:
            self.context["now"] = database_now()
        if row.pk not in self.context.setdefault("hid", {}):
            self.context["hid"] |= hid([row], "silence")
        body = super().to_representation(row)
        body["recurrence"] = body["recurrence"] or None
        return body


class SilenceFilter(django_filters.FilterSet):
    """`client`; `active=true` shows those that hold now, `all=true` those that are over, too."""

    client = IdFilter(field_name="client_id")
    all = django_filters.BooleanFilter(method="nothing")
    active = django_filters.BooleanFilter(method="nothing")

    class Meta:
        model = Silence
        fields: list[str] = []

    def nothing(self, rows: QuerySet, name: str, value: bool) -> QuerySet:
        return rows

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        rows = super().filter_queryset(queryset)
        if self.form.cleaned_data.get("active"):
            return not_over(rows, "upcoming")
        return rows if self.form.cleaned_data.get("all") else not_over(rows)


def not_over(rows: QuerySet, *unwanted: str) -> QuerySet:
    """Those that hold now or will: neither cancelled nor past their (last) end."""
    at = database_now()
    rows = rows.filter(cancelled_at=None).filter(Q(ends_at=None) | Q(ends_at__gt=at) | ~Q(recurrence=""))
    if not unwanted:
        states = {row.pk: facts.silence_state(row, at) for row in rows.exclude(recurrence="")}
    else:
        states = {row.pk: facts.silence_state(row, at) for row in rows}
    return without(rows, states, "ended", *unwanted)


LISTS = [
    OpenApiParameter("all", OpenApiTypes.BOOL, description="Also those that ended or were cancelled."),
    OpenApiParameter("active", OpenApiTypes.BOOL, description="Only those that hold now."),
]


class Silences(Quiet, mixins.CreateModelMixin, mixins.DestroyModelMixin, ReadOnlyTenantViewSet):
    """What is quiet for now or will be. DELETE cancels and keeps the row."""

    queryset = Silence.objects.all()
    serializer_class = SilenceSerializer
    filterset_class = SilenceFilter
    check_owner = TenantViewSet.check_owner

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    @extend_schema(parameters=LISTS)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Those that are not over; those that hold now with ?active=true, all of them with ?all=true."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        context = {**self.get_serializer_context(), "hid": hid(page, "silence")}
        return self.get_paginated_response(SilenceSerializer(page, many=True, context=context).data)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Quiet from now (or `starts_at`). What it covers and nobody was told of yet is held at once."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        self.check_owner(serializer)
        values = serializer.validated_data
        values["recurrence"] = values.get("recurrence") or ""
        serializer.instance = quiet.save_silence(by=self.actor, at=database_now(), **values)
        return Response(serializer.data, status=201)

    def planned(self, values: dict[str, Any], at: datetime) -> Silence:
        """For the preview."""
        return planning.silence(at=at, **{**values, "recurrence": values.get("recurrence") or ""})

    def perform_destroy(self, instance: Silence) -> None:
        quiet.cancel_silence(instance, by=self.actor, at=database_now())
