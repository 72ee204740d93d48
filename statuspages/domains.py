"""Whose name is this? A page answers at a domain only after a TXT record below it has shown the page's mark.

Without the proof anybody could bind a name that still points here to a page of their own. Asked when a person presses,
outside every transaction, within `SECONDS`.
"""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from portal import audit, domains
from portal.audit import Actor
from portal.errors import Refused
from portal.models import Branding
from statuspages import projection
from statuspages.models import Page

LABEL, ask = domains.LABEL, domains.ask
Ask = domains.Ask
EXAMPLE = "status.acme.example"


def normal(text: str, *, of: Page | None = None) -> str:
    """A domain as it is stored: lower case, in its ASCII form. "" stays; ValidationError says what to write instead."""
    name = domains.normal(text, example=EXAMPLE)
    if name and name != (of.custom_domain if of else "") and Branding.objects.filter(domain=name).exists():
        raise ValidationError("A client's portal has this domain; give the page one of its own.")
    return name


def record_of(page: Page) -> tuple[str, str]:
    """(name, text) of the TXT record that proves it; ("", "") without a domain."""
    return (f"{LABEL}.{page.custom_domain}", page.domain_mark) if page.custom_domain else ("", "")


def verify(page: Page, *, by: Actor, at: datetime, asked: Ask = ask) -> Page:
    """Look for the record; found, the page answers at its domain from now on. Refused otherwise, with what was seen."""
    name, mark = record_of(page)
    if not name:
        raise Refused("This page has no domain of its own; enter one and save it first.")
    domains.prove(page.custom_domain, mark, asked)
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
