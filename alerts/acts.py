"""What can people do with an alert? One door each, for pages, API, admin and links alike; each says who and when."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from alerts import report, telling
from alerts.models import Alert, Channel, Delivery, Notice, Silence
from alerts.signals import alert_changed
from alerts.snapshot import moment
from portal import audit, bells
from portal.audit import Actor
from portal.errors import Refused


def _locked(alert: Alert) -> Alert:
    return Alert.objects.select_for_update().get(pk=alert.pk)


def acknowledge(alert: Alert, *, by: Actor, at: datetime, name: str = "") -> Alert:
    """Somebody has it: escalation stops, the alert stays open. Refused when it is resolved; again is harmless."""
    with transaction.atomic():
        alert = _locked(alert)
        if alert.is_resolved:
            raise Refused("This alert is resolved already; there is nothing to acknowledge.")
        if alert.status == Alert.Status.ACKNOWLEDGED:
            return alert
        alert.status, alert.acknowledged_at, alert.acknowledged_by, alert.updated_at = (
            Alert.Status.ACKNOWLEDGED,
            at,
            (name or by.name)[:200],
            at,
        )
        alert.save(update_fields=["status", "acknowledged_at", "acknowledged_by", "updated_at"])
        telling.drop_delayed([alert], at=at, reason=f"{alert.acknowledged_by} acknowledged first.")
        alert_changed.send(Alert, alerts=[alert], at=at, change="acknowledged", by=by)
        audit.record(
            "alert.acknowledge", alert, by=by, client_id=alert.client_id
        )  # last: who holds the log's head waits for nobody
        return alert


def acknowledge_all(alerts: list[Alert], *, by: Actor, at: datetime, name: str = "") -> int:
    """Acknowledge those that are open and nobody has yet; returns how many."""
    done = 0
    for alert in alerts:
        if alert.status == Alert.Status.OPEN:
            acknowledge(alert, by=by, at=at, name=name)
            done += 1
    return done


def resolve(alert: Alert, *, by: Actor, at: datetime) -> Alert:
    """A person says it is over. Should it still fail at the next check, a new alert opens. Refused when resolved already."""
    with transaction.atomic():
        alert = _locked(alert)
        if alert.is_resolved:
            raise Refused("This alert is resolved already.")
        report.close([alert], at=at, by=by, manual=True)
        audit.record("alert.resolve", alert, by=by, client_id=alert.client_id)
        return alert


LONGEST_SNOOZE_MINUTES = 7 * 24 * 60


def snooze(alert: Alert, *, by: Actor, at: datetime, minutes: int | None = None) -> Alert:
    """Quiet for some minutes, or (None) until it has recovered. What still fires afterwards is told again."""
    if minutes is not None and not 1 <= minutes <= LONGEST_SNOOZE_MINUTES:
        raise Refused(f"minutes: from 1 to {LONGEST_SNOOZE_MINUTES} (a week).")
    with transaction.atomic():
        alert = _locked(alert)
        if alert.is_resolved:
            raise Refused("This alert is resolved already; there is nothing to snooze.")
        alert.snoozed_until = at + timedelta(minutes=minutes) if minutes is not None else None
        alert.snoozed_until_recovered = minutes is None
        alert.updated_at = at
        alert.save(update_fields=["snoozed_until", "snoozed_until_recovered", "updated_at"])
        telling.reconsider([alert], at=at)
        audit.record(
            "alert.snooze",
            alert,
            by=by,
            client_id=alert.client_id,
            after={"until": moment(alert.snoozed_until) or "recovered"},
        )
        alert_changed.send(Alert, alerts=[alert], at=at, change="snoozed", by=by)
        return alert


# --- Silences ---------------------------------------------------------------------------------------------------------
def silence(row: Silence, *, by: Actor, at: datetime) -> Silence:
    """Save a new silence and hold what it covers and nobody was told of yet."""
    with transaction.atomic():
        row.owner = row.owner or by.name
        row.save()
        audit.record(
            "silence.create",
            row,
            by=by,
            client_id=row.client_id,
            after={"matchers": row.matchers, "ends_at": moment(row.ends_at)},
        )
        telling.reconsider(_open_for(row), at=at)
        return row


def cancel_silence(row: Silence, *, by: Actor, at: datetime) -> Silence:
    """End it now; what still fires is sent at once. The row stays, with what it hid."""
    with transaction.atomic():
        row = Silence.objects.select_for_update().get(pk=row.pk)
        if row.cancelled_at is not None:
            raise Refused("This silence was cancelled already.")
        row.cancelled_at, row.cancelled_by = at, by.name
        row.save(update_fields=["cancelled_at", "cancelled_by"])
        audit.record("silence.cancel", row, by=by, client_id=row.client_id)
        telling.reconsider(
            list(Alert.objects.filter(resolved_at=None, held_by=row.pk).order_by("pk").select_for_update()), at=at
        )
        return row


def _open_for(row: Silence) -> list[Alert]:
    rows = Alert.objects.filter(resolved_at=None).order_by("pk").select_for_update()
    return list(rows.filter(client=row.client_id) if row.client_id else rows)


# --- Tests and retries ----------------------------------------------------------------------------------------------------
def test_delivery(channel: Channel, *, by: Actor, at: datetime) -> Delivery:
    """The row of one marked test message; whoever made it sends it at once (`sender.send_now`), without retry."""
    with transaction.atomic():
        notice = Notice.objects.create(
            client_id=channel.client_id, kind=Notice.Kind.TEST, event="test", type="test", severity="info", created_at=at,
            snapshot={
                "kind": "test", "event": "test", "type": "test", "severity": "info", "title": f"Test message for {channel.name}",
                "cause": f"{by.name} pressed Test. If you can read this, the channel works.", "at": moment(at), "links": [], "facts": [["Channel", channel.name]],
            },
        )  # fmt: skip
        row = Delivery.objects.create(
            notice=notice, kind=notice.kind, destination_key=channel.destination_key, channel=channel, client_id=channel.client_id, via="Test button",
            priority=0, state=Delivery.State.PENDING, next_attempt_at=at + timedelta(days=3650), created_at=at,
        )  # fmt: skip
        audit.record("channel.test", channel, by=by, client_id=channel.client_id)
        return row


def retry(row: Delivery, *, by: Actor, at: datetime) -> Delivery:
    """Try a failed delivery anew, with a fresh ladder. Refused for what is under way, delivered or dropped."""
    with transaction.atomic():
        row = Delivery.objects.select_for_update().get(pk=row.pk)
        if row.state not in (Delivery.State.FAILED, Delivery.State.UNKNOWN):
            raise Refused(f"Only failed deliveries can be tried again; this one is {row.get_state_display().lower()}.")
        row.state, row.next_attempt_at, row.reason, row.finished_at, row.gather = (
            Delivery.State.PENDING,
            at,
            f"Tried again by {by.name}.",
            None,
            False,
        )
        row.ambiguous = 0
        row.ladder_from = row.attempt
        row.save(
            update_fields=["state", "next_attempt_at", "reason", "finished_at", "gather", "ambiguous", "ladder_from"]
        )
        audit.record("delivery.retry", row, by=by, client_id=row.client_id)
        bells.ring_on_commit(bells.SEND)
        return row
