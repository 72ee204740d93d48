"""What if the processes that send die, freeze or are replaced while they send? Nothing is lost, hardly anything twice."""

from __future__ import annotations

import os
import random
import time

import psycopg
import pytest

from alerts.models import Delivery
from portal.clock import database_now
from portal.models import Worker
from tests.faults import checker, scene
from tests.faults.plant import Plant, until
from tests.faults.scene import Scene
from tests.rig.receiver import Receiver

pytestmark = pytest.mark.once
DELIVERIES = int(os.environ.get("FAULTS_DELIVERIES", "200"))  # a soak asks for more
KILLS = max(5, DELIVERIES // 40)


def test_kill_nine_of_page_workers_again_and_again(plant: Plant, receiver: Receiver) -> None:
    """R1: a worker dies while the provider is answering it, again and again."""
    town, luck = Scene(receiver, delay=0.05), random.Random(1)
    plant.have("page", 2)
    for _ in range(KILLS):
        heard = len(receiver.calls)
        town.fail(DELIVERIES // 2 // KILLS)
        receiver.wait_for(heard + luck.randint(1, 10), within=180)
        plant.kill9(luck.choice(plant.sending()))
        plant.start("page", wait=False)
    ended_at = database_now()
    until(scene.settled, within=120, what="every delivery to end")
    verdict = checker.check(receiver.calls, ended_at=ended_at)
    print(f"kill -9: {KILLS} kills, {verdict}")
    verdict.holds()
    assert verdict.deliveries >= DELIVERIES // KILLS * KILLS


@pytest.mark.soak
def test_all_workers_die_at_once(plant: Plant, receiver: Receiver) -> None:
    """R2: the whole group is gone, as after an out-of-memory kill; the next ones take over."""
    town = Scene(receiver, delay=0.05)
    plant.have("page", 2)
    alerts = town.fail(DELIVERIES // 4)
    receiver.wait_for(10, within=180)
    for worker in plant.of("page"):
        plant.kill9(worker)
    town.recover(alerts[:10])
    ended_at = database_now()
    plant.have("page", 1)
    until(scene.settled, within=120, what="every delivery to end")
    verdict = checker.check(receiver.calls, ended_at=ended_at)
    print(f"all workers killed: {verdict}")
    verdict.holds()


@pytest.mark.soak
def test_a_frozen_worker_thaws_after_its_work_was_given_away(plant: Plant, receiver: Receiver) -> None:
    """R3: it was presumed dead; what it says when it wakes changes nothing, and an old message follows no newer one."""
    town = Scene(receiver, delay=0.3)
    frozen = plant.have("page", 1)[0]
    alerts = town.fail(60)
    receiver.wait_for(5, within=180)
    plant.freeze(frozen)
    held = Delivery.objects.filter(state="sending").count()
    plant.have("page", 2)  # the frozen one is alive still: this starts the one that takes over
    town.recover(alerts)
    until(
        lambda: not Worker.objects.filter(pid=frozen.pid).exists(), within=120, what="the frozen worker to be given up"
    )
    until(scene.settled, within=120, what="the other to carry everything out")
    before = dict(Delivery.objects.values_list("pk", "state"))
    plant.thaw(frozen)
    until(lambda: Worker.objects.filter(pid=frozen.pid).exists(), within=120, what="the thawed worker to be back")
    time.sleep(1)  # whatever it still has to say
    verdict = checker.check(receiver.calls)
    print(f"frozen: it held {held}; {verdict}; {frozen.tail(300)}")
    verdict.holds()
    assert held
    assert dict(Delivery.objects.values_list("pk", "state")) == before
    assert "came after their lease" in frozen.tail(10_000), "what it came back with was not fenced off"


@pytest.mark.soak
def test_a_worker_frozen_before_it_sent_says_nothing_old_when_it_thaws(plant: Plant, receiver: Receiver) -> None:
    """R3, I3: claimed, frozen, given away, told and recovered by another: the thawed one must not say "down" now."""
    town = Scene(receiver)
    frozen = plant.have("page", 1)[0]
    with psycopg.connect(plant.database_url) as gate:  # what a sender reads between claiming and sending is locked
        gate.execute("LOCK TABLE portal_providersettings IN ACCESS EXCLUSIVE MODE")
        alerts = town.fail(4)
        until(lambda: Delivery.objects.filter(state="sending").count() == 8, within=120, what="the claim")
        plant.freeze(frozen)
    plant.have("page", 2)
    receiver.wait_for(8, within=180)
    until(scene.settled, within=120, what="the failures to be told")
    town.recover(alerts)
    until(scene.settled, within=120, what="the recoveries to be told")
    plant.thaw(frozen)
    for worker in plant.of("page"):
        if worker is not frozen:
            plant.term(worker)
    town.fail(1)  # the thawed one tells of this: by then it has done with what it held
    until(scene.settled, within=120, what="the thawed worker to work again")
    verdict = checker.check(receiver.calls)
    print(f"frozen before sending: {verdict}")
    verdict.holds()
    assert verdict.deliveries == 18 and verdict.unprovoked == 0


def test_a_rolling_restart_repeats_nothing(plant: Plant, receiver: Receiver) -> None:
    """R4: a deploy under load: SIGTERM lets running sends end, the rest stays for the others."""
    town = Scene(receiver, delay=0.05)
    plant.have("page", 2)
    for _ in range(2):
        heard = len(receiver.calls)
        town.fail(DELIVERIES // 4)
        receiver.wait_for(heard + 5, within=180)
        assert plant.term(plant.sending()[0]) == 0
        plant.start("page")
    until(scene.settled, within=120, what="every delivery to end")
    verdict = checker.check(receiver.calls)
    print(f"rolling: {verdict}")
    verdict.holds()
    assert verdict.unprovoked == 0
