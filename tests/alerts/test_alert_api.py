"""Alerts over the API: bodies as in SPEC 19, what people do about them, and who may."""

from __future__ import annotations

import pytest

from alerts.models import Alert, Delivery
from portal.models import AuditEntry
from tests import cast
from tests.alerts import stage

pytestmark = pytest.mark.django_db

KEYS = [
    "id",
    "source",
    "event",
    "type",
    "severity",
    "status",
    "entity_type",
    "entity_id",
    "entity_name",
    "monitor_id",
    "client",
    "site_id",
    "service_id",
    "incident_id",
    "title",
    "message",
    "verdict",
    "evidence",
    "report_url",
    "hold_reason",
    "snoozed_until",
    "created_at",
    "notified_at",
    "acknowledged_at",
    "acknowledged_by",
    "resolved_at",
    "is_resolved",
]


@pytest.fixture
def alert() -> Alert:
    stage.trigger(stage.webhook(of=cast.acme()), client=cast.acme())
    (opened,) = stage.tell(stage.failing(7, site_id=cast.site().pk))
    return opened


def test_an_alert_reads_as_the_specification_says(alert):
    caller = cast.api(cast.make_staff())
    body = caller.get(f"/api/v1/alerts/{alert.pk}").json()
    assert list(body) == KEYS
    assert (body["source"], body["event"], body["type"], body["severity"]) == (
        "endpoint",
        "consecutive_failure",
        "monitor.down",
        "critical",
    )
    assert (body["status"], body["entity_id"], body["monitor_id"], body["is_resolved"]) == ("open", 7, 7, False)
    assert body["created_at"] == "2026-11-21T12:00:00.000Z" and body["hold_reason"] is None
    assert caller.get("/api/v1/alerts").json()["results"] == [body]
    assert caller.get("/api/v1/alerts/").json()["results"] == [body]


def test_lists_are_filtered(alert):
    stage.tell(
        stage.failing(8, severity="warning", event="degraded"),
        stage.failing(9, client=cast.globex(), source="heartbeat", event="deadline_missed"),
    )
    stage.tell(stage.well(8))
    caller = cast.api(cast.make_staff())

    def seen(query: str) -> list[int]:
        answer = caller.get(f"/api/v1/alerts?{query}")
        assert answer.status_code == 200, answer.json()
        return [a["monitor_id"] for a in answer.json()["results"]]

    assert seen("") == [9, 8, 7]
    assert seen("status=active") == seen("resolved=false") == seen("status=open") == [9, 7]
    assert seen("status=resolved") == seen("resolved=true") == [8]
    assert seen("severity=warning") == [8] and seen("source=heartbeat") == [9]
    assert seen(f"client={cast.globex().pk}") == [9] and seen(f"site_id={cast.site().pk}") == [7]
    assert seen("limit=1") == [9] and seen("monitor_id=7") == [7]
    assert [a["monitor_id"] for a in caller.get("/api/v1/alerts/active").json()["results"]] == [9, 7]
    assert [a["monitor_id"] for a in caller.get("/api/v1/alerts/active/?source=endpoint").json()["results"]] == [7]


@pytest.mark.parametrize("query", ["status=bogus", "severity=high", "source=moon", "site_id=abc", "limit=0", "limit=x"])
def test_a_filter_that_makes_no_sense_is_400_at_its_name(query):
    answer = cast.api(cast.make_staff()).get(f"/api/v1/alerts?{query}")
    assert answer.status_code == 400 and query.partition("=")[0] in answer.json()["error"]["fields"]


def test_a_list_costs_the_same_with_three_alerts_and_with_thirty(alert, django_assert_max_num_queries):
    caller = cast.api(cast.make_staff())
    caller.get("/api/v1/alerts")
    stage.tell(*(stage.failing(n) for n in range(100, 130)))
    with django_assert_max_num_queries(4):
        assert len(caller.get("/api/v1/alerts").json()["results"]) == 31


def test_somebody_takes_it_and_again_is_harmless(alert):
    caller = cast.api(cast.make_staff())
    body = caller.post(f"/api/v1/alerts/{alert.pk}/acknowledge", {"acknowledged_by": "ana"}).json()
    assert (body["status"], body["acknowledged_by"], body["is_resolved"]) == ("acknowledged", "ana", False)
    again = caller.post(f"/api/v1/alerts/{alert.pk}/acknowledge", {"acknowledged_by": "bob"})
    assert again.status_code == 200 and again.json()["acknowledged_by"] == "ana"
    entry = AuditEntry.objects.get(action="alert.acknowledge")
    assert "sam@msp.example" in entry.actor and entry.client_id == alert.client_id


def test_without_a_name_it_is_whoever_calls(alert):
    body = cast.api(cast.alice()).post(f"/api/v1/alerts/{alert.pk}/acknowledge").json()
    assert "alice@acme.example" in body["acknowledged_by"]


@pytest.mark.parametrize("method", ["post", "patch"])
def test_a_person_says_it_is_over(alert, method):
    caller = cast.api(cast.make_staff())
    body = getattr(caller, method)(f"/api/v1/alerts/{alert.pk}/resolve").json()
    assert body["is_resolved"] is True and body["status"] == "resolved" and body["resolved_at"]
    again = caller.post(f"/api/v1/alerts/{alert.pk}/resolve")
    assert again.status_code == 409 and "already" in again.json()["error"]["message"]
    assert caller.post(f"/api/v1/alerts/{alert.pk}/acknowledge").status_code == 409
    (reopened,) = stage.tell(stage.failing(7, stage.later(1)))
    assert reopened.pk != alert.pk


def test_snoozed_for_half_an_hour_or_until_it_has_recovered(alert):
    caller = cast.api(cast.make_staff())
    body = caller.post(f"/api/v1/alerts/{alert.pk}/snooze", {"minutes": 30}).json()
    assert body["snoozed_until"] and body["hold_reason"] == "snoozed"
    assert [state for _, state in stage.told(alert)] == ["held"]
    body = caller.post(f"/api/v1/alerts/{alert.pk}/snooze", {"until_recovered": True}).json()
    assert body["snoozed_until"] is None and body["hold_reason"] == "snoozed"


@pytest.mark.parametrize(
    "body", [{}, {"minutes": 0}, {"minutes": "x"}, {"minutes": 999999}, {"minutes": 5, "until_recovered": True}]
)
def test_a_snooze_needs_a_length_it_can_have(alert, body):
    answer = cast.api(cast.make_staff()).post(f"/api/v1/alerts/{alert.pk}/snooze", body)
    assert answer.status_code == 400 and "minutes" in answer.json()["error"]["fields"]


def test_an_alerts_deliveries_with_every_attempt(alert):
    (row,) = stage.claim(stage.T)
    stage.ends(row, "retry", stage.T, code=503, error="HTTP 503", duration_ms=12.5)
    (row,) = stage.claim(stage.later(seconds=30))
    stage.ends(row, "delivered", stage.later(seconds=30), code=200, duration_ms=9.0)
    (body,) = cast.api(cast.alice()).get(f"/api/v1/alerts/{alert.pk}/deliveries").json()["results"]
    assert (body["alert"], body["channel"], body["event"], body["state"]) == (
        alert.pk,
        row.channel_id,
        "down",
        "delivered",
    )
    assert [(a["outcome"], a["response_code"], a["duration_ms"], a["error"]) for a in body["attempts"]] == [
        ("retry", 503, 12.5, "HTTP 503"),
        ("delivered", 200, 9.0, ""),
    ]
    assert (
        cast.api(cast.make_staff()).get(f"/api/v1/alerts/{alert.pk}").json()["notified_at"]
        == "2026-11-21T12:00:30.000Z"
    )


def test_the_log_of_attempts_is_filtered_and_a_failed_one_tried_again(alert):
    (row,) = stage.claim(stage.T)
    stage.ends(row, "permanent", stage.T, code=404, error="HTTP 404: no such hook")
    caller = cast.api(cast.make_staff())
    (entry,) = caller.get(f"/api/v1/notification-logs?alert={alert.pk}").json()["results"]
    assert (entry["outcome"], entry["response_code"], entry["state"], entry["channel_name"], entry["error"]) == (
        "permanent",
        404,
        "failed",
        "ops",
        "HTTP 404: no such hook",
    )
    for query, count in (
        ("state=failed", 1),
        ("state=delivered", 0),
        (f"channel={row.channel_id}", 1),
        (f"client={cast.globex().pk}", 0),
        ("alert=0", 0),
    ):
        assert len(caller.get(f"/api/v1/notification-logs?{query}").json()["results"]) == count, query
    (listed,) = caller.get("/api/v1/deliveries?state=failed").json()["results"]
    tried = caller.post(f"/api/v1/deliveries/{listed['id']}/retry").json()
    assert tried["state"] == "pending"
    assert caller.post(f"/api/v1/deliveries/{listed['id']}/retry").status_code == 409


def test_a_gathered_alerts_log_shows_the_message_that_carried_it():
    stage.trigger(stage.mail())
    stage.tell(stage.failing(1), stage.failing(2), stage.failing(3))
    stage.drain(stage.T)
    stage.drain(stage.later(seconds=25))
    caller = cast.api(cast.make_staff())
    carried = Delivery.objects.filter(state="gathered").first()
    (entry,) = caller.get(f"/api/v1/notification-logs?alert={carried.alert_id}").json()["results"]
    assert entry["type"] == "digest" and entry["delivery"] == carried.carried_by_id


# --- Who may ---------------------------------------------------------------------------------------------------------
def test_another_clients_alert_does_not_exist(alert):
    caller = cast.api(cast.mallory())
    assert caller.get("/api/v1/alerts").json()["results"] == []
    for method, path in (
        ("get", ""),
        ("get", "/deliveries"),
        ("post", "/acknowledge"),
        ("post", "/resolve"),
        ("patch", "/resolve"),
        ("post", "/snooze"),
    ):
        answer = getattr(caller, method)(
            f"/api/v1/alerts/{alert.pk}{path}", {"minutes": 5} if method != "get" else None
        )
        missing = getattr(caller, method)(f"/api/v1/alerts/987654{path}", {"minutes": 5} if method != "get" else None)
        assert (answer.status_code, answer.json()) == (404, missing.json()), path
    row = Delivery.objects.get()
    assert (
        caller.get(f"/api/v1/deliveries/{row.pk}").status_code
        == caller.post(f"/api/v1/deliveries/{row.pk}/retry").status_code
        == 404
    )


def test_our_own_channels_deliveries_are_not_the_clients_to_read(alert):
    stage.trigger(stage.webhook("noc"), name="Ours")
    (opened,) = stage.tell(stage.failing(8))
    assert Delivery.objects.filter(alert=opened).count() == 2
    assert [
        d["channel_name"]
        for d in cast.api(cast.alice()).get(f"/api/v1/alerts/{opened.pk}/deliveries").json()["results"]
    ] == ["ops"]
    assert len(cast.api(cast.make_staff()).get(f"/api/v1/alerts/{opened.pk}/deliveries").json()["results"]) == 2


@pytest.mark.parametrize("who", [cast.viewer, cast.make_auditor])
def test_who_may_only_look(alert, who):
    caller = cast.api(who())
    assert caller.get(f"/api/v1/alerts/{alert.pk}").status_code == 200
    for path in ("acknowledge", "resolve", "snooze"):
        assert caller.post(f"/api/v1/alerts/{alert.pk}/{path}", {"minutes": 5}).status_code == 403


def test_the_scope_ack_is_enough_to_take_it_and_read_is_not(alert):
    path = f"/api/v1/alerts/{alert.pk}/acknowledge"
    assert cast.api(cast.make_staff(), "read").post(path).status_code == 403
    assert cast.api(cast.approver(), "read", "ack").post(path).status_code == 200


def test_nobody_makes_alerts_by_hand_here():
    caller = cast.api(cast.make_staff())
    assert caller.post("/api/v1/alerts", {"title": "x"}).status_code == 405
    assert caller.delete("/api/v1/notification-logs").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "alerts?client=",
        "alerts?site_id=",
        "alerts?monitor_id=",
        "deliveries?alert=",
        "deliveries?channel=",
        "notification-logs?alert=",
        "notification-logs?client=",
        "channels?client=",
        "channels?contact=",
        "alert-triggers?client=",
        "silence?client=",
    ],
)
def test_a_filter_by_id_says_nothing_of_foreign_rows_and_takes_any_number(alert, path):
    caller = cast.api(cast.mallory())
    for value in (cast.acme().pk, 987654):
        answer = caller.get(f"/api/v1/{path}{value}")
        assert (answer.status_code, answer.json()["results"]) == (200, [])
    for value in ("9" * 30, "-1", "NaN", "1e400", "1.5", "x"):
        assert caller.get(f"/api/v1/{path}{value}").status_code == 400, value
    assert caller.get(f"/api/v1/{path}").status_code == 200
