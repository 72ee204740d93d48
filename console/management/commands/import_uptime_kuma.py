"""How do the monitors of an Uptime Kuma come here? From its backup (JSON) or its database kuma.db, with a report."""

from __future__ import annotations

from pathlib import Path

from console.importing import kuma, kuma_files
from console.importing.draft import Draft
from console.importing.moving import MovingCommand


class Command(MovingCommand):
    help = "Make a configuration of an Uptime Kuma: FILE is its backup (JSON, 1.x) or kuma.db (1.x and 2.x), which is only read."
    tool = "Uptime Kuma"

    def draft(self, path: Path, client: str) -> Draft:
        return kuma.draft(kuma_files.read(path), client)
