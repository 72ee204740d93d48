"""What is a service over the API? The ground's body with its escalation and the rules by which its incidents open (SPEC 19)."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from rest_framework import serializers
from rest_framework.serializers import BaseSerializer

from alerts import escalating, policies
from alerts.models import Alert, EscalationPolicy
from incidents import rules
from incidents.models import Incident, ServiceRules
from portal import services
from portal.api import resources
from portal.api.serializers import OwnRow
from portal.audit import Actor
from portal.models import Service
from portal.tenancy import Viewer
from statuspages.bodies import PageId
from statuspages.services import refuse_rule

NOT_YOURS = "Our staff has set this service's escalation; ask them to change it."
COLUMNS = {
    "incident_creation": "creation",
    "merge_window_minutes": "merge_window_minutes",
    "default_incident_severity": "default_severity",
}


def policy_of(service: Service) -> EscalationPolicy | None:
    """The policy that the service's alerts climb, whoever's it is."""
    routing = getattr(service, "routing", None)
    return routing.policy if routing is not None else None


def choose_policy(service: Service, policy: EscalationPolicy | None, *, by: Actor, viewer: Viewer) -> None:
    """Attach it (None: none any more). What a person does not see they leave as it is, and cannot replace."""
    now = policy_of(service)
    if now is not None and not viewer.sees(now.client_id):
        if policy is not None:
            raise ValidationError({"escalation_policy": NOT_YOURS})
        return
    policies.attach(service, policy, by=by)


def save(
    service: Service | None, values: dict[str, Any], own: dict[str, Any], policy: list[EscalationPolicy | None], *, by: Actor, viewer: Viewer
) -> Service:  # fmt: skip
    """Make (None) or change a service with its rules (`own`) and its policy (when one is given, None included), or nothing."""
    with transaction.atomic():
        if service is None:
            service = services.create(Service, by=by, **values)
        else:
            if policy:  # alerts are locked before the audit log, which the change below writes to
                escalating.lock(Alert.objects.filter(status=Alert.Status.OPEN, service=service))
            services.change(service, by=by, **values)
        refuse_rule(service, own.get("auto_publish_page"))
        if own:
            rules.set_rules(service, by=by, **own)
        for chosen in policy:
            choose_policy(service, chosen, by=by, viewer=viewer)
    return service


class ServiceSerializer(resources.ServiceSerializer):
    """A logical group of monitors: which policy its alerts climb, and how its incidents open."""

    incident_creation = serializers.ChoiceField(
        choices=ServiceRules.Creation.choices, required=False, source="incident_rules.creation"
    )
    merge_window_minutes = serializers.IntegerField(
        required=False, min_value=0, max_value=rules.LONGEST_MERGE_MINUTES, source="incident_rules.merge_window_minutes"
    )
    default_incident_severity = serializers.ChoiceField(
        choices=Incident.Severity.choices,
        required=False,
        allow_null=True,
        allow_blank=True,
        source="incident_rules.default_severity",
    )
    auto_publish_page = PageId(source="incident_rules.auto_publish_page")
    escalation_policy = OwnRow(
        queryset=EscalationPolicy.objects.all(),
        required=False,
        allow_null=True,
        write_only=True,
        help_text="The policy that its alerts climb, whatever its filters say.",
    )

    class Meta(resources.ServiceSerializer.Meta):
        fields = [*resources.ServiceSerializer.Meta.fields, *COLUMNS, "auto_publish_page", "escalation_policy"]

    def to_representation(self, service: Service) -> dict[str, Any]:
        body = super().to_representation(service)
        row = getattr(service, "incident_rules", None) or ServiceRules(service=service)
        policy = policy_of(service)
        body |= {name: getattr(row, column) or None for name, column in COLUMNS.items()}
        return body | {
            "merge_window_minutes": row.merge_window_minutes,
            "auto_publish_page": row.auto_publish_page,
            "escalation_policy": policy.pk if policy is not None and self.viewer.sees(policy.client_id) else None,
        }


class Services(resources.Services):
    """Logical groups of monitors."""

    queryset = Service.objects.select_related("incident_rules", "routing__policy")
    serializer_class = ServiceSerializer

    def perform_create(self, serializer: BaseSerializer) -> None:
        self._save(serializer, None)

    def perform_update(self, serializer: BaseSerializer) -> None:
        self._save(serializer, serializer.instance)

    def _save(self, serializer: BaseSerializer, service: Service | None) -> None:
        values, own, policy = self._apart(serializer)
        saved = save(service, values, own, policy, by=self.actor, viewer=self.viewer)
        serializer.instance = self.get_queryset().get(pk=saved.pk)

    @staticmethod
    def _apart(serializer: BaseSerializer) -> tuple[dict[str, Any], dict[str, Any], list[EscalationPolicy | None]]:
        """(the service's own fields, its rules, its policy when one was given)."""
        values = dict(serializer.validated_data)
        policy = [values.pop("escalation_policy")] if "escalation_policy" in values else []
        own = values.pop("incident_rules", {})
        return (
            values,
            {
                name: value or "" if name == "default_severity" else value
                for name, value in own.items()
                if name in rules.FIELDS
            },
            policy,
        )
