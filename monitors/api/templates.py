"""What do scripts do with monitor templates? Make and change them, ask who differs, roll them out: the doors of `templates`."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from monitors import bulk, templates
from monitors.api.actions import Ids, OutcomeSerializer, chosen, outcome_body
from monitors.models import Monitor, MonitorTemplate
from portal.api.base import TenantViewSet
from portal.api.serializers import TenantSerializer
from portal.clock import database_now


class MonitorTemplateSerializer(TenantSerializer):
    """Values that many monitors of one kind share; without a client, for those of every client."""

    values = serializers.DictField(
        required=False,
        default=dict,
        help_text='{"interval_seconds": 60, …, "config": {some settings of the kind, no secrets}, "tags": [to add]}',
    )
    monitors = serializers.IntegerField(source="followers", read_only=True, default=0, help_text="That follow it.")

    class Meta:
        model = MonitorTemplate
        fields = [
            "id", "client", "name", "description", "kind", "values", "version", "monitors", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = ["version", "created_at", "updated_at"]
        fixed = ("client", "kind")
        validators: list[Any] = []  # uniqueness is the door's, in its words

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        fields["name"].validators = []  # that a name is free is judged by the door
        return fields


class DifferenceSerializer(serializers.Serializer):
    """One field as it is and as the template wants it."""

    field = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class DiffersSerializer(serializers.Serializer):
    """A monitor and what rolling the template out would change in it."""

    monitor = serializers.IntegerField()
    name = serializers.CharField()
    client = serializers.IntegerField()
    follows = serializers.BooleanField()
    version = serializers.IntegerField(allow_null=True, help_text="Of the template, when it was last rolled out here.")
    changes = DifferenceSerializer(many=True)


class RollOutSerializer(serializers.Serializer):
    """Which monitors get the values, and follow the template from then on."""

    monitor_ids = Ids()


class MonitorTemplates(TenantViewSet):
    """What is said once for many monitors."""

    queryset = MonitorTemplate.objects.annotate(followers=Count("monitors")).order_by("name")
    serializer_class = MonitorTemplateSerializer
    filterset_fields = ["client", "kind"]

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.instance = templates.save(MonitorTemplate(**serializer.validated_data), by=self.actor)

    def perform_update(self, serializer: BaseSerializer) -> None:
        row = serializer.instance
        for name, value in serializer.validated_data.items():
            setattr(row, name, value)
        templates.save(row, by=self.actor)

    def perform_destroy(self, instance: MonitorTemplate) -> None:
        templates.delete(instance, by=self.actor)

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "monitor_ids", str, description="Up to 200, with commas; those that follow it when left out."
            )
        ],
        responses=DiffersSerializer(many=True),
    )
    @action(detail=True, filterset_fields=[], pagination_class=None)
    def diff(self, request: Request, pk: str) -> Response:
        """Who differs from it, and in what. Monitors without a difference have no changes; of followers, the first 200 by name."""
        row = self.get_object()
        rows = self._monitors(row)
        text = request.query_params.get("monitor_ids", "")
        if text:
            ids = Ids(source="monitor_ids").run_validation([word for word in text.split(",") if word.strip()])
            found = chosen(rows, ids, "monitor_ids")
        else:
            found = list(rows.filter(template=row).order_by("name", "pk")[: bulk.MOST])
        return Response(DiffersSerializer([differs(row, m) for m in found], many=True).data)

    @extend_schema(request=RollOutSerializer, responses=OutcomeSerializer)
    @action(detail=True, methods=["post"], url_path="roll-out", filterset_fields=[], pagination_class=None)
    def roll_out(self, request: Request, pk: str) -> Response:
        """Bring these monitors to its values, each by itself; the answer says which were not, and why."""
        row = self.get_object()
        body = RollOutSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        found = chosen(self._monitors(row), body.validated_data["monitor_ids"], "monitor_ids")
        outcome = templates.roll_out(row, found, viewer=self.viewer, by=self.actor, at=database_now())
        return Response(outcome_body(outcome))

    def _monitors(self, row: MonitorTemplate) -> QuerySet[Monitor]:
        """The monitors of its kind that the caller sees, and that it may hold for."""
        rows = Monitor.objects.for_user(self.viewer).filter(kind=row.kind)
        rows = rows.filter(client=row.client_id) if row.client_id else rows
        return rows.select_related("client").prefetch_related("tags")


def differs(row: MonitorTemplate, m: Monitor) -> dict[str, Any]:
    """A monitor beside its template."""
    tags = [tag.name for tag in m.tags.all()]
    return {
        "monitor": m.pk,
        "name": m.name,
        "client": m.client_id,
        "follows": m.template_id == row.pk,
        "version": m.template_version if m.template_id == row.pk else None,
        "changes": [change._asdict() for change in templates.diff(row, m, tags)],
    }
