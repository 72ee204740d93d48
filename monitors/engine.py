"""From results to state: what follows from what the probes saw? Pure: no database, no clock, no network.

Two steps. `observe` keeps one probe's streak after one more result and says when to look again. `decide` counts the
confirmed votes of all probes and says what state the monitor is in, and why. The same views give the same answer, in
whatever order their results came (SPEC STA-1..6).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

UNKNOWN, UP, DEGRADED, FAILING = 0, 1, 2, 3
RECHECK = timedelta(seconds=1)  # between the checks that confirm
STALE_INTERVALS, STALE_MARGIN = 2.0, timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Limits:
    """A monitor's thresholds. Times in seconds; a check is confirmed when its count and its seconds are both met."""

    interval: float = 60
    timeout: float = 10
    confirmation_count: int = 2
    confirmation_seconds: float = 0
    recovery_count: int = 1
    recovery_seconds: float = 0
    quorum: int = 1
    distinct_networks: bool = False
    one_shot: bool = False  # a passive kind (heartbeat, push, group): one signal is the whole truth


@dataclass(frozen=True, slots=True)
class View:
    """One monitor as one probe sees it. `status` is the last result's, `vote` the confirmed one."""

    probe: int
    network: str = ""
    status: int = UNKNOWN
    streak: int = 0
    since: datetime | None = None
    last_at: datetime | None = None
    vote: int = UNKNOWN
    error_class: str = ""
    message: str = ""
    stale: bool = False
    blind: bool = False
    resting: bool = False

    @property
    def votes(self) -> bool:
        """Does its word count? Stale, blind and resting probes abstain, and so does one that could not look."""
        return not (self.stale or self.blind or self.resting) and self.status != UNKNOWN and self.last_at is not None


# --- One probe, one more result ------------------------------------------------------------------------------------
def observe(view: View, status: int, at: datetime, *, error_class: str = "", message: str = "") -> View:
    """The view after one more result. A result that is not newer than the last changes nothing (late, or twice)."""
    if view.last_at is not None and at <= view.last_at:
        return view
    if status == view.status:
        return replace(view, streak=view.streak + 1, last_at=at, error_class=error_class, message=message, stale=False)
    if view.status == FAILING and status == DEGRADED and view.vote <= UP:
        # What failed was at least degraded: a target that is now one, now the other, is confirmed as the lesser evil.
        return replace(
            view,
            status=status,
            streak=view.streak + 1,
            last_at=at,
            error_class=error_class,
            message=message,
            stale=False,
        )
    return replace(
        view, status=status, streak=1, since=at, last_at=at, error_class=error_class, message=message, stale=False
    )


def confirmed(view: View, limits: Limits) -> int:
    """The vote that follows from the streak: it moves only when count and seconds are both met.

    Getting worse takes the confirmation's numbers, getting better the recovery's; a first result of health needs neither.
    """
    if view.status == UNKNOWN or view.status == view.vote or view.since is None or view.last_at is None:
        return view.vote
    if limits.one_shot:
        return view.status
    if view.vote == UNKNOWN and view.status == UP:
        return UP
    worse = view.status > max(view.vote, UP)
    count = limits.confirmation_count if worse else limits.recovery_count
    seconds = limits.confirmation_seconds if worse else limits.recovery_seconds
    lasted = (view.last_at - view.since).total_seconds()
    return view.status if view.streak >= count and lasted >= seconds else view.vote


def settled(view: View, limits: Limits) -> bool:
    """Can one more result like the last change nothing? Then nobody needs to look at it."""
    return view.status == UNKNOWN or confirmed(view, limits) == view.status


def next_due(view: View, limits: Limits, slot: datetime, at: datetime) -> datetime:
    """When to check again: in a second while something is to be confirmed, else at the next slot (missed slots are skipped)."""
    if not settled(view, limits) and not limits.one_shot:
        return at + RECHECK
    interval = timedelta(seconds=limits.interval)
    behind = at - slot
    return slot + interval * (behind // interval + 1) if behind >= interval else slot + interval


def first_slot(monitor: int, probe: int, interval: float, at: datetime) -> datetime:
    """A monitor's first due time: spread over the interval by a stable hash, so that load is flat."""
    spread = (monitor * 2654435761 + probe * 40503) % 1_000_003 / 1_000_003
    start = at.timestamp() // interval * interval
    due = start + spread * interval
    return datetime.fromtimestamp(due if due >= at.timestamp() else due + interval, at.tzinfo)


def is_stale(last_due: datetime, limits: Limits, at: datetime) -> bool:
    """Is a check overdue by so much that its last result no longer speaks for the present?"""
    return at - last_due > timedelta(seconds=limits.interval * STALE_INTERVALS + limits.timeout) + STALE_MARGIN


# --- All probes together ---------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Decision:
    """A monitor's state with its reason; `alarming` says whether an alert follows from it."""

    state: str
    reason: str
    alarming: bool = False
    first_failure_at: datetime | None = None
    error_class: str = ""
    message: str = ""
    bad: int = 0
    voters: int = 0


def count(views: Iterable[View], distinct: bool) -> int:
    """How many votes these are; with `distinct`, one per network (a probe without a network is its own)."""
    views = list(views)
    return len({v.network or f"probe {v.probe}" for v in views}) if distinct else len(views)


def decide(views: Sequence[View], limits: Limits, current: str) -> Decision:
    """The state that the votes give. The required number never shrinks to fit those who are left."""
    voters = [v for v in views if v.votes]
    bad = [v for v in voters if v.vote == FAILING]
    poor = [v for v in voters if v.vote == DEGRADED]
    n_voters, n_bad = count(voters, limits.distinct_networks), count(bad, limits.distinct_networks)
    n_poor = count(bad + poor, limits.distinct_networks)
    worst = max(bad or poor or voters, key=lambda v: (v.vote, v.streak), default=View(probe=0))

    def so(state: str, reason: str, *, alarming: bool = False, speaker: View = worst) -> Decision:
        since = min((v.since for v in bad or poor if v.since), default=None)
        return Decision(state, reason, alarming, since, speaker.error_class, speaker.message, n_bad, n_voters)

    if n_bad >= limits.quorum:
        return so("down", worst.message, alarming=True)
    if n_poor >= limits.quorum and poor:
        return so("degraded", poor[0].message, alarming=True, speaker=poor[0])
    if n_voters < limits.quorum:
        silent = not n_voters and all(v.status == UNKNOWN and not v.message for v in views)
        if not any(v.last_at for v in views) or (current == "pending" and silent):
            return so("pending", "Waiting for the first result.")
        why = next((v.message for v in views if v.status == UNKNOWN and v.message), "")
        return so("unknown", why or f"Too few probes can tell: {n_voters} of {limits.quorum} needed.")
    if bad or poor:
        seen = (
            f"{n_bad} of {n_voters} probes see a failure" if bad else f"{n_poor} of {n_voters} probes see it degraded"
        )
        return so("degraded", f"Routing observation: {seen}, {limits.quorum} needed.")
    if all(v.vote == UNKNOWN for v in voters):  # failing from the start, not yet confirmed
        return so(current if current not in ("paused", "maintenance") else "pending", "Confirming the first results.")
    return so("up", "")


def shown(decision: Decision, work: str | None) -> Decision:
    """What the monitor shows: the decision, or, while it is worked on, maintenance with what is being done as its reason."""
    return decision if work is None else replace(decision, state="maintenance", reason=work, first_failure_at=None)


# --- Flapping -----------------------------------------------------------------------------------------------------------
def flapping(changes: Sequence[datetime], limit: int, window_seconds: float, at: datetime, already: bool) -> bool:
    """More than `limit` changes within the window raise it; it ends when half the window passed without one. 0 = never."""
    if limit <= 0:
        return False
    if already:
        return any(at - c < timedelta(seconds=window_seconds / 2) for c in changes)
    return sum(at - c < timedelta(seconds=window_seconds) for c in changes) > limit


# --- The observer itself ---------------------------------------------------------------------------------------------------
BLIND_SHARE, BLIND_LEAST = 0.3, 5


def blind(*, failing: int, watched: int, anchors: int, anchors_ok: int, others_disagree: bool) -> str:
    """Why a probe's word should not count, or "" when it may.

    `failing` of `watched` monitors turned bad in this round. With anchors, fewer than half answering is proof enough
    of one's own trouble. Without, a sudden majority counts only when other probes see those monitors well.
    """
    if anchors:
        return f"Only {anchors_ok} of {anchors} anchors answer." if anchors_ok * 2 < anchors else ""
    sudden = failing >= BLIND_LEAST and failing > watched * BLIND_SHARE
    return (
        f"{failing} of {watched} monitors failed at once, and other probes see them well."
        if sudden and others_disagree
        else ""
    )


# --- Certificates (MON-6) -------------------------------------------------------------------------------------------------
CERTIFICATE_DAYS = (30, 14, 7, 3, 1)


def certificate_event(
    *, days_left: float, chain_error: str, hostname_ok: bool, thresholds: Sequence[int] = CERTIFICATE_DAYS
) -> tuple[str, str, str] | None:
    """(event, occasion, severity) of a certificate, or None when it is well.

    30 and 14 days left warn, 7, 3 and 1 are critical; each threshold is one occasion per certificate.
    """
    if days_left <= 0:
        return "expired", "expired", "critical"
    if not hostname_ok:
        return "hostname_mismatch", "hostname_mismatch", "critical"
    if chain_error:
        return "chain_invalid", "chain_invalid", "critical"
    crossed = [t for t in thresholds if days_left <= t]
    if not crossed:
        return None
    return "expiring", f"expiring:{min(crossed)}", "critical" if min(crossed) <= 7 else "warning"
