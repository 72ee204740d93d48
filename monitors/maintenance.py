"""Which monitors are being worked on? What the open maintenance windows cover, kept as a flag on each monitor (SPEC RTE-6).

Checks go on, results and votes are kept, alerts open and close underneath; only what the monitor shows is different. The
flag follows the windows at their beginnings and ends, and every few seconds, as monitors come, move and get other tags.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from alerts import engine as alerting
from alerts import facts
from alerts.models import MaintenanceWindow, Occurrence, Silence
from monitors import checks, subjects
from monitors.models import Monitor, ProbeState
from monitors.models.monitor import State
from portal import bells
from portal.models import Tag
from portal.tenancy import Viewer

SHOWN = 100
NONE = Q(pk__in=[])


def open_windows() -> list[MaintenanceWindow]:
    """The windows that run: one of their occurrences has begun, and its end was not carried out yet."""
    return list(MaintenanceWindow.objects.filter(occurrences__in=Occurrence.objects.filter(closed_at=None)).distinct().order_by("pk"))  # fmt: skip


# --- Who is covered -----------------------------------------------------------------------------------------------------
def titles(monitors: Iterable[Monitor]) -> dict[int, str]:
    """{monitor: what is being done} of those that an open window covers. One query when none is open."""
    windows = [(facts.pictured(w), w.title) for w in open_windows()]
    if not windows:
        return {}
    found: dict[int, str] = {}
    for m in subjects.with_tags(Monitor.objects.filter(pk__in=[m.pk for m in monitors])):
        known = facts_of(m)
        title = next((title for w, title in windows if alerting.covers(w, known)), None)
        if title is not None:
            found[m.pk] = title
    return found


def facts_of(m: Monitor) -> alerting.Facts:
    """A monitor as windows and silences see it: as an alert about its health would look. Loaded by `subjects.with_tags`."""
    return alerting.Facts(
        source=subjects.source_of(m.kind), event="", severity="", entity_type="monitor", entity_id=str(m.pk), entity_name=m.name, client=m.client_id,
        client_slug=m.client.slug, site=m.site_id, site_name=m.site.name if m.site else "", service=m.service_id, tags=frozenset(subjects.tags_of(m)),
    )  # fmt: skip


def covered_by(window: MaintenanceWindow) -> Q:
    """The monitors that a window covers, for the database: the same answer as `engine.covers`."""
    own = Q(client=window.client_id) if window.client_id else Q()
    if not window.scopes and not window.tags:
        return own if window.client_id else NONE
    named = NONE
    for scope in window.scopes:
        named |= _named(*scope.lower().split(":", 1))
    return own & (named | _tagged({t.lower() for t in window.tags}))


def _named(noun: str, identity: str) -> Q:
    if noun == "client":
        by_id = Q(client=int(identity)) if identity.isdigit() else NONE
        return by_id | Q(client__slug=identity)
    if not identity.isdigit():
        return NONE
    if noun in ("site", "service"):
        return Q(**{noun: int(identity)})
    if noun == "monitor":
        return Q(pk=int(identity))
    return Q(pk=int(identity), kind__in=_kinds(noun))


def _kinds(source: str) -> list[str]:
    return [kind for kind in checks.KINDS if subjects.source_of(kind) == source]


def _tagged(words: set[str]) -> Q:
    """With one of these tags, its own, its site's or its client's."""
    ids = [t.pk for t in Tag.objects.all() if t.name.lower() in words] if words else []
    if not ids:
        return NONE
    rows = Monitor.objects.order_by()
    having = [rows.filter(**{path: ids}).values("pk") for path in ("tags__in", "site__tags__in", "client__tags__in")]
    return Q(pk__in=having[0]) | Q(pk__in=having[1]) | Q(pk__in=having[2])


def silenced_by(silence: Silence) -> Q:
    """The monitors that a silence covers, whatever the severity."""
    m = facts.matcher(silence)
    found = Q(client=m.client) if m.client is not None else Q()
    if m.entity_type not in ("", "monitor"):
        return NONE
    if m.source:
        found &= Q(kind__in=_kinds(m.source))
    if m.entity_id:
        found &= Q(name=m.entity_id) | (Q(pk=int(m.entity_id)) if m.entity_id.isdigit() else NONE)
    if m.client_match:
        found &= _named("client", m.client_match)
    if m.site:
        found &= Q(site__name=m.site) | (Q(site=int(m.site)) if m.site.isdigit() else NONE)
    if m.tag:
        found &= _tagged({m.tag.lower()})
    return found


def watched(row: Silence | MaintenanceWindow, viewer: Viewer) -> tuple[int, list[dict[str, Any]]]:
    """(how many, the first of them) of the viewer's monitors that a silence or a window covers, for its preview."""
    covers = silenced_by(row) if isinstance(row, Silence) else covered_by(row)
    rows = Monitor.objects.for_user(viewer).filter(covers).order_by("client__name", "name", "pk")
    first = rows.values_list("pk", "name", "client_id", "state")[:SHOWN]
    return rows.count(), [{"id": pk, "name": name, "client": of, "state": state} for pk, name, of, state in first]


# --- The flag -------------------------------------------------------------------------------------------------------------
def follow() -> int:
    """Bring every monitor's flag in line with the open windows; returns how many changed. The evaluator is woken for them.

    Locks monitors only, in order of their keys: who calls may hold a window, but no alerts yet.
    """
    covered: set[int] = set()
    for window in open_windows():
        covered |= set(Monitor.objects.filter(covered_by(window)).order_by().values_list("pk", flat=True))
    flagged = set(Monitor.objects.filter(in_maintenance=True).order_by().values_list("pk", flat=True))
    if covered == flagged:
        return 0
    with transaction.atomic():
        for value, ids in ((True, covered - flagged), (False, flagged - covered)):
            rows = Monitor.objects.filter(pk__in=ids)
            list(rows.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True))
            rows.update(in_maintenance=value)
        transaction.on_commit(mark, robust=True)
    return len(covered ^ flagged)


def mark() -> int:
    """Have those monitors judged whose state does not say yet what their flag says; returns how many views were marked.

    In a transaction of its own: who holds alerts must not wait for views, as those who hold views wait for alerts.
    """
    unsaid = Q(in_maintenance=True) & ~Q(state=State.MAINTENANCE) | Q(in_maintenance=False, state=State.MAINTENANCE)
    monitors = list(Monitor.objects.filter(unsaid, enabled=True).order_by().values_list("pk", flat=True))
    if not monitors:
        return 0
    with transaction.atomic():
        rows = ProbeState.objects.filter(monitor__in=monitors, changed=False)
        ids = list(rows.order_by("pk").select_for_update().values_list("pk", flat=True))
        marked = ProbeState.objects.filter(pk__in=ids).update(changed=True)
        bells.ring_on_commit(bells.EVALUATE)
    return marked


def sweep(at: datetime) -> None:
    """What came, moved or was tagged anew while a window is open."""
    follow()
    mark()
