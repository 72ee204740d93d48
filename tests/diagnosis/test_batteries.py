"""Who measures what, and what of it is kept? Claimed and stored by the row, shared, bounded; whoever dies holds up nobody."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from monitors import remote
from monitors.diagnosis import around, batteries, receiving, starting
from monitors.diagnosis.gathering import conclude, ready
from monitors.models import Baseline, Battery, Diagnosis, Monitor, Probe, ProbeJob, ProbeState
from portal.clock import database_now
from tests import cast
from tests.diagnosis import cases
from tests.monitors import rows, seeing

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def on(settings, db):
    settings.DIAGNOSIS = True
    cases.room()


# --- Room --------------------------------------------------------------------------------------------------------------------
def test_three_hundred_at_once_are_bounded():
    at, berlin = database_now(), cases.remote()
    known = {"client": cast.acme(), "kind": "http", "trusted": True, "state": "up", "confirmation_count": 9}
    monitors = Monitor.objects.bulk_create(Monitor(name=f"m{n}", config={"url": f"http://10.20.1.{n % 250}:{8000 + n}/"}, **known) for n in range(300))  # fmt: skip
    failing = {"next_due_at": at, "status": 3, "vote": 1, "streak": 1, "since": at, "last_at": at, "changed": True}
    ProbeState.objects.bulk_create(ProbeState(monitor=m, probe=rows.probe(), **failing) for m in monitors)
    ProbeState.objects.bulk_create(ProbeState(monitor=m, probe=berlin, next_due_at=at) for m in monitors)
    seeing.judge(at)
    assert Diagnosis.objects.count() == 300
    for _ in range(3):
        batteries.hand_out(at)
        batteries.claim([rows.probe().pk], at, "worker")
    assert ProbeJob.objects.count() == batteries.MOST
    assert Battery.objects.filter(state="running", probe=rows.probe()).count() == batteries.MOST
    d = Diagnosis.objects.latest("pk")
    conclude(d.pk, d.deadline_at)
    assert cases.again(d).state == "done"
    assert cases.again(d).evidence["around"]["same_probe"] == {"watched": 299, "failing": 299}


def test_one_that_ends_makes_room_for_the_next():
    for n in range(batteries.MOST + 1):
        cases.begun(f"m{n}", host=f"10.20.0.{n + 1}", confirmation_count=9)
    at, local = database_now(), rows.probe().pk
    taken = batteries.claim([local], at, "worker")
    assert len(taken) == batteries.MOST
    assert batteries.claim([local], at, "worker") == []
    batteries.keep(taken[0].pk, cases.measured(), at, worker="worker")
    assert len(batteries.claim([local], at, "worker")) == 1


def test_monitors_of_one_target_share_what_was_measured():
    (_, first), (_, second) = cases.begun("first"), cases.begun("second")
    at, local = database_now(), rows.probe().pk
    (b,) = batteries.claim([local], at, "worker")  # the other one waits for this
    assert b.diagnosis_id == first.pk
    assert batteries.share([local], at) == 0
    batteries.keep(b.pk, cases.measured(), at, worker="worker")
    assert batteries.share([local], at) == 1
    conclude(second.pk, at)
    shared = Battery.objects.get(diagnosis=second)
    assert (shared.state, shared.reused_id) == ("done", b.pk)
    (evidence,) = cases.again(second).evidence["batteries"]
    assert evidence["reused_from"] == b.pk
    assert "check" not in evidence, "that was the other monitor's check"


def test_what_is_older_than_a_minute_is_measured_anew():
    _, first = cases.begun("first")
    at = database_now()
    cases.measure(first, at)
    cases.begun("second")
    assert batteries.share([rows.probe().pk], at + timedelta(seconds=61)) == 0


def test_what_was_measured_of_an_earlier_failure_says_nothing_of_this_one():
    """Expired, repaired, and half a minute later the line dies: the certificate of then is not what is wrong now."""
    _, first = cases.begun("first")
    cases.measure(first, database_now())
    second, at = cases.web("second"), database_now() + timedelta(seconds=30)
    cases.fails(second, at)
    assert batteries.share([rows.probe().pk], at) == 0


def test_a_person_who_asks_after_a_repair_gets_a_new_measurement():
    m, d = cases.begun()
    at = database_now()
    cases.measure(d, at)
    conclude(d.pk, at)
    asked = starting.ask(m, by=cast.TESTS, at=at + timedelta(seconds=10))
    assert batteries.share([rows.probe().pk], at + timedelta(seconds=10)) == 0
    assert cases.batteries_of(asked) == {"local": "waiting"}


def test_private_and_public_reach_do_not_share():
    cases.begun("mine")
    m = cases.web("theirs")
    Monitor.objects.filter(pk=m.pk).update(trusted=False)
    cases.fails(m)
    assert len(set(Battery.objects.values_list("target_key", flat=True))) == 2


# --- Whoever measures dies ---------------------------------------------------------------------------------------------------
def test_a_lease_that_runs_out_is_given_up_and_its_owner_is_not_heard_any_more():
    m, d = cases.begun()
    at = database_now()
    (b,) = batteries.claim([rows.probe().pk], at, "dead")
    assert batteries.give_up_lost(at + timedelta(seconds=14)) == 0
    assert batteries.give_up_lost(at + timedelta(seconds=16)) == 1
    assert Battery.objects.get(pk=b.pk).evidence == {"why": "No answer in time."}
    assert ready(at) == [d.pk]


def test_what_a_dead_worker_held_is_measured_by_another_while_there_is_time():
    m, d = cases.begun()
    at = database_now()
    (b,) = batteries.claim([rows.probe().pk], at, "dead")
    batteries.free(["dead"], at + timedelta(seconds=4))
    (taken,) = batteries.claim([rows.probe().pk], at + timedelta(seconds=4), "living")
    assert taken.pk == b.pk
    assert not batteries.keep(b.pk, cases.measured(), at, worker="dead"), "it woke up, and its lease was given away"
    assert batteries.keep(b.pk, cases.measured(), at, worker="living")


def test_what_a_dead_worker_held_too_late_is_given_up():
    m, d = cases.begun()
    at = database_now()
    batteries.claim([rows.probe().pk], at, "dead")
    batteries.free(["dead"], d.deadline_at)
    assert cases.batteries_of(d) == {"local": "failed"}


# --- Remote probes -------------------------------------------------------------------------------------------------------------
def test_a_remote_probe_gets_a_job_without_secrets_and_its_answer_is_kept_under_its_own_name():
    berlin = cases.remote()
    config = {"url": f"http://{cases.HOST}/", "headers": {"X-Key": "hunter2-hunter2"}}
    m = rows.monitor(name="shop", config=config, probes=[berlin])
    seeing.watch(m, "u", database_now() - timedelta(seconds=5), by=berlin)
    cases.fails(m, by=berlin)
    d, at = cases.the(m), database_now()
    assert batteries.hand_out(at) == 1
    (job,) = ProbeJob.objects.all()
    assert (job.kind, job.key, job.probe_id) == ("diagnose", f"diagnose:{d.pk}:{berlin.pk}", berlin.pk)
    assert "hunter2" not in json.dumps(job.body)
    said = cases.measured(
        slug="somebody-else", probe=99, check={"status": "failing", "message": "hunter2-hunter2\x00 was refused"}
    )
    ProbeJob.objects.filter(pk=job.pk).update(state="taken")
    remote.finish_job(remote.Caller(berlin, at, request=None), job.pk, {"state": "done", "result": json.loads(json.dumps(said).replace("\\u0000", ""))})  # fmt: skip
    b = Battery.objects.get(diagnosis=d)
    assert (b.state, b.evidence["slug"], b.evidence["probe"]) == ("done", "berlin", berlin.pk)
    assert "hunter2" not in json.dumps(b.evidence)
    assert ready(at) == [d.pk]


def test_a_probe_that_refuses_says_why():
    berlin = cases.remote()
    m = cases.web(probes=[berlin])
    cases.fails(m, by=berlin)
    at = database_now()
    batteries.hand_out(at)
    (job,) = ProbeJob.objects.all()
    ProbeJob.objects.filter(pk=job.pk).update(
        state="refused", result={"why": "This probe does not know jobs of that kind."}
    )
    batteries.take_outcome(ProbeJob.objects.get(pk=job.pk), at)
    b = Battery.objects.get(diagnosis=cases.the(m))
    assert (b.state, b.evidence["why"]) == ("failed", "This probe does not know jobs of that kind.")


def test_a_probe_that_was_revoked_meanwhile_is_not_waited_for():
    berlin = cases.remote()
    m = cases.web(probes=[berlin])
    cases.fails(m, by=berlin)
    Probe.objects.filter(pk=berlin.pk).update(revoked_at=database_now())
    batteries.hand_out(database_now())
    assert cases.batteries_of(cases.the(m)) == {"berlin": "failed"}


# --- What is kept --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "said",
    [None, [], {}, {"target": "x"}, {"target": {}, "paths": "x" * 300_000}],
    ids=["nothing", "a list", "empty", "no target", "too much"],
)
def test_what_is_no_evidence_is_not_kept(said):
    assert receiving.received(said, rows.probe()) is None


def test_strange_words_and_numbers_are_made_fit_to_be_stored():
    m, d = cases.begun()
    hostile = cases.measured(
        ping={"status": "ok\x00", "rtt_ms": [float("nan"), float("inf"), 1.5]},
        paths=["x", {"proto": "icmp", "status": "ok", "hops": [7, {"ttl": 1, "address": {"a": 1}}, {"ttl": 2, "address": None, "name": "\ud800<b>"}]}],
    )  # fmt: skip
    b = cases.measure(d, said=hostile)
    assert b.evidence["ping"] == {"status": "ok", "rtt_ms": [None, None, 1.5]}
    (path,) = b.evidence["paths"]
    assert path["hops"] == [{"ttl": 2, "address": None, "name": "?<b>"}]
    conclude(d.pk, database_now())
    assert cases.again(d).state == "done"


def test_others_are_counted_across_clients_and_never_named():
    m = cases.web("shop")
    for n, fails in enumerate((True, False)):
        other = rows.monitor(of=cast.globex(), name=f"globex secret {n}", config={"url": f"http://{cases.HOST}/{n}"})
        Baseline.objects.create(
            monitor=other, probe=rows.probe(), next_at=database_now(), asn=64500, address="10.20.0.80"
        )
        seeing.see(other, "f" if fails else "u", database_now())
    Baseline.objects.create(monitor=m, probe=rows.probe(), next_at=database_now(), asn=64500, address="10.20.0.80")
    found = around.Around().counts(m, list(Baseline.objects.filter(monitor=m)), rows.probe().pk, fails=False)
    one_of_two = {"watched": 2, "failing": 1}
    assert found == {
        "same_as": one_of_two,
        "same_address": one_of_two,
        "same_host": one_of_two,
        "same_probe": one_of_two,
    }
