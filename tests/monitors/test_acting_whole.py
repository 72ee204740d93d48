"""From an order to what it does, whole: the real program on a machine whose file allows a little, against the real portal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitors import acting, partitions, remote
from monitors.models import Probe, ProbeJob
from monitors.probe import envelope, identity
from monitors.probe.clock import micros
from monitors.probe.envelope import Envelope
from portal.clock import database_now
from tests.monitors import afar, rows
from tests.monitors.acting_stage import GOOD, PLAN, Place
from tests.monitors.test_actions import Restarting, container
from tests.monitors.test_remote_whole import Program, enrolled, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

# A supervisor as small as they come: keeps one service running, starts another on SIGHUP, writes down its pid.
SUPERVISOR = """
import os, pathlib, signal, subprocess, sys
place = pathlib.Path(sys.argv[1])
service, again = None, []
signal.signal(signal.SIGHUP, lambda *_: again.append(1))
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
while True:
    if service is not None:
        service.kill(), service.wait()
    service = subprocess.Popen(["/bin/sleep", "3600"])
    for name, pid in (("service", service.pid), ("supervisor", os.getpid())):
        (place / f".{name}").write_text(f"{pid}\\n")
        os.replace(place / f".{name}", place / name)
    signal.sigwait({signal.SIGHUP})
"""


class Obedient(Program):
    """A probe's program that knows its machine's file."""

    place: Place

    def _env(self) -> dict[str, str]:
        return {**super()._env(), **self.place.environment()}


@pytest.fixture(autouse=True)
def ground(transactional_db: None) -> None:
    partitions.ensure_ahead(database_now())
    rows.probe()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    home = tmp_path / "machine"
    home.mkdir(mode=0o755)
    return Place(home)


@pytest.fixture
def program(live_server: Any, tmp_path: Path, place: Place) -> Iterator[Obedient]:
    made = Obedient(live_server.url, tmp_path / "probe")
    made.place = place
    yield made
    made.end()
    print((tmp_path / "probe.log").read_text() if (tmp_path / "probe.log").exists() else "")


@pytest.fixture
def berlin(program: Obedient) -> Probe:
    """Enrolled; its program is started and has done a job: it remembers orders from now on."""
    probe = afar.new_probe()
    enrolled(program, probe)
    program.start()
    until(lambda: Probe.objects.get(pk=probe.pk).instance, "it to speak")
    probe.refresh_from_db()
    job = remote.ask(probe, "noop", {}, key="noop", by="tests", at=database_now(), within=timedelta(seconds=120))
    until(lambda: ended(job) == "done", "it to do something harmless")
    return probe


@pytest.fixture
def service(place: Place) -> Iterator[Path]:
    """A service under its supervisor; the file with its pid."""
    pid = place.home / "service"
    with subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(place.home)], start_new_session=True) as supervisor:
        until(lambda: (place.home / "supervisor").exists(), "the service")
        yield pid
        os.killpg(supervisor.pid, signal.SIGKILL)


def order(place: Place, probe: Probe, action: str, key: str, params: dict[str, Any] | None = None) -> ProbeJob:
    return acting.order(probe, action, params or {}, tenant=0, plan_hash=PLAN, key=key, by="tests", at=database_now(), signer=place.signer)  # fmt: skip


def ended(job: ProbeJob) -> str:
    """How it ended; empty while it did not."""
    job.refresh_from_db()
    return "" if job.state in ("waiting", "taken") else job.state


def test_a_service_a_container_and_a_script_by_real_orders(program, place, berlin, service, tmp_path):
    restart = place.program("restart", f'old=$(cat {service}); kill -HUP $(cat {place.home}/supervisor)\nwhile [ "$(cat {service})" = "$old" ]; do sleep 0.1; done; echo "was $old"')  # fmt: skip
    with Restarting(tmp_path / "docker.sock") as engine:
        engine.run("db", "postgres:17")
        place.allow(f'[actions.shop]\nkind = "service"\nargv = ["{restart}"]\ntimeout_seconds = 300', container(engine))
        before = int(service.read_text())
        shop = order(place, berlin, "shop", "shop-1")
        until(lambda: ended(shop), "the restart")
        assert shop.state == "done", shop.result
        after = int(service.read_text())
        assert after != before and Path(f"/proc/{after}").exists() and shop.result["output"] == f"was {before}\n"
        assert shop.result["plan_hash"] == PLAN and shop.result["finished_at"] >= shop.result["started_at"]
        db = order(place, berlin, "db", "db-1")
        until(lambda: ended(db), "the container")
        assert db.state == "done" and engine.requests == [("POST", "/containers/db/restart")]
    clean = order(place, berlin, "clean", "clean-1", GOOD)
    until(lambda: ended(clean), "the script")
    assert clean.state == "done" and place.ran == ["--kind|logs|7|shop.example|"]


def test_the_portal_is_told_what_may_be_asked(program, place, berlin):
    until(lambda: Probe.objects.get(pk=berlin.pk).health.get("actions"), "it to say what is allowed")
    berlin.refresh_from_db()
    (clean,) = acting.offered(berlin)
    assert clean["name"] == "clean" and clean["params"]["days"] == {"type": "int", "describe": "", "min": 1, "max": 30}
    assert str(place.clean) not in json.dumps(berlin.health)
    until(lambda: "actions 1" in program.call("status", check=False).stdout, "the person at that machine to see it too")


def test_whoever_owns_the_portals_database_moves_nothing(program, place, berlin):
    """Jobs as he can write them: everything but the signing key is his, and an order that was already followed."""
    followed = order(place, berlin, "clean", "followed", GOOD)
    until(lambda: ended(followed) == "done", "the one that is right")
    berlin.refresh_from_db()
    now = micros(database_now()) // 1_000_000
    good = Envelope(probe=identity.digest(berlin.public_key.encode()), tenant=0, job="x", action="clean", params=GOOD, plan_hash=PLAN, issued=now, expires=now + 60, counter=berlin.action_counter + 10)  # fmt: skip
    ours = {"envelope": followed.body["envelope"], "signature": followed.body["signature"]}

    def signed(key: Any = place.signer, **more: Any) -> dict[str, str]:
        return envelope.seal(replace(good, **more), key)

    attempts: dict[str, tuple[str, dict[str, Any]]] = {
        "replayed": ("act", ours),
        "re-parametered": ("act", {**ours, "envelope": ours["envelope"].replace('"days":7', '"days":8')}),
        "forged": ("act", signed(Ed25519PrivateKey.generate())),
        "by the key of our answers": ("act", signed(remote.portal_key())),
        "free text": ("act", {"argv": ["/bin/sh", "-c", "reboot"], "action": "clean"}),
        "of another kind": ("script", {"argv": [str(place.clean)]}),
        "another probe's": ("act", signed(probe=identity.digest(b"paris"))),
        "old": ("act", signed(job="old", issued=now - 100, expires=now - 40, counter=good.counter + 1)),
        "unknown action": ("act", signed(job="reboot", action="reboot", params={}, counter=good.counter + 2)),
        "path trick": ("act", signed(job="path", params={**GOOD, "site": "../../etc"}, counter=good.counter + 3)),
        "extra parameter": ("act", signed(job="extra", params={**GOOD, "then": "reboot"}, counter=good.counter + 4)),
        "reordered": ("act", signed(job="late")),
    }
    jobs = [
        remote.ask(berlin, kind, body, key=key, by="the intruder", at=database_now(), within=timedelta(seconds=120))
        for key, (kind, body) in attempts.items()
    ]
    until(lambda: all(ended(job) for job in jobs), "the refusals")
    assert {job.key: job.state for job in jobs} == dict.fromkeys(attempts, "refused")
    assert all(job.result["why"] for job in jobs)
    assert len(place.ran) == 1, "the one that was right, once"


def test_killed_after_it_accepted_it_reports_unknown_and_does_not_repeat(program, place, berlin):
    begun, gate = place.home / "begun", place.home / "gate"
    os.mkfifo(gate)
    place.allow(place.script("slow", f"echo $$ >> {begun}; exec cat {gate}", 600))
    job = order(place, berlin, "slow", "slow")
    until(begun.exists, "it to begin")
    program.kill()
    job.refresh_from_db()
    assert job.state == "taken"
    Probe.objects.filter(pk=berlin.pk).update(last_seen_at=database_now() - remote.SPEAKING)
    program.start()
    until(lambda: ended(job), "word of it")
    assert job.state == "unknown" and "its end was not seen" in job.result["why"]
    # The very order once more, as one who holds the database can have it handed out again.
    body = {"envelope": job.body["envelope"], "signature": job.body["signature"]}
    berlin.refresh_from_db()
    again = remote.ask(berlin, "act", body, key="again", by="tests", at=database_now(), within=timedelta(seconds=60))
    until(lambda: ended(again), "the refusal")
    first = begun.read_text().split()
    os.kill(int(first[0]), signal.SIGKILL)  # nobody else is left to end it
    assert again.state == "refused" and len(first) == 1
