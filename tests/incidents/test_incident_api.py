"""Incidents over the API: as the seeds and SPEC 19 print them, forward only, nobody else's."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

from alerts.models import Alert, Channel, Delivery, Trigger
from alerts.report import Report, report
from incidents import services
from incidents.models import Incident, ServiceRules, TimelineEntry, Update
from portal.audit import PORTAL
from portal.clock import database_now
from portal.models import AuditEntry
from tests import cast
from tests.monitors.rows import monitor

pytestmark = pytest.mark.django_db


def opened(caller=None, **more) -> dict:
    answer = (caller or cast.api(cast.make_staff())).post(
        "/api/v1/incidents",
        {
            "title": "Elevated 5xx on /api/checkout",
            "severity": "major",
            "notify": False,
            "client": cast.acme().pk,
            **more,
        },
    )
    assert answer.status_code == 201, answer.content
    return answer.json()


def fields(answer) -> dict:
    assert answer.status_code == 400, answer.content
    return answer.json()["error"]["fields"]


def down(m, at=None, failing: bool = True) -> Alert:
    """The monitor's critical alert, as the evaluator reports it."""
    with transaction.atomic():
        report([
            Report(
                source="endpoint", condition="health", event="consecutive_failure", entity_type="monitor", entity_id=str(m.pk), entity_name=m.name, failing=failing,
                at=at or database_now(), title=f"{m.name} is down", message="Answered 500", client_id=m.client_id, service_id=m.service_id, monitor_id=m.pk,
            )
        ])  # fmt: skip
    return Alert.objects.filter(monitor_id=m.pk).latest("id")


# --- Opening ---------------------------------------------------------------------------------------------------------------
def test_an_incident_is_opened_as_the_specification_says():
    m = monitor()
    answer = cast.api(cast.make_staff()).post(
        "/api/v1/incidents",
        {
            "title": "Partial Stripe outage",
            "severity": "major",
            "message": "We see failing webhooks.",
            "affected_monitor_ids": [m.pk],
            "service_id": None,
            "status_page_id": None,
            "notify": True,
        },
    )
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert {
        "id", "title", "severity", "status", "responder_status", "auto_created", "auto_resolve", "acknowledged_at", "acknowledged_by", "resolved_at", "service_id", "status_page_id",
        "affected_monitor_ids", "alerts", "updates",
    } <= made.keys()  # fmt: skip
    assert (made["status"], made["responder_status"], made["auto_created"], made["client"]) == (
        "investigating",
        "triggered",
        False,
        m.client_id,
    )
    assert made["affected_monitor_ids"] == made["affected_http_job_ids"] == [m.pk]
    assert made["updates"] == [
        {
            "id": made["updates"][0]["id"],
            "status": "investigating",
            "message": "We see failing webhooks.",
            "by": made["created_by"],
            "created_at": made["created_at"],
            "edited_at": None,
        }
    ]
    assert [(a["source"], a["type"], a["severity"]) for a in made["alerts"]] == [
        ("incident", "incident.opened", "critical")
    ]
    assert AuditEntry.objects.filter(action="incident.create", client_id=m.client_id).count() == 1


def test_the_other_names_path_and_key_work_alike():
    m = monitor()
    answer = cast.api(cast.make_staff()).post(
        "/incident", {"title": "x", "severity": "critical", "affected_http_job_ids": [m.pk]}
    )
    assert answer.status_code == 201 and answer.json()["affected_http_job_ids"] == answer.json()[
        "affected_monitor_ids"
    ] == [m.pk]
    assert cast.api(cast.make_staff()).post("/incident/", {"title": "", "severity": "x"}).status_code == 400


def test_without_notify_nobody_is_told_and_with_it_triggers_are_asked():
    ops = Channel.objects.create(name="ops", type="webhook", config={})
    Trigger.objects.create(name="All").channels.set([ops])
    assert opened()["alerts"] == [] and not Delivery.objects.filter(channel=ops).exists()
    opened(notify=True, severity="minor")
    assert Delivery.objects.filter(channel=ops).count() == 1 and Alert.objects.get().severity == "warning"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"title": ""}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"severity": "apocalyptic"}, "severity"),
        ({"status": "resolved"}, "status"),
        ({"affected_monitor_ids": [987654]}, "affected_monitor_ids"),
        ({"affected_monitor_ids": "7"}, "affected_monitor_ids"),
        ({"affected_http_job_ids": [987654, 10**40]}, "affected_monitor_ids"),
        ({"service_id": 987654}, "service_id"),
        ({"status_page_id": 5}, "status_page_id"),
        ({"client": 987654}, "client"),
    ],
)
def test_a_mistake_is_said_at_its_field_and_nothing_is_stored(change, where):
    body = {"title": "x", "severity": "minor", "client": cast.acme().pk, **change}
    found = fields(cast.api(cast.make_staff()).post("/api/v1/incidents", body))
    assert any(name == where or name.startswith(f"{where}.") for name in found), found
    assert not Incident.objects.exists() and not Alert.objects.exists()


def test_a_foreign_monitor_reads_like_one_that_does_not_exist():
    theirs, caller = monitor(cast.globex()), cast.api(cast.alice())
    refused = [
        fields(caller.post("/api/v1/incidents", {"title": "x", "affected_monitor_ids": [pk]}))["affected_monitor_ids"][
            0
        ].replace(str(pk), "N")
        for pk in (theirs.pk, 987654)
    ]
    assert refused[0] == refused[1]
    mixed = cast.api(cast.make_staff()).post(
        "/api/v1/incidents", {"title": "x", "affected_monitor_ids": [theirs.pk, monitor().pk]}
    )
    assert "several clients" in fields(mixed)["affected_monitor_ids"][0]


def test_a_clients_person_opens_their_own_and_viewers_none():
    assert (
        cast.api(cast.alice()).post("/api/v1/incidents", {"title": "x", "notify": False}).json()["client"]
        == cast.acme().pk
    )
    for who in (cast.viewer, cast.approver, cast.make_auditor):
        assert cast.api(who()).post("/api/v1/incidents", {"title": "x", "client": cast.acme().pk}).status_code == 403
    assert (
        cast.api(cast.make_staff()).post("/api/v1/incidents", {"title": "ours", "notify": False}).json()["client"]
        is None
    )


# --- Its life --------------------------------------------------------------------------------------------------------------
def test_a_typical_life_as_the_seed_tells_it():
    m = monitor(name="prod-api")
    alert = down(m)
    caller = cast.api(cast.alice())
    incident = caller.get("/api/v1/incidents?auto_created=true").json()["results"][0]
    path = f"/api/v1/incidents/{incident['id']}"
    assert (incident["auto_created"], incident["status"], incident["responder_status"], incident["severity"]) == (
        True,
        "investigating",
        "triggered",
        "critical",
    )
    assert (
        incident["affected_http_job_ids"] == [m.pk]
        and incident["alerts"][0]["id"] == alert.pk
        and incident["alerts"][0]["incident_id"] == incident["id"]
    )
    acknowledged = caller.post(f"{path}/acknowledge", {"acknowledged_by": "ana"}).json()
    assert (acknowledged["responder_status"], acknowledged["acknowledged_by"], acknowledged["status"]) == (
        "acknowledged",
        "ana",
        "investigating",
    )
    assert acknowledged["acknowledged_at"] and acknowledged["alerts"][0]["status"] == "acknowledged"
    said = caller.post(f"{path}/updates", {"status": "identified", "message": "Database failover stuck."})
    assert (
        said.status_code == 201
        and said.json()["status"] == "identified"
        and said.json()["message"] == "Database failover stuck."
    )
    assert caller.get(f"{path}/updates").json()["results"][0]["id"] == said.json()["id"]
    down(m, failing=False)
    over = caller.get(path).json()
    assert (over["status"], over["responder_status"]) == ("resolved", "resolved") and over["resolved_at"]
    assert [u["status"] for u in over["updates"]] == ["identified", "resolved"]


def test_the_public_status_goes_forward_only():
    path = f"/api/v1/incidents/{opened()['id']}"
    caller = cast.api(cast.alice())
    assert caller.post(f"{path}/updates", {"status": "monitoring", "message": "watching"}).status_code == 201
    back = caller.post(f"{path}/updates", {"status": "identified", "message": "no"})
    assert back.status_code == 409 and "forward only" in back.json()["error"]["message"]
    assert caller.post(f"{path}/updates", {"message": "still watching"}).json()["status"] == "monitoring"
    assert "status" in fields(caller.post(f"{path}/updates", {"status": "fine"}))
    assert caller.post(f"{path}/updates", {"status": "resolved", "message": "done"}).status_code == 201
    assert caller.get(path).json()["responder_status"] == "resolved"


def test_resolve_and_reopen_are_explicit_and_refused_when_they_make_no_sense():
    path = f"/api/v1/incidents/{opened(notify=True)['id']}"
    caller = cast.api(cast.alice())
    assert caller.post(f"{path}/reopen").status_code == 409
    over = caller.post(f"{path}/resolve", {"message": "Fixed."}).json()
    assert (
        over["status"],
        over["responder_status"],
        over["updates"][-1]["message"],
        over["alerts"][0]["is_resolved"],
    ) == ("resolved", "resolved", "Fixed.", True)
    for again in ("resolve", "acknowledge"):
        assert caller.post(f"{path}/{again}").status_code == 409
    back = caller.post(f"{path}/reopen", {"message": "It is back."}).json()
    assert (back["status"], back["responder_status"], back["resolved_at"], back["acknowledged_by"]) == (
        "investigating",
        "triggered",
        None,
        None,
    )


def test_editing_has_its_fields_and_the_status_its_doors():
    m = monitor()
    made = opened()
    path, caller = f"/api/v1/incidents/{made['id']}", cast.api(cast.alice())
    changed = caller.patch(
        path,
        {"title": "Checkout is slow", "severity": "critical", "affected_http_job_ids": [m.pk], "auto_resolve": True},
    ).json()
    assert (changed["title"], changed["severity"], changed["affected_monitor_ids"], changed["auto_resolve"]) == (
        "Checkout is slow",
        "critical",
        [m.pk],
        True,
    )
    assert "updates" in fields(caller.put(path, {"status": "resolved"}))["status"][0]
    assert "service_id" in fields(caller.patch(path, {"service_id": cast.service().pk}))
    assert "affected_monitor_ids" in fields(caller.patch(path, {"affected_monitor_ids": [monitor(cast.globex()).pk]}))
    same = caller.put(path, caller.get(path).json())
    assert same.status_code == 200, same.content
    assert TimelineEntry.objects.filter(kind="edited").count() == 1
    assert caller.delete(path).status_code == 405


def test_an_ack_token_acknowledges_and_no_more():
    path, caller = f"/api/v1/incidents/{opened()['id']}", cast.api(cast.approver(), "read", "ack")
    assert caller.post(f"{path}/acknowledge").json()["acknowledged_by"].startswith("april@acme.example")
    for tail in ("resolve", "reopen", "updates"):
        assert caller.post(f"{path}/{tail}", {}).status_code == 403
    assert caller.patch(path, {"title": "x"}).status_code == 403


def test_the_timeline_holds_what_was_done_and_who_was_paged():
    ops = Channel.objects.create(name="ops", type="webhook", config={})
    own = Channel.objects.create(name="acme's", type="webhook", config={}, client=cast.acme())
    Trigger.objects.create(name="All").channels.set([ops, own])
    alert = down(monitor())
    Delivery.objects.filter(alert=alert, channel=own).update(
        state="delivered", finished_at=alert.created_at + timedelta(seconds=1)
    )
    incident = Incident.objects.get()
    services.acknowledge(incident, by=cast.TESTS, at=alert.created_at + timedelta(seconds=5), name="Ana")
    seen = cast.api(cast.make_staff()).get(f"/api/v1/incidents/{incident.pk}/timeline").json()["results"]
    kinds = [e["kind"] for e in seen]
    assert (
        kinds[0] == "opened"
        and kinds[-1] == "acknowledged"
        and [e["at"] for e in seen] == sorted(e["at"] for e in seen)
    )
    pages = {e["text"] for e in seen if e["kind"] == "page" and e["data"]["channel"] in (ops.pk, own.pk)}
    assert pages == {"Told: acme's", "Told: ops: waiting"}
    theirs = cast.api(cast.viewer()).get(f"/api/v1/incidents/{incident.pk}/timeline").json()["results"]
    assert {e["text"] for e in theirs if e["kind"] == "page"} == {"Told: acme's"}  # messages to our own staff are ours


def test_foreign_incidents_are_404_everywhere():
    path, caller = f"/api/v1/incidents/{opened()['id']}", cast.api(cast.mallory())
    for method, tail in (("get", ""), ("patch", ""), ("put", ""), ("get", "/updates"), ("get", "/timeline")):
        assert getattr(caller, method)(f"{path}{tail}", {}).status_code == 404
    for tail in ("updates", "acknowledge", "resolve", "reopen"):
        assert caller.post(f"{path}/{tail}", {}).status_code == 404
    assert caller.get("/api/v1/incidents").json()["results"] == [] and Update.objects.count() == 1


def test_lists_are_filtered_and_cost_the_same(django_assert_max_num_queries):
    for number in range(30):
        opened(title=f"i{number}", notify=number % 2 == 0)
    services.resolve(Incident.objects.get(title="i3"), by=PORTAL, at=database_now())
    services.acknowledge(Incident.objects.get(title="i4"), by=PORTAL, at=database_now())
    caller = cast.api(cast.make_auditor())
    for query, count in {
        "status=resolved": 1, "status=investigating,resolved": 30, "responder_status=acknowledged": 1, "auto_created=true": 0, f"client={cast.acme().pk}": 30,
        f"client={cast.globex().pk}": 0, "resolved=false": 29, "severity=minor": 0,
    }.items():  # fmt: skip
        assert len(caller.get(f"/api/v1/incidents?{query}").json()["results"]) == count, query
    assert "status" in fields(caller.get("/api/v1/incidents?status=fine"))
    for limit in (3, 30):
        with django_assert_max_num_queries(9):
            assert len(caller.get(f"/api/v1/incidents?limit={limit}").json()["results"]) == limit


# --- Services' rules --------------------------------------------------------------------------------------------------------
def test_a_service_is_made_with_its_rules():
    caller = cast.api(cast.make_staff())
    made = caller.post(
        "/api/v1/services",
        {
            "client": cast.acme().pk, "name": "Checkout", "escalation_policy": None, "incident_creation": "auto", "merge_window_minutes": 5, "auto_publish_page": None,
            "default_incident_severity": None,
        },
    )  # fmt: skip
    assert made.status_code == 201, made.content
    shown = {k: v for k, v in made.json().items() if k not in ("id", "client", "created_at")}
    assert shown == {
        "name": "Checkout", "description": "", "incident_creation": "auto", "merge_window_minutes": 5, "default_incident_severity": None, "auto_publish_page": None,
        "escalation_policy": None,
    }  # fmt: skip
    path = f"/api/v1/services/{made.json()['id']}"
    changed = (
        cast.api(cast.alice()).patch(path, {"default_incident_severity": "minor", "incident_creation": "manual"}).json()
    )
    assert (changed["default_incident_severity"], changed["incident_creation"], changed["merge_window_minutes"]) == (
        "minor",
        "manual",
        5,
    )
    assert AuditEntry.objects.filter(action="service.rules_changed", client_id=cast.acme().pk).exists()
    assert caller.patch(path, {"default_incident_severity": None}).json()["default_incident_severity"] is None
    for bad in (
        {"incident_creation": "sometimes"},
        {"merge_window_minutes": -1},
        {"merge_window_minutes": None},
        {"escalation_policy": 3},
        {"auto_publish_page": 3},
    ):
        assert next(iter(bad)) in fields(caller.patch(path, bad))
    assert caller.put(path, caller.get(path).json()).status_code == 200
    assert cast.api(cast.mallory()).patch(path, {"name": "x"}).status_code == 404 and ServiceRules.objects.count() == 1


def test_a_services_rules_are_followed():
    quiet = (
        cast.api(cast.make_staff())
        .post("/api/v1/services", {"client": cast.acme().pk, "name": "Quiet", "incident_creation": "manual"})
        .json()
    )
    gentle = (
        cast.api(cast.make_staff())
        .post("/api/v1/services", {"client": cast.acme().pk, "name": "Gentle", "default_incident_severity": "minor"})
        .json()
    )
    down(monitor(name="q", service_id=quiet["id"]))
    assert not Incident.objects.exists()
    down(monitor(name="g", service_id=gentle["id"]))
    assert Incident.objects.get().severity == "minor"
