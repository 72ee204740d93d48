"""Where can messages go, and does each place still work? Channels with their health, what they have sent, who names them.

A press of a button says what came of it; after a test the vendor's own answer stands there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db.models import Case, QuerySet, Value, When
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from alerts import acts, channel_settings, digest, limits, sender, services, unsubscribing
from alerts import channels as kinds
from alerts.models import Channel, Delivery, Usage
from alerts.opening import open_channel
from console.pages import trash, visit
from portal.audit import Actor
from portal.clock import database_now
from portal.models import Client, ProviderSettings
from portal.tenancy import ADMINISTER, WRITE, Viewer, viewer_of

MOST = 500
MANY = 10  # rows, from which on filters are worth their place
TAKEN = 202  # an answer that says: taken, not yet delivered
TROUBLE = Case(When(enabled=True, unhealthy_since__isnull=False, then=Value(0)), default=Value(1))
RANK = {"down": 0, "degraded": 1}


# --- The list ---------------------------------------------------------------------------------------------------------
@visit.page
def channel_list(request: HttpRequest) -> HttpResponse:
    """`/channels/?client=3&type=slack`"""
    viewer, wish = viewer_of(request), request.GET
    everything = Channel.objects.for_user(viewer)
    rows = everything
    if wish.get("client"):
        rows = rows.filter(client=visit.whole(wish["client"]) or 0)
    if wish.get("type"):
        rows = rows.filter(type=wish["type"])
    ordered = rows.alias(bad=TROUBLE).order_by("bad", "client__name", "name", "pk")  # what fails is on the first page
    listed = visit.paged(request, ordered, "name", "client__name")
    shown = pictures(listed["page"].object_list, viewer, database_now())
    common = {why for why, n in Counter(r["problem"] for r in shown).items() if why and n > 1}
    filters = {k: v for k, v in wish.items() if k in ("client", "type", "q") and v}
    context = {
        "rows": sorted(shown, key=lambda r: RANK.get(r["health"]["state"], 2)), "common": sorted(common), "may_add": visit.may_any(request, WRITE),
        "get": wish, "filters": filters, "many": bool(filters) or len(shown) > MANY, "types": kinds.choices(), **listed,
        "clients": list(Client.objects.for_user(viewer).only("pk", "name")[:MOST]), "accounts": viewer.may(ADMINISTER, None),
    }  # fmt: skip
    return visit.show(request, "console/channels.html", context)


def pictures(rows: QuerySet[Channel], viewer: Viewer, at: datetime) -> list[dict[str, Any]]:
    """Channels as a person sees them, in a constant number of queries."""
    rows = rows.select_related("client", "contact").prefetch_related(
        "triggers", "levels__policy", "reaches__contact__client"
    )
    channels = list(rows)
    providers = {p.provider: p.values() for p in ProviderSettings.objects.all()}
    used = Usage.objects.filter(channel__in=[c.pk for c in channels], month=limits.month_of(at))
    sent = dict(used.order_by().values_list("channel_id", "sent"))
    return [picture(c, viewer, providers, sent.get(c.pk, 0)) for c in channels]


def picture(c: Channel, viewer: Viewer, providers: dict[str, Any], sent: int) -> dict[str, Any]:
    """One channel: what it is, how it is, what it has sent, who names it."""
    kind = kinds.KINDS.get(c.type)
    why_not = problem(c, providers) if c.enabled else ""
    return {
        "channel": c, "label": kind.label if kind else c.type, "where": where(c), "problem": why_not, "health": health(c, why_not), "usage": usage(c, sent),
        "caveat": kind.caveat if kind else "", "provider": kind.provider if kind and why_not else "", "named": named_by(c, viewer),
        "may": viewer.may(WRITE, c.client_id),
    }  # fmt: skip


def where(row: Channel) -> str:
    """Where it goes, as a person may read it."""
    try:
        return channel_settings.main(row)
    except ValueError:
        return ""


def problem(row: Channel, providers: dict[str, Any]) -> str:
    """Why it cannot send now, with the cure; "" when it can."""
    try:
        return open_channel(row, providers).ready()
    except Exception as error:  # settings of another time, or a secret that no key opens: the list must still show it
        return f"Its settings do not open ({type(error).__name__}): enter them again."


def health(c: Channel, why_not: str) -> dict[str, Any]:
    """A shape, a word, since when, and why."""
    if not c.enabled:
        return {"state": "paused", "word": "Off", "since": None, "why": ""}
    if c.unhealthy_since is not None:
        return {"state": "down", "word": "Failing", "since": c.unhealthy_since, "why": c.unhealthy_reason}
    if why_not:
        return {"state": "degraded", "word": "Not ready", "since": None, "why": why_not}
    if c.last_success_at is not None:
        return {"state": "up", "word": "Works", "since": None, "why": ""}
    return {"state": "pending", "word": "Not used yet", "since": None, "why": ""}


def usage(c: Channel, sent: int) -> dict[str, Any] | None:
    """What it has sent this month of what it may; None without a quota."""
    most = limits.quota(c)
    if not most:
        return None
    percent = sent * 100 // most
    return {"sent": sent, "quota": most, "percent": percent, "tone": "down" if percent >= 100 else "degraded" if percent >= 80 else ""}  # fmt: skip


def named_by(c: Channel, viewer: Viewer) -> dict[str, Any]:
    """What makes it speak: triggers, escalation levels, people. What the visitor may not read is only counted."""
    triggers, levels, ways = list(c.triggers.all()), list(c.levels.all()), list(c.reaches.all())
    people = [w.contact for w in ways]
    seen = {
        "triggers": [t for t in triggers if viewer.sees(t.client_id)],
        "levels": [x for x in levels if viewer.sees(x.policy.client_id)],
        "people": [p for p in people if viewer.sees(p.client_id)],
    }
    hidden = len(triggers) + len(levels) + len(people) - sum(map(len, seen.values()))
    speaks = any(t.enabled for t in triggers) or any(x.policy.active for x in levels) or bool(people)
    return {**seen, "hidden": hidden, "silent": not speaks}


# --- Pressing its buttons ---------------------------------------------------------------------------------------------
@visit.page
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Send one marked message now, and say what the vendor answered."""
    row = visit.found(Channel.objects.for_user(request), pk)
    if not visit.pressed(request):
        return redirect("channels")
    visit.require(request, WRITE, row)
    delivery = sender.send_now(acts.test_delivery(row, by=Actor.of(request), at=database_now()))
    say, said = verdict(row, delivery)
    say(request, said)
    return redirect(visit.back(request, reverse("channels")))


def verdict(row: Channel, delivery: Delivery) -> tuple[Callable[[HttpRequest, str], None], str]:
    """(how to say it, what became of a test), with the vendor's words."""
    last = delivery.attempts.order_by("n").last()
    if delivery.state != Delivery.State.DELIVERED:
        why = (last.error if last else "") or delivery.reason or "no answer"
        return messages.error, f"The test message to {row.name} was not delivered: {why}"
    code = last.response_code if last else None
    words = " ".join(str(part) for part in (code, last.answer if last else "") if part)
    said = f" The answer was {words}." if words else ""
    if code == TAKEN:
        caveat = kinds.KINDS[row.type].caveat if row.type in kinds.KINDS else ""
        return messages.warning, (
            f"The test message to {row.name} was taken, to be passed on.{said} Did it arrive? "
            f"If it does not within a minute, look at the settings on the vendor's side. {caveat}".strip()
        )
    return messages.success, f"The test message to {row.name} was delivered.{said}"


def _switch(row: Channel, by: Actor, enabled: bool) -> str:
    services.save_channel(row, by=by, enabled=enabled)
    return f"{row.name} is on." if enabled else f"{row.name} is off: nothing goes to it until it is on again."


def _canary(row: Channel, by: Actor, wanted: bool) -> str:
    services.save_channel(row, by=by, canary=wanted)
    return f"{row.name} gets a test message every week." if wanted else f"{row.name} is not tested weekly any more."


def _digest(row: Channel, by: Actor) -> str:
    sent = digest.send(row, by=by, at=database_now())
    return f"On its way to {row.name}: {sent.notice.snapshot['title']}."


def _digests(row: Channel, by: Actor) -> str:
    unsubscribing.resume(row, by=by)
    return f"{row.name} may get digests again."


VERBS: dict[str, Callable[[Channel, Actor], str]] = {
    "on": lambda row, by: _switch(row, by, True), "off": lambda row, by: _switch(row, by, False),
    "weekly": lambda row, by: _canary(row, by, True), "not-weekly": lambda row, by: _canary(row, by, False), "digest": _digest,
    "digests-again": _digests,
}  # fmt: skip


@visit.page
def press(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """`/channels/3/digest/`: on, off, weekly, not-weekly, digest, digests-again."""
    row = visit.found(Channel.objects.for_user(request), pk)
    if verb not in VERBS:
        raise Http404
    if not visit.pressed(request):
        return redirect("channels")
    visit.require(request, WRITE, row)
    return visit.act(request, reverse("channels"), "", lambda: VERBS[verb](row, Actor.of(request)))


@visit.page
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """`/channels/3/delete/`"""
    row = visit.found(Channel.objects.for_user(request), pk)
    visit.require(request, WRITE, row)
    named = named_by(row, viewer_of(request))
    body = f"{row.name} hears nothing any more, and what waits to be sent through it is dropped. It waits in the trash for 30 days and can be put back; then the record of its deliveries is deleted. To keep the record, switch it off instead."
    body += _goes_on("These triggers name it and go on without it", [t.name for t in named["triggers"]])
    body += _goes_on("These escalation levels name it and go on without it", [str(x) for x in named["levels"]])
    body += _goes_on("These people are not reached by it any more", [p.name for p in named["people"]])
    return asked(
        request,
        "Delete this channel?",
        body,
        reverse("channels"),
        f"{row.name} was deleted.",
        lambda: trash.deleted(row, lambda: services.delete_channel(row, by=Actor.of(request))),
    )


def _goes_on(what: str, names: Iterable[str]) -> str:
    listed = list(names)[:20]
    return f" {what}: {', '.join(listed)}." if listed else ""


def asked(request: HttpRequest, title: str, body: str, to: str, said: str, do: Callable[[], Any]) -> HttpResponse:
    """A destructive act: GET names what goes, POST does it. A sentence that it returns is said in place of `said`."""
    if request.method == "POST":
        return visit.act(request, to, said, do)
    return render(
        request,
        "components/confirm_page.html",
        {"title": title, "body": body, "confirm_label": "Delete", "cancel_url": to},
    )
