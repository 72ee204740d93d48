"""From an alert to an action: proposed with its evidence, allowed by people, done once, verified, or put back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerts.models import Alert, Delivery, Notice
from incidents.models import TimelineEntry
from playbooks import outcomes
from playbooks.models import Brake, Mode, Playbook, Run, RunStep
from portal.clock import database_now
from portal.errors import Refused
from tests.alerts import stage
from tests.playbooks import acting
from tests.playbooks.acting import carried_out, only_run, playbook, says, scene

pytestmark = pytest.mark.django_db


def awaiting(**values) -> tuple[acting.Scene, Run]:
    """A run that waits for Bob's word."""
    bob = acting.approver()
    row = playbook(**values)
    row.approvers.add(bob)
    s = scene()
    s.down()
    s.explained()
    return s, only_run()


def test_the_first_message_carries_the_button_and_the_cause():
    stage.trigger(stage.webhook())
    bob = acting.approver()
    playbook().approvers.add(bob)
    s = scene()
    s.down()
    alert = s.explained()
    run = only_run()
    assert run.state == "awaiting_approval" and run.incident_id == alert.incident_id
    notice = Notice.objects.get(alert=alert, kind="opened")
    assert notice.snapshot["links"][0]["rel"] == "approve"
    assert run.plan[0]["sentence"] == "Ring the bell “main”."
    assert all(gate["passed"] for gate in run.gates)
    letter = Delivery.objects.get(destination_key__startswith="approver:")
    assert letter.priority < 3 and "Ring the bell" in letter.notice.snapshot["letter"]["text"]


def test_approved_by_a_named_person_it_acts_once_is_verified_and_told(bell):
    s, run = awaiting()
    assert says(run, acting.approver()).state == "approved"
    done = carried_out(run, s.well)
    assert done.state == "succeeded" and bell == [f"{run.pk}.1 main"]
    assert RunStep.objects.get().before == {"quiet": True}
    texts = " ".join(TimelineEntry.objects.filter(kind="playbook").values_list("text", flat=True))
    assert "bob@msp.example approved" in texts and "Verified" in texts
    assert Playbook.objects.get().verified_in_a_row == 1
    assert not Alert.objects.filter(source="playbook", resolved_at=None).exists()


def test_in_dry_run_it_only_says_what_it_would_do(bell):
    playbook(mode=Mode.DRY_RUN)
    s = scene()
    s.down()
    s.explained()
    run = only_run()
    assert run.state == "dry_run" and run.acted_at is None and run.plan and not bell
    assert Playbook.objects.get().verified_in_a_row == 1, "enough of these, and asking people is offered"


def test_automatic_acts_without_anybody(bell):
    playbook(mode=Mode.AUTOMATIC)
    s = scene()
    s.down()
    s.explained()
    assert carried_out(only_run(), s.well).state == "succeeded" and len(bell) == 1


@pytest.mark.parametrize("layer", ["transit", "probe", "unknown"])
def test_what_nobody_can_mend_from_here_is_left_alone(layer, bell):
    playbook(mode=Mode.AUTOMATIC)
    s = scene()
    s.down()
    s.explained(layer)
    assert only_run().state == "blocked" and not bell


def test_one_bad_probe_never_triggers_anything(bell):
    playbook(mode=Mode.AUTOMATIC, min_confidence=0)
    s = scene(quorum=1)
    s.down("fuu")
    s.explained()
    run = only_run()
    assert run.state == "blocked" and "1 of 3 healthy regions" in run.reason and not bell


def test_a_blocked_run_acts_when_the_others_see_it_too(bell):
    from playbooks import proposing

    playbook(mode=Mode.AUTOMATIC)
    s = scene(quorum=1)
    s.down("fuu")
    s.explained()
    s.seen("fff")
    s.seen("fff")
    proposing.reconsider(only_run().pk, database_now())
    assert only_run().state == "approved"


def test_a_second_failure_within_the_cooldown_goes_to_people(bell):
    playbook(mode=Mode.AUTOMATIC)
    s = scene()
    s.down()
    s.explained()
    carried_out(only_run(), s.well)
    for letters in ("fff", "fff"):
        s.seen(letters)
    s.explained()
    second = Run.objects.order_by("-pk").first()
    assert second.state == "blocked" and "cooldown" in second.reason
    assert Alert.objects.filter(source="playbook", event="capped", resolved_at=None).count() == 1
    assert len(bell) == 1


def test_a_step_that_fails_is_told_and_trust_goes_down(bell):
    s, run = awaiting(behaves="fails")
    says(run, acting.approver())
    done = carried_out(run)
    assert done.state == "failed" and "The rope is gone" in done.reason
    assert Alert.objects.filter(source="playbook", event="failed", resolved_at=None).count() == 1
    assert Playbook.objects.get().mode == Mode.DRY_RUN


@pytest.mark.parametrize("behaves", ["hangs up", "breaks"])
def test_an_unknown_outcome_is_never_repeated_and_wakes_somebody(behaves, bell):
    s, run = awaiting(behaves=behaves)
    says(run, acting.approver())
    done = carried_out(run)
    assert done.state == "outcome_unknown" and len(bell) == 1
    assert Alert.objects.get(source="playbook", event="failed").severity == "critical"
    carried_out(run, worker="worker:2")
    assert len(bell) == 1


def test_what_did_not_help_is_put_back(bell):
    s, run = awaiting(verify_within_seconds=5)
    says(run, acting.approver())
    Run.objects.filter(pk=run.pk).update(verify_within_seconds=0)
    done = carried_out(run)
    assert done.state == "rolled_back" and bell[-1].endswith("main muffled")


def test_a_worker_that_dies_within_a_step_leaves_an_unknown_outcome(bell):
    s, run = awaiting()
    says(run, acting.approver())
    from playbooks import beginning

    beginning.begin(run.pk, "dead", database_now())
    RunStep.objects.update(state="running")
    outcomes.bury(["dead"], database_now())
    run.refresh_from_db()
    assert run.state == "outcome_unknown" and not bell


def test_a_worker_that_dies_between_steps_loses_nothing(bell):
    from playbooks import beginning

    s, run = awaiting()
    says(run, acting.approver())
    beginning.begin(run.pk, "dead", database_now())
    outcomes.bury(["dead"], database_now())
    Run.objects.update(claimed_by=acting.WORKER)
    assert carried_out(run, s.well).state == "succeeded" and len(bell) == 1


def test_recovery_before_anybody_decided_voids_it(bell):
    s, run = awaiting()
    s.well()
    run.refresh_from_db()
    assert run.state == "void"
    with pytest.raises(Refused, match="void already"):
        says(run, acting.approver())


def test_another_verdict_voids_what_people_were_asked(bell):
    s, run = awaiting()
    s.explained("transit", 0.9)
    run.refresh_from_db()
    assert run.state == "void" and "changed from service to transit" in run.reason


def test_an_edited_playbook_voids_what_people_were_asked(bell):
    s, run = awaiting()
    Playbook.objects.update(version=2)
    assert says(run, acting.approver()).state == "void"


def test_a_plan_changed_behind_its_back_is_noticed(bell):
    s, run = awaiting()
    Run.objects.update(plan=[{**run.plan[0], "sentence": "Ring every bell in town."}])
    assert says(run, acting.approver()).state == "void" and not bell


def test_a_kill_switch_pulled_after_the_approval_stops_it(bell):
    s, run = awaiting()
    says(run, acting.approver())
    Brake.objects.create(scope="all", reason="Storm", by="Olivia", at=database_now())
    done = carried_out(run)
    assert done.state == "void" and "Everything is stopped" in done.reason and not bell
    assert "Storm" not in str(done.gates), "why is ours to know"


def test_a_denial_is_final_for_that_incident(bell):
    s, run = awaiting()
    assert says(run, acting.approver(), "deny", reason="We are in it").state == "denied"
    assert not Alert.objects.filter(source="playbook", resolved_at=None).exists()


def test_nobody_approves_their_own_request_and_strangers_do_not_count(bell):
    s, run = awaiting()
    with pytest.raises(Refused, match="not one of the people"):
        says(run, acting.approver("carol"))
    Run.objects.update(requester=acting.approver())
    run.refresh_from_db()
    with pytest.raises(Refused, match="You asked for this run"):
        says(run, acting.approver())


def test_too_late_is_too_late(bell):
    s, run = awaiting()
    assert says(run, acting.approver(), at=database_now() + timedelta(minutes=31)).state == "expired"


def test_what_was_done_can_be_put_back_when_people_agree_again(bell):
    from playbooks import services
    from portal.audit import Actor

    s, run = awaiting()
    says(run, acting.approver())
    carried_out(run, s.well)
    carol = acting.approver("carol")
    back = services.put_back(run, by=Actor(carol.email, user_id=carol.pk), at=database_now())
    assert back.state == "awaiting_approval" and back.plan[0]["sentence"] == "Muffle the bell “main”."
    says(back, acting.approver())
    assert carried_out(back, s.well).state == "succeeded" and bell[-1].endswith("muffled")
