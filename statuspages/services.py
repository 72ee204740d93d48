"""What can people do with a status page? Its doors: the page, its groups and components, what it says by hand.

Each is one transaction with its audit entry, and marks the page to be built anew. A client's page shows that client's
monitors and services only; a page of the MSP may show anybody's. What is said on it (incidents, planned work) has its
doors in `publishing` and `works`; they are named here too, so that one import is enough.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import models, transaction

from incidents.models import Incident, ServiceRules
from portal import audit
from portal.audit import Actor
from portal.models import Client, Service
from portal.models.clients import free_slug, known_zone
from statuspages import domains, logo, projection
from statuspages.components import delete_component, delete_group, order, save_component, save_group, set_override
from statuspages.models import Component, Page
from statuspages.models.page import new_mark
from statuspages.publishing import affected, auto_publish, pass_on, publish, withdraw
from statuspages.works import cancel_work, move_work, release, save_work, sweep

__all__ = [
    "affected", "announce", "auto_publish", "cancel_work", "delete_component", "delete_group", "delete_page", "keep_time", "lapse", "move_work", "order", "pass_on", "publish", "refuse_rule", "renew_feeds",
    "save_component", "save_group", "save_page", "save_work", "set_override", "withdraw",
]  # fmt: skip

RESERVED = frozenset({"add", "admin", "api", "badge", "feed", "index", "login", "new", "portal", "static", "status", "subscribe", "www"})  # fmt: skip
SHORTEST_PASSWORD = 8
FOLDER = re.compile(r"[a-z0-9][a-z0-9._-]{0,60}(/[a-z0-9][a-z0-9._-]{0,60}){0,3}\Z")
UNSEEN = ("password_hash", "domain_mark", "feed_mark", "logo", "published_at", "published_digest", "publish_error")
SAID = (
    "name", "slug", "enabled", "visibility", "headline", "about", "announcement", "announcement_until", "support_url", "language", "timezone", "theme", "accent",
    "custom_css", "show_latency", "show_targets", "show_verdicts", "show_uptime", "custom_domain", "publish_folder", "subscriptions",
)  # fmt: skip
KEEP: Any = object()


# --- The page -------------------------------------------------------------------------------------------------------------
def save_page(
    row: Page | None, *, by: Actor, at: datetime, client: Client | None = None, password: str = "", logo_file: Any = KEEP, **values: Any
) -> Page:  # fmt: skip
    """Make (None) or change a page; values are `SAID`, what is not given stays. Raises ValidationError at the field.

    `password` "" keeps the one that is; `logo_file` is the picture's bytes, None takes it away. The client of a page
    stays what it was: its readers and their addresses are that client's.
    """
    unknown = values.keys() - set(SAID)
    if unknown:
        raise TypeError(f"not of a page: {', '.join(sorted(unknown))}")
    new = row is None
    with transaction.atomic():
        page = Page(client=client) if row is None else Page.objects.select_for_update(of=("self",)).get(pk=row.pk)
        before = {} if new else _picture(page)
        complaints: dict[str, list[str]] = {}
        for name, value in values.items():
            try:
                setattr(page, name, _judged(page, name, value))
            except ValidationError as error:
                complaints[name] = error.messages
        if new and not page.slug and "slug" not in complaints:
            page.slug = free_slug(page.name, Page.objects.all())[:60]
            page.slug = page.slug if page.slug not in RESERVED else f"{page.slug}-page"
        _say_password(page, password, complaints)
        _say_logo(page, logo_file, complaints)
        _say_folder(page, complaints)
        if not new and before["custom_domain"] != page.custom_domain:
            page.domain_verified_at, page.domain_mark = None, new_mark()  # the old proof is of another name
        _clean(page, complaints)
        page.save()
        after = _picture(page)
        changed = sorted(n for n in after if after[n] != before.get(n))
        if changed:
            audit.record(
                "page.created" if new else "page.changed", page, by=by, client_id=page.client_id,
                before={n: before.get(n) for n in changed} if not new else {}, after={n: after[n] for n in changed},
            )  # fmt: skip
        projection.want([page.pk], at=at)
        return page


def delete_page(page: Page, *, by: Actor, at: datetime) -> None:
    """Take it away with its components, its readers and what was said on it; incidents stay, without it."""
    with transaction.atomic():
        audit.record("page.deleted", page, by=by, client_id=page.client_id, before=_picture(page))
        ServiceRules.objects.filter(auto_publish_page=page.pk).update(auto_publish_page=None)
        Incident.objects.filter(status_page_id=page.pk).update(status_page_id=None)
        release(page, by=by, at=at)
        page.delete()


def renew_feeds(page: Page, *, by: Actor, at: datetime) -> Page:
    """End every private address of its feed; readers find new ones on the page."""
    with transaction.atomic():
        row = Page.objects.select_for_update(of=("self",)).get(pk=page.pk)
        row.feed_mark = new_mark()
        row.save(update_fields=["feed_mark"])
        audit.record("page.feeds_renewed", row, by=by, client_id=row.client_id)
        return row


def announce(page: Page, text: str, *, until: datetime | None = None, by: Actor, at: datetime) -> Page:
    """Say something in the box on top, perhaps only for a time; "" takes it away."""
    if text and until is not None and until <= at:
        raise ValidationError({"announcement_until": ["This is past already; choose a later time or none."]})
    return save_page(page, by=by, at=at, announcement=text, announcement_until=until if text else None)


def _judged(page: Page, name: str, value: Any) -> Any:
    """A value as it is stored, or a complaint about it."""
    if isinstance(value, str):
        value = value.strip() if name != "custom_css" else value.strip("\ufeff")
        if "\x00" in value:
            raise ValidationError("It holds a zero byte; take it out.")
    if name == "slug":
        value = value.lower()
        if value in RESERVED:
            raise ValidationError(f"“{value}” is kept for the portal itself; choose another.")
    elif name == "custom_domain":
        return domains.normal(value, of=page)
    elif name == "accent":
        return value.lower()
    elif name == "timezone":
        known_zone(value)
    elif name == "support_url" and value and urlsplit(value).scheme not in ("http", "https"):
        raise ValidationError("Write a whole address, as https://acme.example/help.")
    elif name == "name" and not value:
        raise ValidationError("Say what the page is of, as “Acme status”.")
    return value


def _say_password(page: Page, password: str, complaints: dict[str, list[str]]) -> None:
    if password:
        if len(password) < SHORTEST_PASSWORD or len(password) > 200:
            complaints["password"] = [f"At least {SHORTEST_PASSWORD} characters, at most 200."]
            return
        page.password_hash = make_password(password)
    if page.visibility == Page.Visibility.PASSWORD and not page.password_hash:
        complaints["password"] = ["A page behind a password needs one; enter it here."]


def _say_logo(page: Page, data: Any, complaints: dict[str, list[str]]) -> None:
    if data is KEEP:
        return
    if not data:
        page.logo, page.logo_type = None, ""
        return
    try:
        page.logo_type = logo.judge(bytes(data))
        page.logo = bytes(data)
    except logo.NotALogo as error:
        complaints["logo"] = [str(error)]


def _say_folder(page: Page, complaints: dict[str, list[str]]) -> None:
    """Two pages in one folder would write over each other, and delete what they do not know."""
    folder = page.publish_folder = page.publish_folder.strip().strip("/")
    if not folder:
        return
    if not FOLDER.match(folder) or ".." in folder:
        complaints["publish_folder"] = ["Lower-case words below the operator's folder, as acme or acme/status."]
        return
    for other in Page.objects.exclude(pk=page.pk).exclude(publish_folder="").values_list("publish_folder", flat=True):
        if f"{other}/".startswith(f"{folder}/") or f"{folder}/".startswith(f"{other}/"):
            complaints["publish_folder"] = ["Another page is written there; choose a folder of its own."]


def _clean(page: Page, complaints: dict[str, list[str]]) -> None:
    """All complaints at once, each at its field."""
    try:
        page.full_clean(exclude=["logo", *complaints], validate_constraints=False)
    except ValidationError as error:
        for name, sentences in error.message_dict.items():
            complaints.setdefault(name, []).extend(sentences)
    if page.custom_domain and "custom_domain" not in complaints:
        proved = (
            Page.objects.filter(custom_domain=page.custom_domain).exclude(domain_verified_at=None).exclude(pk=page.pk)
        )
        if proved.exists():
            complaints["custom_domain"] = ["Another page answers at this domain already."]
    if complaints:
        raise ValidationError(complaints)


def _picture(page: Page) -> dict[str, Any]:
    """The page as the audit log shows it: no hash, no mark, of the logo only which one it is."""
    values = {f.attname: getattr(page, f.attname) for f in page._meta.concrete_fields if f.name not in UNSEEN}
    values["password"] = hashlib.sha256(page.password_hash.encode()).hexdigest()[:8] if page.password_hash else ""
    values["logo"] = hashlib.sha256(bytes(page.logo)).hexdigest()[:16] if page.logo else ""
    return values


def refuse_rule(service: Service, page_id: int | None) -> None:
    """Complain when a service's incidents could not be published on the page that its rule names."""
    if page_id is None:
        return
    known = Page.objects.filter(models.Q(client=None) | models.Q(client=service.client_id), pk=page_id)
    if not known.exists():
        raise ValidationError({"auto_publish_page": [f"There is no such page of {service.client}, nor of the MSP."]})


# --- What time alone brings ----------------------------------------------------------------------------------------------
def lapse(at: datetime) -> int:
    """End what was said by hand for a time that is over: overrides and announcements. Returns how many."""
    with transaction.atomic():
        over = list(
            Component.objects.filter(override_until__lte=at)
            .select_for_update(of=("self",))
            .values_list("pk", "page_id")
        )
        Component.objects.filter(pk__in=[pk for pk, _ in over]).update(override="", override_until=None, override_by="")
        said = list(
            Page.objects.filter(announcement_until__lte=at).exclude(announcement="").values_list("pk", flat=True)
        )
        Page.objects.filter(pk__in=said).update(announcement="", announcement_until=None)
        pages = {page for _, page in over} | set(said)
        if pages:
            projection.want(sorted(pages), at=at)
        return len(over) + len(said)


def keep_time(at: datetime) -> int:
    """Carry out what time alone brings, once a minute: planned work, and what was said by hand for a while."""
    return sweep(at) + lapse(at)
