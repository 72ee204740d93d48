"""The one door "this is wrong / this is well": what is opened, raised, held, told, dropped and told again, on a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from alerts import acts, services
from alerts.models import Alert, Channel, ContactChannel, Decision, Delivery, Notice, Silence, Trigger
from alerts.quiet import cancel_silence
from alerts.quiet import step as quiet_step
from alerts.report import report
from alerts.signals import alert_changed, alert_closed, alert_opened
from portal.services import change_client, create_client
from tests import cast
from tests.alerts import stage
from tests.alerts.stage import T, failing, later, tell, told, well

pytestmark = pytest.mark.django_db
DEGRADED = {"severity": "warning", "event": "degraded"}


@pytest.fixture
def ops() -> Channel:
    channel = stage.webhook()
    stage.trigger(channel)
    return channel


# --- Open, raise, fall, repeat, resolve ----------------------------------------------------------------------------------
def test_what_is_wrong_opens_an_alert_and_writes_what_is_owed(ops):
    (alert,) = tell(failing(7))
    (row,) = stage.rows(alert)
    assert (row.state, row.kind, row.channel, row.seq, row.via, row.next_attempt_at) == (
        "pending",
        "opened",
        ops,
        1,
        "trigger All",
        T,
    )
    notice = row.notice
    assert (notice.type, notice.event, notice.severity, notice.snapshot["title"]) == (
        "monitor.down",
        "down",
        "critical",
        "monitor-7 is down",
    )
    assert notice.snapshot["alert"]["id"] == alert.pk and notice.snapshot["client"]["name"] == "Acme"
    assert list(notice.decisions.values_list("rule", "outcome", "reason")) == [
        ("trigger All", "told", f"channel {ops.pk}")
    ]


def test_well_and_nothing_open_is_no_news(ops):
    assert tell(well(7)) == [] and Alert.objects.count() == Notice.objects.count() == 0


def test_the_database_allows_one_open_alert_per_identity(ops):
    (alert,) = tell(failing(7))
    copy = {f.name: getattr(alert, f.name) for f in Alert._meta.fields if f.name != "id"}
    with pytest.raises(IntegrityError), transaction.atomic():
        Alert.objects.create(**copy)
    tell(well(7, later(1)))
    Alert.objects.create(**copy)  # the old one is closed: a new one may open


def test_a_repeat_updates_in_place_and_tells_nobody(ops):
    (alert,) = tell(failing(7))
    assert tell(failing(7, later(1), message="timeout after 5 s")) == []
    alert.refresh_from_db()
    assert alert.message == "timeout after 5 s" and told(alert) == [("opened", "pending")]


def test_degraded_then_down_is_a_raise(ops):
    (alert,) = tell(failing(7, **DEGRADED))
    stage.drain(T)
    tell(failing(7, later(1)))
    alert.refresh_from_db()
    assert (alert.severity, alert.event) == ("critical", "consecutive_failure")
    assert told(alert) == [("opened", "delivered"), ("raised", "pending")]
    raised = stage.rows(alert)[1].notice
    assert raised.type == "monitor.down" and ["Raised", "from warning to critical"] in [
        list(row) for row in raised.snapshot["facts"]
    ]


def test_down_then_degraded_is_silent_and_only_well_tells_recovery(ops):
    (alert,) = tell(failing(7))
    stage.drain(T)
    tell(failing(7, later(1), **DEGRADED))
    alert.refresh_from_db()
    assert (alert.severity, alert.event, told(alert)) == ("warning", "degraded", [("opened", "delivered")])
    tell(failing(7, later(2)))  # down again: worse than what stands there
    assert told(alert)[1:] == [("raised", "pending")]
    stage.drain(later(2))
    tell(well(7, later(3)))
    assert told(alert)[2:] == [("recovered", "pending")]
    assert stage.rows(alert)[2].notice.type == "monitor.recovery"


def test_back_to_well_resolves_and_the_next_failure_is_a_new_alert(ops):
    (first,) = tell(failing(7))
    tell(well(7, later(1)))
    first.refresh_from_db()
    assert (first.status, first.resolved_at, first.resolved_by, first.is_resolved) == ("resolved", later(1), "", True)
    (second,) = tell(failing(7, later(2)))
    assert second.pk != first.pk


def test_each_threshold_of_a_certificate_is_an_occasion_of_its_own(ops):
    about = {"source": "certificate", "event": "expiring", "severity": "warning"}
    month, fortnight = tell(failing(7, condition="expiring:30", **about), failing(7, condition="expiring:14", **about))
    assert month.pk != fortnight.pk and len(stage.rows()) == 2


def test_one_list_may_open_raise_and_resolve_the_same_identity(ops):
    opened = tell(failing(7, **DEGRADED), failing(7, later(1)), failing(8), well(8, later(1)))
    first, second = opened
    assert told(first) == [("opened", "pending"), ("raised", "pending")]
    assert Alert.objects.get(pk=second.pk).is_resolved and told(second) == [("opened", "expired")]


@pytest.mark.django_db(transaction=True)
def test_it_runs_in_the_transaction_of_the_change_or_not_at_all(ops):
    with pytest.raises(RuntimeError):
        report([failing(7)])
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        report([failing(7)])
        raise ZeroDivisionError
    assert Alert.objects.count() == Delivery.objects.count() == 0


def test_three_hundred_failures_ask_the_database_hardly_more_than_ten(ops, django_assert_max_num_queries):
    few, many = [failing(n) for n in range(10)], [failing(n) for n in range(100, 400)]
    with CaptureQueriesContext(connection) as before:
        tell(*few)
    with django_assert_max_num_queries(
        len(before) + 70
    ):  # the same questions; long lists go in several pieces on SQLite
        tell(*many)
    assert Delivery.objects.count() == 310


def test_the_first_message_can_name_the_incident_that_was_opened_for_it(ops):
    def attach(sender, alerts, **_):
        for alert in alerts:
            alert.incident_id, alert.links = 41, {"incident_title": "Shop outage"}

    alert_opened.connect(attach)
    try:
        (alert,) = tell(failing(7))
    finally:
        alert_opened.disconnect(attach)
    assert stage.rows(alert)[0].notice.snapshot["incident"]["id"] == 41
    assert Alert.objects.get().incident_id == 41


def test_news_goes_up_in_lists_inside_the_transaction(ops):
    heard: list[tuple[str, int]] = []
    listeners = {
        alert_opened: lambda sender, alerts, **_: heard.append(("opened", len(alerts))),
        alert_changed: lambda sender, alerts, change, **_: heard.append((change, len(alerts))),
        alert_closed: lambda sender, alerts, manual, **_: heard.append((f"closed manual={manual}", len(alerts))),
    }
    for signal, listener in listeners.items():
        signal.connect(listener, weak=False)
    try:
        tell(failing(7, **DEGRADED), failing(8, **DEGRADED))
        tell(failing(7, later(1)), failing(8, later(1)))
        tell(well(7, later(2)), well(8, later(2)))
    finally:
        for signal, listener in listeners.items():
            signal.disconnect(listener)
    assert heard == [("opened", 2), ("raised", 2), ("closed manual=False", 2)]


# --- Recoveries: to those who were told, after it --------------------------------------------------------------------------
def test_recovery_goes_to_those_who_were_told_and_to_nobody_else(ops):
    silent = stage.webhook("silent")
    stage.trigger(silent, name="Down only", notify_on_resolve=False)
    broken = stage.webhook("broken")
    stage.trigger(broken, name="Broken")
    (alert,) = tell(failing(7))
    for row in stage.claim(T):
        stage.ends(row, "permanent" if row.channel_id == broken.pk else "delivered", T, error="gone")
    tell(well(7, later(1)))
    assert [(d.channel.name, d.kind) for d in stage.rows(alert) if d.kind == "recovered"] == [("ops", "recovered")]


def test_after_a_long_cut_of_our_own_line_people_hear_from_when_to_when(ops):
    """The page about the observer could not leave: its line was what had failed. What is well again says so all the same."""
    ours = {"source": "probe", "condition": "blind", "event": "blind", "entity_type": "probe"}
    (alert,) = tell(replace(failing(7), **ours))
    for row in stage.claim(T):
        stage.ends(row, "permanent", T, error="no way out")
    tell(replace(well(7, later(15)), **ours))
    assert told(alert) == [("opened", "failed"), ("recovered", "pending")]
    assert [d.kind for d in stage.drain(later(16))] == ["recovered"]


def test_a_down_that_was_not_sent_yet_is_dropped_with_its_recovery(ops):
    (alert,) = tell(failing(7))
    tell(well(7, later(seconds=2)))
    (row,) = stage.rows(alert)
    assert (row.state, row.reason, row.finished_at) == (
        "expired",
        "It recovered before this was sent.",
        later(seconds=2),
    )
    assert stage.drain(later(1)) == []


def test_a_recovery_waits_for_the_failure_that_is_on_its_way(ops):
    (alert,) = tell(failing(7))
    (sending,) = stage.claim(T)
    tell(well(7, later(seconds=2)))
    assert told(alert) == [("opened", "sending"), ("recovered", "pending")]
    assert stage.claim(later(seconds=3)) == []
    stage.ends(sending, at=later(seconds=4))
    assert [d.kind for d in stage.drain(later(seconds=5))] == ["recovered"]


def test_what_is_perhaps_delivered_counts_as_told(ops):
    mail = stage.mail(group_window_seconds=0)
    stage.trigger(mail, name="Mail")
    (alert,) = tell(failing(7))
    for minutes in (0, 1):
        for row in stage.claim(later(minutes)):
            stage.ends(row, "ambiguous", later(minutes))
    assert {d.channel_id: d.state for d in stage.rows(alert)}[mail.pk] == "unknown"
    tell(well(7, later(2)))
    assert mail.pk in [d.channel_id for d in stage.rows(alert) if d.kind == "recovered"]


def test_a_paused_or_deleted_monitor_closes_quietly(ops):
    (alert,) = tell(failing(7))
    stage.drain(T)
    tell(well(7, later(1), quiet=True))
    assert Alert.objects.get().is_resolved and told(alert) == [("opened", "delivered")]


def test_a_channel_switched_off_meanwhile_hears_no_recovery(ops):
    (alert,) = tell(failing(7))
    stage.drain(T)
    services.save_channel(ops, by=cast.TESTS, enabled=False)
    tell(well(7, later(1)))
    assert told(alert) == [("opened", "delivered")]


# --- Held, then released ----------------------------------------------------------------------------------------------------
def silence(at=T, **values) -> Silence:
    about = {"reason": "work", "matchers": {}, "duration_seconds": 600, **values}
    return services.save_silence(by=cast.TESTS, at=at, **about)


def test_a_silence_holds_and_what_still_fires_at_its_end_is_sent_at_once(ops):
    quiet = silence()
    (alert,) = tell(failing(7, later(1)))
    (row,) = stage.rows(alert)
    assert (alert.hold_reason, alert.held_by, row.state, row.hold_reason, row.silence_id) == (
        "silenced",
        quiet.pk,
        "held",
        "silenced",
        quiet.pk,
    )
    assert (
        Decision.objects.filter(notice=row.notice, rule="silenced", outcome="held").get().reason
        == f"Silence {quiet.pk}: work"
    )
    quiet_step(later(9))
    assert stage.claim(later(9)) == []
    quiet_step(later(10))
    (sent,) = stage.drain(later(10))
    assert sent.alert_id == alert.pk and Alert.objects.get().hold_reason == ""
    assert sent.silence_id == quiet.pk  # the silence's row still lists it


def test_what_recovers_under_a_silence_makes_no_noise(ops):
    silence()
    (alert,) = tell(failing(7, later(1)))
    tell(well(7, later(2)))
    assert told(alert) == [("opened", "expired")]
    quiet_step(later(11))
    assert stage.drain(later(11)) == []


def test_a_silence_made_afterwards_holds_what_nobody_was_told_of_yet(ops):
    sent, waiting = tell(failing(7), failing(8))
    (first, _) = stage.claim(T, limit=2)
    stage.ends(first, at=T)
    Delivery.objects.filter(alert=waiting).update(state="pending", attempt=0, lease_token=None, lease_until=None)
    quiet = silence(later(seconds=1))
    assert told(sent) == [("opened", "delivered")] and told(waiting) == [("opened", "held")]
    cancel_silence(quiet, by=cast.TESTS, at=later(1))
    assert told(waiting) == [("opened", "pending")]


def test_two_silences_and_the_first_ends_and_it_stays_quiet(ops):
    silence(duration_seconds=300), silence(duration_seconds=900)
    (alert,) = tell(failing(7, later(1)))
    quiet_step(later(6))
    assert told(alert) == [("opened", "held")]
    quiet_step(later(15))
    assert told(alert) == [("opened", "pending")]


def test_a_child_is_explained_by_its_parent_and_gets_a_grace_when_that_recovers(ops):
    (parent,) = tell(failing(1))
    (child,) = tell(failing(2, later(seconds=5), parent="monitor:1"))
    assert child.hold_reason == "explained_by_parent" and told(child) == [("opened", "held")]
    assert Decision.objects.get(rule="explained_by_parent").reason == "monitor:1 is down too"
    stage.drain(later(seconds=5))
    tell(well(1, later(1)))
    (row,) = stage.rows(child)
    assert row.state == "pending" and row.next_attempt_at == later(1, seconds=15)
    tell(well(2, later(1, seconds=5)))  # within the grace: nobody needs to hear of it
    assert told(child) == [("opened", "expired")]
    assert [d.alert_id for d in stage.drain(later(2))] == [parent.pk]


def test_a_child_that_is_still_down_after_the_grace_is_told(ops):
    tell(failing(1))
    (child,) = tell(failing(2, later(seconds=5), parent="monitor:1"))
    stage.drain(later(seconds=5))
    tell(well(1, later(1)))
    assert (child.pk, "opened") in [(d.alert_id, d.kind) for d in stage.drain(later(1, seconds=16))]


def test_a_parent_that_fails_a_moment_later_holds_what_its_child_has_not_sent(ops):
    (child,) = tell(failing(2, parent="monitor:1", not_before=later(seconds=10)))
    assert stage.claim(later(seconds=5)) == []
    tell(failing(1, later(seconds=5)))
    child.refresh_from_db()
    assert (child.hold_reason, told(child)) == ("explained_by_parent", [("opened", "held")])


@pytest.mark.parametrize(
    "about",
    [
        DEGRADED,
        {"source": "certificate", "condition": "expired", "event": "expired"},
        {"condition": "flapping", "event": "flapping", "severity": "warning"},
    ],
)
def test_only_a_parent_that_is_down_explains_its_children(ops, about):
    (before,) = tell(failing(3, parent="monitor:1"))
    tell(failing(1, **about))
    (after,) = tell(failing(2, parent="monitor:1"))
    assert (Alert.objects.get(pk=before.pk).hold_reason, after.hold_reason) == ("", "")


def test_a_parent_that_gets_worse_begins_to_explain_and_half_well_it_ceases_to(ops):
    (parent,) = tell(failing(1, **DEGRADED))
    (child,) = tell(failing(2, parent="monitor:1", not_before=later(seconds=10)))
    tell(failing(1, later(seconds=5)))
    assert told(child) == [("opened", "held")]
    tell(failing(1, later(1), **DEGRADED))
    assert told(child) == [("opened", "pending")] and not Alert.objects.get(pk=parent.pk).is_resolved


def test_flapping_speaks_for_the_rest_until_it_is_calm(ops):
    (flap,) = tell(failing(7, condition="flapping", event="flapping", severity="warning"))
    (health,) = tell(failing(7, later(1), flapping=True))
    assert (flap.hold_reason, health.hold_reason) == ("", "flapping")
    stage.drain(later(1))
    tell(failing(7, later(5), condition="flapping", event="flapping", failing=False))
    assert told(health) == [("opened", "pending")]  # still down: now it is told


def test_snoozed_until_a_time_and_told_then(ops):
    (alert,) = tell(failing(7))
    acts.snooze(alert, by=cast.TESTS, at=later(seconds=1), minutes=30)
    assert told(alert) == [("opened", "held")]
    quiet_step(later(29))
    assert told(alert) == [("opened", "held")]
    quiet_step(later(31))
    assert told(alert) == [("opened", "pending")]


# --- People and their rules ---------------------------------------------------------------------------------------------------
def test_a_delayed_message_is_not_sent_when_somebody_took_it_first(ops):
    person, slow = cast.contact(), stage.webhook("slow", cast.acme())
    ContactChannel.objects.create(contact=person, channel=slow, delay_minutes=10)
    stage.trigger(name="Ana", contacts=[person])
    taken, ignored = tell(failing(7), failing(8))
    stage.drain(T)
    acts.acknowledge(taken, by=cast.TESTS, at=later(5))
    assert [(d.alert_id, d.channel_id) for d in stage.drain(later(10))] == [(ignored.pk, slow.pk)]
    (dropped,) = stage.rows(taken, state="expired")
    assert dropped.reason == "the tests acknowledged first."


def test_a_group_reaches_each_of_its_people_once(ops):
    person, own = cast.contact(), stage.webhook("ana", cast.acme())
    ContactChannel.objects.create(contact=person, channel=own)
    stage.trigger(name="Ana", contacts=[person], groups=[cast.group()])
    (alert,) = tell(failing(7))
    assert sorted(d.channel.name for d in stage.rows(alert)) == ["ana", "ops"]


def test_when_nobody_is_told_the_reason_is_stored():
    stage.trigger(stage.webhook(), filter_severities="warning")
    (alert,) = tell(failing(7))
    assert stage.rows(alert) == []
    assert Decision.objects.get(notice__alert=alert).outcome == "nobody"


# --- Ready-made triggers --------------------------------------------------------------------------------------------------------
def test_a_clients_own_address_hears_of_its_own_alerts():
    acme = create_client(
        name="Initech",
        email="it@initech.example",
        slack_webhook="https://hooks.slack.example/services/a/b/c",
        by=cast.TESTS,
    )
    tell(failing(7, client=acme), failing(8, client=cast.globex()))
    assert sorted((d.channel.type, d.client_id) for d in stage.rows()) == [("email", acme.pk), ("slack", acme.pk)]
    change_client(acme, email="new@initech.example", slack_webhook="", by=cast.TESTS)
    assert {c.type: (c.config, c.enabled) for c in acme.channels.all()} == {
        "email": ({"to": ["new@initech.example"]}, True),
        "slack": ({}, False),
    }
    assert Trigger.objects.filter(client=acme).count() == 2


def test_a_default_that_was_deleted_is_not_made_again():
    acme = create_client(name="Initech", email="it@initech.example", by=cast.TESTS)
    services.delete_trigger(Trigger.objects.get(client=acme), by=cast.TESTS)
    change_client(acme, email="new@initech.example", by=cast.TESTS)
    assert not Trigger.objects.filter(client=acme).exists()


def test_the_owner_hears_of_everything_until_somebody_says_otherwise():
    from portal.people import create_owner

    create_owner("olga@msp.example", cast.PASSWORD, by=cast.TESTS)
    (alert,) = tell(failing(7))
    (row,) = stage.rows(alert)
    assert row.channel.config == {"to": ["olga@msp.example"]} and row.via == "trigger Default: every alert to the owner"


def test_a_late_result_carries_its_own_time(ops):
    (alert,) = tell(failing(7, started_at=T - timedelta(seconds=8)))
    assert stage.rows(alert)[0].notice.snapshot["duration_seconds"] == 8.0
