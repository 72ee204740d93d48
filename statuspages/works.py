"""How does planned work run, as readers see it? Announced, begun, verified, done or called off: one table of moves.

With `rest` its components' monitors rest meanwhile, in a maintenance window of alerts' that follows the work. What time
alone brings (its beginning and end, the reminder) is carried out by `sweep`, once a minute, by whoever comes first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from alerts import quiet
from alerts.models import MaintenanceWindow
from portal import audit
from portal.audit import PORTAL, Actor
from portal.errors import Refused
from statuspages import projection, telling
from statuspages.models import Component, Page, ScheduledWork, WorkUpdate

log = logging.getLogger("watchkeeper.works")

Status = ScheduledWork.Status
SCHEDULED, IN_PROGRESS, VERIFYING, COMPLETED, CANCELLED = (
    Status.SCHEDULED, Status.IN_PROGRESS, Status.VERIFYING, Status.COMPLETED, Status.CANCELLED,
)  # fmt: skip
MOVES: dict[str, tuple[str, ...]] = {
    SCHEDULED:   (IN_PROGRESS, CANCELLED),
    IN_PROGRESS: (VERIFYING, COMPLETED, CANCELLED),
    VERIFYING:   (IN_PROGRESS, COMPLETED),
    COMPLETED:   (),
    CANCELLED:   (),
}  # fmt: skip
OPEN = (SCHEDULED, IN_PROGRESS, VERIFYING)
TOLD = {IN_PROGRESS: "started", VERIFYING: "verifying", COMPLETED: "completed", CANCELLED: "cancelled"}
LONGEST = timedelta(days=31)
FARTHEST = timedelta(days=730)
LONGEST_REMINDER = 14 * 24 * 60  # minutes
SAID = ("title", "message", "starts_at", "ends_at", "auto_start", "auto_end", "remind_minutes")


def refused(now: str, to: str) -> str:
    """Why work that is `now` cannot become `to`; "" when it can, or stays."""
    if not MOVES[now]:
        return f"This work is {Status(now).label.lower()}; plan new work instead."
    if to == now or to in MOVES[now]:
        return ""
    return f"Work that is {Status(now).label.lower()} cannot become {Status(to).label.lower()}."


# --- Plan -----------------------------------------------------------------------------------------------------------------
def save_work(
    page: Page, row: ScheduledWork | None, *, by: Actor, at: datetime, components: Iterable[Component] | None = None, rest: bool | None = None, **values: Any
) -> ScheduledWork:  # fmt: skip
    """Plan work (None) or change it while it is not over; `rest`: the components' monitors rest meanwhile (None: as it is).

    Values are `SAID`. Raises ValidationError at the field; Refused when the work is over.
    """
    if unknown := values.keys() - set(SAID):
        raise TypeError(f"not of planned work: {', '.join(sorted(unknown))}")
    new = row is None
    with transaction.atomic():
        if row is None:
            work = ScheduledWork(page=page, created_at=at, created_by=by.name[:200])
        else:
            work = _locked(row)
            if work.status not in OPEN:
                raise Refused(refused(work.status, work.status))
        before = {} if new else _picture(work)
        for name, value in values.items():
            setattr(work, name, value.strip() if isinstance(value, str) else value)
        chosen = list(work.components.all()) if components is None and not new else list(components or ())
        _judge(work, page, before, chosen, at)
        if new or work.remind_minutes != before["remind_minutes"] or work.starts_at != before["starts_at"]:
            work.reminded_at = None
        work.save()
        work.components.set(chosen)
        _rest(work, chosen, rest if rest is not None else work.window_id is not None, by, at)
        if new:
            WorkUpdate.objects.create(
                work=work, status=work.status, message=work.message, by=by.name[:200], created_at=at
            )
        after = _picture(work)
        changed = sorted(n for n in after if after[n] != before.get(n))
        if changed:
            audit.record(
                "work.created" if new else "work.changed", work, by=by, client_id=page.client_id,
                before={n: before[n] for n in changed} if not new else {}, after={n: after[n] for n in changed},
            )  # fmt: skip
        projection.want([page.pk], at=at)
        if new:
            telling.work_news(work, what="scheduled", at=at)
        elif {"starts_at", "ends_at"} & set(changed):
            telling.work_news(work, what="updated", at=at)
        return work


def _judge(work: ScheduledWork, page: Page, before: dict[str, Any], chosen: list[Component], at: datetime) -> None:
    complaints: dict[str, list[str]] = {}
    moved = bool(before) and work.starts_at != before["starts_at"]
    if work.starts_at is None or work.ends_at is None:
        raise ValidationError(
            {"starts_at" if work.starts_at is None else "ends_at": ["Say when, with a day and a time."]}
        )
    if not work.title:
        complaints["title"] = ["Say what is done, as “Database upgrade”."]
    if work.ends_at <= work.starts_at:
        complaints["ends_at"] = ["It must end after it starts."]
    elif work.ends_at - work.starts_at > LONGEST:
        complaints["ends_at"] = ["Work lasts at most 31 days; plan it in parts."]
    elif (not before or work.ends_at != before["ends_at"]) and work.ends_at <= at:
        complaints["ends_at"] = ["This is past already."]
    if work.starts_at > at + FARTHEST:
        complaints["starts_at"] = ["At most two years ahead."]
    if moved and work.status != SCHEDULED:
        complaints["starts_at"] = ["It has begun; only its end can be changed now."]
    if not 0 <= work.remind_minutes <= LONGEST_REMINDER:
        complaints["remind_minutes"] = ["From 0 (no reminder) to 14 days."]
    if len(work.message) > 5000:
        complaints["message"] = ["At most 5,000 characters."]
    if any(c.page_id != page.pk for c in chosen):
        complaints["components"] = ["There is no such component on this page."]
    if complaints:
        raise ValidationError(complaints)
    work.full_clean(exclude=["page", "window", "created_at", "reminded_at"], validate_constraints=False)


# --- Its monitors rest meanwhile ----------------------------------------------------------------------------------------------
def scopes_of(components: Iterable[Component]) -> list[str]:
    """What rests when these components are worked on, as a maintenance window names it."""
    found: dict[str, None] = {}
    for component in components:
        found.update({f"monitor:{pk}": None for pk in component.monitors.order_by("pk").values_list("pk", flat=True)})
        if component.service_id:
            found[f"service:{component.service_id}"] = None
    return list(found)


def _rest(work: ScheduledWork, chosen: list[Component], rest: bool, by: Actor, at: datetime) -> None:
    """Make, move or take away its window, by the doors that people use for theirs."""
    window = work.window
    if not rest:
        if window is not None:
            _quietly(lambda: quiet.cancel_window(window, by=by, at=at))
            work.window = None
            work.save(update_fields=["window"])
        return
    scopes = scopes_of(chosen)
    if not scopes:
        raise ValidationError({"rest": ["Nothing would rest: choose components that have monitors or a service."]})
    about = {"title": work.title, "ends_at": work.ends_at, "scopes": scopes}
    if window is None:
        starts = max(work.starts_at, at)
        work.window = quiet.save_window(
            by=by, at=at, client=work.page.client, description=work.message[:4000], timezone=work.page.timezone, starts_at=starts, **about
        )  # fmt: skip
        work.save(update_fields=["window"])
        return
    begun = window.starts_at <= at
    _quietly(
        lambda: quiet.change_window(window, by=by, at=at, **about, **({} if begun else {"starts_at": work.starts_at}))
    )


def _quietly(do: Any) -> None:
    """What somebody did to the window by hand stands: that it is over or cancelled already is no reason to stop."""
    try:
        with transaction.atomic():
            do()
    except Refused as refusal:
        log.info("a work's window stays as it is: %s", refusal)


def release(page: Page, *, by: Actor, at: datetime) -> None:
    """The page goes: nothing rests for its sake any more."""
    for work in page.works.filter(status__in=OPEN).exclude(window=None).select_related("window"):
        window = work.window
        _quietly(lambda window=window: quiet.cancel_window(window, by=by, at=at))


# --- Move -----------------------------------------------------------------------------------------------------------------
def move_work(work: ScheduledWork, to: str, *, message: str = "", by: Actor, at: datetime) -> ScheduledWork:
    """Say how far it is; the same status with a message says more. Refused when the table does not know the move."""
    if to not in Status.values:
        raise ValidationError({"status": [f"One of {', '.join(Status.values)}."]})
    if len(message := message.strip()) > 5000:
        raise ValidationError({"message": ["At most 5,000 characters."]})
    with transaction.atomic():
        row = _locked(work)
        before = row.status
        if why := refused(before, to):
            raise Refused(why)
        if to == before and not message:
            raise ValidationError({"message": ["Write what there is to say."]})
        row.status = to
        row.save(update_fields=["status"])
        WorkUpdate.objects.create(work=row, status=to, message=message, by=by.name[:200], created_at=at)
        if to != before:
            _follow(row, to, by, at)
        audit.record(
            "work.moved", row, by=by, client_id=row.page.client_id, before={"status": before}, after={"status": to, "message": message}
        )  # fmt: skip
        projection.want([row.page_id], at=at)
        telling.work_news(row, what=TOLD[to] if to != before else "updated", at=at)
        return row


def cancel_work(work: ScheduledWork, *, message: str = "", by: Actor, at: datetime) -> ScheduledWork:
    """It does not take place, or not any more; its monitors rest no longer."""
    return move_work(work, CANCELLED, message=message, by=by, at=at)


def _follow(work: ScheduledWork, to: str, by: Actor, at: datetime) -> None:
    """The window begins, ends or goes with the work."""
    window = MaintenanceWindow.objects.filter(pk=work.window_id or 0).first()
    if window is None:
        return
    if to == IN_PROGRESS and window.starts_at > at and window.ends_at > at:
        _quietly(lambda: quiet.change_window(window, by=by, at=at, starts_at=at, ends_at=window.ends_at))
    elif to == CANCELLED:
        _quietly(lambda: quiet.cancel_window(window, by=by, at=at))
    elif to == COMPLETED and window.ends_at > at:
        _quietly(lambda: (quiet.end_now if window.starts_at <= at else quiet.cancel_window)(window, by=by, at=at))


# --- What time alone brings -------------------------------------------------------------------------------------------------
def sweep(at: datetime) -> int:
    """Begin, end and remind of what is due, each in a transaction of its own. Returns how many; harmless when several look."""
    rows = ScheduledWork.objects.exclude(status__in=[COMPLETED, CANCELLED]).order_by("pk")
    done = 0
    for pk in list(rows.filter(_due(at)).values_list("pk", flat=True)[:500]):
        try:
            with transaction.atomic():
                done += _step(pk, at)
        except (Refused, ValidationError) as error:
            log.warning("planned work %s stays as it is: %s", pk, error)
        except Exception:  # the others go on; the next minute tries again
            log.exception("planned work %s cannot be carried on", pk)
    return done


def _due(at: datetime) -> Q:
    ends = Q(status__in=[IN_PROGRESS, VERIFYING], auto_end=True, ends_at__lte=at)
    starts = Q(status=SCHEDULED, auto_start=True, starts_at__lte=at)
    # The time of a reminder is counted in minutes of a column: nobody is reminded more than the longest time ahead.
    reminds = Q(
        status=SCHEDULED,
        reminded_at=None,
        remind_minutes__gt=0,
        starts_at__gt=at,
        starts_at__lte=at + timedelta(minutes=LONGEST_REMINDER),
    )
    return ends | starts | reminds


def _step(pk: int, at: datetime) -> int:
    work = (
        ScheduledWork.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("page")
        .filter(pk=pk)
        .first()
    )
    if work is None or work.status not in OPEN:
        return 0
    if work.status == SCHEDULED and work.starts_at > at:
        if (
            work.reminded_at is not None
            or not work.remind_minutes
            or work.starts_at - timedelta(minutes=work.remind_minutes) > at
        ):
            return 0
        work.reminded_at = at
        work.save(update_fields=["reminded_at"])
        if work.starts_at - work.created_at > timedelta(minutes=work.remind_minutes):  # else they heard of it just now
            telling.work_news(work, what="reminder", at=at)
        return 1
    done = 0
    if work.status == SCHEDULED and work.auto_start and work.starts_at <= at:
        work, done = move_work(work, IN_PROGRESS, by=PORTAL, at=at), done + 1
    if work.status in (IN_PROGRESS, VERIFYING) and work.auto_end and work.ends_at <= at:
        work, done = move_work(work, COMPLETED, by=PORTAL, at=at), done + 1
    return done


def _locked(work: ScheduledWork) -> ScheduledWork:
    return (
        ScheduledWork.objects.select_for_update(of=("self",)).select_related("page__client", "window").get(pk=work.pk)
    )


def _picture(work: ScheduledWork) -> dict[str, Any]:
    return {name: getattr(work, name) for name in (*SAID, "status", "window_id")} | {
        "components": sorted(work.components.values_list("pk", flat=True)) if work.pk else []
    }
