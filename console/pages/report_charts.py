"""How does a path become a picture? Every hop at its distance and its time, losses as wide segments, networks as stripes, the usual ghosted.

Drawn as portal/charts.py draws: on the server, without script or style attribute, colours by class, everything escaped,
the content in title and description. All pictures of one report share one scale, so that probes can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from django.utils.safestring import SafeString, mark_safe

from console.pages.report_evidence import Phase, percent
from console.pages.report_paths import Line, Mark
from portal.charts import nice_ceiling
from portal.templatetags.face import ms
from portal.time_axis import number as short

LEFT, RIGHT = 50, 16  # px beside the plot: the axis' words, the end
STRIPE, TOP, BOTTOM = 20, 52, 150  # px: the networks' names above, then the plot
LOST, HOP, NEW, HEIGHT = 170, 186, 201, 206
WIDEST_STEP, NARROWEST_STEP, ROOM = 92, 44, 1080
PHONE_STEP, PHONE_ROOM = 27, 324
CHARACTER = 7.2  # px of one bold letter at 11 px, roughly
MOST_OTHERS = 3


@dataclass(frozen=True, slots=True)
class Scale:
    """What all pictures share: how many hops across, how many ms up."""

    hops: int
    ceiling: float
    tick: float
    narrow: bool = False  # the picture for a phone: hops closer together, percentages without their sign

    @property
    def step(self) -> float:
        """px from one hop to the next: wide where few hops leave room."""
        least, room = (PHONE_STEP, PHONE_ROOM) if self.narrow else (NARROWEST_STEP, ROOM)
        return min(WIDEST_STEP, max(least, (room - LEFT - RIGHT) // max(1, self.hops)))

    @property
    def width(self) -> float:
        return LEFT + self.step * self.hops + RIGHT

    def x(self, ttl: float) -> float:
        return LEFT + (ttl - 0.5) * self.step

    def y(self, rtt: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * min(max(rtt, 0.0), self.ceiling) / self.ceiling


def scale_of(lines: Iterable[Line]) -> Scale:
    """One scale for all of them."""
    marks = [m for line in lines for m in line.marks]
    times = [t for m in marks for t in (m.rtt, m.usual_rtt) if t is not None]
    ceiling, tick = nice_ceiling(max([*times, 1.0]))
    return Scale(max((m.ttl for m in marks), default=1), ceiling, tick)


def loss_kind(loss: float) -> str:
    """none, some, much: below 2 %, below 20 %, more."""
    return "none" if loss < 0.02 else "some" if loss < 0.2 else "much"


def path(line: Line, scale: Scale) -> SafeString:
    """The picture of one path."""
    heights = _heights(line.marks, scale)
    body = _stripes(line.marks, scale) + _axis(scale) + _ghost(line.marks, scale) + _segments(line, heights, scale)
    body += "".join(_drawn(m, heights[m.ttl], scale) for m in line.marks) + _end(line, heights, scale)
    title, text = f"{line.label} from {line.probe}", described(line)
    if line.suspected:
        text += f" Hop {line.suspected.ttl} is suspected."
    width, anchor = short(scale.width), f"{line.anchor}-n" if scale.narrow else line.anchor
    return mark_safe(
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart path{" path-narrow" if scale.narrow else ""}" role="img" aria-labelledby="{anchor}-t {anchor}-d" '
        f'width="{width}" height="{HEIGHT}" viewBox="0 0 {width} {HEIGHT}"><title id="{anchor}-t">{escape(title)}</title>'
        f'<desc id="{anchor}-d">{escape(text)}</desc>{body}</svg>'
    )


def described(line: Line) -> str:
    """The picture in one or two sentences."""
    if not line.marks:
        return line.why_not
    parts = [f"{len(line.marks)} hops"]
    worst = max(line.marks, key=lambda m: 0.0 if m.silent else m.carried)
    if not worst.silent and worst.carried >= 0.02:
        first = next(m for m in line.marks if not m.silent and m.carried >= worst.carried - 0.05)
        parts.append(f"{percent(worst.carried)} lost from hop {first.ttl} on")
    elif line.reached:
        parts.append("nothing lost")
    if line.reached is False:
        parts.append(
            f"nothing answers beyond hop {line.last_heard}" if line.last_heard else "nothing answers on the way"
        )
    times = [m.rtt for m in line.marks if m.rtt is not None]
    if times:
        parts.append(f"{ms(times[-1])} at the last that answers")
    if line.moved:
        parts.append("over other routers than usual")
    return ", ".join(parts) + "."


def _heights(marks: Sequence[Mark], scale: Scale) -> dict[int, float]:
    """Where each mark stands; a silent one between its neighbours."""
    known = [(m.ttl, scale.y(m.rtt)) for m in marks if m.rtt is not None]
    found = {}
    for m in marks:
        before = max((k for k in known if k[0] <= m.ttl), default=(0, float(BOTTOM)))
        after = min((k for k in known if k[0] >= m.ttl), default=before)
        span = after[0] - before[0]
        found[m.ttl] = before[1] if span <= 0 else before[1] + (after[1] - before[1]) * (m.ttl - before[0]) / span
    return found


def bands(marks: Sequence[Mark]) -> list[tuple[int, int, int, str]]:
    """(first hop, last hop, AS number, name) of each network; silent hops between two of the same belong to it."""
    found: list[tuple[int, int, int, str]] = []
    between = True  # only silent hops since the last band's end?
    for m in marks:
        if m.asn is None:
            between = between and m.silent
        elif found and found[-1][2] == m.asn and between:
            found[-1] = (found[-1][0], m.ttl, m.asn, found[-1][3] or m.as_name)
        else:
            found.append((m.ttl, m.ttl, m.asn, m.as_name))
        between = True if m.asn is not None else between
    return found


def _stripes(marks: Sequence[Mark], scale: Scale) -> str:
    parts = []
    for n, (first, last, asn, name) in enumerate(bands(marks)):
        x, width = scale.x(first) - scale.step / 2, (last - first + 1) * scale.step
        text, room = f"AS{asn} {name}".strip(), int((width - 8) / CHARACTER)
        label = text if len(text) <= room else text[: max(1, room - 1)] + "…"
        if len(text) > room and room < len(f"AS{asn}") + 6:
            label = f"AS{asn}" if room >= len(f"AS{asn}") - 1 else ""  # its name is in the title and in the table
        parts.append(
            f'<g><title>{escape(text)}</title><rect class="as as-{n % 2}" x="{short(x + 1)}" y="0" width="{short(width - 2)}" height="{BOTTOM}" rx="3"/>'
            f'<text class="as-name" x="{short(x + width / 2)}" y="14" text-anchor="middle">{escape(label)}</text></g>'
        )
    return "".join(parts)


def _axis(scale: Scale) -> str:
    parts, n = [], 0
    while n * scale.tick <= scale.ceiling * 1.001:
        y = short(scale.y(n * scale.tick))
        kind = "grid" if n else "floor"
        parts.append(f'<line class="{kind}" x1="{LEFT}" x2="{short(scale.width)}" y1="{y}" y2="{y}"/>')
        parts.append(
            f'<text class="axis" x="{LEFT - 6}" y="{short(scale.y(n * scale.tick) + 4)}" text-anchor="end">{escape(ms(n * scale.tick)) if n else "0"}</text>'
        )
        n += 1
    for y, word in ((LOST, "lost %" if scale.narrow else "lost"), (HOP, "hop")):
        parts.append(f'<text x="{LEFT - 6}" y="{y}" text-anchor="end">{word}</text>')
    return "".join(parts)


def _ghost(marks: Sequence[Mark], scale: Scale) -> str:
    """What is usual, behind what is now."""
    points = [(scale.x(m.ttl), scale.y(m.usual_rtt)) for m in marks if m.usual_rtt is not None]
    if not points:
        return ""
    line = "M" + "L".join(f"{short(x)} {short(y)}" for x, y in points)
    rings = "".join(f'<circle class="ghost-hop" cx="{short(x)}" cy="{short(y)}" r="4"/>' for x, y in points)
    return f'<path class="ghost" d="{line}" fill="none"/>{rings}'


def _segments(line: Line, heights: dict[int, float], scale: Scale) -> str:
    """From mark to mark; as wide and as loud as what is lost from there on."""
    parts, x, y = [], float(LEFT), float(BOTTOM)
    for m in line.marks:
        here_x, here_y = scale.x(m.ttl), heights[m.ttl]
        if m.ttl > line.last_heard:
            kind, width = ("gone" if _missed(line, m) else "silent"), 2.0
        elif m.silent:
            kind, width = "silent", 2.0
        else:
            kind, width = loss_kind(m.carried), 2 + 9 * m.carried
        parts.append(
            f'<line class="leg leg-{kind}" x1="{short(x)}" y1="{short(y)}" x2="{short(here_x)}" y2="{short(here_y)}" stroke-width="{short(width)}"/>'
        )
        x, y = here_x, here_y
    return "".join(parts)


def _missed(line: Line, m: Mark) -> bool:
    """Did somebody usually answer at this distance?"""
    return line.reached is False and bool(m.usual_address)


def _drawn(m: Mark, y: float, scale: Scale) -> str:
    x = scale.x(m.ttl)
    cx, cy = short(x), short(y)
    if m.suspected:
        shape = f'<path class="hop hop-suspected" d="M{cx} {short(y - 9)}L{short(x + 9)} {cy}L{cx} {short(y + 9)}L{short(x - 9)} {cy}Z"/>'
        anchor = "start" if x < LEFT + 40 else "end" if x > scale.width - 50 else "middle"
        shape = (
            f'<line class="pointer" x1="{cx}" x2="{cx}" y1="{STRIPE + 18}" y2="{short(y - 9)}"/>'
            f'<text class="suspected" x="{cx}" y="{STRIPE + 14}" text-anchor="{anchor}">suspected</text>{shape}'
        )
    elif m.silent:
        shape = f'<circle class="hop hop-silent" cx="{cx}" cy="{cy}" r="5"/>'
    elif m.target:
        shape = f'<rect class="hop hop-target" x="{short(x - 6)}" y="{short(y - 6)}" width="12" height="12" rx="1"/>'
    else:
        shape = f'<circle class="hop" cx="{cx}" cy="{cy}" r="5"/>'
    dots = "".join(
        f'<circle class="other" cx="{short(x + 8)}" cy="{short(y - 10 - 7 * n)}" r="2.5"/>'
        for n in range(len(m.others[:MOST_OTHERS]))
    )
    loss = "" if m.silent else f" lost-{loss_kind(m.carried)}"
    lost = "–" if m.silent else percent(m.loss).removesuffix(" %") if scale.narrow else percent(m.loss)
    texts = f'<text class="lost{loss}" x="{cx}" y="{LOST}" text-anchor="middle">{lost}</text>'
    texts += f'<text x="{cx}" y="{HOP}" text-anchor="middle">{m.ttl}</text>'
    if m.moved:
        texts += f'<text class="moved" x="{cx}" y="{NEW}" text-anchor="middle">new</text>'
    return f"<g><title>{escape(tip(m))}</title>{shape}{dots}{texts}</g>"


def tip(m: Mark) -> str:
    """One hop in words."""
    if m.silent:
        return f"hop {m.ttl}: nobody answers" + (f", usually {m.usual_address}" if m.usual_address else "")
    parts = [f"hop {m.ttl}: {m.address}" + (f" ({m.name})" if m.name else "")]
    if m.asn is not None:
        parts.append(f"AS{m.asn} {m.as_name}".strip())
    parts.append(f"{percent(m.loss)} of {m.sent} lost" + (", but what it passes on arrives" if m.withheld else ""))
    if m.rtt is not None:
        parts.append(ms(m.rtt) + (f", usually {ms(m.usual_rtt)}" if m.usual_rtt is not None else ""))
    if m.moved:
        parts.append(f"usually {m.usual_address}")
    if m.others:
        parts.append("also " + ", ".join(m.others))
    return "; ".join(parts)


def _end(line: Line, heights: dict[int, float], scale: Scale) -> str:
    """A word where the path ends although the target was not reached."""
    if line.reached is not False or not line.marks:
        return ""
    # Beside a suspected hop the word would stand on the other one.
    last = next((m for m in line.marks if m.ttl > line.last_heard), line.marks[-1])
    x, y = scale.x(last.ttl), heights[last.ttl]
    anchor = "end" if x > scale.width - 60 else "middle"
    return f'<text class="not-reached" x="{short(x)}" y="{short(min(BOTTOM - 6, y + 22))}" text-anchor="{anchor}">✗ no answer</text>'


def phase(row: Phase, ceiling: float) -> SafeString:
    """One bar over its usual band, on the scale of all of them; an arrow where it is longer. The words stand beside it in the table."""
    top = max(ceiling, 1.0)
    body = '<rect class="track" x="0" y="3" width="100%" height="14" rx="2"/>'
    if row.usual is not None:
        low, middle, high = (min(100.0, max(0.0, v) / top * 100) for v in row.usual)
        body += f'<rect class="usual-band" x="{short(low)}%" y="1" width="{short(max(0.8, high - low))}%" height="18" rx="2"/>'
        body += f'<line class="usual-middle" x1="{short(middle)}%" x2="{short(middle)}%" y1="1" y2="19"/>'
    width = min(100.0, max(0.6, row.ms / top * 100))
    body += f'<rect class="took took-{row.tone or "unknown"}" x="0" y="7" width="{short(width)}%" height="6" rx="1"/>'
    if row.ms > top:
        body += '<svg x="100%" y="0" width="14" height="20" overflow="visible"><path class="beyond" d="M-16 3h3l5 7l-5 7h-3l5-7zM-9 3h3l5 7l-5 7h-3l5-7z"/></svg>'
    text = f"{row.label}: {ms(row.ms)}"
    if row.usual is not None:
        text += f", usually {ms(row.usual[0])} to {ms(row.usual[2])}"
    return mark_safe(
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart phase-bar" role="img" aria-label="{escape(text)}" width="100%" height="20">'
        f"<title>{escape(text)}</title>{body}</svg>"
    )


def ceiling_of(rows: Iterable[Phase]) -> float:
    """The scale of all bars: long enough for every part and twice every band. A request that ran into its timeout is cut
    instead, or nothing else could be seen beside it.
    """
    found = list(rows)
    parts = [r.ms for r in found if r.label != "total"]
    usual = [2 * r.usual[2] for r in found if r.usual is not None]
    return max([*parts, *usual] or [r.ms for r in found] or [1.0])
