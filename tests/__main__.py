"""Does everything hold on SQLite and on PostgreSQL? `python -m tests [pytest arguments]` runs both and says so plainly.

What may run side by side does, in more processes than there are processors, because much of it waits. Then come those
marked `alone`, which measure: few at a time. Tests marked `once` say nothing about the database and are not repeated on
the second one; the second one's run behind those that measure, at a lower priority, in the time that they leave.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.environment import DATABASE, POSTGRES, SQLITE
from tests.rig.ground import GROUND

NOTHING_TO_RUN = 5  # pytest's exit code when no test matches
IN_FIVE, IN_FOUR, IN_TWO = (("-n", str(n), "--no-loadscope-reorder") for n in (5, 4, 2))
BY_ITSELF = ("-n", "0")
BEHIND = 5  # how much lower the priority of what runs behind: on a busy machine it must not starve
NOT_INHERITED = ("DJANGO_SETTINGS_MODULE", "PYTHONDONTWRITEBYTECODE")


@dataclass(frozen=True)
class Pass:
    """One run of pytest: which marks, and in how many processes."""

    database: str
    title: str
    marks: str
    how: tuple[str, ...]


@dataclass
class Outcome:
    """What one database's passes came to; `seconds` of passes, also of those that ran behind others."""

    database: str
    passed: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)
    not_run: list[list[str]] = field(default_factory=list)
    seconds: float = 0.0


Stage = tuple[Pass, ...]  # the first one is shown while it runs, the others behind it when they have ended


def daily(database: str) -> list[Stage]:
    """Everything on this database."""
    return [
        (Pass(database, "side by side", "not alone and not soak", IN_FIVE),),
        (Pass(database, "alone", "alone and not soak", IN_TWO),),
    ]


def both() -> list[Stage]:
    """Everything on SQLite, and on PostgreSQL what may differ there; nothing is measured there."""
    side_by_side, (alone,) = daily(SQLITE)
    again = Pass(POSTGRES, "side by side", "not soak and not once and not again_in_the_soak", IN_FOUR)
    return [side_by_side, (alone, again)]


def soak(database: str) -> list[Stage]:
    """What takes too long for every day."""
    return [(Pass(database, "soak", "soak", BY_ITSELF),)]


def both_soak() -> list[Stage]:
    """The same, and what PostgreSQL is not asked every day."""
    return [*soak(SQLITE), (Pass(POSTGRES, "soak", "(soak or again_in_the_soak) and not once", BY_ITSELF),)]


def main(arguments: list[str]) -> int:
    """Run everything (or, with --soak, what takes too long for every day); 0 when nothing failed and something ran."""
    one, all_ = (soak, both_soak) if "--soak" in arguments else (daily, both)
    arguments = [a for a in arguments if a != "--soak"]
    wanted = os.environ.get(DATABASE)
    stages = one(wanted) if wanted else all_()
    outcomes: dict[str, Outcome] = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="watchkeeper-ground-") as shared:
        os.environ[GROUND] = shared  # one migrated database for all passes to copy
        for stage in stages:
            together(stage, arguments, outcomes)
    report(list(outcomes.values()), time.monotonic() - began)
    failed = any(o.failed for o in outcomes.values())
    return 0 if not failed and any(o.passed for o in outcomes.values()) else 1


def together(stage: Stage, arguments: list[str], outcomes: dict[str, Outcome]) -> None:
    """Run these passes at the same time and count them in."""
    with ExitStack() as until_ended:
        folder = Path(until_ended.enter_context(tempfile.TemporaryDirectory()))
        running = []
        for number, one in enumerate(stage):
            summary, said = folder / f"{number}.json", folder / f"{number}.txt"
            file = until_ended.enter_context(said.open("wb")) if number else None
            if not number:
                announce(one)
            child = until_ended.enter_context(begin(one, arguments, summary, file))
            if number:
                os.setpriority(os.PRIO_PROCESS, child.pid, os.nice(0) + BEHIND)  # its children inherit it
            running.append((one, child, summary, said, time.monotonic()))
        for number, (one, child, summary, said, began) in enumerate(running):
            code = child.wait()
            if number:
                announce(one)
                print(said.read_text(errors="replace"), flush=True)
            outcome = outcomes.setdefault(one.database, Outcome(one.database))
            outcome.seconds += time.monotonic() - began
            add(outcome, one.title, code, json.loads(summary.read_text()) if summary.exists() else None)


def begin(one: Pass, arguments: list[str], summary: Path, said: Any) -> subprocess.Popen:
    """Start pytest for this pass."""
    # Named in the shell, the settings would be read before the tests have prepared what they read; and each of many
    # processes would compile every test anew.
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    env = {**inherited, DATABASE: one.database, "WATCHKEEPER_TEST_SUMMARY": str(summary)}
    command = [sys.executable, "-m", "pytest", "-q", *one.how, "-m", one.marks, *arguments]
    return subprocess.Popen(command, env=env, stdout=said, stderr=said and subprocess.STDOUT)


def announce(one: Pass) -> None:
    """A line above what pytest says."""
    print(f"\n=== {one.database}, {one.title} ===", flush=True)


def add(outcome: Outcome, title: str, code: int, found: dict[str, Any] | None) -> None:
    """Count one pass in. A pass that ended without naming a failure, yet badly, is a failure itself."""
    if found is not None:
        outcome.passed += found["passed"]
        outcome.skipped += found["skipped"]
        outcome.failed += found["failed"]
        outcome.not_run += found["not_run"]
    if code not in (0, NOTHING_TO_RUN) and not (found and found["failed"]):
        outcome.failed.append(f"the pass “{title}” ended with exit code {code} (see above)")


def report(outcomes: list[Outcome], seconds: float) -> None:
    """The last thing on the screen."""
    print("\n=== Summary ===")
    for outcome in outcomes:
        print(
            f"{outcome.database:9} {outcome.passed} passed, {len(outcome.failed)} failed, {outcome.skipped} skipped, "
            f"{len(outcome.not_run)} not run, {outcome.seconds:.0f} s"
        )
    print(f"in all {seconds:.0f} s")
    for outcome in outcomes:
        for name in outcome.failed:
            print(f"FAILED on {outcome.database}: {name}")
    for outcome in outcomes:
        for name, reason in outcome.not_run:
            print(f"NOT RUN on {outcome.database}: {name}: {reason.removeprefix('NOT RUN').lstrip(': ')}")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
