"""How is one field said in a file, and how over the API? Shown from the API's body, taken back into it.

A form never judges whether a value is allowed: the API's serializers and the apps' services do. It only knows shapes,
names instead of ids, and what a field is when nobody writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from console.configuration.references import NOUNS, Index, Key, person_of
from console.configuration.secret import Secret

Path = tuple[str | int, ...]


class Word:
    """A default that is no value."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


REQUIRED = Word("required")
LEFT = Word("left as it is")  # nobody writes it: the portal chooses once, and it stays


@dataclass
class Showing:
    """Whose row is shown, and with which names."""

    index: Index
    owner: str | None
    row: Any


@dataclass
class Taking:
    """Whose item is taken in, into which row (None: a new one), and what is wrong with it."""

    index: Index
    owner: str | None
    values: Mapping[str, Any]
    row: Any = None
    failed: set[tuple[str, Key]] = field(default_factory=set)
    complaints: list[tuple[Path, str]] = field(default_factory=list)
    waits: bool = False  # something it names could not be made: said there, not here again
    kept: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    def wrong(self, path: Path, sentence: str) -> None:
        """Say what is wrong at this place of the item."""
        self.complaints.append((path, sentence))

    def find(self, section: str, written: Any, path: Path) -> int | None:
        """The id of a row that is named; complains when there is none."""
        try:
            kind, key, pk = self.index.find(section, written, self.owner)
        except ValueError as error:
            self.wrong(path, str(error))
            return None
        if pk is None:
            if (kind, key) in self.failed or ("contacts", person_of(key)) in self.failed:
                self.waits = True
            else:
                whose = f"of {key.client}" if key.client else "of ours"
                name = str(Key(None, key.name, key.nth))
                self.wrong(
                    path, f"There is no {NOUNS[kind]} “{name}” {whose}; add it to the files, or correct the name."
                )
        return pk

    def secret(self, secret: Secret, stored: Any, path: Path) -> Any:
        """The value of a secret: the environment's, else what is stored."""
        if secret.value is not None:
            self.taken.append(secret.name)
            return secret.value
        if isinstance(stored, Secret) and stored.value is not None:
            self.kept.append(secret.name)
            return stored.value
        self.wrong(
            path, f"The environment variable {secret.name} is not set and nothing is stored yet; set it and try again."
        )
        return None


class Form:
    """A plain value: text, a number, true or false, or nothing."""

    def show(self, value: Any, at: Showing) -> Any:
        """As it stands in a file."""
        return value

    def compact(self, value: Any) -> Any:
        """Without what goes without saying."""
        return value

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        """As it stands in the API's body."""
        if isinstance(value, Secret):
            at.wrong(path, "This is not kept as a secret; write its value.")
        elif isinstance(value, dict | list):
            at.wrong(path, "Write one value here, not a list and not a mapping.")
        return value

    def back(self, rest: list[str]) -> Path:
        """Where a complaint about this part of the body belongs in the file."""
        return tuple(int(part) if part.isdigit() else part for part in rest)


class Json(Form):
    """Any plain structure, as the API has it."""

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        return value


class Words(Form):
    """A list of words; in the body perhaps one text with commas. `ordered`: their order says something."""

    def __init__(self, *, csv: bool = False, ordered: bool = True) -> None:
        self.csv, self.ordered = csv, ordered

    def show(self, value: Any, at: Showing) -> Any:
        found = [word for word in value.split(",") if word] if self.csv else list(value or ())
        return found if self.ordered else sorted(found)

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        if not isinstance(value, list) or any(isinstance(w, dict | list | Secret) or w is None for w in value):
            at.wrong(path, "Write a list of words, as [one, two].")
            return [] if not self.csv else ""
        found = [str(word) for word in value]
        if self.csv and any("," in word for word in found):
            at.wrong(path, "A word has no comma; write each by itself.")
        return ",".join(found) if self.csv else found


class Ref(Form):
    """One row by name."""

    def __init__(self, section: str) -> None:
        self.section = section

    def show(self, value: Any, at: Showing) -> Any:
        return at.index.write(self.section, value, at.owner)

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        return None if value is None else at.find(self.section, value, path)


class Refs(Form):
    """Several rows by name. `ordered`: as people take turns."""

    def __init__(self, section: str, *, ordered: bool = False) -> None:
        self.section, self.ordered = section, ordered

    def show(self, value: Any, at: Showing) -> Any:
        found = [at.index.write(self.section, pk, at.owner) for pk in value or ()]
        found = [name for name in found if name is not None]
        return found if self.ordered else sorted(found, key=str)

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        if not isinstance(value, list):
            at.wrong(path, "Write a list of names, as [one, two].")
            return []
        found = [at.find(self.section, item, (*path, number)) for number, item in enumerate(value)]
        return [pk for pk in found if pk is not None]
