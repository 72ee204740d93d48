"""What would a message say in a template's words? Tried on an alert that happened, or on a sample; nothing is sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts import facts, phrasing, snapshot
from alerts.message import Message, message_from
from alerts.models import Alert, MessageTemplate, Notice

# What the sample is about: everything that a template can name has a value.
SAMPLE = "shop (a sample)"


@dataclass(frozen=True, slots=True)
class Trial:
    """The headline and first line as they would be without the template, and in its words; the names with their values."""

    plain_title: str
    plain_text: str
    title: str
    text: str
    type: str
    fits: bool  # its types name this message
    values: dict[str, str]


def tried(template: MessageTemplate, alert: Alert | None, at: datetime) -> Trial:
    """The template (perhaps unsaved) on an alert, or on the sample."""
    message = of_alert(alert, at) if alert is not None else sample(at)
    worded = phrasing.said(message, template)
    return Trial(
        message.headline, message.cause, worded.headline, worded.cause, message.type,
        bool(phrasing.wants(template.types, message.type)), phrasing.values_of(message),
    )  # fmt: skip


def of_alert(alert: Alert, at: datetime) -> Message:
    """What was said when it opened, or what is said of its recovery, with today's names."""
    names = facts.around([alert]).names
    kind = Notice.Kind.RECOVERED if alert.is_resolved else Notice.Kind.OPENED
    notice = snapshot.notice(alert, kind, alert.resolved_at or at, names)
    return message_from(notice.snapshot, delivery_id=0, attempt=1)


def sample(at: datetime) -> Message:
    """An outage as it could be."""
    url = facts.portal_url
    links = [
        {"rel": "open", "label": "Open alert", "url": url("/alerts/17/")},
        {"rel": "report", "label": "Open report", "url": url("/r/sample/")},
    ]
    cause = "Loss starts at hop 7 (AS26599), seen from 5 of 6 regions"
    return message_from(
        {
            "kind": "opened", "event": "down", "type": "monitor.down", "severity": "critical", "title": "shop is down", "cause": cause,
            "at": snapshot.moment(at), "started_at": snapshot.moment(at - timedelta(minutes=6)), "duration_seconds": 360.0,
            "client": {"id": 3, "name": "Acme", "slug": "acme"}, "site": {"id": 2, "name": "Lisbon", "url": ""}, "service": {"id": 5, "name": "Checkout"},
            "monitor": {"id": 7, "name": SAMPLE, "kind": "http", "target": "https://shop.acme.example/health"}, "alert": {"entity_name": SAMPLE},
            "incident": {"id": 2, "url": url("/incidents/2/"), "title": "Checkout is slow"}, "verdict": {"summary": cause, "layer": "transit", "confidence": 0.92},
            "links": links, "reference": snapshot.reference(17),
        },
        delivery_id=0, attempt=1,
    )  # fmt: skip


def unknown(text: str) -> str:
    """What to say of a name that does not exist; "" when all do."""
    wrong = next((name for name in phrasing.names_in(text) if name not in phrasing.NAMES), None)
    return f"There is no {{{{{wrong[:40]}}}}}; known are {', '.join(phrasing.NAMES)}." if wrong is not None else ""
