"""What are a machine's figures now? Percentages, sizes and rates by name, read with psutil and from its cgroup.

Counters (processor time, bytes on the network) mean something only between two readings, so the last few are kept in
this process; the first look of all takes two, a second apart. Pseudo file systems are not disks.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import psutil

from monitors.hosts import cgroup

MOST_MOUNTS, MOST_INTERFACES, MOST_SENSORS = 32, 16, 16
MOST_BYTES = 8192  # of a sample on its way to the portal
SHORTEST, LONGEST = 0.5, 600.0  # seconds between two readings that a rate may be made of
WANTED = 5.0  # rates over less than this jump about
NOT_A_DISK = frozenset(("squashfs", "iso9660", "udf", "erofs", "cramfs", "romfs"))
NOT_A_WIRE = ("lo", "veth", "docker", "br-", "virbr", "ifb", "dummy", "cni", "flannel", "cali", "tap", "sit", "teql")


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters at one instant (time.monotonic)."""

    instant: float
    cpu: Any
    group_cpu: float | None
    network: dict[str, tuple[int, int]]


@dataclass(slots=True)
class Sample:
    """What one look found: numbers by name, and what the machine is."""

    values: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


class Machine:
    """This machine, with the last few readings of its counters."""

    def __init__(self) -> None:
        self._kept: deque[Reading] = deque(maxlen=8)

    def is_new(self) -> bool:
        """Are there no counters yet that a rate could be made of? Then look once, wait a second, and look again."""
        return self._before(time.monotonic()) is None

    def look(self) -> Sample:
        """A sample. Blocks while the disks answer: not for an event loop."""
        now = Reading(time.monotonic(), psutil.cpu_times(), cgroup.read().cpu_seconds, _network())
        before = self._before(now.instant)
        self._kept.append(now)
        sample = Sample()
        granted = cgroup.read()
        processors = granted.processors or float(psutil.cpu_count() or 1)
        if before is not None:
            sample.values |= processor(before, now, granted)
            sample.values |= rates(before, now)
        sample.values |= load(os.getloadavg(), processors)
        sample.values |= memory(granted)
        sample.values |= disks()
        sample.values |= temperatures()
        sample.values["uptime_seconds"] = round(time.time() - psutil.boot_time())
        sample.facts = about(granted, processors)
        return sample

    def _before(self, instant: float) -> Reading | None:
        """The newest reading that is some seconds old, else the oldest there is."""
        usable = [r for r in self._kept if SHORTEST <= instant - r.instant <= LONGEST]
        settled = [r for r in usable if instant - r.instant >= WANTED]
        return settled[-1] if settled else usable[0] if usable else None


def processor(before: Reading, now: Reading, granted: cgroup.Limits) -> dict[str, float]:
    """cpu_percent (busy) and iowait_percent (idle only because a disk is slow), of all that may be used."""
    fields = now.cpu._fields
    spent = {name: max(0.0, getattr(now.cpu, name) - getattr(before.cpu, name)) for name in fields}
    total = sum(v for name, v in spent.items() if name not in ("guest", "guest_nice"))  # counted in user and nice too
    found: dict[str, float] = {}
    if total > 0:
        iowait = spent.get("iowait", 0.0)
        found["cpu_percent"] = _percent(total - spent.get("idle", 0.0) - iowait, total)
        found["iowait_percent"] = _percent(iowait, total)
        if "steal" in spent:
            found["steal_percent"] = _percent(spent["steal"], total)
    if granted.processors and now.group_cpu is not None and before.group_cpu is not None:
        passed = (now.instant - before.instant) * granted.processors
        found["cpu_percent"] = _percent(now.group_cpu - before.group_cpu, passed)
    return found


def _percent(part: float, whole: float) -> float:
    return round(min(100.0, max(0.0, part / whole * 100)), 1)


def load(averages: tuple[float, float, float], processors: float) -> dict[str, float]:
    """The load averages, and each per processor."""
    found: dict[str, float] = {}
    for minutes, value in zip((1, 5, 15), averages, strict=True):
        found[f"load{minutes}"] = round(value, 2)
        found[f"load{minutes}_per_core"] = round(value / processors, 2)
    return found


def memory(granted: cgroup.Limits) -> dict[str, float]:
    """Memory and swap in percent and bytes; of the container where it has a limit of its own."""
    whole, swap = psutil.virtual_memory(), psutil.swap_memory()
    total, used = whole.total, whole.total - whole.available
    if granted.memory_bytes is not None and granted.memory_used_bytes is not None and granted.memory_bytes < total:
        total, used = granted.memory_bytes, granted.memory_used_bytes
    found = {"memory_percent": _percent(used, total), "memory_used_bytes": used, "memory_total_bytes": total}
    if swap.total:
        found |= {"swap_percent": _percent(swap.used, swap.total), "swap_used_bytes": swap.used}
    return found


def disks() -> dict[str, float]:
    """Each real disk by its mount point: percent, bytes, inodes. A disk mounted twice counts once, where its path is shortest."""
    seen: dict[str, str] = {}
    for part in psutil.disk_partitions(all=False):
        if part.fstype in NOT_A_DISK or part.device.startswith("/dev/loop") or os.path.isfile(part.mountpoint):
            continue
        known = seen.get(part.device)
        if known is None or len(part.mountpoint) < len(known):
            seen[part.device] = part.mountpoint
    mounts = list(seen.values()) or ["/"]  # in a container nothing but the root is a disk of its own
    found: list[tuple[float, dict[str, float]]] = []
    for mount in mounts:
        try:
            space, nodes = psutil.disk_usage(mount), os.statvfs(mount)
        except OSError:  # unmounted between the two looks, or not ours to see
            continue
        if not space.total:
            continue
        name = named(mount)
        values = {
            f"disk_percent:{name}": round(space.percent, 1),
            f"disk_used_bytes:{name}": float(space.used),
            f"disk_total_bytes:{name}": float(space.total),
        }
        if nodes.f_files:
            values[f"inode_percent:{name}"] = _percent(nodes.f_files - nodes.f_ffree, nodes.f_files)
        found.append((space.percent, values))
    found.sort(key=lambda pair: -pair[0])
    return {k: v for _, values in found[:MOST_MOUNTS] for k, v in values.items()}


def _network() -> dict[str, tuple[int, int]]:
    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    counted = {
        name: (c.bytes_recv, c.bytes_sent)
        for name, c in psutil.net_io_counters(pernic=True).items()
        if name in up and not name.startswith(NOT_A_WIRE)
    }
    return dict(sorted(counted.items(), key=lambda pair: -sum(pair[1]))[:MOST_INTERFACES])


def rates(before: Reading, now: Reading) -> dict[str, float]:
    """Bytes per second of each interface. Counters that fell began anew: they say nothing this time."""
    passed, found = now.instant - before.instant, {}
    for name, (received, sent) in now.network.items():
        was = before.network.get(name)
        if was is not None and received >= was[0] and sent >= was[1]:
            found[f"received_per_second:{named(name)}"] = round((received - was[0]) / passed)
            found[f"sent_per_second:{named(name)}"] = round((sent - was[1]) / passed)
    return {k: float(v) for k, v in found.items()}


def temperatures() -> dict[str, float]:
    """The hottest sensor of each chip, in degrees Celsius."""
    read = getattr(psutil, "sensors_temperatures", None)
    try:
        chips = read() if read is not None else {}
    except (OSError, ValueError):  # a driver that lies
        return {}
    found = {
        f"temperature:{named(chip)}": round(max(s.current for s in sensors), 1)
        for chip, sensors in chips.items()
        if sensors and max(s.current for s in sensors) > 0
    }
    return dict(sorted(found.items(), key=lambda pair: -pair[1])[:MOST_SENSORS])


def about(granted: cgroup.Limits, processors: float) -> dict[str, Any]:
    """What the machine is."""
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        system = f"{platform.system()} {platform.release()}"
    return {
        "name": platform.node()[:120],
        "system": system[:120],
        "kernel": platform.release()[:80],
        "machine": platform.machine()[:40],
        "processors": round(processors, 2),
        "memory_bytes": int(memory(granted)["memory_total_bytes"]),
        "started_at": int(psutil.boot_time()),
        "limited": granted.memory_bytes is not None or granted.processors is not None,
    }


def named(text: str) -> str:
    """A mount point, interface or chip as part of a name: printable, at most 56 characters, still one of its kind."""
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return (
        plain if len(plain) <= 56 else f"{plain[:47]}#{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:8]}"
    )


# What is left out first where a sample is too large to send.
LEAST_WANTED = ("sent_per_second:", "received_per_second:", "temperature:", "disk_used_bytes:", "disk_total_bytes:", "inode_percent:")  # fmt: skip


def bounded(picture: dict[str, Any], most: int = MOST_BYTES) -> dict[str, Any]:
    """The picture in at most so many bytes of JSON; what is wanted least goes first, and `cut` says so."""
    for beginning in (*LEAST_WANTED, ""):
        if len(json.dumps(picture).encode()) <= most:
            return picture
        kept = {k: v for k, v in picture["values"].items() if not (beginning and k.startswith(beginning))}
        picture = {**picture, "values": kept if beginning else dict(list(kept.items())[:60]), "cut": True}
    return picture if len(json.dumps(picture).encode()) <= most else {"values": picture["values"], "cut": True}
