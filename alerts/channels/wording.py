"""How are a message's parts said, whatever the channel? One-line texts, cut texts, durations, times, counts, buttons.

Pure. Cutting leaves an … and never touches a link; a name keeps its end, because `shop-eu-1` and `shop-eu-2` differ there.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from alerts.message import WORDS, Line, Link, Message

# Characters that turn the reading direction around: a name could make the rest of the line read as something else.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_DEGRADED_EVENTS = frozenset(("degraded", "flapping", "expiring"))
SHAPES = {"critical": "■", "warning": "▲", "info": "○", "resolved": "●"}
LINK_ORDER = {"approve": 0, "acknowledge": 1, "report": 2, "open": 3, "incident": 4}


def one_line(text: object) -> str:
    """The text on one line, without control characters and direction tricks; all else as typed."""
    kept = (" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in str(text) if c not in _TURNING)
    return " ".join("".join(kept).split())


def cut(text: str, limit: int, measure: Callable[[str], int] = len) -> str:
    """At most `limit` (as measured, one character at a time), the rest told by an …"""
    if measure(text) <= limit:
        return text
    room, kept = limit - measure("…"), 0
    for place, char in enumerate(text):
        kept += measure(char)
        if kept > room:
            return text[:place].rstrip() + "…" if room >= 0 else ""
    return text


def cut_middle(text: str, limit: int) -> str:
    """At most `limit` characters, both ends kept."""
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return text[:head].rstrip() + "…" + text[len(text) - (limit - 1 - head) :].lstrip()


def span(seconds: float | None) -> str:
    """A duration as people say it: `45 s`, `6 min`, `2 h 5 min`, `3 d 4 h`; "" for None."""
    if seconds is None:
        return ""
    whole = int(max(0, seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if hours < 1:
        return f"{minutes} min"
    if days < 1:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"


def moment(at: datetime, zone: str) -> str:
    """`21 Nov 2026, 14:32:08 (Europe/Lisbon)`; an unknown zone is UTC."""
    try:
        there = at.astimezone(ZoneInfo(zone))
    except (KeyError, ValueError, OSError):
        zone, there = "UTC", at.astimezone(UTC)
    return f"{there.day} {there:%b %Y, %H:%M:%S} ({zone})"


def word(message: Message) -> str:
    """The event as people say it; a test is always called one."""
    return "Test" if message.kind == "test" else message.word


def shape(message: Message) -> str:
    """The status as a shape, never a colour alone: ■ ▲ ○ ●"""
    if message.tone != "resolved" and message.event in _DEGRADED_EVENTS and message.severity != "critical":
        return SHAPES["warning"]
    return SHAPES[message.tone]


def first_line(message: Message) -> str:
    """What a person reads first: the cause; of a recovery or a gathered message, what it says as a whole."""
    if message.kind == "test":
        return one_line(message.cause or "This is a test: nothing is wrong.")
    if message.lines or message.resolved:
        lasted = f" after {span(message.duration_seconds)}" if message.resolved and message.duration_seconds else ""
        return one_line(message.title) + lasted
    return one_line(sureness(message) + message.cause if message.cause else message.title)


# How sure a cause is, in a word: the least confidence for each. Doubt ("not sure: …") stands in the cause itself.
SURE = ((0.95, "Certain"), (0.75, "Probably"), (0.5, "Likely"))


def sureness(message: Message) -> str:
    """`Probably: ` before a cause that is the verdict's own sentence; "" before an error or a template's words."""
    confidence = message.verdict.get("confidence")
    own = one_line(message.cause) == one_line(message.verdict.get("summary") or "")[:300]
    if not own or not diagnosed(message) or not isinstance(confidence, int | float):
        return ""
    return next((f"{word}: " for least, word in SURE if confidence >= least), "")


def diagnosed(message: Message) -> bool:
    """Is it known where the problem lives?"""
    return message.verdict.get("layer", "unknown") != "unknown"


def brief(message: Message) -> str:
    """What follows the name in a headline: `LOSS 18% · 5/6 regions — loss at hop 7 (AS26599)`, or the error."""
    return " — ".join(filter(None, (message.extent, one_line(message.cause))))


TOLD = {"ok": "ok", "failed": "failed", "changed": "changed"}
DIFFERENCES = {
    "route_change": "route changed", "dns_change": "DNS answers changed", "cert_change": "certificate changed", "latency_drift": "slower than usual",
}  # fmt: skip


def evidence(message: Message) -> str:
    """What was found around the failure: `DNS ok · certificate ok · route changed 40 min ago`; unmeasured parts are left out."""
    found = message.evidence
    said = [
        f"{noun} {TOLD[found[name]]}"
        for name, noun in (("dns", "DNS"), ("ssl", "certificate"))
        if found.get(name) in TOLD
    ]
    difference = DIFFERENCES.get(found.get("baseline_diff", ""), "")
    said_already = {"dns_change": found.get("dns"), "cert_change": found.get("ssl")}.get(found.get("baseline_diff", ""))
    if difference and said_already != "changed":
        since = found.get("route_changed_at") if found["baseline_diff"] == "route_change" else None
        ago = message.at.timestamp() - since if isinstance(since, int | float) else None
        said.append(f"{difference} {span(ago)} ago" if ago is not None and ago >= 0 else difference)
    return " · ".join(said)


def rows(message: Message) -> list[tuple[str, str]]:
    """Facts as (label, value): the notice's own, completed by since and duration."""
    facts = [(one_line(label), one_line(value)) for label, value in message.facts if one_line(value)]
    known = {label.lower() for label, _ in facts}
    extra: list[tuple[str, str]] = []
    if message.resolved and message.cause and not message.lines:
        extra.append(("Cause", one_line(message.cause)))
    if message.started_at:
        extra.append(("Since", moment(message.started_at, message.timezone)))
    if message.resolved and message.started_at:
        extra.append(("Recovered", moment(message.at, message.timezone)))
    if message.duration_seconds and message.started_at:
        extra.append(("Lasted" if message.resolved else "For", span(message.duration_seconds)))
    if message.verdict and not diagnosed(message) and not message.resolved:
        extra.append(("Cause", "not known yet"))
    if message.extent:
        extra.append(("Extent", message.extent))
    if not message.resolved and not message.lines and (found := evidence(message)):
        extra.append(("Evidence", found))
    confidence = message.verdict.get("confidence")
    if isinstance(confidence, int | float) and confidence > 0 and diagnosed(message):
        extra.append(("Confidence", f"{confidence:.0%}"))
    return facts + [(label, value) for label, value in extra if label.lower() not in known]


def buttons(links: Iterable[Link]) -> list[Link]:
    """The links that can be pressed, most urgent first: approve, acknowledge, report, open, incident."""
    fit = [link for link in links if urlsplit(link.url).scheme in ("http", "https") and one_line(link.url) == link.url]
    return sorted(fit, key=lambda link: LINK_ORDER.get(link.rel, len(LINK_ORDER)))


def line_word(line: Line) -> str:
    """What happened to one alert of a gathered message."""
    return "Recovered" if line.resolved else WORDS.get(line.event, one_line(line.event).capitalize())


def line_shape(line: Line) -> str:
    """Its shape."""
    return SHAPES["resolved"] if line.resolved else SHAPES.get(line.severity, SHAPES["info"])


def line_where(line: Line) -> str:
    """`Acme · shop`"""
    return " · ".join(filter(None, (one_line(line.client), one_line(line.name))))


def counts(message: Message) -> str:
    """`12 alerts: 10 critical, 2 recovered`; the title says it when lines were left out."""
    if message.title:
        return one_line(message.title)
    kinds = [("resolved" if line.resolved else line.severity) for line in message.lines]
    said = ", ".join(
        f"{kinds.count(kind)} {'recovered' if kind == 'resolved' else kind}" for kind in SHAPES if kind in kinds
    )
    return f"{len(kinds) + message.more} alerts: {said}" + (f" and {message.more} more" if message.more else "")


def reference(message: Message, *, keyed: bool = False) -> str:
    """`#A1B2`, with "(repeat)" from the second try on where the vendor cannot fold copies; "" without one."""
    mark = "(repeat)" if message.repeated and not keyed else ""
    return " ".join(filter(None, (one_line(message.reference), mark)))
