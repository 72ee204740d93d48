"""Maintenance windows: what they hold, what their end sends, and how the hour is kept. Each scene as a runbook tells it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts import acts, engine, facts, quiet
from alerts.models import Alert, Channel, Decision, Delivery, MaintenanceWindow, Occurrence
from alerts.signals import maintenance_changed
from portal.errors import Refused
from portal.models import AuditEntry, Client
from portal.tenancy import viewer_of
from tests import cast
from tests.alerts import stage
from tests.alerts.stage import T, drain, failing, later, tell, told, well

pytestmark = pytest.mark.django_db


@pytest.fixture
def ops() -> Channel:
    channel = stage.webhook()
    stage.trigger(channel)
    return channel


def window(at: datetime = T, of: Client | None = None, **values) -> MaintenanceWindow:
    """Work on endpoint:7 for an hour from `at`, unless `values` say otherwise."""
    about = {"title": "Switch replaced", "scopes": ["endpoint:7"], "duration_seconds": 3600, "starts_at": at, **values}
    return quiet.save_window(by=cast.TESTS, at=at, client=of, **about)


# --- What it holds -----------------------------------------------------------------------------------------------------
def test_what_fails_during_the_work_is_held_and_says_why(ops):
    work = window()
    (alert,) = tell(failing(7, later(1)))
    (row,) = stage.rows(alert)
    assert (alert.hold_reason, alert.held_by) == ("in_maintenance", work.pk)
    assert (row.state, row.hold_reason, row.window_id, row.silence_id) == ("held", "in_maintenance", work.pk, None)
    assert Decision.objects.get(notice=row.notice, outcome="held").reason == f"Maintenance {work.pk}: Switch replaced"
    assert drain(later(2)) == []


def test_what_still_fires_at_the_end_is_sent_at_once(ops):
    work = window()
    (alert,) = tell(failing(7, later(1)))
    quiet.step(later(59))
    assert told(alert) == [("opened", "held")]
    quiet.step(later(60))
    assert [d.alert_id for d in drain(later(60))] == [alert.pk]
    assert Alert.objects.get().hold_reason == ""
    assert list(quiet.hidden(work, viewer_of(cast.make_staff()))) == [alert], "the window still lists what it hid"


def test_what_came_and_went_inside_stays_quiet(ops):
    window()
    (alert,) = tell(failing(7, later(1)))
    tell(well(7, later(30)))
    quiet.step(later(60))
    assert drain(later(61)) == [] and told(alert) == [("opened", "expired")]


def test_who_was_told_before_the_work_hears_of_the_recovery_at_once(ops):
    (alert,) = tell(failing(7))
    drain(T)
    window(later(1))
    assert Alert.objects.get().hold_reason == "in_maintenance", "escalation waits, too"
    tell(well(7, later(10)))
    drain(later(10))
    assert told(alert) == [("opened", "delivered"), ("recovered", "delivered")]


def test_what_became_worse_during_the_work_is_told_at_its_end(ops):
    (alert,) = tell(failing(7, event="degraded", severity="warning"))
    drain(T)
    window(later(1))
    tell(failing(7, later(5)))
    assert told(alert) == [("opened", "delivered"), ("raised", "held")]
    quiet.step(later(61))
    drain(later(61))
    assert told(alert) == [("opened", "delivered"), ("raised", "delivered")]


def test_a_message_already_in_retry_goes_its_way_and_the_order_is_kept(ops):
    (alert,) = tell(failing(7))
    (row,) = stage.claim(T)
    stage.ends(row, "retry", at=T)
    window(later(seconds=10))
    tell(well(7, later(seconds=20)))
    assert told(alert) == [("opened", "pending"), ("recovered", "pending")]
    assert [d.kind for d in stage.claim(later(1))] == ["opened"], "never the recovery first"
    (row,) = stage.rows(alert, state="sending")
    stage.ends(row, at=later(1))
    assert [d.kind for d in drain(later(1))] == ["recovered"]


def test_what_is_open_and_untold_when_it_begins_is_held(ops):
    coming = window(T, starts_at=later(10))
    (alert,) = tell(failing(7, later(9)))
    quiet.step(later(9))
    assert told(alert) == [("opened", "pending")] and not Occurrence.objects.exists()
    quiet.step(later(10), later(9))
    assert told(alert) == [("opened", "held")]
    (o,) = Occurrence.objects.all()
    assert (o.window, o.starts_at, o.ends_at, o.closed_at) == (coming, later(10), later(70), None)


def test_other_things_are_not_held(ops):
    window()
    (other,) = tell(failing(8, later(1)))
    assert told(other) == [("opened", "pending")]


def test_a_silence_goes_on_where_the_work_ends(ops):
    window()
    silence = quiet.save_silence(by=cast.TESTS, at=T, reason="known", matchers={"entity_id": 7}, duration_seconds=7200)
    (alert,) = tell(failing(7, later(1)))
    quiet.step(later(60))
    alert.refresh_from_db()
    assert (alert.hold_reason, alert.held_by, told(alert)) == ("silenced", silence.pk, [("opened", "held")])
    quiet.step(later(120))
    assert [d.alert_id for d in drain(later(120))] == [alert.pk]


def test_it_flapped_before_the_work_and_it_flaps_after_it(ops):
    (flap,) = tell(failing(7, condition="flapping", event="flapping", severity="warning"))
    (alert,) = tell(failing(7, flapping=True))
    window(later(1))
    assert Alert.objects.get(pk=alert.pk).hold_reason == "in_maintenance"
    quiet.step(later(61))
    assert Alert.objects.get(pk=alert.pk).hold_reason == "flapping"


# --- What it covers -----------------------------------------------------------------------------------------------------
FACTS = {"source": "endpoint", "event": "x", "severity": "critical", "entity_type": "monitor", "entity_id": "7", "entity_name": "shop"}  # fmt: skip


@pytest.mark.parametrize(
    ("window", "covers"),
    [
        ({"scopes": {"endpoint:7"}}, True),
        ({"scopes": {"monitor:7"}}, True),
        ({"scopes": {"endpoint:8"}}, False),
        ({"scopes": {"certificate:7"}}, False),  # another source
        ({"scopes": {"site:2"}}, True),
        ({"scopes": {"service:5"}}, True),
        ({"scopes": {"client:1"}}, True),
        ({"scopes": {"client:acme"}}, True),
        ({"scopes": {"endpoint:8"}, "tags": {"prod"}}, True),  # one of scopes and tags is enough
        ({"tags": {"lab"}}, False),
        ({"client": 1}, True),  # a client's, without more: all of it
        ({"client": 9}, False),
        ({"client": 9, "scopes": {"endpoint:7"}, "tags": {"prod"}}, False),  # never another client's, whatever it names
        ({}, False),  # nobody's nothing
    ],
)
def test_what_a_window_covers(window, covers):
    f = engine.Facts(**FACTS, client=1, client_slug="acme", site=2, service=5, tags=frozenset({"prod"}))
    picture = engine.Window(1, window.get("client"), frozenset(window.get("scopes", ())), frozenset(window.get("tags", ())))  # fmt: skip
    assert engine.covers(picture, f) is covers


def test_a_clients_window_holds_that_clients_alerts_only(ops):
    window(of=cast.acme(), scopes=[], tags=[])
    (own,) = tell(failing(1, later(1)))
    (other,) = tell(failing(2, later(1), client=cast.globex()))
    assert (own.hold_reason, other.hold_reason) == ("in_maintenance", "")


# --- Beginning and ending -------------------------------------------------------------------------------------------------
def test_the_news_goes_up_once_at_each_end(ops):
    heard: list[tuple[list[str], bool]] = []

    def listen(sender, windows, scopes, at, began, **_):
        assert [w.title for w in windows] == ["Switch replaced"]
        heard.append((scopes, began))

    maintenance_changed.connect(listen)
    try:
        window(T, starts_at=later(10))
        for minute in (9, 10, 11, 69, 70, 71):
            quiet.step(later(minute), later(minute - 1))
    finally:
        maintenance_changed.disconnect(listen)
    assert heard == [(["endpoint:7"], True), (["endpoint:7"], False)]
    assert Occurrence.objects.get().closed_at == later(70)


def test_two_watchmen_make_one_occurrence(ops):
    window(T, starts_at=later(10))
    assert quiet.step(later(10)) and not quiet.step(later(10))
    assert Occurrence.objects.count() == 1


def test_nobody_looked_at_the_beginning_nor_at_the_end_and_nothing_is_held_for_ever(ops):
    window(T, starts_at=later(10))
    (alert,) = tell(failing(7, later(11)))
    assert alert.hold_reason == "in_maintenance", "the hour alone holds it"
    quiet.step(later(600))
    assert not Occurrence.objects.exists() and told(alert) == [("opened", "pending")]


def test_looking_costs_one_query_when_nothing_is_to_be_done(ops):
    window(T, starts_at=later(10)), window(later(-300), scopes=["endpoint:9"], duration_seconds=60)
    quiet.step(T)
    with CaptureQueriesContext(connection) as asked:
        quiet.step(later(1), T)
    assert len(asked) == 1, [q["sql"] for q in asked]


def test_the_work_is_done_sooner(ops):
    work = window()
    (alert,) = tell(failing(7, later(1)))
    quiet.end_now(work, by=cast.TESTS, at=later(5))
    assert [d.alert_id for d in drain(later(5))] == [alert.pk]
    assert facts.window_state(work, later(6), facts.closed_early([work])) == "ended"
    (after,) = tell(failing(7, later(6), source="certificate", condition="expired", event="expired"))
    assert after.hold_reason == "" and quiet.step(later(6)) == 0
    with pytest.raises(Refused, match="not running"):
        quiet.end_now(work, by=cast.TESTS, at=later(7))


def test_a_recurring_one_ended_early_comes_again(ops):
    work = window(recurrence="FREQ=DAILY")
    quiet.end_now(work, by=cast.TESTS, at=later(5))
    quiet.step(later(6))
    assert Occurrence.objects.count() == 1, "not begun anew in the same hour"
    quiet.step(later(24 * 60))
    assert Occurrence.objects.filter(closed_at=None).get().starts_at == later(24 * 60)
    (alert,) = tell(failing(7, later(24 * 60 + 1)))
    assert alert.held_by == work.pk


def test_a_cancelled_window_lets_go_and_keeps_its_row(ops):
    work = window()
    (alert,) = tell(failing(7, later(1)))
    quiet.cancel_window(work, by=cast.TESTS, at=later(2))
    assert told(alert) == [("opened", "pending")]
    work.refresh_from_db()
    assert (work.cancelled_at, work.cancelled_by) == (later(2), "the tests")
    assert Occurrence.objects.get().closed_at == later(2)
    with pytest.raises(Refused, match="cancelled already"):
        quiet.cancel_window(work, by=cast.TESTS, at=later(3))
    assert [a.action for a in AuditEntry.objects.filter(subject=f"maintenancewindow:{work.pk}").order_by("pk")] == [
        "maintenance.create",
        "maintenance.cancel",
    ]


def test_what_is_over_is_not_cancelled_any_more():
    with pytest.raises(Refused, match="is over"):
        quiet.cancel_window(window(), by=cast.TESTS, at=later(61))


def test_the_work_takes_longer_and_the_window_follows(ops):
    work = window()
    (alert,) = tell(failing(7, later(1)))
    quiet.change_window(work, by=cast.TESTS, at=later(50), ends_at=later(120))
    quiet.step(later(61))
    assert told(alert) == [("opened", "held")] and Occurrence.objects.get().ends_at == later(120)
    quiet.step(later(120))
    assert told(alert) == [("opened", "pending")]


def test_while_it_runs_it_covers_something_else(ops):
    work = window()
    seven, eight = tell(failing(7, later(1)), failing(8, later(1)))
    quiet.change_window(work, by=cast.TESTS, at=later(2), scopes=["endpoint:8"])
    assert told(seven) == [("opened", "pending")] and told(eight) == [("opened", "held")]


def test_what_has_begun_cannot_begin_at_another_time():
    work = window()
    with pytest.raises(ValidationError) as refusal:
        quiet.change_window(work, by=cast.TESTS, at=later(5), starts_at=later(10))
    assert "starts_at" in refusal.value.message_dict


def test_one_window_ends_while_another_still_runs(ops):
    window(duration_seconds=600), window(duration_seconds=1800)
    (alert,) = tell(failing(7, later(1)))
    quiet.step(later(10))
    assert told(alert) == [("opened", "held")]
    quiet.step(later(30))
    assert told(alert) == [("opened", "pending")]


def test_one_that_cannot_be_carried_out_stands_in_nobodys_way(ops, monkeypatch):
    broken, other = window(T, starts_at=later(10)), window(T, starts_at=later(10), scopes=["endpoint:8"])
    real = quiet._carry_out
    monkeypatch.setattr(quiet, "_carry_out", lambda row, at: 1 / 0 if row.pk == broken.pk else real(row, at))
    quiet.step(later(10))
    assert Occurrence.objects.get().window == other


# --- Hours ----------------------------------------------------------------------------------------------------------------
def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("starts", "length", "rule", "zone", "moment", "runs"),
    [
        # once
        ("2026-03-22 01:00", 3, "", "UTC", "2026-03-22 00:59", None),
        ("2026-03-22 01:00", 3, "", "UTC", "2026-03-22 01:00", "2026-03-22 01:00"),
        ("2026-03-22 01:00", 3, "", "UTC", "2026-03-22 04:00", None),
        # Sundays at 09:00 in Lisbon: an hour earlier in UTC once summer has come
        ("2026-03-22 09:00", 3, "FREQ=WEEKLY", "Europe/Lisbon", "2026-03-29 08:00", "2026-03-29 08:00"),
        ("2026-03-22 09:00", 3, "FREQ=WEEKLY", "Europe/Lisbon", "2026-03-29 11:00", None),
        # at 01:30, which the clocks skip on 29 March: just as long after the jump, and not before
        ("2026-03-22 01:30", 1, "FREQ=WEEKLY", "Europe/Lisbon", "2026-03-29 01:15", None),
        ("2026-03-22 01:30", 1, "FREQ=WEEKLY", "Europe/Lisbon", "2026-03-29 01:30", "2026-03-29 01:30"),
        # at 01:30, which the clocks show twice on 25 October: once, the first time, and three hours of real time
        ("2026-10-18 00:30", 3, "FREQ=WEEKLY", "Europe/Lisbon", "2026-10-25 00:30", "2026-10-25 00:30"),
        ("2026-10-18 00:30", 3, "FREQ=WEEKLY", "Europe/Lisbon", "2026-10-25 01:15", "2026-10-25 00:30"),
        ("2026-10-18 00:30", 3, "FREQ=WEEKLY", "Europe/Lisbon", "2026-10-25 03:29", "2026-10-25 00:30"),
        ("2026-10-18 00:30", 3, "FREQ=WEEKLY", "Europe/Lisbon", "2026-10-25 03:30", None),
        # over midnight, and over the change of the clocks: its length is real time
        ("2026-03-21 23:00", 4, "FREQ=WEEKLY", "Europe/Lisbon", "2026-03-29 02:59", "2026-03-28 23:00"),
        ("2026-03-21 23:00", 4, "FREQ=WEEKLY", "Europe/Lisbon", "2026-03-29 03:00", None),
        # the rule ends; the first span counts although the rule does not name its day
        ("2026-03-22 01:00", 1, "FREQ=DAILY;COUNT=2", "UTC", "2026-03-23 01:30", "2026-03-23 01:00"),
        ("2026-03-22 01:00", 1, "FREQ=DAILY;COUNT=2", "UTC", "2026-03-24 01:30", None),
        ("2026-03-21 01:00", 1, "FREQ=WEEKLY;BYDAY=SU", "UTC", "2026-03-21 01:30", "2026-03-21 01:00"),
        ("2026-03-21 01:00", 1, "FREQ=WEEKLY;BYDAY=SU", "UTC", "2026-03-22 01:30", "2026-03-22 01:00"),
    ],
)  # fmt: skip
@pytest.mark.once
def test_when_it_runs(starts, length, rule, zone, moment, runs):
    times = engine.Times(at(starts), at(starts) + timedelta(hours=length), rule, zone)
    span = engine.running(times, at(moment))
    assert span == ((at(runs), at(runs) + timedelta(hours=length)) if runs else None)


@pytest.mark.once
def test_the_next_five_are_told_with_the_one_that_runs():
    times = engine.Times(T, later(60), "FREQ=WEEKLY;BYDAY=SA,SU", "UTC")  # T is a Saturday
    days = [start.strftime("%a %d") for start, _ in engine.coming(times, later(30))]
    assert days == ["Sat 21", "Sun 22", "Sat 28", "Sun 29", "Sat 05"]
    assert engine.coming(engine.Times(T, later(60)), later(60)) == []


# --- Snoozes --------------------------------------------------------------------------------------------------------------
def test_a_snoozed_alert_is_woken_and_told(ops):
    (alert,) = tell(failing(7))
    acts.snooze(alert, by=cast.TESTS, at=later(seconds=1), minutes=30)
    assert told(alert) == [("opened", "held")]
    quiet.unsnooze(alert, by=cast.TESTS, at=later(1))
    assert told(alert) == [("opened", "pending")]
    with pytest.raises(Refused, match="not snoozed"):
        quiet.unsnooze(alert, by=cast.TESTS, at=later(2))


def test_a_snooze_ends_by_the_hour(ops):
    (alert,) = tell(failing(7))
    acts.snooze(alert, by=cast.TESTS, at=later(seconds=1), minutes=30)
    quiet.step(later(30))
    assert told(alert) == [("opened", "held")]
    quiet.step(later(31))
    assert told(alert) == [("opened", "pending")] and Delivery.objects.count() == 1
