"""By which names do readers know the parts of a service? Components and headings: added, changed, ordered, said by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from console.pages import visit
from console.pages.quiet_form import SHAPE, WallField
from monitors.models import Monitor
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import Service
from portal.tenancy import WRITE
from statuspages import services
from statuspages.models import Component, ComponentGroup, Page

MOST_CHOICES = 1000
NAMES = {"monitor_ids": "monitors", "service_id": "service"}


class ComponentForm(forms.Form):
    """What a part is called, and what stands behind it."""

    name = forms.CharField(max_length=120, help_text="As readers call it: “Shop”, “E-mail”. Never a host name.")
    description = forms.CharField(max_length=300, required=False)
    monitors = forms.ModelMultipleChoiceField(
        Monitor.objects.none(), required=False, widget=forms.SelectMultiple(attrs={"size": 8}), help_text="The worst of them is how it is. Several with Ctrl or ⌘."
    )  # fmt: skip
    service = forms.ModelChoiceField(
        Service.objects.none(),
        required=False,
        empty_label="None",
        help_text="All its monitors, also those added later.",
    )
    group = forms.ModelChoiceField(
        ComponentGroup.objects.none(), required=False, empty_label="No heading", label="Below the heading"
    )
    new_group = forms.CharField(max_length=120, required=False, label="Or a new heading")
    show_uptime = forms.BooleanField(required=False, initial=True, label="Show its 90 days")

    def __init__(self, request: HttpRequest, page: Page, row: Component | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        for name, model in (("monitors", Monitor), ("service", Service)):
            rows = model.objects.for_user(request).select_related("client").order_by("client__name", "name", "pk")
            rows = rows.filter(client=page.client_id) if page.client_id else rows
            fields[name].queryset = rows
            chosen = {int(v) for v in self._given(name) if str(v).isdigit()}
            listed = list(rows[:MOST_CHOICES])
            listed += [r for r in rows.filter(pk__in=chosen) if r not in listed]
            told = [(r.pk, r.name if page.client_id else f"{r.client.name} · {r.name}") for r in listed]
            fields[name].widget.choices = told if name == "monitors" else [("", "None"), *told]
        fields["group"].queryset = page.groups.all()
        if not page.groups.exists():
            del fields["group"]
            fields["new_group"].label = "Below the heading"

    def _given(self, name: str) -> list[Any]:
        if self.is_bound:
            return list(self.data.getlist(name)) if hasattr(self.data, "getlist") else []
        value = self.initial.get(name)
        return list(value) if isinstance(value, list) else [value]


class OverrideForm(forms.Form):
    """How a part is said to be by hand."""

    override = forms.ChoiceField(choices=Component.Override.choices, required=False, label="It is")
    until = WallField(required=False, help_text="In your time zone. Empty: until somebody changes it.")


def seen(request: HttpRequest, pk: int) -> Page:
    """A page whose parts this person may change."""
    page: Page = visit.found(Page.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, page)
    return page


@visit.page
def add(request: HttpRequest, pk: int) -> HttpResponse:
    """`/status-pages/3/components/add/`"""
    return worked(request, seen(request, pk), None, {"group": visit.whole(request.GET.get("group"))})


@visit.page
def edit(request: HttpRequest, pk: int, component: int) -> HttpResponse:
    """`/status-pages/3/components/5/`"""
    page = seen(request, pk)
    row = visit.found(page.components.select_related("group", "service"), component)
    initial = {
        "name": row.name, "description": row.description, "monitors": list(row.monitors.values_list("pk", flat=True)), "service": row.service_id,
        "group": row.group_id, "show_uptime": row.show_uptime,
    }  # fmt: skip
    return worked(request, page, row, initial)


def worked(request: HttpRequest, page: Page, row: Component | None, initial: dict[str, Any]) -> HttpResponse:
    """The form, or the way back to the page; several are added one after the other."""
    form = ComponentForm(request, page, row, request.POST if request.method == "POST" else None, initial=initial)
    by, at, back = Actor.of(request), database_now(), reverse("statuspage", args=[page.pk])
    if form.is_bound and form.is_valid():
        values = dict(form.cleaned_data)
        heading = values.pop("new_group").strip()
        values["monitors"] = keep_unseen(request, row, list(values["monitors"]))
        try:
            if heading:
                values["group"] = page.groups.filter(name=heading).first() or services.save_group(
                    page, None, by=by, at=at, name=heading
                )
            made = services.save_component(page, row, by=by, at=at, **values)
        except ValidationError as error:
            visit.spread_errors(form, error, lambda name: NAMES.get(name, name))
        except Refused as refusal:
            form.add_error(None, str(refusal))
        else:
            more = "another" in request.POST
            return redirect(reverse("status_component_add", args=[page.pk]) if more else f"{back}#component-{made.pk}")
    zone = visit.zone_of(request)
    until = row.override_until.astimezone(zone).strftime(SHAPE) if row and row.override_until else ""
    context = {
        "form": form, "page": page, "row": row, "cancel_url": back,
        "override": OverrideForm(initial={"override": row.override, "until": until}) if row else None,
    }  # fmt: skip
    return visit.show(request, "console/status_page_component.html", context, status=400 if form.errors else 200)


def keep_unseen(request: HttpRequest, row: Component | None, chosen: list[Monitor]) -> list[Monitor]:
    """Monitors behind it that this person does not see are not theirs to take away."""
    if row is None:
        return chosen
    mine = set(Monitor.objects.for_user(request).filter(components=row).values_list("pk", flat=True))
    return [*chosen, *row.monitors.exclude(pk__in=mine)]


@visit.page
def press(request: HttpRequest, pk: int, component: int, verb: str) -> HttpResponse:
    """`up`, `down`: its place; `override`: said by hand; `delete`: asked first."""
    page = visit.found(Page.objects.for_user(request).select_related("client"), pk)
    row = visit.found(page.components, component)
    if verb not in ("up", "down", "override", "delete"):
        raise Http404
    back, by = f"{reverse('statuspage', args=[pk])}#component-{component}", Actor.of(request)
    if not visit.pressed(request) and verb != "delete":
        return redirect(back)
    visit.require(request, WRITE, page)
    at = database_now()
    if verb in ("up", "down"):
        beside = list(page.components.filter(group=row.group_id).order_by("order", "pk").values_list("pk", flat=True))
        whole = list(page.components.order_by("order", "pk").values_list("pk", flat=True))
        services.order(page, "components", swapped(whole, beside, row.pk, -1 if verb == "up" else 1), by=by, at=at)
        return redirect(back)
    if verb == "override":
        return overridden(request, row, back, by, at)
    if visit.pressed(request):
        to = reverse("statuspage", args=[pk])
        return visit.act(request, to, "Taken off the page.", lambda: services.delete_component(row, by=by, at=at))
    body = f"Readers see {row.name} no more, nor its 90 days. Its monitors go on."
    return render(
        request, "components/confirm_page.html", {"title": f"Take {row.name} off?", "body": body, "confirm_label": "Take it off", "cancel_url": back}
    )  # fmt: skip


def overridden(request: HttpRequest, row: Component, back: str, by: Actor, at: datetime) -> HttpResponse:
    """Say by hand how it is; what is wrong with that is said on the way back."""
    form = OverrideForm(request.POST)

    def do() -> str:
        if not form.is_valid():
            raise ValidationError([f"{form[name].label}: {' '.join(said)}" for name, said in form.errors.items()])
        until = form.cleaned_data["until"]
        until = until.replace(tzinfo=visit.zone_of(request)) if until else None
        changed = services.set_override(row, form.cleaned_data["override"], until=until, by=by, at=at)
        return (
            f"{row.name} is said to be: {changed.get_override_display().lower()}."
            if changed.override
            else f"{row.name} is as measured again."
        )

    return visit.act(request, back, "", do)


def swapped(whole: list[int], beside: list[int], pk: int, step: int) -> list[int]:
    """The whole order after `pk` changed places with its neighbour of the same heading; as it is at the end of the row."""
    place = beside.index(pk) + step
    if not 0 <= place < len(beside):
        return whole
    one, other = whole.index(pk), whole.index(beside[place])
    found = list(whole)
    found[one], found[other] = found[other], found[one]
    return found


# --- Headings -------------------------------------------------------------------------------------------------------------
class GroupForm(forms.Form):
    """A heading with components below it."""

    name = forms.CharField(max_length=120)
    collapsed = forms.BooleanField(
        required=False, label="Folded", help_text="Opened by the reader, unless something is wrong in it."
    )


@visit.page
def group(request: HttpRequest, pk: int, group: int) -> HttpResponse:
    """`/status-pages/3/groups/2/`"""
    page = seen(request, pk)
    row = visit.found(page.groups, group)
    back = reverse("statuspage", args=[pk])
    initial = {"name": row.name, "collapsed": row.collapsed}
    form = GroupForm(request.POST if request.method == "POST" else None, initial=initial)
    if form.is_bound and form.is_valid():
        try:
            services.save_group(page, row, by=Actor.of(request), at=database_now(), **form.cleaned_data)
        except ValidationError as error:
            visit.spread_errors(form, error)
        else:
            return redirect(f"{back}#group-{row.pk}")
    context = {
        "title": f"Heading {row.name}",
        "form": form,
        "submit": "Save",
        "cancel_url": back,
        "crumb": (page.name, back),
    }
    return visit.show(request, "console/form_page.html", context, status=400 if form.errors else 200)


@visit.page
def group_press(request: HttpRequest, pk: int, group: int, verb: str) -> HttpResponse:
    """`up`, `down`: its place; `delete`: its components stay, without a heading."""
    page = visit.found(Page.objects.for_user(request).select_related("client"), pk)
    row = visit.found(page.groups, group)
    if verb not in ("up", "down", "delete"):
        raise Http404
    back, by, at = reverse("statuspage", args=[pk]), Actor.of(request), database_now()
    if not visit.pressed(request):
        return redirect(back)
    visit.require(request, WRITE, page)
    if verb == "delete":
        said = "The heading is gone; its components stay."
        return visit.act(request, back, said, lambda: services.delete_group(row, by=by, at=at))
    ids = list(page.groups.order_by("order", "pk").values_list("pk", flat=True))
    services.order(page, "groups", swapped(ids, ids, row.pk, -1 if verb == "up" else 1), by=by, at=at)
    return redirect(f"{back}#group-{row.pk}")
