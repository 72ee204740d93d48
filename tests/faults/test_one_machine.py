"""What if the one process of the small installation dies, again and again? SQLite keeps what was committed."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.clock import database_now
from tests.faults import checker, plant, scene
from tests.faults.plant import Plant, until
from tests.faults.scene import Scene
from tests.rig import ground
from tests.rig.receiver import Receiver
from tests.rig.site import Site

pytestmark = pytest.mark.once
KILLS = int(os.environ.get("FAULTS_ONE_MACHINE_KILLS", "1"))


@pytest.fixture
def machine(tmp_path: Path, django_db_blocker: object) -> Iterator[Plant]:
    """`manage.py up` with nothing but a data directory."""
    (tmp_path / "data").mkdir(mode=0o700)
    url = f"sqlite://{tmp_path}/data/watchkeeper.sqlite3"
    ground.sqlite(tmp_path / "data" / "watchkeeper.sqlite3", plant.environment(url, "", tmp_path))
    with django_db_blocker.unblock(), plant.look_into(url, tmp_path):  # type: ignore[attr-defined]
        with Plant(url, "", tmp_path) as installation:
            yield installation


def test_kill_nine_of_the_one_process(machine: Plant, receiver: Receiver, site: Site) -> None:
    """Killed while it sends and checks, started again on the same directory: nothing lost, at most two copies."""
    town, luck = Scene(receiver, delay=0.1), random.Random(5)
    town.watch([site.url("/")])
    portal = machine.start("all")
    alerts: list[int] = []
    for _ in range(KILLS):
        heard = len(receiver.calls)
        alerts += town.fail(15)
        receiver.wait_for(heard + luck.randint(2, 8), within=120)
        machine.kill9(portal)
        town.recover(alerts[-5:])
        portal = machine.start("all", wait=False)
    ended_at = database_now()
    until(scene.settled, within=120, what="every delivery to end")
    machine.until_up("all", portal)
    time.sleep(0.2)
    began = time.monotonic()
    assert machine.term(portal) == 0, "Ctrl-C ends it cleanly, also after all that"
    verdict = checker.check(receiver.calls, ended_at=ended_at)
    print(f"one machine: {KILLS} kills, {verdict}; stopped in {time.monotonic() - began:.1f} s")
    verdict.holds()
