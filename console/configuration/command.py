"""What do the commands share? Files read together, problems told together, a question before anything is changed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from console.configuration import document, reading, running, showing
from console.configuration.document import Document, Problem
from console.configuration.running import Outcome

STDIN = "-"
CHANGES = 2  # a plan's exit code when there is something to do
YES = ("y", "yes")


def gathered(names: Sequence[str], environ: Mapping[str, str] | None = None) -> Document:
    """The document of these files (`-`: what is piped in), with secrets from the environment."""
    texts, problems = [], []
    for name in names:
        try:
            texts.append((name if name != STDIN else "(input)", _text(name)))
        except reading.Unreadable as error:
            problems.append(Problem(name, 0, "", str(error)))
    found = document.read(texts, environ if environ is not None else os.environ)
    found.problems += problems
    return found


def _text(name: str) -> str:
    if name != STDIN:
        return reading.read_file(Path(name))
    return sys.stdin.read(reading.LARGEST + 1)


def refuse(outcome: Outcome) -> None:
    """CommandError with every problem, when there is one."""
    if outcome.problems:
        number = f"{len(outcome.problems)} problems" if len(outcome.problems) > 1 else "1 problem"
        raise CommandError("\n".join([*map(str, outcome.problems), f"{number}; nothing was changed."]))


def is_terminal(stream: Any) -> bool:
    """Does a person read along, who has not asked for plain text?"""
    return bool(hasattr(stream, "isatty") and stream.isatty() and not os.environ.get("NO_COLOR"))


def shown(outcome: Outcome, stream: Any, *, as_json: bool) -> str:
    """The plan as it is printed."""
    if as_json:
        return json.dumps(showing.as_json(outcome), ensure_ascii=False, indent=1)
    return showing.text(outcome, colour=is_terminal(stream))


def agreed() -> bool:
    """Does whoever sits there say yes? CommandError when nobody can be asked."""
    if not sys.stdin.isatty():
        raise CommandError("Nobody can be asked here: look at the plan, and say --yes to apply it.")
    return input("Apply this? [y/N] ").strip().lower() in YES


def apply(found: Document, stream: Any, *, prune: bool = False, yes: bool = False, as_json: bool = False) -> str:
    """Show the plan, ask, do it; the last sentence to print. CommandError when anything is wrong: then nothing is changed."""
    planned = running.carry_out(found, prune=prune)
    refuse(planned)
    stream.write(shown(planned, stream, as_json=as_json))
    if not planned.changes:
        return ""
    if not yes and not agreed():
        return "Nothing was changed."
    done = running.carry_out(found, prune=prune, commit=True, expected=planned.changes)
    refuse(done)
    return (
        ""
        if as_json
        else f"Applied: {showing.summary(done).replace(' to ', ' ').replace('create', 'created').replace('change', 'changed').replace('delete', 'deleted')}."
    )
