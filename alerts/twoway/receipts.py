"""What became of a message after the vendor had taken it? Receipts come later: kept with the attempt, or it has failed.

A vendor's "queued" ends a delivery as delivered. When the vendor says afterwards that it did not arrive, the delivery
goes back to its ladder, or fails with what follows from that; a receipt that comes twice, late or out of order changes
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction

from alerts import channels, engine, gathering
from alerts.models import Alert, Attempt, Delivery
from portal import bells

# How far along a message is; a receipt that says less than the last one is late.
STEPS = {"queued": 0, "submitted": 0, "sending": 1, "sent": 2, "answered": 3, "delivered": 3, "read": 4, "failed": 5}


@dataclass(frozen=True, slots=True)
class Later:
    """A vendor's later word about one attempt. `step` is one of STEPS; `error` and `permanent` belong to `failed`."""

    step: str
    said: str  # a line for people: "delivered SM…"
    error: str = ""
    permanent: bool = False


def settle_later(delivery_id: int, n: int, later: Later, *, at: datetime) -> bool:
    """Write it down. False when the attempt is not on record (yet)."""
    with transaction.atomic():
        alert_id = Delivery.objects.filter(pk=delivery_id).values_list("alert_id", flat=True).first()
        alert = _locked(alert_id) if alert_id else None
        row = (
            Delivery.objects.filter(pk=delivery_id)
            .select_for_update(of=("self",))
            .select_related("channel", "notice")
            .first()
        )
        attempt = Attempt.objects.filter(delivery=delivery_id, n=n).first()
        if row is None or attempt is None:
            return False
        if STEPS[later.step] < STEPS.get(attempt.answer.partition(" ")[0], -1) or attempt.outcome != "delivered":
            return True
        attempt.answer = f"{later.step} {later.said}"[:300]
        if later.step != "failed":
            attempt.save(update_fields=["answer"])
            return True
        attempt.outcome = "permanent" if later.permanent else "retry"
        attempt.error = later.error[:500]
        attempt.save(update_fields=["answer", "outcome", "error"])
        if row.attempt == n and row.state == Delivery.State.DELIVERED:
            _failed(row, attempt.outcome, later.error, over=alert is not None and alert.is_resolved, at=at)
        return True


def _locked(alert_id: int) -> Alert | None:
    """Alerts are locked before deliveries; SQLite has one writer anyway."""
    rows = Alert.objects.filter(pk=alert_id)
    return (rows.select_for_update(no_key=True) if connection.vendor == "postgresql" else rows).first()


def _failed(row: Delivery, outcome: str, error: str, *, over: bool, at: datetime) -> None:
    """Back to the ladder, or failed: then its owner hears by another way, unless the alert is over anyway."""
    kind = channels.KINDS.get(row.channel.type)
    later_ones = row.alert_id is not None and Delivery.objects.filter(
        alert=row.alert_id, destination_key=row.destination_key, seq__gt=row.seq
    ).exclude(state=Delivery.State.EXPIRED)
    overtaken = over or (later_ones is not False and later_ones.exists())
    state, wait = engine.after_attempt(
        attempt=row.attempt - row.ladder_from,
        outcome=outcome,
        ambiguous=row.ambiguous,
        keyed=bool(kind and kind.keyed),
    )
    if row.kind == "test" or overtaken:
        state = Delivery.State.FAILED
    row.state, row.reason = state, error[:300]
    if state == Delivery.State.PENDING:
        row.next_attempt_at, row.finished_at, row.gather = at + timedelta(seconds=wait), None, False
    else:
        row.finished_at = at
    row.save(update_fields=["state", "reason", "next_attempt_at", "finished_at", "gather"])
    if state == Delivery.State.PENDING:
        bells.ring_on_commit(bells.SEND)
    elif not over:
        gathering.undeliverable(row, error, at=at, permanent=outcome == "permanent")
