"""What if everybody acts at once, or the processes that escalate die? Each level is called once, never early, never after an answer.

Races run on a real PostgreSQL with real transactions; the rest against whole processes (I4, I5, R1, R16, R34 of the faults).
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from datetime import datetime, timedelta

import pytest
from django.db import connection, transaction

from alerts import acts, auditor, escalating, escalator, policies, telling
from alerts.models import Alert, Attempt, Channel, Delivery, EscalationPolicy, Notice, Run, Step
from portal.audit import Actor
from portal.clock import database_now
from tests import cast
from tests.alerts import stage
from tests.alerts.climbing import level, policy
from tests.alerts.stage import failing, later, tell, well
from tests.faults import scene
from tests.faults.plant import Plant, until
from tests.faults.scene import Scene
from tests.rig.abreast import abreast
from tests.rig.receiver import Receiver

RACES = int(os.environ.get("RACES", "80"))  # `make soak` runs ten thousand
FEWER = 1 if "RACES" in os.environ else 2  # of the races that it does not count, every day runs half
ANA = Actor("Ana")


@pytest.fixture
def several_writers(transactional_db):
    if connection.vendor != "postgresql":
        pytest.skip("once: SQLite has one writer at a time")
    cast.acme()


def called(alert: Alert) -> int:
    """How often escalation has spoken of it."""
    return Notice.objects.filter(alert=alert, kind="escalated").count()


def nap(luck: random.Random) -> None:
    time.sleep(luck.random() * 0.004)


# --- Races ------------------------------------------------------------------------------------------------------------
def test_many_races_of_an_acknowledgement_against_a_step(several_writers):
    """I4: once an acknowledgement is committed, no step starts; before it, at most the one that was due."""
    policy(level(0, stage.webhook("ops")), level(60, stage.webhook("manager")))
    came_first = Counter()
    for seed in range(5 * RACES):
        if seed >= RACES and len(came_first) == 2:
            break
        luck = random.Random(seed)
        (alert,) = tell(failing(seed))
        naps = [luck.random() * 0.004 for _ in range(3)]
        when = later(minutes=luck.choice([0, 2]))  # one level due, or both
        after_the_answer: list[int] = []

        def hand(
            number: int, alert: Alert = alert, naps: list[float] = naps, when: datetime = when, seen: list[int] = after_the_answer
        ) -> None:  # fmt: skip
            time.sleep(naps[number])
            if number == 0:
                acts.acknowledge(alert, by=ANA, at=when)
                seen.append(called(alert))
            else:
                escalator.climb(when)

        abreast(hand, 3)
        while escalator.climb(later(60)):
            pass
        run = Run.objects.get(alert=alert)
        story = f"seed {seed}"
        assert run.status == "stopped_by_ack", story
        assert [called(alert)] == after_the_answer, f"{story}: a step started after the answer was committed"
        assert Step.objects.filter(run=run).count() == called(alert), story
        waiting = Delivery.objects.filter(alert=alert, kind="escalated", state="pending")
        assert not waiting.exists(), f"{story}: somebody is still to be called"
        came_first["step" if called(alert) else "answer"] += 1
    print(f"{came_first.total()} races: {dict(came_first)}")
    assert len(came_first) == 2, "both orders were seen"


def test_two_people_acknowledge_at_once_and_one_of_them_has_it(several_writers):
    ops = stage.webhook("ops")
    policy(level(0, ops))
    for seed in range(20):
        (alert,) = tell(failing(seed))
        escalator.climb(later(0))
        for row in stage.claim(later(0)):
            stage.ends(row, at=later(0))

        def hand(number: int, alert: Alert = alert) -> None:
            acts.acknowledge(alert, by=Actor(("Ana", "Ben")[number]), at=later(seconds=1))

        abreast(hand, 2)
        alert.refresh_from_db()
        assert alert.acknowledged_by in ("Ana", "Ben")
        assert Notice.objects.filter(alert=alert, kind="acknowledged").count() == 1, (
            "those who were called hear it once"
        )


def test_two_sweeps_at_the_same_moment_call_once(several_writers):
    policy(level(0, stage.webhook("ops")), level(60, stage.webhook("manager")), repeat_count=1)
    for seed in range(30 // FEWER):
        alerts = tell(*[failing(seed * 10 + n) for n in range(5)])
        for at in (later(0), later(1), later(6), later(7)):
            abreast(lambda _, at=at: escalator.climb(at), 4)
            while escalator.climb(at):
                pass
        for alert in alerts:
            places = Counter(Step.objects.filter(run__alert=alert).values_list("pass_number", "level"))
            assert places == {(0, 1): 1, (0, 2): 1, (1, 1): 1, (1, 2): 1}, f"seed {seed}: {places}"
            assert called(alert) == 4


def test_a_recovery_races_a_step(several_writers):
    """Whoever comes first: the run ends, and nobody is called of what is over."""
    policy(level(0, stage.webhook("ops")))
    for seed in range(60 // FEWER):
        luck = random.Random(seed)
        (alert,) = tell(failing(seed))

        def hand(number: int, seed: int = seed, luck: random.Random = luck) -> None:
            nap(luck)
            if number:
                escalator.climb(later(0))
            else:
                tell(well(seed, later(seconds=1)))

        abreast(hand, 2)
        assert Run.objects.get(alert=alert).status == "stopped_by_resolution", f"seed {seed}"
        assert not Delivery.objects.filter(alert=alert, kind="escalated", state="pending").exists(), f"seed {seed}"
        assert escalator.climb(later(60)) == 0


def test_switching_a_policy_off_races_steps_answers_and_new_alerts(several_writers):
    """Every run ends, nobody waits for anybody in a ring, and the auditor finds nothing that is late."""
    ops = stage.webhook("ops")
    for seed in range(40 // FEWER):
        luck = random.Random(seed)
        row = policy(level(0, ops), level(1, stage.webhook(f"m{seed}")), name=f"Policy {seed}")
        alerts = tell(*[failing(seed * 10 + n) for n in range(4)])
        acting = [
            lambda row=row: policies.activate(EscalationPolicy.objects.get(pk=row.pk), False, by=ANA),
            lambda: escalator.climb(later(1)),
            lambda alerts=alerts: acts.acknowledge(alerts[-1], by=ANA, at=later(1)),
            lambda seed=seed: tell(failing(seed * 10 + 7, later(1))),
        ]

        def hand(number: int, acting: list = acting, luck: random.Random = luck) -> None:
            nap(luck)
            acting[number]()

        abreast(hand, 4)
        # What opened at the very moment may have met the policy switched on still: deactivating it again ends that.
        policies.activate(EscalationPolicy.objects.get(pk=row.pk), False, by=ANA)
        assert not Run.objects.filter(ended_at=None).exists(), f"seed {seed}"
        Alert.objects.filter(resolved_at=None).update(status="resolved", resolved_at=later(2))
    assert not auditor.audit(later(60))


def test_a_silence_races_a_step(several_writers):
    """A step either came before the silence or waits for its end; the run is shifted by exactly as long as it was held."""
    policy(level(0, stage.webhook("ops")), level(60, stage.webhook("manager")))
    for seed in range(40 // FEWER):
        luck = random.Random(seed)
        (alert,) = tell(failing(seed))

        def hand(number: int, alert: Alert = alert, luck: random.Random = luck) -> None:
            nap(luck)
            if number:
                escalator.climb(later(0))
            else:
                acts.snooze(alert, by=ANA, at=later(0), minutes=5)

        abreast(hand, 2)
        run = Run.objects.get(alert=alert)
        assert run.status == "paused_by_silence" and run.step == called(alert), f"seed {seed}"
        with transaction.atomic():
            rows = escalating.lock(Alert.objects.filter(pk=alert.pk))
            telling.reconsider(rows, at=later(6))
        run.refresh_from_db()
        assert run.shifted_seconds == 360 and run.status == "active", f"seed {seed}"
        acts.acknowledge(alert, by=ANA, at=later(6))


# --- Whole processes ------------------------------------------------------------------------------------------------------
class Tower:
    """An installation where nobody answers: two levels, both at the fake provider."""

    def __init__(self, receiver: Receiver, delays: tuple[int, ...] = (1, 4)) -> None:
        self.town = Scene(receiver, clients=1)
        self.delays = delays
        self.channels = [
            Channel.objects.create(name=f"level {n}", type="webhook", config={"url": receiver.url(f"/level/{n}")})
            for n in range(1, len(delays) + 1)
        ]
        levels = [
            {"delay_seconds": delay, "channels": [channel]}
            for delay, channel in zip(delays, self.channels, strict=True)
        ]
        policies.save_policy(None, by=cast.TESTS, name="Tower", levels=levels)

    def steps(self) -> int:
        return Step.objects.exclude(delivery=None).count()

    def lateness(self) -> list[float]:
        """Seconds from each level's due time to the first attempt, sorted."""
        late = []
        for step in Step.objects.select_related("run", "delivery"):
            due = step.run.started_at + timedelta(seconds=self.delays[step.level - 1])
            first = Attempt.objects.filter(delivery=step.delivery).order_by("n").first()
            assert step.at >= due, f"called {(due - step.at).total_seconds():.3f} s too early"
            if first is not None:
                late.append((first.at - due).total_seconds())
        return sorted(late)

    def each_once(self, alerts: list[int]) -> None:
        """Every (run, pass, level, channel) was called once; no level of any alert is missing."""
        places = Counter(Step.objects.values_list("run__alert_id", "pass_number", "level", "destination_key"))
        assert set(places.values()) == {1}
        wanted = {(a, 0, n + 1, c.destination_key) for a in alerts for n, c in enumerate(self.channels)}
        assert wanted == set(places)
        assert Delivery.objects.filter(kind="escalated").count() == len(wanted)


@pytest.mark.once
def test_pagers_die_again_and_again_and_every_level_is_called_once(plant: Plant, receiver: Receiver) -> None:
    tower, luck = Tower(receiver), random.Random(3)
    plant.have("page", 2)
    alerts: list[int] = []
    for _ in range(5):
        alerts += tower.town.fail(8)
        time.sleep(luck.random())
        plant.kill9(luck.choice(plant.of("page")))
        plant.start("page", wait=False)
    plant.have("page", 2)
    until(lambda: tower.steps() == 2 * len(alerts), within=120, what="every level to be called")
    until(scene.settled, within=120, what="every delivery to end")
    tower.each_once(alerts)
    late = tower.lateness()
    print(f"5 kills, {len(late)} calls: p50 {late[len(late) // 2]:.2f} s, worst {late[-1]:.2f} s after due")
    for n in (1, 2):
        bodies = Counter(call.json()["alert"]["id"] for call in receiver.at(f"/level/{n}"))
        assert set(bodies) == set(alerts) and max(bodies.values()) <= 2


@pytest.mark.once
@pytest.mark.soak
def test_three_pagers_one_with_a_wrong_clock_call_each_level_in_time(plant: Plant, receiver: Receiver) -> None:
    """R16: only the database's clock decides. I5: never early, at most ten seconds late."""
    tower = Tower(receiver)
    plant.start("page", clock="+2h")
    plant.have("page", 3)
    alerts = tower.town.fail(60)
    until(lambda: tower.steps() == 2 * len(alerts), within=120, what="every level to be called")
    until(scene.settled, within=120, what="every delivery to end")
    tower.each_once(alerts)
    late = tower.lateness()
    p99 = late[int(len(late) * 0.99)]
    print(f"{len(late)} calls by three pagers: p50 {late[len(late) // 2]:.3f} s, p99 {p99:.3f} s after due")
    assert late[-1] <= 10
    assert not auditor.audit(database_now())
