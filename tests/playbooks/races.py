"""Who wins when everybody acts at once? One run, people and workers at the same moment, and what must hold whatever the order was.

What a race leaves is read from its rows when a whole lot has been run: the timeline and the audit chain say which order stood.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import OperationalError, transaction

from alerts.models import Alert
from incidents.models import Incident, TimelineEntry
from monitors import evaluate, plans, prober, store
from monitors.checks.base import Outcome
from monitors.models import Monitor, Probe, ProbeState
from playbooks import beginning, deciding, engine, performing, proposing, records
from playbooks import plans as plans_of_runs
from playbooks.models import Approval, Mode, Playbook, Run, RunStep, RunTarget
from playbooks.models import Step as StepRow
from portal.clock import database_now
from portal.errors import Refused
from portal.models import AuditEntry, Client, User
from tests import cast
from tests.monitors import rows
from tests.monitors.seeing import OUTCOMES
from tests.playbooks import acting
from tests.playbooks.acting import Bell, says

LONGEST_NAP = 0.03  # seconds; so that each of them is first at times
# Two people's words and a worker's start take longer than what they are raced against: that comes later, to be second at times.
LATE = {"recover": 0.3}
WORKERS = 2  # try to carry it out afterwards
HANDS = {  # what four hands do; the seed shuffles them and gives each its nap
    "double approval": ("approve", "approve", "approve", "work"),
    "approve or deny": ("approve", "approve", "deny", "work"),
    "approve or recovery": ("approve", "approve", "recover", "work"),
    "approve or expiry": ("approve", "approve", "expire", "work"),
}


@dataclass(slots=True)
class Race:
    """One run that waits for people, and what everybody was answered."""

    kind: str
    seed: int
    chance: random.Random
    run: Run
    monitor: Monitor
    people: list[User]
    hands: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)

    @property
    def story(self) -> str:
        """What to look at when it went wrong."""
        return f"{self.kind}, seed {self.seed}: {list(zip(self.hands, self.answers, strict=False))}"


# --- Before a lot of races ----------------------------------------------------------------------------------------------
def watched(of: Client, count: int, **fields: Any) -> list[Monitor]:
    """Monitors of this client that two networks watch; the first is made through the door, the others are its copies."""
    known = [rows.probe(), rows.probe("paris", network="AS1")]
    first = rows.monitor(of, "m0", probes=known, quorum=2, **fields)
    names = [f.attname for f in Monitor._meta.concrete_fields if f.attname not in ("id", "uuid", "name")]
    copies = Monitor.objects.bulk_create(
        Monitor(name=f"m{n}", **{name: getattr(first, name) for name in names}) for n in range(1, count)
    )
    ProbeState.objects.bulk_create(
        ProbeState(monitor=m, probe=p, next_due_at=first.created_at) for m in copies for p in known
    )
    return [first, *copies]


def seen(monitors: Sequence[Monitor], letter: str, at: datetime) -> None:
    """All of their probes see them so, at this moment; what follows is judged."""
    status, message, error = OUTCOMES[letter]
    token = store.new_token()
    views = ProbeState.objects.filter(monitor__in=monitors)
    views.update(lease_token=token, lease_until=at + timedelta(seconds=20))
    known, plan = Probe.objects.in_bulk(), {m.pk: plans.plan_of(m) for m in monitors}
    done = [
        prober.made(
            store.Claim(row.pk, row.monitor_id, row.probe_id, token, min(row.next_due_at, at), evaluate.view_of(row, known[row.probe_id]), 1, {}),
            plan[row.monitor_id], Outcome(status, message, error, total_ms=20.0), at,
        )
        for row in views
    ]  # fmt: skip
    assert len(store.save(done)) == len(done)
    while evaluate.evaluate(at, only=[m.pk for m in monitors]):
        pass


def down(of: Client, count: int, **fields: Any) -> list[tuple[Monitor, Alert]]:
    """So many monitors were well a moment ago and are confirmed as down; the diagnosis has said why."""
    monitors, at = watched(of, count, **fields), database_now() - timedelta(seconds=5)
    for second, letter in enumerate("uff"):
        seen(monitors, letter, at + timedelta(seconds=second))
    alerts = Alert.objects.filter(monitor_id__in=[m.pk for m in monitors], condition="health", resolved_at=None)
    alerts.update(verdict={"summary": "It is the service.", "layer": "service", "confidence": 0.95})
    by_monitor = {a.monitor_id: a for a in alerts}
    return [(m, by_monitor[m.pk]) for m in Monitor.objects.filter(pk__in=by_monitor).order_by("pk")]


def prepare(kind: str, seeds: Collection[int]) -> list[Race]:
    """A run for each seed that waits for one or two of three people. Where nothing recovers they share one failure.

    One in ten is proposed by the product itself, letters and all; the others are its copies, which takes a tenth of the time.
    """
    people = [acting.approver(name) for name in ("bob", "carol", "dave")]
    of = cast.client(f"Client {kind} {min(seeds)}")
    failures = down(of, len(seeds) if kind == "approve or recovery" else 1)
    playbooks = Playbook.objects.bulk_create(
        Playbook(
            client=of, name=f"{kind} {seed}", mode=Mode.APPROVAL, blast_radius=1000,
            approvals_required=1 + random.Random(f"{kind} {seed}").randrange(2),
        )
        for seed in seeds
    )  # fmt: skip
    StepRow.objects.bulk_create(
        StepRow(playbook=p, order=1, kind=Bell.kind, config={"name": p.name, "behaves": "rings"}) for p in playbooks
    )
    named = Playbook.approvers.through
    named.objects.bulk_create(named(playbook=p, user=user) for p in playbooks for user in people)
    found: list[Race] = []
    with transaction.atomic():
        for n, (seed, playbook) in enumerate(zip(seeds, playbooks, strict=True)):
            monitor, alert = failures[n % len(failures)]
            if n % 10 == 0:
                run = proposing.propose(playbook, Alert.objects.get(pk=alert.pk), database_now())
                assert run.state == "awaiting_approval", run.reason
            else:
                run = _copy(found[-1].run, playbook, monitor, alert)
            run.expires_at = database_now() + timedelta(minutes=30, seconds=10 * n)  # none expires with those after it
            run.save()
            found.append(Race(kind, seed, random.Random(f"{kind} {seed}"), run, monitor, people))
        copies = [one.run for n, one in enumerate(found) if n % 10]
        RunStep.objects.bulk_create(RunStep(run=run, order=1, kind=Bell.kind) for run in copies)
        RunTarget.objects.bulk_create(RunTarget(run=run, key=f"{of.pk}/bell:{run.playbook_name}") for run in copies)
    return found


def _copy(run: Run, playbook: Playbook, monitor: Monitor, alert: Alert) -> Run:
    """A run of another playbook that waits as this one does, not yet saved."""
    names = [f.attname for f in Run._meta.concrete_fields if f.attname != "id"]
    new = Run(**{name: getattr(run, name) for name in names})
    new.playbook, new.playbook_name, new.approvals_required = playbook, playbook.name, playbook.approvals_required
    new.monitor, new.alert, new.incident_id = monitor, alert, alert.incident_id
    new.plan = plans_of_runs.of(playbook).entries
    new.plan_hash = plans_of_runs.digest_of(new)
    return new


# --- One race -------------------------------------------------------------------------------------------------------------
def work(pk: int, worker: str, at: datetime) -> str:
    """What a worker does with a run that may be approved: begin it, carry it out, and stop where it would wait for checks."""

    def rest(span: timedelta) -> None:
        raise performing.Stopped

    begun = beginning.begin(pk, worker, at)
    performer = performing.Performer(pk, worker, threading.Event())
    performer._rest = rest  # type: ignore[method-assign]
    performer.perform()
    return "begun" if begun is not None else ""


def race(one: Race, together: Callable[[Callable[[int], str]], list[str]], count: int = 4) -> None:
    """Everybody at the same moment, by the seed; then every one of them tries to carry out what was approved."""
    hands = list(HANDS[one.kind]) if count == 4 else ["approve"] * count
    one.chance.shuffle(hands)
    naps = [one.chance.random() * LATE.get(hand, LONGEST_NAP) for hand in hands]
    who = [one.chance.choice(one.people) for _ in hands]
    late = (one.run.expires_at or database_now()) + timedelta(seconds=1)
    later = [late if one.kind == "approve or expiry" and one.chance.random() < 0.3 else None for _ in hands]
    at_once = [one.chance.random() < 0.5 for _ in hands]  # the bell rings, and a worker is there

    def approve(n: int) -> str:
        agreed = says(one.run, who[n]).state == "approved"
        return work(one.run.pk, f"worker:{n}", later[n] or database_now()) if agreed and at_once[n] else ""

    doing: dict[str, Callable[[int], object]] = {
        "approve": approve,
        "deny": lambda n: says(one.run, who[n], "deny"),
        "recover": lambda n: seen([one.monitor], "u", database_now()),
        "expire": lambda n: deciding.expire(late),
        "work": lambda n: work(one.run.pk, f"worker:{n}", later[n] or database_now()),
    }

    def act(n: int) -> str:
        time.sleep(naps[n])
        try:
            answer = doing[hands[n]](n)
            return answer if isinstance(answer, str) else ""
        except Refused as refusal:
            return str(refusal)
        except OperationalError as error:  # two met in a ring: one of them was sent away with an error
            return f"ERROR {str(error).splitlines()[0]}"

    one.hands, one.answers = hands, together(act)
    one.answers += together(
        lambda n: work(one.run.pk, f"worker:{n}", later[n] or database_now()) if n < WORKERS else ""
    )


# --- After a lot of races -------------------------------------------------------------------------------------------------
def over(races: Sequence[Race]) -> None:
    """Everything recovers: what nobody decided is void, what acted is verified and ends. Their playbooks answer nothing any more."""
    still = list(Monitor.objects.filter(pk__in={r.monitor.pk for r in races}))
    seen(still, "u", database_now())
    for run in Run.objects.filter(pk__in=[r.run.pk for r in races], state="verifying"):
        performing.Performer(run.pk, run.claimed_by, threading.Event()).perform()
    StepRow.objects.filter(playbook__in=[r.run.playbook_id for r in races]).delete()


def violations(races: Sequence[Race], orders: dict[str, int]) -> list[str]:
    """What does not hold, as sentences; counts the orders that stood."""
    told = _by_run(TimelineEntry.objects.filter(incident__in={r.run.incident_id for r in races}).order_by("seq"))
    subjects = [f"run:{r.run.pk}" for r in races]
    audited: dict[str, list[str]] = {s: [] for s in subjects}
    for subject, action in (
        AuditEntry.objects.filter(subject__in=subjects).order_by("seq").values_list("subject", "action")
    ):
        audited[subject].append(action)
    words: dict[int, list[Approval]] = {r.run.pk: [] for r in races}
    for word in Approval.objects.filter(run__in=words).order_by("pk"):
        words[word.run_id].append(word)
    now, found = Run.objects.in_bulk(words), []
    busy = set(RunTarget.objects.filter(run__in=words, active=True).values_list("run_id", flat=True))
    asked = set(
        Alert.objects.filter(
            source="playbook", condition=records.APPROVAL, resolved_at=None, entity_id__in=[str(pk) for pk in words]
        ).values_list("entity_id", flat=True)
    )
    for one in races:
        run = now[one.run.pk]
        path = told.get(run.pk, [])
        order = " > ".join(state for state in path if state != "awaiting_approval")
        orders[order] = orders.get(order, 0) + 1
        wrong = [*_held(one, run, path, words[run.pk]), *_same_story(run, path, audited[f"run:{run.pk}"])]
        wrong += ["still holds its target"] * (run.pk in busy) + ["people are still asked"] * (str(run.pk) in asked)
        found += [f"{one.story}: {path}: {sentence}" for sentence in wrong]
    return found


def _held(one: Race, run: Run, path: list[str], words: list[Approval]) -> Iterable[str]:
    rung = sum(heard.startswith(f"{run.pk}.") for heard in list(Bell.heard))
    yes = {w.user_id for w in words if w.word == "approve" and w.plan_hash == run.plan_hash}
    if rung > 1:
        yield f"it was done {rung} times"
    if not rung == path.count("running") == one.answers.count("begun"):
        yield f"done {rung} times, begun {path.count('running')} times"
    if rung and len(yes & set(run.approver_ids)) < run.approvals_required:
        yield "it acted without enough approvals"
    if rung and any(w.word == "deny" for w in words):
        yield "it acted although somebody denied it"
    if rung and (run.acted_at is None or run.expires_at is None or run.acted_at >= run.expires_at):
        yield "it acted after its time"
    if "recovered" in path and "running" in path and path.index("recovered") < path.index("running"):
        yield "it acted after it had recovered"
    if any(h == "deny" and not a for h, a in zip(one.hands, one.answers, strict=False)) and run.state != "denied":
        yield "a denial was taken and did not stand"
    yield from (answer for answer in one.answers if answer.startswith("ERROR"))


def _same_story(run: Run, path: list[str], audited: list[str]) -> Iterable[str]:
    """Timeline, audit chain and row tell the same, and each step of it is one that a run can take."""
    states = [state for state in path if state not in ("recovered", "awaiting_approval")]
    if any(not engine.may_move(a, b) for a, b in zip(["awaiting_approval", *states], states, strict=False)):
        yield "it took a step that no run can take"
    if run.state not in records.ENDED or (states and states[-1] != run.state):
        yield f"its row says {run.state}"
    told = [a.removeprefix("playbook.run.") for a in audited if a.startswith("playbook.run.")]
    if [state for state in told if state != "awaiting_approval"] != states:
        yield f"the audit chain tells something else: {audited}"


def _by_run(entries: Iterable[TimelineEntry]) -> dict[int, list[str]]:
    """{run: its states in order, and where its monitor recovered among them}. AssertionError for a torn timeline."""
    by_incident: dict[int, list[TimelineEntry]] = {}
    for entry in entries:
        by_incident.setdefault(entry.incident_id, []).append(entry)
    found: dict[int, list[str]] = {}
    for incident, mine in by_incident.items():
        assert [e.seq for e in mine] == list(range(1, len(mine) + 1)), f"incident {incident}: {[e.seq for e in mine]}"
        assert Incident.objects.get(pk=incident).next_seq == len(mine) + 1
        here = {e.data["run"] for e in mine if "run" in e.data}
        for entry in mine:
            if entry.kind == "alert_resolved":
                for run in here:
                    found.setdefault(run, []).append("recovered")
            elif entry.kind == "playbook" and "state" in entry.data and "step" not in entry.data:
                found.setdefault(entry.data["run"], []).append(entry.data["state"])
    return found
