"""Who is mailed each month's report, and did it arrive? The buttons beside it; what they do is `incidents.sla_mail`'s."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from alerts import acts, sender
from alerts.models import Delivery
from console.pages import visit
from incidents import sla_mail
from incidents.models import ReportMail, ReportRecipient, SlaReport
from incidents.sla_api import month
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client
from portal.tenancy import WRITE, Viewer, viewer_of

SHOWN = 200


def panel(client: Client, viewer: Viewer) -> dict[str, Any]:
    """What the page of months shows of it: who is named, who could be, whether this viewer may say so."""
    ours = bool(viewer.msp_role)
    rows = ReportRecipient.objects.for_user(viewer).filter(client=client).select_related("contact")
    named = [r.contact for r in rows if ours or r.contact.client_id is not None]
    may = viewer.may(WRITE, client.pk)
    chosen = {c.pk for c in named}
    return {
        "recipients": named,
        "more_of_ours": len(rows) - len(named),
        "may_name": may,
        "candidates": [(c, c.pk in chosen) for c in sla_mail.candidates(client, ours=ours)[:SHOWN]] if may else [],
    }


def told_to(report: SlaReport | None, viewer: Viewer) -> list[dict[str, Any]]:
    """The mails of a report as this viewer may read them: a client's people see no names of ours."""
    found = sla_mail.standings([report])[report.pk] if report else []
    ours, may = bool(viewer.msp_role), bool(report) and viewer.may(WRITE, report.client_id)
    return [
        {**told, "who": told["mail"].name if ours or not told["mail"].ours else "one of our staff", "again": told["again"] and may}
        for told in found
    ]  # fmt: skip


@visit.page
def recipients(request: HttpRequest, pk: int) -> HttpResponse:
    """`/sla/3/recipients/`: POST `contact` (any number) names who is mailed from now on."""
    client = visit.found(Client.objects.for_user(request), pk)
    back = f"{reverse('sla')}?client={pk}#mailed"
    if not visit.pressed(request):
        return redirect(back)
    visit.require(request, WRITE, client.pk)
    ours = bool(viewer_of(request).msp_role)
    wanted = {visit.whole(value) or 0 for value in request.POST.getlist("contact")}
    chosen = list(sla_mail.candidates(client, ours=ours).filter(pk__in=wanted))

    def name() -> str:
        sla_mail.name_recipients(client, chosen, by=Actor.of(request), ours=ours)
        return f"Each month’s report goes to {len(chosen)} of these by itself." if chosen else "Nobody is mailed."

    return visit.act(request, back, "", name)


@visit.page
def to_me(request: HttpRequest, pk: int, which: str) -> HttpResponse:
    """`/sla/3/2026-11/to-me/`: one copy of a kept report, to the person who presses."""
    client = visit.found(Client.objects.for_user(request), pk)
    try:
        first = month(which)
    except ValueError:
        raise Http404 from None
    report = SlaReport.objects.for_user(request).filter(client=client, month=first).order_by("-id").first()
    here = reverse("sla_month", args=[pk, which])
    if report is None:
        raise Http404
    if not visit.pressed(request):
        return redirect(here)

    def send() -> str:
        row = sla_mail.send_to_me(report, request.user, by=Actor.of(request), at=database_now())  # type: ignore[arg-type]
        return outcome(sender.send_now(row), str(request.user.email))  # type: ignore[union-attr]

    return visit.act(request, here, "", send)


def outcome(row: Delivery, to: str) -> str:
    """What came of it, in a sentence."""
    if row.state == Delivery.State.DELIVERED:
        return f"Sent: the mail server took it for {to}."
    if row.state in (Delivery.State.PENDING, Delivery.State.SENDING):
        return f"Not sent yet; it is tried again by itself. {row.reason}".strip()
    return f"It was not sent: {row.reason}"


@visit.page
def again(request: HttpRequest, pk: int) -> HttpResponse:
    """`/sla/mails/5/again/`: try one that failed anew."""
    mail = visit.found(ReportMail.objects.for_user(request).select_related("report", "delivery"), pk)
    here = reverse("sla_month", args=[mail.report.client_id, f"{mail.report.month:%Y-%m}"])
    if not visit.pressed(request):
        return redirect(here)
    visit.require(request, WRITE, mail.report.client_id)
    if mail.delivery is None:
        raise Http404
    return visit.act(
        request, here, "It is tried again now.", lambda: acts.retry(mail.delivery, by=Actor.of(request), at=database_now()) and None
    )  # fmt: skip
