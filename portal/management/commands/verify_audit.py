"""Is the audit log whole? Every entry, every chain and the signed heads outside the database are compared."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from portal import audit
from portal.errors import Refused
from portal.management.base import PortalCommand
from portal.models import AuditEntry, AuditHead


class Command(PortalCommand):
    help = "Prove that the audit log was not changed; exit code 1 names what is wrong."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--heads", type=Path, metavar="FILE", help="also compare with heads that were sent elsewhere"
        )

    def work(self, *, heads: Path | None = None, **options: Any) -> str:
        try:
            wrong = list(audit.verify(heads))
        except OSError as error:
            raise Refused(f"{heads} cannot be read ({error.strerror}).") from None
        for sentence in wrong:
            self.stderr.write(sentence)
        if wrong:
            sys.exit(1)
        return f"The audit log is whole: {AuditEntry.objects.count()} entries in {AuditHead.objects.count()} chains."
