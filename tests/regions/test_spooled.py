"""An hour without the portal: do 10,000 recorded results come in, each once, and page nobody? The real program, killed on the way."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from alerts.models import Alert
from monitors import evaluate, partitions, remote
from monitors.models import Probe, Result
from monitors.probe.clock import micros
from monitors.probe.spool import Spool
from portal.clock import database_now
from tests.monitors import afar, rows
from tests.monitors.test_remote_whole import Program, enrolled, http, until

pytestmark = pytest.mark.django_db(transaction=True)
COUNT, MONITORS = 10_000, 20


@pytest.fixture
def program(live_server: Any, tmp_path: Path) -> Iterator[Program]:
    partitions.ensure_ahead(database_now())
    rows.probe()
    program = Program(live_server.url, tmp_path / "probe")
    yield program
    program.end()


def recorded(monitor: int, us: int, version: int) -> str:
    """A failure, as the program writes it into its spool."""
    phases = [None] * 5
    return json.dumps(
        [monitor, us, 3, *phases, None, None, "connect_refused", "The connection was refused", version, None]
    )


def test_an_hour_of_failures_comes_in_once_and_pages_nobody(program, site):
    berlin = afar.new_probe()
    monitors = [http(site, [berlin], name=f"shop {n}", confirmation_count=1) for n in range(MONITORS)]
    enrolled(program, berlin)
    now = database_now()
    began = now - timedelta(hours=1)
    partitions.ensure_ahead(began)
    with Spool(program.home / "spool.sqlite3") as spool:
        spool.add(
            [
                (m.pk, at.timestamp(), recorded(m.pk, micros(at), m.config_version))
                for n in range(COUNT)
                if (m := monitors[n % MONITORS]) and (at := began + timedelta(seconds=n * 0.35))
            ]
        )
    program.start()
    until(lambda: Probe.objects.get(pk=berlin.pk).result_seq, "the first of them")
    program.kill()
    Probe.objects.filter(pk=berlin.pk).update(last_seen_at=database_now() - remote.SPEAKING)
    program.start()
    until(lambda: Probe.objects.get(pk=berlin.pk).result_seq >= COUNT, "all of them", within=180)
    while evaluate.evaluate(database_now()):
        time.sleep(0.01)
    program.end()
    old = Result.objects.filter(probe_id=berlin.pk, ts__lt=now - timedelta(seconds=30))
    assert (
        old.count()
        == old.values("monitor_id", "ts").distinct().count()
        == sum(1 for n in range(COUNT) if n * 0.35 < 3570)
    )
    berlin.refresh_from_db()
    assert Result.objects.filter(probe_id=berlin.pk).count() == berlin.result_seq, "each number is one result"
    assert berlin.health["lost"] == 0
    assert not Alert.objects.filter(source="endpoint").exists()
