"""How is an on-call schedule made or changed by a person, also without JavaScript? One form; its rows are added by buttons.

A press of a button that is not "Save" gives the same form back with a row more or less, and stores nothing.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from alerts import schedules
from alerts.models import Layer, OnCallSchedule
from console.pages import visit
from console.pages.on_call import WEEKDAYS, MomentField, eligible, label
from console.pages.triggers import DAYS
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client
from portal.models.clients import known_zone
from portal.tenancy import WRITE, viewer_of

TIMES = {"type": "time"}


class ScheduleForm(forms.Form):
    """What is said of the schedule as a whole."""

    client = forms.ModelChoiceField(
        Client.objects.none(), required=False, empty_label="Our own staff", help_text="Whose people take turns."
    )
    name = forms.CharField(max_length=120)
    timezone = forms.CharField(
        max_length=64, label="Time zone", help_text="Handovers are wall-clock times there, as Europe/Lisbon."
    )
    tell_shift_start = forms.BooleanField(required=False, label="Tell people when their turn begins")

    def __init__(self, request: HttpRequest, row: OnCallSchedule | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        client: Any = self.fields["client"]
        client.queryset = visit.clients_for(request, WRITE)
        if row is not None:
            del self.fields["client"]
        elif not viewer_of(request).msp_role:
            client.required, client.empty_label = True, None

    def clean_timezone(self) -> str:
        known_zone(self.cleaned_data["timezone"])
        return self.cleaned_data["timezone"]


class LayerForm(forms.Form):
    """One layer, with a choice for each of its people."""

    order = forms.IntegerField(widget=forms.HiddenInput)
    rotation = forms.ChoiceField(choices=Layer.Rotation.choices, label="Handed over")
    handoff_day = forms.TypedChoiceField(
        choices=[(n, day) for n, day in enumerate(WEEKDAYS, 1)], coerce=int, label="On", help_text="Of a weekly rotation."
    )  # fmt: skip
    rotation_days = forms.IntegerField(
        required=False, min_value=1, max_value=365, label="After days", help_text="Only for “Every so many days”."
    )
    handoff_time = forms.TimeField(label="At", widget=forms.TimeInput(attrs=TIMES, format="%H:%M"))
    starts_at = MomentField(label="First turn begins", help_text="The first person has it from then on.")
    ends_at = MomentField(label="Ends", required=False, help_text="Empty: it goes on.")
    weekdays = forms.MultipleChoiceField(
        choices=DAYS, required=False, widget=forms.CheckboxSelectMultiple, label="Only on", help_text="None ticked: every day."
    )  # fmt: skip
    from_time = forms.TimeField(required=False, label="Only from", widget=forms.TimeInput(attrs=TIMES, format="%H:%M"))
    until_time = forms.TimeField(
        required=False, label="Only until", help_text="Before “from”: over midnight.", widget=forms.TimeInput(attrs=TIMES, format="%H:%M")
    )  # fmt: skip
    TURN = ("rotation", "handoff_day", "rotation_days", "handoff_time", "starts_at")
    LIMITS = ("from_time", "until_time", "ends_at", "weekdays")

    def __init__(self, people: list[tuple[str, str]], members: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.count = members
        for n in range(members):
            self.fields[f"member{n}"] = forms.ChoiceField(
                choices=[("", "Choose somebody"), *people], required=False, label=f"{n + 1}. turn"
            )

    def members(self) -> list[forms.BoundField]:
        """The choices of people, in the order of their turns."""
        return [self[f"member{n}"] for n in range(self.count)]

    def turn_fields(self) -> list[forms.BoundField]:
        """When it is handed over."""
        return [self[name] for name in self.TURN]

    def limit_fields(self) -> list[forms.BoundField]:
        """When it is there at all."""
        return [self[name] for name in self.LIMITS]

    def is_limited(self) -> bool:
        """Is something of that set, or wrong?"""
        return any(field.value() or field.errors for field in self.limit_fields())

    def chosen(self) -> list[int]:
        """The ids of its people; rows where nobody was chosen are passed over."""
        picked = (self.cleaned_data.get(f"member{n}") for n in range(self.count))
        return [int(pk) for pk in picked if pk]


# --- Rows as they were typed ------------------------------------------------------------------------------------------
Raw = dict[str, Any]  # a layer's fields as text, and "members": [text]
NAMES = ("order", *LayerForm.TURN, *LayerForm.LIMITS)


def typed(data: QueryDict) -> list[Raw]:
    """The layers of a sent form."""
    found = []
    for n in range(_count(data.get("layers"), schedules.MOST_LAYERS)):
        raw: Raw = {name: data.get(f"layer{n}-{name}", "") for name in NAMES}
        raw["weekdays"] = data.getlist(f"layer{n}-weekdays")
        count = _count(data.get(f"layer{n}-members"), schedules.MOST_MEMBERS)
        raw["members"] = [data.get(f"layer{n}-member{m}", "") for m in range(count)]
        found.append(raw)
    return found


def _count(text: str | None, most: int) -> int:
    return min(visit.whole(text) or 0, most)


def stored(layer: Layer) -> Raw:
    """A layer's fields for the form."""
    raw: Raw = {name: getattr(layer, name) for name in NAMES}
    raw["weekdays"] = [d for d in layer.weekdays.split(",") if d]
    raw["members"] = [str(m.contact_id) for m in layer.members.all()]
    return raw


def fresh(layers: list[Raw], at: datetime) -> Raw:
    """A layer that begins now and lies on top."""
    order = 1 + max((_count(str(raw["order"]), 1000) for raw in layers), default=0)
    return {
        "order": order, "rotation": "weekly", "handoff_day": 1, "rotation_days": None, "handoff_time": "09:00", "starts_at": at, "ends_at": None,
        "weekdays": [], "from_time": None, "until_time": None, "members": ["", ""],
    }  # fmt: skip


def pressed(layers: list[Raw], wish: str, at: datetime) -> None:
    """What a button other than "Save" does: `add_layer`, `remove_layer:1`, `add_member:0`, `remove_member:0:2`, `up_member:0:2`."""
    verb, *numbers = wish.split(":")
    spots = [visit.whole(n) for n in numbers]
    if verb == "add_layer" and len(layers) < schedules.MOST_LAYERS:
        layers.append(fresh(layers, at))
        return
    first = spots[0] if spots else None
    if first is None or first >= len(layers):
        return
    members = layers[first]["members"]
    second = spots[1] if len(spots) > 1 else None
    if verb == "remove_layer":
        del layers[first]
    elif verb == "add_member" and len(members) < schedules.MOST_MEMBERS:
        members.append("")
    elif second is not None and second < len(members):
        if verb == "remove_member":
            del members[second]
        elif verb == "up_member" and second > 0:
            members[second - 1], members[second] = members[second], members[second - 1]


# --- The page -----------------------------------------------------------------------------------------------------------
@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/on-call/add/?client=3`"""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    return _worked(request, None)


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/on-call/3/edit/`"""
    row = visit.found(OnCallSchedule.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, row)
    return _worked(request, row)


def _worked(request: HttpRequest, row: OnCallSchedule | None) -> HttpResponse:
    name = request.POST.get("timezone", "") or (row.timezone if row is not None else visit.zone_of(request).key)
    try:
        known_zone(name)
    except ValidationError:
        name = "UTC"  # the form says that there is no such zone
    with timezone.override(zoneinfo.ZoneInfo(name)):  # what is typed are wall-clock times there
        return _in_its_zone(request, row, name)


def _in_its_zone(request: HttpRequest, row: OnCallSchedule | None, zone: str) -> HttpResponse:
    at = database_now()
    people = [(str(c.pk), label(c)) for c in eligible(request, row.client if row is not None else None, row)]
    old = {x.order: x for x in row.layers.order_by("order").prefetch_related("members")} if row is not None else {}
    wish = request.POST.get("do", "save") or "save"
    if request.method == "POST" and wish == "save":
        head = ScheduleForm(request, row, request.POST)
        layers = [LayerForm(people, len(raw["members"]), request.POST, prefix=f"layer{n}") for n, raw in enumerate(typed(request.POST))]  # fmt: skip
        saved = _save(request, row, head, layers, old)
        if saved is not None:
            messages.success(request, f"{saved.name} was saved.")
            return redirect("on_call_schedule", saved.pk)
        return _page(request, row, head, layers, zone, status=400)
    if request.method == "POST":
        raws = typed(request.POST)
        pressed(raws, wish, at)
        head = ScheduleForm(request, row, initial=request.POST.dict())
    else:
        raws = [stored(layer) for layer in old.values()] or [fresh([], at)]
        first: Mapping[str, Any] = {"client": visit.whole(request.GET.get("client")), "timezone": zone}
        if row is not None:
            first = {"name": row.name, "timezone": row.timezone, "tell_shift_start": row.tell_shift_start}
        head = ScheduleForm(request, row, initial=first)
    layers = [
        LayerForm(people, len(raw["members"]), initial=_initial(raw), prefix=f"layer{n}") for n, raw in enumerate(raws)
    ]
    return _page(request, row, head, layers, zone)


def _initial(raw: Raw) -> dict[str, Any]:
    return {**raw, **{f"member{n}": pk for n, pk in enumerate(raw["members"])}}


def _page(
    request: HttpRequest, row: OnCallSchedule | None, head: ScheduleForm, layers: list[LayerForm], zone: str, *, status: int = 200
) -> HttpResponse:  # fmt: skip
    wrong = sum(len(form.errors) for form in (head, *layers))
    context = {
        "row": row, "form": head, "layers": layers, "zone": zone, "wrong": wrong, "most_layers": schedules.MOST_LAYERS,
        "cancel_url": reverse("on_call_schedule", args=[row.pk]) if row is not None else reverse("on_call"),
    }  # fmt: skip
    return render(request, "console/on_call_form.html", context, status=status)


def _save(
    request: HttpRequest, row: OnCallSchedule | None, head: ScheduleForm, layers: list[LayerForm], old: dict[int, Layer]
) -> OnCallSchedule | None:
    """The saved schedule, or None with the complaints at the fields."""
    if not all([head.is_valid(), *(form.is_valid() for form in layers)]):
        return None
    values = dict(head.cleaned_data)
    if row is None:
        client = values["client"]
        visit.require(request, WRITE, client.pk if client else None)
    contacts = eligible(request, row.client if row is not None else None, row).in_bulk(
        {pk for form in layers for pk in form.chosen()}
    )
    wanted = []
    for form in layers:
        given = {**form.cleaned_data, "weekdays": ",".join(form.cleaned_data["weekdays"])}
        before = old.get(given["order"])
        for name in ("starts_at", "ends_at"):
            given[name] = _as_before(given[name], getattr(before, name, None))
        given["contacts"] = [contacts[pk] for pk in form.chosen() if pk in contacts]
        wanted.append(given)
    try:
        return schedules.save_schedule(row, by=Actor.of(request), layers=wanted, **values)
    except ValidationError as error:
        _spread(error, head, layers)
        return None


def _as_before(typed_at: datetime | None, before: datetime | None) -> datetime | None:
    """The stored moment when the field, which shows whole minutes, was left as it was."""
    if typed_at is not None and before is not None and typed_at == before.replace(second=0, microsecond=0):
        return before
    return typed_at


def _spread(error: ValidationError, head: ScheduleForm, layers: list[LayerForm]) -> None:
    """Each complaint at its field: `layers.0.contact_ids` above the people of the first layer."""
    for key, sentences in error.message_dict.items():
        where, _, rest = key.partition(".")
        number, _, name = rest.partition(".")
        form: forms.Form = head
        if where == "layers" and number.isdigit() and int(number) < len(layers):
            form, key = layers[int(number)], name
        form.add_error(key if key in form.fields and key != "order" else None, sentences)
