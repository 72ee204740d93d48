"""What does a message say where nothing but plain text is shown? A headline and a body, for push services and records.

Pure. The body is cut, never its end: the links that were asked for and the reference always stand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from alerts.channels.wording import (
    brief,
    buttons,
    counts,
    cut,
    first_line,
    line_shape,
    line_where,
    line_word,
    one_line,
    reference,
    rows,
    span,
    word,
)
from alerts.message import Link, Message

SHORTEST_REST = 8  # less of a cause says nothing


def octets(text: str) -> int:
    """How long it is in UTF-8 bytes."""
    return len(text.encode("utf-8", "replace"))


def as_json(value: Any) -> bytes:
    """JSON in UTF-8; a lone surrogate becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def headline(message: Message, limit: int, measure: Callable[[str], int] = len) -> str:
    """`[Down] Acme · shop — LOSS 18% · 5/6 regions — loss at hop 7`: the word stays whole, the name keeps its end, the cause is cut."""
    start = f"[{word(message)}] "
    if message.lines:
        return cut(start + counts(message), limit, measure)
    where = one_line(message.where) or one_line(message.title)
    if message.resolved:
        rest = f"after {span(message.duration_seconds)}" if message.duration_seconds else ""
    else:
        rest = brief(message)
    room = limit - measure(start)
    named = _named(where, room if not rest else max(room * 2 // 3, room - measure(rest) - 5), measure)
    left = room - measure(named) - 5  # " — " is five bytes in UTF-8
    return start + named + (f" — {cut(rest, left, measure)}" if rest and left >= SHORTEST_REST else "")


def _named(where: str, room: int, measure: Callable[[str], int]) -> str:
    """Both ends of a name, in whatever unit is counted: a third of the room is for its end."""
    if measure(where) <= room:
        return where
    room -= measure("…")
    tail = _first(reversed(where), room // 3, measure)[::-1].lstrip()
    return _first(where, room - measure(tail), measure).rstrip() + "…" + tail


def _first(text: Iterable[str], room: int, measure: Callable[[str], int]) -> str:
    """As many characters from the beginning as fit."""
    kept: list[str] = []
    for char in text:
        room -= measure(char)
        if room < 0:
            break
        kept.append(char)
    return "".join(kept)


def body(
    message: Message,
    limit: int,
    measure: Callable[[str], int] = len,
    *,
    links: Iterable[Link] = (),
    keyed: bool = False,
) -> str:
    """What happened, the facts, a gathered message's lines; then the links and the reference, which are never cut."""
    told = [f"{one_line(link.label)}: {link.url}" for link in buttons(links)]
    end = "\n".join(filter(None, [*told, reference(message, keyed=keyed)]))
    room = limit - measure(f"\n\n{end}") if end else limit
    text = cut("\n".join(_gathered(message) if message.lines else _single(message)), room, measure) if room > 0 else ""
    return "\n\n".join(filter(None, (text, end)))


def _single(message: Message) -> list[str]:
    title, first = one_line(message.title), first_line(message)
    said = [first] if not title or title in first else [title, first]
    return said + [f"{label}: {value}" for label, value in rows(message)]


def _gathered(message: Message) -> list[str]:
    told = []
    for line in message.lines:
        cause = "" if line.resolved else one_line(line.cause)
        told.append(f"{line_shape(line)} {line_word(line)}  {line_where(line)}" + (f" — {cause}" if cause else ""))
    return told + ([f"and {message.more} more"] if message.more else [])
