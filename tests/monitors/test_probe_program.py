"""Does the program itself keep its word? Its spool, its clock, its schedule, its link, without a portal."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from monitors import engine
from monitors.probe import anchors, identity, link, main
from monitors.probe.clock import Clock, micros
from monitors.probe.identity import Identity, NotEnrolled
from monitors.probe.link import Link, LinkDown, Refused
from monitors.probe.plan import Plans
from monitors.probe.spool import Spool

pytestmark = pytest.mark.once
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def test_it_carries_neither_django_nor_celery():
    code = "import monitors.probe.main, sys; found = {'django', 'celery', 'rest_framework'} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], cwd=settings.BASE_DIR, check=True)


# --- The spool -------------------------------------------------------------------------------------------------------------
def fill(spool: Spool, count: int, at: float = 0.0, monitor: int = 7) -> None:
    spool.add([(monitor, at + n, f"[{monitor},{n}]") for n in range(count)])


def test_numbers_rise_and_are_never_used_again(tmp_path):
    spool = Spool(tmp_path / "s")
    fill(spool, 3)
    assert [seq for seq, _ in spool.first(10, 1000)] == [1, 2, 3]
    spool.delivered(3)
    spool.close()
    spool = Spool(tmp_path / "s")
    fill(spool, 1)
    assert [seq for seq, _ in spool.first(10, 1000)] == [4]


def test_a_lost_spool_goes_on_behind_what_the_portal_has(tmp_path):
    spool = Spool(tmp_path / "s")
    spool.begin_after(5000)
    fill(spool, 1)
    assert spool.first(1, 1000)[0][0] == 5001
    spool.begin_after(100)
    fill(spool, 1)
    assert [seq for seq, _ in spool.first(9, 1000)] == [5001, 5002]


def test_a_restored_spool_does_not_deliver_again_what_was_delivered(tmp_path):
    spool = Spool(tmp_path / "s")
    fill(spool, 10)
    spool.begin_after(8)
    assert [seq for seq, _ in spool.first(99, 1000)] == [9, 10]


def test_when_it_is_full_the_oldest_go_and_are_counted(tmp_path):
    spool = Spool(tmp_path / "s", rows=100)
    fill(spool, 150)
    assert spool.rows <= 100 and spool.lost == 150 - spool.rows
    assert spool.first(200, 10**6)[-1][0] == 150, "the newest stay"
    lost = spool.lost
    spool.close()
    assert Spool(tmp_path / "s").lost == lost


def test_bytes_and_age_are_bounded_too(tmp_path):
    spool = Spool(tmp_path / "s", size=1000)
    spool.add([(1, 0.0, "x" * 100) for _ in range(30)])
    assert spool.bytes <= 1000 and spool.lost >= 20
    spool.give_up_old(24 * 3600 + 1)
    assert spool.rows == 0 and spool.bytes == 0


def test_a_delivery_is_bounded_by_rows_and_size(tmp_path):
    spool = Spool(tmp_path / "s")
    spool.add([(1, 0.0, "x" * 100) for _ in range(30)])
    assert len(spool.first(10, 10**6)) == 10 and len(spool.first(30, 450)) == 4 and len(spool.first(30, 5)) == 1


def test_results_of_a_monitor_that_is_not_ours_any_more_are_forgotten(tmp_path):
    spool = Spool(tmp_path / "s")
    fill(spool, 3, monitor=7), fill(spool, 2, monitor=8)
    assert spool.forget([7]) == 3 and spool.rows == 2 and spool.lost == 0


def test_a_job_begins_once_in_a_spools_life(tmp_path):
    spool = Spool(tmp_path / "s")
    assert spool.begin_job(5) and not spool.begin_job(5)
    spool.close()
    assert not Spool(tmp_path / "s").begin_job(5)


def test_what_was_recorded_survives_kill_9(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from monitors.probe.spool import Spool\n"
        "s = Spool(Path(sys.argv[1]))\n"
        "[s.add([(1, float(n), f'[{n}]')]) for n in range(50)]; print('there', flush=True); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "s")], cwd=settings.BASE_DIR, check=False)
    assert [seq for seq, _ in Spool(tmp_path / "s").first(99, 10**6)] == list(range(1, 51))


# --- The clock -------------------------------------------------------------------------------------------------------------
class Time:
    def __init__(self) -> None:
        self.monotonic, self.wall = 100.0, 5_000.0


def ticking() -> tuple[Time, Clock]:
    t = Time()
    return t, Clock(lambda: t.monotonic, lambda: t.wall)


def test_the_portals_time_counts_and_a_jump_of_the_wall_clock_does_not():
    t, clock = ticking()
    clock.heard(1_000_000_000, 100.0, 100.2)
    t.monotonic, t.wall = 110.1, 9e9
    assert abs(clock.now() - 1_000_010) < 0.11
    assert clock.wall_offset_ms() > 1e9


def test_a_slow_answer_does_not_spoil_a_good_sample():
    t, clock = ticking()
    clock.heard(1_000_000_000, 100.0, 100.002)
    clock.heard(1_000_001_000, 100.0, 102.0)  # between 100 and 102 it was 1 000 001: says little, contradicts nothing
    t.monotonic = 100.001
    assert abs(clock.now() - 1_000_000) < 0.002


def test_a_sample_that_contradicts_wins():
    t, clock = ticking()
    clock.heard(1_000_000_000, 100.0, 100.002)
    clock.heard(2_000_000_000, 101.0, 101.5)
    t.monotonic = 101.25
    assert abs(clock.now() - 2_000_000) < 0.3


def test_it_does_not_run_backwards_for_a_small_correction():
    t, clock = ticking()
    clock.heard(1_000_000_500, 100.0, 101.0)
    first = clock.now()
    clock.heard(1_000_000_300, 100.0, 100.1)
    assert clock.now() > first


# --- The schedule -----------------------------------------------------------------------------------------------------------
def order(monitor: int = 7, version: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": monitor, "version": version, "kind": "http", "config": {"url": "http://shop.example/"}, "interval": 60, "timeout": 5, "confirmation_count": 2,
        "confirmation_seconds": 0, "recovery_count": 1, "recovery_seconds": 0, "degraded_latency_ms": None, "degraded_loss_percent": None, "private": False, **more,
    }  # fmt: skip


def due(plans: Plans, at: datetime) -> list[int]:
    return [w.monitor for w in plans.due(at, 100)]


def test_a_failure_is_looked_at_again_a_second_later_and_health_a_minute_later():
    plans = Plans(1)
    plans.follow([order()], NOON)
    slot = engine.first_slot(7, 1, 60, NOON)
    assert due(plans, slot - timedelta(seconds=1)) == [] and due(plans, slot) == [7]
    watch = plans.watches[7]
    watch.observe(engine.UP, slot, "", ""), plans.put(watch)
    assert watch.due_at == slot + timedelta(seconds=60)
    assert due(plans, slot + timedelta(seconds=60)) == [7]
    at = slot + timedelta(seconds=61)
    watch.observe(engine.FAILING, at, "connect", "refused"), plans.put(watch)
    assert watch.due_at == at + timedelta(seconds=1)
    assert due(plans, watch.due_at) == [7]
    watch.observe(engine.FAILING, at + timedelta(seconds=1), "connect", "refused")
    assert watch.due_at > at + timedelta(seconds=30), "confirmed: back to its slots"


def test_a_request_for_a_look_is_followed_once():
    plans = Plans(1)
    plans.follow([order()], NOON)
    early = engine.first_slot(7, 1, 60, NOON) - timedelta(seconds=5)
    plans.rush([[7, 11]], early)
    assert due(plans, early) == [7]
    plans.rush([[7, 12]], early)
    watch = plans.watches[7]
    assert watch.again, "asked for while it was under way: once more right after"
    watch.observe(engine.UP, early + timedelta(seconds=1), "", ""), plans.put(watch)
    assert due(plans, early + timedelta(seconds=1)) == [7]
    watch.observe(engine.UP, early + timedelta(seconds=2), "", ""), plans.put(watch)
    plans.rush([[7, 12], [99, 1]], early + timedelta(seconds=2))
    assert due(plans, early + timedelta(seconds=2)) == []


def test_looks_out_of_turn_do_not_bring_all_into_step():
    """After an hour without the portal all are asked for at once; each goes back to its own place in the interval."""
    plans = Plans(1)
    plans.follow([order(n) for n in range(1, 201)], NOON)
    own = {n: w.slot for n, w in plans.watches.items()}
    plans.rush([[n, 1] for n in plans.watches], NOON)
    assert sum(1 for _ in plans.due(NOON, 1000)) == 200
    for watch in plans.watches.values():
        watch.observe(engine.UP, NOON + timedelta(milliseconds=20), "", "")
        assert (watch.due_at - own[watch.monitor]).total_seconds() in (0.0, 60.0)
    assert len({round(w.due_at.timestamp()) for w in plans.watches.values()}) > 40


def test_changed_settings_make_a_new_watch_and_what_is_not_ours_goes():
    plans = Plans(1)
    plans.follow([order(7), order(8)], NOON)
    old = plans.watches[7]
    assert plans.follow([order(7, version=2, interval=30)], NOON) == {8}
    assert plans.watches[7] is not old and plans.watches[7].due_at == NOON
    same = plans.watches[7]
    plans.follow([order(7, version=2, interval=30)], NOON)
    assert plans.watches[7] is same


@pytest.mark.parametrize("bad", [{"kind": "quantum"}, {"config": {"nonsense": 1}}, {"kind": "heartbeat", "config": {}}])
def test_what_this_version_cannot_check_says_so(bad):
    plans = Plans(1)
    plans.follow([order(**bad)], NOON)
    assert "as new as the portal" in plans.watches[7].plan.fault


def test_a_private_probe_reaches_private_addresses_but_not_the_metadata_service():
    from portal.outbound.guard import Blocked, check_address

    plans = Plans(1)
    plans.follow([order(private=True)], NOON)
    reach = plans.watches[7].plan.reach
    check_address("10.1.2.3", reach)
    for address in ("127.0.0.1", "169.254.169.254", "::1"):
        with pytest.raises(Blocked):
            check_address(address, reach)


# --- Its own line, its identity ------------------------------------------------------------------------------------------------
def test_fewer_than_half_of_the_anchors_is_blind():
    assert anchors.verdict({"a:1": False, "b:1": False, "c:1": True}) == "Only 1 of 3 anchors answer."
    assert anchors.verdict({"a:1": True, "b:1": False}) == "" and anchors.verdict({}) == ""


def test_the_key_is_for_its_owner_only(tmp_path):
    path = Identity.new("https://portal.example/").enrolled(4, "berlin", "k").save(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Identity.load(tmp_path).slug == "berlin"
    path.chmod(0o644)
    with pytest.raises(NotEnrolled, match="chmod 600"):
        Identity.load(tmp_path)
    path.unlink()
    with pytest.raises(NotEnrolled, match="enroll URL TOKEN"):
        Identity.load(tmp_path)


@pytest.mark.parametrize(
    "url", ["http://portal.example", "ftp://x", "https://u:p@portal.example", "https://portal.example/?a", "portal"]
)
def test_only_https_leads_to_a_portal(url):
    with pytest.raises(ValueError):
        link.check_url(url)


def test_this_very_machine_may_be_asked_in_the_clear():
    assert link.check_url("http://127.0.0.1:8000/") == "http://127.0.0.1:8000"


# --- The link ----------------------------------------------------------------------------------------------------------------
class Answers(http.server.BaseHTTPRequestHandler):
    """Whatever the test wants to be said, slowly if need be."""

    said: bytes = b"{}"
    headers_said: dict[str, str] = {}
    status = 200
    drip = 0.0

    def do_GET(self) -> None:
        self.send_response(self.status)
        for name, value in self.headers_said.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.said)))
        self.end_headers()
        for n in range(len(self.said)):
            self.wfile.write(self.said[n : n + 1])
            time.sleep(self.drip)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[type[Answers]]:
    kind = type("These", (Answers,), {})
    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    kind.url = f"http://127.0.0.1:{found.server_port}"  # type: ignore[attr-defined]
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield kind
    found.shutdown()
    found.server_close()


def way(server: Any, deadline: float = 30.0) -> tuple[Link, Any]:
    portal = Identity.new("x")
    who = Identity.new(server.url).enrolled(4, "berlin", identity.public_of(portal.key))
    return Link(who, Clock(), "a" * 32, deadline=deadline), portal.key


@pytest.mark.parametrize("status", [200, 401, 403, 502])
def test_an_answer_without_our_portals_signature_gives_no_orders(server, status):
    server.status = status
    link_, _ = way(server)
    with pytest.raises(LinkDown):
        link_.ask("GET", "work")
    server.headers_said = {identity.TIME: "1800000000000", identity.SIGNATURE: "A" * 86 + "=="}
    with pytest.raises(LinkDown, match="not signed by the portal"):
        link_.ask("GET", "work")


def test_an_old_answer_does_not_fit_a_new_question(server):
    link_, key = way(server)
    link_.counter = 10**16
    text = identity.answer_text(4, 10**16 + 1, b"", 200, 1_800_000_000_000, b"{}")
    server.headers_said = {identity.TIME: "1800000000000", identity.SIGNATURE: identity.sign(key, text)}
    assert link_.ask("GET", "work").status == 200
    with pytest.raises(LinkDown):
        link_.ask("GET", "work")


def test_an_answer_that_drips_is_cut_off_at_the_total_deadline(server):
    server.said, server.drip = b" " * 1000, 0.05
    link_, _ = way(server, deadline=0.6)
    began = time.monotonic()
    with pytest.raises(LinkDown, match="does not answer"):
        link_.ask("GET", "work")
    assert time.monotonic() - began < 20


def test_a_refusal_carries_its_code(server):
    link_, key = way(server)
    link_.counter = 10**16
    body = json.dumps({"error": {"code": "revoked", "message": "This probe was revoked."}}).encode()
    text = identity.answer_text(4, 10**16 + 1, b"", 403, 1_800_000_000_000, body)
    server.said, server.status = body, 403
    server.headers_said = {identity.TIME: "1800000000000", identity.SIGNATURE: identity.sign(key, text)}
    with pytest.raises(Refused) as refusal:
        link_.ask("GET", "work")
    assert refusal.value.code == "revoked"


def test_nobody_there_is_a_sentence():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{s.getsockname()[1]}"
    who = Identity.new(url).enrolled(4, "berlin", "")
    with pytest.raises(LinkDown, match="cannot be reached"):
        Link(who, Clock(), "a", deadline=30).ask("GET", "work")


def test_the_proxy_of_the_environment_is_used(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://user:p%40ss@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "direct.example")
    connection = link.connect("https://portal.example", 5)
    assert (connection.host, connection.port) == ("proxy.example", 3128)
    assert connection._tunnel_host == "portal.example"
    assert link.connect("https://direct.example", 5).host == "direct.example"


def test_failures_wait_longer_each_time_and_never_all_at_once():
    waits = [link.Patience() for _ in range(20)]
    first = [p.next() for p in waits]
    assert len(set(first)) > 10 and max(first) <= 1.0
    for p in waits:
        for _ in range(20):
            last = p.next()
        assert 15 <= last <= 30


def test_times_travel_exactly():
    at = NOON + timedelta(microseconds=123457)
    assert micros(at) % 1_000_000 == 123457


def test_a_person_reads_what_is_missing(tmp_path, capsys):
    assert main.main(["--data-dir", str(tmp_path / "d"), "status"]) == 1
    assert "enroll URL TOKEN" in capsys.readouterr().err
    assert Path(tmp_path / "d").stat().st_mode & 0o777 == 0o700
    assert main.main(["--data-dir", str(tmp_path / "d"), "enroll", "https://portal.example", "wkp_short"]) == 1
    assert "no enrolment token" in capsys.readouterr().err
