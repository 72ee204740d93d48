"""The durable record people work on."""

from incidents.models.afterwards import Postmortem, SlaContract, SlaReport
from incidents.models.incident import Incident, IncidentAlert, ServiceRules, TimelineEntry, Update
from incidents.models.recipients import ReportMail, ReportRecipient

__all__ = [
    "Incident", "IncidentAlert", "Postmortem", "ReportMail", "ReportRecipient", "ServiceRules", "SlaContract", "SlaReport", "TimelineEntry", "Update",
]  # fmt: skip
