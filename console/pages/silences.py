"""What is quiet for now, until when, and what did it hide? Silences, their form with a live preview, and cancel."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from alerts import engine, facts, filters, planning, quiet
from alerts.models import Alert, Delivery, Silence
from console.pages import visit
from console.pages.maintenance import SHOWN, told, used
from console.pages.quiet_form import DURATIONS, TimesForm, said
from monitors.models import Monitor
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client
from portal.tenancy import WRITE, viewer_of

ENDS = (*DURATIONS[:-1], ("recovered", "Until it has recovered"), DURATIONS[-1])
TONES = {"active": "maintenance", "upcoming": "info", "ended": "unknown", "cancelled": "unknown"}
MOST = 200


@visit.page
def silence_list(request: HttpRequest) -> HttpResponse:
    """`/silences/?all=1`: without `all`, those that hold now or will."""
    viewer, at = viewer_of(request), database_now()
    everything = bool(request.GET.get("all"))
    rows = Silence.objects.for_user(viewer).select_related("client").order_by("-pk")
    if not everything:
        rows = rows.filter(cancelled_at=None).filter(Q(ends_at=None) | Q(ends_at__gt=at) | ~Q(recurrence=""))
    kept = list(rows[:MOST])
    states = {s.pk: facts.silence_state(s, at) for s in kept}
    kept = [s for s in kept if everything or states[s.pk] != "ended"]
    hid = dict(
        Delivery.objects.filter(silence__in=kept, alert__in=Alert.objects.for_user(viewer))
        .order_by()
        .values_list("silence_id")
        .annotate(n=Count("alert_id", distinct=True))
    )
    names = dict(
        Client.objects.for_user(viewer)
        .filter(pk__in=[v for s in kept if isinstance(v := s.matchers.get("client"), int)])
        .values_list("pk", "name")
    )
    shown = [
        {
            "silence": s,
            "state": states[s.pk],
            "tone": TONES[states[s.pk]],
            "covers": covers(s, names),
            "again": said(s),
            "hid": hid.get(s.pk, 0),
            "may_cancel": states[s.pk] in ("active", "upcoming") and viewer.may(WRITE, s.client_id),
        }
        for s in kept
    ]
    return visit.show(
        request, "console/silences.html", {"rows": shown, "all": everything, "may_add": visit.may_any(request, WRITE)}
    )


def covers(s: Silence, names: dict[int, str]) -> str:
    """What it makes quiet, in words."""
    m = dict(s.matchers)
    said = []
    if m.get("entity_id"):
        said.append(f"{m.get('entity_type') or 'anything'} {m['entity_id']}")
    elif m.get("entity_type"):
        said.append(f"every {m['entity_type']}")
    if m.get("client"):
        said.append(f"client {names.get(m['client'], m['client'])}")
    said += [f"{key} {m[key]}" for key in ("source", "site", "tag", "severity") if m.get(key)]
    said += [s.client.name] if s.client else []
    return ", ".join(said) or "everything"


@visit.page
def silence(request: HttpRequest, pk: int) -> HttpResponse:
    """`/silences/3/`: what it makes quiet, and what it hid."""
    viewer, at = viewer_of(request), database_now()
    row = visit.found(Silence.objects.for_user(viewer).select_related("client"), pk)
    state = facts.silence_state(row, at)
    of = row.matchers.get("client")
    names = Client.objects.for_user(viewer).filter(pk=of if isinstance(of, int) else 0).values_list("pk", "name")
    alerts = list(quiet.hidden(row, viewer).select_related("client")[: SHOWN + 1])
    context = {
        "row": row,
        "state": state,
        "tone": TONES[state],
        "covers": covers(row, dict(names)),
        "again": said(row),
        "coming": engine.coming(facts.times(row), at) if row.cancelled_at is None and row.recurrence else [],
        "alerts": [told(a) for a in alerts[:SHOWN]],
        "more_alerts": len(alerts) > SHOWN,
        "may": state in ("active", "upcoming") and viewer.may(WRITE, row.client_id),
    }
    return visit.show(request, "console/silence.html", context)


class SilenceForm(TimesForm):
    """What is to be quiet, why, and how long. Every filled field must match."""

    reason = forms.CharField(max_length=300, help_text="Why, for whoever wonders at night.")
    client = forms.ModelChoiceField(Client.objects.none(), required=False, empty_label="All clients")
    entity_id = forms.CharField(
        required=False, max_length=200, label="What", help_text="Name or number of a monitor; empty: all."
    )
    entity_type = forms.CharField(required=False, widget=forms.HiddenInput)
    source = forms.ChoiceField(required=False, choices=[("", "All"), *((s, s.capitalize()) for s in filters.SOURCES)])
    severity = forms.ChoiceField(
        required=False, choices=[("", "All"), *((s, s.capitalize()) for s in filters.SEVERITIES)]
    )
    tag = forms.CharField(required=False, max_length=50)
    MATCHERS = ("entity_id", "entity_type", "source", "severity", "tag")

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        fields: Any = self.fields
        fields["duration"].choices = ENDS
        fields["client"].queryset = visit.clients_for(request, WRITE)
        if not viewer_of(request).msp_role:
            fields["client"].required, fields["client"].empty_label = True, None

    def sections(self) -> list[tuple[str, list[forms.BoundField], bool]]:
        """Why and what, then how long; later, again and finer behind a click."""

        def part(*names: str) -> list[forms.BoundField]:
            return [self[n] for n in names]

        finer, again = part("source", "severity", "tag"), part("starts_at", "repeat", *self.AGAIN, "timezone")
        return [
            ("", part("reason", "client", "entity_id", "duration", "ends_at"), False),
            ("Only some of its alerts", finer, not used(self, finer)),
            ("Later, or again and again", again, not used(self, again[:-1])),
        ]

    def matchers(self) -> dict[str, Any]:
        """As the service takes them."""
        return {name: self.cleaned_data[name] for name in self.MATCHERS if self.cleaned_data.get(name)}


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/silences/add/?alert=9`, `?monitor=7` or `?entity=monitor:7`: filled in from what it is about.

    A POST with `preview` stores nothing; by HTMX it answers the panel alone.
    """
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    about, initial = filled(request)
    form = SilenceForm(request, request.POST if request.method == "POST" else None, initial=initial)
    if "preview" in request.POST:  # the reason changes nothing about what it covers
        form.fields["reason"].required = False
    seen: dict[str, Any] | None = None
    if form.is_bound and form.is_valid():
        client, at = form.cleaned_data["client"], database_now()
        visit.require(request, WRITE, client.pk if client else None)
        values = {
            "matchers": form.matchers(),
            "client": client,
            "reason": form.cleaned_data["reason"],
            **form.times(at),
        }
        try:
            if "preview" in request.POST:
                seen = previewed(request, planning.silence(at=at, **{**values, "reason": "Preview"}), at)
            else:
                row = quiet.save_silence(by=Actor.of(request), at=at, owner=str(request.user), **values)
                messages.success(request, f"{summary(row, at)} Alerts are kept, messages held.")
                return redirect("silences")
        except ValidationError as error:
            visit.spread_errors(form, error, lambda name: NAMES.get(name, name.removeprefix("matchers.")))
    context = {"form": form, "preview": seen, "about": about, "cancel_url": reverse("silences")}
    if getattr(request, "htmx", None) and "preview" in request.POST:
        return visit.show(request, "console/silence_form.html", context, "preview")
    return render(request, "console/silence_form.html", context, status=400 if form.errors else 200)


NAMES = {"duration_seconds": "duration", "until_recovered": "duration", "recurrence": "rule"}


def summary(row: Silence, at: datetime) -> str:
    """When it is quiet, in a sentence."""
    if row.starts_at > at:
        return f"Quiet from {timezone.localtime(row.starts_at):%d %b %H:%M}."
    return (
        f"Quiet until {timezone.localtime(row.ends_at):%d %b %H:%M}."
        if row.ends_at
        else "Quiet until it has recovered."
    )


def filled(request: HttpRequest) -> tuple[str, dict[str, Any]]:
    """(what it is about, in words; the form) as an alert's or a monitor's button wants it."""
    noun, _, identity = request.GET.get("entity", "").partition(":")
    a = (
        Alert.objects.for_user(request)
        .filter(pk=visit.whole(request.GET.get("alert")) or 0)
        .select_related("client")
        .first()
    )
    if a is not None:
        return f"{a.client.name} · {a.entity_name}" if a.client else a.entity_name, {
            "client": a.client_id,
            "entity_id": a.entity_id,
            "entity_type": a.entity_type,
            "source": a.source,
        }
    by_entity = visit.whole(identity) if noun in ("monitor", *filters.SOURCES[:4]) else None
    m = (
        Monitor.objects.for_user(request)
        .filter(pk=visit.whole(request.GET.get("monitor")) or by_entity or 0)
        .select_related("client")
        .first()
    )
    if m is not None:
        wish = {"client": m.client_id, "entity_id": str(m.pk), "entity_type": "monitor"}
        return f"{m.client.name} · {m.name}", wish | ({"source": noun} if noun in filters.SOURCES else {})
    if noun in filters.ENTITY_TYPES and identity:
        return f"{noun} {identity}", {"entity_id": identity[:200], "entity_type": noun}
    return "", {"client": visit.whole(request.GET.get("client"))}


def previewed(request: HttpRequest, row: Silence, at: datetime) -> dict[str, Any]:
    """What it would cover and when: monitors, open alerts, and alerts of the last week, by the rules that hold for real."""
    viewer = viewer_of(request)
    seen = quiet.preview(row, viewer=viewer, at=at)
    week = Alert.objects.for_user(viewer).filter(resolved_at__isnull=False, created_at__gte=at - timedelta(days=7))
    return {
        "monitors": seen.monitors[:SHOWN],
        "monitor_count": seen.monitor_count,
        "more_monitors": max(0, seen.monitor_count - SHOWN),
        "alerts": [told(a) for a in seen.alerts[:SHOWN]],
        "alert_count": len(seen.alerts),
        "recent": [told(a) for a in quiet.covered(week.order_by("-pk")[:500], row)[:SHOWN]],
        "coming": seen.occurrences,
        "endless": row.ends_at is None,
        "again": said(row),
        "zone": row.timezone,
    }


@visit.page
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """End it now; what still fires is sent at once."""
    row = visit.found(Silence.objects.for_user(request), pk)
    if not visit.pressed(request):
        return redirect("silences")
    visit.require(request, WRITE, row)
    return visit.act(
        request,
        reverse("silences"),
        "Cancelled. What still fires is told now.",
        lambda: quiet.cancel_silence(row, by=Actor.of(request), at=database_now()) and None,
    )
