"""Would the checker notice? Each invariant is broken by hand once; and a claim whose answer was lost is given back."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import OperationalError

from alerts import acts, sender
from alerts.models import Alert, Attempt, Delivery
from monitors.models import Monitor, StateChange
from portal.clock import database_now
from tests import cast
from tests.faults import checker, scene
from tests.faults.scene import Scene
from tests.rig.calls import Call
from tests.rig.receiver import Receiver

pytestmark = pytest.mark.django_db


def copy_of(d: Delivery, town: Scene, instant: float) -> Call:
    """What the provider would record of a delivery."""
    word = "[Recovered]" if d.kind == "recovered" else "[Down]"
    body = json.dumps({"text": word, "link": f"http://localhost:8000/alerts/{d.alert_id}/"}).encode()
    keyed = {"webhook-id": f"delivery-{d.pk}"} if d.channel.type == "webhook" else {}
    return Call(database_now().timestamp(), instant, "POST", town.channels[d.channel_id], keyed, body, True)


@pytest.fixture
def town(receiver: Receiver) -> Scene:
    """One client, one failure, everything told and recorded as delivered."""
    made = Scene(receiver, clients=1)
    made.fail(1)
    Delivery.objects.update(state="delivered", attempt=1)
    return made


def heard(town: Scene) -> list[Call]:
    return [copy_of(d, town, n) for n, d in enumerate(Delivery.objects.order_by("pk"))]


def test_all_is_well(town: Scene) -> None:
    checker.check(heard(town)).holds()


def test_lost(town: Scene) -> None:
    """I1: unfinished, never arrived, never written, never routed."""
    assert len(checker.check([]).lost) == 2
    one = Delivery.objects.latest("pk")
    calls = heard(town)
    Delivery.objects.filter(pk=one.pk).update(state="pending")
    assert "still pending" in checker.check(calls).lost[0]
    one.delete()
    verdict = checker.check(calls[:1])
    assert "owes channel" in verdict.lost[0]


def test_too_many_copies_and_strangers(town: Scene) -> None:
    """I2: a third copy, a second one without a doubtful attempt, a message nobody owed."""
    slack = Delivery.objects.get(channel__type="slack")
    calls = heard(town)
    extra = [copy_of(slack, town, 10.0), copy_of(slack, town, 11.0)]
    assert any("seen 2 times" in p for p in checker.check(calls + extra[:1]).problems)
    for n in (1, 2):
        Attempt.objects.create(delivery=slack, n=n, at=database_now(), outcome="lost")
    checker.check(calls + extra[:1]).holds()
    assert checker.check(calls + extra).problems == [f"I2: delivery {slack.pk} was seen 3 times"]
    stranger = Call(0, 12.0, "POST", "/nowhere", {}, b"{}", True)
    assert "nobody owed" in checker.check([*calls, stranger]).problems[0]


def test_order(town: Scene) -> None:
    """I3: "down" heard again after "recovered"."""
    town.recover(Alert.objects.values_list("pk", flat=True))
    Delivery.objects.update(state="delivered")
    calls = heard(town)
    checker.check(calls).holds()
    Attempt.objects.create(delivery_id=Delivery.objects.earliest("pk").pk, n=1, at=database_now(), outcome="lost")
    verdict = checker.check([*calls, copy_of(Delivery.objects.earliest("pk"), town, 99.0)])
    assert any(p.startswith("I3") for p in verdict.problems)


def test_early_late_and_after_the_acknowledgement(town: Scene) -> None:
    """I4, I5, I12."""
    d, now = Delivery.objects.earliest("pk"), database_now()
    Attempt.objects.create(delivery=d, n=1, at=now, outcome="retry", duration_ms=1)
    Attempt.objects.create(delivery=d, n=2, at=now + timedelta(seconds=5), outcome="delivered", duration_ms=1)
    assert any(p.startswith("I5: attempt 2") for p in checker.check(heard(town)).problems)
    Attempt.objects.filter(n=1).delete()
    Attempt.objects.update(at=now + timedelta(seconds=3 * checker.CONVERGED))
    verdict = checker.check(heard(town), ended_at=now)
    assert any(p.startswith("I12") for p in verdict.problems)
    acts.acknowledge(Alert.objects.get(), by=cast.TESTS, at=now)
    Delivery.objects.filter(pk=d.pk).update(only_while_open=True)
    assert any(p.startswith("I4") for p in checker.check(heard(town)).problems)


def test_down_without_a_failed_check(town: Scene) -> None:
    """I8."""
    (monitor,) = town.watch(["http://127.0.0.1:9/"])
    at = database_now()
    StateChange.objects.create(monitor=monitor, version=1, at=at, from_state="pending", to_state="down")
    Monitor.objects.update(state="down", state_version=1)
    assert "without a failed check" in checker.check(heard(town)).problems[0]


def test_a_claim_of_which_nothing_came_is_given_back(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """R12: the database goes away between the claim and the sending: the same worker takes the rows again at once."""
    Scene(receiver, clients=1).fail(2)
    worker, away = sender.Sender(), [True]
    real = sender.prepare

    def prepare(*args: object) -> object:
        if away.pop():
            away.append(False)
            raise OperationalError("server closed the connection unexpectedly")
        away.append(False)
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(sender, "prepare", prepare)
    worker.begin()
    try:
        with pytest.raises(OperationalError):
            worker.step()
        assert Delivery.objects.filter(state="sending").count() == 4
        for _ in range(100):
            worker.bell.clear()
            worker.step()
            if scene.settled():
                break
            worker.bell.wait(0.1)
    finally:
        worker.end()
    verdict = checker.check(receiver.calls)
    verdict.holds()
    assert verdict.repeats == 0
    assert set(Delivery.objects.values_list("state", "attempt")) == {("delivered", 1)}
