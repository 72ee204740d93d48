"""What is one event, whoever sent it? Text is cleaned and bounded here, so that nothing a sender writes can hurt. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

TRIGGER, ACKNOWLEDGE, RESOLVE = "trigger", "acknowledge", "resolve"
ACTIONS: Final = (TRIGGER, ACKNOWLEDGE, RESOLVE)
SEVERITIES: Final = ("critical", "warning", "info")

MOST_TITLE, MOST_NAME, MOST_MESSAGE, MOST_LINK = 300, 200, 4000, 1000  # characters
MOST_LINES, MOST_DEPTH, MOST_TAGS, MOST_LINKS = 60, 5, 30, 10
MOST_TAG = 50
DEFAULT_SEVERITY: Final = "warning"  # somebody took the trouble to post it, and did not say that it is grave

# How vendors call what we call critical, warning and info.
SEVERITY_WORDS: Final = {
    **dict.fromkeys(
        ("critical", "crit", "error", "err", "fatal", "emergency", "emerg", "disaster", "high", "severe", "major", "page", "p1", "p2", "sev1", "sev2"),
        "critical",
    ),
    **dict.fromkeys(("warning", "warn", "average", "moderate", "medium", "minor", "degraded", "p3", "sev3"), "warning"),
    **dict.fromkeys(("info", "information", "informational", "notice", "none", "ok", "low", "debug", "p4", "p5", "sev4", "sev5"), "info"),
}  # fmt: skip
# How they call what is to be done.
ACTION_WORDS: Final = {
    **dict.fromkeys(("resolve", "resolved", "ok", "closed", "close", "clear", "cleared", "up", "recovered", "recovery", "reset", "normal", "healthy"), RESOLVE),
    **dict.fromkeys(("acknowledge", "acknowledged", "ack"), ACKNOWLEDGE),
}  # fmt: skip
# Last words that mean something of our own on the wire.
OUR_WORDS: Final = frozenset({"test", "recovery", "resolved", "digest", "channel_dead"})

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_WORD = re.compile(r"[^a-z0-9]+")


class Invalid(Exception):
    """The body cannot be read; `errors` are sentences that name the field and what was expected."""

    def __init__(self, *errors: str) -> None:
        super().__init__(errors[0])
        self.errors = list(errors)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a body says. `key` is the sender's own name for the problem, whole; `problems` are remarks for
    whoever looks after the integration, none of which keeps the event from counting."""

    action: str
    key: str
    title: str = ""
    message: str = ""
    severity: str = DEFAULT_SEVERITY
    entity: str = ""
    word: str = "posted"
    tags: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()  # (address, text)
    about: dict[str, str] = field(default_factory=dict)  # facts that a person reads beside the alert
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    problems: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # what only whoever writes a mapping wants to know


# --- Text -------------------------------------------------------------------------------------------------------------
def text(value: Any, most: int = MOST_MESSAGE, *, lines: bool = False) -> str:
    """Any JSON value as plain text of at most so many characters; on one line unless `lines`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        said = details(value)
    else:
        said = _CONTROL.sub(" ", str(value)[: most * 4].replace("\r\n", "\n"))
    if not lines:
        said = " ".join(said.split())
    said = said.strip()
    return said if len(said) <= most else said[: most - 1].rstrip() + "…"


def details(value: Any, most: int = MOST_MESSAGE) -> str:
    """An object or a list as lines `a.b: c`, bounded in depth, number and length."""
    found: list[str] = []
    for name, said in _flat(value, "", 0):
        if len(found) == MOST_LINES:
            found.append("…")
            break
        found.append(f"{name}: {said}" if name else said)
    return text("\n".join(found), most, lines=True)


def _flat(value: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict | list) and depth >= MOST_DEPTH:
        yield name, "…"
    elif isinstance(value, dict):
        for key, inner in value.items():
            part = text(str(key), 80)
            yield from _flat(inner, f"{name}.{part}" if name else part, depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{name}[{number}]", depth + 1)
    elif value not in (None, ""):
        yield name, text(value, 500)


def word(value: Any) -> str:
    """The last word of the type on the wire: `HighErrorRate` is `high_error_rate`; `posted` when nothing is left."""
    found = _NOT_WORD.sub("_", _CAMEL.sub("_", text(value, 80)).lower()).strip("_")[:40].strip("_")
    return f"posted_{found}"[:40] if found in OUR_WORDS else found or "posted"


def severity(value: Any) -> str | None:
    """A vendor's word as one of ours, or None when it is not known."""
    return SEVERITY_WORDS.get(text(value, 40).lower())


def action(value: Any) -> str:
    """A vendor's word as trigger, acknowledge or resolve; what is not known is a trigger: rather told than lost."""
    return ACTION_WORDS.get(text(value, 40).lower(), TRIGGER)


def link(value: Any) -> str:
    """The address when it is one that a person may safely click: http or https with a host; else "" ."""
    said = value.strip() if isinstance(value, str) else ""
    if not said or len(said) > MOST_LINK or _CONTROL.search(said) or any(c.isspace() or c in "<>\"'`\\" for c in said):
        return ""
    try:
        parts = urlsplit(said)
        return said if parts.scheme.lower() in ("http", "https") and parts.hostname else ""
    except ValueError:
        return ""


def links(pairs: Iterable[tuple[Any, Any]]) -> tuple[tuple[str, str], ...]:
    """Addresses with their texts: only safe ones, each once."""
    found: dict[str, str] = {}
    for address, said in pairs:
        if (good := link(address)) and len(found) < MOST_LINKS:
            found.setdefault(good, text(said, 100))
    return tuple(found.items())


def tags(values: Iterable[Any]) -> tuple[str, ...]:
    """Tags as filters know them: short, lower case, without commas, each once."""
    found = (text(v, 200).replace(",", " ").strip().lower() for v in values)
    return tuple(dict.fromkeys(t for t in found if t and len(t) <= MOST_TAG))[:MOST_TAGS]


def moment(value: Any) -> datetime | None:
    """An RFC 3339 time with a zone; None for anything else and for the year 1, which Go writes for "not yet"."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:  # nanoseconds are cut: Python knows microseconds
        at = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value))
    except ValueError:
        return None
    return at if at.tzinfo is not None and at.year > 1 else None


def fit(key: str, most: int) -> str:
    """A key of any length in so many characters; different keys stay different."""
    key = _CONTROL.sub(" ", key)
    if len(key) <= most:
        return key
    return f"{key[: most - 17]}~{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def shown(body: Any) -> str:
    """The names at the top of a body, for "this was found instead"."""
    if isinstance(body, dict):
        names = [text(str(name), 40) for name in list(body)[:12]]
        return f"an object with {', '.join(names)}" if names else "an empty object"
    return {list: "a list", str: "text", type(None): "null", bool: "true or false"}.get(type(body), "a number")
