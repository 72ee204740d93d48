"""The real engine against real sites on loopback: claimed, checked, stored, judged. Nothing here pretends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest

from alerts.models import Alert
from monitors import engine, evaluate, findings, partitions, plans, prober, services, store
from monitors.checks import heartbeat, push
from monitors.checks.base import Outcome, Status
from monitors.models import Certificate, FailureBody, Monitor, Probe, ProbeState, Result, StateChange
from portal.clock import database_now
from portal.residents import WORKER_ID
from tests import cast
from tests.alerts import stage
from tests.monitors import rows
from tests.monitors.seeing import judge, open_alerts, state, steps
from tests.rig import answers
from tests.rig.abreast import abreast
from tests.rig.certificates import Certificate as Shown
from tests.rig.certificates import self_signed
from tests.rig.site import Site

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def ground(transactional_db: None) -> None:
    """A database that was flushed has no built-in probe and perhaps no room for today's results."""
    findings._known.clear()
    partitions.ensure_ahead(database_now())
    Probe.objects.get_or_create(slug="local", defaults={"name": "Portal", "built_in": True})


def until(true: Callable[[], object], what: str, within: float = 90) -> None:
    """Wait until something holds."""
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, f"waited {within} s for {what}"
        time.sleep(0.03)


@pytest.fixture
def running() -> Iterator[None]:
    """A prober and an evaluator, as they live in a worker."""
    residents = [prober.Prober(), evaluate.Evaluator()]
    for resident in residents:
        resident.start()
    yield
    for resident in residents:
        resident.stop()
    for resident in residents:
        resident.join(60)
        assert not resident.is_alive()


def http(site: Site, name: str = "shop", path: str = "/", **more: object) -> Monitor:
    fields = {"interval_seconds": 60, "timeout_seconds": 5, **more}
    return rows.monitor(name=name, config={"url": site.url(path)}, **fields)


# --- The whole way ----------------------------------------------------------------------------------------------------------
def test_a_site_is_seen_up_then_fails_and_the_second_look_confirms_it(site, running):
    stage.trigger(stage.webhook())
    shop = http(site)
    until(lambda: state(shop) == "up", "the site to be up")
    site.answer(answers.Answer(status=503, body=b"<b>Database</b> away \x00 " + b"x" * 5000))
    services.check_now(shop, by=cast.TESTS, at=database_now())
    until(lambda: open_alerts(shop), "the alert")
    failing = list(Result.objects.filter(monitor_id=shop.pk, status=3).order_by("ts"))
    assert len(failing) == 2 and failing[0].error_class == "http_status" and failing[0].http_status == 503
    assert timedelta(seconds=0.9) < failing[1].ts - failing[0].ts, "a second later, and not a minute"
    change = StateChange.objects.get(to_state="down")
    assert change.first_failure_at == failing[0].ts and Alert.objects.get().incident_id
    body = FailureBody.objects.get()
    assert body.body.startswith("<b>Database</b> away � xx") and len(body.body) == 2048, "kept once, its first 2 KB"
    assert ProbeState.objects.get(monitor=shop).next_due_at > failing[1].ts + timedelta(seconds=25)
    site.up()
    services.check_now(shop, by=cast.TESTS, at=database_now())
    until(lambda: not open_alerts(shop), "the recovery")
    assert steps(shop) == ["up", "down", "up"]


def test_hanging_sites_delay_nobody(running, site):
    with Site() as stuck:
        stuck.hang()
        hanging = [http(stuck, name=f"stuck {n}", timeout_seconds=40) for n in range(12)]
        until(lambda: stuck.hits >= 12, "the hanging ones to be under way")
        shop = http(site)
        until(lambda: state(shop) == "up", "the healthy one", within=30)
        assert {state(m) for m in hanging} == {"pending"}, "theirs are still under way"


def test_a_group_is_as_bad_as_its_worst_child(running, site):
    with Site() as other:
        children = [http(site, "shop"), http(other, "till")]
        until(lambda: all(state(m) == "up" for m in children), "the children to be up")
        group = rows.monitor(
            name="all", kind="group", config={"monitor_ids": [m.pk for m in children]}, interval_seconds=3600
        )
        until(lambda: state(group) == "up", "the group to be up")
        other.fail()
        services.check_now(children[1], by=cast.TESTS, at=database_now())
        until(lambda: state(group) == "down", "the group to follow")
        assert Monitor.objects.get(pk=group.pk).state_reason == "1 of 2 down: till"
        other.up()
        services.check_now(children[1], by=cast.TESTS, at=database_now())
        until(lambda: state(group) == "up", "the group to recover")


def test_a_strange_row_stops_nobody(running, site):
    """A kind that this version does not know (an older program on a newer database) is unknown; the others go on."""
    strange, shop = http(site, "strange"), http(site, "shop")
    until(lambda: state(strange) == state(shop) == "up", "both to be up")
    Monitor.objects.filter(pk=strange.pk).update(kind="quantum", config_version=9)
    ProbeState.objects.filter(monitor=strange).update(next_due_at=database_now())
    until(lambda: state(strange) == "unknown", "the strange one to be unknown")
    assert "open it and save it anew" in Monitor.objects.get(pk=strange.pk).state_reason
    seen = Result.objects.filter(monitor_id=shop.pk).count()
    services.check_now(shop, by=cast.TESTS, at=database_now())
    until(lambda: Result.objects.filter(monitor_id=shop.pk).count() > seen, "the other one to be checked")


# --- Claims and fences ----------------------------------------------------------------------------------------------------------
def done(claim: store.Claim, status: Status = Status.UP, at: datetime | None = None, **more: object) -> store.Done:
    plan = plans.plan_of(Monitor.objects.get(pk=claim.monitor))
    return prober.made(claim, plan, Outcome(status, total_ms=5.0, **more), at or database_now())  # type: ignore[arg-type]


def test_a_killed_claim_comes_back_and_the_dead_ones_result_does_not_count(site):
    shop, probe, at = http(site), rows.probe(), database_now()
    (dead,) = store.claim("dead", [probe.pk], 10, at)
    assert store.claim("other", [probe.pk], 10, at) == [], "it is taken"
    assert store.free(["dead"], at) == 1
    (claim,) = store.claim("other", [probe.pk], 10, at)
    assert store.save([done(dead, Status.FAILING)]) == set() and not Result.objects.exists()
    assert store.save([done(claim)]) == {claim.id}
    assert store.save([done(claim)]) == set(), "a result counts once"
    assert Result.objects.get().status == 1 and ProbeState.objects.get(monitor=shop).lease_token is None


def test_a_lease_that_ran_out_is_freed_whoever_held_it(site):
    http(site)
    probe, at = rows.probe(), database_now()
    assert len(store.claim("frozen", [probe.pk], 10, at)) == 1
    assert store.free([], at + timedelta(seconds=19)) == 0, "time-out 5 s and a margin of 15 s"
    assert store.free([], at + timedelta(seconds=21)) == 1


def test_claimed_half_a_second_ahead_and_no_more(site):
    shop, probe, at = http(site), rows.probe(), database_now()
    for ahead, found in ((0.6, 0), (0.4, 1)):
        ProbeState.objects.filter(monitor=shop).update(next_due_at=at + timedelta(seconds=ahead))
        assert len(store.claim("w", [probe.pk], 10, at)) == found


def test_one_row_is_never_given_to_two_workers():
    for n in range(60):
        rows.monitor(name=f"shop {n}")
    probe, at = rows.probe(), database_now()
    taken = [
        c.id
        for claims in abreast(lambda n: [store.claim(f"w{n}", [probe.pk], 4, at) for _ in range(6)], 4)
        for some in claims
        for c in some
    ]
    assert len(taken) == len(set(taken)) == 60


def test_asked_for_at_once_while_under_way_it_is_checked_once_more_right_after(site):
    shop, probe, at = http(site), rows.probe(), database_now()
    (claim,) = store.claim("w", [probe.pk], 10, at)
    services.check_now(shop, by=cast.TESTS, at=at)
    store.save([done(claim)])
    assert ProbeState.objects.get(monitor=shop).next_due_at <= database_now()


def test_saved_anew_while_under_way_the_old_settings_result_does_not_count(site):
    shop, probe, at = http(site), rows.probe(), database_now()
    (claim,) = store.claim("w", [probe.pk], 10, at)
    shop.config = {"url": site.url("/other")}
    services.save(shop, by=cast.TESTS, at=at)
    assert store.save([done(claim, Status.FAILING)]) == set()
    view = ProbeState.objects.get(monitor=shop)
    assert view.next_due_at == at and view.lease_token is None, "and the new ones are tried at once"


def test_a_stopped_prober_gives_back_what_it_claimed(site):
    http(site)
    resident = prober.Prober()
    resident.begin()
    store.claim(WORKER_ID, [rows.probe().pk], 10, database_now())
    resident.end()
    assert not ProbeState.objects.exclude(lease_token=None).exists()


def test_at_the_first_failure_every_other_probe_is_due_at_once(site):
    north = rows.probe("north")
    shop, at = http(site, probes=[rows.probe(), north]), database_now()
    ProbeState.objects.filter(probe=north).update(next_due_at=at + timedelta(hours=1))
    (claim,) = store.claim("w", [rows.probe().pk], 10, at)
    result = done(claim, Status.FAILING, error_class="timeout")
    store.save([result])
    findings.note([result])
    assert ProbeState.objects.get(monitor=shop, probe=north).next_due_at == result.at


# --- What comes by itself: heartbeats and pushes --------------------------------------------------------------------------------
def look(m: Monitor, at: datetime) -> None:
    """The prober looks at a passive monitor at this moment, and it is judged."""
    view = ProbeState.objects.get(monitor=m)
    ProbeState.objects.filter(pk=view.pk).update(next_due_at=min(view.next_due_at, at))
    (claim,) = [c for c in store.claim("w", [view.probe_id], 50, at) if c.monitor == m.pk]
    plan = plans.plan_of(Monitor.objects.get(pk=m.pk))
    kind = {"heartbeat": heartbeat, "push": push}[plan.name]
    result = prober.made(claim, plan, kind.judge(plan.config, prober.revived(claim.facts), at), at)
    assert store.save([result]) == {claim.id}
    judge(at)


def test_a_late_heartbeat_is_down_since_its_deadline():
    job, at = rows.monitor(kind="heartbeat"), database_now()  # every 60 s, 30 s of grace
    services.tell(job, {"last_ping": at.isoformat(), "exit": 0}, at)
    look(job, at)
    assert state(job) == "up" and ProbeState.objects.get().next_due_at == at + timedelta(seconds=90)
    look(job, at + timedelta(seconds=97))
    deadline = at + timedelta(seconds=90)
    assert state(job) == "down" and StateChange.objects.get(to_state="down").first_failure_at == deadline
    assert Result.objects.get(status=3).ts == deadline
    (alert,) = open_alerts(job)
    assert (alert.source, alert.event, alert.title) == ("heartbeat", "deadline_missed", "shop has not reported")
    services.tell(job, {"last_ping": (at + timedelta(seconds=200)).isoformat(), "exit": 0}, at + timedelta(seconds=200))
    look(job, at + timedelta(seconds=200))
    assert state(job) == "up" and not open_alerts()


def test_a_deadline_of_weeks_ago_finds_a_place_all_the_same():
    """On PostgreSQL that day has no partition (any more): the outage is dated then, the raw result now."""
    job, at = rows.monitor(kind="heartbeat"), database_now()
    long_ago = at - timedelta(days=20)
    services.tell(job, {"last_ping": long_ago.isoformat(), "exit": 0}, at)
    look(job, at)
    assert state(job) == "down" and Result.objects.get().ts == at
    assert StateChange.objects.get(to_state="down").first_failure_at == long_ago + timedelta(seconds=90)


def test_a_job_that_reports_failure_is_down_at_once_by_another_name():
    job, at = rows.monitor(kind="heartbeat"), database_now()
    services.tell(job, {"last_ping": at.isoformat(), "exit": 0}, at)
    look(job, at)
    services.tell(job, {"exit": 3}, at + timedelta(seconds=5))
    look(job, at + timedelta(seconds=5))
    assert state(job) == "down" and [a.event for a in open_alerts(job)] == ["exit_code_failure"]


def test_a_new_heartbeat_never_alerts(running):
    job = rows.monitor(kind="heartbeat")
    services.check_now(job, by=cast.TESTS, at=database_now())
    until(lambda: Result.objects.exists(), "a look")
    until(lambda: not ProbeState.objects.filter(changed=True).exists(), "a judgement")
    assert state(job) in ("pending", "unknown") and not Alert.objects.exists()


def test_a_push_counts_for_its_time_to_live():
    job, at = rows.monitor(kind="push", config={"ttl_seconds": 60}), database_now()
    services.push(job, status="up", message="fine", latency_ms=12.5, at=at)
    look(job, at)
    assert state(job) == "up" and Result.objects.get().total_ms == 12.5
    look(job, at + timedelta(seconds=61))
    assert state(job) == "down" and StateChange.objects.get(to_state="down").first_failure_at == at + timedelta(
        seconds=60
    )
    services.push(job, status="degraded", message="slow", latency_ms=None, at=at + timedelta(seconds=70))
    look(job, at + timedelta(seconds=70))
    assert state(job) == "degraded" and Monitor.objects.get().state_reason == "slow"


def test_the_same_deadline_is_recorded_once():
    job, at = rows.monitor(kind="heartbeat"), database_now()
    services.tell(job, {"last_ping": at.isoformat(), "exit": 0}, at)
    for seconds in (0, 95, 120, 150):
        look(job, at + timedelta(seconds=seconds))
    assert Result.objects.count() == 4 and steps(job) == ["up", "down"]


# --- Certificates ------------------------------------------------------------------------------------------------------------------
def occasions() -> list[tuple[str, str, bool]]:
    return [
        (a.condition.partition(":")[2], a.severity, a.is_resolved)
        for a in Alert.objects.filter(source="certificate").order_by("id")
    ]


def shows(site: Site, certificate: Shown, m: Monitor) -> None:
    """The site shows another certificate and is checked."""
    site.show(certificate)
    before = Result.objects.count()
    services.check_now(m, by=cast.TESTS, at=database_now())
    until(lambda: Result.objects.count() > before, "a check")
    until(
        lambda: Certificate.objects.filter(fingerprint=certificate.fingerprint).exists(), "the certificate to be noted"
    )


def tls(site: Site) -> Monitor:
    return rows.monitor(name="cert", kind="tls", config={"host": "127.0.0.1", "port": site.port}, interval_seconds=60)


def facts(certificate: Shown, **more: object) -> dict:
    return {
        "certificate": {
            "fingerprint": certificate.fingerprint,
            "not_after": certificate.not_after.isoformat(),
            "names": ["x"],
            **more,
        }
    }


def test_each_threshold_is_one_occasion_per_certificate(authority):
    """As the days pass: 30 and 14 warn, 7, 3 and 1 are critical, then it is expired; a renewed one ends it."""
    m, at = rows.monitor(kind="tls", config={"host": "127.0.0.1"}), database_now()
    shown = authority.issue(valid=timedelta(days=40))

    def seen(days_left: float, certificate: Shown = shown, **more: object) -> None:
        claim = store.Claim(1, m.pk, rows.probe().pk, 1, at, engine.View(1), 1, {})
        when = certificate.not_after - timedelta(days=days_left)
        outcome = Outcome(Status.UP, facts=facts(certificate, **more))
        findings._known.clear()  # as after a restart: the database remembers what was told
        findings.note([store.Done(claim, outcome, when, engine.View(1, status=1, streak=9), when, False)])

    for days in (31, 30, 29, 15, 14, 13, 7, 6.5, 3, 2, 1, 0.5, 0, -3):
        seen(days)
        seen(days)
    assert [(name, severity) for name, severity, _ in occasions()] == [
        ("expiring:30", "warning"), ("expiring:14", "warning"), ("expiring:7", "critical"), ("expiring:3", "critical"),
        ("expiring:1", "critical"), ("expired", "critical"),
    ]  # fmt: skip
    assert [over for _, _, over in occasions()] == [True] * 5 + [False], "the next threshold takes over quietly"
    assert Certificate.objects.get().told == [
        "expiring:30",
        "expiring:14",
        "expiring:7",
        "expiring:3",
        "expiring:1",
        "expired",
    ]
    seen(80, authority.issue(valid=timedelta(days=90)))
    assert all(over for _, _, over in occasions())
    seen(10, authority.issue(valid=timedelta(days=90)))
    assert occasions()[-1] == ("expiring:14", "warning", False), "another certificate has occasions of its own"


def test_a_real_host_shows_certificates_of_all_sorts(authority, running):
    with Site(certificate=authority.issue(valid=timedelta(days=5))) as site:
        m = tls(site)
        until(lambda: Certificate.objects.exists(), "the certificate")
        until(lambda: state(m) == "up", "the host to be up whatever it shows")
        assert occasions()[-1][0] == "chain_invalid", "nobody here trusts this authority"
        shows(site, self_signed(), m)
        until(lambda: occasions()[-1][0] == "chain_invalid", "self-signed is told")
        shows(site, authority.issue(("other.example",)), m)
        until(lambda: occasions()[-1][0] == "hostname_mismatch", "another's name is told")
        shows(site, authority.issue(valid=timedelta(days=-2)), m)
        until(lambda: occasions()[-1][0] == "expired", "expired is told")
        told = occasions()
        site.refuse()
        services.check_now(m, by=cast.TESTS, at=database_now())
        until(lambda: state(m) == "unknown", "an unreachable host to be unknown")
        assert occasions() == told and not open_alerts(condition="health"), "it neither raises nor clears"


# --- Many rows in one statement ---------------------------------------------------------------------------------------------------
def test_one_batch_of_many_results_and_the_stored_numbers():
    monitors = [rows.monitor(name=f"m {n}") for n in range(25)]
    at = database_now()
    claims = store.claim("w", [rows.probe().pk], 100, at)
    assert len(claims) == 25 and len({c.token for c in claims}) == 1
    assert (
        len(
            store.save(
                [
                    done(c, Status.FAILING if n % 2 else Status.UP, error_class="dns" if n % 2 else "")
                    for n, c in enumerate(claims)
                ]
            )
        )
        == 25
    )
    assert Result.objects.count() == len(monitors) and ProbeState.objects.filter(changed=True).count() == 25
