"""What is wrong now, who has it, and is everything else well? The first page, for staff and (scoped) for a client's people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, Count, IntegerField, Max, Q, Value, When
from django.http import HttpRequest, HttpResponse

from alerts import escalating, outlook
from alerts.engine import LADDER
from alerts.models import Alert, Channel, Delivery, Run, Trigger
from alerts.models.delivery import TOLD
from console.pages.visit import clients_for, may_any, page, show, wanted
from monitors.models import Monitor, Probe
from monitors.models.monitor import State
from monitors.probe_health import health_of
from portal.clock import database_now
from portal.mail import installation_server, stored_settings
from portal.models import Worker
from portal.tenancy import ACK, WRITE, Viewer, viewer_of

MOST, MOST_UNANSWERED, MOST_CLIENTS = 25, 10, 25
RECENT = 2000
# Worst first. What the seven states call an alert of this severity.
WORST = Case(
    When(severity="critical", then=Value(0)),
    When(severity="warning", then=Value(1)),
    default=Value(2),
    output_field=IntegerField(),
)
SHAPES = {"critical": "down", "warning": "degraded", "info": "unknown"}
WORDS = {
    "consecutive_failure": "Down",
    "degraded": "Degraded",
    "deadline_missed": "Missed",
    "exit_code_failure": "Failed",
    "opened": "Incident",
}
BAD = (State.DOWN, State.DEGRADED, State.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Climb:
    """What escalation does about it next. `whom` is empty where that is unknown or nobody."""

    word: str
    at: datetime | None = None
    due: bool = False
    whom: str = ""


@dataclass(slots=True)
class Problem:
    """One open alert as the overview tells it."""

    alert: Alert
    state: str
    word: str
    may_ack: bool
    may_silence: bool
    told: list[Delivery] = field(default_factory=list)
    more_told: int = 0
    waiting: Delivery | None = None
    due: bool = False
    failed: Delivery | None = None
    explains: int = 0
    climb: Climb | None = None


@page
def overview(request: HttpRequest) -> HttpResponse:
    """`/`"""
    viewer = viewer_of(request)
    at = database_now()
    states, per_client = counted(viewer)
    open_alerts = Alert.objects.for_user(viewer).filter(resolved_at=None)
    shown = open_alerts.exclude(hold_reason="explained_by_parent")
    rows = list(
        shown.select_related("client").alias(worst=WORST).order_by("worst", "-status", "created_at", "pk")[: MOST + 1]
    )
    context = {
        "problems": None,
        "problem_list": problems_of(rows[:MOST], viewer, at),
        "count": shown.count(),
        "more": len(rows) > MOST,
        "states": states,
        "watched": sum(states.values()),
        "quiet": states[State.UP],
        "resting": states[State.PAUSED] + states[State.MAINTENANCE],
        "waiting": states[State.PENDING],
        "unannounced": unannounced(viewer, open_alerts),
        "per_client": per_client[:MOST_CLIENTS] if viewer.msp_role or len(per_client) > 1 else [],
        "more_clients": per_client[MOST_CLIENTS:] if viewer.msp_role or len(per_client) > 1 else [],
        "probes": probes(viewer, at),
        "asleep": bool(viewer.msp_role)
        and not Worker.objects.filter(role__contains="probe", seen_at__gte=at - timedelta(seconds=15)).exists(),
        "sent": last_hour(viewer, at),
        "may_add": may_any(request, WRITE),
        "unanswered": unanswered(viewer),
    }
    if not context["watched"]:
        context |= first_run(request, viewer)
    return show(request, "console/overview.html", context, wanted(request, "live"))


def unanswered(viewer: Viewer) -> list[dict[str, Any]]:
    """Open alerts that nobody answered although everybody was called, the oldest first."""
    rows = escalating.exhausted_alerts().for_user(viewer).select_related("client").order_by("created_at", "pk")
    return [{"alert": a, "may_ack": viewer.may(ACK, a.client_id)} for a in rows[:MOST_UNANSWERED]]


def counted(viewer: Viewer) -> tuple[Counter[str], list[dict[str, Any]]]:
    """(monitors by state, one line a client: worst first)."""
    total: Counter[str] = Counter()
    lines: dict[int, dict[str, Any]] = {}
    for client, name, state, n in (
        Monitor.objects.for_user(viewer)
        .order_by()
        .values_list("client_id", "client__name", "state")
        .annotate(n=Count("pk"))
    ):
        total[state] += n
        lines.setdefault(client, {"id": client, "name": name, "states": Counter()})["states"][state] += n
    order = (State.DOWN, State.DEGRADED, State.UNKNOWN, State.MAINTENANCE, State.PENDING, State.PAUSED, State.UP)
    for line in lines.values():
        line["bad"] = sum(line["states"][state] for state in BAD)
        line["shown"] = [(state.value, line["states"][state]) for state in order if line["states"][state]]
    return total, sorted(
        lines.values(),
        key=lambda x: (-x["states"][State.DOWN], -x["states"][State.DEGRADED], -x["bad"], x["name"].lower()),
    )


def problems_of(alerts: list[Alert], viewer: Viewer, at: datetime) -> list[Problem]:
    """Alerts with who was told and who is next: two queries, however many."""
    told: dict[int, list[Delivery]] = defaultdict(list)
    deliveries = (
        Delivery.objects.for_user(viewer).filter(alert__in=[a.pk for a in alerts]).select_related("channel", "contact")
    )
    for row in deliveries.order_by("pk") if alerts else ():
        told[row.alert_id].append(row)
    held = (
        Alert.objects.for_user(viewer)
        .filter(resolved_at=None, hold_reason="explained_by_parent")
        .order_by()
        .values_list("parent")
        .annotate(n=Count("pk"))
    )
    explained = dict(held) if alerts else {}
    climbs = climbs_of(alerts, viewer, at)
    again = Run.objects.filter(alert__in=[a.pk for a in alerts if a.status == Alert.Status.ACKNOWLEDGED], ended_at=None)
    called = set(again.values_list("alert_id", flat=True)) if alerts else set()
    return [
        _problem(
            a, viewer, at, told[a.pk], explained.get(a.entity, 0) if a.event not in ("degraded", "flapping") else 0,
            climbs.get(a.pk), again=a.pk in called,
        )
        for a in alerts
    ]  # fmt: skip


def climbs_of(alerts: list[Alert], viewer: Viewer, at: datetime) -> dict[int, Climb]:
    """{alert: what escalation does next about it}, of runs that the viewer may read."""
    runs = outlook.climbing_for(alerts, viewer)
    coming = outlook.ahead(runs, {a.pk: a for a in alerts}, at)
    found: dict[int, Climb] = {}
    for run in runs:
        step = coming.get(run.pk)
        if step is None:
            said = Climb(run.get_status_display().lower())
        elif step.level == 0:
            said = Climb("nobody answered", step.at, step.at <= at)
        else:
            said = Climb(f"level {step.level}", step.at, step.at <= at, "; ".join(step.whom[:2]))
        if run.status == Run.Status.ACTIVE or run.alert_id not in found:
            found.setdefault(run.alert_id, said)
    return found


def _problem(
    a: Alert, viewer: Viewer, at: datetime, rows: Iterable[Delivery], explains: int, climb: Climb | None, *, again: bool
) -> Problem:
    rows = list(rows)
    reached = list({d.destination_key: d for d in rows if d.state in TOLD}.values())
    waiting = min((d for d in rows if d.state in ("pending", "sending")), key=lambda d: d.next_attempt_at, default=None)
    return Problem(
        alert=a, state=shape_of(a), word=word_of(a), may_ack=viewer.may(ACK, a.client_id) and (a.status == Alert.Status.OPEN or again), may_silence=viewer.may(WRITE, a.client_id),
        due=waiting is not None and (waiting.state == "sending" or waiting.next_attempt_at <= at), told=reached[:2], more_told=max(0, len(reached) - 2), waiting=waiting,
        failed=next((d for d in rows if d.state == "failed"), None), explains=explains, climb=climb,
    )  # fmt: skip


def shape_of(alert: Alert) -> str:
    """Which of the seven shapes stands for an open alert."""
    return "up" if alert.is_resolved else SHAPES[alert.severity]


def word_of(alert: Alert) -> str:
    """The word beside the shape: `Down`, `Expiring` …"""
    return WORDS.get(alert.event, alert.event.replace("_", " ").capitalize())


def unannounced(viewer: Viewer, open_alerts: Any) -> int:
    """Monitors that are not well although no alert is open: below their quorum, or nothing is known of them."""
    alerted = open_alerts.exclude(monitor_id=None).values("monitor_id")
    return Monitor.objects.for_user(viewer).filter(state__in=BAD).exclude(pk__in=alerted).count()


def probes(viewer: Viewer, at: datetime) -> dict[str, Any]:
    """How many places see well, and which do not: "6 regions ok · hq-lan stale 8 min". What was switched off is neither."""
    rows = Probe.objects.for_user(viewer).filter(enabled=True, revoked_at=None)
    found = [(probe, health_of(probe, at)) for probe in rows]
    bad = [(p, h) for p, h in found if h.is_bad]
    well = [p for p, h in found if h.code == "ok"]
    return {
        "regions": sum(p.client_id is None for p in well), "private": sum(p.client_id is not None for p in well), "none": not well and not bad,
        "new": sum(h.code == "never_seen" and not p.built_in for p, h in found),
        "bad": [
            {"name": p.name, "word": h.word.lower(), "shape": h.shape, "since": h.since, "pk": p.pk if viewer.msp_role or p.client_id else None}
            for p, h in sorted(bad, key=lambda pair: pair[1].order)
        ],
    }  # fmt: skip


def last_hour(viewer: Viewer, at: datetime) -> dict[str, Any]:
    """What became of the last hour's deliveries, of the newest 2,000 at most: a storm must not make this page slow."""
    newest = Delivery.objects.for_user(viewer).order_by("-pk")[:RECENT]
    late = Q(created_at__gte=at - timedelta(hours=1))
    of = {f"n_{state}": Count("pk", filter=late & Q(state=state)) for state in Delivery.State.values}
    again = Max("attempt", filter=late & Q(state__in=("pending", "sending"), attempt__gt=0))
    seen = newest.aggregate(again=again, **of)
    counts = {state: seen[f"n_{state}"] for state in Delivery.State.values if seen[f"n_{state}"]}
    return {
        "all": sum(counts.values()),
        "states": counts,
        "retry": (min(seen["again"] + 1, len(LADDER)), len(LADDER)) if seen["again"] else None,
        "cut": sum(counts.values()) == RECENT,
    }


def first_run(request: HttpRequest, viewer: Viewer) -> dict[str, Any]:
    """Nothing is watched yet: who will hear of trouble, and is there a mail server to tell them?"""
    try:
        mail_ready = installation_server(stored_settings())[0] is not None
    except ValueError:
        mail_ready = False
    default = (
        Trigger.objects.filter(enabled=True, made_for="owner", channels__enabled=True).exists()
        if viewer.msp_role
        else None
    )
    channel = Channel.objects.filter(made_for="owner", enabled=True).first() if default else None
    return {
        "clients": list(clients_for(request, WRITE)[:200]),
        "mail_ready": mail_ready,
        "told_first": ", ".join(channel.config.get("to", ())) if channel else "",
    }
