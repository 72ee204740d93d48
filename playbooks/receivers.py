"""What do playbooks do about news? Alerts that open or are explained are considered; what ends or changes voids what waits."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from alerts.models import Alert
from alerts.signals import alert_changed, alert_closed, alert_opened
from playbooks import proposing


def connect() -> None:
    """Listen; after incidents, so that a run knows its incident."""
    alert_opened.connect(on_opened, dispatch_uid="playbooks.opened")
    alert_changed.connect(on_changed, dispatch_uid="playbooks.changed")
    alert_closed.connect(on_closed, dispatch_uid="playbooks.closed")


def on_opened(sender: object, alerts: list[Alert], at: datetime, **_: Any) -> None:
    """Before anybody is told, so that the first message has the button."""
    proposing.consider(alerts, at)


def on_changed(sender: object, alerts: list[Alert], at: datetime, change: str, **_: Any) -> None:
    """The cause is known, or another; or it became worse."""
    if change == "verdict":
        proposing.verdict_changed(alerts, at)
    if change in ("verdict", "raised"):
        proposing.consider([a for a in alerts if not a.is_resolved], at)


def on_closed(sender: object, alerts: list[Alert], at: datetime, **_: Any) -> None:
    """It is over."""
    proposing.alerts_over(alerts, at)
