"""Who builds pages anew, and who writes their copies? Two loops in the workers of queue `page`, woken by news, never waited for.

A wanted page is built within a second, every other one once a minute, so that times pass (an override ends, a day begins)
and "as of" stays true. The copies have a loop of their own: the operator's command may take its time.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import DatabaseError, InterfaceError
from django.db.models import F, Q

from portal import bells
from portal.clock import database_now
from portal.residents import Resident
from statuspages import copies, projection, serving
from statuspages.models import Page, Projection

log = logging.getLogger("watchkeeper.pages")

EVERY = timedelta(seconds=55)
AT_ONCE = 20
COPIED = "publish_copy"


def due(at: datetime) -> list[Page]:
    """The next pages to build: those nobody ever built, those that are wanted, those a minute old."""
    unbuilt = Page.objects.filter(enabled=True, projection=None).order_by().values_list("pk", flat=True)[:200]
    missing = [Projection(page_id=pk) for pk in unbuilt]
    if missing:
        Projection.objects.bulk_create(missing, ignore_conflicts=True)
    rows = Page.objects.filter(enabled=True).filter(
        Q(projection__wanted=True)
        | Q(projection__built_at=None, projection__isnull=False)
        | Q(projection__built_at__lt=at - EVERY)
    )
    return list(rows.order_by(F("projection__built_at").asc(nulls_first=True), "pk")[:AT_ONCE])


def build(pages: list[Page], at: datetime) -> int:
    """Build these; returns how many are different now. One that cannot be built does not stop the others."""
    changed = 0
    for page in pages:
        try:
            changed += projection.rebuild(page, at)
        except (DatabaseError, InterfaceError):
            raise
        except Exception:
            log.exception("page %s could not be built; again within a minute", page.slug)
    if pages:
        serving.board.look_again()
    return changed


class Projector(Resident):
    """Builds what is wanted."""

    bell_name = projection.BELL

    def __init__(self) -> None:
        super().__init__("projector")

    def step(self) -> float:
        at = database_now()
        pages = due(at)
        if build(pages, at):
            bells.ring(COPIED)
        return 0.0 if len(pages) == AT_ONCE else 1.0


class Copyist(Resident):
    """Writes the copies of pages that changed, and of every other one each few minutes."""

    bell_name = COPIED

    def __init__(self) -> None:
        super().__init__("copyist")

    def step(self) -> float:
        copies.keep_up(database_now())
        return 1.0
