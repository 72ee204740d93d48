"""One probe elsewhere, from its token to a page: the real program against the real portal, over loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from monitors import blindness, evaluate, partitions, remote, services
from monitors.models import Monitor, Probe, ProbeJob, ProbeState, Result
from monitors.probe.clock import Clock
from monitors.probe.identity import Identity
from monitors.probe.link import Link, LinkDown
from monitors.probe.spool import Spool
from portal.clock import database_now
from tests import cast
from tests.alerts import stage
from tests.monitors import afar, rows
from tests.monitors.seeing import open_alerts, state, steps
from tests.rig.site import Site

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def ground(transactional_db: None) -> None:
    partitions.ensure_ahead(database_now())
    rows.probe()


def until(true: Callable[[], object], what: str, within: float = 90) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, f"waited {within} s for {what}"
        time.sleep(0.05)


class Gate:
    """A way to the portal that can be shut: connections are cut, and new ones refused, until it is opened again."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.target, self.shut_now = (host, int(port)), False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.open_ones: set[socket.socket] = set()

    def __enter__(self) -> Gate:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shut()
        self.listener.close()

    def shut(self) -> None:
        self.shut_now = True
        for each in list(self.open_ones):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def open(self) -> None:
        self.shut_now = False

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                if self.shut_now:
                    near.close()
                    continue
                far = socket.create_connection(self.target)
                self.open_ones |= {near, far}
                for a, b in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _pump(self, a: socket.socket, b: socket.socket) -> None:
        with suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
        with suppress(OSError):
            b.shutdown(socket.SHUT_RDWR)
        a.close()
        self.open_ones.discard(a)


class Program:
    """`watchkeeper-probe` as a process of its own, with a data directory of its own."""

    def __init__(self, url: str, home: Path) -> None:
        self.url, self.home = url, home
        self.running: subprocess.Popen[bytes] | None = None

    def call(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._words(*words), env=self._env(), capture_output=True, text=True, check=check, timeout=180)  # fmt: skip

    def start(self) -> None:
        with (self.home.parent / "probe.log").open("ab") as log:
            self.running = subprocess.Popen(self._words("run", "--allow", "127.0.0.0/8"), env=self._env(), stdout=log, stderr=log)  # fmt: skip

    def kill(self) -> None:
        assert self.running is not None
        self.running.kill()
        self.running.wait(60)

    def end(self) -> None:
        if self.running is not None and self.running.poll() is None:
            self.running.send_signal(signal.SIGTERM)
            self.running.wait(90)

    def _words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "monitors.probe.main", "--data-dir", str(self.home), *words]

    def _env(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(settings.BASE_DIR), "HOME": str(self.home.parent)}


@pytest.fixture
def program(live_server: Any, tmp_path: Path) -> Iterator[Program]:
    program = Program(live_server.url, tmp_path / "probe")
    yield program
    program.end()
    print((tmp_path / "probe.log").read_text() if (tmp_path / "probe.log").exists() else "")


@pytest.fixture
def judging() -> Iterator[None]:
    """An evaluator and a lookout, as they live in a worker; no prober."""
    residents = [evaluate.Evaluator(), blindness.Lookout()]
    for resident in residents:
        resident.start()
    yield
    for resident in residents:
        resident.stop()
    for resident in residents:
        resident.join(60)


def enrolled(program: Program, probe: Probe) -> None:
    token = remote.new_token(probe, by=cast.TESTS, at=database_now())
    said = program.call("enroll", program.url, token)
    assert f"Enrolled as {probe.slug}" in said.stdout


def http(site: Site, probes: list[Probe], name: str = "shop", **more: Any) -> Monitor:
    fields = {"interval_seconds": 60, "timeout_seconds": 5, **more}
    return rows.monitor(name=name, config={"url": site.url("/")}, probes=probes, **fields)


@pytest.mark.once
def test_a_site_is_watched_from_elsewhere_and_its_failure_pages(program, judging, site):
    """Enrolled, asked, checked, confirmed a second later on the probe itself, delivered, told; and well again."""
    stage.trigger(stage.webhook())
    berlin = afar.new_probe()
    shop = http(site, [berlin])
    enrolled(program, berlin)
    assert oct((program.home / "identity.json").stat().st_mode)[-3:] == "600"
    program.start()
    until(lambda: state(shop) == "up", "the site to be up")
    assert program.call("status").stdout.startswith("Enrolled as berlin")
    site.fail()
    services.check_now(shop, by=cast.TESTS, at=database_now())
    until(lambda: open_alerts(shop), "the alert")
    failing = list(Result.objects.filter(monitor_id=shop.pk, status=3).order_by("ts"))
    assert len(failing) >= 2 and 0.9 < (failing[1].ts - failing[0].ts).total_seconds() < 25, (
        "a second later, and not a minute"
    )
    assert {r.probe_id for r in failing} == {berlin.pk}
    site.up()
    services.check_now(shop, by=cast.TESTS, at=database_now())
    until(lambda: not open_alerts(shop), "the recovery")
    assert steps(shop) == ["up", "down", "up"]
    assert ProbeState.objects.get(monitor=shop).lease_token is None
    berlin.refresh_from_db()
    assert berlin.health["monitors"] == 1 and berlin.health["lost"] == 0 and abs(berlin.clock_offset_ms) < 10_000


@pytest.mark.once
@pytest.mark.soak
def test_a_probe_that_loses_its_line_pages_nobody_for_what_it_cannot_see(program, judging, site):
    """Its anchor and the site vanish together: it says that it is blind, and the failure does not count."""
    stage.trigger(stage.webhook())
    with socket.create_server(("127.0.0.1", 0)) as anchor:
        berlin = afar.new_probe(anchors=[f"127.0.0.1:{anchor.getsockname()[1]}"])
        shop = http(site, [berlin])
        enrolled(program, berlin)
        program.start()
        until(lambda: state(shop) == "up", "the site to be up")
    site.fail()
    services.check_now(shop, by=cast.TESTS, at=database_now())
    until(lambda: Probe.objects.get(pk=berlin.pk).blind_since, "it to say that it is blind")
    until(lambda: state(shop) == "unknown", "the observer to be doubted")
    berlin.refresh_from_db()
    assert "0 of 1 anchors" in berlin.blind_reason and not open_alerts(shop)
    assert [a.source for a in open_alerts()] == ["probe"]
    with socket.create_server(("127.0.0.1", int(berlin.anchors[0].partition(":")[2]))):
        until(lambda: state(shop) == "down", "the line to be back, and the failure to count", within=120)
    assert "down" in steps(shop)


@pytest.mark.once
def test_killed_while_posting_nothing_is_lost_and_nothing_counts_twice(program, site):
    """Killed with signal 9 again and again: every number the spool gave out is stored once, in order, none twice."""
    berlin = afar.new_probe()
    monitors = [http(site, [berlin], name=f"shop {n}", interval_seconds=5, confirmation_count=1) for n in range(40)]
    enrolled(program, berlin)
    for _ in range(3):
        # Whoever was killed did not take its leave: the next waits until it has surely stopped speaking.
        Probe.objects.filter(pk=berlin.pk).update(last_seen_at=database_now() - remote.SPEAKING)
        program.start()
        seen = Result.objects.count()
        until(lambda seen=seen: Result.objects.count() > seen + 30, "results")
        program.kill()
        time.sleep(0.3)
    with Spool(program.home / "spool.sqlite3") as left:
        berlin.refresh_from_db()
        waiting = [seq for seq, _ in left.first(10_000, 10**9) if seq > berlin.result_seq]
        given = left.last_number()
    assert waiting == list(range(berlin.result_seq + 1, given + 1)), (
        "what was recorded and not delivered is still there"
    )
    Probe.objects.filter(pk=berlin.pk).update(last_seen_at=database_now() - remote.SPEAKING)
    program.start()
    until(lambda: Probe.objects.get(pk=berlin.pk).result_seq >= given, "the rest")
    program.end()
    berlin.refresh_from_db()
    stored = Result.objects.filter(probe_id=berlin.pk)
    assert stored.count() == berlin.result_seq, "each number is one result: none lost, none double"
    assert stored.filter(monitor_id__in=[m.pk for m in monitors]).count() == stored.count()


@pytest.mark.once
@pytest.mark.soak
def test_while_the_portal_is_away_it_goes_on_and_delivers_afterwards(program, site, live_server):
    """The way is cut (a proxy that says nothing in between), results wait on disk, and fill the history afterwards."""
    with Gate(live_server.url) as gate:
        program.url = gate.url
        berlin = afar.new_probe()
        shop = http(site, [berlin], interval_seconds=5, timeout_seconds=2)
        enrolled(program, berlin)
        program.start()
        until(lambda: Result.objects.filter(monitor_id=shop.pk).exists(), "the first result")
        gate.shut()
        before, hits = Result.objects.count(), site.hits
        until(lambda: site.hits >= hits + 2, "checks without a portal")
        assert Result.objects.count() <= before + 1
        blindness.look_at_remote(database_now())
        gate.open()
        until(lambda: Result.objects.count() >= before + 2, "what waited")


@pytest.mark.once
def test_a_second_program_on_the_same_directory_is_refused(program):
    berlin = afar.new_probe()
    enrolled(program, berlin)
    program.start()
    until(lambda: Probe.objects.get(pk=berlin.pk).instance, "the first to speak")
    again = program.call("run", check=False)
    assert again.returncode == 1 and "Another watchkeeper-probe runs" in again.stderr
    program.end()
    assert Probe.objects.get(pk=berlin.pk).instance == "", "it took its leave"
    assert program.call("status", check=False).returncode == 1


@pytest.mark.once
def test_jobs_are_carried_out_and_unknown_ones_are_refused(program):
    berlin = afar.new_probe()
    enrolled(program, berlin)
    program.start()
    until(lambda: Probe.objects.get(pk=berlin.pk).instance, "it to speak")
    berlin.refresh_from_db()
    asked = {
        kind: remote.ask(berlin, kind, {}, key=kind, by="tests", at=database_now(), within=timedelta(seconds=120))
        for kind in ("noop", "look", "rm -rf /")
    }
    until(lambda: not ProbeJob.objects.filter(state__in=("waiting", "taken")).exists(), "the outcomes")
    states = {kind: ProbeJob.objects.get(pk=job.pk) for kind, job in asked.items()}
    assert states["noop"].state == "done" and "platform" in states["look"].result
    assert states["rm -rf /"].state == "refused" and "does not know" in states["rm -rf /"].result["why"]


def test_a_false_portal_behind_the_same_address_gives_no_orders(program, live_server, tmp_path, settings):
    """Another portal answers (its key is another): the probe refuses what it says, and says so."""
    berlin = afar.new_probe()
    enrolled(program, berlin)
    settings.SECRET_KEY = "of another portal, " + "x" * 50
    link = Link(Identity.load(program.home), Clock(), "a" * 32)
    with pytest.raises(LinkDown, match="not signed by the portal that enrolled"):
        link.ask("POST", "hello", {})
    link.close()


def test_a_false_portal_cannot_enrol_it(program, live_server, settings):
    token = remote.new_token(afar.new_probe(), by=cast.TESTS, at=database_now())
    settings.SECRET_KEY = "of another portal, " + "x" * 50
    said = program.call("enroll", program.url, token, check=False)
    assert said.returncode == 1 and "not the portal that gave this token" in said.stderr
    assert not (program.home / "identity.json").exists()


def test_a_machine_whose_clock_is_hours_off_finds_the_portals_time(program, live_server):
    berlin = afar.new_probe()
    enrolled(program, berlin)
    wrong = Clock(wall=lambda: time.time() - 7200)
    link = Link(Identity.load(program.home), wrong, "a" * 32)
    assert link.ask("POST", "hello", {}).status == 200
    link.close()
    assert abs(wrong.now() - time.time()) < 60 and wrong.wall_offset_ms() < -7_000_000
