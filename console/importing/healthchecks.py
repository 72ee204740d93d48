"""Which heartbeats does a Healthchecks project have? From the answer of `GET /api/v3/checks/` (v1 and v2 are read as well)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.validators import validate_slug

from console.importing.draft import Draft, Foreign, Line, number, tag, text
from console.importing.kuma_files import read_json, rows_of
from monitors.checks.heartbeat import cron_fields

EMAIL = ("start_kw", "success_kw", "failure_kw", "subject", "subject_fail")


def read(path: Path) -> list[dict[str, Any]]:
    """The checks of a file. Raises Foreign."""
    data = read_json(path, "the JSON of GET /api/v3/checks/")
    checks = data.get("checks") if isinstance(data, dict) else data
    if not isinstance(checks, list):
        raise Foreign(f"{path} is JSON, but not the answer of GET /api/v3/checks/: it has no “checks”.")
    return rows_of(checks, "checks")


def draft(checks: list[dict[str, Any]], client: str) -> Draft:
    """The document of all of them."""
    found, slugs = Draft(client, "Healthchecks"), set[str]()
    for check in checks:
        line = found.line(
            "check", check.get("name") or check.get("slug") or text(check.get("unique_key") or check.get("uuid"))[:8]
        )
        config = _when(line, check)
        if config is not None:
            found.monitor(line, "heartbeat", line.name, config, **_fields(line, check, slugs))
    integrations = {word for check in checks for word in text(check.get("channels"), 4000).split(",") if word}
    if integrations:
        line = found.line("integrations", f"{len(integrations)} of them")
        line.leave(
            "The list of checks names integrations by their ids only: make channels, and a trigger that names them."
        )
    return found


def _when(line: Line, check: dict[str, Any]) -> dict[str, Any] | None:
    grace = int(number(check.get("grace")) or 0)
    schedule = text(check.get("schedule"), 200)
    if not schedule:
        return {"period_seconds": int(number(check.get("timeout")) or 0), "grace_seconds": grace}
    try:
        cron_fields(schedule)
    except ValueError as error:
        line.leave(
            f"Its schedule “{schedule}” is none that is understood here ({error}); give it a period, or five cron fields."
        )
        return None
    return {"schedule": schedule, "timezone": text(check.get("tz"), 64) or "UTC", "grace_seconds": grace}


def _fields(line: Line, check: dict[str, Any], slugs: set[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {"tags": _tags(check.get("tags")), "slug": _slug(line, check, slugs)}
    notes = check.get("desc")
    fields["notes"] = notes.strip()[:4000] if isinstance(notes, str) else ""
    if check.get("status") == "paused":
        fields["enabled"] = False
    line.note("It has a new address: change what calls the old one.")
    if check.get("methods") == "POST":
        line.note("It took only POST; here GET counts as well.")
    if any(check.get(name) for name in EMAIL) or any(
        check.get(n) for n in ("filter_subject", "filter_body", "filter_http_body")
    ):
        line.note(
            "Words in mails and bodies are not looked for here: the ping itself says how it went (/fail, /start)."
        )
    if check.get("manual_resume"):
        line.note("A paused check stays paused here only until somebody resumes it; pings do not count meanwhile.")
    return fields


def _slug(line: Line, check: dict[str, Any], slugs: set[str]) -> str:
    slug = text(check.get("slug"), 60)
    try:
        validate_slug(slug)
    except Exception:  # noqa: BLE001 - a foreign slug that we do not take is made anew from the name
        return ""
    if slug in slugs:
        line.note(f"Another check has the slug {slug} too; this one gets a new one.")
        return ""
    slugs.add(slug)
    return slug


def _tags(value: Any) -> list[str]:
    return list(dict.fromkeys(filter(None, (tag(word) for word in text(value, 1000).replace(",", " ").split()))))
