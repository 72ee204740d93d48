"""What if Redis dies, forgets or freezes? It only rings doorbells: pages answer, messages go out, nothing is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from portal.clock import database_now
from tests import cast
from tests.faults import checker, scene
from tests.faults.plant import Page, Plant, until
from tests.faults.scene import Scene
from tests.rig.receiver import Receiver
from tests.rig.valkey import Valkey

pytestmark = [pytest.mark.alone, pytest.mark.once]
PAGES = ("/healthz", "/login/", "/api/v1/alerts")
# Seconds: 99 of 100 pages come faster than the one, all faster than the other, whatever Redis does.
SLOW, STUCK = 2.0, 5.0


class Visitor:
    """Somebody who looks at page after page and notes how long each took."""

    def __init__(self, plant: Plant, token: str) -> None:
        self.plant, self.token = plant, token
        self.seen: list[tuple[str, Page]] = []
        self.failed: list[str] = []
        self.leaving = threading.Event()

    def look(self) -> None:
        while not self.leaving.is_set():
            for path in PAGES:
                try:
                    self.seen.append((path, self.plant.get(path, token=self.token if "/api/" in path else "")))
                except OSError as error:
                    self.failed.append(f"{path}: {type(error).__name__}")
            self.leaving.wait(0.15)


@contextmanager
def visiting(plant: Plant, token: str) -> Iterator[Visitor]:
    """A visitor in the background."""
    visitor = Visitor(plant, token)
    threads = [threading.Thread(target=visitor.look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield visitor
    finally:
        visitor.leaving.set()
        for thread in threads:
            thread.join(30)


def test_redis_is_killed_flushed_and_frozen(plant: Plant, receiver: Receiver, crash_valkey: Valkey) -> None:
    """R5, R6, R7: each in turn while people look and alerts come; then one more round with everything well."""
    town = Scene(receiver)
    token = cast.token(cast.make_owner(), "read")
    for role in ("page", "beat", "web"):
        plant.start(role, wait=False)
    for role in ("page", "web"):
        plant.until_up(role, plant.of(role)[0])

    for path in PAGES * 4:  # each web process loads its templates once
        plant.get(path, token=token)

    def hurt_by(what: str) -> None:
        town.fail(20)
        took = until(scene.settled, within=120, what=f"everything to go out while Redis is {what}")
        print(f"Redis {what}: 40 deliveries in {took:.1f} s")

    with visiting(plant, token) as visitor:
        hurt_by("well")
        usual = max(page.seconds for _, page in visitor.seen)  # a busy machine is slow with a Redis that is well, too
        crash_valkey.flush()
        hurt_by("flushed")
        crash_valkey.freeze()
        hurt_by("frozen")
        time.sleep(3)  # longer than every time-out that guards a request
        hurt_by("still frozen")
        crash_valkey.thaw()
        crash_valkey.kill9()
        hurt_by("dead")
        town.fail(20)
        crash_valkey.start()
        ended_at = database_now()
        hurt_by("back")
    verdict = checker.check(receiver.calls, ended_at=ended_at)
    took = sorted(page.seconds for _, page in visitor.seen)
    p99 = took[int(len(took) * 0.99)]
    print(f"Redis: {verdict}; {len(took)} pages, p99 {p99:.2f} s, slowest {took[-1]:.2f} s")
    verdict.holds()
    assert verdict.unprovoked == 0
    assert not visitor.failed
    assert {page.status for _, page in visitor.seen} == {200}
    assert p99 < max(SLOW, 1.5 * usual) and took[-1] < max(STUCK, 3 * usual)


def test_the_workers_hear_the_bell_again_after_redis_came_back(plant: Plant, crash_valkey: Valkey) -> None:
    """R8: a worker that lost its broker consumes again; one that was started meanwhile works without it."""
    first = plant.start("page")
    crash_valkey.kill9()
    second = plant.start("page")  # until_up: its residents live although there is no broker
    crash_valkey.start()
    with crash_valkey.client() as client:
        from celery import Celery

        with Celery(broker=crash_valkey.url()) as app:
            for _ in range(6):
                app.send_task("portal.tasks.ring_page", args=("page",), queue="page")
        until(lambda: not client.llen("page"), within=120, what="the bells to be heard")
    assert first.alive() and second.alive()
