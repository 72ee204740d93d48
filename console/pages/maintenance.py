"""When is what worked on? Maintenance windows: now, coming and past, their form with a live preview, and what they hid."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from alerts import engine, facts, filters, planning, quiet
from alerts.models import Alert, Delivery, MaintenanceWindow, Occurrence
from console.pages import maintenance_requests, visit
from console.pages.overview import shape_of, word_of
from console.pages.quiet_form import TimesForm, initial_times, said
from monitors import maintenance as working
from monitors.models import Monitor
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client, Service, Site
from portal.tenancy import WRITE, viewer_of

TONES = {"active": "maintenance", "upcoming": "info", "ended": "unknown", "cancelled": "unknown"}
WORDS = {"active": "Now", "upcoming": "Coming", "ended": "Over", "cancelled": "Cancelled"}
MOST, MOST_CHOICES, SHOWN = 200, 500, 50


# --- The list -------------------------------------------------------------------------------------------------------------
@visit.page
def window_list(request: HttpRequest) -> HttpResponse:
    """`/maintenance/?past=1`: without `past`, those that run now, then those that come."""
    viewer, at = viewer_of(request), database_now()
    past = bool(request.GET.get("past"))
    rows = MaintenanceWindow.objects.for_user(viewer).select_related("client")
    if not past:
        rows = rows.filter(cancelled_at=None).filter(Q(ends_at__gt=at) | ~Q(recurrence=""))
    kept = list(rows.order_by("-pk")[:MOST])
    pictures = pictured(kept, viewer, at)
    wanted = ("ended", "cancelled") if past else ("active", "upcoming")
    shown = [p for p in pictures if p["state"] in wanted]
    if not past:
        shown.sort(key=lambda p: (p["state"] != "active", p["span"][0] if p["span"] else at))
    page = Paginator(shown, visit.PAGE).get_page(request.GET.get("page"))
    context = {"rows": page.object_list, "page": page, "past": past, "may_add": visit.may_any(request, WRITE)}
    context |= maintenance_requests.panel(request, at) if not past else {}
    return visit.show(request, "console/maintenance_list.html", context)


def pictured(rows: list[MaintenanceWindow], viewer: Any, at: datetime) -> list[dict[str, Any]]:
    """Windows as the pages tell them: state, when, how often, what they cover, how many alerts they hid."""
    ended = facts.closed_early(rows, at)
    hid = dict(
        Delivery.objects.filter(window__in=rows, alert__in=Alert.objects.for_user(viewer))
        .order_by()
        .values_list("window_id")
        .annotate(n=Count("alert_id", distinct=True))
    )
    names = named(rows, viewer)
    found = []
    for w in rows:
        state = facts.window_state(w, at, ended)
        coming = [s for s in engine.coming(facts.times(w), at) if (w.pk, s[0]) not in ended]
        found.append(
            {
                "window": w,
                "state": state,
                "tone": TONES[state],
                "word": WORDS[state],
                "span": (coming or [(w.starts_at, w.ends_at)])[0],
                "coming": coming if w.cancelled_at is None else [],
                "again": said(w),
                "covers": covers(w, names),
                "hid": hid.get(w.pk, 0),
                "may": state in ("active", "upcoming") and viewer.may(WRITE, w.client_id),
            }
        )
    return found


MODELS = {"site": Site, "service": Service, "client": Client, "monitor": Monitor}


def named(rows: Iterable[MaintenanceWindow], viewer: Any) -> dict[tuple[str, str], str]:
    """{(noun, id): name} of what the viewer sees of the things that these windows name."""
    wanted: dict[str, set[int]] = {noun: set() for noun in MODELS}
    for scope in {s for w in rows for s in w.scopes}:
        noun, _, identity = scope.partition(":")
        if identity.isdigit():
            wanted[noun if noun in MODELS else "monitor"].add(int(identity))
    return {
        (noun, str(pk)): name
        for noun, model in MODELS.items()
        if wanted[noun]
        for pk, name in model.objects.for_user(viewer).filter(pk__in=wanted[noun]).values_list("pk", "name")
    }


def covers(w: MaintenanceWindow, names: dict[tuple[str, str], str]) -> list[str]:
    """What is worked on, in words."""
    found = []
    for scope in w.scopes:
        noun, _, identity = scope.partition(":")
        name = names.get((noun if noun in MODELS else "monitor", identity))
        kind = "" if noun in ("monitor", "endpoint", "heartbeat") else f"{noun} "
        found.append(f"{kind}{name}" if name else scope.replace(":", " "))
    found += [f"tag {tag}" for tag in w.tags]
    if w.client:
        found = found or ["everything"]
        found[-1] += f" of {w.client.name}"
    return found


# --- One window -----------------------------------------------------------------------------------------------------------
@visit.page
def window(request: HttpRequest, pk: int) -> HttpResponse:
    """`/maintenance/3/`"""
    viewer, at = viewer_of(request), database_now()
    row = visit.found(MaintenanceWindow.objects.for_user(viewer).select_related("client"), pk)
    (picture,) = pictured([row], viewer, at)
    count, monitors = working.watched(row, viewer)
    alerts = list(quiet.hidden(row, viewer).select_related("client")[: SHOWN + 1])
    context = {
        **picture,
        "row": row,
        "monitors": monitors[:SHOWN],
        "monitor_count": count,
        "past": list(Occurrence.objects.filter(window=row).order_by("-starts_at")[:10]),
        "alerts": [told(a) for a in alerts[:SHOWN]],
        "more_alerts": len(alerts) > SHOWN,
        "recurring": bool(row.recurrence),
    }
    return visit.show(request, "console/maintenance.html", context)


def told(a: Alert) -> dict[str, Any]:
    """An alert in a list of what is or was hidden."""
    return {
        "alert": a,
        "state": shape_of(a),
        "word": "Resolved" if a.is_resolved else word_of(a),
        "messages": getattr(a, "hidden_messages", 0),
    }


@visit.page
def press(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """`end`: the work is done sooner; `cancel`: it does not take place (any more), asked first."""
    row = visit.found(MaintenanceWindow.objects.for_user(request), pk)
    if verb not in ("end", "cancel"):
        raise Http404
    back, by = reverse("maintenance_window", args=[pk]), Actor.of(request)
    if verb == "end":
        if not visit.pressed(request):
            return redirect(back)
        visit.require(request, WRITE, row)
        said_so = "Ended. What still fires is told now."
        return visit.act(request, back, said_so, lambda: quiet.end_now(row, by=by, at=database_now()) and None)
    visit.require(request, WRITE, row)
    if visit.pressed(request):
        said_so = "Cancelled. Nothing is held by it any more."
        return visit.act(request, back, said_so, lambda: quiet.cancel_window(row, by=by, at=database_now()) and None)
    body = f"{row.title} does not take place any more{', at none of its times' if row.recurrence else ''}. If it runs, it ends now, and what still fires is told at once. Its record stays."
    return render(
        request,
        "components/confirm_page.html",
        {"title": "Cancel this window?", "body": body, "confirm_label": "Cancel the window", "cancel_url": back},
    )


# --- Its form -------------------------------------------------------------------------------------------------------------
class WindowForm(TimesForm):
    """What is done, to what, when."""

    title = forms.CharField(max_length=200, label="What is done", help_text="Monitors show it while it lasts.")
    description = forms.CharField(
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="For status pages.",
    )
    client = forms.ModelChoiceField(Client.objects.none(), required=False, empty_label="Not one client’s")
    monitors = forms.ModelMultipleChoiceField(
        Monitor.objects.none(), required=False, widget=forms.SelectMultiple(attrs={"size": 6})
    )
    sites = forms.ModelMultipleChoiceField(
        Site.objects.none(), required=False, widget=forms.SelectMultiple(attrs={"size": 4})
    )
    services = forms.ModelMultipleChoiceField(
        Service.objects.none(), required=False, widget=forms.SelectMultiple(attrs={"size": 4})
    )
    tags = forms.CharField(
        required=False, max_length=1000, help_text="Of the monitor, its site or its client; separated by commas."
    )
    scopes = forms.CharField(
        required=False,
        max_length=2000,
        label="Other scopes",
        help_text="certificate:7, client:3 …; separated by commas.",
    )
    WHAT = ("title", "client", "monitors", "sites", "services")
    MORE = ("tags", "scopes", "description")
    PICKED = {"monitors": "monitor", "sites": "site", "services": "service"}

    def __init__(self, request: HttpRequest, row: MaintenanceWindow | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        fields: Any = self.fields
        viewer = viewer_of(request)
        mine = visit.clients_for(request, WRITE)
        fields["client"].queryset = mine
        if row is not None:
            del fields["client"]
            mine = mine.filter(pk=row.client_id) if row.client_id else mine
        elif not viewer.msp_role:
            fields["client"].required, fields["client"].empty_label = True, None
        fields["client" if row is None else "title"].help_text = (
            "Set: only what is this client’s; all of it when nothing more is chosen below." if row is None else ""
        )
        for name, model in (("monitors", Monitor), ("sites", Site), ("services", Service)):
            rows = model.objects.for_user(viewer).filter(client__in=mine).select_related("client")
            rows = rows.order_by("client__name", "name", "pk")
            fields[name].queryset = rows
            chosen = {int(v) for v in self._given(name) if str(v).isdigit()}
            listed = [*rows[:MOST_CHOICES]]
            listed += [r for r in rows.filter(pk__in=chosen) if r not in listed]
            if not listed:
                del fields[name]
                continue
            fields[name].widget.choices = [(r.pk, f"{r.client.name} · {r.name}") for r in listed]

    def _given(self, name: str) -> list[Any]:
        if self.is_bound:
            return list(self.data.getlist(name)) if hasattr(self.data, "getlist") else []
        return list(self.initial.get(name) or [])

    def sections(self) -> list[tuple[str, list[forms.BoundField], bool]]:
        """What, then when; the less used behind a click, open when it is used or wrong."""

        def part(*names: str) -> list[forms.BoundField]:
            return [self[n] for n in names if n in self.fields]

        when, again, more = part("starts_at", "duration", "ends_at", "repeat"), part(*self.AGAIN), part(*self.MORE)
        return [
            ("", part(*self.WHAT), False),
            ("", when, False),
            ("Days, last day and rule", again, not used(self, again)),
            ("Tags, scopes, words for the public", more, not used(self, more)),
            ("", part("timezone"), False),
        ]

    def values(self, at: datetime) -> dict[str, Any]:
        """As the door takes them."""
        given = self.cleaned_data
        scopes = [f"{noun}:{r.pk}" for name, noun in self.PICKED.items() for r in given.get(name) or ()]
        found = {
            "title": given["title"],
            "description": given.get("description", ""),
            "scopes": scopes + filters.words(given.get("scopes", "")),
            "tags": filters.words(given.get("tags", "")),
            **self.times(at),
        }
        return {**found, "client": given["client"]} if "client" in self.fields else found


def used(form: forms.Form, fields: Iterable[forms.BoundField]) -> bool:
    """Is anything in there, or wrong?"""
    return any(f.errors or f.value() for f in fields)


def initial_of(row: MaintenanceWindow) -> dict[str, Any]:
    """What the form shows of a stored window."""
    picked: dict[str, list[int]] = {name: [] for name in WindowForm.PICKED}
    nouns = {noun: name for name, noun in WindowForm.PICKED.items()}
    others = []
    for scope in row.scopes:
        noun, _, identity = scope.partition(":")
        if noun in nouns and identity.isdigit():
            picked[nouns[noun]].append(int(identity))
        else:
            others.append(scope)
    return {
        **initial_times(row), **picked, "title": row.title, "description": row.description, "tags": ", ".join(row.tags), "scopes": ", ".join(others),
    }  # fmt: skip


def filled(request: HttpRequest) -> dict[str, Any]:
    """The form as a button elsewhere wants it: `?entity=monitor:7`, `?alert=9`, `?monitor=7`, `?site=2`, `?client=3`."""
    noun, _, identity = request.GET.get("entity", "").partition(":")
    noun = "monitor" if noun in ("endpoint", "heartbeat", "certificate", "domain") else noun
    wish = {noun: identity}
    ids = {n: visit.whole(request.GET.get(n) or wish.get(n)) for n in ("monitor", "site", "service", "client", "alert")}
    if ids["alert"]:
        a = Alert.objects.for_user(request).filter(pk=ids["alert"]).first()
        ids["monitor"] = a.monitor_id if a else None
        ids["client"] = a.client_id if a else None
    for name, model in (("monitor", Monitor), ("site", Site), ("service", Service)):
        row = model.objects.for_user(request).filter(pk=ids[name] or 0).first()
        if row is not None:
            return {"client": row.client_id, f"{name}s": [row.pk]}
    return {"client": ids["client"]}


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/maintenance/add/`, perhaps filled in by its address."""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    return worked(request, None, filled(request))


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/maintenance/3/edit/`"""
    row = visit.found(MaintenanceWindow.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, row)
    return worked(request, row, initial_of(row))


NAMES = {"duration_seconds": "duration", "recurrence": "rule", "until_recovered": "duration"}


def worked(request: HttpRequest, row: MaintenanceWindow | None, initial: dict[str, Any]) -> HttpResponse:
    """The form, its preview (`preview` in a POST stores nothing), or the way to the saved window."""
    form = WindowForm(request, row, request.POST if request.method == "POST" else None, initial=initial)
    live = bool(getattr(request, "htmx", None))
    seen: dict[str, Any] | None = None
    if "preview" in request.POST:  # what it is called changes nothing about what it covers
        form.fields["title"].required = False
    if form.is_bound and form.is_valid():
        at = database_now()
        values = kept(form.values(at), row)
        client = row.client if row else values["client"]
        visit.require(request, WRITE, client.pk if client else None)
        try:
            if "preview" in request.POST:
                base = {"starts_at": row.starts_at, "ends_at": row.ends_at} if row else {}
                base |= {"title": "Preview", "client": client}
                wish = {k: v for k, v in values.items() if k not in ("title", "client")}
                if "duration_seconds" in wish:
                    base.pop("ends_at", None)
                seen = previewed(request, planning.window(None, at=at, **{**base, **wish}), at)
            elif row is None:
                saved = quiet.save_window(by=Actor.of(request), at=at, owner=str(request.user), **values)
                return arrived(request, saved, at)
            else:
                saved = quiet.change_window(row, by=Actor.of(request), at=at, **values)
                return arrived(request, saved, at)
        except ValidationError as error:
            visit.spread_errors(form, error, lambda name: NAMES.get(name, name.partition(".")[0]))
    context = {
        "form": form,
        "row": row,
        "preview": seen,
        "cancel_url": reverse("maintenance_window", args=[row.pk]) if row else reverse("maintenance"),
    }
    if live and "preview" in request.POST:
        return visit.show(request, "console/maintenance_form.html", context, "preview")
    return render(request, "console/maintenance_form.html", context, status=400 if form.errors else 200)


def kept(values: dict[str, Any], row: MaintenanceWindow | None) -> dict[str, Any]:
    """Without the times that nobody changed: the form shows minutes, a window that began at once has seconds."""
    if row is None:
        return values
    same = {n for n in ("starts_at", "ends_at") if values.get(n) == getattr(row, n).replace(second=0, microsecond=0)}
    same |= {"starts_at"} if values.get("starts_at") is None else set()
    return {name: value for name, value in values.items() if name not in same}


def arrived(request: HttpRequest, row: MaintenanceWindow, at: datetime) -> HttpResponse:
    """Say what follows, on its page."""
    runs = facts.occurrence(row, at, facts.closed_early([row], at))
    messages.success(
        request, "It runs: alerts are kept, messages wait for its end." if runs else f"{row.title} is planned."
    )
    return redirect("maintenance_window", pk=row.pk)


def previewed(request: HttpRequest, row: Any, at: datetime) -> dict[str, Any]:
    """What it would cover and when, for the panel beside the form."""
    seen = quiet.preview(row, viewer=viewer_of(request), at=at)
    return {
        "monitors": seen.monitors[:SHOWN],
        "monitor_count": seen.monitor_count,
        "more_monitors": max(0, seen.monitor_count - SHOWN),
        "alerts": [told(a) for a in seen.alerts[:SHOWN]],
        "alert_count": len(seen.alerts),
        "coming": seen.occurrences,
        "again": said(row),
        "zone": row.timezone,
    }
