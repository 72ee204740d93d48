"""What is configured? As YAML to be kept in git: no ids, no secrets, the same text for the same rows."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from console.configuration import exporting
from portal.management.base import PortalCommand


class Command(PortalCommand):
    help = "Print the configuration as YAML, for plan and apply. Secrets are named, never written."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--client", action="append", metavar="SLUG", help="only this client's; may be said several times"
        )

    def work(self, *, client: list[str] | None, **options: Any) -> str:
        return exporting.export(client)
