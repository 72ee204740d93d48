"""The whole way, with nothing pretended: a port on loopback closes, and the first message says why."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from django.db import connection

from alerts.models import Delivery
from alerts.sender import Sender
from monitors import evaluate, findings, partitions, prober, services
from monitors.diagnosis import batteries, gathering, learning
from monitors.diagnosis.diagnostician import Diagnostician
from monitors.models import Baseline, Battery, Diagnosis, Monitor, Probe
from portal import residents
from portal.clock import database_now
from tests import cast
from tests.alerts import stage
from tests.diagnosis import cases
from tests.monitors import rows, seeing
from tests.rig.receiver import Receiver
from tests.rig.site import Site

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def ground(transactional_db: None, settings) -> None:
    settings.DIAGNOSIS = True
    findings._known.clear()
    partitions.ensure_ahead(database_now())
    Probe.objects.get_or_create(slug="local", defaults={"name": "Portal", "built_in": True})


def until(true, what: str, within: float = 90) -> None:
    """Wait until something holds."""
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, f"waited {within} s for {what}"
        time.sleep(0.03)


@pytest.fixture
def running() -> Iterator[None]:
    """What lives in the workers: all that this story needs."""
    kinds = (prober.Prober, evaluate.Evaluator, Diagnostician, gathering.Concluder, Sender)
    living = [kind() for kind in kinds]
    for resident in living:
        resident.start()
    yield
    for resident in living:
        resident.stop()
    for resident in living:
        resident.join(60)
        assert not resident.is_alive()


def test_a_port_that_closes_is_named_in_the_first_message(site: Site, receiver: Receiver, running: None):
    stage.trigger(stage.webhook(url=receiver.url("/ops")))
    shop = rows.monitor(config={"url": site.url()}, interval_seconds=60, timeout_seconds=5)
    until(lambda: seeing.state(shop) == "up", "the site to be up")
    learning.seed(database_now())  # as happens twice a minute
    until(lambda: Baseline.objects.filter(monitor=shop, learned_at__isnull=False).exists(), "what is usual")
    site.refuse()
    services.check_now(shop, by=cast.TESTS, at=database_now())
    (call, *_) = receiver.wait_for(1, "/ops", within=90)
    told = json.loads(call.body)
    d = Diagnosis.objects.get(monitor=shop)
    assert told["verdict"]["layer"] == "service", told["verdict"]
    assert told["verdict"]["summary"] == d.verdict["summary"]
    assert d.finished_at is not None and d.finished_at < d.deadline_at
    first = Delivery.objects.order_by("pk").first()
    assert first is not None and first.kind == "opened"
    assert d.alert_id == first.alert_id
    battery = Battery.objects.get(diagnosis=d)
    assert battery.evidence["connect"]["status"] == "refused"
    assert (d.finished_at - battery.finished_at).total_seconds() < 2, "the bell was heard"


KILLED = """
import django, os, sys, time
django.setup()
from django.conf import settings
settings.DATABASES["default"]["NAME"] = sys.argv[1]
from portal.clock import database_now
from portal.residents import WORKER_ID
from monitors.diagnosis import batteries
from monitors.models import Probe
print("ready", flush=True)
sys.stdin.readline()
taken = batteries.claim([Probe.objects.get(slug="local").pk], database_now(), WORKER_ID)
print(len(taken), WORKER_ID, flush=True)
time.sleep(60)
"""


def test_whoever_is_killed_while_measuring_holds_up_no_verdict():
    m: Monitor = cases.web()
    command = [sys.executable, "-c", KILLED, str(connection.settings_dict["NAME"])]
    env = os.environ | {"PYTHONPATH": os.getcwd()}
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
    try:
        assert child.stdout is not None and child.stdin is not None
        assert child.stdout.readline() == "ready\n"  # a slow start must not eat the time that there is to measure
        cases.fails(m)
        d = cases.the(m)
        child.stdin.write("now\n")
        child.stdin.flush()
        count, worker = child.stdout.readline().split()
        assert count == "1"
        os.kill(child.pid, signal.SIGKILL)
    finally:
        child.kill()
        child.communicate(timeout=60)
    assert cases.batteries_of(d) == {"local": "running"}
    gathering.conclude(d.pk, d.deadline_at)
    assert Diagnosis.objects.get(pk=d.pk).state == "done", "at its deadline, without it"
    batteries.free([worker], d.deadline_at)
    assert cases.batteries_of(d) == {"local": "failed"}


def test_the_residents_of_both_queues_are_registered_where_diagnosis_is_on():
    env = os.environ | {"DIAGNOSIS": "on", "PYTHONPATH": os.getcwd()}
    code = "import django; django.setup(); from portal import residents; print(sorted((q, f.__name__) for q, f in residents._factories if f.__name__ in ('Diagnostician', 'Concluder')))"
    said = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=180, check=True
    )
    assert said.stdout.strip() == "[('page', 'Concluder'), ('probe', 'Diagnostician')]"
    assert "Diagnostician" not in {f.__name__ for _, f in residents._factories}, "and not in these tests"
