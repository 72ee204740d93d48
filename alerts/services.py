"""How are channels, triggers, silences and people's ways to be reached made, changed and removed? One door each.

Pages, API, admin and import call these; each is one transaction with its audit entry, made by portal.services. They
raise django ValidationError with the body's dotted keys (`url`, `config.url`, `matchers.source`) and Refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from alerts import acts, channel_settings, filters
from alerts.models import Channel, ContactChannel, Silence, Trigger
from portal import audit
from portal import services as ground
from portal.audit import Actor
from portal.models import Contact
from portal.models.clients import known_zone

LONGEST_SILENCE = timedelta(days=366)


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
    if row is None or settings:
        config, secrets, moved = channel_settings.settle(type_, row, settings or {}, said_at or {})
        if row is None or config != row.config:
            values["config"] = config
        if row is None or secrets != channel_settings.opened(row):
            values["secrets"] = secrets
        if row is not None and moved:  # another place: what is known of the old one's health says nothing about it
            values |= {"unhealthy_since": None, "unhealthy_reason": ""}
    if row is None:
        return ground.create(Channel, by=by, **values)
    ground.change(row, by=by, **values)
    return row


def delete_channel(row: Channel, *, by: Actor) -> None:
    """Delete a channel; triggers that name it go on without it. What was sent through it goes with it."""
    ground.delete(row, by=by)


# --- Triggers ---------------------------------------------------------------------------------------------------------
FILTERS = {
    "filter_severities": filters.severities, "filter_sources": filters.sources, "filter_scopes": filters.scopes,
    "filter_tags": filters.tags, "weekdays": filters.weekdays,
}  # fmt: skip
LISTS = {"channels": "channel_ids", "contacts": "contact_ids", "groups": "group_ids"}


def save_trigger(row: Trigger | None, *, by: Actor, **values: Any) -> Trigger:
    """Make (row None) or change a trigger; filters come as comma-separated text, lists as rows."""
    complaints: dict[str, str] = {}
    for name, normal in FILTERS.items():
        if name in values:
            try:
                values[name] = normal(values[name] or "")
            except ValueError as error:
                complaints[name] = str(error)
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
    start, end = (values.get(n, getattr(row, n, None)) for n in ("from_time", "until_time"))
    if (start is None) != (end is None):
        complaints["until_time"] = "Give both ends of the time window, or neither."
    elif start is not None and start == end:
        complaints["until_time"] = "This window is empty; leave both ends empty for the whole day."
    if complaints:
        raise ValidationError(complaints)
    if "name" in values:
        values["name"] = values["name"].strip()
    if row is None:
        return ground.create(Trigger, by=by, **values)
    ground.change(row, by=by, **values)
    return row


def delete_trigger(row: Trigger, *, by: Actor) -> None:
    """Delete a trigger."""
    ground.delete(row, by=by)


def _client_id(row: Trigger | None, values: Mapping[str, Any]) -> int | None:
    if row is not None:
        return row.client_id
    return values["client"].pk if values.get("client") is not None else None


# --- Silences ---------------------------------------------------------------------------------------------------------
def save_silence(
    *, by: Actor, at: datetime, reason: str, matchers: Any, starts_at: datetime | None = None, ends_at: datetime | None = None,
    duration_seconds: int | None = None, until_recovered: bool = False, recurrence: str = "", timezone: str = "UTC", client: Any = None, owner: str = "",
) -> Silence:  # fmt: skip
    """A new silence, from now unless `starts_at` says otherwise, with exactly one end. Holds at once what it covers."""
    try:
        known_zone(timezone)
    except ValidationError as error:
        raise ValidationError({"timezone": error.messages}) from None
    starts_at = starts_at or at
    ends = [
        name
        for name, given in (
            ("ends_at", ends_at),
            ("duration_seconds", duration_seconds),
            ("until_recovered", until_recovered or None),
        )
        if given is not None
    ]
    if len(ends) != 1:
        sentence = (
            "Say when it ends: ends_at, duration_seconds, or until_recovered."
            if not ends
            else f"Give one end only, not {' and '.join(ends)}."
        )
        raise ValidationError({ends[-1] if ends else "ends_at": sentence})
    if duration_seconds is not None:
        if not 1 <= duration_seconds <= LONGEST_SILENCE.total_seconds():
            raise ValidationError({"duration_seconds": "From 1 second to 366 days."})
        ends_at = _later(starts_at, duration_seconds)
    if ends_at is not None and ends_at <= starts_at:
        raise ValidationError({"ends_at": "It must end after it starts."})
    if ends_at is not None and ends_at - starts_at > LONGEST_SILENCE:
        raise ValidationError({"ends_at": "A silence lasts at most 366 days."})
    if recurrence and until_recovered:
        raise ValidationError({"until_recovered": "A recurring silence needs ends_at or duration_seconds."})
    try:
        covered = filters.matchers(matchers)
    except filters.BadMatcher as error:
        raise ValidationError({f"matchers.{error.key}" if error.key else "matchers": str(error)}) from None
    try:
        rule = filters.recurrence(recurrence, starts_at, timezone) if recurrence else ""
    except ValueError as error:
        raise ValidationError({"recurrence": str(error)}) from None
    row = Silence(
        client=client, reason=reason, owner=owner, starts_at=starts_at, ends_at=ends_at, until_recovered=until_recovered, recurrence=rule, timezone=timezone, matchers=covered,
    )  # fmt: skip
    row.full_clean(exclude=["client", "matchers"])
    return acts.silence(row, by=by, at=at)


def _later(at: datetime, seconds: int) -> datetime:
    try:
        return at + timedelta(seconds=seconds)
    except OverflowError:
        raise ValidationError({"starts_at": "This is too far away."}) from None


# --- Ways to reach a contact -------------------------------------------------------------------------------------------
def set_ways(contact: Contact, ways: Sequence[Mapping[str, Any]], *, by: Actor) -> None:
    """From now on these are the contact's ways, and no others: `channel` (a row) or the settings of a channel of their
    own (`type`, `settings`, `said_at`, `name`), each with `urgency` and `delay_minutes`."""
    with transaction.atomic():
        before = _pictures(contact)
        wanted: dict[int, Mapping[str, Any]] = {}
        for number, way in enumerate(ways):
            try:
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
                defaults={"urgency": way.get("urgency", "all"), "delay_minutes": way.get("delay_minutes", 0)},
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
        delete_channel(channel, by=by)


def _pictures(contact: Contact) -> list[dict[str, Any]]:
    rows = ContactChannel.objects.filter(contact=contact).order_by("channel_id")
    return [{"channel": w.channel_id, "urgency": w.urgency, "delay_minutes": w.delay_minutes} for w in rows]
