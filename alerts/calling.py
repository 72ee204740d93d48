"""Whom does a level reach, now? Its channels, people, groups and whoever is on call, through the same routing as triggers.

A level is read from a run's snapshot: who is gone since then is named and passed over. People are reached by their own
ways: for which urgency, after how long, not in their quiet hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from alerts import engine, facts, oncall
from alerts.models import Channel, ContactChannel, Level, OnCallSchedule
from portal.models import Contact, ContactGroup

LISTS = ("channels", "contacts", "groups", "schedules")
_NUMBERED = re.compile(r"\b(contact|channel) (\d+)\b")


@dataclass(frozen=True, slots=True)
class Call:
    """One destination that a level tells."""

    channel: int
    contact: int | None
    contact_name: str
    via: str
    delay_seconds: float


@dataclass(slots=True)
class Reached:
    """Whom a level tells, and a sentence for each whom it does not."""

    calls: list[Call] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Book:
    """Everybody whom some levels name, as they are now."""

    contacts: dict[int, Contact]
    groups: dict[int, ContactGroup]
    schedules: dict[int, OnCallSchedule]
    on_call: dict[int, Contact | None]
    ways: dict[int, list[engine.Way]]
    channels: dict[int, str]
    ill: frozenset[int]  # channels that are known not to deliver


def picture(level: Level) -> dict[str, Any]:
    """A level as a run's snapshot keeps it: ids, and names to speak of those who are gone."""
    return {
        "order": level.order,
        "delay_seconds": level.delay_seconds,
        **{name: [{"id": row.pk, "name": str(row)} for row in getattr(level, name).all()] for name in LISTS},
    }


def open_book(levels: Iterable[Mapping[str, Any]], at: datetime) -> Book:
    """Load whom these levels name: a constant number of queries."""
    named: dict[str, set[int]] = {name: set() for name in LISTS}
    for level in levels:
        for name in LISTS:
            named[name] |= {one["id"] for one in level.get(name, ())}
    groups = ContactGroup.objects.prefetch_related("contacts").in_bulk(named["groups"])
    schedules = OnCallSchedule.objects.in_bulk(named["schedules"])
    turns = oncall.on_call_many(list(schedules.values()), at) if schedules else {}
    contacts = Contact.objects.in_bulk(named["contacts"])
    contacts |= {c.pk: c for group in groups.values() for c in group.contacts.all()}
    contacts |= {c.pk: c for c in turns.values() if c is not None}
    ways: dict[int, list[engine.Way]] = {}
    for way in ContactChannel.objects.filter(contact__in=contacts).select_related("contact") if contacts else ():
        ways.setdefault(way.contact_id, []).append(
            engine.Way(way.channel_id, way.contact_id, way.urgency, way.delay_minutes, facts.quiet_of(way))
        )
    mentioned = named["channels"] | {way.channel for some in ways.values() for way in some}
    rows = list(Channel.objects.filter(pk__in=mentioned).order_by().values_list("pk", "name", "unhealthy_since"))
    names, ill = {pk: name for pk, name, _ in rows}, frozenset(pk for pk, _, since in rows if since)
    return Book(contacts, groups, schedules, turns, ways, names, ill)


def whom(level: Mapping[str, Any], f: engine.Facts, book: Book, around: facts.Around, at: datetime) -> Reached:
    """Whom a level tells of an alert. Each channel once, the soonest way."""
    found = Reached()
    people: dict[int, str] = {}  # contact -> what named them
    for one in level["contacts"]:
        if one["id"] in book.contacts:
            people.setdefault(one["id"], book.contacts[one["id"]].name)
        else:
            found.reasons.append(f"{one['name']} is gone.")
    for one in level["groups"]:
        group = book.groups.get(one["id"])
        if group is None or not group.contacts.all():
            found.reasons.append(f"Group {one['name']} " + ("is gone." if group is None else "is empty."))
        else:
            for contact in group.contacts.all():
                people.setdefault(contact.pk, f"{contact.name}, group {group.name}")
    for one in level["schedules"]:
        schedule = book.schedules.get(one["id"])
        if schedule is None:
            found.reasons.append(f"Schedule {one['name']} is gone.")
            continue
        holder = book.on_call.get(schedule.pk)
        if holder is None:
            found.reasons.append(f"Nobody is on call in {schedule.name}.")
        else:
            people.setdefault(holder.pk, f"{holder.name}, on call in {schedule.name}")
    found.reasons += [f"{book.contacts[pk].name} has no channel." for pk in people if not book.ways.get(pk)]
    channels = tuple(one["id"] for one in level["channels"])
    ways = tuple(way for pk in people for way in book.ways.get(pk, ()))
    if not channels and not ways:
        if not found.reasons:
            found.reasons.append("This level names nobody.")
        return found
    rule = engine.Rule(id=0, name=f"level {level['order']}", channels=channels, ways=ways)
    plan = engine.route(f, [rule], at, usable=around.usable, owners=around.owners)
    names = {one["id"]: one["name"] for one in level["channels"]} | book.channels
    for _, outcome, reason in plan.decisions:
        if outcome == "skipped" and _NUMBERED.match(reason):  # of somebody; that all were skipped is said by these
            found.reasons.append(_with_names(reason, book, names) + ".")
    for told in plan.told:
        channel = names.get(told.channel, f"channel {told.channel}")
        contact = book.contacts.get(told.contact or 0)
        via = f"{people[contact.pk]}, by {channel}" if contact else channel
        found.calls.append(
            Call(told.channel, told.contact, contact.name if contact else "", via, float(told.delay_seconds))
        )
    return found


def _with_names(reason: str, book: Book, channels: Mapping[int, str]) -> str:
    """A decision's reason as people say it: names instead of numbers."""

    def name(match: re.Match[str]) -> str:
        number = int(match[2])
        if match[1] == "contact":
            return book.contacts[number].name if number in book.contacts else match[0]
        return f"Channel {channels[number]}" if number in channels else match[0]

    return _NUMBERED.sub(name, reason)
