"""Somebody says "I take it", from wherever: what happens, and what are they told? The one door of all answers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alerts import acts, channels, links
from alerts.channels.base import Channel as Kind
from alerts.channels.wording import cut, one_line
from alerts.models import Alert, Channel, Delivery
from alerts.opening import open_channel
from portal.audit import Actor
from portal.errors import Refused
from portal.models import ProviderSettings
from portal.secrets import CannotOpen

log = logging.getLogger("watchkeeper.hooks")

DONE, ALREADY, RESOLVED, EXPIRED, UNKNOWN = "done", "already", "resolved", "expired", "unknown"
NOBODY = "somebody"


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of it. `sentence` is one line for a person; only `done` changed anything."""

    state: str
    sentence: str
    alert: Alert | None = None

    @property
    def done(self) -> bool:
        return self.state == DONE


def person_of(row: Delivery) -> str:
    """Who a delivery went to: its contact, the owner of its channel, else the channel's name."""
    contact = row.contact or row.channel.contact
    return one_line(contact.name if contact else row.channel.name)[:200]


def user_of(row: Delivery) -> int | None:
    """The account of that person, if they have one."""
    contact = row.contact or row.channel.contact
    return contact.user_id if contact else None


def take(
    row: Delivery | None,
    obstacle: str,
    *,
    name: str,
    where: str,
    at: datetime,
    ip: str = "",
    user_id: int | None = None,
) -> Taken:
    """Acknowledge what a delivery told of. `obstacle` is what `links.find` said; `where` goes into the audit log.

    Escalation stops only when the answer is `done`, or was done by somebody before.
    """
    if row is None or row.alert is None:
        return Taken(UNKNOWN, "There is no such alert. Nothing was acknowledged.")
    about = named(row.alert)
    if obstacle:
        return Taken(EXPIRED, f"This is older than 24 hours, so nothing was acknowledged: {about}", row.alert)
    by = Actor(f"{name or NOBODY} ({where})"[:200], ip=ip, user_id=user_id)
    try:
        alert = acts.acknowledge(row.alert, by=by, at=at, name=name or NOBODY)
    except Refused:
        return Taken(RESOLVED, f"It is resolved already, nothing is left to acknowledge: {about}", row.alert)
    if alert.acknowledged_at != at:
        return Taken(ALREADY, f"{one_line(alert.acknowledged_by)} has it already: {about}", alert)
    return Taken(DONE, f"You have it. Escalation stops; it stays open until it recovers: {about}", alert)


def named(alert: Alert) -> str:
    """The alert in a few words."""
    return cut(one_line(alert.title), 60)


# --- Channels and their accounts ----------------------------------------------------------------------------------------
def accounts() -> dict[str, dict[str, Any]]:
    """Every provider's settings, opened; without those that no key opens any more."""
    found: dict[str, dict[str, Any]] = {}
    for row in ProviderSettings.objects.all():
        try:
            found[row.provider] = row.values()
        except CannotOpen:
            log.error("the settings of %s cannot be opened; enter them again", row.provider)
    return found


def opened(row: Channel, providers: dict[str, dict[str, Any]]) -> Kind | None:
    """The channel with its account; None when its settings no longer fit or cannot be opened."""
    try:
        return open_channel(row, providers)
    except Exception:  # any fault in old settings means that nothing can be proved by them
        return None


def by_token(token: str, at: datetime) -> tuple[Delivery | None, str]:
    """`links.find`, with the channel's own contact at hand."""
    row, obstacle = links.find(token[:60], at)
    if row is not None and row.channel.type not in channels.KINDS:
        return None, UNKNOWN
    return row, obstacle
