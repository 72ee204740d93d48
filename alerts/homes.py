"""Where does a message lead? A client's people to the portal at that client's own domain, everybody else to BASE_URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from alerts.addressees import Addressee
from alerts.message import Message
from alerts.models import Delivery
from portal import branding
from portal.models import User


def led_home(message: Message, row: Delivery, reader: Addressee | None, homes: Mapping[int, str]) -> Message:
    """The message with our own addresses as whoever gets it knows them. `homes`: `branding.homes()`."""
    home = homes.get(client_of(row, reader) or 0) if homes else None
    if home is None:
        return message
    links = tuple(replace(link, url=branding.led(link.url, home)) for link in message.links)
    lines = tuple(replace(line, url=branding.led(line.url, home)) for line in message.lines)
    return replace(message, links=links, lines=lines)


def client_of(row: Delivery, reader: Addressee | None) -> int | None:
    """Whose people get it; None: our staff, somebody of several clients, or somebody we do not know."""
    if row.contact is not None:
        return row.contact.client_id
    if row.channel is not None:
        return row.channel.client_id
    return branding.only_client_of(_person(reader.config.get("to")) if reader else None)


def _person(to: Any) -> User | None:
    address = to[0] if isinstance(to, list | tuple) and len(to) == 1 else ""
    return User.objects.filter(email__iexact=address).first() if address else None
