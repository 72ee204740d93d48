"""Who reads a status page? Acme's page with its components, its readers, and the outbox' work done with real servers."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from django.test import Client as Browser

from alerts import addressees, outbox
from alerts.channels.base import DeliveryError, HttpChannel, Receipt
from alerts.models import Delivery
from alerts.sender import _alone, _outcome, prepare, send_threaded
from incidents.models import Incident
from portal.models import Client
from statuspages import links, telling
from statuspages.models import Component, Page, Publication, ScheduledWork, Subscriber
from statuspages.subscribers import PREFIX
from tests import cast

T = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ANA = "ana@readers.example"


def later(minutes: float = 0) -> datetime:
    return T + timedelta(minutes=minutes)


def page(of: Client | None = None, slug: str = "acme", **values: Any) -> Page:
    """A page of Acme's, or of whom is named."""
    defaults = {"client": of or cast.acme(), "name": f"{slug.capitalize()} status", **values}
    return Page.objects.get_or_create(slug=slug, defaults=defaults)[0]


def component(on: Page, name: str = "Checkout") -> Component:
    return Component.objects.get_or_create(page=on, name=name)[0]


def reader(on: Page, address: str = ANA, kind: str = "email", *parts: Component, **values: Any) -> Subscriber:
    """Somebody who has confirmed, unless `values` says otherwise."""
    usual = {"state": "active", "confirmed_at": T, "created_at": T, "asked_at": T - timedelta(days=1)}
    about = {**usual, "address": address, "address_hash": links.fingerprint(kind, address), **values}
    row = Subscriber.objects.create(page=on, kind=kind, **about)
    row.components.set(parts)
    return row


def publication(on: Page, *parts: Component, title: str = "Payments fail", **values: Any) -> Publication:
    """An incident on the page, major and under investigation."""
    incident = Incident.objects.create(client=on.client, title=title, created_at=T, **values)
    made = Publication.objects.create(page=on, incident=incident, published_at=T)
    made.components.set(parts)
    return made


def work(on: Page, *parts: Component, **values: Any) -> ScheduledWork:
    """Two hours of planned work, from tomorrow on."""
    begins = T + timedelta(days=1)
    about = {
        "title": "Switch replaced",
        "message": "Short breaks.",
        "starts_at": begins,
        "ends_at": begins + timedelta(hours=2),
        **values,
    }
    made = ScheduledWork.objects.create(page=on, created_at=T, **about)
    made.components.set(parts)
    return made


def opened(made: Publication, message: str = "We are looking.", at: datetime = T) -> int:
    return telling.incident_news(made, what="opened", message=message, at=at)


def owed(row: Subscriber | None = None, **values: Any) -> list[Delivery]:
    """What is to go out, or went out, to readers (or to one)."""
    rows = Delivery.objects.filter(kind=addressees.NEWS, **values).select_related("notice").order_by("id")
    return list(rows.filter(destination_key=f"{PREFIX}:{row.pk}") if row else rows)


def send(at: datetime = T) -> list[Delivery]:
    """A worker delivers everything that is due, by real connections; what it tried."""
    tried: list[Delivery] = []
    while rows := outbox.claim("w1", 100, at):
        for row, kind, message in prepare(rows, at):
            answer: Receipt | DeliveryError | None
            if isinstance(kind, DeliveryError) or message is None:
                answer = kind if isinstance(kind, DeliveryError) else None
            else:
                answer = (
                    asyncio.run(_alone(kind, message))
                    if isinstance(kind, HttpChannel)
                    else send_threaded(kind, message)
                )
            assert answer is not None
            answer = addressees.discreet(answer, kind) if row.channel_id is None else answer
            outbox.finish([_outcome(row, answer, at, 1.0)])
            tried.append(row)
    return tried


def press(where: str, **fields: Any) -> Any:
    """A press without a cookie, as a person or a mail program does it."""
    return Browser(enforce_csrf_checks=True).post(path(where), fields)


def path(url: str) -> str:
    """The address within the portal."""
    return re.sub(r"^https?://[^/]+", "", url.strip(" <>"))


def link(text: str, place: str) -> str:
    """The path of the link in a message's text that leads to `place` (confirm, preferences, leave)."""
    found = re.search(rf"https?://\S+/{place}/[\w.-]+/", text)
    assert found, text
    return path(found[0])


def state(answer: Any) -> str:
    found = re.search(r'data-state="(\w+)"', answer.content.decode())
    return found[1] if found else ""
