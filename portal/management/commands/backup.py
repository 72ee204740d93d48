"""How is everything saved? One consistent file while the portal runs. The keys are not in it: keep them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from portal import backup
from portal.management.base import PortalCommand


class Command(PortalCommand):
    help = (
        "Write the database into FILE. Keep SECRET_KEY and ENCRYPTION_KEYS elsewhere: without them secrets stay closed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def work(self, *, file: Path, **options: Any) -> str:
        backup.save(file)
        return f"Saved to {file} ({file.stat().st_size:,} bytes). Keep SECRET_KEY and ENCRYPTION_KEYS elsewhere; they are not in it."
