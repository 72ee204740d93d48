"""How are channels, triggers and people's ways to be reached made, changed and removed? One door each (quiet: `quiet`).

Pages, API, admin and import call these; each is one transaction with its audit entry, made by portal.services. They
raise django ValidationError with the body's dotted keys (`url`, `config.url`, `channels.0.type`) and Refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import time
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from alerts import channel_settings, channels, filters, trash  # noqa: F401 - trash describes how they go there
from alerts.models import Channel, ContactChannel, Trigger
from alerts.quiet import save_silence as save_silence
from portal import audit
from portal import services as ground
from portal.audit import Actor
from portal.models import Contact
from portal.models.clients import known_zone


# --- Channels ---------------------------------------------------------------------------------------------------------
def save_channel(
    row: Channel | None,
    *,
    by: Actor,
    settings: Mapping[str, Any] | None = None,
    said_at: Mapping[str, str] | None = None,
    **values: Any,
) -> Channel:
    """Make (row None) or change a channel. `settings` are those of its type: given ones change, "" or null removes one,
    a masked one stays. `said_at` says where a setting stood in the body when that was not `config.<name>`."""
    name = values.get("name", row.name if row else "")
    if not name.strip():
        raise ValidationError({"name": "Give the channel a name."})
    type_ = row.type if row else str(values.get("type", ""))
    kind = channels.KINDS.get(type_)
    if kind and kind.staff_only and (values.get("client") or values.get("contact") or (row and row.client_id)):
        raise ValidationError({"type": f"{kind.label} is for staff: a client's channel cannot use it."})
    _refuse_limits(kind, values)
    if row is None or settings:
        config, secrets, moved = channel_settings.settle(type_, row, settings or {}, said_at or {})
        if row is None or config != row.config:
            values["config"] = config
        if row is None or secrets != channel_settings.opened(row):
            values["secrets"] = secrets
        if row is not None and moved:  # another place: what is known of the old one's health says nothing about it
            values |= {"unhealthy_since": None, "unhealthy_reason": ""}
            if kind and config.get(kind.main_field) != row.config.get(kind.main_field):
                values["digests_stopped_at"] = None  # other readers: they have not asked for anything
    if row is None:
        return ground.create(Channel, by=by, **values)
    ground.change(row, by=by, **values)
    return row


# Per minute, and per month (SPEC DLV-6): the field, the most it may be, what it is called.
LIMITS = {"rate_per_minute": (600, "rate"), "monthly_quota": (10_000_000, "quota")}


def _refuse_limits(kind: type[channels.Channel] | None, values: Mapping[str, Any]) -> None:
    """A rate and a quota are kept by gathering, and what programs read is never gathered."""
    complaints = {}
    for name, (most, noun) in LIMITS.items():
        value = values.get(name)
        if value is None:
            continue
        if kind is not None and not kind.people:
            complaints[name] = (
                f"A {kind.label} channel is read by a program: each alert goes to it by itself, so it has no {noun}. "
                "Leave this empty."
            )
        elif not 1 <= value <= most:
            complaints[name] = f"From 1 to {most:,}; leave it empty for the usual."
    if complaints:
        raise ValidationError(complaints)


def delete_channel(row: Channel, *, by: Actor) -> None:
    """Put a channel into the trash; triggers that name it go on without it, and what waits to be sent is dropped."""
    ground.delete(row, by=by)


# --- Triggers ---------------------------------------------------------------------------------------------------------
FILTERS = {
    "filter_severities": filters.severities, "filter_sources": filters.sources, "filter_scopes": filters.scopes,
    "filter_tags": filters.tags, "weekdays": filters.weekdays,
}  # fmt: skip
LISTS = {"channels": "channel_ids", "contacts": "contact_ids", "groups": "group_ids"}
SHORTEST_REMINDER, LONGEST_REMINDER = 5, 1440  # minutes
LONGEST_VERDICT_WAIT = 30  # seconds


def save_trigger(row: Trigger | None, *, by: Actor, **values: Any) -> Trigger:
    """Make (row None) or change a trigger; filters come as comma-separated text, lists as rows."""
    complaints = judged(row, values)
    client_id = _client_id(row, values)
    for name, key in LISTS.items():
        if client_id is not None and any(r.client_id != client_id for r in values.get(name, ())):
            complaints[key] = (
                "A client's trigger names that client's own only. To tell others, make a trigger without a client, "
                f"with filter_scopes client:{client_id}."
            )
    name = values.get("name", row.name if row else "")
    if not name.strip():
        complaints["name"] = "Give the trigger a name."
    elif Trigger.objects.filter(name__iexact=name.strip()).exclude(pk=row.pk if row else None).exists():
        complaints["name"] = "A trigger of this name exists; choose another name."
    if complaints:
        raise ValidationError(complaints)
    if "name" in values:
        values["name"] = values["name"].strip()
    if row is None:
        return ground.create(Trigger, by=by, **values)
    ground.change(row, by=by, **values)
    return row


def judged(row: Trigger | None, values: dict[str, Any]) -> dict[str, str]:
    """Complaints about which alerts a trigger wants, and when; filters among `values` become their normal form."""
    complaints: dict[str, str] = {}
    for name, normal in FILTERS.items():
        if name in values:
            try:
                values[name] = normal(values[name] or "")
            except ValueError as error:
                complaints[name] = str(error)
    start, end = (values.get(n, getattr(row, n, None)) for n in ("from_time", "until_time"))
    if (start is None) != (end is None):
        complaints["until_time"] = "Give both ends of the time window, or neither."
    elif start is not None and start == end:
        complaints["until_time"] = "This window is empty; leave both ends empty for the whole day."
    if "timezone" in values:
        try:
            known_zone(values["timezone"])
        except ValidationError as error:
            complaints["timezone"] = " ".join(error.messages)
    minutes = values.get("reminder_minutes")
    if minutes is not None and not SHORTEST_REMINDER <= minutes <= LONGEST_REMINDER:
        complaints["reminder_minutes"] = (
            f"From {SHORTEST_REMINDER} to {LONGEST_REMINDER} minutes (a day); leave it empty to be told once."
        )
    wait = values.get("verdict_wait_seconds", 0)
    if wait is None or not 0 <= wait <= LONGEST_VERDICT_WAIT:
        complaints["verdict_wait_seconds"] = f"From 0 (not at all) to {LONGEST_VERDICT_WAIT} seconds."
    return complaints


def delete_trigger(row: Trigger, *, by: Actor) -> None:
    """Put a trigger into the trash."""
    ground.delete(row, by=by)


def _client_id(row: Trigger | None, values: Mapping[str, Any]) -> int | None:
    if row is not None:
        return row.client_id
    return values["client"].pk if values.get("client") is not None else None


# --- Ways to reach a contact -------------------------------------------------------------------------------------------
LONGEST_DELAY = 1440  # minutes
USUAL: dict[str, Any] = {
    "urgency": "all", "delay_minutes": 0, "quiet_from": None, "quiet_until": None, "quiet_urgency": "low",
}  # fmt: skip


def set_ways(contact: Contact, ways: Sequence[Mapping[str, Any]], *, by: Actor) -> None:
    """From now on these are the contact's ways, and no others: `channel` (a row) or the settings of a channel of their
    own (`type`, `settings`, `said_at`, `name`), each with `urgency`, `delay_minutes`, and quiet hours in the contact's
    time zone: `quiet_from`, `quiet_until` (both or neither) and `quiet_urgency`."""
    with transaction.atomic():
        Contact.objects.select_for_update().get(pk=contact.pk)  # two people at once: one after the other
        before = _pictures(contact)
        wanted: dict[int, Mapping[str, Any]] = {}
        for number, way in enumerate(ways):
            try:
                _refuse_way(way)
                channel = _channel_of(contact, way, by)
                if channel.pk in wanted:
                    raise ValidationError({"channel": "This channel is named twice."})
            except ValidationError as error:
                raise ValidationError(
                    {f"channels.{number}.{key}": said for key, said in error.message_dict.items()}
                ) from None
            wanted[channel.pk] = way
        for gone in contact.ways.exclude(channel__in=wanted).select_related("channel"):
            gone.delete()
            if gone.channel.contact_id == contact.pk:
                _retire(gone.channel, by)
        for channel_id, way in wanted.items():
            ContactChannel.objects.update_or_create(
                contact=contact,
                channel_id=channel_id,
                defaults={name: way.get(name, usual) for name, usual in USUAL.items()},
            )
        after = _pictures(contact)
        if after != before:
            audit.record(
                "contact.channels",
                contact,
                by=by,
                client_id=contact.client_id,
                before={"channels": before},
                after={"channels": after},
            )


def _channel_of(contact: Contact, way: Mapping[str, Any], by: Actor) -> Channel:
    """The row a way names, made or changed when it is the contact's own."""
    row: Channel | None = way.get("channel")
    if row is None:
        name = way.get("name") or f"{contact.name} ({way.get('type', '')})"
        return save_channel(
            None,
            by=by,
            client=contact.client,
            contact=contact,
            type=way.get("type", ""),
            name=name[:120],
            settings=way.get("settings"),
            said_at=way.get("said_at"),
        )
    if row.client_id != contact.client_id:
        raise ValidationError(
            {"channel": "This channel belongs to somebody else; choose one of the contact's own client."}
        )
    if row.contact_id not in (None, contact.pk):
        raise ValidationError({"channel": "This is another person's own channel."})
    if way.get("settings"):
        if row.contact_id != contact.pk:
            raise ValidationError(
                {"channel": f"A shared channel is changed by itself: PATCH /api/v1/channels/{row.pk}."}
            )
        save_channel(row, by=by, settings=way["settings"], said_at=way.get("said_at"))
    return row


def _retire(channel: Channel, by: Actor) -> None:
    """A person's own channel that is not theirs any more: gone, or only switched off when it has a history to keep."""
    if channel.deliveries.exists():
        ground.change(channel, by=by, enabled=False)
    else:
        ground.forget(channel, by=by)


def _refuse_way(way: Mapping[str, Any]) -> None:
    """Does it make sense when, and how long, this way waits?"""
    if not 0 <= way.get("delay_minutes", 0) <= LONGEST_DELAY:
        raise ValidationError({"delay_minutes": f"From 0 to {LONGEST_DELAY} minutes (a day)."})
    start, end = way.get("quiet_from"), way.get("quiet_until")
    if (start is None) != (end is None):
        missing = "quiet_until" if end is None else "quiet_from"
        raise ValidationError({missing: "Give both ends of the quiet hours, or neither."})
    if start is not None and start == end:
        raise ValidationError({"quiet_until": "These hours are empty; leave both ends empty for none."})


def ways_of(contact: Contact) -> list[dict[str, Any]]:
    """The contact's ways as `set_ways` takes them."""
    rows = contact.ways.select_related("channel").order_by("delay_minutes", "id")
    return [{"channel": w.channel, **{name: getattr(w, name) for name in USUAL}} for w in rows]


def add_way(contact: Contact, *, by: Actor, **way: Any) -> None:
    """One more way, as `set_ways` takes it. ValidationError with the way's own keys."""
    with transaction.atomic():
        _one_by_one(contact, [*ways_of(contact), way], by)


def change_way(row: ContactChannel, *, by: Actor, **values: Any) -> None:
    """Change a way's urgency, delay or quiet hours."""
    with transaction.atomic():
        ways = [{**w, **(values if w["channel"].pk == row.channel_id else {})} for w in ways_of(row.contact)]
        _one_by_one(row.contact, ways, by)


def remove_way(row: ContactChannel, *, by: Actor) -> None:
    """The contact is not reached this way any more. Their own channel goes too, or is switched off if it has a history."""
    with transaction.atomic():
        _one_by_one(row.contact, [w for w in ways_of(row.contact) if w["channel"].pk != row.channel_id], by)


def _one_by_one(contact: Contact, ways: Sequence[Mapping[str, Any]], by: Actor) -> None:
    try:
        set_ways(contact, ways, by=by)
    except ValidationError as error:  # of one way: without its number in the list
        raise ValidationError({key.split(".", 2)[-1]: said for key, said in error.message_dict.items()}) from None


def _pictures(contact: Contact) -> list[dict[str, Any]]:
    rows = ContactChannel.objects.filter(contact=contact).order_by("channel_id")
    return [
        {"channel": w.channel_id, **{name: _plain(getattr(w, name)) for name in USUAL if _said(w, name)}} for w in rows
    ]


def _said(way: ContactChannel, name: str) -> bool:
    """Quiet hours are in the record where there are some."""
    return not name.startswith("quiet") or way.quiet_from is not None


def _plain(value: Any) -> Any:
    return value.isoformat("minutes") if isinstance(value, time) else value
