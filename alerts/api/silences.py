"""What is quiet for now, over the API? Made and cancelled, never changed; the row lists what it hid."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Count, F, Q, QuerySet, Window
from django.db.models.functions import DenseRank
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import acts, facts, services
from alerts.models import Delivery, Silence
from portal.api.base import ReadOnlyTenantViewSet, TenantViewSet
from portal.api.filters import IdFilter
from portal.api.serializers import TenantSerializer
from portal.clock import database_now

MOST_HID = 50


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

    @extend_schema_field(serializers.ChoiceField(choices=["active", "upcoming", "ended", "cancelled"]))
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
            self.context["hid"] |= hid([row])
        body = super().to_representation(row)
        body["recurrence"] = body["recurrence"] or None
        return body


def hid(rows: list[Silence]) -> dict[int, tuple[int, list[int]]]:
    """(how many alerts, the newest of their ids) by silence: two queries for any number of rows."""
    kept = Delivery.objects.filter(silence__in=rows, alert__isnull=False).order_by()
    counts = dict(kept.values_list("silence_id").annotate(n=Count("alert_id", distinct=True)))
    newest = kept.annotate(
        rank=Window(DenseRank(), partition_by=F("silence_id"), order_by=F("alert_id").desc())
    ).filter(rank__lte=MOST_HID)
    alerts: dict[int, list[int]] = {}
    for silence_id, alert_id in sorted(set(newest.values_list("silence_id", "alert_id")), reverse=True):
        alerts.setdefault(silence_id, []).append(alert_id)
    return {row.pk: (counts.get(row.pk, 0), alerts.get(row.pk, [])) for row in rows}


class SilenceFilter(django_filters.FilterSet):
    """`client`; `all=true` shows those that are over, too."""

    client = IdFilter(field_name="client_id")
    all = django_filters.BooleanFilter(method="nothing")

    class Meta:
        model = Silence
        fields: list[str] = []

    def nothing(self, rows: QuerySet, name: str, value: bool) -> QuerySet:
        return rows

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        rows = super().filter_queryset(queryset)
        return rows if self.form.cleaned_data.get("all") else not_over(rows)


def not_over(rows: QuerySet) -> QuerySet:
    """Those that hold now or will: neither cancelled nor past their (last) end."""
    at = database_now()
    rows = rows.filter(cancelled_at=None).filter(Q(ends_at=None) | Q(ends_at__gt=at) | ~Q(recurrence=""))
    over = [row.pk for row in rows.exclude(recurrence="") if facts.silence_state(row, at) == "ended"]
    return rows.exclude(pk__in=over)


ALL = OpenApiParameter("all", OpenApiTypes.BOOL, description="Also those that ended or were cancelled.")


class Silences(mixins.CreateModelMixin, mixins.DestroyModelMixin, ReadOnlyTenantViewSet):
    """What is quiet for now or will be. DELETE cancels and keeps the row."""

    queryset = Silence.objects.all()
    serializer_class = SilenceSerializer
    filterset_class = SilenceFilter
    check_owner = TenantViewSet.check_owner

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    @extend_schema(parameters=[ALL])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Those that are not over; all of them with ?all=true."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        context = {**self.get_serializer_context(), "hid": hid(page)}
        return self.get_paginated_response(SilenceSerializer(page, many=True, context=context).data)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Quiet from now (or `starts_at`). What it covers and nobody was told of yet is held at once."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        self.check_owner(serializer)
        values = serializer.validated_data
        values["recurrence"] = values.get("recurrence") or ""
        serializer.instance = services.save_silence(by=self.actor, at=database_now(), **values)
        return Response(serializer.data, status=201)

    def perform_destroy(self, instance: Silence) -> None:
        acts.cancel_silence(instance, by=self.actor, at=database_now())
