"""What would change? Exit code 0: nothing, 2: something, 1: the files are wrong."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from console.configuration import command, running
from portal.management.base import PortalCommand


class Command(PortalCommand):
    help = (
        "Compare YAML files with what is configured. Changes nothing. Exit code: 0 nothing to do, 2 changes, 1 errors."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", nargs="+", metavar="FILE", help="YAML, as export_config prints it; - is what is piped in"
        )
        parser.add_argument(
            "--prune", action="store_true", help="delete rows that the files do not name, of what they cover"
        )
        parser.add_argument("--json", action="store_true", help="for programs")

    def work(self, *, file: list[str], prune: bool, json: bool, **options: Any) -> None:
        outcome = running.carry_out(command.gathered(file), prune=prune)
        if json:
            self.stdout.write(command.shown(outcome, self.stdout, as_json=True))
            raise SystemExit(1 if outcome.problems else command.CHANGES if outcome.changes else 0)
        command.refuse(outcome)
        self.stdout.write(command.shown(outcome, self.stdout, as_json=False))
        raise SystemExit(command.CHANGES if outcome.changes else 0)
