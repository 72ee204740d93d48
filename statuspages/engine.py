"""What does a page say of its parts? Pure decisions: a component's status, the page's sentence, a day's bar, a percentage.

A component's status, from the strongest: work that is under way on it (or all its monitors at rest for work), what a person
set by hand, the open published incidents that name it (the gravest), what its monitors say. By hand stands above incidents
because it is the later and the more particular word of a person; work stands above everything, so that readers never see an
outage that was announced. What was not measured is "no data", never up and never down.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

OPERATIONAL, DEGRADED, PARTIAL, MAJOR = "operational", "degraded", "partial_outage", "major_outage"
MAINTENANCE, UNKNOWN = "under_maintenance", "unknown"
# From the best to the worst: a page says its worst. No data is no trouble, but it is no "all well" either.
RANK = {word: rank for rank, word in enumerate((OPERATIONAL, UNKNOWN, MAINTENANCE, DEGRADED, PARTIAL, MAJOR))}
BY_SEVERITY = {"minor": DEGRADED, "major": PARTIAL, "critical": MAJOR}
# Which of the seven shapes stands for a status.
SHAPES = {
    OPERATIONAL: "up", DEGRADED: "degraded", PARTIAL: "down", MAJOR: "down", MAINTENANCE: "maintenance", UNKNOWN: "unknown",
}  # fmt: skip
HOUR = timedelta(hours=1)
NAMED = 3  # components that the page's sentence names


def worst(statuses: Iterable[str], otherwise: str = UNKNOWN) -> str:
    """The worst of some statuses; `otherwise` when there are none."""
    return max(statuses, key=RANK.__getitem__, default=otherwise)


# --- Now ------------------------------------------------------------------------------------------------------------------
def live(states: Iterable[str]) -> str:
    """What monitors' states make of a component. Paused, resting and unmeasured monitors have no voice."""
    states = list(states)
    down, degraded, up = (states.count(word) for word in ("down", "degraded", "up"))
    if down + degraded + up == 0:
        return MAINTENANCE if "maintenance" in states else UNKNOWN
    if down:
        return MAJOR if not degraded + up else PARTIAL
    return DEGRADED if degraded else OPERATIONAL


def component_status(
    states: Iterable[str],
    *,
    at: datetime,
    severities: Iterable[str] = (),
    in_work: bool = False,
    override: str = "",
    override_until: datetime | None = None,
) -> str:
    """One component's status: its monitors' states, the severities of open published incidents, work, a person's word."""
    measured = live(states)
    if in_work or measured == MAINTENANCE:
        return MAINTENANCE
    if override and (override_until is None or at < override_until):
        return override
    told = [BY_SEVERITY[s] for s in severities if s in BY_SEVERITY]
    return worst(told) if told else measured


def page_state(components: Sequence[tuple[str, str]], severities: Iterable[str] = ()) -> tuple[str, list[str]]:
    """(status, names of the components that are so) of a page of (name, status) pairs, worst first.

    `severities`: of open published incidents that name no component of the page; they speak for the page itself.
    """
    told = [BY_SEVERITY[s] for s in severities if s in BY_SEVERITY]
    status = worst([status for _, status in components] + told)
    return status, [name for name, one in components if one == status] if status != OPERATIONAL else []


# --- Days -----------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Cell:
    """One monitor's checks that began in one hour, outside of maintenance: well, well but slow, failing."""

    monitor: int
    hour: datetime
    up: int = 0
    degraded: int = 0
    failing: int = 0

    @property
    def known(self) -> int:
        return self.up + self.degraded + self.failing


@dataclass(frozen=True, slots=True)
class Span:
    """A monitor was in a state from `since` until `until`."""

    monitor: int
    state: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Day:
    """A day of a component. `up` is a percentage (None: nothing was measured), `hours` those in which something was."""

    up: float | None = None
    hours: int = 0
    worst: str = UNKNOWN

    def plain(self) -> list[float | int | str | None]:
        """As it is kept."""
        return [self.up, self.hours, self.worst]


NO_DATA = Day()


def percentage(good: float, known: float) -> float | None:
    """In percent, rounded down to four places, so that only flawless is 100. None without anything known."""
    return int(good * 1_000_000 / known + 1e-7) / 10_000 if known else None


def days_of(cells: Iterable[Cell], spans: Iterable[Span], zone: tzinfo) -> dict[date, Day]:
    """The days of one component on the zone's calendar; days without any measurement are left out.

    Shares count checks, and each monitor counts the same however often it is checked. The worst word of a day is what the
    component showed in one of its hours: a state counts only in hours whose checks bear it out, so a "down" that was left
    standing while nobody measured is not told.
    """
    by_state: dict[tuple[int, str], list[Span]] = defaultdict(list)
    for span in spans:
        by_state[span.monitor, span.state].append(span)

    def was(monitor: int, state: str, hour: datetime) -> bool:
        return any(s.since < hour + HOUR and s.until > hour for s in by_state[monitor, state])

    counts: dict[date, dict[int, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    shown: dict[datetime, list[str]] = defaultdict(list)
    for cell in cells:
        if not cell.known:
            continue
        count = counts[cell.hour.astimezone(zone).date()][cell.monitor]
        count[0] += cell.up + cell.degraded
        count[1] += cell.known
        if cell.failing and was(cell.monitor, "down", cell.hour):
            shown[cell.hour].append("down")
        elif cell.failing + cell.degraded and was(cell.monitor, "degraded", cell.hour):
            shown[cell.hour].append("degraded")
        else:
            shown[cell.hour].append("up")
    words: dict[date, list[str]] = defaultdict(list)
    for hour, states in shown.items():
        words[hour.astimezone(zone).date()].append(live(states))
    days = {}
    for day, monitors in counts.items():
        share = sum(good / known for good, known in monitors.values()) / len(monitors)
        days[day] = Day(percentage(share, 1), len(words[day]), worst(words[day]))
    return days


def uptime(days: Iterable[Day]) -> float | None:
    """The share over many days in percent; a day weighs as many hours as it was measured. None without any."""
    measured = [(day.up, day.hours) for day in days if day.up is not None and day.hours]
    return percentage(sum(up * hours for up, hours in measured) / 100, sum(hours for _, hours in measured))


def bars(days: Mapping[date, Day], today: date, length: int = 90) -> list[dict[str, object]]:
    """One entry a day, oldest first, today last: {"date", "up" (percent or None), "worst", "no_data"}."""
    found = []
    for back in range(length - 1, -1, -1):
        day = today - timedelta(days=back)
        seen = days.get(day, NO_DATA)
        found.append({"date": day.isoformat(), "up": seen.up, "worst": seen.worst, "no_data": seen.up is None})
    return found
