"""Which pages are there, and what is ready of them in this process? One look into the database a second, whatever is asked.

One query lists all pages; a page's data are read when its projection is another one. While the database is away, what is
known is served on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, InterfaceError

from statuspages.front import Front
from statuspages.models import Page

log = logging.getLogger("watchkeeper.pages")

LOOK_SECONDS = 1.0
MOST_FRONTS = 300


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a page without reading its data."""

    pk: int
    slug: str
    client_id: int | None
    visibility: str
    password_hash: str
    domain: str
    language: str
    digest: str
    built_at: datetime | None
    feed_mark: str


class Board:
    """The pages this process knows, and what it has ready of them."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}
        self.domains: dict[str, str] = {}
        self.looked_at: float | None = None
        self.look_lock, self.load_lock = threading.Lock(), threading.Lock()
        self.fronts: OrderedDict[int, Front] = OrderedDict()

    def look_again(self) -> None:
        """Something changed here: do not wait for the second to pass."""
        if self.looked_at is not None:
            self.looked_at = float("-inf")

    def look(self) -> None:
        """See which pages there are, if the last look is a second old. One thread looks; the others go on with what is known."""
        if self.looked_at is not None and time.monotonic() - self.looked_at < LOOK_SECONDS:
            return
        first = self.looked_at is None
        if not self.look_lock.acquire(blocking=first):
            return
        try:
            if first and self.looked_at is not None:
                return
            moment = time.monotonic()
            known, domains = self._read()
            self.known, self.domains, self.looked_at = known, domains, moment
        except (DatabaseError, InterfaceError) as error:
            if self.looked_at is None:
                raise
            log.warning("the database did not answer (%s): pages are served as they were", type(error).__name__)
            self.looked_at = time.monotonic()
        finally:
            self.look_lock.release()

    def _read(self) -> tuple[dict[str, Known], dict[str, str]]:
        rows = Page.objects.filter(enabled=True).order_by().values_list(
            "pk", "slug", "client_id", "visibility", "password_hash", "custom_domain", "domain_verified_at", "language", "projection__digest", "projection__built_at",
            "feed_mark",
        )  # fmt: skip
        known = {}
        for pk, slug, client, visibility, secret, domain, verified, language, digest, built_at, mark in rows:
            proved = domain.lower() if verified else ""
            known[slug] = Known(pk, slug, client, visibility, secret, proved, language, digest or "", built_at, mark)
        return known, {one.domain: one.slug for one in known.values() if one.domain}

    def find(self, slug: str) -> Known | None:
        """An enabled page by its slug."""
        self.look()
        return self.known.get(slug)

    def at_domain(self, host: str) -> Known | None:
        """The page that lives at a proved domain."""
        self.look()
        return self.known.get(self.domains.get(host, ""))

    def front(self, known: Known) -> Front | None:
        """What is ready of it; None while it was never built."""
        front = self.fronts.get(known.pk)
        if not known.digest or known.built_at is None:
            return front
        if front is not None and (front.digest, front.as_of) == (known.digest, known.built_at):
            return front
        with self.load_lock:
            front = self.fronts.get(known.pk)
            if front is None or (front.digest, front.as_of) != (known.digest, known.built_at):
                front = self._load(known, front)
        return front

    def _load(self, known: Known, old: Front | None) -> Front | None:
        try:
            page = (
                Page.objects.select_related("projection")
                .filter(pk=known.pk, projection__built_at__isnull=False)
                .first()
            )
        except (DatabaseError, InterfaceError):
            if old is None:
                raise
            return old
        if page is None or not page.projection.digest:
            return old
        kept = page.projection
        front = self.fronts[known.pk] = Front.of(page, kept.body, kept.built_at, kept.digest)
        self.fronts.move_to_end(known.pk)
        while len(self.fronts) > MOST_FRONTS:
            self.fronts.popitem(last=False)
        return front

    def forget(self) -> None:
        """Know nothing, as a process that has just started."""
        self.known, self.domains, self.looked_at = {}, {}, None
        self.fronts.clear()


board = Board()
