"""From where is a monitor watched? Its rule names probes, or tags of which any k probes will do; a stable hash spreads them.

    {"probes": ["local", "berlin"]}      exactly these
    {"tags": ["eu"], "any": 3}           three of the probes that carry all of these tags

The hash is rendezvous: each monitor ranks the probes by itself, so when one comes or goes only what it wins or loses
moves. Rules are followed again whenever a probe comes, goes, is disabled or gets other tags.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Q

from monitors import checks
from monitors.models import Monitor, Probe, ProbeState
from portal import audit, bells
from portal.audit import Actor

MOST = 100


# --- Pure ---------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Place:
    """A probe as far as the choice goes."""

    id: int
    slug: str
    network: str = ""
    client: int | None = None
    tags: frozenset[str] = frozenset()


def rank(monitor: int, probe: int) -> int:
    """How much this monitor would like to be watched from this probe: the same number everywhere, always."""
    return int.from_bytes(hashlib.blake2b(f"{monitor}:{probe}".encode(), digest_size=8).digest(), "big")


def choose(
    rule: dict[str, Any], monitor: int, client: int, places: Iterable[Place], *, distinct: bool = False
) -> list[int]:
    """The probes of a rule, among those that are usable. With `distinct`, other networks are taken before a second one of the same."""
    usable = [p for p in places if p.client in (None, client)]
    if "probes" in rule:
        wanted = set(rule["probes"])
        return sorted(p.id for p in usable if p.slug in wanted)
    tags = frozenset(t.lower() for t in rule.get("tags", ()))
    ranked = sorted((p for p in usable if tags <= p.tags), key=lambda p: rank(monitor, p.id), reverse=True)
    if distinct:
        ranked = _one_per_network_first(ranked)
    return sorted(p.id for p in ranked[: rule.get("any", 1)])


def _one_per_network_first(ranked: Sequence[Place]) -> list[Place]:
    seen: set[str] = set()
    first, second = [], []
    for p in ranked:
        name = p.network or f"probe {p.id}"
        (second if name in seen else first).append(p)
        seen.add(name)
    return first + second


def check_rule(rule: Any) -> dict[str, Any]:
    """The rule, in one spelling. ValidationError at `probe_rule` otherwise; {} means that the views stand as they are."""
    if rule == {}:
        return {}
    if isinstance(rule, dict) and rule.keys() == {"probes"} and _are_words(rule["probes"]):
        return {"probes": sorted(set(rule["probes"]))}
    if isinstance(rule, dict) and rule.keys() <= {"tags", "any"} and _are_words(rule.get("tags")):
        number = rule.get("any", 1)
        if type(number) is int and 1 <= number <= MOST:
            return {"tags": sorted({t.strip().lower() for t in rule["tags"]}), "any": number}
    raise ValidationError(
        {"probe_rule": f'Like {{"probes": ["local"]}} or {{"tags": ["eu"], "any": 3}} (1 to {MOST}).'}
    )


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= MOST and all(isinstance(v, str) and v.strip() for v in value)


# --- Followed -----------------------------------------------------------------------------------------------------------
def places() -> list[Place]:
    """The probes that can watch: enabled, and the portal's own or enrolled."""
    rows = Probe.objects.filter(enabled=True, revoked_at=None).filter(Q(built_in=True) | ~Q(public_key=""))
    return [
        Place(p.pk, p.slug, p.network, p.client_id, frozenset(t.name.lower() for t in p.tags.all()))
        for p in rows.order_by("pk").prefetch_related("tags")
    ]


def set_rule(m: Monitor, rule: Any, *, by: Actor, at: datetime) -> Monitor:
    """Give a monitor a rule and follow it at once. ValidationError when too few probes fit it for the monitor's quorum."""
    rule = check_rule(rule)
    with transaction.atomic():
        m = Monitor.objects.select_for_update().get(pk=m.pk)
        if rule and checks.KINDS[m.kind].passive:
            raise ValidationError({"probe_rule": "This kind is judged by the portal itself; it needs no rule."})
        found = choose(rule, m.pk, m.client_id, places(), distinct=m.distinct_networks) if rule else None
        if found is not None and len(found) < m.quorum:
            raise ValidationError({"probe_rule": f"{len(found)} probes fit this rule, but {m.quorum} are to agree; widen it or lower the quorum."})  # fmt: skip
        before = m.probe_rule
        Monitor.objects.filter(pk=m.pk).update(probe_rule=rule)
        m.probe_rule = rule
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
