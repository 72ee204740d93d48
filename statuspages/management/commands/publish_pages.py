"""Write the static copies now: of all pages that have a folder, or of those named; without names, take away left-overs too."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from portal.clock import database_now
from portal.management.base import PortalCommand
from statuspages import bucket, copies, projection, static_copy
from statuspages.models import Page


class Command(PortalCommand):
    help = "Build the status pages anew and write their static copies (PUBLISH_FOLDER, PUBLISH_BUCKET); only pages for everybody have one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slugs", nargs="*", metavar="SLUG", help="Only these pages.")
        parser.add_argument(
            "--whole",
            action="store_true",
            help="Put every file into the bucket again, as after somebody else changed something there.",
        )

    def work(self, **options: Any) -> str:
        wanted = list(options["slugs"])
        if not static_copy.set_up():
            raise CommandError(
                "PUBLISH_FOLDER is empty, and so is PUBLISH_BUCKET; set the folder or the bucket that copies are to be written to."
            )
        wrong = bucket.understood(settings.PUBLISH_BUCKET, settings.PUBLISH_S3)[1]
        if wrong:
            raise CommandError(" ".join(wrong))
        pages = (
            Page.objects.filter(slug__in=wanted)
            if wanted
            else Page.objects.filter(enabled=True).exclude(publish_folder="")
        )
        found = list(pages.order_by("slug"))
        missing = sorted(set(wanted) - {page.slug for page in found})
        refused = [page.slug for page in found if not static_copy.may_be_copied(page)] if wanted else []
        if missing:
            raise CommandError(f"There is no page {', '.join(missing)}.")
        if refused:
            raise CommandError(f"{', '.join(refused)}: only a page for everybody that has a folder is written.")
        failed = []
        for page in found:
            if static_copy.may_be_copied(page):
                projection.rebuild(page, database_now())
            row = Page.objects.select_related("projection").get(pk=page.pk)
            trouble = static_copy.publish(row, database_now(), whole=options["whole"])
            self.stdout.write(f"{page.slug}: {trouble or ', '.join(static_copy.places_of(page))}")
            failed += [page.slug] if trouble else []
        if failed:
            raise CommandError(f"{len(failed)} of {len(found)} could not be written.")
        gone = [] if wanted else copies.take_away_left_overs(database_now())
        for place in gone:
            self.stdout.write(f"{place}: taken away, no page stands for it")
        return f"{len(found)} written."
