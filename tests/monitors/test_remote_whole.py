"""One probe elsewhere, from its token to a page: the real program against the real portal, over loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from monitors import blindness, evaluate, partitions, remote, services
from monitors.models import Monitor, Probe, ProbeState, Result
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


def until(true: Callable[[], object], what: str, within: float = 20) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, f"waited {within} s for {what}"
        time.sleep(0.05)


class Program:
    """`watchkeeper-probe` as a process of its own, with a data directory of its own."""

    def __init__(self, url: str, home: Path) -> None:
        self.url, self.home = url, home
        self.running: subprocess.Popen[bytes] | None = None

    def call(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._words(*words), env=self._env(), capture_output=True, text=True, check=check, timeout=60)  # fmt: skip

    def start(self) -> None:
        with (self.home.parent / "probe.log").open("ab") as log:
            self.running = subprocess.Popen(self._words("run", "--allow", "127.0.0.0/8"), env=self._env(), stdout=log, stderr=log)  # fmt: skip

    def kill(self) -> None:
        assert self.running is not None
        self.running.kill()
        self.running.wait(10)

    def end(self) -> None:
        if self.running is not None and self.running.poll() is None:
            self.running.send_signal(signal.SIGTERM)
            self.running.wait(30)

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
        resident.join(15)


def enrolled(program: Program, probe: Probe) -> None:
    token = remote.new_token(probe, by=cast.TESTS, at=database_now())
    said = program.call("enroll", program.url, token)
    assert f"Enrolled as {probe.slug}" in said.stdout


def http(site: Site, probes: list[Probe], name: str = "shop", **more: Any) -> Monitor:
    fields = {"interval_seconds": 60, "timeout_seconds": 5, **more}
    return rows.monitor(name=name, config={"url": site.url("/")}, probes=probes, **fields)


@pytest.mark.alone
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
    assert len(failing) >= 2 and 0.9 < (failing[1].ts - failing[0].ts).total_seconds() < 3, "a second later"
    assert {r.probe_id for r in failing} == {berlin.pk}
    site.up()
    services.check_now(shop, by=cast.TESTS, at=database_now())
    until(lambda: not open_alerts(shop), "the recovery")
    assert steps(shop) == ["up", "down", "up"]
    assert ProbeState.objects.get(monitor=shop).lease_token is None
    berlin.refresh_from_db()
    assert berlin.health["monitors"] == 1 and berlin.health["lost"] == 0 and abs(berlin.clock_offset_ms) < 2000
