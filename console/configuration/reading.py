"""How is a YAML file read without trusting it? Event by event: bounded in size, depth and aliases, every value with its line.

Plain scalars are what YAML 1.2 says: `yes`, `on`, `12:30` and `2026-01-01` are text. `!secret NAME` is a secret that the
environment holds. Anchors, aliases and `<<` work; a key twice in one mapping is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from console.configuration.secret import NAME, RESERVED, Secret

LARGEST = 16 * 1024 * 1024  # bytes
DEEPEST = 32
MOST_VALUES = 1_000_000  # aliases counted as what they stand for
STR, TAGGED = "tag:yaml.org,2002:str", "!secret"

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?[0-9]{1,17}\.[0-9]{0,17}([eE][-+][0-9]{1,3})?")


class Unreadable(ValueError):
    """What is wrong with a text, and where. `line` counts from 1; 0: the file as a whole."""

    def __init__(self, sentence: str, line: int = 0) -> None:
        super().__init__(sentence)
        self.line = line


@dataclass(slots=True)
class Node:
    """A value where it stands: a scalar, a list of nodes, or a mapping of nodes."""

    value: Any
    line: int
    size: int = 1
    merged: bool = False  # by <<: what is written in the mapping itself goes before it
    _plain: Any = field(default=None, repr=False)

    def plain(self) -> Any:
        """The bare values. Shared between aliases: not to be changed."""
        if self._plain is None:
            if isinstance(self.value, dict):
                self._plain = {key: node.plain() for key, node in self.value.items()}
            elif isinstance(self.value, list):
                self._plain = [node.plain() for node in self.value]
            else:
                return self.value
        return self._plain

    def line_of(self, path: tuple[str | int, ...]) -> int:
        """The line of the value at this path, or of the nearest one above that is written."""
        node = self
        for step in path:
            inside = node.value
            if isinstance(inside, dict):
                found = inside.get(str(step))
            else:
                found = (
                    inside[step] if isinstance(inside, list) and isinstance(step, int) and step < len(inside) else None
                )
            if found is None:
                break
            node = found
        return node.line


def read_file(path: Path, *, largest: int = LARGEST) -> str:
    """The text of a file. Raises Unreadable when it is not there, too large, or not UTF-8."""
    try:
        with path.open("rb") as file:
            raw = file.read(largest + 1)
    except OSError as error:
        raise Unreadable(f"It cannot be read: {error.strerror or error}.") from None
    if len(raw) > largest:
        raise Unreadable(f"It is larger than {largest // 1024 // 1024} MB; is this the right file?")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"It is not UTF-8 text (byte {error.start}).") from None


def parse(text: str) -> Node:
    """The one document of a text. Raises Unreadable."""
    if len(text) > LARGEST:
        raise Unreadable(f"It is larger than {LARGEST // 1024 // 1024} MB; is this the right file?")
    try:
        return _Builder().build(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        raise Unreadable(f"This is not YAML: {said}.", mark.line + 1 if mark is not None else 0) from None


class _Builder:
    """Values from events, without recursion: a deep text cannot exhaust the stack."""

    def __init__(self) -> None:
        self.stack: list[tuple[Node, str | None, list[Any]]] = []  # (container, its anchor, the key that waits)
        self.anchors: dict[str, Node] = {}
        self.open: set[str] = set()
        self.root: Node | None = None
        self.total = 0

    def build(self, events: Iterator[Any]) -> Node:
        for event in events:
            line = event.start_mark.line + 1
            if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
                raise Unreadable("One document in a file; put the others into files of their own.", line)
            if isinstance(event, yaml.ScalarEvent):
                self._add(Node(_scalar(event, line), line), event.anchor)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event.anchor, line)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self._begin(event, line)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                node, anchor, _ = self.stack.pop()
                self.open.discard(anchor or "")
                self._add(node, anchor)
        return self.root if self.root is not None else Node(None, 1)

    def _begin(self, event: Any, line: int) -> None:
        if len(self.stack) >= DEEPEST:
            raise Unreadable(f"It is nested more than {DEEPEST} deep.", line)
        if event.tag not in (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            raise Unreadable(f"The tag {event.tag[:40]} is not known here; only {TAGGED} NAME is.", line)
        if event.anchor:
            self.open.add(event.anchor)
        empty: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.stack.append((Node(empty, line), event.anchor, []))

    def _alias(self, name: str, line: int) -> None:
        if name in self.open:
            raise Unreadable(f"*{name[:40]} stands inside what it names.", line)
        if name not in self.anchors:
            raise Unreadable(f"There is no &{name[:40]} above.", line)
        self._add(self.anchors[name], None, line)

    def _add(self, node: Node, anchor: str | None, line: int = 0) -> None:
        self.total += node.size if line else 1
        if self.total > MOST_VALUES:
            raise Unreadable(f"It holds more than {MOST_VALUES:,} values, aliases counted in full.", line or node.line)
        if anchor:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = node
            return
        parent, _, waiting = self.stack[-1]
        if isinstance(parent.value, list):
            parent.value.append(node)
        elif not waiting:
            waiting.append(_key(node, line or node.line))
            return
        else:
            _put(parent.value, waiting.pop(), node, line or node.line)
        parent.size += node.size


def _put(mapping: dict[str, Node], key: str, node: Node, line: int) -> None:
    if key == "<<":
        sources = node.value if isinstance(node.value, list) else [node]
        if not all(isinstance(source.value, dict) for source in sources):
            raise Unreadable("After << stands a mapping, or a list of them.", line)
        for source in sources:
            for name, value in source.value.items():
                mapping.setdefault(name, Node(value.value, value.line, value.size, merged=True))
        return
    if key in mapping and not mapping[key].merged:
        raise Unreadable(f"“{key[:40]}” stands twice in this mapping (first in line {mapping[key].line}).", line)
    mapping[key] = node


def _key(node: Node, line: int) -> str:
    if isinstance(node.value, dict | list | Secret) or node.value is None:
        raise Unreadable("A key is one word.", line)
    if isinstance(node.value, bool):
        return "true" if node.value else "false"
    return str(node.value)


def _scalar(event: Any, line: int) -> Any:
    text: str = event.value
    if event.tag == TAGGED:
        if not NAME.fullmatch(text):
            raise Unreadable(
                "After !secret stands the name of an environment variable: capitals, digits and _, as ACME_TOKEN.", line
            )
        if text in RESERVED:
            raise Unreadable(f"{text} is this portal's own secret; give yours a name of its own.", line)
        return Secret(text)
    if event.tag not in (None, "!", STR):
        raise Unreadable(f"The tag {event.tag[:40]} is not known here; only {TAGGED} NAME is.", line)
    if event.tag is not None or not event.implicit[0]:
        return text
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
