"""How is any JSON read as an event? By a mapping of paths, constants, texts and value maps. Pure; nothing is evaluated.

    {"title": "$.alert.title", "message": "$.alert.text", "key": "{device.id}-{alert.id}", "entity": "$.device.name",
     "severity": {"path": "$.priority", "values": {"P1": "critical"}, "default": "warning"},
     "action": {"path": "$.status", "values": {"RESET": "resolve"}, "default": "trigger"},
     "link": "$.url", "tags": "$.group | 'rmm'", "items": "$.alerts"}

A string is a path (`$.alert.title`, `alert.items[0].name`, `["a name"].b`); in single quotes it is a constant; with {…} it is a
text with paths in it; ` | ` means "else". `items`, when given, is the path of a list: each of its members is an event, and
paths are read from the member.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from alerts.inbound.event import (
    ACTIONS,
    DEFAULT_SEVERITY,
    MOST_NAME,
    MOST_TITLE,
    SEVERITIES,
    TRIGGER,
    Event,
    Invalid,
    action,
    fit,
    links,
    severity,
    shown,
    tags,
    text,
)

PLAIN: Final = ("items", "title", "message", "key", "entity", "link", "tags")
MAPPED: Final[Mapping[str, tuple[str, ...]]] = {"severity": SEVERITIES, "action": ACTIONS}
MOST_TEXT, MOST_STEPS, MOST_VALUES, MOST_ELSE, MOST_ITEMS = 500, 10, 60, 6, 500
MOST_KEY = 400
NEEDED: Final = frozenset({"title", "key"})

_STEP = re.compile(r'\.?([^.\[\]{}|"\'\s$][^.\[\]{}|"\'$]{0,99})|\[([0-9]{1,4})\]|\["([^"\[\]{}|]{1,100})"\]')
_HOLE = re.compile(r"\{([^{}]{1,200})\}")
_MISSING: Final = object()
Path = tuple[str | int, ...]


# --- The mapping, as somebody writes it --------------------------------------------------------------------------------
def settle(mapping: Any) -> dict[str, Any]:
    """The mapping in normal form. Raises Mistakes with sentences by field (`mapping.severity.values`)."""
    if not isinstance(mapping, Mapping):
        raise Mistakes({"mapping": "Write an object of fields and paths."})
    mistakes: dict[str, str] = {}
    normal: dict[str, Any] = {}
    for name, spec in mapping.items():
        where = f"mapping.{text(str(name), 40)}"
        try:
            if name in PLAIN:
                said = _source(spec)
                if said:
                    path(said) if name == "items" else _read(said, {})
                    normal[name] = said
            elif name in MAPPED:
                found = _mapped(spec, MAPPED[name], where, mistakes)
                if found:
                    normal[name] = found
            else:
                mistakes[where] = f"There is no such field; the fields are {', '.join((*PLAIN, *MAPPED))}."
        except ValueError as error:
            mistakes.setdefault(where, str(error))
    if not normal.get("title") and "mapping.title" not in mistakes:
        mistakes["mapping.title"] = "Say where the title is found, as $.alert.title."
    if mistakes:
        raise Mistakes(mistakes)
    return normal


class Mistakes(ValueError):
    """What is wrong with a mapping, by field."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(next(iter(fields.values())))
        self.fields = fields


def _source(spec: Any) -> str:
    """A field's source as one string: {"path": …} and {"value": …} are other spellings; a list is "else"."""
    if isinstance(spec, Mapping) and set(spec) <= {"path", "value"} and len(spec) == 1:
        spec = spec["path"] if "path" in spec else f"'{text(spec['value'])}'"
    if isinstance(spec, list):
        spec = " | ".join(_source(one) for one in spec[: MOST_ELSE + 1])
    if spec is None:
        return ""
    if not isinstance(spec, str):
        raise ValueError("Write a path as $.alert.title, a 'constant' in quotes, or a text with {paths} in it.")
    if len(spec) > MOST_TEXT:
        raise ValueError(f"This is longer than {MOST_TEXT} characters.")
    return text(spec, MOST_TEXT)


def _mapped(spec: Any, known: tuple[str, ...], where: str, mistakes: dict[str, str]) -> dict[str, Any]:
    parts = spec if isinstance(spec, Mapping) else {"path": spec}
    if isinstance(spec, str) and spec.strip().lower() in known:
        parts = {"default": spec.strip().lower()}  # always the same
    unknown = set(parts) - {"path", "value", "values", "default"}
    if unknown:
        raise ValueError(f"It has path, values and default; {text(str(min(map(str, unknown))), 40)} is not known.")
    normal: dict[str, Any] = {}
    said = _source({"value": parts["value"]}) if "value" in parts else _source(parts.get("path"))
    if said:
        _read(said, {})
        normal["path"] = said
    values = parts.get("values") or {}
    if not isinstance(values, Mapping) or len(values) > MOST_VALUES:
        mistakes[f"{where}.values"] = f'Write an object of at most {MOST_VALUES} values, as {{"P1": "{known[0]}"}}.'
        values = {}
    for ours in values.values():
        if ours not in known:
            mistakes[f"{where}.values"] = f"{text(ours, 40)!r} is not one of {', '.join(known)}."
    if values:
        normal["values"] = {text(str(theirs), 80): ours for theirs, ours in values.items()}
    if parts.get("default"):
        if parts["default"] not in known:
            mistakes[f"{where}.default"] = f"{text(parts['default'], 40)!r} is not one of {', '.join(known)}."
        normal["default"] = parts["default"]
    return normal


# --- Paths --------------------------------------------------------------------------------------------------------------
def path(said: str) -> Path:
    """The steps of `$.alert.items[0].name`. ValueError with a sentence when it is none."""
    rest, steps = said.strip().removeprefix("$"), []
    while rest:
        match = _STEP.match(rest)
        if match is None or (steps and match[1] is not None and not rest.startswith(".")):
            raise ValueError(f"{text(said, 60)!r} is not a path; write it as $.alert.items[0].name.")
        steps.append(int(match[2]) if match[2] is not None else match[3] if match[3] is not None else match[1].strip())
        rest = rest[match.end() :]
        if len(steps) > MOST_STEPS:
            raise ValueError(f"{text(said, 60)!r} has more than {MOST_STEPS} steps.")
    if not steps and said.strip() != "$":
        raise ValueError("This path is empty; write it as $.alert.title.")
    return tuple(steps)


def at(body: Any, steps: Path) -> Any:
    """What stands there, or _MISSING."""
    for step in steps:
        if isinstance(step, int) and isinstance(body, list):
            body = body[step] if step < len(body) else _MISSING
        elif isinstance(step, str) and isinstance(body, dict):
            body = body.get(step, _MISSING)
        else:
            return _MISSING
        if body is _MISSING:
            return _MISSING
    return body


def _read(said: str, body: Any) -> Any:
    """The value of a source: the first of its alternatives that is there and not empty; else _MISSING."""
    options = said.split(" | ")
    if len(options) > MOST_ELSE:
        raise ValueError(f"At most {MOST_ELSE} alternatives may be given.")
    found: Any = _MISSING
    for option in options:
        one = _one(option.strip(), body)
        if found is _MISSING and one is not _MISSING and one not in (None, "", [], {}):
            found = one
    return found


def _one(said: str, body: Any) -> Any:
    if len(said) >= 2 and said[0] == said[-1] == "'":
        return said[1:-1]
    if "{" not in said and "}" not in said:
        return at(body, path(said))
    holes = _HOLE.findall(said)
    if not holes or said.count("{") != len(holes) or said.count("}") != len(holes):
        raise ValueError(
            f"{text(said, 60)!r}: each {{ needs its }}, with a path between, as {{alert.name}} on {{host}}."
        )
    if len(holes) > MOST_STEPS:
        raise ValueError(f"At most {MOST_STEPS} paths may stand in one text.")
    values = {hole: at(body, path(hole)) for hole in holes}
    if all(value is _MISSING or value in (None, "") for value in values.values()):
        return _MISSING
    return _HOLE.sub(lambda m: "" if values[m[1]] is _MISSING else text(values[m[1]], 300), said)


# --- The body ----------------------------------------------------------------------------------------------------------
def read(body: Any, mapping: Mapping[str, Any]) -> list[Event]:
    """The events of a body by a mapping in normal form. Invalid when there is nothing to go by."""
    if not isinstance(body, dict | list):
        raise Invalid(f"A JSON object was expected; this is {shown(body)}.")
    if "items" not in mapping:
        return [_event(body, mapping)]
    listed = at(body, path(mapping["items"]))
    if not isinstance(listed, list):
        raise Invalid(f"items: a list was expected at {mapping['items']}; the body is {shown(body)}.")
    if len(listed) > MOST_ITEMS:
        raise Invalid(f"items: these are {len(listed)}; at most {MOST_ITEMS} come in one body.")
    return [_event(one, mapping) for one in listed]


def _event(body: Any, mapping: Mapping[str, Any]) -> Event:
    problems: list[str] = []
    missing: list[str] = []

    def value(name: str) -> Any:
        """What the mapping finds. That a title or a key is not where it should be is a problem; links and tags may be away."""
        if name not in mapping:
            return None
        found = _read(mapping[name], body)
        if found is _MISSING:
            (problems if name in NEEDED else missing).append(_nothing(name, mapping[name], body))
            return None
        return found

    wish = _word(mapping.get("action"), body, "action", problems)
    done = wish if wish in ACTIONS else action(wish) if wish else TRIGGER
    entity, title = text(value("entity"), MOST_NAME), text(value("title"), MOST_TITLE)
    key = fit(text(value("key"), 4000), MOST_KEY)
    if not key and done != TRIGGER:
        raise Invalid(*problems, f"key: without it nobody knows what to {done}.")
    grave = _word(mapping.get("severity"), body, "severity", problems)
    known = severity(grave)
    if grave and known is None:
        problems.append(f"severity: {grave[:40]!r} is not in the value map, so {DEFAULT_SEVERITY} was taken.")
    raw = value("tags")
    address = value("link")
    pairs = links([(address, "Open at the sender")])
    if address and not pairs:
        problems.append("link: this is not an http or https address, so it was left out.")
    message = text(value("message"), lines=True)
    if not key:
        key = f"{entity}|{title}" if title or entity else f"|{text(body, 200)}"
    return Event(
        action=done, key=key, title=title or (f"Event of {entity}" if entity else "Event without a title"), message=message or title,
        severity=known or DEFAULT_SEVERITY, entity=entity, tags=tags(raw if isinstance(raw, list) else text(raw).split(",")), links=pairs,
        problems=tuple(problems), missing=tuple(missing),
    )  # fmt: skip


def _nothing(name: str, source: str, body: Any) -> str:
    return f"{name}: nothing was found at {source} in {shown(body)}."


def _word(spec: Mapping[str, Any] | None, body: Any, name: str, problems: list[str]) -> str:
    """The value of a mapped field, through its value map; its default when there is none; "" when nothing is said."""
    if not spec:
        return ""
    default = str(spec.get("default", ""))
    if "path" not in spec:
        return default
    found = _read(spec["path"], body)
    if found is _MISSING:
        if not default:
            problems.append(_nothing(name, spec["path"], body))
        return default
    said = text(found, 80)
    for theirs, ours in spec.get("values", {}).items():
        if theirs.lower() == said.lower():
            return str(ours)
    return default or said
