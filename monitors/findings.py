"""What else did a check bring? The failing body's first 2 KB, certificates and their thresholds, a machine's figures and
containers, other probes to ask.

Called by the storer after results are kept. Everything here is by exception: a steady check costs two dictionary
look-ups.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from alerts.models import Alert
from alerts.report import Report, report
from monitors import container_findings, engine, host_findings, store, subjects
from monitors.models import Certificate, FailureBody, Monitor
from portal import bells

log = logging.getLogger("watchkeeper.findings")

_known: OrderedDict[int, tuple[Any, ...]] = OrderedDict()  # monitor -> what was last told of its certificate or domain


def note(done: Sequence[store.Done]) -> None:
    """Keep what is worth keeping of accepted results."""
    fresh = [d for d in done if d.view.status in (engine.FAILING, engine.DEGRADED) and d.view.streak == 1]
    bodies = [
        FailureBody(
            monitor_id=d.claim.monitor,
            probe_id=d.claim.probe,
            at=d.at,
            body=d.outcome.body.decode("utf-8", "replace").replace("\x00", "�"),
        )
        for d in fresh
        if d.outcome.body
    ]
    if bodies:
        FailureBody.objects.bulk_create(bodies)
    if fresh:
        ask_others(fresh)
    expiring = [d for d in done if _news(d)]
    if expiring:
        with transaction.atomic():
            _expiry(expiring)
        for d in expiring:
            _known[d.claim.monitor] = _key(d)
            _known.move_to_end(d.claim.monitor)
        while len(_known) > 100_000:
            _known.popitem(last=False)
    host_findings.note(done)
    container_findings.note(done)


def ask_others(fresh: Sequence[store.Done]) -> None:
    """At a first failure every other probe of the monitor is due at once, so a quorum is known in seconds (STA-2)."""
    at = fresh[0].at
    by_probe: dict[int, list[int]] = {}
    for d in fresh:
        by_probe.setdefault(d.claim.probe, []).append(d.claim.monitor)
    if sum(store.rush(monitors, at, not_probe=probe) for probe, monitors in by_probe.items()):
        bells.ring(bells.PROBE)


def _key(d: store.Done) -> tuple[Any, ...]:
    certificate, domain = d.outcome.facts.get("certificate"), d.outcome.facts.get("domain")
    if certificate:
        days = _days(certificate["not_after"], d.at)
        event = engine.certificate_event(
            days_left=days,
            chain_error=certificate.get("chain_error") or "",
            hostname_ok=bool(certificate.get("hostname_ok", True)),
        )
        return certificate["fingerprint"], event, d.at.toordinal()
    if domain:
        return "domain", _domain_event(domain, d.at), d.at.toordinal()
    return ()


def _news(d: store.Done) -> bool:
    """Is there something to look at? Once a day, and whenever the certificate or what follows from it changes."""
    key = _key(d)
    return bool(key) and _known.get(d.claim.monitor) != key


def _days(iso: str, at: datetime) -> float:
    return (datetime.fromisoformat(iso).astimezone(UTC) - at).total_seconds() / 86400


def _domain_event(domain: dict[str, Any], at: datetime) -> tuple[str, str, str] | None:
    days = _days(domain["expires_at"], at)
    crossed = [t for t in engine.CERTIFICATE_DAYS if days <= t]
    if days > 0 and not crossed:
        return None
    threshold = min(crossed) if crossed and days > 0 else 0
    return "expiring", f"expiring:{threshold}", "critical" if threshold <= 7 else "warning"


def _expiry(done: Sequence[store.Done]) -> None:
    monitors = {
        m.pk: m
        for m in subjects.with_tags(
            Monitor.objects.filter(pk__in=[d.claim.monitor for d in done])
            .select_for_update(of=("self",))
            .order_by("pk")
        )
    }
    reports: list[Report] = []
    for d in done:
        m = monitors.get(d.claim.monitor)
        if m is None or not m.enabled:
            continue
        certificate = d.outcome.facts.get("certificate")
        if certificate:
            reports += _certificate(m, certificate, d)
        elif d.outcome.facts.get("domain"):
            reports += _domain(m, d.outcome.facts["domain"], d)
    report(reports)


def _certificate(m: Monitor, seen: dict[str, Any], d: store.Done) -> list[Report]:
    """One alert per monitor's certificate; each threshold crossed is an occasion of its own, told once per fingerprint."""
    not_after = datetime.fromisoformat(seen["not_after"])
    row, _ = Certificate.objects.update_or_create(
        monitor=m, fingerprint=seen["fingerprint"],
        defaults={
            "subject": str(seen.get("subject", ""))[:300], "issuer": str(seen.get("issuer", ""))[:300], "names": seen.get("names", [])[:100],
            "not_before": datetime.fromisoformat(seen["not_before"]) if seen.get("not_before") else None, "not_after": not_after,
            "chain_error": (seen.get("chain_error") or "")[:300], "hostname_ok": bool(seen.get("hostname_ok", True)), "last_seen_at": d.at,
        },
        create_defaults={
            "subject": str(seen.get("subject", ""))[:300], "issuer": str(seen.get("issuer", ""))[:300], "names": seen.get("names", [])[:100],
            "not_before": datetime.fromisoformat(seen["not_before"]) if seen.get("not_before") else None, "not_after": not_after,
            "chain_error": (seen.get("chain_error") or "")[:300], "hostname_ok": bool(seen.get("hostname_ok", True)), "last_seen_at": d.at, "first_seen_at": d.at,
        },
    )  # fmt: skip
    days = _days(seen["not_after"], d.at)
    event = engine.certificate_event(
        days_left=days, chain_error=seen.get("chain_error") or "", hostname_ok=bool(seen.get("hostname_ok", True))
    )
    return _occasions(m, "certificate", event, d, told=row.told, remember=row, words={
        "expiring": (f"Certificate of {m.name} expires in {max(0, int(days))} days", f"Valid until {not_after:%Y-%m-%d %H:%M} UTC, issued by {row.issuer}."),
        "expired": (f"Certificate of {m.name} has expired", f"It was valid until {not_after:%Y-%m-%d %H:%M} UTC."),
        "chain_invalid": (f"Certificate chain of {m.name} is invalid", row.chain_error),
        "hostname_mismatch": (f"Certificate of {m.name} is for another name", f"It names {', '.join(row.names[:5]) or 'nothing'}."),
    })  # fmt: skip


def _domain(m: Monitor, seen: dict[str, Any], d: store.Done) -> list[Report]:
    days = _days(seen["expires_at"], d.at)
    return _occasions(m, "domain", _domain_event(seen, d.at), d, told=None, remember=None, words={
        "expiring": (f"Domain of {m.name} expires in {max(0, int(days))} days", f"Registered until {seen['expires_at'][:10]}" + (f" at {seen['registrar']}." if seen.get("registrar") else ".")),
    })  # fmt: skip


def _occasions(
    m: Monitor,
    source: str,
    event: tuple[str, str, str] | None,
    d: store.Done,
    *,
    told: list[str] | None,
    remember: Certificate | None,
    words: dict[str, tuple[str, str]],
) -> list[Report]:
    """The open occasion of this condition follows the present: crossing the next threshold closes the last one quietly and opens its own."""
    prefix = source
    open_now = list(
        Alert.objects.filter(
            resolved_at=None,
            source=source,
            entity_type="monitor",
            entity_id=str(m.pk),
            condition__startswith=f"{prefix}:",
        )
    )
    condition = f"{prefix}:{event[1]}" if event else ""
    reports = []
    for alert in open_now:
        if alert.condition != condition:
            reports.append(
                subjects.report_of(
                    m,
                    source=source,
                    condition=alert.condition,
                    event=alert.event,
                    failing=False,
                    at=d.at,
                    severity=alert.severity,
                    quiet=event is not None,
                )
            )
    if event is None:
        return reports
    first_time = told is None or event[1] not in told
    if first_time or any(a.condition == condition for a in open_now):
        title, message = words[event[0]]
        reports.append(
            subjects.report_of(
                m,
                source=source,
                condition=condition,
                event=event[0],
                failing=True,
                at=d.at,
                severity=event[2],
                title=title,
                message=message,
            )
        )
    if remember is not None and first_time:
        remember.told = [*remember.told, event[1]]
        remember.save(update_fields=["told"])
    return reports
