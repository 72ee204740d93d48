"""What news do monitors send up? Sent inside the transaction."""

from django.dispatch import Signal

state_changed = Signal()  # monitors=[Monitor] with their new state, at
