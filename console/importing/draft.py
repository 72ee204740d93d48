"""What becomes of another tool's items here? Collected item by item; whatever is judged unfit is said, never dropped in silence."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError

from alerts import channel_settings, channels
from console.configuration.exporting import VERSION
from console.configuration.secret import RESERVED, Names, Secret
from monitors import checks, plans, rules
from monitors.models import Monitor
from monitors.models.monitor import LONGEST_INTERVAL, SHORTEST_INTERVAL

MAPPED, APPROXIMATED, LEFT_OUT = "mapped", "approximated", "left out"
SECTIONS = ("monitors", "channels", "triggers", "status_pages", "maintenance_windows")
LONGEST_NAME = 120
MOST_SCOPES = 25  # more monitors than these are named by a tag
_REFERENCE = re.compile(r"\$\{?([A-Z_][A-Z0-9_]*)\}?")


class Foreign(ValueError):
    """A file that is not what it should be; the sentence says what was expected."""


@dataclass
class Line:
    """One item of the other tool: what became of it, and what has to be known about that."""

    kind: str
    name: str
    verdict: str = MAPPED
    became: str = ""
    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Something differs here: it is approximated."""
        if sentence not in self.notes:
            self.notes.append(sentence)
        if self.verdict == MAPPED:
            self.verdict = APPROXIMATED

    def leave(self, sentence: str) -> None:
        """It cannot be brought over."""
        self.verdict, self.became = LEFT_OUT, ""
        self.notes.append(sentence)


class Draft:
    """A document for one client, the values of its secrets, and the report."""

    def __init__(self, client: str, tool: str) -> None:
        self.client, self.tool = client, tool
        self.items: dict[str, list[dict[str, Any]]] = {section: [] for section in SECTIONS}
        self.secrets: dict[str, str] = {}
        self.lines: list[Line] = []
        self._names = Names()
        self._taken: dict[tuple[str, str], int] = {}

    # --- Report -------------------------------------------------------------------------------------------------------
    def line(self, kind: str, name: Any) -> Line:
        """The report's line about one item."""
        line = Line(kind, text(name, 200) or "(without a name)")
        self.lines.append(line)
        return line

    # --- Items --------------------------------------------------------------------------------------------------------
    def monitor(self, line: Line, kind: str, name: Any, config: dict[str, Any], **fields: Any) -> dict[str, Any] | None:
        """A monitor, when its settings are such as this portal takes; None and a line otherwise."""
        properties = checks.KINDS[kind].schema().get("properties", {})
        usual = {key: found["default"] for key, found in properties.items() if "default" in found}
        config = {k: v for k, v in config.items() if v not in (None, "", {}, []) and (k not in usual or v != usual[k])}
        try:
            plain, hidden = rules.split_config(kind, config)
            aim = Monitor(kind=kind, config=plain, trusted=True)  # as what our staff makes
            rules.refuse_unreachable(aim, plans.reach_of(aim))
        except ValidationError as error:
            _refuse(line, error)
            return None
        item = self._named("monitors", text(name) or line.name, line)
        item |= {"kind": kind, "config": {**plain, **self._sealed(hidden, "monitor", item["name"])}}
        item |= {key: value for key, value in fields.items() if value not in (None, "", [], {})}
        self.items["monitors"].append(item)
        line.became = f"{checks.KINDS[kind].label} monitor “{item['name']}”"
        return item

    def group(self, line: Line, name: Any, members: list[dict[str, Any]]) -> dict[str, Any] | None:
        """A group of monitors that were drafted before."""
        if not members:
            line.leave("It holds no monitor that could be brought over.")
            return None
        item = self._named("monitors", text(name) or line.name, line)
        item |= {"kind": "group", "config": {"monitors": [reference(m) for m in members[:500]]}}
        if len(members) > 500:
            line.note("A group holds at most 500 monitors; the rest are not in it.")
        self.items["monitors"].append(item)
        line.became = f"group “{item['name']}”"
        return item

    def channel(
        self, line: Line, type_: str, name: Any, config: dict[str, Any], **fields: Any
    ) -> dict[str, Any] | None:
        """A channel, when its settings are such as this portal takes."""
        config = {key: value for key, value in config.items() if value not in (None, "", {}, [])}
        try:
            plain, hidden, _ = channel_settings.settle(type_, None, config, {})
        except ValidationError as error:
            _refuse(line, error)
            return None
        item = self._named("channels", text(name) or line.name, line)
        item |= {"type": type_, "config": {**plain, **self._sealed(hidden, "channel", item["name"])}}
        item |= {key: value for key, value in fields.items() if value is not None}
        self.items["channels"].append(item)
        line.became = f"{channels.KINDS[type_].label} channel “{item['name']}”"
        return item

    def trigger(self, channel: dict[str, Any], about: list[dict[str, Any]], every: bool, **fields: Any) -> None:
        """Alerts of these monitors (every one of the client's, with `every`) go to this channel."""
        name = f"{self.client}: {written(channel)}"[: LONGEST_NAME - 4]
        item: dict[str, Any] = self._named("triggers", name, None)
        if item.pop("nth", 1) > 1:  # triggers' names are each there once
            item["name"] = f"{name} ({self._taken['triggers', name]})"
        if not every and len(about) <= MOST_SCOPES:
            item["scopes"] = [{"monitor": m["name"], **({"nth": m["nth"]} if "nth" in m else {})} for m in about]
        elif not every:
            tag = f"to {written(channel)}".replace(",", " ")[:50]
            for m in about:
                m.setdefault("tags", []).append(tag)
            item["tags"] = [tag]
        self.items["triggers"].append({**item, **fields, "channels": [reference(channel)]})

    def window(self, line: Line, title: Any, **fields: Any) -> None:
        """A recurring maintenance window."""
        item = self._named("maintenance_windows", text(title, 200) or line.name, line, "title")
        self.items["maintenance_windows"].append({**item, **fields})
        line.became = f"maintenance window “{item['title']}”"

    def page(self, line: Line, slug: str, **fields: Any) -> None:
        """A status page."""
        self.items["status_pages"].append({"client": self.client, "slug": slug, **fields})
        line.became = f"status page “{slug}”"

    def _named(self, section: str, name: str, line: Line | None, key: str = "name") -> dict[str, Any]:
        count = self._taken[section, name] = self._taken.get((section, name), 0) + 1
        if count > 1 and line is not None:
            line.note(f"There are several of this name; this is number {count}.")
        return {"client": self.client, key: name, **({"nth": count} if count > 1 else {})}

    # --- Limits and secrets -------------------------------------------------------------------------------------------
    def interval(self, line: Line, seconds: Any) -> int:
        """An interval within our limits, with a note when it had to be moved."""
        found = number(seconds) or 60
        moved = int(min(max(found, SHORTEST_INTERVAL), LONGEST_INTERVAL))
        if moved != found:
            line.note(
                f"The interval of {found:.10g} s is now {moved} s: from {SHORTEST_INTERVAL} s to a day is possible."
            )
        return moved

    def count(self, line: Line, value: Any, what: str) -> int:
        """From 1 to 100."""
        found = int(number(value) or 1)
        moved = min(max(found, 1), 100)
        if moved != found:
            line.note(f"{what} {found} is now {moved}: from 1 to 100 is possible.")
        return moved

    def _sealed(self, values: Any, noun: str, name: str, *path: str) -> Any:
        """Secrets as names of variables; their values are kept apart."""
        if isinstance(values, dict):
            return {key: self._sealed(value, noun, name, *path, str(key)) for key, value in values.items()}
        plain = str(values)
        whole = _REFERENCE.fullmatch(plain)
        if whole and whole[1] not in RESERVED:  # a variable of theirs that is not set here keeps its name
            return Secret(whole[1])
        variable = self._names.give(self.client, noun, name, *path)
        if "${" not in plain:
            self.secrets[variable] = plain
        return Secret(variable)

    # --- Out ----------------------------------------------------------------------------------------------------------
    def document(self, *, new_client: bool) -> dict[str, Any]:
        """The document: sections with something in them."""
        clients = [{"slug": self.client, "name": self.client.replace("-", " ").title()}] if new_client else []
        sections = {"clients": clients, **self.items}
        return {"version": VERSION, **{name: items for name, items in sections.items() if items}}


def _refuse(line: Line, error: ValidationError) -> None:
    """Say what is not accepted; values are not repeated."""
    said = "; ".join(f"{key.removeprefix('config.')}: {' '.join(texts)}" for key, texts in error.message_dict.items())
    line.leave(f"Its settings are not accepted here ({said}).")


def text(value: Any, longest: int = LONGEST_NAME) -> str:
    """Plain text of a foreign value: one line, bounded; "" for what is no text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())[:longest]


def number(value: Any) -> float | None:
    """A foreign number, also one that is written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if abs(found) < 1e15 else None


def tag(value: Any) -> str:
    """A word as a tag: without commas, at most 50 characters."""
    return text(value, 200).replace(",", " ").strip()[:50]


def reference(item: dict[str, Any]) -> Any:
    """How another item names this one."""
    return {"name": item["name"], "nth": item["nth"]} if "nth" in item else item["name"]


def written(item: dict[str, Any]) -> str:
    """Its name for people."""
    return f"{item['name']} ({item['nth']})" if "nth" in item else str(item["name"])
