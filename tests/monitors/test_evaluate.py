"""Views become states, states become alerts, incidents and messages, in one transaction: what happens, on a database."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from alerts import acts
from alerts.models import Alert, Delivery, Notice
from incidents.models import Incident
from monitors import evaluate, partitions, services
from monitors.models import Monitor, ProbeState, Result, StateChange
from portal.audit import PORTAL
from portal.clock import database_now
from tests import cast
from tests.alerts import stage
from tests.monitors import rows
from tests.monitors.seeing import judge, open_alerts, see, state, steps, told, watch
from tests.rig.abreast import abreast

pytestmark = pytest.mark.django_db


@pytest.fixture
def now(db: None) -> datetime:
    """A moment, with a channel that hears of everything and room for results around it."""
    at = database_now()
    partitions.ensure_ahead(at)
    stage.trigger(stage.webhook())
    return at


def later(at: datetime, seconds: float = 0, minutes: float = 0) -> datetime:
    return at + timedelta(seconds=seconds, minutes=minutes)


# --- From views to states ------------------------------------------------------------------------------------------------
def test_a_new_site_is_pending_then_up(now):
    shop = rows.monitor()
    assert state(shop) == "pending"
    watch(shop, "u", now)
    assert state(shop) == "up" and steps(shop) == ["up"] and not Alert.objects.exists()


def test_one_failure_is_a_suspicion_two_are_an_outage(now):
    shop = rows.monitor()
    watch(shop, "uf", now)
    assert state(shop) == "up" and not Alert.objects.exists()
    end = watch(shop, "f", later(now, 2))
    change = StateChange.objects.get(monitor=shop, to_state="down")
    assert (change.from_state, change.at, change.first_failure_at) == ("up", end, later(now, 1))
    assert change.reason == "The connection was refused"
    (alert,) = open_alerts(shop)
    assert (alert.event, alert.severity, alert.title) == ("consecutive_failure", "critical", "shop is down")
    assert told(shop) == [("opened", "pending")]


def test_what_is_steady_is_not_judged_again(now):
    shop = rows.monitor()
    watch(shop, "uu", now)
    see(shop, "u", later(now, 60))
    assert judge(later(now, 60)) == 0
    watch(shop, "ff", later(now, 120))
    see(shop, "f", later(now, 180))
    assert judge(later(now, 180)) == 0, "still down, still told: nothing to look at"


def test_the_incident_is_opened_in_the_same_transaction_and_the_first_message_names_it(now):
    shop = rows.monitor(service=cast.service())
    watch(shop, "uff", now)
    incident = Incident.objects.get()
    (alert,) = open_alerts(shop)
    assert (incident.status, incident.responder_status, incident.auto_created) == ("investigating", "triggered", True)
    assert (alert.incident_id, incident.cause_key) == (incident.pk, f"service:{shop.service_id}")
    notice = Notice.objects.get(alert=alert)
    assert notice.snapshot["incident"]["id"] == incident.pk and notice.snapshot["alert"]["incident_id"] == incident.pk


def test_nothing_is_half_done_when_the_transaction_fails(now, monkeypatch):
    shop = rows.monitor()
    watch(shop, "uf", now)
    see(shop, "f", later(now, 2))

    def the_database_dies(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as broken, pytest.raises(RuntimeError), transaction.atomic():
        broken.setattr("monitors.store.judged", the_database_dies)
        evaluate.evaluate(later(now, 2))
    assert state(shop) == "up" and not Alert.objects.exists() and not Incident.objects.exists()
    judge(later(now, 3))
    assert state(shop) == "down" and len(open_alerts()) == 1


def test_recovery_ends_alert_and_incident(now):
    shop = rows.monitor()
    watch(shop, "uff", now)
    stage.drain(later(now, 10))
    watch(shop, "u", later(now, 60))
    alert, incident = Alert.objects.get(), Incident.objects.get()
    assert state(shop) == "up" and alert.is_resolved and alert.resolved_at == later(now, 60)
    assert (incident.status, incident.responder_status) == ("resolved", "resolved")
    assert told(shop) == [("opened", "delivered"), ("recovered", "pending")]


def test_degraded_then_down_is_a_raise_and_down_then_degraded_is_silent(now):
    shop = rows.monitor()
    watch(shop, "udd", now)
    (alert,) = open_alerts(shop)
    assert (state(shop), alert.event, alert.severity) == ("degraded", "degraded", "warning")
    assert not Incident.objects.exists()
    watch(shop, "ff", later(now, 60))
    alert.refresh_from_db()
    assert (state(shop), alert.event, alert.severity) == ("down", "consecutive_failure", "critical")
    assert [kind for kind, _ in told(shop)] == ["opened", "raised"] and Incident.objects.count() == 1
    watch(shop, "d", later(now, 120))
    alert.refresh_from_db()
    assert state(shop) == "degraded" and not alert.is_resolved
    assert [kind for kind, _ in told(shop)] == ["opened", "raised"], "half well again is no news"


def test_a_monitor_that_only_warns_is_told_of_down_after_degraded_all_the_same(now):
    shop = rows.monitor(severity="warning")
    watch(shop, "udd", now)
    watch(shop, "ff", later(now, 60))
    assert [kind for kind, _ in told(shop)] == ["opened", "raised"]
    notice = Notice.objects.get(kind="raised")
    assert notice.type == "monitor.down" and "Raised" not in dict(notice.snapshot["facts"])


def test_now_slow_now_failing_is_degraded_and_not_up_for_ever(now):
    shop = rows.monitor()
    watch(shop, "ufdfdfd", now)
    assert state(shop) == "degraded" and len(open_alerts(shop)) == 1
    assert ProbeState.objects.get(monitor=shop).next_due_at >= later(now, 7), "no check each second for ever"


@pytest.mark.parametrize(("before", "kept"), [("u", 0), ("uff", 1)])
def test_unknown_neither_opens_nor_resolves(now, before, kept):
    shop = rows.monitor()
    watch(shop, before, now)
    watch(shop, "???", later(now, 60))
    assert state(shop) == "unknown" and len(open_alerts(shop)) == kept
    assert StateChange.objects.filter(to_state="unknown").get().reason == "Not permitted to open the socket"


# --- People and pauses -----------------------------------------------------------------------------------------------------
def test_resolved_by_hand_while_it_fails_the_next_failing_result_opens_a_new_alert(now):
    shop = rows.monitor()
    watch(shop, "uff", now)
    (first,) = open_alerts(shop)
    acts.resolve(first, by=cast.TESTS, at=later(now, 10))
    judge(later(now, 11))
    assert not open_alerts(shop), "taken at its word until the next check"
    watch(shop, "f", later(now, 60))
    (second,) = open_alerts(shop)
    assert second.pk != first.pk and Alert.objects.count() == 2


@pytest.mark.parametrize("act", ["pause", "delete"])
def test_to_pause_or_delete_closes_quietly(now, act):
    shop = rows.monitor()
    watch(shop, "uff", now)
    stage.drain(later(now, 10))
    getattr(services, act)(shop, by=cast.TESTS, at=later(now, 20))
    assert Alert.objects.get().is_resolved and Incident.objects.get().status == "resolved"
    assert [kind for kind, _ in stage.told()] == ["opened"], "nobody is told of a recovery that is none"


def test_what_was_under_way_when_it_was_paused_does_not_count(now):
    shop = rows.monitor()
    watch(shop, "u", now)
    view = ProbeState.objects.get(monitor=shop)
    ProbeState.objects.filter(pk=view.pk).update(lease_token=5)
    services.pause(shop, by=cast.TESTS, at=later(now, 5))
    view.refresh_from_db()
    assert (view.lease_token, view.active, state(shop)) == (None, False, "paused")
    services.resume(shop, by=cast.TESTS, at=later(now, 10))
    assert state(shop) == "pending"
    watch(shop, "u", later(now, 11))
    assert steps(shop) == ["up", "paused", "pending", "up"]


def test_resumed_with_two_probes_it_is_pending_for_no_reason_of_the_past(now):
    north, south = rows.probe("north"), rows.probe("south")
    shop = rows.monitor(probes=[north, south], quorum=2)
    for by in (north, south):
        watch(shop, "ff", now, by)
    services.pause(shop, by=cast.TESTS, at=later(now, 5))
    services.resume(shop, by=cast.TESTS, at=later(now, 10))
    watch(shop, "u", later(now, 11), north)
    assert "refused" not in Monitor.objects.get(pk=shop.pk).state_reason


# --- Parents and children -------------------------------------------------------------------------------------------------------
@pytest.fixture
def family(now) -> tuple[Monitor, Monitor]:
    router = rows.monitor(name="router")
    shop = rows.monitor(name="shop", parent=router)
    watch([router, shop], "u", now)
    return router, shop


def test_the_parent_is_down_so_the_child_is_recorded_and_held(now, family):
    router, shop = family
    watch(router, "ff", later(now, 10))
    watch(shop, "ff", later(now, 20))
    (alert,) = open_alerts(shop)
    assert state(shop) == "down" and alert.hold_reason == "explained_by_parent" and told(shop) == [("opened", "held")]
    assert Incident.objects.count() == 1 and set(Incident.objects.get().affected_monitor_ids) == {router.pk, shop.pk}


def test_the_parent_recovers_and_the_child_does_not_so_it_is_told_after_a_grace(now, family):
    router, shop = family
    watch(router, "ff", later(now, 10))
    watch(shop, "ff", later(now, 20))
    watch(router, "u", later(now, 60))
    (row,) = Delivery.objects.filter(alert__monitor_id=shop.pk)
    assert row.state == "pending" and row.next_attempt_at == later(now, 75)
    assert ProbeState.objects.get(monitor=shop).next_due_at <= later(now, 60), "it is looked at again at once"
    watch(shop, "u", later(now, 62))
    assert told(shop) == [("opened", "expired")], "it recovered within the grace: nobody hears of it"


def test_a_childs_page_waits_until_its_parent_was_asked(now, family):
    router, shop = family
    ProbeState.objects.update(next_due_at=later(now, 600))
    watch(shop, "ff", later(now, 10))
    (row,) = Delivery.objects.filter(alert__monitor_id=shop.pk)
    assert row.state == "pending" and row.next_attempt_at == later(now, 16), "five seconds after it was confirmed"
    assert ProbeState.objects.get(monitor=router).next_due_at == later(now, 11), "the parent is due at once"
    watch(router, "ff", later(now, 12))
    row.refresh_from_db()
    assert row.state == "held" and told(router) == [("opened", "pending")]


def test_parent_and_child_fail_together_and_the_incident_is_the_parents(now, family):
    router, shop = family
    services.save(router, by=cast.TESTS, at=later(now, 1))
    watch([shop, router], "ff", later(now, 10))
    incident = Incident.objects.get()
    assert incident.title == "router is down" and set(incident.affected_monitor_ids) == {router.pk, shop.pk}


# --- Flapping --------------------------------------------------------------------------------------------------------------------
def flap(m: Monitor, at: datetime, times: int) -> datetime:
    """Down and up again so often, half a minute each."""
    for _ in range(times):
        watch(m, "ff", at)
        watch(m, "u", at + timedelta(seconds=30))
        at += timedelta(seconds=60)
    return at


def test_what_comes_and_goes_is_told_once_and_the_rest_waits_until_it_is_calm(now):
    shop = rows.monitor(flapping_changes=4, flapping_window_seconds=600)
    watch(shop, "u", now)
    at = flap(shop, later(now, 10), 5)
    (alert,) = open_alerts(shop)
    assert alert.condition == "flapping" and Alert.objects.filter(condition="flapping").count() == 1
    health = [n.kind for n in Notice.objects.filter(alert__condition="health")]
    assert health.count("opened") == 5 and Delivery.objects.filter(hold_reason="flapping").count() == 3
    watch(shop, "ff", at)  # down, and it stays down
    held = open_alerts(shop, condition="health")[0]
    assert held.hold_reason == "flapping" and told(alert=held) == [("opened", "held")]
    assert evaluate.calm(at + timedelta(seconds=200)) == 0, "not calm yet"
    assert evaluate.calm(at + timedelta(seconds=302)) == 1
    held.refresh_from_db()
    assert held.hold_reason == "" and told(alert=held) == [("opened", "pending")], "what is still wrong is told now"
    assert Alert.objects.get(condition="flapping").is_resolved
    assert Monitor.objects.get(pk=shop.pk).flapping_since is None


def test_to_lose_sight_again_and_again_is_not_flapping(now):
    shop = rows.monitor(flapping_changes=2, flapping_window_seconds=600)
    watch(shop, "u?u?u?u?u", now)
    assert len(steps(shop)) == 9 and not Alert.objects.exists() and Monitor.objects.get().flapping_since is None


def test_flapping_that_begins_below_the_quorum_is_told_as_well(now):
    """The step that makes it flapping need not be alarming itself: a held alert must not be left without its speaker."""
    north, south = rows.probe("north"), rows.probe("south")
    shop = rows.monitor(probes=[north, south], quorum=2, flapping_changes=2, flapping_window_seconds=600)
    for by in (north, south):
        watch(shop, "u", now, by)
    for n in range(3):
        watch(shop, "ff", later(now, 10 + 20 * n), north)
        if n < 2:
            watch(shop, "u", later(now, 20 + 20 * n), north)
    assert state(shop) == "degraded" and [a.condition for a in open_alerts(shop)] == ["flapping"]


# --- Time without results -----------------------------------------------------------------------------------------------------------
def test_who_is_not_looked_at_for_long_is_unknown_and_not_down(now):
    shop = rows.monitor(interval_seconds=60, timeout_seconds=10)
    watch(shop, "u", now)
    ProbeState.objects.update(next_due_at=now)
    assert evaluate.mark_stale(later(now, 150)) == 0
    assert evaluate.mark_stale(later(now, 161)) == 1
    judge(later(now, 161))
    assert state(shop) == "unknown" and not Alert.objects.exists()
    watch(shop, "u", later(now, 200))
    assert state(shop) == "up" and not ProbeState.objects.get().stale


# --- Groups ---------------------------------------------------------------------------------------------------------------------------
def test_a_group_looks_again_when_a_child_changes(now):
    children = [rows.monitor(name=f"shop {n}") for n in range(3)]
    group = rows.monitor(name="all shops", kind="group", config={"monitor_ids": [m.pk for m in children]})
    watch(children, "u", now)
    ProbeState.objects.filter(monitor=group).update(next_due_at=later(now, 600))
    watch(children[0], "ff", later(now, 10))
    assert ProbeState.objects.get(monitor=group).next_due_at == later(now, 11)


# --- The result's own row ----------------------------------------------------------------------------------------------------------------
def test_results_are_kept_as_they_came(now):
    shop = rows.monitor()
    watch(shop, "uf?", now)
    kept = list(Result.objects.filter(monitor_id=shop.pk).order_by("ts").values_list("status", "error_class"))
    assert kept == [(1, ""), (3, "connect_refused"), (0, "permission")]


# --- Two evaluators ----------------------------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_two_evaluators_at_the_same_moment_judge_once():
    if connection.vendor != "postgresql":
        pytest.skip("once: SQLite has one writer at a time")
    at = database_now()
    partitions.ensure_ahead(at)
    rows.probe("local", built_in=True)
    stage.trigger(stage.webhook())
    shops = [rows.monitor(name=f"shop {n}") for n in range(30)]
    for moment, letter in ((at, "u"), (later(at, 1), "f")):
        for m in shops:
            see(m, letter, moment)
        judge(moment)
    for m in shops:
        see(m, "f", later(at, 2))

    def work(_: int) -> int:
        return sum(evaluate.evaluate(later(at, 2), limit=7) for _ in range(12))

    abreast(work, 3)
    judge(later(at, 3))
    assert {state(m) for m in shops} == {"down"}
    assert StateChange.objects.filter(to_state="down").count() == 30
    assert Alert.objects.count() == Incident.objects.count() == Delivery.objects.count() == 30


def test_a_group_cannot_contain_itself_through_another(now):
    inner = rows.monitor(name="inner", kind="group", config={"monitor_ids": [rows.monitor(name="leaf").pk]})
    outer = rows.monitor(name="outer", kind="group", config={"monitor_ids": [inner.pk]})
    inner.config = {"monitor_ids": [outer.pk]}
    with pytest.raises(ValidationError) as refused:
        services.save(inner, by=PORTAL, at=now)
    assert "contain itself" in str(refused.value)
