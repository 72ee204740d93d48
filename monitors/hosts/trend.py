"""When will this disk be full? A robust straight line through what was seen, and only where a straight line fits. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from statistics import median

LEAST_POINTS, LEAST_HOURS = 12, 3.0
LEAST_RISE = 0.5  # percentage points over the whole time: less is noise
MOST_SCATTER = 0.15  # the median distance from the line, as a share of the rise
STILL_GOING = 0.3  # how fast the last third must still rise, against the whole
HORIZON_HOURS = 30 * 24.0
MOST_POINTS = 96


def full_in_hours(points: Sequence[tuple[datetime, float]]) -> float | None:
    """Hours from the last point until 100 %, or None when nothing can be said: too little, too uneven, or not rising.

    `points` are (moment, percent), oldest first. The line is Theil and Sen's: a clean-up or a burst does not bend it,
    and a saw-tooth scatters too much to be believed.
    """
    if len(points) > MOST_POINTS:
        step = (len(points) - 1) / (MOST_POINTS - 1)
        points = [points[round(i * step)] for i in range(MOST_POINTS)]
    if len(points) < LEAST_POINTS:
        return None
    first = points[0][0]
    line = [((at - first).total_seconds() / 3600, percent) for at, percent in points]
    span = line[-1][0]
    if span < LEAST_HOURS:
        return None
    slope = _slope(line)
    rise = slope * span
    if rise < LEAST_RISE:
        return None
    start = median(y - slope * x for x, y in line)
    scatter = median(abs(y - start - slope * x) for x, y in line)
    if scatter > MOST_SCATTER * rise or _slope(line[-len(line) // 3 :]) < STILL_GOING * slope:
        return None
    hours = (100.0 - line[-1][1]) / slope
    return round(max(0.0, hours), 1) if hours <= HORIZON_HOURS else None


def _slope(line: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs, per hour."""
    slopes = [(y2 - y1) / (x2 - x1) for i, (x1, y1) in enumerate(line) for x2, y2 in line[i + 1 :] if x2 > x1]
    return median(slopes) if slopes else 0.0
