"""How are escalation policies made, changed, switched and removed, and where do two of them call the same people?

Pages, API, admin and import call these. What a policy takes up from now on it takes up of the open alerts too: they begin
to climb in the transaction that saves it. A run that has begun goes by its snapshot, whatever becomes of the policy; only
switching it off or deleting it stops its runs. Locks in the house's order: alerts, runs, and the audit log last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet

from alerts import calling, engine, escalating, facts, filters
from alerts.models import Alert, Channel, ContactChannel, EscalationPolicy, LayerMember, Level, Override, ServiceRouting
from alerts.models.escalation import LONGEST_DELAY, MOST_LEVELS, MOST_REPEATS
from portal import audit
from portal import services as ground
from portal.audit import Actor
from portal.clock import database_now
from portal.models import ContactGroup, Service

FILTERS: dict[str, tuple[str, Callable[[str], str]]] = {
    "filter_severities": ("filters.severities", filters.severities), "filter_sources": ("filters.sources", filters.sources),
    "filter_scopes": ("filters.scopes", filters.scopes), "filter_tags": ("filters.tags", filters.tags),
}  # fmt: skip
KEYS = {"channels": "channel_ids", "contacts": "contact_ids", "groups": "group_ids", "schedules": "schedule_ids"}
SHORTEST_REPEAT = 30


# --- Saving -------------------------------------------------------------------------------------------------------------
def save_policy(
    row: EscalationPolicy | None, *, by: Actor, levels: Sequence[Mapping[str, Any]] | None = None, **values: Any
) -> EscalationPolicy:
    """Make (row None) or change a policy. Filters come as comma-separated text; `levels`, when given, replace the old ones:
    `order` (default: its place), `delay_seconds`, and rows in `channels`, `contacts`, `groups`, `schedules`.

    Raises ValidationError with the body's dotted keys, as `levels.0.delay_seconds`.
    """
    complaints: dict[str, str] = {}
    _filters(values, complaints)
    _name(row, values, complaints)
    _bounds(values, complaints)
    client_id = row.client_id if row is not None else getattr(values.get("client"), "pk", None)
    if levels is not None or row is None:
        levels = _levels(levels or (), client_id, complaints)
    if complaints:
        raise ValidationError(complaints)
    at = database_now()
    with transaction.atomic():
        will_climb = values.get("active", row.active if row is not None else True)
        open_alerts = escalating.lock(_open_alerts(client_id)) if will_climb else []
        if row is not None and not will_climb:
            escalating.stop_policy(row, at=at)
        row, before = (row, _picture(row)) if row is not None else (EscalationPolicy(), {})
        for name, value in values.items():
            setattr(row, name, value)
        ground.clean(row)
        row.save()
        if levels is not None:
            _set_levels(row, levels)
        _take_up(open_alerts, at)
        after = _picture(row)
        changed = sorted(name for name in after if after[name] != before.get(name))
        if changed:
            audit.record(
                "escalationpolicy.changed" if before else "escalationpolicy.created", row, by=by, client_id=row.client_id,
                before={name: before[name] for name in changed if name in before}, after={name: after[name] for name in changed},
            )  # fmt: skip
    return row


def activate(row: EscalationPolicy, active: bool, *, by: Actor) -> EscalationPolicy:
    """Switch it on or off. Off stops its runs; on takes up open alerts that it has not climbed for yet."""
    return save_policy(row, by=by, active=active)


def delete_policy(row: EscalationPolicy, *, by: Actor) -> None:
    """Delete it; its runs stop, and stay to be read."""
    with transaction.atomic():
        escalating.stop_policy(row, at=database_now())
        audited, client_id, before = str(row), row.client_id, _picture(row)
        subject = f"escalationpolicy:{row.pk}"
        row.delete()
        audit.record(
            "escalationpolicy.deleted", subject, by=by, client_id=client_id, before={"name": audited, **before}
        )


def attach(service: Service, policy: EscalationPolicy | None, *, by: Actor) -> ServiceRouting:
    """From now on this service's alerts climb this policy (None: only those whose filters match)."""
    if policy is not None and policy.client_id not in (None, service.client_id):
        raise ValidationError(
            {"escalation_policy": "This policy belongs to another client; choose one of the service's own."}
        )
    at = database_now()
    with transaction.atomic():
        open_alerts = escalating.lock(Alert.objects.filter(status=Alert.Status.OPEN, service=service))
        routing, _ = ServiceRouting.objects.get_or_create(service=service)
        before = routing.policy_id
        if before == (policy.pk if policy else None):
            return routing
        routing.policy = policy
        routing.save(update_fields=["policy"])
        _take_up(open_alerts, at)
        audit.record(
            "service.escalation_policy", service, by=by, client_id=service.client_id,
            before={"escalation_policy": before}, after={"escalation_policy": routing.policy_id},
        )  # fmt: skip
    return routing


def _open_alerts(client_id: int | None) -> QuerySet[Alert]:
    """What a policy may take up."""
    alerts = Alert.objects.filter(status=Alert.Status.OPEN, resolved_at=None)
    return alerts.filter(client=client_id) if client_id is not None else alerts


def _take_up(alerts: list[Alert], at: datetime) -> None:
    if alerts:
        around = facts.around(alerts)
        escalating.begin(escalating.as_told([escalating.Start(a, around.of(a, at), at, at) for a in alerts]))


def _set_levels(row: EscalationPolicy, levels: Sequence[Mapping[str, Any]]) -> None:
    row.levels.all().delete()
    for values in levels:
        level = Level.objects.create(policy=row, order=values["order"], delay_seconds=values["delay_seconds"])
        for name in KEYS:
            getattr(level, name).set(values.get(name, ()))
    row._prefetched_objects_cache = {}  # the levels are others now


def _picture(row: EscalationPolicy) -> dict[str, Any]:
    """The policy as the audit log shows it."""
    levels = Level.objects.filter(policy=row).prefetch_related(*KEYS)
    return {
        **ground.picture(row),
        "levels": [
            {"order": level.order, "delay_seconds": level.delay_seconds, **{name: [str(r) for r in getattr(level, name).all()] for name in KEYS}}
            for level in levels
        ],
    }  # fmt: skip


# --- Judging ------------------------------------------------------------------------------------------------------------
def _filters(values: dict[str, Any], complaints: dict[str, str]) -> None:
    for name, (key, normal) in FILTERS.items():
        if name in values:
            try:
                values[name] = normal(values[name] or "")
            except ValueError as error:
                complaints[key] = str(error)


def _name(row: EscalationPolicy | None, values: dict[str, Any], complaints: dict[str, str]) -> None:
    name = str(values.get("name", row.name if row else "")).strip()
    if not name:
        complaints["name"] = "Give the policy a name."
    elif EscalationPolicy.objects.filter(name__iexact=name).exclude(pk=row.pk if row else None).exists():
        complaints["name"] = "A policy of this name exists; choose another name."
    if "name" in values:
        values["name"] = name


def _bounds(values: Mapping[str, Any], complaints: dict[str, str]) -> None:
    for name, least, most in (
        ("repeat_count", 0, MOST_REPEATS),
        ("repeat_after_seconds", SHORTEST_REPEAT, LONGEST_DELAY),
    ):
        if name in values and not _whole(values[name], least, most):
            complaints[name] = f"A whole number from {least} to {most}."


def _levels(
    given: Sequence[Mapping[str, Any]], client_id: int | None, complaints: dict[str, str]
) -> list[dict[str, Any]]:
    """The levels in their order; every complaint at the place where it was given."""
    if not given:
        complaints["levels"] = "A policy needs at least one level."
    elif len(given) > MOST_LEVELS:
        complaints["levels"] = f"At most {MOST_LEVELS} levels; to go on longer, set repeat_count."
    levels, orders = [], set()
    for place, values in enumerate(given):
        at = f"levels.{place}"
        order = values.get("order")
        order = place + 1 if order is None else order
        if not _whole(order, 1, 1000):
            complaints[f"{at}.order"] = "A whole number from 1 to 1000."
        elif order in orders:
            complaints[f"{at}.order"] = f"Two levels have the order {order}; give each its own."
        orders.add(order)
        if not _whole(values.get("delay_seconds"), 0, LONGEST_DELAY):
            complaints[f"{at}.delay_seconds"] = (
                f"Seconds from the start of the run, from 0 to {LONGEST_DELAY} (a week)."
            )
        for name, key in KEYS.items():
            if client_id is not None and any(one.client_id != client_id for one in values.get(name) or ()):
                complaints[f"{at}.{key}"] = (
                    "A client's policy names that client's own only. To call others, make a policy without a client, "
                    f"with the scope client:{client_id}."
                )
        levels.append({**values, "order": order, "place": place})
    if complaints:
        return []
    levels.sort(key=lambda level: level["order"])
    for before, after in zip(levels, levels[1:], strict=False):
        if after["delay_seconds"] <= before["delay_seconds"]:
            complaints[f"levels.{after['place']}.delay_seconds"] = (
                f"Delays count from the start of the run and rise: more than {before['delay_seconds']}, that of the level before."
            )
    if not any(level.get(name) for level in levels for name in KEYS):
        complaints["levels"] = "No level names anybody; add a channel, a contact, a group or an on-call schedule."
    return levels


def _whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


# --- Overlaps -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Overlap:
    """Two active policies that can take up the same alert and call the same channels."""

    one: EscalationPolicy
    other: EscalationPolicy
    channels: tuple[Channel, ...]


def overlaps(viewer: Any) -> list[Overlap]:
    """Pairs among the policies that the viewer may see. People who are in both would be called twice for one alert."""
    rows = EscalationPolicy.objects.for_user(viewer).filter(active=True).order_by("pk")
    found = list(rows.prefetch_related("services__service"))
    reach = _reach(found)
    rules = {p.pk: _rules(p) for p in found}
    pairs = []
    telling: dict[int, list[int]] = defaultdict(list)  # channel → places in `found`; most pairs share none
    for place, policy in enumerate(found):
        for channel in reach[policy.pk]:
            telling[channel].append(place)
    for a, b in sorted({pair for places in telling.values() for pair in combinations(places, 2)}):
        one, other = found[a], found[b]
        shared = reach[one.pk] & reach[other.pk]
        if one.attached_only and other.attached_only:  # a service names one policy only
            continue
        if any(engine.may_meet(a, b) for a in rules[one.pk] for b in rules[other.pk]):
            pairs.append((one, other, shared))
    names = Channel.objects.in_bulk({c for _, _, shared in pairs for c in shared})
    return [Overlap(a, b, tuple(names[c] for c in sorted(shared) if c in names)) for a, b, shared in pairs]


def _rules(policy: EscalationPolicy) -> list[engine.Rule]:
    """What it takes up: by its filters, and by each service that names it."""
    own = escalating.rule(policy)
    by_service = [
        engine.Rule(
            id=policy.pk, name=policy.name, client=r.service.client_id, scopes=frozenset({f"service:{r.service_id}"})
        )
        for r in policy.services.all()
    ]
    return by_service if policy.attached_only else [own, *by_service]


def _reach(policies: Sequence[EscalationPolicy]) -> dict[int, set[int]]:
    """{policy: channels that its levels may tell}, through people, groups and everybody who takes turns."""
    named = {name: _pairs(_named(name), "level__policy", policies) for name in calling.LISTS}
    schedules, groups = set().union(*named["schedules"].values()), set().union(*named["groups"].values())
    turns = _pairs(LayerMember, "layer__schedule", schedules, "contact")
    coming = Override.objects.filter(ends_at__gt=database_now())
    for schedule, contacts in _pairs(coming, "schedule", schedules, "contact").items():
        turns.setdefault(schedule, set()).update(contacts)
    in_group = _pairs(ContactGroup.contacts.through, "contactgroup", groups, "contact")
    people = {
        p.pk: named["contacts"].get(p.pk, set()).union(
            *(in_group.get(g, ()) for g in named["groups"].get(p.pk, ())),
            *(turns.get(s, ()) for s in named["schedules"].get(p.pk, ())),
        )
        for p in policies
    }  # fmt: skip
    ways = _pairs(ContactChannel, "contact", set().union(*people.values()), "channel")
    return {
        p.pk: named["channels"].get(p.pk, set()).union(*(ways.get(contact, ()) for contact in people[p.pk]))
        for p in policies
    }


def _named(name: str) -> tuple[Any, str]:
    """The table that says whom levels name, and its column."""
    field: Any = Level._meta.get_field(name)
    return field.remote_field.through, field.m2m_reverse_field_name()


def _pairs(rows: Any, by: str, of: Iterable[Any], value: str = "") -> dict[int, set[int]]:
    """{`by`: every `value`} of a table (with its column) or of rows, for these keys of `by`."""
    table, column = rows if isinstance(rows, tuple) else (rows, value)
    found: dict[int, set[int]] = defaultdict(set)
    kept = table if isinstance(table, QuerySet) else table.objects.all()
    for key, one in kept.filter(**{f"{by}__in": of}).order_by().values_list(f"{by}_id", f"{column}_id"):
        found[key].add(one)
    return found
