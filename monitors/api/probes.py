"""Where are checks made from, and how are those places? Read by all, made and changed by staff."""

from __future__ import annotations

from typing import Any

import django_filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.serializers import BaseSerializer

from monitors import probes
from monitors.api.discovery import Discovery
from monitors.api.filters import by_id
from monitors.api.probe_programs import ProbePrograms
from monitors.models import Probe
from monitors.probe_health import CODES, Health, health_of
from portal.api.base import ReadOnlyTenantViewSet, TenantViewSet
from portal.api.serializers import TagNames, TenantSerializer
from portal.clock import database_now


class ProbeSerializer(TenantSerializer):
    """A probe: a region (client null, for all) or a private one inside one client's network."""

    slug = serializers.SlugField(
        required=False, max_length=60, help_text="Made from the name when left out; cannot be changed."
    )
    anchors = serializers.ListField(
        child=serializers.CharField(max_length=300, validators=[probes.check_anchor]), required=False, max_length=probes.MOST_ANCHORS,
        help_text="Independent addresses that prove its own line is well: host:port or URLs.",
    )  # fmt: skip
    tags = TagNames()
    enrol_token = serializers.CharField(
        read_only=True, help_text="In the answer to POST only, shown once: `watchkeeper-probe enroll URL TOKEN`."
    )
    said = serializers.JSONField(source="health", read_only=True, help_text="What its program says of itself.")
    health = serializers.SerializerMethodField()
    health_since = serializers.SerializerMethodField()
    health_reason = serializers.SerializerMethodField()
    blind = serializers.SerializerMethodField()

    class Meta:
        model = Probe
        fields = [
            "id", "name", "slug", "client", "network", "built_in", "enabled", "anchors", "tags", "health", "health_since", "health_reason", "blind", "blind_since", "blind_reason", "last_seen_at", "version",
            "clock_offset_ms", "enrolled_at", "revoked_at", "hostname", "platform", "said", "enrol_token", "created_at",
        ]  # fmt: skip
        read_only_fields = [
            "built_in", "blind_since", "blind_reason", "last_seen_at", "version", "clock_offset_ms", "enrolled_at", "revoked_at", "hostname", "platform",
        ]  # fmt: skip
        fixed = ("client", "slug")

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        return serializers.ModelSerializer.to_internal_value(self, data)  # no client: a region, never the caller's own

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if self.instance is None and not values.get("slug"):
            values["slug"] = probes.free_slug(values["name"])
        return values

    def seen(self, probe: Probe) -> Health:
        """Its health now; one moment for a whole list."""
        if "at" not in self.context:
            self.context["at"] = database_now()
        return health_of(probe, self.context["at"])

    @extend_schema_field(serializers.ChoiceField(choices=CODES))
    def get_health(self, probe: Probe) -> str:
        return self.seen(probe).code

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_health_since(self, probe: Probe) -> Any:
        since = self.seen(probe).since
        return serializers.DateTimeField().to_representation(since) if since is not None else None

    @extend_schema_field(serializers.CharField)
    def get_health_reason(self, probe: Probe) -> str:
        return self.seen(probe).why

    @extend_schema_field(serializers.BooleanField)
    def get_blind(self, probe: Probe) -> bool:
        return probe.blind_since is not None

    def to_representation(self, probe: Probe) -> dict[str, Any]:
        body = super().to_representation(probe)
        if not self.viewer.msp_role:
            for name in ("anchors", "hostname", "platform", "said"):
                body.pop(name)
            if probe.client_id is None:  # of a region others know that it stands, not what ails its machine
                body["health_reason"] = body["blind_reason"] = ""
        return body


class ProbeFilter(django_filters.FilterSet):
    """?client=&enabled="""

    client = by_id("client_id")
    enabled = django_filters.BooleanFilter()

    class Meta:
        model = Probe
        fields: list[str] = []


NEW = OpenApiExample(
    "A private probe",
    value={"name": "Acme HQ", "client": 1, "network": "AS3320", "tags": ["office"], "anchors": list(probes.USUAL_ANCHORS)},
    request_only=True,
)  # fmt: skip
MADE = OpenApiExample(
    "Made: the token is shown once",
    value={
        "id": 4, "name": "Acme HQ", "slug": "acme-hq", "client": 1, "network": "AS3320", "built_in": False, "enabled": True, "tags": ["office"],
        "health": "never_seen", "health_since": None, "last_seen_at": None, "version": "", "clock_offset_ms": None, "enrol_token": "wkp_…",
    },
    response_only=True, status_codes=["201"],
)  # fmt: skip
SEEN = OpenApiExample(
    "A region that is silent",
    value={
        "id": 3, "name": "Berlin", "slug": "berlin", "client": None, "network": "AS3320", "built_in": False, "enabled": True, "tags": ["eu"], "health": "silent",
        "health_since": "2026-11-21T14:32:08Z", "last_seen_at": "2026-11-21T14:32:08Z", "version": "1", "clock_offset_ms": 12,
    },
    response_only=True, status_codes=["200"],
)  # fmt: skip


@extend_schema_view(
    create=extend_schema(examples=[NEW, MADE]),
    retrieve=extend_schema(examples=[SEEN]),
    partial_update=extend_schema(
        examples=[OpenApiExample("Switch it off", value={"enabled": False}, request_only=True)]
    ),
    destroy=extend_schema(description="Forget a probe with what it saw. 409 while a monitor would be left with too few places."),
)  # fmt: skip
class Probes(
    ProbePrograms,
    Discovery,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    ReadOnlyTenantViewSet,
):
    """Where checks are made from. Made and changed by our staff only."""

    queryset = Probe.objects.prefetch_related("tags")
    serializer_class = ProbeSerializer
    filterset_class = ProbeFilter
    create, update = TenantViewSet.create, TenantViewSet.update

    def check_owner(self, serializer: BaseSerializer) -> None:
        self.only_staff()

    def perform_create(self, serializer: BaseSerializer) -> None:
        probe, token = probes.create(by=self.actor, at=database_now(), **serializer.validated_data)
        probe.enrol_token = token
        serializer.instance = probe

    def perform_update(self, serializer: BaseSerializer) -> None:
        self.only_staff()
        probes.change(serializer.instance, by=self.actor, at=database_now(), **serializer.validated_data)

    def perform_destroy(self, probe: Probe) -> None:
        self.only_staff()
        probes.delete(probe, by=self.actor, at=database_now())
