"""Which items do these files name? Read, put together and judged for their shape; every complaint says where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from console.configuration import reading
from console.configuration.exporting import ALL, VERSION
from console.configuration.forms import Path
from console.configuration.kinds import KINDS, Kind
from console.configuration.reading import Node, Unreadable
from console.configuration.references import Key
from console.configuration.secret import filled


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong, and where: file, line (0: none in particular), and the path to the value."""

    file: str
    line: int
    path: str
    sentence: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.sentence}" if self.path else f"{place}: {self.sentence}"


@dataclass
class Item:
    """One row as it is wanted."""

    kind: Kind
    key: Key
    values: dict[str, Any]
    file: str
    number: int
    node: Node

    @property
    def owner(self) -> str | None:
        """Whose names a plain name means."""
        return self.key.client

    def problem(self, path: Path, sentence: str) -> Problem:
        """A complaint about a value of it, with the number that is written there."""
        found: Any = self.node.plain()
        for step in path:
            found = found[step] if isinstance(found, dict) and step in found else None
        if isinstance(found, int | float) and not isinstance(found, bool):
            sentence = f"{found} is written; {sentence[:1].lower()}{sentence[1:]}"
        return Problem(self.file, self.node.line_of(path), spelled((self.kind.section, self.number, *path)), sentence)


@dataclass
class Document:
    """What all files say together."""

    items: dict[str, list[Item]] = field(default_factory=dict)
    sections: set[str] = field(default_factory=set)
    covers: list[str] | str | None = None
    problems: list[Problem] = field(default_factory=list)

    def keys(self, section: str) -> set[Key]:
        """The keys of a kind's items."""
        return {item.key for item in self.items.get(section, ())}


def spelled(path: Path) -> str:
    """monitors[3].config.url"""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def read(files: Iterable[tuple[str, str]], environ: Mapping[str, str]) -> Document:
    """The document of these (name, text), with secrets from the environment. What is wrong stands in `problems`."""
    document, covers = Document(), []
    for name, text in files:
        try:
            root = reading.parse(text)
        except Unreadable as error:
            document.problems.append(Problem(name, error.line, "", str(error)))
            continue
        _Reader(document, name, root, environ).read(covers)
    if covers:
        document.covers = ALL if ALL in covers else sorted({slug for listed in covers for slug in listed})
    _refuse_twins(document)
    return document


class _Reader:
    """One file."""

    def __init__(self, document: Document, name: str, root: Node, environ: Mapping[str, str]) -> None:
        self.document, self.name, self.root, self.environ = document, name, root, environ

    def wrong(self, path: Path, sentence: str) -> None:
        self.document.problems.append(Problem(self.name, self.root.line_of(path), spelled(path), sentence))

    def read(self, covers: list[Any]) -> None:
        plain = self.root.plain()
        if not isinstance(plain, dict):
            self.wrong((), "A configuration begins with “version: 1”, and has lists such as “monitors:”.")
            return
        if plain.get("version") != VERSION:
            self.wrong(("version",), f"Write “version: {VERSION}”: that is the one this portal understands.")
        for section, listed in plain.items():
            if section in KINDS:
                self.section(KINDS[section], listed)
            elif section == "covers":
                self.covers(listed, covers)
            elif section != "version":
                self.wrong((section,), f"This is not a kind of row; there are {', '.join(KINDS)}.")

    def covers(self, listed: Any, covers: list[Any]) -> None:
        if listed == ALL or (isinstance(listed, list) and all(isinstance(slug, str) for slug in listed)):
            covers.append(listed)
        else:
            self.wrong(("covers",), "Write all, or the list of clients whose whole configuration this is.")

    def section(self, kind: Kind, listed: Any) -> None:
        self.document.sections.add(kind.section)
        if not isinstance(listed, list):
            if listed is not None:
                self.wrong((kind.section,), f"Write a list: each {kind.noun} begins with “- ”.")
            return
        for number, values in enumerate(listed):
            self.item(kind, number, values)

    def item(self, kind: Kind, number: int, values: Any) -> None:
        path: Path = (kind.section, number)
        if not isinstance(values, dict):
            self.wrong(path, f"Write the fields of a {kind.noun}, as name: …")
            return
        fine = self.whose(kind, values, path)
        rest = {
            name: value for name, value in values.items() if name not in ("client", "nth") or kind.owner == "itself"
        }
        fine = kind.fields.judge(rest, path, self.wrong, f"a {kind.noun}") and fine
        if not isinstance(values.get(kind.name), str):
            if values.get(kind.name) is not None:
                self.wrong((*path, kind.name), "Write it as text, in quotes if it is a number.")
            fine = False
        if fine:
            node = self.root.value[kind.section].value[number]
            wanted = kind.fields.compact(filled(rest, self.environ))
            self.document.items.setdefault(kind.section, []).append(
                Item(kind, kind.key_of(values), wanted, self.name, number, node)
            )

    def whose(self, kind: Kind, values: dict[str, Any], path: Path) -> bool:
        if kind.owner == "itself":
            return True
        client, nth = values.get("client"), values.get("nth", 1)
        if not isinstance(client, str) and (client is not None or kind.owner == "needed"):
            self.wrong((*path, "client"), f"Write the slug of the client whose {kind.noun} this is.")
            return False
        if not isinstance(nth, int) or isinstance(nth, bool) or not 1 <= nth <= 10_000:
            self.wrong((*path, "nth"), "Write which of several with this name is meant: 2 for the second.")
            return False
        return True


def _refuse_twins(document: Document) -> None:
    for section, items in document.items.items():
        first: dict[Key, Item] = {}
        for item in items:
            known = first.setdefault(item.key, item)
            if known is not item:
                where = f"{known.file}:{known.node.line}"
                more = "" if section in ("clients", "status_pages") else "; a second one of this name says nth: 2"
                document.problems.append(
                    item.problem((KINDS[section].name,), f"This {KINDS[section].noun} stands in {where} already{more}.")
                )
