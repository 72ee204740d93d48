"""Did the product keep its word? The invariants of delivery, over the database and the fake provider's record.

One checker for every scenario. It reads what is stored and what the provider heard, and names each row that breaks a
rule: I1 nothing lost, I2 bounded copies, I3 order, I4 an acknowledgement stops delayed messages, I5 nothing early,
I8 unknown is never down, I12 everything overdue starts soon after the fault has ended.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from alerts import channels, engine
from alerts.models import Alert, Attempt, Decision, Delivery, Notice
from alerts.models.delivery import ENDED
from alerts.outbox import LEASE
from monitors.models import Monitor, Result, StateChange
from tests.faults.scene import UNFINISHED
from tests.rig.calls import Call

MOST_COPIES = 2
# Seconds after the fault's end by which all overdue work has started: 15 on a machine that has nothing else to do
# (`make soak` insists), four times that where processes take long to start.
CONVERGED = float(os.environ.get("FAULTS_CONVERGED", "60"))
TOLERANCE = timedelta(seconds=0.5)
_CHANNEL = re.compile(r"channel (\d+)(?: after (\d+) min)?")
_ALERT = re.compile(r"/alerts/(\d+)/")
RECOVERED = ("recovered", "recovery")


@dataclass(slots=True)
class Verdict:
    """What the checker found. `problems` is empty when every invariant holds."""

    deliveries: int = 0
    lost: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    most_copies: int = 0  # visible copies of one delivery where the vendor has no key
    most_keyed: int = 0  # the same, raw, where the vendor folds them to one
    repeats: int = 0  # copies beyond the first, all channels
    unanswered: int = 0  # attempts without an answer in time: on a starved machine one is made once more for that
    unknown: int = 0  # ended "perhaps delivered"
    recovery: float = 0.0  # seconds from the fault's end to the start of the last overdue delivery

    @property
    def unprovoked(self) -> int:
        """Copies beyond the first that no missing answer explains."""
        return max(0, self.repeats - self.unanswered)

    def holds(self) -> None:
        """AssertionError that names what is broken."""
        assert not self.lost and not self.problems, "\n".join([*(f"lost: {x}" for x in self.lost), *self.problems][:40])

    def __str__(self) -> str:
        return (
            f"{self.deliveries} deliveries, {len(self.lost)} lost, most copies {self.most_copies} (keyed, raw {self.most_keyed}), "
            f"{self.repeats} repeats, {self.unknown} unknown, recovery {self.recovery:.1f} s, {len(self.problems)} problems"
        )


@dataclass(slots=True)
class Records:
    """Everything stored that the invariants speak of."""

    deliveries: dict[int, Delivery]
    notices: dict[int, Notice]
    alerts: dict[int, Alert]
    told: dict[int, dict[int, int]]  # notice -> channel -> delay in seconds
    attempts: dict[int, list[Attempt]]


def records() -> Records:
    """Read the database."""
    told: dict[int, dict[int, int]] = defaultdict(dict)
    for notice, reason in Decision.objects.filter(outcome="told").values_list("notice_id", "reason"):
        found = _CHANNEL.match(reason)
        if found:
            told[notice][int(found[1])] = 60 * int(found[2] or 0)
    attempts: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in Attempt.objects.order_by("n"):
        attempts[attempt.delivery_id].append(attempt)
    return Records(
        {d.pk: d for d in Delivery.objects.select_related("channel").order_by("pk")},
        Notice.objects.in_bulk(),
        Alert.objects.in_bulk(),
        told,
        attempts,
    )


def check(calls: Iterable[Call], *, ended_at: datetime | None = None) -> Verdict:
    """Every invariant. `ended_at`: when the fault was over, on the database's clock."""
    rows, verdict = records(), Verdict()
    verdict.deliveries = len(rows.deliveries)
    heard, strangers = hear(rows, calls)
    verdict.problems += strangers
    verdict.unanswered = sum(a.outcome == "ambiguous" for each in rows.attempts.values() for a in each)
    verdict.unknown = sum(d.state == "unknown" for d in rows.deliveries.values())
    nothing_lost(rows, heard, verdict)
    few_copies(rows, heard, verdict)
    in_order(rows, heard, verdict)
    acknowledged_stops(rows, verdict)
    nothing_early(rows, heard, verdict)
    unknown_is_not_down(verdict)
    if ended_at is not None:
        converged(rows, ended_at, verdict)
    return verdict


# What a message of this kind says in its first words; the others tell of the failure.
WORDS = {"recovered": "[Recovered]", "acknowledged": "[Acknowledged]"}


# --- What the provider heard, by delivery ------------------------------------------------------------------------------
def hear(rows: Records, calls: Iterable[Call]) -> tuple[dict[int, list[Call]], list[str]]:
    """The accepted calls of each delivery, in order of arrival; and calls that belong to none."""
    by_path = {_path(d): d.channel_id for d in rows.deliveries.values()}
    index = {(d.channel_id, d.alert_id, WORDS.get(d.kind, "")): d.pk for d in rows.deliveries.values() if d.alert_id}
    others: dict[int, list[int]] = defaultdict(list)  # messages about no alert: gathered ones, dead channels
    for d in rows.deliveries.values():
        if not d.alert_id:
            others[d.channel_id].append(d.pk)
    heard: dict[int, list[Call]] = defaultdict(list)
    strangers = []
    for call in calls:
        if not call.accepted:
            continue
        pk = _keyed(call) if "webhook-id" in call.headers else _plain(call, by_path.get(call.path), index, others, rows)
        if pk in rows.deliveries:
            heard[pk].append(call)
        else:
            strangers.append(f"the provider heard what nobody owed: {call.method} {call.path} {call.body[:200]!r}")
    return heard, strangers


def _path(d: Delivery) -> str:
    config = channels.join(d.channel.type, d.channel.config, d.channel.secrets.open())
    address = getattr(config, "url", None)
    text = address.get_secret_value() if address is not None else ""
    return "/" + text.partition("://")[2].partition("/")[2]


def _keyed(call: Call) -> int:
    return int(call.headers["webhook-id"].removeprefix("delivery-"))


def _plain(
    call: Call,
    channel: int | None,
    index: dict[tuple[int, int, str], int],
    others: dict[int, list[int]],
    rows: Records,
) -> int | None:
    """A Slack message names its alert in its link and its occasion in its first words."""
    if channel is None:
        return None
    body = call.json()
    text = str(body.get("text", ""))
    for pk in others[channel]:
        if str(rows.notices[rows.deliveries[pk].notice_id].snapshot["title"]) in text:
            return pk
    found = _ALERT.search(call.body.decode())
    said = next((word for word in WORDS.values() if word in text), "")
    return index.get((channel, int(found[1]), said)) if found else None


# --- The invariants ----------------------------------------------------------------------------------------------------
def nothing_lost(rows: Records, heard: dict[int, list[Call]], verdict: Verdict) -> None:
    """I1: one row for each occasion and channel that was to be told; each comes to a true end."""
    owed = {(d.notice_id, d.channel_id) for d in rows.deliveries.values()}
    for notice, wanted in rows.told.items():
        verdict.lost += [f"notice {notice} owes channel {c} a delivery" for c in wanted if (notice, c) not in owed]
    for notice in rows.notices.values():
        if notice.kind in ("opened", "raised") and notice.pk not in rows.told and not _nobody(notice):
            verdict.lost.append(f"notice {notice.pk} was never routed")
    for d in rows.deliveries.values():
        name = f"delivery {d.pk} ({d.channel.type}, {d.kind} of alert {d.alert_id})"
        if d.state in UNFINISHED:
            verdict.lost.append(f"{name} is still {d.state}")
        elif d.state not in ENDED:
            verdict.lost.append(f"{name} ended as {d.state}")
        elif d.state == "delivered" and not heard[d.pk]:
            verdict.lost.append(f"{name} counts as delivered, the provider never heard of it")
        elif d.state == "unknown" and not heard[d.pk] and not _fallback_told(rows, d):
            verdict.lost.append(f"{name} is unknown, never arrived, and nobody was told so")
        elif d.state in ("failed", "expired") and not d.reason:
            verdict.problems.append(f"I1: {name} {d.state} without a reason")
        elif d.state == "gathered" and d.carried_by_id not in rows.deliveries:
            verdict.lost.append(f"{name} is carried by nothing")


def _nobody(notice: Notice) -> bool:
    return notice.decisions.filter(outcome__in=["nobody", "skipped"]).exists()


def _fallback_told(rows: Records, lost: Delivery) -> bool:
    title = rows.notices[lost.notice_id].snapshot.get("title", "")
    return any(
        n.kind == "channel_dead" and [*n.snapshot["facts"]][1][1] == title
        for n in rows.notices.values()
        if n.kind == "channel_dead"
    )


def few_copies(rows: Records, heard: dict[int, list[Call]], verdict: Verdict) -> None:
    """I2: where nobody folds copies at most two are seen; where the vendor folds them, the key is always the same."""
    for pk, calls in heard.items():
        d, copies = rows.deliveries[pk], len(calls)
        verdict.repeats += copies - 1
        if channels.KINDS[d.channel.type].keyed:
            verdict.most_keyed = max(verdict.most_keyed, copies)
            continue
        verdict.most_copies = max(verdict.most_copies, copies)
        if copies > MOST_COPIES:
            verdict.problems.append(f"I2: delivery {pk} was seen {copies} times")
        doubtful = sum(a.outcome in ("lost", "ambiguous") for a in rows.attempts[pk])
        if copies > 1 + doubtful:
            verdict.problems.append(f"I2: delivery {pk} was seen {copies} times with {doubtful} doubtful attempts")


def in_order(rows: Records, heard: dict[int, list[Call]], verdict: Verdict) -> None:
    """I3: per alert and destination the provider never hears an older occasion after a newer one."""
    latest: dict[tuple[int, str], int] = {}
    arrivals = sorted(((c.instant, pk) for pk, calls in heard.items() for c in calls), key=lambda a: a[0])
    for _, pk in arrivals:
        d = rows.deliveries[pk]
        if not d.alert_id:
            continue
        key = (d.alert_id, d.destination_key)
        if d.seq < latest.get(key, 0):
            verdict.problems.append(
                f"I3: {d.destination_key} heard #{d.seq} of alert {d.alert_id} after #{latest[key]}"
            )
        latest[key] = max(d.seq, latest.get(key, 0))


def acknowledged_stops(rows: Records, verdict: Verdict) -> None:
    """I4: after an acknowledgement no delayed message starts (what was on its way may end within one lease)."""
    for d in rows.deliveries.values():
        alert = rows.alerts.get(d.alert_id or 0)
        if alert is None or alert.acknowledged_at is None or not d.only_while_open:
            continue
        late = [a for a in rows.attempts[d.pk] if began(a) > alert.acknowledged_at + LEASE]
        first = rows.attempts[d.pk][:1]
        if late or (first and began(first[0]) > alert.acknowledged_at + TOLERANCE):
            verdict.problems.append(f"I4: delivery {d.pk} began after alert {alert.pk} was acknowledged")


def nothing_early(rows: Records, heard: dict[int, list[Call]], verdict: Verdict) -> None:
    """I5: no delayed message before its delay, no further attempt before its rung of the ladder (the database's clock)."""
    for d in rows.deliveries.values():
        attempts = rows.attempts[d.pk]
        delay = rows.told.get(d.notice_id, {}).get(d.channel_id, 0)
        if (
            attempts
            and attempts[0].duration_ms is not None
            and began(attempts[0]) < d.created_at + timedelta(seconds=delay) - TOLERANCE
        ):
            verdict.problems.append(f"I5: delivery {d.pk} began before its delay of {delay} s")
        arrivals = heard.get(d.pk, [])
        if delay and arrivals and arrivals[0].at < d.created_at.timestamp() + delay - 0.5:
            verdict.problems.append(f"I5: delivery {d.pk} arrived before its delay of {delay} s")
        for before, after in zip(attempts, attempts[1:], strict=False):
            if (
                before.outcome not in ("retry", "ambiguous")
                or after.duration_ms is None
                or before.n >= len(engine.LADDER)
            ):
                continue
            if began(after) < before.at + timedelta(seconds=engine.LADDER[before.n]) - TOLERANCE:
                verdict.problems.append(f"I5: attempt {after.n} of delivery {d.pk} came before its time")


def began(attempt: Attempt) -> datetime:
    """When an attempt started, on the database's clock."""
    return attempt.at - timedelta(milliseconds=attempt.duration_ms or 0.0)


def unknown_is_not_down(verdict: Verdict) -> None:
    """I8: a monitor is down only after results that saw it fail; versions have no gaps; no check is kept twice."""
    changes: dict[int, list[StateChange]] = defaultdict(list)
    for change in StateChange.objects.order_by("monitor_id", "version"):
        changes[change.monitor_id].append(change)
    failed = dict(
        Result.objects.filter(status=3).order_by("-ts").values_list("monitor_id", "ts")
    )  # ends with the first
    for monitor in Monitor.objects.all():
        steps = changes[monitor.pk]
        if [s.version for s in steps] != list(range(1, monitor.state_version + 1)):
            verdict.problems.append(f"I8: monitor {monitor.pk} has versions {[s.version for s in steps]}")
        for step in steps:
            if step.to_state == "down" and (monitor.pk not in failed or failed[monitor.pk] > step.at + TOLERANCE):
                verdict.problems.append(
                    f"I8: monitor {monitor.pk} went down at {step.at:%H:%M:%S} without a failed check"
                )
        for before, after in zip(steps, steps[1:], strict=False):
            if before.to_state != after.from_state:
                verdict.problems.append(f"I8: monitor {monitor.pk} jumps from {before.to_state} to {after.from_state}")


def double_checks(least: timedelta) -> list[str]:
    """Steady monitors whose results stand closer together than `least`: a slot was checked twice."""
    found, last = [], {}
    for monitor, at, status in Result.objects.order_by("monitor_id", "ts").values_list("monitor_id", "ts", "status"):
        before = last.get(monitor)
        if before and at - before[0] < least and status == before[1] == 1:
            found.append(f"monitor {monitor} was checked at {before[0]:%H:%M:%S.%f} and again at {at:%H:%M:%S.%f}")
        last[monitor] = (at, status)
    return found


def converged(rows: Records, ended_at: datetime, verdict: Verdict) -> None:
    """I12: what was due when the fault ended has been started soon after."""
    for d in rows.deliveries.values():
        attempts = rows.attempts[d.pk]
        late = [a for a in attempts if began(a) > ended_at and a.outcome != "lost"]
        refused = any(a.outcome in ("retry", "ambiguous") for a in attempts if a not in late)  # waits for its rung
        if not late or d.created_at > ended_at or refused or rows.told.get(d.notice_id, {}).get(d.channel_id):
            continue
        verdict.recovery = max(verdict.recovery, (began(late[0]) - ended_at).total_seconds())
    if verdict.recovery > CONVERGED:
        verdict.problems.append(f"I12: the last overdue delivery began {verdict.recovery:.1f} s after the fault's end")


def slots_taken(names: Iterable[str]) -> Counter[str]:
    """How often each periodic job's slot was taken (the unique key allows each slot once)."""
    from portal.models import Slot

    return Counter(Slot.objects.filter(name__in=list(names)).values_list("name", flat=True))
