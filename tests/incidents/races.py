"""Who wins when everybody acts at once? One incident, four hands, and what must hold whatever the order was."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.db import connections

from alerts import acts
from alerts.models import Alert
from alerts.report import Report
from incidents import joining, services
from incidents.models import Incident, IncidentAlert, TimelineEntry, Update
from portal.audit import Actor
from portal.errors import Refused
from portal.models import Service
from tests import cast
from tests.alerts.stage import failing as down
from tests.alerts.stage import later, tell, well
from tests.rig.abreast import abreast

HANDS = ("acknowledge", "acknowledge alert", "resolve", "update", "recover", "recover other", "join")
STEPS = ("acknowledged", "update", "resolved")  # the entries of the timeline whose order a race decides
LONGEST_NAP = 0.006  # seconds; so that each of them is first at times


class Hands:
    """Four threads that stay, each with a connection of its own, so that thousands of races spend no time on connecting."""

    def __init__(self, count: int = 4) -> None:
        self.pools = [ThreadPoolExecutor(1) for _ in range(count)]

    def __enter__(self) -> Hands:
        return self

    def together(self, work: Callable[[int], str]) -> list[str]:
        """The answers of work(0), work(1), …, begun together; the first exception of any of them is raised."""
        start = threading.Barrier(len(self.pools))

        def one(number: int) -> str:
            start.wait(60)
            return work(number)

        return [f.result() for f in [pool.submit(one, n) for n, pool in enumerate(self.pools)]]

    def __exit__(self, *_: object) -> None:
        for pool in self.pools:
            pool.submit(connections.close_all).result()
            pool.shutdown()


@dataclass(frozen=True, slots=True)
class Race:
    """One incident of a service of its own, before its race: one or two alerts, by the seed."""

    seed: int
    chance: random.Random
    service: Service
    both: list[int]
    alert: Alert
    incident: Incident

    def recovers(self) -> list[Report]:
        """Everything that may have failed is well."""
        return [well(n, later(2)) for n in range(self.both[0], self.both[0] + 3)]


def prepare(seeds: Iterable[int]) -> list[Race]:
    """Many at once: what a thousand races have in common is written in one go."""
    begun = []
    for seed in seeds:
        chance, first = random.Random(seed), 10_000 + seed * 10
        both = [first, first + 1] if chance.random() < 0.5 else [first]
        begun.append((seed, chance, cast.service(name=f"Service {seed}"), both))
    tell(*[down(n, service_id=service.pk) for _, _, service, both in begun for n in both])
    firsts = [both[0] for _, _, _, both in begun]
    alerts = {a.monitor_id: a for a in Alert.objects.filter(monitor_id__in=firsts, resolved_at=None)}
    incidents = Incident.objects.in_bulk([a.incident_id for a in alerts.values()])
    return [Race(*one, alert=alerts[one[3][0]], incident=incidents[alerts[one[3][0]].incident_id]) for one in begun]


def run(one: Race, four: Hands) -> str:
    """Four hands, chosen by the seed, at the same moment; the order that stands. AssertionError names the seed."""
    incident, alert, first, chance = one.incident, one.alert, one.both[0], one.chance
    people = [Actor(f"hand {n}") for n in range(4)]
    hands = chance.sample([h for h in HANDS if h != "recover other" or len(one.both) > 1], 4)
    naps, status = [chance.random() * LONGEST_NAP for _ in hands], chance.choice(["identified", "resolved"])
    acting: dict[str, Callable[[Actor], object]] = {
        "acknowledge": lambda by: services.acknowledge(incident, by=by, at=later(1)),
        "acknowledge alert": lambda by: acts.acknowledge(alert, by=by, at=later(1)),
        "resolve": lambda by: services.resolve(incident, by=by, at=later(1)),
        "update": lambda by: services.update(incident, status=status, message="Seen", by=by, at=later(1)),
        "recover": lambda by: tell(well(first, later(1))),
        "recover other": lambda by: tell(well(first + 1, later(1))),
        "join": lambda by: tell(down(first + 2, later(1), service_id=one.service.pk)),
    }

    def act(number: int) -> str:
        time.sleep(naps[number])
        try:
            acting[hands[number]](people[number])
        except Refused as refusal:
            return str(refusal)
        return ""

    answers = dict(zip(hands, four.together(act), strict=True))
    return _holds(incident, answers, f"seed {one.seed}: {answers}")


def touched_afterwards(races: Iterable[Race]) -> list[str]:
    """Everything recovers: what had ended stays as it was left, everything else ends now. What does not hold, as sentences."""
    races = list(races)
    before = {
        i.pk: (i.resolved_at, i.resolved_by) for i in Incident.objects.filter(pk__in=[r.incident.pk for r in races])
    }
    tell(*[report for r in races for report in r.recovers()])
    after, found = Incident.objects.in_bulk(before), []
    for r in races:
        now, was = after[r.incident.pk], before[r.incident.pk]
        if (now.status, now.responder_status) != ("resolved", "resolved"):
            found.append(f"seed {r.seed}: {now.status}, {now.responder_status} although everything is well")
        elif was[0] is not None and was != (now.resolved_at, now.resolved_by):
            found.append(f"seed {r.seed}: the machine touched what {was[1]} had ended")
    return found


def _holds(incident: Incident, answers: dict[str, str], story: str) -> str:
    incident.refresh_from_db()
    entries = list(TimelineEntry.objects.filter(incident=incident).order_by("seq"))
    kinds = [e.kind for e in entries]
    assert [e.seq for e in entries] == list(range(1, len(entries) + 1)), story
    assert incident.next_seq == len(entries) + 1, story
    ends = [e for e in entries if e.kind == "resolved"]
    assert len(ends) == (1 if incident.resolved_at else 0), story
    assert len(ends) == Update.objects.filter(incident=incident, status="resolved").count(), story
    if ends:
        assert ends[0].by == incident.resolved_by, f"{story}: one resolved it, another signed"
        assert not {"acknowledged", "update"} & set(kinds[kinds.index("resolved") :]), f"{story}: {kinds}"
    if "resolve" in answers and not answers["resolve"]:
        assert incident.taken_over and incident.resolved_by.startswith("hand"), story
    assert kinds.count("acknowledged") <= 1, story
    if answers.get("acknowledge") == "" and not ends:
        late = Alert.objects.filter(incident_id=incident.pk, resolved_at=None, status="open").count()
        assert late <= kinds.count("joined"), f"{story}: an open alert of an acknowledged incident pages on"
    ended = ["resolved by the machine" if e.by == "Watchkeeper" else "resolved by hand" for e in ends]
    return " > ".join(ended[0] if k == "resolved" else k for k in kinds if k in STEPS) or "nothing"


def clash(seed: int, other: str) -> None:
    """A merge of one incident into another, and something else to the first, at the same moment."""
    number = 50_000 + seed * 10
    alert, second = tell(down(number), down(number + 1))
    a, b = (Incident.objects.get(pk=x.incident_id) for x in (alert, second))
    service = cast.service(name=f"Clash {seed} {other}") if other == "join" else None
    if service is not None:
        Incident.objects.filter(pk=a.pk).update(cause_key=f"service:{service.pk}")
    by = Actor("Ana")
    acting: dict[str, Callable[[], object]] = {
        "recover": lambda: tell(well(number, later(1))),
        "acknowledge": lambda: services.acknowledge(a, by=by, at=later(1)),
        "acknowledge alert": lambda: acts.acknowledge(alert, by=by, at=later(1)),
        "join": lambda: tell(down(number + 2, later(1), service_id=service.pk if service else None)),
        "merge back": lambda: joining.merge(b, a, by=by, at=later(1)),
    }
    hands = (lambda: joining.merge(a, b, by=by, at=later(1)), acting[other])

    def act(n: int) -> str:
        try:
            hands[n]()
        except Refused as refusal:
            return str(refusal)
        return ""

    answers = abreast(act, 2)
    story = f"seed {seed}, {other}: {answers}"
    for one in (a, b):
        one.refresh_from_db()
        entries = list(TimelineEntry.objects.filter(incident=one).order_by("seq"))
        assert [e.seq for e in entries] == list(range(1, len(entries) + 1)), story
        assert [e.kind for e in entries].count("resolved") == (1 if one.resolved_at else 0), story
        assert Update.objects.filter(incident=one, status="resolved").count() == (1 if one.resolved_at else 0), story
    linked = dict(IncidentAlert.objects.filter(incident__in=[a, b]).values_list("alert_id", "incident_id"))
    said = dict(Alert.objects.filter(pk__in=linked).values_list("pk", "incident_id"))
    assert linked == said, story
    merged = [(x, y) for x, y in ((a, b), (b, a)) if x.merged_into_id == y.pk]
    assert len(merged) <= 1, f"{story}: each into the other"
    for gone, stays in merged:
        assert not IncidentAlert.objects.filter(incident=gone).exists(), f"{story}: left behind"
        assert stays.resolved_at is None, story
    if other == "recover":
        assert a.resolved_at is not None, story
        assert bool(answers[0]) == (not merged), f"{story}: either the machine or the merge"
    if other == "merge back":
        assert sorted(map(bool, answers)) == [False, True], story
