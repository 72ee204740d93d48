"""When is what worked on, over the API? Planned, changed, ended and cancelled; the row lists what it hid."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import django_filters
from django.db.models import Exists, OuterRef, Q, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import engine, facts, planning, quiet
from alerts.api.quiet import MOST_HID, Quiet, SpanSerializer, hid, without
from alerts.api.silences import LISTS, STATES
from alerts.models import MaintenanceWindow, Occurrence
from portal.api.base import TenantViewSet
from portal.api.filters import IdFilter
from portal.api.serializers import TenantSerializer
from portal.clock import database_now


class WindowSerializer(TenantSerializer):
    """A maintenance window. `scopes` and `tags` together say what is covered; with a client, only what is that client's."""

    title = serializers.CharField(max_length=200)
    description = serializers.CharField(
        required=False, allow_blank=True, max_length=4000, help_text="For status pages."
    )
    owner = serializers.CharField(required=False, allow_blank=True, max_length=200, help_text="Default: who makes it.")
    starts_at = serializers.DateTimeField(required=False, help_text="Default: now.")
    ends_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Of the first occurrence.")
    duration_seconds = serializers.IntegerField(required=False, allow_null=True, write_only=True, min_value=1)
    recurrence = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=300,
        help_text="RRULE; each occurrence lasts as long as the first.",
    )
    scopes = serializers.ListField(
        child=serializers.CharField(max_length=140),
        required=False,
        help_text="endpoint:7, monitor:7, site:1, service:5, client:3: one is enough.",
    )
    tags = serializers.ListField(
        child=serializers.CharField(max_length=50),
        required=False,
        help_text="Of the monitor, its site or its client: one is enough.",
    )
    state = serializers.SerializerMethodField(help_text="active, upcoming, ended or cancelled.")
    occurrences = serializers.SerializerMethodField(help_text="The one that runs and those that follow, at most five.")
    hid_count = serializers.SerializerMethodField(help_text="How many alerts it hid messages of.")
    hid_alerts = serializers.SerializerMethodField(help_text=f"Their ids, the newest {MOST_HID}.")

    class Meta:
        model = MaintenanceWindow
        fields = [
            "id", "title", "description", "client", "owner", "starts_at", "ends_at", "duration_seconds", "recurrence", "timezone", "scopes", "tags",
            "state", "occurrences", "hid_count", "hid_alerts", "cancelled_at", "cancelled_by", "created_at",
        ]  # fmt: skip
        read_only_fields = ["cancelled_at", "cancelled_by"]

    @extend_schema_field(serializers.ChoiceField(choices=STATES))
    def get_state(self, row: MaintenanceWindow) -> str:
        return facts.window_state(row, self.context["now"], self.context["ended"])

    @extend_schema_field(SpanSerializer(many=True))
    def get_occurrences(self, row: MaintenanceWindow) -> list[dict[str, Any]]:
        return SpanSerializer(
            [{"starts_at": a, "ends_at": b} for a, b in next_of(row, self.context["now"], self.context["ended"])],
            many=True,
        ).data

    def get_hid_count(self, row: MaintenanceWindow) -> int:
        return self.context["hid"].get(row.pk, (0, []))[0]

    def get_hid_alerts(self, row: MaintenanceWindow) -> list[int]:
        return self.context["hid"].get(row.pk, (0, []))[1]

    def to_representation(self, row: MaintenanceWindow) -> dict[str, Any]:
        if row.pk not in self.context.get("hid", {}):
            self.context.update(pictures([row], database_now()))
        body = super().to_representation(row)
        body["recurrence"] = body["recurrence"] or None
        return body


def pictures(rows: list[MaintenanceWindow], at: datetime) -> dict[str, Any]:
    """What the serializer asks for, for any number of rows at once."""
    return {"now": at, "ended": facts.closed_early(rows, at), "hid": hid(rows, "window")}


def next_of(
    row: MaintenanceWindow, at: datetime, ended: frozenset[tuple[int, datetime]]
) -> list[tuple[datetime, datetime]]:
    """The occurrence that runs and those that follow; none of a cancelled window."""
    if row.cancelled_at is not None:
        return []
    return [span for span in engine.coming(facts.times(row), at) if (row.pk, span[0]) not in ended]


class WindowFilter(django_filters.FilterSet):
    """`client`; `active=true` shows those that run now, `all=true` those that are over, too."""

    client = IdFilter(field_name="client_id")
    all = django_filters.BooleanFilter(method="nothing")
    active = django_filters.BooleanFilter(method="nothing")

    class Meta:
        model = MaintenanceWindow
        fields: list[str] = []

    def nothing(self, rows: QuerySet, name: str, value: bool) -> QuerySet:
        return rows

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        rows = super().filter_queryset(queryset)
        if self.form.cleaned_data.get("active"):
            return not_over(rows, "upcoming")
        return rows if self.form.cleaned_data.get("all") else not_over(rows)


def not_over(rows: QuerySet, *unwanted: str) -> QuerySet:
    """Those that run now or will: neither cancelled nor past their (last) end, however that came."""
    at = database_now()
    rows = rows.filter(cancelled_at=None).filter(Q(ends_at__gt=at) | ~Q(recurrence=""))
    ended_now = Exists(Occurrence.objects.filter(window=OuterRef("pk"), closed_at__isnull=False))
    doubtful = rows if unwanted else rows.filter(~Q(recurrence="") | ended_now)
    kept = list(doubtful)
    ended = facts.closed_early(kept, at)
    return without(rows, {row.pk: facts.window_state(row, at, ended) for row in kept}, "ended", *unwanted)


class Windows(Quiet, TenantViewSet):
    """Planned work: checks go on, monitors show it, messages wait for its end. DELETE cancels and keeps the row."""

    queryset = MaintenanceWindow.objects.all()
    serializer_class = WindowSerializer
    filterset_class = WindowFilter

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    @extend_schema(parameters=LISTS)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Those that are not over; those that run now with ?active=true, all of them with ?all=true."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        context = {**self.get_serializer_context(), **pictures(page, database_now())}
        return self.get_paginated_response(WindowSerializer(page, many=True, context=context).data)

    def perform_create(self, serializer: Any) -> None:
        values = said(serializer.validated_data)
        serializer.instance = quiet.save_window(by=self.actor, at=database_now(), **values)

    def perform_update(self, serializer: Any) -> None:
        values = said(serializer.validated_data)
        values.pop("client", None)  # the serializer refused another one
        serializer.instance = quiet.change_window(serializer.instance, by=self.actor, at=database_now(), **values)

    def perform_destroy(self, instance: MaintenanceWindow) -> None:
        quiet.cancel_window(instance, by=self.actor, at=database_now())

    def planned(self, values: dict[str, Any], at: datetime) -> MaintenanceWindow:
        """For the preview."""
        return planning.window(None, at=at, **said(values))

    @extend_schema(request=None, responses=WindowSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, **kwargs: Any) -> Response:
        """The work is done sooner: this occurrence ends now, later ones take place. 409 when none runs."""
        row = quiet.end_now(self.get_object(), by=self.actor, at=database_now())
        return Response(self.get_serializer(row).data)


def said(values: dict[str, Any]) -> dict[str, Any]:
    """As the door takes them: null is none for a recurrence, and nothing said for an end."""
    found = {k: v for k, v in values.items() if v is not None or k in ("client", "recurrence")}
    return {**found, "recurrence": found["recurrence"] or ""} if "recurrence" in found else found
