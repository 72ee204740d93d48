"""How do weeks of checks stay small? Partitions, retention, rollups, and jobs that run once a slot whoever comes for them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.conf import settings
from django.db import connection, transaction

from monitors import housekeeping, partitions, rollups
from monitors.models import FailureBody, Ping, Probe, Result, Rollup, StateChange
from portal import slots
from portal.clock import database_now
from portal.models import Slot
from tests.monitors import rows
from tests.monitors.rows import DEGRADED, FAILING, UNKNOWN, UP
from tests.rig.abreast import abreast

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def only_with_partitions() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("once: SQLite keeps one table")


# --- Partitions ----------------------------------------------------------------------------------------------------------
def test_yesterday_today_and_three_days_ahead_have_a_partition():
    only_with_partitions()
    at = datetime(2031, 3, 1, 0, 30, tzinfo=UTC)
    made = partitions.ensure_ahead(at)
    assert made == [date(2031, 2, 28) + timedelta(days=n) for n in range(5)]
    assert partitions.ensure_ahead(at) == [], "again is harmless"
    assert set(made) <= set(partitions.existing())
    Result.objects.create(monitor_id=1, probe_id=1, ts=at, status=UP)


def test_a_partition_that_was_made_and_never_attached_is_attached():
    """Somebody was killed between the two: without this no result of that day would find a place."""
    only_with_partitions()
    day = date(2031, 5, 1)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {partitions.name_of(day)} (LIKE monitors_result INCLUDING DEFAULTS)")
    assert partitions.ensure(day, day) == [day]
    Result.objects.create(monitor_id=1, probe_id=1, ts=datetime(2031, 5, 1, 12, tzinfo=UTC), status=UP)


def test_old_partitions_are_dropped_whole():
    only_with_partitions()
    first = date(2001, 1, 1)
    partitions.ensure(first, first + 2 * DAY)
    assert partitions.drop_before(first + 2 * DAY) == 2
    assert min(partitions.existing()) == first + 2 * DAY


@pytest.mark.django_db(transaction=True)
def test_two_workers_make_the_same_partition_once_and_drop_it_without_a_lock():
    only_with_partitions()
    day = date(2001, 7, 1)
    made = abreast(lambda _: partitions.ensure(day, day), 3)
    assert sorted(map(len, made)) == [0, 0, 1]
    assert partitions.drop_before(day + DAY) >= 1 and day not in partitions.existing()


# --- Retention -------------------------------------------------------------------------------------------------------------
def test_what_is_too_old_goes_and_the_rest_stays(settings):
    at = database_now()
    m, probe = rows.monitor(), rows.probe()
    partitions.ensure((at - 12 * DAY).date(), (at - 8 * DAY).date())
    partitions.ensure_ahead(at)
    for days in (0, 12):
        rows.result(m, at - timedelta(days=days)).save(force_insert=True)
    for model, days, values in (
        (FailureBody, settings.CHANGE_DAYS, {"probe": probe, "body": "x"}),
        (Ping, settings.CHANGE_DAYS, {"kind": "success", "method": "GET"}),
    ):
        for age in (days - 1, days + 1):
            model.objects.create(monitor=m, at=at - timedelta(days=age), **values)
    for version, age in enumerate((settings.CHANGE_DAYS - 1, settings.CHANGE_DAYS + 1), 1):
        when = at - timedelta(days=age)
        StateChange.objects.create(monitor=m, version=version, at=when, from_state="up", to_state="down")
    for age in (settings.ROLLUP_DAYS - 1, settings.ROLLUP_DAYS + 1):
        Rollup.objects.create(monitor=m, probe=probe, period="h", start=at - timedelta(days=age))
    housekeeping.forget(at)
    left = [model.objects.filter(**{key: m.pk}).count() for model, key in (
        (Result, "monitor_id"), (FailureBody, "monitor"), (Ping, "monitor"), (StateChange, "monitor"), (Rollup, "monitor"),
    )]  # fmt: skip
    assert left == [1, 1, 1, 1, 1]


@pytest.mark.parametrize(("free", "kept"), [(0.5, 7), (0.10, 7), (0.09, 3), (0.05, 3), (0.01, 1)])
def test_a_full_disk_keeps_fewer_days_of_raw_results(free, kept):
    assert housekeeping.days_to_keep(7, free) == kept


def test_on_a_full_disk_yesterdays_results_stay_and_older_ones_go(monkeypatch):
    at = database_now()
    m = rows.monitor()
    partitions.ensure((at - 4 * DAY).date(), at.date())
    for days in (0, 3):
        rows.result(m, at - timedelta(days=days)).save(force_insert=True)
    monkeypatch.setattr(housekeeping, "free_share", lambda: 0.01)
    housekeeping.forget(at)
    assert Result.objects.filter(monitor_id=m.pk).count() == 1


# --- Rollups ---------------------------------------------------------------------------------------------------------------
@pytest.fixture
def noon() -> datetime:
    """Noon of the day before yesterday; its day and the next have room for results."""
    at = database_now() - 2 * DAY
    noon = at.replace(hour=12, minute=0, second=0, microsecond=0)
    partitions.ensure(noon.date(), (noon + DAY).date())
    return noon


def numbers() -> list[tuple]:
    kept = Rollup.objects.order_by("period", "monitor", "probe", "start")
    return list(
        kept.values_list(
            "period", "monitor", "probe", "start", "up", "degraded", "failing", "unknown", "latency_sum_ms", "latency"
        )
    )


def test_rolled_twice_the_numbers_are_the_same(noon):
    m = rows.monitor()
    seen = [(UP, 20.0)] * 50 + [(DEGRADED, 900.0)] * 3 + [(FAILING, 5000.0)] * 2 + [(UNKNOWN, None)]
    Result.objects.bulk_create(rows.result(m, noon + timedelta(seconds=n), s, ms) for n, (s, ms) in enumerate(seen))
    Result.objects.bulk_create(rows.result(m, noon + HOUR + timedelta(seconds=n)) for n in range(10))
    assert rollups.roll(noon + 3 * HOUR) == 2
    hour, second = Rollup.objects.filter(period="h").order_by("start")
    day = Rollup.objects.get(period="d")
    assert (hour.up, hour.degraded, hour.failing, hour.unknown) == (50, 3, 2, 1)
    assert hour.latency_sum_ms == 50 * 20 + 3 * 900 and sum(hour.latency) == 53, "failures have no latency"
    assert (day.up, day.degraded, day.failing, day.unknown) == (60, 3, 2, 1) and sum(day.latency) == 63
    assert day.latency_sum_ms == hour.latency_sum_ms + second.latency_sum_ms and day.start == rollups.day_of(noon)
    before = numbers()
    rollups.roll(noon + 3 * HOUR)
    rollups.roll_hour(noon)
    rollups.roll_day(rollups.day_of(noon))
    assert numbers() == before


def test_the_running_hour_waits_until_it_is_over_and_settled(noon):
    Result.objects.bulk_create([rows.result(rows.monitor(), noon)])
    assert rollups.roll(noon + HOUR + timedelta(minutes=2)) == 0
    assert rollups.roll(noon + HOUR + timedelta(minutes=3)) == 1


def test_late_results_find_the_last_hour(noon):
    m = rows.monitor()
    Result.objects.bulk_create([rows.result(m, noon)])
    rollups.roll(noon + HOUR + timedelta(minutes=5))
    Result.objects.bulk_create([rows.result(m, noon + timedelta(minutes=59)), rows.result(m, noon + HOUR)])
    rollups.roll(noon + 2 * HOUR + timedelta(minutes=5))
    assert list(Rollup.objects.filter(period="h").order_by("start").values_list("up", flat=True)) == [2, 1]


def test_a_gap_of_many_hours_is_skipped(noon):
    m = rows.monitor()
    Result.objects.bulk_create([rows.result(m, noon), rows.result(m, noon + 20 * HOUR)])
    rollups.roll(noon + 2 * HOUR)
    rollups.roll(noon + 22 * HOUR)
    assert Rollup.objects.filter(period="h").count() == 2 and Rollup.objects.filter(period="d").count() == 2


def test_a_deleted_probe_does_not_stop_the_others_rollups(noon):
    m, gone = rows.monitor(), rows.probe("gone")
    Result.objects.bulk_create([rows.result(m, noon), rows.result(m, noon, by=gone)])
    Probe.objects.filter(pk=gone.pk).delete()
    assert rollups.roll(noon + 2 * HOUR) == 1
    with transaction.atomic():
        connection.check_constraints()
    assert Rollup.objects.filter(period="h").count() == 1


@pytest.mark.parametrize(
    ("counts", "q", "low", "high"),
    [
        ({}, 0.5, None, None),  # no answers
        ({20.0: 100}, 0.5, 20, 30),  # within the bucket that holds it
        ({20.0: 95, 900.0: 5}, 0.5, 20, 30),
        ({20.0: 95, 900.0: 5}, 0.99, 800, 1000),
        ({99999.0: 1}, 0.5, 30000, 60000),  # the last bucket is open
        ({0.2: 10}, 0.99, 0, 1),
    ],
)
def test_quantiles(counts, q, low, high):
    histogram = [0] * rollups.BUCKETS
    for ms, n in counts.items():
        histogram[rollups.bucket_of(ms)] += n
    answer = rollups.quantile(histogram, q)
    assert answer is None if low is None else low <= answer <= high


@pytest.mark.parametrize("ms", [0.0, 0.99, 1.0, 19.9, 20.0, 999.9, 29999.0, 30000.0, 1e6])
def test_python_and_the_database_choose_the_same_bucket(ms):
    with connection.cursor() as cursor:
        cast = "%s::double precision" if connection.vendor == "postgresql" else "%s"
        cursor.execute(f"SELECT {rollups.bucket_sql()} FROM (SELECT {cast} AS total_ms) AS x", [ms])
        assert cursor.fetchone()[0] == rollups.bucket_of(ms)


# --- Once a slot ---------------------------------------------------------------------------------------------------------------
@pytest.fixture
def only_job(monkeypatch) -> list[datetime]:
    """The one periodic job there is; what it was run with."""
    runs: list[datetime] = []
    monkeypatch.setattr(slots, "_jobs", {})
    slots.register("count", 3600, runs.append)
    return runs


@pytest.mark.django_db(transaction=True)
def test_five_housekeepers_at_once_run_a_job_once(only_job):
    done = abreast(lambda _: slots.run_due(), 5)
    assert sorted(done) == [[], [], [], [], ["count"]] and len(only_job) == 1
    assert slots.run_due() == [] and Slot.objects.get(name="count").done_at is not None


def test_the_next_slot_runs_again_and_an_error_stops_nobody(only_job):
    job = slots._jobs["count"]
    at = database_now()
    assert slots.claim(job, at) is not None and slots.claim(job, at) is None
    assert slots.claim(job, at + timedelta(seconds=3600)) is not None

    def falls(_: datetime) -> None:
        raise RuntimeError("on purpose")

    slots.register("falls", 60, falls)
    slots.register("runs", 60, only_job.append)
    assert slots.run_due() == ["runs"] and Slot.objects.get(name="falls").done_at is None


def test_jobs_have_names_of_their_own_and_periods_of_a_minute_or_more(only_job):
    with pytest.raises(ValueError, match="Two jobs"):
        slots.register("count", 60, print)
    with pytest.raises(ValueError, match="60 s"):
        slots.register("fast", 59, print)


def test_old_slots_are_forgotten():
    at = database_now()
    for days in (0, 3):
        Slot.objects.create(name="x", slot=days, taken_at=at - days * DAY)
    slots.forget_old(at)
    assert [s.slot for s in Slot.objects.filter(name="x")] == [0]


def test_the_days_that_are_kept_are_settings():
    assert settings.RAW_RESULT_DAYS <= settings.CHANGE_DAYS <= settings.ROLLUP_DAYS
