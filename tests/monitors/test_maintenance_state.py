"""What a monitor shows while it is worked on, what goes on underneath, and what it shows afterwards."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts import engine as alerting
from alerts import facts, quiet
from alerts.models import Alert, Delivery, MaintenanceWindow, Occurrence, Silence
from incidents.models import Incident
from monitors import evaluate, maintenance, partitions, services, subjects
from monitors.models import Monitor, ProbeState, Result, StateChange
from portal import services as ground
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


def after(at: datetime, seconds: float) -> datetime:
    return at + timedelta(seconds=seconds)


def work(at: datetime, *scopes: str, seconds: int = 600, **values) -> MaintenanceWindow:
    """Work from `at` on, with everything that follows from its beginning."""
    about = {"title": "Switch replaced", "scopes": scopes, "duration_seconds": seconds, **values}
    row = quiet.save_window(by=cast.TESTS, at=at, **about)
    turn(at)
    return row


def turn(at: datetime) -> None:
    """The watchman looks, then the evaluator."""
    quiet.step(at)
    maintenance.mark()
    judge(at)


# --- What it shows ------------------------------------------------------------------------------------------------------
def test_a_monitor_that_is_worked_on_says_so_and_why(now):
    shop, other = rows.monitor(), rows.monitor(name="other")
    watch([shop, other], "u", now)
    work(after(now, 10), f"endpoint:{shop.pk}")
    shop.refresh_from_db()
    assert (shop.state, shop.state_reason, shop.in_maintenance) == ("maintenance", "Switch replaced", True)
    assert shop.state_since == after(now, 10) and state(other) == "up"


def test_its_end_brings_the_true_state_at_once(now):
    shop = rows.monitor()
    watch(shop, "u", now)
    work(after(now, 10), f"endpoint:{shop.pk}")
    watch(shop, "ff", after(now, 20))
    assert state(shop) == "maintenance"
    turn(after(now, 610))
    shop.refresh_from_db()
    assert (shop.state, shop.state_reason, shop.in_maintenance) == ("down", "The connection was refused", False)
    assert steps(shop) == ["up", "maintenance", "down"]
    assert StateChange.objects.get(monitor=shop, to_state="down").first_failure_at == after(now, 20)


def test_checks_go_on_and_their_results_and_votes_are_kept(now):
    shop = rows.monitor()
    watch(shop, "u", now)
    work(after(now, 10), f"endpoint:{shop.pk}")
    watch(shop, "ffu", after(now, 20))
    assert Result.objects.filter(monitor_id=shop.pk).count() == 4
    view = ProbeState.objects.get(monitor=shop)
    assert (view.active, view.status, view.vote) == (True, rows.UP, rows.UP)
    turn(after(now, 610))
    assert steps(shop) == ["up", "maintenance", "up"]


# --- What goes on underneath ----------------------------------------------------------------------------------------------
def test_an_outage_during_the_work_is_an_alert_that_nobody_hears_of_until_the_end(now):
    shop = rows.monitor()
    watch(shop, "u", now)
    work(after(now, 10), f"endpoint:{shop.pk}")
    watch(shop, "ff", after(now, 20))
    (alert,) = open_alerts(shop)
    assert alert.hold_reason == "in_maintenance" and told(shop) == [("opened", "held")]
    turn(after(now, 610))
    assert told(shop) == [("opened", "pending")] and state(shop) == "down"


def test_an_outage_that_came_and_went_inside_is_never_heard_of(now):
    shop = rows.monitor()
    watch(shop, "u", now)
    work(after(now, 10), f"endpoint:{shop.pk}")
    watch(shop, "ffu", after(now, 20))
    assert not open_alerts(shop) and Alert.objects.count() == 1
    turn(after(now, 610))
    assert told(shop) == [("opened", "expired")] and state(shop) == "up"


def test_it_was_down_before_and_recovers_during_the_work(now):
    shop = rows.monitor()
    watch(shop, "uff", now)
    stage.drain(after(now, 5))
    work(after(now, 10), f"endpoint:{shop.pk}")
    watch(shop, "u", after(now, 20))
    stage.drain(after(now, 21))
    assert told(shop) == [("opened", "delivered"), ("recovered", "delivered")]
    assert Incident.objects.get().status == "resolved" and state(shop) == "maintenance"


def test_it_is_down_before_during_and_after(now):
    shop = rows.monitor()
    watch(shop, "uff", now)
    stage.drain(after(now, 5))
    work(after(now, 10), f"endpoint:{shop.pk}")
    watch(shop, "ff", after(now, 20))
    turn(after(now, 610))
    assert state(shop) == "down" and told(shop) == [("opened", "delivered")] and len(open_alerts(shop)) == 1


def test_comings_and_goings_during_the_work_are_not_flapping(now):
    shop = rows.monitor(confirmation_count=1, flapping_changes=2)
    watch(shop, "u", now)
    work(after(now, 10), f"endpoint:{shop.pk}")
    watch(shop, "fufufufu", after(now, 20))
    turn(after(now, 610))
    assert not Alert.objects.filter(condition="flapping").exists()


# --- Who is covered -------------------------------------------------------------------------------------------------------
def test_a_monitor_made_during_the_work_is_covered_from_its_first_result(now):
    watch(rows.monitor(), "u", now)
    work(now, client=cast.acme())
    late = rows.monitor(name="late")
    watch(late, "u", after(now, 10))
    assert state(late) == "maintenance" and Monitor.objects.get(pk=late.pk).in_maintenance


def test_a_monitor_made_during_the_work_is_covered_before_its_first_result(now):
    work(now, client=cast.acme())
    late = rows.monitor(name="late")
    maintenance.sweep(after(now, 5))
    maintenance.mark()
    judge(after(now, 5))
    assert state(late) == "maintenance"


def test_a_monitor_moved_into_the_site_is_covered_and_moved_out_it_is_not(now):
    site, shop = cast.site(), rows.monitor()
    watch(shop, "u", now)
    work(now, f"site:{site.pk}")
    assert state(shop) == "up"
    for where, shown in ((site, "maintenance"), (None, "up")):
        shop = Monitor.objects.get(pk=shop.pk)
        shop.site = where
        services.save(shop, by=cast.TESTS, at=after(now, 1))
        maintenance.sweep(after(now, 5))
        maintenance.mark()
        judge(after(now, 5))
        assert state(shop) == shown


def test_a_tag_given_to_the_client_covers_its_monitors(now):
    shop = rows.monitor()
    watch(shop, "u", now)
    work(now, tags=["Gold"])
    ground.change(cast.acme(), by=cast.TESTS, tags=["gold"])
    maintenance.sweep(after(now, 5))
    maintenance.mark()
    judge(after(now, 5))
    assert state(shop) == "maintenance"


def test_a_paused_monitor_stays_paused_and_shows_the_work_when_it_is_resumed(now):
    shop = rows.monitor()
    watch(shop, "u", now)
    services.pause(shop, by=cast.TESTS, at=after(now, 1))
    work(after(now, 2), f"endpoint:{shop.pk}")
    assert state(shop) == "paused"
    services.resume(shop, by=cast.TESTS, at=after(now, 3))
    watch(shop, "u", after(now, 4))
    assert state(shop) == "maintenance"


def test_two_windows_and_the_first_ends(now):
    shop = rows.monitor()
    watch(shop, "u", now)
    work(after(now, 1), f"endpoint:{shop.pk}", title="First", seconds=60)
    work(after(now, 2), f"endpoint:{shop.pk}", title="Second", seconds=600)
    turn(after(now, 61))
    shop.refresh_from_db()
    assert (shop.state, shop.in_maintenance) == ("maintenance", True)
    watch(shop, "u", after(now, 120))
    maintenance.sweep(after(now, 121))
    turn(after(now, 602))
    assert state(shop) == "up" and steps(shop) == ["up", "maintenance", "up"]


def test_the_work_is_done_sooner(now):
    shop = rows.monitor()
    watch(shop, "u", now)
    row = work(after(now, 1), f"endpoint:{shop.pk}")
    quiet.end_now(row, by=cast.TESTS, at=after(now, 30))
    turn(after(now, 31))
    assert state(shop) == "up"


def test_the_evaluator_looks_by_itself_for_what_came_meanwhile(now, monkeypatch):
    shop = rows.monitor()
    watch(shop, "u", now)
    quiet.save_window(by=cast.TESTS, at=now, title="Switch", scopes=[f"monitor:{shop.pk}"], duration_seconds=600)
    Monitor.objects.update(in_maintenance=False)
    evaluator = evaluate.Evaluator()
    evaluator.step()
    maintenance.mark()
    evaluator.step()
    assert state(shop) == "maintenance"


# --- One rule, asked in two ways --------------------------------------------------------------------------------------------
words = st.sampled_from(["prod", "Lab", "gold", "none"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_database_and_the_engine_agree_on_who_is_covered(db, data):
    if not Monitor.objects.exists():
        ground.change(cast.acme(), by=cast.TESTS, tags=["Gold"])
        ground.change(cast.site(), by=cast.TESTS, tags=["lab"])
        rows.monitor(tags=["Prod"], site=cast.site())
        rows.monitor(name="job", kind="heartbeat", service=cast.service())
        rows.monitor(name="cert", kind="tls", config={"host": "shop.acme.example"})
        rows.monitor(cast.globex(), name="mill", tags=["prod"])
    every = list(subjects.with_tags(Monitor.objects.all()))
    ids = st.sampled_from([m.pk for m in every] + [cast.site().pk, cast.service().pk, cast.acme().pk, 987654])
    nouns = st.sampled_from(["monitor", "endpoint", "heartbeat", "certificate", "site", "service", "client", "probe"])
    scopes = st.builds("{}:{}".format, nouns, ids) | st.sampled_from(["client:acme", "client:globex", "external:x"])
    window = MaintenanceWindow(
        pk=1,
        client=data.draw(st.sampled_from([None, cast.acme(), cast.globex()])),
        scopes=data.draw(st.lists(scopes, max_size=3)),
        tags=data.draw(st.lists(words, max_size=2)),
    )
    picture = facts.pictured(window)
    by_engine = {m.pk for m in every if alerting.covers(picture, maintenance.facts_of(m))}
    assert by_engine == set(Monitor.objects.filter(maintenance.covered_by(window)).values_list("pk", flat=True))
    wish = st.fixed_dictionaries({}, optional={
        "source": st.sampled_from(["endpoint", "heartbeat", "certificate"]), "entity_type": st.sampled_from(["monitor", "probe"]),
        "entity_id": st.sampled_from(["shop", "987654", *(str(m.pk) for m in every)]), "client": st.sampled_from(["acme", cast.globex().pk]),
        "site": st.sampled_from(["Shop", cast.site().pk]), "tag": words,
    })  # fmt: skip
    silence = Silence(pk=1, client=window.client, matchers=data.draw(wish), starts_at=database_now())
    matcher = facts.matcher(silence)
    by_engine = {m.pk for m in every if alerting.matches(matcher, maintenance.facts_of(m))}
    assert by_engine == set(Monitor.objects.filter(maintenance.silenced_by(silence)).values_list("pk", flat=True))


# --- Many at once -------------------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_watchmen_evaluators_and_people_do_not_stand_in_each_others_way():
    if connection.vendor == "sqlite":
        pytest.skip("once: SQLite has one writer at a time")
    rows.probe()
    at = database_now()
    partitions.ensure_ahead(at)
    stage.trigger(stage.webhook())
    shops = [rows.monitor(name=f"shop-{n}") for n in range(20)]
    watch(shops, "u", at)
    work(after(at, 2), client=cast.acme(), seconds=60)
    watch(shops, "ff", after(at, 10))
    assert {state(m) for m in shops} == {"maintenance"}
    for m in shops:
        see(m, "f" if m.pk % 2 else "u", after(at, 62))
    done = after(at, 62)

    def push(number: int) -> int:
        if number < 2:
            return quiet.step(done)
        if number < 4:
            return sum(evaluate.evaluate(done, limit=5) for _ in range(8))
        return sum(bool(maintenance.mark()) or maintenance.follow() for _ in range(4))

    for _ in range(3):
        abreast(push, 6)
    turn(done)
    assert {state(m) for m in shops if m.pk % 2} == {"down"} and {state(m) for m in shops if not m.pk % 2} == {"up"}
    assert Occurrence.objects.filter(closed_at=None).count() == 0 and Occurrence.objects.count() == 1
    assert {a.hold_reason for a in open_alerts()} == {""}
    assert Delivery.objects.filter(state="held").count() == 0
