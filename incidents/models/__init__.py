"""The durable record people work on."""

from incidents.models.afterwards import Postmortem, SlaContract, SlaReport
from incidents.models.incident import Incident, IncidentAlert, ServiceRules, TimelineEntry, Update

__all__ = [
    "Incident", "IncidentAlert", "Postmortem", "ServiceRules", "SlaContract", "SlaReport", "TimelineEntry", "Update",
]  # fmt: skip
