"""Who hears again of what nobody has taken? Open alerts whose triggers ask for a reminder, every so many minutes.

The time stands on the alert (`remind_at`); whoever acknowledges, resolves or holds it stops it. A reminder is an occasion
of its own, told once per destination like every other.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from alerts import facts, limits, snapshot
from alerts.models import Alert, Delivery, Notice
from alerts.models.delivery import TOLD
from portal import bells

AT_ONCE = 200
AGAIN_WHEN_HELD = timedelta(minutes=1)


def step(at: datetime) -> int:
    """Write the reminders that are due; returns how many alerts were reminded of."""
    due = Alert.objects.filter(remind_at__lte=at).order_by("pk")
    if not due.exists():
        return 0
    with transaction.atomic():
        alerts = list(due.select_for_update(skip_locked=True)[:AT_ONCE])
        taken = [a for a in alerts if a.is_resolved or a.status != Alert.Status.OPEN]
        Alert.objects.filter(pk__in=[a.pk for a in taken]).update(remind_at=None)
        held = [a for a in alerts if a not in taken and a.hold_reason]
        Alert.objects.filter(pk__in=[a.pk for a in held]).update(remind_at=at + AGAIN_WHEN_HELD)
        speaking = [a for a in alerts if a not in taken and a not in held]
        if not speaking:
            return 0
        around = facts.around(speaking)
        reminded = 0
        for alert in speaking:
            reminded += _remind(alert, around, at)
        bells.ring_on_commit(bells.SEND)
        return reminded


def _remind(alert: Alert, around: facts.Around, at: datetime) -> int:
    """One alert's reminder, to the destinations whose time it is; sets when the next is due."""
    last: dict[str, Delivery] = {}
    rows = Delivery.objects.filter(alert=alert, remind_minutes__isnull=False, state__in=TOLD).select_related("channel")
    for row in rows.order_by("pk"):
        last[row.destination_key] = row
    times = {k: (d.finished_at or d.created_at) + timedelta(minutes=d.remind_minutes or 0) for k, d in last.items()}
    due = [d for k, d in last.items() if times[k] <= at and not around.usable.get(d.channel_id, "gone")]
    later = [times[k] for k in last if times[k] > at]
    later += [at + timedelta(minutes=d.remind_minutes or 0) for d in last.values() if times[d.destination_key] <= at]
    alert.remind_at = min(later, default=None)
    if due:
        alert.next_seq += 1
    alert.save(update_fields=["remind_at", "next_seq"])
    if not due:
        return 0
    notice = snapshot.notice(alert, Notice.Kind.REMINDER, at, around.names)
    notice.save()
    Delivery.objects.bulk_create(
        Delivery(
            notice=notice, alert=alert, seq=notice.seq, kind=notice.kind, destination_key=d.destination_key, channel_id=d.channel_id, contact_id=d.contact_id,
            client_id=alert.client_id, via=f"reminder · {d.via}"[:200] if not d.via.startswith("reminder") else d.via, priority=4, only_while_open=True,
            wants_recovery=d.wants_recovery, remind_minutes=d.remind_minutes, gather=limits.window(d.channel) > 0, next_attempt_at=at, created_at=at,
        )
        for d in due
    )  # fmt: skip
    return 1


def told(rows: list[tuple[Delivery, datetime]]) -> None:
    """Deliveries with a reminder have arrived: their alerts are to be said again. The caller holds the alerts' rows."""
    for row, at in rows:
        if row.remind_minutes and row.alert_id:
            when = at + timedelta(minutes=row.remind_minutes)
            open_still = Alert.objects.filter(pk=row.alert_id, resolved_at=None, status=Alert.Status.OPEN)
            open_still.filter(remind_at=None).update(remind_at=when)
