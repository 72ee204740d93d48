"""Is a container unwell, and in what way? From its last picture and this one to what is to be told. Pure.

A container that ended with success and is not meant to run is a finished job. What was already lying there, long ended,
when it was seen first, is history and not news.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from monitors.hosts import thresholds

WINDOW = timedelta(minutes=10)
LOOP, LOOP_CRITICAL = 3, 9  # restarts within the window
NEWS = timedelta(hours=1)  # ended longer ago than this when first seen: history
MOST_RESTARTS = 50
KEEPS_RUNNING = frozenset(("always", "unless-stopped"))
SEVERITIES = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for one container: the monitor's settings, and its own labels over them."""

    severity: str = "warning"
    cpu_percent: float | None = None
    memory_percent: float | None = None
    minutes: float = 10
    updates: bool = True


def rules_for(rules: Rules, labels: Mapping[str, str]) -> Rules:
    """The monitor's rules with the container's labels (`watchkeeper.severity`, `.cpu_percent`, `.memory_percent`, `.updates`)."""
    severity = labels.get("severity", "").strip().lower()
    return Rules(
        severity=severity if severity in SEVERITIES else rules.severity,
        cpu_percent=_labelled(labels.get("cpu_percent"), rules.cpu_percent),
        memory_percent=_labelled(labels.get("memory_percent"), rules.memory_percent),
        minutes=rules.minutes,
        updates=rules.updates and labels.get("updates", "").strip().lower() not in ("off", "false", "no", "0"),
    )


def _labelled(text: str | None, default: float | None) -> float | None:
    if text is None:
        return default
    if text.strip().lower() in ("off", "no", "none", "false"):
        return None
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        return default
    return value if 0 <= value < 1e6 else default


@dataclass(frozen=True, slots=True)
class Said:
    """One condition of one container: what is wrong with it, or (not `failing`) that it is over."""

    condition: str
    source: str
    event: str
    failing: bool
    severity: str = "warning"
    title: str = ""  # with {} for the name
    message: str = ""
    quiet: bool = False


@dataclass(slots=True)
class Judged:
    """What to tell, and what to remember until the next look."""

    said: list[Said] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict)
    restarts: list[str] = field(default_factory=list)


# Under which source and event each condition is told.
EVENTS = {
    "state": ("container", "down"),
    "restarts": ("container", "restart_loop"),
    "healthcheck": ("container", "health_unhealthy"),
    "update": ("update", "available"),
    "cpu_percent": ("resource", thresholds.CPU),
    "memory_percent": ("resource", thresholds.MEMORY),
}


def judge(
    now: Mapping[str, Any], kept: Mapping[str, Any], restarts: Sequence[str], rules: Rules, at: datetime
) -> Judged:
    """One more look at a container. `kept` and `restarts` are what the last look left."""
    first = not kept
    again = kept.get("id") == now["id"]
    times = _restarts(now, kept, restarts, at) if again else [t for t in restarts if _recent(t, at)]
    ran = bool(kept.get("ran")) or now["state"] in ("running", "restarting", "paused")
    open_before = set(kept.get("open", ()))
    told: dict[str, Said | None] = {}  # None: neither wrong nor over

    loop = len(times) >= LOOP or ("restarts" in open_before and bool(times))
    told["restarts"] = _loop(now, times) if loop else Said("restarts", *EVENTS["restarts"], False)
    if loop:
        told["state"] = None if "state" in open_before else Said("state", *EVENTS["state"], False)
    else:
        told["state"] = _state(now, rules, ran=ran, first=first, at=at)
    told["healthcheck"] = _health(now, rules)
    told["update"] = _update(now, rules)
    limits = thresholds.of_container(rules.cpu_percent, rules.memory_percent, rules.minutes)
    values = {n: v for n, v in now.get("values", {}).items() if n in ("cpu_percent", "memory_percent")}
    crossed, findings = thresholds.judge(values, kept.get("crossed") or {}, limits, at)
    for name in ("cpu_percent", "memory_percent"):
        found = next((f for f in findings if f.name == name), None)
        told[name] = _figure(found) if found is not None else Said(name, *EVENTS[name], False)

    still_open = {c for c, s in told.items() if (s.failing if s is not None else c in open_before)}
    said = [s for c, s in told.items() if s is not None and (s.failing or c in open_before)]
    kept_now = {
        "id": now["id"],
        "restart_count": now["restart_count"],
        "ran": ran,
        "open": sorted(still_open),
        "crossed": crossed,
    }
    return Judged(said, kept_now, times)


def gone(kept: Mapping[str, Any]) -> Judged:
    """It was taken away: what was open about it ends without a word."""
    said = [Said(c, *EVENTS[c], False, quiet=True) for c in kept.get("open", ()) if c in EVENTS]
    return Judged(said, {**kept, "open": [], "crossed": {}}, [])


def _restarts(now: Mapping[str, Any], kept: Mapping[str, Any], before: Sequence[str], at: datetime) -> list[str]:
    """When it restarted within the window. The engine counts; a count that fell was begun anew by hand."""
    more = max(0, now["restart_count"] - int(kept.get("restart_count", 0)))
    began = moment(now.get("started_at")) if now["state"] == "running" else None
    newest = began.isoformat() if began is not None and at - WINDOW < began <= at else at.isoformat()
    return [t for t in [*before, *([newest] * min(more, MOST_RESTARTS))] if _recent(t, at)][-MOST_RESTARTS:]


def _recent(text: str, at: datetime) -> bool:
    when = moment(text)
    return when is not None and at - when < WINDOW


def _loop(now: Mapping[str, Any], times: Sequence[str]) -> Said:
    severity = "critical" if len(times) >= LOOP_CRITICAL else "warning"
    message = f"{len(times)} restarts within 10 minutes; {_ending(now)}."
    return Said("restarts", *EVENTS["restarts"], True, severity, "Container {} keeps restarting", message)


def _state(now: Mapping[str, Any], rules: Rules, *, ran: bool, first: bool, at: datetime) -> Said | None:
    well = Said("state", *EVENTS["state"], False)
    if now["state"] in ("running", "paused"):
        return well
    if now["state"] not in ("exited", "dead"):
        return None  # created, restarting, removing: on its way to something
    meant = now["policy"] in KEEPS_RUNNING
    ended = moment(now.get("finished_at"))
    news = ran or (ended is not None and at - ended < NEWS)
    if not meant and not (now["exit_code"] and news):
        return well
    if first and meant and not now["exit_code"] and not news:
        return well  # stopped by hand, long ago
    message = f"{_ending(now)}{'; its restart policy says that it is to run' if meant else ''}."
    return Said(
        "state", *EVENTS["state"], True, rules.severity, "Container {} is down", message[:1].upper() + message[1:]
    )


def _ending(now: Mapping[str, Any]) -> str:
    """How it ended the last time."""
    if now.get("oom_killed"):
        return "it was killed because it ran out of memory (OOM)"
    code = now["exit_code"]
    if now["state"] == "running" and not code:
        return "it runs again now"
    meaning = {137: " (killed)", 139: " (segmentation fault)", 143: " (asked to stop)"}.get(code, "")
    return f"it ended with exit code {code}{meaning}"


def _health(now: Mapping[str, Any], rules: Rules) -> Said | None:
    if now["health"] == "unhealthy" and now["state"] == "running":
        message = "Its own health check fails."
        return Said("healthcheck", *EVENTS["healthcheck"], True, rules.severity, "Container {} is unhealthy", message)
    if now["health"] == "starting":
        return None  # neither well nor unwell yet
    return Said("healthcheck", *EVENTS["healthcheck"], False)


def _update(now: Mapping[str, Any], rules: Rules) -> Said | None:
    found = now.get("update")
    if found is None and rules.updates:
        return None  # nobody knows yet
    if not found or not rules.updates:
        return Said("update", *EVENTS["update"], False)
    if found.get("major"):
        what, severity = f"another major version, {found['tag']}, is there", "critical"
    elif found.get("digest"):
        what, severity = f"its tag {found['tag']} was published anew", "info"
    else:
        what, severity = f"{found['tag']} is there", "info"
    message = f"It runs {now['image']}; {what}."
    return Said("update", *EVENTS["update"], True, severity, "Newer image for container {}", message)


def _figure(f: thresholds.Finding) -> Said:
    title, message = f.words("container {}")
    return Said(f.name, *EVENTS[f.name], f.failing, f.severity, title, message)


def moment(text: Any) -> datetime | None:
    """A time with its zone, or None."""
    try:
        found = datetime.fromisoformat(text) if text else None
    except (TypeError, ValueError):
        return None
    return found if found is not None and found.tzinfo is not None else None
