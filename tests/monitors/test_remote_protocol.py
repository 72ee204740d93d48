"""Who may speak as a probe? Tokens that work once, keys that are pinned, requests that are fresh, one voice at a time."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.test import Client as Browser

from alerts.models import Alert
from monitors import blindness, remote
from monitors.models import Probe, ProbeJob
from monitors.probe import identity
from monitors.probe.clock import micros
from monitors.probe.identity import Identity
from portal.clock import database_now
from portal.errors import Refused
from portal.models import AuditEntry, OneTimeLink
from tests import cast
from tests.monitors import afar, rows
from tests.monitors.afar import Speaker

pytestmark = pytest.mark.django_db


def code(answer) -> str:
    return json.loads(answer.content)["error"]["code"]


# --- Enrolment -----------------------------------------------------------------------------------------------------------
def test_a_token_works_once_and_is_kept_as_a_hash():
    berlin = afar.new_probe()
    token = remote.new_token(berlin, by=cast.TESTS, at=database_now())
    secret, _ = identity.token_parts(token)
    assert not OneTimeLink.objects.filter(hash__contains=secret).exists()
    first, second = Speaker(Identity.new("https://portal.example")), Speaker(Identity.new("https://portal.example"))
    assert first.enroll(token).status_code == 200
    refused = second.enroll(token)
    assert (refused.status_code, code(refused)) == (403, "token")
    berlin.refresh_from_db()
    assert berlin.public_key == identity.public_of(first.who.key) and berlin.hostname == "box"
    assert AuditEntry.objects.filter(action="probe.enroll", subject_name=str(berlin)).exists()


def test_a_token_is_too_old_after_ten_minutes():
    berlin = afar.new_probe()
    token = remote.new_token(berlin, by=cast.TESTS, at=database_now() - timedelta(minutes=10, seconds=1))
    assert code(Speaker(Identity.new("https://portal.example")).enroll(token)) == "token"


def test_a_new_token_ends_the_one_before():
    berlin = afar.new_probe()
    old = remote.new_token(berlin, by=cast.TESTS, at=database_now())
    new = remote.new_token(berlin, by=cast.TESTS, at=database_now())
    assert Speaker(Identity.new("https://portal.example")).enroll(old).status_code == 403
    assert Speaker(Identity.new("https://portal.example")).enroll(new).status_code == 200


def test_a_token_leads_to_its_own_clients_probe_and_nowhere_else():
    """Whoever holds Globex's token becomes Globex's probe: what he may watch, he cannot choose."""
    mine, theirs = afar.new_probe("acme-lan", cast.acme()), afar.new_probe("globex-lan", cast.globex())
    speaker = Speaker.enrolled(theirs)
    mine.refresh_from_db()
    assert speaker.who.probe == theirs.pk and mine.public_key == ""


def test_nobody_enrols_with_a_key_he_does_not_hold():
    berlin = afar.new_probe()
    secret, _ = identity.token_parts(remote.new_token(berlin, by=cast.TESTS, at=database_now()))
    other = Identity.new("https://portal.example")
    body = json.dumps({"token": secret, "public_key": identity.public_of(other.key)}).encode()
    mine = Identity.new("https://portal.example")
    signature = identity.sign(mine.key, identity.request_text(0, "POST", "/probe/v1/enroll", 0, 0, "", body))
    answer = Browser().post("/probe/v1/enroll", body, content_type="application/json", headers={identity.SIGNATURE: signature})  # fmt: skip
    assert (answer.status_code, code(answer)) == (401, "signature")
    assert OneTimeLink.objects.get().used_at is None, "and the token is still good"


def test_two_probes_do_not_share_a_key():
    speaker = Speaker.enrolled(afar.new_probe())
    token = remote.new_token(afar.new_probe("paris"), by=cast.TESTS, at=database_now())
    assert (answer := speaker.enroll(token)).status_code == 409 and code(answer) == "key"


def test_the_token_names_the_portal_so_no_other_can_take_its_place():
    token = remote.new_token(afar.new_probe(), by=cast.TESTS, at=database_now())
    assert identity.token_parts(token)[1] == identity.fingerprint(remote.portal_public_key())
    with pytest.raises(ValueError, match="copy the whole of it"):
        identity.token_parts(token[:-3])


def test_the_built_in_probe_takes_no_token():
    with pytest.raises(Refused):
        remote.new_token(rows.probe(), by=cast.TESTS, at=database_now())


# --- Requests ------------------------------------------------------------------------------------------------------------
def test_a_request_counts_once():
    speaker = Speaker.enrolled(afar.new_probe())
    assert speaker.work().status_code == 200
    again = speaker.again()
    assert (again.status_code, code(again)) == (401, "replay")
    assert json.loads(again.content)["counter"] == speaker.counter, "the owner of the key may catch up"


def test_a_request_of_six_minutes_ago_is_refused():
    speaker = Speaker.enrolled(afar.new_probe())
    at_ms = micros(database_now() - timedelta(minutes=6)) // 1000
    assert code(speaker.work(at_ms=at_ms)) == "stale"
    assert code(speaker.work(at_ms=at_ms + 12 * 60_000)) == "stale", "nor one from the future"


@pytest.mark.parametrize("change", ["signature", "path", "body", "counter", "probe"])
def test_whatever_is_changed_on_the_way_breaks_the_signature(change):
    speaker, other = Speaker.enrolled(afar.new_probe()), Speaker.enrolled(afar.new_probe("paris"))
    speaker.post([])
    sent = speaker.last
    sent["headers"] = (
        {**sent["headers"], identity.COUNTER: str(speaker.counter + 5)} if change == "counter" else sent["headers"]
    )
    if change == "signature":
        sent["headers"] = {**sent["headers"], identity.SIGNATURE: "A" * 86 + "=="}
    if change == "path":
        sent["path"] = "/probe/v1/hello"
    if change == "body":
        sent["content"] = b"{}"
    if change == "probe":
        sent["headers"] = {**sent["headers"], identity.PROBE: str(other.who.probe)}
    answer = speaker.again()
    assert (answer.status_code, code(answer)) == (401, "signature")
    assert identity.SIGNATURE not in answer.headers, "strangers get nothing signed"


def test_a_revoked_probe_is_refused_from_that_moment_and_a_new_token_takes_it_back():
    berlin = afar.new_probe()
    speaker = Speaker.enrolled(berlin)
    m = rows.monitor(probes=[berlin])
    speaker.saw(m.pk, "u")
    remote.revoke(berlin, by=cast.TESTS, at=database_now())
    for answer in (speaker.work(), speaker.hello(), speaker.post([])):
        assert (answer.status_code, code(answer)) == (403, "revoked")
    view = m.views.get()
    assert view.stale and view.changed, "what it saw last does not vote"
    fresh = Speaker.enrolled(berlin)
    assert fresh.work().status_code == 200
    assert code(speaker.work()) == "signature", "the old key is nobody's"


def test_large_bodies_are_refused_before_they_are_read():
    speaker = Speaker.enrolled(afar.new_probe())
    assert speaker.ask("POST", "hello", b"x" * 70_000).status_code == 413
    assert speaker.ask("POST", "results", b"x" * (1024 * 1024 + 1)).status_code == 413


def test_other_methods_are_refused():
    assert Browser().get("/probe/v1/results").status_code == 405
    assert Browser().post("/probe/v1/work").status_code == 405


# --- One voice -----------------------------------------------------------------------------------------------------------
def test_a_second_process_waits_while_the_first_speaks_and_follows_when_it_is_silent():
    berlin = afar.new_probe()
    first = Speaker.enrolled(berlin)
    second = Speaker(first.who, instance="b" * 32, counter=1000)
    assert second.hello().status_code == 409
    Probe.objects.filter(pk=berlin.pk).update(last_seen_at=database_now() - timedelta(seconds=16))
    assert second.hello().status_code == 200 and second.work().status_code == 200
    first.counter = 2000
    assert first.work().status_code == 409, "a frozen machine that wakes does not speak between"
    assert not Alert.objects.exists(), "a restart is no clone"


def test_a_process_that_takes_its_leave_is_followed_at_once():
    first = Speaker.enrolled(afar.new_probe())
    assert first.hello(leaving=True).status_code == 200
    second = Speaker(first.who, instance="b" * 32, counter=first.counter)
    assert second.hello().status_code == 200


def test_two_that_live_with_one_key_raise_one_alert_which_ends_with_the_second():
    berlin = afar.new_probe()
    first = Speaker.enrolled(berlin)
    second = Speaker(first.who, instance="b" * 32, counter=1000)
    second.hello()
    first.work()
    second.hello()
    first.work()
    alert = Alert.objects.get(resolved_at=None)
    assert (alert.source, alert.condition, alert.entity_id) == ("probe", "cloned", str(berlin.pk))
    blindness.look_at_remote(database_now() + timedelta(seconds=5))
    assert Alert.objects.filter(resolved_at=None, condition="cloned").exists()
    Probe.objects.filter(pk=berlin.pk).update(last_seen_at=database_now() + timedelta(seconds=61))
    blindness.look_at_remote(database_now() + timedelta(seconds=61))
    assert not Alert.objects.filter(resolved_at=None).exists()


# --- Jobs ----------------------------------------------------------------------------------------------------------------
def job(probe: Probe, key: str = "k") -> ProbeJob:
    return remote.ask(probe, "noop", {}, key=key, by="tests", at=database_now(), within=timedelta(seconds=30))


def test_a_job_is_given_out_once_and_its_outcome_taken_once():
    berlin = afar.new_probe()
    speaker = Speaker.enrolled(berlin)
    berlin.refresh_from_db()
    asked = job(berlin)
    assert job(berlin).pk == asked.pk, "the same key is the same job"
    assert [j["id"] for j in speaker.work().json()["jobs"]] == [asked.pk]
    assert speaker.work().json()["jobs"] == []
    done = json.dumps({"state": "done", "result": {"a": 1}}).encode()
    assert speaker.ask("POST", f"jobs/{asked.pk}", done).status_code == 200
    assert speaker.ask("POST", f"jobs/{asked.pk}", done).status_code == 409
    asked.refresh_from_db()
    assert (asked.state, asked.result) == ("done", {"a": 1})


def test_another_probes_job_does_not_exist():
    berlin = afar.new_probe()
    Speaker.enrolled(berlin)
    berlin.refresh_from_db()
    asked, other = job(berlin), Speaker.enrolled(afar.new_probe("paris"))
    assert other.ask("POST", f"jobs/{asked.pk}", b'{"state": "done", "result": {}}').status_code == 404


def test_a_job_nobody_took_expires_and_one_without_an_answer_is_unknown():
    berlin = afar.new_probe()
    speaker = Speaker.enrolled(berlin)
    berlin.refresh_from_db()
    taken = job(berlin, "taken")
    speaker.work()
    waiting = job(berlin, "waiting")
    remote.end_jobs(database_now() + timedelta(seconds=91))
    taken.refresh_from_db(), waiting.refresh_from_db()
    assert (taken.state, waiting.state) == ("unknown", "expired")
    assert speaker.work().json()["jobs"] == []


# --- The API -------------------------------------------------------------------------------------------------------------
def test_staff_make_a_probe_get_its_token_once_and_revoke_it():
    staff = cast.api(cast.make_staff())
    made = staff.post("/api/v1/probes", {"name": "Berlin", "tags": ["eu"]}).json()
    assert made["enrol_token"].startswith("wkp_") and made["tags"] == ["eu"]
    where = f"/api/v1/probes/{made['id']}"
    assert "enrol_token" not in staff.get(where).json()
    again = staff.post(f"{where}/token")
    assert again.status_code == 201 and again.json()["enrol_token"] != made["enrol_token"]
    assert staff.post(f"{where}/revoke").json()["health"] == "revoked"
    assert staff.post(f"{where}/revoke").status_code == 409


@pytest.mark.parametrize("verb", ["token", "revoke"])
def test_a_clients_people_neither_enrol_nor_revoke(verb):
    private = cast.probe(cast.acme())
    assert cast.api(cast.alice()).post(f"/api/v1/probes/{private.pk}/{verb}").status_code == 403
    assert cast.api(cast.mallory()).post(f"/api/v1/probes/{private.pk}/{verb}").status_code == 404
