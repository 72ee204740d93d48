"""What is wrong, who is to be told, and what became of each message."""

from alerts.models.alert import Alert, Decision, Notice
from alerts.models.delivery import Attempt, Conversation, Delivery, Destination
from alerts.models.routing import Channel, ContactChannel, Silence, Trigger

__all__ = [
    "Alert", "Attempt", "Channel", "ContactChannel", "Conversation", "Decision", "Delivery", "Destination", "Notice",
    "Silence", "Trigger",
]  # fmt: skip
