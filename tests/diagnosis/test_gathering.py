"""How does evidence become a verdict? Claimed and stored by the row, shared, bounded; judged when all have answered or time is up."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerts.models import Alert
from monitors.diagnosis import batteries, gathering, links
from monitors.diagnosis.gathering import conclude, ready, revise, to_revise
from monitors.models import Baseline, Battery, Monitor, ProbeJob, StateChange
from monitors.signals import verdict_reached
from portal.clock import database_now
from tests.diagnosis import cases
from tests.monitors import rows, seeing

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def on(settings, db):
    settings.DIAGNOSIS = True
    cases.room()


@pytest.fixture
def heard():
    """(layer, first) of each verdict that was told upwards."""
    found = []

    def hear(sender, diagnosis, at, first, **_):
        found.append((diagnosis.layer, first))

    verdict_reached.connect(hear)
    yield found
    verdict_reached.disconnect(hear)


# --- When it is judged --------------------------------------------------------------------------------------------------
def test_it_is_judged_when_the_last_probe_has_answered(heard):
    m, d = cases.begun()
    at = database_now()
    assert ready(at) == []
    cases.measure(d, at)
    assert ready(at) == [d.pk]
    assert conclude(d.pk, at)
    d = cases.again(d)
    assert (d.state, d.layer, d.verdict["version"]) == ("done", "service", d.verdict_version)
    assert d.evidence["votes"] == {str(rows.probe().pk): "failing"}
    assert d.evidence["failure"]["error_class"] == "connect_refused"
    assert d.evidence["expected"] == 1
    assert heard == [("service", True)]


def test_at_the_deadline_it_is_judged_without_those_that_are_missing(heard):
    berlin = cases.remote()
    m = cases.web(probes=[rows.probe(), berlin])
    cases.fails(m)
    d = cases.the(m)
    cases.measure(d)
    assert ready(d.deadline_at - timedelta(seconds=1)) == []
    assert ready(d.deadline_at) == [d.pk]
    conclude(d.pk, d.deadline_at)
    d = cases.again(d)
    assert (len(d.evidence["batteries"]), d.evidence["expected"]) == (1, 2)
    missing = Battery.objects.get(diagnosis=d, probe=berlin)
    assert (missing.state, missing.evidence["why"]) == ("failed", "It found no room before the verdict was due.")


def test_what_comes_late_is_judged_again(heard):
    m, d = cases.begun()
    at = database_now()
    (b,) = batteries.claim([rows.probe().pk], at, "worker")
    conclude(d.pk, d.deadline_at)
    assert cases.again(d).layer == "unknown"
    assert batteries.keep(b.pk, cases.measured(), d.deadline_at + timedelta(seconds=1), worker="worker")
    assert Battery.objects.get(pk=b.pk).state == "late"
    assert to_revise(at) == [d.pk]
    assert revise(d.pk, d.deadline_at + timedelta(seconds=1))
    d = cases.again(d)
    assert (d.layer, d.revision, len(d.evidence["batteries"])) == ("service", 1, 1)
    assert to_revise(at) == []
    assert heard == [("unknown", True), ("service", False)]


def test_late_evidence_that_says_the_same_revises_nothing(heard):
    berlin = cases.remote()
    m = cases.web(probes=[rows.probe(), berlin])
    cases.fails(m)
    d, at = cases.the(m), database_now()
    batteries.hand_out(at)
    cases.measure(d, at)
    conclude(d.pk, d.deadline_at)
    (job,) = ProbeJob.objects.all()
    ProbeJob.objects.filter(pk=job.pk).update(state="failed", result={"why": "It broke."})
    batteries.take_outcome(ProbeJob.objects.get(pk=job.pk), d.deadline_at + timedelta(seconds=1))
    assert to_revise(at) == []
    assert cases.again(d).revision == 0
    assert len(heard) == 1


def test_well_again_before_anybody_looked_is_dropped(heard):
    m, d = cases.begun()
    seeing.watch(m, "u", database_now() + timedelta(seconds=1))
    conclude(d.pk, d.deadline_at)
    assert cases.again(d).state == "dropped"
    assert heard == []


def test_well_again_after_somebody_looked_is_history_all_the_same(heard):
    m, d = cases.begun()
    cases.measure(d)
    seeing.watch(m, "u", database_now() + timedelta(seconds=1))
    conclude(d.pk, database_now())
    assert cases.again(d).state == "done"
    assert cases.again(d).evidence["votes"] == {str(rows.probe().pk): "up"}
    assert cases.again(d).evidence["failure"]["error_class"] == "connect_refused"


def test_a_judge_that_breaks_says_that_it_cannot_tell(monkeypatch, caplog):
    m, d = cases.begun()
    cases.measure(d)

    def broken(evidence):
        raise ZeroDivisionError

    monkeypatch.setattr(gathering.verdict, "judge", broken)
    conclude(d.pk, database_now())
    assert (cases.again(d).state, cases.again(d).layer) == ("done", "unknown")


# --- With the alert --------------------------------------------------------------------------------------------------------
def test_a_verdict_after_the_alert_stands_in_it_and_on_the_change_of_state(heard):
    m = cases.web(confirmation_count=2)
    at = cases.fails(m)
    seeing.watch(m, "f", at + timedelta(seconds=1))
    (alert,) = seeing.open_alerts(m)
    assert cases.the(m).alert_id == alert.pk
    cases.measure(cases.the(m))
    conclude(cases.the(m).pk, database_now())
    alert.refresh_from_db()
    d = cases.the(m)
    assert alert.verdict["layer"] == "service"
    assert alert.links["report"] == links.url_of(d)
    assert alert.evidence["mtr_reports"] == d.verdict["mtr_reports"]
    assert StateChange.objects.get(monitor=m, to_state="down").layer == "service"


def test_a_verdict_before_the_alert_is_in_it_from_the_beginning():
    m = cases.web(confirmation_count=2)
    at = cases.fails(m)
    cases.measure(cases.the(m))
    conclude(cases.the(m).pk, database_now())
    seeing.watch(m, "f", at + timedelta(seconds=1))
    (alert,) = seeing.open_alerts(m)
    assert alert.verdict["layer"] == "service"
    assert cases.the(m).alert_id == alert.pk
    assert StateChange.objects.get(monitor=m, to_state="down").layer == "service"


def test_an_old_failures_verdict_is_not_this_ones():
    m = cases.web(confirmation_count=1)
    at = cases.fails(m)
    cases.measure(cases.the(m))
    conclude(cases.the(m).pk, database_now())
    Monitor.objects.filter(pk=m.pk).update(diagnose=False)
    seeing.watch(m, "uf", at + timedelta(seconds=60))
    assert [a.verdict for a in Alert.objects.filter(monitor_id=m.pk).order_by("pk")][-1] is None


def test_what_it_shares_with_others_is_in_the_alert():
    m = cases.web(confirmation_count=1)
    Baseline.objects.create(monitor=m, probe=rows.probe(), next_at=database_now(), asn=64500, address="10.20.0.80", issuer="Example CA")  # fmt: skip
    cases.fails(m)
    (alert,) = seeing.open_alerts(m)
    assert alert.correlation == {"as": 64500, "host": "10.20.0.80", "issuer": "Example CA"}
