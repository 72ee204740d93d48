"""Who would be told of such an alert now, and when; and who is called next by a run? Asked without storing anything.

The answer comes from the same pure rules that tell for real: holds, triggers, people's own ways, escalation. The simulator
asks it of a monitor, "Page on-call" of an incident that is not opened yet, the pages of runs that climb (SPEC RTE-4).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F

from alerts import calling, engine, escalating, facts, verdicts
from alerts.models import Alert, Channel, EscalationPolicy, Run
from portal.models import Contact
from portal.tenancy import Viewer


@dataclass(slots=True)
class Outlook:
    """`would_tell` as `GET /api/v1/simulate` writes it, the soonest first; `climbs`: the policies that take it up."""

    would_tell: list[dict[str, Any]] = field(default_factory=list)
    held_back: list[dict[str, str]] = field(default_factory=list)
    climbs: list[EscalationPolicy] = field(default_factory=list)


def outlook(
    alert: Alert,
    at: datetime,
    viewer: Viewer,
    *,
    flapping: bool = False,
    why: Callable[[str, int | bool, facts.Around], str] | None = None,
    also: Sequence[EscalationPolicy] = (),
    directly: Sequence[Mapping[str, Any]] = (),
) -> Outlook:
    """Of an unsaved alert: who hears of it how many seconds after it is opened, and what holds it back.

    `also`: policies that climb whatever their filters say; `directly`: levels (as `calling.picture` gives them) that are
    called besides. What belongs to others (staff's own channels and silences, to a client's person) is left out.
    """
    answer = Outlook()
    around = facts.around([alert])
    known = around.of(alert, at, flapping=flapping)
    for rule in engine.HOLD_BACK:
        found = rule(known)
        if found:
            said = why(rule.__name__, found, around) if why else reason_of(rule.__name__, found, around, viewer)
            answer.held_back.append({"rule": rule.__name__, "reason": said})
    plan = engine.route(known, around.rules, at, usable=around.usable, owners=around.owners)
    calls, missed, answer.climbs = _climbs(known, around, at, viewer, also, directly)
    if not answer.held_back:
        waits = _waits(alert, known, around, at, plan)
        lines = [
            {
                "at_seconds": t.delay_seconds, "channel": t.channel, "contact": t.contact, "via": t.via,
                "later_seconds": max(0, waits.get(t.channel, 0) - int(t.delay_seconds)),
            }
            for t in plan.told
        ]  # fmt: skip
        seen = [line for line in [*lines, *calls] if viewer.sees(around.owners.get(line["channel"]))]
        answer.would_tell = _named(sorted(seen, key=lambda line: (line["at_seconds"], line["channel"])))
    if viewer.sees_all:
        skipped = [
            (rule, reason)
            for rule, outcome, reason in plan.decisions
            if outcome == "skipped" or (outcome == "nobody" and not calls)
        ]
        answer.held_back += [{"rule": rule, "reason": reason} for rule, reason in [*skipped, *missed]]
    elif not answer.would_tell and not answer.held_back:
        reason = "None of your own triggers tells any of your channels of it."
        answer.held_back.append({"rule": "routing", "reason": reason})
    return answer


def _waits(alert: Alert, known: engine.Facts, around: facts.Around, at: datetime, plan: engine.Plan) -> dict[int, int]:
    """{channel: how many seconds later at most}, when the cause of such an alert is looked for."""
    if alert.source != "endpoint" or alert.condition != "health":
        return {}
    return verdicts.waits(around.rules, known, at, verdicts.seconds_of_triggers(), [t.channel for t in plan.told])


def _climbs(
    known: engine.Facts, around: facts.Around, at: datetime, viewer: Viewer, also: Sequence[EscalationPolicy], directly: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[tuple[str, str]], list[EscalationPolicy]]:  # fmt: skip
    """(who is called in the first pass, whom a level does not reach and why, the policies)."""
    named = escalating.attached({known.service} if known.service else set())
    found = escalating.policies({known.client})
    extra = {p.pk for p in also}
    taking = [p for p in found if p.pk in extra or escalating.takes_up(p, known, at, named)]
    ladders = [
        (p, f"policy {p.name}, level", [calling.picture(level) for level in p.levels.all()], p.on_empty) for p in taking
    ]
    if directly:
        ladders.append((None, "Page on-call, level", [dict(level) for level in directly], "next"))
    lines: list[dict[str, Any]] = []
    missed: list[tuple[str, str]] = []
    for policy, word, levels, on_empty in ladders:
        ours = policy is None or viewer.sees(policy.client_id)
        word = word if ours else "an escalation of our staff, level"
        skipped = 0.0  # a level that reaches nobody is passed over at once: what follows comes so much sooner
        for place, level in enumerate(levels):
            due = max(0.0, level["delay_seconds"] - skipped)
            when = at + timedelta(seconds=due)
            reached = calling.whom(level, known, calling.open_book([level], when), around, when)
            via = f"{word} {level['order']}"
            lines += [
                {"at_seconds": due + call.delay_seconds, "channel": call.channel, "contact": call.contact, "via": via}
                for call in reached.calls
            ]
            missed += [(via, reason) for reason in reached.reasons]
            if not reached.calls and on_empty == EscalationPolicy.OnEmpty.NEXT and place + 1 < len(levels):
                skipped = levels[place + 1]["delay_seconds"] - due
    return lines, missed, taking


def _named(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    channels = dict(Channel.objects.filter(pk__in={x["channel"] for x in lines}).values_list("pk", "name"))
    people = {x["contact"] for x in lines if x["contact"]}
    contacts = dict(Contact.objects.filter(pk__in=people).values_list("pk", "name"))
    return [
        {
            "at_seconds": int(x["at_seconds"]), "channel": x["channel"], "channel_name": channels.get(x["channel"], ""), "contact": x["contact"],
            "contact_name": contacts.get(x["contact"], "") if x["contact"] else None, "via": x["via"],
            "later_seconds": x.get("later_seconds", 0),
        }
        for x in lines
    ]  # fmt: skip


def reason_of(rule: str, found: int | bool, around: facts.Around, viewer: Viewer) -> str:
    """Why a rule holds it back, in words; of what belongs to others no more than that it does."""
    if rule == "silenced":
        silence = next((s for s in around.silences if s.pk == found), None)
        seen = silence is not None and viewer.sees(silence.client_id)
        return f"Silence {found}: {silence.reason}" if silence and seen else "A silence of our staff covers it."
    return {
        "in_maintenance": "It is being worked on: a maintenance window covers it.",
        "explained_by_parent": "What it depends on is down too.",
        "flapping": "It comes and goes; the flapping alert speaks for it.",
    }.get(rule, rule)


# --- Runs that climb ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Ahead:
    """A run's next step. `level` 0: everybody was called, and it is said that nobody answered."""

    at: datetime
    level: int
    pass_number: int
    whom: tuple[str, ...]
    reasons: tuple[str, ...] = ()


def ahead(runs: Iterable[Run], alerts: Mapping[int, Alert], at: datetime) -> dict[int, Ahead]:
    """{run: whom it calls next}, of those that climb; a constant number of queries. People as of `at`."""
    climbing = [r for r in runs if r.status == Run.Status.ACTIVE and r.next_action_at and r.alert_id in alerts]
    if not climbing:
        return {}
    around = facts.around(list({r.alert_id: alerts[r.alert_id] for r in climbing}.values()), triggers=False)
    places = {r.pk: escalating.climb_of(r).place(r.step) for r in climbing}
    over = {r.pk for r in climbing if r.step >= escalating.climb_of(r).steps}
    levels = {r.pk: r.snapshot["levels"][-1 if r.pk in over else places[r.pk][1]] for r in climbing}
    book = calling.open_book(levels.values(), at)
    found = {}
    for r in climbing:
        when = max(at, r.next_action_at)
        level = levels[r.pk]
        reached = calling.whom(level, around.of(alerts[r.alert_id], at), book, around, when)
        found[r.pk] = Ahead(
            r.next_action_at,
            0 if r.pk in over else level["order"],
            places[r.pk][0],
            tuple(dict.fromkeys(call.via for call in reached.calls)),
            tuple(reached.reasons),
        )
    return found


def climbing_for(alerts: Collection[Alert], viewer: Viewer) -> list[Run]:
    """Runs of these alerts that have not ended, of policies that the viewer may read; the next step first."""
    rows = Run.objects.for_user(viewer).filter(alert__in=[a.pk for a in alerts], ended_at=None)
    return list(rows.order_by(F("next_action_at").asc(nulls_last=True), "pk"))
