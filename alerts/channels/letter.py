"""What does a mail say? Subject, plain text and HTML of a message; how it is sent is `email.py`'s business.

The templates get plain dicts of strings only: nothing in them can be called, and HTML is escaped by Django's autoescape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

from alerts.channels.wording import (
    buttons,
    counts,
    cut,
    cut_middle,
    first_line,
    line_shape,
    line_where,
    line_word,
    one_line,
    reference,
    rows,
    shape,
    span,
    word,
)
from alerts.message import COLOURS, Line, Link, Message

SUBJECT: Final = 78
WHERE: Final = 50  # of the subject: a long name must leave room for the cause
LEAD, CAUSE, VALUE, MOST_ROWS, MOST_LINES = 160, 1000, 600, 20, 50
DECIDING: Final = ("approve", "acknowledge")
READY: Final = 150  # a ready-made subject: its end names the status
PRESSED: Final = ("confirm", "approve", "open")  # of a ready-made letter's links, what is a button


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail's contents. `text` and `html` say the same."""

    subject: str
    text: str
    html: str


def write(message: Message) -> Letter:
    """The letter for a message; a ready-made one gets its frame and links."""
    if message.letter:
        return ready(message)
    context = _context(message)
    return Letter(
        subject=subject(message),
        text=render_to_string("alerts/mail.txt", context).strip() + "\n",
        html=render_to_string("alerts/mail.html", context),
    )


def ready(message: Message) -> Letter:
    """What another app wrote (`html` is finished, and clean), with the reader's links below it."""
    said, links = message.letter, message.links
    subject, main = cut(one_line(said["subject"]), READY), links[0] if links and links[0].rel in PRESSED else None
    context = {
        "subject": subject,
        "text": said["text"],
        "html": mark_safe(said["html"]),  # noqa: S308 - portal.markup's, and autoescaped templates'
        "accent": COLOURS.get(said.get("tone", ""), COLOURS["info"]),
        "main": main,
        "links": [link for link in links if link is not main],
        "footer": one_line(said.get("footer", "")),
        "language": said.get("language", "en"),
    }
    return Letter(
        subject=subject,
        text=render_to_string("alerts/letter.txt", context).strip() + "\n",
        html=render_to_string("alerts/letter.html", context),
    )


def subject(message: Message) -> str:
    """`[Down] Acme · shop — cause`, at most 78 characters: the word stays whole, the name keeps its end."""
    start = f"[{word(message)}] "
    if message.lines:
        return cut(start + counts(message), SUBJECT)
    where = one_line(message.where) or one_line(message.title)
    if message.resolved:
        rest = f"after {span(message.duration_seconds)}" if message.duration_seconds else ""
    else:
        rest = one_line(message.cause)
    room = SUBJECT - len(start)
    named = cut_middle(where, room if not rest else max(WHERE, room - len(rest) - 3))
    named = cut_middle(named, room)
    left = room - len(named) - 3
    return start + named + (f" — {cut(rest, left)}" if rest and left >= 8 else "")


def _context(message: Message) -> dict[str, Any]:
    whole = cut(first_line(message), CAUSE)
    lead = cut(whole, LEAD)
    pressed, more_links = _buttons(message.links)
    where = one_line(message.where)
    shown = [{"label": cut(label, 60), "value": cut(value, VALUE)} for label, value in rows(message)[:MOST_ROWS]]
    left_out = message.more + max(0, len(message.lines) - MOST_LINES)
    return {
        "first": lead,
        "whole": whole if whole != lead else "",
        "subject": subject(message),
        "title": "" if message.lines or message.resolved else _unless_said(cut(one_line(message.title), 300), message),
        "shape": shape(message),
        "word": word(message),
        "where": where,
        "tone": message.tone,
        "colour": COLOURS[message.tone],
        "test": message.kind == "test" and bool(message.cause),
        "rows": [] if message.lines else shown,
        "lines": [_line(line) for line in message.lines[:MOST_LINES]],
        "more": left_out,
        "buttons": pressed,
        "links": more_links,
        "reference": reference(message),
    }


def _unless_said(title: str, message: Message) -> str:
    """The title, unless the first line or the status line says the same ("shop is down")."""
    name, said = one_line(message.monitor.get("name") or ""), title.lower()
    if title in first_line(message) or (name and said == f"{name} is {word(message)}".lower()):
        return ""
    return title


def _buttons(links: tuple[Link, ...]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(buttons, plain links): what is to be decided and one way to look are buttons, the rest stands below."""
    sorted_ = buttons(links)[:8]
    looking = [link for link in sorted_ if link.rel not in DECIDING]
    pressed = [link for link in sorted_ if link.rel in DECIDING] + looking[:1]
    told = [{"label": cut(one_line(link.label), 60), "url": link.url} for link in pressed + looking[1:]]
    return [{**link, "main": place == 0} for place, link in enumerate(told[: len(pressed)])], told[len(pressed) :]


def _line(line: Line) -> dict[str, Any]:
    fit = buttons([Link("open", "Open", line.url)])
    return {
        "shape": line_shape(line),
        "word": line_word(line),
        "where": cut(line_where(line), 200),
        "cause": "" if line.resolved else cut(one_line(line.cause), 300),
        "url": fit[0].url if fit else "",
        "tone": "resolved" if line.resolved else line.severity,
    }
