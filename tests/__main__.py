"""Does everything hold on SQLite and on PostgreSQL? `python -m tests [pytest arguments]` runs both and says so plainly.

What may run side by side does, in more processes than there are processors, because much of it waits. Then come those
marked `alone`, which measure: few at a time. Tests marked `once` say nothing about the database and are not repeated on
the second one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.environment import DATABASE, POSTGRES, SQLITE
from tests.rig.ground import GROUND

NOTHING_TO_RUN = 5  # pytest's exit code when no test matches
Passes = dict[str, tuple[str, list[str]]]  # what it is called → which marks, and how pytest runs them
IN_FOUR, IN_TWO, BY_ITSELF = ["-n", "4", "--no-loadscope-reorder"], ["-n", "2", "--no-loadscope-reorder"], ["-n", "0"]
DAILY: Passes = {
    "side by side": ("not alone and not soak", IN_FOUR),
    "alone": ("alone and not soak", IN_TWO),
}
DAILY_AGAIN: Passes = {"side by side": ("not soak and not once", IN_FOUR)}  # on the second database nothing is measured
SOAK: Passes = {"soak": ("soak", BY_ITSELF)}
SOAK_AGAIN: Passes = {"soak": ("soak and not once", BY_ITSELF)}
NOT_INHERITED = ("DJANGO_SETTINGS_MODULE", "PYTHONDONTWRITEBYTECODE")


@dataclass
class Outcome:
    """What one database's passes came to."""

    database: str
    passed: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)
    not_run: list[list[str]] = field(default_factory=list)
    seconds: float = 0.0


def main(arguments: list[str]) -> int:
    """Run everything (or, with --soak, what takes too long for every day); 0 when nothing failed and something ran."""
    first, again = (SOAK, SOAK_AGAIN) if "--soak" in arguments else (DAILY, DAILY_AGAIN)
    arguments = [a for a in arguments if a != "--soak"]
    wanted = os.environ.get(DATABASE)
    runs = [(wanted, first)] if wanted else [(SQLITE, first), (POSTGRES, again)]
    with tempfile.TemporaryDirectory(prefix="watchkeeper-ground-") as shared:
        os.environ[GROUND] = shared  # one migrated database for all passes to copy
        outcomes = [on(database, passes, arguments) for database, passes in runs]
    report(outcomes)
    return 0 if not any(o.failed for o in outcomes) and any(o.passed for o in outcomes) else 1


def on(database: str, passes: Passes, arguments: list[str]) -> Outcome:
    """These passes on one database."""
    outcome = Outcome(database)
    begun = time.monotonic()
    # Named in the shell, the settings would be read before the tests have prepared what they read; and each of many
    # processes would compile every test anew.
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    for title, (marks, how) in passes.items():
        print(f"\n=== {database}, {title} ===", flush=True)
        with tempfile.TemporaryDirectory() as directory:
            summary = Path(directory) / "summary.json"
            env = {**inherited, DATABASE: database, "WATCHKEEPER_TEST_SUMMARY": str(summary)}
            command = [sys.executable, "-m", "pytest", "-q", *how, "-m", marks, *arguments]
            code = subprocess.run(command, env=env).returncode
            add(outcome, title, code, json.loads(summary.read_text()) if summary.exists() else None)
    outcome.seconds = time.monotonic() - begun
    return outcome


def add(outcome: Outcome, title: str, code: int, found: dict[str, Any] | None) -> None:
    """Count one pass in. A pass that ended without naming a failure, yet badly, is a failure itself."""
    if found is not None:
        outcome.passed += found["passed"]
        outcome.skipped += found["skipped"]
        outcome.failed += found["failed"]
        outcome.not_run += found["not_run"]
    if code not in (0, NOTHING_TO_RUN) and not (found and found["failed"]):
        outcome.failed.append(f"the pass “{title}” ended with exit code {code} (see above)")


def report(outcomes: list[Outcome]) -> None:
    """The last thing on the screen."""
    print("\n=== Summary ===")
    for outcome in outcomes:
        print(
            f"{outcome.database:9} {outcome.passed} passed, {len(outcome.failed)} failed, {outcome.skipped} skipped, "
            f"{len(outcome.not_run)} not run, {outcome.seconds:.0f} s"
        )
    for outcome in outcomes:
        for name in outcome.failed:
            print(f"FAILED on {outcome.database}: {name}")
    for outcome in outcomes:
        for name, reason in outcome.not_run:
            print(f"NOT RUN on {outcome.database}: {name}: {reason.removeprefix('NOT RUN').lstrip(': ')}")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
