"""Who would be told now, and when, if this happened to that monitor? The real rules, asked without an alert.

Nothing is stored. The facts are those that the evaluator would hand over, and the answer comes from the same pure
functions, through triggers, people's ways and escalation, so that "nobody was called" can be looked into before it
happens (SPEC RTE-4).
"""

from __future__ import annotations

from datetime import datetime

from alerts import facts
from alerts.models import Alert
from alerts.outlook import Outlook, outlook, reason_of
from alerts.report import Report
from monitors import evaluate, subjects
from monitors.engine import Decision
from monitors.models import Monitor
from monitors.models.monitor import State
from portal.tenancy import Viewer

CERTIFICATE_EVENTS = {
    "expiring": "warning",
    "expired": "critical",
    "chain_invalid": "critical",
    "hostname_mismatch": "critical",
}


def events_of(m: Monitor) -> tuple[str, ...]:
    """What can happen to a monitor of this kind, by the names of SPEC ALR-1."""
    match subjects.source_of(m.kind):
        case "heartbeat":
            return ("deadline_missed", "exit_code_failure", "flapping")
        case "certificate":
            return (*CERTIFICATE_EVENTS, "flapping")
        case "domain":
            return ("expiring", "degraded", "flapping")
    own = ("consecutive_failure", "degraded", "flapping")
    return (
        (*own, *CERTIFICATE_EVENTS)
        if m.kind == "http" and str(m.config.get("url", "")).lower().startswith("https:")
        else own
    )


def report_for(m: Monitor, event: str, at: datetime) -> Report:
    """What would be reported. Raises ValueError, with the events there are, for one that cannot happen to this monitor."""
    if event not in events_of(m):
        raise ValueError(
            f"{event[:40]!r} cannot happen to a monitor of kind {m.kind}; choose from {', '.join(events_of(m))}."
        )
    source = subjects.source_of(m.kind)
    if event == "flapping":
        return evaluate.flap_report(m, at, failing=True)
    if event in CERTIFICATE_EVENTS and source != "domain":
        title = f"Certificate of {m.name}: {event.replace('_', ' ')}"
        return subjects.report_of(
            m,
            source="certificate",
            condition=f"certificate:{event}",
            event=event,
            failing=True,
            at=at,
            severity=CERTIFICATE_EVENTS[event],
            title=title,
        )
    if source == "domain" and event == "expiring":
        return subjects.report_of(
            m,
            source=source,
            condition="domain:expiring",
            event=event,
            failing=True,
            at=at,
            severity="warning",
            title=f"Domain of {m.name} expires",
        )
    state = State.DEGRADED if event == "degraded" else State.DOWN
    decision = Decision(
        state, "", alarming=True, error_class="exit_code" if event == "exit_code_failure" else "", first_failure_at=at
    )
    return evaluate.health_report(m, decision, at, flapping=m.flapping_since is not None)


def simulate(m: Monitor, event: str, at: datetime, viewer: Viewer) -> Outlook:
    """Who would hear of it, how many seconds after it is confirmed, and what would hold it back.

    `m` as loaded by `subjects.with_tags`. What belongs to others (staff's own channels and silences, to a client's
    person) is left out or not explained. Raises ValueError as `report_for` does.
    """
    report = report_for(m, event, at)
    if not m.enabled:
        paused = {"rule": "paused", "reason": "The monitor is paused: nothing is checked, so nothing is noticed."}
        return Outlook(held_back=[paused])

    def why(rule: str, found: int | bool, around: facts.Around) -> str:
        if rule == "explained_by_parent" and m.parent is not None:
            return f"{m.parent} is down too."
        return reason_of(rule, found, around, viewer)

    return outlook(_alert(report), at, viewer, flapping=report.flapping, why=why)


def _alert(r: Report) -> Alert:
    """The alert that would be opened, with what the rules look at; never saved."""
    return Alert(
        source=r.source, condition=r.condition, event=r.event, entity_type=r.entity_type, entity_id=r.entity_id, entity_name=r.entity_name, severity=r.severity,
        client_id=r.client_id, site_id=r.site_id, service_id=r.service_id, monitor_id=r.monitor_id, kind=r.kind, tags=sorted(t.lower() for t in r.tags),
        parent=r.parent, title=r.title, created_at=r.at, updated_at=r.at,
    )  # fmt: skip
