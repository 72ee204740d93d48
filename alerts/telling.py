"""Who is told of this occasion? Writes notices, decisions and deliveries for lists of alerts, in the caller's transaction.

Failures go through the hold-back rules and the triggers; recoveries only to those who were told, after it; what was not
told yet is dropped together with its recovery (SPEC RTE-4..8, DLV-1).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from alerts import engine, escalating, facts, snapshot, verdicts
from alerts.models import Alert, Decision, Delivery, Notice, Silence
from alerts.models.delivery import ENDED, TOLD
from portal import bells, sets

CHILD_GRACE = timedelta(seconds=15)  # after a parent's recovery a child gets this long to be seen well itself
PRIORITY = {"critical": 2, "warning": 4, "info": 6}


@dataclass(slots=True)
class Occasion:
    """One alert that people are to be told of."""

    alert: Alert
    kind: str
    at: datetime
    started_at: datetime | None = None
    flapping: bool = False
    not_before: datetime | None = None
    was: str = ""
    expects_verdict: bool = False  # a diagnosis runs: what is told may wait for the cause, as its triggers say

    @property
    def awaits_verdict(self) -> bool:
        return self.expects_verdict and self.alert.verdict is None


def tell_failures(occasions: Sequence[Occasion]) -> None:
    """Notices, decisions and deliveries of opened and raised alerts; held ones get their rows too, in state `held`."""
    if not occasions:
        return
    # A silence may have ended this second: what it held comes before what is told now.
    if raised := [o.alert for o in occasions if o.kind == Notice.Kind.RAISED]:
        reconsider(raised, at=occasions[0].at)
    alerts = [o.alert for o in occasions]
    around = facts.around(alerts)
    patience = verdicts.seconds_of_triggers() if any(o.awaits_verdict for o in occasions) else {}
    notices, changed = [], []
    for o in occasions:
        f = around.of(o.alert, o.at, flapping=o.flapping)
        reason, silence = engine.hold(f)
        if (o.alert.hold_reason, o.alert.held_by) != (reason, silence):
            o.alert.hold_reason, o.alert.held_by = reason, silence
        o.alert.next_seq += 1
        changed.append(o.alert)
        notices.append(
            (
                o,
                f,
                snapshot.notice(
                    o.alert, o.kind, o.at, around.names, started_at=o.started_at, was=o.was, not_before=o.not_before
                ),
            )
        )
    deliveries: list[Delivery] = []
    decisions: list[Decision] = []
    for o, f, notice in notices:
        plan = engine.route(f, around.rules, o.at, usable=around.usable, owners=around.owners)
        decisions += [
            Decision(notice=notice, rule=rule[:120], outcome=outcome, reason=reason[:300])
            for rule, outcome, reason in plan.decisions
        ]
        if o.alert.hold_reason:
            decisions.append(
                Decision(notice=notice, rule=o.alert.hold_reason, outcome="held", reason=around.why(o.alert)[:300])
            )
        rows = [_delivery(notice, o, told, around) for told in plan.told]
        if o.awaits_verdict and rows:
            waits = verdicts.waits(around.rules, f, o.at, patience, [row.channel_id for row in rows])
            decisions += verdicts.put_off(rows, notice, o.started_at or o.at, waits)
        deliveries += rows
    Notice.objects.bulk_create([n for _, _, n in notices])
    Delivery.objects.bulk_create(deliveries)
    decisions += _escalations(notices)
    Decision.objects.bulk_create(decisions)
    sets.write(changed, ["next_seq", "hold_reason", "held_by", "incident_id", "links"])
    hold_children([o.alert for o in occasions], at=occasions[0].at)
    bells.ring_on_commit(bells.SEND)


def _escalations(notices: Sequence[tuple[Occasion, engine.Facts, Notice]]) -> list[Decision]:
    """The policies that take these alerts up begin to climb; what to write of that. Runs of raised ones follow their holds."""
    starts = [escalating.Start(o.alert, f, o.at, _soonest(o), worse=bool(o.was)) for o, f, _ in notices]
    raised = [s for s, (o, _, _) in zip(starts, notices, strict=True) if o.kind == Notice.Kind.RAISED]
    if raised:
        escalating.pause([s.alert for s in raised if s.alert.hold_reason], at=raised[0].at)
        escalating.go_on([s for s in raised if not s.alert.hold_reason])
    runs = escalating.begin(starts)
    of = {o.alert.pk: notice for o, _, notice in notices}
    said = {
        run.pk: f"first level at {run.next_action_at:%H:%M:%S} UTC" if run.next_action_at else "paused" for run in runs
    }
    return [
        Decision(
            notice=of[run.alert_id], rule=f"policy {run.policy_name}"[:120], outcome="escalates", reason=said[run.pk]
        )
        for run in runs
    ]


def _soonest(o: Occasion) -> datetime:
    return max(o.at, o.not_before) if o.not_before else o.at


def _delivery(notice: Notice, o: Occasion, told: engine.Told, around: facts.Around) -> Delivery:
    held = o.alert.hold_reason
    silence, window = _holders(held, o.alert.held_by)
    return Delivery(
        notice=notice, alert=o.alert, seq=notice.seq, kind=notice.kind, destination_key=f"channel:{told.channel}", channel_id=told.channel,
        contact_id=told.contact, client_id=o.alert.client_id, via=told.via[:200], wants_recovery=told.wants_recovery,
        priority=PRIORITY[notice.severity], state=Delivery.State.HELD if held else Delivery.State.PENDING, hold_reason=held,
        silence_id=silence, window_id=window, only_while_open=told.delay_seconds > 0, gather=around.windows.get(told.channel, 0) > 0,
        remind_minutes=told.remind_minutes, next_attempt_at=_soonest(o) + timedelta(seconds=told.delay_seconds), created_at=o.at,
    )  # fmt: skip


def _holders(reason: str, held_by: int | None) -> tuple[int | None, int | None]:
    """(silence, maintenance window) behind a hold: `held_by` is the one or the other, as the reason says."""
    return (None, held_by) if reason == "in_maintenance" else (held_by, None)


def tell_recoveries(alerts: list[Alert], *, at: datetime, quiet: bool = False, by: str = "") -> None:
    """Drop what was not told; tell "recovered" to the destinations that were told, or are being told this moment."""
    rows = Delivery.objects.filter(alert__in=alerts).order_by("id").select_for_update(of=("self",)) if alerts else []
    per_alert: dict[int, list[Delivery]] = {a.pk: [] for a in alerts}
    for row in rows:
        per_alert[row.alert_id].append(row)
    dropped: list[Delivery] = []
    heard: list[tuple[Alert, dict[str, Delivery]]] = []
    for alert in alerts:
        told: dict[str, Delivery] = {}
        for row in per_alert[alert.pk]:
            untried = row.attempt == 0 or (row.kind in escalating.PAGING and row.ambiguous == 0)
            untouched = row.state == Delivery.State.HELD or (row.state == Delivery.State.PENDING and untried)
            if untouched:
                row.state, row.reason, row.finished_at = (
                    Delivery.State.EXPIRED,
                    "It recovered before this was sent.",
                    at,
                )
                dropped.append(row)
            elif row.state in TOLD or row.state in (Delivery.State.SENDING, Delivery.State.PENDING):
                told[row.destination_key] = row
            elif alert.source == "probe" and row.state == Delivery.State.FAILED:
                # That nobody could be told was part of it: our own line was dead. Now they hear from when to when.
                told.setdefault(row.destination_key, row)
        heard.append((alert, {k: d for k, d in told.items() if d.wants_recovery}))
    sets.write(dropped, ["state", "reason", "finished_at"])
    speaking = [(a, told) for a, told in heard if told and not quiet]
    if not speaking:
        return
    around = facts.around([a for a, _ in speaking])
    notices = []
    for alert, _ in speaking:
        alert.next_seq += 1
        notices.append(snapshot.notice(alert, Notice.Kind.RECOVERED, at, around.names, by=by))
    Notice.objects.bulk_create(notices)
    sets.write([a for a, _ in speaking], ["next_seq"])
    Delivery.objects.bulk_create(
        Delivery(
            notice=notice, alert=alert, seq=notice.seq, kind=notice.kind, destination_key=key, channel_id=before.channel_id, contact_id=before.contact_id,
            client_id=alert.client_id, via=before.via, priority=5, gather=around.windows.get(before.channel_id, 0) > 0, next_attempt_at=at, created_at=at,
        )
        for notice, (alert, told) in zip(notices, speaking, strict=True)
        for key, before in told.items()
        if not around.usable.get(before.channel_id, "gone")
    )  # fmt: skip
    bells.ring_on_commit(bells.SEND)


def hold_children(parents: list[Alert], *, at: datetime) -> int:
    """A parent has opened: its children's deliveries that nobody attempted yet are held, as it explains them."""
    entities = [p.entity for p in parents if p.condition == "health" and p.event != "degraded"]
    if not entities:
        return 0
    children = list(
        Alert.objects.filter(resolved_at=None, parent__in=entities, hold_reason="").order_by("pk").select_for_update()
    )
    return _hold(children, "explained_by_parent", None, at)


def _hold(alerts: list[Alert], reason: str, held_by: int | None, at: datetime) -> int:
    """Hold what was not attempted yet, and let escalation wait."""
    for alert in alerts:
        alert.hold_reason, alert.held_by = reason, held_by
    sets.write(alerts, ["hold_reason", "held_by"])
    escalating.pause(alerts, at=at)
    silence, window = _holders(reason, held_by)
    held = Delivery.objects.filter(alert__in=alerts, state=Delivery.State.PENDING, attempt=0)
    Decision.objects.bulk_create(
        Decision(notice_id=n, rule=reason, outcome="held", reason="")
        for n in held.values_list("notice_id", flat=True).distinct()
    )
    return held.update(state=Delivery.State.HELD, hold_reason=reason, silence_id=silence, window_id=window)


def release_children(parents: list[Alert], *, at: datetime) -> int:
    """A parent has closed, or is only degraded now: what it explained is looked at again, after a grace in which a child may recover as well."""
    entities = [p.entity for p in parents]
    children = list(
        Alert.objects.filter(resolved_at=None, parent__in=entities, hold_reason="explained_by_parent")
        .order_by("pk")
        .select_for_update()
    )
    return reconsider(children, at=at, not_before=at + CHILD_GRACE)


def release_flapping(ended: list[Alert], *, at: datetime) -> int:
    """It is calm again: what the flapping alert spoke for and is still wrong is told now."""
    calm = Q()
    for alert in ended:
        if alert.condition == "flapping":
            calm |= Q(entity_type=alert.entity_type, entity_id=alert.entity_id)
    if not calm:
        return 0
    return reconsider(
        list(Alert.objects.filter(calm, resolved_at=None, hold_reason="flapping").order_by("pk").select_for_update()),
        at=at,
    )


def reconsider(alerts: list[Alert], *, at: datetime, not_before: datetime | None = None) -> int:
    """Judge open alerts by the hold-back rules anew: hold what is now covered, release what no longer is. Returns how many changed."""
    alerts = [a for a in alerts if not a.is_resolved]
    if not alerts:
        return 0
    around, changed = facts.around(alerts), 0
    released: list[escalating.Start] = []
    for alert in alerts:
        f = around.of(alert, at, flapping=alert.hold_reason == "flapping" and facts.flapping_open(alert))
        reason, held_by = engine.hold(f)
        if (reason, held_by) == (alert.hold_reason, alert.held_by):
            continue
        changed += 1
        if reason:
            _hold([alert], reason, held_by, at)
            silence, window = _holders(reason, held_by)
            Delivery.objects.filter(alert=alert, state=Delivery.State.HELD).update(
                hold_reason=reason, silence_id=silence, window_id=window
            )
        else:
            alert.hold_reason, alert.held_by = "", None
            released.append(escalating.Start(alert, f, at, max(at, not_before) if not_before else at))
    if released:
        sets.write([s.alert for s in released], ["hold_reason", "held_by"])
        rows = Delivery.objects.filter(alert__in=[s.alert for s in released], state=Delivery.State.HELD)
        begins = released[0].begins_at
        undiagnosed = [s.alert for s in released if s.alert.verdict is None]
        recent = rows.filter(alert__in=undiagnosed, kind__in=verdicts.WAITING, created_at__gt=begins - verdicts.LONGEST)
        awaiting = verdicts.still_waiting(recent.select_related("notice"), begins)
        rows.update(state=Delivery.State.PENDING, hold_reason="", next_attempt_at=begins)
        sets.write(awaiting, ["next_attempt_at"])
        escalating.resume(released)
        bells.ring_on_commit(bells.SEND)
    return changed


def drop_delayed(alerts: list[Alert], *, at: datetime, reason: str) -> int:
    """Somebody took it: delayed messages that were not attempted are not sent any more, calls are not even tried again."""
    waiting = Delivery.objects.filter(alert__in=alerts, state__in=[Delivery.State.PENDING, Delivery.State.HELD])
    return waiting.filter(Q(attempt=0, only_while_open=True) | Q(kind__in=escalating.PAGING)).update(
        state=Delivery.State.EXPIRED, reason=reason, finished_at=at
    )


def end_silences(silences: Collection[int], *, at: datetime) -> int:
    """A silence "until recovered" is over when nothing that it holds is open any more. Returns how many ended."""
    if not silences:
        return 0
    holding = Alert.objects.filter(resolved_at=None, hold_reason="silenced", held_by__in=silences)
    open_still = holding.order_by().values("held_by")
    over = Silence.objects.filter(
        pk__in=silences, until_recovered=True, ends_at=None, cancelled_at=None, starts_at__lt=at
    )
    return over.exclude(pk__in=open_still).update(ends_at=at)


def is_ended(state: str) -> bool:
    """Will nothing more happen to a delivery of this state?"""
    return state in ENDED
