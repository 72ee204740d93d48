"""Who is told, when, and why not? Pure: identity and raise, hold-back rules, routing, the ladder, gathering, escalation, on-call.

Time and facts are parameters; nothing here knows a database, a clock or a network. Each answer names its rule, so that
"why did nobody call me?" is a query and the simulator gives the same answer as the real thing (SPEC RTE-4).
"""

from alerts.engine.escalation import Climb, after_step, climbs, due_at, may_meet, resumed, shift_to
from alerts.engine.holding import HOLD_BACK, Facts, Matcher, hold, matches, silence_is_active
from alerts.engine.identity import RANK, TYPES, last_word, react, recovery_type, wire_type
from alerts.engine.maintenance import Window, covers
from alerts.engine.recurrence import Times, coming, latest_start, next_start, running
from alerts.engine.routing import Plan, Quiet, Rule, Told, Way, in_hours, quiet_until, refuses, route, scopes_of, words
from alerts.engine.sending import (
    FIRST_GATHER_SECONDS,
    LADDER,
    LONGEST_RETRY_AFTER,
    MOST_AMBIGUOUS,
    Turn,
    after_attempt,
    turn,
)

__all__ = [
    "FIRST_GATHER_SECONDS", "HOLD_BACK", "LADDER", "LONGEST_RETRY_AFTER", "MOST_AMBIGUOUS", "RANK", "TYPES", "Climb", "Facts", "Matcher",
    "Plan", "Quiet", "Rule", "Times", "Told", "Turn", "Way", "Window", "after_attempt", "after_step", "climbs", "coming", "covers",
    "due_at", "hold", "in_hours", "last_word", "latest_start", "matches", "may_meet", "next_start", "quiet_until", "react", "recovery_type",
    "refuses", "resumed", "route", "running", "scopes_of", "shift_to", "silence_is_active", "turn", "wire_type", "words",
]  # fmt: skip
