"""Does a plan for quiet make sense? What people say of a silence or a window becomes an unsaved row, or complaints.

Shared by pages, API and admin, and by their previews. Every refusal is a ValidationError with the body's dotted keys
(`ends_at`, `scopes.0`, `matchers.source`); nothing is stored here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError

from alerts import engine, filters
from alerts.models import MaintenanceWindow, Silence
from portal.models import Client, Service, Site
from portal.models.clients import known_zone

LONGEST = timedelta(days=366)
OLDEST_RULE = timedelta(days=3660)  # its occurrences are counted from its first start
MOST_WORDS = 200


# --- When ---------------------------------------------------------------------------------------------------------------
def when(
    *, at: datetime, noun: str, starts_at: datetime | None, ends_at: datetime | None, duration_seconds: int | None, until_recovered: bool = False,
    endless: bool = True, recurrence: str, timezone: str,
) -> engine.Times:  # fmt: skip
    """The times of a silence or a window: from now unless said otherwise, with exactly one end, perhaps again."""
    try:
        known_zone(timezone)
    except ValidationError as error:
        raise ValidationError({"timezone": error.messages}) from None
    starts_at = starts_at or at
    ends_at = _end(noun, starts_at, ends_at, duration_seconds, until_recovered, endless)
    if recurrence and until_recovered:
        raise ValidationError({"until_recovered": f"A recurring {noun} needs ends_at or duration_seconds."})
    if recurrence.strip() and at - starts_at > OLDEST_RULE:
        raise ValidationError({"starts_at": f"A recurring {noun} starts at most ten years ago."})
    try:
        rule = filters.recurrence(recurrence, starts_at, timezone) if recurrence else ""
    except ValueError as error:
        raise ValidationError({"recurrence": str(error)}) from None
    times = engine.Times(starts_at, ends_at, rule, timezone)
    _refuse_overlap(noun, times)
    return times


def _end(
    noun: str, starts_at: datetime, ends_at: datetime | None, seconds: int | None, recovered: bool, endless: bool
) -> datetime | None:
    given = {"ends_at": ends_at, "duration_seconds": seconds, "until_recovered": recovered or None}
    ends = [name for name, value in given.items() if value is not None]
    if len(ends) != 1:
        choices = "ends_at, duration_seconds, or until_recovered" if endless else "ends_at or duration_seconds"
        sentence = f"Say when it ends: {choices}." if not ends else f"Give one end only, not {' and '.join(ends)}."
        raise ValidationError({ends[-1] if ends else "ends_at": sentence})
    if seconds is not None:
        if not 1 <= seconds <= LONGEST.total_seconds():
            raise ValidationError({"duration_seconds": "From 1 second to 366 days."})
        try:
            ends_at = starts_at + timedelta(seconds=seconds)
        except OverflowError:
            raise ValidationError({"starts_at": "This is too far away."}) from None
    if ends_at is not None and ends_at <= starts_at:
        raise ValidationError({"ends_at": "It must end after it starts."})
    if ends_at is not None and ends_at - starts_at > LONGEST:
        raise ValidationError({"ends_at": f"A {noun} lasts at most 366 days."})
    return ends_at


def _refuse_overlap(noun: str, times: engine.Times) -> None:
    """Each occurrence has to end before the next begins, as far as the next year shows."""
    if not times.recurrence or times.length is None:
        return
    spans = engine.coming(times, times.starts_at, 20)
    for (_, end), (start, _) in zip(spans, spans[1:], strict=False):
        if start < end:
            raise ValidationError({"recurrence": f"The {noun} would begin again before it has ended; make it shorter."})


# --- Silences -------------------------------------------------------------------------------------------------------------
def silence(
    *, at: datetime, reason: str, matchers: Any, starts_at: datetime | None = None, ends_at: datetime | None = None, duration_seconds: int | None = None,
    until_recovered: bool = False, recurrence: str = "", timezone: str = "UTC", client: Client | None = None, owner: str = "",
) -> Silence:  # fmt: skip
    """An unsaved silence."""
    times = when(
        at=at, noun="silence", starts_at=starts_at, ends_at=ends_at, duration_seconds=duration_seconds, until_recovered=until_recovered,
        recurrence=recurrence, timezone=timezone,
    )  # fmt: skip
    try:
        covers = filters.matchers(matchers)
    except filters.BadMatcher as error:
        raise ValidationError({f"matchers.{error.key}" if error.key else "matchers": str(error)}) from None
    row = Silence(
        client=client, reason=reason, owner=owner, starts_at=times.starts_at, ends_at=times.ends_at, until_recovered=until_recovered,
        recurrence=times.recurrence, timezone=timezone, matchers=covers,
    )  # fmt: skip
    row.full_clean(exclude=["client", "matchers"])
    return row


# --- Maintenance windows ----------------------------------------------------------------------------------------------------
def window(
    row: MaintenanceWindow | None, *, at: datetime, duration_seconds: int | None = None, **values: Any
) -> MaintenanceWindow:
    """An unsaved window: a new one (row None), or `row` with the given values changed. Its client stays.

    Values: title, description, owner, client, starts_at (default now), ends_at, recurrence, timezone, scopes, tags.
    """
    new = row is None
    row = row or MaintenanceWindow()
    was = None if new else engine.Times(row.starts_at, row.ends_at, row.recurrence, row.timezone)
    if new:
        row.client = values.pop("client", None)
    moved = values.get("starts_at") or row.starts_at
    end = values.pop("ends_at", None)
    if end is None and duration_seconds is None and was is not None and was.length is not None:
        end = moved + was.length  # moved as a whole
    times = when(
        at=at, noun="window", starts_at=moved, ends_at=end, duration_seconds=duration_seconds, endless=False,
        recurrence=values.pop("recurrence", row.recurrence) or "", timezone=values.pop("timezone", row.timezone),
    )  # fmt: skip
    if was is not None and not was.recurrence and times.starts_at != was.starts_at <= at:
        raise ValidationError({"starts_at": "It has begun; only its end can be changed now."})
    values.pop("starts_at", None)
    row.starts_at, row.ends_at = times.starts_at, times.ends_at or times.starts_at
    row.recurrence, row.timezone = times.recurrence, times.zone
    if "scopes" in values:
        row.scopes = _scopes(values.pop("scopes") or (), row.client)
    if "tags" in values:
        row.tags = _tags(values.pop("tags") or ())
    for name in ("title", "description", "owner"):
        setattr(row, name, (values.pop(name, getattr(row, name)) or "").strip())
    if values:
        raise TypeError(f"not of a window: {', '.join(values)}")
    if not row.title:
        raise ValidationError({"title": "Say what is done, as “Switch replaced”."})
    if row.client is None and not row.scopes and not row.tags:
        raise ValidationError({"scopes": "Say what is worked on: a client, scopes or tags."})
    row.full_clean(exclude=["client"], validate_constraints=False)
    return row


def _scopes(given: Sequence[str], client: Client | None) -> list[str]:
    """In normal form, each once. Sites, services and clients have to be there, and to be the window's client's."""
    complaints: dict[str, str] = {}
    found: dict[str, None] = {}
    for number, word in enumerate(given):
        try:
            if "," in word or not word.strip():
                raise ValueError("Write one scope, as endpoint:7.")
            scope = filters.scopes(word)
            _refuse_unknown(scope, client)
            found[scope] = None
        except ValueError as error:
            complaints[f"scopes.{number}"] = str(error)
    if len(given) > MOST_WORDS:
        complaints["scopes"] = f"At most {MOST_WORDS} scopes; use a site, a service or a tag."
    if complaints:
        raise ValidationError(complaints)
    return list(found)


def _refuse_unknown(scope: str, client: Client | None) -> None:
    noun, _, identity = scope.partition(":")
    if noun not in ("site", "service", "client"):
        return
    if noun == "client":
        rows = Client.objects.filter(pk=int(identity)) if identity.isdigit() else Client.objects.filter(slug=identity)
        known = rows.exists() if client is None else identity in (str(client.pk), client.slug)
    else:
        model = Site if noun == "site" else Service
        owned = model.objects.filter(pk=int(identity))
        known = (owned if client is None else owned.filter(client=client)).exists()
    if not known:
        raise ValueError(f"There is no {noun} {identity}" + (f" of {client}." if client is not None else "."))


def _tags(given: Sequence[str]) -> list[str]:
    complaints: dict[str, str] = {}
    found: dict[str, str] = {}
    for number, word in enumerate(given):
        try:
            if "," in word or not word.strip():
                raise ValueError("Write one tag, without a comma.")
            tag = filters.tags(word)
            found.setdefault(tag.lower(), tag)
        except ValueError as error:
            complaints[f"tags.{number}"] = str(error)
    if len(given) > MOST_WORDS:
        complaints["tags"] = f"At most {MOST_WORDS} tags."
    if complaints:
        raise ValidationError(complaints)
    return list(found.values())
