"""The first message carries the why: it waits a little for the cause, says it, and never waits longer than a trigger allows."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from alerts import acts, services, verdicts
from alerts.channels import letter, plain, slack, wording
from alerts.message import message_from, webhook_body
from alerts.models import Alert, Decision, Delivery, Notice
from alerts.report import Report
from alerts.signals import alert_changed
from tests import cast
from tests.alerts import letters, stage
from tests.alerts.stage import T, failing, later, tell, told, well

pytestmark = pytest.mark.django_db
FIRST = T - timedelta(seconds=3)  # the first failing check; at T it was confirmed
URL = "https://portal.example/r/12.abc/"
VERDICT = {
    "version": 1, "summary": "Loss begins at hop 7 (AS26599)", "layer": "transit", "cause": "loss_at_hop", "confidence": 0.92,
    "hop": 7, "hop_address": "192.0.2.7", "asn": 26599, "as_name": "Example Carrier", "for": [{"text": "long", "probes": ["a"]}],
    "regions": {"confirming": ["a", "b", "c", "d", "e"], "asked": ["a", "b", "c", "d", "e", "f"]}, "baseline_diff": "route_change",
}  # fmt: skip
EVIDENCE = {"mtr_reports": 6, "dns": "ok", "ssl": "ok", "baseline_diff": "route_change", "loss": 18}


def suspected(monitor: int = 7, at: datetime = T, **values: Any) -> Report:
    """A failure whose cause is looked for."""
    return failing(monitor, at, **{"expects_verdict": True, "started_at": FIRST, **values})


def comes(alert: Alert, at: datetime, verdict: dict | None = None, **values: Any) -> None:
    """The verdict is there."""
    with transaction.atomic():
        verdicts.attach(alert, verdict or VERDICT, EVIDENCE, URL, at=at, **values)


def said(row: Delivery) -> str:
    row.notice.refresh_from_db()
    return str(row.notice.snapshot["cause"])


def why(alert: Alert) -> list[tuple[str, str]]:
    """(outcome, reason) of what is written about the verdict."""
    rows = Decision.objects.filter(notice__alert=alert, rule=verdicts.RULE).order_by("pk")
    return list(rows.values_list("outcome", "reason"))


# --- Waiting ------------------------------------------------------------------------------------------------------------
def test_the_first_message_waits_eight_seconds_from_the_first_failing_check_and_not_longer():
    stage.trigger(stage.webhook())
    (alert,) = tell(suspected())
    (row,) = stage.rows(alert)
    assert row.next_attempt_at == FIRST + timedelta(seconds=8)
    assert stage.drain(later(seconds=4)) == []
    (sent,) = stage.drain(later(seconds=5))  # nothing came: it goes out all the same
    assert said(sent) == "connection refused"
    ((outcome, reason),) = why(alert)
    assert outcome == "waits" and "until 12:00:05 UTC" in reason and "8 s" in reason


@pytest.mark.parametrize(
    "values",
    [{"expects_verdict": False}, {"verdict": VERDICT}, {"started_at": T - timedelta(seconds=9)}],
    ids=["nobody looks for it", "it is known", "eight seconds have passed"],
)
def test_without_something_to_wait_for_it_goes_at_once(values):
    stage.trigger(stage.webhook())
    (alert,) = tell(suspected(**values))
    assert stage.rows(alert)[0].next_attempt_at == T and why(alert) == []


def test_a_trigger_says_how_long_and_of_several_the_shortest_wait_wins():
    both, slow, quick = stage.webhook("both"), stage.webhook("slow"), stage.webhook("quick")
    stage.trigger(both, slow, name="Slow", verdict_wait_seconds=30)
    stage.trigger(both, name="Middle", verdict_wait_seconds=10)
    stage.trigger(quick, name="Never", verdict_wait_seconds=0)
    stage.trigger(both, name="Others", verdict_wait_seconds=1, filter_severities="info")  # does not match: no say
    (alert,) = tell(suspected())
    due = {row.channel_id: row.next_attempt_at - FIRST for row in stage.rows(alert)}
    assert due == {both.pk: timedelta(seconds=10), slow.pk: timedelta(seconds=30), quick.pk: timedelta(seconds=3)}


def test_the_later_of_a_parents_suspicion_and_the_wait_counts():
    stage.trigger(stage.webhook())
    (alert,) = tell(suspected(not_before=later(seconds=20)))
    (row,) = stage.rows(alert)
    assert row.next_attempt_at == later(seconds=20)
    comes(alert, later(seconds=1))
    row.refresh_from_db()
    assert row.next_attempt_at == later(seconds=20) and said(row) == VERDICT["summary"]


def test_what_a_parent_held_and_gives_back_within_the_wait_still_waits():
    stage.trigger(stage.webhook())
    (alert,) = tell(suspected())
    with transaction.atomic():
        acts.snooze(alert, by=cast.TESTS, at=T, minutes=1)
    Alert.objects.filter(pk=alert.pk).update(snoozed_until=T)
    from alerts import telling

    with transaction.atomic():
        telling.reconsider([Alert.objects.select_for_update().get(pk=alert.pk)], at=later(seconds=1))
    (row,) = stage.rows(alert)
    assert (row.state, row.next_attempt_at) == ("pending", later(seconds=5))


# --- It comes in time ------------------------------------------------------------------------------------------------------
def test_a_verdict_in_time_sends_the_waiting_message_at_once_with_the_cause_and_the_report():
    stage.trigger(stage.webhook(), stage.mail())
    (alert,) = tell(suspected())
    comes(alert, later(seconds=1))
    sent = stage.drain(later(seconds=1))
    assert [(r.kind, said(r)) for r in sent] == [("opened", VERDICT["summary"])] * 2
    snap = sent[0].notice.snapshot
    assert {"rel": "report", "label": "Open report", "url": URL} in snap["links"] and snap["alert"]["report_url"] == URL
    assert told(alert) == [("opened", "delivered")] * 2  # and no second message
    assert [outcome for outcome, _ in why(alert)] == ["waits", "told"] and "4.0 s after" in why(alert)[1][1]


def test_a_verdict_that_is_there_already_stands_in_the_first_message():
    stage.trigger(stage.webhook())
    (alert,) = tell(suspected(verdict=VERDICT, verdict_evidence=EVIDENCE, report_url=URL))
    (row,) = stage.drain(T)
    alert.refresh_from_db()
    assert said(row) == VERDICT["summary"] and alert.links["report"] == URL and alert.verdict == VERDICT
    body = webhook_body(message_from(row.notice.snapshot, delivery_id=row.pk, attempt=1))
    assert body["verdict"] == {"summary": VERDICT["summary"], "layer": "transit", "confidence": 0.92}
    assert body["evidence"] == {"mtr_reports": 6, "dns": "ok", "ssl": "ok", "baseline_diff": "route_change"}
    assert body["report_url"] == URL and body["event"] == "down"
    assert body["text"] == "[Down] Acme · monitor-7 — LOSS 18% · 5/6 regions — Loss begins at hop 7 (AS26599)"


def test_an_unknown_cause_leaves_the_error_and_sends_the_message_at_once():
    stage.trigger(stage.webhook())
    (alert,) = tell(suspected())
    comes(alert, T, {"summary": "The cause is not known", "layer": "unknown", "confidence": 0.2})
    (row,) = stage.drain(T)
    assert said(row) == "connection refused"


def test_a_recovery_within_the_wait_drops_both():
    stage.trigger(stage.webhook())
    (alert,) = tell(suspected())
    tell(well(7, later(seconds=2)))
    assert told(alert) == [("opened", "expired")]


def test_what_is_held_back_says_the_cause_when_it_is_released():
    stage.trigger(stage.webhook())
    (alert,) = tell(suspected())
    acts.snooze(alert, by=cast.TESTS, at=T, minutes=1)
    comes(alert, later(seconds=1))
    (row,) = stage.rows(alert)
    assert row.state == "held" and said(row) == VERDICT["summary"]


def test_receivers_hear_that_the_alert_has_a_verdict():
    stage.trigger(stage.webhook())
    (alert,) = tell(suspected())
    heard: list[str] = []

    def listen(sender: object, change: str, **_: Any) -> None:
        heard.append(change)

    alert_changed.connect(listen)
    try:
        comes(alert, T)
        comes(alert, T)  # the same again changes nothing
    finally:
        alert_changed.disconnect(listen)
    assert heard == ["verdict"]


# --- It comes late -----------------------------------------------------------------------------------------------------------
def test_a_late_verdict_is_told_once_to_those_who_were_told_and_to_nobody_else():
    hook, mail = stage.webhook(), stage.mail()
    stage.trigger(hook, mail)
    stage.trigger(stage.webhook("patient", url="https://hooks.example/p"), name="Patient", verdict_wait_seconds=30)
    (alert,) = tell(suspected())
    first = stage.drain(later(seconds=5))
    assert {r.channel_id for r in first} == {hook.pk, mail.pk}
    comes(alert, later(seconds=20))
    late = [r for r in stage.rows(alert) if r.kind == "updated"]
    assert {r.channel_id for r in late} == {hook.pk, mail.pk} and {r.priority for r in late} == {verdicts.LATER}
    assert {r.channel_id: r.gather for r in late} == {hook.pk: False, mail.pk: True}
    notice = late[0].notice
    assert (notice.event, notice.type, notice.snapshot["cause"]) == ("updated", "monitor.updated", VERDICT["summary"])
    assert notice.snapshot["thread"] == first[0].notice.snapshot["thread"]
    assert ("told", "the first message had gone without it") in why(alert)


def test_nobody_is_rung_again_to_hear_a_cause():
    siren = stage.mail("siren")
    type(siren).objects.filter(pk=siren.pk).update(type="pushover")
    stage.trigger(siren)
    (alert,) = tell(suspected())
    stage.drain(later(seconds=5))
    comes(alert, later(seconds=20))
    assert told(alert) == [("opened", "delivered")]


def test_a_late_unknown_cause_is_no_news():
    stage.trigger(stage.webhook())
    (alert,) = tell(suspected())
    stage.drain(later(seconds=5))
    comes(alert, later(seconds=20), {"summary": "not known", "layer": "unknown", "confidence": 0.1})
    assert told(alert) == [("opened", "delivered")]


def test_after_the_recovery_nobody_hears_of_a_cause_but_the_alert_keeps_it():
    stage.trigger(stage.webhook())
    (alert,) = tell(suspected())
    stage.drain(later(seconds=5))
    tell(well(7, later(seconds=10)))
    stage.drain(later(seconds=10))
    comes(alert, later(seconds=20))
    alert.refresh_from_db()
    assert alert.verdict == VERDICT and told(alert) == [("opened", "delivered"), ("recovered", "delivered")]


@pytest.mark.parametrize(
    ("verdict", "again"),
    [
        ({**VERDICT, "layer": "dns", "summary": "The name has no address", "confidence": 0.7}, True),
        ({**VERDICT, "layer": "dns", "summary": "The name has no address", "confidence": 0.4}, False),
        ({**VERDICT, "summary": "Loss begins at hop 8", "confidence": 0.99}, False),
        ({**VERDICT, "layer": "unknown"}, False),
    ],
    ids=["another layer", "another layer, doubtful", "the same layer", "not known any more"],
)
def test_a_revised_verdict_is_told_again_only_when_it_is_another_layer_and_likely(verdict, again):
    stage.trigger(stage.webhook())
    (alert,) = tell(suspected(verdict=VERDICT))
    stage.drain(T)
    comes(alert, later(seconds=20), verdict, revised=True)
    assert Notice.objects.filter(alert=alert, kind="updated").exists() == again
    alert.refresh_from_db()
    assert alert.verdict == verdict


# --- Escalation ----------------------------------------------------------------------------------------------------------------
def test_escalation_is_not_put_off_and_its_message_carries_a_verdict_that_comes_before_it_goes():
    from alerts import escalator
    from tests.alerts import climbing

    policy = climbing.policy(climbing.level(0, stage.mail("first")), climbing.level(300, stage.mail("second")))
    assert policy
    (alert,) = tell(suspected())
    escalator.climb(T)
    (row,) = stage.rows(alert, kind="escalated")
    assert row.next_attempt_at == T
    comes(alert, T)
    assert said(row) == VERDICT["summary"]


# --- The words -------------------------------------------------------------------------------------------------------------------
def test_the_headline_carries_loss_and_how_many_regions_agree():
    said = "[Down] Acme · shop — LOSS 18% · 5/6 regions — Loss begins at hop 7 (AS26599)"
    assert plain.headline(letters.DIAGNOSED, 200) == letters.DIAGNOSED.headline == said
    assert "LOSS 18% · 5/6 regions — Probably: Loss begins" in slack.content_of(letters.DIAGNOSED)["text"]


def test_the_subject_of_a_mail_names_the_cause_alone():
    assert letter.subject(letters.DIAGNOSED) == "[Down] Acme · shop — Loss begins at hop 7 (AS26599)"


@pytest.mark.parametrize(
    ("verdict", "extent"),
    [
        ({"layer": "server", "regions": {"confirming": ["a"] * 4, "asked": ["a"] * 4}}, "4/4 regions"),
        ({"layer": "transit", "regions": {"confirming": ["a"], "asked": ["a"]}}, "LOSS 18%"),
        ({"layer": "unknown", "regions": {"confirming": ["a"] * 4, "asked": ["a"] * 4}}, ""),
        ({}, ""),
    ],
)
def test_loss_is_said_of_the_way_there_and_regions_where_there_are_several(verdict, extent):
    assert replace(letters.DIAGNOSED, verdict=verdict).extent == extent


@pytest.mark.parametrize(
    ("confidence", "first"),
    [(0.97, "Certain: Loss"), (0.8, "Probably: Loss"), (0.5, "Likely: Loss")],
)
def test_the_first_line_says_how_sure_it_is(confidence, first):
    sure = replace(letters.DIAGNOSED, verdict={**letters.DIAGNOSED.verdict, "confidence": confidence})
    assert wording.first_line(sure).startswith(first)


def test_a_doubtful_cause_is_never_said_without_its_doubt():
    stage.trigger(stage.webhook())
    (alert,) = tell(suspected(verdict={**VERDICT, "confidence": 0.49}))
    message = message_from(stage.rows(alert)[0].notice.snapshot, delivery_id=1, attempt=1)
    assert message.cause == f"not sure: {VERDICT['summary']}" == wording.first_line(message)


def test_an_unknown_cause_is_said_to_be_unknown_beside_the_error():
    undiagnosed = replace(letters.PAGE, verdict={"summary": "Not clear", "layer": "unknown", "confidence": 0.3})
    assert wording.first_line(undiagnosed) == "connection refused"
    assert ("Cause", "not known yet") in wording.rows(undiagnosed)


def test_words_of_a_template_are_not_touched():
    assert wording.first_line(replace(letters.DIAGNOSED, cause="Call Ana")) == "Call Ana"


def test_what_was_found_around_it_is_one_row():
    rows = dict(wording.rows(letters.DIAGNOSED))
    assert rows["Evidence"] == "DNS ok · certificate ok · route changed 40 min ago"
    assert rows["Extent"] == "LOSS 18% · 5/6 regions"
    bare = replace(letters.DIAGNOSED, evidence={"dns": "changed", "ssl": "unknown", "baseline_diff": "dns_change"})
    assert dict(wording.rows(bare))["Evidence"] == "DNS changed"
    assert "Evidence" not in dict(wording.rows(letters.PAGE))


def test_a_later_report_does_not_undo_what_was_found_out():
    stage.trigger(stage.webhook())
    (alert,) = tell(suspected(verdict=VERDICT, verdict_evidence=EVIDENCE))
    tell(suspected(at=later(1), message="timeout", evidence={"mtr_reports": 0, "bad": 6}))
    alert.refresh_from_db()
    assert (alert.evidence["mtr_reports"], alert.evidence["bad"], alert.message) == (6, 6, "timeout")


# --- The trigger's setting ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seconds", [-1, 31])
def test_a_wait_outside_its_bounds_is_refused_in_a_sentence(seconds):
    from django.core.exceptions import ValidationError

    with pytest.raises(ValidationError) as refusal:
        services.save_trigger(None, by=cast.TESTS, name="n", verdict_wait_seconds=seconds)
    assert refusal.value.message_dict == {"verdict_wait_seconds": ["From 0 (not at all) to 30 seconds."]}


def test_the_admin_form_asks_for_the_wait_and_the_record_says_who_changed_it(client):
    from alerts.models import Trigger
    from portal.models import AuditEntry

    client.force_login(cast.make_owner())
    assert 'name="verdict_wait_seconds"' in client.get("/admin/alerts/trigger/add/").content.decode()
    row = stage.trigger(stage.webhook())
    services.save_trigger(row, by=cast.TESTS, verdict_wait_seconds=0)
    entry = AuditEntry.objects.filter(action="trigger.changed").latest("pk")
    assert (entry.before, entry.after) == ({"verdict_wait_seconds": 8}, {"verdict_wait_seconds": 0})
    assert Trigger.objects.get().verdict_wait_seconds == 0
