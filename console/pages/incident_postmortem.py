"""What was learned? A post-mortem: written in Markdown beside its preview, finished, printed, taken along as Markdown or PDF.

Two people who edit at once: the second is told, sees what stands now beside their own text, and loses nothing.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from console.pages import visit
from incidents import postmortems
from incidents.models import Incident, Postmortem
from incidents.sla_api import attached
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.markup import markdown
from portal.tenancy import WRITE, viewer_of

EXPORTS = {"md": "text/markdown; charset=utf-8", "pdf": "application/pdf"}


class TextForm(forms.Form):
    """The text, and which version it was made from."""

    body = forms.CharField(
        label="Text", required=False, strip=False, max_length=postmortems.LIMIT, widget=forms.Textarea(attrs={"rows": 30, "class": "mono", "spellcheck": "true"}), help_text="Markdown. HTML is shown as text."
    )  # fmt: skip
    version = forms.IntegerField(min_value=1, widget=forms.HiddenInput)


def _incident(request: HttpRequest, pk: int) -> Incident:
    rows = Incident.objects.for_user(request).select_related("client", "service", "lead")
    i: Incident = visit.found(rows, pk)
    return i


def shown(text: str) -> SafeString:
    """The text as HTML that is safe to show, its tables as the pages' own."""
    clean = markdown(text, limit=postmortems.LIMIT)
    framed = clean.replace("<table>", '<div class="table-wrap"><table class="table">').replace(
        "</table>", "</table></div>"
    )
    return mark_safe(framed)  # noqa: S308 - cleaned by portal.markup


@visit.page
def postmortem(request: HttpRequest, pk: int) -> HttpResponse:
    """`/incidents/2/postmortem/`: reads it. Nothing is written by looking."""
    i = _incident(request, pk)
    row = Postmortem.objects.filter(incident=i).first()
    may = viewer_of(request).may(WRITE, i.client_id)
    context = {
        "incident": i,
        "row": row,
        "html": shown(row.body) if row else "",
        "may_write": may,
        "moments": postmortems.moments(i),
    }
    return visit.show(request, "console/incident_postmortem.html", context)


@visit.page
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """`/incidents/2/postmortem/edit/`: POST saves, or (button `preview`) only shows."""
    i = _incident(request, pk)
    visit.require(request, WRITE, i)
    row = Postmortem.objects.filter(incident=i).first()
    if row is not None and row.finished_at is not None:
        messages.error(request, "It is finished; reopen it to change it.")
        return redirect("incident_postmortem", pk=pk)
    text = row.body if row and row.edited else postmortems.draft(postmortems.story_of(i))
    form = TextForm(request.POST or None, initial={"body": text, "version": row.version if row else 1})
    context: dict[str, Any] = {"incident": i, "row": row, "form": form, "html": shown(text), "conflict": None}
    if request.method != "POST":
        return visit.show(request, "console/incident_postmortem_edit.html", context)
    valid = form.is_valid()
    context["html"] = shown(request.POST.get("body", ""))
    if "preview" in request.POST:
        fragment = "preview" if getattr(request, "htmx", None) else ""
        return render(request, "console/incident_postmortem_edit.html" + (f"#{fragment}" if fragment else ""), context)
    if valid:
        try:
            _save(i, row, form.cleaned_data, text, Actor.of(request))
        except postmortems.Conflict as conflict:
            form = TextForm(initial={"body": form.cleaned_data["body"], "version": conflict.row.version})
            return visit.show(
                request, "console/incident_postmortem_edit.html", context | {"form": form, "conflict": conflict, "row": conflict.row}, status=409
            )  # fmt: skip
        except Refused as refusal:
            form.add_error(None, str(refusal))
        except ValidationError as error:
            visit.spread_errors(form, error)
        else:
            messages.success(request, "Saved.")
            return redirect("incident_postmortem", pk=pk)
    return visit.show(request, "console/incident_postmortem_edit.html", context, status=400)


def _save(i: Incident, row: Postmortem | None, said: dict[str, Any], draft: str, by: Actor) -> None:
    at = database_now()
    row = row or postmortems.open_for(i, draft, by=by, at=at)
    postmortems.save(row, body=said["body"], version=said["version"], by=by, at=at)


@visit.page
def press(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """finish, reopen (POST)."""
    i = _incident(request, pk)
    doors = {
        "finish": (postmortems.finish, "It is finished."),
        "reopen": (postmortems.reopen, "It is open for editing."),
    }
    if verb not in doors:
        raise Http404
    to = reverse("incident_postmortem", args=[pk])
    if not visit.pressed(request):
        return redirect(to)
    visit.require(request, WRITE, i)
    row = Postmortem.objects.filter(incident=i).first()
    if row is None:
        messages.error(request, "Nobody has begun it.")
        return redirect(to)
    door, said = doors[verb]

    def do() -> str:
        door(row, by=Actor.of(request), at=database_now())
        return said

    return visit.act(request, to, "", do)


@visit.page
def export(request: HttpRequest, pk: int, kind: str) -> HttpResponse:
    """`/incidents/2/postmortem.md` and `.pdf`"""
    i = _incident(request, pk)
    row = Postmortem.objects.filter(incident=i).select_related("incident__client").first()
    if row is None or kind not in EXPORTS:
        raise Http404
    content = postmortems.as_pdf(row) if kind == "pdf" else row.body.encode()
    return attached(content, EXPORTS[kind], f"post-mortem-{i.pk}.{kind}")
