"""What is known of a service's monitors in a month? Their changes of state, the work on them, and when nothing was measured.

Read for `incidents.sla`, which counts; a constant number of queries for a service, but for maintenance windows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.db.models import Q

from alerts.models import Alert, Occurrence
from incidents import sla
from incidents.spans import Span, subtract, union
from monitors import maintenance
from monitors.history import raw_since
from monitors.models import Monitor, Rollup, StateChange
from portal.models import Service

ASKED = ("http", "tcp", "icmp", "dns", "tls", "domain", "smtp")  # kinds whose checks leave a result each time
HOUR = timedelta(hours=1)


def watched(services: Iterable[Service], start: datetime, until: datetime) -> dict[int, list[sla.Watched]]:
    """{service: what is known of each of its monitors}; a constant number of queries."""
    rows = list(Monitor.objects.filter(service__in=[s.pk for s in services]).order_by("name", "pk"))
    ids = [m.pk for m in rows]
    changes: dict[int, list[sla.Change]] = defaultdict(list)
    before: dict[int, str] = {}
    late = until + timedelta(days=1)  # what was confirmed just afterwards may have failed before
    stored = StateChange.objects.filter(monitor__in=ids, at__gte=start, at__lt=late).order_by("monitor", "version")
    for c in stored:
        before.setdefault(c.monitor_id, c.from_state)
        changes[c.monitor_id].append(sla.Change(c.at, c.to_state, c.first_failure_at, c.layer, c.reason))
    # Who did not change since is as it was; a monitor that is younger than the month was not measured before it came.
    last = StateChange.objects.filter(monitor__in=[pk for pk in ids if pk not in before], at__lt=start)
    for pk, state in last.order_by("monitor", "version").values_list("monitor_id", "to_state"):
        before[pk] = state
    work, beneath, blank = _work(rows, start, until), _beneath(ids, start, until), _blank(rows, start, until)
    found: dict[int, list[sla.Watched]] = defaultdict(list)
    for m in rows:
        shown = [
            (a, b, "maintenance") for a, b in _shown_work(before.get(m.pk, "unknown"), changes[m.pk], start, until)
        ]
        known = union((a, b) for a, b, _ in work[m.pk])
        extra = [(a, b, t) for s, e, t in shown for a, b in subtract([(s, e)], known)]
        found[m.service_id or 0].append(
            sla.Watched(
                m.pk,
                m.name,
                before.get(m.pk, "unknown"),
                tuple(changes[m.pk]),
                tuple(sorted([*work[m.pk], *extra])),
                tuple(beneath[m.pk]),
                tuple(blank[m.pk]),
            )  # fmt: skip
        )
    return found


def _shown_work(before: str, changes: list[sla.Change], start: datetime, until: datetime) -> list[Span]:
    found, since = [], start if before == "maintenance" else None
    for c in changes:
        if since is not None:
            found.append((since, min(c.at, until)))
        since = c.at if c.to == "maintenance" and c.at < until else None
    return found if since is None else [*found, (since, until)]


def _work(rows: list[Monitor], start: datetime, until: datetime) -> dict[int, list[tuple[datetime, datetime, str]]]:
    """When each monitor was worked on: the windows' occurrences, as they took place."""
    found: dict[int, list[tuple[datetime, datetime, str]]] = defaultdict(list)
    held = Occurrence.objects.filter(starts_at__lt=until, ends_at__gt=start).select_related("window")
    by_window: dict[int, list[Occurrence]] = defaultdict(list)
    for occurrence in held:
        by_window[occurrence.window_id].append(occurrence)
    for occurrences in by_window.values():
        window = occurrences[0].window
        covered = Monitor.objects.filter(maintenance.covered_by(window), pk__in=[m.pk for m in rows])
        for pk in covered.order_by().values_list("pk", flat=True).distinct():
            for o in occurrences:
                ended = min(o.ends_at, o.closed_at) if o.closed_at else o.ends_at
                if ended > o.starts_at:
                    found[pk].append((o.starts_at, ended, window.title))
    return found


def _beneath(ids: list[int], start: datetime, until: datetime) -> dict[int, list[Span]]:
    """Failures that maintenance hid: their alerts opened and closed underneath."""
    found: dict[int, list[Span]] = defaultdict(list)
    alerts = Alert.objects.filter(monitor_id__in=ids, condition="health", created_at__lt=until).exclude(
        event="degraded"
    )
    alerts = alerts.filter(Q(resolved_at=None) | Q(resolved_at__gt=start))
    hidden = StateChange.objects.filter(
        monitor__in=ids, at__lt=until, to_state="maintenance", at__gte=start - timedelta(days=31)
    )
    spans: dict[int, list[Span]] = defaultdict(list)
    for pk, at in hidden.values_list("monitor_id", "at"):
        after = (
            StateChange.objects.filter(monitor=pk, at__gt=at).order_by("version").values_list("at", flat=True).first()
        )
        spans[pk].append((at, after or until))
    for pk, opened, resolved in alerts.order_by().values_list("monitor_id", "created_at", "resolved_at"):
        failing = (max(opened, start), min(resolved or until, until))
        for a, b in spans[pk]:
            if max(a, failing[0]) < min(b, failing[1]):
                found[pk].append((max(a, failing[0]), min(b, failing[1])))
    return found


def _blank(rows: list[Monitor], start: datetime, until: datetime) -> dict[int, list[Span]]:
    """Whole hours in which a monitor has no result although it has some before or after: the portal was away (I10).

    Counted to the hour, from the hourly rollups, and only as far as those have been rolled.
    """
    ids = [m.pk for m in rows if m.kind in ASKED and m.interval_seconds <= 3600]
    known: dict[int, set[datetime]] = defaultdict(set)
    seen = Rollup.objects.filter(monitor__in=ids, period=Rollup.Period.HOUR, start__gte=start - HOUR, start__lt=until)
    seen = seen.filter(Q(up__gt=0) | Q(degraded__gt=0) | Q(failing__gt=0)).order_by()
    for pk, hour in seen.values_list("monitor_id", "start").distinct():
        known[pk].add(hour.astimezone(UTC))
    found: dict[int, list[Span]] = defaultdict(list)
    rolled = min(raw_since(until), until) if known else start
    for pk, hours in known.items():
        hour = max(start.replace(minute=0, second=0, microsecond=0), min(hours))
        while hour + HOUR <= rolled:
            if hour not in hours:
                found[pk].append((hour, hour + HOUR))
            hour += HOUR
        found[pk] = union(found[pk])
    return found
