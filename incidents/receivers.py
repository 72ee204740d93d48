"""What do incidents do about alerts? They gather them, follow their acknowledgement and end with them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from alerts.models import Alert
from alerts.signals import alert_changed, alert_closed, alert_opened
from incidents import gathering, machine
from portal.audit import PORTAL, Actor


def connect() -> None:
    """Listen."""
    alert_opened.connect(on_opened, dispatch_uid="incidents.opened")
    alert_changed.connect(on_changed, dispatch_uid="incidents.changed")
    alert_closed.connect(on_closed, dispatch_uid="incidents.closed")


def on_opened(sender: object, alerts: list[Alert], at: datetime, **_: Any) -> None:
    """Before anybody is told, so that the first message names the incident."""
    gathering.gather(alerts, at)


def on_changed(sender: object, alerts: list[Alert], at: datetime, change: str, by: Actor = PORTAL, **_: Any) -> None:
    """A raise to critical opens an incident; an acknowledgement is the incident's too."""
    if change == "raised":
        gathering.gather(alerts, at)
    elif change == "acknowledged":
        machine.alerts_acknowledged(alerts, at, by)
    elif change == "verdict":
        machine.alerts_diagnosed(alerts, at)


def on_closed(
    sender: object, alerts: list[Alert], at: datetime, by: Actor = PORTAL, manual: bool = False, **_: Any
) -> None:
    """Recovery resolves what the machine opened."""
    machine.alerts_closed(alerts, at, by, manual)
