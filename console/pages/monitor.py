"""How is one monitor, since when and why, and how has it fared? Its page, and the buttons on it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from alerts.models import Alert
from console.pages import diagnosis, host, trash, visit
from console.pages.overview import WORST, shape_of, word_of
from monitors import checks, history, services, subjects
from monitors.checks.heartbeat import next_due
from monitors.models import Certificate, FailureBody, Monitor, Ping, ProbeState, Result, StateChange
from portal import charts
from portal.audit import Actor
from portal.clock import database_now
from portal.tenancy import WRITE, viewer_of

RECENT, LOOKED_AT = 12, 60
TONES = {"down": "down", "degraded": "degraded", "up": "up", "maintenance": "maintenance"}
VOTES = {1: "up", 2: "degraded", 3: "failing", 0: "unknown"}
FIGURES = ("1h", "24h", "7d", "30d", "90d")


@visit.page
def monitor(request: HttpRequest, pk: int) -> HttpResponse:
    """`/monitors/7/`: `#live` is its state, `#why` its verdicts, `#charts` how it has fared, `#story` what was just seen."""
    rows = (
        Monitor.objects.for_user(request).select_related("client", "site", "service", "parent").prefetch_related("tags")
    )
    m = visit.found(rows, pk)
    at = database_now()
    fragment = visit.wanted(request, "live", "charts", "story", "why")
    context: dict[str, Any] = {
        "monitor": m,
        "may_change": viewer_of(request).may(WRITE, m.client_id),
        "passive": m.kind in checks.KINDS and checks.KINDS[m.kind].passive,
    }
    if fragment in ("", "charts"):
        context |= charted(request, m, at) | host.section(request, m, at)
    if fragment in ("", "live"):
        context |= now_of(request, m)
    if fragment in ("", "story"):
        context |= story_of(request, m, at)
    if fragment in ("", "why"):
        context |= diagnosis.of_monitor(request, m, at)
    if not fragment:
        context |= settings_of(m) | {
            "snippets": snippets(m),
            "children": list(m.children.for_user(request).only("pk", "name", "state")[:50]),
        }
    return visit.show(request, "console/monitor.html", context, fragment)


def now_of(request: HttpRequest, m: Monitor) -> dict[str, Any]:
    """What is open about it, and a job's pings."""
    opened = (
        Alert.objects.for_user(request)
        .filter(monitor_id=m.pk, resolved_at=None)
        .alias(worst=WORST)
        .order_by("worst", "pk")
        .first()
    )
    return {
        "open_alert": opened,
        "open_state": shape_of(opened) if opened else "",
        **heartbeat_of(m, list(m.views.all()) if m.kind == "heartbeat" else []),
    }


def story_of(request: HttpRequest, m: Monitor, at: datetime) -> dict[str, Any]:
    """What was just seen from where, and what came of it."""
    views = list(m.views.select_related("probe").order_by("probe__name"))
    recent = list(Result.objects.filter(monitor_id=m.pk, ts__gte=at - timedelta(days=8)).order_by("-ts")[:LOOKED_AT])
    names = {v.probe_id: v.probe.name for v in views}
    alerts = list(Alert.objects.for_user(request).filter(monitor_id=m.pk).order_by("-pk")[:8])
    rows = phase_rows(recent, names)
    return {
        "views": [
            {"row": v, "name": v.probe.name, "status": view_status(v), "blind": v.probe.blind_since} for v in views
        ],
        "recent": [
            {"row": r, "probe": names.get(r.probe_id, "a former probe"), "status": VOTES[r.status]}
            for r in recent[:RECENT]
        ],
        "phases": charts.phases_stacked(rows) if rows else "",
        "changes": [
            {"row": c, "tone": TONES.get(c.to_state, "unknown")}
            for c in StateChange.objects.filter(monitor=m).order_by("-at", "-version")[:10]
        ],
        "alerts": [
            {"row": a, "state": shape_of(a), "word": "Resolved" if a.is_resolved else word_of(a)} for a in alerts
        ],
        "certificate": certificate_of(m, at),
        "body": FailureBody.objects.filter(monitor=m).order_by("-at").first()
        if m.state in ("down", "degraded")
        else None,
    }


def view_status(view: ProbeState) -> str:
    """What a probe sees now, in the words of the seven states."""
    return "paused" if not view.active else "stale" if view.stale else VOTES[view.status] if view.last_at else "pending"


def phase_rows(recent: Sequence[Result], names: dict[int, str]) -> list[dict[str, Any]]:
    """The newest timed results: one for each probe, or the last five of the only one."""
    timed = [r for r in recent if r.total_ms and r.connect_ms is not None]
    if len({r.probe_id for r in timed}) > 1:
        timed = list({r.probe_id: r for r in reversed(timed)}.values())
        labels = [names.get(r.probe_id, "a former probe") for r in timed]
    else:
        labels = [timezone.localtime(r.ts).strftime("%H:%M:%S") for r in timed]
    pairs = list(zip(labels, timed, strict=True))[:5]
    return [
        {
            "label": label,
            "dns": r.dns_ms,
            "connect": r.connect_ms,
            "tls": r.tls_ms,
            "first_byte": r.first_byte_ms,
            "total": r.total_ms,
        }
        for label, r in pairs
    ]


def certificate_of(m: Monitor, at: datetime) -> dict[str, Any] | None:
    """The certificate it was last shown, with the days it has left."""
    row = Certificate.objects.filter(monitor=m).order_by("-last_seen_at").first()
    if row is None:
        return None
    days = (row.not_after - at).total_seconds() / 86400
    bad = days < 0 or bool(row.chain_error) or not row.hostname_ok
    return {"row": row, "days": int(days), "tone": "down" if bad or days <= 7 else "degraded" if days <= 30 else "up"}


def heartbeat_of(m: Monitor, views: Sequence[ProbeState]) -> dict[str, Any]:
    """The last pings and when the next is expected."""
    if m.kind != "heartbeat":
        return {"heartbeat": None}
    expected = None
    last = next((v.facts.get("last_ping") for v in views if v.facts.get("last_ping")), None)
    if last and m.enabled:
        try:
            expected = next_due(checks.parse(m.kind, m.config), datetime.fromisoformat(last))  # type: ignore[arg-type]
        except ValueError:
            expected = None
    return {
        "heartbeat": {
            "last": datetime.fromisoformat(last) if last else None,
            "expected": expected,
            "pings": list(Ping.objects.filter(monitor=m).order_by("-pk")[:10]),
        }
    }


def charted(request: HttpRequest, m: Monitor, at: datetime) -> dict[str, Any]:
    """Uptime, latency and bars: from real results, whatever the window."""
    window = request.GET.get("window", "24h")
    window = window if window in history.WINDOWS else "24h"
    seen = history.load(m, window, at)
    total = seen.total()
    uptime = history.uptime(m.pk, at)
    days = history.bars([m.pk], at)[m.pk]
    last = next(iter(history.latest([m.pk]).values()), None)
    names = dict(m.views.values_list("probe_id", "probe__name"))
    return {
        "window": window,
        "windows": list(history.WINDOWS),
        "figures": [{"label": label, "value": uptime[label], "tone": tone_of(uptime[label])} for label in FIGURES],
        "band": charts.band(
            seen.points(), marks(m, seen.since, at), zone=timezone.get_current_timezone(), usual=total.p50
        )
        if total.average is not None
        else "",
        "total": total,
        "last": last,
        "bars": charts.bars_90(days),
        "uptime_90": uptime["90d"],
        "per_probe": [
            {"name": names.get(probe, "a former probe"), "slice": part} for probe, part in seen.by_probe().items()
        ],
    }


def tone_of(uptime: float | None) -> str:
    """The tone of a figure; quiet while it is good."""
    kind = charts.day_status(uptime)
    return kind if kind in ("degraded", "down") else ""


def marks(m: Monitor, since: datetime, at: datetime) -> list[dict[str, Any]]:
    """The stretches in which it was not well, for the chart."""
    found, until = [], at
    for c in StateChange.objects.filter(monitor=m, at__gte=since - timedelta(days=90)).order_by("-at", "-version")[
        :200
    ]:
        if c.to_state in ("down", "degraded", "maintenance") and until > since:
            found.append(
                {
                    "at": max(c.first_failure_at or c.at, since),
                    "until": until,
                    "label": f"{c.get_to_state_display()}: {c.reason}",
                    "status": c.to_state,
                }
            )
        until = c.at
        if until <= since:
            break
    return found[::-1]


def settings_of(m: Monitor) -> dict[str, Any]:
    """What is watched and how, in words."""
    kind = checks.KINDS.get(m.kind)
    target = subjects.target_of(m)
    return {
        "kind_label": kind.label if kind else m.kind,
        "target": target,
        "link": target if target.startswith(("http://", "https://")) else "",
    }


def ping_url(m: Monitor) -> str:
    """Where a job reports."""
    return f"{settings.BASE_URL}/ping/{m.uuid}"


def snippets(m: Monitor) -> list[dict[str, str]]:
    """Ready lines for the job that is watched."""
    if m.kind != "heartbeat":
        return []
    url = ping_url(m)
    cron = m.config.get("schedule") or "0 * * * *"
    return [
        {"id": "url", "label": "Address", "text": url},
        {"id": "curl", "label": "curl", "text": f"curl -fsS -m 10 --retry 5 -o /dev/null {url}"},
        {"id": "wget", "label": "wget", "text": f"wget -q -T 10 -t 5 -O /dev/null {url}"},
        {
            "id": "cron",
            "label": "cron",
            "text": f"{cron} /usr/local/bin/job && curl -fsS -m 10 --retry 5 -o /dev/null {url}",
        },
        {
            "id": "exit",
            "label": "Shell, with duration and exit code",
            "text": f'curl -fsS -m 10 --retry 5 -o /dev/null "{url}/start"\n/usr/local/bin/job\ncurl -fsS -m 10 --retry 5 -o /dev/null "{url}/$?"',
        },
        {
            "id": "python",
            "label": "Python",
            "text": f'import urllib.request\n\nurllib.request.urlopen("{url}", timeout=10)',
        },
        {"id": "powershell", "label": "PowerShell", "text": f'Invoke-RestMethod -Uri "{url}" -TimeoutSec 10'},
        {
            "id": "systemd",
            "label": "systemd",
            "text": f"[Service]\nExecStart=/usr/local/bin/job\nExecStopPost=/bin/sh -c 'curl -fsS -m 10 --retry 5 -o /dev/null {url}/$EXIT_STATUS'",
        },
    ]


# --- Buttons -----------------------------------------------------------------------------------------------------------------
@visit.page
def press(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """check, pause, resume."""
    verbs = {
        "check": (services.check_now, "A check was asked for; its result shows here in a moment."),
        "pause": (services.pause, "Paused: no checks and no alerts until somebody resumes it."),
        "resume": (services.resume, "Resumed; it is checked at once."),
    }
    m = visit.found(Monitor.objects.for_user(request), pk)
    if verb not in verbs:
        raise Http404
    if not visit.pressed(request):
        return redirect("monitor", pk=pk)
    visit.require(request, WRITE, m)
    do, said = verbs[verb]
    return visit.act(
        request, reverse("monitor", args=[pk]), said, lambda: do(m, by=Actor.of(request), at=database_now()) and None
    )


@visit.page
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """`/monitors/7/delete/`: names what follows, then puts it into the trash."""
    m = visit.found(Monitor.objects.for_user(request).select_related("client"), pk)
    visit.require(request, WRITE, m)
    if request.method == "POST":
        services.delete(m, by=Actor.of(request), at=database_now())
        messages.success(request, trash.undo(m))
        return redirect("monitors")
    children = m.children.count()
    body = f"{m.client.name} · {m.name} is no longer checked and stands in no list; an open alert closes without a message. It waits in the trash for 30 days and can be put back as it was; then its results, uptime and pings are deleted. Alerts and incidents about it stay on the record."
    body += (
        f" {children} {'monitor names' if children == 1 else 'monitors name'} it as parent and will stand alone."
        if children
        else ""
    )
    return render(
        request,
        "components/confirm_page.html",
        {
            "title": "Delete this monitor?",
            "body": body,
            "confirm_label": "Delete the monitor",
            "cancel_url": reverse("monitor", args=[pk]),
        },
    )
