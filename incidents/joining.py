"""Are these one problem or two? Incidents are merged, alerts move to another incident, or are taken out into a new one.

Nobody is paged by any of this: alerts keep their status, deliveries and escalation. Only where the incident that carries on
is somebody's already, the alerts that come to it are theirs too. Both timelines say what moved, so that it can be undone.

Everybody locks in one order: open alerts by id, then incidents by id. An alert that joins in between is found afterwards,
and the whole is begun anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeVar

from django.db import transaction

from alerts import acts
from alerts.models import Alert
from incidents import engine, services
from incidents.models import Incident, IncidentAlert, Update
from incidents.services import note
from incidents.signals import incident_changed
from portal import audit, sets
from portal.audit import Actor
from portal.errors import Refused

T = TypeVar("T")
TRIES = 5
STATUS, RESPONDER = Incident.Status, Incident.Responder


class _JoinedMeanwhileError(Exception):
    """An alert came in while the incidents were waited for."""


def _anew(act: Callable[[], T]) -> T:
    """Do it in a transaction; from the beginning when an alert joined meanwhile, so that the order of locks holds."""
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                return act()
        except _JoinedMeanwhileError:
            continue
    raise Refused("Alerts are coming in at this moment; try again.")


def _hold(incidents: Iterable[int], alerts: Iterable[int] = ()) -> tuple[dict[int, Alert], dict[int, Incident]]:
    """Lock these incidents with their open alerts (and these alerts); ({id: alert}, {id: incident})."""
    wanted = sorted(set(incidents))
    rows = Alert.objects.filter(resolved_at=None, incident_link__incident__in=wanted)
    ids = {*rows.values_list("pk", flat=True), *alerts}
    held = {a.pk: a for a in Alert.objects.filter(pk__in=ids).order_by("pk").select_for_update(of=("self",))}
    found = {i.pk: i for i in Incident.objects.filter(pk__in=wanted).order_by("pk").select_for_update(of=("self",))}
    if rows.exclude(pk__in=held).exists():
        raise _JoinedMeanwhileError
    return held, found


def _hand_over(links: list[IncidentAlert], held: dict[int, Alert], to: Incident, *, by: Actor, at: datetime) -> None:
    """These alerts belong to that incident now. What is open there is its holder's, if it has one."""
    rows = {a.pk: a for a in Alert.objects.filter(pk__in=[link.alert_id for link in links])} | {
        link.alert_id: held[link.alert_id] for link in links if link.alert_id in held
    }
    IncidentAlert.objects.filter(pk__in=[link.pk for link in links]).update(incident=to, joined_at=at)
    for a in rows.values():
        a.incident_id, a.links = to.pk, {**a.links, "incident_title": to.title}
    sets.write(rows.values(), ["incident_id", "links"])
    monitors = [a.monitor_id for a in rows.values() if a.monitor_id]
    to.affected_monitor_ids = list(dict.fromkeys([*to.affected_monitor_ids, *monitors]))
    if to.responder_status == RESPONDER.ACKNOWLEDGED:
        still = [a for _, a in sorted(rows.items()) if a.resolved_at is None]
        acts.acknowledge_all(still, by=by, at=at, name=to.acknowledged_by)


# --- Merge ------------------------------------------------------------------------------------------------------------------
def merge(incident: Incident, into: Incident, *, by: Actor, at: datetime) -> Incident:
    """The one is part of the other: everything moves there, and this one is resolved. Refused unless both are open and one client's."""
    if incident.pk == into.pk:
        raise Refused("An incident cannot be merged into itself.")
    return _anew(lambda: _merge(incident.pk, into.pk, by, at))


def _merge(pk: int, into: int, by: Actor, at: datetime) -> Incident:
    held, rows = _hold([pk, into])
    if len(rows) < 2:
        raise Refused("One of them does not exist any more.")
    gone, stays = rows[pk], rows[into]
    if gone.client_id != stays.client_id:
        raise Refused("They belong to different clients; group them under a parent incident instead.")
    for one in (gone, stays):
        if one.resolved_at is not None:
            raise Refused(f"#{one.pk} is resolved already; only open incidents are merged.")
    links = list(IncidentAlert.objects.filter(incident=gone).order_by("pk"))
    monitors = [m for m in gone.affected_monitor_ids if m not in stays.affected_monitor_ids]
    stays.affected_monitor_ids = [*stays.affected_monitor_ids, *monitors]
    stays.severity, was = engine.worse(stays.severity, gone.severity), stays.severity
    stays.last_alert_at = max(filter(None, (stays.last_alert_at, gone.last_alert_at)), default=None)
    stays.lead_id, stays.parent_id = stays.lead_id or gone.lead_id, stays.parent_id or gone.parent_id
    if gone.began_at and (stays.began_at is None or gone.began_at < stays.began_at):
        services.know(stays, "began_at", gone.began_at, gone.times_known_by.get("began_at", "alert"))
    if (
        links
        and stays.times_known_by.get("mitigated_at") == "recovery"
        and any(link.alert_id in held for link in links)
    ):
        services.know(stays, "mitigated_at", None, "")
    moved = {"from": gone.pk, "alerts": [link.alert_id for link in links], "monitors": monitors}
    raised = f" Severity is {stays.severity} now." if was != stays.severity else ""
    note(stays, "merged", at, by=by.name, text=f"#{gone.pk} {gone.title} is part of this now.{raised}", data=moved)
    stays.save()
    Incident.objects.filter(merged_into=gone).update(merged_into=stays)
    Incident.objects.filter(parent=gone).update(parent=stays)
    gone.merged_into, gone.taken_over = stays, True
    _end(gone, f"Merged into #{stays.pk}.", by, at, {"into": stays.pk, "alerts": moved["alerts"]})
    _hand_over(links, held, stays, by=by, at=at)
    stays.save(update_fields=["affected_monitor_ids"])
    incident_changed.send(Incident, incidents=[gone], at=at, change="resolved")
    incident_changed.send(Incident, incidents=[stays], at=at, change="joined")
    audit.record("incident.merge", gone, by=by, client_id=gone.client_id, after={"into": stays.pk})
    return stays


def _end(incident: Incident, words: str, by: Actor, at: datetime, data: dict[str, object]) -> None:
    incident.status, incident.responder_status = STATUS.RESOLVED, RESPONDER.RESOLVED
    incident.resolved_at, incident.resolved_by = at, by.name[:200]
    Update.objects.create(incident=incident, status=STATUS.RESOLVED, message=words, by=by.name[:200], created_at=at)
    note(incident, "resolved", at, by=by.name, text=words, data=data)
    incident.save()


# --- Move -------------------------------------------------------------------------------------------------------------------
def move(alert: Alert, into: Incident, *, by: Actor, at: datetime) -> Incident:
    """An alert belongs to that incident. Where it leaves nothing open behind, the incident it came from has ended too."""
    return _anew(lambda: _move(alert.pk, into.pk, by, at))


def _move(pk: int, into: int, by: Actor, at: datetime) -> Incident:
    link = IncidentAlert.objects.filter(alert=pk).first()
    held, rows = _hold([into, *([link.incident_id] if link else [])], [pk])
    alert, target = held[pk], rows[into]
    if IncidentAlert.objects.filter(alert=pk).values_list("incident_id", flat=True).first() != (
        link.incident_id if link else None
    ):
        raise _JoinedMeanwhileError
    if alert.client_id != target.client_id:
        raise Refused("The alert belongs to another client.")
    if target.resolved_at is not None:
        raise Refused(f"#{target.pk} is resolved; reopen it first.")
    if alert.source == "incident":
        raise Refused("This alert is an incident's own; merge that incident instead.")
    if link is not None and link.incident_id == target.pk:
        raise Refused("It belongs to this incident already.")
    source = rows[link.incident_id] if link else None
    link = link or IncidentAlert.objects.create(incident=target, alert=alert, joined_at=at)
    _hand_over([link], held, target, by=by, at=at)
    came = f", from #{source.pk}" if source else ""
    note(target, "joined", at, by=by.name, text=f"{alert.title}{came}.", data={"alert": pk})
    target.last_alert_at = max(filter(None, (target.last_alert_at, alert.created_at)))
    if alert.resolved_at is None and target.times_known_by.get("mitigated_at") == "recovery":
        services.know(target, "mitigated_at", None, "")
    target.save()
    if source is not None:
        _left(source, [alert], f"{alert.title} moved to #{target.pk}.", {"alert": pk, "to": target.pk}, by, at)
    incident_changed.send(Incident, incidents=[target], at=at, change="joined")
    audit.record(
        "incident.move_alert",
        target,
        by=by,
        client_id=target.client_id,
        after={"alert": pk, "from": source.pk if source else None},
    )
    return target


def _left(source: Incident, alerts: list[Alert], words: str, data: dict[str, object], by: Actor, at: datetime) -> None:
    """What the incident is without these alerts: their monitors leave with them, and it may be over."""
    staying = IncidentAlert.objects.filter(incident=source, alert__monitor_id__isnull=False)
    here = set(staying.values_list("alert__monitor_id", flat=True))
    leaving = {a.monitor_id for a in alerts} - here
    source.affected_monitor_ids = [pk for pk in source.affected_monitor_ids if pk not in leaving]
    note(source, "left", at, by=by.name, text=words, data=dict(data))
    still = IncidentAlert.objects.filter(incident=source, alert__resolved_at=None).count()
    over = engine.machine_may_resolve(
        auto_created=source.auto_created, auto_resolve=source.auto_resolve, taken_over=source.taken_over,
        responder_status=source.responder_status, open_alerts=still,
    )  # fmt: skip
    if not over:
        source.save()
        return
    if not IncidentAlert.objects.filter(incident=source).exists() and "to" in data:
        source.merged_into_id = int(str(data["to"]))
    _end(source, "Nothing of it is open here any more.", by, at, {})
    incident_changed.send(Incident, incidents=[source], at=at, change="resolved")


# --- Split ------------------------------------------------------------------------------------------------------------------
def split(incident: Incident, alerts: Iterable[int], *, title: str = "", by: Actor, at: datetime) -> Incident:
    """Take alerts out into a new incident, which is as acknowledged as they are. Undoes a merge, too."""
    wanted = sorted(set(alerts))
    return _anew(lambda: _split(incident.pk, wanted, title.strip(), by, at))


def _split(pk: int, wanted: list[int], title: str, by: Actor, at: datetime) -> Incident:
    held, rows = _hold([pk])
    source = rows[pk]
    if source.resolved_at is not None:
        raise Refused("It is resolved; reopen it first.")
    links = list(IncidentAlert.objects.filter(incident=source).select_related("alert").order_by("alert_id"))
    chosen = [link for link in links if link.alert_id in wanted]
    taken = [held.get(link.alert_id, link.alert) for link in chosen]
    still = [a for a in taken if a.resolved_at is None]
    if len(chosen) < len(wanted) or not chosen:
        raise Refused("Choose alerts of this incident.")
    if len(chosen) == len(links):
        raise Refused("Leave at least one alert here; to call the incident otherwise, change its title.")
    if not still:
        raise Refused("Choose at least one alert that is still open; what is over needs no incident of its own.")
    if any(a.source == "incident" and a.entity_id == str(source.pk) for a in taken):
        raise Refused("One of them is this incident's own alert; it stays.")
    services_of = {a.service_id for a in taken}
    calm = all(a.status == Alert.Status.ACKNOWLEDGED for a in still)
    first = min(a.created_at for a in taken)
    fresh = Incident(
        client_id=source.client_id, service_id=next(iter(services_of)) if len(services_of) == 1 else None, cause_key=f"alert:{taken[0].pk}",
        title=(title or still[0].title)[:200], severity=source.severity, auto_created=all(a.source != "incident" for a in taken), parent_id=source.parent_id,
        affected_monitor_ids=[], created_at=at, created_by=by.name[:200], last_alert_at=max(a.created_at for a in taken), began_at=first, times_known_by={"began_at": "alert"},
    )  # fmt: skip
    if calm:
        fresh.responder_status, fresh.acknowledged_at, fresh.acknowledged_by = (
            RESPONDER.ACKNOWLEDGED, min(a.acknowledged_at or at for a in still), still[0].acknowledged_by,
        )  # fmt: skip
    fresh.save()
    note(fresh, "opened", at, by=by.name, text=f"Taken out of #{source.pk} {source.title}.", data={"from": source.pk})
    _hand_over(chosen, held, fresh, by=by, at=at)
    fresh.save()
    # An incident that was merged in and leaves as a whole is carried on by the new one.
    for entry in source.timeline.filter(kind="merged"):
        if set(entry.data.get("alerts", [])) and set(entry.data["alerts"]) <= set(wanted):
            Incident.objects.filter(pk=entry.data.get("from"), merged_into=source).update(merged_into=fresh)
    names = ", ".join(a.title for a in taken[:3]) + (f" and {len(taken) - 3} more" if len(taken) > 3 else "")
    _left(source, taken, f"{names}: taken out into #{fresh.pk}.", {"alerts": wanted, "into": fresh.pk}, by, at)
    incident_changed.send(Incident, incidents=[fresh], at=at, change="opened")
    audit.record(
        "incident.split", source, by=by, client_id=source.client_id, after={"into": fresh.pk, "alerts": wanted}
    )
    return fresh


def can_undo(incident: Incident, alerts: Iterable[Alert]) -> list[tuple[int, str, list[int]]]:
    """(the merged incident, its title, the alerts to take out) of the merges into this one that a split would undo."""
    here = {a.pk: a for a in alerts}
    merges = {e.data.get("from"): e for e in incident.timeline.filter(kind="merged")}
    titles = dict(Incident.objects.filter(pk__in=merges, merged_into=incident).values_list("pk", "title"))
    found = []
    for pk, entry in merges.items():
        mine = [a for a in entry.data.get("alerts", []) if a in here]
        if pk in titles and len(mine) < len(here) and any(here[a].resolved_at is None for a in mine):
            found.append((pk, titles[pk], mine))
    return found
