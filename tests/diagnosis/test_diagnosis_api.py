"""What can scripts ask of diagnoses? Begin one, list them, read one; only their own, and nothing of others'."""

from __future__ import annotations

import json

import pytest

from monitors.diagnosis import gathering, links
from monitors.models import Diagnosis
from portal.clock import database_now
from tests import cast
from tests.diagnosis import cases
from tests.monitors import rows

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def on(settings, db):
    settings.DIAGNOSIS = True
    cases.room()


def done(**parts) -> Diagnosis:
    m = cases.web()
    cases.fails(m)
    d = cases.the(m)
    cases.measure(d, said=cases.measured(**parts))
    gathering.conclude(d.pk, database_now())
    return Diagnosis.objects.get(pk=d.pk)


def test_diagnose_now_answers_at_once_which_one_it_is():
    m = cases.web()
    answer = cast.api(cast.alice()).post(f"/api/v1/monitors/{m.pk}/diagnose")
    assert (answer.status_code, answer.json()) == (202, {"diagnosis": cases.the(m).pk})
    assert cases.the(m).requested_by.startswith("alice@acme.example")
    again = cast.api(cast.alice()).post(f"/api/v1/monitors/{m.pk}/diagnose")
    assert again.json() == answer.json()


def test_what_cannot_be_diagnosed_is_refused_with_the_reason():
    m = rows.monitor(name="backup", kind="heartbeat")
    answer = cast.api(cast.alice()).post(f"/api/v1/monitors/{m.pk}/diagnose")
    assert answer.status_code == 409
    assert "no address" in json.dumps(answer.json())


def test_who_may_only_read_may_not_begin_one():
    m = cases.web()
    assert cast.api(cast.viewer()).post(f"/api/v1/monitors/{m.pk}/diagnose").status_code == 403
    assert cast.api(cast.alice(), "read").post(f"/api/v1/monitors/{m.pk}/diagnose").status_code == 403
    assert cases.diagnoses(m) == []


def test_one_with_verdict_evidence_and_its_report():
    d = done()
    body = cast.api(cast.alice()).get(f"/api/v1/diagnoses/{d.pk}").json()
    assert body["verdict"]["layer"] == "service"
    assert {"summary", "layer", "confidence", "hop", "asn", "regions", "for", "against", "ruled_out", "version"} <= body["verdict"].keys()  # fmt: skip
    assert body["evidence"]["batteries"][0]["connect"]["status"] == "refused"
    assert body["report_url"] == links.url_of(d)
    assert body["started_at"] and body["finished_at"]
    assert (body["monitor"], body["alert"], body["state"]) == (d.monitor_id, None, "done")


def test_a_revoked_link_is_not_handed_out():
    d = links.revoke(done(), by=cast.TESTS, at=database_now())
    assert cast.api(cast.alice()).get(f"/api/v1/diagnoses/{d.pk}").json()["report_url"] is None


def test_while_it_gathers_there_is_no_verdict():
    m = cases.web()
    cases.fails(m)
    body = cast.api(cast.alice()).get(f"/api/v1/diagnoses/{cases.the(m).pk}").json()
    assert (body["state"], body["verdict"]) == ("gathering", None)


def test_the_list_is_newest_first_by_monitor_and_without_evidence():
    first, other = done(), cases.web("other", host="10.20.0.81")
    cases.fails(other)
    api = cast.api(cast.alice())
    listed = api.get("/api/v1/diagnoses").json()["results"]
    assert [row["id"] for row in listed] == [cases.the(other).pk, first.pk]
    assert "evidence" not in listed[0]
    assert [r["id"] for r in api.get(f"/api/v1/diagnoses?monitor={first.monitor_id}").json()["results"]] == [first.pk]
    assert [r["id"] for r in api.get("/api/v1/diagnoses?layer=service").json()["results"]] == [first.pk]
    assert api.get("/api/v1/diagnoses?state=strange").status_code == 400


def test_another_clients_people_do_not_find_it():
    d = done()
    api = cast.api(cast.mallory())
    assert api.get(f"/api/v1/diagnoses/{d.pk}").status_code == 404
    assert api.post(f"/api/v1/monitors/{d.monitor_id}/diagnose").status_code == 404
    assert api.get("/api/v1/diagnoses").json()["results"] == []
    assert api.get(f"/api/v1/diagnoses?monitor={d.monitor_id}").json()["results"] == []


def test_our_own_networks_addresses_are_for_our_staff():
    own = {"anchors": {"anchor.msp.example:443": True}, "gateway": {"address": "10.99.0.1", "sent": 3, "got": 3}}
    d = done(own=own)
    seen = cast.api(cast.alice()).get(f"/api/v1/diagnoses/{d.pk}").json()
    assert seen["evidence"]["batteries"][0]["own"] == {"anchors": {"asked": 1, "reached": 1}, "gateway": {"sent": 3, "got": 3}}  # fmt: skip
    assert "10.99.0.1" not in json.dumps(seen)
    staff = cast.api(cast.make_staff()).get(f"/api/v1/diagnoses/{d.pk}").json()
    assert staff["evidence"]["batteries"][0]["own"] == own
