"""How do a person's calendar and phone show their turns? A schedule as an iCal feed, behind an address that is its own key.

The address holds for everybody who has it and is revoked by raising `feed_version`. Events are in UTC. One keeps its UID
as long as it begins at the same moment with the same person, so that calendars change it instead of doubling it.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, time, timedelta

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac
from icalendar import Calendar, Event

from alerts import oncall
from alerts.facts import portal_url
from alerts.models import OnCallSchedule
from portal.models import AuditEntry, Contact

BACK, AHEAD = timedelta(weeks=8), timedelta(weeks=26)
REFRESH = timedelta(hours=1)


def token(schedule: OnCallSchedule) -> str:
    """The key in the feed's address."""
    subject = f"{schedule.pk}:{schedule.feed_version}"
    return salted_hmac("alerts.feed", subject, secret=settings.SECRET_KEY, algorithm="sha256").hexdigest()[:40]


def opens(schedule: OnCallSchedule, given: str) -> bool:
    """Is this the key?"""
    return constant_time_compare(token(schedule).encode(), given.encode("utf-8", "replace"))


def address(schedule: OnCallSchedule, contact: int | None = None) -> str:
    """Where the feed is, for the whole schedule or one person's turns."""
    only = f"&contact={contact}" if contact is not None else ""
    return portal_url(f"/api/v1/on-call-schedules/{schedule.pk}/feed.ics?token={token(schedule)}{only}")


def calendar(schedule: OnCallSchedule, at: datetime, contact: int | None = None) -> bytes:
    """Eight weeks back and 26 ahead, by whole days, so that the same schedule gives the same bytes all day."""
    today = datetime.combine(at.astimezone(UTC).date(), time(0), UTC)
    changes = AuditEntry.objects.filter(subject=f"oncallschedule:{schedule.pk}").order_by("-pk")
    latest = changes.values_list("at", flat=True).first() or schedule.created_at
    sequence = changes.count()
    start, end = today - BACK, today + AHEAD
    shifts = oncall.plans([schedule], start, end)[schedule.pk].whole(start, end)
    people = Contact.objects.in_bulk({s.contact for s in shifts})
    feed = Calendar()
    feed.add("PRODID", "-//Watchkeeper//On-call//EN")
    feed.add("VERSION", "2.0")
    feed.add("CALSCALE", "GREGORIAN")
    feed.add("X-WR-CALNAME", f"On call: {schedule.name}")
    feed.add("X-WR-TIMEZONE", schedule.timezone)
    feed.add("REFRESH-INTERVAL", REFRESH, parameters={"VALUE": "DURATION"})
    feed.add("X-PUBLISHED-TTL", "PT1H")
    for shift in shifts:
        person = people.get(shift.contact or 0)
        if person is None or contact not in (None, shift.contact):
            continue
        event = Event()
        event.add("UID", _uid(schedule, person.pk, shift.start))
        event.add("SEQUENCE", sequence)
        event.add("DTSTAMP", latest.replace(microsecond=0))
        event.add("LAST-MODIFIED", latest.replace(microsecond=0))
        event.add("DTSTART", shift.start)
        event.add("DTEND", shift.end)
        event.add("SUMMARY", f"On call: {person.name} ({schedule.name})")
        event.add("DESCRIPTION", "Takes over for a while." if shift.source.startswith("override") else "By rotation.")
        event.add("URL", portal_url(f"/on-call/{schedule.pk}/"))
        event.add("TRANSP", "TRANSPARENT")
        feed.add_component(event)
    return feed.to_ical()


def etag(body: bytes) -> str:
    """What a calendar program sends back to ask whether anything is new."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _uid(schedule: OnCallSchedule, contact: int, start: datetime) -> str:
    installation = hashlib.sha256(f"feed:{settings.SECRET_KEY}".encode()).hexdigest()[:10]
    return f"{schedule.pk}-{contact}-{start:%Y%m%dT%H%M%SZ}@{installation}.watchkeeper"
