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
        parser.add_argument(
            "--revoke-tokens",
            action="store_true",
            help="end every API token too: those that were revoked after the backup live again otherwise",
        )

    def work(self, *, file: Path, force: bool, revoke_tokens: bool, **options: Any) -> str:
        done = backup.restore(file, force=force, by=TERMINAL, revoke_tokens=revoke_tokens)
        said = [f"Restored from {file}. Everybody signs in anew ({done.sessions} sessions of the backup were ended)."]
        if revoke_tokens:
            said.append(f"{done.revoked} API tokens were revoked; issue new ones.")
        elif done.tokens:
            said.append(
                f"{done.tokens} API tokens work as on the day of the backup, also those that were revoked since: "
                "look through them under People, or restore with --revoke-tokens."
            )
        return " ".join([*said, "Start the portal again."])
