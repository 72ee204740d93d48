"""Which alerts of the last week does a trigger want? Judged by the rules that route for real, for pages and API alike.

A trigger that is being written is judged before it is saved: nothing is stored, nobody is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError

from alerts import engine, facts, services
from alerts.models import Alert, Trigger
from portal.tenancy import Viewer

WEEK = timedelta(days=7)
MOST = 500
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Recent:
    """The alerts that a visitor may see, newest first, each with its facts at the moment it was opened."""

    alerts: list[tuple[Alert, engine.Facts]]
    since: datetime
    cut: bool  # there are more than could be looked at

    def wanted_by(self, rule: engine.Rule) -> list[Alert]:
        """Those that the rule does not refuse, newest first."""
        return [alert for alert, known in self.alerts if not engine.refuses(rule, known, alert.created_at)]


def recent(viewer: Viewer, at: datetime) -> Recent:
    """The alerts of the last seven days, in a constant number of queries."""
    since = at - WEEK
    rows = Alert.objects.for_user(viewer).filter(created_at__gte=since).select_related("client")
    alerts = list(rows.defer("message", "verdict", "evidence", "links", "correlation").order_by("-pk")[: MOST + 1])
    kept = alerts[:MOST]
    around = facts.named(kept)
    return Recent([(a, around.of(a, a.created_at)) for a in kept], since, len(alerts) > MOST)


def trial(values: Mapping[str, Any], row: Trigger | None = None) -> engine.Rule:
    """The rule of a trigger with these values, on top of a saved one's; ValidationError at the fields."""
    given = dict(values)
    complaints = services.judged(row, given)
    if complaints:
        raise ValidationError(complaints)
    said = {name: given.get(name, getattr(row, name, "")) for name in services.FILTERS}
    start, end = (given.get(name, getattr(row, name, None)) for name in ("from_time", "until_time"))
    client = row.client_id if row is not None else getattr(given.get("client"), "pk", None)
    return engine.Rule(
        id=row.pk if row is not None else 0, name=given.get("name", ""), client=client, severities=engine.words(said["filter_severities"]),
        sources=engine.words(said["filter_sources"]), scopes=engine.words(said["filter_scopes"]), tags=engine.words(said["filter_tags"]),
        weekdays=frozenset(int(day) for day in engine.words(said["weekdays"])), hours=(start, end) if start is not None and end is not None else None,
        zone=given.get("timezone") or getattr(row, "timezone", "UTC"),
    )  # fmt: skip
