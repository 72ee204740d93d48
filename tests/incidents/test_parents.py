"""One fault, several clients: the parent is ours, and no client learns of it or of another."""

from __future__ import annotations

import pytest

from alerts.models import Alert
from incidents import engine, parents, services
from incidents.models import Incident, TimelineEntry
from monitors.models import Probe, ProbeState
from portal.clock import database_now
from portal.errors import Refused
from tests import cast
from tests.alerts.stage import failing, later, tell
from tests.incidents.test_services import ANA, opened, words

pytestmark = pytest.mark.django_db
SHARED = {"as": 64500, "host": "10.20.0.80", "issuer": "Example CA"}


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ([(1, 1, "as", "64500"), (2, 2, "as", "64500")], [("as", "64500", [1, 2])]),
        ([(1, 1, "as", "64500"), (2, 1, "as", "64500")], []),  # one client's own
        ([(1, 1, "as", "64500"), (2, 2, "as", "64501")], []),
        ([(1, None, "as", "64500"), (2, 2, "as", "64500")], []),  # ours is nobody's
        ([(1, 1, "issuer", "CA"), (2, 2, "issuer", "CA"), (1, 1, "host", "h"), (2, 2, "host", "h")], [("host", "h", [1, 2])]),  # said once
        ([(1, 1, "as", "1"), (2, 2, "as", "1"), (3, 3, "probe", "p"), (1, 1, "probe", "p"), (2, 2, "probe", "p")], [("probe", "p", [1, 2, 3]), ("as", "1", [1, 2])]),
        ([(1, 1, "hop", "x"), (2, 2, "hop", "x"), (1, 1, "as", ""), (2, 2, "as", "")], []),
    ],
)  # fmt: skip
def test_what_several_clients_share(keys, found):
    assert engine.alike(keys) == found


def two() -> tuple[Incident, Incident]:
    """An incident of Acme's and one of Globex's, in the same network."""
    a, _ = opened(7, correlation=SHARED)
    b, _ = opened(8, client=cast.globex(), correlation=SHARED)
    return a, b


def test_the_same_network_is_proposed_until_it_is_grouped():
    a, b = two()
    (proposal,) = parents.proposals()
    assert [i.pk for i in proposal.incidents] == [a.pk, b.pk] and proposal.clients == 2
    assert proposal.words == "the same host, 10.20.0.80"
    parents.group(proposal.incidents, title="A rack is dark", by=ANA, at=later(1))
    assert parents.proposals() == []


def test_a_blind_probe_is_proposed():
    mine, theirs = cast.monitor(), cast.monitor(cast.globex(), "api")
    probe = Probe.objects.get(slug="local")
    for m in (mine, theirs):
        ProbeState.objects.get_or_create(monitor=m, probe=probe, defaults={"next_due_at": database_now()})
    tell(failing(mine.pk), failing(theirs.pk, client=cast.globex()))
    assert parents.proposals() == []
    Probe.objects.filter(pk=probe.pk).update(blind_since=database_now())
    assert [p.what for p in parents.proposals()] == ["probe"]


def test_the_childrens_own_records_say_nothing():
    a, b = two()
    parent = parents.group([a, b], title="A rack is dark", by=ANA, at=later(1))
    assert parent.client is None and parent.severity == "critical" and parent.began_at == a.began_at
    assert words(parent) == ["opened", "grouped", "grouped"]
    for child in (a, b):
        child.refresh_from_db()
        assert child.parent_id == parent.pk and words(child) == ["opened"]
    assert not TimelineEntry.objects.filter(incident__in=[a, b], text__contains="rack").exists()


def test_a_client_finds_no_trace_over_the_api():
    a, b = two()
    parent = parents.group([a, b], title="A rack is dark", by=ANA, at=later(1))
    alice = cast.api(cast.alice())
    body = alice.get(f"/api/v1/incidents/{a.pk}").json()
    assert body["parent"] is None
    assert alice.get(f"/api/v1/incidents/{parent.pk}").status_code == 404
    assert alice.get(f"/api/v1/incidents?parent={parent.pk}").json()["results"] == []
    assert alice.get("/api/v1/incidents/proposals").status_code == 404
    assert alice.post("/api/v1/incidents/group", {"incidents": [a.pk]}).status_code == 404
    timeline = alice.get(f"/api/v1/incidents/{a.pk}/timeline").content.decode()
    assert "rack" not in timeline and "Globex" not in timeline
    staff = cast.api(cast.make_staff())
    assert staff.get(f"/api/v1/incidents/{a.pk}").json()["parent"] == parent.pk
    assert len(staff.get(f"/api/v1/incidents?parent={parent.pk}").json()["results"]) == 2


def test_an_update_goes_to_the_chosen_children_as_far_as_each_can():
    a, b = two()
    parent = parents.group([a, b], title="Dark", by=ANA, at=later(1))
    services.update(b, status="monitoring", message="Ours is back", by=ANA, at=later(2))
    missed = parents.update(parent, status="identified", message="Power is being restored.", copy_to=[a, b], by=ANA, at=later(3))  # fmt: skip
    a.refresh_from_db()
    b.refresh_from_db()
    assert missed == [] and (a.status, b.status) == ("identified", "monitoring")
    assert all(i.updates.last().message == "Power is being restored." for i in (a, b, parent))
    services.resolve(a, by=ANA, at=later(4))
    (sentence,) = parents.update(parent, status="monitoring", message="Nearly", copy_to=[a, b], by=ANA, at=later(5))
    assert "reopen it first" in sentence


def test_a_parent_neither_ends_with_its_children_nor_ends_them():
    a, b = two()
    parent = parents.group([a, b], title="Dark", by=ANA, at=later(1))
    services.resolve(parent, by=ANA, at=later(2))
    a.refresh_from_db()
    assert a.resolved_at is None
    assert Alert.objects.filter(resolved_at=None).count() == 2


def test_grouping_is_refused_with_a_sentence():
    a, b = two()
    parent = parents.group([a, b], title="Dark", by=ANA, at=later(1))
    c, _ = opened(9, correlation=SHARED)
    for chosen, sentence in (([a], "at least two"), ([a, c], "belongs to"), ([parent, c], "our own")):
        with pytest.raises(Refused, match=sentence):
            parents.group(chosen, title="", by=ANA, at=later(2))
    parents.group([c], title="", into=parent, by=ANA, at=later(2))
    parents.ungroup(c, by=ANA, at=later(3))
    c.refresh_from_db()
    assert c.parent_id is None and words(parent)[-2:] == ["grouped", "ungrouped"]
