"""Who is called when nobody answers, over the API: policies with their levels, where they overlap, and what runs did."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from alerts import policies
from alerts.api.deliveries import DeliverySerializer, with_attempts
from alerts.models import Channel, Delivery, EscalationPolicy, Level, OnCallSchedule, Run, Step
from alerts.models.escalation import LONGEST_DELAY
from portal.api.base import TenantViewSet
from portal.api.filters import IdFilter
from portal.api.serializers import OwnRow, TenantSerializer
from portal.models import Contact, ContactGroup

FILTERS = ("severities", "sources", "scopes", "tags")
MOST_WORDS = 100


class WordsField(serializers.ListField):
    """Words of a filter: a list here, comma-separated in the row."""

    child = serializers.CharField(max_length=140)

    def to_internal_value(self, data: Any) -> str:
        if isinstance(data, list) and len(data) > MOST_WORDS:
            raise serializers.ValidationError(f"At most {MOST_WORDS} words; use tags, or several policies.")
        words = super().to_internal_value(data)
        if any("," in word for word in words):
            raise serializers.ValidationError("A word has no comma; write each by itself.")
        return ",".join(words)

    def to_representation(self, text: str) -> list[str]:
        return [word for word in text.split(",") if word]


class FiltersSerializer(serializers.Serializer):
    """Which alerts: OR within a field, AND between them, empty is all."""

    severities = WordsField(required=False)
    sources = WordsField(required=False)
    scopes = WordsField(required=False)
    tags = WordsField(required=False)

    def to_representation(self, row: EscalationPolicy) -> dict[str, Any]:
        return {name: self.fields[name].to_representation(getattr(row, f"filter_{name}")) for name in FILTERS}


class LevelSerializer(serializers.ModelSerializer):
    """One level: who is called, how many seconds after the start of the run."""

    order = serializers.IntegerField(required=False, help_text="Default: its place in the list, from 1.")
    delay_seconds = serializers.IntegerField(help_text=f"From the start of the run; rising; at most {LONGEST_DELAY}.")
    channel_ids = OwnRow(many=True, required=False, source="channels", queryset=Channel.objects.all())
    contact_ids = OwnRow(many=True, required=False, source="contacts", queryset=Contact.objects.all())
    group_ids = OwnRow(many=True, required=False, source="groups", queryset=ContactGroup.objects.all())
    schedule_ids = OwnRow(many=True, required=False, source="schedules", queryset=OnCallSchedule.objects.all())

    class Meta:
        model = Level
        fields = ["order", "delay_seconds", "channel_ids", "contact_ids", "group_ids", "schedule_ids"]


class PolicySerializer(TenantSerializer):
    """An escalation policy. Levels that are sent replace the old ones; runs that have begun go by what was."""

    name = serializers.CharField(max_length=120)
    filters = FiltersSerializer(source="*", required=False)
    levels = LevelSerializer(many=True, required=False)
    repeat_count = serializers.IntegerField(required=False, help_text="Passes after the first.")
    repeat_after_seconds = serializers.IntegerField(
        required=False, help_text="From the last level to the next pass, and to “nobody answered”."
    )

    class Meta:
        model = EscalationPolicy
        fields = [
            "id", "client", "name", "active", "attached_only", "filters", "levels", "repeat_count", "repeat_after_seconds", "on_empty", "created_at",
        ]  # fmt: skip
        validators: list = []

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        given = data.get("filters") if isinstance(data, dict) else None
        values = super().to_internal_value(data)
        for name in FILTERS:
            if name in values:
                values[f"filter_{name}"] = values.pop(name)
        if isinstance(given, dict):
            unknown = sorted(set(given) - set(FILTERS))
            if unknown:
                raise serializers.ValidationError(
                    {"filters": {unknown[0][:40]: [f"Not a filter; there are {', '.join(FILTERS)}."]}}
                )
        return values


class PolicyFilter(django_filters.FilterSet):
    """`client`, `active`, `name`."""

    client = IdFilter(field_name="client_id")

    class Meta:
        model = EscalationPolicy
        fields = ["active", "name"]


class PolicyNameSerializer(serializers.Serializer):
    """A row by its name."""

    id = serializers.IntegerField()
    name = serializers.CharField()


class OverlapSerializer(serializers.Serializer):
    """Two active policies that can take up the same alert and call the same channels."""

    policies = PolicyNameSerializer(many=True)
    channels = PolicyNameSerializer(many=True)


class Policies(TenantViewSet):
    """Who is called when nobody answers."""

    queryset = EscalationPolicy.objects.prefetch_related(
        "levels", *(f"levels__{name}" for name in policies.KEYS)
    ).order_by("-id")
    serializer_class = PolicySerializer
    filterset_class = PolicyFilter

    def perform_create(self, serializer: BaseSerializer) -> None:
        serializer.instance = policies.save_policy(None, by=self.actor, **serializer.validated_data)

    def perform_update(self, serializer: BaseSerializer) -> None:
        policies.save_policy(serializer.instance, by=self.actor, **serializer.validated_data)

    def perform_destroy(self, instance: EscalationPolicy) -> None:
        policies.delete_policy(instance, by=self.actor)

    @extend_schema(responses=OverlapSerializer(many=True), filters=False)
    @action(detail=False, pagination_class=None)
    def overlaps(self, request: Request, **kwargs: Any) -> Response:
        """Where one alert would call the same channel by two policies."""
        found = [
            {
                "policies": [{"id": p.pk, "name": p.name} for p in (o.one, o.other)],
                "channels": [{"id": c.pk, "name": c.name} for c in o.channels if self.viewer.sees(c.client_id)],
            }
            for o in policies.overlaps(self.request)
        ]
        return Response({"results": found, "next": None, "previous": None})


# --- Runs ---------------------------------------------------------------------------------------------------------------
class StepSerializer(serializers.ModelSerializer):
    """What was done at a level: a destination told, or why nobody was."""

    pass_ = serializers.IntegerField(source="pass_number")
    delivery = serializers.IntegerField(source="delivery_id", allow_null=True)

    class Meta:
        model = Step
        fields = ["pass_", "level", "contact_name", "via", "reason", "delivery", "at"]

    def to_representation(self, step: Step) -> dict[str, Any]:
        said = super().to_representation(step)
        return {"pass": said.pop("pass_"), **said}


class RunSerializer(serializers.ModelSerializer):
    """One alert climbing one policy."""

    policy = serializers.IntegerField(source="policy_id", allow_null=True)
    alert = serializers.IntegerField(source="alert_id")
    pass_ = serializers.SerializerMethodField(help_text="`pass`: the pass that it is in, from 0.")
    level = serializers.SerializerMethodField(help_text="The order of the level called last; 0 before the first.")
    deliveries = serializers.SerializerMethodField()
    steps = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields = [
            "id", "policy", "policy_name", "alert", "status", "pass_", "level", "started_at", "next_action_at", "paused_at", "ended_at", "steps",
            "deliveries",
        ]  # fmt: skip
        read_only_fields = fields

    def get_pass_(self, run: Run) -> int:
        steps = run.steps.all()
        return max((s.pass_number for s in steps), default=0)

    def get_level(self, run: Run) -> int:
        steps = [s for s in run.steps.all() if s.pass_number == self.get_pass_(run)]
        return max((s.level for s in steps), default=0)

    @extend_schema_field(DeliverySerializer(many=True))
    def get_deliveries(self, run: Run) -> list[dict[str, Any]]:
        seen = self.context["deliveries"]
        return [seen[s.delivery_id] for s in run.steps.all() if s.delivery_id in seen]

    @extend_schema_field(StepSerializer(many=True))
    def get_steps(self, run: Run) -> list[dict[str, Any]]:
        return StepSerializer(run.steps.all(), many=True).data

    def to_representation(self, run: Run) -> dict[str, Any]:
        said = super().to_representation(run)
        return {("pass" if name == "pass_" else name): value for name, value in said.items()}


def runs_of(rows: QuerySet) -> QuerySet:
    """What the serializer shows."""
    return rows.prefetch_related(Prefetch("steps", Step.objects.order_by("pk"))).order_by("-id")


def bodies(runs: list[Run], request: Request) -> list[dict[str, Any]]:
    """Runs as the API shows them; of their deliveries those that the caller's own channels got."""
    ids = {s.delivery_id for run in runs for s in run.steps.all() if s.delivery_id}
    rows = with_attempts(Delivery.objects.for_user(request).filter(pk__in=ids))
    seen = {body["id"]: body for body in DeliverySerializer(rows, many=True).data}
    return RunSerializer(runs, many=True, context={"deliveries": seen}).data
