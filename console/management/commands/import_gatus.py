"""How do the endpoints of a Gatus come here? From its YAML, with a report."""

from __future__ import annotations

import os
from pathlib import Path

from console.importing import gatus
from console.importing.draft import Draft
from console.importing.moving import MovingCommand


class Command(MovingCommand):
    help = "Make a configuration of a Gatus: FILE is its YAML; variables in it are taken from the environment."
    tool = "Gatus"

    def draft(self, path: Path, client: str) -> Draft:
        return gatus.draft(path, client, os.environ)
