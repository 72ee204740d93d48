"""What does each fault of our own cost a client? Faults made one after the other, each a row: pages, times, and the way back.

Every fault returns an `Outcome`; `expected` says what SPEC STA-2..4 and PRB-1 allow. `python -m tests.regions` prints the
table; the tests run the same faults in a small world.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tests.regions.servers import Names
from tests.regions.world import HUB, PORTAL, SITE, Region, Seen, World, until

TOLD = 60.0  # within so many seconds an observer's alert must be there
BACK, LADDER = 180.0, 150.0
GIVEN_UP = 450.0  # after so long a message has had all its tries


@dataclass
class Outcome:
    """One fault and what came of it. Seconds count from the fault, or (back) from its end."""

    label: str
    monitor_pages: int = 0
    observer_pages: int = 0
    expected_monitor: int = 0
    expected_observer: int = 1
    alert_after: float | None = None
    told_after: float | None = None
    back_after: float | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Is it what may happen?"""
        return (self.monitor_pages, self.observer_pages) == (self.expected_monitor, self.expected_observer) and not any(
            n.startswith("NOT") for n in self.notes
        )

    def row(self) -> list[str]:
        """As the table shows it."""

        def seconds(value: float | None) -> str:
            return "-" if value is None else f"{value:.1f} s"

        return [
            self.label, str(self.monitor_pages), str(self.observer_pages), seconds(self.alert_after), seconds(self.told_after), seconds(self.back_after),
            "; ".join(self.notes) if self.well else "; ".join(["UNEXPECTED", *self.notes]),
        ]  # fmt: skip


HEADINGS = ["fault", "monitor pages", "observer pages", "alert after", "told after", "back to normal", "notes"]


def table(outcomes: Sequence[Outcome]) -> str:
    """All rows, aligned."""
    rows = [HEADINGS, ["---"] * len(HEADINGS), *(o.row() for o in outcomes)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEADINGS))]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows)  # fmt: skip


def _fault(
    world: World, outcome: Outcome, begin: Callable[[], object], end: Callable[[], object], *, hold: float,
    enough: Callable[[list[Seen]], bool] | None = None, during: Callable[[], object] = lambda: None,
) -> Outcome:  # fmt: skip
    """Make the fault, wait for `enough` alerts, hold it, end it, wait for calm, and count."""
    mark, heard, at, instant = world.mark(), len(world.post.heard), time.time(), time.monotonic()
    begin()
    try:
        if enough is not None:
            until(lambda: enough(world.alerts(mark)), f"{outcome.label}: the alerts", TOLD)
        time.sleep(max(0.0, hold - (time.monotonic() - instant)))
        during()
    finally:
        end()
    outcome.back_after = until(world.calm, f"{outcome.label}: everything well again", BACK)
    time.sleep(world.quiet)  # a burst would come now
    # What could not be delivered while the line was dead is tried again after half a minute, one, two (SPEC DLV-2).
    # A line that was dead for longer than all the tries carries one message afterwards: from when to when.
    each = 2 if hold < GIVEN_UP else 1
    with suppress(AssertionError):
        until(lambda: len(world.post.heard) - heard >= each * len(world.alerts(mark)), "the messages", LADDER)
    alerts, messages = world.alerts(mark), world.post.heard[heard:]
    outcome.monitor_pages = sum(not a.observer for a in alerts)
    outcome.observer_pages = sum(a.observer for a in alerts)
    outcome.alert_after = min((a.started_at for a in alerts), default=at) - at if alerts else None
    outcome.told_after = messages[0][0] - at if messages else None
    if len(messages) != each * len(alerts):
        outcome.notes.append(f"NOT one page and one recovery each: {len(messages)} messages about {len(alerts)} alerts")
    return outcome


# --- Lines --------------------------------------------------------------------------------------------------------------
def cut(world: World, *regions: Region, hold: float = 25) -> Outcome:
    """The lines of these regions are cut: one observer page each, none about what is watched."""
    names = " + ".join(str(r.number) for r in regions)
    outcome = Outcome(f"line of region {names}", expected_observer=len(regions))
    return _fault(
        world, outcome, lambda: [r.cut() for r in regions], lambda: [r.mend() for r in regions], hold=hold,
        enough=lambda alerts: sum(a.observer for a in alerts) >= len(regions), during=lambda: _states(world, outcome),
    )  # fmt: skip


def portal_cut(world: World, *, hold: float = 75) -> Outcome:
    """The portal's own line is cut: everything is unknown, one page says that the observer was away, none at all a burst."""
    outcome = Outcome(f"the portal's own line, {hold:.0f} s")
    return _fault(
        world, outcome, world.uplink.cut, world.uplink_back, hold=hold, enough=lambda alerts: any(a.observer for a in alerts),
        during=lambda: _gap(world, outcome, hold),
    )  # fmt: skip


def _states(world: World, outcome: Outcome) -> None:
    outcome.notes.append("meanwhile " + ", ".join(f"{n} {state}" for state, n in sorted(world.states().items())))


def _gap(world: World, outcome: Outcome, hold: float) -> None:
    _states(world, outcome)
    if set(world.states()) != {"unknown"}:
        outcome.notes.append("NOT unknown meanwhile")


# --- One sees what others do not ------------------------------------------------------------------------------------------
def lone_failure(world: World, region: Region, *, hold: float = 25) -> Outcome:
    """The site is lost from one region only: a routing observation, no page."""
    outcome = Outcome(f"site lost from region {region.number} only", expected_observer=0)
    return _fault(
        world, outcome, lambda: region.lose(SITE), region.find, hold=hold, during=lambda: _routing(world, outcome)
    )


def _routing(world: World, outcome: Outcome) -> None:
    def seen() -> int:
        return int(world.ask("SELECT count(*) FROM monitors_monitor WHERE state = 'degraded' AND state_reason LIKE 'Routing observation%'")[0][0])  # fmt: skip

    until(seen, f"{outcome.label}: a routing observation", TOLD)
    outcome.notes.append(f"{seen()} monitors show a routing observation")


def agreed_failure(world: World, number: int, *, hold: float = 0) -> Outcome:
    """One page is broken for everybody: down within seconds of the first look that sees it, whatever the interval."""
    outcome = Outcome("one page is broken", expected_monitor=1, expected_observer=0)
    monitor = world.made["monitors"][number - 1]
    _fault(
        world, outcome, lambda: world.pages.failing.add(number), lambda: world.pages.failing.discard(number), hold=hold,
        enough=lambda alerts: any(not a.observer for a in alerts),
    )  # fmt: skip
    first, down = world.ask(
        f"SELECT first_failure_at, at FROM monitors_statechange WHERE monitor_id = {monitor} AND to_state = 'down' ORDER BY id DESC LIMIT 1"
    )[0]  # fmt: skip
    outcome.notes.append(f"down {world.seconds_between(first, down):.1f} s after the first probe saw it; interval {world.order['interval']} s")  # fmt: skip
    return outcome


def names_lost(world: World, manner: int, *, hold: float = 25) -> Outcome:
    """The portal's name server is silent, answers SERVFAIL, or knows no name at all: the built-in probe is blind, no client is down."""
    words = {Names.SILENT: "is silent", Names.SERVFAIL: "answers SERVFAIL", Names.NXDOMAIN: "knows no name"}
    outcome = Outcome(f"the portal's name server {words[manner]}")
    return _fault(
        world, outcome, lambda: setattr(world.names, "manner", manner), lambda: setattr(world.names, "manner", Names.WELL), hold=hold,
        enough=lambda alerts: any(a.observer for a in alerts), during=lambda: _states(world, outcome),
    )  # fmt: skip


# --- Probes that are in trouble themselves -----------------------------------------------------------------------------------
def sees_only_targets(world: World, region: Region, *, hold: float = 25) -> Outcome:
    """It sees its targets and not the portal: disconnected; what it saw meanwhile fills the history."""
    outcome = Outcome(f"region {region.number} sees targets, not the portal")
    before: list[float] = [time.time()]
    found = _fault(
        world, outcome, lambda: region.lose(PORTAL), region.find, hold=hold, enough=lambda alerts: any(a.observer for a in alerts),
    )  # fmt: skip
    rows = world.ask(f"SELECT count(*) FROM monitors_result WHERE probe_id = {region.probe} AND ts > '{world.text_of(before[0] + 12)}' AND ts < '{world.text_of(before[0] + hold)}'")  # fmt: skip
    found.notes.append(f"{rows[0][0]} results of that time came in afterwards")
    if not rows[0][0]:
        found.notes.append("NOT filled in")
    return found


def sees_only_portal(world: World, region: Region, *, hold: float = 25) -> Outcome:
    """It sees the portal and nothing else: it says itself that it is blind."""
    outcome = Outcome(f"region {region.number} sees the portal, not the world")
    return _fault(
        world, outcome, lambda: region.lose(SITE, HUB), region.find, hold=hold, enough=lambda alerts: any(a.observer for a in alerts),
    )  # fmt: skip


def killed(world: World, region: Region, *, hold: float = 16) -> Outcome:
    """Its process is killed with signal 9 and started again: nothing is lost, nothing counted twice."""
    outcome = Outcome(f"program of region {region.number} killed")

    def end() -> None:
        region.start()

    found = _fault(
        world, outcome, region.running[-1].kill, end, hold=hold, enough=lambda alerts: any(a.observer for a in alerts)
    )
    stored, given = world.ask(
        f"SELECT (SELECT count(*) FROM monitors_result WHERE probe_id = {region.probe}), result_seq FROM monitors_probe WHERE id = {region.probe}"
    )[0]  # fmt: skip
    found.notes.append(f"{given} numbers, {stored} results")
    if stored != given:
        found.notes.append("NOT each number one result")
    return found


def cloned(world: World, region: Region, elsewhere: Region, *, hold: float = 8) -> Outcome:
    """A copy of its directory is started on another machine: the second is refused, one alert says so."""
    outcome = Outcome(f"copy of region {region.number} started elsewhere")
    copy = world.home / f"copy-of-{region.number}"

    def begin() -> None:
        shutil.copytree(region.home, copy, ignore=shutil.ignore_patterns("lock"))
        elsewhere.start(copy)

    def end() -> None:
        second = elsewhere.running.pop()
        second.kill()
        second.wait(10)
        shutil.rmtree(copy)

    return _fault(world, outcome, begin, end, hold=hold, enough=lambda alerts: any(a.observer for a in alerts))


def everything(world: World, say: Callable[[str], object]) -> list[Outcome]:
    """The whole run: each line, six pairs, the portal's line, and every other fault once."""
    r = world.regions
    pairs = [(r[n], r[(n + 1 + n % 2) % len(r)]) for n in range(len(r))]
    faults: list[Callable[[], Outcome]] = [
        *(lambda each=each: cut(world, each) for each in r),  # type: ignore[misc]
        *(lambda pair=pair: cut(world, *pair) for pair in pairs),  # type: ignore[misc]
        lambda: portal_cut(world),
        lambda: lone_failure(world, r[0]),
        lambda: agreed_failure(world, 1),
        lambda: sees_only_targets(world, r[1 % len(r)]),
        lambda: sees_only_portal(world, r[2 % len(r)]),
        lambda: killed(world, r[3 % len(r)]),
        lambda: cloned(world, r[4 % len(r)], r[5 % len(r)]),
        *(
            lambda manner=manner: names_lost(world, manner)
            for manner in (Names.SILENT, Names.SERVFAIL, Names.NXDOMAIN)
            if world.order["built_in"]
        ),  # type: ignore[misc]
    ]
    outcomes: list[Outcome] = []
    for fault in faults:
        try:
            outcomes.append(fault())
        except AssertionError as error:
            outcomes.append(Outcome("?", notes=[f"NOT done: {error}"]))
        say(" | ".join(outcomes[-1].row()))
    return outcomes
