"""What is a service over the API? The ground's body with the rules by which its incidents open (SPEC 19)."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from rest_framework import serializers
from rest_framework.serializers import BaseSerializer

from incidents import rules
from incidents.bodies import NullOnly
from incidents.models import Incident, ServiceRules
from portal import services
from portal.api import resources
from portal.models import Service

COLUMNS = {
    "incident_creation": "creation",
    "merge_window_minutes": "merge_window_minutes",
    "default_incident_severity": "default_severity",
}


class ServiceSerializer(resources.ServiceSerializer):
    """A logical group of monitors, and how its incidents open."""

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
    auto_publish_page = NullOnly(source="incident_rules.auto_publish_page")
    escalation_policy = NullOnly(write_only=True)

    class Meta(resources.ServiceSerializer.Meta):
        fields = [*resources.ServiceSerializer.Meta.fields, *COLUMNS, "auto_publish_page", "escalation_policy"]

    def to_representation(self, service: Service) -> dict[str, Any]:
        body = super().to_representation(service)
        row = getattr(service, "incident_rules", None) or ServiceRules(service=service)
        body |= {name: getattr(row, column) or None for name, column in COLUMNS.items()}
        return body | {
            "merge_window_minutes": row.merge_window_minutes,
            "auto_publish_page": row.auto_publish_page,
            "escalation_policy": None,
        }


class Services(resources.Services):
    """Logical groups of monitors."""

    queryset = Service.objects.select_related("incident_rules")
    serializer_class = ServiceSerializer

    def perform_create(self, serializer: BaseSerializer) -> None:
        values, own = self._apart(serializer)
        with transaction.atomic():
            service = services.create(Service, by=self.actor, **values)
            self._keep(serializer, service, own)

    def perform_update(self, serializer: BaseSerializer) -> None:
        values, own = self._apart(serializer)
        with transaction.atomic():
            services.change(serializer.instance, by=self.actor, **values)
            self._keep(serializer, serializer.instance, own)

    @staticmethod
    def _apart(serializer: BaseSerializer) -> tuple[dict[str, Any], dict[str, Any]]:
        """(the service's own fields, its rules)."""
        values = dict(serializer.validated_data)
        values.pop("escalation_policy", None)
        own = values.pop("incident_rules", {})
        return values, {
            name: value or "" if name == "default_severity" else value
            for name, value in own.items()
            if name in rules.FIELDS
        }

    def _keep(self, serializer: BaseSerializer, service: Service, own: dict[str, Any]) -> None:
        if own:
            rules.set_rules(service, by=self.actor, **own)
        serializer.instance = self.get_queryset().get(pk=service.pk)
