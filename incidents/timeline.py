"""What happened to an incident, in order? Its own entries and the pages sent for its alerts, read from the deliveries."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from alerts.models import Delivery
from incidents.models import Incident

MOST_DELIVERIES = 1000  # of a storm's thousands, the first


def timeline(incident: Incident, viewer: Any) -> list[dict[str, Any]]:
    """[{at, kind, by, text, data}], oldest first. Messages to channels that `viewer` does not see are left out."""
    entries = [
        {"at": e.at, "kind": e.kind, "by": e.by, "text": e.text, "data": e.data} for e in incident.timeline.all()
    ]
    sent = (
        Delivery.objects.for_user(viewer)
        .filter(alert__incident_link__incident=incident)
        .select_related("channel", "contact")
        .order_by("id")
    )
    entries += [page(d) for d in sent[:MOST_DELIVERIES]]
    return sorted(entries, key=lambda e: e["at"])


def page(d: Delivery) -> dict[str, Any]:
    """A message as an entry: `delivered` at the moment it was, anything else when it was owed."""
    who = f"{d.contact} by {d.channel}" if d.contact else str(d.channel)
    words = {"opened": "Told", "raised": "Told of the raise", "recovered": "Told of the recovery"}.get(
        d.kind, d.kind.capitalize()
    )
    state = (
        ""
        if d.state == Delivery.State.DELIVERED
        else f": {d.get_state_display().lower()}" + (f" ({d.reason})" if d.reason else "")
    )
    data = {
        "delivery": d.pk,
        "alert": d.alert_id,
        "channel": d.channel_id,
        "contact": d.contact_id,
        "event": d.kind,
        "state": d.state,
        "via": d.via,
    }
    at: datetime = d.finished_at or d.created_at
    return {"at": at, "kind": "page", "by": "", "text": f"{words}: {who}{state}", "data": data}
