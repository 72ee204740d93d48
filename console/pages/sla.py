"""Was the promise kept? Months of availability by contract: the list, one month, its files; a client sees its own."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from console.pages import sla_mail, visit
from incidents import exports, reports, sla
from incidents import sla_mail as mails
from incidents.models import SlaContract, SlaReport
from incidents.sla_api import attached, month
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client, Service
from portal.tenancy import WRITE, viewer_of

MONTHS = 13


@visit.page
def months(request: HttpRequest) -> HttpResponse:
    """`/sla/?client=3`: each client's months, with what was told of them."""
    viewer, at = viewer_of(request), database_now()
    having = {"services__isnull": False} if viewer.may(WRITE, None) else {"services__sla_contract__isnull": False}
    clients = list(Client.objects.for_user(viewer).filter(**having).distinct().order_by("name")[:500])
    wanted = visit.whole(request.GET.get("client")) or (clients[0].pk if clients else 0)
    client = next((c for c in clients if c.pk == wanted), None)
    told: dict[date, SlaReport] = {}
    if client is not None:
        for row in SlaReport.objects.for_user(viewer).filter(client=client).order_by("id"):
            told[row.month] = row
    standings = mails.standings(told.values())
    rows = []
    for first in sla.months_back(at, client.timezone, MONTHS) if client else ():
        report = told.get(first)
        rows.append(
            {
                "first": first,
                "address": f"{first:%Y-%m}",
                "report": report,
                "services": summary(report.body) if report else [],
                "mailed": mailed(standings[report.pk]) if report else {},
            }
        )
    contracts = (
        SlaContract.objects.for_user(viewer).filter(service__client=client).select_related("service") if client else []
    )
    without = (
        Service.objects.for_user(viewer).filter(client=client, sla_contract=None).order_by("name") if client else []
    )
    context = {
        "without": list(without[:200]) if viewer.may(WRITE, None) else [],
        "clients": clients, "client": client, "rows": rows, "contracts": contracts, "may_write": viewer.may(WRITE, None), "staff": bool(viewer.msp_role),
        **(sla_mail.panel(client, viewer) if client else {}),
    }  # fmt: skip
    return visit.show(request, "console/sla.html", context)


def mailed(standings: list[dict[str, Any]]) -> dict[str, int]:
    """How many mails of a report were sent, and how many were not, or not yet."""
    sent = sum(told["word"] == "sent" for told in standings)
    waiting = sum(told["word"] == "on its way" for told in standings)
    return {"sent": sent, "waiting": waiting, "failed": len(standings) - sent - waiting}


def summary(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Each service in one line."""
    return [
        {
            "name": s["name"],
            "percent": exports.percent(s["contract_figures"]["percent"]),
            "met": s["met"],
            "words": exports.verdict(s),
        }
        for s in body.get("services", ())
    ]


def _asked(request: HttpRequest, pk: int, which: str) -> tuple[Client, date]:
    client = visit.found(Client.objects.for_user(request), pk)
    try:
        return client, month(which)
    except ValueError:
        raise Http404 from None


def _kept(request: HttpRequest, client: Client, first: date) -> SlaReport | None:
    return SlaReport.objects.for_user(request).filter(client=client, month=first).order_by("-id").first()


@visit.page
def one_month(request: HttpRequest, pk: int, which: str) -> HttpResponse:
    """`/sla/3/2026-11/`: as it was told, else as far as it has gone. POST keeps it (staff)."""
    client, first = _asked(request, pk, which)
    here = reverse("sla_month", args=[pk, which])
    at = database_now()
    if request.method == "POST":
        visit.require(request, WRITE, None)

        def keep() -> str:
            reports.make(client, first, by=Actor.of(request), at=at)
            return "The report is kept as it stands."

        return visit.act(request, here, "", keep)
    report, viewer = _kept(request, client, first), viewer_of(request)
    body = report.body if report else reports.figures(client, first, at=at)
    again = reports.recompute(report, at=at) if report and request.GET.get("again") else None
    context = {
        "client": client, "first": first, "which": which, "report": report, "sections": [told(s) for s in body["services"]], "again": again, "asked_again": again is not None,
        "from_rows": report is not None and reports.can_ask_rows(report, at=at), "may_write": viewer.may(WRITE, None), "over": body["services"] and all(s["complete"] for s in body["services"]),
        "mails": sla_mail.told_to(report, viewer),
    }  # fmt: skip
    return visit.show(request, "console/sla_month.html", context)


def told(s: dict[str, Any]) -> dict[str, Any]:
    """A service's section in the words of the page."""
    zone = s["contract"]["timezone"] or "UTC"
    figures = [("By contract", s["contract_figures"]), ("Raw", s["raw"])]

    def stretch(row: dict[str, Any]) -> dict[str, Any]:
        return row | {
            "from": exports.moment(row["from"], zone),
            "until": exports.moment(row["until"], zone),
            "lasted": sla.words(row["seconds"]),
        }

    return {
        "name": s["name"], "service": s["service"], "met": s["met"], "verdict": exports.verdict(s), "left": exports.left(s), "terms": exports.excludes(s),
        "target": exports.percent(s["contract"]["target_percent"]),
        "figures": [{"label": label, "percent": exports.percent(f["percent"]), "down": sla.words(f["down_seconds"]), "of": sla.words(f["counted_seconds"])} for label, f in figures],
        "outages": [stretch(o) for o in s["outages"]], "excluded": [stretch(e) for e in s["excluded"]],
    }  # fmt: skip


@visit.page
def export(request: HttpRequest, pk: int, which: str, kind: str) -> HttpResponse:
    """`/sla/3/2026-11.pdf` and `.csv`: what the page shows."""
    client, first = _asked(request, pk, which)
    report = _kept(request, client, first)
    body = report.body if report else reports.figures(client, first, at=database_now())
    name = f"availability-{client.slug}-{first:%Y-%m}.{kind}"
    if kind == "pdf":
        return attached(exports.as_pdf(body, report.digest if report else ""), "application/pdf", name)
    if kind == "csv":
        return attached(exports.as_csv(body).encode(), "text/csv; charset=utf-8", name)
    raise Http404


# --- Contracts ----------------------------------------------------------------------------------------------------------------
class ContractForm(forms.Form):
    """What is promised about a service."""

    target_percent = forms.FloatField(label="Target", min_value=0, max_value=100, initial=99.9, widget=forms.NumberInput(attrs={"step": "any"}), help_text="Percent of a month, as 99.9.")  # fmt: skip
    counted_from = forms.ChoiceField(
        choices=SlaContract.CountedFrom.choices, label="An outage counts from", initial="confirmation"
    )
    exclude_maintenance = forms.BooleanField(required=False, initial=True, label="Leave out announced maintenance")
    exclude_transit = forms.BooleanField(required=False, label="Leave out faults on the way there (verdict: transit)")
    exclude_probe = forms.BooleanField(
        required=False, initial=True, label="Leave out faults of our own probes (verdict: probe)"
    )
    exclude_unknown = forms.BooleanField(required=False, initial=True, label="Leave out time in which nothing was measured", help_text="Otherwise it counts as up. It never counts as down.")  # fmt: skip
    timezone = forms.CharField(required=False, max_length=60, help_text="Where a month begins and ends, as Europe/Berlin. Empty: the client's.")  # fmt: skip


@visit.page
def contract(request: HttpRequest, pk: int) -> HttpResponse:
    """`/sla/services/5/`: the contract of a service; our staff changes it."""
    service = visit.found(Service.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, None)
    row = SlaContract.objects.filter(service=service).first()
    known = {name: getattr(row, name) for name in reports.FIELDS} if row else {}
    form = ContractForm(request.POST if request.method == "POST" else None, initial=known)
    back = f"{reverse('sla')}?client={service.client_id}"
    if request.method == "POST" and form.is_valid():
        try:
            reports.save_contract(service, by=Actor.of(request), **form.cleaned_data)
        except ValidationError as error:
            visit.spread_errors(form, error)
        else:
            messages.success(request, f"The contract of {service.name} is saved.")
            return redirect(back)
    context = {"form": form, "title": f"Contract for {service.name}", "submit": "Save the contract", "cancel_url": back, "crumb": ("Availability", back), "note": service.client.name}  # fmt: skip
    return render(request, "console/form_page.html", context, status=400 if form.errors else 200)
