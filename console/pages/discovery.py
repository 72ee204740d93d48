"""What is on a client's network? A private probe looks around, and people tick what they want watched."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from console.pages import visit
from console.pages.probes import seen_probe
from monitors import discovery
from monitors.models import Probe, ProbeJob
from portal.audit import Actor
from portal.clock import database_now
from portal.errors import Refused
from portal.models import Site
from portal.tenancy import WRITE, viewer_of


@visit.page
def network(request: HttpRequest, pk: int) -> HttpResponse:
    """`/probes/3/network/`: send it, wait (`#live`), choose. POST `look` sends it, POST `create` makes what is ticked."""
    probe = seen_probe(request, pk)
    if request.method == "POST":
        visit.require(request, WRITE, probe.client_id)
        return _look(request, probe) if "look" in request.POST else _create(request, probe)
    return _shown(request, probe)


def _shown(request: HttpRequest, probe: Probe, error: str = "", ticked: frozenset[str] = frozenset()) -> HttpResponse:
    job = discovery.latest(probe)
    found = discovery.found_by(job) if job is not None and job.state == ProbeJob.State.DONE else []
    hosts = [
        {"address": address, "name": rows[0].host_name, "offers": [{"p": p, "ticked": p.key in ticked} for p in rows]}
        for address, group in groupby(found, key=lambda p: p.address)
        if (rows := list(group))
    ]
    at = database_now()
    under_way = job is not None and job.state in (ProbeJob.State.WAITING, ProbeJob.State.TAKEN) and job.expires_at > at
    context: dict[str, Any] = {
        "probe": probe, "job": job, "under_way": under_way, "hosts": hosts, "error": error, "may": viewer_of(request).may(WRITE, probe.client_id),
        "why": discovery.why_not(job) if job is not None and not under_way else "", "networks": discovery.networks_of(job) if job is not None else [],
        "cut": bool(job and job.result.get("cut")), "variable": "WATCHKEEPER_PROBE_DISCOVERY",
        "sites": list(Site.objects.for_user(request).filter(client=probe.client_id).order_by("name")[:200]), "site": visit.whole(request.POST.get("site")),
    }  # fmt: skip
    return visit.show(request, "console/network.html", context, visit.wanted(request, "live"), status=400 if error else 200)  # fmt: skip


def _look(request: HttpRequest, probe: Probe) -> HttpResponse:
    return visit.act(
        request, reverse("probe_network", args=[probe.pk]), f"{probe.name} looks around; what it finds is shown here.",
        lambda: discovery.ask(probe, by=Actor.of(request), at=database_now()),
    )  # fmt: skip


def _create(request: HttpRequest, probe: Probe) -> HttpResponse:
    job, keys = discovery.latest(probe), request.POST.getlist("chosen")
    if job is None or probe.client is None:
        return redirect("probe_network", probe.pk)
    site = None
    if request.POST.get("site"):
        site = visit.found(Site.objects.for_user(request).filter(client=probe.client), visit.whole(request.POST["site"]) or 0)  # fmt: skip
    try:
        made = discovery.accept(job, keys, client=probe.client, site=site, by=Actor.of(request), at=database_now())
    except ValidationError as error:
        return _shown(request, probe, " ".join(error.messages), frozenset(keys))
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("probe_network", probe.pk)
    words = "1 monitor is" if len(made) == 1 else f"{len(made)} monitors are"
    messages.success(request, f"{words} watched from {probe.name}.")
    return redirect(f"{reverse('monitors')}?client={probe.client_id}")
