"""How are stored secrets moved to a new key? Put the new key first in ENCRYPTION_KEYS, run this, then drop the old one."""

from __future__ import annotations

import sys
from typing import Any

from portal import rotation
from portal.management.base import TERMINAL, PortalCommand


class Command(PortalCommand):
    help = "Seal every stored secret with the first key of ENCRYPTION_KEYS."

    def work(self, **options: Any) -> str:
        done = rotation.rotate(by=TERMINAL)
        for place in done.closed:
            self.stderr.write(f"{place} cannot be opened: ENCRYPTION_KEYS lacks the key it was sealed with.")
        if done.closed:
            sys.exit(1)
        return f"{done.rotated} secrets are sealed with the first key now. The older keys can go."
