"""Which moves are there? Two state machines, the rules for opening and joining, and severity. Pure.

`status` (public) goes forward only, reopening is an explicit act; `responder_status` says who has it. Resolving
resolves both; a refusal is a sentence a person can read (SPEC INC-1..3).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

ORDER = ("investigating", "identified", "monitoring", "resolved")
TRIGGERED, ACKNOWLEDGED, RESOLVED = "triggered", "acknowledged", "resolved"

MOVES: dict[str, dict[str, str]] = {
    "acknowledge": {TRIGGERED: ACKNOWLEDGED},
    "resolve": {TRIGGERED: RESOLVED, ACKNOWLEDGED: RESOLVED},
    "reopen": {RESOLVED: TRIGGERED},
}
ALREADY = {
    ("acknowledge", ACKNOWLEDGED): "It is acknowledged already.",
    ("acknowledge", RESOLVED): "It is resolved; reopen it first.",
    ("resolve", RESOLVED): "It is resolved already.",
    ("reopen", TRIGGERED): "It is open; only a resolved incident can be reopened.",
    ("reopen", ACKNOWLEDGED): "It is open; only a resolved incident can be reopened.",
}


def move(verb: str, responder_status: str) -> tuple[str | None, str]:
    """(the new responder status, "") or (None, why not)."""
    target = MOVES[verb].get(responder_status)
    return (target, "") if target else (None, ALREADY[verb, responder_status])


def update_refused(current: str, wanted: str) -> str:
    """Why a public update may not set this status; "" when it may. The same status again is an update without a step."""
    if wanted not in ORDER:
        return f"{wanted!r} is not a status; use {', '.join(ORDER)}."
    if current == "resolved":
        return "It is resolved; reopen it first."
    if ORDER.index(wanted) < ORDER.index(current):
        return f"The public status goes forward only: {current} cannot go back to {wanted}."
    return ""


def opens_for(source: str, severity: str) -> bool:
    """Does an alert open an incident by itself? Critical endpoint and heartbeat alerts do."""
    return severity == "critical" and source in ("endpoint", "heartbeat")


def severity_for(alert_severity: str, default: str) -> str:
    """The service's default, else critical → critical, warning → minor."""
    return default or ("critical" if alert_severity == "critical" else "minor")


def cause_key(*, service: int | None, parent: str, entity: str) -> str:
    """What groups alerts into one incident: the service, the parent, else the entity itself."""
    if service is not None:
        return f"service:{service}"
    return f"parent:{parent}" if parent else entity


def joins(last_alert_at: datetime | None, at: datetime, merge_window_minutes: int) -> bool:
    """May an alert of a service join its open incident? Within the merge window after the last alert that did."""
    return last_alert_at is None or at - last_alert_at <= timedelta(minutes=merge_window_minutes)


def machine_may_resolve(
    *, auto_created: bool, auto_resolve: bool, taken_over: bool, responder_status: str, open_alerts: int
) -> bool:
    """May recovery resolve it? Only what the machine opened, no alert of it open, and no person's decision in the way."""
    return auto_created and auto_resolve and not taken_over and responder_status != RESOLVED and open_alerts == 0


def merge_left_nothing(ends: Iterable[dict[str, Any]]) -> bool:
    """Did the last of an incident's ends, a merge, hand no alert over? Then nothing can be taken out: it may be reopened."""
    last = [*ends][-1:]
    return any("into" in data and not data.get("alerts", [0]) for data in last)


# --- Times ------------------------------------------------------------------------------------------------------------------
KNOWN_BY = {
    "check": "by the first failing check",
    "alert": "by the alert",
    "recovery": "by the recovery of the last monitor",
    "person": "said by a person",
    "playbook": "said by a playbook",
}
SEVERITIES = ("minor", "major", "critical")


def worse(one: str, other: str) -> str:
    """The graver of two severities."""
    return max(one, other, key=SEVERITIES.index)


def times_refused(
    began: datetime | None, mitigated: datetime | None, resolved: datetime | None, at: datetime
) -> dict[str, str]:
    """{field: why this time cannot be}; empty when they fit together."""
    found = {}
    if began is not None and began > (resolved or at):
        found["began_at"] = (
            "It cannot have begun after it was resolved." if resolved else "It cannot begin in the future."
        )
    if mitigated is not None:
        if mitigated > at:
            found["mitigated_at"] = "It cannot be over for readers in the future."
        elif began is not None and mitigated < began:
            found["mitigated_at"] = "It cannot be over before it began."
        elif resolved is not None and mitigated > resolved:
            found["mitigated_at"] = "Resolved comes last: it cannot be mitigated afterwards."
    return found


def alike(keys: Iterable[tuple[int, int | None, str, str]]) -> list[tuple[str, str, list[int]]]:
    """(what, its name, incidents) that open incidents of several clients share, most incidents first.

    `keys`: (incident, client, what: as, host, issuer or probe, its name). One set of incidents is proposed once, by the
    most telling key: who issued a certificate says less than a host, and a blind probe says most.
    """
    rank = {"probe": 0, "host": 1, "as": 2, "issuer": 3}
    by_key: dict[tuple[str, str], dict[int, int]] = {}
    for incident, client, what, name in keys:
        if client is not None and name and what in rank:
            by_key.setdefault((what, name), {})[incident] = client
    found: list[tuple[str, str, list[int]]] = []
    taken: set[frozenset[int]] = set()
    for (what, name), rows in sorted(by_key.items(), key=lambda e: (-len(e[1]), rank[e[0][0]], e[0][1])):
        if len(set(rows.values())) > 1 and frozenset(rows) not in taken:
            taken.add(frozenset(rows))
            found.append((what, name, sorted(rows)))
    return found
