"""Does a channel that has been quiet for months still work? A weekly test message for those that ask for it (SPEC DLV-7).

It is sent like every other message, with retries; when it fails, the channel is marked and its owner told another way.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from alerts.models import Channel, Delivery, Notice
from alerts.snapshot import moment
from portal import bells

EVERY = timedelta(days=7)


def step(at: datetime) -> int:
    """Write the test messages that are due; returns how many."""
    due = Q(canary_at=None) | Q(canary_at__lte=at - EVERY)
    sent = 0
    for channel in Channel.objects.filter(due, canary=True, enabled=True).order_by("pk")[:500]:
        with transaction.atomic():
            if Channel.objects.filter(due, pk=channel.pk, canary=True).update(canary_at=at):
                _write(channel, at)
                sent += 1
    return sent


def _write(channel: Channel, at: datetime) -> None:
    notice = Notice.objects.create(
        client_id=channel.client_id, kind=Notice.Kind.CANARY, event="test", type="canary", severity="info", created_at=at,
        snapshot={
            "kind": "canary", "event": "test", "type": "canary", "severity": "info", "title": f"Weekly test of {channel.name}",
            "cause": "Nothing is wrong. If you can read this, the channel works.", "at": moment(at), "links": [], "facts": [["Channel", channel.name]],
        },
    )  # fmt: skip
    Delivery.objects.create(
        notice=notice, kind=notice.kind, destination_key=channel.destination_key, channel=channel, contact_id=channel.contact_id, client_id=channel.client_id,
        via="weekly test", priority=9, next_attempt_at=at, created_at=at,
    )  # fmt: skip
    bells.ring_on_commit(bells.SEND)
