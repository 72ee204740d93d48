"""What does an MSP of two hundred clients look like? `python -m bench.crowd` inside our environment: one client after a bad
night, with everything that a page can show, many times over, and what a year leaves behind.

What copies it follows the foreign keys, so that a model added later is there as well.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

BATCH = 2000
ALONE = {
    "monitors.Monitor": ["slug"],
    "playbooks.RunTarget": ["key"],
    "playbooks.Playbook": ["name"],
}  # beside what `alone` finds
NOT_COPIED = {"portal.AuditEntry", "portal.Membership", "portal.Token", "portal.TrashEntry", "portal.Branding"}
Rows = dict[Any, list[Any]]  # model → its rows


def main() -> None:
    """Fill the database; print what to open and who opens it."""
    import django

    django.setup()
    from django.core.management import call_command

    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--monitors", type=int, default=10_000, help="of all clients together")
    parser.add_argument("--alerts", type=int, default=100, help="a client, over the months")
    parser.add_argument("--password", required=True)
    given = parser.parse_args()
    call_command("migrate", verbosity=0)
    from tests import cast
    from tests.portal import every_page

    s = _one_client()
    people = {"staff": cast.make_owner(), "client": cast.alice()}
    for user in people.values():
        user.set_password(given.password)
        user.save()
    acme = s.client
    crowd = [acme, *multiply(acme, given.clients - 1)]
    calm([c for n, c in enumerate(crowd) if n % 10])
    months(s, crowd, given.alerts)
    watched(s, crowd, given.monitors)
    audited(crowd, 100)
    addresses = {
        "staff": every_page.of_staff(s),
        "client": every_page.of_clients(s),
        "desk": [*lists_of_the_desk(), *every_page.of_the_desk(s)],
    }
    print(json.dumps({
        "people": {who: user.email for who, user in people.items()},
        "addresses": {who: list(dict.fromkeys(found)) for who, found in addresses.items()},
        "monitor": s.up.pk, "rows": counted(),
    }))  # fmt: skip


def _one_client() -> Any:
    from datetime import timedelta

    from monitors import partitions
    from playbooks import steps
    from portal.clock import database_now
    from tests.playbooks.acting import Bell
    from tests.portal import every_page

    today = database_now().date()
    partitions.ensure(today - timedelta(days=8), today + timedelta(days=3))
    steps.KINDS[Bell.kind] = Bell
    return every_page.fill()


# --- Copies -------------------------------------------------------------------------------------------------------------
def tables() -> list[Any]:
    """Models with rows of a client, each after those that its foreign keys point at."""
    from django.apps import apps

    ours = [m for m in apps.get_models() if m._meta.app_config.path.startswith(_here()) and not m._meta.proxy]
    left, ordered = [m for m in ours if getattr(m, "tenant_path", None) and m._meta.label not in NOT_COPIED], []
    left.sort(key=lambda m: m._meta.app_label != "monitors")  # alerts name their monitors without a foreign key
    while left:
        ready = [m for m in left if not ({f.related_model for f in _links(m)} & set(left)) - {m}]
        if not ready:
            raise RuntimeError(f"foreign keys in a ring: {left}")
        ordered += ready
        left = [m for m in left if m not in ready]
    return ordered


def _here() -> str:
    from bench import stage

    return str(stage.ROOT)


def _links(model: Any) -> Iterator[Any]:
    return (f for f in model._meta.concrete_fields if f.is_relation)


def belonging_to(client: Any) -> Rows:
    """All rows of this client."""
    return {m: list(m._base_manager.filter(**{m.tenant_path: client.pk})) for m in tables()}


def clone(rows: Rows, times: int, changes: dict[str, dict[str, Any]] | None = None) -> list[dict[Any, dict[int, Any]]]:
    """So many copies of these rows that point at each other as the originals do, and elsewhere where those do.

    `changes`: other values, by the model's label. Returns for each copy {model: {original's key: copied row}}.
    """
    copies: list[dict[Any, dict[int, Any]]] = [{} for _ in range(times)]
    for model, originals in rows.items():
        made = []
        for n, known in enumerate(copies):
            known[model] = {row.pk: _copied(row, known, n, changes or {}) for row in originals}
            made += known[model].values()
        model._base_manager.bulk_create(made, batch_size=BATCH)
        for field in model._meta.many_to_many:
            _joined(field, rows, copies)
    return copies


@functools.cache
def alone(model: Any) -> list[str]:
    """Columns of words that nobody else may have: the copies get their own."""
    from django.db.models import UniqueConstraint

    words = {f.name for f in model._meta.concrete_fields if f.get_internal_type() in ("CharField", "SlugField")}
    found = {f.name for f in model._meta.concrete_fields if f.unique}
    if model._meta.label == "alerts.Alert":  # what it is about is told apart by its key
        return []
    related = {f.name for f in _links(model)}
    for constraint in (c for c in model._meta.constraints if isinstance(c, UniqueConstraint)):
        if constraint.expressions:
            found.add("name")
        elif not related & set(constraint.fields):
            found |= set(constraint.fields)
    return sorted(words & found) + ALONE.get(model._meta.label, [])


def _copied(row: Any, known: dict[Any, dict[int, Any]], n: int, changes: dict[str, dict[str, Any]]) -> Any:
    new, label = copy.copy(row), row._meta.label
    new._state = copy.copy(row._state)
    new._state.adding, new._state.fields_cache = True, {}
    new.pk = None
    for field in _links(row):
        there = known.get(field.related_model, {}).get(getattr(row, field.attname))
        if there is not None and field.related_model is not type(row):
            setattr(new, field.attname, there.pk)
    if label == "alerts.Alert":
        watched = {m._meta.label: found for m, found in known.items()}.get("monitors.Monitor", {}).get(row.monitor_id)
        new.monitor_id = watched.pk if watched else row.monitor_id
        new.entity_id = str(watched.pk) if watched and row.entity_type == "monitor" else uuid.uuid4().hex
    for field in row._meta.concrete_fields:
        if field.get_internal_type() == "UUIDField":
            setattr(new, field.attname, uuid.uuid4())
    for name in alone(type(row)):
        if getattr(new, name):
            limit = row._meta.get_field(name).max_length - 9
            setattr(new, name, f"{getattr(new, name)[:limit]}-{uuid.uuid4().hex[:8]}")
    for name, value in changes.get(label, {}).items():
        setattr(new, name, value(n, row) if callable(value) else value)
    return new


def _joined(field: Any, rows: Rows, copies: list[dict[Any, dict[int, Any]]]) -> None:
    through, ours, theirs = field.remote_field.through, field.m2m_column_name(), field.m2m_reverse_name()
    originals = {row.pk for row in rows[field.model]}
    links = list(through._base_manager.filter(**{f"{ours}__in": originals}).values_list(ours, theirs))
    made = []
    for known in copies:
        other = known.get(field.related_model, {})
        made += [
            through(**{ours: known[field.model][a].pk, theirs: other[b].pk if b in other else b}) for a, b in links
        ]
    through._base_manager.bulk_create(made, batch_size=BATCH)


def multiply(client: Any, times: int) -> list[Any]:
    """So many clients like this one."""
    found = clone(belonging_to(client), times)
    model = type(client)
    return [known[model][client.pk] for known in found]


# --- What makes them differ -------------------------------------------------------------------------------------------------
def calm(clients: Iterable[Any]) -> None:
    """With these nothing is wrong at the moment."""
    from alerts.models import Alert
    from alerts.models import Run as Escalation
    from incidents.models import Incident
    from monitors.models import Monitor
    from playbooks.models import Run
    from portal.clock import database_now

    at, of = database_now(), {"client__in": [c.pk for c in clients]}
    over = {"status": "resolved", "resolved_at": at, "resolved_by": "the machine"}
    Alert.objects.filter(**of, resolved_at=None).update(**over)
    Incident.objects.filter(**of, resolved_at=None).update(**over, responder_status="resolved")
    Monitor.objects.filter(**of).exclude(state="paused").update(state="up")
    Run.objects.filter(**of, state="awaiting_approval").update(state="void", finished_at=at)
    Escalation.objects.filter(**of, ended_at=None).update(
        status="stopped_by_resolution", ended_at=at, next_action_at=None
    )


def months(s: Any, crowd: list[Any], alerts: int) -> None:
    """What happened to each of them before: alerts with all they said, a fifth as many incidents."""
    from datetime import timedelta

    from alerts.models import Alert, Attempt, Decision, Delivery, Notice
    from incidents.models import Incident, TimelineEntry, Update

    for one in crowd:
        old = list(Alert._base_manager.filter(client=one, monitor_id__isnull=False).order_by("pk")[:1])
        told = {"alert__in": old}
        notices = list(Notice._base_manager.filter(**told))
        sent = list(Delivery._base_manager.filter(**told, carried_by=None))
        rows: Rows = {
            Alert: old, Notice: notices, Decision: list(Decision._base_manager.filter(notice__in=notices)),
            Delivery: sent, Attempt: list(Attempt._base_manager.filter(delivery__in=sent)),
        }  # fmt: skip

        def back(n: int, row: Any) -> Any:
            return row.created_at - timedelta(days=90 * (n + 1) / alerts)

        over = {"status": "resolved", "resolved_at": back, "created_at": back, "incident_id": None, "next_seq": 9}
        clone(
            rows,
            alerts,
            {"alerts.Alert": over, "alerts.Delivery": {"created_at": back, "state": "delivered", "lease_until": None}},
        )
        worked = list(Incident._base_manager.filter(alert_links__alert__in=old)[:1])
        rows = {m: list(m._base_manager.filter(incident__in=worked)) for m in (Update, TimelineEntry)}
        ended = {
            "status": "resolved",
            "responder_status": "resolved",
            "resolved_at": back,
            "created_at": back,
            "began_at": back,
        }
        clone({Incident: worked, **rows}, alerts // 5, {"incidents.Incident": ended})


def watched(s: Any, crowd: list[Any], monitors: int) -> None:
    """As many monitors as there shall be, each with its view."""
    from monitors.models import Monitor, ProbeState

    have = Monitor._base_manager.count()
    each = max(0, monitors - have) // len(crowd)
    for of in crowd:
        model = Monitor._base_manager.filter(client=of, kind="http", state="up").order_by("pk").first()
        rows: Rows = {Monitor: [model], ProbeState: list(ProbeState._base_manager.filter(monitor=model))}
        clone(rows, each, {"monitors.Monitor": {"name": lambda n, row: f"{row.name} {n}"}})


def audited(crowd: list[Any], entries: int) -> None:
    """So many acts of each; their chain is not one, nobody here asks for it."""
    from portal.clock import database_now
    from portal.models import AuditEntry

    at = database_now()
    AuditEntry._base_manager.bulk_create(
        (
            AuditEntry(chain=f"bench:{c.pk}", seq=n, client_id=c.pk, at=at, actor="Olivia", action="monitor.changed", subject="monitor:1", subject_name="shop", previous="", hash="")
            for c in crowd for n in range(entries)
        ),
        batch_size=BATCH,
    )  # fmt: skip


def lists_of_the_desk() -> list[str]:
    """The admin's list of each model."""
    from django.contrib import admin
    from django.urls import reverse

    return [reverse(f"admin:{m._meta.app_label}_{m._meta.model_name}_changelist") for m in admin.site._registry]


def counted() -> dict[str, int]:
    """Rows of the largest tables."""
    found = {m._meta.label: m._base_manager.count() for m in tables()}
    return dict(sorted(found.items(), key=lambda pair: -pair[1])[:12])


if __name__ == "__main__":
    main()
