"""How do channels, triggers and people go into the trash? Who is told by them is told no more, at once."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q

from alerts.models import Channel, Delivery, Trigger
from portal import trash
from portal.audit import Actor
from portal.models import Contact
from portal.trash import Taken

WAITING = (Delivery.State.PENDING, Delivery.State.HELD)


def drop(which: Q, why: str, at: datetime) -> None:
    """What waits to be sent is not sent any more; the log says why."""
    waiting = Delivery.objects.filter(which, state__in=WAITING)
    waiting.update(state=Delivery.State.EXPIRED, reason=why, gather=False, finished_at=at)


def leave_channel(row: Channel, by: Actor, at: datetime) -> Taken:
    """Nothing is sent through it any more."""
    drop(Q(channel=row), "The channel was deleted.", at)
    own = {"enabled": row.enabled}
    row.enabled = False
    row.save(update_fields=["enabled"])
    return own


def channel_back(row: Channel, own: Taken, by: Actor, at: datetime) -> list[str]:
    """On, if it was, unless the portal has made its like anew meanwhile: nobody is to be told twice."""
    like = (
        Channel.objects.filter(client=row.client_id, made_for=row.made_for).exclude(pk=row.pk) if row.made_for else None
    )
    again = like.first() if like is not None else None
    row.enabled = own["enabled"] and again is None
    row.save(update_fields=["enabled"])
    return [f"It stays switched off: “{again}” was made in its place meanwhile."] if again is not None else []


def leave_contact(row: Contact, by: Actor, at: datetime) -> Taken:
    """They are told nothing any more, by shared channels either."""
    drop(Q(contact=row), f"{row.name} was deleted from the contacts."[:300], at)
    return {}


trash.register(
    trash.Kind(
        Channel,
        "Channel",
        goes="Its settings, its message templates and the record of what was sent through it are deleted.",
        returns="Triggers, escalation levels and people that named it are told through it again.",
        rows=("alerts.ContactChannel.channel", "alerts.MessageTemplate.channel"),
        leave=leave_channel,
        back=channel_back,
    )
)
trash.register(
    trash.Kind(
        Contact,
        "Contact",
        goes="Channels of their own are deleted, with the record of what was sent there.",
        returns="They are reached as before: by their ways, in their groups, triggers, escalation levels and on-call turns.",
        rows=("alerts.ContactChannel.contact", "alerts.LayerMember.contact", "alerts.Override.contact"),
        along=("alerts.Channel.contact",),
        leave=leave_contact,
    )
)
trash.register(
    trash.Kind(
        Trigger,
        "Trigger",
        goes="Its filters and whom it tells are deleted. What was sent because of it stays on the record.",
        returns="It tells the same channels and people again, from then on.",
    )
)
