"""What news do alerts send up? Sent inside the transaction, with lists; a receiver writes rows or calls one service."""

from django.dispatch import Signal

alert_opened = Signal()  # alerts=[Alert], at: before anybody is told, so that an incident can be attached
alert_changed = Signal()  # alerts=[Alert], at, change="raised" | "acknowledged" | "snoozed" | "verdict"
alert_closed = Signal()  # alerts=[Alert], at, by=Actor, manual=bool
maintenance_changed = (
    Signal()
)  # windows=[MaintenanceWindow], scopes=[str], at, began=bool: before alerts are judged anew
