"""What may this program use, where a container or a slice gives it less than the whole machine?

Inside a container the root of /sys/fs/cgroup is the container's own group; on a machine that files its own limits there
has none, and the machine's figures hold. Both versions of the interface are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
NO_LIMIT = 1 << 60  # version 1 writes a number near 2**63 where there is none


@dataclass(frozen=True, slots=True)
class Limits:
    """What is granted and used. None: the machine's own figure holds."""

    memory_bytes: int | None = None
    memory_used_bytes: int | None = None
    processors: float | None = None
    cpu_seconds: float | None = None  # used since the group was made


def read(root: Path = ROOT) -> Limits:
    """The limits of the group this program sees as its root."""
    return _second(root) if (root / "cgroup.controllers").exists() else _first(root)


def _second(root: Path) -> Limits:
    most, used = _number(root / "memory.max"), _number(root / "memory.current")
    quota, _, period = _text(root / "cpu.max").partition(" ")
    processors = int(quota) / int(period) if quota.isdigit() and period.strip().isdigit() and int(period) else None
    spent = _named(root / "cpu.stat").get("usage_usec")
    cached = _named(root / "memory.stat").get("inactive_file", 0)
    return Limits(
        memory_bytes=most,
        memory_used_bytes=max(0, used - cached) if most is not None and used is not None else None,
        processors=processors,
        cpu_seconds=spent / 1e6 if spent is not None and processors is not None else None,
    )


def _first(root: Path) -> Limits:
    memory, cpu = root / "memory", root / "cpu"
    most, used = _number(memory / "memory.limit_in_bytes"), _number(memory / "memory.usage_in_bytes")
    if most is not None and most >= NO_LIMIT:
        most = None
    quota, period = _number(cpu / "cpu.cfs_quota_us"), _number(cpu / "cpu.cfs_period_us")
    processors = quota / period if quota and quota > 0 and period else None
    spent = _number(root / "cpuacct" / "cpuacct.usage")
    cached = _named(memory / "memory.stat").get("total_inactive_file", 0)
    return Limits(
        memory_bytes=most,
        memory_used_bytes=max(0, used - cached) if most is not None and used is not None else None,
        processors=processors,
        cpu_seconds=spent / 1e9 if spent is not None and processors is not None else None,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.lstrip("-").isdigit() else None


def _named(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {p[0]: int(p[1]) for p in pairs if len(p) == 2 and p[1].isdigit()}
