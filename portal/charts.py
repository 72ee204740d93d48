"""How do measurements become pictures that work without JavaScript, in print and at 320 px?

Pure functions from numbers to SVG text. A picture is as wide as its place: positions are percentages or stretch inside an inner
viewBox, text never stretches. Colours come from classes (app.css) over currentColor; there is no style attribute, so a strict
content security policy holds. Everything that is not ours is escaped. Each picture says its content in `<title>`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from html import escape
from statistics import median
from typing import Any

from django.utils.safestring import SafeString, mark_safe

from portal.templatetags.face import ms, percent_uptime, status_kind
from portal.time_axis import number, time_axis, when

Point = tuple[datetime, float | None, float | None]

# Phases of one check in the order they happen, with the words people read.
PHASES = (
    ("dns", "DNS"),
    ("connect", "connect"),
    ("tls", "TLS"),
    ("first_byte", "first byte"),
    ("rest", "download"),
)
# A day below the first figure is shown as degraded, below the second as down. In percent.
GOOD_DAY, POOR_DAY = 99.9, 98.0


def _svg(kind: str, height: int, title: str, body: str, attributes: str = "") -> SafeString:
    text = escape(title)
    return mark_safe(
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart chart-{kind}" role="img" aria-label="{text}" width="100%" '
        f'height="{height}"{attributes}><title>{text}</title>{body}</svg>'
    )


def _empty(kind: str, height: int, text: str) -> SafeString:
    middle = height // 2 + 4
    return _svg(
        kind, height, text, f'<text class="chart-empty" x="50%" y="{middle}" text-anchor="middle">{escape(text)}</text>'
    )


def day_status(uptime: float | None) -> str:
    """How a day with this uptime (percent) is shown: up, degraded, down, or unknown when nothing was measured."""
    if uptime is None:
        return "unknown"
    return "up" if uptime >= GOOD_DAY else "degraded" if uptime >= POOR_DAY else "down"


def bars_90(days: Sequence[Mapping[str, Any]]) -> SafeString:
    """One bar a day, oldest first. Each day: `day` (date or text), `uptime` (percent or None), `label` (optional text for the
    tooltip), `status` (optional, instead of the one its uptime gives).

    Good days are quiet and low, days with trouble stand taller, days without data are stubs: readable without colour.
    """
    if not days:
        return _empty("bars", 36, "No history yet")
    step = 100 / len(days)
    bars, measured, trouble = [], [], 0
    for index, day in enumerate(days):
        uptime = day.get("uptime")
        status = status_kind(day["status"]) if day.get("status") else day_status(uptime)
        top, tall = {"unknown": (26, 10), "up": (6, 30)}.get(status, (0, 36))
        if uptime is not None:
            measured.append(float(uptime))
        trouble += status in ("degraded", "down")
        words = f"{day.get('day', '')}: {percent_uptime(uptime) if uptime is not None else 'no data'}"
        words += f", {day['label']}" if day.get("label") else ""
        bars.append(
            f'<rect class="bar bar-{status}" x="{number(index * step)}%" y="{top}" width="{number(step * 0.72)}%" '
            f'height="{tall}" rx="1"><title>{escape(words)}</title></rect>'
        )
    if not measured:
        title = f"Uptime over {len(days)} days: no data yet"
    else:
        average = percent_uptime(sum(measured) / len(measured))
        title = f"Uptime over {len(days)} days: {average}, {trouble} {'day' if trouble == 1 else 'days'} with trouble"
    return _svg("bars", 36, title, "".join(bars))


def sparkline(values: Iterable[float | None], title: str = "Latency", unit: str = "ms") -> SafeString:
    """A word-sized line without axes; None breaks the line. The title tells the last and the highest value."""
    series = list(values)
    known = [v for v in series if v is not None]
    if not known:
        return _svg("spark", 20, f"{title}: no data yet", '<line class="spark-none" x1="0" y1="19" x2="100%" y2="19"/>')
    ceiling = max(known) or 1.0
    step = 100 / max(len(series) - 1, 1)
    path = _line([(i * step, None if v is None else 19 - 17 * v / ceiling) for i, v in enumerate(series)])
    say = ms if unit == "ms" else (lambda v: f"{number(v)} {unit}".strip())
    body = f'<path class="spark-line" d="{path}" fill="none" stroke="currentColor" vector-effect="non-scaling-stroke"/>'
    words = f"{title}: now {say(known[-1])}, highest {say(max(known))}"
    return _svg("spark", 20, words, body, ' viewBox="0 0 100 20" preserveAspectRatio="none"')


def _line(points: Sequence[tuple[float, float | None]]) -> str:
    """A path through the points; a gap where y is None. A lone point becomes a short dash, so that it can be seen."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is None:
            runs.append([])
        else:
            runs[-1].append((x, y))
    parts = []
    for run in filter(None, runs):
        drawn = run if len(run) > 1 else [run[0], (run[0][0] + 0.5, run[0][1])]
        parts.append("M" + "L".join(f"{number(x)} {number(y)}" for x, y in drawn))
    return "".join(parts)


def nice_ceiling(value: float) -> tuple[float, float]:
    """The top of an axis that holds `value`, and the distance between its lines: steps of 1, 2, 2.5 or 5 times a power of ten."""
    step = 0.1
    while True:
        for factor in (1, 2, 2.5, 5):
            if step * factor * 4 >= value:
                lines = max(1, -(-value // (step * factor)))
                return step * factor * lines, step * factor
        step *= 10


def band(
    points: Sequence[Point],
    marks: Sequence[Mapping[str, Any]] = (),
    *,
    zone: tzinfo = UTC,
    usual: float | None = None,
) -> SafeString:
    """Latency over time: the median as a line inside the band up to p95, both in ms, oldest first.

    A point without values, or a hole of more than three usual steps, breaks the band. `marks` are moments or stretches to point
    at: `at`, optional `until` (datetime), `label`, `status` (one of the seven, default down). Times on the axis are in `zone`,
    which is named once. `usual` (ms) draws a quiet line to compare with.
    """
    known = [(at, p50, p95) for at, p50, p95 in points if p50 is not None and p95 is not None]
    if not known:
        return _empty("band", 110, "No measurements in this period")
    plot_top, plot_bottom, height = 18, 194, 220
    first, last = points[0][0], points[-1][0]
    span = (last - first).total_seconds() or 60.0
    ceiling, step = nice_ceiling(max([p95 for _, _, p95 in known] + [usual or 0.0, 1.0]))

    def across(at: datetime) -> float:
        return min(100.0, max(0.0, (at - first).total_seconds() / span * 100))

    def down(value: float) -> float:
        return plot_bottom - (plot_bottom - plot_top) * min(value, ceiling) / ceiling

    levels = [step * n for n in range(1, round(ceiling / step) + 1)]
    rows = "".join(
        f'<line class="grid" x1="0" x2="100%" y1="{number(down(v))}" y2="{number(down(v))}"/>' for v in levels
    )
    units = "".join(f'<text class="axis" x="0" y="{number(down(v) - 4)}">{escape(ms(v))}</text>' for v in levels)
    quiet = ""
    if usual is not None:
        quiet = f'<line class="usual" x1="0" x2="100%" y1="{number(down(usual))}" y2="{number(down(usual))}"><title>usually {escape(ms(usual))}</title></line>'
    flagged = "".join(_mark(mark, across, plot_top, plot_bottom) for mark in marks)
    runs = _runs(points)
    shapes = "".join(_area([(across(at), down(low), down(high)) for at, low, high in run]) for run in runs)
    line = "".join(_line([(across(at), down(low)) for at, low, _ in run]) for run in runs)
    # The inner picture stretches with its place; its y axis is one to one with the outer one, so only x is scaled.
    plot = (
        f'<svg x="0" y="0" width="100%" height="{height}" viewBox="0 0 100 {height}" preserveAspectRatio="none">'
        f'<path class="band-area" d="{shapes}"/>'
        f'<path class="band-line" d="{line}" fill="none" vector-effect="non-scaling-stroke"/></svg>'
    )
    floor = f'<line class="floor" x1="0" x2="100%" y1="{plot_bottom}" y2="{plot_bottom}"/>'
    local = last.astimezone(zone)
    heading = f'<text class="axis read" x="100%" y="10" text-anchor="end">median to p95 · times in {escape(local.tzname() or "UTC")}</text>'
    peak = max(p95 for _, _, p95 in known)
    title = f"Latency from {when(first, zone)} to {when(last, zone)}: last median {ms(known[-1][1])}, highest p95 {ms(peak)}"
    if marks:
        title += f", {len(marks)} {'mark' if len(marks) == 1 else 'marks'}"
    return _svg(
        "band",
        height,
        title,
        rows + flagged + quiet + plot + floor + units + heading + time_axis(first, last, zone, height - 8)
        + _moments(known, marks, across, zone, plot_top, plot_bottom),
    )  # fmt: skip


MOMENTS = 96  # as many as can be pointed at one by one on a narrow screen


def _moments(known: Sequence[Point], marks: Sequence[Mapping[str, Any]], across: Any, zone: tzinfo, top: int, bottom: int) -> str:  # fmt: skip
    """What each place under the pointer says: its time, its values, and what was wrong then. Of several in one place, the worst."""
    each = -(-len(known) // MOMENTS)
    worst = [max(known[n : n + each], key=lambda point: point[2] or 0.0) for n in range(0, len(known), each)]
    places = [across(at) for at, _, _ in worst]
    edges = [0.0, *((a + b) / 2 for a, b in zip(places, places[1:], strict=False)), 100.0]
    drawn = []
    for (at, p50, p95), left, right in zip(worst, edges, edges[1:], strict=False):
        words = f"{when(at, zone)}: median {ms(p50)}, p95 {ms(p95)}"
        wrong = (mark for mark in marks if mark["at"] <= at <= (mark.get("until") or mark["at"]))
        words += "".join(f" · {mark.get('label', '')}" for mark in wrong)
        drawn.append(f'<rect class="moment" x="{number(left)}%" y="{top}" width="{number(right - left)}%" height="{bottom - top}"><title>{escape(words)}</title></rect>')  # fmt: skip
    return "".join(drawn)


def _mark(mark: Mapping[str, Any], across: Any, top: int, bottom: int) -> str:
    begin = across(mark["at"])
    width = max(0.4, across(mark["until"]) - begin) if mark.get("until") else 0.4
    kind = status_kind(mark.get("status") or "down")
    # A mark in the last instant must not leave the picture.
    return (
        f'<rect class="mark mark-{kind}" x="{number(min(begin, 100 - width))}%" y="{top}" width="{number(width)}%" '
        f'height="{bottom - top}"><title>{escape(str(mark.get("label", "")))}</title></rect>'
    )


def _runs(points: Sequence[Point]) -> list[list[tuple[datetime, float, float]]]:
    """The points in unbroken stretches: split where values lack, or where three usual steps passed without any."""
    steps = [(b[0] - a[0]).total_seconds() for a, b in zip(points, points[1:], strict=False)]
    longest = 3 * median(steps) if steps else 0.0
    runs: list[list[tuple[datetime, float, float]]] = [[]]
    for at, p50, p95 in points:
        if p50 is None or p95 is None:
            runs.append([])
            continue
        if runs[-1] and (at - runs[-1][-1][0]).total_seconds() > longest:
            runs.append([])
        runs[-1].append((at, p50, p95))
    return [run for run in runs if run]


def _area(run: Sequence[tuple[float, float, float]]) -> str:
    there = "L".join(f"{number(x)} {number(high)}" for x, _, high in run)
    back = "L".join(f"{number(x)} {number(low)}" for x, low, _ in reversed(run))
    return f"M{there}L{back}Z"


def phases_stacked(rows: Sequence[Mapping[str, Any]]) -> SafeString:
    """Where the time goes: one stacked bar a row (a probe, an hour) on one scale.

    Each row: `label`, and in ms, None where a phase did not happen: `dns`, `connect`, `tls`, `first_byte` (each its own length)
    and `total`. What `total` holds beyond the phases is shown as the download. The legend is components/phases_legend.html.
    """
    drawn = [row for row in rows if row.get("total")]
    if not drawn:
        return _empty("phases", 60, "No timings yet")
    scale = max(_total(row) for row in drawn)
    body, top = [], 0
    for row in drawn:
        label, total = escape(str(row.get("label", ""))), _total(row)
        body.append(f'<text class="row-label" x="0" y="{top + 12}">{label}</text>')
        body.append(f'<text class="row-value" x="100%" y="{top + 12}" text-anchor="end">{escape(ms(total))}</text>')
        body.append(f'<rect class="track" x="0" y="{top + 18}" width="100%" height="10" rx="2"/>')
        x = 0.0
        for key, word in PHASES:
            amount = _rest(row) if key == "rest" else float(row.get(key) or 0)
            width = amount / scale * 100
            if width <= 0:
                continue
            body.append(
                f'<rect class="phase phase-{key}" x="{number(x)}%" y="{top + 18}" width="{number(width)}%" height="10">'
                f"<title>{label}: {word} {escape(ms(amount))}</title></rect>"
            )
            x += width
        top += 42
    title = "Time by phase: " + "; ".join(f"{row.get('label', '')} {ms(_total(row))}" for row in drawn)
    return _svg("phases", top - 10, title, "".join(body))


def _timed(row: Mapping[str, Any]) -> float:
    return sum(float(row.get(key) or 0) for key, _ in PHASES if key != "rest")


def _total(row: Mapping[str, Any]) -> float:
    """Never shorter than its parts: clocks of different layers may differ by a hair."""
    return max(float(row["total"]), _timed(row))


def _rest(row: Mapping[str, Any]) -> float:
    return _total(row) - _timed(row)
