"""What happens to incidents, by machine and by people, on a database: one door each, every step in the timeline."""

from __future__ import annotations

from datetime import datetime

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from alerts import acts
from alerts.models import Alert
from incidents import services
from incidents.models import Incident, IncidentAlert, ServiceRules, TimelineEntry, Update
from monitors.models import Monitor
from portal.errors import Refused
from tests import cast
from tests.alerts.stage import T, failing, later, tell, well

pytestmark = pytest.mark.django_db
ANA = cast.Actor("Ana")


def opened(monitor: int = 7, at: datetime = T, **values: object) -> tuple[Incident, Alert]:
    """The incident that a failing monitor opened or joined, and its alert."""
    (alert,) = tell(failing(monitor, at, **values))
    return Incident.objects.get(pk=alert.incident_id), alert


def words(incident: Incident) -> list[str]:
    """The timeline's kinds, in order; the numbers have no gap."""
    entries = list(TimelineEntry.objects.filter(incident=incident).order_by("seq"))
    assert [e.seq for e in entries] == list(range(1, len(entries) + 1))
    incident.refresh_from_db()
    assert incident.next_seq == len(entries) + 1
    return [e.kind for e in entries]


def status(incident: Incident) -> tuple[str, str]:
    incident.refresh_from_db()
    return incident.status, incident.responder_status


# --- The machine opens and joins -------------------------------------------------------------------------------------------
def test_the_machine_opens_one_for_a_critical_alert_only():
    incident, alert = opened()
    assert (incident.title, incident.severity, incident.auto_created) == ("monitor-7 is down", "critical", True)
    assert status(incident) == ("investigating", "triggered") and words(incident) == ["opened"]
    tell(failing(8, severity="warning", event="degraded"))
    assert Incident.objects.count() == 1
    tell(failing(8, later(1)))
    assert Incident.objects.count() == 2, "a raise opens it"


def test_the_same_service_joins():
    service = cast.service()
    first, _ = opened(7, service_id=service.pk)
    second, _ = opened(8, later(1), service_id=service.pk)
    assert first == second and words(first) == ["opened", "joined"]
    assert Incident.objects.get().affected_monitor_ids == [7, 8] and Incident.objects.get().last_alert_at == later(1)


@pytest.mark.parametrize("service", [False, True])
def test_a_child_of_what_is_down_joins_its_parents_incident(service):
    more = {"service_id": cast.service().pk} if service else {}
    first, _ = opened(7, **more)
    second, _ = opened(8, later(1), parent="monitor:7")
    assert first == second


@pytest.mark.parametrize("order", [(7, 8, 9), (9, 8, 7), (8, 9, 7)])
def test_three_generations_that_fail_at_once_are_one_incident_of_the_eldest(order):
    parents = {7: "", 8: "monitor:7", 9: "monitor:8"}
    tell(*(failing(n, parent=parents[n]) for n in order))
    incident = Incident.objects.get()
    assert incident.title == "monitor-7 is down" and sorted(incident.affected_monitor_ids) == [7, 8, 9]


def test_another_clients_alert_of_the_same_cause_is_another_incident():
    opened(7)
    opened(8, client=cast.globex())
    assert Incident.objects.count() == 2


def test_the_database_allows_one_open_incident_per_cause():
    incident, _ = opened()
    copy = {f.name: getattr(incident, f.name) for f in Incident._meta.fields if f.name != "id"}
    with pytest.raises(IntegrityError), transaction.atomic():
        Incident.objects.create(**copy)


@pytest.mark.parametrize(("creation", "count"), [("auto", 1), ("auto_with_confirmation", 1), ("manual", 0)])
def test_a_service_says_whether_and_how_bad(creation, count):
    service = cast.service()
    ServiceRules.objects.create(service=service, creation=creation, default_severity="major")
    tell(failing(7, service_id=service.pk))
    assert [i.severity for i in Incident.objects.all()] == ["major"] * count


# --- The machine resolves ----------------------------------------------------------------------------------------------------
def test_it_is_over_when_the_last_alert_is():
    service = cast.service()
    incident, _ = opened(7, service_id=service.pk)
    opened(8, later(1), service_id=service.pk)
    tell(well(7, later(2)))
    assert status(incident) == ("investigating", "triggered")
    tell(well(8, later(3)))
    assert status(incident) == ("resolved", "resolved") and incident.resolved_at == later(3)
    assert words(incident) == ["opened", "joined", "alert_resolved", "alert_resolved", "resolved"]
    assert Update.objects.get().status == "resolved"


def test_acknowledged_and_updated_it_still_resolves_by_itself():
    incident, _ = opened()
    services.acknowledge(incident, by=ANA, at=later(1))
    services.update(incident, status="identified", message="The disk", by=ANA, at=later(2))
    tell(well(7, later(3)))
    assert status(incident) == ("resolved", "resolved")


@pytest.mark.parametrize("how", ["reopened", "auto_resolve off", "by hand"])
def test_the_machine_keeps_its_hands_off_what_a_person_decided(how):
    if how == "by hand":
        incident = services.create(title="Strange", severity="major", by=ANA, at=T, client_id=cast.acme().pk)
        alert = Alert.objects.get()
        IncidentAlert.objects.filter(alert=alert).update(incident=incident)
        acts.resolve(alert, by=ANA, at=later(1))
        assert status(incident) == ("investigating", "triggered")
        return
    incident, _ = opened()
    if how == "reopened":
        services.resolve(incident, by=ANA, at=later(1))
        services.reopen(incident, by=ANA, at=later(2))
    else:
        services.edit(incident, {"auto_resolve": False}, by=ANA, at=later(1))
    tell(well(7, later(3)))
    assert status(incident) == ("investigating", "triggered") and words(incident)[-1] == "alert_resolved"


def test_resolved_by_a_person_a_later_recovery_only_adds_a_line():
    incident, _ = opened()
    services.resolve(incident, by=ANA, at=later(1), message="Restarted")
    tell(well(7, later(2)))
    incident.refresh_from_db()
    assert (incident.resolved_by, incident.resolved_at) == ("Ana", later(1))
    assert words(incident) == ["opened", "resolved", "alert_resolved"]


# --- People ------------------------------------------------------------------------------------------------------------------
def test_to_acknowledge_an_incident_acknowledges_its_alerts_and_publishes_nothing():
    incident, alert = opened()
    services.acknowledge(incident, by=ANA, at=later(1), name="ana")
    alert.refresh_from_db()
    assert status(incident) == ("investigating", "acknowledged") and incident.acknowledged_by == "ana"
    assert (alert.status, alert.acknowledged_by) == ("acknowledged", "ana")
    assert words(incident) == ["opened", "acknowledged"] and not Update.objects.exists()
    services.acknowledge(incident, by=ANA, at=later(2))
    assert words(incident) == ["opened", "acknowledged"], "again is harmless"


def test_to_acknowledge_an_alert_acknowledges_its_incident():
    incident, alert = opened()
    acts.acknowledge(alert, by=ANA, at=later(1), name="ana")
    assert status(incident) == ("investigating", "acknowledged") and incident.acknowledged_by == "ana"
    assert words(incident) == ["opened", "acknowledged"]


def test_an_alert_that_joins_later_is_open_until_somebody_takes_it():
    service = cast.service()
    incident, _ = opened(7, service_id=service.pk)
    services.acknowledge(incident, by=ANA, at=later(1))
    _, second = opened(8, later(2), service_id=service.pk)
    assert second.status == "open"
    services.acknowledge(incident, by=ANA, at=later(3))
    second.refresh_from_db()
    assert second.status == "acknowledged"


def test_forward_only_and_every_refusal_is_a_sentence():
    incident, _ = opened()
    services.update(incident, status="monitoring", message="Fixed?", by=ANA, at=later(1))
    with pytest.raises(Refused, match="goes forward only: monitoring cannot go back to identified"):
        services.update(incident, status="identified", message="", by=ANA, at=later(2))
    services.update(incident, status="resolved", message="Fixed.", by=ANA, at=later(3))
    assert status(incident) == ("resolved", "resolved")
    for act, sentence in (
        (lambda: services.acknowledge(incident, by=ANA, at=later(4)), "It is resolved; reopen it first."),
        (lambda: services.resolve(incident, by=ANA, at=later(4)), "It is resolved already."),
        (
            lambda: services.update(incident, status="resolved", message="", by=ANA, at=later(4)),
            "It is resolved; reopen it first.",
        ),
    ):
        with pytest.raises(Refused, match=sentence):
            act()
    assert words(incident) == ["opened", "update", "resolved"], "a refusal leaves no trace"
    services.reopen(incident, by=ANA, at=later(5), message="It is back")
    assert status(incident) == ("investigating", "triggered") and incident.resolved_at is None
    with pytest.raises(Refused, match="only a resolved incident"):
        services.reopen(incident, by=ANA, at=later(6))


def test_what_has_a_newer_one_of_the_same_cause_is_not_reopened():
    old, _ = opened()
    tell(well(7, later(1)))
    opened(7, later(2))
    with pytest.raises(Refused, match="A newer incident of the same cause is open"):
        services.reopen(old, by=ANA, at=later(3))


def test_a_persons_incident_is_routed_as_an_alert_and_ends_with_it():
    incident = services.create(
        title="Wake up", severity="critical", by=ANA, at=T, client_id=cast.acme().pk, message="All hands"
    )
    alert = Alert.objects.get()
    assert (alert.source, alert.event, alert.severity, alert.incident_id) == (
        "incident",
        "opened",
        "critical",
        incident.pk,
    )
    services.resolve(incident, by=ANA, at=later(1))
    alert.refresh_from_db()
    assert alert.is_resolved and words(incident) == ["opened", "resolved", "alert_resolved"]
    quiet = services.create(title="Quiet", severity="minor", by=ANA, at=T, client_id=cast.acme().pk, notify=False)
    assert Alert.objects.count() == 1 and words(quiet) == ["opened"]


def test_what_cannot_be_opened_says_where_and_why():
    strange = cast.monitor(cast.globex(), "theirs")
    for values, field in (
        ({"affected_monitor_ids": [10**9]}, "affected_monitor_ids"),
        ({"client_id": cast.acme().pk, "affected_monitor_ids": [strange.pk]}, "affected_monitor_ids"),
        ({"client_id": cast.acme().pk, "status": "resolved"}, "status"),
        ({"client_id": cast.acme().pk, "severity": "awful"}, "severity"),
    ):
        with pytest.raises(ValidationError) as refused:
            services.create(**{"title": "X", "severity": "minor", "by": ANA, "at": T, **values})
        assert field in refused.value.message_dict
    assert not Incident.objects.exists() and Monitor.objects.count() == 1
