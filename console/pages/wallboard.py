"""What does the screen on the wall show? What is wrong, large enough to read from five metres, and every client in turn.

Nothing scrolls: what does not fit takes its turn, one step at each refresh.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse

from alerts.models import Alert
from console.pages.overview import WORST, counted, probes, problems_of
from console.pages.visit import clients_for, page, show, wanted, whole
from monitors.models.monitor import State
from portal.clock import database_now
from portal.models import Worker
from portal.tenancy import READ, viewer_of

PROBLEMS = 6  # at a time, on a screen of 16:9, two beside each other
MOST_TURNS = 10_000
ORDER = ("down", "degraded", "unknown", "maintenance", "pending", "paused", "up")


@page
def wallboard(request: HttpRequest) -> HttpResponse:
    """`/wallboard/`; `?client=` shows one client alone, `?turn=` which part of what does not fit at once."""
    viewer, at = viewer_of(request), database_now()
    turn = min(whole(request.GET.get("turn")) or 0, MOST_TURNS)
    only = clients_for(request, READ).filter(pk=whole(request.GET.get("client")) or 0).first()
    open_alerts = Alert.objects.for_user(viewer).filter(resolved_at=None).exclude(hold_reason="explained_by_parent")
    if only is not None:
        open_alerts = open_alerts.filter(client=only)
    count = open_alerts.count()
    first, parts = part(count, PROBLEMS, turn)
    rows = list(
        open_alerts.select_related("client").alias(worst=WORST).order_by("worst", "-status", "created_at", "pk")[first : first + PROBLEMS]
    )  # fmt: skip
    states, lines = counted(viewer)
    if only is not None:
        lines = [line for line in lines if line["id"] == only.pk]
        states = lines[0]["states"] if lines else {}
    lines = [_tile(line) for line in lines]
    asleep = (
        bool(viewer.msp_role)
        and not Worker.objects.filter(role__contains="probe", seen_at__gte=at - timedelta(seconds=15)).exists()
    )
    fit = tiles_beside(len(rows), asleep)
    tile, tiles = part(len(lines), fit, turn)
    context: dict[str, Any] = {
        "problems": None, "count": count, "problem_list": problems_of(rows, viewer, at), "part": turn % parts + 1, "parts": parts,
        "tiles": lines[tile : tile + fit], "tile_part": turn % tiles + 1, "tile_parts": tiles,
        "up": states.get(State.UP, 0), "watched": sum(states.values()), "probes": probes(viewer, at), "at": at, "only": only,
        "next": "?" + urlencode({**({"client": only.pk} if only else {}), "turn": (turn + 1) % MOST_TURNS}),
        "asleep": asleep,
    }  # fmt: skip
    return show(request, "console/wallboard.html", context, wanted(request, "live"))


def tiles_beside(problems: int, asleep: bool) -> int:
    """How many clients fit below so many problems: four in a row, two rows less for each row of problems."""
    return 4 * max(2, 8 - 2 * math.ceil(problems / 2) - int(asleep))


def part(count: int, at_once: int, turn: int) -> tuple[int, int]:
    """(index of the first to show, number of parts) when only so many fit at once."""
    parts = max(1, math.ceil(count / at_once))
    return turn % parts * at_once, parts


def _tile(line: dict[str, Any]) -> dict[str, Any]:
    worst = next((state for state in ORDER if line["states"][state]), "up")
    return {**line, "worst": worst}
