"""What becomes of what a machine sent? Samples, containers, alerts that open and end, silence that is told; seen over the API."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alerts.models import Alert, Trigger
from monitors import batches, container_findings, evaluate, findings, host_findings, partitions, prober, services, store
from monitors.checks import container as container_check
from monitors.checks.base import Outcome, Status
from monitors.engine import View
from monitors.models import Container, Host, HostSample, Monitor, Probe, ProbeState
from portal import slots
from portal.clock import database_now
from portal.models import Worker
from tests import cast
from tests.monitors import rows
from tests.monitors.seeing import judge, open_alerts, see, state
from tests.rig.docker import DockerEngine

pytestmark = pytest.mark.django_db
WELL = {"cpu_percent": 12.0, "memory_percent": 40.0, "disk_percent:/": 50.0, "uptime_seconds": 100.0}


@pytest.fixture(autouse=True)
def fresh() -> None:
    host_findings._forecasts.clear()
    partitions.ensure_ahead(database_now())


@pytest.fixture
def at() -> datetime:
    """A whole minute, long enough ago that what follows is not in the future."""
    return database_now().replace(second=0, microsecond=0) - timedelta(hours=2)


def server(kind: str = "host", name: str = "web-1", **more: Any) -> Monitor:
    return rows.monitor(name=name, kind=kind, config=more.pop("config", {}), tags=["prod"], site=cast.site(), **more)


def done(m: Monitor, at: datetime, facts: dict[str, Any], by: Probe | None = None) -> store.Done:
    """A result with these facts, as a probe of ours or from afar brings it."""
    probe = (by or rows.probe()).pk
    view = View(probe=probe, status=1, streak=2, since=at, last_at=at)
    claim = store.Claim(1, m.pk, probe, 1, at, view, m.config_version, {})
    return store.Done(claim, Outcome(Status.UP, facts=facts), at, view, at, False)


def send(m: Monitor, at: datetime, values: dict[str, Any] | None = None, by: Probe | None = None, **more: Any) -> None:
    """A minute of a machine."""
    findings.note([done(m, at, {"host": {"values": WELL | (values or {}), "facts": {"name": "web-1"}, **more}}, by)])


def ship(m: Monitor, at: datetime, *boxes: dict[str, Any], cut: bool = False) -> None:
    """A look at its containers."""
    findings.note([done(m, at, {"containers": {"list": list(boxes), "cut": cut}})])


def box(name: str = "shop", **more: Any) -> dict[str, Any]:
    return {
        "name": name, "id": "a" * 64, "image": "acme/shop:1.2.3", "digest": "sha256:x", "state": "running", "health": "", "restart_count": 0, "policy": "no",
        "exit_code": 0, "oom_killed": False, "labels": {}, "values": {"memory_bytes": 5e7}, "started_at": "2026-11-21T11:00:00+00:00", **more,
    }  # fmt: skip


def later(at: datetime, minutes: float) -> datetime:
    return at + timedelta(minutes=minutes)


def kinds(**values: Any) -> list[tuple[str, str, str, str]]:
    """(source, event, condition, severity) of each open alert."""
    return [(a.source, a.event, a.condition, a.severity) for a in open_alerts(**values)]


# --- A machine's figures ----------------------------------------------------------------------------------------------
def test_a_minute_is_kept_once_with_what_the_machine_is(at):
    m = server()
    send(m, at)
    send(m, at + timedelta(seconds=20), {"cpu_percent": 99.0})
    send(m, later(at, 1))
    assert list(HostSample.objects.filter(monitor=m).order_by("at").values_list("at", flat=True)) == [at, later(at, 1)]
    h = Host.objects.get(monitor=m)
    assert h.facts["name"] == "web-1" and h.seen_at == later(at, 1) and not open_alerts()


def test_a_processor_busy_for_ten_minutes_is_told_and_its_calm_too(at):
    m = server()
    for n in range(11):
        send(m, later(at, n), {"cpu_percent": 97.5})
    (alert,) = open_alerts()
    assert (alert.source, alert.event, alert.condition, alert.severity) == (
        "resource",
        "cpu_threshold",
        "cpu_percent",
        "warning",
    )
    assert alert.title == "CPU of web-1 above 90 %" and "97.5 %" in alert.message
    assert (alert.entity_type, alert.entity_id, alert.monitor_id) == ("monitor", str(m.pk), m.pk)
    assert "prod" in alert.tags and alert.site_id == m.site_id and alert.client_id == m.client_id
    send(m, later(at, 11), {"cpu_percent": 88.0})
    assert len(open_alerts()) == 1, "not yet back by the margin"
    send(m, later(at, 12), {"cpu_percent": 20.0})
    assert not open_alerts() and Host.objects.get().crossed == {}


def test_each_disk_is_an_alert_of_its_own_and_the_second_limit_raises_it(at):
    m = server()
    for n in range(6):
        send(m, later(at, n), {"disk_percent:/": 90.0, "disk_percent:/srv": 91.0})
    assert [k[2:] for k in kinds()] == [("disk_percent:/", "warning"), ("disk_percent:/srv", "warning")]
    for n in range(6, 12):
        send(m, later(at, n), {"disk_percent:/": 90.0, "disk_percent:/srv": 96.0})
    assert [k[2:] for k in kinds()] == [("disk_percent:/", "warning"), ("disk_percent:/srv", "critical")]


def test_a_disk_that_fills_steadily_is_told_before_it_is_full(at):
    m = server(config={"disk_full_minutes": 0})
    HostSample.objects.bulk_create(
        HostSample(monitor=m, at=at - timedelta(minutes=n), values={"disk_percent:/": 80 - n / 60})
        for n in range(1, 600)
    )
    send(m, at, {"disk_percent:/": 80.0})
    (alert,) = open_alerts()
    assert alert.condition == "disk_full_in_hours:/" and alert.event == "disk_threshold" and alert.severity == "warning"
    assert alert.evidence["value"] == pytest.approx(20, abs=0.5)


def test_a_resolved_alert_opens_anew_while_it_is_still_so(at):
    m = server(config={"cpu_minutes": 0})
    send(m, at, {"cpu_percent": 99.0})
    Alert.objects.update(status="resolved", resolved_at=at)
    send(m, later(at, 1), {"cpu_percent": 99.0})
    assert len(open_alerts()) == 1 and Alert.objects.count() == 2


def test_what_comes_late_or_from_another_machine_judges_nothing(at):
    m = server(config={"cpu_minutes": 0})
    other = rows.probe("elsewhere")
    send(m, at)
    send(m, at - timedelta(minutes=5), {"cpu_percent": 99.0})
    assert not open_alerts() and HostSample.objects.count() == 2, "history all the same"
    send(m, later(at, 1), {"cpu_percent": 99.0}, by=other)
    assert not open_alerts() and HostSample.objects.count() == 2, "two machines in one monitor would mix"
    send(m, later(at, 30), {"cpu_percent": 99.0}, by=other)
    assert len(open_alerts()) == 1, "it moved"


def test_a_probe_that_sends_nonsense_breaks_nothing_and_silences_nobody(at):
    bad, good = server(name="bad", config={"cpu_minutes": 0}), server(name="good", config={"cpu_minutes": 0})
    nonsense = {
        "values": {"cpu_percent": 99.0, "nan": float("nan"), "text": "x", "a\x00b": 1.0, "n" * 500: 1.0, "flag": True},
        "facts": {"name": "x\x00\x1b[31m" + "y" * 9000, "deep": [[[[[[1]]]]]], "inf": float("inf")},
        "updates": {"pending": "many", "security": None},
        "certificates": {"/x": {"days": "soon"}},
    }
    findings.note([done(bad, at, {"host": nonsense}), done(good, at, {"host": {"values": {"cpu_percent": 99.0}}})])
    findings.note([done(bad, later(at, 1), {"host": {"values": "?", "facts": 7}})])
    assert {a.entity_name for a in Alert.objects.all()} == {"bad", "good"}
    assert HostSample.objects.filter(monitor=bad).earliest("at").values == {"cpu_percent": 99.0}
    assert len(json.dumps(Host.objects.get(monitor=bad).facts)) < 2000


def test_updates_are_information_for_security_a_warning_and_a_restart_is_asked_for(at):
    m = server()
    send(m, at, updates={"pending": 3, "security": 0, "reboot": False})
    assert kinds() == [("update", "available", "os_updates", "info")]
    send(m, later(at, 1), updates={"pending": 5, "security": 2, "reboot": True})
    assert kinds() == [("update", "available", "os_updates", "warning"), ("update", "available", "reboot", "info")]
    assert open_alerts()[0].message == "5 updates wait, 2 of them for security."
    send(m, later(at, 2))
    assert len(open_alerts()) == 2, "a probe that has just begun has not asked yet"
    send(m, later(at, 3), updates={"pending": 0, "security": 0, "reboot": False})
    assert not open_alerts()


def test_a_certificate_file_is_told_by_its_days(at):
    path = "/etc/ssl/" + "x" * 100 + ".pem"
    m = server(config={"certificates": [path]})
    send(m, at, certificates={path: {"days": 20.5}})
    (alert,) = open_alerts()
    assert (alert.source, alert.event, alert.severity) == (
        "certificate",
        "expiring",
        "warning",
    ) and "20 more days" in alert.message
    send(m, later(at, 1), certificates={path: {"days": 2.0}})
    assert open_alerts()[0].severity == "critical"
    send(m, later(at, 2), certificates={path: {"error": "Permission denied"}})
    assert len(open_alerts()) == 1, "what cannot be read neither raises nor clears"
    send(m, later(at, 3), certificates={path: {"days": 89.0}})
    assert not open_alerts()


def test_a_paused_machine_is_quiet(at):
    m = server(config={"cpu_minutes": 0})
    send(m, at, {"cpu_percent": 99.0})
    services.pause(m, by=cast.TESTS, at=later(at, 1))
    assert not open_alerts()
    send(m, later(at, 2), {"cpu_percent": 99.0})
    assert not open_alerts(), "a result under way when it was paused"


# --- Containers -------------------------------------------------------------------------------------------------------
def test_a_container_that_dies_is_down_by_its_own_name_and_scope(at):
    m = server("container")
    ship(m, at, box(), box("db"))
    row = Container.objects.get(name="shop")
    assert row.state == "running" and row.values["memory_bytes"] == 5e7 and row.started_at is not None
    rule = Trigger.objects.create(client=cast.acme(), name="The shop's container", filter_scopes=f"container:{row.pk}")
    rule.channels.add(cast.channel())
    ship(m, later(at, 1), box(state="exited", exit_code=137, oom_killed=True, log="one\nline \x1b[31mtwo"), box("db"))
    (alert,) = open_alerts()
    assert (alert.source, alert.event, alert.entity_type, alert.entity_id) == (
        "container",
        "down",
        "container",
        str(row.pk),
    )
    assert alert.title == "Container shop is down" and "out of memory" in alert.message
    assert alert.monitor_id == m.pk and "prod" in alert.tags and alert.site_id == m.site_id
    assert "trigger The shop's container" in set(alert.deliveries.values_list("via", flat=True))
    row.refresh_from_db()
    assert (row.state, row.exit_code, row.oom_killed, row.last_log) == ("exited", 137, True, "one\nline [31mtwo")
    ship(m, later(at, 2), box(), box("db"))
    assert not open_alerts()


def test_a_label_makes_a_container_critical(at):
    m = server("container")
    ship(m, at, box())
    ship(m, later(at, 1), box(state="exited", exit_code=1, labels={"severity": "critical"}))
    assert kinds() == [("container", "down", "state", "critical")]


def test_a_container_made_anew_keeps_its_scope_and_one_taken_away_ends_quietly(at):
    m = server("container")
    ship(m, at, box())
    pk = Container.objects.get().pk
    ship(m, later(at, 1), box(state="exited", exit_code=1))
    ship(m, later(at, 2))
    assert not open_alerts() and Container.objects.get().state == "gone"
    assert not Alert.objects.get().deliveries.filter(kind="recovered").exists()
    ship(m, later(at, 3), box(id="b" * 64))
    assert Container.objects.get().pk == pk and Container.objects.get().state == "running"


def test_a_list_that_was_cut_takes_nobody_away_and_an_unread_one_is_left_as_it_was(at):
    m = server("container")
    ship(m, at, box(), box("db"))
    ship(m, later(at, 1), box(), cut=True)
    ship(m, later(at, 2), box(), {"name": "db", "unread": True})
    assert set(Container.objects.values_list("name", "state")) == {("shop", "running"), ("db", "running")}


def test_a_restart_loop_and_a_newer_image_are_alerts_of_their_own(at):
    m = server("container")
    for n in range(4):
        ship(m, later(at, n), box(restart_count=n, update={"tag": "2.0.0", "digest": "", "major": True}))
    assert set(kinds()) == {
        ("update", "available", "update", "critical"),
        ("container", "restart_loop", "restarts", "warning"),
    }
    row = Container.objects.get()
    assert len(row.restarts) == 3 and row.update == {"tag": "2.0.0", "digest": "", "major": True}


def test_what_a_strange_engine_sends_is_cleaned(at):
    m = server("container")
    ship(
        m,
        at,
        box("a\x00b", exit_code=2**40, state="x" * 99, labels={"k": [1, 2]}, log="l\x00og\n\x1b[2J"),
        {"name": ""},
        {"x": 1},
    )
    row = Container.objects.get()
    assert (row.name, row.exit_code, row.state, row.last_log) == ("ab", 2**31 - 1, "x" * 16, "log\n[2J")


def test_pausing_or_deleting_the_monitor_ends_its_containers_alerts(at):
    m = server("container")
    for verb in (services.pause, services.delete):
        ship(m, later(at, 5), box())
        ship(m, later(at, 6), box(state="exited", exit_code=1))
        assert len(open_alerts()) == 1
        verb(m, by=cast.TESTS, at=later(at, 7))
        host_findings.sweep(later(at, 8))
        assert not open_alerts()
        assert not Alert.objects.latest("pk").deliveries.filter(kind="recovered").exists()
        if verb is services.pause:
            services.resume(m, by=cast.TESTS, at=later(at, 9))
            Host.objects.update(seen_at=None)


# --- Silence ----------------------------------------------------------------------------------------------------------
def test_a_machine_that_falls_silent_is_unknown_and_told_as_stale_and_comes_back_by_itself(at):
    m = server(interval_seconds=60)
    see(m, "u", at)
    judge(at)
    assert state(m) == "up"
    host_findings.sweep(later(at, 4))
    assert not open_alerts(), "four minutes are no silence"
    evaluate.mark_stale(later(at, 6))
    judge(later(at, 6))
    host_findings.sweep(later(at, 6))
    assert state(m) == "unknown", "silence is never down"
    (alert,) = open_alerts()
    assert (alert.source, alert.event, alert.severity, alert.title) == (
        "agent",
        "stale",
        "warning",
        "web-1 has fallen silent",
    )
    host_findings.sweep(later(at, 7))
    assert len(open_alerts()) == 1
    see(m, "u", later(at, 8))
    judge(later(at, 8))
    host_findings.sweep(later(at, 8))
    assert not open_alerts() and state(m) == "up"


def test_a_slow_machine_has_three_of_its_intervals(at):
    m = server(interval_seconds=600)
    see(m, "u", at)
    host_findings.sweep(later(at, 29))
    assert not open_alerts()
    host_findings.sweep(later(at, 31))
    assert len(open_alerts()) == 1


def test_a_new_machine_and_one_whose_portal_was_away_are_not_silent(at):
    server(name="new")
    m = server()
    see(m, "u", at)
    Worker.objects.create(id="w", role="all", host="h", pid=1, started_at=later(at, 58), seen_at=later(at, 60))
    host_findings.sweep(later(at, 60))
    assert not open_alerts(), "nobody could have reported: give them five minutes"
    Worker.objects.update(seen_at=later(at, 64))
    host_findings.sweep(later(at, 64))
    assert [a.monitor_id for a in open_alerts()] == [m.pk]


def test_one_silent_probe_is_one_alert_though_it_has_containers_too(at):
    for m in (server(), server("container", name="web-1 containers")):
        see(m, "u", at)
    host_findings.sweep(later(at, 10))
    assert [a.entity_name for a in open_alerts()] == ["web-1"]


# --- Keeping ----------------------------------------------------------------------------------------------------------
def test_samples_are_kept_for_a_week():
    m, now = server(), database_now()
    HostSample.objects.bulk_create(HostSample(monitor=m, at=now - timedelta(days=n), values={}) for n in (1, 6, 8, 30))
    Container.objects.create(monitor=m, name="old", state="gone", seen_at=now - timedelta(days=8))
    host_findings.forget(now)
    assert HostSample.objects.count() == 2 and not Container.objects.exists()


def test_the_jobs_are_registered():
    assert {"monitors.hosts", "monitors.host_samples"} <= slots._jobs.keys()


# --- The API ----------------------------------------------------------------------------------------------------------
def test_the_machine_its_minutes_and_its_containers_are_read_over_the_api(at):
    m, boxes = server(config={"cpu_minutes": 10}), server("container", name="boxes")
    for n in range(3):
        send(
            m, later(at, n), {"cpu_percent": 95.0 + n, "disk_percent:/srv": 20.0}, updates={"pending": 1, "security": 0}
        )
    ship(boxes, at, box())
    caller = cast.api(cast.alice())
    body = caller.get(f"/api/v1/monitors/{m.pk}/host").json()
    assert body["facts"] == {"name": "web-1", "updates": {"pending": 1, "security": 0}}
    assert body["crossed"]["cpu_percent"]["level"] == "" and body["last_sample"]["values"]["cpu_percent"] == 97.0
    query = {"since": at.isoformat(), "names": "cpu_percent,disk_percent", "limit": 2}
    pages = caller.get(f"/api/v1/monitors/{m.pk}/samples", query).json()
    assert [s["values"]["cpu_percent"] for s in pages["results"]] == [97.0, 96.0] and pages["next"]
    assert set(pages["results"][0]["values"]) == {"cpu_percent", "disk_percent:/", "disk_percent:/srv"}
    (row,) = caller.get(f"/api/v1/monitors/{boxes.pk}/containers").json()["results"]
    assert row["name"] == "shop" and row["values"] == {"memory_bytes": 5e7}


@pytest.mark.parametrize("what", ["host", "samples", "containers"])
def test_nobody_elses_machine_is_read_and_other_kinds_have_none(what):
    m = cast.monitor()
    assert cast.api(cast.mallory()).get(f"/api/v1/monitors/{m.pk}/{what}").status_code == 404
    assert cast.api(cast.alice()).get(f"/api/v1/monitors/{m.pk}/{what}").status_code == 200


def test_a_wrong_time_is_refused_at_its_field():
    m = server()
    answer = cast.api(cast.alice()).get(f"/api/v1/monitors/{m.pk}/samples", {"since": "yesterday"})
    assert answer.status_code == 400 and "since" in answer.json()["error"]["fields"]


# --- The whole way ----------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
class TestTheWholeWay:
    """The built-in probe looks at this machine and at an engine, and the record follows."""

    @pytest.fixture
    def running(self, transactional_db: None) -> Iterator[None]:
        partitions.ensure_ahead(database_now())
        Probe.objects.get_or_create(slug="local", defaults={"name": "Portal", "built_in": True})
        residents = [prober.Prober(), evaluate.Evaluator()]
        for resident in residents:
            resident.start()
        yield
        for resident in residents:
            resident.stop()
        for resident in residents:
            resident.join(60)
            assert not resident.is_alive()

    def test_the_portals_own_machine_and_containers(self, running, tmp_path: Path):
        container_check._engines.clear()
        with DockerEngine(tmp_path / "s") as engine:
            engine.run("shop", policy="always")
            host = server(config={"processes": ["no-such-daemon"], "updates": False})
            boxes = server("container", name="boxes", config={"socket": engine.path, "updates": False})
            curious = Monitor(client=cast.acme(), name="curious", kind="host")
            services.save(curious, by=cast.TESTS, at=database_now(), probes=[rows.probe()], trusted=False)
            until(lambda: HostSample.objects.filter(monitor=host).exists() and state(host) == "down", "the machine")
            until(lambda: Container.objects.filter(monitor=boxes, state="running").exists(), "the container")
            engine.die("shop", 2)
            engine.say("shop", "goodbye")
            services.check_now(boxes, by=cast.TESTS, at=database_now())
            until(lambda: open_alerts(source="container"), "the container's death")
        assert HostSample.objects.filter(monitor=host).first().values["memory_percent"] > 0
        until(lambda: state(curious) == "unknown", "a refusal")
        assert not HostSample.objects.filter(monitor=curious).exists(), (
            "a client's person is not shown the portal's machine"
        )
        (alert,) = open_alerts(host)
        assert (alert.source, alert.condition) == ("resource", "health") and "no-such-daemon" in alert.message
        assert ProbeState.objects.get(monitor=boxes).last_ms is None
        assert container_findings.figures_of(Container.objects.get()) == {}


def until(true: Any, what: str, within: float = 90) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, f"waited {within} s for {what}"
        time.sleep(0.05)


# --- From a probe elsewhere -------------------------------------------------------------------------------------------
def test_what_a_remote_probe_brings_arrives_whole(at):
    m, boxes = server(config={"cpu_minutes": 0}), server("container", name="boxes")
    sent = {
        "host": {"values": WELL | {"cpu_percent": 99.0}, "facts": {"name": "far-1"}, "services": {"nginx": "active"}},
        "containers": {"list": [box(labels={"severity": "info"}, log="one\ntwo", state="exited", exit_code=3, finished_at=at.isoformat())], "cut": False},
    }  # fmt: skip
    taken = batches.facts(json.loads(json.dumps(sent)))
    findings.note([done(m, at, {"host": taken["host"]}), done(boxes, at, {"containers": taken["containers"]})])
    assert Host.objects.get(monitor=m).facts["services"] == {"nginx": "active"}
    assert Container.objects.get().last_log == "one\ntwo"
    assert set(kinds()) == {
        ("resource", "cpu_threshold", "cpu_percent", "warning"),
        ("container", "down", "state", "info"),
    }
