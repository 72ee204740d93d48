"""What does a due step do? It tells its level, or records why nobody could be told, and says when the next is due.

In the escalator's transaction, which holds the alerts' and the runs' rows; lists, because a thousand alerts of a storm
are due in the same second. A person's channel is called at once for the first of a storm, the others are gathered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q

from alerts import calling, engine, facts, snapshot
from alerts.escalating import PAGING, climb_of, due_at
from alerts.models import Alert, Delivery, Destination, EscalationPolicy, Notice, Run, Step
from portal import bells, sets

FIRST = 1  # priority: above every other message but tests


def carry_out(runs: Sequence[Run], alerts: dict[int, Alert], *, at: datetime) -> int:
    """One due step of each run: tell its level, or record why nobody could be told. Both rows are held by the caller."""
    around = facts.around([alerts[run.alert_id] for run in runs])
    book = calling.open_book([_level(run) for run in runs], at)
    recent = _spoke(around, book, runs, at)
    notices: list[Notice] = []
    deliveries: list[Delivery] = []
    steps: list[Step] = []
    for run in runs:
        alert, climb = alerts[run.alert_id], climb_of(run)
        exhausted = run.step >= climb.steps
        pass_number, level = _place(run), _level(run)
        reached = calling.whom(level, around.of(alert, at), book, around, at)
        calls = reached.calls or (_already_called(run, around) if exhausted else [])
        if calls:
            alert.next_seq += 1
            notice = _notice(run, alert, at, around, exhausted)
            notices.append(notice)
            made = [_delivery(notice, run, alert, call, around, recent, at) for call in calls]
            deliveries += made
        if exhausted:
            run.status, run.ended_at, run.next_action_at = Run.Status.EXHAUSTED, at, None
            continue
        if calls:
            steps += [
                Step(
                    run=run, pass_number=pass_number, level=level["order"], destination_key=d.destination_key, delivery=d,
                    contact_name=call.contact_name, via=call.via[:200], at=at,
                )
                for call, d in zip(calls, made, strict=True)
            ]  # fmt: skip
        dead = bool(calls) and all(call.channel in book.ill for call in calls)
        if dead:
            reached.reasons.append("No channel of this level has delivered lately.")
        if reached.reasons:
            steps.append(
                Step(run=run, pass_number=pass_number, level=level["order"], reason=_sentence(reached.reasons), at=at)
            )
        on_at_once = dead or (not calls and run.snapshot["on_empty"] == EscalationPolicy.OnEmpty.NEXT)
        run.step, run.shifted_seconds = engine.after_step(
            climb, run.step, run.started_at, run.shifted_seconds, at, skipped=on_at_once
        )
        run.next_action_at = due_at(run)
    _supersede(deliveries, around, at)
    Notice.objects.bulk_create(notices)
    Delivery.objects.bulk_create(deliveries)
    Step.objects.bulk_create(steps)
    sets.write({run.alert_id: alerts[run.alert_id] for run in runs}.values(), ["next_seq"])
    sets.write(runs, ["status", "step", "shifted_seconds", "next_action_at", "ended_at"])
    if deliveries:
        bells.ring_on_commit(bells.SEND)
    return len(runs)


def _level(run: Run) -> dict[str, Any]:
    """The level of the run's next step; when there is none, the last: it hears that nobody answered."""
    climb = climb_of(run)
    number = climb.place(run.step)[1] if run.step < climb.steps else -1
    return run.snapshot["levels"][number]


def _place(run: Run) -> int:
    return climb_of(run).place(run.step)[0]


def _sentence(reasons: list[str]) -> str:
    text = " ".join(reasons)
    return text if len(text) <= 300 else text[:299] + "…"


def _already_called(run: Run, around: facts.Around) -> list[calling.Call]:
    """Whom the run has called so far: they hear that nobody answered when the last level has nobody."""
    rows = Step.objects.filter(run=run, delivery__isnull=False).select_related("delivery").order_by("pk")
    calls = {s.delivery.channel_id: calling.Call(s.delivery.channel_id, s.delivery.contact_id, s.contact_name, s.via, 0) for s in rows}  # fmt: skip
    return [call for channel, call in calls.items() if not around.usable.get(channel, "gone")]


def _notice(run: Run, alert: Alert, at: datetime, around: facts.Around, exhausted: bool) -> Notice:
    kind = Notice.Kind.EXHAUSTED if exhausted else Notice.Kind.ESCALATED
    notice = snapshot.notice(alert, kind, at, around.names)
    levels, climb = run.snapshot["levels"], climb_of(run)
    if exhausted:
        said = f"{run.policy_name}: nobody answered"
        cause = f"Nobody answered the escalation “{run.policy_name}”. {notice.snapshot['cause']}"
        notice.snapshot["cause"] = cause.strip()[:300]
    else:
        number, level = climb.place(run.step)
        said = f"{run.policy_name}: level {level + 1} of {len(levels)}"
        said += f", pass {number + 1} of {climb.passes}" if climb.passes > 1 else ""
    notice.snapshot["facts"].append(("Escalation", said))
    return notice


def _delivery(
    notice: Notice, run: Run, alert: Alert, call: calling.Call, around: facts.Around, recent: set[int], at: datetime
) -> Delivery:
    """One call's message. The first of a storm goes at once; others of the same window are gathered (SPEC RTE-7)."""
    gather = call.channel in recent and around.windows.get(call.channel, 0) > 0
    if around.windows.get(call.channel, 0) > 0:
        recent.add(call.channel)
    return Delivery(
        notice=notice, alert=alert, seq=notice.seq, kind=notice.kind, destination_key=f"channel:{call.channel}", channel_id=call.channel,
        contact_id=call.contact, client_id=alert.client_id, via=f"policy {run.policy_name}: {call.via}"[:200], priority=FIRST, only_while_open=True, gather=gather,
        next_attempt_at=at + timedelta(seconds=call.delay_seconds), created_at=at,
    )  # fmt: skip


def _spoke(around: facts.Around, book: calling.Book, runs: Sequence[Run], at: datetime) -> set[int]:
    """Channels that people read and that were called within their window already; the others' window begins now."""
    possible = {one["id"] for run in runs for one in _level(run)["channels"]}
    possible |= {way.channel for ways in book.ways.values() for way in ways}
    read = {c: around.windows[c] for c in possible if around.windows.get(c, 0) > 0}
    if not read:
        return set()
    since = at - timedelta(seconds=max(read.values()))
    rows = Delivery.objects.filter(channel__in=read, kind__in=PAGING, created_at__gt=since).order_by()
    return {c for c, when in rows.values_list("channel_id", "created_at") if when > at - timedelta(seconds=read[c])}


def _supersede(deliveries: Sequence[Delivery], around: facts.Around, at: datetime) -> None:
    """Each destination's window begins with its call; what waits there to be said later of the same alert is said by it.

    Order is kept per alert and destination: a message that waits for its delay or for a gathering would hold back the call.
    """
    now = [d for d in deliveries if d.next_attempt_at <= at]
    first = {d.destination_key for d in now if not d.gather and around.windows.get(d.channel_id, 0) > 0}
    for key in sorted(first):
        Destination.objects.update_or_create(key=key, defaults={"first_at": at, "gathered_at": None})
    pairs: dict[str, list[int]] = defaultdict(list)
    for d in now:
        pairs[d.destination_key].append(d.alert_id)
    said = Q(pk__in=[])
    for key, ids in pairs.items():
        said |= Q(destination_key=key, alert__in=ids)
    waiting = Delivery.objects.filter(said, state=Delivery.State.PENDING, attempt=0, next_attempt_at__gt=at)
    ids = list(waiting.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True)) if pairs else []
    Delivery.objects.filter(pk__in=ids).update(
        state=Delivery.State.EXPIRED, reason="The escalation said it sooner.", finished_at=at
    )
