"""What does a webhook of Prometheus Alertmanager (version 4) say? One event an alert, by fingerprint. Pure.

The whole group is posted again and again: an alert that is open and said to fire is the same alert. Grafana's webhook
has the same shape and is read too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from alerts.inbound.event import (
    DEFAULT_SEVERITY,
    MOST_NAME,
    MOST_TITLE,
    RESOLVE,
    TRIGGER,
    Event,
    Invalid,
    links,
    moment,
    severity,
    shown,
    tags,
    text,
    word,
)

MOST_ALERTS = 2000
STATUS = {"firing": TRIGGER, "resolved": RESOLVE}
ENTITY = ("instance", "pod", "node", "host", "hostname", "container", "service", "job", "alertname")
UNTAGGED = frozenset({"alertname", "severity", "instance"})  # said elsewhere


def read(body: Any) -> list[Event]:
    """An event for each alert, in the order of the body. Invalid when it is another shape, or too many at once."""
    listed = body.get("alerts") if isinstance(body, dict) else None
    if not isinstance(listed, list):
        raise Invalid(
            f"alerts: an Alertmanager webhook of version 4 was expected, with a list of alerts; this is {shown(body)}."
        )
    if len(listed) > MOST_ALERTS:
        raise Invalid(
            f"alerts: these are {len(listed)}; at most {MOST_ALERTS} come in one body. Set max_alerts: {MOST_ALERTS} in webhook_configs."
        )
    errors = [sentence for number, one in enumerate(listed) for sentence in _mistakes(number, one, body)]
    if errors:
        raise Invalid(*errors[:20])
    return [_event(one, body) for one in listed]


def left_out(body: Any) -> int:
    """How many alerts the sender cut off (`max_alerts`)."""
    number = body.get("truncatedAlerts") if isinstance(body, dict) else 0
    return number if isinstance(number, int) and not isinstance(number, bool) and number > 0 else 0


def _mistakes(number: int, one: Any, body: Mapping[str, Any]) -> list[str]:
    if not isinstance(one, dict):
        return [f"alerts[{number}]: an object was expected; this is {shown(one)}."]
    found = []
    if one.get("status", body.get("status")) not in STATUS:
        found.append(f"alerts[{number}].status: firing or resolved was expected.")
    labels = one.get("labels")
    if not isinstance(labels, dict) or not (labels or one.get("fingerprint")):
        found.append(f"alerts[{number}].labels: an object of labels was expected.")
    return found


def _event(one: Mapping[str, Any], body: Mapping[str, Any]) -> Event:
    labels = one["labels"]
    notes = one["annotations"] if isinstance(one.get("annotations"), dict) else {}
    name = text(labels.get("alertname"), MOST_NAME)
    entity = next((found for label in ENTITY if (found := text(labels.get(label), MOST_NAME))), "")
    summary = text(notes.get("summary") or notes.get("message") or notes.get("title"), MOST_TITLE)
    title = summary or text(f"{name} on {entity}" if name and entity and name != entity else name or entity, MOST_TITLE)
    starts, ends = moment(one.get("startsAt")), moment(one.get("endsAt"))
    said = [
        text(notes.get("description"), 2000, lines=True) or title,
        *(f"{text(k, 80)}: {text(v, 300)}" for k, v in list(labels.items())[:40] if k not in ("alertname", "severity")),
        f"firing since: {one.get('startsAt')}" if starts else "",
    ]
    given = labels.get("severity") or labels.get("priority")
    known = severity(given)
    return Event(
        action=STATUS[one.get("status", body.get("status"))], key=fingerprint(one), title=title,
        message=text("\n".join(filter(None, said)), lines=True), severity=known or DEFAULT_SEVERITY, entity=entity, word=word(name),
        tags=tags(f"{k}:{v}" for k, v in labels.items() if k not in UNTAGGED),
        links=links(
            [
                (one.get("generatorURL"), "Source"), (notes.get("runbook_url") or notes.get("runbook"), "Runbook"),
                (one.get("dashboardURL") or notes.get("dashboard_url"), "Dashboard"), (one.get("panelURL"), "Panel"),
                (one.get("silenceURL"), "Silence there"), (body.get("externalURL"), "Alertmanager"),
            ]
        ),
        about={k: v for k, v in {"alertname": name, "receiver": text(body.get("receiver"), 100)}.items() if v},
        starts_at=starts, ends_at=ends,
        problems=(f"severity: {text(given, 40)!r} is not known here, so {DEFAULT_SEVERITY} was taken.",) if given and not known else (),
    )  # fmt: skip


def fingerprint(one: Mapping[str, Any]) -> str:
    """The sender's fingerprint, or a hash of the labels, which is what a fingerprint is."""
    given = one.get("fingerprint")
    if isinstance(given, str) and given.strip():
        return given.strip()
    canon = json.dumps({str(k): text(v) for k, v in one["labels"].items()}, sort_keys=True)
    return hashlib.sha256(canon.encode("utf-8", "surrogatepass")).hexdigest()[:32]
