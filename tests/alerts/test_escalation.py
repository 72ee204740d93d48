"""Nobody answers: who is called, when, and what stops it? The runbook of escalation, on a database."""

from __future__ import annotations

from datetime import timedelta
from unittest.mock import patch

import pytest

from alerts import acts, answered, auditor, channels, escalating, escalator, facts, policies, services
from alerts.models import (  # fmt: skip
    Alert,
    Channel,
    ContactChannel,
    Decision,
    Delivery,
    EscalationPolicy,
    Layer,
    LayerMember,
    Notice,
    OnCallSchedule,
    Run,
    Silence,
    Step,
)
from alerts.quiet import cancel_silence
from alerts.quiet import step as quiet_step
from incidents import services as incidents
from incidents.models import Incident
from portal import deadman, slots
from portal.audit import Actor
from portal.models import Contact, ContactGroup, Slot, Worker
from tests import cast
from tests.alerts import stage
from tests.alerts.climbing import calls, kinds, level, person, policy, run, sweep, until
from tests.alerts.stage import T, failing, later, tell, well

pytestmark = pytest.mark.django_db
ANA = Actor("Ana")
DEGRADED = {"severity": "warning", "event": "degraded"}


@pytest.fixture
def ops() -> Channel:
    return stage.webhook("ops")


@pytest.fixture
def manager() -> Channel:
    return stage.webhook("manager")


@pytest.fixture
def ladder(ops, manager) -> EscalationPolicy:
    """Ops at once, the manager after ten minutes."""
    return policy(level(0, ops), level(600, manager))


# --- Climbing -----------------------------------------------------------------------------------------------------------
def test_nobody_answers_so_the_manager_is_called_after_ten_minutes(ladder):
    (alert,) = tell(failing(7))
    until(later(12))
    assert calls(alert) == [("ops", 0), ("manager", 600)]
    first, second = Delivery.objects.filter(kind="escalated").order_by("pk")
    assert (first.state, first.priority, first.gather, first.wants_recovery) == ("pending", 1, False, True)
    assert first.via == "policy Ops: ops"
    assert ["Escalation", "Ops: level 2 of 2"] in [list(row) for row in second.notice.snapshot["facts"]]
    assert (second.notice.type, second.notice.severity) == ("monitor.down", "critical")


def test_a_run_begins_in_the_transaction_that_opens_the_alert(ladder):
    (alert,) = tell(failing(7))
    row = run(alert)
    assert (row.status, row.step, row.started_at, row.next_action_at, row.client_id) == (
        "active",
        0,
        T,
        T,
        alert.client_id,
    )
    assert Decision.objects.filter(notice__alert=alert, rule="policy Ops", outcome="escalates").count() == 1


def test_no_level_is_called_before_its_time(ladder):
    (alert,) = tell(failing(7))
    sweep(T)
    assert sweep(later(minutes=10) - timedelta(milliseconds=1)) == 0
    assert sweep(later(minutes=10)) == 1
    assert calls(alert) == [("ops", 0), ("manager", 600)]


def test_the_ladder_is_climbed_again_as_often_as_the_policy_says(ops, manager):
    policy(level(0, ops), level(60, manager), repeat_count=1, repeat_after_seconds=120)
    (alert,) = tell(failing(7))
    until(later(10))
    # pass 1 begins at last delay + repeat_after; nobody answered repeat_after later
    assert calls(alert) == [("ops", 0), ("manager", 60), ("ops", 180), ("manager", 240), ("manager", 360)]
    assert list(Step.objects.values_list("pass_number", "level")) == [(0, 1), (0, 2), (1, 1), (1, 2)]


def test_nobody_answered_is_told_to_the_last_level_and_shown(ladder, manager):
    (alert,) = tell(failing(7))
    until(later(20))
    row = run(alert)
    assert (row.status, row.ended_at, row.next_action_at) == ("exhausted", later(15), None)
    assert kinds(alert, manager) == [("escalated", "pending"), ("exhausted", "pending")]
    assert Notice.objects.get(kind="exhausted").snapshot["cause"].startswith("Nobody answered the escalation “Ops”.")
    assert list(escalating.exhausted_alerts()) == [alert]
    acts.acknowledge(alert, by=ANA, at=later(21))
    assert list(escalating.exhausted_alerts()) == []


def test_when_the_last_level_has_nobody_those_who_were_called_hear_that_nobody_answered(ops):
    gone = stage.webhook("gone")
    policy(level(0, ops), level(60, gone))
    (alert,) = tell(failing(7))
    sweep(T)
    gone.delete()
    until(later(10))
    assert calls(alert) == [("ops", 0), ("ops", 360)] and kinds(alert, ops)[-1][0] == "exhausted"


def test_two_policies_climb_side_by_side(ops, manager):
    policy(level(0, ops))
    policy(level(30, manager), name="Owners")
    (alert,) = tell(failing(7))
    until(later(1))
    assert calls(alert) == [("ops", 0), ("manager", 30)] and Run.objects.count() == 2


# --- Which alerts -------------------------------------------------------------------------------------------------------
def test_a_policy_takes_up_what_its_filters_match(ops):
    policy(level(0, ops), filter_severities="critical", filter_tags="prod")
    lesser, other, alert = tell(failing(6, **DEGRADED, tags=["prod"]), failing(7), failing(8, tags=["Prod"]))
    assert list(Run.objects.values_list("alert_id", flat=True)) == [alert.pk]


def test_a_services_policy_climbs_for_its_alerts_whatever_its_filters_say(ops):
    mine = policy(level(0, ops), filter_severities="info", attached_only=True)
    policies.attach(cast.service(), mine, by=cast.TESTS)
    alert, _ = tell(failing(7, service_id=cast.service().pk), failing(8))
    assert list(Run.objects.values_list("alert_id", flat=True)) == [alert.pk]


def test_a_clients_policy_climbs_for_that_client_only(ops):
    policy(level(0, stage.webhook("acme", cast.acme())), client=cast.acme())
    alert, _ = tell(failing(7), failing(8, client=cast.globex()))
    assert list(Run.objects.values_list("alert_id", flat=True)) == [alert.pk]


def test_a_clients_channel_never_hears_of_another_client(ops):
    policy(level(0, stage.webhook("globex", cast.globex()), ops))
    (alert,) = tell(failing(7))
    sweep(T)
    assert calls(alert) == [("ops", 0)]
    assert Step.objects.get(destination_key="").reason == "Channel globex: it belongs to another client."


def test_a_raise_into_a_policy_begins_its_run_and_another_repeat_does_not(ops):
    policy(level(60, ops), filter_severities="critical")
    (alert,) = tell(failing(7, **DEGRADED))
    assert not Run.objects.exists()
    tell(failing(7, later(1)))
    tell(failing(7, later(2), message="still"))
    assert run(alert).started_at == later(1) and Run.objects.count() == 1


def test_opened_and_raised_in_one_list_is_one_run(ops):
    policy(level(0, ops))
    (alert,) = tell(failing(7, **DEGRADED), failing(7, later(1)))
    sweep(later(1))
    assert Run.objects.count() == 1 and len(calls(alert)) == 1


def test_a_policy_that_is_made_while_an_alert_is_open_takes_it_up(ops):
    (alert,) = tell(failing(7))
    taken, gone = tell(failing(8), failing(9))
    acts.acknowledge(taken, by=ANA, at=later(1))
    tell(well(9, later(1)))
    policy(level(0, ops))
    assert list(Run.objects.values_list("alert_id", flat=True)) == [alert.pk]


# --- People ---------------------------------------------------------------------------------------------------------------
def test_a_level_reaches_people_by_their_ways_each_channel_once(ops):
    ana = person("Ana", ops)
    bob = person("Bob", stage.webhook("bob"))
    group = ContactGroup.objects.create(name="Night")
    group.contacts.add(bob, ana)
    policy(level(0, ops, contacts=[ana], groups=[group]))
    (alert,) = tell(failing(7))
    sweep(T)
    assert calls(alert) == [("ops", 0), ("bob", 0)]
    assert list(Step.objects.order_by("pk").values_list("contact_name", "via")) == [
        ("", "ops"),
        ("Bob", "Bob, group Night, by bob"),
    ]


def test_who_wants_critical_alerts_only_is_not_called_for_a_warning(ops, manager):
    ana = person("Ana", ops, urgency="high")
    policy(level(0, contacts=[ana]), level(60, manager))
    (alert,) = tell(failing(7, **DEGRADED))
    sweep(T)
    assert Step.objects.get(level=1).reason == "Ana wants critical alerts only."
    assert calls(alert) == [("manager", 0)], "the level reached nobody: the next is called at once"


def test_a_persons_second_channel_waits_and_is_dropped_when_somebody_acknowledges(ops, manager):
    ana = person("Ana", ops)
    ContactChannel.objects.create(contact=ana, channel=manager, delay_minutes=5)
    policy(level(0, contacts=[ana]))
    (alert,) = tell(failing(7))
    sweep(T)
    soon, late = Delivery.objects.filter(kind="escalated").order_by("next_attempt_at")
    assert (soon.channel, late.channel, late.next_attempt_at) == (ops, manager, later(5))
    stage.drain(T)
    acts.acknowledge(alert, by=ANA, at=later(2))
    assert kinds(alert, manager) == [("escalated", "expired")]


def on_call(name: str, contact: Contact | None) -> OnCallSchedule:
    schedule = OnCallSchedule.objects.create(name=name)
    if contact is not None:
        layer = Layer.objects.create(schedule=schedule, starts_at=T - timedelta(days=1))
        LayerMember.objects.create(layer=layer, contact=contact, position=0)
    return schedule


def test_whoever_is_on_call_is_called(ops):
    policy(level(0, schedules=[on_call("Primary", person("Ana", ops))]))
    (alert,) = tell(failing(7))
    sweep(T)
    step = Step.objects.get()
    assert (step.contact_name, step.via, step.destination_key) == (
        "Ana",
        "Ana, on call in Primary, by ops",
        ops.destination_key,
    )


def test_a_level_with_nobody_on_call_is_recorded_and_skipped_at_once(ops, manager):
    policy(level(60, schedules=[on_call("Primary", None)]), level(300, ops), level(600, manager))
    (alert,) = tell(failing(7))
    until(later(10))
    assert Step.objects.get(level=1).reason == "Nobody is on call in Primary."
    assert calls(alert)[:2] == [("ops", 60), ("manager", 360)], "at once, and the following keep their distances"


def test_a_policy_may_wait_out_a_level_that_reaches_nobody(ops):
    policy(level(60, schedules=[on_call("Primary", None)]), level(300, ops), on_empty="wait")
    (alert,) = tell(failing(7))
    until(later(6))
    assert calls(alert) == [("ops", 300)]


@pytest.mark.parametrize("gone", ["channel", "contact", "switched off", "group", "schedule"])
def test_who_is_gone_in_the_middle_of_a_run_is_passed_over_and_named(gone, ops, manager):
    ana = person("Ana", ops)
    group = ContactGroup.objects.create(name="Night")
    group.contacts.add(ana)
    schedule = on_call("Primary", ana)
    named = {
        "channel": {"channels": [ops]}, "contact": {"contacts": [ana]}, "switched off": {"channels": [ops]}, "group": {"groups": [group]},
        "schedule": {"schedules": [schedule]},
    }[gone]  # fmt: skip
    policy({"delay_seconds": 60, **named}, level(300, manager))
    (alert,) = tell(failing(7))
    match gone:
        case "channel":
            ops.delete()
        case "contact":
            ana.delete()
        case "group":
            group.delete()
        case "schedule":
            schedule.delete()
        case _:
            Channel.objects.filter(pk=ops.pk).update(enabled=False)
    until(later(2))
    assert calls(alert) == [("manager", 60)]
    reason = Step.objects.get(level=1).reason
    assert reason == {
        "channel": "Channel ops: it is gone.", "contact": "Ana is gone.", "switched off": "Channel ops: it is switched off.",
        "group": "Group Night is gone.", "schedule": "Schedule Primary is gone.",
    }[gone]  # fmt: skip


# --- Somebody answers -----------------------------------------------------------------------------------------------------
def test_an_acknowledgement_stops_it_and_tells_those_already_called_once(ladder, ops, manager):
    (alert,) = tell(failing(7))
    sweep(T)
    stage.drain(T)
    acts.acknowledge(alert, by=ANA, at=later(5))
    acts.acknowledge(alert, by=ANA, at=later(6))
    until(later(30))
    assert run(alert).status == "stopped_by_ack" and calls(alert) == [("ops", 0)]
    assert kinds(alert, ops) == [("escalated", "delivered"), ("acknowledged", "pending")]
    assert kinds(alert, manager) == []
    said = Notice.objects.get(kind="acknowledged")
    assert (said.severity, said.snapshot["cause"]) == ("info", "Ana has it.")
    assert "acknowledge" not in [link["rel"] for link in said.snapshot["links"]]


def test_a_call_that_was_not_sent_yet_is_not_sent_any_more(ladder, ops):
    (alert,) = tell(failing(7))
    sweep(T)
    acts.acknowledge(alert, by=ANA, at=later(seconds=1))
    assert kinds(alert, ops) == [("escalated", "expired")]
    assert Delivery.objects.get().reason == "Ana acknowledged first."


def test_a_call_that_failed_is_not_tried_again_after_an_acknowledgement(ladder, ops):
    (alert,) = tell(failing(7))
    sweep(T)
    (row,) = stage.claim(T)
    stage.ends(row, "retry", at=T)
    acts.acknowledge(alert, by=ANA, at=later(seconds=10))
    assert kinds(alert, ops) == [("escalated", "expired")] and stage.claim(later(5)) == []


def test_a_channel_that_keeps_a_record_hears_of_an_acknowledgement_also_without_escalation(monkeypatch):
    monkeypatch.setattr(channels.KINDS["webhook"], "lifecycle", True)
    desk, mail = stage.webhook("desk"), stage.mail()
    stage.trigger(desk, mail)
    (alert,) = tell(failing(7))
    stage.drain(T)
    acts.acknowledge(alert, by=ANA, at=later(1))
    assert kinds(alert, desk)[-1] == ("acknowledged", "pending")
    assert "acknowledged" not in [kind for kind, _ in kinds(alert, mail)], "who was not called need not hear of it"


def test_a_channel_that_is_gone_does_not_hear_of_it(ladder, ops):
    (alert,) = tell(failing(7))
    sweep(T)
    stage.drain(T)
    Channel.objects.filter(pk=ops.pk).update(enabled=False)
    acts.acknowledge(alert, by=ANA, at=later(1))
    assert kinds(alert, ops) == [("escalated", "delivered")]


def test_recovery_ends_it_and_is_told_to_those_who_were_called(ladder, ops, manager):
    (alert,) = tell(failing(7))
    sweep(T)
    stage.drain(T)
    tell(well(7, later(5)))
    until(later(30))
    assert run(alert).status == "stopped_by_resolution"
    assert kinds(alert, ops) == [("escalated", "delivered"), ("recovered", "pending")] and kinds(alert, manager) == []


def test_a_person_who_resolves_ends_it(ladder):
    (alert,) = tell(failing(7))
    acts.resolve(alert, by=ANA, at=later(1))
    assert (run(alert).status, run(alert).ended_at) == ("stopped_by_resolution", later(1))


def test_acknowledging_an_incident_stops_the_runs_of_its_alerts(ladder):
    alert, other = tell(failing(7, service_id=cast.service().pk), failing(8, service_id=cast.service().pk))
    incident = Incident.objects.get(pk=Alert.objects.get(pk=alert.pk).incident_id)
    incidents.acknowledge(incident, by=ANA, at=later(1))
    assert {r.status for r in Run.objects.all()} == {"stopped_by_ack"} and Run.objects.count() == 2
    assert sweep(later(60)) == 0


def test_who_acknowledged_something_lesser_is_called_anew_when_it_becomes_worse(ops):
    policy(level(0, ops))
    (alert,) = tell(failing(7, **DEGRADED))
    sweep(T)
    acts.acknowledge(alert, by=ANA, at=later(1))
    tell(failing(7, later(2)))
    sweep(later(2))
    assert calls(alert) == [("ops", 0), ("ops", 120)]
    again = acts.acknowledge(alert, by=Actor("Bob"), at=later(3))
    assert (again.acknowledged_by, run(alert).status) == ("Bob", "stopped_by_ack")
    assert sweep(later(30)) == 0


def test_a_raise_that_is_no_worse_calls_nobody_anew(ops):
    policy(level(0, ops))
    (alert,) = tell(failing(7, severity="critical", event="degraded"))
    acts.acknowledge(alert, by=ANA, at=later(1))
    tell(failing(7, later(2)))
    assert Run.objects.count() == 1 and sweep(later(3)) == 0


# --- Quiet ----------------------------------------------------------------------------------------------------------------
def silence(minutes: float) -> Silence:
    return services.save_silence(
        by=cast.TESTS, at=T, reason="Moving", matchers={}, starts_at=T, duration_seconds=int(minutes * 60)
    )


def test_a_silenced_alert_waits_and_then_counts_from_its_release(ops):
    policy(level(60, ops))
    silence(5)
    (alert,) = tell(failing(7, later(1)))
    assert (run(alert).status, run(alert).paused_at) == ("paused_by_silence", later(1))
    sweep(later(4))
    quiet_step(later(5))
    assert (run(alert).status, run(alert).next_action_at) == ("active", later(6))
    until(later(7))
    assert calls(alert) == [("ops", 360)]


def test_a_silence_in_the_middle_shifts_what_follows_by_as_long_as_it_lasted(ladder):
    (alert,) = tell(failing(7))
    sweep(T)
    row = services.save_silence(
        by=cast.TESTS, at=later(4), reason="x", matchers={}, starts_at=later(4), duration_seconds=600
    )
    assert run(alert).status == "paused_by_silence" and sweep(later(11)) == 0
    cancel_silence(row, by=cast.TESTS, at=later(12))
    assert run(alert).next_action_at == later(18)
    assert run(alert).shifted_seconds == 480


def test_snoozing_pauses_too(ladder):
    (alert,) = tell(failing(7))
    acts.snooze(alert, by=ANA, at=later(1), minutes=30)
    assert run(alert).status == "paused_by_silence"
    quiet_step(later(31))
    assert (run(alert).status, run(alert).next_action_at) == ("active", later(30))


def test_no_step_starts_in_a_silence_that_has_begun_although_nobody_has_noticed_yet(ladder):
    (alert,) = tell(failing(7))
    Silence.objects.create(reason="planned", starts_at=later(seconds=-1), ends_at=later(5), matchers={})
    sweep(T)
    assert calls(alert) == [] and run(alert).status == "paused_by_silence"


def test_maintenance_pauses_and_shifts(ladder, monkeypatch):
    (alert,) = tell(failing(7))
    sweep(T)
    alert.refresh_from_db()
    alert.hold_reason = "in_maintenance"
    escalating.pause([alert], at=later(2))
    assert run(alert).status == "paused_by_maintenance"
    alert.hold_reason = "silenced"
    escalating.pause([alert], at=later(3))  # held by another rule now: still the same pause
    assert (run(alert).status, run(alert).paused_at) == ("paused_by_silence", later(2))


def test_a_child_of_what_is_down_does_not_escalate_until_it_is_released(ops):
    policy(level(30, ops))
    child = {"parent": "monitor:1"}
    parent, alert = tell(failing(1), failing(2, **child))
    assert list(Run.objects.values_list("alert_id", flat=True)) == [parent.pk]
    tell(well(1, later(5)))
    assert run(alert).next_action_at == later(5, 45), "fifteen seconds of grace, then thirty"


def test_a_parent_that_opens_later_pauses_its_childs_run(ops):
    policy(level(30, ops))
    (alert,) = tell(failing(2, parent="monitor:1"))
    tell(failing(1, later(seconds=10)))
    assert run(alert).status == "paused_by_silence"
    tell(well(1, later(5)))
    assert run(alert).next_action_at == later(5, 35), "twenty seconds were left, after fifteen of grace"


# --- The policy itself --------------------------------------------------------------------------------------------------
def test_editing_a_policy_never_touches_a_run(ladder, ops, manager):
    (alert,) = tell(failing(7))
    policies.save_policy(ladder, by=cast.TESTS, levels=[level(5, stage.webhook("new"))], repeat_count=3)
    until(later(12))
    assert calls(alert) == [("ops", 0), ("manager", 600)]


@pytest.mark.parametrize("how", ["deactivated", "deleted"])
def test_switching_a_policy_off_stops_its_runs(how, ladder, ops):
    (alert,) = tell(failing(7))
    sweep(T)
    if how == "deleted":
        policies.delete_policy(ladder, by=cast.TESTS)
    else:
        policies.activate(ladder, False, by=cast.TESTS)
    row = run(alert)
    assert (row.status, row.policy_name, row.policy_id is None) == ("stopped_by_policy", "Ops", how == "deleted")
    assert kinds(alert, ops) == [("escalated", "expired")] and sweep(later(30)) == 0


def test_switching_it_on_again_does_not_call_for_what_it_has_climbed_for(ladder):
    tell(failing(7))
    policies.activate(ladder, False, by=cast.TESTS)
    policies.activate(ladder, True, by=cast.TESTS)
    assert Run.objects.count() == 1
    assert not auditor.audit(later(5))


# --- Channels that are dead -----------------------------------------------------------------------------------------------
def lose(row: Delivery, outcome: str, at) -> None:
    """A delivery ends so, and what the outbox says of it is said."""
    stage.ends(row, outcome, at=at)
    row.refresh_from_db()
    if row.state in ("failed", "unknown"):
        escalating.undelivered([row], at=at)


def test_a_dead_channel_makes_the_next_level_due_at_once(ladder):
    (alert,) = tell(failing(7))
    sweep(T)
    (row,) = stage.claim(T)
    lose(row, "permanent", later(seconds=1))
    sweep(later(seconds=1))
    assert calls(alert) == [("ops", 0), ("manager", 1)]
    assert Step.objects.get(destination_key="").reason.startswith("Nothing of this level arrived")


def test_while_another_of_the_level_may_arrive_nothing_is_skipped(ops, manager):
    policy(level(0, ops, stage.webhook("second")), level(600, manager))
    (alert,) = tell(failing(7))
    sweep(T)
    first, second = stage.claim(T)
    lose(first, "permanent", later(seconds=1))
    assert run(alert).next_action_at == later(10)
    lose(second, "permanent", later(seconds=2))
    assert run(alert).next_action_at == later(seconds=2)


def test_one_that_arrived_is_enough(ops, manager):
    policy(level(0, ops, stage.webhook("second")), level(600, manager))
    (alert,) = tell(failing(7))
    sweep(T)
    first, second = stage.claim(T)
    stage.ends(first, at=T)
    lose(second, "permanent", later(seconds=2))
    assert run(alert).next_action_at == later(10)


def test_a_dead_channel_of_the_last_level_does_not_hurry_the_next_pass(ops):
    policy(level(0, ops), repeat_count=2)
    (alert,) = tell(failing(7))
    sweep(T)
    (row,) = stage.claim(T)
    lose(row, "permanent", later(seconds=1))
    assert run(alert).next_action_at == later(5)


def test_a_late_failure_of_an_earlier_level_changes_nothing(ops, manager):
    policy(level(0, ops), level(10, manager), level(600, stage.webhook("boss")))
    (alert,) = tell(failing(7))
    sweep(T)
    (row,) = stage.claim(T)
    sweep(later(seconds=10))
    lose(row, "permanent", later(seconds=11))
    assert run(alert).next_action_at == later(10)


def test_a_channel_that_is_known_not_to_deliver_is_tried_and_the_next_level_called_at_once(ladder, ops):
    Channel.objects.filter(pk=ops.pk).update(unhealthy_since=T, unhealthy_reason="HTTP 410")
    (alert,) = tell(failing(7))
    sweep(T)
    assert calls(alert) == [("ops", 0), ("manager", 0)]


def test_a_call_whose_retry_comes_after_an_answer_or_a_recovery_is_pointless(ladder):
    alert, other = tell(failing(7), failing(8))
    sweep(T)
    for row in stage.claim(T):  # they are being sent while somebody answers
        assert answered.pointless(row) == ""
    acts.acknowledge(alert, by=ANA, at=later(1))
    tell(well(8, later(1)))
    rows = Delivery.objects.filter(kind="escalated").select_related("alert").order_by("alert_id")
    assert [answered.pointless(row) for row in rows] == [
        "Ana acknowledged first.",
        "It recovered before this was sent.",
    ]


# --- Storms ---------------------------------------------------------------------------------------------------------------
def test_a_storm_calls_a_person_once_and_gathers_the_rest():
    phone = stage.mail("phone")
    policy(level(0, phone))
    tell(*[failing(n) for n in range(50)])
    sweep(T)
    assert Delivery.objects.filter(kind="escalated").count() == 50, "no record is lost"
    assert len(stage.drain(T)) == 1
    assert [d.kind for d in stage.drain(later(1))] == ["digest"]


def test_a_call_does_not_wait_behind_what_is_still_to_be_said_of_the_same_alert():
    phone = stage.mail("phone")
    ana = person("Ana", phone, delay_minutes=30)
    services.save_trigger(None, by=cast.TESTS, name="Later", contacts=[ana])
    policy(level(60, phone))
    (alert,) = tell(failing(7))
    sweep(later(1))
    assert kinds(alert, phone) == [("opened", "expired"), ("escalated", "pending")]
    assert [d.kind for d in stage.drain(later(1))] == ["escalated"]


# --- The auditor ----------------------------------------------------------------------------------------------------------
def test_the_auditor_begins_what_is_missing_and_says_so(ladder, ops):
    stage.trigger(ops)
    (alert,) = tell(failing(7))
    Run.objects.all().delete()
    assert not auditor.audit(later(seconds=20)), "it gives the ordinary way half a minute"
    found = auditor.audit(later(1))
    assert [r.alert_id for r in found.missing] == [alert.pk] and run(alert).status == "active"
    stalled = Alert.objects.get(condition="escalation_stalled")
    assert (stalled.severity, stalled.entity_id, stalled.resolved_at) == ("critical", "portal", None)
    until(later(2))
    auditor.audit(later(2))
    stalled.refresh_from_db()
    assert stalled.resolved_at == later(2)


def test_the_auditor_sees_runs_that_nobody_carries_out(ladder):
    (alert,) = tell(failing(7))
    assert not auditor.audit(later(seconds=30))
    assert [r.alert_id for r in auditor.audit(later(seconds=31)).late] == [alert.pk]


def test_the_auditor_lets_a_run_go_on_that_waits_for_nothing(ladder):
    (alert,) = tell(failing(7))
    Run.objects.update(status="paused_by_silence", paused_at=T, next_action_at=None)
    assert [r.alert_id for r in auditor.audit(later(1)).stuck] == [alert.pk]
    assert (run(alert).status, run(alert).next_action_at) == ("active", later(1))


@pytest.mark.parametrize("why", ["acknowledged", "silenced", "fell silently", "another filter"])
def test_the_auditor_leaves_alone_what_should_not_escalate(why, ops):
    policy(level(0, ops), filter_severities="warning" if why == "fell silently" else "critical")
    if why == "silenced":
        silence(60)
    (alert,) = tell(failing(7, **(DEGRADED if why == "another filter" else {})))
    if why == "acknowledged":
        Run.objects.all().delete()
        acts.acknowledge(alert, by=ANA, at=later(seconds=1))
    if why == "fell silently":
        tell(failing(7, later(1), **DEGRADED))
    Run.objects.all().delete()
    assert not auditor.audit(later(5))


def test_the_outside_hears_that_we_live_only_while_escalation_does(ladder):
    assert auditor.obstacle in deadman._objections
    Worker.objects.create(id="w", role="page", host="h", pid=1, started_at=T, seen_at=T)
    assert auditor.obstacle(later(1)) == "", "just started: the auditor's turn comes"
    assert "has not passed" in auditor.obstacle(later(10))
    Slot.objects.create(name=auditor.JOB, slot=1, taken_by="w", taken_at=later(9), done_at=later(9))
    assert auditor.obstacle(later(10)) == ""
    tell(failing(7, later(9)))
    auditor.audit(later(10))
    assert auditor.obstacle(later(10)) == "escalation has stalled"


def test_the_auditor_is_a_periodic_job():
    assert slots._jobs[auditor.JOB].run is auditor.audit and slots._jobs[auditor.JOB].every_seconds == 60


# --- What went wrong, what went on ------------------------------------------------------------------------------------------
def test_one_run_that_cannot_be_carried_out_does_not_stop_the_others(ladder):
    broken, alert = tell(failing(7), failing(8))
    Run.objects.filter(alert=broken).update(snapshot={"levels": "nonsense"})
    loop = escalator.Escalator()
    now = T
    with patch.object(escalator, "database_now", lambda: now):
        loop.step()
        assert loop.step() > 0, "and the loop rests"
    assert calls() == [("ops", 0)] and run(alert).step == 1
    assert list(loop.broken) == [run(broken).pk]


def test_after_a_restore_nobody_is_called_before_the_checks_have_looked(ladder):
    (alert,) = tell(failing(7))
    sweep(T)
    escalator.on_restored(object(), at=later(60))
    assert sweep(later(61)) == 0
    assert run(alert).next_action_at == later(62)


def test_the_story_of_an_alert_can_be_read(ladder):
    (alert,) = tell(failing(7))
    until(later(11))
    acts.acknowledge(alert, by=ANA, at=later(12))
    assert [(line["at"], line["text"]) for line in escalating.story(alert)] == [
        (T, "Ops began."),
        (T, "Level 1: ops"),
        (later(10), "Level 2: manager"),
        (later(12), "Acknowledged."),
    ]
    assert escalating.story(alert, cast.alice()) == [], "our own policy's run is not the client's to read"


def test_what_would_happen_can_be_foreseen(ladder, ops, manager):
    (alert,) = tell(failing(7))
    f = facts.around([alert]).of(alert, T)
    assert [(line["at_seconds"], line["channel"], line["via"]) for line in escalating.foreseen(f, T)] == [
        (0, ops.pk, "policy Ops, level 1"),
        (600, manager.pk, "policy Ops, level 2"),
    ]


def test_a_hundred_runs_that_are_due_cost_hardly_more_than_ten(ladder, django_assert_max_num_queries):
    tell(*[failing(n) for n in range(100)])
    with django_assert_max_num_queries(75):
        assert escalator.climb(T) == 100
