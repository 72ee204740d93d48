"""One problem or two? Alerts of a service join its open incident within the merge window, and open another one after it."""

from __future__ import annotations

import pytest

from incidents import joining, rules, services
from incidents.models import Incident
from tests import cast
from tests.alerts.stage import failing, later, tell, well
from tests.incidents.test_services import ANA, opened, status, words

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("window", "minutes", "joins"),
    [(5, 5, True), (5, 6, False), (0, 0, True), (0, 1, False), (60, 59, True), (None, 5, True), (None, 6, False)],
)
def test_the_merge_window_of_the_service_decides(window, minutes, joins):
    service = cast.service()
    if window is not None:
        rules.set_rules(service, by=ANA, merge_window_minutes=window)
    first, _ = opened(7, service_id=service.pk)
    second, _ = opened(8, later(minutes), service_id=service.pk)
    assert (first == second) is joins


def test_the_window_runs_from_the_last_alert_that_joined():
    service = cast.service()
    pks = {opened(7 + n, later(4 * n), service_id=service.pk)[0].pk for n in range(4)}
    assert len(pks) == 1, "four minutes apart each, sixteen in all"


def test_a_second_incident_says_why_there_is_one_and_gathers_what_follows_it():
    service = cast.service()
    first, _ = opened(7, service_id=service.pk)
    second, _ = opened(8, later(30), service_id=service.pk)
    assert f"#{first.pk} of the same service is open too" in second.timeline.get(kind="opened").text
    third, _ = opened(9, later(31), service_id=service.pk)
    assert third == second
    for n in (8, 9):
        tell(well(n, later(40)))
    assert status(second) == ("resolved", "resolved") and status(first) == ("investigating", "triggered")
    fourth, _ = opened(10, later(80), service_id=service.pk)
    assert fourth not in (first, second) and Incident.objects.filter(resolved_at=None).count() == 2


def test_what_fails_again_while_its_incident_is_open_joins_it_however_late():
    service = cast.service()
    first, _ = opened(7, service_id=service.pk)
    opened(8, later(1), service_id=service.pk)
    tell(well(8, later(2)))
    again, _ = opened(8, later(90), service_id=service.pk)
    assert again == first and words(first) == ["opened", "joined", "alert_resolved", "joined"]


def test_a_child_of_what_is_down_joins_however_late():
    first, _ = opened(7)
    second, _ = opened(8, later(90), parent="monitor:7")
    assert first == second


def test_what_a_person_took_out_is_not_where_the_services_next_alert_goes():
    service = cast.service()
    first, _ = opened(7, service_id=service.pk)
    _, alert = opened(8, later(1), service_id=service.pk)
    apart = joining.split(first, [alert.pk], by=ANA, at=later(2))
    third, _ = opened(9, later(3), service_id=service.pk)
    assert third == first != apart
    tell(well(8, later(4)))
    assert status(apart) == ("resolved", "resolved")


def test_several_that_fail_at_once_after_the_window_are_one_second_incident():
    service = cast.service()
    first, _ = opened(7, service_id=service.pk)
    services.acknowledge(first, by=ANA, at=later(1))
    alerts = tell(*[failing(n, later(30), service_id=service.pk) for n in (8, 9, 10)])
    pks = {a.incident_id for a in alerts}
    assert len(pks) == 1 and first.pk not in pks
