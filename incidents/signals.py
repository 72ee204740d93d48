"""What news do incidents send up? Sent inside the transaction."""

from django.dispatch import Signal

incident_changed = (
    Signal()
)  # incidents=[Incident], at, change="opened" | "joined" | "acknowledged" | "updated" | "resolved" | "reopened"
