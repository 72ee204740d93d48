"""Who wins when everybody acts at once? One incident, four hands, and what must hold whatever the order was."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

from alerts import acts
from alerts.models import Alert
from incidents import joining, services
from incidents.models import Incident, IncidentAlert, TimelineEntry, Update
from portal.audit import Actor
from portal.errors import Refused
from tests import cast
from tests.alerts.stage import failing as down
from tests.alerts.stage import later, tell, well
from tests.rig.abreast import abreast

HANDS = ("acknowledge", "acknowledge alert", "resolve", "update", "recover", "recover other", "join")


def race(seed: int, pause: timedelta) -> None:
    """Four hands, chosen by the seed, at the same moment; AssertionError names the seed."""
    chance = random.Random(seed)
    service, first = cast.service(name=f"Service {seed}"), 10_000 + seed * 10
    alert, _ = tell(down(first, service_id=service.pk), down(first + 1, service_id=service.pk))
    incident = Incident.objects.get(pk=alert.incident_id)
    people = [Actor(f"hand {n}") for n in range(4)]
    hands = chance.sample(HANDS, 4)
    acting: dict[str, Callable[[Actor], object]] = {
        "acknowledge": lambda by: services.acknowledge(incident, by=by, at=later(1)),
        "acknowledge alert": lambda by: acts.acknowledge(alert, by=by, at=later(1)),
        "resolve": lambda by: services.resolve(incident, by=by, at=later(1)),
        "update": lambda by: services.update(
            incident, status=chance.choice(["identified", "resolved"]), message="Seen", by=by, at=later(1)
        ),
        "recover": lambda by: tell(well(first, later(1))),
        "recover other": lambda by: tell(well(first + 1, later(1))),
        "join": lambda by: tell(down(first + 2, later(1), service_id=service.pk)),
    }

    def act(number: int) -> str:
        try:
            acting[hands[number]](people[number])
        except Refused as refusal:
            return str(refusal)
        return ""

    answers = dict(zip(hands, abreast(act, 4), strict=True))
    _holds(incident, answers, f"seed {seed}: {answers}")


def _holds(incident: Incident, answers: dict[str, str], story: str) -> None:
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
