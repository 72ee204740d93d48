"""What if the worker dies while it acts, or just before, or the broker forgets everything? Nothing is done twice, and people are told."""

from __future__ import annotations

import threading
from datetime import timedelta

import psycopg
import pytest
from django.db import OperationalError, transaction
from django.db.models import Q

from alerts import verdicts
from alerts.models import Alert, Channel, Trigger
from monitors import partitions
from monitors.models import Monitor
from playbooks import beginning, conductor, facts, outcomes, performing, proposing, services, verifying
from playbooks.models import Mode, Playbook, Run, RunStep
from portal.clock import database_now
from portal.residents import WORKER_ID
from tests import cast
from tests.faults import conftest as faults
from tests.faults.plant import Plant, until
from tests.playbooks import acting, races
from tests.playbooks.acting import carried_out, says
from tests.playbooks.test_acting import awaiting
from tests.rig.answers import Answer, Manner, ok
from tests.rig.process import Child
from tests.rig.receiver import Receiver
from tests.rig.valkey import Valkey

LONG = 120.0  # seconds that must not be reached
server, database_url, plant = faults.server, faults.database_url, faults.plant


# --- Real processes, killed -----------------------------------------------------------------------------------------------
def automatic(receiver: Receiver, **values: int) -> tuple[Playbook, Monitor, Run]:
    """A playbook that calls a runbook by itself, a failure it answers, and its run, which may begin. A webhook hears all alerts."""
    today = database_now().date()
    partitions.ensure(today - timedelta(days=1), today + timedelta(days=1))
    hook = Channel.objects.create(
        client=cast.acme(), name="hook", type="webhook", config={"url": receiver.url("/page")}
    )
    Trigger.objects.create(client=cast.acme(), name="Everything").channels.add(hook)
    step = {"kind": "webhook", "config": {"url": receiver.url("/act"), "timeout_seconds": 120}}
    playbook = services.save_playbook(
        None, by=cast.TESTS, at=database_now(), steps=[step], client=cast.acme(), name="Fail over", **values
    )
    Playbook.objects.update(mode=Mode.AUTOMATIC, automatic_since=database_now(), automatic_by="Olivia")
    monitor, run = failure()
    return playbook, monitor, run


def failure() -> tuple[Monitor, Run]:
    """Something of Acme's fails and is explained; what the playbook says to it."""
    ((monitor, alert),) = races.down(cast.acme(), 1, interval_seconds=3600)
    run = Run.objects.get(alert=alert)
    with transaction.atomic():
        proposing.reconsider(run.pk, database_now())
    return monitor, now(run)


def now(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)


def holder(plant: Plant, run: Run) -> Child:
    """The process that carries the run out."""
    return next(child for child in plant.of("page") if f":{child.pid}:" in now(run).claimed_by)


@pytest.mark.once
def test_a_worker_killed_while_the_runbook_is_at_it_leaves_it_to_people(plant: Plant, receiver: Receiver) -> None:
    """R42: accepted and never answered. It is not called again, by another worker or after a restart; the cap counts it."""
    receiver.behave("/act", Answer(manner=Manner.HANG))
    plant.have("page", 2)
    playbook, _, run = automatic(receiver, hourly_cap=1, cooldown_seconds=0)
    receiver.wait_for(1, "/act", within=LONG)
    plant.kill9(holder(plant, run))
    until(lambda: now(run).state == "outcome_unknown", within=LONG, what="the run to be given up")
    plant.have("page", 2)  # as after a restart
    receiver.wait_until(
        lambda calls: any(b"nobody knows whether it was done" in call.body for call in calls), "/page", within=LONG, what="a page"
    )  # fmt: skip
    alert = Alert.objects.get(source="playbook", event="failed")
    assert alert.severity == "critical" and alert.resolved_at is None
    assert RunStep.objects.get(run=run).state == "unknown"
    assert facts.acted(Q(playbook=playbook), database_now()) == 1
    _, second = failure()
    assert second.state == "blocked" and "1 of at most 1 runs this hour" in second.reason
    asked = second.gates_at
    until(lambda: (now(second).gates_at or asked) > asked, within=LONG, what="the living to ask again")
    assert now(second).state == "blocked" and now(run).state == "outcome_unknown"
    assert len(receiver.at("/act")) == 1


@pytest.mark.once
@pytest.mark.soak
def test_a_worker_killed_before_it_acted_is_replaced_and_a_forgetful_broker_changes_nothing(
    plant: Plant, receiver: Receiver, crash_valkey: Valkey
) -> None:  # fmt: skip
    """The next one does it, once. R6: caps and cooldowns are the database's; after FLUSHALL it does not act again."""
    receiver.behave("/act", ok("moved"))
    playbook, monitor, run = automatic(receiver)
    with psycopg.connect(plant.database_url) as gate:  # it begins, and waits for its first step
        gate.execute("SELECT 1 FROM playbooks_runstep WHERE run_id = %s FOR UPDATE", [run.pk])
        plant.have("page", 1)
        until(lambda: now(run).state == "running", within=LONG, what="the run to begin")
        plant.kill9(holder(plant, run))
    assert not receiver.at("/act")
    plant.have("page", 1)
    receiver.wait_for(1, "/act", within=LONG)
    until(lambda: now(run).state == "verifying", within=LONG, what="every step to be done")
    races.seen([monitor], "u", database_now())
    until(lambda: now(run).state == "succeeded", within=LONG, what="fresh checks to decide")

    crash_valkey.flush()
    for _ in range(2):
        races.seen([monitor], "f", database_now())
    alert = Alert.objects.get(monitor_id=monitor.pk, condition="health", resolved_at=None)
    with transaction.atomic():
        verdicts.attach(alert, {"summary": "The service.", "layer": "service", "confidence": 0.95}, {}, "", at=database_now())  # fmt: skip
    second = Run.objects.get(alert=alert, playbook=playbook)
    asked = second.gates_at or database_now()
    until(lambda: (now(second).gates_at or asked) > asked, within=LONG, what="the conductor to ask again")
    assert now(second).state == "blocked" and "the cooldown is" in now(second).reason
    assert len(receiver.at("/act")) == 1


# --- What is left behind --------------------------------------------------------------------------------------------------
@pytest.mark.django_db
def test_a_run_whose_thread_broke_off_is_taken_up_again(bell, monkeypatch):
    """The database was away for a moment while it was verified: its worker lives, so nobody buries it."""
    s, run = awaiting()
    says(run, acting.approver())
    assert conductor.taken(run.pk)
    with monkeypatch.context() as away:
        away.setattr(verifying, "follow", _gone_away)
        performing.Performer(run.pk, WORKER_ID, threading.Event()).perform()
    run.refresh_from_db()
    assert run.state == "verifying" and run.claimed_by == WORKER_ID
    loop, again = conductor.Conductor(), []
    monkeypatch.setattr(loop, "_carry_out", again.append)
    loop.step()
    assert again == [run.pk]
    s.well()
    performing.Performer(run.pk, WORKER_ID, threading.Event()).perform()
    run.refresh_from_db()
    assert run.state == "succeeded" and bell == [f"{run.pk}.1 main"]


def _gone_away(*_: object) -> None:
    raise OperationalError("the connection is lost")


@pytest.mark.django_db
def test_a_thread_that_broke_off_within_a_step_leaves_an_unknown_outcome(bell):
    """Its note has no end, and nobody is there who would write one."""
    s, run = awaiting()
    says(run, acting.approver())
    assert conductor.taken(run.pk)
    RunStep.objects.update(state="running")
    conductor.Conductor().step()
    run.refresh_from_db()
    assert run.state == "outcome_unknown" and not bell
    assert Alert.objects.get(source="playbook", event="failed").severity == "critical"


@pytest.mark.django_db
def test_what_was_held_up_before_its_first_step_is_asked_once_more(bell):
    """R44: it had begun, its worker died, and the failure was over before another came."""
    s, run = awaiting()
    says(run, acting.approver())
    beginning.begin(run.pk, "dead", database_now())
    outcomes.bury(["dead"], database_now())
    s.well()
    assert not conductor.taken(run.pk)
    run.refresh_from_db()
    assert run.state == "failed" and "nothing was done" in run.reason and "no open alert" in run.reason and not bell
    assert not run.targets.filter(active=True).exists()


@pytest.mark.django_db
def test_a_worker_killed_while_it_stopped_is_missed_in_the_end(bell):
    """It had said goodbye already, so it is not among those that fell silent."""
    s, run = awaiting()
    says(run, acting.approver())
    beginning.begin(run.pk, "stopped:1", database_now())
    RunStep.objects.update(state="running")
    at = database_now()
    outcomes.bury([], at)
    assert Run.objects.get().state == "running", "it may be at its last step"
    outcomes.bury([], at + outcomes.VANISHED)
    assert Run.objects.get().state == "outcome_unknown" and not bell


@pytest.mark.django_db
def test_cooldowns_and_caps_run_from_when_it_really_begins(bell):
    """Whoever waits in the queue before the gates does not act in the past."""
    s, run = awaiting()
    says(run, acting.approver())
    before = database_now()
    beginning.begin(run.pk, acting.WORKER, before - timedelta(minutes=10))
    run.refresh_from_db()
    assert run.acted_at is not None and run.acted_at >= before
    assert facts.acted_last(Playbook.objects.get(), []) == run.acted_at
    assert carried_out(run, s.well).state == "succeeded" and len(bell) == 1
