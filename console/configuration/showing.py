"""How does a person, or a program, read what would change? Field by field, before → after, with secrets only as such."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from console.configuration.references import BETWEEN
from console.configuration.running import CHANGE, CREATE, DELETE, Change, Outcome
from console.configuration.secret import SHOWN, Secret

SIGNS = {CREATE: "+", CHANGE: "~", DELETE: "-"}
COLOURS = {CREATE: "32", CHANGE: "33", DELETE: "31"}
LONGEST = 160
NOTHING = "Nothing to do: everything is as the files say."
GONE = object()


def plain(value: Any) -> Any:
    """A value as JSON, its secrets as a word."""
    if isinstance(value, Secret):
        return SHOWN
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """A value's fields by dotted path; lists of plain values are one field."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and any(isinstance(item, dict | list | Secret) for item in value):
        for number, item in enumerate(value):
            yield from leaves(item, f"{path}[{number}]")
    elif path:
        yield path, value


def differences(change: Change) -> list[tuple[str, Any, Any]]:
    """(path, before, after) of every field that differs; GONE where there is none. What goes without saying is said here."""
    usual = {f.name: f.default for f in change.kind.fields.all if not callable(f.default) and not _is_word(f.default)}
    sides = [dict(change.before or {}), dict(change.after or {})]
    if change.action == CHANGE:
        for name in sides[0].keys() ^ sides[1].keys():
            for side in sides:
                if name not in side and usual.get(name) not in (None, [], {}):
                    side[name] = usual[name]
    before, after = (dict(leaves(side)) for side in sides)
    paths = [*before, *(path for path in after if path not in before)]
    return [(p, before.get(p, GONE), after.get(p, GONE)) for p in paths if before.get(p, GONE) != after.get(p, GONE)]


def _is_word(default: Any) -> bool:
    return type(default).__name__ == "Word"


def said(value: Any) -> str:
    """A value on one line, bounded, without anything that would move a terminal's cursor."""
    if value is GONE:
        return "(not set)"
    if isinstance(value, Secret):
        return SHOWN
    text = (
        value
        if isinstance(value, str) and value and value.isprintable()
        else json.dumps(plain(value), ensure_ascii=False)
    )
    text = "".join(c if c.isprintable() else "�" for c in text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"


def title(change: Change) -> str:
    """`monitor “Shop” of acme`"""
    key = change.key
    number = f" ({key.nth})" if key.nth > 1 else ""
    whose = f" of {key.client}" if key.client and change.kind.owner != "itself" else ""
    return f"{change.kind.noun} “{said(key.name.split(BETWEEN)[-1])}”{number}{whose}"


def lines(change: Change, paint: Callable[[str, str], str]) -> Iterator[str]:
    """A change as text."""
    yield paint(f"{SIGNS[change.action]} {title(change)}", COLOURS[change.action])
    if change.action == DELETE:
        return
    for path, before, after in differences(change):
        if change.action == CREATE:
            if path == change.kind.name:
                continue  # the title says it
            yield f"    {said(path)}: {said(after)}"
        elif isinstance(before, Secret) and isinstance(after, Secret):
            yield f"    {said(path)}: {SHOWN} → another {SHOWN}"
        else:
            yield f"    {said(path)}: {said(before)} → {said(after)}"


def summary(outcome: Outcome) -> str:
    """`Plan: 1 to create, 2 to change, 0 to delete.`"""
    actions = [change.action for change in outcome.changes]
    return f"{actions.count(CREATE)} to create, {actions.count(CHANGE)} to change, {actions.count(DELETE)} to delete"


def text(outcome: Outcome, *, colour: bool = False) -> str:
    """A plan for a person."""

    def paint(words: str, code: str) -> str:
        return f"\033[{code}m{words}\033[0m" if colour else words

    parts = [line for change in outcome.changes for line in lines(change, paint)]
    parts += ["", f"Plan: {summary(outcome)}."] if outcome.changes else [NOTHING]
    return "\n".join([*parts, *notes(outcome)])


def notes(outcome: Outcome) -> list[str]:
    """What else is to be known."""
    found = []
    if outcome.made:
        found.append(f"The portal makes by itself: {'; '.join(said(name) for name in outcome.made)}.")
    for said_before, names in (
        ("Secrets are taken from", outcome.taken),
        ("Kept as stored, as their variables are not set", outcome.kept),
    ):
        if names:
            found.append(f"{said_before}: {', '.join(sorted(set(names)))}.")
    if outcome.unnamed:
        rows = (
            "1 row is not in the files; --prune would delete it."
            if outcome.unnamed == 1
            else f"{outcome.unnamed} rows are not in the files; --prune would delete them."
        )
        found.append(rows)
    return found


def as_json(outcome: Outcome) -> dict[str, Any]:
    """A plan for a program."""
    return {
        "changes": [
            {
                "action": change.action, "kind": change.kind.section, "client": change.key.client if change.kind.owner != "itself" else None,
                "name": change.key.name, "nth": change.key.nth,
                "fields": [
                    {"path": path, **{side: plain(v) for side, v in (("before", before), ("after", after)) if v is not GONE}}
                    for path, before, after in differences(change)
                ] if change.action != DELETE else [],
            }
            for change in outcome.changes
        ],
        "errors": [{"file": p.file, "line": p.line, "path": p.path, "message": p.sentence} for p in outcome.problems],
        "taken_secrets": sorted(set(outcome.taken)),
        "kept_secrets": sorted(set(outcome.kept)),
        "not_in_files": outcome.unnamed,
        "also_made": outcome.made,
    }  # fmt: skip
