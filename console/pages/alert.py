"""What is wrong, where, since when and why; who was told, who is next, what held it back? One alert, and its buttons."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from alerts import acts, escalating, outlook, quiet, snapshot
from alerts.engine import LADDER
from alerts.models import Alert, Channel, Decision, Delivery, Run, Silence
from console.pages import diagnosis, visit
from console.pages.overview import shape_of, word_of
from console.pages.policies import TONES as RUN_TONES
from console.pages.policies import after
from incidents.models import Incident
from monitors.models import Monitor
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.tenancy import ACK, WRITE, viewer_of

TONES = {
    "delivered": "up",
    "failed": "down",
    "unknown": "degraded",
    "held": "maintenance",
    "pending": "info",
    "sending": "info",
}
ATTEMPTS = {
    "delivered": "delivered",
    "retry": "failed, to be tried again",
    "permanent": "failed for good",
    "ambiguous": "perhaps delivered",
    "lost": "interrupted",
}
HOLDS = {
    "in_maintenance": "It is being worked on (maintenance).",
    "explained_by_parent": "What it depends on is down too; that one's alert speaks for it.",
    "flapping": "It comes and goes; the flapping alert speaks for it.",
    "snoozed": "Somebody asked to hear of it later.",
}
SNOOZES = ((30, "30 minutes"), (120, "2 hours"), (480, "8 hours"), (1440, "1 day"))
STORY_TONES = {
    "began": "info", "step": "down", "paused": "maintenance", "stopped_by_ack": "up", "stopped_by_resolution": "up", "exhausted": "down",
}  # fmt: skip
MOST = 300


@visit.page
def alert(request: HttpRequest, pk: int) -> HttpResponse:
    """`/alerts/9/`"""
    a = visit.found(Alert.objects.for_user(request).select_related("client", "site", "service"), pk)
    viewer, at = viewer_of(request), database_now()
    if visit.wanted(request, "live", "why") == "why":
        return visit.show(request, "console/alert.html", {"alert": a, "why": diagnosis.of_alert(request, a)}, "why")
    why = diagnosis.of_alert(request, a)
    runs, story = escalations(a, viewer, at), escalating.story(a, viewer)
    deliveries = list(
        Delivery.objects.for_user(viewer)
        .filter(alert=a)
        .select_related("channel", "contact", "notice", "carried_by")
        .prefetch_related("attempts")
        .order_by("pk")[:MOST]
    )
    context = {
        "problems": None,
        "alert": a,
        "reference": snapshot.reference(a.pk),
        "state": shape_of(a),
        "word": "Resolved" if a.is_resolved else word_of(a),
        "monitor": Monitor.objects.for_user(viewer).filter(pk=a.monitor_id).first() if a.monitor_id else None,
        "incident": Incident.objects.for_user(viewer).filter(pk=a.incident_id).first() if a.incident_id else None,
        "held": held(a, viewer),
        "why": why,
        "report": reverse("diagnosis", args=[why["diagnosis"].pk])
        if why["diagnosis"]
        else link
        if (link := str(a.links.get("report") or "")).startswith(("https://", "http://", "/"))
        else "",
        "timeline": timeline(a, deliveries, at),
        "steps": len(LADDER),
        "explains": Alert.objects.for_user(viewer)
        .filter(resolved_at=None, parent=a.entity, hold_reason="explained_by_parent")
        .count()
        if not a.is_resolved
        else 0,
        "decisions": decisions(a) if viewer.msp_role else [],
        "evidence": {k: v for k, v in a.evidence.items() if isinstance(v, str | int | float)},
        "may_ack": viewer.may(ACK, a.client_id) and not a.is_resolved,
        "may_write": viewer.may(WRITE, a.client_id),
        "snoozes": SNOOZES,
        "runs": runs,
        "told_of_runs": [{**line, "tone": STORY_TONES.get(line["kind"], "unknown")} for line in reversed(story)],
        "waits": not a.is_resolved and (a.status == Alert.Status.OPEN or escalating.is_climbing(a)),
        "snoozed": not a.is_resolved
        and (a.snoozed_until_recovered or (a.snoozed_until is not None and a.snoozed_until > at)),
        "remind_at": a.remind_at if a.status == Alert.Status.OPEN and not a.hold_reason else None,
        "quiet_zone": not deliveries and not viewer.msp_role,
    }
    return visit.show(request, "console/alert.html", context, visit.wanted(request, "live"))


def held(a: Alert, viewer: Any) -> dict[str, Any] | None:
    """Why nobody hears of it for now."""
    if not a.hold_reason or a.is_resolved:
        return None
    silence = Silence.objects.for_user(viewer).filter(pk=a.held_by).first() if a.held_by else None
    return {
        "word": HOLDS.get(a.hold_reason, "A silence covers it."),
        "silence": silence,
        "until": a.snoozed_until if a.hold_reason == "snoozed" else silence.ends_at if silence else None,
    }


def escalations(a: Alert, viewer: Any, at: datetime) -> list[dict[str, Any]]:
    """Every run that the viewer may read, the newest first: its ladder with what is done and what comes, and whom it calls next."""
    runs = list(Run.objects.for_user(viewer).filter(alert=a).order_by("-pk")[:20])
    coming = outlook.ahead(runs, {a.pk: a}, at)
    return [
        {
            "run": run, "tone": RUN_TONES.get(run.status, "unknown"), "next": coming.get(run.pk), "rungs": rungs(run),
            "due": (n := coming.get(run.pk)) is not None and n.at <= at, "open": run.ended_at is None,
        }
        for run in runs
    ]  # fmt: skip


def rungs(run: Run) -> list[dict[str, Any]]:
    """The levels of the run's present pass, as its snapshot has them."""
    climb = escalating.climb_of(run)
    over = run.step >= climb.steps
    here = len(climb.delays) if over else climb.place(run.step)[1]
    found = []
    for n, level in enumerate(run.snapshot["levels"]):
        names = [one["name"] for key in ("schedules", "contacts", "groups", "channels") for one in level.get(key, ())]
        state = "done" if n < here else "next" if n == here and run.status == Run.Status.ACTIVE else ""
        found.append({"order": level["order"], "when": after(level["delay_seconds"]), "names": names, "state": state})
    return found


def timeline(a: Alert, deliveries: list[Delivery], now: datetime) -> list[dict[str, Any]]:
    """Everything that happened to it, oldest first, every attempt included."""
    story: list[dict[str, Any]] = [{"at": a.created_at, "tone": shape_of_opening(a), "text": f"Opened: {a.title}"}]
    if a.acknowledged_at:
        story.append({"at": a.acknowledged_at, "tone": "info", "text": f"{a.acknowledged_by} acknowledged it"})
    if a.resolved_at:
        story.append(
            {
                "at": a.resolved_at,
                "tone": "up",
                "text": f"Resolved by {a.resolved_by}" if a.resolved_by else "Recovered",
            }
        )
    for d in deliveries:
        story.append(
            {
                "at": _when(d),
                "tone": TONES.get(d.state, "unknown"),
                "delivery": d,
                "attempts": [(t, ATTEMPTS.get(t.outcome, t.outcome)) for t in d.attempts.all()],
                "due": d.next_attempt_at <= now,
            }
        )
    return sorted(story, key=lambda entry: (entry["at"], "delivery" in entry))


def shape_of_opening(a: Alert) -> str:
    """The tone of its first entry, resolved or not."""
    return {"critical": "down", "warning": "degraded"}.get(a.severity, "unknown")


def _when(d: Delivery) -> datetime:
    return d.finished_at or (d.next_attempt_at if d.state in ("pending", "sending") else d.created_at)


def decisions(a: Alert) -> list[dict[str, Any]]:
    """Why it did, or did not, go out; channels by name instead of by number."""
    rows = list(Decision.objects.filter(notice__alert=a).select_related("notice").order_by("notice__seq", "pk")[:MOST])
    ids = {
        int(word)
        for r in rows
        if r.reason.startswith("channel ") and (word := r.reason.split()[1].strip(":")).isdigit()
    }
    names = dict(Channel.objects.filter(pk__in=ids).values_list("pk", "name"))
    return [
        {
            "row": r,
            "reason": _named(r.reason, names),
            "tone": {"told": "up", "held": "maintenance", "skipped": "degraded", "nobody": "down"}.get(
                r.outcome, "unknown"
            ),
        }
        for r in rows
    ]


def _named(reason: str, names: dict[int, str]) -> str:
    word, _, rest = reason.partition(" ")
    number, _, tail = rest.partition(" ")
    if word != "channel" or not number.strip(":").isdigit():
        return reason
    name = names.get(int(number.strip(":")), f"channel {number.strip(':')}")
    return f"{name}{':' if number.endswith(':') else ''} {tail}".strip()


# --- Buttons -----------------------------------------------------------------------------------------------------------------
@visit.page
def press(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """acknowledge, resolve, snooze, unsnooze."""
    a = visit.found(Alert.objects.for_user(request), pk)
    if verb not in ("acknowledge", "resolve", "snooze", "unsnooze"):
        raise Http404
    if not visit.pressed(request):
        return redirect("alert", pk=pk)
    visit.require(request, ACK, a)
    by, at = Actor.of(request), database_now()

    def do() -> str:
        if verb == "acknowledge":
            row = acts.acknowledge(a, by=by, at=at, name=str(request.user))
            return (
                "You have it. Escalation stops; the alert stays open until it recovers."
                if row.acknowledged_at == at
                else f"{row.acknowledged_by} has it already."
            )
        if verb == "unsnooze":
            row = quiet.unsnooze(a, by=by, at=at)
            return (
                "Awake again: what was held is told now."
                if not row.hold_reason
                else "Awake again, but something else holds it back still."
            )
        if verb == "resolve":
            acts.resolve(a, by=by, at=at)
            return "Resolved. Should it still fail at the next check, a new alert opens."
        wish = request.POST.get("minutes", "")
        minutes = None if wish == "recovered" else visit.whole(wish)
        if wish != "recovered" and minutes is None:
            raise Refused("Choose how long to snooze it.")
        acts.snooze(a, by=by, at=at, minutes=minutes)
        return (
            "Snoozed until it recovers."
            if minutes is None
            else f"Snoozed for {minutes} minutes. If it still fails then, it is told again."
        )

    return visit.act(request, reverse("alert", args=[pk]), "", do)
