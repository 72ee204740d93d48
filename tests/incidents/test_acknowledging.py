"""Whoever takes one alert of an incident takes them all; who joins later calls people again (SPEC INC-3)."""

from __future__ import annotations

import pytest
from django.db import connection

from alerts import acts
from alerts.models import Alert, Run
from incidents.models import Incident, TimelineEntry
from tests import cast
from tests.alerts import climbing, stage
from tests.alerts.stage import T, failing, later, tell
from tests.rig.abreast import abreast

pytestmark = pytest.mark.django_db
ANA = cast.Actor("Ana")


def three() -> tuple[Incident, list[Alert]]:
    """One service, three alerts, one incident; each of them escalates."""
    climbing.policy(climbing.level(300, stage.webhook("Ops")))
    service = cast.service()
    alerts = [a for n in (7, 8, 9) for a in tell(failing(n, later(seconds=n), service_id=service.pk))]
    assert len({a.incident_id for a in alerts}) == 1
    return Incident.objects.get(), alerts


def states() -> list[str]:
    return list(Alert.objects.order_by("pk").values_list("status", flat=True))


def test_one_alert_taken_is_the_incident_taken_with_all_its_alerts():
    incident, (first, middle, last) = three()
    acts.acknowledge(middle, by=ANA, at=later(1), name="Ana")
    incident.refresh_from_db()
    assert (incident.responder_status, incident.acknowledged_by) == ("acknowledged", "Ana")
    assert states() == ["acknowledged"] * 3
    assert {a.acknowledged_by for a in Alert.objects.all()} == {"Ana"}
    assert set(Run.objects.values_list("status", flat=True)) == {"stopped_by_ack"}
    kinds = TimelineEntry.objects.filter(incident=incident).order_by("seq").values_list("kind", flat=True)
    assert list(kinds) == ["opened", "joined", "joined", "acknowledged"], "said once"


def test_who_joins_later_calls_people_again_and_is_answered_by_itself():
    incident, (first, *_) = three()
    acts.acknowledge(first, by=ANA, at=later(1))
    service = cast.service()
    (fourth,) = tell(failing(10, later(2), service_id=service.pk))
    (fifth,) = tell(failing(11, later(2), service_id=service.pk))
    assert fourth.incident_id == incident.pk and climbing.run(fourth).status == "active"
    acts.acknowledge(fourth, by=ANA, at=later(3))
    fifth.refresh_from_db()
    assert fifth.status == "open" and climbing.run(fifth).status == "active"
    assert TimelineEntry.objects.filter(kind="acknowledged").count() == 1


def test_a_hundred_alerts_are_taken_without_going_round_in_circles():
    service = cast.service()
    alerts = tell(*[failing(n, T, service_id=service.pk) for n in range(100)])
    acts.acknowledge(alerts[50], by=ANA, at=later(1))
    assert set(states()) == {"acknowledged"} and len(states()) == 100


def test_another_incidents_alerts_are_left_alone():
    three()
    (other,) = tell(failing(99, T))
    acts.acknowledge(Alert.objects.order_by("pk").first(), by=ANA, at=later(1))
    other.refresh_from_db()
    assert other.status == "open" and Incident.objects.get(pk=other.incident_id).responder_status == "triggered"


@pytest.mark.django_db(transaction=True)
def test_two_people_take_two_alerts_at_the_same_moment():
    if connection.vendor == "sqlite":
        pytest.skip("once: SQLite has one writer at a time")
    for n in range(10):
        service, first = cast.service(name=f"Service {n}"), 1000 + 10 * n
        alerts = tell(*[failing(first + k, T, service_id=service.pk) for k in range(4)])
        taken = [alerts[0], alerts[3]]
        abreast(lambda k, taken=taken: acts.acknowledge(taken[k], by=ANA, at=later(1), name="Ana"), 2)
        assert set(states()) == {"acknowledged"}, f"round {n}"
