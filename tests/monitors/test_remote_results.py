"""What becomes of results from afar? Counted once, judged while young, kept as history when late, refused when not asked for."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from hypothesis import given
from hypothesis import strategies as st

from alerts.models import Alert
from monitors import batches, blindness, evaluate, ingest, partitions, remote, services, store
from monitors.models import Certificate, FailureBody, Monitor, Probe, ProbeState, Result
from monitors.probe.clock import micros
from monitors.remote import Denied
from portal.clock import database_now
from portal.models import AuditEntry
from tests import cast
from tests.alerts import stage
from tests.monitors import afar, rows
from tests.monitors.afar import Speaker
from tests.monitors.seeing import judge, open_alerts, state

pytestmark = pytest.mark.django_db


@pytest.fixture
def berlin() -> Probe:
    partitions.ensure_ahead(database_now())
    return afar.new_probe()


@pytest.fixture
def speaker(berlin: Probe) -> Speaker:
    return Speaker.enrolled(berlin)


def code(answer) -> str:
    return json.loads(answer.content)["error"]["code"]


def results(m: Monitor) -> list[int]:
    return list(Result.objects.filter(monitor_id=m.pk).order_by("ts").values_list("status", flat=True))


# --- Orders --------------------------------------------------------------------------------------------------------------
def test_a_probe_is_told_what_to_watch_with_secrets_and_hears_304_while_nothing_changes(berlin, speaker):
    m = rows.monitor(probes=[berlin], config={"url": "https://shop.example/", "auth": "bearer", "token": "s3cret"})
    answer = speaker.work()
    (order,) = answer.json()["monitors"]
    assert order["id"] == m.pk and order["config"]["token"] == "s3cret" and order["interval"] == 60
    speaker.saw(m.pk, "u")
    etag = speaker.work().headers["ETag"]
    assert speaker.work(etag).status_code == 304
    m.interval_seconds = 30
    services.save(m, by=cast.TESTS, at=database_now())
    changed = speaker.work(etag)
    assert changed.status_code == 200 and changed.json()["monitors"][0]["interval"] == 30


def test_a_look_that_was_asked_for_is_passed_on_once_without_the_whole_list(berlin, speaker):
    m = rows.monitor(probes=[berlin])
    speaker.work()
    speaker.saw(m.pk, "u")
    ProbeState.objects.filter(monitor=m).update(last_at=database_now() - timedelta(seconds=9))
    calm = speaker.work()
    assert calm.json()["rush"] == []
    services.check_now(m, by=cast.TESTS, at=database_now())
    asked = speaker.work(calm.headers["ETag"]).json()
    assert asked["monitors"] is None and [monitor for monitor, _ in asked["rush"]] == [m.pk]
    speaker.saw(m.pk, "u", database_now() - timedelta(seconds=3))
    assert speaker.work().json()["rush"], "a result made before it was asked for does not answer it"


def test_paused_passive_and_foreign_monitors_are_not_given_out():
    private = afar.new_probe("acme-lan", cast.acme())
    speaker = Speaker.enrolled(private)
    own = rows.monitor(probes=[private])
    paused = rows.monitor(name="paused", probes=[private])
    services.pause(paused, by=cast.TESTS, at=database_now())
    rows.monitor(name="backup", kind="heartbeat", probes=[private])
    theirs = rows.monitor(cast.globex(), probes=[rows.probe()])
    ProbeState.objects.create(monitor=theirs, probe=private, next_due_at=database_now())  # however it came there
    assert [o["id"] for o in speaker.work().json()["monitors"]] == [own.pk]
    assert speaker.saw(theirs.pk, "f").status_code == 403


def test_a_private_probe_may_reach_private_addresses_and_a_region_only_where_staff_said_so():
    private, region = afar.new_probe("acme-lan", cast.acme()), afar.new_probe()
    m = rows.monitor(probes=[private, region])
    Monitor.objects.filter(pk=m.pk).update(trusted=False)
    assert Speaker.enrolled(private).work().json()["monitors"][0]["private"] is True
    assert Speaker.enrolled(region, instance="c" * 32).work().json()["monitors"][0]["private"] is False


def test_the_portals_prober_leaves_them_alone(berlin):
    rows.monitor(probes=[berlin])
    assert store.claim("w", [rows.probe().pk], 10, database_now()) == []


# --- Once ----------------------------------------------------------------------------------------------------------------
def test_a_batch_that_comes_twice_counts_once(berlin, speaker):
    m = rows.monitor(probes=[berlin])
    batch = [speaker.row(m.pk, 3, database_now() - timedelta(seconds=2)), speaker.row(m.pk, 3, database_now())]
    assert speaker.post(batch).json()["result_seq"] == 2
    assert speaker.post(batch).json()["result_seq"] == 2
    assert results(m) == [3, 3]
    view = m.views.get()
    assert view.streak == 2 and view.last_seq == 2
    overlap = [batch[1], speaker.row(m.pk, 1, database_now())]
    assert speaker.post(overlap).json()["result_seq"] == 3 and results(m) == [3, 3, 1]
    assert speaker.post(batch).json() == {"result_seq": 3, "late": 0, "dropped": 0}, "it is not even looked at"


def test_the_same_moment_twice_does_not_stop_the_rest(berlin, speaker):
    m = rows.monitor(probes=[berlin])
    at = database_now()
    speaker.post([speaker.row(m.pk, 1, at)])
    assert speaker.post([speaker.row(m.pk, 1, at), speaker.row(m.pk, 1, at + timedelta(seconds=1))]).status_code == 200
    assert len(results(m)) == 2


# --- Young and late -------------------------------------------------------------------------------------------------------
def test_two_young_failures_page(berlin, speaker):
    stage.trigger(stage.webhook())
    m = rows.monitor(probes=[berlin])
    speaker.saw(m.pk, "u")
    judge(database_now())
    assert state(m) == "up"
    speaker.saw(m.pk, "ff", database_now() + timedelta(seconds=1.5))
    judge(database_now())
    assert state(m) == "down" and len(open_alerts(m)) == 1
    view = m.views.get()
    assert view.next_due_at > database_now() + timedelta(seconds=60), "when the next word of it is expected"


def test_what_is_late_fills_the_history_and_pages_nobody(berlin, speaker):
    m = rows.monitor(probes=[berlin])
    speaker.saw(m.pk, "u", database_now() - timedelta(seconds=25))
    judge(database_now())
    answer = speaker.saw(m.pk, "ffff", database_now() - timedelta(minutes=10))
    assert answer.json()["late"] == 4
    judge(database_now())
    assert state(m) == "up" and not Alert.objects.exists()
    assert sorted(results(m)) == [1, 3, 3, 3, 3]
    assert m.views.get().status == 1


def test_failures_of_a_while_ago_page_nobody_though_nothing_newer_is_known(berlin, speaker):
    """The probe was cut off from us, saw them then, and tells us now."""
    m = rows.monitor(probes=[berlin])
    speaker.saw(m.pk, "u")
    judge(database_now())
    ProbeState.objects.filter(monitor=m).update(last_at=database_now() - timedelta(minutes=20))
    assert speaker.saw(m.pk, "ffff", database_now() - timedelta(minutes=10)).json()["late"] == 4
    judge(database_now())
    assert state(m) == "up" and not Alert.objects.exists() and m.views.get().streak == 1


def test_an_hour_of_failures_and_then_health_is_told_to_nobody(berlin, speaker):
    m = rows.monitor(probes=[berlin])
    end = database_now()
    past = [speaker.row(m.pk, 3, end - timedelta(minutes=60 - n)) for n in range(59)]
    speaker.post([*past, speaker.row(m.pk, 1, end)])
    judge(database_now())
    assert state(m) == "up" and not Alert.objects.exists() and len(results(m)) == 60


def test_results_by_old_settings_are_history(berlin, speaker):
    m = rows.monitor(probes=[berlin])
    old = m.config_version
    m.config = {"url": "https://other.example/"}
    services.save(m, by=cast.TESTS, at=database_now())
    speaker.post([speaker.row(m.pk, 3, database_now(), version=old)])
    assert m.views.get().last_at is None and results(m) == [3]


def test_results_of_a_paused_monitor_are_dropped(berlin, speaker):
    m = rows.monitor(probes=[berlin])
    services.pause(m, by=cast.TESTS, at=database_now())
    answer = speaker.saw(m.pk, "ff")
    assert answer.json()["dropped"] == 2 and not results(m)


def test_a_result_from_the_future_is_dated_now(berlin, speaker):
    m = rows.monitor(probes=[berlin])
    speaker.post([speaker.row(m.pk, 1, database_now() + timedelta(minutes=3))])
    assert m.views.get().last_at <= database_now()


def test_results_of_long_ago_do_not_stop_the_others(berlin, speaker):
    """On PostgreSQL their day may have no partition any more."""
    m = rows.monitor(probes=[berlin])
    assert speaker.post([speaker.row(m.pk, 1, database_now() - timedelta(days=40)), speaker.row(m.pk, 1, database_now())]).status_code == 200  # fmt: skip
    assert m.views.get().status == 1


def test_a_failures_body_and_a_certificate_are_kept(berlin, speaker):
    m = rows.monitor(probes=[berlin], config={"url": "https://shop.example/"})
    soon = (database_now() + timedelta(days=5)).isoformat()
    certificate = {"fingerprint": "ab" * 32, "subject": "shop\x00", "issuer": "ca", "names": ["shop.example"], "not_before": soon, "not_after": soon, "chain_error": None, "hostname_ok": True}  # fmt: skip
    more = {"body": "away \x00", "certificate": certificate}
    assert speaker.post([speaker.row(m.pk, 3, database_now(), more=more)]).status_code == 200
    assert FailureBody.objects.get().body == "away �"
    assert Certificate.objects.get().subject == "shop"
    assert Alert.objects.get().source == "certificate"


def test_the_others_are_asked_at_a_first_failure(berlin, speaker):
    paris = afar.new_probe("paris")
    other = Speaker.enrolled(paris, instance="b" * 32)
    m = rows.monitor(probes=[berlin, paris], quorum=2)
    for each in (speaker, other):
        each.saw(m.pk, "u")
    assert other.work().json()["rush"] == []
    speaker.saw(m.pk, "f")
    assert [monitor for monitor, _ in other.work().json()["rush"]] == [m.pk]


# --- What is refused --------------------------------------------------------------------------------------------------------
def test_a_result_of_another_clients_monitor_refuses_the_batch_and_is_put_on_record():
    private = afar.new_probe("acme-lan", cast.acme())
    speaker = Speaker.enrolled(private)
    own, theirs = rows.monitor(probes=[private]), rows.monitor(cast.globex())
    answer = speaker.post([speaker.row(own.pk, 3, database_now()), speaker.row(theirs.pk, 3, database_now())])
    assert (answer.status_code, code(answer)) == (403, "foreign") and json.loads(answer.content)["monitors"] == [
        theirs.pk
    ]
    assert not Result.objects.exists() and theirs.views.get().last_at is None
    private.refresh_from_db()
    assert private.result_seq == 0, "nothing of it was taken"
    speaker.post([speaker.row(theirs.pk, 3, database_now())])
    assert AuditEntry.objects.filter(action="probe.foreign_results").count() == 1, "once an hour"


def test_a_monitor_taken_away_a_moment_ago_is_no_crime(berlin, speaker):
    m = rows.monitor(probes=[berlin])
    speaker.saw(m.pk, "u")
    services.save(m, by=cast.TESTS, at=database_now(), probes=[rows.probe()])
    assert speaker.saw(m.pk, "u").status_code == 403
    assert not AuditEntry.objects.filter(action="probe.foreign_results").exists()


def test_a_small_packet_that_unpacks_to_a_gigabyte_is_refused(berlin, speaker):
    bomb = gzip.compress(b"[" + b" " * (40 * 1024 * 1024))
    answer = speaker.ask("POST", "results", bomb, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, code(answer)) == (413, "too_large")


@pytest.mark.parametrize(
    "spoil",
    [
        {0: 0}, {0: 2**70}, {0: True}, {1: "7"}, {2: 1.5}, {2: -1}, {3: 4}, {3: None}, {4: "1"}, {8: float("inf")}, {8: -1}, {9: 101}, {10: 1000},
        {11: "nonsense"}, {12: 7}, {12: "x" * 301}, {13: -1}, {14: []},
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_whole(berlin, speaker, spoil):
    m = rows.monitor(probes=[berlin])
    good, bad = speaker.row(m.pk, 1, database_now()), speaker.row(m.pk, 1, database_now())
    for place, value in spoil.items():
        bad[place] = value
    answer = speaker.post([good, bad])
    assert (answer.status_code, code(answer)) == (400, "invalid") and not Result.objects.exists()


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"results": 1}', b'{"results": [1]}', b"\xff\xfe", b"[" * 100_000, b'{"results": [[NaN]]}'],
)
def test_no_body_breaks_it(berlin, speaker, body):
    assert speaker.ask("POST", "results", body).status_code == 400
    assert speaker.ask("POST", "results", body, headers={"Content-Encoding": "gzip"}).status_code == 400


def test_numbers_must_rise_and_a_batch_is_bounded(berlin, speaker):
    m = rows.monitor(probes=[berlin])
    first, second = speaker.row(m.pk, 1, database_now()), speaker.row(m.pk, 1, database_now())
    assert speaker.post([second, first]).status_code == 400
    assert (
        speaker.post([speaker.row(m.pk, 1, database_now()) for _ in range(batches.MOST_RESULTS + 1)]).status_code == 413
    )


def test_letters_no_database_takes_are_left_out(berlin, speaker):
    m = rows.monitor(probes=[berlin])
    row = speaker.row(m.pk, 3, database_now(), message="a\x00b\ud800c", error_class="connect")
    assert speaker.post([row], health={"note": "x\x00\udfff", "n": 1, "rival_at": "mine"}).status_code == 200
    assert "\x00" not in Result.objects.get().message
    berlin.refresh_from_db()
    assert berlin.health["n"] == 1 and "rival_at" not in berlin.health


def test_a_flood_is_throttled(berlin, speaker, monkeypatch):
    cache.clear()
    monkeypatch.setattr(ingest, "RATE", 3)
    m = rows.monitor(probes=[berlin])
    assert speaker.saw(m.pk, "uuu").status_code == 200
    answer = speaker.saw(m.pk, "u", database_now() + timedelta(seconds=1))
    assert answer.status_code == 429 and 0 < int(answer.headers["Retry-After"]) <= 60


# --- The observer ---------------------------------------------------------------------------------------------------------
def silent(probe: Probe) -> None:
    Probe.objects.filter(pk=probe.pk).update(last_seen_at=database_now() - timedelta(seconds=11))


def test_a_silent_probe_makes_its_monitors_unknown_and_one_alert_names_it(berlin, speaker):
    monitors = [rows.monitor(name=f"shop {n}", probes=[berlin]) for n in range(6)]
    for m in monitors:
        speaker.saw(m.pk, "u")
    judge(database_now())
    silent(berlin)
    blindness.look_at_remote(database_now())
    judge(database_now())
    assert {state(m) for m in monitors} == {"unknown"}
    alert = Alert.objects.get(resolved_at=None)
    assert (alert.source, alert.event, alert.entity_id) == ("probe", "blind", str(berlin.pk))
    assert "disconnected" in alert.message
    blindness.sweep(database_now() + timedelta(seconds=90))
    assert Probe.objects.get(pk=berlin.pk).blind_since, "that no neighbour contradicts it gives nobody's line back"
    speaker.hello()
    for m in monitors:
        speaker.saw(m.pk, "u", database_now() + timedelta(seconds=1))
    judge(database_now())
    assert {state(m) for m in monitors} == {"up"} and not Alert.objects.filter(resolved_at=None).exists()


def test_too_few_votes_left_is_unknown_and_never_down(berlin, speaker):
    paris = afar.new_probe("paris")
    other = Speaker.enrolled(paris, instance="b" * 32)
    m = rows.monitor(probes=[berlin, paris], quorum=2)
    for each in (speaker, other):
        each.saw(m.pk, "u")
    judge(database_now())
    silent(paris)
    blindness.look_at_remote(database_now())
    speaker.saw(m.pk, "ff", database_now() + timedelta(seconds=1.9))
    judge(database_now())
    assert state(m) == "unknown" and not open_alerts(m)


def test_who_has_only_begun_to_listen_judges_no_silence(berlin, speaker):
    silent(berlin)
    blindness.look_at_remote(database_now(), listening=False)
    berlin.refresh_from_db()
    assert berlin.blind_since is None


def test_a_clock_half_a_minute_off_abstains_with_an_alert(berlin, speaker):
    m = rows.monitor(probes=[berlin])
    speaker.saw(m.pk, "u", health={"clock_offset_ms": 31_000})
    berlin.refresh_from_db()
    blindness.judge_remote(berlin, database_now())
    judge(database_now())
    assert state(m) in ("unknown", "pending") and "clock" in Alert.objects.get(resolved_at=None).message
    speaker.saw(m.pk, "u", database_now() + timedelta(seconds=1), health={"clock_offset_ms": 20})
    assert not Alert.objects.filter(resolved_at=None).exists()


def test_what_a_probe_sees_without_its_line_is_kept_and_does_not_vote(berlin, speaker):
    Probe.objects.filter(pk=berlin.pk).update(anchors=["127.0.0.1:9"])
    m = rows.monitor(probes=[berlin])
    speaker.saw(m.pk, "u")
    judge(database_now())
    rows_ = [speaker.row(m.pk, 3, database_now() + timedelta(seconds=n / 2), more={"blind": True}) for n in (1, 2)]
    speaker.post(rows_, blind="Only 0 of 1 anchors answer.")
    judge(database_now())
    assert state(m) == "unknown" and not open_alerts(m) and results(m) == [1, 3, 3]
    assert m.views.get().status == 1, "history, not a streak that could be confirmed later"
    assert "only 0 of 1 anchors" in Alert.objects.get(resolved_at=None).message
    speaker.saw(m.pk, "u", database_now() + timedelta(seconds=1.8), anchors_ok_us=micros(database_now()))
    judge(database_now())
    assert not Alert.objects.filter(resolved_at=None).exists()


def test_a_failure_waits_for_the_probes_own_proof(berlin, speaker):
    """With anchors, a failure counts only after they were seen well since it began."""
    Probe.objects.filter(pk=berlin.pk).update(anchors=["127.0.0.1:9"])
    m = rows.monitor(probes=[berlin])
    start = database_now()
    speaker.saw(m.pk, "u", start - timedelta(seconds=3), anchors_ok_us=micros(start - timedelta(seconds=3)))
    judge(start)
    speaker.saw(m.pk, "ff", start)
    judge(database_now())
    assert not open_alerts(m)
    speaker.post([], anchors_ok_us=micros(database_now()))
    judge(database_now())
    assert state(m) == "down"


def test_overdue_views_go_stale(berlin, speaker):
    m = rows.monitor(probes=[berlin], interval_seconds=60, timeout_seconds=5)
    speaker.saw(m.pk, "u")
    assert evaluate.mark_stale(database_now() + timedelta(seconds=200)) == 0
    assert evaluate.mark_stale(database_now() + timedelta(seconds=60 + 10 + 155 + 2)) == 1


def test_a_probe_out_of_service_alarms_nobody(berlin, speaker):
    rows.monitor(probes=[berlin])
    silent(berlin)
    blindness.look_at_remote(database_now())
    assert Alert.objects.filter(resolved_at=None).count() == 1
    remote.revoke(berlin, by=cast.TESTS, at=database_now())
    blindness.look_at_remote(database_now())
    assert not Alert.objects.filter(resolved_at=None).exists()


def test_when_all_fall_silent_at_once_it_is_us_and_one_alert_says_so(berlin, speaker):
    probes = [berlin, *(afar.new_probe(f"p{n}") for n in range(3))]
    speakers = [speaker, *(Speaker.enrolled(p, instance=f"{n}" * 32) for n, p in enumerate(probes[1:]))]
    monitors = [rows.monitor(name=f"shop {n}", probes=[p]) for n, p in enumerate(probes)]
    for each, m in zip(speakers, monitors, strict=True):
        each.saw(m.pk, "u")
    judge(database_now())
    for n, p in enumerate(probes):  # cut at the same moment; each had asked at its own
        Probe.objects.filter(pk=p.pk).update(last_seen_at=database_now() - timedelta(seconds=12 - n / 2))
    assert blindness.look_at_remote(database_now())
    judge(database_now())
    assert {state(m) for m in monitors} == {"unknown"}
    assert [a.entity_name for a in Alert.objects.filter(resolved_at=None)] == ["All remote probes"]
    speaker.hello()
    assert not blindness.look_at_remote(database_now(), forgiving=True)
    assert not Alert.objects.filter(resolved_at=None).exists(), "the line is back; the others are given a minute"
    blindness.look_at_remote(database_now())
    silent_ones = Alert.objects.filter(resolved_at=None).values_list("entity_name", flat=True)
    assert sorted(silent_ones) == ["P0", "P1", "P2"], "and are named when they do not come"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda x: st.lists(x, max_size=16) | st.dictionaries(st.text(max_size=9), x, max_size=5),
        max_leaves=40,
    )
)
def test_whatever_stands_in_a_body_is_read_or_refused(anything):
    """Nothing else comes out of it: no error, no half row."""
    at = datetime(2026, 5, 4, tzinfo=UTC)
    for body in (
        anything,
        {"results": anything},
        {"results": [anything], "health": anything, "blind": anything, "anchors_ok_us": anything},
    ):
        try:
            batch = batches.read(json.dumps(body).encode(), at)
        except Denied as refusal:
            assert refusal.status in (400, 413)
        else:
            assert all(isinstance(r, batches.Row) for r in batch.rows)


@given(
    place=st.integers(0, 14),
    value=st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=400)
    | st.lists(st.none(), max_size=3)
    | st.dictionaries(
        st.sampled_from(["body", "certificate", "domain", "host", "blind"]),
        st.none()
        | st.text()
        | st.integers()
        | st.dictionaries(
            st.sampled_from(["not_after", "fingerprint", "names", "expires_at"]),
            st.text() | st.integers() | st.lists(st.text()),
        ),
    ),
)
def test_a_row_with_one_strange_value_is_whole_or_nothing(place, value):
    at = datetime(2026, 5, 4, tzinfo=UTC)
    raw = [1, 7, micros(at), 3, None, 1.5, None, 3.0, 12.25, None, 200, "connect", "refused", 1, None]
    raw[place] = value
    try:
        (row,) = batches.read(json.dumps({"results": [raw]}).encode(), at).rows
    except Denied:
        return
    assert 0 <= row.status <= 3 and row.at <= at + batches.AHEAD and len(row.message) <= 300
    json.dumps(batches.facts(row.more)).encode()
