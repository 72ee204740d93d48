"""What does a body of PagerDuty's Events API v2 say? trigger, acknowledge and resolve by `dedup_key`; errors in its words.

Any tool that can page PagerDuty can post here: same body, same answers, only the host differs. Pure.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from alerts.inbound.event import (
    ACTIONS,
    MOST_MESSAGE,
    MOST_NAME,
    MOST_TITLE,
    TRIGGER,
    Event,
    Invalid,
    details,
    links,
    severity,
    shown,
    tags,
    text,
    word,
)

SEVERITIES = ("critical", "error", "warning", "info")
MOST_KEY = 255


def routing_key(body: Any) -> str:
    """The integration's key that the body carries; "" without one."""
    found = body.get("routing_key") if isinstance(body, dict) else None
    return found.strip() if isinstance(found, str) else ""


def new_key() -> str:
    """A dedup_key for an event that came without one."""
    return uuid.uuid4().hex


def read(body: Any) -> list[Event]:
    """The event. Invalid names every mistake at once. A trigger without a dedup_key gets a new one."""
    if not isinstance(body, dict):
        raise Invalid(f"A JSON object with routing_key, event_action and payload was expected; this is {shown(body)}.")
    errors: list[str] = []
    wish = body.get("event_action")
    if wish not in ACTIONS:
        errors.append(
            "'event_action' is missing or invalid (must be one of the following: 'trigger', 'acknowledge' or 'resolve')"
        )
    key = _key(body.get("dedup_key"), wish, errors)
    if wish != TRIGGER:
        if errors:
            raise Invalid(*errors)
        return [Event(action=str(wish), key=key)]
    payload = body.get("payload")
    if not isinstance(payload, dict):
        raise Invalid(*errors, "'payload' is missing or not an object")
    for name in ("summary", "source"):
        if not text(payload.get(name)):
            errors.append(f"'payload.{name}' is missing or blank")
    if payload.get("severity") not in SEVERITIES:
        errors.append(
            "'payload.severity' is missing or invalid (must be one of the following: 'critical', 'warning', 'error' or 'info')"
        )
    if errors:
        raise Invalid(*errors)
    return [_triggered(body, payload, key)]


def _key(given: Any, wish: Any, errors: list[str]) -> str:
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    if given is None or given == "":
        if wish != TRIGGER:
            errors.append("'dedup_key' is missing or blank: it names what to acknowledge or resolve")
        return new_key()
    if not isinstance(given, str) or not given.strip():
        errors.append("'dedup_key' is not text")
        return ""
    if len(given) > MOST_KEY:
        errors.append(f"'dedup_key' is too long (must be {MOST_KEY} characters or fewer)")
    return given


def _triggered(body: Mapping[str, Any], payload: Mapping[str, Any], key: str) -> Event:
    summary, source = text(payload["summary"], MOST_MESSAGE), text(payload["source"], MOST_NAME)
    component, group, class_ = (text(payload.get(name), MOST_NAME) for name in ("component", "group", "class"))
    extra = payload.get("custom_details")
    said = details(extra) if isinstance(extra, dict | list) else text(extra, lines=True)
    sender = text(body.get("client"), 100)
    listed = body.get("links")
    pairs = [
        (item.get("href"), item.get("text"))
        for item in (listed if isinstance(listed, list) else ())
        if isinstance(item, dict)
    ]
    about = {"source": source, "component": component, "group": group, "class": class_, "sent_by": sender}
    at = text(payload.get("timestamp"), 40)
    return Event(
        action=TRIGGER, key=key, title=text(summary, MOST_TITLE), message=text("\n".join(filter(None, (summary, said))), lines=True),
        severity=severity(payload["severity"]) or "critical", entity=component or source, word=word(class_), tags=tags((group,)),
        links=links([(body.get("client_url"), sender or "Open at the sender"), *pairs]),
        about={name: value for name, value in {**about, "seen_at": at}.items() if value},
    )  # fmt: skip
