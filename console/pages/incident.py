"""What happened, who has it, what was said about it? One incident: two states side by side, and one timeline."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from alerts import channels
from alerts.channels.tickets import TicketChannel, number_of
from alerts.models import Alert, Channel, Conversation, Delivery
from console.pages import visit
from console.pages.alert import TONES
from console.pages.overview import shape_of, word_of
from incidents import engine, joining, parents, postmortems, services
from incidents.models import Incident
from incidents.timeline import changes
from monitors.models import Monitor
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.tenancy import ACK, WRITE, viewer_of

KINDS = (("", "Everything"), ("people", "People"), ("pages", "Pages sent"), ("machine", "Machine"))
STORY_TONES = {
    "opened": "down",
    "joined": "down",
    "verdict": "info",
    "acknowledged": "info",
    "update": "info",
    "alert_resolved": "up",
    "resolved": "up",
    "reopened": "degraded",
    "merged": "info",
    "left": "unknown",
    "grouped": "info",
    "ungrouped": "unknown",
    "published": "info",
    "withdrawn": "unknown",
    "postmortem": "unknown",
}
STATE_TONES = {"down": "down", "degraded": "degraded", "up": "up", "maintenance": "maintenance"}
PEOPLE = frozenset((
    "acknowledged", "update", "update_edited", "update_removed", "reopened", "edited", "merged", "left", "grouped", "ungrouped", "published", "withdrawn", "postmortem",
))  # fmt: skip
MOST = 300


class UpdateForm(forms.Form):
    """What those outside are told, and how far it is."""

    status = forms.ChoiceField(label="Status", help_text="Goes forward only. Resolved ends the incident.")
    message = forms.CharField(
        label="Message",
        widget=forms.Textarea(attrs={"rows": 3}),
        max_length=5000,
        help_text="Plain words for those who wait.",
    )

    def __init__(self, incident: Incident, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ahead = engine.ORDER[engine.ORDER.index(incident.status) :]
        self.fields["status"].choices = [(s, Incident.Status(s).label) for s in ahead]  # type: ignore[attr-defined]


class ParentUpdateForm(UpdateForm):
    """An update on what is behind several clients' incidents, which their own records may take over."""

    copy_to = forms.ModelMultipleChoiceField(
        Incident.objects.none(),
        required=False,
        label="Say the same to these clients",
        widget=forms.CheckboxSelectMultiple,
        help_text="The words go to their incidents as they are: name nobody else in them.",
    )

    def __init__(self, incident: Incident, *args: Any, **kwargs: Any) -> None:
        super().__init__(incident, *args, **kwargs)
        field: Any = self.fields["copy_to"]
        field.queryset = (
            incident.children.filter(resolved_at=None).select_related("client").order_by("client__name", "pk")
        )
        field.label_from_instance = lambda c: f"{c.client.name} · {c.title}"


@visit.page
def incident(request: HttpRequest, pk: int) -> HttpResponse:
    """`/incidents/2/?show=people`; a POST is an update."""
    viewer = viewer_of(request)
    rows = Incident.objects.for_user(viewer).select_related("client", "service", "parent", "lead", "merged_into")
    i = visit.found(rows, pk)
    children = list(Incident.objects.for_user(viewer).filter(parent=i).select_related("client").order_by("pk")[:MOST])
    kind = ParentUpdateForm if any(c.resolved_at is None for c in children) else UpdateForm
    form = kind(i, request.POST if request.method == "POST" else None)
    if request.method == "POST":
        visit.require(request, WRITE, i)
        if form.is_valid():
            try:
                missed = told(i, form.cleaned_data, Actor.of(request))
            except Refused as refusal:
                form.add_error(None, str(refusal))
            else:
                messages.success(request, "The update is on the record.")
                for sentence in missed:
                    messages.warning(request, f"Not copied to {sentence}")
                return redirect("incident", pk=pk)
    alerts = list(Alert.objects.for_user(viewer).filter(incident_link__incident=i).order_by("-pk")[:100])
    show = request.GET.get("show", "")
    affected = {m.pk: m for m in Monitor.objects.for_user(viewer).filter(pk__in=i.affected_monitor_ids)}
    may_write, is_open = viewer.may(WRITE, i.client_id), i.resolved_at is None
    context = {
        "problems": None,
        "incident": i,
        "form": form,
        "update_url": reverse("incident", args=[pk]),
        "alerts": [
            {"row": a, "state": shape_of(a), "word": "Resolved" if a.is_resolved else word_of(a)} for a in alerts
        ],
        "affected": [affected[pk] for pk in i.affected_monitor_ids if pk in affected],
        "timeline": timeline(i, alerts, viewer, show),
        "tickets": tickets(alerts, viewer),
        "kinds": KINDS,
        "show": show,
        "may_ack": viewer.may(ACK, i.client_id),
        "may_write": may_write,
        "is_resolved": not is_open,
        "moments": postmortems.moments(i),
        "children": children,
        "parent": i.parent if i.parent is not None and viewer.msp_role else None,
        "merged": list(Incident.objects.for_user(viewer).filter(merged_into=i).order_by("pk")[:50]),
        "may_reopen": not is_open
        and (
            i.merged_into_id is None
            or engine.merge_left_nothing(i.timeline.filter(kind="resolved").values_list("data", flat=True))
        ),
        "undo": joining.can_undo(i, alerts) if may_write and is_open else [],
        "may_split": may_write and is_open and len(alerts) > 1,
        "may_group": bool(viewer.msp_role) and viewer.may(WRITE, None) and is_open,
        "publication_url": f"/incidents/{i.pk}/publication/",
    }
    return visit.show(
        request, "console/incident.html", context, visit.wanted(request, "live"), status=400 if form.is_bound else 200
    )


def told(i: Incident, said: dict[str, Any], by: Actor) -> list[str]:
    """Post the update; on a parent also to the chosen children. Returns what was not copied, as sentences."""
    at, copy_to = database_now(), said.get("copy_to", ())
    about = {"status": said["status"], "message": said["message"], "by": by, "at": at}
    if copy_to:
        return parents.update(i, copy_to=copy_to, **about)
    services.update(i, **about)
    return []


def tickets(alerts: list[Alert], viewer: Any) -> list[tuple[Channel, list[str]]]:
    """(ticket system, the numbers it gave to these alerts); only of channels that the viewer may see."""
    kinds = [kind for kind, cls in channels.KINDS.items() if issubclass(cls, TicketChannel)]
    talks = Conversation.objects.for_user(viewer).filter(alert__in=[a.pk for a in alerts]).exclude(provider_id="")
    keys = dict.fromkeys(talks.order_by().values_list("destination_key", flat=True)) if alerts else {}
    if not keys:
        return []
    rows = {c.destination_key: c for c in Channel.objects.for_user(viewer).filter(type__in=kinds).order_by("name")}
    found: dict[str, list[str]] = {key: [] for key in rows if key in keys}
    for key, provider_id in talks.order_by("pk").values_list("destination_key", "provider_id"):
        number = number_of(provider_id)
        if key in found and number not in found[key]:
            found[key].append(number)
    return [(rows[key], numbers) for key, numbers in found.items()]


def timeline(i: Incident, alerts: list[Alert], viewer: Any, show: str) -> list[dict[str, Any]]:
    """What people and the machine did, merged with the pages sent and the monitors' changes of state, newest first."""
    story: list[dict[str, Any]] = []
    mendable = set(i.updates.values_list("pk", flat=True)) if viewer.may(WRITE, i.client_id) else set()
    for e in i.timeline.order_by("-seq")[:MOST]:
        person = e.kind in PEOPLE or (e.kind in ("opened", "resolved") and e.by not in ("", "Watchkeeper"))
        if show in ("", "people" if person else "machine"):
            story.append(
                {
                    "at": e.at,
                    "seq": e.seq,
                    "tone": STORY_TONES.get(e.kind, "unknown"),
                    "entry": e,
                    "status": e.data.get("status", "") if e.kind == "update" else "",
                    "update": e.data.get("update") if e.data.get("update") in mendable else None,
                }
            )
    if show in ("", "pages"):
        rows = (
            Delivery.objects.for_user(viewer)
            .filter(alert__in=[a.pk for a in alerts])
            .select_related("channel", "contact", "notice")
        )
        for d in rows.order_by("-pk")[:MOST] if alerts else ():
            story.append(
                {"at": d.finished_at or d.created_at, "seq": 0, "tone": TONES.get(d.state, "unknown"), "delivery": d}
            )
    if show in ("", "machine"):
        for c in changes(i, Monitor.objects.for_user(viewer))[:MOST]:
            story.append({"at": c.at, "seq": 0, "tone": STATE_TONES.get(c.to_state, "unknown"), "change": c})
    return sorted(story, key=lambda e: (e["at"], e["seq"]), reverse=True)


@visit.page
def press(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """acknowledge, resolve, reopen."""
    i = visit.found(Incident.objects.for_user(request), pk)
    if verb not in engine.MOVES:
        raise Http404
    if not visit.pressed(request):
        return redirect("incident", pk=pk)
    visit.require(request, ACK, i)
    by, at, words = Actor.of(request), database_now(), request.POST.get("reason", "").strip()[:5000]

    def do() -> str:
        if verb == "acknowledge":
            services.acknowledge(i, by=by, at=at, name=str(request.user))
            return "You have it: its alerts are acknowledged, escalation stops, nothing is published."
        if verb == "resolve":
            services.resolve(i, by=by, at=at, message=words)
            return "Resolved, for the public and for those who respond."
        services.reopen(i, by=by, at=at, message=words)
        return "Open again: investigating, and nobody has it yet."

    return visit.act(request, reverse("incident", args=[pk]), "", do)
