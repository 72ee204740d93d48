"""Write the static copies now: of all pages that have a folder, or of those named."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from portal.clock import database_now
from portal.management.base import PortalCommand
from statuspages import projection, static_copy
from statuspages.models import Page


class Command(PortalCommand):
    help = "Build the status pages anew and write their static copies below PUBLISH_FOLDER; only pages for everybody have one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slugs", nargs="*", metavar="SLUG", help="Only these pages.")

    def work(self, **options: Any) -> str:
        wanted = list(options["slugs"])
        if static_copy.root() is None:
            raise CommandError("PUBLISH_FOLDER is empty; set it to the folder below which copies are to be written.")
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
            trouble = static_copy.publish(Page.objects.select_related("projection").get(pk=page.pk), database_now())
            self.stdout.write(f"{page.slug}: {trouble or static_copy.folder_of(page)}")
            failed += [page.slug] if trouble else []
        if failed:
            raise CommandError(f"{len(failed)} of {len(found)} could not be written.")
        return f"{len(found)} written."
