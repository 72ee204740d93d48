"""What becomes of status pages when a client is deleted, or comes back? Its own answer 404; ours let go of its parts."""

from __future__ import annotations

from datetime import datetime

from portal import leaving
from portal.audit import Actor
from portal.models import Client
from portal.trash import Taken
from statuspages import projection
from statuspages.models import Component, Page, Publication
from statuspages.serving import board

links = Component.monitors.through.objects


def leave(client: Client, by: Actor, at: datetime) -> Taken:
    """Its pages, feeds and copies are gone at once; on pages of others nothing of its shows."""
    own: Taken = {"pages": leaving.off(client, Page)}
    if own["pages"]:
        board.look_again()
    shown = links.filter(monitor__client=client).exclude(component__page__client=client)
    own["links"] = [list(pair) for pair in shown.order_by("pk").values_list("component_id", "monitor_id")]
    spoken = Component.objects.filter(service__client=client).exclude(page__client=client)
    own["services"] = [list(pair) for pair in spoken.order_by("pk").values_list("pk", "service_id")]
    touched = {component for component, _ in own["links"] + own["services"]}
    shown.delete()
    spoken.update(service=None)
    _redraw(touched, at)
    told = Publication.objects.filter(incident__client=client, withdrawn_at=None).exclude(page__client=client)
    own["publications"] = list(told.order_by("pk").values_list("pk", flat=True))
    projection.want(list(told.order_by().values_list("page_id", flat=True)), at=at)
    told.update(withdrawn_at=at)
    return own


def back(client: Client, own: Taken, by: Actor, at: datetime) -> list[str]:
    """Each is where it was. Its readers were not told that it was away."""
    leaving.on(own.get("pages", []), Page)
    projection.want(own.get("pages", []), at=at)
    there = set(Component.objects.filter(pk__in=[c for c, _ in own.get("links", [])]).values_list("pk", flat=True))
    links.bulk_create(
        [links.model(component_id=c, monitor_id=m) for c, m in own.get("links", []) if c in there],
        ignore_conflicts=True,
    )
    for component, service in own.get("services", []):
        Component.objects.filter(pk=component, service=None).update(service=service)
    _redraw({c for c, _ in own.get("links", []) + own.get("services", [])}, at)
    told = Publication.objects.filter(pk__in=own.get("publications", []))
    told.update(withdrawn_at=None)
    projection.want(list(told.order_by().values_list("page_id", flat=True)), at=at)
    board.look_again()
    return []


def _redraw(components: set[int], at: datetime) -> None:
    if components:
        pages = Component.objects.filter(pk__in=components).order_by().values_list("page_id", flat=True)
        projection.want(list(pages.distinct()), at=at)


leaving.register("statuspages", leaving.Part(leave, back))
