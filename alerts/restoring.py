"""After a backup was put back: which of its waiting messages are still worth sending?

None that was due before the restore: they were sent, or became pointless, while the backup was not yet the truth. They
end as expired, visibly; what still fires is noticed anew by the checks.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from alerts.models import Delivery
from portal import signals


def connect() -> None:
    """Listen."""
    signals.restored.connect(on_restored, dispatch_uid="alerts.restoring")


def on_restored(sender: object, at: datetime, **_: Any) -> None:
    """Let the backup's unsent messages expire."""
    with transaction.atomic():
        waiting = Delivery.objects.filter(
            state__in=[Delivery.State.PENDING, Delivery.State.SENDING, Delivery.State.HELD], created_at__lt=at
        )
        waiting.update(
            state=Delivery.State.EXPIRED,
            reason="A backup was restored; this message belongs to the time before it.",
            claimed_by="",
            lease_token=None,
            lease_until=None,
            finished_at=at,
        )
