"""May it act? Pure: gates over facts, approvals counted, moves of a run, steps of trust. No database, no clock, no network.

Every gate answers with its numbers, all of them are always asked, and what is not known is a no (SPEC PLB-3).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

NEVER_UNLESS_NAMED: Final = (
    "transit",
    "probe",
    "unknown",
)  # layers that nobody can mend from here, or that nobody knows
LAYERS: Final = ("dns", "tls", "transit", "client_network", "server", "service", "application", "probe", "unknown")
HOUR: Final = timedelta(hours=1)


# --- Gates ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Limits:
    """A playbook's numbers. Times in seconds."""

    quorum: int
    verdict_layers: Sequence[str]
    min_confidence: float
    cooldown_seconds: int
    hourly_cap: int
    target_hourly_cap: int
    blast_radius: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at the moment of judging. None = it could not be learned, which is a no."""

    at: datetime
    alert_open: bool | None = None  # the alert it answers is not resolved
    state: str | None = None  # the monitor's: it has to be down or degraded
    regions_failing: int | None = None  # distinct networks of fresh, healthy probes with a confirmed failing vote
    regions_voting: int | None = None
    layer: str | None = None
    confidence: float | None = None
    acted_last: datetime | None = None  # by this playbook, or by any on one of its targets
    acted_last_known: bool = False
    acted_this_hour: int | None = None  # runs of this playbook that acted within the last 60 minutes
    target_acted_this_hour: Mapping[str, int] | None = None  # the same per target, over all playbooks
    busy_targets: Collection[str] | None = None  # those on which another run acts now
    brakes: Sequence[str] | None = None  # kill switches that are on, as sentences
    maintenance: str | None = None  # the window that covers it, "" when none does
    monitors_down: int | None = None  # of the same client, itself included
    denied_by: str | None = None  # who denied it for this incident, "" when nobody did
    own_doing: str | None = None  # the run that may itself have caused this alert, "" when none did


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate's answer."""

    gate: str
    passed: bool
    detail: str
    numbers: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As it is stored on the run."""
        return asdict(self)


UNSURE: Final = "This could not be found out, so it does not act."


def judge(f: Facts, limits: Limits) -> list[Gate]:
    """Every gate's answer, always in this order. It may act only when all have passed."""
    return [
        _brakes(f), _failing(f), _quorum(f, limits), _verdict(f, limits), _cooldown(f, limits), _cap(f, limits), _target_cap(f, limits),
        _concurrency(f), _maintenance(f), _blast(f, limits), _denied(f), _chain(f),
    ]  # fmt: skip


def passed(gates: Sequence[Gate]) -> bool:
    """All of them, and there are some."""
    return bool(gates) and all(g.passed for g in gates)


def why_not(gates: Sequence[Gate]) -> str:
    """The first refusal, as a sentence; "" when all passed."""
    return next((g.detail for g in gates if not g.passed), "")


def capped(gates: Sequence[Gate]) -> bool:
    """Would it act, were it not for its cooldown or its caps? Then people have to look."""
    held = {g.gate for g in gates if not g.passed}
    return bool(held) and held <= {"cooldown", "cap", "target_cap"}


def _brakes(f: Facts) -> Gate:
    if f.brakes is None:
        return Gate("brakes", False, UNSURE)
    return Gate("brakes", not f.brakes, "; ".join(f.brakes) or "No kill switch is on.", {"on": len(f.brakes)})


def _failing(f: Facts) -> Gate:
    if f.alert_open is None or f.state is None:
        return Gate("still_failing", False, UNSURE)
    if not f.alert_open:
        return Gate(
            "still_failing", False, f"There is no open alert (any more); the monitor is {f.state}.", {"state": f.state}
        )
    ok = f.state in ("down", "degraded")
    return Gate("still_failing", ok, f"The monitor is {f.state}.", {"state": f.state})


def _quorum(f: Facts, limits: Limits) -> Gate:
    if f.regions_failing is None or f.regions_voting is None:
        return Gate("quorum", False, UNSURE, {"needed": limits.quorum})
    ok = f.regions_failing >= max(1, limits.quorum)
    said = f"{f.regions_failing} of {f.regions_voting} healthy regions see the failure, {limits.quorum} needed."
    return Gate("quorum", ok, said, {"failing": f.regions_failing, "voting": f.regions_voting, "needed": limits.quorum})


def layer_allowed(layer: str, layers: Sequence[str]) -> bool:
    """May it act on this layer? Transit, probe and unknown only where the playbook names them."""
    return layer in layers if layers else layer in LAYERS and layer not in NEVER_UNLESS_NAMED


def _verdict(f: Facts, limits: Limits) -> Gate:
    if f.layer is None or f.confidence is None:
        return Gate("verdict", False, "There is no verdict yet.")
    numbers = {
        "layer": f.layer,
        "confidence": f.confidence,
        "needed": limits.min_confidence,
        "layers": list(limits.verdict_layers),
    }
    if not layer_allowed(f.layer, limits.verdict_layers):
        wanted = ", ".join(limits.verdict_layers) or f"any but {', '.join(NEVER_UNLESS_NAMED)}"
        return Gate("verdict", False, f"The verdict says {f.layer}; this playbook acts on {wanted}.", numbers)
    ok = f.confidence >= limits.min_confidence
    said = f"The verdict says {f.layer} with confidence {f.confidence:.2f}, {limits.min_confidence:.2f} needed."
    return Gate("verdict", ok, said, numbers)


def _cooldown(f: Facts, limits: Limits) -> Gate:
    if not f.acted_last_known:
        return Gate("cooldown", False, UNSURE)
    if f.acted_last is None:
        return Gate("cooldown", True, "It has not acted here before.", {"seconds": limits.cooldown_seconds})
    ago = max(0, int((f.at - f.acted_last).total_seconds()))
    ok = f.at - f.acted_last >= timedelta(seconds=limits.cooldown_seconds)
    said = f"It acted {ago} s ago; the cooldown is {limits.cooldown_seconds} s."
    return Gate("cooldown", ok, said, {"seconds_ago": ago, "seconds": limits.cooldown_seconds})


def _cap(f: Facts, limits: Limits) -> Gate:
    if f.acted_this_hour is None:
        return Gate("cap", False, UNSURE)
    ok = f.acted_this_hour < limits.hourly_cap
    said = f"{f.acted_this_hour} of at most {limits.hourly_cap} runs this hour."
    return Gate("cap", ok, said, {"this_hour": f.acted_this_hour, "most": limits.hourly_cap})


def _target_cap(f: Facts, limits: Limits) -> Gate:
    if f.target_acted_this_hour is None:
        return Gate("target_cap", False, UNSURE)
    most = max(f.target_acted_this_hour.values(), default=0)
    ok = most < limits.target_hourly_cap
    said = f"{most} of at most {limits.target_hourly_cap} runs on the same target this hour."
    return Gate("target_cap", ok, said, {"this_hour": most, "most": limits.target_hourly_cap})


def _concurrency(f: Facts) -> Gate:
    if f.busy_targets is None:
        return Gate("concurrency", False, UNSURE)
    busy = sorted(f.busy_targets)
    return Gate("concurrency", not busy, f"Another run acts on {', '.join(busy)}." if busy else "No other run acts on its targets.", {"busy": len(busy)})  # fmt: skip


def _maintenance(f: Facts) -> Gate:
    if f.maintenance is None:
        return Gate("maintenance", False, UNSURE)
    return Gate(
        "maintenance", not f.maintenance, f"Maintenance: {f.maintenance}." if f.maintenance else "No maintenance."
    )


def _blast(f: Facts, limits: Limits) -> Gate:
    if f.monitors_down is None:
        return Gate("blast_radius", False, UNSURE)
    ok = f.monitors_down <= limits.blast_radius
    said = f"{f.monitors_down} of the client's monitors {'is' if f.monitors_down == 1 else 'are'} down, at most {limits.blast_radius} for this playbook to act."
    return Gate("blast_radius", ok, said, {"down": f.monitors_down, "most": limits.blast_radius})


def _denied(f: Facts) -> Gate:
    if f.denied_by is None:
        return Gate("not_denied", False, UNSURE)
    return Gate(
        "not_denied",
        not f.denied_by,
        f"{f.denied_by} denied it for this incident." if f.denied_by else "Nobody denied it.",
    )


def _chain(f: Facts) -> Gate:
    if f.own_doing is None:
        return Gate("chain", False, UNSURE)
    said = (
        f"{f.own_doing} may have caused this; an action never answers an action."
        if f.own_doing
        else "No action went before it."
    )
    return Gate("chain", not f.own_doing, said)


# --- Approvals ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Said:
    """One approver's word, on one plan."""

    user: int
    word: str  # approve, deny
    plan_hash: str


def tally(
    said: Sequence[Said], *, required: int, approvers: Collection[int], requester: int | None, plan_hash: str
) -> str:
    """ "denied", "approved" or "open". Words of strangers, of the requester and on another plan do not count."""
    counted = [s for s in said if s.user in approvers and s.user != requester and s.plan_hash == plan_hash]
    if any(s.word == "deny" for s in counted):
        return "denied"
    return "approved" if len({s.user for s in counted if s.word == "approve"}) >= max(1, required) else "open"


def enough_approvers(required: int, approvers: Collection[int], requester: int | None) -> bool:
    """Are there so many people who may agree at all?"""
    return len(set(approvers) - {requester}) >= max(1, required)


# --- Moves --------------------------------------------------------------------------------------------------------------
MOVES: Final[Mapping[str, frozenset[str]]] = {
    "blocked": frozenset({"dry_run", "awaiting_approval", "approved", "void", "denied"}),
    "awaiting_approval": frozenset({"approved", "denied", "expired", "void"}),
    "approved": frozenset({"running", "blocked", "void", "denied", "expired"}),
    "running": frozenset({"verifying", "failed", "rolled_back", "outcome_unknown"}),
    "verifying": frozenset({"succeeded", "failed", "rolled_back", "outcome_unknown"}),
}


def may_move(state: str, to: str) -> bool:
    """Is this a step that a run can take? What is not in the table has ended."""
    return to in MOVES.get(state, frozenset())


# --- Trust --------------------------------------------------------------------------------------------------------------
LADDER: Final = ("dry_run", "approval", "automatic")


def offered(mode: str, verified_in_a_row: int, trusted_after: int) -> str:
    """The next mode, when so many runs in a row were verified; "" otherwise. Only a person takes the offer."""
    place = LADDER.index(mode)
    return LADDER[place + 1] if place + 1 < len(LADDER) and verified_in_a_row >= trusted_after else ""


def demoted(mode: str) -> str:
    """The mode after a failed verification: one step down."""
    return LADDER[max(0, LADDER.index(mode) - 1)]
