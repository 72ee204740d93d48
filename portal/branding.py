"""Under whose name does somebody see the portal? A client's own, the MSP's, or as it was delivered: field by field.

of(viewer)                      -> Brand: name, logo's address, accent's style
called(client_id)               -> the portal's name in a mail to a client's people
home(client_id), home_of(user)  -> where they find it: the client's own domain once that is proved, else BASE_URL
save(client, by=…, name=…, …)   -> Branding; ValidationError at the field
prove(row, by=…, at=…)          -> Branding whose domain the portal answers at from now on; Refused otherwise
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import Error, IntegrityError, transaction
from django.db.models import Q

from portal import audit, colours, domains, doors, logo
from portal.audit import Actor
from portal.errors import Refused
from portal.models import Branding, Client
from portal.tenancy import Viewer, viewer_of

log = logging.getLogger("watchkeeper.branding")

DELIVERED: Final = "Watchkeeper"
ENDINGS: Final = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
KEEP: Final = object()  # of a logo or a domain: as it is
EXAMPLE: Final = "portal.acme.example"


@dataclass(frozen=True, slots=True)
class Brand:
    """How the portal looks. `logo`: its address, or ""; `accent`: #rrggbb, or "" for the portal's own colours."""

    name: str = DELIVERED
    logo: str = ""
    accent: str = ""

    @property
    def style(self) -> str:
        """What differs from the portal's own style sheet: known names and judged colours, nothing that a person wrote."""
        found = ".brand img{width:auto;max-width:160px}" if self.logo else ""
        if self.accent:
            tokens = colours.tokens(self.accent).items()
            found += f":root{{{';'.join(f'--{name}:light-dark({light},{dark})' for name, (light, dark) in tokens)}}}"
        return found


def _rows(*clients: int | None) -> dict[int | None, dict[str, str]]:
    """client (None: the MSP's own) → its fields, without pictures, of these and of the MSP: one query."""
    wanted = Q(client=None) | Q(client__in=[c for c in clients if c is not None])
    try:
        found = list(Branding.objects.filter(wanted).values("client_id", "name", "accent", "logo_type", "logo_digest"))
    except Error:  # a page that says what is wrong must still have a face
        log.warning("the portal's name and logo cannot be read; as delivered for now")
        return {}
    return {row.pop("client_id"): row for row in found}


def _made(own: dict[str, str], ours: dict[str, str]) -> Brand:
    pictured = own if own.get("logo_digest") else ours
    return Brand(
        own.get("name") or ours.get("name") or DELIVERED,
        address(pictured.get("logo_digest", ""), pictured.get("logo_type", "")),
        own.get("accent") or ours.get("accent") or "",
    )


def of_client(client_id: int | None) -> Brand:
    """What a client's people see; None: everybody else, also before they sign in."""
    return of_clients([client_id])[client_id]


def of_clients(ids: Collection[int | None]) -> dict[int | None, Brand]:
    """The same for several."""
    rows = _rows(*ids)
    return {pk: _made(rows.get(pk) or {}, rows.get(None) or {}) for pk in ids}


def of(viewer: Viewer | None) -> Brand:
    """What this viewer sees: the client's of somebody with one client only, everybody else the MSP's."""
    if viewer is None or viewer.msp_role or len(viewer.client_ids) != 1:
        return of_client(None)
    return of_client(next(iter(viewer.client_ids)))


def called(client_id: int | None) -> str:
    """The portal's name for this client's people."""
    return of_client(client_id).name


# --- Where they find it -----------------------------------------------------------------------------------------------------
def homes() -> dict[int, str]:
    """client → the portal's address at its own domain, of those that have one: one query."""
    rows = Branding.objects.filter(domain_proved_at__isnull=False).order_by().values_list("client_id", "domain")
    return {client: at_domain(domain) for client, domain in rows}


def home(client_id: int | None) -> str:
    """The portal's address for this client's people, without a slash at its end; never made of a request's Host."""
    if client_id is None:
        return str(settings.BASE_URL)
    row = Branding.objects.filter(client=client_id, domain_proved_at__isnull=False).values("domain").first()
    return at_domain(row["domain"]) if row else str(settings.BASE_URL)


def only_client_of(user: Any) -> int | None:
    """The client to which this person belongs and no other; None for our staff, for who has several, and for nobody."""
    viewer = None if user is None else viewer_of(user)
    return next(iter(viewer.client_ids)) if viewer and not viewer.msp_role and len(viewer.client_ids) == 1 else None


def home_of(user: Any) -> str:
    """The same for a person: a client's own domain for who belongs to that client alone."""
    return home(only_client_of(user))


def at_domain(domain: str) -> str:
    """The address at a client's domain: the same proxy stands in front, so scheme and port are BASE_URL's."""
    base = urlsplit(settings.BASE_URL)
    return f"{base.scheme}://{domain}{f':{base.port}' if base.port else ''}"


def led(url: str, home: str) -> str:
    """One of our own addresses as it is below that home; any other, and what stays at BASE_URL, as it is."""
    path = url.removeprefix(str(settings.BASE_URL))
    ours = path != url and path.startswith("/") and not path.startswith(doors.ELSEWHERE)
    return home + path if ours else url


def record_of(row: Branding) -> tuple[str, str]:
    """(name, text) of the TXT record that proves its domain; ("", "") without a domain."""
    return domains.record(row.domain, row.domain_mark)


def prove(row: Branding, *, by: Actor, at: datetime, asked: domains.Ask = domains.ask) -> Branding:
    """Look for the record; found, the portal answers at the domain. Refused otherwise, with what was seen."""
    if not row.domain:
        raise Refused("There is no domain of its own yet; enter one and save it first.")
    domains.prove(row.domain, row.domain_mark, asked)
    with transaction.atomic():
        found = Branding.objects.select_for_update().filter(pk=row.pk).first()
        if found is None or (found.domain, found.domain_mark) != (row.domain, row.domain_mark):
            raise Refused("Somebody changed the domain meanwhile; look again.")
        elsewhere = doors.claimed(found.domain)
        if elsewhere:
            raise Refused(elsewhere)
        if found.domain_proved_at is None:
            found.domain_proved_at = at
            found.save(update_fields=["domain_proved_at"])
            audit.record(
                "branding.domain_proved", found, by=by, client_id=found.client_id, after={"domain": found.domain}
            )
            transaction.on_commit(doors.look_again)
        return found


# --- Pictures, and what is entered ------------------------------------------------------------------------------------------
def address(digest: str, kind: str) -> str:
    """Where a picture is: named by its digest, so that it never changes there; "" without one."""
    return f"/branding/logo/{digest}.{ENDINGS[kind]}" if digest and kind in ENDINGS else ""


def picture(digest: str, ending: str) -> tuple[bytes, str] | None:
    """(bytes, media type) of a logo by its name."""
    for row in (
        Branding.objects.filter(logo_digest=digest)
        .exclude(client__deleted_at__isnull=False)
        .only("logo", "logo_type")[:1]
        if digest
        else ()
    ):
        if row.logo and ENDINGS.get(row.logo_type) == ending:
            return bytes(row.logo), row.logo_type
    return None


def save(
    client: Client | None, *, by: Actor, name: str, accent: str, picture: Any = KEEP, domain: Any = KEEP
) -> Branding:
    """Set how the portal looks to a client's people (None: to everybody else). `picture`: bytes, None for none, or KEEP.

    `domain`: the client's own name for the portal, "" for none, or KEEP; another one has to be proved anew.
    """
    complaints: dict[str, list[str]] = {}
    with transaction.atomic():
        row = Branding.objects.select_for_update().filter(client=client).first() or Branding(client=client)
        before = _picture_of(row)
        row.name, row.accent = " ".join(name.split()), accent.strip().lower()
        if not row.name.isprintable():
            complaints["name"] = ["Write the name in plain characters on one line."]
        _say_picture(row, picture, complaints)
        _say_domain(row, domain, complaints)
        try:
            row.clean_fields(exclude=["client", "logo", "domain"])
        except ValidationError as error:
            complaints |= {field: list(says) for field, says in error.message_dict.items()}
        if complaints:
            raise ValidationError(complaints)
        try:
            with transaction.atomic():
                row.save()
        except IntegrityError:  # somebody took the same name at the same moment
            raise ValidationError({"domain": [TAKEN]}) from None
        after = _picture_of(row)
        changed = [field for field in after if after[field] != before[field]]
        if changed:
            audit.record(
                "branding.change", row, by=by, client_id=row.client_id,
                before={f: before[f] for f in changed}, after={f: after[f] for f in changed},
            )  # fmt: skip
            transaction.on_commit(doors.look_again)
        return row


TAKEN: Final = "Another client's portal has this domain; take it away there first."


def _picture_of(row: Branding) -> dict[str, str]:
    return {"name": row.name, "accent": row.accent, "logo": row.logo_digest, "domain": row.domain}


def _say_domain(row: Branding, given: Any, complaints: dict[str, list[str]]) -> None:
    if given is KEEP:
        return
    try:
        wanted = domains.normal(str(given), example=EXAMPLE)
    except ValidationError as error:
        complaints["domain"] = error.messages
        return
    if wanted == row.domain:
        return
    if wanted and row.client_id is None:
        complaints["domain"] = ["Only a client's portal has a domain of its own; ours is BASE_URL."]
    elif wanted and Branding.objects.filter(domain=wanted).exclude(pk=row.pk).exists():
        complaints["domain"] = [TAKEN]
    elif wanted and (elsewhere := doors.claimed(wanted)):
        complaints["domain"] = [elsewhere]
    row.domain, row.domain_proved_at = wanted, None  # the old proof is of another name
    row.domain_mark = domains.new_mark() if wanted else ""


def _say_picture(row: Branding, data: Any, complaints: dict[str, list[str]]) -> None:
    if data is KEEP:
        return
    if not data:
        row.logo, row.logo_type, row.logo_digest = None, "", ""
        return
    try:
        row.logo_type = logo.judge(bytes(data))
    except logo.NotALogo as error:
        complaints["logo"] = [str(error)]
        return
    row.logo, row.logo_digest = bytes(data), hashlib.sha256(bytes(data)).hexdigest()
