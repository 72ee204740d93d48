"""Triggers over the API: the printed example, filters that make sense, nobody else's channels."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerts.models import Alert, Trigger
from portal.clock import database_now
from portal.models import AuditEntry
from tests import cast
from tests.alerts import stage

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff():
    return cast.api(cast.make_staff())


def test_the_printed_example_works(staff):
    one, two = stage.webhook("a"), stage.webhook("b")
    body = {
        "name": "Critical containers → ops", "filter_severities": "critical", "filter_sources": "container", "filter_scopes": "", "filter_tags": "",
        "enabled": True, "channel_ids": [one.pk, two.pk],
    }  # fmt: skip
    answer = staff.post("/api/v1/alert-triggers", body)
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert {key: made[key] for key in body} == body
    assert (
        made["notify_on_resolve"] is True and made["contact_ids"] == made["group_ids"] == [] and made["client"] is None
    )
    path = f"/api/v1/alert-triggers/{made['id']}"
    assert staff.get(path).json() == made
    changed = staff.put(path, {"filter_tags": "Prod, payments,prod", "channel_ids": [two.pk]}).json()
    assert (
        changed["filter_tags"] == "Prod,payments,prod"
        and changed["channel_ids"] == [two.pk]
        and changed["filter_severities"] == "critical"
    )
    assert staff.get("/api/v1/alert-triggers").json()["results"] == [changed]
    assert staff.delete(path).status_code == 204 and staff.get(path).status_code == 404
    assert list(
        AuditEntry.objects.filter(action__startswith="trigger.").order_by("id").values_list("action", flat=True)
    ) == [
        "trigger.created",
        "trigger.changed",
        "trigger.deleted",
    ]


def test_filters_come_back_in_normal_form(staff):
    body = {
        "name": "n",
        "filter_severities": " Critical , warning,critical,",
        "filter_sources": "Endpoint",
        "filter_scopes": "endpoint:7, client:Acme,site:2",
        "weekdays": "4,0",
    }
    made = staff.post("/api/v1/alert-triggers", body).json()
    assert (made["filter_severities"], made["filter_sources"], made["filter_scopes"], made["weekdays"]) == (
        "critical,warning",
        "endpoint",
        "endpoint:7,client:acme,site:2",
        "0,4",
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("filter_severities", "high"),
        ("filter_severities", "critical;warning"),
        ("filter_sources", "endpoint,moon"),
        ("filter_scopes", "endpoint"),
        ("filter_scopes", "endpoint:"),
        ("filter_scopes", "moon:7"),
        ("filter_scopes", "site:shop"),
        ("filter_scopes", "client:Ac me"),
        ("filter_scopes", "endpoint:a b"),
        ("filter_tags", "x" * 60),
        ("filter_tags", ",".join(f"tag{n}" for n in range(300))),
        ("weekdays", "7"),
        ("weekdays", "01"),
        ("timezone", "Mars/Olympus"),
        ("from_time", "25:00"),
        ("name", ""),
        ("channel_ids", [987654]),
        ("contact_ids", ["x"]),
        ("filter_severities", ["critical"]),
    ],
)
def test_what_makes_no_sense_is_said_at_its_field(staff, field, value):
    answer = staff.post("/api/v1/alert-triggers", {"name": "n", field: value})
    assert answer.status_code == 400, answer.json()
    assert any(key == field or key.startswith(f"{field}.") for key in answer.json()["error"]["fields"]), answer.json()
    assert Trigger.objects.count() == 0


def test_an_unknown_source_is_answered_with_the_known_ones(staff):
    (sentence,) = staff.post("/api/v1/alert-triggers", {"name": "n", "filter_sources": "moon"}).json()["error"][
        "fields"
    ]["filter_sources"]
    assert "moon" in sentence and "heartbeat" in sentence


def test_a_time_window_has_two_different_ends(staff):
    assert (
        staff.post(
            "/api/v1/alert-triggers",
            {"name": "a", "from_time": "22:00", "until_time": "06:00", "timezone": "Europe/Lisbon"},
        ).status_code
        == 201
    )
    for body in ({"from_time": "22:00"}, {"until_time": "22:00"}, {"from_time": "22:00", "until_time": "22:00"}):
        assert "until_time" in staff.post("/api/v1/alert-triggers", {"name": "b", **body}).json()["error"]["fields"]


def test_a_name_is_taken_once_whatever_its_case(staff):
    made = staff.post("/api/v1/alert-triggers", {"name": "Night"}).json()
    answer = staff.post("/api/v1/alert-triggers", {"name": " night "})
    assert answer.status_code == 400 and answer.json()["error"]["fields"] == {
        "name": ["A trigger of this name exists; choose another name."]
    }
    assert staff.put(f"/api/v1/alert-triggers/{made['id']}", made).status_code == 200


def test_a_list_costs_the_same_with_three_and_with_thirty(staff, django_assert_max_num_queries):
    channel = stage.webhook()
    staff.get("/api/v1/alert-triggers")
    for n in range(30):
        stage.trigger(channel, name=f"t{n}")
    with django_assert_max_num_queries(7):
        assert len(staff.get("/api/v1/alert-triggers").json()["results"]) == 30


# --- Whose -----------------------------------------------------------------------------------------------------------
def test_a_clients_admin_names_their_own_and_nobody_elses():
    alice, own = cast.api(cast.alice()), stage.webhook("own", cast.acme())
    ours, theirs = stage.webhook("noc"), stage.webhook("theirs", cast.globex())
    made = alice.post(
        "/api/v1/alert-triggers",
        {"name": "A", "channel_ids": [own.pk], "contact_ids": [cast.contact().pk], "group_ids": [cast.group().pk]},
    )
    assert made.status_code == 201 and made.json()["client"] == cast.acme().pk
    for channel in (ours, theirs):
        unseen = alice.post("/api/v1/alert-triggers", {"name": "B", "channel_ids": [channel.pk]}).json()["error"][
            "fields"
        ]
        unknown = alice.post("/api/v1/alert-triggers", {"name": "B", "channel_ids": [987654]}).json()["error"]["fields"]
        assert str(unseen).replace(str(channel.pk), "N") == str(unknown).replace("987654", "N")
    assert alice.post("/api/v1/alert-triggers", {"name": "B", "client": None}).status_code == 403
    assert alice.post("/api/v1/alert-triggers", {"name": "B", "client": cast.globex().pk}).status_code == 400


@pytest.mark.parametrize("key", ["channel_ids", "contact_ids", "group_ids"])
def test_staff_keep_clients_apart_too(staff, key):
    strangers = {
        "channel_ids": stage.webhook("theirs", cast.globex()),
        "contact_ids": cast.contact(cast.globex()),
        "group_ids": cast.group(cast.globex()),
    }
    answer = staff.post("/api/v1/alert-triggers", {"client": cast.acme().pk, "name": "B", key: [strangers[key].pk]})
    assert answer.status_code == 400 and key in answer.json()["error"]["fields"]
    made = staff.post("/api/v1/alert-triggers", {"name": "All clients", key: [strangers[key].pk]})
    assert made.status_code == 201  # one of ours may name any: each channel still hears of its own client only


def test_another_clients_trigger_does_not_exist():
    row = stage.trigger(stage.webhook(of=cast.acme()), client=cast.acme())
    ours = stage.trigger(stage.webhook(), name="Ours")
    mallory, alice = cast.api(cast.mallory()), cast.api(cast.alice())
    for caller, trigger in ((mallory, row), (alice, ours)):
        path = f"/api/v1/alert-triggers/{trigger.pk}"
        assert [
            caller.get(path).status_code,
            caller.put(path, {"enabled": False}).status_code,
            caller.delete(path).status_code,
        ] == [404] * 3
    assert [t["name"] for t in alice.get("/api/v1/alert-triggers").json()["results"]] == ["All"]


@pytest.mark.parametrize("who", [cast.viewer, cast.approver, cast.make_auditor])
def test_who_may_only_look(who):
    row, caller = stage.trigger(client=cast.acme()), cast.api(who())
    assert caller.get(f"/api/v1/alert-triggers/{row.pk}").status_code == 200
    assert caller.patch(f"/api/v1/alert-triggers/{row.pk}", {"enabled": False}).status_code == 403
    assert caller.post("/api/v1/alert-triggers", {"client": cast.acme().pk, "name": "x"}).status_code == 403


# --- Reminders and the preview ------------------------------------------------------------------------------------------
def test_a_reminder_is_five_minutes_to_a_day_or_none(staff):
    made = staff.post("/api/v1/alert-triggers", {"name": "n", "reminder_minutes": 30}).json()
    path = f"/api/v1/alert-triggers/{made['id']}"
    assert made["reminder_minutes"] == 30 and staff.put(path, made).json() == made
    for minutes in (4, 1441, 0, -5, "often"):
        answer = staff.patch(path, {"reminder_minutes": minutes})
        assert answer.status_code == 400 and "reminder_minutes" in str(answer.json()), minutes
    assert staff.patch(path, {"reminder_minutes": None}).json()["reminder_minutes"] is None


def test_how_long_the_first_message_waits_for_the_cause_is_a_setting(staff):
    made = staff.post("/api/v1/alert-triggers", {"name": "n"}).json()
    path = f"/api/v1/alert-triggers/{made['id']}"
    assert made["verdict_wait_seconds"] == 8
    for seconds in (0, 30):
        assert staff.patch(path, {"verdict_wait_seconds": seconds}).json()["verdict_wait_seconds"] == seconds
    for seconds in (-1, 31, None, "x"):
        answer = staff.patch(path, {"verdict_wait_seconds": seconds})
        assert answer.status_code == 400 and "verdict_wait_seconds" in str(answer.json()), seconds
    assert "to 30 seconds" in str(staff.patch(path, {"verdict_wait_seconds": 31}).json())


def at_fault(body: dict) -> str:
    """Where the complaint about it stands: one end of a window misses the other."""
    return "until_time" if "from_time" in body else next(iter(body))


def test_the_preview_tells_which_alerts_of_the_last_week_it_would_have_wanted(staff):
    at = database_now()
    stage.tell(*[stage.failing(n, at, severity="warning" if n % 2 else "critical") for n in range(24)])
    stage.tell(stage.failing(99, at))
    Alert.objects.filter(entity_id="99").update(created_at=at - timedelta(days=8))
    answer = staff.post("/api/v1/alert-triggers/preview", {"filter_severities": "Critical"})
    assert answer.status_code == 200, answer.json()
    said = answer.json()
    assert (said["matched"], said["looked_at"], len(said["alerts"])) == (12, 24, 10)
    assert {a["severity"] for a in said["alerts"]} == {"critical"} and not Trigger.objects.exists()
    said = staff.post("/api/v1/alert-triggers/preview", {"filter_scopes": "endpoint:3", "name": "x"}).json()
    assert [a["entity_id"] for a in said["alerts"]] == [3]
    for body in (
        {"filter_sources": "nonsense"},
        {"from_time": "10:00"},
        {"timezone": "Nowhere"},
        {"reminder_minutes": 1},
    ):
        answer = staff.post("/api/v1/alert-triggers/preview", body)
        assert answer.status_code == 400 and answer.json()["error"]["fields"].keys() == {at_fault(body)}, body


def test_the_preview_needs_only_the_right_to_read_and_shows_ones_own():
    stage.tell(stage.failing(1), stage.failing(2, client=cast.globex()))
    at = database_now()
    Alert.objects.update(created_at=at)
    said = cast.api(cast.viewer(), "read").post("/api/v1/alert-triggers/preview", {}).json()
    assert (said["matched"], [a["client"] for a in said["alerts"]]) == (1, [cast.acme().pk])
