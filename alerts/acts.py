"""What can people do with an alert? One door each, for pages, API, admin and links alike; each says who and when."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from alerts import answered, escalating, report, telling
from alerts.models import Alert, Channel, Delivery, Notice, Run
from alerts.signals import alert_changed
from alerts.snapshot import moment
from portal import audit, bells
from portal.audit import Actor
from portal.errors import Refused


def _locked(alert: Alert) -> Alert:
    return Alert.objects.select_for_update().get(pk=alert.pk)


def acknowledge(alert: Alert, *, by: Actor, at: datetime, name: str = "") -> Alert:
    """Somebody has it: escalation stops, those already called hear of it, the alert stays open.

    Refused when it is resolved. Again is harmless, and counts where escalation has begun anew as it became worse.
    """
    with transaction.atomic():
        alert = _locked(alert)
        if alert.is_resolved:
            raise Refused("This alert is resolved already; there is nothing to acknowledge.")
        if alert.status == Alert.Status.ACKNOWLEDGED and not escalating.is_climbing(alert):
            return alert
        alert.status, alert.acknowledged_at, alert.acknowledged_by, alert.updated_at = (
            Alert.Status.ACKNOWLEDGED,
            at,
            (name or by.name)[:200],
            at,
        )
        alert.save(update_fields=["status", "acknowledged_at", "acknowledged_by", "updated_at"])
        escalating.stop([alert], Run.Status.STOPPED_BY_ACK, at=at)
        telling.drop_delayed([alert], at=at, reason=f"{alert.acknowledged_by} acknowledged first.")
        answered.tell_acknowledged(alert, at=at)
        alert_changed.send(Alert, alerts=[alert], at=at, change="acknowledged", by=by)
        audit.record(
            "alert.acknowledge", alert, by=by, client_id=alert.client_id
        )  # last: who holds the log's head waits for nobody
        return alert


def acknowledge_all(alerts: list[Alert], *, by: Actor, at: datetime, name: str = "") -> int:
    """Acknowledge those that nobody has yet, or that escalate again; returns how many."""
    done = 0
    for alert in alerts:
        again = alert.status == Alert.Status.ACKNOWLEDGED and escalating.is_climbing(alert)
        if alert.status == Alert.Status.OPEN or again:
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
        if row.channel is not None and row.channel.deleted_at is not None:
            raise Refused("Its channel is in the trash; put it back first.")
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
