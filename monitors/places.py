"""Which probes would watch a monitor by its rule? Pure, but for the rows that there are.

    {"probes": ["local", "berlin"]}      exactly these
    {"tags": ["eu"], "any": 3}           three of the probes that carry all of these tags

The hash is rendezvous: each monitor ranks the probes by itself, so when one comes or goes only what it wins or loses
moves. `monitors.assignment` follows the rules.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q

from monitors.models import Monitor, Probe

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
    name: str = ""
    built_in: bool = False


def rank(monitor: int, probe: int) -> int:
    """How much this monitor would like to be watched from this probe: the same number everywhere, always."""
    return int.from_bytes(hashlib.blake2b(f"{monitor}:{probe}".encode(), digest_size=8).digest(), "big")


def choose(
    rule: dict[str, Any], monitor: int, client: int, places: Iterable[Place], *, distinct: bool = False
) -> list[int]:
    """The probes of a rule, among those that are usable. With `distinct`, other networks are taken before a second one of the same."""
    fit = fitting(rule, client, places)
    if "probes" in rule:
        return sorted(p.id for p in fit)
    ranked = sorted(fit, key=lambda p: rank(monitor, p.id), reverse=True)
    if distinct:
        ranked = _one_per_network_first(ranked)
    return sorted(p.id for p in ranked[: rule.get("any", 1)])


def fitting(rule: dict[str, Any], client: int | None, places: Iterable[Place]) -> list[Place]:
    """All the places that a rule may take for this client's monitors, of which `choose` takes as many as it says."""
    usable = [p for p in places if p.client is None or p.client == client]
    if "probes" in rule:
        wanted = set(rule["probes"])
        return [p for p in usable if p.slug in wanted]
    tags = frozenset(t.lower() for t in rule.get("tags", ()))
    return [p for p in usable if tags <= p.tags]


def number_of(rule: dict[str, Any], fit: Sequence[Place]) -> int:
    """From how many of the places that fit is it watched?"""
    return len(fit) if "probes" in rule else min(len(fit), rule.get("any", 1))


def in_words(rule: dict[str, Any]) -> str:
    """A rule as a person says it: `berlin, paris` or `3 of eu`."""
    return ", ".join(rule["probes"]) if "probes" in rule else f"{rule.get('any', 1)} of {' + '.join(rule['tags'])}" if rule else ""  # fmt: skip


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


def rule_of(text: str) -> dict[str, Any]:
    """A rule as a person types it in one line: `berlin; paris`, or `3 of eu` (several tags: `3 of eu + ssd`). Not checked."""
    match = re.fullmatch(r"\s*([0-9]{1,3})\s+of\s+(.+)", text, re.IGNORECASE)
    if match:
        return {"tags": _words(match[2]), "any": int(match[1])}
    return {"probes": _words(text)}


def _words(text: str) -> list[str]:
    return [word.strip() for word in re.split(r"[,;|+]", text) if word.strip()]


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= MOST and all(isinstance(v, str) and v.strip() for v in value)


# --- The rows ---------------------------------------------------------------------------------------------------------------
def places() -> list[Place]:
    """The probes that can watch: enabled, and the portal's own or enrolled."""
    rows = Probe.objects.filter(enabled=True, revoked_at=None).filter(Q(built_in=True) | ~Q(public_key=""))
    return [place_of(p) for p in rows.order_by("pk").prefetch_related("tags")]


def place_of(probe: Probe) -> Place:
    """A probe's row as a place; a list should have its tags loaded."""
    tags = frozenset(t.name.lower() for t in probe.tags.all())
    return Place(probe.pk, probe.slug, probe.network, probe.client_id, tags, probe.name, probe.built_in)


def watchers(m: Monitor, probes: Iterable[Probe] | None = None) -> list[Place]:
    """Every place that may have to look at this monitor as it stands, unsaved: those given, those its rule fits, those that do now."""
    if probes is not None:
        return [place_of(p) for p in probes]
    if m.probe_rule:
        return fitting(m.probe_rule, m.client_id, places())
    rows = Probe.objects.prefetch_related("tags")
    now = list(rows.filter(views__monitor=m.pk)) if m.pk else []
    return [place_of(p) for p in now or rows.filter(built_in=True, enabled=True)]
