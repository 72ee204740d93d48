"""How does something go into the trash, come back as it was, and go for good after 30 days?

What is deleted keeps its row and its history; a mark hides it from every list, count, check and message (`KeptManager`).
Before that, whatever points at it lets go of it, so that no query over links, plans or schedules can reach it past the
mark; what let go is written down in the entry, and taken up again when it comes back. Each kind of thing is described
once by a `Kind`, in the app that knows what points at it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.core import serializers
from django.core.exceptions import ValidationError
from django.db import DatabaseError, IntegrityError, models, transaction
from django.db.models import UniqueConstraint

from portal import audit, slots
from portal.audit import Actor
from portal.errors import Refused
from portal.models import TrashEntry
from portal.models.trash import Trashable
from portal.ownership import client_id_of

log = logging.getLogger("watchkeeper.trash")

KEPT = timedelta(days=30)
AT_ONCE = 200  # go for good in one run of the periodic job
Taken = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """How one model goes into the trash and out of it. Relations are written as app.Model.field, pointing at the model.

    `leave` stops whatever it does and returns what it takes to start it again; `back` starts it and returns sentences
    about what could not be as before (`portal.leaving` has the largest of them). `fit` changes what somebody else has by now
    and a person need not choose, and returns the columns; `gone` deletes it for good. `rows` are deleted and written down,
    `loosens` are set to null, `along` go into the trash with it. Lists (many-to-many) that name it let go by themselves.
    """

    model: type[Trashable]
    label: str
    goes: str  # what is lost when it is deleted for good
    returns: str  # what follows when it is put back
    ours: bool = False  # only our own people find it in the trash: whose it was, is what is deleted
    rows: tuple[str, ...] = ()
    loosens: tuple[str, ...] = ()
    along: tuple[str, ...] = ()
    leave: Callable[[Any, Actor, datetime], Taken] = lambda row, by, at: {}
    back: Callable[[Any, Taken, Actor, datetime], list[str]] = lambda row, own, by, at: []
    fit: Callable[[Any], list[str]] = lambda row: []
    gone: Callable[[Any, Actor], object] = lambda row, by: row.delete()


_kinds: dict[str, Kind] = {}
_more: dict[str, tuple[str, ...]] = {}  # rows of apps above the kind's own


def register(kind: Kind) -> None:
    """Describe a kind; the last description of a model counts."""
    _kinds[kind.model._meta.label_lower] = kind


def takes(label: str, path: str) -> None:
    """Rows of an app above, by `app.Model.field`, that go into the trash and come back with a model's (by its label)."""
    known = _more.get(label, ())
    _more[label] = known if path in known else (*known, path)


def rows_with(kind: Kind) -> tuple[str, ...]:
    """Every relation whose rows go with a kind."""
    return kind.rows + _more.get(kind.model._meta.label_lower, ())


def kind_of(entry: TrashEntry | str) -> Kind:
    """The kind of an entry, or of a model's label."""
    return _kinds[entry if isinstance(entry, str) else entry.kind]


def row_of(entry: TrashEntry) -> Any:
    """The row that an entry stands for; None when it went another way."""
    return _every(kind_of(entry).model).filter(pk=entry.object_id).first()


def until(entry: TrashEntry) -> datetime:
    """When it goes for good."""
    return entry.deleted_at + KEPT


def _every(model: type[models.Model]) -> models.QuerySet[Any]:
    """Rows in the trash as well."""
    return model._base_manager.all()


# --- In -----------------------------------------------------------------------------------------------------------------
def put(row: Trashable, *, by: Actor, at: datetime) -> TrashEntry:
    """Put it into the trash; the caller records it. Refused when it is there already."""
    with transaction.atomic():
        ours = kind_of(row._meta.label_lower).ours
        entry = TrashEntry(
            client_id=None if ours else client_id_of(row), kind=row._meta.label_lower, object_id=row.pk, name=str(row)[:200],
            deleted_at=at, deleted_by=by.name[:200],
        )  # fmt: skip
        entry.taken = _take(row, by, at)
        entry.save(force_insert=True)
    return entry


def _take(row: Trashable, by: Actor, at: datetime) -> Taken:
    """Hide a row, with what goes along; what let go of it."""
    model = type(row)
    kind = kind_of(model._meta.label_lower)
    fresh = _every(model).select_for_update(no_key=True).filter(pk=row.pk).first()
    if fresh is None or fresh.deleted_at is not None:
        raise Refused("It is in the trash already.")
    taken: Taken = {"own": kind.leave(fresh, by, at), "along": [], "rows": [], "loose": {}, "lists": {}}
    for path in kind.along:
        for other in _pointing(path, row).filter(deleted_at=None).order_by("pk"):
            taken["along"].append([other._meta.label_lower, other.pk, _take(other, by, at)])
    for path in rows_with(kind):
        gone = _pointing(path, row).order_by("pk")
        taken["rows"] += serializers.serialize("python", gone)
        gone.delete()
    for path in kind.loosens:
        held = _pointing(path, row)
        taken["loose"][path] = list(held.order_by("pk").values_list("pk", flat=True))
        held.update(**{path.rpartition(".")[2]: None})
    for name, links, mine, theirs in _lists(model):
        named = links.filter(**{mine: row.pk})
        taken["lists"][name] = list(named.order_by("pk").values_list(theirs, flat=True))
        named.delete()
    _every(model).filter(pk=row.pk).update(deleted_at=at)
    row.deleted_at = at
    return taken


def _pointing(path: str, row: models.Model) -> models.QuerySet[Any]:
    """The rows whose `app.Model.field` is this row."""
    label, _, field = path.rpartition(".")
    return _every(apps.get_model(label)).filter(**{field: row.pk})


def _lists(model: type[models.Model]) -> Iterator[tuple[str, models.QuerySet[Any], str, str]]:
    """Other models' lists that may name rows of this one: (name, the table of links, its column of ours, of theirs)."""
    for relation in model._meta.get_fields(include_hidden=True):
        if relation.many_to_many and relation.auto_created and not relation.concrete:
            field: Any = relation.field
            links = field.remote_field.through._base_manager.all()
            name = f"{field.model._meta.label}.{field.name}"
            yield name, links, f"{field.m2m_reverse_field_name()}_id", f"{field.m2m_field_name()}_id"


# --- Out ----------------------------------------------------------------------------------------------------------------
def put_back(entry: TrashEntry, *, by: Actor, at: datetime, name: str = "") -> list[str]:
    """Bring it back as it was, under another `name` if one is given; sentences about what could not be as before.

    Raises ValidationError (`name` or `slug`) when something else is called so by now, Refused when it is gone or
    belongs to something that is in the trash itself.
    """
    with transaction.atomic():
        if not TrashEntry.objects.select_for_update().filter(pk=entry.pk):
            raise Refused(f"{entry.name} is not in the trash any more.")
        row = _every(kind_of(entry).model).select_for_update().filter(pk=entry.object_id).first()
        if row is None:
            raise Refused(f"{entry.name} is gone: what it belonged to was deleted for good.")
        _refuse_orphan(row)
        changed = ["deleted_at"]
        if name and (column := taken_name(entry)):
            setattr(row, column, name)
            row.clean_fields(exclude=[f.name for f in row._meta.fields if f.name != column])
            changed.append(column)
        row.deleted_at = None
        changed += (fitted := kind_of(entry).fit(row))
        _judge(row)
        row.save(update_fields=changed)
        remarks = [f"Its {column} is {getattr(row, column)} now: another has the old one." for column in fitted]
        remarks += _give_back(row, entry.taken, by, at)
        audit.record(f"{row._meta.model_name}.put_back", row, by=by, client_id=client_id_of(row), after={"name": str(row), "not_as_before": remarks})  # fmt: skip
        entry.delete()
    return remarks


def taken_name(entry: TrashEntry) -> str:
    """The column (`name`, `slug`) whose value something else has by now; "" when it can come back as it is."""
    row = row_of(entry)
    if row is None:
        return ""
    row.deleted_at = None
    kind_of(entry).fit(row)
    try:
        _judge(row)
    except ValidationError as error:
        return next(iter(error.message_dict))
    return ""


def _judge(row: Trashable) -> None:
    """Is its name still free?"""
    for constraint in row._meta.constraints:
        if isinstance(constraint, UniqueConstraint):
            try:
                constraint.validate(type(row), row)
            except ValidationError:
                column = "slug" if "slug" in constraint.fields else "name"
                word = str(row._meta.verbose_name)
                what = "ping address" if column == "slug" else column  # a client's slug fits itself
                raise ValidationError({column: f"Another {word} has this {what} now; give this one another."}) from None


def _refuse_orphan(row: Trashable) -> None:
    """Is something that it cannot be without in the trash itself?"""
    for field in row._meta.concrete_fields:
        other = field.related_model
        if isinstance(other, type) and issubclass(other, Trashable) and (value := getattr(row, field.attname)):
            away = _every(other).filter(pk=value, deleted_at__isnull=False).first()
            if away is not None:
                raise Refused(f"It belongs to {away}, which is in the trash; put that back first.")


def _give_back(row: Trashable, taken: Taken, by: Actor, at: datetime) -> list[str]:
    remarks: list[str] = []
    for label, pk, theirs in taken["along"]:
        other = _every(kind_of(label).model).filter(pk=pk).exclude(deleted_at=None).first()
        if other is not None:
            other.deleted_at = None
            other.save(update_fields=["deleted_at"])
            remarks += _give_back(other, theirs, by, at)
    for path, ids in taken["loose"].items():
        label, _, field = path.rpartition(".")
        _every(apps.get_model(label)).filter(pk__in=ids, **{field: None}).update(**{field: row})
    known = {name: (links, mine, theirs) for name, links, mine, theirs in _lists(type(row))}
    for name, ids in taken["lists"].items():
        if name in known:
            links, mine, theirs = known[name]
            owner = apps.get_model(name.rpartition(".")[0])
            there = _every(owner).filter(pk__in=ids).values_list("pk", flat=True)
            links.bulk_create([links.model(**{mine: row.pk, theirs: pk}) for pk in there], ignore_conflicts=True)
    for item in serializers.deserialize("python", taken["rows"], ignorenonexistent=True):
        if not _returned(item):
            remarks.append(f"{item.object._meta.verbose_name.capitalize()} “{_spoken(item.object)}” could not be put back: its place is taken, or what it belonged to is gone.")  # fmt: skip
    return remarks + kind_of(row._meta.label_lower).back(row, taken["own"], by, at)


def _returned(item: Any) -> bool:
    """Save a written-down row, if everything that it points at is there and nothing else has its place."""
    row = item.object
    for field in row._meta.concrete_fields:
        value = getattr(row, field.attname)
        if field.is_relation and value is not None and not _every(field.related_model).filter(pk=value).exists():
            return False
    try:
        with transaction.atomic():
            item.save()
    except IntegrityError:
        return False
    return True


def _spoken(row: models.Model) -> str:
    try:
        return str(row)
    except models.ObjectDoesNotExist:
        return f"{row._meta.verbose_name} {row.pk}"


# --- For good -----------------------------------------------------------------------------------------------------------
def purge(entry: TrashEntry, *, by: Actor, at: datetime) -> None:
    """Delete it for good, with its history. Refused when it was put back meanwhile."""
    with transaction.atomic():
        if not TrashEntry.objects.select_for_update().filter(pk=entry.pk):
            raise Refused(f"{entry.name} is not in the trash any more.")
        row = row_of(entry)
        if row is not None:
            before = {"name": entry.name, "deleted_at": entry.deleted_at, "deleted_by": entry.deleted_by}
            audit.record(f"{row._meta.model_name}.purged", row, by=by, client_id=client_id_of(row), before=before)
            kind_of(entry).gone(row, by)
        entry.delete()
        _forget_gone(kind_of(entry), entry.client_id)


def _forget_gone(gone: Kind, client_id: int | None) -> None:
    """What was in the trash by itself and went with its owner has no row any more. A question a kind, however many there are."""
    for label in {other._meta.label_lower for other in _owned(gone.model)}:
        waiting = TrashEntry.objects.filter(kind=label, client=client_id)
        waiting.exclude(object_id__in=_every(apps.get_model(label)).values("pk")).delete()


def _owned(model: type[models.Model]) -> Iterator[type[models.Model]]:
    """The kinds of things with a trash of their own that point at this model."""
    for relation in model._meta.related_objects:
        if issubclass(relation.related_model, Trashable):
            yield relation.related_model


def sweep(at: datetime) -> int:
    """Delete for good what has been here for 30 days; returns how many went. One that cannot go does not hold up the others."""
    gone = 0
    for entry in TrashEntry.objects.filter(deleted_at__lte=at - KEPT).order_by("deleted_at")[:AT_ONCE]:
        try:
            purge(entry, by=audit.PORTAL, at=at)
        except (Refused, DatabaseError):
            log.exception("%s %s could not be deleted for good; it is tried again in an hour", entry.kind, entry.object_id)  # fmt: skip
        else:
            gone += 1
    return gone


slots.register("trash", 3600, sweep)
