"""Whose news does a public page show? Monitors' states, incidents and maintenance: each marks the pages concerned, in sets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save

from alerts.models import MaintenanceWindow
from alerts.signals import maintenance_changed
from incidents.models import Incident
from incidents.signals import incident_changed
from monitors.models import Monitor
from monitors.signals import state_changed
from statuspages import projection, services, serving
from statuspages.models import Page, Projection, ScheduledWork


def connect() -> None:
    """Listen."""
    state_changed.connect(on_states, dispatch_uid="statuspages.receivers.states")
    incident_changed.connect(on_incidents, dispatch_uid="statuspages.receivers.incidents")
    maintenance_changed.connect(on_maintenance, dispatch_uid="statuspages.receivers.maintenance")
    for sender in (Page, Projection):
        post_save.connect(on_saved, sender=sender, dispatch_uid=f"statuspages.receivers.saved.{sender.__name__}")
        post_delete.connect(on_saved, sender=sender, dispatch_uid=f"statuspages.receivers.deleted.{sender.__name__}")


def on_states(sender: object, monitors: list[Monitor], at: datetime, **_: Any) -> None:
    """Monitors took another state."""
    theirs = {m.service_id for m in monitors if m.service_id}
    projection.want(projection.pages_of_monitors([m.pk for m in monitors], theirs), at=at)


def on_incidents(sender: object, incidents: list[Incident], at: datetime, change: str = "", **_: Any) -> None:
    """Incidents that may be published changed: what a rule publishes comes first, then what readers are told."""
    if change == "opened":
        services.auto_publish(incidents, at)
    services.pass_on(incidents, at, change)
    projection.want(projection.pages_of_incidents([i.pk for i in incidents]), at=at)


def on_maintenance(sender: object, windows: list[MaintenanceWindow], at: datetime, **_: Any) -> None:
    """Work began or ended that a page announced. What it does to monitors comes as their states."""
    ids = ScheduledWork.objects.filter(window__in=[w.pk for w in windows]).order_by().values_list("page_id", flat=True)
    projection.want(list(ids.distinct()), at=at)


def on_saved(sender: object, **_: Any) -> None:
    """This process looks again before it serves; others do within a second."""
    serving.board.look_again()
    transaction.on_commit(serving.board.look_again, robust=True)
