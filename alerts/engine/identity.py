"""One more report about an identity: what is it called, and is it news? (SPEC ALR-1, ALR-2)"""

from __future__ import annotations

RANK = {"info": 0, "warning": 1, "critical": 2}

TYPES: dict[tuple[str, str], str] = {
    ("endpoint", "consecutive_failure"): "monitor.down",
    ("endpoint", "degraded"): "monitor.degraded",
    ("endpoint", "flapping"): "monitor.flapping",
    ("heartbeat", "deadline_missed"): "heartbeat.missed",
    ("heartbeat", "exit_code_failure"): "heartbeat.failed",
    ("heartbeat", "flapping"): "monitor.flapping",
    ("certificate", "expiring"): "ssl.expiring",
    ("certificate", "expired"): "ssl.expired",
    ("certificate", "chain_invalid"): "ssl.invalid",
    ("certificate", "hostname_mismatch"): "ssl.invalid",
    ("domain", "expiring"): "domain.expiring",
    ("resource", "consecutive_failure"): "resource.down",
    ("resource", "flapping"): "monitor.flapping",
    ("container", "consecutive_failure"): "container.down",
    ("container", "flapping"): "monitor.flapping",
}


def wire_type(source: str, event: str) -> str:
    """The whole public name, as `monitor.down`."""
    return TYPES.get((source, event), f"{source}.{event}")


def recovery_type(source: str, event: str) -> str:
    """`monitor.recovery` for an endpoint, `<name>.resolved` for the rest."""
    return "monitor.recovery" if source == "endpoint" else f"{wire_type(source, event)}.resolved"


def last_word(type_: str) -> str:
    """`event` on the wire: the last word of the type."""
    return type_.rpartition(".")[2]


def react(*, open_severity: str | None, open_event: str | None, failing: bool, severity: str, event: str) -> str:
    """`open`, `raise`, `fall`, `repeat`, `resolve` or `nothing`.

    A raise (warning → critical, degraded → down) notifies again; a fall is silent; only being well resolves.
    """
    if open_severity is None:
        return "open" if failing else "nothing"
    if not failing:
        return "resolve"
    if RANK[severity] > RANK[open_severity] or (
        severity == open_severity and open_event == "degraded" and event != "degraded"
    ):
        return "raise"
    if RANK[severity] < RANK[open_severity] or event != open_event:
        return "fall"
    return "repeat"
