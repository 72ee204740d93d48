"""One problem or two? Merging, moving and splitting: what goes where, who is paged (nobody), and who wins at the same moment."""

from __future__ import annotations

import pytest
from django.db import connection

from alerts.models import Alert, Delivery
from incidents import joining, services
from incidents.models import Incident, IncidentAlert, TimelineEntry, Update
from portal.errors import Refused
from tests import cast
from tests.alerts.stage import failing, later, tell, trigger, webhook, well
from tests.incidents.races import clash
from tests.incidents.test_services import ANA, opened, status, words

pytestmark = pytest.mark.django_db


def ids(incident: Incident) -> list[int]:
    """The alerts of an incident, by both roads to them."""
    linked = sorted(IncidentAlert.objects.filter(incident=incident).values_list("alert_id", flat=True))
    assert linked == sorted(Alert.objects.filter(incident_id=incident.pk).values_list("pk", flat=True))
    return linked


def test_a_merge_moves_everything_and_ends_the_one():
    a, one = opened(7, severity="critical")
    b, two = opened(8, later(1))
    Incident.objects.filter(pk=a.pk).update(lead=cast.contact())
    joining.merge(a, b, by=ANA, at=later(2))
    a.refresh_from_db()
    b.refresh_from_db()
    assert status(a) == ("resolved", "resolved") and a.merged_into_id == b.pk and a.resolved_by == "Ana"
    assert ids(b) == [one.pk, two.pk] and ids(a) == [] and sorted(b.affected_monitor_ids) == [7, 8]
    assert b.lead == cast.contact() and b.began_at == a.began_at
    assert words(a) == ["opened", "resolved"] and words(b) == ["opened", "merged"]
    assert Update.objects.get(incident=a).message == f"Merged into #{b.pk}."
    one.refresh_from_db()
    assert one.resolved_at is None and one.status == "open" and one.links["incident_title"] == b.title


def test_a_merge_pages_nobody_and_recovery_ends_the_other_once():
    trigger(webhook())
    a, _ = opened(7)
    b, _ = opened(8, later(1))
    before = Delivery.objects.count()
    joining.merge(a, b, by=ANA, at=later(2))
    assert Delivery.objects.count() == before
    tell(well(7, later(3)))
    assert status(b) == ("investigating", "triggered"), "one of its two is still open"
    tell(well(8, later(4)))
    assert status(b) == ("resolved", "resolved")
    assert words(a).count("resolved") == 1 and words(b).count("resolved") == 1


def test_the_next_alert_of_the_merged_cause_joins_where_it_went():
    service = cast.service()
    a, _ = opened(7, service_id=service.pk)
    b, _ = opened(8, later(1))
    joining.merge(a, b, by=ANA, at=later(2))
    c, _ = opened(9, later(3), service_id=service.pk)
    assert c == b and Incident.objects.count() == 2


def test_what_comes_to_an_incident_that_somebody_has_is_theirs():
    a, one = opened(7)
    b, _ = opened(8, later(1))
    services.acknowledge(b, by=ANA, at=later(2), name="ana")
    joining.merge(a, b, by=ANA, at=later(3))
    one.refresh_from_db()
    assert (one.status, one.acknowledged_by) == ("acknowledged", "ana")


def test_a_persons_incident_takes_its_own_alert_along_and_it_ends_with_the_other():
    mine = services.create(title="Odd", severity="critical", by=ANA, at=later(0), client_id=cast.acme().pk)
    own = Alert.objects.get()
    b, _ = opened(8, later(1))
    joining.merge(mine, b, by=ANA, at=later(2))
    own.refresh_from_db()
    assert own.resolved_at is None, "no word of recovery for a merge"
    services.resolve(b, by=ANA, at=later(3))
    own.refresh_from_db()
    assert own.is_resolved


def test_a_merge_is_refused_with_a_sentence():
    a, _ = opened(7)
    b, _ = opened(8)
    theirs, _ = opened(9, client=cast.globex())
    for into, sentence in ((a, "into itself"), (theirs, "different clients")):
        with pytest.raises(Refused, match=sentence):
            joining.merge(a, into, by=ANA, at=later(1))
    services.resolve(b, by=ANA, at=later(1))
    with pytest.raises(Refused, match=f"#{b.pk} is resolved already"):
        joining.merge(a, b, by=ANA, at=later(2))
    assert words(a) == ["opened"], "a refusal leaves no trace"


def test_what_was_merged_is_not_reopened():
    a, _ = opened(7)
    b, _ = opened(8)
    joining.merge(a, b, by=ANA, at=later(1))
    with pytest.raises(Refused, match=f"merged into #{b.pk}"):
        services.reopen(a, by=ANA, at=later(2))


def test_a_merge_that_brought_no_alert_is_undone_by_reopening():
    mine = services.create(title="Odd", severity="minor", by=ANA, at=later(0), client_id=cast.acme().pk, notify=False)
    b, _ = opened(8)
    joining.merge(mine, b, by=ANA, at=later(1))
    services.reopen(mine, by=ANA, at=later(2))
    mine.refresh_from_db()
    assert mine.merged_into is None and status(mine) == ("investigating", "triggered")
    assert f"no longer part of #{b.pk}" in mine.timeline.last().text


def test_a_split_undoes_a_merge():
    a, one = opened(7)
    b, two = opened(8)
    joining.merge(a, b, by=ANA, at=later(1))
    ((pk, title, mine),) = joining.can_undo(b, Alert.objects.filter(incident_id=b.pk))
    assert (pk, title, mine) == (a.pk, a.title, [one.pk])
    c = joining.split(b, mine, title=title, by=ANA, at=later(2))
    a.refresh_from_db()
    b.refresh_from_db()
    assert ids(c) == [one.pk] and ids(b) == [two.pk] and b.affected_monitor_ids == [8] and c.affected_monitor_ids == [7]
    assert c.title == a.title and a.merged_into_id == c.pk
    assert words(c) == ["opened"] and words(b) == ["opened", "merged", "left"]
    tell(well(7, later(3)))
    assert status(c) == ("resolved", "resolved") and status(b) == ("investigating", "triggered")


def test_a_new_incident_is_as_acknowledged_as_its_alerts():
    service = cast.service()
    a, _ = opened(7, service_id=service.pk)
    opened(8, service_id=service.pk)
    services.acknowledge(a, by=ANA, at=later(1), name="ana")
    third = opened(9, later(2), service_id=service.pk)[1]
    taken = joining.split(a, [Alert.objects.get(monitor_id=8).pk], by=ANA, at=later(3))
    assert status(taken) == ("investigating", "acknowledged") and taken.acknowledged_by == "ana"
    assert status(joining.split(a, [third.pk], by=ANA, at=later(4))) == ("investigating", "triggered")


def test_a_split_is_refused_with_a_sentence():
    service = cast.service()
    a, one = opened(7, service_id=service.pk)
    _, two = opened(8, service_id=service.pk)
    tell(well(8, later(1)))
    for wanted, sentence in (([one.pk, two.pk], "Leave at least one"), ([two.pk], "still open"), ([10**6], "of this incident"), ([], "of this incident")):  # fmt: skip
        with pytest.raises(Refused, match=sentence):
            joining.split(a, wanted, by=ANA, at=later(2))


def test_an_alert_moves_and_what_it_leaves_empty_is_over():
    a, one = opened(7)
    b, _ = opened(8)
    joining.move(one, b, by=ANA, at=later(1))
    a.refresh_from_db()
    assert status(a) == ("resolved", "resolved") and a.merged_into_id == b.pk
    assert words(a) == ["opened", "left", "resolved"] and words(b) == ["opened", "joined"]
    loose = tell(failing(9, severity="warning", event="degraded"))[0]
    joining.move(loose, b, by=ANA, at=later(2))
    assert loose.pk in ids(b)
    with pytest.raises(Refused, match="belongs to this incident already"):
        joining.move(loose, b, by=ANA, at=later(3))


def test_times_are_known_by_how_they_became_known():
    a, _ = opened(7)
    assert a.times_known_by == {"began_at": "alert"}
    tell(well(7, later(5)))
    a.refresh_from_db()
    assert a.mitigated_at == later(5) and a.times_known_by["mitigated_at"] == "recovery"
    services.edit(a, {"began_at": later(-3)}, by=ANA, at=later(9))
    a.refresh_from_db()
    assert a.times_known_by["began_at"] == "person" and words(a)[-1] == "edited"


def test_monitoring_is_a_persons_word_that_it_works_again():
    a, _ = opened(7)
    services.update(a, status="monitoring", message="Rolled back", by=ANA, at=later(4))
    a.refresh_from_db()
    assert a.mitigated_at == later(4) and a.times_known_by["mitigated_at"] == "person"
    tell(well(7, later(6)))
    a.refresh_from_db()
    assert a.mitigated_at == later(4), "a person's word stands"


# --- At the same moment ----------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("other", ["recover", "acknowledge", "acknowledge alert", "join", "merge back"])
def test_fifty_merges_against(other):
    if connection.vendor != "postgresql":
        pytest.skip("once: SQLite has one writer at a time")
    cast.acme()
    for seed in range(50 if other in ("recover", "acknowledge") else 15):
        clash(seed, other)
    assert TimelineEntry.objects.filter(kind="merged").exists()
