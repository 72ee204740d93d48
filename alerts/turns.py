"""Has somebody's turn begun? They are told once, by the ways they chose for everything that is said.

What was said stands on the schedule (`told_contact`), and changes in the transaction that writes the messages: two
beats at the same moment tell once, and a worker that dies tells at its next slot.
"""

from __future__ import annotations

import logging
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q

from alerts import facts, oncall
from alerts.models import ContactChannel, Decision, Delivery, Notice, OnCallSchedule
from alerts.snapshot import moment
from portal import bells, slots
from portal.models import Contact

log = logging.getLogger("watchkeeper.turns")

INFO = "info"
PRIORITY = 5


def register() -> None:
    """The job that looks each minute."""
    slots.register("alerts.turns", 60, tell)


def tell(at: datetime) -> int:
    """Tell everybody whose turn has begun since the last look; returns how many."""
    rows = OnCallSchedule.objects.filter(tell_shift_start=True).filter(Q(client=None) | Q(client__active=True))
    schedules = list(rows.order_by("pk"))
    plans = oncall.plans(schedules, at, at)
    told = 0
    for schedule in schedules:
        try:
            told += _changed(schedule, plans[schedule.pk], at)
        except (OperationalError, InterfaceError):
            raise
        except Exception:  # one schedule's trouble is not the others'
            log.exception("schedule %s: nobody could be told that their turn began", schedule.pk)
    return told


def _changed(schedule: OnCallSchedule, plan: oncall.Plan, at: datetime) -> bool:
    now = plan.who(at)
    if now == schedule.told_contact_id:
        return False
    with transaction.atomic():
        known = OnCallSchedule.objects.filter(
            pk=schedule.pk, tell_shift_start=True, told_contact=schedule.told_contact_id
        )
        if not known.update(told_contact=now):
            return False  # somebody else told, or the schedule is another one by now
        contact = Contact.objects.filter(pk=now).first() if now is not None else None
        if contact is None:
            return False  # a gap: the next one is told when it ends
        _write(schedule, plan, contact, at)
    return True


def _write(schedule: OnCallSchedule, plan: oncall.Plan, contact: Contact, at: datetime) -> None:
    """The notice, a delivery for each way, and why a way was not used."""
    change = plan.outlook(at).change
    ends, following = (change.start, change.contact) if change else (None, None)
    zone = ZoneInfo(schedule.timezone)
    until = f"until {ends.astimezone(zone):%a %d %b %H:%M} ({schedule.timezone})" if ends else "until further notice"
    successor = Contact.objects.filter(pk=following).first() if following is not None else None
    rows = [["Schedule", schedule.name], ["Until", until.removeprefix("until ")]]
    rows.append(["Then", successor.name if successor else "nobody" if ends else "you"])
    notice = Notice.objects.create(
        client_id=schedule.client_id, kind=Notice.Kind.SHIFT, event="shift", type="oncall.shift", severity=INFO, created_at=at,
        snapshot={
            "kind": "shift", "event": "shift", "type": "oncall.shift", "severity": INFO, "title": f"You are on call: {schedule.name}",
            "cause": f"Your turn has begun; it lasts {until}.", "at": moment(at), "facts": rows, "timezone": schedule.timezone,
            "links": [{"rel": "open", "label": "Open on-call", "url": facts.portal_url(f"/on-call/{schedule.pk}/")}],
        },
    )  # fmt: skip
    for way in contact.ways.select_related("channel").order_by("delay_minutes", "id"):
        obstacle = facts.obstacle(way.channel)
        if way.urgency != ContactChannel.Urgency.ALL:
            obstacle = "it is for critical alerts only"
        said = f"{obstacle}." if obstacle else ""
        Decision.objects.create(
            notice=notice, rule=f"on call: {schedule.name}"[:120], outcome="skipped" if obstacle else "told",
            reason=f"{way.channel.name}: {said}"[:300] if obstacle else way.channel.name[:300],
        )  # fmt: skip
        if not obstacle:
            Delivery.objects.create(
                notice=notice, kind=notice.kind, destination_key=way.channel.destination_key, channel=way.channel, contact=contact,
                client_id=schedule.client_id, via=f"on call: {schedule.name}"[:200], priority=PRIORITY, gather=False, next_attempt_at=at, created_at=at,
            )  # fmt: skip
    bells.ring_on_commit(bells.SEND)
