"""What if PostgreSQL crashes in the middle of everything? What was committed stands, and everybody comes back alone."""

from __future__ import annotations

import os
import time
from datetime import datetime

import pytest

from portal.clock import database_now
from tests import cast
from tests.faults import checker, scene
from tests.faults.plant import Plant, until
from tests.faults.scene import Scene
from tests.faults.test_broker import PAGES, visiting
from tests.rig.postgres import Postgres
from tests.rig.receiver import Receiver
from tests.rig.site import Site

pytestmark = pytest.mark.once
BACK_WITHIN = 2 * checker.CONVERGED  # seconds
CRASHES = int(os.environ.get("FAULTS_CRASHES", "2"))


def test_postgres_crashes_while_messages_are_on_the_wire(
    plant: Plant, receiver: Receiver, server: Postgres, site: Site
) -> None:
    """R9: crash after crash; nothing committed is lost, pages say 503 with Retry-After, work goes on soon."""
    town = Scene(receiver, delay=0.05)
    token = cast.token(cast.make_owner(), "read")
    for role in ("page", "page", "probe", "web"):
        plant.start(role, wait=False)
    for role, child in list(plant.children):
        plant.until_up(role, child)
    monitors = town.watch([site.url("/one"), site.url("/two")])
    until(lambda: all(m.state == "up" for m in _fresh(monitors)), within=120, what="the sites to be seen well")
    site.fail()
    slowest = 0.0
    with visiting(plant, token) as visitor:
        for _ in range(CRASHES):
            heard = len(receiver.calls)
            town.fail(30)
            receiver.wait_for(heard + 5, within=180)
            server.crash()
            time.sleep(1.0)
            server.start()
            ended_at = database_now_again()
            slowest = max(slowest, until(scene.settled, within=120, what="every delivery to end"))
        until(lambda: all(m.state == "down" for m in _fresh(monitors)), within=120, what="the failure to be seen")
        until(
            lambda: scene.settled() and plant.get("/api/v1/alerts", token=token).status == 200, within=120, what="calm"
        )
    verdict = checker.check(receiver.calls, ended_at=ended_at)
    answers = sorted({(path, page.status) for path, page in visitor.seen})
    print(f"PostgreSQL crashed {CRASHES} times: {verdict}, back within {slowest:.1f} s; answers {answers}")
    verdict.holds()
    assert slowest < BACK_WITHIN
    assert not visitor.failed
    assert {status for _, status in answers} <= {200, 503}
    assert all("Retry-After" in page.headers for _, page in visitor.seen if page.status == 503)
    assert {status for path, status in answers if path == PAGES[0]} == {200}, (
        "a sick database must not get web restarted"
    )


def _fresh(monitors: list) -> list:
    return list(type(monitors[0]).objects.filter(pk__in=[m.pk for m in monitors]))


def database_now_again() -> datetime:
    """The database's clock, over a connection that may have died with the server."""
    found: list[datetime] = []
    until(lambda: found.append(database_now()) or True, within=120, what="the database")
    return found[-1]
