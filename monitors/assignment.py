"""From where is a monitor watched? Its rule (`monitors.places`) is given here and followed: views come and go with it.

Rules are followed again whenever a probe comes, goes, is disabled or gets other tags.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from monitors import checks, rules
from monitors.models import Monitor, Probe, ProbeState
from monitors.places import Place as Place
from monitors.places import check_rule as check_rule
from monitors.places import choose as choose
from monitors.places import places as places
from portal import audit, bells
from portal.audit import Actor


def set_rule(m: Monitor, rule: Any, *, by: Actor, at: datetime, vouched: bool = True) -> Monitor:
    """Give a monitor a rule and follow it at once. ValidationError when too few probes fit it for the monitor's quorum.

    `vouched`: by staff; else private addresses that staff once allowed are not taken along to other places.
    """
    rule = check_rule(rule)
    with transaction.atomic():
        m = Monitor.objects.select_for_update().get(pk=m.pk)
        before = m.probe_rule
        m.probe_rule, m.trusted = rule, m.trusted and (vouched or rule == before)
        rules.judge_places(m)
        found = choose(rule, m.pk, m.client_id, places(), distinct=m.distinct_networks) if rule else None
        Monitor.objects.filter(pk=m.pk).update(probe_rule=rule, trusted=m.trusted)
        if found is not None:
            _follow({m.pk: (m.enabled, found)}, at)
        if before != rule:
            audit.record("monitor.probe_rule", m, by=by, client_id=m.client_id, before={"probe_rule": before}, after={"probe_rule": rule})  # fmt: skip
    return m


def apply(at: datetime, monitors: Iterable[int] | None = None) -> int:
    """Follow the rules of these monitors (or of all that have one); returns how many views came or went.

    A rule that no probe fits any more leaves the views as they are: their probes abstain, and the monitor is unknown.
    """
    rows = Monitor.objects.exclude(probe_rule={}).exclude(kind__in=[n for n, k in checks.KINDS.items() if k.passive])
    if monitors is not None:
        rows = rows.filter(pk__in=list(monitors))
    usable, moved = places(), 0
    ids = list(rows.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(ids), 500):
        with transaction.atomic():
            wanted = {
                m.pk: (m.enabled, found)
                for m in Monitor.objects.filter(pk__in=ids[start : start + 500]).order_by("pk").select_for_update()
                if m.probe_rule
                and (found := choose(m.probe_rule, m.pk, m.client_id, usable, distinct=m.distinct_networks))
            }
            moved += _follow(wanted, at)
    return moved


def _follow(wanted: dict[int, tuple[bool, list[int]]], at: datetime) -> int:
    """Make the views be exactly these: monitor -> (does it run?, probes). Their monitors are locked. How many views moved."""
    have: dict[int, dict[int, int]] = {}
    views = ProbeState.objects.filter(monitor__in=wanted).order_by("pk").select_for_update()
    for pk, monitor, probe in views.values_list("pk", "monitor_id", "probe_id"):
        have.setdefault(monitor, {})[probe] = pk
    new, gone, touched = [], [], set()
    for monitor, (runs, probes) in wanted.items():
        mine = have.get(monitor, {})
        for probe in probes:
            if probe not in mine:
                new.append(ProbeState(monitor_id=monitor, probe_id=probe, active=runs, next_due_at=at))
                touched.add(probe)
        surplus = {probe: pk for probe, pk in mine.items() if probe not in probes}
        gone += surplus.values()
        touched |= surplus.keys()
        if surplus or len(mine) != len(probes):  # the votes are counted anew
            ProbeState.objects.filter(monitor=monitor).update(changed=True, settled=False)
    if not touched:
        return 0
    ProbeState.objects.filter(pk__in=gone).delete()
    ProbeState.objects.bulk_create(new)
    Probe.objects.filter(pk__in=touched).update(assignment_version=F("assignment_version") + 1)
    bells.ring_on_commit(bells.PROBE, bells.EVALUATE)
    return len(new) + len(gone)


def fingerprint() -> int:
    """Something that changes whenever the rules have to be followed again. Within one process."""
    return hash(tuple(places()))
