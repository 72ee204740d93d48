"""What stands under a chart? Round moments of the reader's clock, as SVG text."""

from datetime import datetime, tzinfo


def number(value: float) -> str:
    """Short, locale-free digits for SVG attributes."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def when(at: datetime, zone: tzinfo) -> str:
    """A moment in few words, on the zone's clock."""
    local = at.astimezone(zone)
    return f"{local.day} {local:%b %H:%M}"


# Distances between the times on an axis, in seconds: whole clock units up to weeks and months.
TICKS = (60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000)


def time_axis(first: datetime, last: datetime, zone: tzinfo, y: int) -> str:
    """At most six round moments of the zone's clock under the plot: times of day when they are hours apart, dates beyond.

    Rounding uses the offset at the start, so after a change of the clocks the labels of that day stand an hour off the round.
    """
    span = (last - first).total_seconds() or 60.0
    tick = next((t for t in TICKS if span / t <= 6), TICKS[-1])
    offset = first.astimezone(zone).utcoffset()
    shift = offset.total_seconds() if offset else 0.0
    # Unix time began on a Thursday; weeks begin on Monday.
    shift -= 4 * 86400 if tick % 604800 == 0 else 0
    moment = -(-(first.timestamp() + shift) // tick) * tick - shift
    labels = []
    while moment <= last.timestamp():
        local = datetime.fromtimestamp(moment, zone)
        text = f"{local:%H:%M}" if tick < 86400 else f"{local.day} {local:%b}"
        x = (moment - first.timestamp()) / span * 100
        # A label centred on the very edge would be cut off.
        anchor = "start" if x < 5 else "end" if x > 95 else "middle"
        labels.append(f'<text class="axis" x="{number(x)}%" y="{y}" text-anchor="{anchor}">{text}</text>')
        moment += tick
    return "".join(labels)
