"""Escalation policies over the API: the printed example, complaints at their place, nobody else's people, overlaps, runs."""

from __future__ import annotations

import pytest

from alerts import acts, policies
from alerts.models import EscalationPolicy, Layer, LayerMember, OnCallSchedule, Run, ServiceRouting
from portal.audit import Actor
from portal.models import AuditEntry, ContactGroup
from tests import cast
from tests.alerts import stage
from tests.alerts.climbing import level, person, policy, sweep
from tests.alerts.stage import T, failing, later, tell
from tests.portal.at_the_desk import address, desk

pytestmark = pytest.mark.django_db
PATH = "/api/v1/escalation-policies"


@pytest.fixture
def staff():
    return cast.api(cast.make_staff())


def body(*channels, **values):
    """The printed example."""
    return {
        "name": "Critical → ops", "active": True, "filters": {"severities": ["critical"], "scopes": [], "tags": []},
        "levels": [{"order": 1, "delay_seconds": 300, "channel_ids": [c.pk for c in channels], "contact_ids": [], "group_ids": [], "schedule_ids": []}],
        "repeat_count": 0, "repeat_after_seconds": 300, **values,
    }  # fmt: skip


def complaints(answer) -> dict[str, list[str]]:
    assert answer.status_code == 400, answer.json()
    return answer.json()["error"]["fields"]


# --- Made, changed, deleted -----------------------------------------------------------------------------------------------
def test_the_printed_example_works(staff):
    one, two = stage.webhook("a"), stage.webhook("b")
    answer = staff.post(PATH, body(one))
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    wanted = body(one)
    assert {key: made[key] for key in wanted if key != "filters"} == {k: v for k, v in wanted.items() if k != "filters"}
    assert made["filters"] == {"severities": ["critical"], "sources": [], "scopes": [], "tags": []}
    assert (made["client"], made["attached_only"], made["on_empty"]) == (None, False, "next")
    assert EscalationPolicy.objects.get().filter_severities == "critical"
    path = f"{PATH}/{made['id']}"
    assert staff.get(path).json() == made
    changed = staff.put(path, {"filters": {"tags": ["Prod", "shop"]}, "active": False}).json()
    assert changed["filters"] == {"severities": ["critical"], "sources": [], "scopes": [], "tags": ["Prod", "shop"]}
    assert changed["levels"] == made["levels"] and changed["active"] is False
    new = [{"delay_seconds": 0, "channel_ids": [two.pk]}, {"delay_seconds": 60, "channel_ids": [one.pk, two.pk]}]
    changed = staff.patch(path, {"levels": new}).json()
    assert [(lv["order"], lv["delay_seconds"], lv["channel_ids"]) for lv in changed["levels"]] == [
        (1, 0, [two.pk]),
        (2, 60, sorted([one.pk, two.pk])),
    ]
    assert staff.get(PATH).json()["results"] == [changed]
    assert staff.delete(path).status_code == 204 and staff.get(path).status_code == 404
    entries = AuditEntry.objects.filter(action__startswith="escalationpolicy.").order_by("id")
    assert [e.action.partition(".")[2] for e in entries] == ["created", "changed", "changed", "deleted"]
    assert entries[2].before["levels"][0]["delay_seconds"] == 300 and entries[2].after["levels"][1]["channels"] == [
        "a",
        "b",
    ]


def test_what_is_not_changed_is_not_recorded(staff):
    made = staff.post(PATH, body(stage.webhook())).json()
    staff.put(f"{PATH}/{made['id']}", made)
    assert AuditEntry.objects.filter(action="escalationpolicy.changed").count() == 0


@pytest.mark.parametrize(
    ("values", "where", "says"),
    [
        ({"levels": []}, "levels", "at least one level"),
        ({"levels": [{"delay_seconds": 0}]}, "levels", "names anybody"),
        ({"levels": [{"delay_seconds": -1}]}, "levels.0.delay_seconds", "from 0"),
        ({"levels": [{"delay_seconds": 604801}]}, "levels.0.delay_seconds", "604800"),
        ({"levels": [{"order": 1}]}, "levels.0.delay_seconds", "required"),
        ({"levels": [{"order": 0, "delay_seconds": 0}]}, "levels.0.order", "from 1"),
        ({"levels": [{"order": 1, "delay_seconds": 0}, {"order": 1, "delay_seconds": 9}]}, "levels.1.order", "its own"),
        ({"levels": [{"delay_seconds": 60}, {"delay_seconds": 60}]}, "levels.1.delay_seconds", "more than 60"),
        ({"levels": [{"order": 2, "delay_seconds": 5}, {"order": 1, "delay_seconds": 9}]}, "levels.0.delay_seconds", "more than 9"),
        ({"levels": [{"delay_seconds": n} for n in range(21)]}, "levels", "At most 20"),
        ({"levels": [{"delay_seconds": 0, "channel_ids": [987654]}]}, "levels.0.channel_ids", "does not exist"),
        ({"repeat_count": 21}, "repeat_count", "0 to 20"),
        ({"repeat_after_seconds": 29}, "repeat_after_seconds", "from 30"),
        ({"name": "  "}, "name", "blank"),
        ({"filters": {"severities": ["awful"]}}, "filters.severities", "not a severity"),
        ({"filters": {"scopes": ["moon:1"]}}, "filters.scopes", "not a scope"),
        ({"filters": {"tags": ["a,b"]}}, "filters.tags", "no comma"),
        ({"filters": {"colour": ["red"]}}, "filters.colour", "Not a filter"),
        ({"on_empty": "panic"}, "on_empty", "not a valid choice"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said_at_its_place(staff, values, where, says):
    fields = complaints(staff.post(PATH, body(stage.webhook(), **values)))
    assert where in fields and says in fields[where][0], fields
    assert not EscalationPolicy.objects.exists()


def test_a_name_is_taken_once_whatever_its_case(staff):
    staff.post(PATH, body(stage.webhook()))
    assert "name" in complaints(staff.post(PATH, body(stage.webhook("b"), name="CRITICAL → OPS")))


# --- Whose ----------------------------------------------------------------------------------------------------------------
def test_a_clients_policy_names_that_clients_own_only():
    alice = cast.api(cast.alice())
    own, foreign = stage.webhook("own", cast.acme()), stage.webhook("ours")
    made = alice.post(PATH, body(own))
    assert made.status_code == 201 and made.json()["client"] == cast.acme().pk
    assert "levels.0.channel_ids" in complaints(alice.post(PATH, body(foreign, name="b"))), "she does not even see it"
    staff = cast.api(cast.make_staff())
    fields = complaints(staff.post(PATH, body(foreign, name="c", client=cast.acme().pk)))
    assert "that client's own" in fields["levels.0.channel_ids"][0]


def test_nobody_else_sees_or_changes_it():
    row = policy(level(0, stage.webhook("own", cast.acme())), client=cast.acme())
    ours = policy(level(0, stage.webhook()), name="Ours")
    mallory = cast.api(cast.mallory())
    for pk in (row.pk, ours.pk):
        for method in ("get", "put", "patch", "delete"):
            assert getattr(mallory, method)(f"{PATH}/{pk}").status_code == 404
    assert mallory.get(PATH).json()["results"] == []
    assert cast.api(cast.viewer()).delete(f"{PATH}/{row.pk}").status_code == 403


def test_a_service_takes_its_own_clients_policy_or_ours():
    row = policy(level(0, stage.webhook("g", cast.globex())), client=cast.globex())
    with pytest.raises(policies.ValidationError) as refused:
        policies.attach(cast.service(), row, by=cast.TESTS)
    assert "escalation_policy" in refused.value.message_dict
    ours = policy(level(0, stage.webhook()), name="Ours")
    policies.attach(cast.service(), ours, by=cast.TESTS)
    policies.attach(cast.service(), ours, by=cast.TESTS)
    assert AuditEntry.objects.filter(action="service.escalation_policy").count() == 1
    policies.delete_policy(ours, by=cast.TESTS)
    assert ServiceRouting.objects.get().policy is None


# --- Overlaps -------------------------------------------------------------------------------------------------------------
def test_two_policies_that_would_call_the_same_channel_for_one_alert_are_named(staff):
    shared, other = stage.webhook("shared"), stage.webhook("other")
    one = policy(level(0, shared), name="One", filter_severities="critical")
    two = policy(level(0, other), level(60, contacts=[person("Ana", shared)]), name="Two")
    policy(level(0, shared), name="Warnings", filter_severities="warning", active=False)
    policy(level(0, stage.webhook("third")), name="Alone")
    assert staff.get(f"{PATH}/overlaps").json() == {
        "results": [
            {
                "policies": [{"id": one.pk, "name": "One"}, {"id": two.pk, "name": "Two"}],
                "channels": [{"id": shared.pk, "name": "shared"}],
            }
        ],
        "next": None,
        "previous": None,
    }


def test_policies_that_no_alert_can_match_together_do_not_overlap(staff):
    shared = stage.webhook("shared")
    policy(level(0, shared), name="One", filter_severities="critical")
    policy(level(0, shared), name="Two", filter_severities="warning")
    assert staff.get(f"{PATH}/overlaps").json()["results"] == []


@pytest.mark.parametrize("through", ["group", "schedule"])
def test_people_are_found_through_groups_and_schedules(staff, through):
    shared = stage.webhook("shared")
    ana = person("Ana", shared)
    group = ContactGroup.objects.create(name="Night")
    group.contacts.add(ana)
    schedule = OnCallSchedule.objects.create(name="Primary")
    LayerMember.objects.create(layer=Layer.objects.create(schedule=schedule, starts_at=T), contact=ana, position=0)
    policy(level(0, shared), name="One")
    policy(level(0, **({"groups": [group]} if through == "group" else {"schedules": [schedule]})), name="Two")
    assert len(staff.get(f"{PATH}/overlaps").json()["results"]) == 1


def test_a_policy_only_for_services_overlaps_where_a_service_names_it(staff):
    shared = stage.webhook("shared")
    policy(level(0, shared), name="One")
    row = policy(level(0, shared), name="Two", attached_only=True)
    assert staff.get(f"{PATH}/overlaps").json()["results"] == []
    policies.attach(cast.service(), row, by=cast.TESTS)
    assert len(staff.get(f"{PATH}/overlaps").json()["results"]) == 1


# --- Runs -----------------------------------------------------------------------------------------------------------------
def test_runs_say_who_was_called_and_who_is_next(staff):
    ops, manager = stage.webhook("ops"), stage.webhook("manager")
    row = policy(level(0, ops), level(600, manager))
    (alert,) = tell(failing(7))
    path = f"/api/v1/alerts/{alert.pk}/escalation-runs"
    (said,) = staff.get(path).json()["results"]
    assert (said["pass"], said["level"], said["status"], said["deliveries"]) == (0, 0, "active", [])
    sweep(T)
    (said,) = staff.get(path).json()["results"]
    assert (said["policy"], said["alert"], said["level"]) == (row.pk, alert.pk, 1)
    assert said["next_action_at"].startswith("2026-11-21T12:10:00") and said["ended_at"] is None
    assert [(d["channel"], d["event"], d["state"]) for d in said["deliveries"]] == [(ops.pk, "down", "pending")]
    assert [(s["pass"], s["level"], s["via"]) for s in said["steps"]] == [(0, 1, "ops")]
    staff.post(f"/api/v1/alerts/{alert.pk}/acknowledge", {"acknowledged_by": "ana"})
    (said,) = staff.get(path).json()["results"]
    assert said["status"] == "stopped_by_ack" and said["ended_at"] and said["next_action_at"] is None


def test_a_client_sees_runs_of_its_own_policies_only():
    policy(level(0, stage.webhook("own", cast.acme())), client=cast.acme())
    policy(level(0, stage.webhook()), name="Ours")
    (alert,) = tell(failing(7))
    path = f"/api/v1/alerts/{alert.pk}/escalation-runs"
    assert [r["policy_name"] for r in cast.api(cast.alice()).get(path).json()["results"]] == ["Ops"]
    assert cast.api(cast.mallory()).get(path).status_code == 404


def test_thirty_policies_cost_no_more_questions_than_three(staff, django_assert_max_num_queries):
    for n in range(30):
        policy(
            level(0, stage.webhook(f"c{n}")),
            level(60, contacts=[person(f"p{n}", stage.webhook(f"d{n}"))]),
            name=f"P{n}",
        )
    with django_assert_max_num_queries(16):
        assert len(staff.get(f"{PATH}?limit=30").json()["results"]) == 30
    with django_assert_max_num_queries(24):
        staff.get(f"{PATH}/overlaps")


# --- The support desk -----------------------------------------------------------------------------------------------------
def test_the_desk_switches_changes_and_deletes_through_the_door():
    row = policy(level(0, stage.webhook("ops")))
    (alert,) = tell(failing(7))
    browser = desk(cast.make_owner())
    chosen = {"action": "switch_off", "_selected_action": [row.pk]}
    assert browser.post(address(EscalationPolicy), chosen, follow=True).status_code == 200
    assert Run.objects.get(alert=alert).status == "stopped_by_policy"
    assert browser.get(address(EscalationPolicy, "add/")).status_code == 403
    rung = row.levels.get()
    answer = browser.get(address(type(rung), f"{rung.pk}/change/"))
    assert answer.status_code == 200
    values = {"order": 1, "delay_seconds": 45, "channels": [c.pk for c in rung.channels.all()]}
    assert browser.post(address(type(rung), f"{rung.pk}/change/"), values).status_code == 302
    assert row.levels.get().delay_seconds == 45
    assert browser.post(address(EscalationPolicy, f"{row.pk}/delete/"), {"post": "yes"}).status_code == 302
    assert not EscalationPolicy.objects.exists()
    assert AuditEntry.objects.filter(action="escalationpolicy.deleted").count() == 1


def test_the_desk_shows_runs_and_changes_none():
    policy(level(0, stage.webhook("ops")))
    (alert,) = tell(failing(7))
    sweep(T)
    acts.acknowledge(alert, by=Actor("Ana"), at=later(1))
    browser = desk(cast.make_staff())
    row = Run.objects.get()
    page = browser.get(address(Run, f"{row.pk}/change/"))
    assert page.status_code == 200 and b'name="_save"' not in page.content
    assert browser.get(address(type(row.steps.get()))).status_code == 200
