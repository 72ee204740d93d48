"""Whose name is this? A page answers at a domain only after a TXT record below it has shown the page's mark.

Without the proof anybody could bind a name that still points here to a page of their own. Asked when a person presses,
outside every transaction, within `SECONDS`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

import dns.exception
import dns.resolver
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from portal import audit
from portal.audit import Actor
from portal.errors import Refused
from statuspages import projection
from statuspages.models import Page

LABEL = "_watchkeeper"
SECONDS = 6.0
PART = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")
# Names that no public name server answers for, or that stand for this machine.
NOBODYS = ("localhost", "local", "internal", "invalid", "test", "onion", "arpa", "home", "lan")

Ask = Callable[[str], list[str]]


def normal(text: str) -> str:
    """A domain as it is stored: lower case, in its ASCII form. "" stays; ValidationError says what to write instead."""
    name = text.strip().rstrip(".").lower()
    if not name:
        return ""
    if "/" in name or ":" in name or "@" in name or "*" in name:
        raise ValidationError("Write the name alone, as status.acme.example: no https://, port, path or star.")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        raise ValidationError("An address cannot be proved; write a name, as status.acme.example.")
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValidationError("This is not a host name; write it as status.acme.example.") from None
    parts = name.split(".")
    if len(name) > 240 or len(parts) < 2 or not all(PART.match(part) for part in parts) or parts[-1].isdigit():
        raise ValidationError("This is not a host name; write it as status.acme.example.")
    if parts[-1] in NOBODYS:
        raise ValidationError(f"Readers cannot reach a name below .{parts[-1]}; write a public one.")
    ours = (urlsplit(settings.BASE_URL).hostname or "").lower()
    if name == ours:
        raise ValidationError("That is this portal's own name; give the page one of its own, as status.acme.example.")
    return name


def record_of(page: Page) -> tuple[str, str]:
    """(name, text) of the TXT record that proves it; ("", "") without a domain."""
    return (f"{LABEL}.{page.custom_domain}", page.domain_mark) if page.custom_domain else ("", "")


def ask(name: str, *, nameservers: list[str] | None = None, port: int = 53) -> list[str]:
    """The texts of a name's TXT records, by the machine's name servers. Refused says what to do when there are none."""
    resolver = dns.resolver.Resolver(configure=nameservers is None)
    if nameservers is not None:
        resolver.nameservers, resolver.port = nameservers, port
    resolver.cache = None
    try:
        answer = resolver.resolve(name, "TXT", lifetime=SECONDS, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        raise Refused(
            f"There is no TXT record at {name} yet. Add it; a new record may take some minutes to be seen."
        ) from None
    except dns.exception.Timeout:
        raise Refused(f"No name server answered for {name} in time. Try again in a minute.") from None
    except dns.exception.DNSException:
        raise Refused(f"The name servers could not answer for {name}. Look whether the domain is delegated.") from None
    return [b"".join(row.strings).decode("utf-8", "replace")[:300] for row in list(answer)[:50]]


def verify(page: Page, *, by: Actor, at: datetime, asked: Ask = ask) -> Page:
    """Look for the record; found, the page answers at its domain from now on. Refused otherwise, with what was seen."""
    name, mark = record_of(page)
    if not name:
        raise Refused("This page has no domain of its own; enter one and save it first.")
    seen = [text.strip() for text in asked(name)]
    if mark not in seen:
        shown = ", ".join(f"“{text[:60]}”" for text in seen[:3]) or "nothing"
        raise Refused(f"The TXT record at {name} says {shown}, not “{mark}”. Change it to that.")
    try:
        with transaction.atomic():
            row = Page.objects.select_for_update().get(pk=page.pk)
            if (row.custom_domain, row.domain_mark) != (page.custom_domain, mark):
                raise Refused("Somebody changed the domain meanwhile; look again.")
            row.domain_verified_at = at
            row.save(update_fields=["domain_verified_at"])
            audit.record(
                "page.domain_verified", row, by=by, client_id=row.client_id, after={"custom_domain": row.custom_domain}
            )
            projection.want([row.pk], at=at)
    except IntegrityError:
        raise Refused("Another page answers at this domain already; take it away there first.") from None
    return row
