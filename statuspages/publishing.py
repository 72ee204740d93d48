"""How does an incident come onto a page, and off it? By a person's hand, or by its service's rule; and its news to readers.

A publication is the link of the two; what readers see of the incident follows its updates from then on. On a client's
page stand incidents of that client, and the MSP's own; on a page of the MSP any.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from incidents import services as incidents
from incidents.models import Incident, ServiceRules, Update
from portal import audit
from portal.audit import PORTAL, Actor
from portal.errors import Refused
from statuspages import projection, telling
from statuspages.models import Component, Page, Publication

# What happened to an incident, as its readers are told. Who takes it in hand, or which alerts join, is not theirs.
TOLD = {"updated": "updated", "resolved": "resolved", "reopened": "reopened"}


def may_carry(page: Page, incident: Incident) -> bool:
    """May this page speak of that incident? One without a client is the MSP's own, and may concern any."""
    return page.client_id is None or incident.client_id in (None, page.client_id)


def pages_for(incident: Incident) -> Q:
    """Which pages may speak of it, as a condition on pages."""
    return Q(client=None) | Q(client=incident.client_id) if incident.client_id else Q()


def affected(incident: Incident, page: Page) -> list[Component]:
    """The page's components that stand for what the incident is about: by its monitors, or by those of a service."""
    about = incident.affected_monitor_ids or []
    found = page.components.filter(Q(monitors__in=about) | Q(service__monitors__in=about))
    return list(found.distinct().order_by("order", "pk"))


def publish(
    incident: Incident, page: Page, *, components: Iterable[Component] = (), title: str = "", by: Actor, at: datetime
) -> Publication:  # fmt: skip
    """Show it on the page, with these components (none: those that it touches now). Again: what is given is changed.

    Refused, with the words for an incident that does not exist, when it is another client's.
    """
    chosen = list({c.pk: c for c in components}.values())
    if not may_carry(page, incident):
        raise Refused(f"There is no incident {incident.pk} for this page.")
    if any(c.page_id != page.pk for c in chosen):
        raise ValidationError({"components": ["There is no such component on this page."]})
    if len(title := title.strip()) > 200:
        raise ValidationError({"title": ["At most 200 characters."]})
    with transaction.atomic():
        row = Incident.objects.select_for_update().get(pk=incident.pk)
        if row.merged_into_id is not None:
            raise Refused("Another incident carries on with this one; publish that.")
        found = Publication.objects.filter(page=page, incident=row).first()
        fresh = found is None or found.withdrawn_at is not None
        if found is None:
            found = Publication(page=page, incident=row)
        if fresh:
            found.published_at, found.published_by, found.withdrawn_at = at, by.name[:200], None
        found.title = title
        found.save()
        chosen = chosen or affected(row, page)
        found.components.set(chosen)
        if fresh:
            text = f"Published on {page.name}."
            incidents.note(row, "published", at, by=by.name, text=text, data={"page": page.pk, "publication": found.pk})
            row.status_page_id = page.pk
            row.save(update_fields=["next_seq", "status_page_id"])
        incident.next_seq, incident.status_page_id = row.next_seq, row.status_page_id
        after = {"page": page.pk, "title": title, "components": [c.pk for c in chosen]}
        audit.record(
            "incident.publish" if fresh else "incident.publication", row, by=by, client_id=row.client_id, after=after
        )
        projection.want([page.pk], at=at)
        if fresh:
            telling.incident_news(found, what="published", message=_last_words(row), at=at)
        return found


def withdraw(publication: Publication, *, by: Actor, at: datetime) -> Publication:
    """Take it off the page. The incident goes on; readers who heard of it are told nothing more."""
    with transaction.atomic():
        row = Incident.objects.select_for_update().get(pk=publication.incident_id)
        found = Publication.objects.select_for_update(of=("self",)).select_related("page").get(pk=publication.pk)
        if found.withdrawn_at is not None:
            raise Refused("It is off this page already.")
        found.withdrawn_at = at
        found.save(update_fields=["withdrawn_at"])
        text = f"Taken off {found.page.name}."
        incidents.note(row, "withdrawn", at, by=by.name, text=text, data={"page": found.page_id})
        others = Publication.objects.filter(incident=row, withdrawn_at=None).order_by("-published_at")
        row.status_page_id = others.values_list("page", flat=True).first()
        row.save(update_fields=["next_seq", "status_page_id"])
        audit.record("incident.withdraw", row, by=by, client_id=row.client_id, before={"page": found.page_id})
        projection.want([found.page_id], at=at)
        return found


# --- By themselves --------------------------------------------------------------------------------------------------------
def auto_publish(rows: Sequence[Incident], at: datetime) -> list[Publication]:
    """Publish what the machine has just opened, where its service's rule names a page and does not wait for a person.

    Called inside the transaction that opened them, with lists: two queries when no rule names a page.
    """
    opened = [i for i in rows if i.auto_created and i.service_id and i.resolved_at is None]
    if not opened:
        return []
    rules = ServiceRules.objects.filter(service__in={i.service_id for i in opened}).exclude(auto_publish_page=None)
    wanted = dict(rules.filter(creation=ServiceRules.Creation.AUTO).values_list("service", "auto_publish_page"))
    if not wanted:
        return []
    pages = Page.objects.in_bulk(set(wanted.values()))
    made = []
    for i in opened:
        page = pages.get(wanted.get(i.service_id or 0, 0))
        if page is not None and may_carry(page, i):
            made.append(publish(i, page, by=PORTAL, at=at))
    return made


def pass_on(rows: Sequence[Incident], at: datetime, change: str) -> int:
    """Tell readers what was said of incidents that are on a page, and have those pages built anew. Returns how many pages.

    Called inside the transaction that changed them, whoever changed them.
    """
    shown = (
        Publication.objects.filter(incident__in=rows, withdrawn_at=None)
        .select_related("page", "incident")
        .order_by("pk")
    )
    found = list(shown)
    if not found:
        return 0
    pages = sorted({p.page_id for p in found})
    if change == "joined":
        _widen(found)
    projection.want(pages, at=at)
    if change in TOLD:
        words = _latest({p.incident_id for p in found})
        for publication in found:
            telling.incident_news(publication, what=TOLD[change], message=words.get(publication.incident_id, ""), at=at)
    return len(pages)


def _widen(found: Iterable[Publication]) -> None:
    """What the machine published grows with what joins; what a person chose stays as they chose it."""
    for publication in found:
        if publication.published_by == PORTAL.name:
            publication.components.add(*affected(publication.incident, publication.page))


def _last_words(incident: Incident) -> str:
    return _latest({incident.pk}).get(incident.pk, "")


def _latest(ids: Iterable[int]) -> dict[int, str]:
    """incident -> the message of its newest update."""
    return dict(Update.objects.filter(incident__in=list(ids)).order_by("pk").values_list("incident", "message"))
