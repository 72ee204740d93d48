"""How do channels, triggers, people and whole clients go into the trash? Who is told by them is told no more, at once."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q

from alerts.models import Alert, Channel, Delivery, Trigger
from alerts.report import close
from portal import leaving, tenancy, trash
from portal.audit import Actor
from portal.models import Client, Contact
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


# --- A whole client -------------------------------------------------------------------------------------------------------
def client_leaves(client: Client, by: Actor, at: datetime) -> Taken:
    """What is open about it closes without a word, and nothing that waits is sent, to its people or about it to ours."""
    own = leaving.hide(client, at, Channel, Trigger)
    theirs = Q(client=client) | Q(channel__client=client) | Q(contact__client=client) | Q(alert__client=client)
    drop(theirs, "The client was deleted.", at)
    open_ones = list(Alert.objects.filter(client=client, resolved_at=None).order_by("pk").select_for_update())
    if open_ones:
        close(open_ones, at=at, by=by, quiet=True)
    return own


def client_returns(client: Client, own: Taken, by: Actor, at: datetime) -> list[str]:
    """Its channels and triggers tell again, from then on."""
    leaving.show(own, Channel, Trigger)
    return []


# What we were told about it by channels and policies of our own.
for label, path in (
    ("alerts.Delivery", "client"),
    ("alerts.Attempt", "delivery__client"),
    ("alerts.Run", "client"),
    ("alerts.Step", "run__client"),
):
    tenancy.concerns(label, path)
leaving.register("alerts", leaving.Part(client_leaves, client_returns))
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
