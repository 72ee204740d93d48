"""How does a monitor rest, wake up, go into the trash and come back? Pause, resume and delete: one door each.

All of a client's go and come at once (`monitors.clearing`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from alerts.models import Alert
from alerts.report import close
from monitors import assignment, checks, engine, subjects
from monitors.models import Battery, Diagnosis, Monitor, Probe, ProbeState, StateChange
from monitors.models.monitor import State
from portal import audit, bells, trash
from portal.audit import Actor
from portal.errors import Refused
from portal.models import Site
from portal.trash import Taken

# What takes the lease from a check that is under way: by the old settings, its result does not count, and the new ones are checked now.
FENCED: dict[str, Any] = {"claimed_by": "", "lease_token": None, "lease_until": None, "rush": False}
NEVER = timedelta(days=3650)  # what is told has no turn of its own


# --- Pause, resume, delete ----------------------------------------------------------------------------------------------
def pause(m: Monitor, *, by: Actor, at: datetime) -> Monitor:
    """No checks, no alerts; open ones close quietly. Refused when it rests already."""
    return _switch(m, False, by, at)


def resume(m: Monitor, *, by: Actor, at: datetime) -> Monitor:
    """Check again, from now. Refused when it does not rest."""
    return _switch(m, True, by, at)


def _switch(m: Monitor, on: bool, by: Actor, at: datetime) -> Monitor:
    with transaction.atomic():
        m = Monitor.objects.select_for_update().get(pk=m.pk)
        if m.enabled == on:
            raise Refused("This monitor is not paused." if on else "This monitor is paused already.")
        m.enabled = on
        m.config_version += 1
        m.save(update_fields=["enabled", "config_version"])
        wake(m, at) if on else rest(m, at, by)
        audit.record("monitor.resume" if on else "monitor.pause", m, by=by, client_id=m.client_id)
        bells.ring_on_commit(bells.PROBE)
        return m


def _step(m: Monitor, state: str, at: datetime, reason: str) -> None:
    if m.state == state:
        return
    before = m.state
    m.state, m.state_since, m.state_version, m.state_reason, m.flapping_since = (
        state,
        at,
        m.state_version + 1,
        reason,
        None,
    )
    m.save(update_fields=["state", "state_since", "state_version", "state_reason", "flapping_since"])
    StateChange.objects.create(
        monitor=m, version=m.state_version, at=at, from_state=before, to_state=state, reason=reason
    )


def rest(m: Monitor, at: datetime, by: Actor, why: str = "Paused") -> None:
    """From now on nothing is checked; what is open about it closes without a word. In the caller's transaction."""
    # Taking the lease token away fences a check that is under way: its result will not count.
    m.views.update(active=False, changed=False, **FENCED)
    _step(m, State.PAUSED, at, f"{why} by {by.name}."[:300])
    close_alerts(m, at=at, by=by)


def wake(m: Monitor, at: datetime) -> None:
    """It is checked again, from now, as if for the first time. In the caller's transaction."""
    m.views.update(
        active=True, next_due_at=at, status=engine.UNKNOWN, vote=engine.UNKNOWN, streak=0, since=None, settled=False, stale=False, error_class="", message=""
    )  # fmt: skip
    if waits(m):
        m.views.update(facts={}, next_due_at=_first_due(m, at))
    _step(m, State.PENDING, at, "Waiting for the first result.")


def close_alerts(m: Monitor, *, at: datetime, by: Actor) -> None:
    """Close what is open about a monitor without a word (ALR-3)."""
    rows = list(
        Alert.objects.filter(
            Q(entity_type="monitor", entity_id=str(m.pk)) | Q(entity_type="container", monitor_id=m.pk),
            resolved_at=None,
        )
        .order_by("pk")
        .select_for_update()
    )
    if rows:
        close(rows, at=at, by=by, quiet=True)


# --- The trash ----------------------------------------------------------------------------------------------------------
PLACES = ("site", "service", "template", "parent")


def delete(m: Monitor, *, by: Actor, at: datetime) -> None:
    """Put a monitor into the trash, with its history; its alerts close quietly. For 30 days it can come back as it was."""
    with transaction.atomic():
        audit.record(
            "monitor.delete",
            m,
            by=by,
            client_id=m.client_id,
            before={"name": m.name, "kind": m.kind, "target": subjects.target_of(m)},
        )
        trash.put(m, by=by, at=at)
        bells.ring_on_commit(bells.PROBE)


def leave(m: Monitor, by: Actor, at: datetime) -> Taken:
    """No check, no alert, no place on any probe's list: without its views nothing can claim it or count its results."""
    own = {
        "enabled": m.enabled,
        "quorum": m.quorum,
        "probes": sorted(m.views.values_list("probe_id", flat=True)),
        **{name: getattr(m, f"{name}_id") for name in PLACES},
    }
    rest(m, at, by, "Deleted")
    m.views.all().delete()
    # Nobody looks into it any more: a verdict about what is not there would be waited for without end.
    Battery.objects.filter(diagnosis__monitor=m, state__in=(Battery.State.WAITING, Battery.State.RUNNING)).update(
        state=Battery.State.FAILED, finished_at=at, evidence={"why": "The monitor was deleted."}
    )
    m.diagnoses.filter(state=Diagnosis.State.GATHERING).update(state=Diagnosis.State.DROPPED, finished_at=at)
    m.enabled, m.config_version = False, m.config_version + 1
    for name in PLACES:
        setattr(m, name, None)
    m.save(update_fields=["enabled", "config_version", *PLACES])
    Probe.objects.filter(pk__in=own["probes"]).update(assignment_version=F("assignment_version") + 1)
    return own


def back(m: Monitor, own: Taken, by: Actor, at: datetime) -> list[str]:
    """Where it stood, watched from where it was (or by its rule), and running if it ran; what of that is gone is said."""
    said = []
    for name in PLACES:
        rows = Monitor._meta.get_field(name).related_model._default_manager
        there = rows.filter(pk=own[name]).first() if own[name] else None
        setattr(m, name, there)
        if own[name] and there is None:
            said.append(f"Its {name} is gone; it stands without one.")
    probes = list(Probe.objects.filter(pk__in=own["probes"])) or list(Probe.objects.filter(built_in=True, enabled=True))
    m.quorum = own["quorum"] if m.probe_rule else max(1, min(own["quorum"], len(probes)))
    if m.quorum != own["quorum"]:
        said.append(f"Of its probes {len(probes)} are left, so {m.quorum} instead of {own['quorum']} decide.")
    m.enabled, m.config_version = own["enabled"], m.config_version + 1
    m.save(update_fields=["enabled", "config_version", "quorum", *PLACES])
    ProbeState.objects.bulk_create(
        ProbeState(monitor=m, probe=p, active=m.enabled, next_due_at=_first_due(m, at)) for p in probes
    )
    if m.enabled:
        wake(m, at)
    if m.probe_rule:
        assignment.apply(at, [m.pk])
    Probe.objects.filter(pk__in=[p.pk for p in probes]).update(assignment_version=F("assignment_version") + 1)
    bells.ring_on_commit(bells.PROBE)
    return said


def waits(m: Monitor) -> bool:
    """Is it told what to judge, instead of looking by itself?"""
    return checks.KINDS[m.kind].passive and m.kind != "group"


def _first_due(m: Monitor, at: datetime) -> datetime:
    return at + NEVER if waits(m) else at


trash.register(
    trash.Kind(
        Monitor,
        "Monitor",
        goes="Its results, uptime, certificates and pings are deleted. Alerts and incidents about it stay on the record.",
        returns="It stands where it stood, with its history, and is checked at once unless it was paused.",
        loosens=("monitors.Monitor.parent",),
        leave=leave,
        back=back,
    )
)
trash.register(
    trash.Kind(
        Site,
        "Site",
        goes="Its name, address and tags are deleted. Its monitors, alerts and incidents stay, without a site.",
        returns="The monitors and integrations that stood there and have no other site by now stand there again.",
        loosens=("monitors.Monitor.site", "alerts.Integration.site"),
    )
)
