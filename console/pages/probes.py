"""Where are checks made from, and how are those places? The list, a probe's page, and what staff do with it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from alerts.models import Alert
from console.pages import visit
from console.pages.monitor import view_status
from monitors import probe_health, probes, remote, watching
from monitors.models import Probe, ProbeState
from monitors.probe.runner import VERSION
from monitors.probe_health import WORDS, Health, health_of
from portal.audit import Actor
from portal.clock import database_now
from portal.models import AuditEntry, Client
from portal.tenancy import WRITE, Viewer, viewer_of

MOST, MOST_MONITORS, MOST_JOBS, MOST_EVENTS = 500, 200, 20, 12
ACTS = {  # verb: what is said afterwards
    "look": "It was asked to look around; the answer shows among its jobs in a moment.",
    "enable": "It watches again, from now.",
    "disable": "It is off: it watches nothing until somebody switches it on.",
    "revoke": "It is revoked: its key opens nothing any more.",
}


# --- The list ------------------------------------------------------------------------------------------------------------
@visit.page
def probe_list(request: HttpRequest) -> HttpResponse:
    """`/probes/?client=3&health=bad`; a client's people see their own probes, and the regions by name."""
    viewer, at = viewer_of(request), database_now()
    wish = request.GET
    rows = Probe.objects.for_user(viewer).select_related("client").prefetch_related("tags")
    if wish.get("client") == "none":
        rows = rows.filter(client=None)
    elif wish.get("client"):
        rows = rows.filter(client=visit.whole(wish["client"]) or 0)
    if text := wish.get("q", "").strip()[:200]:
        # Of a region a client's people know the name alone: its network must not be told by what finds it.
        known = Q() if viewer.msp_role else Q(client__isnull=False)
        rows = rows.filter(Q(name__icontains=text) | Q(network__icontains=text) & known)
    found = [shown(probe, viewer, at) for probe in rows]
    wanted = wish.get("health", "")
    if wanted:
        found = [r for r in found if (r["health"].is_bad if wanted == "bad" else r["health"].code == wanted)]
    bad = sum(r["health"].is_bad for r in found)
    found.sort(key=lambda r: (r["health"].order, r["probe"].name.lower()))
    part = Paginator(found, visit.PAGE).get_page(wish.get("page"))
    alone, found = all(r["probe"].built_in for r in found), list(part.object_list)
    if viewer.msp_role and found:
        watched = ProbeState.objects.filter(probe__in=[r["probe"].pk for r in found], active=True).order_by()
        counts = dict(watched.values_list("probe").annotate(n=Count("pk")))
        for r in found:
            r["monitors"] = counts.get(r["probe"].pk, 0)
    context = {
        "rows": found, "page": part, "get": wish, "filters": {k: v for k, v in wish.items() if v and k != "page"}, "may_add": viewer.may(WRITE, None), "alone": alone,
        "clients": list(Client.objects.for_user(viewer).only("pk", "name")[:MOST]) if viewer.msp_role else [],
        "healths": [(code, word) for code, (word, _) in WORDS.items()], "bad": bad,
    }  # fmt: skip
    return visit.show(request, "console/probes.html", context, visit.wanted(request, "live"))


def shown(probe: Probe, viewer: Viewer, at: datetime) -> dict[str, Any]:
    """A probe as this person may see it: of a region, a client's people learn its name and whether it is well."""
    inside = knows(viewer, probe)
    found = health_of(probe, at)
    return {"probe": probe, "health": found if inside else Health(found.code), "inside": inside, **(figures(probe) if inside else {})}  # fmt: skip


def knows(viewer: Viewer, probe: Probe) -> bool:
    """May this person look inside: staff into all, a client's people into their own?"""
    return bool(viewer.msp_role) or (probe.client_id is not None and viewer.sees(probe.client_id))


def figures(probe: Probe) -> dict[str, Any]:
    """What its program says of itself, as numbers or None."""
    said = {n: v for n, v in probe.health.items() if isinstance(v, int | float)}
    return {
        "late_ms": said.get("late_ms"), "rate": said.get("checks_per_s"), "spool": said.get("spool"), "lost": said.get("lost"), "memory": said.get("memory_mb"),
        "old": probe_health.is_older(probe.version), "monitors": said.get("monitors"),
    }  # fmt: skip


# --- One probe -----------------------------------------------------------------------------------------------------------
def seen_probe(request: HttpRequest, pk: int) -> Probe:
    """A probe that this person may look into; a region has no page for a client's people."""
    probe: Probe = visit.found(Probe.objects.for_user(request).select_related("client").prefetch_related("tags"), pk)
    if not knows(viewer_of(request), probe):
        raise Http404
    return probe


@visit.page
def probe(request: HttpRequest, pk: int) -> HttpResponse:
    """`/probes/3/`: `#live` is all of it but the actions."""
    row, at, viewer = seen_probe(request, pk), database_now(), viewer_of(request)
    views = (
        ProbeState.objects.for_user(viewer).filter(probe=row).select_related("monitor__client").order_by("-status", "monitor__name", "pk")
    )  # fmt: skip
    shown_views = list(views[: MOST_MONITORS + 1])
    anchors = asked_anchors(row)
    context = {
        **shown(row, viewer, at), "staff": viewer.may(WRITE, None), "views": [{"row": v, "status": view_status(v)} for v in shown_views[:MOST_MONITORS]],
        "watched": len(shown_views) if len(shown_views) <= MOST_MONITORS else views.count(), "more": len(shown_views) > MOST_MONITORS, "portal_version": VERSION,
        "anchors": [{"address": a, "answered": anchors.get(a)} for a in row.anchors], "jobs": list(row.jobs.order_by("-pk")[:MOST_JOBS]) if viewer.msp_role else [],
        "events": events(row, viewer), "audit": audit_of(row) if viewer.msp_role else [], "clock_limit": watching.CLOCK_OFF_MS, "key": remote.identity.fingerprint(row.public_key) if row.public_key else "",
        "cloned": row.health.get("cloned_at"),
    }  # fmt: skip
    return visit.show(request, "console/probe.html", context, visit.wanted(request, "live"))


def asked_anchors(probe: Probe) -> dict[str, bool]:
    """What each anchor said when the probe was last asked to look around."""
    done = probe.jobs.filter(kind="look", state="done").order_by("-pk").values_list("result", flat=True).first() or {}
    said = done.get("anchors")
    return {a: bool(ok) for a, ok in said.items()} if isinstance(said, dict) else {}


def events(probe: Probe, viewer: Viewer) -> list[Alert]:
    """When it was blind, silent or doubled: its alerts, newest first, open ones among them."""
    rows = Alert.objects.for_user(viewer).filter(source="probe", entity_type="probe", entity_id=str(probe.pk))
    return list(rows.order_by("-pk")[:MOST_EVENTS])


def audit_of(probe: Probe) -> list[AuditEntry]:
    """What people and its program did, newest first."""
    return list(AuditEntry.objects.filter(subject=f"probe:{probe.pk}").order_by("-pk")[:MOST_EVENTS])


# --- Buttons -------------------------------------------------------------------------------------------------------------
@visit.page
def press(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """look, enable, disable, revoke: staff only; what takes something away asks first."""
    row = seen_probe(request, pk)
    if verb not in ACTS:
        raise Http404
    if verb in ("look", "enable") and not visit.pressed(request):
        return redirect("probe", pk=pk)
    visit.require(request, WRITE, None)
    if not visit.pressed(request):
        return asked(request, row, verb)
    by, at = Actor.of(request), database_now()

    def do() -> None:
        if verb == "look":
            probes.look(row, by=by, at=at)
        elif verb == "revoke":
            remote.revoke(row, by=by, at=at)
        else:
            probes.change(row, by=by, at=at, enabled=verb == "enable")

    return visit.act(request, reverse("probe", args=[pk]), ACTS[verb], do)


def asked(request: HttpRequest, probe: Probe, verb: str) -> HttpResponse:
    """The page before: what will be different."""
    watched = ProbeState.objects.filter(probe=probe, active=True).count()
    short = probes.dependent(probe)
    body = f"{count(watched)} watched from {probe.name}. " if watched else "It watches nothing now. "
    if short:
        body += f"{named(short)} would have too few places left: unknown until others are chosen. "
    body += {
        "disable": "While it is off it has no vote and takes no jobs. What it saw is kept, and it can be switched on again at any time.",
        "revoke": "Its key opens nothing from this moment on, an unused token ends, and results that still wait on its disk are refused. "
        "The probe stays with its history; a new token lets a program enrol anew.",
    }[verb]
    return render(
        request, "components/confirm_page.html",
        {
            "title": f"Switch {probe.name} off?" if verb == "disable" else f"Revoke {probe.name}?", "body": body, "confirm_label": "Switch it off" if verb == "disable" else "Revoke its key",
            "cancel_url": reverse("probe", args=[probe.pk]),
        },
    )  # fmt: skip


@visit.page
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """`/probes/3/delete/`: names what goes along, then deletes. Refused while a monitor would be left with too few places."""
    row = seen_probe(request, pk)
    visit.require(request, WRITE, None)
    back = reverse("probe", args=[pk])
    if visit.pressed(request):
        name = row.name

        def do() -> None:
            probes.delete(row, by=Actor.of(request), at=database_now())

        answer = visit.act(request, back, f"{name} was deleted.", do)
        return redirect("probes") if not Probe.objects.filter(pk=pk).exists() else answer
    if row.built_in:
        messages.error(request, "The portal's own workers are this probe; disable it instead.")
        return redirect(back)
    watched = ProbeState.objects.filter(probe=row).count()
    short = probes.dependent(row)
    body = (
        f"{count(watched)} watched from it, and {'is' if watched == 1 else 'are'} no longer. What it measured goes along: its uptime and latency figures, its part of diagnoses, "
        "its jobs. Its open alerts close without a message. The audit log keeps its name."
    )  # fmt: skip
    body += f" Not possible yet: {named(short)} would have too few places left. Choose others first." if short else ""
    context = {"title": f"Delete {row.name}?", "body": body, "confirm_label": "Delete the probe", "cancel_url": back}
    return render(request, "components/confirm_page.html", context)


def count(n: int) -> str:
    """`1 monitor is`, `3 monitors are`."""
    return "1 monitor is" if n == 1 else f"{n} monitors are"


def named(monitors: list[Any]) -> str:
    """The first few by name."""
    names = ", ".join(m.name for m in monitors[: probes.NAMED])
    return f"{names} and {len(monitors) - probes.NAMED} more" if len(monitors) > probes.NAMED else names
