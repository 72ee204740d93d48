"""Where are checks made from, and how are those places? Read by all, made and changed by staff."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import django_filters
from django.db import transaction
from django.utils.text import slugify
from drf_spectacular.utils import extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.serializers import BaseSerializer

from monitors import remote
from monitors.api.filters import by_id
from monitors.api.probe_programs import ProbePrograms
from monitors.models import Probe, ProbeState
from portal import bells, services
from portal.api.base import ReadOnlyTenantViewSet, TenantViewSet
from portal.api.serializers import TagNames, TenantSerializer
from portal.clock import database_now
from portal.outbound.guard import parse_host
from portal.tenancy import WRITE

SILENT = timedelta(seconds=60)  # a probe reports each few seconds
HEALTH = ("ok", "blind", "silent", "never_seen", "revoked", "disabled")


def health(probe: Probe, at: Any) -> str:
    """One word of HEALTH for a probe at a moment."""
    if not probe.enabled:
        return "disabled"
    if probe.revoked_at is not None:
        return "revoked"
    if probe.last_seen_at is None:
        return "never_seen"
    if at - probe.last_seen_at > SILENT:
        return "silent"
    return "blind" if probe.blind_since is not None else "ok"


def check_anchor(anchor: str) -> str:
    """`host:port` or a URL that proves the probe's own line. ValidationError otherwise."""
    try:
        parts = urlsplit(anchor if "//" in anchor else f"//{anchor}")
        parse_host(parts.hostname or "")
        fits = (
            parts.scheme in ("", "http", "https")
            and (parts.scheme != "" or parts.port is not None)
            and not parts.username
        )
    except ValueError:
        fits = False
    if not fits:
        raise serializers.ValidationError(
            f"{anchor[:60]!r} is neither host:port nor a URL, as 1.1.1.1:443 or https://example.com."
        )
    return anchor


class ProbeSerializer(TenantSerializer):
    """A probe: a region (client null, for all) or a private one inside one client's network."""

    slug = serializers.SlugField(
        required=False, max_length=60, help_text="Made from the name when left out; cannot be changed."
    )
    anchors = serializers.ListField(
        child=serializers.CharField(max_length=300, validators=[check_anchor]), required=False, max_length=10
    )
    tags = TagNames()
    enrol_token = serializers.CharField(
        read_only=True, help_text="In the answer to POST only, shown once: `watchkeeper-probe enroll URL TOKEN`."
    )
    said = serializers.JSONField(source="health", read_only=True, help_text="What its program says of itself.")
    health = serializers.SerializerMethodField()
    blind = serializers.SerializerMethodField()

    class Meta:
        model = Probe
        fields = [
            "id", "name", "slug", "client", "network", "built_in", "enabled", "anchors", "tags", "health", "blind", "blind_since", "blind_reason", "last_seen_at", "version",
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
            values["slug"] = slugify(values["name"])[:60] or "probe"
            if Probe.objects.filter(slug=values["slug"]).exists():
                raise serializers.ValidationError({"slug": ["A probe with this slug exists; choose another."]})
        return values

    @extend_schema_field(serializers.ChoiceField(choices=HEALTH))
    def get_health(self, probe: Probe) -> str:
        if "at" not in self.context:
            self.context["at"] = database_now()
        return health(probe, self.context["at"])

    @extend_schema_field(serializers.BooleanField)
    def get_blind(self, probe: Probe) -> bool:
        return probe.blind_since is not None

    def to_representation(self, probe: Probe) -> dict[str, Any]:
        body = super().to_representation(probe)
        if not self.viewer.msp_role:
            for name in ("anchors", "hostname", "platform", "said"):
                body.pop(name)
        return body


class ProbeFilter(django_filters.FilterSet):
    """?client=&enabled="""

    client = by_id("client_id")
    enabled = django_filters.BooleanFilter()

    class Meta:
        model = Probe
        fields: list[str] = []


class Probes(ProbePrograms, mixins.CreateModelMixin, mixins.UpdateModelMixin, ReadOnlyTenantViewSet):
    """Where checks are made from. Made and changed by our staff only."""

    queryset = Probe.objects.prefetch_related("tags")
    serializer_class = ProbeSerializer
    filterset_class = ProbeFilter
    create, update = TenantViewSet.create, TenantViewSet.update

    def check_owner(self, serializer: BaseSerializer) -> None:
        """A probe runs what the portal says inside a network: only staff make and change them."""
        if not self.viewer.may(WRITE, None):
            raise PermissionDenied("Only our own staff may make or change probes.")

    def perform_create(self, serializer: BaseSerializer) -> None:
        with transaction.atomic():
            probe = services.create(Probe, by=self.actor, **serializer.validated_data)
            probe.enrol_token = remote.new_token(probe, by=self.actor, at=database_now())
        serializer.instance = probe

    def perform_update(self, serializer: BaseSerializer) -> None:
        self.check_owner(serializer)
        probe = serializer.instance
        changed = services.change(probe, by=self.actor, **serializer.validated_data)
        if changed & {"enabled", "network"}:  # its vote counts differently from now on
            ProbeState.objects.filter(probe=probe, active=True).update(changed=True)
            bells.ring_on_commit(bells.EVALUATE)
