"""What does the database itself refuse, whoever writes to it? Each constraint once, by plain SQL."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction

from incidents import reports, rules, services
from incidents.models import Incident
from tests import cast
from tests.alerts.stage import later
from tests.incidents.test_services import ANA, opened

pytestmark = pytest.mark.django_db
TRIGGERED, ACKNOWLEDGED, RESOLVED = "triggered", "acknowledged", "resolved"


def one(of: str) -> Incident:
    """An incident that is triggered, acknowledged or resolved."""
    incident, _ = opened()
    if of != TRIGGERED:
        services.acknowledge(incident, by=ANA, at=later(1))
    if of == RESOLVED:
        services.resolve(incident, by=ANA, at=later(2))
    return Incident.objects.get(pk=incident.pk)


def refused(sql: str, *values: object) -> str:
    """The name of the constraint that refuses it."""
    with pytest.raises(IntegrityError) as error, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)
    return str(error.value)


@pytest.mark.parametrize(
    ("of", "change", "name"),
    [
        (TRIGGERED, "status = 'resolved'", "incident_resolved_iff_resolved_at"),
        (TRIGGERED, "responder_status = 'resolved'", "incident_resolved_iff_resolved_at"),
        (TRIGGERED, "resolved_at = created_at", "incident_resolved_iff_resolved_at"),
        (TRIGGERED, "status = 'resolved', responder_status = 'resolved'", "incident_resolved_iff_resolved_at"),
        (RESOLVED, "resolved_at = NULL", "incident_resolved_iff_resolved_at"),
        (RESOLVED, "status = 'monitoring'", "incident_resolved_iff_resolved_at"),
        (RESOLVED, "responder_status = 'acknowledged'", "incident_resolved_iff_resolved_at"),
        (TRIGGERED, "responder_status = 'acknowledged'", "acknowledged_has_a_time"),
        (ACKNOWLEDGED, "acknowledged_at = NULL", "acknowledged_has_a_time"),
        (ACKNOWLEDGED, "responder_status = 'triggered'", "nobody_has_what_is_triggered"),
        (TRIGGERED, "status = 'fine'", "incident_status_is_known"),
        (TRIGGERED, "responder_status = 'asleep'", "responder_status_is_known"),
        (TRIGGERED, "severity = 'awful'", "incident_severity_is_known"),
        (TRIGGERED, "client_id = NULL", "the_machine_opens_for_a_client"),
        (TRIGGERED, "parent_id = id", "only_a_clients_incident_has_a_parent"),
        (TRIGGERED, "client_id = NULL, auto_created = (1 = 0), parent_id = 1", "only_a_clients_incident_has_a_parent"),
        (TRIGGERED, "merged_into_id = id", "merged_is_over_and_into_another"),
        (RESOLVED, "merged_into_id = id", "merged_is_over_and_into_another"),
    ],
)
def test_an_incident_cannot_be(of, change, name):
    incident = one(of)
    assert name in refused(f"UPDATE incidents_incident SET {change} WHERE id = %s", incident.pk)  # noqa: S608


def test_one_cause_is_open_once_and_a_timeline_has_each_number_once():
    a, _ = opened(7)
    b, _ = opened(8)
    clash = refused("UPDATE incidents_incident SET cause_key = %s WHERE id = %s", a.cause_key, b.pk)
    assert "cause" in clash
    services.acknowledge(a, by=ANA, at=later(1))
    assert "seq" in refused("UPDATE incidents_timelineentry SET seq = 1 WHERE incident_id = %s", a.pk)


def test_an_alert_is_in_one_incident():
    a, _ = opened(7)
    _, second = opened(8)
    sql = "UPDATE incidents_incidentalert SET alert_id = %s WHERE incident_id = %s"
    assert "alert_id" in refused(sql, second.pk, a.pk)


def test_updates_rules_and_contracts_keep_to_their_words():
    incident, _ = opened()
    row = services.update(incident, status="identified", message="x", by=ANA, at=later(1))
    service = cast.service()
    rules.set_rules(service, by=ANA, merge_window_minutes=5)
    reports.save_contract(service, by=ANA)
    for sql, pk, name in (
        ("UPDATE incidents_update SET status = 'fine' WHERE id = %s", row.pk, "update_status_is_known"),
        ("UPDATE incidents_servicerules SET creation = 'x' WHERE service_id = %s", service.pk, "creation_mode_is_known"),
        ("UPDATE incidents_servicerules SET merge_window_minutes = 20000 WHERE service_id = %s", service.pk, "merge_window_is_at_most_a_week"),
        ("UPDATE incidents_slacontract SET target_percent = 101 WHERE service_id = %s", service.pk, "a_target_is_a_percentage"),
        ("UPDATE incidents_slacontract SET counted_from = 'x' WHERE service_id = %s", service.pk, "counted_from_is_known"),
    ):  # fmt: skip
        assert name in refused(sql, pk), sql
