"""What if everything happens twice, or a clock is wrong? Tasks five times, two beats, many workers: one effect each."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from celery import Celery
from django.db.models import Count

from alerts import acts
from alerts.models import Alert, Attempt, Delivery
from monitors.models import Monitor, Result
from portal.clock import database_now
from portal.models import Slot, Worker
from tests import cast
from tests.faults import checker, scene
from tests.faults.plant import Plant, faketime, until
from tests.faults.scene import Scene
from tests.rig import answers
from tests.rig.process import NotAvailable
from tests.rig.receiver import Receiver
from tests.rig.site import Site
from tests.rig.valkey import Valkey

pytestmark = pytest.mark.once
TASKS = {"portal.tasks.ring_probe": "probe", "portal.tasks.ring_page": "page", "portal.tasks.housekeeping": "page"}
ARGUMENTS = {"portal.tasks.ring_probe": ("probe",), "portal.tasks.ring_page": ("page",)}
SITES = 6
INTERVAL = 5
# Looks closer than this are two of one slot (going back to its place, one may come halfway).
TWICE = timedelta(seconds=1)


def five_times_everything(broker: str) -> None:
    """Every task of the product, five times at once."""
    with Celery(broker=broker) as app:
        for name, queue in TASKS.items():
            for _ in range(5):
                app.send_task(name, args=ARGUMENTS.get(name, ()), queue=queue)


@pytest.mark.soak
def test_five_times_every_task_two_beats_and_many_workers(
    plant: Plant, receiver: Receiver, site: Site, crash_valkey: Valkey
) -> None:
    """R14, R32: no check, no change of state, no page and no periodic job happens twice."""
    town = Scene(receiver)
    for role in ("page", "page", "probe", "probe", "beat", "beat"):
        plant.start(role, wait=False)
    for role, child in plant.children:
        plant.until_up(role, child)
    monitors = town.watch([site.url(f"/{n}") for n in range(SITES)], interval=INTERVAL)
    began = time.monotonic()
    while time.monotonic() - began < 1.5 * INTERVAL:
        five_times_everything(crash_valkey.url())
        town.fail(4)
        time.sleep(0.7)
    site.fail()
    until(lambda: Monitor.objects.filter(state="down").count() == SITES, within=120, what="all sites to be seen down")
    site.up()
    until(lambda: Monitor.objects.filter(state="up").count() == SITES, within=120, what="all sites to be seen up")
    until(scene.settled, within=120, what="every delivery to end")
    verdict = checker.check(receiver.calls)
    changes = list(Monitor.objects.values_list("state_version", flat=True))
    print(f"everything five times: {verdict}; {Result.objects.count()} checks, {Slot.objects.count()} periodic jobs")
    verdict.holds()
    assert verdict.unprovoked == 0
    assert changes == [3] * SITES, "pending to up, up to down, down to up"
    assert not checker.double_checks(TWICE)
    assert Result.objects.count() <= site.hits <= Result.objects.count() + SITES, "a check was made and thrown away"
    alerts = Alert.objects.filter(entity_type="monitor", entity_id__in=[str(m.pk) for m in monitors])
    assert alerts.count() == SITES
    assert not Slot.objects.values("name", "slot").annotate(n=Count("id")).filter(n__gt=1).exists()
    assert not Slot.objects.filter(done_at=None).exists(), "a periodic job was begun and not ended"
    assert all(child.alive() for _, child in plant.children)


def test_a_worker_whose_clock_is_two_hours_ahead(plant: Plant, receiver: Receiver, site: Site) -> None:
    """R16: the database's clock decides: no early retry, no stolen lease, no early delayed message, no double check."""
    try:
        faketime()
    except NotAvailable as trouble:
        pytest.skip(f"NOT RUN: {trouble}")
    town = Scene(receiver, delay=0.2)
    for role, clock in (("page", "+2h"), ("page", ""), ("probe", "+2h"), ("probe", "")):
        plant.start(role, clock=clock, wait=False)
    for role, child in plant.children:
        plant.until_up(role, child)
    town.watch([site.url(f"/{n}") for n in range(SITES)], interval=INTERVAL)
    refusing = town.channels[min(town.channels)]
    receiver.behave(refusing, answers.status(429))
    late = town.reach_later(town.clients[0], 1)
    alerts = town.fail(24)
    ours = Delivery.objects.filter(alert__in=alerts)
    waiting = ours.filter(channel__in=[late.pk, min(town.channels)], state="pending")
    until(
        lambda: waiting.count() == ours.exclude(state="delivered").count() == 12, within=120, what="the rest to be sent"
    )
    # Two hours ahead all of it is due; by the database's clock it is not, however long this machine takes from here on.
    waiting.update(next_attempt_at=database_now() + timedelta(minutes=30))
    time.sleep(1.5 * INTERVAL)  # an early retry, a stolen lease or an early message would come now
    assert set(waiting.filter(channel=late).values_list("attempt", flat=True)) == {0}
    assert set(waiting.exclude(channel=late).values_list("attempt", flat=True)) == {1}, (
        "tried again before 30 s were over"
    )
    assert len(receiver.at(refusing)) == 6
    assert not Attempt.objects.filter(outcome="lost").exists(), "a living worker's lease was taken"
    assert Worker.objects.count() == 4, "a living worker was taken for dead"
    assert not Result.objects.filter(ts__gt=database_now() + timedelta(minutes=1)).exists()
    assert not checker.double_checks(TWICE)
    acts.acknowledge_all(list(Alert.objects.filter(pk__in=alerts)), by=cast.TESTS, at=database_now())
    receiver.behave(refusing)
    waiting.update(next_attempt_at=database_now())
    until(scene.settled, within=120, what="every delivery to end")
    verdict = checker.check(receiver.calls)
    verdict.problems = [
        p for p in verdict.problems if not p.startswith("I5: attempt 2")
    ]  # the test itself hurried them
    print(f"clock two hours ahead: {verdict}")
    verdict.holds()
    assert verdict.unprovoked == 0
    assert not receiver.at(f"/late/{town.clients[0].pk}"), "acknowledged, and yet the next one was told"
