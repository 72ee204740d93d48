"""What does a message say? Everything a channel may show, read from a notice's frozen snapshot. No database here.

A channel formats a `Message` and asks nothing else; so a retry says the same as the first try, and a test send looks
like the real thing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

WORDS = {
    "down": "Down", "degraded": "Degraded", "recovery": "Recovered", "flapping": "Flapping", "missed": "Missed", "failed": "Failed",
    "expiring": "Expiring", "expired": "Expired", "invalid": "Invalid certificate", "resolved": "Resolved", "blind": "Probe blind",
    "test": "Test", "opened": "Incident", "digest": "Gathered", "channel_dead": "Channel failed", "exhausted": "Nobody answered",
    "shift": "On call", "quota": "Quota", "updated": "Cause found",
}  # fmt: skip
# What a message of this kind says before its event: "Still down", "Acknowledged".
KIND_WORDS = {
    "escalated": "Escalated",
    "reminder": "Still open",
    "acknowledged": "Acknowledged",
    "exhausted": "Nobody answered",
    "canary": "Weekly test",
    "updated": "Cause found",
}
COLOURS = {"critical": "#dc2626", "warning": "#f59e0b", "info": "#3b82f6", "resolved": "#16a34a"}
SLACK_EMOJI = {
    "critical": ":red_circle:",
    "warning": ":warning:",
    "info": ":information_source:",
    "resolved": ":large_green_circle:",
}


@dataclass(frozen=True, slots=True)
class Link:
    """A button or a link: `rel` is acknowledge, open, report, incident, approve …"""

    rel: str
    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Line:
    """One alert inside a gathered message."""

    severity: str
    event: str
    name: str
    client: str
    cause: str
    url: str
    resolved: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One notice for one destination. Times are aware UTC datetimes; `duration_seconds` counts from the first failure."""

    delivery_id: int
    attempt: int
    kind: str  # opened, raised, escalated, reminder, acknowledged, exhausted, recovered, updated, digest, shift, canary, quota, test, channel_dead
    event: str  # the last word on the wire: down, recovery …
    type: str  # the whole name: monitor.down …
    severity: str
    title: str  # "shop is down"
    cause: str  # one line: the verdict's summary or the error
    at: datetime
    started_at: datetime | None = None
    duration_seconds: float | None = None
    client: dict[str, Any] = field(default_factory=dict)  # id, name, slug
    site: dict[str, Any] = field(default_factory=dict)  # id, name, url
    service: dict[str, Any] = field(default_factory=dict)
    monitor: dict[str, Any] = field(default_factory=dict)  # id, name, kind, target
    alert: dict[str, Any] = field(default_factory=dict)  # as the API gives it
    incident: dict[str, Any] = field(default_factory=dict)  # id, title, url
    verdict: dict[str, Any] = field(default_factory=dict)  # summary, layer, confidence, regions …
    evidence: dict[str, Any] = field(default_factory=dict)  # mtr_reports, dns, ssl, baseline_diff; loss in percent
    facts: tuple[tuple[str, str], ...] = ()  # (label, value) rows that people read
    links: tuple[Link, ...] = ()
    lines: tuple[Line, ...] = ()  # a gathered message's alerts, worst first
    more: int = 0  # how many more lines there would be
    reference: str = ""  # short human reference, as #A1B2
    thread: str = ""  # what belongs together: alert-9, incident-2
    provider_id: str = ""  # the vendor's id of what this destination heard first
    digest_of: int = 0  # the channel that subscribes to this digest: only then may a reader stop it by one click
    timezone: str = "UTC"
    wording: str = ""  # how a template calls it, in place of "client · monitor"
    key: str = ""  # names the alert at the vendor over its whole life: <= 64 of [A-Za-z0-9_-]
    acknowledge_token: str = ""  # what a button or a callback carries (<= 40 characters); good for 24 h
    acknowledge_code: str = ""  # what a person answers by SMS: `ACK K7Q2`
    letter: dict[str, Any] = field(default_factory=dict)  # subject, text, html, body …: said as it stands
    sent_at: datetime | None = None  # the database's time of this attempt: a worker's own clock may be wrong

    @property
    def resolved(self) -> bool:
        return self.kind == "recovered"

    @property
    def open(self) -> bool:
        """Does it tell of something that is wrong now and that nobody has taken?"""
        return self.kind in ("opened", "raised", "escalated", "reminder", "updated", "exhausted")

    @property
    def tone(self) -> str:
        """critical, warning, info or resolved: what colours follow."""
        return "resolved" if self.resolved else self.severity

    @property
    def word(self) -> str:
        """The event as people say it: Down, Recovered …"""
        if self.kind in KIND_WORDS:
            return KIND_WORDS[self.kind]
        return WORDS.get(self.event, self.event.replace("_", " ").capitalize())

    @property
    def repeated(self) -> bool:
        """May this be a second copy? People are told so."""
        return self.attempt > 1

    @property
    def where(self) -> str:
        """`Acme · shop`, without what is missing; or what a template says in its place."""
        if self.wording:
            return self.wording
        name = self.monitor.get("name") or self.alert.get("entity_name") or ""
        return " · ".join(filter(None, (self.client.get("name"), name)))

    @property
    def extent(self) -> str:
        """How much is lost, and how many regions agree: `LOSS 18% · 5/6 regions`; "" while no cause is known."""
        if self.resolved or self.verdict.get("layer", "unknown") == "unknown":
            return ""
        loss, regions = self.evidence.get("loss"), self.verdict.get("regions") or {}
        lost = self.verdict["layer"] == "transit" and isinstance(loss, int | float) and loss > 0
        agree, asked = (len(regions.get(name) or ()) for name in ("confirming", "asked"))
        said = [f"LOSS {loss:.0f}%" if lost else "", f"{agree}/{asked} regions" if asked > 1 and agree else ""]
        return " · ".join(filter(None, said))

    @property
    def headline(self) -> str:
        """One line without markup: `[Down] Acme · shop — LOSS 18% · 5/6 regions — loss at hop 7 (AS26599)`."""
        said = () if self.resolved else (self.extent, self.cause)
        return " — ".join(filter(None, (f"[{self.word}] {self.where or self.title}", *said)))

    def link(self, rel: str) -> str:
        """The address of a link, or ""."""
        return next((link.url for link in self.links if link.rel == rel), "")


PRIVATE = ("awaited",)  # what a snapshot keeps for us and no message says


def message_from(snapshot: dict[str, Any], **about: Any) -> Message:
    """The Message of a notice's snapshot; `about` adds what belongs to this delivery (delivery_id, attempt, provider_id …)."""
    values = {name: value for name, value in snapshot.items() if name not in PRIVATE}
    for name in ("at", "started_at"):
        if values.get(name):
            values[name] = datetime.fromisoformat(values[name])
    values["links"] = tuple(Link(**link) for link in values.get("links", ()))
    values["lines"] = tuple(Line(**line) for line in values.get("lines", ()))
    values["facts"] = tuple((label, value) for label, value in values.get("facts", ()))
    return Message(**{**values, **about})


def webhook_body(message: Message) -> dict[str, Any]:
    """The generic webhook's body (SPEC CHN-5); of a letter its own."""
    if message.letter:
        about = {
            "links": {link.rel: link.url for link in message.links},
            "timestamp": message.at.isoformat().replace("+00:00", "Z"),
            "delivery_id": message.delivery_id,
        }
        return {**message.letter["body"], **about}
    unknown = {"mtr_reports": 0, "dns": "unknown", "ssl": "unknown", "baseline_diff": "unknown"}
    evidence = {name: message.evidence.get(name, value) for name, value in unknown.items()}
    undiagnosed = {"summary": message.cause, "layer": "unknown", "confidence": 0}
    verdict = {name: message.verdict.get(name, value) for name, value in undiagnosed.items()}
    return {
        "event": message.event,
        "type": message.type,
        "text": " ".join(message.headline.split()),
        "monitor": message.monitor.get("name") or message.alert.get("entity_name", ""),
        "verdict": verdict,
        "evidence": evidence,
        "report_url": message.link("report") or message.link("open"),
        "alert": message.alert or None,
        "incident": message.incident or None,
        "client": message.client or None,
        "site": message.site or None,
        "links": {link.rel: link.url for link in message.links},
        "timestamp": message.at.isoformat().replace("+00:00", "Z"),
        "delivery_id": message.delivery_id,
    }
