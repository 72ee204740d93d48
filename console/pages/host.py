"""How is the machine behind a monitor, and how are its containers? The part of a monitor's page for these two kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from console.pages import host_chart
from monitors import checks, container_findings
from monitors.hosts import judging, thresholds
from monitors.models import Container, Host, HostSample, Monitor
from portal import charts

WINDOWS = {"24h": timedelta(hours=24), "7d": timedelta(days=7)}
PICTURES = (  # figure, what people read, unit, the top of the axis
    ("cpu_percent", "CPU", " %", 100.0),
    ("memory_percent", "Memory", " %", 100.0),
    ("load5_per_core", "Load per processor", "", None),
)
MOST_DISKS, MOST_ROWS = 12, 200
LOOKS = {"restarting": ("degraded", "Restarting"), "paused": ("paused", "Paused"), "created": ("pending", "Created"), "gone": ("unknown", "Taken away")}  # fmt: skip
WORST_FIRST = ("down", "degraded", "pending", "up", "paused", "unknown")


def section(request: HttpRequest, m: Monitor, at: datetime) -> dict[str, Any]:
    """What the template needs for a machine (`machine`) or for containers (`boxes`); nothing for other kinds."""
    if m.kind == "host":
        return {"machine": machine(m, request.GET.get("window", ""), at)}
    if m.kind == "container":
        return {"boxes": boxes(m)}
    return {}


def machine(m: Monitor, window: str, at: datetime) -> dict[str, Any]:
    """Its facts, its crossed thresholds, its figures now and over the window (a day, or the week that is kept)."""
    window = window if window in WINDOWS else "24h"
    h = Host.objects.filter(monitor=m).first()
    samples = seen_in(m, at - WINDOWS[window])
    now: Mapping[str, float] = samples[-1][1] if samples else {}
    limits = limits_of(m)
    zone = timezone.get_current_timezone()
    return {
        "facts": h.facts if h else {},
        "seen_at": h.seen_at if h else None,
        "now": now,
        "window": window,
        "windows": list(WINDOWS),
        "crossed": crossed(h, now, limits) if h else [],
        "pictures": [
            {
                "title": noun,
                "now": f"{now[figure]:.3g}{unit}" if figure in now else "",
                "chart": host_chart.course(
                    [(when, v[figure]) for when, v in samples if figure in v], noun, unit,
                    since=at - WINDOWS[window], until=at, zone=zone, limit=limits.get(figure), most=most,
                ),
            }
            for figure, noun, unit, most in PICTURES
        ],
        "disks": disks(now, samples, limits.get("disk_percent")),
        "wires": pairs(now, "received_per_second", "sent_per_second"),
        "temperatures": sorted((k.partition(":")[2], v) for k, v in now.items() if k.startswith("temperature:")),
        "booted_at": at - timedelta(seconds=now["uptime_seconds"]) if "uptime_seconds" in now else None,
    }  # fmt: skip


def seen_in(m: Monitor, since: datetime) -> list[tuple[datetime, dict[str, float]]]:
    """Its samples since then, oldest first, no more than a picture shows; the newest is always among them."""
    ids = list(HostSample.objects.filter(monitor=m, at__gte=since).order_by("-at").values_list("pk", flat=True))
    step = max(1, -(-len(ids) // host_chart.POINTS))
    return list(HostSample.objects.filter(pk__in=ids[::step]).order_by("at").values_list("at", "values"))


def limits_of(m: Monitor) -> dict[str, float | None]:
    """The first limit of each figure."""
    try:
        return {t.figure: t.warning for t in thresholds.of_host(checks.parse(m.kind, m.config))}
    except ValueError:  # its settings no longer fit; the page says so elsewhere
        return {}


def crossed(h: Host, now: Mapping[str, float], limits: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """What is too high now: those that speak first, then those whose minutes are not over yet."""
    words = {t.figure: t for t in thresholds.of_host(checks.parse("host", {}))}
    found = []
    for name, entry in h.crossed.items():
        figure, _, which = name.partition(":")
        t = words.get(figure)
        if t is None or name not in now:
            continue
        limit = limits.get(figure)
        found.append(
            {
                "noun": f"{t.noun} {which}".strip(),
                "value": f"{now[name]:.3g}{t.unit}",
                "limit": f"{limit:g}{t.unit}" if limit is not None else "",
                "level": entry.get("level", ""),
                "tone": {"critical": "down", "warning": "degraded"}.get(entry.get("level", ""), "pending"),
                "since": judging.moment(entry.get("since")),
            }
        )
    return sorted(found, key=lambda row: (("critical", "warning", "").index(row["level"]), row["noun"]))


def disks(
    now: Mapping[str, float], samples: Sequence[tuple[datetime, Mapping[str, float]]], limit: float | None
) -> list[dict[str, Any]]:
    """Each disk, the fullest first."""
    found: list[dict[str, Any]] = []
    for name, percent in now.items():
        if not name.startswith("disk_percent:"):
            continue
        mount = name.partition(":")[2]
        hours = now.get(f"disk_full_in_hours:{mount}")
        found.append(
            {
                "mount": mount,
                "percent": percent,
                "tone": "degraded" if limit is not None and percent >= limit else "",
                "used": now.get(f"disk_used_bytes:{mount}"),
                "total": now.get(f"disk_total_bytes:{mount}"),
                "inodes": now.get(f"inode_percent:{mount}"),
                "full": f"{hours:.0f} h"
                if hours is not None and hours < 72
                else f"{hours / 24:.0f} days"
                if hours
                else "",
                "line": charts.sparkline([v.get(name) for _, v in samples], f"Disk {mount}", "%"),
            }
        )
    return sorted(found, key=lambda row: row["percent"], reverse=True)[:MOST_DISKS]


def pairs(now: Mapping[str, float], first: str, second: str) -> list[tuple[str, float, float]]:
    """(interface, bytes in, bytes out) per second."""
    names = [k.partition(":")[2] for k in now if k.startswith(f"{first}:")]
    return [(n, now[f"{first}:{n}"], now.get(f"{second}:{n}", 0.0)) for n in names]


# --- Containers -----------------------------------------------------------------------------------------------------------
def boxes(m: Monitor) -> dict[str, Any]:
    """Its containers, what is unwell first, and how many are in which state."""
    rows = [boxed(c) for c in Container.objects.filter(monitor=m).order_by("name")[:MOST_ROWS]]
    rows.sort(key=lambda row: (WORST_FIRST.index(row["tone"]), row["row"].name))
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["word"]] = counts.get(row["word"], 0) + 1
    return {"rows": rows, "counts": list(counts.items())}


def boxed(c: Container) -> dict[str, Any]:
    """One container in words."""
    tone, word = looks(c)
    numbers = container_findings.figures_of(c)
    return {
        "row": c,
        "tone": tone,
        "word": word,
        "cpu": numbers.get("cpu_percent"),
        "memory": numbers.get("memory_bytes"),
        "memory_percent": numbers.get("memory_percent"),
        "restarts": len(c.restarts),
        "log": c.last_log,
    }


def looks(c: Container) -> tuple[str, str]:
    """(one of the seven states, word) of a container."""
    if c.state == "running":
        return ("degraded", "Unhealthy") if c.health == "unhealthy" else ("up", "Running")
    if c.state in ("exited", "dead"):
        if "state" not in (c.values.get("kept") or {}).get("open", ()) and not c.exit_code:
            return "paused", "Finished"
        return "down", "Out of memory" if c.oom_killed else f"Ended with {c.exit_code}"
    return LOOKS.get(c.state, ("unknown", c.state.capitalize()))
