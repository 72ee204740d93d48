"""How does a saved file become the database again? Into an empty one, or over what is there with --force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from portal import backup
from portal.management.base import TERMINAL, PortalCommand


class Command(PortalCommand):
    help = "Read the database from FILE; refuses a database that is in use without --force. Stop the portal first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--force", action="store_true", help="replace what is there")

    def work(self, *, file: Path, force: bool, **options: Any) -> str:
        backup.restore(file, force=force, by=TERMINAL)
        return f"Restored from {file}. Start the portal again."
