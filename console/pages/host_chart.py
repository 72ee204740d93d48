"""How does a figure of a machine become a picture? One line over time on an axis from zero, its limit as a quiet line.

Drawn as portal/charts.py draws: stretching inside, text that does not stretch, colours by class, the content in its title.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from html import escape
from statistics import median

from django.utils.safestring import SafeString

from portal import charts
from portal.time_axis import number, time_axis

TOP, BOTTOM, HEIGHT = 18, 134, 160
POINTS = 240  # as many as a screen shows


def course(
    points: Sequence[tuple[datetime, float]],
    noun: str,
    unit: str,
    *,
    since: datetime,
    until: datetime,
    zone: tzinfo = UTC,
    limit: float | None = None,
    most: float | None = None,
) -> SafeString:
    """`points` are (moment, value), oldest first, drawn from `since` to `until`; `most` fixes the top of the axis.

    A hole of more than three usual steps breaks the line: nothing was measured there.
    """
    if not points:
        return charts._empty("band", HEIGHT // 2, f"{noun}: nothing measured in this time")
    span = (until - since).total_seconds() or 60.0
    highest = max(value for _, value in points)
    ceiling, step = charts.nice_ceiling(max(highest, limit or 0.0, 1.0) if most is None else most)
    values = [((at - since).total_seconds() / span * 100, value) for at, value in points]

    def down(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * min(value, ceiling) / ceiling

    rows, units = "", ""
    for n in range(1, round(ceiling / step) + 1):
        y, text = number(down(step * n)), f"{step * n:g}{unit}"
        rows += f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>'
        units += f'<text class="axis" x="0" y="{number(down(step * n) - 4)}">{escape(text)}</text>'
    if limit is not None:
        y = number(down(limit))
        rows += f'<line class="usual" x1="0" x2="100%" y1="{y}" y2="{y}"><title>limit {limit:g}{escape(unit)}</title></line>'
    line = charts._line([(x, down(v) if v is not None else None) for x, v in broken(values)])
    plot = (
        f'<svg x="0" y="0" width="100%" height="{HEIGHT}" viewBox="0 0 100 {HEIGHT}" preserveAspectRatio="none">'
        f'<path class="band-line" d="{line}" fill="none" vector-effect="non-scaling-stroke"/></svg>'
    )
    floor = f'<line class="floor" x1="0" x2="100%" y1="{BOTTOM}" y2="{BOTTOM}"/>'
    title = f"{noun}: now {points[-1][1]:.3g}{unit}, highest {highest:.3g}{unit}"
    axis = time_axis(since, until, zone, HEIGHT - 8)
    return charts._svg("band", HEIGHT, title, rows + plot + floor + units + axis)


def broken(values: Sequence[tuple[float, float]]) -> list[tuple[float, float | None]]:
    """The points with a gap wherever nothing was measured for three usual steps."""
    steps = [b[0] - a[0] for a, b in zip(values, values[1:], strict=False)]
    longest = 3 * median(steps) if steps else 0.0
    found: list[tuple[float, float | None]] = []
    for n, (x, value) in enumerate(values):
        if n and x - values[n - 1][0] > longest:
            found.append((x, None))
        found.append((x, value))
    return found
