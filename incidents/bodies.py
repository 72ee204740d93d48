"""How are an incident and its body each other? Links within what the caller sees; the status is changed by its own doors."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from alerts.snapshot import alert_body
from incidents.models import Incident, Update
from monitors.models import Monitor
from portal.api.serializers import OwnRow, TenantSerializer
from portal.models import Client, Contact, Service

MOST_AFFECTED = 1000
OWN_DOORS = {"status": "updates", "responder_status": "acknowledge, /resolve or /reopen"}
CREATED_WITH = ("client", "service_id", "status_page_id")


class UpdateSerializer(serializers.ModelSerializer):
    """What was told to those outside."""

    status = serializers.ChoiceField(
        choices=Incident.Status.choices, required=False, help_text="Forward only; left out: as it is."
    )
    message = serializers.CharField(required=False, allow_blank=True, default="", max_length=20_000)

    class Meta:
        model = Update
        fields = ["id", "status", "message", "by", "created_at", "edited_at"]
        read_only_fields = ["by", "created_at", "edited_at"]


class AcknowledgeSerializer(serializers.Serializer):
    """Who takes it; left out: the caller."""

    acknowledged_by = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=200)


class MessageSerializer(serializers.Serializer):
    """What to say with it."""

    message = serializers.CharField(required=False, allow_blank=True, default="", max_length=20_000)


class EntrySerializer(serializers.Serializer):
    """One thing that happened."""

    at = serializers.DateTimeField()
    kind = serializers.CharField()
    by = serializers.CharField()
    text = serializers.CharField()
    data = serializers.DictField()


@extend_schema_field({"type": "integer", "nullable": True})
class NullOnly(serializers.Field):
    """A link to something that does not exist yet: null is taken, everything else refused."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, allow_null=True, **kwargs)

    def to_internal_value(self, data: Any) -> None:
        raise serializers.ValidationError(f"There is no such row: {str(data)[:40]!r}. Use null.")

    def to_representation(self, value: Any) -> Any:
        return value


class IncidentSerializer(TenantSerializer):
    """An incident with its alerts and what was said of it."""

    client = OwnRow(
        queryset=Client.objects.all(),
        required=False,
        allow_null=True,
        help_text="Known from the monitors or the service when left out.",
    )
    title = serializers.CharField(max_length=200)
    severity = serializers.ChoiceField(choices=Incident.Severity.choices, required=False)
    message = serializers.CharField(required=False, allow_blank=True, default="", max_length=20_000, write_only=True)
    notify = serializers.BooleanField(
        required=False, default=True, write_only=True, help_text="Route and escalate it as an alert."
    )
    service_id = OwnRow(queryset=Service.objects.all(), source="service", required=False, allow_null=True)
    status_page_id = NullOnly()
    affected_monitor_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1), required=False, max_length=MOST_AFFECTED
    )
    affected_http_job_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1),
        required=False,
        max_length=MOST_AFFECTED,
        source="affected_monitor_ids",
    )
    lead = OwnRow(queryset=Contact.objects.all(), required=False, allow_null=True, help_text="Who leads the response.")
    began_at = serializers.DateTimeField(required=False, allow_null=True)
    mitigated_at = serializers.DateTimeField(required=False, allow_null=True)
    alerts = serializers.SerializerMethodField()
    updates = UpdateSerializer(many=True, read_only=True)

    class Meta:
        model = Incident
        fields = [
            "id", "client", "title", "severity", "status", "responder_status", "message", "notify", "auto_created", "auto_resolve", "created_at", "created_by",
            "acknowledged_at", "acknowledged_by", "resolved_at", "resolved_by", "service_id", "status_page_id", "parent", "affected_monitor_ids",
            "affected_http_job_ids", "alerts", "updates", "lead", "began_at", "mitigated_at", "times_known_by", "merged_into",
        ]  # fmt: skip
        read_only_fields = [
            "auto_created",
            "created_at",
            "created_by",
            "acknowledged_at",
            "acknowledged_by",
            "resolved_at",
            "resolved_by",
            "parent",
            "times_known_by",
            "merged_into",
        ]
        fixed = ()
        extra_kwargs = {
            "status": {"required": False},
            "responder_status": {"required": False},
            "auto_resolve": {"required": False},
        }

    @extend_schema_field(serializers.ListField(child=serializers.DictField()))
    def get_alerts(self, incident: Incident) -> list[dict[str, Any]]:
        return [alert_body(link.alert) for link in incident.alert_links.all()]

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if isinstance(data, dict):
            if "affected_http_job_ids" in data:  # both names sent back: the one that was changed counts
                ours = data.get("affected_monitor_ids")
                now = self.instance.affected_monitor_ids if self.instance is not None else None
                if ours is None or ours == now:
                    data = {**data, "affected_monitor_ids": data["affected_http_job_ids"]}
                data = {name: value for name, value in data.items() if name != "affected_http_job_ids"}
            if (
                self.instance is None
                and "client" not in data
                and (data.get("service_id") or data.get("affected_monitor_ids"))
            ):
                data = {**data, "client": None}  # it follows from them
        return super().to_internal_value(data)

    def validate_affected_monitor_ids(self, ids: list[int]) -> list[int]:
        """Only monitors that the caller sees, and those that the incident names already."""
        ids = list(dict.fromkeys(ids))
        known = set(
            Monitor.objects.for_user(self.context["request"])
            .filter(pk__in=[i for i in ids if i < 2**63])
            .values_list("pk", flat=True)
        )
        known |= set(self.instance.affected_monitor_ids) if self.instance is not None else set()
        missing = [str(i) for i in ids if i not in known]
        if missing:
            raise serializers.ValidationError(f"No such monitor: {', '.join(missing[:10])}.")
        return ids

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if self.instance is not None:
            for name, door in OWN_DOORS.items():
                if name in values and values[name] != getattr(self.instance, name):
                    raise serializers.ValidationError(
                        {name: [f"Use POST /api/v1/incidents/{self.instance.pk}/{door}."]}
                    )
            for name in CREATED_WITH:
                column = name.removesuffix("_id") if name == "service_id" else name
                if column in values and values[column] != getattr(self.instance, column):
                    raise serializers.ValidationError({name: ["This cannot be changed; open a new incident instead."]})
        return values

    def to_representation(self, incident: Incident) -> dict[str, Any]:
        body = super().to_representation(incident)
        if not self.viewer.msp_role:  # a parent is ours alone: that there is one says that others have the same trouble
            body["parent"] = None
        for name in ("created_by", "acknowledged_by", "resolved_by"):
            body[name] = body[name] or None
        return body
