"""How are playbooks and their runs shown and read over the API? Rules live in the services; secrets go in and never come out."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from rest_framework import serializers

from monitors.models import Monitor
from playbooks import engine, step_settings
from playbooks.models import Approval, Brake, Playbook, Run, RunStep, Step
from portal.api.serializers import OwnRow, TenantSerializer
from portal.models import User
from portal.tenancy import viewer_of

TRIGGER = ("events", "scopes", "tags")


class ApproverId(serializers.PrimaryKeyRelatedField):
    """Whom the caller may name: our people anybody of ours or the clients', a client's people their own and who is named already."""

    def get_queryset(self) -> QuerySet[User]:
        viewer = viewer_of(self.context["request"])
        if viewer.sees_all:
            return User.objects.filter(is_active=True, memberships__isnull=False).distinct()
        row = getattr(self.root, "instance", None)
        theirs = Q(memberships__client__in=viewer.client_ids)
        named = Q(pk__in=row.approvers.values("pk")) if isinstance(row, Playbook) else Q(pk=None)
        return User.objects.filter(theirs | named, is_active=True).distinct()


class TriggerSerializer(serializers.Serializer):
    """Which alerts: OR within a list, AND between them, empty is all."""

    events = serializers.ListField(child=serializers.CharField(max_length=140), required=False, max_length=100)
    scopes = serializers.ListField(child=serializers.CharField(max_length=140), required=False, max_length=100)
    tags = serializers.ListField(child=serializers.CharField(max_length=140), required=False, max_length=100)


class StepSerializer(serializers.ModelSerializer):
    """One step; `id` keeps the secrets of the stored step that it takes the place of."""

    id = serializers.IntegerField(required=False, min_value=1)
    kind = serializers.CharField(max_length=24)
    config = serializers.DictField(required=False)

    class Meta:
        model = Step
        fields = ["id", "order", "kind", "config"]
        read_only_fields = ["order"]

    def to_representation(self, row: Step) -> dict[str, Any]:
        return {
            "id": row.pk,
            "order": row.order,
            "kind": row.kind,
            "config": step_settings.shown(row),
            "has_secret": bool(row.secrets),
        }


class PlaybookSerializer(TenantSerializer):
    """What may be done, when, behind which gates. Steps that are sent replace the old ones. `mode` becomes `automatic` with a second
    factor only: by the page, or with `totp`."""

    name = serializers.CharField(max_length=120)
    trigger = TriggerSerializer(source="*", required=False)
    verdict_layers = serializers.ListField(child=serializers.CharField(max_length=40), required=False, max_length=20)
    steps = StepSerializer(many=True, required=False)
    approver_ids = ApproverId(many=True, required=False, source="approvers", queryset=User.objects.none())
    mode = serializers.ChoiceField(choices=engine.LADDER, required=False)
    totp = serializers.CharField(max_length=12, required=False, write_only=True)
    offered_mode = serializers.SerializerMethodField(
        help_text="The next mode, when enough runs in a row were verified; else null."
    )
    stopped = serializers.SerializerMethodField(help_text="Why its own kill switch is on; else null.")

    class Meta:
        model = Playbook
        fields = [
            "id", "client", "name", "notes", "mode", "version", "trigger", "verdict_layers", "min_confidence", "quorum", "cooldown_seconds", "hourly_cap",
            "target_hourly_cap", "blast_radius", "approvals_required", "approver_ids", "approval_minutes", "steps", "verify_within_seconds",
            "undo_on_failure", "trusted_after", "verified_in_a_row", "offered_mode", "automatic_since", "automatic_by", "stopped", "totp", "created_at",
        ]  # fmt: skip
        read_only_fields = ["version", "verified_in_a_row", "automatic_since", "automatic_by", "created_at"]
        validators: list = []

    def get_offered_mode(self, row: Playbook) -> str | None:
        return engine.offered(row.mode, row.verified_in_a_row, row.trusted_after) or None

    def get_stopped(self, row: Playbook) -> str | None:
        return row.brake.reason if hasattr(row, "brake") else None

    def to_representation(self, row: Playbook) -> dict[str, Any]:
        said = super().to_representation(row)
        return {**said, "trigger": {name: getattr(row, name) for name in TRIGGER}}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        given = data.get("trigger") if isinstance(data, dict) else None
        if isinstance(given, dict) and (unknown := sorted(set(given) - set(TRIGGER))):
            raise serializers.ValidationError(
                {"trigger": {unknown[0][:40]: [f"Not a condition; there are {', '.join(TRIGGER)}."]}}
            )
        return super().to_internal_value(data)


class ApprovalSerializer(serializers.ModelSerializer):
    """One person's word."""

    user = serializers.CharField(source="user.email")

    class Meta:
        model = Approval
        fields = ["user", "word", "how", "reason", "at"]


class RunStepSerializer(serializers.ModelSerializer):
    """What became of one step."""

    class Meta:
        model = RunStep
        fields = ["order", "kind", "state", "started_at", "finished_at", "output", "before", "after", "error"]


class RunSerializer(serializers.ModelSerializer):
    """What was proposed, allowed and done."""

    steps = RunStepSerializer(many=True)
    approvals = ApprovalSerializer(many=True)

    class Meta:
        model = Run
        fields = [
            "id", "playbook", "playbook_name", "client", "monitor", "alert", "incident", "undoes", "mode", "state", "reason", "gates", "gates_at", "plan",
            "plan_hash", "verdict", "requested_by", "approvals_required", "approver_ids", "approvals", "steps", "verification", "created_at", "expires_at",
            "decided_at", "acted_at", "verify_until", "finished_at",
        ]  # fmt: skip
        read_only_fields = fields


class BrakeSerializer(TenantSerializer):
    """A kill switch that is on: for everything (neither is named), for a client, or for a playbook. DELETE lifts it."""

    playbook = OwnRow(queryset=Playbook.objects.all(), required=False, allow_null=True)
    reason = serializers.CharField(max_length=300)

    class Meta:
        model = Brake
        fields = ["id", "scope", "client", "playbook", "reason", "by", "at"]
        read_only_fields = ["scope", "by", "at"]
        validators: list = []


class ApproveSerializer(serializers.Serializer):
    """A yes: the code that your authenticator shows now, and (better) the hash of the plan that you looked at."""

    totp = serializers.CharField(max_length=12, required=False, default="")
    plan_hash = serializers.CharField(max_length=64, required=False, default="")


class DenySerializer(serializers.Serializer):
    """A no, with its reason."""

    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


class DryRunSerializer(serializers.Serializer):
    """Which monitor it is to be tried on."""

    monitor = OwnRow(queryset=Monitor.objects.all())


class BacktestSerializer(serializers.Serializer):
    """How many days of history."""

    days = serializers.IntegerField(min_value=1, max_value=90, default=90)
