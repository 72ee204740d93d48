"""What becomes of all monitors of a client that is deleted, or comes back? In sets, however many there are.

Their views keep their places and lose their leases: nothing claims them, no result that is under way counts, and no probe
has them on its list. What was paused by hand stays paused when they come back.
"""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import Any

from django.db.models import F, QuerySet

from monitors import assignment, checks, engine
from monitors.models import Battery, Diagnosis, Monitor, Probe, ProbeState, StateChange
from monitors.models.monitor import State
from monitors.resting import FENCED, NEVER
from portal import bells, leaving
from portal.audit import Actor
from portal.models import Client
from portal.trash import Taken

TOLD = [
    name for name, kind in checks.KINDS.items() if kind.passive and name != "group"
]  # these look at nothing themselves


def leave(client: Client, by: Actor, at: datetime) -> Taken:
    """No check, no result, no verdict to wait for. What others had below its monitors stands by itself."""
    views = ProbeState.objects.filter(monitor__client=client)
    busy = views.filter(active=True)
    probes = list(busy.order_by("probe_id").values_list("probe_id", flat=True).distinct())
    busy.update(active=False, changed=False, **FENCED)
    # A lease that was taken at this very moment is taken away as well.
    views.exclude(lease_token=None).update(**FENCED)
    rows = leaving.of(client, Monitor).filter(deleted_at=None)
    own: Taken = {"running": list(rows.filter(enabled=True).order_by("pk").values_list("pk", flat=True))}
    if rows.exists():
        _step(rows, State.PAUSED, at, f"The client was deleted by {by.name}."[:300])
        rows.update(enabled=False, config_version=F("config_version") + 1)
    own |= leaving.hide(client, at, Monitor)
    own["probes"] = leaving.off(client, Probe)
    below = Monitor._base_manager.filter(parent__client=client).exclude(client=client)
    own["below"] = [list(pair) for pair in below.order_by("pk").values_list("pk", "parent_id")]
    below.update(parent=None)
    _end_diagnoses(client, at)
    if probes or own["probes"]:
        Probe.objects.filter(pk__in=probes).update(assignment_version=F("assignment_version") + 1)
        bells.ring_on_commit(bells.PROBE)
    return own


def _end_diagnoses(client: Client, at: datetime) -> None:
    waiting = (Battery.State.WAITING, Battery.State.RUNNING)
    Battery.objects.filter(diagnosis__monitor__client=client, state__in=waiting).update(
        state=Battery.State.FAILED, finished_at=at, evidence={"why": "The client was deleted."}
    )
    Diagnosis.objects.filter(monitor__client=client, state=Diagnosis.State.GATHERING).update(state=Diagnosis.State.DROPPED, finished_at=at)  # fmt: skip


def back(client: Client, own: Taken, by: Actor, at: datetime) -> list[str]:
    """What ran is checked at once, from where it was watched before; what was told waits for its next word."""
    leaving.show(own, Monitor)
    leaving.on(own.get("probes", []), Probe)
    said = []
    for ids in leaving.batches(own.get("running", [])):
        rows = Monitor.objects.filter(pk__in=ids)
        rows.update(enabled=True, config_version=F("config_version") + 1)
        _step(rows, State.PENDING, at, "Waiting for the first result.")
        said += _homeless(rows, at)
        views = ProbeState.objects.filter(monitor__in=ids)
        views.update(
            active=True, next_due_at=at, status=engine.UNKNOWN, vote=engine.UNKNOWN, streak=0, since=None, settled=False, stale=False, error_class="", message=""
        )  # fmt: skip
        views.filter(monitor__kind__in=TOLD).update(facts={}, next_due_at=at + NEVER)
        assignment.apply(at, ids)
    for parent, pairs in groupby(sorted(own.get("below", []), key=lambda pair: pair[1]), key=lambda pair: pair[1]):
        if Monitor.objects.filter(pk=parent).exists():
            Monitor._base_manager.filter(pk__in=[pk for pk, _ in pairs], parent=None).update(parent=parent)
    seen = ProbeState.objects.filter(monitor__client=client).order_by().values("probe_id")
    Probe.objects.filter(pk__in=seen).update(assignment_version=F("assignment_version") + 1)
    bells.ring_on_commit(bells.PROBE)
    return said


def _homeless(rows: QuerySet[Monitor], at: datetime) -> list[str]:
    """Monitors whose probes were all deleted meanwhile are watched by the portal itself."""
    lost = list(rows.filter(views=None).order_by("pk"))
    ours = list(Probe.objects.filter(built_in=True, enabled=True))
    ProbeState.objects.bulk_create(ProbeState(monitor=m, probe=p, next_due_at=at) for m in lost for p in ours)
    if not lost:
        return []
    Monitor.objects.filter(pk__in=[m.pk for m in lost]).update(quorum=1)
    return [f"{len(lost)} of its monitors had probes that are gone; the portal itself watches them now."]


def _step(rows: QuerySet[Any], state: str, at: datetime, reason: str) -> None:
    """One more state in the history of each, where it is another."""
    changing = rows.exclude(state=state)
    StateChange.objects.bulk_create(
        (
            StateChange(monitor_id=pk, version=version + 1, at=at, from_state=before, to_state=state, reason=reason)
            for pk, version, before in list(changing.order_by("pk").values_list("pk", "state_version", "state"))
        ),
        batch_size=1000,
    )
    changing.update(
        state=state, state_since=at, state_version=F("state_version") + 1, state_reason=reason, flapping_since=None
    )


leaving.register("monitors", leaving.Part(leave, back))
