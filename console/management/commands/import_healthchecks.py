"""How do the checks of a Healthchecks project come here? From the answer of its API, with a report."""

from __future__ import annotations

from pathlib import Path

from console.importing import healthchecks
from console.importing.draft import Draft
from console.importing.moving import MovingCommand


class Command(MovingCommand):
    help = "Make a configuration of a Healthchecks project: FILE is the answer of GET /api/v3/checks/ (JSON)."
    tool = "Healthchecks"

    def draft(self, path: Path, client: str) -> Draft:
        return healthchecks.draft(healthchecks.read(path), client)
