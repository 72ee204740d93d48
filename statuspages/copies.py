"""Which copies are to be written now, and which are left over? One round of the loop that keeps all of them.

What is left over is known from the copies themselves: each has a listing that says whose it is. One that is this portal's
and that no page for everybody stands for (its page was deleted, moved, or hidden) is taken away.
"""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

from django.conf import settings

from portal import slots
from portal.clock import database_now
from statuspages import bucket_copy, listing, static_copy
from statuspages.bucket import BucketFailed
from statuspages.bucket_copy import Places
from statuspages.models import Page

log = logging.getLogger("watchkeeper.pages")


def keep_up(at: datetime) -> None:
    """Write what is due; once a minute, in one process, take away what is left over."""
    if not static_copy.set_up():
        return
    rows = Page.objects.exclude(publish_folder="").filter(projection__isnull=False).select_related("projection")
    with Places() as places:
        for page in rows.defer("projection__days").order_by("pk"):
            if static_copy.due(page, page.projection.digest, at):
                static_copy.publish(page, database_now(), places)
        if slots.claim(LEFT_OVERS, at) is not None:
            _take_away(places)


def take_away_left_overs(at: datetime) -> list[str]:
    """Take away this portal's copies that no page stands for; returns where they were. What fails is tried again later."""
    with Places() as places:
        return _take_away(places)


LEFT_OVERS = slots.Job("statuspages.copies", 60, take_away_left_overs)


def _take_away(places: Places) -> list[str]:
    # First what is there, then which pages there are: what is written meanwhile is never taken for left over.
    folders = _folders()
    try:
        bucket = places.bucket()
        names = list(bucket_copy.folders_of_ours(bucket)) if bucket is not None else []
    except BucketFailed as error:
        log.warning("the bucket was not searched for copies left over: %s", error)
        bucket, names = None, []
    wanted = {
        page.publish_folder for page in Page.objects.exclude(publish_folder="") if static_copy.may_be_copied(page)
    }
    gone = [str(folder) for name, folder in folders.items() if name not in wanted and _folder_gone(folder)]
    for name in names:
        if bucket is not None and name not in wanted:
            try:
                bucket_copy.withdraw(bucket, name)
            except BucketFailed as error:
                log.warning("a copy left over in the bucket stays for now: %s", error)
                break
            gone.append(f"{settings.PUBLISH_BUCKET.rstrip('/')}/{name}")
    if gone:
        log.info("copies without a page were taken away: %s", ", ".join(gone))
    return gone


def _folders() -> dict[str, Path]:
    """name -> folder of each copy of ours below the operator's folder."""
    base, found = static_copy.root(), {}
    if base is not None:
        for path in base.rglob(listing.NAME):
            try:
                if listing.decode(path.read_bytes()).ours:
                    found[path.parent.relative_to(base).as_posix()] = path.parent
            except OSError as error:
                log.warning("the listing of a copy cannot be read: %s", error.strerror)
    return found


def _folder_gone(folder: Path) -> bool:
    try:
        static_copy.withdraw(folder)
        try:
            static_copy.carry(folder)
        except static_copy.CopyFailed:
            (folder / listing.NAME).write_bytes(listing.encode({}))  # it is found again, and carried again
            raise
    except (static_copy.CopyFailed, OSError) as error:
        log.warning("a copy left over stays for now: %s", error)
        return False
    return True
