"""Why does a monitor fail? Diagnoses with verdict and evidence, and the door that begins one now.

Counts of other clients' monitors are counts; what belongs to the network that a shared probe stands in is for our staff.
"""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from monitors.api.filters import by_id, words
from monitors.diagnosis import links, starting
from monitors.models import Diagnosis, Monitor
from portal.api.base import ReadOnlyTenantViewSet, TenantRows
from portal.api.errors import bad
from portal.clock import database_now


def for_strangers(evidence: dict[str, Any]) -> dict[str, Any]:
    """Evidence without the names and addresses of our own network: how many anchors answered, not which."""
    return {**evidence, "batteries": [_without_own(b) for b in evidence.get("batteries", ()) if isinstance(b, dict)]}


def _without_own(battery: dict[str, Any]) -> dict[str, Any]:
    own = battery.get("own")
    if battery.get("private") or not isinstance(own, dict):
        return battery  # a private probe stands in the client's own network
    kept = {name: own[name] for name in ("neighbours", "target_on_lan", "arp") if name in own}
    anchors, gateway = own.get("anchors"), own.get("gateway")
    if isinstance(anchors, dict):
        kept["anchors"] = {"asked": len(anchors), "reached": sum(v is True for v in anchors.values())}
    if isinstance(gateway, dict):
        kept["gateway"] = {name: gateway[name] for name in ("sent", "got", "ms") if name in gateway}
    return {**battery, "own": kept}


class VerdictSerializer(serializers.Serializer):
    """Where the problem lives. `confidence` runs from 0 to 1; `hop` is a number of routers away, null when it is none."""

    def get_fields(self) -> dict[str, Any]:
        told = {
            "summary": serializers.CharField(read_only=True, help_text="One sentence."),
            "layer": serializers.CharField(read_only=True, help_text="dns, tls, transit, client_network, server, service, application, probe or unknown."),
            "cause": serializers.CharField(read_only=True, help_text="A fixed word, finer than the layer."),
            "confidence": serializers.FloatField(read_only=True),
            "hop": serializers.IntegerField(read_only=True, allow_null=True),
            "asn": serializers.IntegerField(read_only=True, allow_null=True),
            "regions": serializers.JSONField(read_only=True, help_text='{"confirming": [probes], "asked": [probes]}'),
            "for": serializers.JSONField(read_only=True, help_text='[{"text", "probes"}]: what speaks for it.'),
            "against": serializers.JSONField(read_only=True, help_text="What speaks against it."),
            "ruled_out": serializers.JSONField(read_only=True, help_text='[{"layer", "text"}]'),
            "version": serializers.IntegerField(read_only=True, help_text="Of the rules that judged."),
        }  # fmt: skip
        return super().get_fields() | told  # `for` cannot be a Python attribute

    def to_representation(self, verdict: dict[str, Any]) -> dict[str, Any]:
        return verdict


class DiagnosisSerializer(serializers.ModelSerializer):
    """One diagnosis. `verdict` is null while evidence is gathered."""

    monitor = serializers.IntegerField(source="monitor_id", read_only=True)
    alert = serializers.IntegerField(source="alert_id", read_only=True, allow_null=True)
    verdict = serializers.SerializerMethodField()
    report_url = serializers.SerializerMethodField(help_text="Opens the report for whoever has it; null when revoked.")

    class Meta:
        model = Diagnosis
        fields = [
            "id", "monitor", "alert", "state", "cause", "requested_by", "layer", "confidence", "verdict", "revision", "first_failure_at", "started_at",
            "deadline_at", "finished_at", "report_url",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(VerdictSerializer(allow_null=True))
    def get_verdict(self, d: Diagnosis) -> dict[str, Any] | None:
        return d.verdict or None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_report_url(self, d: Diagnosis) -> str | None:
        return links.url_of(d) if links.open_until(d) is not None else None


class WholeDiagnosisSerializer(DiagnosisSerializer):
    """With the evidence that the verdict was drawn from."""

    evidence = serializers.SerializerMethodField()

    class Meta(DiagnosisSerializer.Meta):
        fields = [*DiagnosisSerializer.Meta.fields, "evidence"]
        read_only_fields = fields

    @extend_schema_field(serializers.DictField)
    def get_evidence(self, d: Diagnosis) -> dict[str, Any]:
        return d.evidence if self.context["view"].viewer.msp_role else for_strangers(d.evidence)


class DiagnosisFilter(django_filters.FilterSet):
    """?monitor=&client=&state=&layer= (commas: any of these)"""

    monitor = by_id("monitor_id")
    client = by_id("monitor__client_id")
    state = django_filters.CharFilter(method="by_state")
    layer = django_filters.CharFilter(method="by_layer")

    class Meta:
        model = Diagnosis
        fields: list[str] = []

    def by_state(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        unknown = [w for w in words(value) if w not in Diagnosis.State.values]
        if unknown:
            raise bad({name: f"{unknown[0][:40]!r} is not one of {', '.join(Diagnosis.State.values)}."})
        return rows.filter(state__in=words(value))

    def by_layer(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(layer__in=words(value))


class Diagnoses(ReadOnlyTenantViewSet):
    """What was found out about failures, newest first; kept for 90 days."""

    queryset = Diagnosis.objects.select_related("monitor")
    serializer_class = DiagnosisSerializer
    filterset_class = DiagnosisFilter

    def get_queryset(self) -> QuerySet:
        rows = super().get_queryset()
        return rows.defer("evidence") if self.action == "list" else rows

    def get_serializer_class(self) -> type[DiagnosisSerializer]:
        return WholeDiagnosisSerializer if self.action == "retrieve" else DiagnosisSerializer


class BegunSerializer(serializers.Serializer):
    """Which diagnosis to ask for."""

    diagnosis = serializers.IntegerField(help_text="GET /diagnoses/{id}; its verdict is there within seconds.")


class MonitorDiagnoses(TenantRows):
    """Diagnose now."""

    queryset = Monitor.objects.all()
    serializer_class = BegunSerializer
    pagination_class = None

    @extend_schema(request=None, responses={202: BegunSerializer})
    @action(detail=True, methods=["post"])
    def diagnose(self, request: Request, pk: str) -> Response:
        """Every probe that can looks into it now: paths, names, certificates. The one under way when there is one; 409 where nothing can be diagnosed."""
        d = starting.ask(self.get_object(), by=self.actor, at=database_now())
        return Response({"diagnosis": d.pk}, status=202)
