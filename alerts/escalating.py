"""What do runs do while their alerts live? They begin, pause, climb, stop or end with nobody having answered.

Everything here writes rows within the caller's transaction, and the caller holds the alerts' rows: that is the first lock,
the run's row the second, the constraint `called_once_per_pass_and_level` the third line. An acknowledgement holds the same
row, so once it is committed no step starts.

A run begins with the alert it climbs for, for every policy that takes the alert up; paused when the alert is silenced,
snoozed or in maintenance, and not yet when a parent or the flapping alert speaks for it. An acknowledged alert starts no
run, unless it became worse: then it pages anew, as the one who took it took something lesser; acknowledging again stops it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from alerts import calling, engine, facts
from alerts.models import Alert, Delivery, EscalationPolicy, Notice, Run, ServiceRouting, Step
from portal import bells, sets

ESCALATE = "escalate"  # the escalator's bell
PAUSING = ("silenced", "snoozed", "in_maintenance")  # a run begins, and waits; for other holds it begins on release
PAGING = (Notice.Kind.ESCALATED, Notice.Kind.EXHAUSTED)
LOST = ("failed", "unknown", "expired")  # ended without proof of arrival: only an acknowledgement proves more


@dataclass(slots=True)
class Start:
    """An alert that policies may take up now, with its facts. `begins_at`: when its first level's delay starts to count."""

    alert: Alert
    facts: engine.Facts
    at: datetime
    begins_at: datetime
    worse: bool = False  # its severity rose: a policy that is through with it takes it up again


# --- Beginning ----------------------------------------------------------------------------------------------------------
def begin(starts: Sequence[Start]) -> list[Run]:
    """Runs of these alerts for every policy that takes them up and does not climb for them already."""
    wanted = [
        s
        for s in starts
        if (s.alert.status == Alert.Status.OPEN or (s.worse and not s.alert.is_resolved))
        and s.alert.hold_reason in ("", *PAUSING)
    ]
    found = policies({s.alert.client_id for s in wanted}) if wanted else []
    if not found:
        return []
    named = attached({s.alert.service_id for s in wanted if s.alert.service_id})
    earlier: dict[tuple[int, int | None], bool] = {}
    for alert_id, policy_id, ended in Run.objects.filter(alert__in=[s.alert for s in wanted]).values_list(
        "alert_id", "policy_id", "ended_at"
    ):
        earlier[alert_id, policy_id] = earlier.get((alert_id, policy_id), False) or ended is None
    runs = []
    for start in wanted:
        for policy in found:
            climbing = earlier.get((start.alert.pk, policy.pk))
            if (
                climbing
                or (climbing is False and not start.worse)
                or not takes_up(policy, start.facts, start.at, named)
            ):
                continue
            earlier[start.alert.pk, policy.pk] = True  # an alert may be opened and raised in one list
            runs.append(_new(policy, start))
    Run.objects.bulk_create(runs)
    if any(run.status == Run.Status.ACTIVE for run in runs):
        bells.ring_on_commit(ESCALATE)
    return runs


def policies(clients: Collection[int | None]) -> list[EscalationPolicy]:
    """The active policies that can concern these clients' alerts, with whom their levels name."""
    rows = EscalationPolicy.objects.filter(active=True).filter(
        Q(client=None) | Q(client__in=[c for c in clients if c is not None])
    )
    return list(rows.order_by("pk").prefetch_related("levels", *(f"levels__{name}" for name in calling.LISTS)))


def attached(services: Collection[int]) -> dict[int, int]:
    """{service: the policy it names}."""
    rows = ServiceRouting.objects.filter(service__in=services, policy__isnull=False) if services else ()
    return {row.service_id: row.policy_id for row in rows}


def takes_up(policy: EscalationPolicy, f: engine.Facts, at: datetime, named: dict[int, int]) -> bool:
    """Does this policy climb for such an alert?"""
    mine = f.service is not None and named.get(f.service) == policy.pk
    return bool(policy.levels.all()) and engine.climbs(
        rule(policy), f, at, attached=mine, attached_only=policy.attached_only
    )


def rule(policy: EscalationPolicy) -> engine.Rule:
    """A policy's filters as the engine sees them."""
    return engine.Rule(
        id=policy.pk, name=policy.name, client=policy.client_id, severities=engine.words(policy.filter_severities),
        sources=engine.words(policy.filter_sources), scopes=engine.words(policy.filter_scopes), tags=engine.words(policy.filter_tags),
    )  # fmt: skip


def _new(policy: EscalationPolicy, start: Start) -> Run:
    kept = {
        "levels": [calling.picture(level) for level in policy.levels.all()],
        "repeat_count": policy.repeat_count,
        "repeat_after_seconds": policy.repeat_after_seconds,
        "on_empty": policy.on_empty,
    }
    run = Run(
        policy=policy, policy_name=policy.name, alert=start.alert, client_id=start.alert.client_id, snapshot=kept, started_at=start.begins_at
    )  # fmt: skip
    if start.alert.hold_reason:
        run.status, run.paused_at = _pause_for(start.alert), start.begins_at
    else:
        run.next_action_at = engine.due_at(climb_of(run), 0, run.started_at, 0)
    return run


def climb_of(run: Run) -> engine.Climb:
    """The run's times, from its snapshot."""
    kept = run.snapshot
    return engine.Climb(
        tuple(level["delay_seconds"] for level in kept["levels"]), kept["repeat_count"], kept["repeat_after_seconds"]
    )


def due_at(run: Run) -> datetime:
    """When its next step is due, were it not paused."""
    return engine.due_at(climb_of(run), run.step, run.started_at, run.shifted_seconds)


# --- Pausing, going on, stopping --------------------------------------------------------------------------------------
def _pause_for(alert: Alert) -> str:
    return Run.Status.PAUSED_BY_MAINTENANCE if alert.hold_reason == "in_maintenance" else Run.Status.PAUSED_BY_SILENCE


def pause(alerts: Sequence[Alert], *, at: datetime) -> int:
    """These alerts are held: their runs wait. Returns how many were climbing."""
    paused = 0
    for status in (Run.Status.PAUSED_BY_MAINTENANCE, Run.Status.PAUSED_BY_SILENCE):
        held = [a.pk for a in alerts if _pause_for(a) == status]
        if not held:
            continue
        rows = Run.objects.filter(alert__in=held, ended_at=None)
        paused += rows.filter(status=Run.Status.ACTIVE).update(status=status, paused_at=at, next_action_at=None)
        rows.filter(status__startswith="paused").exclude(status=status).update(
            status=status
        )  # held by another rule now
    return paused


def resume(starts: Sequence[Start]) -> list[Run]:
    """These alerts are held no more: their runs go on, and those begin that had not begun yet."""
    return go_on(starts) + begin(as_told(starts))


def go_on(starts: Sequence[Start]) -> list[Run]:
    """Paused runs of these alerts climb again, later by as long as they waited."""
    runs = list(
        Run.objects.filter(alert__in=[s.alert for s in starts], status__startswith="paused")
        .order_by("pk")
        .select_for_update(of=("self",))
    )
    ends = {s.alert.pk: max(s.at, s.begins_at) for s in starts}
    for run in runs:
        if run.paused_at is not None:
            run.shifted_seconds = engine.resumed(run.shifted_seconds, run.paused_at, ends[run.alert_id])
        run.status, run.paused_at, run.next_action_at = Run.Status.ACTIVE, None, due_at(run)
    sets.write(runs, ["status", "paused_at", "shifted_seconds", "next_action_at"])
    if runs:
        bells.ring_on_commit(ESCALATE)
    return runs


def as_told(starts: Sequence[Start]) -> list[Start]:
    """The same, judged by the severity that people were (or are about to be) told: a silent fall changes nothing."""
    kinds = (Notice.Kind.OPENED, Notice.Kind.RAISED)
    rows = Notice.objects.filter(alert__in=[s.alert for s in starts], kind__in=kinds).order_by("seq")
    told = dict(rows.values_list("alert_id", "severity"))
    return [replace(s, facts=replace(s.facts, severity=told.get(s.alert.pk, s.facts.severity))) for s in starts]


def stop(alerts: Iterable[Alert], status: str, *, at: datetime) -> int:
    """These alerts' runs end; returns how many."""
    return Run.objects.filter(alert__in=list(alerts), ended_at=None).update(
        status=status, ended_at=at, next_action_at=None, paused_at=None
    )


def stop_policy(policy: EscalationPolicy, *, at: datetime) -> int:
    """A policy is switched off or goes: its runs end, what they were about to say is dropped. Locks their alerts itself."""
    lock(Alert.objects.filter(runs__policy=policy, runs__ended_at=None, resolved_at=None))
    rows = Run.objects.filter(policy=policy, ended_at=None)
    ids = list(rows.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))
    waiting = Delivery.objects.filter(steps__run__in=ids, state=Delivery.State.PENDING, attempt=0)
    Delivery.objects.filter(pk__in=list(waiting.values_list("pk", flat=True))).update(
        state=Delivery.State.EXPIRED, reason="Its escalation policy was switched off.", finished_at=at
    )
    return Run.objects.filter(pk__in=ids).update(
        status=Run.Status.STOPPED_BY_POLICY, ended_at=at, next_action_at=None, paused_at=None
    )


def lock(alerts: QuerySet[Alert]) -> list[Alert]:
    """These alerts' rows, in their order: the first lock of whoever changes runs."""
    pks = list(alerts.order_by("pk").values_list("pk", flat=True).distinct())
    return list(Alert.objects.filter(pk__in=pks).order_by("pk").select_for_update(of=("self",)))


def is_climbing(alert: Alert) -> bool:
    """Is anybody still to be called for it?"""
    return Run.objects.filter(alert=alert, ended_at=None).exists()


# --- What did not arrive ------------------------------------------------------------------------------------------------
def undelivered(deliveries: Sequence[Delivery], *, at: datetime) -> int:
    """These have ended without proof of arrival. Where that was the last of its level, the next level is due at once.

    The caller holds the alerts of these (and of what they carried). Returns how many runs moved.
    """
    ids = [d.pk for d in deliveries]
    hit = Step.objects.filter(
        Q(delivery__in=ids) | Q(delivery__carried_by__in=ids), run__status=Run.Status.ACTIVE
    ).order_by()
    places = set(hit.values_list("run_id", "pass_number", "level"))
    if not places:
        return 0
    runs = Run.objects.filter(pk__in={run for run, _, _ in places}, status=Run.Status.ACTIVE)
    moved = 0
    for run in runs.order_by("pk").select_for_update(of=("self",)):
        climb = climb_of(run)
        if run.step == 0 or run.step % len(climb.delays) == 0:
            continue  # nothing was called, or the next is another pass: that one keeps its time
        number, level = climb.place(run.step - 1)
        order = run.snapshot["levels"][level]["order"]
        if (run.pk, number, order) not in places or not _all_lost(run, number, order):
            continue
        Step.objects.get_or_create(
            run=run, pass_number=number, level=order, destination_key="",
            defaults={"reason": "Nothing of this level arrived; the next is called at once.", "at": at},
        )  # fmt: skip
        shift = engine.shift_to(climb, run.step, run.started_at, at)
        if shift < run.shifted_seconds:
            run.shifted_seconds, run.next_action_at = shift, at
            run.save(update_fields=["shifted_seconds", "next_action_at"])
            moved += 1
    if moved:
        bells.ring_on_commit(ESCALATE)
    return moved


def _all_lost(run: Run, pass_number: int, level: int) -> bool:
    rows = Step.objects.filter(run=run, pass_number=pass_number, level=level).exclude(destination_key="")
    for state, carrier in rows.values_list("delivery__state", "delivery__carried_by__state"):
        if (carrier if state == Delivery.State.GATHERED else state) not in (None, *LOST):
            return False
    return True


# --- Looking ----------------------------------------------------------------------------------------------------------
def exhausted_alerts() -> QuerySet[Alert]:
    """Open alerts that nobody answered although everybody was called: to be shown first. Narrow it with `for_user`."""
    runs = Run.objects.filter(alert=OuterRef("pk"))
    return Alert.objects.filter(Exists(runs.filter(status=Run.Status.EXHAUSTED)), status=Alert.Status.OPEN).exclude(
        Exists(runs.filter(ended_at=None))
    )


def foreseen(f: engine.Facts, at: datetime) -> list[dict[str, Any]]:
    """Who would be called when, were such an alert opened now and nobody answered: for the simulator, first pass only."""
    found = policies({f.client})
    named = attached({f.service} if f.service else set())
    taking = [p for p in found if takes_up(p, f, at, named)]
    around = facts.around([])
    lines: list[dict[str, Any]] = []
    for policy in taking:
        levels = [calling.picture(level) for level in policy.levels.all()]
        book = calling.open_book(levels, at)
        for level in levels:
            when = at + timedelta(seconds=level["delay_seconds"])
            for call in calling.whom(level, f, book, around, when).calls:
                lines.append(
                    {
                        "at_seconds": level["delay_seconds"] + call.delay_seconds, "channel": call.channel, "contact": call.contact,
                        "via": f"policy {policy.name}, level {level['order']}",
                    }
                )  # fmt: skip
    return sorted(lines, key=lambda line: line["at_seconds"])


def story(alert: Alert, viewer: Any = None) -> list[dict[str, Any]]:
    """What its runs did, in order: {at, kind, policy, run, text}. With a viewer: only of policies that they may read."""
    runs = Run.objects.for_user(viewer) if viewer is not None else Run.objects.all()
    told: list[dict[str, Any]] = []
    for run in runs.filter(alert=alert).prefetch_related("steps").order_by("pk"):
        about = {"policy": run.policy_name, "run": run.pk}
        told.append({"at": run.started_at, "kind": "began", **about, "text": f"{run.policy_name} began."})
        for (number, level), steps in _grouped(run.steps.all()).items():
            said = [s.via or s.contact_name for s in steps if s.destination_key] + [s.reason for s in steps if s.reason]
            again = f" (pass {number + 1})" if number else ""
            told.append(
                {"at": steps[0].at, "kind": "step", **about, "text": f"Level {level}{again}: {'; '.join(said)}"}
            )
        if run.paused_at is not None:
            told.append({"at": run.paused_at, "kind": "paused", **about, "text": f"{run.get_status_display()}."})
        if run.ended_at is not None:
            told.append({"at": run.ended_at, "kind": run.status, **about, "text": f"{run.get_status_display()}."})
    return sorted(told, key=lambda line: line["at"])


def _grouped(steps: Iterable[Step]) -> dict[tuple[int, int], list[Step]]:
    found: dict[tuple[int, int], list[Step]] = defaultdict(list)
    for step in steps:
        found[step.pass_number, step.level].append(step)
    return found
