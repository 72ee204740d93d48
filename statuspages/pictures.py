"""How do a component's days, its response times and a badge become pictures? SVG text with its content in words, no script.

Whatever is not ours is escaped; colours come from classes, so a strict content policy holds (a badge, which stands alone in
other people's pages, carries its own as attributes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from typing import Any

from django.utils.safestring import SafeString, mark_safe

from statuspages.engine import DEGRADED, MAJOR, PARTIAL, SHAPES
from statuspages.words import day as day_words
from statuspages.words import percent, word

# Characters that XML 1.0 has no spelling for: one of them, and no browser shows the picture.
NO_XML = dict.fromkeys((*range(9), 11, 12, *range(14, 32), *range(55296, 57344), 65534, 65535))
TOPS = {"up": 8, "degraded": 4, "down": 0, "maintenance": 8, "unknown": 24}  # trouble stands taller, no data is a stub
FOOT = 34
# Solid colours that white text can be read on (AA), for badges.
BADGES = {"up": "#1f7a43", "degraded": "#8a5700", "down": "#b3261e", "maintenance": "#6541b5", "unknown": "#5f5a54"}
GLYPHS = {
    "up": '<circle cx="6" cy="6" r="5"/>',
    "degraded": '<path d="M6 .8 11.6 11H.4z"/>',
    "down": '<rect x="1" y="1" width="10" height="10" rx="1"/>',
    "maintenance": '<path d="M6 .2 11.8 6 6 11.8.2 6z"/>',
    "unknown": '<circle cx="6" cy="6" r="4.2" fill="none" stroke="currentColor" stroke-width="1.6"/>',
}


def shape(status: str) -> SafeString:
    """The status's shape; decorative, its word stands beside it."""
    kind = SHAPES.get(status, "unknown")
    return mark_safe(
        f'<svg class="shape" viewBox="0 0 12 12" width="12" height="12" fill="currentColor" aria-hidden="true" focusable="false">{GLYPHS[kind]}</svg>'
    )


def days(entries: Sequence[Mapping[str, Any]], language: str, name: str) -> SafeString:
    """One bar a day, oldest first; each says its day and share when pointed at, the picture says the sum in words."""
    wide = 100 / max(1, len(entries))
    parts = []
    trouble = sum(entry["worst"] in (DEGRADED, PARTIAL, MAJOR) for entry in entries)
    empty = sum(bool(entry["no_data"]) for entry in entries)
    for n, entry in enumerate(entries):
        kind = "unknown" if entry["no_data"] else SHAPES[entry["worst"]]
        said = word(language, "no_data") if entry["no_data"] else word(language, entry["worst"])
        if entry.get("up") is not None:
            said += f", {percent(language, entry['up'])}"
        text = escape(f"{day_words(language, date.fromisoformat(entry['date']))}: {said}")
        parts.append(
            f'<rect class="{kind}" x="{n * wide:.2f}%" y="{TOPS[kind]}" width="{wide * 0.7:.2f}%" height="{FOOT - TOPS[kind]}" rx="1"><title>{text}</title></rect>'
        )
    told = [
        word(language, f"{key}_one") if n == 1 else word(language, key, n=n)
        for key, n in (("trouble", trouble), ("empty", empty))
        if n
    ]
    label = escape(f"{name}, {word(language, 'bars')}: {', '.join(told) or word(language, 'operational')}")
    return mark_safe(
        f'<svg class="days" role="img" aria-label="{label}" width="100%" height="{FOOT}">{"".join(parts)}</svg>'
    )


def ms(value: float) -> str:
    """`412 ms`, `1.2 s`."""
    return f"{value:.0f}\u00a0ms" if value < 1000 else f"{value / 1000:.1f}\u00a0s"


def latency_words(points: Sequence[Sequence[Any]], language: str) -> str:
    """The line in words; empty without any hour."""
    values = [float(value) for _, value in points]
    return word(language, "latency_text", a=ms(values[-1]), b=ms(max(values))) if values else ""


def latency(points: Sequence[Sequence[Any]], language: str) -> SafeString:
    """Medians by the hour as a line; empty without at least two hours."""
    if len(points) < 2:
        return SafeString()
    values = [float(value) for _, value in points]
    top = max(values) * 1.15 or 1.0
    step = 100 / (len(values) - 1)
    line = " ".join(f"{n * step:.1f},{38 - 34 * value / top:.1f}" for n, value in enumerate(values))
    label = escape(latency_words(points, language))
    return mark_safe(
        f'<svg class="latency" role="img" aria-label="{label}" width="100%" height="40" viewBox="0 0 100 40" preserveAspectRatio="none"><title>{label}</title>'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5" vector-effect="non-scaling-stroke"/></svg>'
    )


def badge(name: str, status: str, language: str) -> str:
    """A small picture for other people's pages: a name and a status, in its shape, word and colour."""
    name = name.translate(NO_XML)
    left, right = name if len(name) <= 40 else name[:39] + "…", word(language, status)
    # No font can be measured here: textLength makes what was reckoned true in every browser.
    a, b = 7 * len(left) + 16, 7 * len(right) + 34
    kind = SHAPES.get(status, "unknown")
    label = escape(f"{name}: {right}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{a + b}" height="24" role="img" aria-label="{label}"><title>{label}</title>'
        f'<rect width="{a + b}" height="24" rx="4" fill="#2a2724"/><path d="M{a} 0h{b - 4}a4 4 0 0 1 4 4v16a4 4 0 0 1-4 4H{a}z" fill="{BADGES[kind]}"/>'
        f'<g fill="#fff" font-family="system-ui,Verdana,sans-serif" font-size="12"><text x="8" y="16" textLength="{7 * len(left)}" lengthAdjust="spacingAndGlyphs">{escape(left)}</text>'
        f'<g transform="translate({a + 8} 6)" color="#fff">{GLYPHS[kind]}</g><text x="{a + 26}" y="16" textLength="{7 * len(right)}" lengthAdjust="spacingAndGlyphs">{escape(right)}</text></g></svg>'
    )


def icon(status: str) -> str:
    """The status's shape in its colour, for the browser's tab."""
    kind = SHAPES.get(status, "unknown")
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 12 12" fill="{BADGES[kind]}" color="{BADGES[kind]}">{GLYPHS[kind]}</svg>'
