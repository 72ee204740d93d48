"""Is what a probe saw without its line kept out of the judgement, and is one cause told once? By the hand-spoken protocol."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alerts.models import Alert
from monitors import blindness, engine, ingest, nameservers, partitions, prober, remote, store, watching
from monitors.models import Host, HostSample, Probe, ProbeState, Result
from portal.clock import database_now
from tests import cast
from tests.monitors import afar, rows
from tests.monitors.afar import Speaker
from tests.monitors.seeing import judge, open_alerts, see, state

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def ground(transactional_db: None) -> None:
    partitions.ensure_ahead(database_now())
    nameservers._proved_at.clear()
    nameservers._asked_at.clear()


def silent(*probes: Probe) -> None:
    """Not heard of for twelve seconds."""
    Probe.objects.filter(pk__in=[p.pk for p in probes]).update(last_seen_at=database_now() - timedelta(seconds=12))


def three_regions() -> tuple[list[Probe], list[Speaker]]:
    probes = [afar.new_probe("berlin"), afar.new_probe("paris"), afar.new_probe("oslo")]
    return probes, [Speaker.enrolled(p, instance=f"{n}" * 32) for n, p in enumerate(probes)]


def test_two_of_three_lose_their_lines_and_what_they_failed_to_see_meanwhile_pages_nobody():
    """No anchors prove anything: the silence itself is the proof. On return both deliver young failures of that time."""
    probes, speakers = three_regions()
    shop = rows.monitor(probes=probes, quorum=2)
    for each in speakers:
        each.saw(shop.pk, "uu")
    judge(database_now())
    silent(*probes[:2])
    blindness.look_at_remote(database_now())
    judge(database_now())
    assert state(shop) == "unknown"
    meanwhile = database_now() - timedelta(milliseconds=50)
    for each in speakers[:2]:
        assert each.work().status_code == 200  # heard again; and only then, what is in the spool
        answer = each.saw(shop.pk, "fff", meanwhile)
        assert answer.json()["late"] == 3
        judge(database_now())
    assert Result.objects.filter(monitor_id=shop.pk, status=3).count() == 6, "it is in the history"
    assert not Alert.objects.filter(source="endpoint").exists() and state(shop) != "down"
    for each in speakers[:2]:
        each.saw(shop.pk, "ff", database_now() + timedelta(seconds=1.5))
    judge(database_now())
    assert state(shop) == "down", "what both see now counts"


def test_back_from_silence_and_still_blind_it_is_one_alert_until_it_sees():
    """Heard again before it has said how it sees: asking for work gives no sight back, and its own word goes on with the same alert."""
    berlin = afar.new_probe(anchors=["10.77.9.9:1"])
    speaker = Speaker.enrolled(berlin)
    shop = rows.monitor(probes=[berlin])
    speaker.saw(shop.pk, "u")
    silent(berlin)
    blindness.look_at_remote(database_now())
    first = Alert.objects.get(resolved_at=None)
    assert speaker.work().status_code == 200
    blindness.look_at_remote(database_now())
    speaker.post([], blind="Only 0 of 1 anchors answer.")
    blindness.look_at_remote(database_now())
    assert (
        Alert.objects.get(resolved_at=None) == first
        and "0 of 1 anchors" in Probe.objects.get(pk=berlin.pk).blind_reason
    )
    speaker.post([], blind="")
    assert not Alert.objects.filter(resolved_at=None).exists() and Alert.objects.count() == 1


def test_a_probe_that_runs_twice_is_told_by_the_contracts_own_event():
    berlin = afar.new_probe()
    first = Speaker.enrolled(berlin)
    second = Speaker(first.who, instance="b" * 32, counter=first.counter + 1000)
    assert second.hello().status_code == 409
    first.counter = second.counter
    first.work()
    alert = Alert.objects.get(resolved_at=None)
    assert (alert.source, alert.event, alert.evidence["observer"]) == ("probe", "blind", "cloned")


def test_our_own_line_is_told_once_whoever_notices_first():
    """The built-in probe's anchors are gone, and no remote probe is heard: one cause, one page."""
    local = rows.probe()
    Probe.objects.filter(pk=local.pk).update(anchors=["127.0.0.1:9"])
    probes, speakers = three_regions()
    local.refresh_from_db()
    blindness.check_anchors(local, database_now())
    silent(*probes)
    assert blindness.look_at_remote(database_now())
    assert [a.entity_id for a in open_alerts()] == [str(local.pk)]
    blindness.set_seeing(local, database_now())
    assert blindness.look_at_remote(database_now()) and not open_alerts(), (
        "they need a moment to come back: no second page"
    )


def test_no_remote_probe_is_heard_and_then_the_built_in_one_is_blind_too():
    local = rows.probe()
    Probe.objects.filter(pk=local.pk).update(anchors=["127.0.0.1:9"])
    probes, _ = three_regions()
    silent(*probes)
    assert blindness.look_at_remote(database_now())
    local.refresh_from_db()
    assert not blindness.check_anchors(local, database_now())
    assert [a.entity_id for a in open_alerts()] == [watching.EVERYBODY]
    assert Probe.objects.get(pk=local.pk).blind_since, "it does not vote all the same"
    later = database_now() + timedelta(seconds=90)
    watching.tell_common_silence(False, database_now())
    blindness.watch(database_now())
    assert not open_alerts(), "the others are heard again; this one is given a minute"
    blindness.watch(later)
    assert [a.entity_id for a in open_alerts()] == [str(local.pk)], "and told by itself when it goes on"


def test_one_is_heard_and_hangs_again_on_the_way_back_and_it_is_still_one_page():
    probes, speakers = three_regions()
    silent(*probes)
    assert blindness.look_at_remote(database_now())
    speakers[0].hello()
    blindness.look_at_remote(database_now(), forgiving=True)
    silent(*probes)
    assert blindness.look_at_remote(database_now())
    assert Alert.objects.count() == 1 and not open_alerts()
    Alert.objects.update(resolved_at=database_now() - timedelta(seconds=61))
    assert blindness.look_at_remote(database_now())
    assert [a.entity_id for a in open_alerts()] == [watching.EVERYBODY], "it goes on: told again after a minute"


# --- History ------------------------------------------------------------------------------------------------------------
def test_a_machines_late_figures_are_history_and_raise_nothing():
    acme = cast.acme()
    lan = afar.new_probe("lan", acme)
    speaker = Speaker.enrolled(lan)
    server = rows.monitor(name="server", kind="host", config={}, probes=[lan])
    old = database_now() - timedelta(minutes=40)
    figures = {"host": {"values": {"cpu_percent": 99.0, "disk:/": 99.0}}}
    answer = speaker.post([speaker.row(server.pk, 1, old + timedelta(minutes=n), more=figures) for n in range(5)])
    assert answer.json()["late"] == 5
    kept = list(HostSample.objects.filter(monitor=server).order_by("at").values_list("values", flat=True))
    assert len(kept) == 5 and kept[0] == {"cpu_percent": 99.0, "disk:/": 99.0}
    assert not Alert.objects.exists() and not Host.objects.filter(monitor=server, seen_at__isnull=False).exists()


def test_a_flood_from_one_probe_is_refused_and_the_others_are_heard(monkeypatch):
    """10^5 results a minute are taken from one probe, then 429 with Retry-After; its neighbour does not notice."""
    probes, speakers = three_regions()
    shop = rows.monitor(probes=probes, quorum=2)
    counted = f"probe-results:{probes[0].pk}"
    assert ingest.RATE == 100_000
    at = database_now()
    monkeypatch.setattr(ingest.time, "time", lambda: at.timestamp())
    from django.core.cache import cache

    cache.set(f"{counted}:{int(at.timestamp() // 60)}", 99_999, 61)  # the batches before
    refused = speakers[0].saw(shop.pk, "uu")
    assert refused.status_code == 429 and 1 <= int(refused.headers["Retry-After"]) <= 60
    assert speakers[1].saw(shop.pk, "u").status_code == 200
    assert not Result.objects.filter(probe_id=probes[0].pk).exists()


# --- After a mass rush --------------------------------------------------------------------------------------------------
def test_after_all_were_asked_for_at_once_each_goes_back_to_its_own_place():
    """The built-in probe: a thousand looks in one second must not become a thousand looks in one second of every minute."""
    monitors = [rows.monitor(name=f"shop {n}") for n in range(60)]
    at = database_now()
    store.rush([m.pk for m in monitors], at)
    for m in monitors:
        ProbeState.objects.filter(monitor=m).update(next_due_at=at)
        see(m, "u", at + timedelta(milliseconds=20))
    due = [v.next_due_at for v in ProbeState.objects.filter(monitor__in=monitors)]
    ahead = [(d - at).total_seconds() for d in due]
    assert min(ahead) >= 30.0 and max(ahead) <= 60.1, "no gap longer than the interval, none looked at twice in a row"
    assert len({round(d.timestamp()) for d in due}) > 20
    local = rows.probe()
    claims = {v.monitor_id: v for v in ProbeState.objects.filter(monitor__in=monitors)}
    for m in monitors:  # and after one more look each is in its place, where it stays
        own = engine.first_slot(m.pk, local.pk, 60, claims[m.pk].next_due_at + timedelta(milliseconds=1))
        claim = store.Claim(1, m.pk, local.pk, 1, claims[m.pk].next_due_at, engine.View(local.pk), 1, {})
        seen = engine.View(local.pk, status=engine.UP, vote=engine.UP, streak=3, since=at, last_at=at)
        assert prober.next_look(claim, seen, engine.Limits(), claim.due_at + timedelta(seconds=0.1)) == own


# --- Names --------------------------------------------------------------------------------------------------------------
def names(count: int) -> list:
    return [rows.monitor(name=f"shop {n}", config={"url": f"http://shop{n}.example/"}) for n in range(count)]


def fails_for_want_of_a_name(m, at) -> None:
    see(m, "f", at)
    ProbeState.objects.filter(monitor=m).update(error_class="dns")


def test_no_name_can_be_looked_up_so_it_is_us(monkeypatch):
    monitors, at = names(8), database_now()
    for m in monitors:
        see(m, "u", at - timedelta(seconds=5))
    judge(at)
    fails_for_want_of_a_name(monitors[0], at)
    monkeypatch.setattr(nameservers, "any_found", lambda asked: False)
    blindness.watch(at)
    fails_for_want_of_a_name(monitors[0], at + timedelta(seconds=1))
    judge(at + timedelta(seconds=1))
    assert [a.source for a in open_alerts()] == ["probe"] and "name server" in open_alerts()[0].message
    blindness.sweep(at + timedelta(minutes=5))
    assert Probe.objects.get(slug="local").blind_since, "that nobody contradicts it gives no names back"
    assert {state(m) for m in monitors} == {"unknown"}
    nameservers._asked_at.clear()
    monkeypatch.setattr(nameservers, "any_found", lambda asked: True)
    blindness.watch(at + timedelta(seconds=9))
    for m in monitors:
        see(m, "u", at + timedelta(seconds=10))
    judge(at + timedelta(seconds=10))
    assert {state(m) for m in monitors} == {"up"} and not open_alerts() and Alert.objects.count() == 1


def test_one_name_is_gone_and_the_others_are_found_so_it_is_theirs(monkeypatch):
    monitors, at = names(8), database_now()
    for m in monitors:
        see(m, "u", at - timedelta(seconds=5))
    judge(at)
    monkeypatch.setattr(nameservers, "any_found", lambda asked: True)
    for second in (0, 1):
        fails_for_want_of_a_name(monitors[0], at + timedelta(seconds=second))
        blindness.watch(at + timedelta(seconds=second))
    judge(at + timedelta(seconds=1))
    assert state(monitors[0]) == "down" and not Probe.objects.get(slug="local").blind_since


@pytest.mark.parametrize(
    ("seen", "dead", "asked"),
    [
        ([("a.example", 1, True), ("b.example", 3, True)], False, 1),  # too few to prove anything: see LEAST
        ([(f"{n}.example", 1, True) for n in range(9)], False, 5),
        ([(f"{n}.example", 1, False) for n in range(9)], False, 0),  # reached long ago
        ([(f"{n}.example", 3, True) for n in range(9)], False, 5),  # all at once
        ([(f"{n}.example", 3, True) for n in range(4)], False, 0),
        ([("a.example", 3, True)], True, 1),
    ],
)
def test_which_names_are_asked(seen, dead, asked):
    assert len(nameservers.candidates(seen, dead=dead)) == asked


@pytest.mark.parametrize(
    ("config", "host"),
    [({"url": "https://Shop.example/x"}, "shop.example"), ({"host": "db.example"}, "db.example"), ({"url": "http://10.1.2.3/"}, ""), ({"host": "localhost"}, ""), ({}, ""), ({"url": "http://[oops"}, "")],
)  # fmt: skip
def test_whose_name_must_be_looked_up(config, host):
    assert nameservers.host_of(config) == host


def test_a_stolen_key_opens_nothing_from_the_moment_it_is_revoked():
    """Whatever was under way: the next request with that key is refused, and its last word does not vote."""
    probes, speakers = three_regions()
    shop = rows.monitor(probes=probes, quorum=2)
    speakers[0].saw(shop.pk, "u")
    remote.revoke(probes[0], by=cast.TESTS, at=database_now())
    for answer in (speakers[0].saw(shop.pk, "ff"), speakers[0].work(), speakers[0].hello()):
        assert answer.status_code == 403
    assert Result.objects.filter(probe_id=probes[0].pk).count() == 1
