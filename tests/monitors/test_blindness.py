"""Is it the target, or is it us? A probe without sight pages no client; when it sees again, what it saw blind never counts."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from alerts.models import Alert
from monitors import blindness, partitions
from monitors.models import Monitor, Probe, ProbeState
from portal.clock import database_now
from tests.alerts import stage
from tests.monitors import rows
from tests.monitors.seeing import judge, open_alerts, see, state, watch
from tests.rig.site import Site

pytestmark = pytest.mark.django_db
SHOPS = 6


@pytest.fixture
def now(db: None) -> datetime:
    at = database_now()
    partitions.ensure_ahead(at)
    stage.trigger(stage.webhook())
    return at


def later(at: datetime, seconds: float) -> datetime:
    return at + timedelta(seconds=seconds)


def all_see(monitors: list[Monitor], letter: str, at: datetime, by: Probe) -> None:
    for m in monitors:
        see(m, letter, at, by)


def pages() -> list[str]:
    """The events that clients were told of."""
    return [a.event for a in Alert.objects.order_by("id") if a.source != "probe"]


# --- By its neighbours -------------------------------------------------------------------------------------------------------
@pytest.fixture
def two(now) -> tuple[Probe, Probe, list[Monitor]]:
    """Two probes that see all shops well."""
    north, south = rows.probe("north", built_in=True), rows.probe("south", built_in=True)
    Probe.objects.filter(slug="local").update(enabled=False)
    shops = [rows.monitor(name=f"shop {n}", probes=[north, south]) for n in range(SHOPS)]
    for by in (north, south):
        all_see(shops, "u", now, by)
    judge(now)
    return north, south, shops


def test_one_probe_loses_everything_and_the_other_does_not(now, two):
    north, south, shops = two
    all_see(shops, "f", later(now, 10), north)
    judge(later(now, 10))
    all_see(shops, "u", later(now, 10.3), south)  # asked at once
    all_see(shops, "f", later(now, 11), north)
    judge(later(now, 11))
    (alert,) = open_alerts()
    assert (alert.source, alert.event, alert.entity_id) == ("probe", "blind", str(north.pk))
    assert alert.title == "Probe North cannot see" and "6 of 6 monitors failed at once" in alert.message
    assert {state(m) for m in shops} == {"up"} and pages() == []


def test_confirmed_in_the_very_round_that_blinds_it_nobody_is_paged(now, two):
    north, south, shops = two
    Monitor.objects.update(confirmation_count=1)
    all_see(shops, "f", later(now, 10), north)
    all_see(shops, "u", later(now, 10.3), south)
    judge(later(now, 11))
    assert pages() == [] and Probe.objects.get(pk=north.pk).blind_since is not None


def test_a_real_outage_that_one_probe_sees_first_is_paged(now, two):
    """What the neighbour saw before the failure began proves nothing."""
    north, south, shops = two
    watch(shops, "ff", later(now, 10), north)
    assert Probe.objects.get(pk=north.pk).blind_since is None
    assert {state(m) for m in shops} == {"down"} and pages() == ["consecutive_failure"] * SHOPS


def test_still_blind_after_minutes_it_does_not_begin_to_page(now, two):
    north, south, shops = two
    all_see(shops, "f", later(now, 10), north)
    all_see(shops, "u", later(now, 10.3), south)
    judge(later(now, 11))
    for seconds in (75, 140, 300):
        all_see(shops, "f", later(now, seconds), north)
        all_see(shops, "u", later(now, seconds), south)
        blindness.sweep(later(now, seconds + 1))
        judge(later(now, seconds + 1))
    assert pages() == [] and Probe.objects.get(pk=north.pk).blind_since is not None
    assert Alert.objects.filter(source="probe").count() == 1


def test_sight_returns_and_the_probe_votes_again(now, two):
    north, south, shops = two
    all_see(shops, "f", later(now, 10), north)
    all_see(shops, "u", later(now, 10.3), south)
    judge(later(now, 11))
    all_see(shops, "u", later(now, 100), north)
    blindness.sweep(later(now, 101))
    assert Probe.objects.get(pk=north.pk).blind_since is None and not open_alerts()
    assert [a.event for a in Alert.objects.all()] == ["blind"]
    all_see(shops, "u", later(now, 102), north)
    watch(shops[0], "ff", later(now, 110), north)
    assert state(shops[0]) == "down", "its word counts again"


def test_one_probe_alone_has_no_neighbours(now):
    shops = [rows.monitor(name=f"shop {n}") for n in range(SHOPS)]
    watch(shops, "uff", now)
    assert pages() == ["consecutive_failure"] * SHOPS


# --- By its anchors ----------------------------------------------------------------------------------------------------------------
@pytest.fixture
def anchored(now, site: Site) -> tuple[Probe, list[Monitor]]:
    """The portal's own probe with one real anchor on a loopback port; its shops are up."""
    probe = rows.probe()
    Probe.objects.filter(pk=probe.pk).update(anchors=[f"127.0.0.1:{site.port}"], enabled=True)
    probe.refresh_from_db()
    shops = [rows.monitor(name=f"shop {n}") for n in range(SHOPS)]
    all_see(shops, "u", now, probe)
    judge(now)
    return probe, shops


def test_a_failure_counts_only_after_the_anchors_were_seen(now, site, anchored):
    probe, shops = anchored
    watch(shops[0], "fff", later(now, 10))
    assert state(shops[0]) == "unknown" and pages() == []
    blindness.watch(later(now, 13))
    judge(later(now, 13))
    assert state(shops[0]) == "down" and pages() == ["consecutive_failure"]


def test_the_anchors_are_asked_only_while_there_is_an_open_question(now, site, anchored):
    probe, shops = anchored
    watch(shops[0], "ff", later(now, 10))
    blindness.watch(later(now, 11))
    judge(later(now, 11))
    assert state(shops[0]) == "down" and Probe.objects.get(pk=probe.pk).anchors_ok_at == later(now, 11)
    watch(shops[1], "ff", later(now, 12))
    blindness.watch(later(now, 13))
    judge(later(now, 13))
    assert state(shops[1]) == "down"
    blindness.watch(later(now, 60))
    assert Probe.objects.get(pk=probe.pk).anchors_ok_at == later(now, 13), "nothing is open: nobody is asked"


def test_the_anchors_are_gone_too_so_it_is_us(now, site, anchored):
    """R25: no monitor page, one about the observer."""
    probe, shops = anchored
    site.refuse()
    all_see(shops, "f", later(now, 10), probe)
    blindness.watch(later(now, 11))
    watch(shops, "ff", later(now, 12))
    blindness.watch(later(now, 16))
    assert {state(m) for m in shops} == {"unknown"} and pages() == []
    (alert,) = open_alerts()
    assert (alert.event, alert.message.split(".")[0]) == ("blind", "Only 0 of 1 anchors answer")


def test_the_uplink_returns_and_no_burst_of_pages_follows(now, site, anchored):
    """R25: what failed while it was blind is looked at anew; only what still fails, and is confirmed with open eyes, is told."""
    probe, shops = anchored
    site.refuse()
    all_see(shops, "f", later(now, 10), probe)
    blindness.watch(later(now, 11))
    watch(shops, "fff", later(now, 12))
    under_way = ProbeState.objects.get(monitor=shops[5])
    ProbeState.objects.filter(pk=under_way.pk).update(lease_token=7, claimed_by="w1")
    site.up()
    blindness.watch(later(now, 20))
    judge(later(now, 20))
    assert pages() == [] and not open_alerts(), "the observer's alert is over, and nobody else's begins"
    under_way.refresh_from_db()
    assert under_way.lease_token is None, "a check that began blind is fenced off"
    assert not ProbeState.objects.filter(next_due_at__gt=later(now, 80)).exists(), "all are seen within a minute"
    all_see(shops[1:], "u", later(now, 21), probe)
    see(shops[0], "f", later(now, 21), probe)
    judge(later(now, 21))
    assert state(shops[0]) != "down", "one failure with open eyes is a suspicion"
    see(shops[0], "f", later(now, 22), probe)
    blindness.watch(later(now, 23))
    judge(later(now, 23))
    assert state(shops[0]) == "down" and pages() == ["consecutive_failure"]
    assert {state(m) for m in shops[1:]} == {"up"}


def test_what_was_down_before_stays_told_and_is_not_told_again(now, site, anchored):
    probe, shops = anchored
    blindness.check_anchors(probe, later(now, 12))
    watch(shops[0], "ff", later(now, 10))
    assert state(shops[0]) == "down"
    site.refuse()
    blindness.check_anchors(probe, later(now, 30))
    judge(later(now, 30))
    assert state(shops[0]) == "unknown" and pages() == ["consecutive_failure"]
    site.up()
    blindness.check_anchors(Probe.objects.get(pk=probe.pk), later(now, 60))
    watch(shops[0], "u", later(now, 61))
    assert state(shops[0]) == "up" and pages() == ["consecutive_failure"] and not open_alerts()


@pytest.mark.parametrize(
    "anchor", ["127.0.0.1:1", "http://127.0.0.1:1/x", "nobody.invalid:443", "::nonsense::", "host:port"]
)
def test_an_anchor_that_cannot_be_reached_is_no_proof(anchor):
    assert blindness._reach_all([anchor]) == [False]
