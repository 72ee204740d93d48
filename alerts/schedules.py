"""How are on-call schedules made, changed and removed, and who takes over for a while? One door each (SPEC ESC-4).

Pages, API and admin call these. Each is one transaction with its audit entry, whose subject is always the schedule.
They raise django ValidationError with the body's dotted keys (`layers.0.contact_ids`) and Refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from alerts import filters
from alerts.models import Layer, LayerMember, OnCallSchedule, Override
from portal import audit
from portal import services as ground
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import Client, Contact
from portal.models.clients import known_zone

MOST_LAYERS, MOST_MEMBERS = 20, 100
LONGEST_OVERRIDE = timedelta(days=366)
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
LAYER_FIELDS = (
    "order", "rotation", "rotation_days", "handoff_time", "handoff_day", "starts_at", "ends_at", "weekdays", "from_time", "until_time",
)  # fmt: skip
Complaints = dict[str, list[str]]


# --- Schedules --------------------------------------------------------------------------------------------------------
def save_schedule(
    row: OnCallSchedule | None, *, by: Actor, layers: Sequence[Mapping[str, Any]] | None = None, **values: Any
) -> OnCallSchedule:
    """Make (row None) or change a schedule. `layers` replaces all layers: a layer's fields and `contacts`, in the order
    of their turns. A layer whose people stay the same keeps everybody's turn, also where somebody is gone."""
    complaints: Complaints = {}
    _judge_schedule(row, values, complaints)
    client = row.client if row is not None else values.get("client")
    zone = values.get("timezone", row.timezone if row is not None else "UTC")
    wanted = None if layers is None else _judge_layers(layers, client, database_now(), complaints)
    if complaints:
        raise ValidationError(complaints)
    with transaction.atomic():
        if row is None:
            row = OnCallSchedule(client=client)
            before: dict[str, Any] = {}
        else:
            row = OnCallSchedule.objects.select_for_update().get(pk=row.pk)
            before = picture(row)
        began_telling = values.get("tell_shift_start", row.tell_shift_start) and not row.tell_shift_start
        row.name = values.get("name", row.name).strip()
        row.timezone = zone
        row.tell_shift_start = values.get("tell_shift_start", row.tell_shift_start)
        if began_telling:
            row.told_contact = None  # whoever has it now is told that telling has begun
        ground.clean(row)
        row.save()
        if wanted is not None:
            _write_layers(row, wanted)
        after = picture(row)
        changed = {name for name in after if after[name] != before.get(name)}
        if not before:
            audit.record("oncallschedule.created", row, by=by, client_id=row.client_id, after=after)
        elif changed:
            audit.record(
                "oncallschedule.changed", row, by=by, client_id=row.client_id,
                before={n: before[n] for n in sorted(changed)}, after={n: after[n] for n in sorted(changed)},
            )  # fmt: skip
    return row


def delete_schedule(row: OnCallSchedule, *, by: Actor) -> None:
    """Delete a schedule with its layers and overrides; escalation levels that name it go on without it."""
    with transaction.atomic():
        audit.record("oncallschedule.deleted", row, by=by, client_id=row.client_id, before=picture(row))
        row.delete()


def revoke_feed(row: OnCallSchedule, *, by: Actor) -> OnCallSchedule:
    """The calendar's address stops working; there is a new one from now on."""
    with transaction.atomic():
        row = OnCallSchedule.objects.select_for_update().get(pk=row.pk)
        row.feed_version += 1
        row.save(update_fields=["feed_version"])
        audit.record("oncallschedule.feed_revoked", row, by=by, client_id=row.client_id)
    return row


# --- Overrides --------------------------------------------------------------------------------------------------------
def add_override(
    schedule: OnCallSchedule, *, by: Actor, at: datetime, contact: Contact | None, starts_at: datetime | None = None,
    ends_at: datetime | None = None, reason: str = "",
) -> Override:  # fmt: skip
    """Somebody takes over from `starts_at` (default: now) until `ends_at`, whatever the layers say."""
    complaints: Complaints = {}
    starts_at = starts_at or at
    if contact is None:
        _complain(complaints, "contact_id", "Say who takes over.")
    elif not _fits(contact, schedule.client):
        _complain(complaints, "contact_id", _foreign(contact))
    if ends_at is None:
        _complain(complaints, "ends_at", "Say until when.")
    else:
        for name, value in (("starts_at", starts_at), ("ends_at", ends_at)):
            if not EARLIEST <= value <= LATEST:
                _complain(complaints, name, "Give a time between the years 2000 and 2100.")
        if ends_at <= starts_at:
            _complain(complaints, "ends_at", "It must end after it starts.")
        elif ends_at <= at:
            _complain(complaints, "ends_at", "This is over already; who was on call in the past is not rewritten.")
        elif ends_at - starts_at > LONGEST_OVERRIDE:
            _complain(complaints, "ends_at", "Somebody takes over for at most 366 days; change the layers instead.")
    if len(reason) > 300:
        _complain(complaints, "reason", "At most 300 characters.")
    if complaints:
        raise ValidationError(complaints)
    with transaction.atomic():
        row = Override.objects.create(
            schedule=schedule, contact=contact, starts_at=starts_at, ends_at=ends_at, reason=reason, created_by=by.name
        )
        audit.record(
            "oncallschedule.override_added", schedule, by=by, client_id=schedule.client_id, after=_override_picture(row)
        )
    return row


def remove_override(row: Override, *, by: Actor) -> None:
    """It never happened, or ends: the layers count again. Refused when somebody else has just removed it."""
    schedule = row.schedule
    with transaction.atomic():
        before = _override_picture(row)
        if not Override.objects.filter(pk=row.pk).delete()[0]:
            raise Refused("Somebody else has just removed this.")
        audit.record("oncallschedule.override_removed", schedule, by=by, client_id=schedule.client_id, before=before)


# --- What is judged ---------------------------------------------------------------------------------------------------
def _judge_schedule(row: OnCallSchedule | None, values: Mapping[str, Any], complaints: Complaints) -> None:
    name = values.get("name", row.name if row is not None else "").strip()
    if not name:
        _complain(complaints, "name", "Give the schedule a name.")
    elif len(name) > 120:
        _complain(complaints, "name", "At most 120 characters.")
    elif OnCallSchedule.objects.filter(name__iexact=name).exclude(pk=row.pk if row is not None else None).exists():
        _complain(complaints, "name", "A schedule of this name exists; choose another name.")
    if "timezone" in values:
        try:
            known_zone(values["timezone"])
        except ValidationError as error:
            _complain(complaints, "timezone", *error.messages)


def _judge_layers(
    layers: Sequence[Mapping[str, Any]], client: Client | None, at: datetime, complaints: Complaints
) -> list[dict[str, Any]]:
    """Each layer's fields in normal form, with `contacts`."""
    if len(layers) > MOST_LAYERS:
        _complain(complaints, "layers", f"At most {MOST_LAYERS} layers.")
    wanted: list[dict[str, Any]] = []
    orders: set[int] = set()
    for number, given in enumerate(layers):
        layer = _with_defaults(given, number, at)
        found = _layer_complaints(layer, client)
        if layer["order"] in orders:
            _complain(found, "order", f"Two layers have the order {layer['order']}; the higher one covers the lower.")
        orders.add(layer["order"])
        for key, sentences in found.items():
            _complain(complaints, f"layers.{number}.{key}", *sentences)
        wanted.append(layer)
    return wanted


def _with_defaults(given: Mapping[str, Any], number: int, at: datetime) -> dict[str, Any]:
    rotation = given.get("rotation") or Layer.Rotation.WEEKLY
    days = given.get("rotation_days")
    handoff_day, handoff_time, order = given.get("handoff_day"), given.get("handoff_time"), given.get("order")
    return {
        "order": number + 1 if order is None else order,
        "rotation": rotation,
        "rotation_days": (1 if rotation == Layer.Rotation.DAILY else 7) if days is None else days,
        "handoff_time": time(9) if handoff_time is None else handoff_time,
        "handoff_day": 1 if handoff_day is None else handoff_day,
        "starts_at": given.get("starts_at") or at,
        "ends_at": given.get("ends_at"),
        "weekdays": given.get("weekdays") or "",
        "from_time": given.get("from_time"),
        "until_time": given.get("until_time"),
        "contacts": list(given.get("contacts", ())),
    }


def _layer_complaints(layer: dict[str, Any], client: Client | None) -> Complaints:
    found: Complaints = {}
    if layer["rotation"] not in Layer.Rotation.values:
        _complain(found, "rotation", f"Choose from {', '.join(Layer.Rotation.values)}.")
    for name, least, most in (("order", 0, 1000), ("rotation_days", 1, 365), ("handoff_day", 1, 7)):
        if not least <= layer[name] <= most:
            said = f"From {least} to {most}."
            _complain(found, name, "1 is Monday, 7 is Sunday." if name == "handoff_day" else said)
    for name in ("starts_at", "ends_at"):
        if layer[name] is not None and not EARLIEST <= layer[name] <= LATEST:
            _complain(found, name, "Give a time between the years 2000 and 2100.")
    if layer["ends_at"] is not None and layer["ends_at"] <= layer["starts_at"]:
        _complain(found, "ends_at", "It must end after it starts.")
    try:
        layer["weekdays"] = filters.weekdays(layer["weekdays"])
    except ValueError as error:
        _complain(found, "weekdays", str(error))
    if (layer["from_time"] is None) != (layer["until_time"] is None):
        _complain(found, "until_time", "Give both ends of the hours, or neither.")
    elif layer["from_time"] is not None and layer["from_time"] == layer["until_time"]:
        _complain(found, "until_time", "These hours are empty; leave both ends empty for the whole day.")
    if not layer["contacts"]:
        _complain(found, "contact_ids", "Name at least one person.")
    elif len(layer["contacts"]) > MOST_MEMBERS:
        _complain(found, "contact_ids", f"At most {MOST_MEMBERS} people take turns.")
    foreign = next((c for c in layer["contacts"] if not _fits(c, client)), None)
    if foreign is not None:
        _complain(found, "contact_ids", _foreign(foreign))
    return found


def _fits(contact: Contact, client: Client | None) -> bool:
    """A client's schedule names its own people and our staff; our own schedule may name anybody, as our triggers may."""
    return client is None or contact.client_id in (None, client.pk)


def _foreign(contact: Contact) -> str:
    return f"{contact.name} belongs to another client; name this client's own people or our staff."


def _complain(complaints: Complaints, key: str, *sentences: str) -> None:
    complaints.setdefault(key, []).extend(sentences)


# --- What is written --------------------------------------------------------------------------------------------------
def _write_layers(schedule: OnCallSchedule, wanted: list[dict[str, Any]]) -> None:
    before = {layer.order: layer for layer in schedule.layers.all()}
    schedule.layers.exclude(order__in=[layer["order"] for layer in wanted]).delete()
    for values in wanted:
        row = before.get(values["order"]) or Layer(schedule=schedule)
        for name in LAYER_FIELDS:
            setattr(row, name, values[name])
        people = [contact.pk for contact in values["contacts"]]
        row.places = len(people)
        row.save()
        if list(row.members.order_by("position").values_list("contact_id", flat=True)) == people:
            continue
        row.members.all().delete()
        LayerMember.objects.bulk_create(
            LayerMember(layer=row, contact_id=pk, position=position) for position, pk in enumerate(people)
        )


def picture(row: OnCallSchedule) -> dict[str, Any]:
    """The schedule as the audit log shows it."""
    shown = {name: getattr(row, name) for name in ("name", "client_id", "timezone", "tell_shift_start")}
    layers = [
        {**{name: getattr(layer, name) for name in LAYER_FIELDS}, "contact_ids": [m.contact_id for m in layer.members.all()]}
        for layer in row.layers.order_by("order").prefetch_related("members")
    ]  # fmt: skip
    return audit.plain({**shown, "layers": layers})


def _override_picture(row: Override) -> dict[str, Any]:
    return {
        "override": row.pk, "contact": row.contact_id, "name": row.contact.name, "starts_at": row.starts_at, "ends_at": row.ends_at, "reason": row.reason,
    }  # fmt: skip
