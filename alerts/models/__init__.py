"""What is wrong, who is to be told, and what became of each message."""

from alerts.models.alert import Alert, Decision, Notice
from alerts.models.asked import MaintenanceRequest
from alerts.models.delivery import Attempt, Conversation, Delivery, Destination
from alerts.models.escalation import EscalationPolicy, Level, Run, ServiceRouting, Step
from alerts.models.inbound import Integration
from alerts.models.oncall import Layer, LayerMember, OnCallSchedule, Override
from alerts.models.quiet import MaintenanceWindow, Occurrence, Silence
from alerts.models.routing import Channel, ContactChannel, Trigger
from alerts.models.wording import MessageTemplate, Usage

__all__ = [
    "Alert", "Attempt", "Channel", "ContactChannel", "Conversation", "Decision", "Delivery", "Destination", "EscalationPolicy",
    "Integration", "Layer", "LayerMember", "Level", "MaintenanceRequest", "MaintenanceWindow", "MessageTemplate", "Notice", "Occurrence", "OnCallSchedule",
    "Override", "Run", "ServiceRouting", "Silence", "Step", "Trigger", "Usage",
]  # fmt: skip
