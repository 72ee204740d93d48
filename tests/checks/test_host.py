"""Does the host check read this very machine, and does it fail only for what is listed and does not run?"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from monitors import checks
from monitors.checks import host
from monitors.checks.base import Outcome, Status
from monitors.hosts import aside, cgroup, listed, machine, updates
from monitors.hosts.thresholds import of_host
from portal.outbound.guard import Reach
from tests.checks.lab import LONG, NOWHERE, check
from tests.rig.certificates import self_signed

pytestmark = pytest.mark.once
INSIDE = Reach(private=True)


def look(timeout: float = LONG, reach: Reach = INSIDE, **config: Any) -> Outcome:
    return check("host", config, reach=reach, timeout=timeout)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe that has just begun."""
    monkeypatch.setattr(host, "MACHINE", machine.Machine())
    monkeypatch.setattr(host, "UPDATES", updates.Updates())
    monkeypatch.setattr(updates, "ask", lambda: updates.Waiting(12, 3, True))


# --- Figures ----------------------------------------------------------------------------------------------------------
def test_the_very_first_look_has_sensible_figures_of_this_machine():
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        outcome = look()
    finally:
        busy.kill()
        busy.wait()
    values, facts = outcome.facts["host"]["values"], outcome.facts["host"]["facts"]
    assert outcome.status == Status.UP and "CPU" in outcome.message and "memory" in outcome.message
    assert outcome.total_ms is None, "how long the reading took is not the machine's latency"
    assert 5 < values["cpu_percent"] <= 100, "the first processor figure is not 0"
    assert 0 < values["memory_percent"] <= 100 and values["uptime_seconds"] > 60
    root = psutil.disk_usage("/")
    mounts = [name for name in values if name.startswith("disk_percent:")]
    assert mounts and all(0 <= values[name] <= 100 for name in mounts)
    if "disk_total_bytes:/" in values:
        assert values["disk_total_bytes:/"] == root.total
    assert {"load1", "load5", "load15", "load5_per_core", "iowait_percent"} <= values.keys()
    assert facts["processors"] >= 0.1 and facts["system"] and facts["kernel"] and facts["name"]
    assert len(json.dumps(outcome.facts)) <= 8192


def test_rates_come_from_two_readings_and_a_counter_that_fell_says_nothing():
    Times = namedtuple("Times", "user nice system idle iowait guest")
    before = machine.Reading(100.0, Times(10, 0, 5, 80, 5, 0), None, {"eth0": (1000, 500), "wg0": (50, 50)})
    after = machine.Reading(110.0, Times(13, 0, 6, 84, 7, 1), None, {"eth0": (3000, 600), "wg0": (10, 10)})
    assert machine.rates(before, after) == {"received_per_second:eth0": 200.0, "sent_per_second:eth0": 10.0}
    found = machine.processor(before, after, cgroup.Limits())
    assert found == {"cpu_percent": 40.0, "iowait_percent": 20.0}  # 3 + 1 of 10 s; the guest's second is the user's


def test_in_a_container_the_figures_are_those_of_its_own_limits(tmp_path):
    for name, text in {
        "cgroup.controllers": "cpu memory", "memory.max": "536870912", "memory.current": "402653184",
        "memory.stat": "anon 1\ninactive_file 134217728\n", "cpu.max": "150000 100000", "cpu.stat": "usage_usec 2500000\n",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    granted = cgroup.read(tmp_path)
    assert granted == cgroup.Limits(536870912, 268435456, 1.5, 2.5)
    values = machine.memory(granted)
    assert values["memory_total_bytes"] == 536870912 and values["memory_percent"] == 50.0
    before, after = (machine.Reading(t, psutil.cpu_times(), cpu, {}) for t, cpu in ((0.0, 1.0), (10.0, 13.0)))
    assert machine.processor(before, after, granted)["cpu_percent"] == 80.0  # 12 of 15 s granted
    assert machine.load((3.0, 3.0, 3.0), 1.5)["load5_per_core"] == 2.0


def test_the_older_cgroups_without_limits_leave_the_machines_figures(tmp_path):
    for name, text in {"memory/memory.limit_in_bytes": "9223372036854771712", "cpu/cpu.cfs_quota_us": "-1"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cgroup.read(tmp_path) == cgroup.Limits()
    assert machine.memory(cgroup.read(tmp_path))["memory_total_bytes"] == psutil.virtual_memory().total


def test_pseudo_file_systems_snaps_and_second_mounts_are_no_disks(monkeypatch):
    Part = namedtuple("Part", "device mountpoint fstype opts")
    parts = [
        Part("/dev/sda1", "/", "ext4", "rw"), Part("/dev/sda1", "/var/lib/bind", "ext4", "rw"), Part("/dev/loop3", "/snap/x", "squashfs", "ro"),
        Part("/dev/sda1", "/etc/hosts", "ext4", "rw"), Part("/dev/sdb1", "/gone", "xfs", "rw"),
    ]  # fmt: skip
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: parts)
    assert {name for name in machine.disks() if name.startswith("disk_percent")} == {"disk_percent:/"}


def test_a_sample_that_is_too_large_loses_what_is_wanted_least():
    values = {f"received_per_second:eth{n}": 1.0 for n in range(200)} | {
        f"disk_percent:/srv/{n}": 50.0 for n in range(60)
    }
    cut = machine.bounded({"values": values, "facts": {"name": "web-1"}})
    assert cut["cut"] and len(json.dumps(cut)) <= 8192
    assert sum(name.startswith("disk_percent") for name in cut["values"]) == 60
    assert not any(name.startswith("received") for name in cut["values"]) and cut["facts"] == {"name": "web-1"}


def test_a_dead_disk_costs_one_thread_and_says_that_nothing_is_known(monkeypatch):
    repaired = threading.Event()

    def hangs() -> None:
        repaired.wait(60)

    monkeypatch.setattr(host.MACHINE, "is_new", lambda: False)
    monkeypatch.setattr(host.MACHINE, "look", hangs)
    outcome = look(timeout=0.2)
    assert (outcome.status, outcome.error_class) == (Status.UNKNOWN, "timeout"), "nothing is known: it is not down"
    with pytest.raises(aside.StillUnderWay):
        asyncio.run(aside.run("host", lambda: None, 0.2))
    repaired.set()
    assert asyncio.run(aside.run("host", lambda: "back", LONG)) == "back", "its thread is free again"


def test_two_monitors_of_one_machine_wait_for_each_other():
    async def both() -> list[int]:
        def read(n: int) -> int:
            time.sleep(0.05)
            return n

        return await asyncio.gather(*(aside.run("same", lambda n=n: read(n), LONG) for n in range(3)))

    assert asyncio.run(both()) == [0, 1, 2]


def test_a_clients_own_people_may_not_look_into_the_portals_machine():
    outcome = look(reach=NOWHERE)
    assert (outcome.status, outcome.error_class, outcome.facts) == (Status.UNKNOWN, "blocked", {})
    assert "staff" in outcome.message


# --- What is listed ---------------------------------------------------------------------------------------------------
def test_a_listed_process_that_runs_is_well_and_one_that_does_not_fails():
    mine = os.path.basename(psutil.Process().cmdline()[0])
    outcome = look(processes=[mine])
    assert outcome.status == Status.UP and outcome.facts["host"]["processes"][mine] >= 1
    outcome = look(processes=[mine, "no-such-daemon"])
    assert (outcome.status, outcome.error_class) == (Status.FAILING, "content")
    assert outcome.message == "1 not running: no process no-such-daemon"
    assert outcome.facts["host"]["values"], "the figures are kept all the same"


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that knows nginx and a failed postgresql."""
    program = tmp_path / "systemctl"
    program.write_text(
        '#!/bin/sh\n[ "$1 $2" = "is-active --" ] || exit 1\nshift 2\n'
        'for name; do case "$name" in nginx) echo active;; postgresql) echo failed;; *) echo inactive;; esac; done\nexit 3\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return program


def test_a_listed_service_that_failed_makes_the_monitor_fail(systemctl):
    assert look(services=["nginx"]).status == Status.UP
    outcome = look(services=["nginx", "postgresql"])
    assert outcome.status == Status.FAILING and outcome.message == "1 not running: service postgresql is failed"
    assert outcome.facts["host"]["services"] == {"nginx": "active", "postgresql": "failed"}


def test_where_systemd_does_not_answer_nothing_is_known_of_the_services(systemctl):
    systemctl.write_text("#!/bin/sh\necho 'System has not been booted with systemd as init system' >&2; exit 1\n")
    outcome = look(services=["nginx"])
    assert outcome.status == Status.UNKNOWN and "systemd" in outcome.message
    assert outcome.facts["host"]["values"]


@pytest.mark.parametrize("name", ["nginx; id", "$(id)", "-H", "--host=x", "a b", "", "a/b", "a\nb"])
def test_a_service_that_could_be_a_command_or_an_option_is_refused(name):
    with pytest.raises(ValidationError):
        checks.parse("host", {"services": [name]})


def test_certificate_files_say_how_many_days_are_left(tmp_path):
    good, broken = tmp_path / "shop.pem", tmp_path / "broken.pem"
    shown = self_signed(valid=timedelta(days=20))
    good.write_bytes(shown.pem)
    broken.write_text("-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n")
    found = listed.certificates([str(good), str(broken), "/nowhere/x.pem"], datetime.now(UTC) + timedelta(days=10))
    assert found[str(good)]["days"] == pytest.approx(10, abs=0.1)
    assert (
        found[str(broken)] == {"error": "holds no certificate"} and "No such file" in found["/nowhere/x.pem"]["error"]
    )


# --- Updates ----------------------------------------------------------------------------------------------------------
def test_waiting_updates_are_counted_as_apt_says():
    text = """NOTE: This is only a simulation!
Inst libssl3 [3.0.11-1~deb12u2] (3.0.15-1~deb12u1 Debian-Security:12/stable-security [amd64])
Inst base-files [12.4+deb12u5] (12.4+deb12u8 Debian:12.8/stable [amd64])
Inst openssl [3.0.2-0ubuntu1.10] (3.0.2-0ubuntu1.18 Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security [amd64])
Conf libssl3 (3.0.15-1~deb12u1 Debian-Security:12/stable-security [amd64])
"""
    assert updates.of_apt(text) == (3, 2)


def test_waiting_updates_are_counted_as_dnf_4_and_5_say():
    four = "ALSA-2024:1 Important/Sec. openssl-1:3.0.7-28.el9.x86_64\nALBA-2024:2 bugfix tzdata-2024b-2.el9.noarch\n"
    five = "Name        Type     Severity  Package              Issued\nALSA-2024:1 security Important openssl-3.0.7.x86_64 2024-10-01 00:00:00\n"
    everything = "\nopenssl.x86_64   1:3.0.7-28.el9   baseos\ntzdata.noarch  2024b-2.el9  baseos\nObsoleting Packages\nold.x86_64 1 x\n"
    assert updates.of_dnf(four, everything) == (2, 1)
    assert updates.of_dnf(five, everything) == (2, 1)


def test_the_package_manager_is_asked_once_an_hour_beside_the_checks(monkeypatch):
    asked = []

    def ask() -> updates.Waiting:
        asked.append(1)
        return updates.Waiting(12, 3, True)

    monkeypatch.setattr(updates, "ask", ask)
    monkeypatch.setattr(updates.Path, "exists", lambda self: False)
    kept = updates.Updates()
    kept.now()
    end = time.monotonic() + 30
    while "pending" not in kept.now() and time.monotonic() < end:
        time.sleep(0.01)
    assert kept.now() == {"pending": 12, "security": 3, "reboot": True} and len(asked) == 1


def test_null_and_zero_turn_a_threshold_off():
    parsed: Any = checks.parse("host", {"cpu_percent": None, "iowait_percent": 0})
    limits = {t.figure: t.warning for t in of_host(parsed)}
    assert limits["cpu_percent"] is None and limits["iowait_percent"] is None and limits["disk_percent"] == 85
