"""When does a diagnosis begin? At the first failing result, once per episode, and never for what cannot be looked into."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts import quiet
from monitors import services
from monitors.diagnosis import gathering, starting
from monitors.models import Battery, Diagnosis, Monitor, Probe, ProbeJob
from portal.clock import database_now
from portal.errors import Refused
from portal.models import AuditEntry
from tests import cast
from tests.diagnosis import cases
from tests.monitors import rows, seeing

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def on(settings, db):
    settings.DIAGNOSIS = True
    cases.room()


# --- The first failing result -------------------------------------------------------------------------------------------
def test_the_first_failing_result_begins_one_before_it_is_confirmed():
    m = cases.web()
    at = cases.fails(m)
    d = cases.the(m)
    assert (d.state, d.cause, seeing.state(m)) == ("gathering", "failure", "up")
    assert d.first_failure_at == at
    assert d.deadline_at == at + timedelta(seconds=8)
    assert cases.batteries_of(d) == {"local": "waiting"}


def test_an_episode_has_one_however_long_it_lasts():
    m = cases.web()
    at = cases.fails(m)
    cases.measure(cases.the(m))
    gathering.conclude(cases.the(m).pk, database_now())
    seeing.watch(m, "fff", at + timedelta(seconds=1))
    assert seeing.state(m) == "down"
    assert len(cases.diagnoses(m)) == 1


def test_what_fails_for_a_moment_now_and_then_is_looked_into_every_five_minutes():
    m = cases.web(confirmation_count=5)
    at = cases.fails(m)
    gathering.conclude(cases.the(m).pk, at + timedelta(seconds=8))
    for later, found in ((60, 1), (200, 1), (310, 2)):
        seeing.watch(m, "uf", at + timedelta(seconds=later))
        assert len(cases.diagnoses(m)) == found, f"after {later} s"


def test_a_confirmed_failure_has_its_own_soon_after_a_blip():
    m = cases.web(confirmation_count=2)
    at = cases.fails(m)
    gathering.conclude(cases.the(m).pk, at + timedelta(seconds=8))
    seeing.watch(m, "uf", at + timedelta(seconds=30))
    assert len(cases.diagnoses(m)) == 1
    seeing.watch(m, "f", at + timedelta(seconds=32))
    assert [d.state for d in cases.diagnoses(m)] == ["done", "gathering"]


def test_a_monitor_that_flaps_has_none_for_each_of_its_failures():
    m = cases.web(confirmation_count=1)
    at = cases.fails(m)
    gathering.conclude(cases.the(m).pk, at + timedelta(seconds=8))
    Monitor.objects.filter(pk=m.pk).update(flapping_since=at)
    seeing.watch(m, "uf", at + timedelta(seconds=30))
    assert len(cases.diagnoses(m)) == 1


def test_slow_for_sure_begins_one_too():
    m = cases.web(confirmation_count=1)
    seeing.watch(m, "d", database_now())
    assert cases.the(m).cause == "degradation"


def test_slow_once_begins_none():
    m = cases.web(confirmation_count=3)
    seeing.watch(m, "d", database_now())
    assert cases.diagnoses(m) == []


# --- Who is not looked into -----------------------------------------------------------------------------------------------
def switched_off(m: Monitor) -> None:
    Monitor.objects.filter(pk=m.pk).update(diagnose=False)


def blind(m: Monitor) -> None:
    Probe.objects.filter(slug="local").update(blind_since=database_now(), blind_reason="Its line is down.")


@pytest.mark.parametrize("spoil", [switched_off, blind])
def test_not_begun(spoil):
    m = cases.web()
    spoil(m)
    cases.fails(m)
    assert cases.diagnoses(m) == []


def test_work_that_is_planned_is_not_looked_into():
    m = cases.web()
    at = database_now()
    quiet.save_window(by=cast.TESTS, at=at, title="Switch", client=m.client, duration_seconds=600)
    quiet.step(at)
    cases.fails(m)
    assert cases.diagnoses(m) == []


def test_passive_kinds_have_nothing_to_send_packets_to():
    m = rows.monitor(name="backup", kind="heartbeat")
    seeing.watch(m, "f", database_now())
    assert cases.diagnoses(m) == []


def test_switched_off_nothing_begins(settings):
    settings.DIAGNOSIS = False
    m = cases.web()
    cases.fails(m)
    assert cases.diagnoses(m) == []
    with pytest.raises(Refused, match="DIAGNOSIS=off"):
        starting.ask(m, by=cast.TESTS, at=database_now())


# --- Who looks --------------------------------------------------------------------------------------------------------------
def test_its_own_probes_and_the_clients_private_ones_look():
    berlin, inside = cases.remote("berlin"), cases.remote("acme-lan", client=cast.acme())
    cases.remote("globex-lan", client=cast.globex())
    cases.remote("oslo")  # watches something else
    m = cases.web(probes=[rows.probe(), berlin])
    cases.fails(m)
    assert set(cases.batteries_of(cases.the(m))) == {"local", "berlin", inside.slug}


def test_who_cannot_be_heard_is_not_waited_for():
    berlin = cases.remote("berlin")
    m = cases.web(probes=[rows.probe(), berlin])
    Probe.objects.filter(pk=berlin.pk).update(last_seen_at=database_now() - timedelta(minutes=1))
    cases.fails(m)
    assert set(cases.batteries_of(cases.the(m))) == {"local"}


# --- Load -------------------------------------------------------------------------------------------------------------------
def statements(act) -> int:
    with CaptureQueriesContext(connection) as seen:
        act()
    return len(seen)


def test_judging_what_is_well_asks_nothing_more(settings):
    monitors = [cases.web(f"m{n}") for n in range(3)]

    def well_again() -> None:
        at = database_now()
        for m in monitors:
            seeing.see(m, "u", at)
        m.views.model.objects.filter(monitor__in=monitors).update(changed=True)
        seeing.judge(at)

    well_again()
    with_it = statements(well_again)
    settings.DIAGNOSIS = False
    assert with_it == statements(well_again)


def test_three_or_twelve_that_fail_at_once_cost_as_many_statements():
    counted = []
    for size in (3, 12):
        monitors = [cases.web(f"m{size}-{n}", host=f"10.20.0.{n + 1}", confirmation_count=9) for n in range(size)]
        at = database_now()
        for m in monitors:
            seeing.see(m, "f", at)
        counted.append(statements(lambda at=at: seeing.judge(at)))
        assert Diagnosis.objects.filter(monitor__in=monitors).count() == size
    assert counted[0] == counted[1]


@pytest.mark.django_db(transaction=True)
def test_two_evaluators_at_the_same_moment_begin_one():
    m = cases.web()
    at = database_now()
    seeing.see(m, "f", at)
    ready = threading.Barrier(2)

    def judge() -> None:
        ready.wait()
        for _ in range(3):
            seeing.judge(at)
        connection.close()

    threads = [threading.Thread(target=judge) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(90)
    assert len(cases.diagnoses(m)) == 1
    assert Battery.objects.count() == 1


# --- Because somebody asks ---------------------------------------------------------------------------------------------------
def test_a_person_asks_and_asks_again_and_gets_the_same():
    m = cases.web()
    d = starting.ask(m, by=cast.TESTS, at=database_now())
    assert (d.cause, d.requested_by) == ("person", cast.TESTS.name)
    assert starting.ask(m, by=cast.TESTS, at=database_now()).pk == d.pk
    assert AuditEntry.objects.filter(action="monitor.diagnose").count() == 1


def test_a_failure_takes_over_what_a_person_began():
    m = cases.web()
    d = starting.ask(m, by=cast.TESTS, at=database_now())
    cases.fails(m)
    assert cases.the(m).pk == d.pk


def test_why_a_person_is_refused():
    passive = rows.monitor(name="backup", kind="heartbeat")
    with pytest.raises(Refused, match="no address"):
        starting.ask(passive, by=cast.TESTS, at=database_now())
    paused = services.pause(cases.web(), by=cast.TESTS, at=database_now())
    with pytest.raises(Refused, match="paused"):
        starting.ask(paused, by=cast.TESTS, at=database_now())


def test_no_probe_can_look():
    m = cases.web()
    blind(m)
    with pytest.raises(Refused, match="None of its probes"):
        starting.ask(m, by=cast.TESTS, at=database_now())
    assert ProbeJob.objects.count() == 0
