"""What does the ground tell the apps above? Sent inside the transaction; receivers write rows, never to the network.

Every signal carries `sender` (the row's class) and `by` (portal.audit.Actor).
"""

from django.dispatch import Signal

client_created = Signal()  # client
client_changed = Signal()  # client, changed: set of field names
client_deleted = Signal()  # client (still with its rows; before they go)
owner_created = Signal()  # user
restored = Signal()  # at: the database was replaced by a backup
