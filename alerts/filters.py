"""What may a person write in a filter, a scope, a matcher or a recurrence? Pure: text in, normal form out.

Every refusal is a ValueError whose sentence says what to write instead; who calls names the field.
"""

from __future__ import annotations

import re
from calendar import isleap
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

SEVERITIES: Final = ("info", "warning", "critical")
SOURCES: Final = (
    ("endpoint", "heartbeat", "certificate", "domain", "container", "resource", "update", "agent")
    + ("probe", "playbook", "incident", "external")
)  # fmt: skip
ENTITY_TYPES: Final = ("monitor", "container", "probe", "run", "incident", "external")
# A scope's noun: where an alert comes from, what it is about, or where that belongs.
NOUNS: Final = tuple(dict.fromkeys((*SOURCES, *ENTITY_TYPES, "client", "site", "service")))
MOST_TEXT: Final = 1000

_NUMBER = re.compile(r"[0-9]{1,18}")
_CLIENT = re.compile(r"[0-9]{1,18}|[a-z0-9_-]{1,60}")
_ENTITY = re.compile(r"[^\s,:][^\s,]{0,119}")


def words(text: str) -> list[str]:
    """The words of a comma-separated field, trimmed, each once, in order."""
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def severities(text: str) -> str:
    """`critical,warning`."""
    return _known(text, SEVERITIES, "severity")


def sources(text: str) -> str:
    """`endpoint,certificate`."""
    return _known(text, SOURCES, "source")


def _known(text: str, known: tuple[str, ...], noun: str) -> str:
    found = words(text.lower())
    for word in found:
        if word not in known:
            raise ValueError(f"{word[:40]!r} is not a {noun}; choose from {', '.join(known)}.")
    return _bounded(",".join(found))


def scopes(text: str) -> str:
    """`endpoint:7,client:acme`: a noun and an id each."""
    found = words(text.lower())
    for word in found:
        noun, colon, identity = word.partition(":")
        if not colon or noun not in NOUNS:
            raise ValueError(
                f"{word[:40]!r} is not a scope; write <noun>:<id> as endpoint:7. Nouns: {', '.join(NOUNS)}."
            )
        shape = _CLIENT if noun == "client" else _NUMBER if noun in ("site", "service") else _ENTITY
        if not shape.fullmatch(identity):
            wanted = "an id or a slug" if noun == "client" else "an id"
            raise ValueError(f"{word[:40]!r}: after {noun}: stands {wanted}.")
    return _bounded(",".join(found))


def tags(text: str) -> str:
    """`prod,payments`, as typed; matching does not mind the case."""
    found = words(text)
    if any(len(word) > 50 for word in found):
        raise ValueError("A tag has at most 50 characters.")
    return _bounded(",".join(found))


def weekdays(text: str) -> str:
    """`0,1,2`: Monday is 0."""
    found = sorted(words(text))
    if any(word not in "0123456" or len(word) != 1 for word in found):
        raise ValueError("Write days as 0 (Monday) to 6 (Sunday), separated by commas; empty is every day.")
    return ",".join(found)


def _bounded(text: str) -> str:
    if len(text) > MOST_TEXT:
        raise ValueError(f"This is longer than {MOST_TEXT} characters; use tags, or several triggers.")
    return text


# --- Silences: what they cover ---------------------------------------------------------------------------------------
MATCHERS: Final[Mapping[str, tuple[str, ...]]] = {
    "source": SOURCES, "entity_type": ENTITY_TYPES, "entity_id": (), "client": (), "site": (), "tag": (), "severity": SEVERITIES,
}  # fmt: skip
BY_ID: Final = ("entity_id", "client", "site")  # named by their number or by their name


class BadMatcher(ValueError):
    """A matcher that cannot be; `key` says which ("" for all of them together)."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(sentence)
        self.key = key


def matchers(given: Any) -> dict[str, str | int]:
    """A silence's matchers in normal form. Raises BadMatcher. None at all covers everything, and has to be said: {}."""
    if not isinstance(given, dict):
        raise BadMatcher("", 'Write what is to be quiet, as {"source": "endpoint", "entity_id": 7}; {} is everything.')
    return {key: _matcher(key, value) for key, value in given.items() if value is not None and value != ""}


def _matcher(key: str, value: Any) -> str | int:
    if key not in MATCHERS:
        raise BadMatcher(key[:40], f"This is not something to match by; known are {', '.join(MATCHERS)}.")
    if key in BY_ID and isinstance(value, int) and not isinstance(value, bool):
        if not 0 < value < 10**18:
            raise BadMatcher(key, "An id is a positive number.")
        return value
    if not isinstance(value, str) or not value.strip() or len(value) > 200:
        wanted = "an id or a name" if key in BY_ID else "one word"
        raise BadMatcher(key, f"Write {wanted} of at most 200 characters.")
    text = value.strip()
    known = MATCHERS[key]
    if known and text.lower() not in known:
        raise BadMatcher(key, f"{text[:40]!r} is not known; choose from {', '.join(known)}.")
    return text.lower() if known else text


# --- Silences: when they come again -------------------------------------------------------------------------------------
PARTS: Final = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "WKST")
OFTEN: Final = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_RULE = re.compile(r"[A-Z0-9=;,+\-]{1,280}")
_UNTIL = re.compile(r"([0-9]{8})(?:T([0-9]{6})(Z?))?")


def recurrence(text: str, starts_at: datetime, zone: str) -> str:
    """An RRULE in normal form, or "". ValueError when it is not one, asks for too much, or never comes.

    Bounded on purpose: dateutil looks for the next occurrence day by day until the year 9999, at every alert. UNTIL is
    kept in the rule's own wall time, as the occurrences are counted in it.
    """
    rule = text.strip().upper().removeprefix("RRULE:")
    if not rule:
        return ""
    if not _RULE.fullmatch(rule):
        raise ValueError("This is not a recurrence rule; write one line such as FREQ=WEEKLY;BYDAY=SU.")
    parts = [part.partition("=")[::2] for part in rule.split(";") if part]
    names = [name for name, _ in parts]
    unknown = [name for name in names if name not in PARTS]
    if unknown or len(set(names)) != len(names):
        raise ValueError(
            f"A recurrence is made of {', '.join(PARTS)}, each once; its time of day is that of starts_at."
        )
    values = dict(parts)
    if values.get("FREQ") not in OFTEN:
        raise ValueError(f"FREQ is one of {', '.join(OFTEN)}.")
    for name, most in (("INTERVAL", 366), ("COUNT", 10_000)):
        if name in values and not (values[name].isdigit() and len(values[name]) < 6 and 1 <= int(values[name]) <= most):
            raise ValueError(f"{name} is a number from 1 to {most}.")
    if "COUNT" in values and "UNTIL" in values:
        raise ValueError("Give COUNT or UNTIL, not both.")
    if "UNTIL" in values:
        values["UNTIL"] = _until(values["UNTIL"], ZoneInfo(zone))
    normal = ";".join(f"{name}={values[name]}" for name in names)
    local = starts_at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    if not _comes(values, local):
        raise ValueError("This rule never comes; look at its days and months.")
    try:
        rrulestr(normal, dtstart=local)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(f"This is not a recurrence rule: {error}") from None
    return normal


def _until(text: str, zone: ZoneInfo) -> str:
    match = _UNTIL.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        day, clock, utc = match.groups()
        at = datetime.strptime(day + (clock or "235959"), "%Y%m%d%H%M%S")  # noqa: DTZ007 - wall time on purpose
        if utc:
            at = at.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise ValueError("UNTIL is a day or a moment, as 20261231 or 20261231T220000Z.") from None
    return at.strftime("%Y%m%dT%H%M%S")


def _comes(values: Mapping[str, str], start: datetime) -> bool:
    """Is there an occurrence at all? Asked in a year with the same calendar shortly before the year 9999.

    There the search of a rule that never comes (30 February) ends within a few decades instead of eight thousand years.
    """
    endless = ";".join(f"{name}={value}" for name, value in values.items() if name not in ("UNTIL", "COUNT"))
    twin = next(
        y
        for y in range(9960, 9988)
        if isleap(y) == isleap(start.year) and date(y, 1, 1).weekday() == date(start.year, 1, 1).weekday()
    )
    try:
        return next(iter(rrulestr(endless, dtstart=start.replace(year=twin))), None) is not None
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(f"This is not a recurrence rule: {error}") from None
