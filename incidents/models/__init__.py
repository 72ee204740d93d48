"""The durable record people work on."""

from incidents.models.incident import Incident, IncidentAlert, ServiceRules, TimelineEntry, Update

__all__ = ["Incident", "IncidentAlert", "ServiceRules", "TimelineEntry", "Update"]
