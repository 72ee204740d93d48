"""Who is on call, now, next, and on which days? The list of schedules, a schedule's calendar, and who takes over for a while.

A schedule's page speaks in the schedule's own time zone: handovers are wall-clock times there.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date

from alerts import feed, oncall, schedules
from alerts.engine.oncall import Shift, moment
from alerts.models import Level, OnCallSchedule, Override
from console.pages import visit
from console.pages.channels import asked
from console.pages.on_call_calendar import DAY, calendar
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client, Contact
from portal.tenancy import WRITE, viewer_of

AHEAD = timedelta(weeks=4)
MOST_GAPS = 5


# --- All schedules ----------------------------------------------------------------------------------------------------
@visit.page
def on_call(request: HttpRequest) -> HttpResponse:
    """`/on-call/`"""
    viewer, at = viewer_of(request), database_now()
    schedules = OnCallSchedule.objects.for_user(viewer).select_related("client").order_by("client__name", "name")
    listed = visit.paged(request, schedules, "name", "client__name")
    rows = list(listed["page"].object_list)
    plans = oncall.plans(rows, at, at + AHEAD)
    facts = [(row, plans[row.pk].outlook(at), plans[row.pk].timeline(at, at + AHEAD)) for row in rows]
    people = names(s for _, ahead, line in facts for s in (line[0], ahead.next) if s is not None)
    shown = [
        {
            "schedule": row, "now": line[0], "who": people.get(line[0].contact or 0), "change": ahead.change, "next": ahead.next,
            "then": people.get(ahead.next.contact or 0) if ahead.next else None, "gap": next((s for s in line if s.contact is None), None),
        }
        for row, ahead, line in facts
    ]  # fmt: skip
    nobody = sum(r["who"] is None for r in shown)
    if listed["page"].has_other_pages() or listed["q"]:
        nobody = deserted(schedules, at)
    context = {"rows": shown, "may_add": visit.may_any(request, WRITE), "nobody": nobody}
    return visit.show(request, "console/on_call.html", context | listed)


def deserted(schedules: QuerySet[OnCallSchedule], at: datetime) -> int:
    """How many of these have nobody right now, on whichever page of the list they are."""
    return sum(plan.who(at) is None for plan in oncall.plans(schedules, at, at).values())


def names(shifts: Iterable[Shift]) -> dict[int, Contact]:
    """The people of these shifts."""
    return Contact.objects.in_bulk({s.contact for s in shifts if s.contact is not None})


# --- One schedule -------------------------------------------------------------------------------------------------------
@visit.page
def schedule(request: HttpRequest, pk: int) -> HttpResponse:
    """`/on-call/3/?weeks=4&from=2026-11-23`"""
    row = visit.found(OnCallSchedule.objects.for_user(request).select_related("client"), pk)
    with timezone.override(zone_of(row)):
        return _shown(request, row, None)


def _shown(request: HttpRequest, row: OnCallSchedule, form: TakeOverForm | None) -> HttpResponse:
    viewer, at, zone = viewer_of(request), database_now(), zone_of(row)
    weeks = 4 if request.GET.get("weeks") == "4" else 2
    today = at.astimezone(zone).date()
    first = _monday(request.GET.get("from", "")) or today - timedelta(days=today.weekday())
    last = first + timedelta(weeks=weeks)
    begins, ends = moment(first, time(0), zone), moment(last, time(0), zone)
    plan = oncall.plans([row], min(begins, at), max(ends, at + AHEAD))[row.pk]
    now, ahead, line = plan.current(at), plan.outlook(at), plan.timeline(begins, ends)
    following = ahead.next
    gaps = [s for s in plan.timeline(at, at + AHEAD) if s.contact is None]
    people = names([now, *([following] if following else []), *line])
    layers = list(row.layers.order_by("-order").prefetch_related("members__contact"))
    taken = list(row.overrides.filter(ends_at__gt=at).select_related("contact").order_by("starts_at"))
    may = viewer.may(WRITE, row.client_id)
    if may and form is None:
        form = TakeOverForm(request, row, initial=_usual(request, row, now, at))
    reach = Contact.objects.for_user(request).filter(pk=now.contact).first() if now.contact is not None else None
    context = {
        "row": row, "reach": reach, "now": now, "change": ahead.change, "who": people.get(now.contact or 0), "next": following, "then": people.get(following.contact or 0) if following else None,
        "gaps": gaps[:MOST_GAPS], "more_gaps": max(0, len(gaps) - MOST_GAPS), "days": calendar(line, first, last, zone, people, at), "weeks": weeks,
        "earlier": _move(first, -weeks), "later": _move(first, weeks), "first": first, "last": last - DAY, "layers": [(x, in_words(x), _gone(x)) for x in layers],
        "overrides": taken, "may": may, "form": form, "feed": feed.address(row), "mine": _mine(request, row, layers), "zone": row.timezone,
        "looks_elsewhere": visit.zone_of(request).key != zone.key,
    }  # fmt: skip
    return render(
        request, "console/on_call_schedule.html", context, status=400 if form is not None and form.errors else 200
    )


def zone_of(row: OnCallSchedule) -> zoneinfo.ZoneInfo:
    """The zone that its handovers are in."""
    return zoneinfo.ZoneInfo(row.timezone)


def _monday(text: str) -> date | None:
    """The Monday of the week of a date in the address; None for none, nonsense, and years nobody plans."""
    try:
        found = parse_date(text)
    except ValueError:
        return None
    if found is None or not 2001 <= found.year <= 2099:
        return None
    return found - timedelta(days=found.weekday())


def _move(first: date, weeks: int) -> date | None:
    moved = first + timedelta(weeks=weeks)
    return moved if 2001 <= moved.year <= 2099 else None


def _mine(request: HttpRequest, row: OnCallSchedule, layers: Iterable[Any]) -> str:
    """The feed with the visitor's own turns only, when they have any."""
    own = {c.pk for c in Contact.objects.filter(user=request.user)} if request.user.is_authenticated else set()
    found = next((m.contact_id for x in layers for m in x.members.all() if m.contact_id in own), None)
    return feed.address(row, found) if found is not None else ""


# --- The layers in words ---------------------------------------------------------------------------------------------
def _gone(layer: Any) -> int:
    """How many of its places are empty, as their people were deleted."""
    positions = [m.position for m in layer.members.all()]
    return max(positions) + 1 - len(positions) if positions else 0


WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def in_words(layer: Any) -> str:
    """When a layer hands over, and when it is there at all."""
    clock = f"at {layer.handoff_time:%H:%M}"
    if layer.rotation == "weekly":
        said = f"Weekly, {WEEKDAYS[layer.handoff_day - 1]}s {clock}"
    elif layer.rotation == "daily" or layer.rotation_days == 1:
        said = f"Daily {clock}"
    else:
        said = f"Every {layer.rotation_days} days {clock}"
    days = [WEEKDAYS[int(d)][:3] for d in layer.weekdays.split(",") if d]
    if days:
        said += f"; only {', '.join(days)}"
    if layer.from_time is not None and layer.until_time is not None:
        said += f"; only {layer.from_time:%H:%M}–{layer.until_time:%H:%M}"
    return said


# --- Taking over ----------------------------------------------------------------------------------------------------------
def eligible(request: HttpRequest, client: Client | None, row: OnCallSchedule | None) -> QuerySet[Contact]:
    """Whom this visitor may name: whom they see, of the client or our own staff, and who is in the schedule already."""
    seen = Contact.objects.for_user(request)
    if client is not None:
        seen = seen.filter(Q(client=client) | Q(client=None))
    found = Q(pk__in=seen.order_by().values("pk"))
    if row is not None:
        found |= Q(pk__in=row.layers.order_by().values("members__contact"))
    return Contact.objects.filter(found).select_related("client").order_by("client__name", "name", "pk")


def label(contact: Contact) -> str:
    """A person in a list of choices."""
    return f"{contact.name} ({contact.client.name})" if contact.client else contact.name


class MomentField(forms.DateTimeField):
    """A date and a time, in the zone of the page."""

    def __init__(self, **options: Any) -> None:
        widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
        super().__init__(widget=widget, input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"], **options)


class TakeOverForm(forms.Form):
    """Who, from when until when, and why."""

    contact = forms.ModelChoiceField(Contact.objects.none(), label="Who takes over", empty_label=None)
    starts_at = MomentField(label="From")
    ends_at = MomentField(label="Until")
    reason = forms.CharField(required=False, max_length=300)

    def __init__(self, request: HttpRequest, row: OnCallSchedule, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        contacts: Any = self.fields["contact"]
        contacts.queryset = eligible(request, row.client, row)
        contacts.label_from_instance = label


def _usual(request: HttpRequest, row: OnCallSchedule, now: Shift, at: datetime) -> dict[str, Any]:
    """The visitor themselves, from now until the present shift (or gap) ends; a week at most."""
    me = eligible(request, row.client, row).filter(user=request.user).first()
    ends = min(now.end, at + timedelta(days=7))
    return {"contact": me, "starts_at": at, "ends_at": ends}


@visit.page
def take_over(request: HttpRequest, pk: int) -> HttpResponse:
    """`/on-call/3/take-over/`: the form stands on the schedule's page."""
    row = visit.found(OnCallSchedule.objects.for_user(request).select_related("client"), pk)
    to = reverse("on_call_schedule", args=[row.pk])
    if not visit.pressed(request):
        return redirect(f"{to}#take-over")
    visit.require(request, WRITE, row)
    with timezone.override(zone_of(row)):
        form = TakeOverForm(request, row, request.POST)
        if form.is_valid():
            at, values = database_now(), dict(form.cleaned_data)
            if values["starts_at"] <= at < values["starts_at"] + timedelta(minutes=1):
                values["starts_at"] = at  # the field shows whole minutes: now is now
            try:
                made = schedules.add_override(row, by=Actor.of(request), at=at, **values)
            except ValidationError as error:
                visit.spread_errors(form, error, lambda name: name.removesuffix("_id"))
            else:
                span = f"from {_said(made.starts_at)} until {_said(made.ends_at)}"
                messages.success(request, f"{made.contact.name} has it {span}.")
                return redirect(to)
        return _shown(request, row, form)


def _said(at: datetime) -> str:
    return f"{timezone.localtime(at):%a %d %b %H:%M}"


@visit.page
def give_back(request: HttpRequest, pk: int, override: int) -> HttpResponse:
    """`/on-call/3/take-over/7/remove/`"""
    row = visit.found(OnCallSchedule.objects.for_user(request), pk)
    taken = visit.found(Override.objects.filter(schedule=row).select_related("contact", "schedule"), override)
    to = reverse("on_call_schedule", args=[row.pk])
    if not visit.pressed(request):
        return redirect(to)
    visit.require(request, WRITE, row)
    return visit.act(
        request, to, "Removed; the rotation counts again.",
        lambda: schedules.remove_override(taken, by=Actor.of(request)),
    )  # fmt: skip


# --- The feed, and the end --------------------------------------------------------------------------------------------------
@visit.page
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """`/on-call/3/revoke/`"""
    row = visit.found(OnCallSchedule.objects.for_user(request), pk)
    visit.require(request, WRITE, row)
    to = reverse("on_call_schedule", args=[row.pk])
    if not visit.pressed(request):
        body = "Every calendar that reads the present address stops being updated. The page then shows a new address to subscribe to."  # fmt: skip
        context = {
            "title": "Revoke this calendar's address?",
            "body": body,
            "confirm_label": "Revoke",
            "cancel_url": to,
        }
        return render(request, "components/confirm_page.html", context)
    said = "The old address works no more; the new one is below."
    return visit.act(request, to, said, lambda: schedules.revoke_feed(row, by=Actor.of(request)) and None)


@visit.page
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """`/on-call/3/delete/`"""
    row = visit.found(OnCallSchedule.objects.for_user(request), pk)
    visit.require(request, WRITE, row)
    levels = Level.objects.for_user(request).filter(schedules=row).select_related("policy").order_by("policy__name")
    named = [str(x.policy) for x in levels[:20]]
    body = f"Nobody is on call by {row.name} any more; its calendar feed ends."
    if named:
        policies = ", ".join(dict.fromkeys(named))
        body += f" These escalation policies name it and reach nobody through it any more: {policies}."
    return asked(
        request, "Delete this schedule?", body, reverse("on_call"), f"{row.name} was deleted.",
        lambda: schedules.delete_schedule(row, by=Actor.of(request)),
    )  # fmt: skip
