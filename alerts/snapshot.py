"""What did the world look like when it happened? Freezes into a notice everything that its messages will say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from alerts import engine, linking
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
    if kind == Notice.Kind.UPDATED:
        type_ = f"{type_.rpartition('.')[0] or type_}.updated"
    client, site, service = (
        names.clients.get(a.client_id or 0),
        names.sites.get(a.site_id or 0),
        names.services.get(a.service_id or 0),
    )
    began = started_at or a.created_at
    lasted = (at - began).total_seconds()
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
        links = linking.attached(a) + links
    if a.links.get("report"):
        links.append(_report_link(a))
    incident = {}
    if a.incident_id:
        url = portal_url(f"/incidents/{a.incident_id}/")
        incident = {"id": a.incident_id, "url": url, "title": a.links.get("incident_title", "")}
        links.append({"rel": "incident", "label": "Open incident", "url": url})
    return Notice(
        alert=a, client_id=a.client_id, seq=a.next_seq - 1, kind=kind, event=engine.last_word(type_), type=type_, severity=a.severity, not_before=not_before, created_at=at,
        snapshot={
            "kind": kind, "event": "recovery" if type_ == "monitor.recovery" else engine.last_word(type_), "type": type_, "severity": a.severity,
            "title": title(a, kind), "cause": cause(a), "at": moment(at), "started_at": moment(began), "duration_seconds": max(0.0, lasted),
            "client": {"id": client.pk, "name": client.name, "slug": client.slug} if client else {},
            "site": {"id": site.pk, "name": site.name, "url": site.url} if site else {},
            "service": {"id": service.pk, "name": service.name} if service else {},
            "monitor": {"id": a.monitor_id, "name": a.entity_name, "kind": a.kind, "target": a.target} if a.monitor_id else {},
            "alert": alert_body(a), "incident": incident, "verdict": told_verdict(a), "evidence": told_evidence(a),
            "facts": rows, "links": links, "reference": reference(a.pk), "thread": f"incident-{a.incident_id}" if a.incident_id else f"alert-{a.pk}",
            "timezone": client.timezone if client else "UTC",
        },
    )  # fmt: skip


EVIDENCE = ("mtr_reports", "dns", "ssl", "baseline_diff", "loss", "route_changed_at")
VERDICT = ("summary", "layer", "cause", "confidence", "hop", "hop_address", "asn", "as_name", "regions")
NOT_SURE = 0.5  # below it, a cause is never said without "not sure"
OF_THE_FAILURE = ("opened", "raised", "escalated", "reminder", "updated")  # kinds whose cause line is the failure's


def told_verdict(a: Alert) -> dict[str, Any]:
    """What messages need of the verdict: not its reasons and candidates, which would stand in every notice."""
    return {k: v for k, v in (a.verdict or {}).items() if k in VERDICT}


def told_evidence(a: Alert) -> dict[str, Any]:
    """What messages need of the evidence."""
    return {k: v for k, v in a.evidence.items() if k in EVIDENCE}


def cause(a: Alert) -> str:
    """The cause in one line: the verdict's sentence, with its doubt; the error where nothing is known."""
    verdict = a.verdict or {}
    summary = " ".join(str(verdict.get("summary") or "").split())
    if not summary or verdict.get("layer") == "unknown":
        return " ".join((a.message or summary).split())[:300]
    return (f"not sure: {summary}" if verdict.get("confidence", 0) < NOT_SURE else summary)[:300]


def diagnosed(snapshot: dict[str, Any], a: Alert) -> dict[str, Any]:
    """A frozen notice, completed by the verdict that the alert has now; all else stays as it was when it happened."""
    links = [link for link in snapshot.get("links", ()) if link["rel"] != "report"]
    if a.links.get("report"):
        place = next((n for n, link in enumerate(links) if link["rel"] == "incident"), len(links))
        links.insert(place, _report_link(a))
    shown = alert_body(a)
    alert = {**snapshot.get("alert", {}), **{k: shown[k] for k in ("verdict", "evidence", "report_url")}}
    said = {"cause": cause(a)} if snapshot.get("kind") in OF_THE_FAILURE else {}
    return {
        **snapshot,
        **said,
        "verdict": told_verdict(a),
        "evidence": told_evidence(a),
        "links": links,
        "alert": alert,
    }


def _report_link(a: Alert) -> dict[str, str]:
    return {"rel": "report", "label": "Open report", "url": a.links["report"]}


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
