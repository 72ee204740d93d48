"""Who would be told now, and when, if this happened to that monitor? The simulator's page: nothing is stored or sent."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse

from alerts.outlook import Outlook
from console.pages import visit
from console.pages.policies import after
from monitors import simulate as simulator
from monitors import subjects
from monitors.models import Monitor
from portal.clock import database_now
from portal.tenancy import Viewer, viewer_of

MOST = 200
EVENTS = {
    "consecutive_failure": "It is down", "degraded": "It is degraded", "flapping": "It comes and goes", "deadline_missed": "Its ping is missed",
    "exit_code_failure": "Its job fails", "expiring": "It expires soon", "expired": "Its certificate has expired",
    "chain_invalid": "Its certificate's chain is not valid", "hostname_mismatch": "Its certificate is for another name",
}  # fmt: skip
RULES = {
    "in_maintenance": "Maintenance", "silenced": "Silence", "explained_by_parent": "Parent", "flapping": "Flapping", "snoozed": "Snoozed",
    "routing": "Triggers", "paused": "Paused",
}  # fmt: skip
HOLDS = frozenset(("in_maintenance", "silenced", "explained_by_parent", "flapping", "snoozed", "paused"))


@visit.page
def simulate(request: HttpRequest) -> HttpResponse:
    """`/simulate/?monitor=7&event=consecutive_failure&q=shop`"""
    viewer, at = viewer_of(request), database_now()
    text = request.GET.get("q", "").strip()[:120]
    rows = Monitor.objects.for_user(viewer).select_related("client").order_by("client__name", "name")
    found = rows.filter(Q(name__icontains=text) | Q(client__name__icontains=text)) if text else rows
    offered = list(found[: MOST + 1])
    wish = visit.whole(request.GET.get("monitor"))
    chosen = subjects.with_tags(Monitor.objects.for_user(viewer)).select_related("client", "site", "parent")
    m = visit.found(chosen, wish) if wish is not None else None
    context: dict[str, Any] = {
        "monitors": offered[:MOST], "more": len(offered) > MOST, "q": text, "monitor": m, "events": [],
        "any": bool(offered) or bool(text),
    }  # fmt: skip
    if m is not None:
        if m.pk not in {row.pk for row in offered[:MOST]}:
            context["monitors"] = [m, *offered[:MOST]]
        events = simulator.events_of(m)
        event = request.GET.get("event", "")
        event = event if event in events else events[0]  # another kind of monitor was chosen: its first one
        context |= {"event": event, "events": [(e, EVENTS.get(e, e)) for e in events]}
        context |= shown(simulator.simulate(m, event, at, viewer), viewer)
    return visit.show(request, "console/simulate.html", context)


def shown(seen: Outlook, viewer: Viewer) -> dict[str, Any]:
    """An outlook as templates show it: who is told when, what holds everything, whom it does not reach and why."""
    steps = [
        {"at": int(seconds), "word": after(seconds), "lines": merged(lines)}
        for seconds, lines in groupby(seen.would_tell, key=lambda line: line["at_seconds"])
    ]
    held = [{**row, "word": RULES.get(row["rule"], row["rule"])} for row in seen.held_back]
    return {
        "steps": steps,
        "holds": [row for row in held if row["rule"] in HOLDS],
        "missed": [row for row in held if row["rule"] not in HOLDS],
        "repeats": [p for p in seen.climbs if p.repeat_count and viewer.sees(p.client_id)],
        "reached": len({line["channel"] for line in seen.would_tell}),
    }


def merged(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The destinations of one moment, each once: the person and their channel, or the channel itself, and by what."""
    found: dict[int, dict[str, Any]] = {}
    for line in lines:
        known = found.get(line["channel"])
        if known is not None:
            known["via"] += f"; {line['via']}"
            continue
        person = line["contact_name"]
        found[line["channel"]] = {**line, "who": person or line["channel_name"], "by": line["channel_name"] if person else ""}  # fmt: skip
    return list(found.values())
