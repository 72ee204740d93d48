"""Who would be told now, and when, if this happened to that monitor? The real rules and triggers, asked without an alert.

Nothing is stored. The facts are those that the evaluator would hand over, and the answer comes from the same pure
functions, so that "nobody was called" can be looked into before it happens (SPEC RTE-4).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from alerts import engine as alerting
from alerts import facts
from alerts.models import Alert, Channel
from alerts.report import Report
from monitors import evaluate, subjects
from monitors.engine import Decision
from monitors.models import Monitor
from monitors.models.monitor import State
from portal.models import Contact
from portal.tenancy import Viewer

CERTIFICATE_EVENTS = {
    "expiring": "warning",
    "expired": "critical",
    "chain_invalid": "critical",
    "hostname_mismatch": "critical",
}


@dataclass(slots=True)
class Simulation:
    """The answer, as `GET /api/v1/simulate` writes it."""

    would_tell: list[dict[str, Any]] = field(default_factory=list)
    held_back: list[dict[str, str]] = field(default_factory=list)


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


def simulate(m: Monitor, event: str, at: datetime, viewer: Viewer) -> Simulation:
    """Who would hear of it, how many seconds after it is confirmed, and what would hold it back.

    `m` as loaded by `subjects.with_tags`. What belongs to others (staff's own channels and silences, to a client's
    person) is left out or not explained. Raises ValueError as `report_for` does.
    """
    report = report_for(m, event, at)
    answer = Simulation()
    if not m.enabled:
        answer.held_back.append(
            {"rule": "paused", "reason": "The monitor is paused: nothing is checked, so nothing is noticed."}
        )
        return answer
    alert = _alert(report)
    around = facts.around([alert])
    known = around.of(alert, at, flapping=report.flapping)
    for rule in alerting.HOLD_BACK:
        found = rule(known)
        if found:
            answer.held_back.append({"rule": rule.__name__, "reason": _why(rule.__name__, found, m, around, viewer)})
    plan = alerting.route(known, around.rules, at, usable=around.usable, owners=around.owners)
    if not answer.held_back:
        told = [t for t in plan.told if viewer.sees(around.owners.get(t.channel))]
        channels = dict(Channel.objects.filter(pk__in=[t.channel for t in told]).values_list("pk", "name"))
        contacts = dict(Contact.objects.filter(pk__in=[t.contact for t in told if t.contact]).values_list("pk", "name"))
        answer.would_tell = [
            {
                "at_seconds": t.delay_seconds, "channel": t.channel, "channel_name": channels.get(t.channel, ""), "contact": t.contact,
                "contact_name": contacts.get(t.contact, "") if t.contact else None, "via": t.via,
            }
            for t in sorted(plan.told, key=lambda t: (t.delay_seconds, t.channel))
            if t in told
        ]  # fmt: skip
    if viewer.sees_all:
        answer.held_back += [
            {"rule": rule, "reason": reason}
            for rule, outcome, reason in plan.decisions
            if outcome in ("skipped", "nobody")
        ]
    elif not answer.would_tell and not answer.held_back:
        answer.held_back.append(
            {"rule": "routing", "reason": "None of your own triggers tells any of your channels of it."}
        )
    return answer


def _alert(r: Report) -> Alert:
    """The alert that would be opened, with what the rules look at; never saved."""
    return Alert(
        source=r.source, condition=r.condition, event=r.event, entity_type=r.entity_type, entity_id=r.entity_id, entity_name=r.entity_name, severity=r.severity,
        client_id=r.client_id, site_id=r.site_id, service_id=r.service_id, monitor_id=r.monitor_id, kind=r.kind, tags=sorted(t.lower() for t in r.tags),
        parent=r.parent, title=r.title, created_at=r.at, updated_at=r.at,
    )  # fmt: skip


def _why(rule: str, found: int | bool, m: Monitor, around: facts.Around, viewer: Viewer) -> str:
    if rule == "silenced":
        silence = next((s for s in around.silences if s.pk == found), None)
        return (
            f"Silence {found}: {silence.reason}"
            if silence is not None and viewer.sees(silence.client_id)
            else "A silence of our staff covers it."
        )
    if rule == "explained_by_parent":
        return f"{m.parent} is down too." if m.parent is not None else "What it depends on is down too."
    return {
        "in_maintenance": "It is being worked on: a maintenance window covers it.",
        "flapping": "It comes and goes; the flapping alert speaks for it.",
    }.get(rule, rule)
