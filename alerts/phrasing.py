"""How does a client or a channel want it said? Logic-less `{{name}}` templates for the title and the first line (SPEC CHN-7).

Rendering only replaces names by values: no conditions, no loops, no attributes, so that a template is never code. Values
are plain text; each channel escapes them as it escapes everything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q

from alerts.channels.wording import moment, one_line, span
from alerts.message import Message
from alerts.models import Delivery, MessageTemplate
from portal import services as ground
from portal.audit import Actor

NAMES: dict[str, str] = {
    "word": "Down, Recovered …", "event": "down, recovery …", "type": "monitor.down …", "severity": "critical, warning or info",
    "title": "the title as it would be", "cause": "the cause or error", "client": "the client's name", "site": "the site's name",
    "service": "the service's name", "monitor": "the monitor's name", "target": "what it watches", "since": "when it began",
    "duration": "how long it has lasted", "reference": "the short mark, as #K7Q", "url": "the alert's page", "report_url": "the report's page",
    "incident": "the incident's title", "incident_url": "the incident's page", "verdict": "the probable cause", "layer": "dns, tls, server …",
}  # fmt: skip
_PLACE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
LONGEST = {"title": 300, "text": 4000}


def names_in(text: str) -> list[str]:
    """Every name between double braces, as typed."""
    return _PLACE.findall(text)


def render(text: str, values: Mapping[str, str]) -> str:
    """The text with its names replaced, in one pass: a value that looks like a template stays as it is."""
    return _PLACE.sub(lambda found: values.get(found.group(1), found.group(0)), text)


def values_of(message: Message) -> dict[str, str]:
    """What the names stand for in one message; "" for what it does not have."""
    return {
        "word": message.word, "event": message.event, "type": message.type, "severity": message.severity, "title": one_line(message.title),
        "cause": one_line(message.cause), "client": _name(message.client), "site": _name(message.site), "service": _name(message.service),
        "monitor": one_line(message.monitor.get("name") or message.alert.get("entity_name") or ""), "target": one_line(message.monitor.get("target") or ""),
        "since": moment(message.started_at, message.timezone) if message.started_at else "", "duration": span(message.duration_seconds),
        "reference": message.reference, "url": message.link("open"), "report_url": message.link("report"),
        "incident": one_line(message.incident.get("title") or ""), "incident_url": str(message.incident.get("url") or ""),
        "verdict": one_line(message.verdict.get("summary") or ""), "layer": str(message.verdict.get("layer") or ""),
    }  # fmt: skip


def _name(of: Mapping[str, Any]) -> str:
    return one_line(of.get("name") or "")


def wants(types: str, type_: str) -> int:
    """How particularly a list of types names this one: 0 not at all, 1 all types, more for a longer name."""
    if not types.strip():
        return 1
    named = (word.strip().lower() for word in types.split(",") if word.strip())
    return max(
        (1 + len(word) for word in named if type_ == word or type_.startswith(word.rstrip(".") + ".")), default=0
    )


def choose(
    templates: Iterable[MessageTemplate], message: Message, *, client: int | None, channel: int, owner: int | None
) -> MessageTemplate | None:
    """The most particular template: channel before client before everybody, then the longest type, then the oldest.

    `owner` is the client whose channel it is, None for our own. A client's wording without a channel holds for that
    client's own channels: what our staff read is not theirs to write.
    """
    fit = [
        ((t.channel_id is not None, t.client_id is not None, wants(t.types, message.type), -t.pk), t)
        for t in templates
        if t.channel_id in (None, channel)
        and (t.client_id is None or (t.client_id == client and (t.channel_id is not None or t.client_id == owner)))
        and wants(t.types, message.type)
    ]
    return max(fit, key=lambda pair: pair[0])[1] if fit else None


def said(message: Message, template: MessageTemplate | None) -> Message:
    """The message in the template's words."""
    if template is None or message.lines:
        return message
    values = values_of(message)
    title = one_line(render(template.title, values))[: LONGEST["title"]]
    text = render(template.text, values)[: LONGEST["text"]].strip()
    return replace(message, title=title or message.title, wording=title, cause=text or message.cause)


def of_rows(rows: Iterable[Delivery]) -> list[MessageTemplate]:
    """The templates that can concern these deliveries: one query."""
    rows = list(rows)
    channels, clients = {r.channel_id for r in rows}, {r.client_id for r in rows if r.client_id}
    fit = Q(channel=None) | Q(channel__in=channels)
    return list(MessageTemplate.objects.filter(fit & (Q(client=None) | Q(client__in=clients)), enabled=True))


# --- The doors ---------------------------------------------------------------------------------------------------------
def save_template(row: MessageTemplate | None, *, by: Actor, **values: Any) -> MessageTemplate:
    """Make (row None) or change a template. ValidationError at the field, with the names that exist."""
    complaints: dict[str, str] = {}
    for field in ("title", "text"):
        text = values.get(field, getattr(row, field, "") if row else "") or ""
        unknown = [name for name in names_in(text) if name not in NAMES]
        if unknown:
            complaints[field] = f"There is no {{{{{unknown[0][:40]}}}}}; known are {', '.join(NAMES)}."
        elif len(text) > LONGEST[field]:
            complaints[field] = f"At most {LONGEST[field]} characters."
    title, text = (values.get(f, getattr(row, f, "") if row else "") for f in ("title", "text"))
    if not complaints and not (title or "").strip() and not (text or "").strip():
        complaints["title"] = "Give a title or a text; empty ones change nothing."
    name = values.get("name", row.name if row else "")
    if not (name or "").strip():
        complaints["name"] = "Give the template a name."
    channel = values.get("channel", row.channel if row else None)
    client = values.get("client", row.client if row else None)
    if channel is not None and client is not None and channel.client_id not in (None, client.pk):
        complaints["channel"] = "This channel belongs to another client."
    if complaints:
        raise ValidationError(complaints)
    if row is None:
        return ground.create(MessageTemplate, by=by, **values)
    ground.change(row, by=by, **values)
    return row


def delete_template(row: MessageTemplate, *, by: Actor) -> None:
    """Delete a template: messages say again what they would without it."""
    ground.delete(row, by=by)
