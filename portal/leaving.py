"""How does a whole client leave, come back as it was within 30 days, or go for good? The trash's largest kind.

The client gets a mark, and at that moment everything of it stops: each app describes its part (`register`), which lets go
from the top down (playbooks, pages, incidents, monitors, messages, people) and takes hold again from the ground up. What
ran is written down in the entry, so that what rested before rests again. What people see is left out by `portal.tenancy`
and by the default managers; what has an address of its own (pages, keys, links) is switched off or asks the mark.
A row that was being made at that moment is found by the next minute's look (`settle`), and stopped as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models, transaction

from portal import audit, signals, slots, trash
from portal.audit import Actor
from portal.models import Client, Contact, Site, TrashEntry
from portal.models.clients import free_slug
from portal.trash import Taken

log = logging.getLogger("watchkeeper.leaving")

LABEL = Client._meta.label_lower
AT_ONCE = 5000  # ids in one statement


@dataclass(frozen=True, slots=True)
class Part:
    """What one app stops when a client leaves: `stop` returns what ran, `start` takes it and says what is not as before.

    `stop` is asked again each minute, about what came since: it takes only what still runs, and is quiet otherwise.
    """

    stop: Callable[[Client, Actor, datetime], Taken]
    start: Callable[[Client, Taken, Actor, datetime], list[str]]


_parts: dict[str, Part] = {}


def register(app: str, part: Part) -> None:
    """Describe an app's part; the last description counts."""
    _parts[app] = part


def _from_the_ground() -> list[str]:
    """The apps that have a part, lowest first."""
    order = {name: place for place, name in enumerate(settings.INSTALLED_APPS)}
    return sorted(_parts, key=lambda app: order.get(app, len(order)))


# --- The kind -------------------------------------------------------------------------------------------------------------
def leave(client: Client, by: Actor, at: datetime) -> Taken:
    """Stop everything of it, from the top down."""
    return {app: _parts[app].stop(client, by, at) for app in reversed(_from_the_ground())}


def back(client: Client, own: Taken, by: Actor, at: datetime) -> list[str]:
    """Start what ran, from the ground up."""
    said: list[str] = []
    for app in _from_the_ground():
        said += _parts[app].start(client, own.get(app, {}), by, at)
    return said


def fit(client: Client) -> list[str]:
    """Its slug may be somebody else's by now: a free one. Its name is a person's to choose."""
    if not Client.objects.exclude(pk=client.pk).filter(slug=client.slug).exists():
        return []
    client.slug = free_slug(client.name, Client.objects.exclude(pk=client.pk))
    return ["slug"]


def for_good(client: Client, by: Actor) -> None:
    """Everything of it is deleted; whoever keeps something about clients hears of it first."""
    signals.client_deleted.send(Client, client=client, by=by)
    client.delete()


def settle(at: datetime) -> int:
    """Stop what was being made for a client at the very moment that it left; returns how many clients had something."""
    found = 0
    for pk in list(TrashEntry.objects.filter(kind=LABEL).order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            entry = TrashEntry.objects.select_for_update().filter(pk=pk).first()
            client = trash.row_of(entry) if entry is not None else None
            if entry is None or client is None:
                continue
            more = leave(client, audit.PORTAL, at)
            before = entry.taken.get("own", {})
            after = _joined(before, more)
            if after != before:
                entry.taken = {**entry.taken, "own": after}
                entry.save(update_fields=["taken"])
                found += 1
    return found


def _joined(old: Any, new: Any) -> Any:
    """What was taken, with what was taken now: lists grow, and what was said first stands."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**new, **{k: _joined(v, new[k]) if k in new else v for k, v in old.items()}}
    if isinstance(old, list) and isinstance(new, list):
        return old + [v for v in new if v not in old] if new else old
    return old


# --- What most parts consist of -------------------------------------------------------------------------------------------
def of(client: Client, model: type[models.Model], path: str = "client") -> models.QuerySet[Any]:
    """The client's rows of a model, also those in the trash."""
    return model._base_manager.filter(**{path: client.pk})


def hide(client: Client, at: datetime, *kinds: type[models.Model]) -> Taken:
    """Mark what is not in the trash by itself: default managers leave it out. {label: ids}."""
    taken = {}
    for model in kinds:
        rows = of(client, model).filter(deleted_at=None)
        taken[model._meta.label] = list(rows.order_by("pk").values_list("pk", flat=True))
        rows.update(deleted_at=at)
    return taken


def show(taken: Taken, *kinds: type[models.Model]) -> None:
    """Take the marks away."""
    for model in kinds:
        for ids in batches(taken.get(model._meta.label, [])):
            model._base_manager.filter(pk__in=ids).update(deleted_at=None)


def off(client: Client, model: type[models.Model], field: str = "enabled") -> list[int]:
    """Switch off what is on; which those were."""
    rows = of(client, model).filter(**{field: True})
    ids = list(rows.order_by("pk").values_list("pk", flat=True))
    rows.update(**{field: False})
    return ids


def on(ids: Sequence[int], model: type[models.Model], field: str = "enabled") -> None:
    """Switch those on again."""
    for some in batches(ids):
        model._base_manager.filter(pk__in=some).update(**{field: True})


def batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """In numbers that every database takes in one statement."""
    for start in range(0, len(ids), AT_ONCE):
        yield ids[start : start + AT_ONCE]


# --- The ground's own part ------------------------------------------------------------------------------------------------
def _stop(client: Client, by: Actor, at: datetime) -> Taken:
    """Its people see nothing; its sites and contacts are gone from every list."""
    own: Taken = {"active": client.active, **hide(client, at, Site, Contact)}
    Client._base_manager.filter(pk=client.pk).update(active=False)
    return own


def _start(client: Client, own: Taken, by: Actor, at: datetime) -> list[str]:
    show(own, Site, Contact)
    client.active = own.get("active", True)
    client.save(update_fields=["active"])
    return []


register("portal", Part(_stop, _start))
trash.register(
    trash.Kind(
        Client,
        "Client",
        goes="Everything of it is deleted: sites, services, monitors with their history, alerts, incidents, reports, status pages, playbooks, people to tell. Its audit log stays.",
        returns="Everything runs that ran before, and what rested rests; monitors are checked at once. Alerts that were open stay closed: what is still wrong opens new ones.",
        leave=leave,
        back=back,
        fit=fit,
        gone=for_good,
        ours=True,
    )
)
slots.register("leaving", 60, settle)
