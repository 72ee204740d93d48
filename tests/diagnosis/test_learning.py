"""What is usual? Learned while all is well, a little at a time, shared by target; a path that moved is written down."""

from __future__ import annotations

from datetime import timedelta

import pytest

from monitors import housekeeping
from monitors.diagnosis import learning
from monitors.diagnosis.learning import RemoteLearner, learn, seed, take
from monitors.models import Baseline, Diagnosis, Monitor, Probe, ProbeJob, ProbeState, Result, RouteChange
from portal.clock import database_now
from tests.diagnosis import cases
from tests.monitors import rows, seeing

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def on(settings, db):
    settings.DIAGNOSIS = True
    cases.room()


def path(*addresses: str | None) -> list[dict]:
    hops = [
        {"ttl": n, "address": a, "sent": 5, "got": 5 if a else 0, "rtt_ms": [float(n)] * 5 if a else [], "asn": 64500 + n, "said": "ttl" if n < len(addresses) else "reply"}
        for n, a in enumerate(addresses, 1)
    ]  # fmt: skip
    return [{"proto": "icmp", "status": "ok", "reached": True, "rounds": 5, "address": addresses[-1], "hops": hops}]


def well(*addresses: str | None) -> dict:
    """A healthy sweep over these hops."""
    said = cases.measured(paths=path(*addresses), tls={"status": "ok", "issuer": "Example CA"}, names={"name": "x", "system": {"server": "system", "status": "ok", "addresses": [cases.HOST]}, "delegation": {"child": ["ns1.dns.example", "ns2.dns.example"]}})  # fmt: skip
    return {k: v for k, v in said.items() if k not in ("check", "connect")}


def baseline(m: Monitor, slug: str = "local") -> Baseline:
    return Baseline.objects.get(monitor=m, probe__slug=slug)


# --- Whose turn --------------------------------------------------------------------------------------------------------
def test_a_monitor_that_is_up_is_swept_soon_and_then_every_half_hour():
    m, at = cases.web(), database_now()
    assert seed(at) == 1
    assert seed(at) == 0, "once is enough"
    (sweep,) = take(rows.probe(), 5, at)
    assert learn(sweep.baselines, well("10.0.0.1", cases.HOST), rows.probe(), at) == 1
    b = baseline(m)
    assert b.learned_at == at
    assert timedelta(minutes=26) < b.next_at - at < timedelta(minutes=34)
    assert take(rows.probe(), 5, at + timedelta(minutes=26)) == []
    assert len(take(rows.probe(), 5, at + timedelta(minutes=35))) == 1


@pytest.mark.parametrize("letters", ["f", "ff", "d"])
def test_what_is_not_well_is_not_learned_from(letters):
    m, at = cases.web(), database_now()
    seed(at)
    (sweep,) = take(rows.probe(), 5, at)
    Baseline.objects.update(next_at=at)
    seeing.watch(m, letters, at)
    assert take(rows.probe(), 5, at) == [], "it is not even looked at"
    assert learn(sweep.baselines, well(cases.HOST), rows.probe(), at) == 0, "nor is what was under way believed"


def test_a_sick_sample_is_not_learned_though_the_monitor_seems_up():
    m, at = cases.web(), database_now()
    seed(at)
    (sweep,) = take(rows.probe(), 5, at)
    assert learn(sweep.baselines, cases.measured(), rows.probe(), at) == 0
    assert baseline(m).learned_at is None


def test_a_sweep_that_came_to_nothing_is_wished_for_again():
    cases.web()
    at = database_now()
    seed(at)
    assert len(take(rows.probe(), 5, at)) == 1
    assert take(rows.probe(), 5, at) == [], "it is under way"
    assert len(take(rows.probe(), 5, at + learning.RETRY)) == 1


def test_diagnoses_come_first():
    cases.web("well", host="10.20.0.9")
    at = database_now()
    seed(at)
    cases.fails(cases.web("sick"))
    assert take(rows.probe(), 5, at) == []


def test_monitors_of_one_target_are_one_sweep():
    first, second = cases.web("first"), cases.web("second")
    at = database_now()
    seed(at)
    (sweep,) = take(rows.probe(), 5, at)
    assert learn(sweep.baselines, well("10.0.0.1", cases.HOST), rows.probe(), at) == 2
    assert baseline(first).data["path"] == baseline(second).data["path"]


def test_ten_thousand_are_learned_a_few_at_a_time_the_longest_waiting_first():
    many = [cases.web(f"m{n}", host=f"10.20.1.{n + 1}") for n in range(6)]
    at = database_now()
    seed(at)
    Baseline.objects.filter(monitor=many[4]).update(next_at=at - timedelta(hours=1))
    assert [s.monitor.pk for s in take(rows.probe(), 2, at)][0] == many[4].pk
    budget = learning.Budget(most=20)
    budget.spend(100.0, 18)
    assert budget.left(101.0) == 2
    budget.spend(101.0, 2)
    assert (budget.left(159.0), budget.left(160.5), budget.left(161.5)) == (0, 18, 20)


def test_a_probe_that_cannot_see_learns_nothing():
    cases.web()
    at = database_now()
    seed(at)
    Probe.objects.update(blind_since=at)
    assert take(rows.probe(), 5, at) == []


# --- What is learned ----------------------------------------------------------------------------------------------------
def test_where_it_lives_is_kept_beside_the_path():
    m, at = cases.web(), database_now()
    seed(at)
    learn([baseline(m).pk], well("10.0.0.1", cases.HOST), rows.probe(), at)
    b = baseline(m)
    assert (b.address, b.issuer, b.dns_provider, b.samples) == (cases.HOST, "Example CA", "dns.example", 1)
    assert b.data["path"] == ["10.0.0.1", cases.HOST]


def test_the_usual_times_come_from_its_own_checks():
    m, at = cases.web(), database_now()
    seed(at)
    rows.result(m, at - timedelta(minutes=1), first_byte_ms=120.0, connect_ms=30.0).save()
    rows.result(m, at - timedelta(minutes=2), status=3, first_byte_ms=9000.0).save()
    learn([baseline(m).pk], well("10.0.0.1", cases.HOST), rows.probe(), at)
    assert 100 < baseline(m).data["phases"]["first_byte_ms"][1] < 140
    assert Result.objects.filter(monitor_id=m.pk).count() >= 2


def test_a_route_that_moves_is_written_down_once():
    m, at = cases.web(), database_now()
    seed(at)
    pk = baseline(m).pk
    usual, other = well("10.0.0.1", *(f"10.0.{n}.1" for n in (1, 2, 3)), cases.HOST), well("10.0.0.1", *(f"10.9.{n}.1" for n in (1, 2, 3)), cases.HOST)  # fmt: skip
    for n in range(3):
        learn([pk], usual, rows.probe(), at + timedelta(minutes=30 * n))
    assert RouteChange.objects.count() == 0
    for n in range(3, 6):
        learn([pk], other, rows.probe(), at + timedelta(minutes=30 * n))
    change = RouteChange.objects.get(monitor=m)
    assert (change.before[1], change.after[1]) == ("10.0.1.1", "10.9.1.1")


@pytest.mark.parametrize(
    ("servers", "whose"),
    [
        (["ns1.cloudflare.com.", "ns2.cloudflare.com"], "cloudflare.com"),
        (["a.nic.co.uk", "b.nic.co.uk"], "nic.co.uk"),
        (["ns1.one.example", "ns1.two.example", "ns2.two.example"], "two.example"),
        ([], ""),
        ([None, 7], ""),
    ],
)
def test_whose_name_servers(servers, whose):
    assert learning.provider_of(servers) == whose


# --- Remote probes --------------------------------------------------------------------------------------------------------
def test_a_remote_probe_sweeps_two_at_a_time_and_its_answer_is_learned():
    berlin = cases.remote()
    monitors = [cases.web(f"m{n}", host=f"10.20.1.{n + 1}", probes=[berlin]) for n in range(4)]
    at = database_now()
    learner = RemoteLearner()
    assert learner.step(at) == learning.AT_ONCE
    learner.looked_at -= 5
    assert learner.step(at) == 0, "two are under way"
    job = ProbeJob.objects.order_by("pk").first()
    assert job.body["light"] is True
    ProbeJob.objects.filter(pk=job.pk).update(state="done", result=well("10.0.0.1", cases.HOST))
    learning.take_outcome(ProbeJob.objects.get(pk=job.pk), at)
    assert Baseline.objects.filter(monitor__in=monitors, learned_at=at).count() == 1
    learner.looked_at -= 5
    assert learner.step(at) == 1, "there is room for one more"


def test_a_probe_does_not_teach_another_probes_baselines():
    berlin, oslo = cases.remote(), cases.remote("oslo")
    m = cases.web(probes=[berlin, oslo])
    at = database_now()
    seed(at)
    job = ProbeJob(probe=oslo, state="done", body={"for": [baseline(m, "berlin").pk]}, result=well(cases.HOST))
    learning.take_outcome(job, at)
    assert baseline(m, "berlin").learned_at is None


# --- Keeping --------------------------------------------------------------------------------------------------------------
def test_after_ninety_days_they_are_forgotten_but_for_reports_whose_link_holds():
    m, at = cases.web(), database_now()
    old = at - timedelta(days=91)
    about = {"monitor": m, "cause": "failure", "state": "done", "started_at": old, "deadline_at": old}
    gone = Diagnosis.objects.create(**about, link_expires_at=at - timedelta(days=1))
    renewed = Diagnosis.objects.create(**about, link_expires_at=at + timedelta(days=30))
    young = Diagnosis.objects.create(**about | {"started_at": at}, link_expires_at=at + timedelta(days=90))
    RouteChange.objects.create(monitor=m, probe=rows.probe(), at=old)
    housekeeping.forget_diagnoses(at)
    assert set(Diagnosis.objects.values_list("pk", flat=True)) == {renewed.pk, young.pk}
    assert gone.pk not in {renewed.pk, young.pk}
    assert RouteChange.objects.count() == 0
    assert ProbeState.objects.filter(monitor=m).exists()
