"""What follows from what was seen of a machine's containers? Their rows, and alerts about those that are unwell.

Each container is a row of its own by its name, whatever it is made anew from: `container:42` stays its scope. What one
look leaves for the next (how often it had restarted, which alerts are open) stands in `values["kept"]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from alerts.report import Report, report
from monitors import checks, store, subjects
from monitors.host_findings import all_or_each, cleaned, is_news, locked, numbers
from monitors.hosts import judging
from monitors.hosts.containers import LONGEST_LOG, plain
from monitors.models import Container, Monitor

MOST = 200
NEVER_KEPT = "unread"
FIELDS = (
    "runtime_id", "image", "digest", "state", "health", "restarts", "values", "labels", "update", "exit_code", "oom_killed", "last_log", "started_at", "seen_at",
)  # fmt: skip


def note(done: Sequence[store.Done]) -> None:
    """Keep the containers among accepted results, and say what is wrong with them."""
    all_or_each([d for d in done if isinstance(d.outcome.facts.get("containers"), dict)], _keep)


def _keep(done: list[store.Done]) -> None:
    monitors, hosts = locked(done)
    reports: list[Report] = []
    for d in sorted(done, key=lambda d: d.at):
        m, h = monitors.get(d.claim.monitor), hosts.get(d.claim.monitor)
        if m is None or h is None or m.kind != "container" or not is_news(h, d):
            continue
        reports += _look(m, d.outcome.facts["containers"], d.at)
        h.facts, h.seen_at = {"probe": d.claim.probe}, d.at
        h.save(update_fields=["facts", "seen_at"])
    report(reports)


def _look(m: Monitor, seen: Mapping[str, Any], at: datetime) -> list[Report]:
    try:
        config: Any = checks.parse(m.kind, m.config)
    except ValueError:
        return []
    listed = seen.get("list")
    pictures = {p["name"]: p for p in map(pictured, listed[:MOST] if isinstance(listed, list) else ()) if p}
    rows = {c.name: c for c in Container.objects.filter(monitor=m).order_by("pk").select_for_update()}
    base = judging.Rules(config.severity, config.cpu_percent, config.memory_percent, config.minutes, config.updates)
    new, changed = [], []
    said: list[tuple[Container, judging.Said]] = []
    for name, picture in pictures.items():
        if picture.get(NEVER_KEPT):
            continue
        row = rows.get(name)
        if row is None:
            row = Container(monitor=m, name=name)
            new.append(row)
        else:
            changed.append(row)
        kept = row.values.get("kept") or {}
        judged = judging.judge(picture, kept, row.restarts, judging.rules_for(base, picture["labels"]), at)
        _write(row, picture, judged, at)
        said += [(row, s) for s in judged.said]
    if not seen.get("cut"):
        for name, row in rows.items():
            if name not in pictures and row.state != "gone":
                judged = judging.gone(row.values.get("kept") or {})
                row.state, row.health, row.values = "gone", "", {"kept": judged.kept}
                changed.append(row)
                said += [(row, s) for s in judged.said]
    Container.objects.bulk_create(new)
    Container.objects.bulk_update(changed, FIELDS, batch_size=50)
    return [_report(m, row, s, at) for row, s in said]


def _write(row: Container, picture: Mapping[str, Any], judged: judging.Judged, at: datetime) -> None:
    row.runtime_id, row.image, row.digest = picture["id"], picture["image"], picture["digest"]
    row.state, row.health = picture["state"], picture["health"]
    row.restarts, row.labels = judged.restarts, picture["labels"]
    row.values = {**picture["values"], "kept": judged.kept}
    row.exit_code, row.oom_killed = picture["exit_code"], picture["oom_killed"]
    row.started_at, row.seen_at = judging.moment(picture.get("started_at")), at
    if picture.get("update") is not None:
        row.update = picture["update"]
    if picture.get("log"):
        row.last_log = picture["log"]


def figures_of(c: Container) -> dict[str, float]:
    """A container's numbers, without what is remembered of it from look to look."""
    return {k: v for k, v in c.values.items() if k != "kept"}


def _report(m: Monitor, c: Container, s: judging.Said, at: datetime) -> Report:
    """About a container: whose it is and how it is tagged is its monitor's."""
    return Report(
        source=s.source, condition=s.condition, event=s.event, entity_type="container", entity_id=str(c.pk), entity_name=c.name, failing=s.failing, at=at,
        severity=s.severity, title=s.title.format(c.name), message=s.message, client_id=m.client_id, site_id=m.site_id, service_id=m.service_id, monitor_id=m.pk,
        kind="container", target=c.image if s.failing else "", tags=subjects.tags_of(m) if s.failing else [], parent=f"monitor:{m.pk}", quiet=s.quiet,
        evidence=_evidence(c) if s.failing else {},
    )  # fmt: skip


def _evidence(c: Container) -> dict[str, Any]:
    found: dict[str, Any] = {"image": c.image}
    if c.exit_code:
        found["exit_code"] = c.exit_code
    return found | ({"out_of_memory": "yes"} if c.oom_killed else {})


def pictured(raw: Any) -> dict[str, Any] | None:
    """One container as it was sent, with nothing in it that is not as it must be; None where it has no name."""
    if not isinstance(raw, dict) or not (name := _text(raw, "name", 200)):
        return None
    if raw.get(NEVER_KEPT):
        return {"name": name, NEVER_KEPT: True}
    update, labels = raw.get("update"), raw.get("labels")
    found: dict[str, Any] = {
        "name": name,
        "id": _text(raw, "id", 64),
        "image": _text(raw, "image", 300),
        "digest": _text(raw, "digest", 100),
        "state": _text(raw, "state", 16) or "unknown",
        "health": _text(raw, "health", 16),
        "policy": _text(raw, "policy", 20),
        "restart_count": _whole(raw.get("restart_count")),
        "exit_code": _whole(raw.get("exit_code")),
        "oom_killed": raw.get("oom_killed") is True,
        "started_at": _text(raw, "started_at", 40),
        "finished_at": _text(raw, "finished_at", 40),
        "values": dict(list(numbers(raw.get("values")).items())[:20]),
        "labels": {k: str(v) for k, v in cleaned(labels).items()} if isinstance(labels, dict) else {},
        "update": None,
        "log": "",
    }
    if isinstance(update, dict):
        tag, digest = _text(update, "tag", 128), _text(update, "digest", 100)
        found["update"] = {"tag": tag, "digest": digest, "major": update.get("major") is True} if tag else {}
    if isinstance(raw.get("log"), str):
        found["log"] = "\n".join(plain(line) for line in raw["log"][:LONGEST_LOG].splitlines())
    return found


def _text(raw: Mapping[str, Any], name: str, longest: int) -> str:
    value = raw.get(name)
    return plain(value)[:longest] if isinstance(value, str) else ""


def _whole(value: Any) -> int:
    return max(-(2**31), min(2**31 - 1, value)) if isinstance(value, int) and not isinstance(value, bool) else 0
