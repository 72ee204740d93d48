"""What was learned? A draft made from the timeline, then a person's text: edited by one at a time, finished, exported.

draft(story)                                    -> Markdown; pure
open_for(incident, text, by=…, at=…)            -> its post-mortem, begun with the draft when there is none
save(row, body=…, version=…, by=…, at=…)        -> Conflict when somebody else saved meanwhile
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import transaction

from incidents import engine, sla
from incidents.blocks import blocks_of, says
from incidents.documents import pdf as typeset
from incidents.models import Incident, Postmortem
from incidents.services import note
from incidents.spelling import literal
from incidents.timeline import for_everybody
from monitors.models import Monitor
from portal import audit
from portal.audit import Actor
from portal.errors import Refused

LIMIT = 60_000  # characters
MOST_ROWS = 120  # of the draft's table
HAPPENED = frozenset((
    "opened", "joined", "acknowledged", "update", "alert_resolved", "resolved", "reopened", "merged", "left", "state", "published", "withdrawn",
))  # fmt: skip


class Conflict(Refused):
    """Somebody saved it meanwhile; `row` is what stands now."""

    def __init__(self, row: Postmortem) -> None:
        super().__init__(
            f"{row.updated_by or 'Somebody'} saved version {row.version} meanwhile; your text was not saved over it."
        )
        self.row = row


# --- Times --------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Moment:
    """One of an incident's times: what, when, how it is known, and how long after the beginning."""

    name: str
    label: str
    at: datetime | None
    known: str
    after: str


def moments(incident: Incident) -> list[Moment]:
    """Began, detected, acknowledged, mitigated, resolved; each with how it is known and how long after the beginning."""
    by = incident.times_known_by
    began = incident.began_at or incident.created_at
    rows = (
        ("began", "Began", began, by.get("began_at", "alert")),
        ("detected", "Detected", incident.created_at, "alert" if incident.auto_created else "person"),
        ("acknowledged", "Acknowledged", incident.acknowledged_at, "person"),
        ("mitigated", "Mitigated", incident.mitigated_at, by.get("mitigated_at", "person")),
        ("resolved", "Resolved", incident.resolved_at, "person" if incident.taken_over else "recovery"),
    )
    found = []
    for name, label, at, known in rows:
        after = sla.words((at - began).total_seconds()) if at is not None and name != "began" else ""
        found.append(Moment(name, label, at, engine.KNOWN_BY.get(known, known) if at is not None else "", after))
    return found


# --- The draft ------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Story:
    """All that a draft is made from. `entries` as `incidents.timeline` gives them, oldest first."""

    title: str
    severity: str
    client: str = ""
    service: str = ""
    lead: str = ""
    zone: str = "UTC"
    affected: Sequence[str] = ()
    moments: Sequence[Moment] = ()
    entries: Sequence[dict[str, Any]] = field(default_factory=tuple)


def draft(story: Story) -> str:
    """The Markdown of a first draft: what is known stands there, what only people know is an empty section. Pure."""
    tz = ZoneInfo(story.zone)
    about = [("Severity", story.severity), ("Client", story.client), ("Service", story.service), ("Led by", story.lead)]
    lines = [f"# {literal(story.title)}", ""]
    lines += [f"- {label}: {literal(value)}" for label, value in about if value]
    if story.affected:
        lines.append(f"- Affected: {', '.join(map(literal, story.affected))}")
    lines += [
        "",
        "## Summary",
        "",
        "",
        "## Times",
        "",
        f"| | When ({literal(story.zone)}) | After it began | How it is known |",
        "|---|---|---|---|",
    ]
    for m in story.moments:
        when = f"{m.at.astimezone(tz):%Y-%m-%d %H:%M:%S}" if m.at else "not known"
        lines.append(f"| {m.label} | {when} | {m.after} | {m.known} |")
    told = [e for e in story.entries if e["kind"] == "page"]
    happened = [e for e in story.entries if e["kind"] in HAPPENED]
    verdicts = [e for e in story.entries if e["kind"] == "verdict"]
    lines += ["", "## What happened", ""]
    lines += _table(happened, tz, "Nothing is on record.")
    lines += ["", "## Who was told", ""]  # of the client's own people; who else was is in the deliveries
    lines += _table(told, tz, "Nobody was told by the portal.")
    lines += ["", "## What the diagnosis said", ""]
    lines += [f"- {_clock(e['at'], tz)} {literal(e['text'])}{_sure(e['data'])}" for e in verdicts] or [
        "No cause was found by itself."
    ]
    lines += ["", "## Causes", "", "", "## What went well, what did not", "", "", "## Follow-ups", "", "- [ ] ", ""]
    return "\n".join(lines)


def _clock(at: datetime, tz: ZoneInfo) -> str:
    return f"{at.astimezone(tz):%Y-%m-%d %H:%M:%S}"


def _sure(data: dict[str, Any]) -> str:
    sure = data.get("confidence")
    return f" (confidence {sure:.0%})" if isinstance(sure, int | float) else ""


def _table(entries: Sequence[dict[str, Any]], tz: ZoneInfo, nothing: str) -> list[str]:
    if not entries:
        return [nothing]
    half = MOST_ROWS // 2
    shown = [*entries[:half], *entries[-half:]] if len(entries) > MOST_ROWS else list(entries)
    whose = any(e["by"] for e in entries)
    lines = ["| When | What | By |", "|---|---|---|"] if whose else ["| When | What |", "|---|---|"]
    for number, e in enumerate(shown):
        if number == half and len(entries) > MOST_ROWS:
            lines.append(f"| … | {len(entries) - MOST_ROWS} more entries in between |{' |' if whose else ''}")
        status = f"{e['data'].get('status', '')}: ".capitalize() if e["kind"] == "update" else ""
        text = literal((status + e["text"])[:200] or e["kind"].replace("_", " ").capitalize())
        lines.append(f"| {_clock(e['at'], tz)} | {text} |" + (f" {literal(e['by'])} |" if whose else ""))
    return lines


def story_of(incident: Incident) -> Story:
    """The story of an incident as far as everybody may read it who may read its post-mortem."""
    names = Monitor.objects.filter(client=incident.client_id, pk__in=incident.affected_monitor_ids).order_by("name")
    return Story(
        title=incident.title, severity=incident.severity, client=incident.client.name if incident.client else "", service=incident.service.name if incident.service else "",
        lead=incident.lead.name if incident.lead else "", zone=incident.client.timezone if incident.client else "UTC",
        affected=list(names.values_list("name", flat=True)[:50]), moments=moments(incident), entries=for_everybody(incident),
    )  # fmt: skip


# --- Doors ----------------------------------------------------------------------------------------------------------------------
def open_for(incident: Incident, text: str, *, by: Actor, at: datetime) -> Postmortem:
    """The incident's post-mortem, begun with this draft when there is none yet."""
    with transaction.atomic():
        locked = Incident.objects.select_for_update().get(pk=incident.pk)
        row = Postmortem.objects.filter(incident=incident).first()
        if row is not None:
            return row
        row = Postmortem.objects.create(incident=incident, body=text[:LIMIT], updated_at=at, updated_by=by.name[:200])
        note(locked, "postmortem", at, by=by.name, text="The post-mortem was begun.")
        locked.save(update_fields=["next_seq"])
        audit.record("postmortem.create", row, by=by, client_id=incident.client_id)
        return row


def save(row: Postmortem, *, body: str, version: int, by: Actor, at: datetime) -> Postmortem:
    """A person's text, written over `version`. Conflict when another stands there; Refused when it is finished."""
    if len(body) > LIMIT:
        raise ValidationError({"body": f"At most {LIMIT:,} characters; this has {len(body):,}."})
    with transaction.atomic():
        row = Postmortem.objects.select_for_update().select_related("incident").get(pk=row.pk)
        if row.finished_at is not None:
            raise Refused("It is finished; reopen it to change it.")
        body = body.replace("\r\n", "\n").replace("\x00", "")
        if row.version != version and row.body != body:
            raise Conflict(row)
        if row.body != body:
            row.body, row.edited, row.version, row.updated_at, row.updated_by = (
                body,
                True,
                row.version + 1,
                at,
                by.name[:200],
            )
            row.save()
            audit.record(
                "postmortem.save", row, by=by, client_id=row.incident.client_id, after={"version": row.version}
            )
        return row


def finish(row: Postmortem, *, by: Actor, at: datetime) -> Postmortem:
    """It says what there is to say; nothing changes it until it is reopened."""
    return _close(row, at, "It is finished already.", "finish", "The post-mortem is finished.", by, at)


def reopen(row: Postmortem, *, by: Actor, at: datetime) -> Postmortem:
    """There is more to say."""
    return _close(row, None, "It is not finished.", "reopen", "The post-mortem was reopened.", by, at)


def _close(
    row: Postmortem, when: datetime | None, refusal: str, verb: str, words: str, by: Actor, at: datetime
) -> Postmortem:
    with transaction.atomic():
        incident = Incident.objects.select_for_update().get(pk=row.incident_id)
        row = Postmortem.objects.select_for_update().get(pk=row.pk)
        if (row.finished_at is None) == (when is None):
            raise Refused(refusal)
        row.finished_at, row.updated_at, row.updated_by, row.edited = when, at, by.name[:200], True
        row.save()
        note(incident, "postmortem", at, by=by.name, text=words)
        incident.save(update_fields=["next_seq"])
        audit.record(f"postmortem.{verb}", row, by=by, client_id=incident.client_id)
        return row


def as_pdf(row: Postmortem) -> bytes:
    """The text on paper."""
    incident = row.incident
    state = "finished" if row.finished_at else "draft"
    blocks = [
        *blocks_of(row.body),
        says(f"Post-mortem of incident #{incident.pk}, version {row.version}, {state}.", faint=True),
    ]
    return typeset(
        f"Post-mortem: {incident.title}",
        blocks,
        foot=f"{incident.client.name if incident.client else ''} · {incident.title}".strip(" ·"),
    )
