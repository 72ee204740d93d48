"""When will readers notice something, and how far is it? Planned work on a status page: its form, its page, its moves."""

from __future__ import annotations

import zoneinfo
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from console.pages import visit
from console.pages.quiet_form import SHAPE, WallField
from console.pages.status_components import seen
from console.pages.status_pages import shown_work
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.tenancy import WRITE, viewer_of
from statuspages import services, works
from statuspages.models import Component, Page, ScheduledWork

NAMES = {"component_ids": "components"}
REMINDERS = ((0, "No reminder"), (15, "15 minutes before"), (60, "1 hour before"), (240, "4 hours before"), (1440, "1 day before"), (4320, "3 days before"), (10080, "1 week before"))  # fmt: skip
MOVED = {
    "in_progress": "It runs; readers were told.", "verifying": "It is being verified; readers were told.", "completed": "Completed; readers were told.",
    "cancelled": "Called off; readers were told.",
}  # fmt: skip


class WorkForm(forms.Form):
    """What is done, to what, when."""

    title = forms.CharField(max_length=200, label="What is done", help_text="As “Database upgrade”.")
    message = forms.CharField(
        max_length=5000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="What readers will notice. Markdown.",
    )
    components = forms.ModelMultipleChoiceField(
        Component.objects.none(), required=False, widget=forms.CheckboxSelectMultiple, label="Components concerned"
    )
    starts_at = WallField(label="From")
    ends_at = WallField(label="Until")
    rest = forms.BooleanField(
        required=False, initial=True, label="Page nobody meanwhile", help_text="A maintenance window for the monitors of these components; messages wait for its end."
    )  # fmt: skip
    auto_start = forms.BooleanField(required=False, initial=True, label="Begins by itself")
    auto_end = forms.BooleanField(
        required=False, initial=True, label="Ends by itself", help_text="Off: until somebody says that it is completed."
    )
    remind_minutes = forms.TypedChoiceField(choices=REMINDERS, coerce=int, initial=60, label="Remind subscribers")

    def __init__(self, page: Page, row: ScheduledWork | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        self.zone = zone_of(page)
        fields["components"].queryset = page.components.order_by("order", "pk")
        if not page.components.exists():
            del fields["components"], fields["rest"]
        fields["starts_at"].help_text = f"In the page’s zone, {self.zone}."
        if row is not None and row.status != works.SCHEDULED:
            fields["starts_at"].disabled = True
        if row is not None and row.remind_minutes not in dict(REMINDERS):
            fields["remind_minutes"].choices = [
                *REMINDERS,
                (row.remind_minutes, f"{row.remind_minutes} minutes before"),
            ]

    def values(self) -> dict[str, Any]:
        """As the door takes them."""
        given = dict(self.cleaned_data)
        return {
            **given, "components": list(given.get("components") or ()), "rest": bool(given.get("rest")), "starts_at": given["starts_at"].replace(tzinfo=self.zone),
            "ends_at": given["ends_at"].replace(tzinfo=self.zone),
        }  # fmt: skip


class MoveForm(forms.Form):
    """How far it is, and what there is to say."""

    status = forms.ChoiceField(label="It is now")
    message = forms.CharField(
        max_length=5000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Readers and subscribers read it. Markdown.",
    )

    def __init__(self, row: ScheduledWork, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ahead = [row.status, *(to for to in works.MOVES[row.status] if to != works.CANCELLED)]
        self.fields["status"].choices = [(s, ScheduledWork.Status(s).label) for s in ahead]  # type: ignore[attr-defined]


def zone_of(page: Page) -> zoneinfo.ZoneInfo:
    """The page's zone; UTC when this machine does not know it."""
    try:
        return zoneinfo.ZoneInfo(page.timezone)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return zoneinfo.ZoneInfo("UTC")


@visit.page
def add(request: HttpRequest, pk: int) -> HttpResponse:
    """`/status-pages/3/works/add/`: at first for tomorrow night."""
    page = seen(request, pk)
    zone = zone_of(page)
    start = (database_now().astimezone(zone) + timedelta(days=1)).replace(hour=22, minute=0)
    initial = {"starts_at": start.strftime(SHAPE), "ends_at": (start + timedelta(hours=2)).strftime(SHAPE)}
    return worked(request, page, None, initial)


@visit.page
def edit(request: HttpRequest, pk: int, work: int) -> HttpResponse:
    """`/status-pages/3/works/7/edit/`"""
    page = seen(request, pk)
    row = visit.found(page.works, work)
    if row.status not in works.OPEN:
        messages.error(request, works.refused(row.status, row.status))
        return redirect("status_work", pk=pk, work=work)
    zone = zone_of(page)
    initial = {
        **{n: getattr(row, n) for n in ("title", "message", "auto_start", "auto_end", "remind_minutes")}, "rest": row.window_id is not None,
        "components": list(row.components.values_list("pk", flat=True)), "starts_at": wall(row.starts_at, zone), "ends_at": wall(row.ends_at, zone),
    }  # fmt: skip
    return worked(request, page, row, initial)


def wall(at: datetime, zone: zoneinfo.ZoneInfo) -> str:
    return at.astimezone(zone).strftime(SHAPE)


def worked(request: HttpRequest, page: Page, row: ScheduledWork | None, initial: dict[str, Any]) -> HttpResponse:
    """The form, or the way to the planned work."""
    form = WorkForm(page, row, request.POST if request.method == "POST" else None, initial=initial)
    if form.is_bound and form.is_valid():
        values = form.values()
        if row is not None and row.status != works.SCHEDULED:
            values.pop("starts_at")
        try:
            made = services.save_work(page, row, by=Actor.of(request), at=database_now(), **values)
        except ValidationError as error:
            visit.spread_errors(form, error, lambda name: NAMES.get(name, name))
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, "Saved." if row else "Planned; subscribers are told.")
            return redirect("status_work", pk=page.pk, work=made.pk)
    back = reverse("status_work", args=[page.pk, row.pk]) if row else reverse("statuspage", args=[page.pk])
    context = {
        "title": f"Change {row.title}" if row else "Plan work", "form": form, "submit": "Save" if row else "Plan it, and tell subscribers", "cancel_url": back,
        "crumb": (page.name, reverse("statuspage", args=[page.pk])),
    }  # fmt: skip
    return visit.show(request, "console/form_page.html", context, status=400 if form.errors else 200)


@visit.page
def work(request: HttpRequest, pk: int, work: int) -> HttpResponse:
    """`/status-pages/3/works/7/`; a POST says how far it is."""
    viewer, at = viewer_of(request), database_now()
    page = visit.found(Page.objects.for_user(viewer).select_related("client"), pk)
    row = visit.found(page.works.select_related("window").prefetch_related("components", "updates"), work)
    may = viewer.may(WRITE, page.client_id) and row.status in works.OPEN
    posted = request.method == "POST"
    if posted:
        visit.require(request, WRITE, page)
    form = MoveForm(row, request.POST if posted else None, initial={"status": row.status}) if may or posted else None
    if form is not None and posted and form.is_valid():
        to = form.cleaned_data["status"]
        try:
            services.move_work(row, to, message=form.cleaned_data["message"], by=Actor.of(request), at=at)
        except ValidationError as error:
            visit.spread_errors(form, error)
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, MOVED[to] if to != row.status else "Told.")
            return redirect("status_work", pk=pk, work=work)
    context = {
        **shown_work(row, at), "page": page, "row": row, "form": form, "may": may, "may_cancel": may and works.CANCELLED in works.MOVES[row.status],
        "zone": str(zone_of(page)), "starts": row.starts_at.astimezone(zone_of(page)), "ends": row.ends_at.astimezone(zone_of(page)),
        "updates": list(row.updates.order_by("-pk")),
    }  # fmt: skip
    return visit.show(
        request, "console/status_page_work.html", context, status=400 if form is not None and form.errors else 200
    )


@visit.page
def cancel(request: HttpRequest, pk: int, work: int) -> HttpResponse:
    """`/status-pages/3/works/7/cancel/`: asked first."""
    page = seen(request, pk)
    row = visit.found(page.works, work)
    back = reverse("status_work", args=[pk, work])
    if visit.pressed(request):
        by, said = Actor.of(request), str(request.POST.get("reason", ""))[:5000]
        return visit.act(
            request, back, MOVED["cancelled"], lambda: services.cancel_work(row, message=said, by=by, at=database_now()) and None
        )  # fmt: skip
    body = f"Subscribers hear that {row.title} does not take place{' any more' if row.status != works.SCHEDULED else ''}. Its monitors rest no longer."
    context = {
        "title": "Call this work off?",
        "body": body,
        "confirm_label": "Call it off",
        "cancel_url": back,
        "reason_label": "What readers are told",
    }
    return render(request, "components/confirm_page.html", context)
