"""Why does it fail, and what was seen? The report of one diagnosis, for whoever has its link.

The public page is rendered without the request: no session is read, no cookie set, and what is shown does not depend
on who happens to be signed in. `contents` is the same for the page of those who sign in (console.pages.diagnosis).
"""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_safe

from console.pages import report_charts as charts
from console.pages import report_evidence as reading
from console.pages import report_paths, report_verdict, visit
from console.pages import report_story as story
from monitors.diagnosis import gathering, links
from monitors.models import Baseline, Battery, Diagnosis, Monitor, RouteChange
from portal.clock import database_now
from portal.secrets import CannotOpen

AFTERWARDS = timedelta(minutes=3)  # so long evidence that came late may still change the verdict
STUCK = timedelta(seconds=30)  # beyond its deadline: nobody need ask every second any more
MOST_BATTERIES = 24


# --- By link: without a session ---------------------------------------------------------------------------------------
@require_safe
def report(request: HttpRequest, token: str) -> HttpResponse:
    """`/r/<token>/`: 404 for what is not known, 410 for a link that is over; `#report` is what refreshes in place."""
    fragment = visit.wanted(request, "report")
    return by_link(token, lambda d, at: _page(d, at, token, fragment))


@require_safe
def raw(request: HttpRequest, token: str) -> HttpResponse:
    """`/r/<token>/raw.json`: what the report was drawn from."""
    return by_link(token, lambda d, at: download(d, staff=False))


def by_link(token: str, answer: Callable[[Diagnosis, datetime], HttpResponse]) -> HttpResponse:
    """The answer for a link that holds, or the page that says why it does not; never kept by anybody between."""
    at = database_now()
    try:
        d = links.find(token, at)
    except links.Ended as ended:
        found = HttpResponse(
            render_to_string("console/report_ended.html", {"said": str(ended), "why": ended.why}), status=410
        )
    else:
        found = HttpResponse(render_to_string("404.html"), status=404) if d is None else answer(d, at)
    return private(found)


def private(answer: HttpResponse) -> HttpResponse:
    """The address is the key: it is told to nobody, found by no search engine, kept in no shared cache."""
    answer["Referrer-Policy"] = "no-referrer"
    answer["X-Robots-Tag"] = "noindex, nofollow"
    answer["Cache-Control"] = "private, no-store"
    return answer


def _page(d: Diagnosis, at: datetime, token: str, fragment: str) -> HttpResponse:
    with timezone.override(_zone(d.monitor.client.timezone)):
        context = contents(d, at, staff=False) | {
            "shell": "public.html", "public": True, "here": f"/r/{token}/", "raw_url": f"/r/{token}/raw.json", "address": links.url_of(d),
        }  # fmt: skip
        return HttpResponse(render_to_string(f"console/report.html{'#' + fragment if fragment else ''}", context))


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name or "UTC")
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return zoneinfo.ZoneInfo("UTC")


# --- What stands in it ------------------------------------------------------------------------------------------------------
def contents(d: Diagnosis, at: datetime, *, staff: bool) -> dict[str, Any]:
    """All that the template shows. `staff` see the names of the probes' own surroundings."""
    batteries = batteries_of(d)
    hidden = secrets_of(d.monitor)
    evidence = reading.masked(d.evidence if isinstance(d.evidence, dict) else {}, hidden)
    verdict = reading.masked(d.verdict, hidden)
    names = {b.probe.slug: reading.plain(b.probe.name) for b in batteries}
    usual = usual_of(d, evidence)
    found = report_verdict.judged(verdict, names)
    seen = [
        place(b, evidence_of(b, evidence, d.monitor, hidden), reading.table(usual.get(str(b.probe_id))), verdict, staff)
        for b in batteries
    ]
    # Who confirms the verdict comes first.
    confirming = reading.words(reading.table(reading.table(verdict).get("regions")).get("confirming"), 200)
    seen.sort(key=lambda p: (p["slug"] not in confirming, not p["evidence"], p["name"]))
    draw(seen)
    changes = list(
        RouteChange.objects.filter(monitor=d.monitor_id, at__gte=d.started_at - timedelta(days=1), at__lte=(d.finished_at or at) + timedelta(hours=1))
        .select_related("probe")
        .order_by("-at")[:20]
    )  # fmt: skip
    return {
        "diagnosis": d,
        "monitor": d.monitor,
        "verdict": found,
        "gathering": d.state == Diagnosis.State.GATHERING,
        "every": refresh_seconds(d, at),
        "since": d.first_failure_at or d.started_at,
        "failure": reading.plain(reading.table(evidence.get("failure")).get("message"), reading.LONG),
        "places": seen,
        "arrived": sum(1 for p in seen if p["evidence"]),
        "drawn": [p for p in seen if p["lines"]],
        "asked": len(batteries),
        "around": around(evidence),
        "story": story.timeline(d, seen, changes, found, people=staff),
        "staff": staff,
        "any_names": any(p["names"] for p in seen),
        "any_tls": any(p["tls"] for p in seen),
        "any_phases": any(p["phases"] for p in seen),
        "any_own": any(p["own"] for p in seen),
    }


def refresh_seconds(d: Diagnosis, at: datetime) -> int:
    """How often the page asks for news; 0 when none can come."""
    if d.state == Diagnosis.State.GATHERING:
        return 1 if at < d.deadline_at + STUCK else 10
    return 10 if d.finished_at is not None and at < d.finished_at + AFTERWARDS else 0


def usual_of(d: Diagnosis, evidence: Mapping[str, Any]) -> dict[str, Any]:
    """{probe id as text: what is usual from there}: as it was judged with; while gathering, as it is known now."""
    stored = reading.table(evidence.get("usual"))
    if stored or d.state != Diagnosis.State.GATHERING:
        return stored
    return {str(p): data for p, data in Baseline.objects.filter(monitor=d.monitor_id).values_list("probe_id", "data")}


def evidence_of(b: Battery, evidence: Mapping[str, Any], m: Monitor, hidden: set[str]) -> dict[str, Any]:
    """What this probe measured: as the judge saw it, else as it came since. What was measured for another monitor of the
    same target is told as the judge would hear it: without that monitor's own words.
    """
    judged = next((e for e in reading.rows(evidence.get("batteries"), 64) if e.get("probe") == b.probe_id), None)
    if judged is not None:
        return judged
    return reading.table(reading.masked(gathering.evidence_of(b, m.kind, m.pk), hidden))


def batteries_of(d: Diagnosis) -> list[Battery]:
    """Whom it asked."""
    return list(
        d.batteries.select_related("probe", "reused__diagnosis").defer("probe__health", "reused__diagnosis__evidence")[
            :MOST_BATTERIES
        ]
    )


def secrets_of(m: Monitor) -> set[str]:
    """The texts that must stand nowhere."""
    try:
        return reading.secrets_in(m.secrets.open())
    except CannotOpen:
        return set()


def place(b: Battery, e: dict[str, Any], usual: dict[str, Any], verdict: Any, staff: bool) -> dict[str, Any]:
    """Everything one probe contributed."""
    name = reading.plain(b.probe.name) or b.probe.slug
    anchor = f"path-{b.probe_id}"
    own = reading.table(e.get("own"))
    return {
        "name": name, "slug": b.probe.slug, "anchor": anchor, "row": b, "evidence": e, "usual": usual,
        "private": e.get("private") is True, "network": reading.plain(e.get("network")),
        "took": reading.number(e.get("took_ms")), "cut": reading.words(e.get("cut")),
        "reused": reading.whole(e.get("reused_from")) is not None or b.reused_id is not None,
        "lines": report_paths.lines(e, usual, reading.table(verdict), anchor, name) if e else [],
        "saw": story.saw(e) if e else [],
        "names": story.names(reading.table(e.get("names")), reading.table(usual.get("names"))) if e.get("names") else None,
        "tls": story.tls(reading.table(e.get("tls")), reading.table(usual.get("tls"))) if e.get("tls") else None,
        "phases": reading.phases(e, usual),
        "own": story.own(own if staff else reading.own_for_strangers(own), staff) if own else [],
    }  # fmt: skip


def draw(places: Sequence[dict[str, Any]]) -> None:
    """Add the pictures, all on one scale."""
    scale = charts.scale_of(line for p in places for line in p["lines"])
    phone = replace(scale, narrow=True)
    top = charts.ceiling_of(row for p in places for row in p["phases"])
    for p in places:
        p["pictures"] = [
            {
                "line": line, "said": charts.described(line),
                "picture": charts.path(line, scale) if line.marks else "", "narrow": charts.path(line, phone) if line.marks else "",
            }
            for line in p["lines"]
        ]  # fmt: skip
        p["bars"] = [{"row": row, "picture": charts.phase(row, top)} for row in p["phases"]]


AROUND = {
    "same_as": "in the same network (AS)", "same_address": "at the same address", "same_host": "on the same host", "same_site": "at the same site",
    "same_probe": "watched from the same probes", "same_issuer": "with the same certificate authority", "same_dns": "with the same name servers",
}  # fmt: skip


def around(evidence: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How those fare that share something with it: numbers only, whoever they belong to."""
    found = []
    for key, text in AROUND.items():
        row = reading.table(reading.table(evidence.get("around")).get(key))
        watched, failing = reading.whole(row.get("watched")), reading.whole(row.get("failing"))
        if watched:
            found.append({"text": text, "watched": watched, "failing": failing or 0})
    return found


# --- Raw -----------------------------------------------------------------------------------------------------------------------
def download(d: Diagnosis, *, staff: bool) -> HttpResponse:
    """All of it as JSON, without secrets; for others than staff without the names of our own network."""
    body = json.dumps(raw_of(d, staff=staff), indent=1, ensure_ascii=True, allow_nan=False, default=str)
    answer = HttpResponse(body, content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="diagnosis-{d.pk}.json"'
    answer["X-Content-Type-Options"] = "nosniff"
    return private(answer)


def raw_of(d: Diagnosis, *, staff: bool) -> dict[str, Any]:
    """What the report was drawn from."""
    hidden = secrets_of(d.monitor)
    judged = {b.get("probe") for b in reading.rows(reading.table(d.evidence).get("batteries"), 64)}
    late = [
        e
        for b in batteries_of(d)
        if b.probe_id not in judged and (e := gathering.evidence_of(b, d.monitor.kind, d.monitor_id))
    ]
    found = {
        "diagnosis": {
            "id": d.pk, "monitor": d.monitor.name, "client": d.monitor.client.name, "state": d.state, "cause": d.cause,
            "first_failure_at": d.first_failure_at, "started_at": d.started_at, "deadline_at": d.deadline_at, "finished_at": d.finished_at,
            "revision": d.revision, "verdict_version": d.verdict_version,
        },
        "verdict": d.verdict, "evidence": d.evidence, "not_judged": late,
    }  # fmt: skip
    found = reading.masked(found, hidden)
    if not staff:
        batteries = [
            *reading.rows(reading.table(found["evidence"]).get("batteries"), 64),
            *reading.rows(found["not_judged"], 64),
        ]
        for battery in batteries:
            if "own" in battery:
                battery["own"] = reading.own_for_strangers(reading.table(battery["own"]))
    return found
