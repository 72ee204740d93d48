"""How do contacts leave as a table, and how are many added from one? First it is shown what each line becomes, then it happens."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from alerts import services as ways
from alerts.models import ContactChannel
from console.pages import csv_cells, csv_channels, visit
from console.pages.contacts import filtered, save
from portal import services
from portal.audit import Actor
from portal.models import Client, Contact, ContactGroup
from portal.tenancy import WRITE, viewer_of

COLUMNS = ("client", "name", "email", "phone", "timezone", "told by mail", "channels", "groups")
MOST, LONGEST = 200, 500_000  # lines, characters
YES, NO = ("yes", "y", "true", "1"), ("no", "n", "false", "0", "")


# --- Out ----------------------------------------------------------------------------------------------------------------
@visit.page
def export(request: HttpRequest) -> HttpResponse:
    """`/tables/contacts.csv?client=&q=`: the people that the list shows."""
    people = filtered(Contact.objects.for_user(request), request.GET)
    people = people.select_related("client").prefetch_related("groups", "ways__channel").order_by("client__name", "name", "pk")  # fmt: skip
    return csv_cells.attached(COLUMNS, [cells(c, viewer_of(request)) for c in people], "contacts")


def cells(c: Contact, viewer: Any) -> list[object]:
    """A contact as a line. Of their own channels those stay here that have a secret."""
    mailed = next((way for way in c.ways.all() if is_mail(way, c)), None)
    groups = [g.name for g in c.groups.all() if viewer.sees(g.client_id)]
    return [c.client.name if c.client else "", c.name, c.email, c.phone, c.timezone, "yes" if mailed else "no", csv_channels.written(c, mailed), "; ".join(groups)]  # fmt: skip


def is_mail(way: ContactChannel, c: Contact) -> bool:
    """Is this way a mail to their own address?"""
    return bool(c.email) and way.channel.type == "email" and way.channel.config.get("to") == [c.email]


# --- In -----------------------------------------------------------------------------------------------------------------
class TableForm(forms.Form):
    """Whose they are, and the lines."""

    client = forms.ModelChoiceField(
        Client.objects.none(), required=False, empty_label="Our own staff", help_text="Where a line names no client itself."
    )  # fmt: skip
    lines = forms.CharField(
        max_length=LONGEST,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "class": "mono", "placeholder": "name,email,phone\nAna Lima,ana@example.com,+351912345678"}),
        help_text=f"CSV with a header: <code>name</code>, and any of {', '.join(c for c in COLUMNS if c != 'name')}. Several groups are separated by <code>;</code>, and so are channels, as in <code>telegram: 4711; twilio_sms: +351912345678</code> "
        f"(of the kinds {', '.join(csv_channels.carried())}; those that need a secret are added by hand). "
        f"Told by mail is yes or no; empty is yes where there is an address. At most {MOST} at a time.",
    )  # fmt: skip

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["client"]
        field.queryset = visit.clients_for(request, WRITE)
        if not viewer_of(request).msp_role:
            field.required, field.empty_label = True, None


@dataclass(slots=True)
class Previewed:
    """A line as it will be stored, or why it will not."""

    number: int
    contact: Contact
    groups: list[ContactGroup] = field(default_factory=list)
    mail: bool = False
    ways: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def reached(self) -> list[str]:
        """By what besides mail."""
        return [csv_channels.spoken(way) for way in self.ways]


@visit.page
def several(request: HttpRequest) -> HttpResponse:
    """`/contacts/several/?client=3`: paste, look, then add all at once. Nothing is stored before the second press."""
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    posted = request.POST if request.method == "POST" else None
    form = TableForm(request, posted, initial={"client": visit.whole(request.GET.get("client"))})
    rows: list[Previewed] = []
    if form.is_bound and form.is_valid():
        client = form.cleaned_data["client"]
        visit.require(request, WRITE, client.pk if client else None)
        try:
            rows = preview(request, client, read(form.cleaned_data["lines"]))
        except ValidationError as error:
            form.add_error("lines", error)
        if rows and "create" in request.POST and not any(row.errors for row in rows):
            return created(request, rows)
    bad = [row for row in rows if row.errors]
    context = {
        "form": form, "rows": rows, "bad_rows": bad, "ready": bool(rows) and not bad and not form.errors,
        "cancel_url": reverse("contacts"),
    }  # fmt: skip
    return visit.show(request, "console/contact_several.html", context, status=400 if form.errors or bad else 200)


def read(text: str) -> list[tuple[int, dict[str, str]]]:
    """[(line number, {column: cell})]. ValidationError when it is no table of contacts."""
    text = csv_cells.unguarded(text.lstrip("\ufeff"))
    first = next((line for line in text.splitlines() if line.strip()), "")
    mark = max(",;\t", key=first.count)
    head: list[str] = []
    lines = []
    reader, number = csv.reader(io.StringIO(text), delimiter=mark), 1
    try:
        for row in reader:
            here, number = number, reader.line_num + 1
            row = [one.strip() for one in row]
            if not any(row):
                continue
            if not head:
                head = [one.lower() for one in row]
                _judge_head(head)
                continue
            if len(row) > len(head):
                raise ValidationError(f"Line {here} has {len(row)} cells, but the header names {len(head)}; put quotes around a cell with a comma in it.")  # fmt: skip
            lines.append((here, dict(zip(head, row, strict=False))))
    except csv.Error as error:
        raise ValidationError(f"Line {number} cannot be read as CSV ({error}); look for a quote that is not closed.") from None  # fmt: skip
    if not lines:
        raise ValidationError("There is nobody in it; put one person a line below the header.")
    if len(lines) > MOST:
        raise ValidationError(f"At most {MOST} at a time; these are {len(lines)}. Paste the rest afterwards.")
    return lines


def _judge_head(head: list[str]) -> None:
    unknown = [name for name in head if name not in COLUMNS]
    twice = [name for name in head if head.count(name) > 1]
    if unknown:
        raise ValidationError(f"There is no column {unknown[0][:40]!r}; there are {', '.join(COLUMNS)}.")
    if twice:
        raise ValidationError(f"The column {twice[0]!r} is there twice; leave one out.")
    if "name" not in head:
        raise ValidationError("The first line must name the columns, one of them name.")


def preview(
    request: HttpRequest, client: Client | None, lines: Iterable[tuple[int, dict[str, str]]]
) -> list[Previewed]:
    """Each line judged as the door will judge it; nothing is stored."""
    viewer = viewer_of(request)
    clients = {c.name.lower(): c for c in visit.clients_for(request, WRITE)}
    groups = {(g.client_id, g.name.lower()): g for g in ContactGroup.objects.for_user(viewer)}
    known = {(c.client_id, c.name.lower()) for c in Contact.objects.for_user(viewer)}
    rows = []
    for number, cell in lines:
        row = Previewed(number, Contact(name=cell.get("name", ""), email=cell.get("email", ""), phone=cell.get("phone", "")))  # fmt: skip
        c, owner = row.contact, client
        if cell.get("client"):
            owner = clients.get(cell["client"].lower())
            if owner is None:
                row.errors.append(f"client: You have no client “{cell['client'][:60]}” whose contacts you may change.")
        c.client, c.timezone = owner, cell.get("timezone") or (owner.timezone if owner else "UTC")
        row.mail = _mail(cell, row)
        row.ways, wrong, notes = csv_channels.read(cell.get("channels", ""))
        row.errors += wrong
        for word in [w.strip() for w in cell.get("groups", "").split(";") if w.strip()]:
            group = groups.get((c.client_id, word.lower())) or groups.get((None, word.lower()))
            if group is None or not viewer.may(WRITE, group.client_id):
                row.errors.append(f"groups: There is no group “{word[:60]}” that they can be put into; add it first, or leave it out.")  # fmt: skip
            else:
                row.groups.append(group)
        try:
            services.clean(c)
        except ValidationError as error:
            row.errors += [f"{name}: {' '.join(said)}" for name, said in error.message_dict.items()]
        who = (c.client_id, c.name.lower())
        row.note = " ".join(
            [*(["Somebody of this name is there already; this adds another."] if who in known else []), *notes]
        )
        known.add(who)
        rows.append(row)
    return rows


def _mail(cell: dict[str, str], row: Previewed) -> bool:
    said = cell.get("told by mail", "").lower()
    if said not in YES + NO:
        row.errors.append("told by mail: Write yes or no.")
    if said in YES and not row.contact.email:
        row.errors.append("told by mail: There is no address to mail to; give one as email, or write no.")
    return bool(row.contact.email) and (said in YES or not said)


def created(request: HttpRequest, rows: list[Previewed]) -> HttpResponse:
    """All of them, or none."""
    by = Actor.of(request)
    with transaction.atomic():
        for row in rows:
            c = row.contact
            values = {"client": c.client, "name": c.name, "email": c.email, "phone": c.phone, "timezone": c.timezone}
            made = save(None, {**values, "mail_them": row.mail}, (), by=by)
            for way in row.ways:
                ways.add_way(made, by=by, **way)
            for group in row.groups:
                services.change(group, by=by, contacts=[*group.contacts.all(), made])
    n = len(rows)
    messages.success(request, f"{n} {'contact was' if n == 1 else 'contacts were'} added. Name them in a trigger or a level, so that they are told.")  # fmt: skip
    return redirect("contacts")
