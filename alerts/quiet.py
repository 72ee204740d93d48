"""How does quiet begin and end? Silences and maintenance windows: their doors, and the watchman who carries out their times.

Whatever holds for now is judged by time alone (`facts`), so that no message slips through while somebody sleeps; what
changes hands at a beginning or an end does so here, once. At an end what still fires is sent at once, and what came and
went inside stays quiet. Who was told of a failure before hears of its recovery at once, also while it is quiet: nobody
is left believing that something is down (SPEC RTE-5, RTE-6).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.db.models import CharField, Count, Exists, F, OuterRef, Q, QuerySet, Value

from alerts import engine, facts, planning, requested, telling
from alerts.models import Alert, MaintenanceWindow, Occurrence, Silence
from alerts.signals import alert_changed, maintenance_changed
from alerts.snapshot import moment
from portal import audit
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.residents import Resident
from portal.tenancy import Viewer

log = logging.getLogger("watchkeeper.quiet")


# --- Silences ---------------------------------------------------------------------------------------------------------
def save_silence(*, by: Actor, at: datetime, **values: Any) -> Silence:
    """A new silence, from now unless `starts_at` says otherwise, with exactly one end. Holds at once what it covers.

    Values as `planning.silence` takes them; raises ValidationError with the body's dotted keys.
    """
    row = planning.silence(at=at, **values)
    with transaction.atomic():
        row.owner = row.owner or by.name
        row.save()
        if facts.holds(row, at):
            telling.reconsider(_locked(_covered(row)), at=at)
        after = {"matchers": row.matchers, "ends_at": moment(row.ends_at)}
        audit.record("silence.create", row, by=by, client_id=row.client_id, after=after)
        return row


def cancel_silence(row: Silence, *, by: Actor, at: datetime) -> Silence:
    """End it now; what still fires is sent at once. The row stays, with what it hid. Refused when it is over."""
    with transaction.atomic():
        held = _locked(_held(row))  # alerts first: whoever closes one of them comes for the silence afterwards
        row = Silence.objects.select_for_update(no_key=True).get(pk=row.pk)
        if row.cancelled_at is not None:
            raise Refused("This silence was cancelled already.")
        row.cancelled_at, row.cancelled_by = at, by.name[:200]
        row.save(update_fields=["cancelled_at", "cancelled_by"])
        telling.reconsider(held, at=at)
        audit.record("silence.cancel", row, by=by, client_id=row.client_id)
        return row


def unsnooze(alert: Alert, *, by: Actor, at: datetime) -> Alert:
    """Speak of it again: what was held while it was snoozed is sent now. Refused when it is not snoozed."""
    with transaction.atomic():
        alert = Alert.objects.select_for_update().get(pk=alert.pk)
        if alert.is_resolved:
            raise Refused("This alert is resolved already; there is nothing to wake.")
        if not alert.snoozed_until_recovered and (alert.snoozed_until is None or alert.snoozed_until <= at):
            raise Refused("This alert is not snoozed.")
        before = {"until": moment(alert.snoozed_until) or "recovered"}
        alert.snoozed_until, alert.snoozed_until_recovered, alert.updated_at = None, False, at
        alert.save(update_fields=["snoozed_until", "snoozed_until_recovered", "updated_at"])
        telling.reconsider([alert], at=at)
        alert_changed.send(Alert, alerts=[alert], at=at, change="unsnoozed", by=by)
        audit.record("alert.unsnooze", alert, by=by, client_id=alert.client_id, before=before)
        return alert


# --- Maintenance windows ------------------------------------------------------------------------------------------------
SAID = ("title", "description", "owner", "starts_at", "ends_at", "recurrence", "timezone", "scopes", "tags")


def save_window(*, by: Actor, at: datetime, **values: Any) -> MaintenanceWindow:
    """Plan a window; one that is to run now begins at once. Values as `planning.window` takes them."""
    row = planning.window(None, at=at, **values)
    with transaction.atomic():
        row.owner = row.owner or by.name
        row.save()
        _carry_out(row, at)
        audit.record("maintenance.create", row, by=by, client_id=row.client_id, after=_picture(row))
        return row


def change_window(row: MaintenanceWindow, *, by: Actor, at: datetime, **values: Any) -> MaintenanceWindow:
    """Change what is given; while it runs, it follows at once. Refused when it was cancelled or is over."""
    with transaction.atomic():
        row = MaintenanceWindow.objects.select_for_update(no_key=True).get(pk=row.pk)
        _refuse_over(row, at)
        before = _picture(row)
        row = planning.window(row, at=at, **values)
        row.save()
        _carry_out(row, at, anew=True)
        after = _picture(row)
        changed = [name for name in after if after[name] != before[name]]
        if changed:
            audit.record(
                "maintenance.change", row, by=by, client_id=row.client_id,
                before={n: before[n] for n in changed}, after={n: after[n] for n in changed},
            )  # fmt: skip
        return row


def cancel_window(row: MaintenanceWindow, *, by: Actor, at: datetime) -> MaintenanceWindow:
    """It does not take place, or not any more; what still fires is sent at once. The row stays, with what it hid."""
    with transaction.atomic():
        row = MaintenanceWindow.objects.select_for_update(no_key=True).get(pk=row.pk)
        _refuse_over(row, at)
        row.cancelled_at, row.cancelled_by = at, by.name[:200]
        row.save(update_fields=["cancelled_at", "cancelled_by"])
        _carry_out(row, at)
        audit.record("maintenance.cancel", row, by=by, client_id=row.client_id)
        requested.window_cancelled(row, by=by.name, at=at)
        return row


def end_now(row: MaintenanceWindow, *, by: Actor, at: datetime) -> MaintenanceWindow:
    """The work is done sooner: this occurrence ends now, later ones take place. Refused when none runs."""
    with transaction.atomic():
        row = MaintenanceWindow.objects.select_for_update(no_key=True).get(pk=row.pk)
        span = facts.occurrence(row, at, facts.closed_early([row], at))
        if span is None:
            raise Refused("This window is not running; there is nothing to end.")
        Occurrence.objects.update_or_create(
            window=row,
            starts_at=span[0],
            defaults={"closed_at": at},
            create_defaults={"ends_at": span[1], "closed_at": at},
        )
        _hand_over(row, at, began=False)
        audit.record("maintenance.end", row, by=by, client_id=row.client_id, before={"ends_at": moment(span[1])})
        return row


def _picture(row: MaintenanceWindow) -> dict[str, Any]:
    said = {name: getattr(row, name) for name in SAID}
    return {n: moment(v) if isinstance(v, datetime) else v for n, v in said.items()}


def _refuse_over(row: MaintenanceWindow, at: datetime) -> None:
    state = facts.window_state(row, at, facts.closed_early([row], at))
    if state in ("cancelled", "ended"):
        raise Refused(
            "This window was cancelled already." if state == "cancelled" else "This window is over; plan a new one."
        )


# --- Beginnings and ends --------------------------------------------------------------------------------------------------
def _carry_out(row: MaintenanceWindow, at: datetime, *, anew: bool = False) -> bool:
    """Bring the window's occurrences in line with its times, and hand over what follows. The caller holds its row.

    `anew`: it may cover other things than before. True when something changed.
    """
    kept = list(row.occurrences.filter(closed_at=None).order_by("pk"))
    span = facts.occurrence(row, at, facts.closed_early([row], at))
    ended, runs = False, False
    for o in kept:
        if span is None or o.starts_at != span[0]:
            o.closed_at, ended = at, True
            o.save(update_fields=["closed_at"])
        else:
            runs = True
            if o.ends_at != span[1]:
                o.ends_at = span[1]
                o.save(update_fields=["ends_at"])
    began = span is not None and not runs
    if span is not None and began:
        Occurrence.objects.create(window=row, starts_at=span[0], ends_at=span[1])
    if began or ended or (anew and runs):
        _hand_over(row, at, began=span is not None)
    return began or ended


def _hand_over(row: MaintenanceWindow, at: datetime, *, began: bool) -> None:
    """Monitors first, then alerts, as the evaluator takes them: what it holds is judged anew, and what it covers now."""
    maintenance_changed.send(MaintenanceWindow, windows=[row], scopes=list(row.scopes), at=at, began=began)
    concerned = set(_held(row))
    if began:
        concerned |= set(_covered(row))
    telling.reconsider(_locked(concerned), at=at)


def _held(row: Silence | MaintenanceWindow) -> list[int]:
    """The open alerts that it holds."""
    reason = "silenced" if isinstance(row, Silence) else "in_maintenance"
    return list(
        Alert.objects.filter(resolved_at=None, hold_reason=reason, held_by=row.pk)
        .order_by()
        .values_list("pk", flat=True)
    )


def _covered(row: Silence | MaintenanceWindow) -> list[int]:
    """The open alerts that it covers, whatever else holds them."""
    rows = Alert.objects.filter(resolved_at=None)
    return [a.pk for a in covered(rows.filter(client=row.client_id) if row.client_id else rows, row)]


def covered(rows: QuerySet[Alert], row: Silence | MaintenanceWindow) -> list[Alert]:
    """Those of these alerts that a silence or a window covers when it runs: by the rules that hold for real."""
    alerts = list(rows)
    if not alerts:
        return []
    around = facts.around(alerts)
    known = [(a, around.of(a, a.created_at)) for a in alerts]
    if isinstance(row, Silence):
        wish = facts.matcher(row)
        return [a for a, f in known if engine.matches(wish, f)]
    work = facts.pictured(row)
    return [a for a, f in known if engine.covers(work, f)]


def _locked(ids: Iterable[int]) -> list[Alert]:
    """These alerts, those still open, under lock in the order everybody takes them."""
    return list(Alert.objects.filter(pk__in=list(ids), resolved_at=None).order_by("pk").select_for_update())


# --- What time alone brings -------------------------------------------------------------------------------------------------
def step(at: datetime, since: datetime | None = None) -> int:
    """Carry out what began or ended since the last look (None: everything that holds now). Returns how many things changed.

    One query when there is nothing to do. Harmless when several look at once, or when a look was missed.
    """
    todo: dict[str, set[int]] = {"window": set(), "silence": set(), "silenced": set(), "in_maintenance": set(), "alert": set()}  # fmt: skip
    for what, pk in _look(at, since):
        if pk is not None:
            todo[what].add(pk)
    done = 0
    if todo["window"] or todo["in_maintenance"]:
        done += _windows(todo["window"], todo["in_maintenance"], at)
    if todo["silence"] or todo["silenced"]:
        done += _silences(todo["silence"], todo["silenced"], at, since)
    if todo["alert"]:
        done += _safely(lambda: telling.reconsider(_locked(todo["alert"]), at=at), "snoozes")
    return done


def _look(at: datetime, since: datetime | None) -> QuerySet[Any]:
    """(what, id) of whatever may have to be done."""
    mine = Occurrence.objects.filter(window=OuterRef("pk"))
    comes = MaintenanceWindow.objects.filter(cancelled_at=None, starts_at__lte=at)
    runs = Exists(mine.filter(closed_at=None, ends_at__gt=at))
    begins = (Q(recurrence="", ends_at__gt=at) & ~Exists(mine)) | (~Q(recurrence="") & ~runs)
    opened = Alert.objects.filter(resolved_at=None)
    started = Silence.objects.filter(cancelled_at=None, starts_at__lte=at)
    started = started.filter(Q(ends_at=None) | Q(ends_at__gt=at) | ~Q(recurrence=""))
    if since is not None:
        started = started.filter(Q(starts_at__gt=since) | ~Q(recurrence=""))
    snoozed = opened.filter(hold_reason="snoozed", snoozed_until__lte=at, snoozed_until_recovered=False)
    return _named(Occurrence.objects.filter(closed_at=None, ends_at__lte=at), "window", "window_id").union(
        _named(comes.filter(begins), "window", "pk"),
        _named(started, "silence", "pk"),
        _named(opened.filter(hold_reason="silenced"), "silenced", "held_by"),
        _named(opened.filter(hold_reason="in_maintenance"), "in_maintenance", "held_by"),
        _named(snoozed, "alert", "pk"),
    )


def _named(rows: QuerySet[Any], what: str, key: str) -> QuerySet[Any]:
    named = rows.order_by().annotate(what=Value(what, output_field=CharField()), subject=F(key))
    return named.values_list("what", "subject")


def _windows(due: set[int], holding: set[int], at: datetime) -> int:
    done = 0
    rows = {
        pk: MaintenanceWindow(pk=pk, cancelled_at=at) for pk in holding
    }  # whatever became of it, nothing is held for ever
    rows |= MaintenanceWindow.objects.in_bulk(due | holding)
    ended = facts.closed_early(rows.values(), at)
    kept = set(Occurrence.objects.filter(window__in=rows, closed_at=None).order_by().values_list("window", "starts_at"))
    for pk, row in sorted(rows.items()):
        span = facts.occurrence(row, at, ended)
        wanted = {(pk, span[0])} if span else set()
        if wanted != {k for k in kept if k[0] == pk}:
            done += _safely(lambda pk=pk: _turn(pk, at), f"maintenance window {pk}")
        elif pk in holding and not span:  # held by the hour, before anybody had looked
            done += _safely(lambda row=row: telling.reconsider(_locked(_held(row)), at=at), f"window {pk}")
    return done


def _turn(pk: int, at: datetime) -> bool:
    row = MaintenanceWindow.objects.select_for_update(no_key=True).filter(pk=pk).first()
    return row is not None and _carry_out(row, at)


def _silences(started: set[int], holding: set[int], at: datetime, since: datetime | None) -> int:
    done = 0
    rows = {pk: Silence(pk=pk, cancelled_at=at, starts_at=at) for pk in holding}
    rows |= Silence.objects.in_bulk(started | holding)
    for pk, row in sorted(rows.items()):
        now = facts.holds(row, at)
        if pk in started and now and (since is None or not facts.holds(row, since)):
            done += _safely(lambda row=row: telling.reconsider(_locked(_covered(row)), at=at), f"silence {pk}")
        elif pk in holding and not now:
            done += _safely(lambda row=row: telling.reconsider(_locked(_held(row)), at=at), f"silence {pk}")
    return done


def _safely(do: Callable[[], int], what: str) -> int:
    """One transaction; what cannot be done now stands in nobody's way, and is tried again at the next look."""
    try:
        with transaction.atomic():
            return int(do())
    except IntegrityError:  # another watchman was first
        return 0
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("%s cannot be carried out; tried again in a second", what)
        return 0


class Watchman(Resident):
    """Looks every second for what began or ended."""

    def __init__(self) -> None:
        super().__init__("watchman")
        self.since: datetime | None = None

    def step(self) -> float:
        at = database_now()
        step(at, self.since)
        self.since = at
        return 1.0


# --- Before it is done ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Preview:
    """What a silence or a window would cover if it ran now, and when it runs next."""

    monitors: list[dict[str, Any]]
    monitor_count: int
    alerts: list[Alert]
    occurrences: list[tuple[datetime, datetime]] = field(default_factory=list)


Watched = Callable[[Silence | MaintenanceWindow, Viewer], tuple[int, list[dict[str, Any]]]]
_watched: list[Watched] = []


def tell_what_is_watched(ask: Watched) -> None:
    """What is watched stands above this app: whoever knows answers (how many, the first of them as {id, name, client, state})."""
    if ask not in _watched:
        _watched.append(ask)


def preview(row: Silence | MaintenanceWindow, *, viewer: Viewer, at: datetime) -> Preview:
    """Of an unsaved row; only what the viewer sees. Nothing is stored."""
    answers = [ask(row, viewer) for ask in _watched]
    rows = Alert.objects.for_user(viewer).filter(resolved_at=None).order_by("-pk")
    return Preview(
        monitors=[one for _, some in answers for one in some],
        monitor_count=sum(n for n, _ in answers),
        alerts=covered(rows.filter(client=row.client_id) if row.client_id else rows, row),
        occurrences=engine.coming(facts.times(row), at),
    )


def hidden(row: Silence | MaintenanceWindow, viewer: Viewer) -> QuerySet[Alert]:
    """The alerts whose messages it held, newest first, with how many of them (`hidden_messages`)."""
    counted = Count("deliveries", filter=Q(deliveries__in=row.hid.all()), distinct=True)
    rows = Alert.objects.for_user(viewer).filter(pk__in=row.hid.order_by().values("alert"))
    return rows.annotate(hidden_messages=counted).order_by("-pk")
