"""How do a contact's own channels stand in one cell of a table? `telegram: 4711; twilio_sms: +351912345678`.

A kind is carried when all it needs is one setting that is no secret. What has more to it (a secret, another setting than the
usual) stays where it is, and its place in the cell says so.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import SecretStr

from alerts import channels
from alerts.channels.tickets import TicketChannel
from alerts.models import ContactChannel
from portal.models import Contact

LEFT_OUT = "(left out)"


@cache
def carried() -> dict[str, str]:
    """{kind: the one setting it needs}, of kinds that a table may carry."""
    found = {}
    for name, kind in channels.KINDS.items():
        needed = [key for key, field in kind.Config.model_fields.items() if field.is_required()]
        if issubclass(kind, TicketChannel):
            continue  # a ticket system is nobody's own
        if needed == [kind.main_field] and kind.Config.model_fields[needed[0]].annotation is not SecretStr:
            found[name] = needed[0]
    return found


def written(c: Contact, mailed: ContactChannel | None) -> str:
    """The cell: their own channels but for the mail that has a column of its own. Shared channels are not theirs."""
    own = [w.channel for w in c.ways.all() if w.channel.contact_id == c.pk and w != mailed]
    return "; ".join(f"{row.type}: {_value(row)}" for row in sorted(own, key=lambda row: (row.type, row.pk)))


def _value(row: Any) -> str:
    setting = carried().get(row.type)
    if setting is None or row.secrets or set(row.config) != {setting}:
        return LEFT_OUT
    value = row.config[setting]
    return ", ".join(value) if isinstance(value, list | tuple) else str(value)


def read(cell: str) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """(ways as their door takes them, errors, notes) of a cell."""
    ways: list[dict[str, Any]] = []
    errors, notes = [], []
    for part in (one.strip() for one in cell.split(";")):
        if not part:
            continue
        kind, mark, value = (one.strip() for one in part.partition(":"))
        kind = kind.lower()
        if kind in channels.KINDS and value == LEFT_OUT:
            notes.append(f"{channels.KINDS[kind].label} has a secret or settings of its own, and was left out of the table; add it by hand.")  # fmt: skip
        elif not mark or not value:
            errors.append(f"channels: Write “{part[:40]}” as kind: value, as in telegram: 4711.")
        elif kind in channels.KINDS and kind not in carried():
            errors.append(f"channels: {channels.KINDS[kind].label} needs a secret, and cannot come by a table; add it by hand.")  # fmt: skip
        elif kind not in carried():
            errors.append(f"channels: There is no kind {kind[:40]!r}; there are {', '.join(carried())}.")
        else:
            way = {"type": kind, "settings": {carried()[kind]: _typed(kind, value)}}
            said = _wrong(way)
            errors += said
            ways += [] if said else [way]
    return ways, errors, notes


def _typed(kind: str, value: str) -> str | list[str]:
    many = channels.KINDS[kind].Config.model_fields[carried()[kind]].annotation == tuple[str, ...]
    return [one.strip() for one in value.split(",") if one.strip()] if many else value


def _wrong(way: dict[str, Any]) -> list[str]:
    """What the channel's own settings say against it."""
    try:
        channels.parse(way["type"], way["settings"])
    except channels.InvalidSettings as error:
        return [f"channels: {way['type']}: {said if isinstance(said, str) else ' '.join(said)}" for said in error.fields.values()]  # fmt: skip
    return []


def spoken(way: dict[str, Any]) -> str:
    """A way in the preview: `Telegram 4711`."""
    value = next(iter(way["settings"].values()))
    return f"{channels.KINDS[way['type']].label} {', '.join(value) if isinstance(value, list) else value}"
