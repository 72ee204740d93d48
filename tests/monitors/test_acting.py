"""How does the portal order an action? Once per key, with a counter that only rises; every end is told upwards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitors import acting, remote
from monitors.models import Probe, ProbeJob
from monitors.probe import envelope, identity
from monitors.signals import probe_job_finished
from portal.clock import database_now
from portal.errors import Refused
from tests import cast
from tests.monitors import afar
from tests.monitors.afar import Speaker

pytestmark = pytest.mark.django_db
PLAN = hashlib.sha256(b"plan").hexdigest()
KEY = Ed25519PrivateKey.generate()


def order(probe: Probe, key: str = "run-1", **more: Any) -> ProbeJob:
    words = {"action": "nginx", "params": {}, "tenant": 0, "plan_hash": PLAN, "by": "tests", "at": database_now(), "signer": KEY, **more}  # fmt: skip
    return acting.order(probe, key=key, **words)


def opened(job: ProbeJob) -> envelope.Envelope:
    return envelope.opened(job.body, KEY.public_key())


@pytest.fixture
def berlin() -> Probe:
    return afar.new_probe()


@pytest.fixture
def speaker(berlin: Probe) -> Speaker:
    """Its program, enrolled and speaking."""
    return Speaker.enrolled(berlin)


@pytest.fixture
def ends() -> Iterator[list[tuple[str, str]]]:
    """(key, state) of every end that was told."""
    heard: list[tuple[str, str]] = []

    def hear(sender: object, job: ProbeJob, **_: Any) -> None:
        heard.append((job.key, job.state))

    probe_job_finished.connect(hear)
    yield heard
    probe_job_finished.disconnect(hear)


def test_an_order_reaches_its_probe_sealed_for_it_alone(berlin, speaker):
    job = order(berlin, params={"days": 7}, seconds=30)
    (handed,) = speaker.work().json()["jobs"]
    assert (handed["id"], handed["kind"]) == (job.pk, "act")
    e = envelope.opened(handed["body"], KEY.public_key())
    me = hashlib.sha256(identity.public_of(speaker.who.key).encode()).hexdigest()
    assert (e.probe, e.job, e.action, e.params, e.plan_hash) == (me, "run-1", "nginx", {"days": 7}, PLAN)
    assert e.expires - e.issued == 30


def test_the_same_key_is_the_same_order(berlin, speaker):
    first = order(berlin)
    assert order(berlin).pk == first.pk and ProbeJob.objects.count() == 1
    paris = afar.new_probe("paris")
    Speaker.enrolled(paris)
    with pytest.raises(Refused, match="Another job has this key"):
        order(paris)


def test_counters_rise_also_when_time_went_back(berlin, speaker):
    """As after the clock was set, or a database was restored: the probe refuses what is not above the last."""
    now = database_now()
    counters = [opened(order(berlin, key=f"run-{n}", at=now - timedelta(minutes=n))).counter for n in range(4)]
    assert counters == sorted(set(counters))
    Probe.objects.filter(pk=berlin.pk).update(action_counter=0)
    later = opened(order(berlin, key="run-9", at=now + timedelta(seconds=1)))
    assert later.counter > max(counters), "the clock carries it over a loss"


def test_a_clients_own_probe_takes_that_clients_orders_only():
    lan = afar.new_probe("acme-lan", cast.acme())
    Speaker.enrolled(lan)
    with pytest.raises(Refused, match="another client"):
        order(lan, tenant=cast.globex().pk)
    assert opened(order(lan, tenant=lan.client_id)).tenant == lan.client_id


@pytest.mark.parametrize("wrong", [{"action": "rm -rf /"}, {"params": {"a": [1]}}, {"plan_hash": "x"}, {"seconds": 61}, {"seconds": 0}])  # fmt: skip
def test_what_is_no_order_is_refused_and_leaves_nothing(berlin, speaker, wrong):
    with pytest.raises(Refused):
        order(berlin, **wrong)
    berlin.refresh_from_db()
    assert not ProbeJob.objects.exists() and berlin.action_counter == 0


def test_a_probe_that_is_not_enrolled_or_revoked_takes_none(berlin):
    with pytest.raises(Refused, match="takes no jobs"):
        order(berlin)
    with pytest.raises(Refused, match="takes no jobs"):
        order(Probe.objects.get(slug="local"))


# --- How it ends --------------------------------------------------------------------------------------------------------
def finish(speaker: Speaker, job: ProbeJob, state: str) -> int:
    return speaker.ask("POST", f"jobs/{job.pk}", json.dumps({"state": state, "result": {"why": "x"}}).encode()).status_code  # fmt: skip


@pytest.mark.parametrize("state", ["done", "failed", "refused", "unknown"])
def test_what_the_probe_says_of_it_is_taken_and_told(berlin, speaker, ends, state):
    job = order(berlin)
    speaker.work()
    assert finish(speaker, job, state) == 200
    assert ends == [("run-1", state)]


@pytest.mark.parametrize("state", ["waiting", "taken", "gone"])
def test_an_order_does_not_end_as_something_that_is_no_end(berlin, speaker, ends, state):
    job = order(berlin)
    speaker.work()
    assert finish(speaker, job, state) == 400 and ends == []


def test_an_order_nobody_fetched_in_time_expires_and_is_told(berlin, speaker, ends):
    job = order(berlin, at=database_now() - timedelta(seconds=61))
    assert speaker.work().json()["jobs"] == []
    late = order(berlin, key="run-2")
    remote.end_jobs(database_now() + timedelta(seconds=61))
    job.refresh_from_db(), late.refresh_from_db()
    assert (job.state, late.state) == ("expired", "expired")
    assert ends == [("run-1", "expired"), ("run-2", "expired")]


def offer(berlin: Probe, seconds: int) -> None:
    said = {"name": "nginx", "kind": "script", "params": {}, "describe": "", "timeout_seconds": seconds}
    Probe.objects.filter(pk=berlin.pk).update(health={"actions_trusted": True, "actions": [said]})


@pytest.mark.parametrize("limit", [30, 600])
def test_an_order_without_an_answer_is_unknown_once_it_must_have_ended(berlin, speaker, ends, limit):
    offer(berlin, limit)
    job = order(berlin)
    speaker.work()
    job.refresh_from_db()
    over = job.taken_at + timedelta(seconds=max(limit, 60)) + remote.JOB_GRACE
    remote.end_jobs(over - timedelta(seconds=5))
    assert ends == [], "it may still be under way"
    remote.end_jobs(over + timedelta(seconds=5))
    assert ends == [("run-1", "unknown")]


def test_a_late_answer_takes_the_place_of_not_knowing(berlin, speaker, ends):
    job = order(berlin)
    speaker.work()
    remote.end_jobs(database_now() + timedelta(hours=1))
    assert finish(speaker, job, "done") == 200
    assert ends == [("run-1", "unknown"), ("run-1", "done")]
    assert finish(speaker, job, "failed") == 409 and len(ends) == 2


# --- What it may be asked -----------------------------------------------------------------------------------------------
OFFER = {
    "name": "clean", "kind": "script", "describe": "Old logs.\nReally.", "timeout_seconds": 30,
    "params": {"days": {"type": "int", "min": 1, "max": 30}, "kind": {"type": "choice", "choices": ["logs", "cache"]}, "site": {"type": "pattern", "pattern": "[a-z]+"}},
}  # fmt: skip


def test_what_a_probe_offers_is_taken_as_a_form_needs_it(berlin):
    (clean,) = acting.offers([OFFER])
    assert clean["describe"] == "Old logs. Really" and clean["params"]["days"]["max"] == 30
    assert clean["params"]["kind"]["choices"] == ["logs", "cache"]


@pytest.mark.parametrize(
    "wrong", [None, "clean", [1], [{**OFFER, "name": "<b>"}], [{**OFFER, "kind": "shell"}], [{**OFFER, "params": {"a": {"type": "text"}}}], [{**OFFER, "params": {"a": {"type": "int", "min": 5, "max": 1}}}]]
)  # fmt: skip
def test_what_does_not_fit_is_not_offered(wrong):
    assert acting.offers(wrong) == []


def test_a_probe_that_refuses_all_orders_offers_nothing(berlin):
    berlin.health = {"actions": [OFFER], "actions_trusted": False, "actions_why": "writable"}
    assert acting.offered(berlin) == []
    berlin.health["actions_trusted"] = True
    assert [o["name"] for o in acting.offered(berlin)] == ["clean"]
