"""How is an escalation policy made or changed by a person, also without JavaScript? One form; levels are added by buttons.

A press of a button that is not "Save" gives the same form back with a level more or less, and stores nothing.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse

from alerts import filters, policies
from alerts.models import Channel, EscalationPolicy, Level, OnCallSchedule
from alerts.models.escalation import LONGEST_DELAY, MOST_LEVELS, MOST_REPEATS
from console.pages import visit
from portal.audit import Actor
from portal.models import Client, Contact, ContactGroup
from portal.tenancy import WRITE, viewer_of

UNITS = (("60", "minutes"), ("1", "seconds"), ("3600", "hours"))
MODELS = {"schedules": OnCallSchedule, "contacts": Contact, "groups": ContactGroup, "channels": Channel}
LABELS = {"schedules": "Whoever is on call in", "contacts": "Contacts", "groups": "Groups", "channels": "Channels"}
EMPTY = (
    (EscalationPolicy.OnEmpty.NEXT, "Go on to the next level at once"),
    (EscalationPolicy.OnEmpty.WAIT, "Wait until the next level's time"),
)
NOBODY = (
    "When nobody is on call, a group is empty, or a person has no way that may be used now. Either way it is recorded."
)


def apart(seconds: int) -> tuple[int, str]:
    """(number, unit) as people say it."""
    unit = next(u for u in (3600, 60, 1) if seconds % u == 0 and (seconds or u == 60))
    return seconds // unit, str(unit)


class PolicyForm(forms.Form):
    """What is said of the policy as a whole."""

    client = forms.ModelChoiceField(
        Client.objects.none(), required=False, empty_label="All clients (our own)", help_text="Set: only alerts of this client, and only its own people."
    )  # fmt: skip
    name = forms.CharField(max_length=120)
    active = forms.BooleanField(required=False, initial=True, label="On")
    repeat_count = forms.IntegerField(
        min_value=0, max_value=MOST_REPEATS, initial=1, label="Then start over", help_text=f"How many times, at most {MOST_REPEATS}."
    )  # fmt: skip
    repeat_after = forms.IntegerField(
        min_value=1, initial=5, label="After the last level wait", help_text="Before starting over, and before it is said that nobody answered."
    )  # fmt: skip
    repeat_unit = forms.ChoiceField(choices=UNITS, initial="60", label="Unit")
    on_empty = forms.ChoiceField(
        choices=EMPTY, initial=EscalationPolicy.OnEmpty.NEXT, widget=forms.RadioSelect, label="When a level reaches nobody", help_text=NOBODY
    )  # fmt: skip
    attached_only = forms.BooleanField(
        required=False, label="Only for services that name it", help_text="Ticked: the filters below do not count. A service that names a policy brings all its alerts."
    )  # fmt: skip
    filter_severities = forms.MultipleChoiceField(
        choices=[(s, s.capitalize()) for s in filters.SEVERITIES], required=False, widget=forms.CheckboxSelectMultiple, label="Severities", help_text="None ticked: all."
    )  # fmt: skip
    filter_sources = forms.MultipleChoiceField(
        choices=[(s, s.capitalize()) for s in filters.SOURCES], required=False, widget=forms.CheckboxSelectMultiple, label="Sources", help_text="None ticked: all."
    )  # fmt: skip
    filter_tags = forms.CharField(
        required=False, max_length=1000, label="Tags", help_text="Of the monitor, its site or its client; separated by commas, one is enough."
    )  # fmt: skip
    filter_scopes = forms.CharField(
        required=False, max_length=1000, label="Scopes", help_text="endpoint:7, client:3, site:2, service:5 …; separated by commas."
    )  # fmt: skip
    HEAD = ("client", "name", "active")
    AFTER = ("repeat_count", "repeat_after", "repeat_unit")
    WHICH = ("filter_severities", "filter_tags", "filter_sources", "filter_scopes")

    def __init__(self, request: HttpRequest, row: EscalationPolicy | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        client: Any = self.fields["client"]
        client.queryset = visit.clients_for(request, WRITE)
        if row is not None:
            del self.fields["client"]
        elif not viewer_of(request).msp_role:
            client.required, client.empty_label = True, None

    def part(self, *names: str) -> list[forms.BoundField]:
        """Some of its fields."""
        return [self[name] for name in names if name in self.fields]

    def head(self) -> list[forms.BoundField]:
        """What it is."""
        return self.part(*self.HEAD)

    def afterwards(self) -> list[forms.BoundField]:
        """What comes after the last level."""
        return self.part(*self.AFTER)

    def which(self) -> list[forms.BoundField]:
        """Which alerts."""
        return self.part(*self.WHICH)

    def values(self) -> dict[str, Any]:
        """As the service takes them."""
        given = dict(self.cleaned_data)
        given["repeat_after_seconds"] = given.pop("repeat_after") * int(given.pop("repeat_unit"))
        return {**given, **{name: ",".join(given[name]) for name in ("filter_severities", "filter_sources")}}


class LevelForm(forms.Form):
    """One level: when, and whom."""

    delay = forms.IntegerField(min_value=0, max_value=LONGEST_DELAY, label="After")
    unit = forms.ChoiceField(choices=UNITS, label="Unit")

    def __init__(self, choices: dict[str, list[tuple[str, str]]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for key, rows in choices.items():
            if rows:
                self.fields[key] = forms.MultipleChoiceField(
                    choices=rows, required=False, widget=forms.CheckboxSelectMultiple, label=LABELS[key]
                )

    def whom(self) -> list[forms.BoundField]:
        """Whom it may name."""
        return [self[key] for key in LABELS if key in self.fields]

    def seconds(self) -> int:
        """After the start of the run."""
        return self.cleaned_data["delay"] * int(self.cleaned_data["unit"])


# --- Rows as they were typed --------------------------------------------------------------------------------------------
Raw = dict[str, Any]


def typed(data: QueryDict) -> list[Raw]:
    """The levels of a sent form."""
    count = min(visit.whole(data.get("levels")) or 0, MOST_LEVELS)
    return [
        {
            **{name: data.get(f"level{n}-{name}", "") for name in ("delay", "unit")},
            **{key: data.getlist(f"level{n}-{key}") for key in MODELS},
        }
        for n in range(count)
    ]


def stored(level: Level) -> Raw:
    """A level's fields for the form."""
    delay, unit = apart(level.delay_seconds)
    named = {key: [str(row.pk) for row in getattr(level, key).all()] for key in MODELS}
    return {"delay": delay, "unit": unit, **named}


def fresh(levels: list[Raw]) -> Raw:
    """A level that comes five minutes after the last one."""
    if not levels:
        return {"delay": 0, "unit": "60"}
    last = (visit.whole(str(levels[-1]["delay"])) or 0) * (visit.whole(str(levels[-1]["unit"])) or 60)
    delay, unit = apart(min(last + 300, LONGEST_DELAY))
    return {"delay": delay, "unit": unit}


def pressed(levels: list[Raw], wish: str) -> None:
    """What a button other than "Save" does: `add_level`, `remove_level:1`."""
    verb, _, number = wish.partition(":")
    place = visit.whole(number)
    if verb == "add_level" and len(levels) < MOST_LEVELS:
        levels.append(fresh(levels))
    elif verb == "remove_level" and place is not None and place < len(levels):
        del levels[place]


def choices_for(request: HttpRequest, row: EscalationPolicy | None) -> dict[str, list[tuple[str, str]]]:
    """Whom levels may name: what the visitor sees, of a client's policy that client's own only."""
    found = {}
    for key, model in MODELS.items():
        rows = model.objects.for_user(request).select_related("client").order_by("client__name", "name")
        rows = rows.filter(client=row.client) if row is not None and row.client_id else rows
        found[key] = [(str(r.pk), f"{r.name} ({r.client.name})" if r.client else r.name) for r in rows]
    return found


# --- The page -----------------------------------------------------------------------------------------------------------
@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/escalation-policies/add/?client=3`"""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    return _worked(request, None)


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/escalation-policies/3/edit/`"""
    row = visit.found(EscalationPolicy.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, row)
    return _worked(request, row)


def _worked(request: HttpRequest, row: EscalationPolicy | None) -> HttpResponse:
    choices = choices_for(request, row)
    wish = request.POST.get("do", "save") or "save"
    if request.method == "POST" and wish == "save":
        head = PolicyForm(request, row, request.POST)
        levels = [LevelForm(choices, request.POST, prefix=f"level{n}") for n in range(len(typed(request.POST)))]
        saved = _save(request, row, head, levels)
        if saved is not None:
            messages.success(request, f"{saved.name} was saved. Escalations under way go on as they began.")
            return redirect("policy", saved.pk)
        return _page(request, row, head, levels, status=400)
    if request.method == "POST":
        raws = typed(request.POST)
        pressed(raws, wish)
        head = PolicyForm(request, row, initial=_kept(request.POST))
    elif row is not None:
        raws = [stored(level) for level in row.levels.prefetch_related(*MODELS)]
        head = PolicyForm(request, row, initial=_stored(row))
    else:
        raws = [fresh([])]
        head = PolicyForm(request, row, initial={"client": visit.whole(request.GET.get("client"))})
    levels = [LevelForm(choices, initial=raw, prefix=f"level{n}") for n, raw in enumerate(raws)]
    return _page(request, row, head, levels)


def _kept(data: QueryDict) -> dict[str, Any]:
    lists = ("filter_severities", "filter_sources")
    return {**data.dict(), **{name: data.getlist(name) for name in lists}}


def _stored(row: EscalationPolicy) -> dict[str, Any]:
    after, unit = apart(row.repeat_after_seconds)
    plain = ("name", "active", "repeat_count", "on_empty", "attached_only", "filter_tags", "filter_scopes")
    lists = ("filter_severities", "filter_sources")
    return {
        **{name: getattr(row, name) for name in plain}, "repeat_after": after, "repeat_unit": unit,
        **{name: [w for w in getattr(row, name).split(",") if w] for name in lists},
    }  # fmt: skip


def _page(
    request: HttpRequest, row: EscalationPolicy | None, head: PolicyForm, levels: list[LevelForm], *, status: int = 200
) -> HttpResponse:
    context = {
        "row": row, "form": head, "levels": levels, "wrong": sum(len(form.errors) for form in (head, *levels)), "more": len(levels) < MOST_LEVELS,
        "nobody": not any(form.whom() for form in levels) and not any(choices_for(request, row).values()),
        "cancel_url": reverse("policy", args=[row.pk]) if row is not None else reverse("policies"),
    }  # fmt: skip
    return render(request, "console/policy_form.html", context, status=status)


def _save(
    request: HttpRequest, row: EscalationPolicy | None, head: PolicyForm, levels: list[LevelForm]
) -> EscalationPolicy | None:
    """The saved policy, or None with the complaints at the fields."""
    if not all([head.is_valid(), *(form.is_valid() for form in levels)]):
        return None
    if row is None:
        client = head.cleaned_data["client"]
        visit.require(request, WRITE, client.pk if client else None)
    wanted = [
        {
            "order": n, "delay_seconds": form.seconds(),
            **{key: list(model.objects.for_user(request).filter(pk__in=form.cleaned_data.get(key, ()))) for key, model in MODELS.items()},
        }
        for n, form in enumerate(levels, 1)
    ]  # fmt: skip
    try:
        return policies.save_policy(row, by=Actor.of(request), levels=wanted, **head.values())
    except ValidationError as error:
        _spread(error, head, levels)
        return None


FIELDS = {"repeat_after_seconds": "repeat_after", "delay_seconds": "delay", "channel_ids": "channels", "contact_ids": "contacts", "group_ids": "groups", "schedule_ids": "schedules"}  # fmt: skip


def _spread(error: ValidationError, head: PolicyForm, levels: list[LevelForm]) -> None:
    """Each complaint at its field: `levels.0.delay_seconds` at the delay of the first level."""
    for key, sentences in error.message_dict.items():
        where, _, rest = key.partition(".")
        number, _, name = rest.partition(".")
        form: forms.Form = head
        if where == "levels" and number.isdigit() and int(number) < len(levels):
            form, key = levels[int(number)], name
        elif where == "filters":
            key = f"filter_{rest}"
        key = FIELDS.get(key, key)
        form.add_error(key if key in form.fields else None, sentences)
