"""What is on the stage: monitors with results, an outage with its alert, incident and deliveries. Made through the doors."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace

from django.db import transaction

from alerts.models import Attempt, Channel, Delivery, Trigger
from alerts.report import report
from incidents.models import Incident
from monitors import partitions, services, subjects
from monitors.models import Monitor, Probe, ProbeState, Result, StateChange
from portal.clock import database_now
from portal.models import Client
from tests import cast

URL = "https://shop.acme.example/health"


def monitor(of: Client | None = None, name: str = "shop", kind: str = "http", config: dict | None = None) -> Monitor:
    """A monitor of this client (Acme when none is named)."""
    return services.save(
        Monitor(client=of or cast.acme(), name=name, kind=kind, config=config or {"url": URL}),
        by=cast.TESTS,
        at=database_now(),
        tags=["prod"],
        trusted=True,
    )


def results(m: Monitor, at: datetime, count: int = 12, status: int = 1) -> None:
    """A result a minute, the last one now."""
    partitions.ensure((at - timedelta(minutes=count)).date(), at.date())
    probe = Probe.objects.get(slug="local")
    Result.objects.bulk_create(
        Result(
            monitor_id=m.pk, probe_id=probe.pk, ts=at - timedelta(minutes=n), status=status, dns_ms=2.0, connect_ms=9.0, tls_ms=21.0, first_byte_ms=40.0 + n, total_ms=80.0 + n,
            http_status=200,
        )
        for n in range(count)
    )  # fmt: skip
    ProbeState.objects.filter(monitor=m).update(
        status=status, vote=status, last_at=at, last_ms=80.0, streak=count, since=at - timedelta(minutes=count)
    )


def state(m: Monitor, to: str, at: datetime, reason: str = "") -> None:
    """The state as the evaluator would have left it."""
    StateChange.objects.create(
        monitor=m,
        version=m.state_version + 1,
        at=at,
        from_state=m.state,
        to_state=to,
        reason=reason,
        first_failure_at=at if to == "down" else None,
    )
    Monitor.objects.filter(pk=m.pk).update(
        state=to, state_since=at, state_reason=reason, state_version=m.state_version + 1
    )
    m.refresh_from_db()


def channel(of: Client | None = None, name: str = "Ops") -> Channel:
    """A channel that one trigger names."""
    row = Channel.objects.create(client=of, name=name, type="webhook", config={"url": "http://127.0.0.1:9/hook"})
    trigger = Trigger.objects.create(client=of, name=f"To {name} of {of or 'us'}")
    trigger.channels.add(row)
    return row


def fail(m: Monitor, at: datetime) -> object:
    """It goes down, with everything that follows from it."""
    state(m, "down", at, "The connection was refused")
    loaded = subjects.with_tags(Monitor.objects.filter(pk=m.pk)).get()
    with transaction.atomic():
        (alert,) = report(
            [
                subjects.report_of(
                    loaded,
                    source="endpoint",
                    condition="health",
                    event="consecutive_failure",
                    failing=True,
                    at=at,
                    severity="critical",
                    title=f"{m.name} is down",
                    message="The connection was refused",
                )
            ]
        )
    return alert


def outage(of: Client | None = None) -> SimpleNamespace:
    """One monitor up, one down since six minutes; staff and the client's own channel were told, one with a failed attempt."""
    of, at = of or cast.acme(), database_now()
    ours, theirs = channel(None, "Ops"), channel(of, f"{of.name} ops")
    up, down = monitor(of, "shop"), monitor(of, "api", config={"url": "https://api.acme.example/"})
    results(up, at)
    state(up, "up", at - timedelta(days=2))
    results(down, at, status=3)
    alert = fail(down, at - timedelta(minutes=6))
    for row in Delivery.objects.filter(alert=alert):
        Attempt.objects.create(
            delivery=row,
            n=1,
            at=at - timedelta(minutes=6),
            outcome="retry",
            response_code=503,
            duration_ms=120.0,
            error="HTTP 503",
        )
        if row.channel_id == theirs.pk:
            Attempt.objects.create(
                delivery=row,
                n=2,
                at=at - timedelta(minutes=5),
                outcome="delivered",
                response_code=200,
                duration_ms=88.0,
            )
            Delivery.objects.filter(pk=row.pk).update(
                state="delivered", finished_at=at - timedelta(minutes=5), attempt=2
            )
        else:
            Delivery.objects.filter(pk=row.pk).update(
                state="failed", finished_at=at - timedelta(minutes=5), attempt=5, reason="HTTP 503"
            )
    return SimpleNamespace(
        up=up,
        down=down,
        alert=alert,
        incident=Incident.objects.get(pk=alert.incident_id) if alert.incident_id else None,
        ours=ours,
        theirs=theirs,
        client=of,
    )
