"""Who is called when nobody answers? Escalation policies with their ladders, what took them up lately, where two overlap."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from alerts import policies
from alerts.models import Alert, EscalationPolicy, Level, Run
from console.pages import visit
from console.pages.channels import asked
from console.pages.triggers import which
from console.services_api import choose_policy, policy_of
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Service
from portal.templatetags.face import human_duration
from portal.tenancy import WRITE, Viewer, viewer_of

LATELY = timedelta(days=30)
MOST, RECENT = 300, 20
TONES = {
    "active": "down", "paused_by_maintenance": "maintenance", "paused_by_silence": "maintenance", "stopped_by_ack": "up",
    "stopped_by_resolution": "up", "stopped_by_policy": "unknown", "exhausted": "down",
}  # fmt: skip


# --- In words -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Rung:
    """One level as it is drawn. `kind`: level, repeat, or end."""

    kind: str
    when: str
    names: tuple[tuple[str, str], ...] = ()  # (what it is, its name)
    text: str = ""


NOUNS = {
    "schedules": "whoever is on call in",
    "contacts": "",
    "groups": "group",
    "channels": "channel",
}


def after(seconds: float) -> str:
    """So long after the start: `at once`, `5 min`, `1 min 30 s`."""
    minutes, rest = divmod(int(seconds), 60)
    if not seconds:
        return "at once"
    return f"{human_duration(minutes * 60)} {rest} s" if minutes and rest else human_duration(seconds)


def named(level: Level) -> tuple[tuple[str, str], ...]:
    """Whom a level of `loaded` names."""
    return tuple((NOUNS[key], row.name) for key in NOUNS for row in getattr(level, f"named_{key}"))


def ladder(policy: EscalationPolicy) -> list[Rung]:
    """Its levels, what comes after them, and how it ends."""
    levels = list(policy.levels.all())
    if not levels:
        return []
    rungs = [Rung("level", after(level.delay_seconds), named(level), f"Level {level.order}") for level in levels]
    last, pause = levels[-1].delay_seconds, policy.repeat_after_seconds
    if policy.repeat_count:
        times = "once" if policy.repeat_count == 1 else f"{policy.repeat_count} times"
        again = f"Everything again, {times}, every {after(last + pause)}"
        rungs.append(Rung("repeat", after(last + pause), text=again))
    ends = (policy.repeat_count + 1) * (last + pause)
    said = "Nobody answered: the last level is told so, and the overview shows it first"
    return [*rungs, Rung("end", after(ends), text=said)]


def in_one_line(policy: EscalationPolicy) -> str:
    """`at once → Ana · 5 min → whoever is on call in Primary · again twice`."""
    parts = []
    for level in policy.levels.all():
        names = [" ".join(filter(None, pair)) for pair in named(level)]
        parts.append(f"{after(level.delay_seconds)} → {', '.join(names) or 'nobody'}")
    if policy.repeat_count:
        parts.append("again once" if policy.repeat_count == 1 else f"again {policy.repeat_count} times")
    return " · ".join(parts)


def takes_up(policy: EscalationPolicy) -> str:
    """Which alerts climb it, in words."""
    services = ", ".join(routing.service.name for routing in policy.services.all())
    if policy.attached_only:
        return f"only the alerts of {services}" if services else "nothing: no service names it yet"
    filters = ", ".join(words(policy))
    said = f"alerts with {filters}" if filters else "every alert"
    said += f" of {policy.client.name}" if policy.client_id and policy.client else ""
    return said + (f", and all of {services}" if services and filters else "")


class _Always:
    """A policy has no hours; for `which`, which says a trigger's."""

    from_time = until_time = None
    weekdays = ""


def words(policy: EscalationPolicy) -> list[str]:
    """Its filters, as triggers say theirs."""
    row = _Always()
    for name in ("filter_severities", "filter_sources", "filter_scopes", "filter_tags"):
        setattr(row, name, getattr(policy, name))
    return which(row)  # type: ignore[arg-type]


def clashes(viewer: Viewer) -> dict[int, list[tuple[EscalationPolicy, str]]]:
    """{policy: [(the other, why they overlap)]}."""
    found: dict[int, list[tuple[EscalationPolicy, str]]] = defaultdict(list)
    for o in policies.overlaps(viewer):
        names = [c.name for c in o.channels if viewer.sees(c.client_id)]
        shared = f"shares {_some(names, 'channel')} and can take up the same alerts as" if names else "can call the same people as"  # fmt: skip
        found[o.one.pk].append((o.other, shared))
        found[o.other.pk].append((o.one, shared))
    return found


def _some(names: Sequence[str], noun: str, most: int = 3) -> str:
    more = len(names) - most
    said = ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
    return f"{noun} {said}" if len(names) == 1 else f"{noun}s {said}"


def loaded(viewer: Viewer) -> QuerySet[EscalationPolicy]:
    """What they may see, with all that the pages say of them."""
    rows = EscalationPolicy.objects.for_user(viewer).select_related("client")
    # As lists: a manager with its queryset for each level and noun takes more time than the rows.
    lists = (Prefetch(f"levels__{key}", to_attr=f"named_{key}") for key in policies.KEYS)
    return rows.prefetch_related("services__service__client", "levels", *lists)


def lately(viewer: Viewer, rows: Iterable[EscalationPolicy]) -> dict[int, Counter[str]]:
    """{policy: how its runs of the last 30 days ended}."""
    found: dict[int, Counter[str]] = defaultdict(Counter)
    runs = Run.objects.for_user(viewer).filter(policy__in=[p.pk for p in rows], started_at__gte=database_now() - LATELY)
    for policy, status, n in runs.order_by().values_list("policy_id", "status").annotate(n=Count("pk")):
        found[policy][status] += n
    return found


# --- The list -----------------------------------------------------------------------------------------------------------
@visit.page
def policy_list(request: HttpRequest) -> HttpResponse:
    """`/escalation-policies/`"""
    viewer = viewer_of(request)
    listed = visit.paged(request, loaded(viewer).order_by("client__name", "name"), "name", "client__name")
    rows = list(listed["page"].object_list)
    runs, twice = lately(viewer, rows), clashes(viewer)
    shown = [
        {
            "policy": p, "levels": in_one_line(p), "takes_up": takes_up(p),
            "runs": runs[p.pk].total(), "climbing": sum(runs[p.pk][s] for s in ("active", "paused_by_maintenance", "paused_by_silence")),
            "exhausted": runs[p.pk]["exhausted"], "overlaps": twice.get(p.pk, []), "may": viewer.may(WRITE, p.client_id),
        }
        for p in rows
    ]  # fmt: skip
    context = {"rows": shown, "may_add": visit.may_any(request, WRITE), "overlapping": bool(twice), **listed}
    return visit.show(request, "console/policies.html", context)


# --- One policy ---------------------------------------------------------------------------------------------------------
@visit.page
def policy(request: HttpRequest, pk: int) -> HttpResponse:
    """`/escalation-policies/3/`"""
    viewer = viewer_of(request)
    row = visit.found(loaded(viewer), pk)
    runs = list(Run.objects.for_user(viewer).filter(policy=row).select_related("alert").order_by("-pk")[:RECENT])
    seen = set(Alert.objects.for_user(viewer).filter(pk__in=[r.alert_id for r in runs]).values_list("pk", flat=True))
    may = viewer.may(WRITE, row.client_id)
    services = [r.service for r in row.services.all()]
    context = {
        "policy": row, "ladder": ladder(row), "takes_up": takes_up(row), "services": services, "may": may, "on_empty": row.get_on_empty_display(),
        "runs": [{"run": r, "tone": TONES.get(r.status, "unknown"), "sees": r.alert_id in seen} for r in runs],
        "counts": lately(viewer, [row])[row.pk], "overlaps": clashes(viewer).get(row.pk, []),
        "attachable": attachable(request, row).exclude(pk__in=[s.pk for s in services])[:MOST] if may else [],
    }  # fmt: skip
    return visit.show(request, "console/policy.html", context)


def attachable(request: HttpRequest, row: EscalationPolicy) -> QuerySet[Service]:
    """The services that this visitor may let climb it."""
    rows = Service.objects.for_user(request).filter(client__in=visit.clients_for(request, WRITE))
    rows = rows.filter(client=row.client_id) if row.client_id else rows
    return rows.select_related("client", "routing__policy").order_by("client__name", "name")


@visit.page
def press(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """on, off, attach, detach."""
    row = visit.found(EscalationPolicy.objects.for_user(request), pk)
    to = reverse("policy", args=[pk])
    if verb not in ("on", "off", "attach", "detach") or not visit.pressed(request):
        return redirect(to)
    by = Actor.of(request)
    if verb in ("on", "off"):
        visit.require(request, WRITE, row)
        said = f"{row.name} is on: open alerts that it takes up begin to climb." if verb == "on" else f"{row.name} is off. What was climbing has stopped."  # fmt: skip
        return visit.act(request, to, said, lambda: policies.activate(row, verb == "on", by=by) and None)
    service = attachable(request, row).filter(pk=visit.whole(request.POST.get("service")) or 0).first()
    if service is None:
        messages.error(request, "Choose a service.")
        return redirect(to)
    visit.require(request, WRITE, service.client_id)
    now = policy_of(service)
    if verb == "detach" and (now is None or now.pk != row.pk):
        return redirect(to)
    wanted = row if verb == "attach" else None

    def do() -> str:
        try:
            choose_policy(service, wanted, by=by, viewer=viewer_of(request))
        except ValidationError as error:
            raise ValidationError(error.messages) from None
        if wanted is not None:
            return f"All alerts of {service.name} climb {row.name} now."
        return f"{service.name} does not name {row.name} any more. What climbs already goes on."

    return visit.act(request, to, "", do)


@visit.page
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """`/escalation-policies/3/delete/`: says what stops."""
    viewer = viewer_of(request)
    row = visit.found(loaded(viewer), pk)
    visit.require(request, WRITE, row)
    climbing = Run.objects.for_user(viewer).filter(policy=row, ended_at=None).count()
    body = f"Nobody is called by {row.name} any more."
    if climbing:
        body += " An escalation that is under way stops now, and nobody further is called for its alert." if climbing == 1 else f" {climbing} escalations that are under way stop now, and nobody further is called for their alerts."  # fmt: skip
    services = [r.service.name for r in row.services.all() if viewer.sees(r.service.client_id)]
    if services:
        body += f" These services name it and go on without: {', '.join(services[:20])}."
    body += " What it did stays on the pages of its alerts. To keep it for later, switch it off instead."
    return asked(
        request, "Delete this policy?", body, reverse("policies"), f"{row.name} was deleted.",
        lambda: policies.delete_policy(row, by=Actor.of(request)),
    )  # fmt: skip
