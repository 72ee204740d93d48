"""How are escalations played on stage? Policies whose levels call channels, and a sweep that carries out what is due."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from alerts import escalator, policies
from alerts.models import Alert, Channel, ContactChannel, Delivery, EscalationPolicy, Run
from portal.models import Client, Contact
from tests import cast
from tests.alerts import stage

CALLED = ("escalated", "exhausted")


def level(delay: int, *channels: Channel, **values: Any) -> dict[str, Any]:
    """One rung, so many seconds after the start."""
    return {"delay_seconds": delay, "channels": list(channels), **values}


def policy(*levels: dict[str, Any], name: str = "Ops", **values: Any) -> EscalationPolicy:
    """A policy for every alert, unless `values` says otherwise."""
    return policies.save_policy(None, by=cast.TESTS, name=name, levels=list(levels), **values)


def person(name: str, channel: Channel, of: Client | None = None, **way: Any) -> Contact:
    """Somebody who is reached by that channel."""
    contact = Contact.objects.create(client=of, name=name)
    ContactChannel.objects.create(contact=contact, channel=channel, **way)
    return contact


def sweep(at: datetime) -> int:
    """Carry out everything that is due; how many runs moved."""
    moved = 0
    while more := escalator.climb(at):
        moved += more
    return moved


def until(at: datetime, every: float = 5) -> None:
    """Sweep every few seconds from T until then, as the loop would."""
    now = stage.T
    while now <= at:
        sweep(now)
        now += timedelta(seconds=every)


def run(alert: Alert) -> Run:
    """The alert's newest run."""
    return Run.objects.filter(alert=alert).latest("pk")


def calls(alert: Alert | None = None) -> list[tuple[str, float]]:
    """(channel, seconds after T) of everything that escalation said, in order."""
    rows = Delivery.objects.filter(kind__in=CALLED).select_related("channel").order_by("pk")
    rows = rows.filter(alert=alert) if alert else rows
    return [(d.channel.name, (d.created_at - stage.T).total_seconds()) for d in rows]


def kinds(alert: Alert, channel: Channel) -> list[tuple[str, str]]:
    """(kind, state) of what a channel was owed of an alert."""
    rows = Delivery.objects.filter(alert=alert, channel=channel).order_by("pk")
    return [(d.kind, d.state) for d in rows]
