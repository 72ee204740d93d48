"""What was seen of one monitor, as lists: results by time, changes of state, certificates; and what a script may push."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from monitors.api.bodies import Finite
from monitors.history import WINDOWS
from monitors.models import Certificate, Monitor, Result, StateChange
from portal.api.pagination import Newest

LOST_PLUS = re.compile(r"(.*T.*) ([0-9]{2}:?[0-9]{2})")  # an unescaped + in an address arrives as a space


class ResultPages(Newest):
    """Results have no id of their own: time and probe order them."""

    max_page_size = 1000

    def get_ordering(self, request: Request, queryset: QuerySet, view: Any) -> tuple[str, ...]:
        return "-ts", "-probe_id"


def results_of(m: Monitor, request: Request, slugs: dict[int, str]) -> QuerySet:
    """A monitor's results as ?since=, ?until= and ?probe= ask for. Raises ValidationError at the parameter."""
    rows = Result.objects.filter(monitor_id=m.pk)
    since, until, probe = moment(request, "since"), moment(request, "until"), request.query_params.get("probe")
    if since is not None:
        rows = rows.filter(ts__gte=since)
    if until is not None:
        rows = rows.filter(ts__lt=until)
    if probe:
        rows = rows.filter(probe_id=next((pk for pk, slug in slugs.items() if slug == probe), 0))
    return rows


def moment(request: Request, name: str) -> datetime | None:
    """A time in the query, or None. Raises ValidationError when it is not one."""
    text = request.query_params.get(name, "")
    if not text:
        return None
    if (lost := LOST_PLUS.fullmatch(text)) is not None:
        text = f"{lost[1]}+{lost[2]}"
    try:
        return serializers.DateTimeField().to_internal_value(text)
    except ValidationError:
        raise ValidationError({name: [f"{text[:40]!r} is not a time; write it as 2026-03-01T02:00:00Z."]}) from None


class UptimeSerializer(serializers.Serializer):
    """Percent by window; null without data."""

    def get_fields(self) -> dict[str, Any]:
        return {name: serializers.FloatField(allow_null=True, read_only=True) for name in WINDOWS}


class ChangeSerializer(serializers.ModelSerializer):
    """One step of a monitor's state."""

    class Meta:
        model = StateChange
        fields = ["id", "version", "at", "first_failure_at", "reason", "layer"]

    def get_fields(self) -> dict[str, Any]:
        ends = {"from": "from_state", "to": "to_state"}  # `from` cannot be a Python attribute
        return super().get_fields() | {
            name: serializers.CharField(source=column, read_only=True) for name, column in ends.items()
        }


class CertificateSerializer(serializers.ModelSerializer):
    """A certificate that a monitor was shown."""

    class Meta:
        model = Certificate
        fields = [
            "id", "fingerprint", "subject", "issuer", "names", "not_before", "not_after", "chain_error", "hostname_ok", "first_seen_at", "last_seen_at",
        ]  # fmt: skip


class PushSerializer(serializers.Serializer):
    """A result that a script found."""

    status = serializers.ChoiceField(choices=["up", "degraded", "down", "failing"])
    message = serializers.CharField(required=False, default="", allow_blank=True, max_length=2000)
    latency_ms = Finite(required=False, default=None, allow_null=True, min_value=0, max_value=86_400_000)
