"""Outside systems post alerts: PagerDuty's body, Alertmanager's webhook, any JSON by a mapping. Again, late, wrong, too fast."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.cache import cache
from django.db import IntegrityError
from rest_framework.test import APIClient

from alerts import acts, integrations
from alerts.inbound import taking
from alerts.models import Alert, Integration, Notice
from portal.audit import Actor
from portal.clock import database_now
from tests import cast
from tests.alerts import outside, stage
from tests.rig.abreast import abreast

pytestmark = pytest.mark.django_db
EVENTS, ENQUEUE = "/api/v1/events", "/v2/enqueue"
ALERTMANAGER, GENERIC = "/api/v1/inbound/alertmanager", "/api/v1/inbound/generic"


@pytest.fixture(autouse=True)
def fresh_counters():
    cache.clear()


# --- PagerDuty Events v2 -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("where", [EVENTS, ENQUEUE, f"{EVENTS}/", f"{ENQUEUE}/"])
def test_the_documented_body_opens_an_alert_and_is_answered_as_pagerduty_does(where):
    row, key = outside.integration(site=cast.site(), service=cast.service(), tags=["Prod", "noc"])
    answer = outside.post(where, outside.event(key))
    assert answer.status_code == 202
    assert answer.json() == {"status": "success", "message": "Event processed", "dedup_key": "srv01/HTTP"}
    (alert,) = outside.open_alerts()
    assert (alert.source, alert.entity_type, alert.entity_id) == ("external", "external", f"{row.pk}:srv01/HTTP")
    assert (alert.title, alert.severity, alert.entity_name) == (
        "Example alert on host1.example.com",
        "critical",
        "postgres",
    )
    assert (alert.client, alert.site, alert.service) == (cast.acme(), cast.site(), cast.service())
    assert alert.tags == ["noc", "prod", "prod-datapipe"]
    assert alert.message.splitlines() == ["Example alert on host1.example.com", "ping time: 1500ms", "load avg: 0.75"]
    assert alert.evidence["link"] == "https://monitoring.example.com"
    assert [link["href"] for link in alert.evidence["links"]] == [
        "https://monitoring.example.com",
        "https://example.com/runbook",
    ]
    assert Notice.objects.get(alert=alert).type == "external.deploy"


def test_trigger_again_acknowledge_and_resolve_are_one_alert_that_tells_once():
    channel = stage.webhook()
    stage.trigger(channel)
    _, key = outside.integration()
    for _ in range(5):
        assert outside.post(EVENTS, outside.event(key)).status_code == 202
    (alert,) = outside.open_alerts()
    assert [n.kind for n in alert.notices.all()] == ["opened"]
    assert outside.post(EVENTS, outside.event(key, "acknowledge")).status_code == 202
    alert.refresh_from_db()
    assert (alert.status, alert.acknowledged_by) == ("acknowledged", "Our events")
    stage.drain(database_now())
    assert outside.post(EVENTS, outside.event(key, "resolve")).status_code == 202
    alert.refresh_from_db()
    assert (alert.status, alert.resolved_by) == ("resolved", "")
    assert list(alert.notices.order_by("seq").values_list("type", flat=True)) == [
        "external.deploy",
        "external.deploy.resolved",
    ]


def test_an_error_after_a_warning_is_told_again_and_a_fall_is_not():
    _, key = outside.integration()
    for severity in ("warning", "error", "info"):
        outside.post(EVENTS, outside.event(key, severity=severity))
    (alert,) = outside.open_alerts()
    assert alert.severity == "info"
    assert [(n.kind, n.severity) for n in alert.notices.order_by("seq")] == [
        ("opened", "warning"),
        ("raised", "critical"),
    ]


def test_without_a_dedup_key_one_is_made_and_given_back():
    _, key = outside.integration()
    made = {outside.post(EVENTS, outside.event(key, dedup=None)).json()["dedup_key"] for _ in range(2)}
    assert len(made) == 2 and len(outside.open_alerts()) == 2
    outside.post(EVENTS, outside.event(key, "resolve", made.pop()))
    assert len(outside.open_alerts()) == 1


def test_what_a_person_closed_opens_anew_with_the_next_trigger():
    _, key = outside.integration()
    outside.post(EVENTS, outside.event(key))
    acts.resolve(outside.open_alerts()[0], by=Actor("Ana"), at=database_now())
    outside.post(EVENTS, outside.event(key))
    assert Alert.objects.count() == 2 and len(outside.open_alerts()) == 1


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_a_word_about_what_is_not_open_is_accepted_and_changes_nothing(action):
    _, key = outside.integration()
    assert outside.post(EVENTS, outside.event(key, action)).status_code == 202
    assert not Alert.objects.exists()


def test_long_keys_stay_apart_and_two_integrations_never_share_an_alert():
    _, one = outside.integration()
    _, two = outside.integration(name="Another")
    long = "k" * 250
    for key, dedup in ((one, f"{long}-a"), (one, f"{long}-b"), (two, f"{long}-a")):
        assert outside.post(EVENTS, outside.event(key, dedup=dedup)).json()["dedup_key"] == dedup
    assert len(outside.open_alerts()) == 3
    assert all(len(a.condition) <= 80 and len(a.entity_id) <= 120 for a in outside.open_alerts())
    outside.post(EVENTS, outside.event(one, "resolve", f"{long}-a"))
    assert len(outside.open_alerts()) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"event_action": "explode"}, "event_action"),
        ({"payload": None}, "'payload' is missing"),
        ({"payload": {"summary": "", "source": "x", "severity": "critical"}}, "'payload.summary'"),
        ({"payload": {"summary": "x", "severity": "critical"}}, "'payload.source'"),
        ({"payload": {"summary": "x", "source": "x", "severity": "terrible"}}, "'payload.severity'"),
        ({"dedup_key": "x" * 256}, "255"),
        ({"dedup_key": {}}, "'dedup_key'"),
        ({"event_action": "resolve", "dedup_key": ""}, "'dedup_key'"),
        ({"routing_key": ""}, "'routing_key' is missing"),
        ({"routing_key": 7}, "'routing_key' is missing"),
        ({"routing_key": "a" * 32}, "'routing_key' is invalid"),
        ({"routing_key": "<script>"}, "'routing_key' is invalid"),
    ],
)
def test_mistakes_are_named_in_pagerdutys_own_shape(change, words):
    _, key = outside.integration()
    answer = outside.post(EVENTS, {**outside.event(key), **change})
    assert answer.status_code == 400
    body = answer.json()
    assert (body["status"], body["message"]) == ("invalid event", "Event object is invalid")
    assert words in " ".join(body["errors"])
    assert not Alert.objects.exists()


def test_every_mistake_is_named_at_once():
    _, key = outside.integration()
    errors = outside.post(EVENTS, {"routing_key": key, "event_action": "trigger", "payload": {}}).json()["errors"]
    assert len(errors) == 3


# --- Alertmanager ------------------------------------------------------------------------------------------------------
def test_the_documented_webhook_opens_an_alert_for_each_that_fires():
    row, key = outside.integration("alertmanager")
    body = outside.webhook(outside.prometheus(), outside.prometheus(name="db2:9100", severity="warning", team="db"))
    answer = outside.post(ALERTMANAGER, body, key)
    assert (answer.status_code, answer.json()) == (200, {"status": "success", "received": 2, "opened": 2})
    one, two = outside.open_alerts()
    assert (one.title, one.severity, one.entity_name, one.entity_id) == (
        "Load of db1:9100 is high",
        "critical",
        "db1:9100",
        f"{row.pk}:fp-db1:9100",
    )
    assert one.message.startswith("db1:9100 has a load above 20") and one.evidence["link"].startswith(
        "http://prometheus.example"
    )
    assert (two.severity, two.tags) == ("warning", ["job:node", "team:db"])
    assert Notice.objects.filter(type="external.high_load").count() == 2


def test_the_same_group_again_and_again_is_the_same_alert():
    _, key = outside.integration("alertmanager")
    for _ in range(4):
        assert outside.post(ALERTMANAGER, outside.webhook(outside.prometheus()), key).status_code == 200
    (alert,) = outside.open_alerts()
    assert alert.notices.count() == 1
    for _ in range(3):
        outside.post(ALERTMANAGER, outside.webhook(outside.prometheus("resolved")), key)
    assert not outside.open_alerts() and Alert.objects.count() == 1


def test_one_of_a_group_resolves_and_the_other_goes_on():
    _, key = outside.integration("alertmanager")
    outside.post(ALERTMANAGER, outside.webhook(outside.prometheus(), outside.prometheus(name="db2:9100")), key)
    outside.post(
        ALERTMANAGER, outside.webhook(outside.prometheus("resolved"), outside.prometheus(name="db2:9100")), key
    )
    assert [a.entity_name for a in outside.open_alerts()] == ["db2:9100"]


@pytest.mark.parametrize("seen_before", [True, False])
def test_a_firing_that_comes_after_its_resolved_does_not_open_it_again(seen_before):
    _, key = outside.integration("alertmanager")
    if seen_before:
        outside.post(ALERTMANAGER, outside.webhook(outside.prometheus()), key)
    outside.post(ALERTMANAGER, outside.webhook(outside.prometheus("resolved")), key)
    late = outside.post(ALERTMANAGER, outside.webhook(outside.prometheus()), key)
    assert (late.status_code, late["Retry-After"]) == (503, "60")
    assert not outside.open_alerts()


def test_an_alert_that_goes_on_because_its_source_was_away_is_taken_when_it_is_sent_again(monkeypatch):
    _, key = outside.integration("alertmanager")
    outside.post(ALERTMANAGER, outside.webhook(outside.prometheus("resolved")), key)
    monkeypatch.setattr(taking, "SETTLING", taking.timedelta(0))
    assert outside.post(ALERTMANAGER, outside.webhook(outside.prometheus()), key).status_code == 200
    assert len(outside.open_alerts()) == 1


def test_a_new_episode_right_after_the_last_opens_at_once():
    _, key = outside.integration("alertmanager")
    outside.post(ALERTMANAGER, outside.webhook(outside.prometheus("resolved")), key)
    again = outside.webhook(outside.prometheus(starts="2026-11-21T10:08:00Z"))
    assert outside.post(ALERTMANAGER, again, key).status_code == 200
    assert len(outside.open_alerts()) == 1


def test_a_late_resolved_of_the_last_episode_does_not_close_the_new_one():
    _, key = outside.integration("alertmanager")
    outside.post(ALERTMANAGER, outside.webhook(outside.prometheus()), key)
    outside.post(ALERTMANAGER, outside.webhook(outside.prometheus(starts="2026-11-21T10:30:00.123456789Z")), key)
    outside.post(ALERTMANAGER, outside.webhook(outside.prometheus("resolved")), key)
    assert len(outside.open_alerts()) == 1
    over = outside.prometheus("resolved", "2026-11-21T10:30:00.123456789Z", "2026-11-21T10:40:00Z")
    outside.post(ALERTMANAGER, outside.webhook(over), key)
    assert not outside.open_alerts()


def test_what_else_is_in_a_body_counts_although_one_of_it_is_late():
    _, key = outside.integration("alertmanager")
    outside.post(ALERTMANAGER, outside.webhook(outside.prometheus("resolved")), key)
    both = outside.webhook(outside.prometheus(), outside.prometheus(name="db2:9100"))
    assert outside.post(ALERTMANAGER, both, key).status_code == 503
    assert [a.entity_name for a in outside.open_alerts()] == ["db2:9100"]


def test_without_fingerprint_and_annotations_the_labels_are_enough():
    _, key = outside.integration("alertmanager")
    bare = {"status": "firing", "labels": {"alertname": "Watchdog", "severity": "weird"}}
    for _ in range(2):
        assert outside.post(ALERTMANAGER, {"alerts": [bare]}, key).status_code == 200
    (alert,) = outside.open_alerts()
    assert (alert.title, alert.severity) == ("Watchdog", "warning")
    assert "weird" in Integration.objects.get().last_problem


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"alert": []}, "list of alerts"),
        ([], "a list"),
        ({"alerts": [7]}, "alerts[0]"),
        ({"alerts": [{"labels": {"a": "b"}}]}, "alerts[0].status"),
        ({"alerts": [{"status": "firing"}]}, "alerts[0].labels"),
        ({"alerts": [{"status": "firing", "labels": {"a": "b"}}] * 2001}, "max_alerts"),
    ],
)
def test_another_body_is_refused_with_what_was_expected(body, words):
    _, key = outside.integration("alertmanager")
    answer = outside.post(ALERTMANAGER, body, key)
    assert answer.status_code == 400 and words in answer.json()["error"]["message"]
    assert Integration.objects.get().last_problem.startswith("Refused: ")


def test_alerts_that_the_sender_left_out_are_noticed():
    _, key = outside.integration("alertmanager")
    outside.post(ALERTMANAGER, outside.webhook(outside.prometheus(), truncatedAlerts=12), key)
    assert "12" in Integration.objects.get().last_problem


# --- Any JSON ----------------------------------------------------------------------------------------------------------
RMM = {
    "alert": {"id": 55, "title": "Disk is full", "text": "C: has 1 % left"}, "device": {"name": "FS01"}, "priority": "P1", "status": "NEW", "url": "https://rmm.example/55",
    "groups": ["Servers", "Lisbon"],
}  # fmt: skip


def test_a_mapped_body_triggers_acknowledges_and_resolves():
    row, key = outside.integration("generic")
    answer = outside.post(GENERIC, RMM, key)
    assert (answer.status_code, answer.json()) == (200, {"status": "success", "received": 1, "opened": 1})
    (alert,) = outside.open_alerts()
    assert (alert.title, alert.message, alert.severity, alert.entity_name) == (
        "Disk is full",
        "C: has 1 % left",
        "critical",
        "FS01",
    )
    assert (alert.entity_id, alert.tags, alert.evidence["link"]) == (
        f"{row.pk}:55",
        ["lisbon", "servers"],
        "https://rmm.example/55",
    )
    outside.post(GENERIC, {**RMM, "status": "SEEN"}, key)
    assert Alert.objects.get().status == "acknowledged"
    outside.post(GENERIC, {**RMM, "status": "RESET"}, key)
    assert Alert.objects.get().status == "resolved"


def test_an_alarm_with_holes_is_told_all_the_same_and_its_holes_are_said():
    _, key = outside.integration("generic")
    assert outside.post(GENERIC, {"device": {"name": "FS01"}, "alert": {"id": 1}}, key).status_code == 200
    assert outside.open_alerts()[0].title == "Event of FS01"
    assert (
        Integration.objects.get().last_problem
        == "title: nothing was found at $.alert.title in an object with device, alert."
    )
    outside.post(GENERIC, RMM, key)
    assert Integration.objects.get().last_problem == ""


def test_a_link_that_could_run_is_not_kept():
    _, key = outside.integration("generic")
    outside.post(GENERIC, {**RMM, "url": "javascript:alert(1)"}, key)
    assert "link" not in outside.open_alerts()[0].evidence
    assert "link" in Integration.objects.get().last_problem


# --- Whoever posts -----------------------------------------------------------------------------------------------------
def test_a_wrong_key_and_none_are_answered_alike():
    outside.integration("alertmanager")
    body = outside.webhook(outside.prometheus())
    answers = [outside.post(ALERTMANAGER, body, key) for key in ("", "a" * 32, "' or 1=1", "☂" * 9)]
    assert {a.status_code for a in answers} == {401}
    assert len({a.content for a in answers}) == 1


def test_the_key_may_come_as_a_bearer():
    _, key = outside.integration("alertmanager")
    answer = outside.post(ALERTMANAGER, outside.webhook(outside.prometheus()), HTTP_AUTHORIZATION=f"Bearer {key}")
    assert answer.status_code == 200


@pytest.mark.parametrize(("kind", "where"), [("events", EVENTS), ("alertmanager", ALERTMANAGER), ("generic", GENERIC)])
def test_switched_off_rotated_and_revoked_keys_open_nothing(kind, where):
    row, key = outside.integration(kind)

    def status(plain: str) -> int:
        body = {"events": outside.event(plain), "alertmanager": outside.webhook(outside.prometheus()), "generic": RMM}[
            kind
        ]
        return outside.post(where, body, "" if kind == "events" else plain).status_code

    wrong = 400 if kind == "events" else 401
    integrations.change(row, by=cast.TESTS, enabled=False)
    assert status(key) == 403
    integrations.change(row, by=cast.TESTS, enabled=True)
    new = integrations.rotate(row, by=cast.TESTS)
    assert (status(key), status(new) < 300) == (wrong, True)
    integrations.revoke(row, by=cast.TESTS)
    assert status(new) == wrong


def test_a_clients_integration_is_silent_while_the_client_is_inactive():
    _, key = outside.integration()
    client = cast.acme()
    client.active = False
    client.save()
    assert outside.post(EVENTS, outside.event(key)).status_code == 403


def test_a_key_of_another_kind_says_where_to_post():
    _, key = outside.integration("alertmanager")
    answer = outside.post(EVENTS, outside.event(key))
    assert answer.status_code == 400 and "/api/v1/inbound/alertmanager" in answer.json()["errors"][0]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\xff\xfe{", "UTF-8"),
        (b"{", "not JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'"text"', "text"),
        (b"", "alerts"),
        (b"a=b&c=d", "not JSON"),
    ],
)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_cannot_be_read_is_400_with_what_was_expected(raw, words, content_type):
    _, key = outside.integration("alertmanager")
    answer = APIClient().generic("POST", f"{ALERTMANAGER}?key={key}", raw, content_type=content_type)
    assert answer.status_code == 400 and words in answer.json()["error"]["message"], answer.json()


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-www-form-urlencoded", "application/octet-stream", "junk"]
)
def test_good_json_is_read_whatever_its_content_type(content_type):
    """curl -d says it is a form; PowerShell begins with a byte order mark."""
    _, key = outside.integration()
    raw = b"\xef\xbb\xbf" + json.dumps(outside.event(key)).encode()
    assert (
        APIClient(enforce_csrf_checks=True).generic("POST", EVENTS, raw, content_type=content_type).status_code == 202
    )


@pytest.mark.parametrize("where", [EVENTS, ALERTMANAGER, GENERIC])
def test_more_than_512_kb_is_413(where):
    _, key = outside.integration("generic")
    answer = APIClient().generic(
        "POST", f"{where}?key={key}", b'{"a": "' + b"x" * 512 * 1024 + b'"}', content_type="application/json"
    )
    assert answer.status_code == 413 and "512 KB" in answer.json().get("message", "") + str(
        answer.json().get("error", "")
    )


def test_a_body_in_chunks_is_told_to_come_whole():
    """Django reads no body without a length: it would look empty."""
    answer = APIClient().post(EVENTS, HTTP_TRANSFER_ENCODING="chunked")
    assert answer.status_code == 400 and "Content-Length" in answer.json()["errors"][0]


def test_what_no_database_stores_is_cleaned_and_told():
    _, key = outside.integration()
    raw = json.dumps(
        outside.event(
            key, dedup="a\x00b", summary="bad \x00\ud83d bytes\u2028here", custom_details={"x": "\x00", "n": 1e999}
        )
    ).encode()
    assert APIClient().generic("POST", EVENTS, raw, content_type="application/json").status_code == 202
    assert outside.open_alerts()[0].title == "bad bytes here"


def test_markup_is_kept_as_text_and_shown_as_text():
    _, key = outside.integration()
    outside.post(EVENTS, outside.event(key, summary="<script>alert(1)</script>", source="<img src=x>"))
    browser = APIClient()
    browser.force_login(cast.make_staff())
    page = browser.get(f"/alerts/{outside.open_alerts()[0].pk}/").content.decode()
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page and "<img src=x>" not in page


def test_a_flood_of_one_key_is_429_and_other_keys_go_on(monkeypatch):
    monkeypatch.setattr("alerts.api.inbound.RATE", "3/min")
    monkeypatch.setattr("alerts.api.inbound.time", SimpleNamespace(time=lambda: 1_000_000_010.0))
    _, loud = outside.integration()
    _, calm = outside.integration(name="Calm")
    answers = [outside.post(EVENTS, outside.event(loud, dedup=str(n))) for n in range(5)]
    assert [a.status_code for a in answers] == [202] * 3 + [429] * 2
    assert answers[-1].json()["status"] == "throttle exceeded" and answers[-1]["Retry-After"] == "10"
    assert len(outside.open_alerts()) == 3
    assert outside.post(EVENTS, outside.event(calm)).status_code == 202


def test_a_flood_of_wrong_keys_asks_the_database_nothing(monkeypatch, django_assert_num_queries):
    monkeypatch.setattr("alerts.api.inbound.RATE", "0/min")
    with django_assert_num_queries(0):
        assert outside.post(EVENTS, outside.event("a" * 32)).status_code == 429


def test_a_message_says_since_when_it_fires_over_there():
    _, key = outside.integration("alertmanager")
    began = database_now() - timedelta(minutes=7)
    outside.post(ALERTMANAGER, outside.webhook(outside.prometheus(starts=began.isoformat())), key)
    assert 420 <= Notice.objects.get().snapshot["duration_seconds"] < 480
    outside.post(ALERTMANAGER, outside.webhook(outside.prometheus(name="db2", starts="1970-01-01T00:00:00Z")), key)
    assert Notice.objects.latest("pk").snapshot["duration_seconds"] < 60


@pytest.mark.django_db(transaction=True)
def test_ten_posts_of_one_event_at_the_same_moment_are_one_alert():
    _, key = outside.integration()
    answers = abreast(lambda _: outside.post(EVENTS, outside.event(key)).status_code, 10)
    assert answers == [202] * 10
    (alert,) = Alert.objects.all()
    assert alert.notices.count() == 1


def test_two_that_open_the_same_alert_at_the_same_moment_are_repeated(monkeypatch):
    _, key = outside.integration()
    real, tries = taking.report, []

    def collides(reports, **values):
        tries.append(1)
        if len(tries) < 3:
            raise IntegrityError("one_open_alert_per_identity")
        return real(reports, **values)

    monkeypatch.setattr(taking, "report", collides)
    assert outside.post(EVENTS, outside.event(key)).status_code == 202
    assert (len(tries), len(outside.open_alerts())) == (3, 1)


def test_a_collision_that_does_not_end_is_503_so_that_the_sender_repeats_it(monkeypatch):
    _, key = outside.integration()

    def collides(reports, **values):
        raise IntegrityError("one_open_alert_per_identity")

    monkeypatch.setattr(taking, "report", collides)
    answer = outside.post(EVENTS, outside.event(key))
    assert (answer.status_code, answer["Retry-After"]) == (503, "1") and "errors" in answer.json()


def test_only_post_is_answered():
    for where in (EVENTS, ALERTMANAGER, GENERIC):
        assert APIClient().get(where).status_code == 405


def test_deleting_an_integration_closes_its_alerts_quietly():
    row, key = outside.integration()
    other, theirs = outside.integration(name="Other")
    outside.post(EVENTS, outside.event(key))
    outside.post(EVENTS, outside.event(theirs))
    stage.drain(database_now())
    integrations.delete(row, by=cast.TESTS)
    assert [a.entity_id for a in outside.open_alerts()] == [f"{other.pk}:srv01/HTTP"]
    assert not Notice.objects.filter(kind="recovered").exists()
