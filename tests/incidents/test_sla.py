"""Was the promise kept? The month's figures as a table: every rule of the contract once, without a database."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from incidents import sla
from incidents.sla import Change, Terms, Watched
from incidents.spans import intersect, seconds, subtract, union

NOV = date(2026, 11, 1)
AFTER = datetime(2026, 12, 5, tzinfo=UTC)
MONTH = 30 * 86400.0
H = timedelta(hours=1)


def at(day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)


def down(
    begin: datetime, end: datetime, *, layer: str = "", first: datetime | None = None, to: str = "up"
) -> tuple[Change, ...]:
    return Change(begin, "down", first, layer), Change(end, to)


def watched(*changes: Change, before: str = "up", name: str = "shop", **more: object) -> Watched:
    return Watched(1, name, before, changes, **more)  # type: ignore[arg-type]


def month(
    *monitors: Watched, now: datetime = AFTER, zone: str = "UTC", first: date = NOV, **terms: object
) -> sla.Month:
    return sla.count(monitors, Terms(**terms), first, zone, now)  # type: ignore[arg-type]


HOUR_DOWN = down(at(10, 12), at(10, 13))
CASES = [
    # what, monitors, terms, (raw down, raw of), (contract down, contract of)
    ("flawless", [watched()], {}, (0, MONTH), (0, MONTH)),
    ("an hour down", [watched(*HOUR_DOWN)], {}, (3600, MONTH), (3600, MONTH)),
    ("degraded is no outage", [watched(Change(at(10), "degraded"), Change(at(11), "up"))], {}, (0, MONTH), (0, MONTH)),
    ("degraded ends an outage", [watched(*down(at(10, 12), at(10, 13), to="degraded"))], {}, (3600, MONTH), (3600, MONTH)),
    ("from confirmation", [watched(*down(at(10, 12), at(10, 13), first=at(10, 11, 59)))], {}, (3600, MONTH), (3600, MONTH)),
    ("from the first failure", [watched(*down(at(10, 12), at(10, 13), first=at(10, 11, 59)))], {"counted_from": "first_failure"}, (3660, MONTH), (3660, MONTH)),
    ("unknown is out of the reckoning", [watched(Change(at(10), "unknown"), Change(at(11), "up"))], {}, (0, MONTH - 86400), (0, MONTH - 86400)),
    ("unknown not excluded counts as up", [watched(Change(at(10), "unknown"), Change(at(11), "up"))], {"exclude_unknown": False}, (0, MONTH - 86400), (0, MONTH)),
    ("paused is not measured", [watched(Change(at(10), "paused"), Change(at(11), "up"))], {}, (0, MONTH - 86400), (0, MONTH - 86400)),
    ("began in the month", [watched(Change(at(16), "up"), before="pending")], {}, (0, 15 * 86400), (0, 15 * 86400)),
    ("the portal was away", [watched(blank=((at(10), at(10) + 2 * H),))], {}, (0, MONTH - 7200), (0, MONTH - 7200)),
    ("maintenance takes its time out of both", [watched(*HOUR_DOWN, work=((at(10, 11), at(10, 14), "move"),))], {}, (3600, MONTH), (0, MONTH - 3 * 3600)),
    ("half under maintenance", [watched(*HOUR_DOWN, work=((at(10, 12, 30), at(10, 14), "move"),))], {}, (3600, MONTH), (1800, MONTH - 5400)),
    ("maintenance not excluded", [watched(*HOUR_DOWN, work=((at(10, 11), at(10, 14), "move"),))], {"exclude_maintenance": False}, (3600, MONTH), (3600, MONTH)),
    (
        "failing beneath maintenance is raw downtime",
        [watched(Change(at(10, 12), "maintenance"), Change(at(10, 14), "up"), work=((at(10, 12), at(10, 14), "move"),), beneath=((at(10, 12, 10), at(10, 12, 20)),))],
        {}, (600, MONTH), (0, MONTH - 7200),
    ),
    ("probe's fault", [watched(*down(at(10, 12), at(10, 13), layer="probe"))], {}, (3600, MONTH), (0, MONTH)),
    ("the way there counts unless excluded", [watched(*down(at(10, 12), at(10, 13), layer="transit"))], {}, (3600, MONTH), (3600, MONTH)),
    ("the way there excluded", [watched(*down(at(10, 12), at(10, 13), layer="transit"))], {"exclude_layers": frozenset(("transit",))}, (3600, MONTH), (0, MONTH)),
    ("two monitors overlap: their union", [watched(*HOUR_DOWN), watched(*down(at(10, 12, 30), at(10, 13, 30)), name="api")], {}, (5400, MONTH), (5400, MONTH)),
    (
        "one excluded, the other not: the other counts",
        [watched(*down(at(10, 12), at(10, 13), layer="probe")), watched(*down(at(10, 12, 30), at(10, 13)), name="api")],
        {}, (3600, MONTH), (1800, MONTH),
    ),
    ("one in maintenance, the other down: counts", [watched(work=((at(10), at(11), "move"),)), watched(*HOUR_DOWN, name="api")], {}, (3600, MONTH), (3600, MONTH)),
    ("one unknown, the other measured: measured", [watched(Change(at(2), "unknown")), watched(name="api")], {}, (0, MONTH), (0, MONTH)),
    ("down over the month's end is cut", [watched(Change(datetime(2026, 10, 31, 23, tzinfo=UTC), "down"), Change(at(1, 1), "up"), before="up")], {}, (3600, MONTH), (3600, MONTH)),
    ("down since before", [watched(Change(at(1, 1), "up"), before="down")], {}, (3600, MONTH), (3600, MONTH)),
    (
        "confirmed after midnight, failing before it",
        [watched(Change(datetime(2026, 12, 1, 0, 1, tzinfo=UTC), "down", at(30, 23, 59)))],
        {"counted_from": "first_failure"}, (60, MONTH), (60, MONTH),
    ),
    ("no monitor: nothing measured", [], {}, (0, 0), (0, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("what", "monitors", "terms", "raw", "contract"), CASES, ids=[c[0] for c in CASES])
def test_what_counts(what, monitors, terms, raw, contract):
    m = month(*monitors, **terms)
    assert (m.raw.down_seconds, m.raw.counted_seconds) == raw
    assert (m.contract.down_seconds, m.contract.counted_seconds) == contract


@pytest.mark.parametrize(
    ("zone", "first", "hours"),
    [
        ("UTC", NOV, 720),
        ("Europe/Berlin", date(2026, 3, 1), 743),  # an hour is lost
        ("Europe/Berlin", date(2026, 10, 1), 745),  # and found again
        ("America/New_York", NOV, 721),
        ("Asia/Tokyo", date(2026, 12, 1), 744),
        ("No/Such", NOV, 720),
    ],
)
def test_a_month_is_as_long_as_the_clocks_make_it(zone, first, hours):
    start, end = sla.month_of(first, zone)
    assert (end - start) == hours * H


def test_an_outage_belongs_to_the_month_of_the_contracts_zone():
    late = watched(*down(at(30, 22), at(30, 23, 30)))  # in Berlin half of it is in December already
    assert month(late, zone="Europe/Berlin").raw.down_seconds == 3600
    assert month(late, zone="Europe/Berlin", first=date(2026, 12, 1)).raw.down_seconds == 1800


def test_met_missed_and_what_is_left_of_the_allowed_time():
    allowed = MONTH * 0.001  # 43 min 12 s
    exact = watched(*down(at(10), at(10) + timedelta(seconds=allowed)))
    over = watched(*down(at(10), at(10) + timedelta(seconds=allowed + 1)))
    assert month(exact).met is True and month(over).met is False
    assert sla.words(month(exact).allowed_seconds) == "43 min 12 s"
    assert month(over).left_seconds == pytest.approx(-1)
    assert month().met is None and month().contract.percent is None


def test_a_running_month_allows_what_the_whole_month_will():
    m = month(watched(*HOUR_DOWN), now=at(16))
    assert m.until == at(16) and m.allowed_seconds == pytest.approx(MONTH * 0.001)
    assert m.raw.counted_seconds == 15 * 86400
    hour = month(watched(*down(at(10, 12), at(10, 12, 30))), now=at(16))
    assert hour.contract.percent < 99.9 and hour.met is True, "half an hour of the 43 minutes: not missed yet"


def test_a_percentage_never_flatters():
    assert month(watched(*down(at(10), at(10, 0, 0, 1)))).raw.percent == 99.9999, "a second is not nothing"
    assert month(watched()).raw.percent == 100.0


def test_what_was_excluded_stands_there_with_its_reason():
    m = month(
        watched(*down(at(10, 12), at(10, 13), layer="probe"), Change(at(12), "unknown"), Change(at(13), "up"), work=((at(20), at(20, 1), "New disks"),)),
    )  # fmt: skip
    assert [(e.why, e.monitor, e.seconds) for e in m.excluded] == [
        ("verdict: probe", "shop", 3600),
        ("unknown: nothing was measured", "", 86400),
        ("maintenance: New disks", "shop", 3600),
    ]
    assert [o.excluded for o in m.outages] == ["verdict: probe"]


MOMENTS = st.integers(0, 200).map(lambda n: at(1) + n * H)
SPANS = st.lists(st.tuples(MOMENTS, MOMENTS), max_size=8)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is slow at drawing lots
@given(SPANS, SPANS)
def test_spans_add_up(a, b):
    assert seconds(union(a)) == pytest.approx(seconds(subtract(a, b)) + seconds(intersect(a, b)))
    assert not intersect(subtract(a, b), b)


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (43, "43 s"),
        (380, "6 min 20 s"),
        (3600, "1 h"),
        (11100, "3 h 5 min"),
        (187200, "2 d 4 h"),
        (-61, "−1 min 1 s"),
    ],
)
def test_lengths_in_words(amount, words):
    assert sla.words(amount) == words
