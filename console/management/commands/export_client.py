"""What does a client take along? The archive of everything of theirs, into a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from console.exporting import archive
from portal import audit
from portal.clock import database_now
from portal.errors import Refused
from portal.management.base import TERMINAL, PortalCommand
from portal.models import Client


class Command(PortalCommand):
    help = "Write everything of one client into a ZIP file (JSON and CSV, without secrets)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the client's slug")
        parser.add_argument("file", type=Path, help="a file that does not exist yet")

    def work(self, *, slug: str, file: Path, **options: Any) -> str:
        client = Client.objects.filter(slug=slug).first()
        if client is None:
            raise Refused(f"There is no client with the slug {slug}.")
        at = database_now()
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise Refused(f"{file} is there already; name another file.") from None
        except OSError as error:
            raise Refused(f"{file} cannot be written: {error.strerror}.") from None
        with os.fdopen(descriptor, "wb") as out:
            try:
                archive.write(client, out, at)
            except BaseException:
                file.unlink(missing_ok=True)  # half an archive is worse than none
                raise
        audit.record(
            "client.export_fetched", client, by=TERMINAL, client_id=client.pk, after={"bytes": file.stat().st_size}
        )
        return f"{file}: {file.stat().st_size:,} bytes"
