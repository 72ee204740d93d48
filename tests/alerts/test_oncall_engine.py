"""Whose turn is it? Tables of rotations, layers and overrides; every clock change of the world; a property for the rest."""

from __future__ import annotations

import zoneinfo
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.engine.oncall import GAP, LayerPlan, OverridePlan, Shift, moment, shifts, who, whole_shifts

pytestmark = pytest.mark.once

ANA, BEN, CLEO, DORA = 1, 2, 3, 4
LISBON, NEW_YORK = ZoneInfo("Europe/Lisbon"), ZoneInfo("America/New_York")
MONDAY = date(2026, 11, 23)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wall(text: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def layer(*places: int | None, zone: ZoneInfo = UTC, start: str = "2026-11-23T09:00", **values) -> LayerPlan:
    """A weekly layer that starts on a Monday at nine, unless `values` says otherwise."""
    return LayerPlan(**{"order": 1, "rotation": "weekly", "places": places, "starts_at": wall(start, zone), **values})


def override(contact: int, start: str, end: str, number: int = 1, made: str = "2026-11-20T00:00") -> OverridePlan:
    return OverridePlan(number, contact, utc(start), utc(end), (utc(made), number))


def said(found: list[Shift], zone: ZoneInfo = UTC) -> list[tuple[str, int | None]]:
    """(local begin, who)."""
    return [(f"{s.start.astimezone(zone):%a %d %H:%M}", s.contact) for s in found]


def tiles(found: list[Shift], start: datetime, end: datetime) -> bool:
    """Do they cover [start, end) exactly?"""
    return (found[0].start, found[-1].end) == (start, end) and all(a.end == b.start for a, b in pairwise(found))


# --- Rotations --------------------------------------------------------------------------------------------------------
def test_a_weekly_rotation_hands_over_on_its_day_at_its_hour():
    plan = layer(ANA, BEN)
    assert said(shifts([plan], [], UTC, utc("2026-11-23T00:00"), utc("2026-12-09T00:00"))) == [
        ("Mon 23 00:00", None), ("Mon 23 09:00", ANA), ("Mon 30 09:00", BEN), ("Mon 07 09:00", ANA),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("start", "values", "expected"),
    [
        # The first one has it from the start until the first handover; a start in the middle of a week is a short turn.
        ("2026-11-26T12:00", {"rotation": "weekly"}, [("Thu 26 12:00", ANA), ("Mon 30 09:00", BEN)]),
        # A start on the handover day before the hour is not a turn of some hours.
        ("2026-11-23T00:00", {"rotation": "weekly"}, [("Mon 23 00:00", ANA), ("Mon 30 09:00", BEN)]),
        ("2026-11-23T10:00", {"rotation": "weekly", "handoff_day": 3}, [("Mon 23 10:00", ANA), ("Wed 25 09:00", BEN), ("Wed 02 09:00", ANA)]),
        ("2026-11-23T09:00", {"rotation": "daily"}, [("Mon 23 09:00", ANA), ("Tue 24 09:00", BEN), ("Wed 25 09:00", ANA)]),
        ("2026-11-23T00:00", {"rotation": "daily"}, [("Mon 23 00:00", ANA), ("Tue 24 09:00", BEN)]),
        ("2026-11-23T18:00", {"rotation": "daily", "handoff_time": time(6, 30)}, [("Mon 23 18:00", ANA), ("Tue 24 06:30", BEN)]),
        ("2026-11-23T09:00", {"rotation": "custom", "rotation_days": 3}, [("Mon 23 09:00", ANA), ("Thu 26 09:00", BEN), ("Sun 29 09:00", ANA)]),
        ("2026-11-23T09:00", {"rotation": "custom", "rotation_days": 365}, [("Mon 23 09:00", ANA)]),
    ],
)  # fmt: skip
def test_where_turns_begin(start, values, expected):
    plan = layer(ANA, BEN, start=start, **values)
    found = said(shifts([plan], [], UTC, utc(start), utc(start) + timedelta(days=10)))
    assert found[: len(expected)] == expected


def test_turns_are_the_same_whoever_looks_from_where():
    plan = layer(ANA, BEN, CLEO, rotation="custom", rotation_days=5)
    start = utc("2026-11-23T09:00")
    all_ = shifts([plan], [], UTC, start, start + timedelta(days=400))
    for n in range(0, 400, 7):
        at = start + timedelta(days=n, hours=5)
        assert who([plan], [], UTC, at)[0] == next(s.contact for s in all_ if s.start <= at < s.end)


def test_before_its_start_and_after_its_end_a_layer_has_nobody():
    plan = layer(ANA, ends_at=utc("2026-11-25T12:00"))
    found = said(shifts([plan], [], UTC, utc("2026-11-22T00:00"), utc("2026-11-28T00:00")))
    assert found == [("Sun 22 00:00", None), ("Mon 23 09:00", ANA), ("Wed 25 12:00", None)]


def test_who_is_gone_is_replaced_by_the_next_and_nobody_else_is_shifted():
    full, gone = layer(ANA, BEN, CLEO, rotation="daily"), layer(ANA, None, CLEO, rotation="daily")
    start, end = utc("2026-11-23T09:00"), utc("2026-12-20T09:00")
    for before, after in zip(shifts([full], [], UTC, start, end), shifts([gone], [], UTC, start, end), strict=True):
        assert after.contact == (CLEO if before.contact == BEN else before.contact)
    assert who([layer(None, None)], [], UTC, start) == (None, GAP)
    assert who([layer()], [], UTC, start) == (None, GAP)


# --- Layers on layers, days and hours -----------------------------------------------------------------------------------
def test_a_later_layer_covers_an_earlier_one_where_it_has_somebody():
    base = layer(ANA)
    nights = layer(BEN, order=2, rotation="daily", hours=(time(22), time(6)))
    found = shifts([nights, base], [], UTC, utc("2026-11-23T09:00"), utc("2026-11-24T23:00"))
    assert said(found) == [("Mon 23 09:00", ANA), ("Mon 23 22:00", BEN), ("Tue 24 06:00", ANA), ("Tue 24 22:00", BEN)]
    assert [s.source for s in found] == ["layer:1", "layer:2", "layer:1", "layer:2"]


def test_hours_over_midnight_belong_to_the_day_they_began():
    friday_night = layer(ANA, weekdays=frozenset({4}), hours=(time(20), time(4)), start="2026-11-23T00:00")
    found = said(shifts([friday_night], [], UTC, utc("2026-11-27T00:00"), utc("2026-11-29T00:00")))
    assert found == [("Fri 27 00:00", None), ("Fri 27 20:00", ANA), ("Sat 28 04:00", None)]


def test_days_that_touch_are_one_shift_and_a_weekend_is_one_gap():
    office = layer(ANA, weekdays=frozenset({0, 1, 2, 3, 4}), start="2026-11-16T00:00", handoff_time=time(0))
    found = said(shifts([office], [], UTC, utc("2026-11-23T00:00"), utc("2026-12-01T00:00")))
    assert found == [("Mon 23 00:00", ANA), ("Sat 28 00:00", None), ("Mon 30 00:00", ANA)]


def test_two_layers_that_share_the_day_leave_no_hole():
    days = layer(ANA, hours=(time(8), time(20)), rotation="daily", zone=LISBON)
    nights = layer(BEN, order=2, hours=(time(20), time(8)), rotation="daily", zone=LISBON)
    found = shifts([days, nights], [], LISBON, utc("2027-03-01T08:00"), utc("2027-11-30T08:00"))
    assert all(s.contact for s in found) and {s.contact for s in found} == {ANA, BEN}


# --- Overrides --------------------------------------------------------------------------------------------------------
def test_an_override_covers_all_layers_and_the_one_made_last_counts():
    layers = [layer(ANA), layer(BEN, order=2)]
    first = override(CLEO, "2026-11-24T00:00", "2026-11-26T00:00", 7)
    second = override(DORA, "2026-11-25T00:00", "2026-11-27T00:00", 3, made="2026-11-21T00:00")
    found = shifts(layers, [second, first], UTC, utc("2026-11-23T12:00"), utc("2026-11-28T00:00"))
    assert said(found) == [("Mon 23 12:00", BEN), ("Tue 24 00:00", CLEO), ("Wed 25 00:00", DORA), ("Fri 27 00:00", BEN)]
    assert [s.source for s in found] == ["layer:2", "override:7", "override:3", "layer:2"]
    # The one made first lies below: it shows where the later one does not cover it.
    inner = override(DORA, "2026-11-24T06:00", "2026-11-24T09:00", 9, made="2026-11-22T00:00")
    assert said(shifts(layers, [first, inner], UTC, utc("2026-11-24T00:00"), utc("2026-11-25T00:00"))) == [
        ("Tue 24 00:00", CLEO), ("Tue 24 06:00", DORA), ("Tue 24 09:00", CLEO),
    ]  # fmt: skip


def test_an_override_fills_a_gap_and_a_schedule_without_layers_is_one():
    start, end = utc("2026-11-24T00:00"), utc("2026-11-25T00:00")
    assert shifts([], [], UTC, start, end) == [Shift(start, end, None, GAP)]
    taken = override(ANA, "2026-11-24T10:00", "2026-11-24T11:00")
    assert [s.contact for s in shifts([], [taken], UTC, start, end)] == [None, ANA, None]
    assert shifts([], [], UTC, end, start) == []


def test_a_whole_shift_is_the_same_from_every_window():
    layers, taken = [layer(ANA, BEN)], [override(CLEO, "2026-11-25T00:00", "2026-11-26T00:00")]
    for start in ("2026-11-27T00:00", "2026-11-29T12:00"):
        (found,) = whole_shifts(layers, taken, UTC, utc(start), utc(start) + timedelta(hours=1))
        assert (found.start, found.end, found.contact) == (utc("2026-11-26T00:00"), utc("2026-11-30T09:00"), ANA)
    office = layer(
        ANA, weekdays=frozenset({0, 1, 2, 3, 4}), rotation="custom", rotation_days=365, start="2026-11-16T00:00"
    )
    (found,) = whole_shifts([office], [], UTC, utc("2026-11-26T12:00"), utc("2026-11-26T13:00"))
    assert (found.start, found.end) == (utc("2026-11-23T00:00"), utc("2026-11-28T00:00")), "its days, not the window's"


# --- Clocks that change -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("zone", "day", "clock", "expected"),
    [
        # Skipped: the first moment after. Twice: the first.
        ("Europe/Lisbon", "2026-03-29", "01:30", "2026-03-29T01:00"),
        ("Europe/Lisbon", "2026-10-25", "01:30", "2026-10-25T00:30"),
        ("America/New_York", "2026-03-08", "02:00", "2026-03-08T07:00"),
        ("America/New_York", "2026-03-08", "02:59", "2026-03-08T07:00"),
        ("America/New_York", "2026-11-01", "01:00", "2026-11-01T05:00"),
        ("Australia/Lord_Howe", "2026-10-04", "02:15", "2026-10-03T15:30"),  # half an hour is skipped
        ("Australia/Lord_Howe", "2026-04-05", "01:45", "2026-04-04T14:45"),
        ("America/Sao_Paulo", "2018-11-04", "00:00", "2018-11-04T03:00"),  # midnight is skipped
        ("America/Sao_Paulo", "2026-11-01", "00:00", "2026-11-01T03:00"),  # no longer
        ("Asia/Kathmandu", "2026-03-29", "02:30", "2026-03-28T20:45"),  # 45 minutes, no changes
        ("Africa/Casablanca", "2026-02-15", "02:30", "2026-02-15T01:30"),  # Ramadan: an hour back, the first of two
        ("Africa/Casablanca", "2026-03-22", "02:30", "2026-03-22T02:00"),
        ("Europe/Dublin", "2026-03-29", "01:00", "2026-03-29T01:00"),  # winter is the exception there
        ("Pacific/Apia", "2011-12-30", "09:00", "2011-12-30T10:00"),  # the whole day is skipped
        ("Pacific/Apia", "2026-11-23", "09:00", "2026-11-22T20:00"),
    ],
)
def test_when_a_wall_time_happens(zone, day, clock, expected):
    assert moment(date.fromisoformat(day), time.fromisoformat(clock), ZoneInfo(zone)) == utc(expected)


@pytest.mark.parametrize(
    ("zone", "change", "handover", "hours"),
    [
        ("Europe/Lisbon", "2026-03-29", "01:30", [23.5, 23.5, 24]),
        ("Europe/Lisbon", "2026-10-25", "01:30", [24, 25, 24]),
        ("America/New_York", "2026-03-08", "09:00", [23, 24, 24]),
        ("America/New_York", "2026-11-01", "09:00", [25, 24, 24]),
        ("Australia/Lord_Howe", "2026-10-04", "09:00", [23.5, 24, 24]),
        ("Australia/Lord_Howe", "2026-04-05", "01:45", [24, 24.5, 24]),
        ("Asia/Kathmandu", "2026-03-29", "02:30", [24, 24, 24]),
        ("Africa/Casablanca", "2026-02-15", "09:00", [25, 24, 24]),
        ("Pacific/Apia", "2011-12-30", "09:00", [15, 9, 24]),
    ],
)
def test_a_turn_around_a_clock_change_is_as_long_as_its_day(zone, change, handover, hours):
    z, day = ZoneInfo(zone), date.fromisoformat(change)
    plan = layer(ANA, BEN, CLEO, rotation="daily", handoff_time=time.fromisoformat(handover), starts_at=moment(day - timedelta(days=3), time.fromisoformat(handover), z))  # fmt: skip
    start = moment(day - timedelta(days=1), time.fromisoformat(handover), z)
    found = shifts([plan], [], z, start, start + timedelta(days=4))
    assert [(s.end - s.start) / timedelta(hours=1) for s in found[:3]] == hours
    assert all(a.contact != b.contact for a, b in pairwise(found)), "everybody hands over to the next"


def changing_zones() -> list[tuple[str, datetime]]:
    """(zone, a moment just before its clock changes) for every change of 2026 and 2027."""
    found = []
    for name in sorted(zoneinfo.available_timezones()):
        zone = ZoneInfo(name)
        at, last = utc("2026-01-01T00:00"), utc("2028-01-01T00:00")
        offset = at.astimezone(zone).utcoffset()
        while at < last:
            at += timedelta(days=4)
            now = at.astimezone(zone).utcoffset()
            if now != offset:
                low, high = at - timedelta(days=4), at
                while high - low > timedelta(minutes=15):
                    middle = low + (high - low) / 2
                    low, high = (middle, high) if middle.astimezone(zone).utcoffset() == offset else (low, middle)
                found.append((name, low))
                offset = now
    return found


def test_no_clock_change_of_the_world_opens_a_hole_or_puts_two_on_call():
    found = changing_zones()
    assert len(found) > 400 and len({name for name, _ in found}) > 100
    for name, change in found:
        zone = ZoneInfo(name)
        start, end = (
            change.replace(microsecond=0) - timedelta(days=2),
            change.replace(microsecond=0) + timedelta(days=2),
        )
        near = (change.astimezone(zone) + timedelta(minutes=30)).time().replace(second=0, microsecond=0)
        first = LayerPlan(1, "daily", (ANA, BEN), start - timedelta(days=9), handoff_time=near)
        days = replace(first, order=2, places=(CLEO,), hours=(time(9), near))
        nights = replace(first, order=3, places=(DORA,), hours=(near, time(9)))
        rotated = shifts([first], [], zone, start, end)
        assert tiles(rotated, start, end), name
        assert all(s.contact for s in rotated) and all(a.contact != b.contact for a, b in pairwise(rotated)), name
        assert 4 <= len(rotated) <= 6, (name, said(rotated, zone))
        # What one layer's hours end with, the other's begin with: together they are there all the time, one at a time.
        shared = shifts([days, nights], [], zone, start, end)
        assert tiles(shared, start, end) and all(s.contact for s in shared), (name, said(shared, zone))
        assert all(a.contact != b.contact for a, b in pairwise(shared)), (name, said(shared, zone))


# --- Whatever else --------------------------------------------------------------------------------------------------------
ZONES = st.sampled_from(
    ["UTC", "Europe/Lisbon", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "Pacific/Apia", "America/Sao_Paulo"]
).map(ZoneInfo)  # fmt: skip
CLOCKS = st.times().map(lambda t: t.replace(microsecond=0))
MOMENTS = st.integers(0, 2 * 366 * 24 * 60).map(lambda n: utc("2026-01-01T00:00") + timedelta(minutes=n))


@st.composite
def layer_plans(draw):
    starts = draw(MOMENTS)
    hours = draw(st.none() | st.tuples(CLOCKS, CLOCKS))
    return LayerPlan(
        order=draw(st.integers(1, 4)), rotation=draw(st.sampled_from(["daily", "weekly", "custom"])),
        places=tuple(draw(st.lists(st.none() | st.integers(1, 5), max_size=4))), starts_at=starts,
        ends_at=draw(st.none() | st.integers(1, 10_000).map(lambda n: starts + timedelta(hours=n))), rotation_days=draw(st.integers(1, 365)),
        handoff_time=draw(CLOCKS), handoff_day=draw(st.integers(1, 7)), weekdays=draw(st.frozensets(st.integers(0, 6))), hours=hours,
    )  # fmt: skip


@st.composite
def override_plans(draw):
    starts = draw(MOMENTS)
    number = draw(st.integers(1, 50))
    ends = starts + timedelta(minutes=draw(st.integers(1, 30_000)))
    return OverridePlan(number, draw(st.integers(1, 5)), starts, ends, (draw(MOMENTS), number))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(layer_plans(), max_size=4),
    st.lists(override_plans(), max_size=4),
    ZONES,
    MOMENTS,
    st.integers(1, 60),
    st.data(),
)
def test_shifts_tile_the_time_exactly_and_agree_with_who(layers, overrides, zone, start, days, data):  # fmt: skip
    layers = list({plan.order: plan for plan in layers}.values())
    end = start + timedelta(days=days)
    found = shifts(layers, overrides, zone, start, end)
    assert tiles(found, start, end) and all(s.start < s.end for s in found)
    assert not any(a.contact is None and b.contact is None for a, b in pairwise(found)), "a gap is one shift"
    at = start + timedelta(seconds=data.draw(st.integers(0, days * 86400 - 1)))
    now = next(s for s in found if s.start <= at < s.end)
    assert who(layers, overrides, zone, at) == (now.contact, now.source)
    holding = [o for o in overrides if o.starts_at <= at < o.ends_at]
    if holding:
        assert now.contact == max(holding, key=lambda o: o.made).contact
    # Looked at in two parts, it is the same.
    halves = shifts(layers, overrides, zone, start, at) + shifts(layers, overrides, zone, at, end)
    assert sum((s.end - s.start for s in halves if s.contact), timedelta()) == sum(
        (s.end - s.start for s in found if s.contact), timedelta()
    )
    for whole in whole_shifts(layers, overrides, zone, start, end):
        assert who(layers, overrides, zone, whole.start)[0] == whole.contact
