"""Uptime, latency and bars: do rollups and raw results together say what was measured, once each?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitors import history, partitions, rollups
from monitors.models import Result, Rollup
from tests import cast
from tests.monitors.rows import DEGRADED, FAILING, UNKNOWN, UP, monitor, probe, result

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 6, 15, 12, 34, 56, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def days_to_write_in():
    partitions.ensure((NOW - 10 * DAY).date(), (NOW + DAY).date())


def watch(m, since: datetime, until: datetime, every: timedelta, status=lambda at: UP, ms=20.0, by=None) -> None:
    rows, at = [], since
    while at < until:
        rows.append(result(m, at, status(at), ms, by))
        at += every
    Result.objects.bulk_create(rows)


def rolled(at: datetime) -> None:
    while rollups.roll(at):
        continue


def test_without_results_nothing_is_claimed():
    m = monitor()
    assert history.uptime(m.pk, NOW) == {"1h": None, "24h": None, "7d": None, "30d": None, "90d": None}
    assert history.load(m, "24h", NOW).points() == []
    assert {b["uptime"] for b in history.bars([m.pk], NOW)[m.pk]} == {None}
    assert history.uptimes([], NOW) == {} and history.latest([m.pk]) == {}


def test_degraded_is_up_and_unknown_does_not_count():
    m = monitor()
    at = NOW - timedelta(minutes=10)
    Result.objects.bulk_create(
        [
            result(m, at + timedelta(seconds=n), status)
            for n, status in enumerate([UP, DEGRADED, FAILING, UNKNOWN, UNKNOWN, UP])
        ]
    )
    assert history.uptime(m.pk, NOW)["1h"] == 75.0


def test_only_flawless_is_100():
    assert history.percentage(9_999_999, 1) == 99.9999
    assert history.percentage(5, 0) == 100.0 and history.percentage(0, 5) == 0.0 and history.percentage(0, 0) is None


def test_windows_before_and_after_the_roll_say_the_same():
    m = monitor()
    watch(m, NOW - 3 * DAY, NOW, timedelta(minutes=10), lambda at: FAILING if at.hour == 3 else UP)
    before, bars_before = history.uptime(m.pk, NOW), history.bars([m.pk], NOW)[m.pk]
    total_before = history.load(m, "7d", NOW).total()
    rolled(NOW)
    assert Rollup.objects.filter(period="h").count() == 72 and Rollup.objects.filter(period="d").count() == 4
    assert history.uptime(m.pk, NOW) == before
    assert history.bars([m.pk], NOW)[m.pk] == bars_before
    total = history.load(m, "7d", NOW).total()
    assert (total.up, total.failing, total.latency, total.p95) == (
        total_before.up,
        total_before.failing,
        total_before.latency,
        total_before.p95,
    )
    whole = 24 * 6
    assert before["24h"] == history.percentage(25 * 6 - 6 - 3, 6)  # counted to the hour: 12:00 yesterday to now
    assert (
        bars_before[-2]["uptime"] == history.percentage(whole - 6, 6)
        and bars_before[-2]["label"] == "6 of 144 checks failed"
    )


def test_what_is_older_than_raw_results_comes_from_rollups_alone():
    m = monitor()
    watch(m, NOW - 9 * DAY, NOW, HOUR, lambda at: FAILING if at < NOW - 8 * DAY else UP)
    rolled(NOW)
    Result.objects.filter(ts__lt=NOW - 2 * HOUR).delete()
    found = history.uptime(m.pk, NOW)
    assert found["7d"] == 100.0
    assert found["30d"] == found["90d"] == history.percentage(192, 24)
    month = history.load(m, "30d", NOW)
    assert month.total().failing == 24 and len(month.slices()) == 10 and month.step_seconds == 86400


def test_a_roll_under_way_is_not_seen_twice_nor_missed():
    m, other = monitor(), monitor(name="other")
    for each in (m, other):
        watch(each, NOW - 6 * HOUR, NOW, timedelta(minutes=5), lambda at: FAILING if at.minute == 0 else UP)
    rolled(NOW)
    before = history.uptimes([m.pk, other.pk], NOW)
    last = Rollup.objects.filter(period="h").order_by("-start").first().start
    Rollup.objects.filter(period="h", start=last, monitor=other).delete()  # killed after the first slice of monitors
    assert history.uptimes([m.pk, other.pk], NOW) == before
    watch(m, NOW, NOW + HOUR, timedelta(minutes=5))
    rolled(NOW + HOUR)
    assert Rollup.objects.filter(period="h", start=last, monitor=other).exists()  # the next roll completes it


def test_the_days_of_a_long_catch_up_are_all_rolled():
    m = monitor()
    watch(m, NOW - 5 * DAY, NOW, HOUR)
    rolled(NOW)
    assert Rollup.objects.filter(period="d").count() == 6
    assert sum(r.up for r in Rollup.objects.filter(period="d")) == sum(r.up for r in Rollup.objects.filter(period="h"))


def test_latency_is_told_by_time_and_by_probe():
    near, far = probe(), probe("frankfurt")
    m = monitor(probes=[near, far])
    watch(m, NOW - 2 * HOUR, NOW, timedelta(minutes=1), ms=12.0, by=near)
    watch(
        m,
        NOW - 2 * HOUR,
        NOW,
        timedelta(minutes=1),
        lambda at: FAILING if at > NOW - timedelta(minutes=6) else UP,
        ms=220.0,
        by=far,
    )
    hour = history.load(m, "1h", NOW)
    assert 60 <= len(hour.slices()) <= 61 and hour.step_seconds == 60
    assert 10 <= hour.total(near.pk).p50 <= 15 and 200 <= hour.total(far.pk).p99 <= 250
    assert hour.by_probe()[far.pk].uptime < hour.by_probe()[near.pk].uptime == 100.0
    assert hour.total(near.pk).average == pytest.approx(12.0)
    assert all(a[0] < b[0] for a, b in zip(hour.points(), hour.points()[1:], strict=False))
    assert hour.slices(far.pk)[-1].p50 is None  # it failed: nothing answered, no latency


def test_a_busy_monitor_is_drawn_by_the_hour():
    quick, slow = (
        monitor(name="quick", interval_seconds=5, timeout_seconds=5),
        monitor(name="slow", interval_seconds=60),
    )
    watch(quick, NOW - 3 * HOUR, NOW, timedelta(minutes=1))
    rolled(NOW)
    assert history.load(quick, "24h", NOW).step_seconds == 3600
    assert history.load(slow, "24h", NOW).step_seconds == 900


def test_bars_are_a_day_each_and_today_is_last():
    m = monitor()
    watch(m, NOW - 2 * DAY, NOW, HOUR)
    rolled(NOW - 2 * HOUR)
    days = history.bars([m.pk], NOW)[m.pk]
    assert len(days) == 90 and days[-1]["day"] == NOW.date() and days[0]["day"] == (NOW - 89 * DAY).date()
    assert [d["uptime"] for d in days[-4:]] == [None, 100.0, 100.0, 100.0]
    assert len(history.bars([m.pk], NOW, days=7)[m.pk]) == 7


def test_the_last_result_is_found_also_when_the_raw_row_is_gone():
    m = monitor()
    view = m.views.get()
    view.last_at, view.status, view.last_ms, view.message = NOW, FAILING, 12.0, "Answered 500"
    view.save()
    Result.objects.bulk_create(
        [result(m, NOW - HOUR), result(m, NOW, FAILING, 12.0, dns_ms=1.5, message="Answered 500")]
    )
    assert history.latest([m.pk])[m.pk].dns_ms == 1.5
    Result.objects.all().delete()
    assert history.latest([m.pk])[m.pk].message == "Answered 500"


def test_many_monitors_cost_as_many_queries_as_three(django_assert_num_queries):
    rows = [monitor(name=f"m{n}") for n in range(12)]
    for m in rows:
        watch(m, NOW - 3 * HOUR, NOW, timedelta(minutes=10))
    rolled(NOW)
    for some in (rows[:3], rows):
        ids = [m.pk for m in some]
        with django_assert_num_queries(4):
            assert len(history.uptimes(ids, NOW)) == len(some)
        with django_assert_num_queries(4):
            history.bars(ids, NOW)
        with django_assert_num_queries(1):
            history.latest(ids)
    with django_assert_num_queries(4):
        history.load(rows[0], "90d", NOW).points()


def test_another_tenants_rows_are_not_counted_in():
    mine, theirs = monitor(), monitor(cast.globex(), name="theirs")
    watch(theirs, NOW - 2 * HOUR, NOW, timedelta(minutes=1), lambda at: FAILING)
    watch(mine, NOW - 2 * HOUR, NOW, timedelta(minutes=1))
    assert history.uptimes([mine.pk, theirs.pk], NOW)[mine.pk]["24h"] == 100.0
