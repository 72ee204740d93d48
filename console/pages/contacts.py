"""Who can be told, how, and when? People with their ways in order, what names them, and what would reach them now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from alerts import channels as kinds
from alerts import engine, facts
from alerts import services as ways
from alerts.models import ContactChannel, LayerMember, Level, OnCallSchedule, Override, Trigger
from console.pages import trash, visit
from console.pages.channels import asked, where
from portal import services
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client, Contact, ContactGroup
from portal.tenancy import WRITE, Viewer, viewer_of

MOST = 500
MANY = 10


# --- The list -----------------------------------------------------------------------------------------------------------
@visit.page
def contact_list(request: HttpRequest) -> HttpResponse:
    """`/contacts/?client=3&q=ana`"""
    viewer, wish = viewer_of(request), request.GET
    rows = filtered(Contact.objects.for_user(viewer), wish)
    page = Paginator(with_ways(rows).order_by("client__name", "name", "pk"), visit.PAGE).get_page(wish.get("page"))
    people = list(page.object_list)
    named = naming(people, viewer, database_now())
    filters = {k: v for k, v in wish.items() if k in ("client", "q") and v}
    context = {
        "rows": [{"contact": c, "ways": c.ways.all(), "named": named[c.pk]} for c in people],
        "get": wish, "filters": filters, "many": bool(filters) or page.paginator.count > MANY, "page": page, "may_add": visit.may_any(request, WRITE),
        "clients": list(Client.objects.for_user(viewer).only("pk", "name")[:MOST]),
    }  # fmt: skip
    return visit.show(request, "console/contacts.html", context)


def filtered(rows: QuerySet[Contact], wish: Any) -> QuerySet[Contact]:
    """The people that the address asks for."""
    if wish.get("client"):
        rows = rows.filter(client=visit.whole(wish["client"]) or 0)
    if text := wish.get("q", "").strip()[:120]:
        rows = rows.filter(name__icontains=text)
    return rows


def with_ways(rows: QuerySet[Contact]) -> QuerySet[Contact]:
    """Contacts with their ways in order and the groups they are in."""
    ordered = ContactChannel.objects.select_related("channel", "contact").order_by("delay_minutes", "id")
    return rows.select_related("client").prefetch_related(Prefetch("ways", ordered), "groups")


def naming(people: Iterable[Contact], viewer: Viewer, at: datetime) -> dict[int, dict[str, Any]]:
    """What names each of them, directly, by a group or by a schedule; in a constant number of queries.

    What the visitor may not read is only counted. Silent: no enabled trigger, no active policy, no schedule.
    """
    people = list(people)
    groups = {c.pk: {g.pk for g in c.groups.all()} for c in people}
    turns = _schedules(list(groups), at)
    triggers = _by(Trigger, people, groups)
    levels = _by(Level.objects.select_related("policy"), people, groups, turns)
    shifts = OnCallSchedule.objects.in_bulk({s for found in turns.values() for s in found})
    return {
        c.pk: _seen(triggers[c.pk], levels[c.pk], [shifts[s] for s in sorted(turns[c.pk]) if s in shifts], viewer)
        for c in people
    }


def _seen(
    triggers: list[Trigger], levels: list[Level], schedules: list[OnCallSchedule], viewer: Viewer
) -> dict[str, Any]:
    seen = {
        "triggers": [t for t in triggers if viewer.sees(t.client_id)],
        "levels": [x for x in levels if viewer.sees(x.policy.client_id)],
        "schedules": [s for s in schedules if viewer.sees(s.client_id)],
    }
    hidden = len(triggers) + len(levels) + len(schedules) - sum(map(len, seen.values()))
    speaks = any(t.enabled for t in triggers) or any(x.policy.active for x in levels)
    return {**seen, "hidden": hidden, "silent": not speaks}


def _schedules(people: Sequence[int], at: datetime) -> dict[int, set[int]]:
    """{contact: schedules in which they take turns, or will}"""
    found: dict[int, set[int]] = defaultdict(set)
    members = LayerMember.objects.filter(contact__in=people).order_by().values_list("contact_id", "layer__schedule_id")
    overrides = Override.objects.filter(contact__in=people, ends_at__gt=at).order_by()
    for contact, schedule in [*members, *overrides.values_list("contact_id", "schedule_id")]:
        found[contact].add(schedule)
    return found


def _by(
    source: Any, people: list[Contact], groups: dict[int, set[int]], turns: dict[int, set[int]] | None = None
) -> dict[int, list[Any]]:
    """{contact: triggers or levels that name them, their groups or their schedules}, each once."""
    rows = source.objects.all() if isinstance(source, type) else source
    model = rows.model
    found: dict[int, set[int]] = defaultdict(set)
    _gather(found, model.contacts.through, {c.pk: {c.pk} for c in people}, "contact_id")
    _gather(found, model.groups.through, groups, "contactgroup_id")
    if turns is not None:
        _gather(found, model.schedules.through, turns, "oncallschedule_id")
    known = rows.in_bulk({pk for named in found.values() for pk in named})
    return {c.pk: [known[pk] for pk in sorted(found[c.pk]) if pk in known] for c in people}


def _gather(found: dict[int, set[int]], through: Any, keys: dict[int, set[int]], column: str) -> None:
    """Add to `found` what a table of links says of these contacts, groups or schedules."""
    owner = next(f.attname for f in through._meta.concrete_fields if f.attname not in ("id", column))
    links: dict[int, set[int]] = defaultdict(set)
    wanted = {key for named in keys.values() for key in named}
    for key, row in through.objects.filter(**{f"{column}__in": wanted}).values_list(column, owner):
        links[key].add(row)
    for contact, named in keys.items():
        for key in named:
            found[contact] |= links[key]


# --- One person ---------------------------------------------------------------------------------------------------------
@visit.page
def contact(request: HttpRequest, pk: int) -> HttpResponse:
    """`/contacts/3/`"""
    viewer, at = viewer_of(request), database_now()
    c = visit.found(with_ways(Contact.objects.for_user(viewer)), pk)
    found = list(c.ways.all())
    named = naming([c], viewer, at)[c.pk]
    context = {
        "contact": c, "may": viewer.may(WRITE, c.client_id), "named": named, "groups": [g for g in c.groups.all() if viewer.sees(g.client_id)],
        "ways": [shown(way) for way in found],
        "reach": [("A critical alert", reaching(found, "critical", at)), ("Any other alert", reaching(found, "warning", at))],
    }  # fmt: skip
    return visit.show(request, "console/contact.html", context)


def shown(way: ContactChannel) -> dict[str, Any]:
    """A way in words, with what stands in it."""
    kind = kinds.KINDS.get(way.channel.type)
    return {
        "way": way, "channel": way.channel, "label": kind.label if kind else way.channel.type, "where": where(way.channel), "own": way.channel.contact_id == way.contact_id,
        "obstacle": facts.obstacle(way.channel),
    }  # fmt: skip


def reaching(rows: Iterable[ContactChannel], severity: str, at: datetime) -> list[dict[str, Any]]:
    """What would reach this person now, and when, soonest first: judged by the rule that delays for real."""
    found = []
    for way in rows:
        if facts.obstacle(way.channel) or (way.urgency == "high" and severity != "critical"):
            continue
        rule = engine.Way(way.channel_id, way.contact_id, way.urgency, way.delay_minutes, facts.quiet_of(way))
        due = at + timedelta(seconds=rule.delay(severity, at))
        quiet = due > at + timedelta(minutes=way.delay_minutes)
        found.append({"channel": way.channel, "minutes": way.delay_minutes, "quiet": quiet, "at": due})
    return sorted(found, key=lambda r: r["at"])


class ContactForm(forms.Form):
    """Who it is. How they are reached is on their page."""

    client = forms.ModelChoiceField(
        Client.objects.none(), required=False, empty_label="Our own staff", help_text="Whose person it is."
    )
    name = forms.CharField(max_length=120)
    email = forms.EmailField(required=False, label="E-mail")
    mail_them = forms.BooleanField(
        required=False,
        initial=True,
        label="Tell them by e-mail",
        help_text="Their first way to be reached; more come after.",
    )
    phone = forms.CharField(required=False, max_length=32, help_text="With + and the country code.")
    timezone = forms.CharField(
        max_length=64, initial="UTC", label="Time zone", help_text="Their quiet hours are in it. As Europe/Lisbon."
    )
    groups = forms.ModelMultipleChoiceField(
        ContactGroup.objects.none(), required=False, widget=forms.CheckboxSelectMultiple
    )

    def __init__(self, request: HttpRequest, row: Contact | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["client"].queryset = visit.clients_for(request, WRITE)
        if row is None:
            del fields["groups"]
            if not viewer_of(request).msp_role:
                fields["client"].required, fields["client"].empty_label = True, None
            return
        del fields["client"], fields["mail_them"]
        fields["email"].help_text = "For the record: what is mailed to them goes by their ways."
        groups = writable_groups(request, row)
        fields["groups"].queryset = groups
        if not groups.exists():
            del fields["groups"]


def writable_groups(request: HttpRequest, row: Contact) -> QuerySet[ContactGroup]:
    """The groups that this person can be in and this visitor can change."""
    viewer = viewer_of(request)
    if not viewer.may(WRITE, row.client_id):
        return ContactGroup.objects.none()
    groups = ContactGroup.objects.for_user(viewer).filter(client=row.client_id)
    if row.client_id is not None and viewer.may(WRITE, None):
        groups |= ContactGroup.objects.for_user(viewer).filter(client=None)
    return groups.order_by("name")


@visit.page
def add(request: HttpRequest) -> HttpResponse:
    """`/contacts/add/?client=3`"""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    return _worked(request, None)


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/contacts/3/edit/`"""
    row = visit.found(Contact.objects.for_user(request), pk)
    visit.require(request, WRITE, row)
    return _worked(request, row)


def _worked(request: HttpRequest, row: Contact | None) -> HttpResponse:
    """Show the form, or save it."""
    initial: dict[str, Any] = {"client": visit.whole(request.GET.get("client"))}
    if row is not None:
        initial = {name: getattr(row, name) for name in ("name", "email", "phone", "timezone")}
        initial["groups"] = list(row.groups.values_list("pk", flat=True))
    form = ContactForm(request, row, request.POST if request.method == "POST" else None, initial=initial)
    if form.is_bound and form.is_valid():
        values: dict[str, Any] = form.cleaned_data
        if row is None:
            visit.require(request, WRITE, values["client"].pk if values["client"] else None)
        try:
            saved = save(row, values, writable_groups(request, row) if row else (), by=Actor.of(request))
        except ValidationError as error:
            visit.spread_errors(form, error)
        else:
            messages.success(request, f"{saved.name} was saved.")
            return redirect("contact", pk=saved.pk)
    title = f"Change {row.name}" if row else "Add a contact"
    context = {
        "form": form, "title": title, "submit": "Save" if row else "Add the contact", "note": "",
        "cancel_url": reverse("contact", args=[row.pk]) if row else reverse("contacts"),
        "crumb": (row.name, reverse("contact", args=[row.pk])) if row else ("Contacts", reverse("contacts")),
    }  # fmt: skip
    return render(request, "console/form_page.html", context, status=400 if form.errors else 200)


def save(row: Contact | None, values: dict[str, Any], groups: Iterable[ContactGroup], *, by: Actor) -> Contact:
    """Make a contact with their first way, or change one and the groups they are in."""
    wanted, mail = {g.pk for g in values.pop("groups", ())}, values.pop("mail_them", False)
    with transaction.atomic():
        if row is None:
            made: Contact = services.create(Contact, by=by, **values)
            if mail and made.email:
                ways.add_way(made, by=by, type="email", settings={"to": [made.email]})
            return made
        services.change(row, by=by, **values)
        for group in groups:
            members = list(group.contacts.all())
            if (row in members) != (group.pk in wanted):
                kept = [c for c in members if c != row]
                services.change(group, by=by, contacts=kept if row in members else [*kept, row])
        return row


@visit.page
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """`/contacts/3/delete/`"""
    row = visit.found(with_ways(Contact.objects.for_user(request)), pk)
    visit.require(request, WRITE, row)
    named = naming([row], viewer_of(request), database_now())[row.pk]
    body = f"{row.name} is told nothing any more, and channels of their own go along. They wait in the trash for 30 days and can be put back; then the record of what was sent there is deleted."
    for what, names in (
        ("These triggers name them", [t.name for t in named["triggers"]]),
        ("These escalation levels name them", [str(x) for x in named["levels"]]),
        ("Their turns in these schedules are empty from then on", [s.name for s in named["schedules"]]),
    ):
        body += f" {what}: {', '.join(names[:20])}." if names else ""
    return asked(
        request, "Delete this contact?", body, reverse("contacts"), f"{row.name} was deleted.",
        lambda: trash.deleted(row, lambda: services.delete(row, by=Actor.of(request))),
    )  # fmt: skip
