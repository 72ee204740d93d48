"""What comes of an order that is followed? One program at a time, bounded in time and words, never begun twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from monitors.probe import command, envelope
from monitors.probe.command import KEEP, MOST_JSON, Tail
from tests.monitors.acting_stage import Machine, prepared
from tests.rig.docker import DockerEngine

pytestmark = pytest.mark.once


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One machine with a probe's process."""
    return prepared(tmp_path, monkeypatch)


def until(true: Callable[[], object], what: str, within: float = 60) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, f"waited {within} s for {what}"
        time.sleep(0.02)


# --- A program ----------------------------------------------------------------------------------------------------------
def test_it_runs_at_the_root_with_an_empty_input_and_a_bare_environment(machine: Machine, monkeypatch):
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2-canary")
    machine.allow(machine.script("look", "pwd; cat; env | sort; ps -o pgid= -o pid= $$ 2>/dev/null || true"))
    state, result = machine.hand(machine.sealed("look"))
    lines = result["output"].splitlines()
    assert state == "done" and lines[0] == "/" and "canary" not in result["output"]
    names = {line.partition("=")[0] for line in lines[1:] if "=" in line}
    assert names <= {"PATH", "LANG", "PWD", "OLDPWD", "SHLVL", "_"}


def test_an_exit_code_is_told_and_both_streams_are_read(machine: Machine):
    machine.allow(machine.script("fail", "echo one; echo two >&2; exit 3"))
    state, result = machine.hand(machine.sealed("fail"))
    assert (state, result["exit_code"], result["output"]) == ("failed", 3, "one\ntwo\n")


def test_of_five_megabytes_fifty_kilobytes_are_kept(machine: Machine):
    text = 'echo begin; head -c 5000000 /dev/zero | tr "\\0" "x"; echo; echo end'
    machine.allow(machine.script("talk", text))
    state, result = machine.hand(machine.sealed("talk"))
    kept = result["output"]
    assert state == "done" and kept.startswith("begin\nxxx") and kept.endswith("xxx\nend\n")
    assert result["cut_bytes"] == 5_000_000 + len("begin\n\nend\n") - KEEP
    assert f"{result['cut_bytes']:,} bytes left out" in kept and len(kept) < KEEP + 100


@pytest.mark.parametrize("said", [b"\n" * 100_000, b"\x00\x1b[31m" * 30_000, b"\xff" * 90_000, "ä".encode() * 50_000])
def test_whatever_is_said_fits_into_an_answer(said):
    tail = Tail()
    for n in range(0, len(said), 7001):
        tail.add(said[n : n + 7001])
    text, cut = tail.text()
    assert len(json.dumps(text, ensure_ascii=False).encode()) <= MOST_JSON and cut > 0
    assert "\x00" not in text and "\x1b" not in text


def test_what_hangs_is_ended_with_all_it_started(machine: Machine):
    """Its child, its grandchild, and one that left the group: none of them is there afterwards."""
    pids = machine.home / "pids"
    machine.allow(
        machine.script("hang", f"sleep 600 & echo $! >> {pids}\nsetsid sh -c 'echo $$ >> {pids}; exec sleep 600' & wait", 4)
    )  # fmt: skip
    state, result = machine.hand(machine.sealed("hang"))
    assert state == "failed" and "ended, with all it had started" in result["why"]
    found = [int(pid) for pid in pids.read_text().split()]
    assert len(found) == 2
    until(lambda: not any(_runs(pid) for pid in found), "all of them to be gone", within=10)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_ignores_the_request_to_end_is_ended_all_the_same(machine: Machine, monkeypatch):
    monkeypatch.setattr(command, "MERCY", 0.2)
    machine.allow(machine.script("deaf", "trap '' TERM; while :; do sleep 1; done", 1))
    state, result = machine.hand(machine.sealed("deaf"))
    assert state == "failed" and result["exit_code"] == -signal.SIGKILL


def test_a_service_that_it_left_running_goes_on_and_holds_nothing_up(machine: Machine):
    pid = machine.home / "pid"
    machine.allow(machine.script("serve", f"sleep 600 & echo $! > {pid}; echo started", 300))
    began = time.monotonic()
    state, result = machine.hand(machine.sealed("serve"))
    left = int(pid.read_text())
    try:
        assert (state, result["output"]) == ("done", "started\n") and time.monotonic() - began < 120
        assert _runs(left)
    finally:
        os.kill(left, signal.SIGKILL)


def test_checks_go_on_while_a_program_talks_without_end(machine: Machine):
    """The loop that makes the checks is not starved by what has to be read."""
    machine.allow(machine.script("yes", "yes", 2))

    async def beside() -> tuple[int, tuple[str, dict[str, Any]]]:
        acting, turns = asyncio.create_task(machine.acts.carry_out(machine.sealed("yes"), 1)), 0
        while not acting.done():
            await asyncio.sleep(0.01)
            turns += 1
        return turns, await acting

    turns, (state, result) = asyncio.run(beside())
    assert state == "failed" and result["cut_bytes"] > KEEP and turns > 40


def test_one_action_at_a_time(machine: Machine):
    gate = machine.home / "gate"
    os.mkfifo(gate)
    machine.allow(machine.script("wait", f"cat {gate}", 300))

    async def both() -> tuple[Any, Any]:
        first = asyncio.create_task(machine.acts.carry_out(machine.sealed("wait"), 1))
        for _ in range(6000):
            await asyncio.sleep(0.01)
            if machine.acts.busy:
                break
        second = await machine.acts.carry_out(machine.sealed(), 2)
        threading.Thread(target=gate.write_text, args=("go\n",), daemon=True).start()
        return await first, second

    (state, result), (refused, why) = asyncio.run(both())
    assert (state, result["output"]) == ("done", "go\n")
    assert refused == "refused" and "'wait' is under way" in why["why"] and machine.ran == []


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT RUN: only root can run a program as somebody else")
def test_a_program_runs_as_the_user_that_the_file_names(machine: Machine):
    machine.allow('[actions.who]\nkind = "script"\nargv = ["/usr/bin/id", "-un"]\nuser = "nobody"')
    state, result = machine.hand(machine.sealed("who"))
    assert (state, result["output"]) == ("done", "nobody\n")


def test_a_unit_is_restarted_by_systemctl_and_by_nothing_else(machine: Machine, monkeypatch):
    """The words are ours; the unit's name is the administrator's, and an order cannot add to it."""
    said = machine.home / "said"
    tool = machine.program("systemctl", f'echo "$@" > {said}')
    monkeypatch.setattr("monitors.probe.allowed.SYSTEMCTL", (str(tool),))
    machine.allow('[actions.nginx]\nkind = "service"\nunit = "nginx.service"')
    assert machine.hand(machine.sealed("nginx"))[0] == "done"
    assert said.read_text() == "--no-ask-password restart -- nginx.service\n"
    said.unlink()
    assert machine.hand(machine.sealed("nginx", {"unit": "ssh.service"}))[0] == "refused" and not said.exists()


def test_systemd_that_does_not_finish_in_time_may_still_be_at_it(machine: Machine, monkeypatch):
    tool = machine.program("systemctl", "exec sleep 600")
    monkeypatch.setattr("monitors.probe.allowed.SYSTEMCTL", (str(tool),))
    machine.allow('[actions.nginx]\nkind = "service"\nunit = "nginx.service"\ntimeout_seconds = 1')
    state, result = machine.hand(machine.sealed("nginx"))
    assert state == "unknown" and "may still be at it" in result["why"]


# --- A container --------------------------------------------------------------------------------------------------------
class Restarting(DockerEngine):
    """The engine with the one address that writes: POST /containers/{id or name}/restart, 204 as Docker answers it."""

    def _answer(self, method: str, target: str) -> tuple[int, str, bytes]:
        words = urlsplit(target).path.split("/")
        if method == "POST" and len(words) == 4 and words[1::2] == ["containers", "restart"]:
            name = words[2]
            row = next((c for key, c in self.containers.items() if name in (key, c["Name"].removeprefix("/"))), None)
            if row is None:
                return 404, "application/json", json.dumps({"message": f"No such container: {name}"}).encode()
            if code := self.broken.get("/restart"):
                return code, "application/json", b'{"message": "cannot restart container"}'
            self.restarts(name)
            return 204, "application/json", b""
        return super()._answer(method, target)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Restarting]:
    with Restarting(tmp_path / "docker.sock") as running:
        running.run("db", "postgres:17")
        yield running


def container(engine: DockerEngine, name: str = "db", seconds: int = 60) -> str:
    return f'[actions.db]\nkind = "container"\ncontainer = "{name}"\nsocket = "{engine.path}"\ntimeout_seconds = {seconds}'  # fmt: skip


def test_a_container_is_restarted_through_the_engines_socket(machine: Machine, engine: Restarting):
    machine.allow(container(engine))
    state, result = machine.hand(machine.sealed("db"))
    assert (state, result["exit_code"], result["output"]) == ("done", 0, "")
    assert engine.requests == [("POST", "/containers/db/restart")]
    assert next(iter(engine.containers.values()))["RestartCount"] == 1


def test_a_container_that_is_not_there_failed_and_an_engine_that_is_not_was_not_asked(machine: Machine, engine: Restarting):  # fmt: skip
    machine.allow(container(engine, "web"))
    state, result = machine.hand(machine.sealed("db"))
    assert state == "failed" and "no container web" in result["why"]
    machine.allow(container(engine).replace(engine.path, "/nowhere.sock"))
    state, result = machine.hand(machine.sealed("db"))
    assert state == "failed" and "cannot be used" in result["why"]


def test_an_engine_that_does_not_answer_may_still_be_at_it(machine: Machine, engine: Restarting):
    machine.allow(container(engine, seconds=1))
    engine.silent = True
    state, result = machine.hand(machine.sealed("db"))
    assert state == "unknown" and "may still be at it" in result["why"]


# --- Never twice --------------------------------------------------------------------------------------------------------
def test_what_was_begun_when_the_program_died_is_unknown_and_not_begun_again(machine: Machine):
    """On the disk stands "accepted", and no end."""
    order = machine.order()
    machine.orders.take(order, 41, machine.clock.now())
    machine.orders.accept(order.job)
    machine.orders.close()
    machine.begin(machine.who)
    ((number, state, result),) = machine.orders.left
    assert (number, state) == (41, "unknown") and "its end was not seen" in result["why"]
    assert machine.hand(envelope.seal(order, machine.signer), 41)[0] == "refused" and machine.ran == []


def test_an_end_that_the_portal_did_not_hear_is_told_after_a_restart_once(machine: Machine):
    machine.hand(machine.sealed(), 41)
    machine.orders.close()
    machine.begin(machine.who)
    ((number, state, result),) = machine.orders.left
    assert (number, state, result["output"]) == (41, "done", "cleaned\n")
    machine.orders.told(41)
    machine.orders.close()
    machine.begin(machine.who)
    assert machine.orders.left == []


def test_accepted_is_on_the_disk_before_the_program_starts(machine: Machine):
    """The program itself looks: what it sees there is what a restart would find."""
    spool = machine.home / "spool.sqlite3"
    python = f"import sqlite3; print(sqlite3.connect('file:{spool}?mode=ro', uri=True).execute('SELECT step FROM orders').fetchall())"  # fmt: skip
    machine.allow(machine.script("look", f'exec {sys.executable} -c "{python}"'))
    state, result = machine.hand(machine.sealed("look"))
    assert (state, result["output"]) == ("done", "[('accepted',)]\n")
