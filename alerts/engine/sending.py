"""What follows from an attempt, and when is a storm gathered? (SPEC DLV-2, RTE-7)"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

LADDER = (0, 30, 60, 120, 240)
LONGEST_RETRY_AFTER = 900
MOST_AMBIGUOUS = 2


def after_attempt(
    *, attempt: int, outcome: str, ambiguous: int, keyed: bool, retry_after: float | None = None
) -> tuple[str, float]:
    """(state, seconds to wait) after attempt number `attempt` (from 1) ended as `outcome`.

    outcomes: delivered, permanent, retry (surely not delivered), ambiguous (perhaps delivered). `ambiguous` counts the
    ambiguous attempts including this one. Where the vendor has no key, the second of them ends as `unknown`: a person
    never sees a third copy.
    """
    if outcome == "delivered":
        return "delivered", 0
    if outcome == "permanent":
        return "failed", 0
    if outcome == "ambiguous" and not keyed and ambiguous >= MOST_AMBIGUOUS:
        return "unknown", 0
    if attempt >= len(LADDER):
        return ("unknown" if outcome == "ambiguous" else "failed"), 0
    wait = float(LADDER[attempt])
    if retry_after is not None:
        wait = max(wait, min(retry_after, LONGEST_RETRY_AFTER))
    return "pending", wait


FIRST_GATHER_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What a destination does now: `send` one at once, `carry` all in one message, or `wait` until a time."""

    verb: str
    until: datetime | None = None


def turn(
    *, first_at: datetime | None, gathered_at: datetime | None, window: float, at: datetime, since: datetime
) -> Turn:
    """The first message goes at once, more are gathered: after 20 s (or the window, if shorter), then once a window.

    `since` is when the longest waiting one was due: a destination that heard nothing for a whole window starts afresh
    with what came later; what has waited is carried. So in any window a person gets at most one first message and one
    gathered one, and nothing waits longer than a window.
    """
    span = timedelta(seconds=window)
    last = max(filter(None, (first_at, gathered_at)), default=None)
    if window <= 0 or last is None or (at - last >= span and since - last > span):
        return Turn("send")
    if gathered_at is not None and (first_at is None or gathered_at >= first_at):
        due = gathered_at + span
    else:
        due = last + timedelta(seconds=min(window, FIRST_GATHER_SECONDS))
    return Turn("carry") if at >= due else Turn("wait", due)
