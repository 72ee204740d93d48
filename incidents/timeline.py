"""What happened to an incident, in order? Its own entries, its monitors' changes of state, and the pages sent for its alerts.

Only the first are stored here; the others are read where they are written.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from alerts.models import Delivery
from incidents.models import Incident
from monitors.models import Monitor, StateChange

MOST_DELIVERIES = 1000  # of a storm's thousands, the first
MOST_CHANGES = 500
AROUND = timedelta(seconds=5)  # the change of state and what follows from it are a moment apart


def timeline(incident: Incident, viewer: Any) -> list[dict[str, Any]]:
    """[{at, kind, by, text, data}], oldest first. Messages to channels that `viewer` does not see are left out."""
    return _gathered(incident, Delivery.objects.for_user(viewer), Monitor.objects.for_user(viewer))


def for_everybody(incident: Incident) -> list[dict[str, Any]]:
    """The same as far as everybody may read it who sees the incident: of messages, those to its client's own channels."""
    sent = Delivery.objects.filter(channel__client=incident.client_id)
    return _gathered(incident, sent, Monitor.objects.filter(client=incident.client_id))


def _gathered(incident: Incident, sent: Any, monitors: Any) -> list[dict[str, Any]]:
    entries = [
        {"at": e.at, "kind": e.kind, "by": e.by, "text": e.text, "data": e.data} for e in incident.timeline.all()
    ]
    told = sent.filter(alert__incident_link__incident=incident).select_related("channel", "contact").order_by("id")
    entries += [page(d) for d in told[:MOST_DELIVERIES]]
    entries += [step(c) for c in changes(incident, monitors)[:MOST_CHANGES]]
    return sorted(entries, key=lambda e: e["at"])


def changes(incident: Incident, monitors: Any) -> Any:
    """The changes of state of those of `monitors` that it affects, from its beginning to its end, oldest first."""
    since = min(incident.created_at, incident.began_at or incident.created_at) - AROUND
    mine = monitors.filter(pk__in=incident.affected_monitor_ids).order_by().values("pk")
    rows = StateChange.objects.filter(monitor__in=mine, at__gte=since).select_related("monitor")
    if incident.resolved_at is not None:
        rows = rows.filter(at__lte=incident.resolved_at + AROUND)
    return rows.order_by("at", "monitor", "version")


def step(c: StateChange) -> dict[str, Any]:
    """A change of state as an entry."""
    text = f"{c.monitor.name}: {c.get_from_state_display().lower()} → {c.get_to_state_display().lower()}"
    data = {"monitor": c.monitor_id, "from": c.from_state, "to": c.to_state, "layer": c.layer}
    return {"at": c.at, "kind": "state", "by": "", "text": text + (f" ({c.reason})" if c.reason else ""), "data": data}


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
