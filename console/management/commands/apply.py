"""Make it so: all of it or nothing, after showing what changes. A second time there is nothing to do."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from console.configuration import command
from portal.management.base import PortalCommand


class Command(PortalCommand):
    help = "Bring about what YAML files say, in one transaction; shows the plan and asks before."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", nargs="+", metavar="FILE", help="YAML, as export_config prints it; - is what is piped in"
        )
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument(
            "--prune", action="store_true", help="delete rows that the files do not name, of what they cover"
        )
        parser.add_argument("--json", action="store_true", help="the plan for programs")

    def work(self, *, file: list[str], yes: bool, prune: bool, json: bool, **options: Any) -> str:
        return command.apply(command.gathered(file), self.stdout, prune=prune, yes=yes, as_json=json)
