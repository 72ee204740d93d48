"""Which of a machine's figures are too high, for how long already, and which came back? Pure.

A threshold speaks once its limit was crossed without a break for its minutes; it is over when the figure came back by a
margin, so that a figure on the limit does not come and go. The second limit, where there is one, is critical.

`crossed` is what is remembered from look to look: {name: {"since", "critical_since", "level", "at"}}, times as RFC 3339.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

Crossed = dict[str, dict[str, str]]

BREAK = timedelta(minutes=5)  # without a look for so long, nothing is known of "without a break"
CPU, MEMORY, DISK = "cpu_threshold", "memory_threshold", "disk_threshold"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A limit for one figure, or for all whose names begin with `figure:` (one a disk). None: no limit."""

    figure: str
    event: str
    noun: str
    unit: str
    warning: float | None
    critical: float | None = None
    minutes: float = 0
    margin: float = 0  # how far it must come back before it is over
    below: bool = False  # too low is what is bad

    def is_beyond(self, value: float, limit: float | None, already: bool) -> bool:
        """Is this value too much? One that was stays so until it came back by the margin."""
        if limit is None:
            return False
        if already:
            return value < limit + self.margin if self.below else value > limit - self.margin
        return value <= limit if self.below else value >= limit

    def covers(self, name: str) -> bool:
        """Is this figure one of its own?"""
        return name == self.figure or name.startswith(f"{self.figure}:")


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure that is too bad now (`failing`), or is so no longer."""

    name: str
    event: str
    failing: bool
    severity: str = "warning"
    value: float | None = None
    limit: float | None = None
    since: datetime | None = None
    threshold: Threshold | None = None

    def words(self, of: str) -> tuple[str, str]:
        """(title, message) for people; `of` is whose figure it is."""
        t = self.threshold
        if t is None or self.value is None or self.limit is None:
            return "", ""
        which = self.name.partition(":")[2]
        noun = f"{t.noun} {which}".strip()
        side = "below" if t.below else "above"
        title = f"{noun} of {of} {side} {self.limit:g}{t.unit}"
        held = f" for {t.minutes:g} minutes or longer" if t.minutes else ""
        return title, f"{noun} is at {self.value:.3g}{t.unit} and has been {side} {self.limit:g}{t.unit}{held}."


def judge(
    values: Mapping[str, float], crossed: Mapping[str, Any], thresholds: Sequence[Threshold], at: datetime
) -> tuple[Crossed, list[Finding]]:
    """What is remembered from now on, and what is to be told. A figure that is not there any more is well."""
    kept: Crossed = {}
    findings: list[Finding] = []
    for threshold in thresholds:
        for name in sorted(n for n in values if threshold.covers(n)):
            entry, finding = _one(threshold, name, values[name], crossed.get(name) or {}, at)
            if entry:
                kept[name] = entry
            if finding is not None:
                findings.append(finding)
    told = {f.name for f in findings}
    for name, before in crossed.items():  # the limit was taken away, or the disk was
        if name not in kept and name not in told and before.get("level"):
            findings.append(_over(name, str(before.get("event", CPU))))
    return kept, findings


def _one(
    t: Threshold, name: str, value: float, before: Mapping[str, str], at: datetime
) -> tuple[dict[str, str], Finding | None]:
    level = before.get("level", "")
    last = _time(before.get("at"))
    broken = last is not None and at - last > BREAK
    since = _since(before.get("since"), t.is_beyond(value, t.warning, level != ""), broken and not level, at)
    critical_since = _since(
        before.get("critical_since"),
        t.is_beyond(value, t.critical, level == "critical"),
        broken and level != "critical",
        at,
    )
    if since is None and critical_since is not None:  # only a critical limit was set, or set below the other
        since = critical_since
    lasts = timedelta(minutes=t.minutes)
    now = ""
    if critical_since is not None and (level == "critical" or at - critical_since >= lasts):
        now = "critical"
    elif since is not None and t.warning is not None and (level or at - since >= lasts):
        now = "warning"
    entry: dict[str, str] = {}
    if since is not None:
        entry = {"since": since.isoformat(), "level": now, "at": at.isoformat(), "event": t.event}
        if critical_since is not None:
            entry["critical_since"] = critical_since.isoformat()
    if now:
        limit = t.critical if now == "critical" else t.warning
        return entry, Finding(name, t.event, True, now, value, limit, since, t)
    return entry, _over(name, t.event) if level else None


def _over(name: str, event: str) -> Finding:
    return Finding(name, event, False)


def _since(text: str | None, beyond: bool, broken: bool, at: datetime) -> datetime | None:
    if not beyond:
        return None
    before = _time(text)
    return at if before is None or broken else before


def _time(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except (TypeError, ValueError):
        return None


def limit_of(value: float | None) -> float | None:
    """A setting as a limit: null and 0 turn it off."""
    return value if value else None


def of_host(c: Any) -> list[Threshold]:
    """The thresholds of a machine's settings (monitors/checks/host.py)."""
    on = limit_of
    return [
        Threshold("cpu_percent", CPU, "CPU", " %", on(c.cpu_percent), on(c.cpu_critical_percent), c.cpu_minutes, 5),
        Threshold("iowait_percent", CPU, "I/O wait", " %", on(c.iowait_percent), None, c.iowait_minutes, 5),
        Threshold("load5_per_core", CPU, "Load per core", "", on(c.load_per_core), None, c.load_minutes, 0.25),
        Threshold("temperature", CPU, "Temperature", " °C", on(c.temperature), on(c.temperature_critical), c.temperature_minutes, 3),
        Threshold("memory_percent", MEMORY, "Memory", " %", on(c.memory_percent), on(c.memory_critical_percent), c.memory_minutes, 3),
        Threshold("swap_percent", MEMORY, "Swap", " %", on(c.swap_percent), None, c.swap_minutes, 5),
        Threshold("disk_percent", DISK, "Disk", " %", on(c.disk_percent), on(c.disk_critical_percent), c.disk_minutes, 2),
        Threshold("inode_percent", DISK, "Inodes of disk", " %", on(c.inode_percent), on(c.inode_critical_percent), c.disk_minutes, 2),
        Threshold("disk_full_in_hours", DISK, "Time left on disk", " h", on(c.disk_full_in_hours), on(c.disk_full_in_hours_critical), c.disk_full_minutes, 6, True),
    ]  # fmt: skip


def of_container(cpu: float | None, memory: float | None, minutes: float) -> list[Threshold]:
    """The thresholds of one container: percent of one processor, percent of its memory limit."""
    return [
        Threshold("cpu_percent", CPU, "CPU", " %", limit_of(cpu), None, minutes, 5),
        Threshold("memory_percent", MEMORY, "Memory", " %", limit_of(memory), None, minutes, 3),
    ]
