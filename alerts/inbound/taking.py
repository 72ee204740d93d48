"""What becomes of events that came in? Reports and acknowledgements, in one transaction; or, asked before, what would.

Order. PagerDuty's and mapped events carry no time of their own: the last word counts. Alertmanager's do. A "resolved" of
an episode that ended before the open one began is late and changes nothing. A "firing" of an episode whose "resolved" was
taken within the last minute is either late, or the same alert that fires again because its source was away: the two look
alike, so the sender is told to come again (503), which what is late never does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q

from alerts import acts, engine
from alerts.inbound import alertmanager, events, generic
from alerts.inbound.event import ACKNOWLEDGE, RESOLVE, TRIGGER, Event, fit, moment, text
from alerts.models import Alert, Integration
from alerts.report import Report, report
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import IdempotencyKey

SOURCE = ENTITY_TYPE = "external"
MOST_CONDITION, MOST_ENTITY = 80, 120
TRIES = 3
SETTLING = timedelta(seconds=60)  # so long a word may be under way and arrive after a later one
REMEMBERED_EVERY = timedelta(seconds=5)
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # for a report that is never made
LONGEST = timedelta(days=366)  # what began earlier is a clock that is wrong


@dataclass(slots=True)
class Taken:
    """What was done. `later`: keys whose "firing" cannot be told from a late one now; the sender is to repeat it."""

    opened: list[Alert] = field(default_factory=list)
    later: list[str] = field(default_factory=list)


def read(integration: Integration, body: Any) -> list[Event]:
    """The events of a body, as this integration reads it. Raises Invalid."""
    match integration.kind:
        case Integration.Kind.EVENTS:
            return events.read(body)
        case Integration.Kind.ALERTMANAGER:
            found = alertmanager.read(body)
            cut = alertmanager.left_out(body)
            if cut and found:
                remark = f"The sender left out {cut} alerts; raise max_alerts there."
                found[0] = replace(found[0], problems=(*found[0].problems, remark))
            return found
        case _:
            return generic.read(body, integration.mapping)


# --- For real ------------------------------------------------------------------------------------------------------------
def take(integration: Integration, found: Sequence[Event]) -> Taken:
    """Apply events in order. Repeats itself when another transaction opens the same alert at the same moment."""
    for left in reversed(range(TRIES)):
        try:
            with transaction.atomic():
                taken = _take(integration, found, database_now())
        except IntegrityError:
            if not left:
                raise
        else:
            remember(integration, problem=" ".join(dict.fromkeys(p for e in found for p in e.problems)))
            return taken
    raise AssertionError("unreachable")


def _take(integration: Integration, found: Sequence[Event], at: datetime) -> Taken:
    by, taken = Actor(f"{integration.name} (integration)"[:200]), Taken()
    timed = [e for e in found if e.starts_at is not None]
    over = _ended(integration, [e.key for e in timed], at) if timed else {}
    if any(e.action == RESOLVE for e in timed):
        open_ = open_alerts(integration, [e.key for e in timed if e.action == RESOLVE])
    else:
        open_ = {}
    waiting: list[Report] = []
    ended: dict[str, datetime] = {}
    for event in found:
        if event.action == ACKNOWLEDGE:
            taken.opened += report(waiting, by=by)
            waiting = []
            _acknowledge(integration, event, by, at)
            continue
        if _is_late(event, over, open_):
            if event.action == TRIGGER:
                taken.later.append(event.key)
            continue
        if event.action == RESOLVE and event.starts_at is not None:
            ended[event.key] = event.ends_at or at
        waiting.append(report_of(integration, event, at))
    taken.opened += report(waiting, by=by)
    if ended:
        _remember_ends(integration, ended, at)
    return taken


def _acknowledge(integration: Integration, event: Event, by: Actor, at: datetime) -> None:
    """Somebody has it, over there. What is not open (any more) needs nobody."""
    alert = open_alerts(integration, [event.key]).get(event.key)
    if alert is None:
        return
    try:
        acts.acknowledge(alert, by=by, at=at, name=integration.name)
    except Refused:
        pass  # resolved at this very moment


def _is_late(event: Event, over: dict[str, datetime], open_: dict[str, Alert]) -> bool:
    if event.starts_at is None:
        return False
    if event.action == TRIGGER:
        return event.key in over and event.starts_at < over[event.key]
    alert = open_.get(event.key)
    began = moment(alert.evidence.get("starts_at")) if alert else None
    return began is not None and event.ends_at is not None and event.ends_at < began


# The ends of episodes are kept with the answers that are kept for repeated requests: both are forgotten after a day.
def _place(integration: Integration) -> str:
    return f"inbound:{integration.pk}"


def _ended(integration: Integration, keys: Sequence[str], at: datetime) -> dict[str, datetime]:
    """Key → end, of the episodes whose end was heard of within the last minute."""
    names = {fit(key, 100): key for key in keys}
    found: dict[str, datetime] = {}
    for row in IdempotencyKey.objects.filter(token=_place(integration), key__in=names):
        heard, end = (moment((row.response or {}).get(name)) for name in ("heard_at", "ended_at"))
        if heard is not None and end is not None and heard > at - SETTLING:
            found[names[row.key]] = end
    return found


def _remember_ends(integration: Integration, ended: dict[str, datetime], at: datetime) -> None:
    rows = [
        IdempotencyKey(
            token=_place(integration), key=name, status=200, response={"ended_at": end.isoformat(), "heard_at": at.isoformat()}
        )
        for name, end in sorted({fit(key, 100): end for key, end in ended.items()}.items())
    ]  # fmt: skip
    IdempotencyKey.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["token", "key"], update_fields=["response", "created_at"]
    )


def remember(integration: Integration, *, problem: str) -> None:
    """When it was last heard of, and what was odd about it; written at most every few seconds unless the problem is another."""
    at, problem = database_now(), text(problem, 300)
    stale = Q(last_event_at=None) | Q(last_event_at__lt=at - REMEMBERED_EVERY) | ~Q(last_problem=problem)
    Integration.objects.filter(stale, pk=integration.pk).update(last_event_at=at, last_problem=problem)


# --- Names ----------------------------------------------------------------------------------------------------------------
def condition_of(key: str) -> str:
    """What the alert is about, in so many characters as there is room for."""
    return fit(key, MOST_CONDITION)


def entity_of(integration: Integration, key: str) -> str:
    """`<integration>:<key>`: two integrations never share an alert."""
    prefix = f"{integration.pk}:"
    return prefix + fit(key, MOST_ENTITY - len(prefix))


def report_of(integration: Integration, event: Event, at: datetime) -> Report:
    """The event as the alerts' own door takes it."""
    evidence: dict[str, Any] = dict(event.about)
    if event.links:
        evidence["link"] = event.links[0][0]
        evidence["links"] = [{"href": address, "text": said} for address, said in event.links]
    if event.starts_at is not None:
        evidence["starts_at"] = event.starts_at.isoformat()
    evidence["integration"] = integration.name
    return Report(
        source=SOURCE, condition=condition_of(event.key), event=event.word, entity_type=ENTITY_TYPE, entity_id=entity_of(integration, event.key),
        entity_name=event.entity or event.title or text(event.key, 200), failing=event.action == TRIGGER, at=at, severity=event.severity, title=event.title,
        message=event.message or event.title, client_id=integration.client_id, site_id=integration.site_id, service_id=integration.service_id,
        tags=list(dict.fromkeys([*(t.lower() for t in integration.tags), *event.tags])), evidence=evidence, started_at=_began(event, at),
    )  # fmt: skip


def _began(event: Event, at: datetime) -> datetime | None:
    """When it began over there, as far as that can be true."""
    began = event.starts_at
    return began if began is not None and at - LONGEST < began <= at else None


def open_alerts(integration: Integration, keys: Sequence[str]) -> dict[str, Alert]:
    """Key → its open alert."""
    names = {(condition_of(key), entity_of(integration, key)): key for key in keys}
    rows = Alert.objects.filter(
        source=SOURCE, entity_type=ENTITY_TYPE, resolved_at=None, entity_id__in={entity for _, entity in names}
    )
    return {names[name]: a for a in rows if (name := (a.condition, a.entity_id)) in names}


# --- Before it is real -----------------------------------------------------------------------------------------------------
def would(integration: Integration, found: Sequence[Event]) -> list[dict[str, Any]]:
    """What would happen, event by event, without doing it. The integration need not be saved."""
    known = open_alerts(integration, [e.key for e in found]) if integration.pk else {}
    return [_would(event, known.get(event.key), integration) for event in found]


def _would(event: Event, alert: Alert | None, integration: Integration) -> dict[str, Any]:
    r = report_of(integration, event, EPOCH)
    verb = engine.react(
        open_severity=alert.severity if alert else None, open_event=alert.event if alert else None, failing=r.failing, severity=r.severity, event=r.event,
    )  # fmt: skip
    if event.action == ACKNOWLEDGE:
        verb = "acknowledge" if alert else "nothing"
    number = f"alert {alert.pk}" if alert else ""
    sentence = {
        "open": "It would open a new alert.",
        "raise": f"It would raise {number} and tell of it again.",
        "fall": f"It would lower {number} without telling anybody.",
        "repeat": f"It would bring {number} up to date without telling anybody again.",
        "resolve": f"It would resolve {number}.",
        "acknowledge": f"It would acknowledge {number}.",
        "nothing": "Nothing would happen: no open alert has this key.",
    }[verb]
    return {
        "action": event.action, "key": event.key, "type": engine.wire_type(SOURCE, event.word), "title": event.title, "message": event.message, "severity": event.severity,
        "entity": event.entity, "link": event.links[0][0] if event.links else "", "tags": r.tags, "would": verb, "sentence": sentence, "alert": alert.pk if alert else None,
        "problems": [*event.problems, *event.missing],
    }  # fmt: skip
