"""How does a client, or our staff, get everything of theirs as one archive? Ask, see how far it is, fetch it for a week."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from console.exporting import archive, jobs
from console.pages import visit
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import Client, ClientExport
from portal.tenancy import WRITE


def _client(request: HttpRequest, pk: int) -> Client:
    """The client whose archive this person may have: staff's, and its admin's."""
    client: Client = visit.found(Client.objects.for_user(request), pk)
    visit.require(request, WRITE, client.pk)
    return client


@visit.page
def export(request: HttpRequest, pk: int) -> HttpResponse:
    """`/clients/3/export/`: POST asks for an archive."""
    client = _client(request, pk)
    here = reverse("client_export", args=[pk])
    if request.method == "POST":
        said = "The archive is being made. You can leave this page meanwhile."
        return visit.act(request, here, said, lambda: jobs.ask(client, by=Actor.of(request), at=database_now()))
    row = jobs.latest(client, database_now())
    making = row is not None and row.state in (ClientExport.State.WAITING, ClientExport.State.RUNNING)
    context = {"client": client, "export": row, "making": making, "days": jobs.KEPT.days}
    return visit.show(request, "console/client_export.html", context, visit.wanted(request, "live"))


@visit.page
def file(request: HttpRequest, pk: int) -> HttpResponseBase:
    """`/clients/3/export/file/`: the archive, to whoever is signed in and may have it."""
    client = _client(request, pk)
    row = jobs.latest(client, database_now())
    try:
        if row is None:
            raise Refused("There is no archive to fetch; ask for one.")
        return served(row, Actor.of(request))
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("client_export", pk=pk)


def served(row: ClientExport, by: Actor) -> StreamingHttpResponse:
    """The archive as a download that nobody keeps on the way. Refused when there is none."""
    answer = StreamingHttpResponse(jobs.fetched(row, by=by, at=database_now()), content_type="application/zip")
    answer["Content-Length"] = str(row.size)
    answer["Content-Disposition"] = f'attachment; filename="{archive.file_name(row.client, row.asked_at)}"'
    answer["Cache-Control"] = "private, no-store"
    answer["X-Content-Type-Options"] = "nosniff"
    return answer
