"""What happens on stage? Monitors that fail and recover, channels and triggers that hear of it, workers that send.

Plain functions over the product's own doors; times are minutes after T.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction

from alerts import outbox, services
from alerts.models import Alert, Channel, Delivery, Trigger
from alerts.report import Report, report
from portal.models import Client
from tests import cast

T = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def later(minutes: float = 0, seconds: float = 0) -> datetime:
    """So long after T."""
    return T + timedelta(minutes=minutes, seconds=seconds)


def failing(
    monitor: int = 7, at: datetime = T, *, client: Client | None = None, failing: bool = True, **values: Any
) -> Report:
    """The report of a monitor that is down (or, by `values`, something else)."""
    base: dict[str, Any] = {
        "source": "endpoint", "condition": "health", "event": "consecutive_failure", "entity_type": "monitor", "entity_id": str(monitor),
        "entity_name": f"monitor-{monitor}", "title": f"monitor-{monitor} is down", "message": "connection refused", "severity": "critical",
        "client_id": (client or cast.acme()).pk, "monitor_id": monitor, "kind": "http", "target": "https://shop.acme.example",
    }  # fmt: skip
    return Report(at=at, failing=failing, **{**base, **values})


def well(monitor: int = 7, at: datetime = T, **values: Any) -> Report:
    """The report of the same monitor that is up again."""
    return failing(monitor, at, failing=False, **values)


def tell(*reports: Report) -> list[Alert]:
    """Report, in a transaction of its own; the alerts that were opened."""
    with transaction.atomic():
        return report(reports)


def webhook(
    name: str = "ops", of: Client | None = None, url: str = "https://hooks.example/ops", **values: Any
) -> Channel:
    """A channel for machines: nothing is gathered."""
    return Channel.objects.create(client=of, name=name, type="webhook", config={"url": url}, **values)


def mail(name: str = "Ana's mail", of: Client | None = None, **values: Any) -> Channel:
    """A channel for people: more than one message in a minute is gathered."""
    return Channel.objects.create(client=of, name=name, type="email", config={"to": ["ana@acme.example"]}, **values)


def trigger(*channels: Channel, name: str = "All", **values: Any) -> Trigger:
    """A trigger that sends everything there, unless `values` says what."""
    return services.save_trigger(None, by=cast.TESTS, name=name, channels=list(channels), **values)


def rows(alert: Alert | None = None, **values: Any) -> list[Delivery]:
    """Deliveries in the order they were made."""
    wanted = Delivery.objects.filter(**values).select_related("notice").order_by("id")
    return list(wanted.filter(alert=alert) if alert else wanted)


def told(alert: Alert | None = None) -> list[tuple[str, str]]:
    """(kind, state) of each delivery."""
    return [(d.kind, d.state) for d in rows(alert)]


def claim(at: datetime, limit: int = 100, worker: str = "w1") -> list[Delivery]:
    """What a worker takes."""
    return outbox.claim(worker, limit, at)


def ends(row: Delivery, outcome: str = "delivered", at: datetime | None = None, **values: Any) -> int:
    """One claimed delivery's attempt ended so; returns how many were fenced off."""
    at = at or row.next_attempt_at
    return outbox.finish([outbox.Outcome(row.pk, row.lease_token or 0, row.attempt, outcome, at, **values)])


def drain(at: datetime) -> list[Delivery]:
    """A worker delivers everything that is due; what it delivered, in order."""
    sent: list[Delivery] = []
    while found := claim(at):
        for row in found:
            ends(row, at=at)
        sent += found
    return sent
