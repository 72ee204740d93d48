"""What is quiet for now, until when, and what did it hide? Silences, their form with a preview, and cancel."""

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

from alerts import acts, engine, facts, filters, services
from alerts.models import Alert, Delivery, Silence
from console.pages import visit
from console.pages.overview import shape_of, word_of
from monitors.models import Monitor
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client
from portal.tenancy import WRITE, viewer_of

DURATIONS = (
    ("1800", "30 minutes"),
    ("3600", "1 hour"),
    ("7200", "2 hours"),
    ("14400", "4 hours"),
    ("28800", "8 hours"),
    ("86400", "1 day"),
    ("604800", "1 week"),
    ("recovered", "Until it has recovered"),
    ("at", "Until a time"),
)
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


class SilenceForm(forms.Form):
    """What is to be quiet, why, and how long. Every filled field must match."""

    reason = forms.CharField(max_length=300, help_text="Why, for whoever wonders at night.")
    duration = forms.ChoiceField(choices=DURATIONS, initial="3600", label="How long")
    ends_at = forms.DateTimeField(
        required=False,
        label="Until",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text="Only with “Until a time”.",
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
    )
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

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["client"].queryset = visit.clients_for(request, WRITE)
        if not viewer_of(request).msp_role:
            fields["client"].required, fields["client"].empty_label = True, None

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("duration") == "at" and not values.get("ends_at"):
            self.add_error("ends_at", "Say until when.")
        return values

    def matchers(self) -> dict[str, Any]:
        """As the service takes them."""
        given = {
            name: self.cleaned_data[name]
            for name in ("entity_id", "entity_type", "source", "severity", "tag")
            if self.cleaned_data.get(name)
        }
        return given

    def end(self) -> dict[str, Any]:
        """Exactly one end."""
        wish = self.cleaned_data["duration"]
        if wish == "recovered":
            return {"until_recovered": True}
        return {"ends_at": self.cleaned_data["ends_at"]} if wish == "at" else {"duration_seconds": int(wish)}


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/silences/add/?alert=9` or `?monitor=7`: filled in from what it is about. A POST with `preview` stores nothing."""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    about, initial = filled(request)
    form = SilenceForm(request, request.POST if request.method == "POST" else None, initial=initial)
    hides: list[dict[str, Any]] | None = None
    if form.is_bound and form.is_valid():
        client = form.cleaned_data["client"]
        visit.require(request, WRITE, client.pk if client else None)
        try:
            if "preview" in request.POST:
                hides = would_hide(request, form.matchers(), client, database_now())
            else:
                row = services.save_silence(
                    by=Actor.of(request),
                    at=database_now(),
                    reason=form.cleaned_data["reason"],
                    matchers=form.matchers(),
                    client=client,
                    owner=str(request.user),
                    **form.end(),
                )
                end = (
                    f"until {timezone.localtime(row.ends_at):%d %b %H:%M}" if row.ends_at else "until it has recovered"
                )
                messages.success(request, f"Quiet {end}. Alerts are kept, messages held.")
                return redirect("silences")
        except ValidationError as error:
            visit.spread_errors(
                form, error, lambda name: "duration" if name == "duration_seconds" else name.removeprefix("matchers.")
            )
    return render(
        request,
        "console/silence_form.html",
        {"form": form, "hides": hides, "about": about, "cancel_url": reverse("silences")},
        status=400 if form.errors else 200,
    )


def filled(request: HttpRequest) -> tuple[str, dict[str, Any]]:
    """(what it is about, in words; the form) as an alert's or a monitor's button wants it."""
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
    m = (
        Monitor.objects.for_user(request)
        .filter(pk=visit.whole(request.GET.get("monitor")) or 0)
        .select_related("client")
        .first()
    )
    if m is not None:
        return f"{m.client.name} · {m.name}", {"client": m.client_id, "entity_id": str(m.pk), "entity_type": "monitor"}
    return "", {"client": visit.whole(request.GET.get("client"))}


def would_hide(
    request: HttpRequest, matchers: dict[str, Any], client: Client | None, at: datetime
) -> list[dict[str, Any]]:
    """The open alerts that it covers, and those of the last week: by the rule that holds for real."""
    wish = facts.matcher(Silence(pk=0, client=client, matchers=filters.matchers(matchers)))
    rows = list(
        Alert.objects.for_user(request)
        .filter(Q(resolved_at=None) | Q(created_at__gte=at - timedelta(days=7)))
        .order_by("-pk")[:500]
    )
    around = facts.around(rows)
    covered = [a for a in rows if engine.matches(wish, around.of(a, at))]
    return [
        {"alert": a, "state": shape_of(a), "word": "Resolved" if a.is_resolved else word_of(a)} for a in covered[:50]
    ]


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
        lambda: acts.cancel_silence(row, by=Actor.of(request), at=database_now()) and None,
    )
