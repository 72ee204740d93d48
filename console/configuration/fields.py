"""Which fields has an item, in which order, and what are they when nobody writes them? Also of mappings and lists within."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from console.configuration.forms import LEFT, REQUIRED, Form, Path, Showing, Taking
from console.configuration.secret import Secret

SHORTHANDS = ("url", "headers", "secret")  # names under which the API complains of settings that nobody gave


@dataclass(frozen=True)
class Field:
    """A field: its name in files, its place in the body (dotted), its form, and what it is when nobody writes it."""

    name: str
    default: Any = REQUIRED
    form: Form = field(default_factory=Form)
    api: str = ""
    late: bool = False  # set when every row is there
    of: Callable[[Any], Any] | None = None  # from the row, where the body does not tell

    @property
    def place(self) -> str:
        """Where it stands in the body."""
        return self.api or self.name

    def usual(self, values: Mapping[str, Any]) -> Any:
        """What it is when these values do not name it."""
        return self.default(values) if callable(self.default) else self.default


def dug(body: Mapping[str, Any], place: str) -> Any:
    """The value at a dotted place."""
    found: Any = body
    for part in place.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def put(body: dict[str, Any], place: str, value: Any) -> None:
    """Set the value at a dotted place."""
    *parts, last = place.split(".")
    for part in parts:
        body = body.setdefault(part, {})
    body[last] = value


class Fields:
    """Several fields together, in the order in which they are written."""

    def __init__(self, *fields: Field) -> None:
        self.all = fields
        self.by_name = {f.name: f for f in fields}

    def show(self, body: Mapping[str, Any], at: Showing) -> dict[str, Any]:
        """Of a body, what does not go without saying."""
        values: dict[str, Any] = {}
        for f in self.all:
            values[f.name] = f.form.show(f.of(at.row) if f.of is not None else dug(body, f.place), at)
        return self.without_usual(values)

    def compact(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What was written, without what goes without saying, in our order."""
        found = {f.name: f.form.compact(values[f.name]) for f in self.all if f.name in values}
        return self.without_usual(found)

    def without_usual(self, values: dict[str, Any]) -> dict[str, Any]:
        """Without fields that are what they would be anyhow. A secret is never that."""
        return {n: v for n, v in values.items() if isinstance(v, Secret) or v != self.by_name[n].usual(values)}

    def take(
        self, values: Mapping[str, Any], at: Taking, path: Path = (), only: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """The body of what is written; of a row that is there, only the fields that are asked for, usual ones included."""
        body: dict[str, Any] = {}
        for f in self.all:
            if only is not None and f.name not in only:
                continue
            if f.name in values:
                put(body, f.place, f.form.take(values[f.name], at, (*path, f.name)))
            elif only is not None and f.usual(values) not in (REQUIRED, LEFT):
                put(body, f.place, f.form.take(f.usual(values), at, (*path, f.name)))
        return body

    def with_left(self, values: dict[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
        """The values with what nobody wrote and the portal chose once."""
        left = [f.name for f in self.all if f.name not in values and f.name in now and f.usual(values) is LEFT]
        return {**values, **{name: now[name] for name in left}}

    def judge(self, values: Any, path: Path, wrong: Callable[[Path, str], None], noun: str) -> bool:
        """Are these fields of it, and is nothing missing? Says so otherwise."""
        if not isinstance(values, dict):
            wrong(path, f"Write the fields of {noun}, as name: …")
            return False
        fine = True
        for name in values:
            if name not in self.by_name:
                near = get_close_matches(str(name), self.by_name, n=1)
                known = f"is it {near[0]}?" if near else f"there are {', '.join(self.by_name)}."
                wrong((*path, name), f"This is not a field of {noun}; {known}")
                fine = False
        for f in self.all:
            if f.default is REQUIRED and values.get(f.name) is None:
                wrong((*path, f.name), f"This is missing: {noun} needs it.")
                fine = False
            elif f.name in values and isinstance(f.form, Items | Part):
                fine = f.form.judge(values[f.name], (*path, f.name), wrong) and fine
        return fine

    def back(self, dotted: str) -> Path:
        """Where in a file a complaint of the API (dotted) belongs."""
        for f in sorted(self.all, key=lambda f: -len(f.place)):
            if dotted == f.place or dotted.startswith(f.place + "."):
                rest = dotted[len(f.place) + 1 :]
                return (f.name, *f.form.back(rest.split(".") if rest else []))
        return ("config",) if "config" in self.by_name and dotted in SHORTHANDS else ()


class Part(Form):
    """A mapping with fields of its own."""

    def __init__(self, noun: str, *fields: Field) -> None:
        self.noun, self.fields = noun, Fields(*fields)

    def show(self, value: Any, at: Showing) -> Any:
        return self.fields.show(value or {}, at)

    def compact(self, value: Any) -> Any:
        return self.fields.compact(value)

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        every = [f.name for f in self.fields.all]
        return self.fields.take(value, at, path, every)

    def judge(self, value: Any, path: Path, wrong: Callable[[Path, str], None]) -> bool:
        """Its fields."""
        return self.fields.judge(value, path, wrong, self.noun)

    def back(self, rest: list[str]) -> Path:
        return self.fields.back(".".join(rest)) if rest else ()


class Items(Form):
    """A list of mappings with fields. `rows` gives the rows behind them, in the body's order."""

    def __init__(self, noun: str, *fields: Field, rows: Callable[[Any], Sequence[Any]] | None = None) -> None:
        self.noun, self.fields, self.rows = noun, Fields(*fields), rows

    def show(self, value: Any, at: Showing) -> Any:
        rows = list(self.rows(at.row)) if self.rows is not None else [at.row] * len(value or ())
        return [self.fields.show(item, replace(at, row=row)) for item, row in zip(value or (), rows, strict=True)]

    def compact(self, value: Any) -> Any:
        return [self.fields.compact(item) for item in value]

    def take(self, value: Any, at: Taking, path: Path) -> Any:
        return [self.fields.take(item, at, (*path, number)) for number, item in enumerate(value)]

    def judge(self, value: Any, path: Path, wrong: Callable[[Path, str], None]) -> bool:
        """Each of them."""
        if not isinstance(value, list):
            wrong(path, f"Write a list: each {self.noun} begins with “- ”.")
            return False
        judged = [self.fields.judge(item, (*path, n), wrong, f"a {self.noun}") for n, item in enumerate(value)]
        return all(judged)

    def back(self, rest: list[str]) -> Path:
        if not rest or not rest[0].isdigit():
            return ()
        return (int(rest[0]), *(self.fields.back(".".join(rest[1:])) if rest[1:] else ()))
