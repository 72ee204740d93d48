"""What is open now, in one message? A digest on demand: everything that a channel's owner may know, worst first."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from alerts import facts, unsubscribing
from alerts.gathering import MOST_LINES
from alerts.models import Alert, Channel, Delivery, Notice
from alerts.models.alert import RANK
from alerts.snapshot import cause, moment
from portal import audit, bells
from portal.audit import Actor
from portal.errors import Refused


def send(channel: Channel, *, by: Actor, at: datetime) -> Delivery:
    """Owe the channel one message with all alerts that are open. Refused when it is switched off, or its reader wants none."""
    obstacle = facts.obstacle(channel)
    if obstacle:
        raise Refused(f"This channel cannot be used: {obstacle}.")
    if channel.digests_stopped_at is not None:
        raise Refused(unsubscribing.stopped(channel))
    with transaction.atomic():
        rows = Alert.objects.filter(resolved_at=None).select_related("client")
        if channel.client_id is not None:
            rows = rows.filter(client=channel.client_id)
        total = rows.count()
        worst = sorted(rows.order_by("-id")[:2000], key=lambda a: (-RANK[a.severity], a.pk))
        counts = {word: sum(a.severity == word for a in worst) for word in ("critical", "warning", "info")}
        said = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
        severity = next((word for word, n in counts.items() if n), "info")
        notice = Notice.objects.create(
            client_id=channel.client_id, kind=Notice.Kind.DIGEST, event="digest", type="digest", severity=severity, created_at=at,
            snapshot={
                "kind": "digest", "event": "digest", "type": "digest", "severity": severity,
                "title": f"{total} open alerts: {said}" if total else "Nothing is open", "cause": f"Asked for by {by.name}.", "at": moment(at),
                "facts": [["Open alerts", str(total)]], "links": [{"rel": "open", "label": "Open overview", "url": facts.portal_url("/")}],
                "lines": [_line(a) for a in worst[:MOST_LINES]], "more": max(0, total - MOST_LINES), "thread": f"gathered-{channel.pk}",
                "digest_of": channel.pk,
            },
        )  # fmt: skip
        row = Delivery.objects.create(
            notice=notice, kind=notice.kind, destination_key=channel.destination_key, channel=channel, client_id=channel.client_id, via=f"digest for {by.name}"[:200],
            priority=6, next_attempt_at=at, created_at=at,
        )  # fmt: skip
        audit.record("channel.digest", channel, by=by, client_id=channel.client_id)
        bells.ring_on_commit(bells.SEND)
        return row


def _line(a: Alert) -> dict:
    return {
        "severity": a.severity, "event": a.event, "name": a.entity_name, "client": a.client.name if a.client else "",
        "cause": cause(a)[:200],
        "url": facts.portal_url(f"/alerts/{a.pk}/"),
    }  # fmt: skip
