"""How is the machine behind a monitor, how was it, and what are its containers doing? For monitors of kind host and container."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from monitors import container_findings
from monitors.api.seen import moment
from monitors.models import Container, Host, HostSample, Monitor
from portal.api.base import TenantRows
from portal.api.pagination import Newest
from portal.clock import database_now

MOST_NAMES = 40
PRIVATE = ("probe", "told")  # what the portal keeps there for itself


class SamplePages(Newest):
    """Samples by time, newest first; a day is 1,440."""

    max_page_size = 1500

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        return "-at", "-pk"


class SampleSerializer(serializers.ModelSerializer):
    """One minute of a machine: numbers by name."""

    values = serializers.SerializerMethodField()

    class Meta:
        model = HostSample
        fields = ["at", "values"]

    def get_values(self, row: HostSample) -> dict[str, float]:
        names = self.context.get("names")
        if not names:
            return row.values
        return {k: v for k, v in row.values.items() if k in names or k.partition(":")[0] in names}


class CrossedSerializer(serializers.Serializer):
    """A threshold that is crossed; `level` is empty while its minutes are not over."""

    since = serializers.CharField()
    level = serializers.CharField(allow_blank=True)


class HostSerializer(serializers.Serializer):
    """What a machine is, which of its thresholds are crossed, and its last minute."""

    facts = serializers.DictField()
    crossed = serializers.DictField(child=CrossedSerializer())
    seen_at = serializers.DateTimeField(allow_null=True)
    last_sample = SampleSerializer(allow_null=True)


class ContainerSerializer(serializers.ModelSerializer):
    """One container, as it was last seen."""

    values = serializers.SerializerMethodField()

    class Meta:
        model = Container
        fields = [
            "id", "name", "runtime_id", "image", "digest", "state", "health", "restarts", "values", "labels", "update", "exit_code", "oom_killed", "last_log",
            "started_at", "seen_at",
        ]  # fmt: skip

    def get_values(self, row: Container) -> dict[str, float]:
        return container_findings.figures_of(row)


class MonitorHosts(TenantRows):
    """The machine behind a monitor."""

    queryset = Monitor.objects.all()
    serializer_class = HostSerializer
    pagination_class = None

    @extend_schema(responses=HostSerializer)
    @action(detail=True)
    def host(self, request: Request, pk: str) -> Response:
        """Name, system, processors, waiting updates; crossed thresholds; the last sample. Empty for other kinds of monitor."""
        m = self.get_object()
        h = Host.objects.filter(monitor=m).first() or Host(monitor=m)
        last = HostSample.objects.filter(monitor=m).order_by("-at").first()
        crossed = {k: {"since": v.get("since"), "level": v.get("level", "")} for k, v in h.crossed.items()}
        body = {
            "facts": {k: v for k, v in h.facts.items() if k not in PRIVATE},
            "crossed": crossed,
            "seen_at": h.seen_at,
            "last_sample": last,
        }
        return Response(HostSerializer(body).data)

    @extend_schema(
        parameters=[
            OpenApiParameter("since", str, description="RFC 3339; a day ago by default."),
            OpenApiParameter("names", str, description="Comma-separated: cpu_percent, disk_percent (every disk), disk_percent:/srv …"),
        ],
        responses=SampleSerializer(many=True),
    )  # fmt: skip
    @action(detail=True)
    def samples(self, request: Request, pk: str) -> Response:
        """Its minutes, newest first, kept for a week."""
        since = moment(request, "since") or database_now() - timedelta(days=1)
        names = [n.strip() for n in request.query_params.get("names", "").split(",") if n.strip()]
        if len(names) > MOST_NAMES:
            raise ValidationError({"names": [f"At most {MOST_NAMES} names at a time."]})
        pages = SamplePages()
        rows = HostSample.objects.filter(monitor=self.get_object(), at__gte=since)
        page = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response(SampleSerializer(page, many=True, context={"names": set(names)}).data)

    @extend_schema(responses=ContainerSerializer(many=True))
    @action(detail=True)
    def containers(self, request: Request, pk: str) -> Response:
        """Its containers, newest first; those that were taken away stay for a week as `gone`."""
        pages = Newest()
        page = pages.paginate_queryset(Container.objects.filter(monitor=self.get_object()).order_by(), request, self)
        return pages.get_paginated_response(ContainerSerializer(page, many=True).data)
