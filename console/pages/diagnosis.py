"""Why, on the pages of those who sign in: a diagnosis with its link to share, and the parts of a monitor's and an alert's page."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from alerts.models import Alert
from console.pages import report, report_story, report_verdict, visit
from console.pages import report_evidence as reading
from monitors.diagnosis import links, starting, targets
from monitors.models import Diagnosis, Monitor, Probe, RouteChange
from portal.audit import Actor
from portal.clock import database_now
from portal.tenancy import WRITE, viewer_of

RECENT, CHANGES = 5, 5


@visit.page
def diagnosis(request: HttpRequest, pk: int) -> HttpResponse:
    """`/diagnoses/12/`: the report; `#report` is what refreshes in place."""
    d = visit.found(seen_by(request), pk)
    viewer, at = viewer_of(request), database_now()
    context = report.contents(d, at, staff=bool(viewer.msp_role)) | {
        "shell": "console/page.html", "here": reverse("diagnosis", args=[pk]), "raw_url": reverse("diagnosis_raw", args=[pk]),
        "share": share_of(d, at) if viewer.may(WRITE, d.monitor.client_id) else None,
        "alert": Alert.objects.for_user(viewer).filter(pk=d.alert_id).first() if d.alert_id else None,
    }  # fmt: skip
    return visit.show(request, "console/report.html", context, visit.wanted(request, "report"))


@visit.page
def raw(request: HttpRequest, pk: int) -> HttpResponse:
    """`/diagnoses/12/raw.json`"""
    d = visit.found(seen_by(request), pk)
    return report.download(d, staff=bool(viewer_of(request).msp_role))


def seen_by(request: HttpRequest) -> Any:
    """The diagnoses that this person may read."""
    return Diagnosis.objects.for_user(request).select_related("monitor__client")


def share_of(d: Diagnosis, at: datetime) -> dict[str, Any]:
    """The link that opens this report to whoever has it: where, until when, or why not."""
    until = links.open_until(d)
    return {
        "url": links.url_of(d),
        "until": until,
        "revoked": d.link_revoked_at is not None,
        "open": until is not None and at < until,
    }


# --- Buttons ----------------------------------------------------------------------------------------------------------------
@visit.page
def press(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """renew, revoke: what becomes of the link."""
    d = visit.found(seen_by(request), pk)
    if verb not in ("renew", "revoke"):
        raise Http404
    visit.require(request, WRITE, d.monitor)
    here = reverse("diagnosis", args=[pk])
    if not visit.pressed(request):
        return asked(request, here) if verb == "revoke" else redirect(here)
    by, at = Actor.of(request), database_now()
    if verb == "renew":
        return visit.act(request, here, "There is a new link; the old one opens nothing any more.", lambda: links.renew(d, by=by, at=at) and None)  # fmt: skip
    return visit.act(request, here, "The link opens nothing any more. A new one can be made at any time.", lambda: links.revoke(d, by=by, at=at) and None)  # fmt: skip


REVOKED = "Whoever has the link sees that it was revoked, and nothing else. A new link can be made at any time."


def asked(request: HttpRequest, here: str) -> HttpResponse:
    """The question before the link ends, as a page for those without scripts."""
    context = {"title": "Revoke the link?", "body": REVOKED, "confirm_label": "Revoke the link", "cancel_url": here}
    return render(request, "components/confirm_page.html", context)


@visit.page
def ask(request: HttpRequest, pk: int) -> HttpResponse:
    """`/monitors/7/diagnose/`: look now, from every probe."""
    m = visit.found(Monitor.objects.for_user(request), pk)
    if not visit.pressed(request):
        return redirect("monitor", pk=pk)
    visit.require(request, WRITE, m)
    here = reverse("monitor", args=[pk])
    said = "Its probes look now; the verdict stands here in a few seconds."
    return visit.act(request, here, said, lambda: starting.ask(m, by=Actor.of(request), at=database_now()) and None)


# --- Parts of other pages -----------------------------------------------------------------------------------------------------
def of_monitor(request: HttpRequest, m: Monitor, at: datetime) -> dict[str, Any]:
    """The section "Why" of a monitor's page: the last verdicts, and routes that moved."""
    found = list(Diagnosis.objects.for_user(request).filter(monitor=m).order_by("-pk").defer("evidence")[:RECENT])
    changes = RouteChange.objects.for_user(request).filter(monitor=m).select_related("probe")[:CHANGES]
    able = m.kind in targets.READERS
    return {
        "diagnoses": [told(d) for d in found],
        "route_changes": [
            {"at": c.at, "probe": reading.plain(c.probe.name), "text": report_story.moved(c)} for c in changes
        ]
        if able or found
        else [],
        "diagnosable": able,
        "why_every": min((s for d in found if (s := report.refresh_seconds(d, at))), default=15),
    }


def told(d: Diagnosis) -> dict[str, Any]:
    """One diagnosis in a list."""
    verdict = reading.table(d.verdict)
    layer = reading.plain(d.layer or verdict.get("layer"), 20)
    return {
        "row": d,
        "summary": reading.plain(verdict.get("summary"), reading.LONG),
        "layer": report_verdict.LAYERS.get(layer, ""),
        "sure": report_verdict.sure(d.confidence if d.confidence is not None else verdict.get("confidence"), layer),
        "confidence": d.confidence if d.confidence is not None else reading.number(verdict.get("confidence")),
        "gathering": d.state == Diagnosis.State.GATHERING,
        "dropped": d.state == Diagnosis.State.DROPPED,
    }


def of_alert(request: HttpRequest, a: Alert) -> dict[str, Any]:
    """The box "Why" of an alert's page: the verdict with what speaks for and against it, or that it is being looked for."""
    fits = Q(alert=a.pk)
    if a.monitor_id and not a.is_resolved:
        # It begins before there is an alert, and is joined to it with its verdict.
        fits |= Q(alert=None, monitor=a.monitor_id, state=Diagnosis.State.GATHERING)
    d = Diagnosis.objects.for_user(request).filter(fits).order_by("-pk").defer("evidence").first()
    verdict = d.verdict if d is not None and d.verdict else a.verdict
    slugs = mentioned(verdict)
    names = dict(Probe.objects.for_user(request).filter(slug__in=slugs).values_list("slug", "name")) if slugs else {}
    found = report_verdict.judged(verdict, names)
    return {
        "diagnosis": d,
        "verdict": found,
        "looking": d is not None and d.state == Diagnosis.State.GATHERING,
    }


def mentioned(verdict: Any) -> list[str]:
    """The probes that a verdict speaks of."""
    v = reading.table(verdict)
    found = [*reading.rows(v.get("for")), *reading.rows(v.get("against"))]
    regions = reading.table(v.get("regions"))
    every = [s for r in found for s in reading.words(r.get("probes"), 100)]
    return list(dict.fromkeys([*every, *reading.words(regions.get("confirming"), 100), *reading.words(regions.get("asked"), 100)]))  # fmt: skip
