"""Under whose name does somebody see the portal? A client's own, the MSP's, or as it was delivered: field by field.

of(viewer)                      -> Brand: name, logo's address, accent's style
called(client_id)               -> the portal's name in a mail to a client's people
save(client, by=…, name=…, …)   -> Branding; ValidationError at the field
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import Error, transaction
from django.db.models import Q

from portal import audit, colours, logo
from portal.audit import Actor
from portal.models import Branding, Client
from portal.tenancy import Viewer

log = logging.getLogger("watchkeeper.branding")

DELIVERED: Final = "Watchkeeper"
ENDINGS: Final = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
KEEP: Final = object()  # of a logo: as it is


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


def address(digest: str, kind: str) -> str:
    """Where a picture is: named by its digest, so that it never changes there; "" without one."""
    return f"/branding/logo/{digest}.{ENDINGS[kind]}" if digest and kind in ENDINGS else ""


def picture(digest: str, ending: str) -> tuple[bytes, str] | None:
    """(bytes, media type) of a logo by its name."""
    for row in Branding.objects.filter(logo_digest=digest).only("logo", "logo_type")[:1] if digest else ():
        if row.logo and ENDINGS.get(row.logo_type) == ending:
            return bytes(row.logo), row.logo_type
    return None


def save(client: Client | None, *, by: Actor, name: str, accent: str, picture: Any = KEEP) -> Branding:
    """Set how the portal looks to a client's people (None: to everybody else). `picture`: bytes, None for none, or KEEP."""
    complaints: dict[str, list[str]] = {}
    with transaction.atomic():
        row = Branding.objects.select_for_update().filter(client=client).first() or Branding(client=client)
        before = {"name": row.name, "accent": row.accent, "logo": row.logo_digest}
        row.name, row.accent = " ".join(name.split()), accent.strip().lower()
        if not row.name.isprintable():
            complaints["name"] = ["Write the name in plain characters on one line."]
        _say_picture(row, picture, complaints)
        try:
            row.clean_fields(exclude=["client", "logo"])
        except ValidationError as error:
            complaints |= {field: list(says) for field, says in error.message_dict.items()}
        if complaints:
            raise ValidationError(complaints)
        row.save()
        after = {"name": row.name, "accent": row.accent, "logo": row.logo_digest}
        changed = [field for field in after if after[field] != before[field]]
        if changed:
            audit.record(
                "branding.change", row, by=by, client_id=row.client_id,
                before={f: before[f] for f in changed}, after={f: after[f] for f in changed},
            )  # fmt: skip
        return row


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
