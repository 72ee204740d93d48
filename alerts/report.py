"""The one door through which anything says "this is wrong" or "this is well": `report([...])`.

Within the caller's transaction it opens, raises, updates or resolves alerts, lets the apps above attach their records,
decides who is told, and writes every delivery that is owed. After the commit somebody's bell rings; if the process dies
before that, the rows are there all the same. Lists, because a thousand monitors can fail in one second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from alerts import engine, escalating, snapshot, telling, verdicts
from alerts.models import Alert, Run
from alerts.signals import alert_changed, alert_closed, alert_opened
from portal import sets
from portal.audit import PORTAL, Actor


@dataclass(slots=True)
class Report:
    """What is known of one identity now. Facts arrive as plain columns: this app looks nothing up in those above."""

    source: str
    condition: str
    event: str
    entity_type: str
    entity_id: str
    entity_name: str
    failing: bool
    at: datetime
    severity: str = "critical"
    title: str = ""
    message: str = ""
    client_id: int | None = None
    site_id: int | None = None
    service_id: int | None = None
    monitor_id: int | None = None
    kind: str = ""
    target: str = ""
    tags: list[str] = field(default_factory=list)
    parent: str = ""
    started_at: datetime | None = None
    correlation: dict[str, Any] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    flapping: bool = False
    not_before: datetime | None = None  # wait so long for what may explain it (a parent under suspicion)
    quiet: bool = False  # resolve without telling: the entity was paused or deleted
    expects_verdict: bool = False  # a diagnosis runs: the first message may wait for it as long as its triggers say
    verdict: dict[str, Any] | None = None  # it is known already
    verdict_evidence: dict[str, Any] | None = None  # mtr_reports, dns, ssl, baseline_diff
    report_url: str = ""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        return self.source, self.condition, self.entity_type, self.entity_id


FOLLOWED = ["severity", "event", "title", "message", "evidence", "updated_at"]


def report(reports: Sequence[Report], *, by: Actor = PORTAL) -> list[Alert]:
    """Apply reports in order; returns the alerts that were opened. Must run inside a transaction.

    Raises IntegrityError when another transaction opened the same identity at the same moment: the caller's
    transaction is to be repeated as a whole.
    """
    if not reports:
        return []
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("report() must run inside the transaction of the change that causes it")
    known = _open_alerts(reports)
    opened: list[tuple[Alert, Report]] = []
    raised: list[tuple[Alert, Report, str]] = []
    closed: list[tuple[Alert, Report]] = []
    eased: list[tuple[Alert, Report]] = []
    for r in reports:
        alert = known.get(r.identity)
        verb = engine.react(
            open_severity=alert.severity if alert else None,
            open_event=alert.event if alert else None,
            failing=r.failing,
            severity=r.severity,
            event=r.event,
        )
        if verb == "open":
            alert = known[r.identity] = _new(r)
            opened.append((alert, r))
        elif verb == "raise" and alert:
            was = alert.severity
            _follow(alert, r)
            raised.append((alert, r, was if was != r.severity else ""))
        elif verb in ("fall", "repeat") and alert:
            if alert.pk and alert.event != "degraded" and r.event == "degraded":
                eased.append((alert, r))
            if (alert.message, alert.severity, alert.event) != (r.message, r.severity, r.event):
                _follow(alert, r)
                if alert.pk:
                    alert.save(update_fields=FOLLOWED)
        elif verb == "resolve" and alert:
            known.pop(r.identity)
            closed.append((alert, r))

    if opened:
        Alert.objects.bulk_create([a for a, _ in opened])
        alert_opened.send(Alert, alerts=[a for a, _ in opened], at=opened[0][1].at)
    if raised:
        for alert, r, _ in raised:
            _diagnosed(alert, r)
            alert.save(update_fields=[*FOLLOWED, "verdict", "links"])
        alert_changed.send(Alert, alerts=[a for a, _, _ in raised], at=raised[0][1].at, change="raised")
    telling.tell_failures(
        [
            telling.Occasion(
                a, "opened", r.at, r.started_at, r.flapping, r.not_before, expects_verdict=r.expects_verdict
            )
            for a, r in opened
        ]
        + [
            telling.Occasion(a, "raised", r.at, r.started_at, r.flapping, None, was, expects_verdict=r.expects_verdict)
            for a, r, was in raised
        ]
    )
    if eased:  # half well again: it explains nobody's silence any more
        telling.release_children([a for a, _ in eased], at=eased[0][1].at)
    if closed:
        for quiet in (False, True):
            batch = [(a, r) for a, r in closed if r.quiet == quiet]
            if batch:
                close([a for a, _ in batch], at=batch[0][1].at, by=by, quiet=quiet)
    return [a for a, _ in opened]


def close(alerts: list[Alert], *, at: datetime, by: Actor, quiet: bool = False, manual: bool = False) -> None:
    """Resolve open alerts: end escalation, drop what was not told, tell recovery to those who were told, release what they explained."""
    silences = {a.held_by for a in alerts if a.held_by and a.hold_reason == "silenced"}
    for alert in alerts:
        alert.status, alert.resolved_at, alert.resolved_by, alert.updated_at = (
            Alert.Status.RESOLVED,
            at,
            by.name if manual else "",
            at,
        )
        alert.hold_reason, alert.held_by = "", None
    sets.write(alerts, ["status", "resolved_at", "resolved_by", "updated_at", "hold_reason", "held_by"])
    escalating.stop(alerts, Run.Status.STOPPED_BY_RESOLUTION, at=at)
    alert_closed.send(Alert, alerts=alerts, at=at, by=by, manual=manual)
    telling.tell_recoveries(alerts, at=at, quiet=quiet, by=by.name if manual else "")
    telling.release_children(alerts, at=at)
    telling.release_flapping(alerts, at=at)
    telling.end_silences(silences, at=at)


def _open_alerts(reports: Sequence[Report]) -> dict[tuple[str, str, str, str], Alert]:
    wanted = {r.identity for r in reports}
    rows = (
        Alert.objects.select_for_update()
        .filter(resolved_at=None, entity_id__in={r.entity_id for r in reports})
        .order_by("pk")
    )
    return {k: a for a in rows if (k := (a.source, a.condition, a.entity_type, a.entity_id)) in wanted}


def _new(r: Report) -> Alert:
    alert = Alert(
        source=r.source, condition=r.condition, event=r.event, entity_type=r.entity_type, entity_id=r.entity_id, entity_name=r.entity_name[:200],
        severity=r.severity, client_id=r.client_id, site_id=r.site_id, service_id=r.service_id, monitor_id=r.monitor_id, kind=r.kind, target=r.target[:300],
        tags=sorted(t.lower() for t in r.tags), parent=r.parent, correlation=r.correlation, evidence=r.evidence,
        title=(r.title or f"{r.entity_name}: {r.event.replace('_', ' ')}")[:300], message=r.message, created_at=r.at, updated_at=r.at,
    )  # fmt: skip
    _diagnosed(alert, r)
    return alert


def _diagnosed(alert: Alert, r: Report) -> None:
    """Keep the verdict that the report brings, where it brings one."""
    if r.verdict is not None:
        verdicts.keep(alert, r.verdict, r.verdict_evidence, r.report_url)


def _follow(alert: Alert, r: Report) -> None:
    alert.severity, alert.event, alert.title, alert.message, alert.updated_at = (
        r.severity,
        r.event,
        (r.title or alert.title)[:300],
        r.message,
        r.at,
    )
    found = {k: v for k, v in alert.evidence.items() if alert.verdict is not None and k in snapshot.EVIDENCE}
    alert.evidence = {**alert.evidence, **r.evidence, **found}  # a plain report knows nothing of what was found out
