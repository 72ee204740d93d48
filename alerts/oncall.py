"""Who is on call, now, next, and on any day? The schedules' rows handed to the pure engine; a constant number of queries.

on_call(schedule, at) -> Contact | None
on_call_many(schedules, at) -> {schedule id: Contact | None}
timeline(schedule, start, end) -> [Shift]        whole(…) gives the same uncut, for calendars
next_turn(schedule, at) -> Shift | None          the next time that somebody else has it
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from alerts import engine
from alerts.engine.oncall import INSTANT, LayerPlan, OverridePlan, Shift, shifts, who, whole_shifts
from alerts.models import Layer, LayerMember, OnCallSchedule, Override
from portal.models import Contact

# How far ahead the next turn is looked for: most are found in the first stretch, a yearly one in the last.
AHEAD = (timedelta(days=8), timedelta(days=40), timedelta(days=400))
LONGEST = AHEAD[-1]  # and longer than any turn or override


@dataclass(frozen=True, slots=True)
class Outlook:
    """`change`: when somebody else has it, or nobody. `next`: the next one's shift, uncut. None: not in sight."""

    change: Shift | None
    next: Shift | None


@dataclass(slots=True)
class Plan:
    """A schedule as the engine sees it."""

    zone: ZoneInfo
    layers: list[LayerPlan] = field(default_factory=list)
    overrides: list[OverridePlan] = field(default_factory=list)

    def timeline(self, start: datetime, end: datetime) -> list[Shift]:
        """Shifts that cover [start, end) exactly."""
        return shifts(self.layers, self.overrides, self.zone, start, end)

    def whole(self, start: datetime, end: datetime) -> list[Shift]:
        """People's shifts that touch [start, end), uncut."""
        return whole_shifts(self.layers, self.overrides, self.zone, start, end)

    def who(self, at: datetime) -> int | None:
        """The contact's id, or None."""
        return who(self.layers, self.overrides, self.zone, at)[0]

    def current(self, at: datetime) -> Shift:
        """The shift at a moment, uncut; a gap from then on, as far as it lasts, 400 days at most."""
        found = self.whole(at, at + INSTANT)
        return found[0] if found else self.timeline(at, at + LONGEST)[0]

    def outlook(self, at: datetime) -> Outlook:
        """What is to come after `at`; looked for no further than 400 days."""
        now, change, following = self.who(at), None, None
        for ahead in AHEAD:
            others = [s for s in self.timeline(at, at + ahead) if s.contact != now]
            change = others[0] if others else None
            following = next((s for s in others if s.contact is not None), None)
            if following is not None:
                following = self.whole(following.start, following.start + INSTANT)[0]
                break
        return Outlook(change, following)

    def next_turn(self, at: datetime) -> Shift | None:
        """The first shift after `at` of somebody who does not have it at `at`."""
        return self.outlook(at).next


def plans(schedules: Iterable[OnCallSchedule], start: datetime, end: datetime) -> dict[int, Plan]:
    """{schedule id: its plan}, good from `start` until `end` and for what is uncut around it; in three queries."""
    found = {s.pk: Plan(ZoneInfo(s.timezone)) for s in schedules}
    if not found:
        return found
    places: defaultdict[int, dict[int, int]] = defaultdict(dict)
    members = LayerMember.objects.filter(layer__schedule__in=found).order_by()
    for layer_id, position, contact_id in members.values_list("layer_id", "position", "contact_id"):
        places[layer_id][position] = contact_id
    for layer in Layer.objects.filter(schedule__in=found).order_by("order"):
        found[layer.schedule_id].layers.append(layer_plan(layer, places[layer.pk]))
    near = Override.objects.filter(schedule__in=found, ends_at__gt=start - LONGEST, starts_at__lt=end + LONGEST)
    for o in near:
        found[o.schedule_id].overrides.append(
            OverridePlan(o.pk, o.contact_id, o.starts_at, o.ends_at, (o.created_at, o.pk))
        )
    return found


def layer_plan(layer: Layer, places: dict[int, int]) -> LayerPlan:
    """A layer as the engine sees it. A position without a row is somebody who is gone; the others keep their places."""
    hours = None
    if layer.from_time is not None and layer.until_time is not None:
        hours = (layer.from_time, layer.until_time)
    return LayerPlan(
        order=layer.order,
        rotation=layer.rotation,
        places=tuple(places.get(n) for n in range(max(layer.places, max(places) + 1))) if places else (),
        starts_at=layer.starts_at,
        ends_at=layer.ends_at,
        rotation_days=layer.rotation_days,
        handoff_time=layer.handoff_time,
        handoff_day=layer.handoff_day,
        weekdays=frozenset(int(day) for day in engine.words(layer.weekdays)),
        hours=hours,
    )


def on_call(schedule: OnCallSchedule, at: datetime) -> Contact | None:
    """Who has it at a moment; None in a gap."""
    return on_call_many([schedule], at)[schedule.pk]


def on_call_many(schedules: Sequence[OnCallSchedule], at: datetime) -> dict[int, Contact | None]:
    """The same for many schedules: {schedule id: contact or None}."""
    holders = {pk: plan.who(at) for pk, plan in plans(schedules, at, at).items()}
    contacts = Contact.objects.in_bulk({pk for pk in holders.values() if pk is not None})
    return {pk: contacts.get(holder or 0) for pk, holder in holders.items()}


def timeline(schedule: OnCallSchedule, start: datetime, end: datetime) -> list[Shift]:
    """Who has it from `start` until before `end`: shifts that cover it exactly, gaps with contact None."""
    return plans([schedule], start, end)[schedule.pk].timeline(start, end)


def next_turn(schedule: OnCallSchedule, at: datetime) -> Shift | None:
    """The next shift of somebody who does not have it now; None when that never happens within 400 days."""
    return plans([schedule], at, at)[schedule.pk].next_turn(at)
