"""What is to be known of a container? From what the engine says to a small picture of it. Pure.

A picture is what travels to the portal: {"name", "id", "image", "digest", "state", "health", "restart_count", "policy",
"exit_code", "oom_killed", "started_at", "finished_at", "values", "labels", "log", "update"}.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

LABELS = "watchkeeper."
MOST_LABELS, LONGEST_LABEL = 20, 200
LONGEST_LINE, LONGEST_LOG = 500, 6000
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


@dataclass(frozen=True, slots=True)
class Counters:
    """What a container had used at one look: processor time in ns, and when (time.monotonic)."""

    instant: float
    cpu: int


def picture(inspected: Mapping[str, Any]) -> dict[str, Any]:
    """The picture of one container from `GET /containers/{id}/json`."""
    state, config = _map(inspected.get("State")), _map(inspected.get("Config"))
    policy = _map(_map(inspected.get("HostConfig")).get("RestartPolicy"))
    found: dict[str, Any] = {
        "name": name_of(str(inspected.get("Name", ""))),
        "id": str(inspected.get("Id", ""))[:64],
        "image": plain(str(config.get("Image", "")))[:300],
        "state": str(state.get("Status", "unknown"))[:16],
        "health": health_of(state),
        "restart_count": _int(inspected.get("RestartCount")),
        "policy": str(policy.get("Name") or "no")[:20],
        "exit_code": _int(state.get("ExitCode")),
        "oom_killed": bool(state.get("OOMKilled")),
        "labels": labels_of(config.get("Labels")),
        "values": {},
    }
    for key, theirs in (("started_at", "StartedAt"), ("finished_at", "FinishedAt")):
        text = str(state.get(theirs) or "")
        if text and not text.startswith("0001-"):  # the engine's word for never
            found[key] = _moment(text)
    return found


def name_of(text: str) -> str:
    """`/shop-db` as people call it."""
    return plain(text.lstrip("/"))[:200]


def health_of(state: Mapping[str, Any]) -> str:
    """healthy, unhealthy, starting; empty where it has no check of its own."""
    word = str(_map(state.get("Health")).get("Status", ""))
    return word if word in ("healthy", "unhealthy", "starting") else ""


def labels_of(labels: Any) -> dict[str, str]:
    """Those that are meant for us: `watchkeeper.severity` as `severity`."""
    ours = {str(k): str(v) for k, v in _map(labels).items() if str(k).startswith(LABELS)}
    return {plain(k.removeprefix(LABELS))[:60]: plain(v)[:LONGEST_LABEL] for k, v in sorted(ours.items())[:MOST_LABELS]}


def is_wanted(name: str, labels: Mapping[str, str], include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Is this container to be watched? A label `watchkeeper.ignore` says no, patterns such as `shop-*` decide the rest."""
    if labels.get("ignore", "").strip().lower() not in ("", "0", "false", "no"):
        return False
    if include and not any(fnmatchcase(name, pattern) for pattern in include):
        return False
    return not any(fnmatchcase(name, pattern) for pattern in exclude)


def usage(
    stats: Mapping[str, Any], before: Counters | None, instant: float
) -> tuple[dict[str, float], Counters | None]:
    """(values, counters for the next look) from `GET /containers/{id}/stats`.

    cpu_percent is of one processor (250 = two and a half); memory leaves out what the kernel would give back at once.
    """
    values: dict[str, float] = {}
    cpu, memory = _map(stats.get("cpu_stats")), _map(stats.get("memory_stats"))
    used = _int(_map(cpu.get("cpu_usage")).get("total_usage"))
    counters = Counters(instant, used) if used else None
    if counters is not None and before is not None and used >= before.cpu and instant - before.instant >= 0.5:
        values["cpu_percent"] = round((used - before.cpu) / 1e7 / (instant - before.instant), 1)
    taken, most, detail = _int(memory.get("usage")), _int(memory.get("limit")), _map(memory.get("stats"))
    if taken:
        idle = _int(detail.get("total_inactive_file", detail.get("inactive_file")))
        taken = max(0, taken - idle) if idle < taken else taken
        values["memory_bytes"] = float(taken)
        if most:
            values["memory_limit_bytes"] = float(most)
            values["memory_percent"] = round(taken / most * 100, 1)
    return values, counters


def tail(text: str, lines: int) -> str:
    """The last lines of a log that may be shown: no colours, no control characters, bounded."""
    kept = [plain(_ESCAPES.sub("", line))[:LONGEST_LINE] for line in text.splitlines()[-lines:]]
    whole = "\n".join(kept).strip("\n")
    return whole if len(whole) <= LONGEST_LOG else "…" + whole[-LONGEST_LOG + 1 :]


def plain(text: str) -> str:
    """Printable characters only; a tab is a blank."""
    return "".join(c if c.isprintable() else " " if c == "\t" else "" for c in text)


def has_died(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> bool:
    """Did it end since the last look? Restarted by its policy, started again since, or not running any more.

    Of one that is seen for the first time, only that it does not run and failed.
    """
    if before is None or before.get("id") != now.get("id"):
        return now["state"] in ("exited", "dead", "restarting") and bool(now["exit_code"])
    if now["restart_count"] > before["restart_count"]:
        return True
    return bool(before["state"] == "running" and now["state"] in ("exited", "dead", "restarting"))


def _moment(text: str) -> str:
    """RFC 3339 with microseconds: the engine writes nanoseconds."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    return f"{found[1]}{(found[2] or '')[:7]}{'+00:00' if found[3] == 'Z' else found[3]}" if found else ""


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _int(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0
