"""What was deleted in the last 30 days, and can be put back? The trash, its two buttons, and the Undo that a deletion offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from console.pages import visit
from portal import trash
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import TrashEntry
from portal.tenancy import WRITE, viewer_of

# Where each kind of thing has its page, for who put it back.
PAGES = {"portal.client": "client", "monitors.monitor": "monitor", "portal.contact": "contact", "alerts.channel": "channel_edit", "alerts.trigger": "trigger_edit"}  # fmt: skip


@visit.page
def trash_list(request: HttpRequest) -> HttpResponse:
    """`/trash/`: for who may put something back; our own people see all of it, a client's admins what was theirs."""
    viewer = viewer_of(request)
    if not visit.may_any(request, WRITE):
        raise PermissionDenied
    entries, newer, older = visit.cut(request, TrashEntry.objects.for_user(viewer).select_related("client"))
    context = {
        "rows": [
            {
                "entry": entry,
                "label": trash.kind_of(entry).label,
                "until": trash.until(entry),
                "may": viewer.may(WRITE, entry.client_id),
            }
            for entry in entries
        ],
        "newer_url": newer,
        "older_url": older,
        "days": trash.KEPT.days,
    }
    return visit.show(request, "console/trash.html", context)


class NameForm(forms.Form):
    """Another name, where something else has the old one by now."""

    name = forms.CharField(max_length=120)

    def __init__(self, column: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if column == "slug":
            self.fields["name"] = forms.SlugField(max_length=60, label="Name in its ping address")
        self.fields["name"].help_text = "Something else is called as it was by now; give it another."


@visit.page
def put_back(request: HttpRequest, pk: int) -> HttpResponse:
    """`/trash/7/put-back/`: says what follows, and asks for another name only when the old one is taken."""
    entry = visit.found(TrashEntry.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, entry)
    kind = trash.kind_of(entry)
    column = trash.taken_name(entry)
    form = NameForm(column, request.POST if request.method == "POST" else None, initial={"name": entry.name}) if column else None  # fmt: skip
    if request.method == "POST" and (form is None or form.is_valid()):
        name = form.cleaned_data["name"].strip() if form else ""
        try:
            remarks = trash.put_back(entry, by=Actor.of(request), at=database_now(), name=name)
        except ValidationError as error:
            form = form or NameForm(trash.taken_name(entry), request.POST)
            form.add_error("name", error.messages)
        except Refused as refusal:
            messages.error(request, str(refusal))
            return redirect("trash")
        else:
            return _done(request, entry, remarks)
    context = {
        "entry": entry, "label": kind.label, "form": form, "title": f"Put {entry.name} back?", "says": kind.returns, "submit": "Put it back",
    }  # fmt: skip
    return render(request, "console/trash_ask.html", context, status=400 if form and form.errors else 200)


def _done(request: HttpRequest, entry: TrashEntry, remarks: list[str]) -> HttpResponse:
    row = trash.row_of(entry)
    said = f"{row} is back."
    messages.add_message(request, messages.WARNING if remarks else messages.SUCCESS, " ".join([said, *remarks]))
    page = PAGES.get(entry.kind)
    return redirect(page, pk=entry.object_id) if page else redirect("trash")


@visit.page
def purge(request: HttpRequest, pk: int) -> HttpResponse:
    """`/trash/7/purge/`: names what is lost, then deletes for good."""
    entry = visit.found(TrashEntry.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, entry)
    kind = trash.kind_of(entry)
    if request.method == "POST":
        said = f"{entry.name} is deleted for good."
        return visit.act(request, reverse("trash"), said, lambda: trash.purge(entry, by=Actor.of(request), at=database_now()))  # fmt: skip
    context = {
        "entry": entry, "label": kind.label, "title": f"Delete {entry.name} for good?", "says": f"{kind.goes} Nobody can bring it back.",
        "submit": "Delete it for good", "danger": True,
    }  # fmt: skip
    return render(request, "console/trash_ask.html", context)


# --- After a deletion -----------------------------------------------------------------------------------------------------
def undo(row: Model) -> SafeString:
    """What the message after a deletion says: until when it waits in the trash, with the way back."""
    entry = TrashEntry.objects.filter(kind=row._meta.label_lower, object_id=row.pk).first()
    if entry is None:
        return format_html("{} was deleted.", row)
    return format_html(
        '{} was deleted. It waits in the <a href="{}">trash</a> for {} days. <a href="{}">Undo</a>',
        row, reverse("trash"), trash.KEPT.days, reverse("trash_put_back", args=[entry.pk]),
    )  # fmt: skip


def deleted(row: Model, do: Callable[[], object]) -> SafeString:
    """Delete it by its door, and say so with the way back."""
    do()
    return undo(row)


def undo_several() -> SafeString:
    """The same for several: they are looked up in the trash."""
    return format_html('They wait in the <a href="{}">trash</a> for {} days. <a href="{}">Undo</a>', reverse("trash"), trash.KEPT.days, reverse("trash"))  # fmt: skip
