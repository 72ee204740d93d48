"""What news do incidents send up? Sent inside the transaction."""

from django.dispatch import Signal

# incidents=[Incident], at, change="opened" | "joined" | "acknowledged" | "updated" | "resolved" | "reopened" | "edited";
# a merge is "resolved" of the one and "joined" of the other, a split "opened" of the new one.
incident_changed = Signal()
