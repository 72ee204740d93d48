"""Is the audit log whole? Every entry, every chain and the signed heads outside the database are compared."""

from __future__ import annotations

import sys
from typing import Any

from portal import audit
from portal.management.base import PortalCommand
from portal.models import AuditEntry, AuditHead


class Command(PortalCommand):
    help = "Prove that the audit log was not changed; exit code 1 names what is wrong."

    def work(self, **options: Any) -> str:
        wrong = list(audit.verify())
        for sentence in wrong:
            self.stderr.write(sentence)
        if wrong:
            sys.exit(1)
        return f"The audit log is whole: {AuditEntry.objects.count()} entries in {AuditHead.objects.count()} chains."
