"""What did the world look like when it happened? Freezes into a notice everything that its messages will say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from alerts import engine
from alerts.facts import Names, portal_url
from alerts.models import Alert, Notice


def moment(at: datetime | None) -> str | None:
    """RFC 3339 in UTC, as the API writes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None


def alert_body(a: Alert) -> dict[str, Any]:
    """The alert as API and webhooks show it (SPEC 19)."""
    return {
        "id": a.pk, "source": a.source, "event": a.event, "type": engine.wire_type(a.source, a.event), "severity": a.severity, "status": a.status,
        "entity_type": a.entity_type, "entity_id": int(a.entity_id) if a.entity_id.isdigit() else a.entity_id, "entity_name": a.entity_name,
        "monitor_id": a.monitor_id, "client": a.client_id, "site_id": a.site_id, "service_id": a.service_id, "incident_id": a.incident_id,
        "title": a.title, "message": a.message, "verdict": a.verdict, "evidence": a.evidence, "report_url": a.links.get("report"),
        "hold_reason": a.hold_reason or None, "snoozed_until": moment(a.snoozed_until), "created_at": moment(a.created_at),
        "notified_at": moment(a.notified_at), "acknowledged_at": moment(a.acknowledged_at), "acknowledged_by": a.acknowledged_by or None,
        "resolved_at": moment(a.resolved_at), "is_resolved": a.is_resolved,
    }  # fmt: skip


def notice(
    a: Alert,
    kind: str,
    at: datetime,
    names: Names,
    *,
    started_at: datetime | None = None,
    was: str = "",
    by: str = "",
    not_before: datetime | None = None,
) -> Notice:
    """An unsaved notice of an alert; its seq is the alert's `next_seq` before it."""
    recovered = kind == Notice.Kind.RECOVERED
    type_ = engine.recovery_type(a.source, a.event) if recovered else engine.wire_type(a.source, a.event)
    client, site, service = (
        names.clients.get(a.client_id or 0),
        names.sites.get(a.site_id or 0),
        names.services.get(a.service_id or 0),
    )
    began = started_at or a.created_at
    lasted = (at - began).total_seconds()
    cause = (a.verdict or {}).get("summary") or a.message
    rows = [("What", a.target or a.entity_name), ("Severity", a.severity)]
    if was:
        rows.append(("Raised", f"from {was} to {a.severity}"))
    if client:
        rows.insert(0, ("Client", client.name))
    if site:
        rows.append(("Site", site.name))
    if by:
        rows.append(("Resolved by", by))
    links = [{"rel": "open", "label": "Open alert", "url": portal_url(f"/alerts/{a.pk}/")}]
    if not recovered:
        links.insert(
            0, {"rel": "acknowledge", "label": "Acknowledge", "url": portal_url(f"/alerts/{a.pk}/#acknowledge")}
        )
    if a.links.get("report"):
        links.append({"rel": "report", "label": "Open report", "url": a.links["report"]})
    incident = {}
    if a.incident_id:
        url = portal_url(f"/incidents/{a.incident_id}/")
        incident = {"id": a.incident_id, "url": url, "title": a.links.get("incident_title", "")}
        links.append({"rel": "incident", "label": "Open incident", "url": url})
    return Notice(
        alert=a, client_id=a.client_id, seq=a.next_seq - 1, kind=kind, event=engine.last_word(type_), type=type_, severity=a.severity, not_before=not_before, created_at=at,
        snapshot={
            "kind": kind, "event": "recovery" if type_ == "monitor.recovery" else engine.last_word(type_), "type": type_, "severity": a.severity,
            "title": title(a, kind), "cause": " ".join(cause.split())[:300], "at": moment(at), "started_at": moment(began), "duration_seconds": max(0.0, lasted),
            "client": {"id": client.pk, "name": client.name, "slug": client.slug} if client else {},
            "site": {"id": site.pk, "name": site.name, "url": site.url} if site else {},
            "service": {"id": service.pk, "name": service.name} if service else {},
            "monitor": {"id": a.monitor_id, "name": a.entity_name, "kind": a.kind, "target": a.target} if a.monitor_id else {},
            "alert": alert_body(a), "incident": incident, "verdict": a.verdict or {}, "evidence": {k: v for k, v in a.evidence.items() if k in EVIDENCE},
            "facts": rows, "links": links, "reference": reference(a.pk), "thread": f"incident-{a.incident_id}" if a.incident_id else f"alert-{a.pk}",
            "timezone": client.timezone if client else "UTC",
        },
    )  # fmt: skip


EVIDENCE = ("mtr_reports", "dns", "ssl", "baseline_diff")


def title(a: Alert, kind: str) -> str:
    """What people read first."""
    if kind == Notice.Kind.RECOVERED:
        return f"{a.entity_name} has recovered"
    return a.title


def reference(number: int) -> str:
    """A short mark that people can say: `#K7Q` for any number, always the same."""
    alphabet, text = "ABCDEFGHJKMNPQRSTUVWXYZ23456789", ""
    number += 31 * 31
    while number:
        number, rest = divmod(number, len(alphabet))
        text = alphabet[rest] + text
    return f"#{text}"
